"""Amazon's signature of a request, version 4, for a POST or GET whose path and query need no rewriting.

AWS General Reference, "Create a signed AWS API request"; the published test suite's `get-vanilla` is our first test.
"""

import datetime as dt
import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

ALGORITHM = "AWS4-HMAC-SHA256"
SIMPLE = re.compile(r"[A-Za-z0-9/_.~-]*")


@dataclass(frozen=True)
class Credentials:
    """`token` only for keys that were lent for a while."""

    key_id: str
    secret: str
    token: str = ""


def signed(
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    credentials: Credentials,
    region: str,
    service: str,
    now: dt.datetime,
) -> dict[str, str]:
    """The headers with which the request is sent: those given, x-amz-date and Authorization; all given are signed.

    `url` has a path of `/` or of unreserved characters, and no query. Raises ValueError for another.
    """
    place = urlsplit(url)
    if place.query or not SIMPLE.fullmatch(place.path):
        raise ValueError("only simple addresses can be signed")
    moment = now.astimezone(dt.UTC).strftime("%Y%m%dT%H%M%SZ")
    sent = {name.lower(): " ".join(value.split()) for name, value in headers.items()} | {"x-amz-date": moment}
    if credentials.token:
        sent["x-amz-security-token"] = credentials.token
    named = sent | {"host": place.netloc}
    names = ";".join(sorted(named))
    request = "\n".join([
        method,
        place.path or "/",
        "",
        *(f"{name}:{named[name]}" for name in sorted(named)),
        "",
        names,
        hashlib.sha256(body).hexdigest(),
    ])  # fmt: skip
    scope = f"{moment[:8]}/{region}/{service}/aws4_request"
    to_sign = "\n".join([ALGORITHM, moment, scope, hashlib.sha256(request.encode()).hexdigest()])
    signature = _hmac(_key(credentials.secret, scope), to_sign).hex()
    credential = f"Credential={credentials.key_id}/{scope}"
    return sent | {"authorization": f"{ALGORITHM} {credential}, SignedHeaders={names}, Signature={signature}"}


def _key(secret: str, scope: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = _hmac(key, part)
    return key


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), hashlib.sha256)
