"""The clouds' side of a request, by their documents and not by our signers: who signed this, and rightly?"""

import base64
import hashlib
import hmac
import json
import math
import uuid
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import pytest
from werkzeug.datastructures import Headers

from server.outbox.providers.base import Incoming, Outgoing, Provider, SendFailed
from tests.standins import Asked

ZH = "【明德学校】林语晨 07:41 已到校（1号门）。"
TEXT_ID = uuid.UUID("0192f0c1-2222-7333-8444-555566667777")


def outgoing(**changes: Any) -> Outgoing:
    """An arrival on its way out."""
    text: dict[str, Any] = {
        "text_id": TEXT_ID, "phone": "+8613800000001", "body": ZH, "useful_for": 100.0, "urgent": True,
        "callback": "http://127.0.0.1:8000/callback/x/dlr/1/2", "deadline": math.inf, "wording": "arrived",
        "values": {"name": "林语晨", "time": "07:41", "gate": "1号门"},
    }  # fmt: skip
    return Outgoing(**{**text, **changes})


def incoming(body: bytes = b"", *, method: str = "POST", **query: str) -> Incoming:
    """A request of the provider's."""
    return Incoming(method, "http://127.0.0.1:8000/callback/x/mo/y", Headers(), query, {}, body)


def refusal(provider: Provider, **changes: Any) -> SendFailed:
    """How sending fails; its reason may hold neither the number nor the text."""
    with pytest.raises(SendFailed) as failed:
        provider.send(outgoing(**changes))
    for secret in ("13800000001", "林语晨", "s3cret", "openid-of-a-parent"):
        assert secret not in failed.value.reason
    return failed.value


def acs3(asked: Asked, key_id: str, secret: str) -> bool:
    """Aliyun, "V3版本请求体&签名机制": recomputed from the bytes that came, step by step as the page has it."""
    algorithm, _, rest = asked.headers["authorization"].partition(" ")
    parts = dict(part.split("=", 1) for part in rest.split(","))
    content = hashlib.sha256(asked.body).hexdigest()
    pairs = [pair.partition("=") for pair in urlsplit(asked.target).query.split("&") if pair]
    query = "&".join(f"{name}={value}" for name, _, value in sorted(pairs))
    lines = "".join(f"{name}:{asked.headers[name].strip()}\n" for name in parts["SignedHeaders"].split(";"))
    canonical = f"{asked.method}\n{asked.path}\n{query}\n{lines}\n{parts['SignedHeaders']}\n{content}"
    to_sign = f"{algorithm}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    expected = hmac.new(secret.encode(), to_sign.encode(), "sha256").hexdigest()
    needed = {"host", "x-acs-action", "x-acs-version", "x-acs-date", "x-acs-signature-nonce", "x-acs-content-sha256"}
    age = datetime.now(UTC) - datetime.strptime(asked.headers["x-acs-date"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    return (
        algorithm == "ACS3-HMAC-SHA256"
        and parts["Credential"] == key_id
        and parts["Signature"] == expected
        and needed <= set(parts["SignedHeaders"].split(";"))
        and asked.headers["x-acs-content-sha256"] == content
        and abs(age.total_seconds()) < 900
    )


def tc3(asked: Asked, secret_id: str, secret: str) -> bool:
    """Tencent, "Signature v3": scope and date from the request's own timestamp."""
    algorithm, _, rest = asked.headers["authorization"].partition(" ")
    parts = dict(part.strip().split("=", 1) for part in rest.split(","))
    stamp = int(asked.headers["x-tc-timestamp"])
    day = datetime.fromtimestamp(stamp, UTC).date().isoformat()
    names = parts["SignedHeaders"].split(";")
    lines = "".join(
        f"{name}:{asked.headers[name].lower() if name == 'x-tc-action' else asked.headers[name]}\n" for name in names
    )
    canonical = f"{asked.method}\n/\n\n{lines}\n{';'.join(names)}\n{hashlib.sha256(asked.body).hexdigest()}"
    to_sign = f"{algorithm}\n{stamp}\n{day}/sms/tc3_request\n{hashlib.sha256(canonical.encode()).hexdigest()}"

    def keyed(key: bytes, words: str) -> bytes:
        return hmac.new(key, words.encode(), "sha256").digest()

    signing = keyed(keyed(keyed(f"TC3{secret}".encode(), day), "sms"), "tc3_request")
    return (
        algorithm == "TC3-HMAC-SHA256"
        and parts["Credential"] == f"{secret_id}/{day}/sms/tc3_request"
        and parts["Signature"] == keyed(signing, to_sign).hex()
        and {"content-type", "host"} <= set(names)
        and abs(datetime.now(UTC).timestamp() - stamp) < 300
    )


def mas_fields(asked: Asked) -> dict[str, str] | None:
    """云MAS: the JSON inside the base64, or nothing when its mac is wrong; the order is norsubmit's or tmpsubmit's."""
    said: dict[str, str] = json.loads(base64.b64decode(asked.body, validate=True))
    middle = ("templateId", "mobiles", "params") if asked.path.endswith("tmpsubmit") else ("mobiles", "content")
    order = ("ecName", "apId", "secretKey", *middle, "sign", "addSerial")
    mac = hashlib.md5("".join(said[name] for name in order).encode(), usedforsecurity=False).hexdigest()
    return said if said["mac"] == mac and set(said) == {*order, "mac"} else None


def wechat_query(token: str, **more: str) -> dict[str, str]:
    """What WeChat puts behind the address of an event."""
    signed = hashlib.sha1("".join(sorted([token, "1700000000", "n0nce"])).encode()).hexdigest()
    return {"timestamp": "1700000000", "nonce": "n0nce", "signature": signed, **more}
