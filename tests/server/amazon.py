"""Amazon's side for tests, from Amazon's documents and not from our code: it reads our signature and makes SNS's."""

import base64
import datetime as dt
import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

TOPIC = "arn:aws:sns:us-east-1:123456789012:gatebell"
CERT_URL = "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-6209c161.pem"


def proven(method: str, path: str, headers: Mapping[str, str], body: bytes, *, secret: str) -> bool:
    """Whether an Authorization header is right for a request without a query, all as it came over the line."""
    low = {name.lower(): value.strip() for name, value in headers.items()}
    found = re.fullmatch(
        r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8}/[^/]+/[^/]+/aws4_request), SignedHeaders=(\S+), "
        r"Signature=([0-9a-f]{64})",
        low.get("authorization", ""),
    )
    if not found or not {"host", "x-amz-date"} <= set(found[3].split(";")):
        return False
    lines = [method, path, ""] + [f"{name}:{low[name]}" for name in found[3].split(";")]
    request = "\n".join([*lines, "", found[3], hashlib.sha256(body).hexdigest()])
    text = f"AWS4-HMAC-SHA256\n{low['x-amz-date']}\n{found[2]}\n{hashlib.sha256(request.encode()).hexdigest()}"
    key = b"AWS4" + secret.encode()
    for step in [*found[2].split("/"), text]:
        key = hmac.new(key, step.encode(), hashlib.sha256).digest()
    return key.hex() == found[4]


def _pair() -> tuple[rsa.RSAPrivateKey, bytes]:
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
    start = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(start).not_valid_after(start + dt.timedelta(days=3650))
    return key, builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


_KEY, CERTIFICATE = _pair()
_, STRANGER = _pair()


def post(message: Any, *, version: str = "2", subject: str | None = None, topic: str = TOPIC, n: int = 1) -> bytes:
    """A notification as SNS posts it."""
    fields = {
        "Type": "Notification",
        "MessageId": f"22b80b92-fdea-4c2c-8f9d-{n:012d}",
        "TopicArn": topic,
        "Message": message if isinstance(message, str) else json.dumps(message),
        "Timestamp": "2026-11-27T00:41:03.123Z",
    }
    return _signed(fields | ({"Subject": subject} if subject else {}), version)


def subscription(url: str, *, topic: str = TOPIC) -> bytes:
    """The question whether we want a topic's messages."""
    fields = {
        "Type": "SubscriptionConfirmation",
        "MessageId": "165545c9-2a5c-472c-8df2-7ff2be2b3b1b",
        "Token": "2336412f37",
        "TopicArn": topic,
        "Message": f"You have chosen to subscribe to the topic {topic}.\nTo confirm, visit the SubscribeURL.",
        "SubscribeURL": url,
        "Timestamp": "2026-11-27T00:41:03.123Z",
    }
    return _signed(fields, "1")


def _signed(fields: dict[str, str], version: str) -> bytes:
    text = "".join(f"{name}\n{value}\n" for name, value in sorted(fields.items()))
    algorithm = hashes.SHA1() if version == "1" else hashes.SHA256()
    signature = _KEY.sign(text.encode(), padding.PKCS1v15(), algorithm)
    carried = {"SignatureVersion": version, "SigningCertURL": CERT_URL}
    return json.dumps(fields | carried | {"Signature": base64.b64encode(signature).decode()}).encode()
