"""What Amazon's SNS brings to an address: who signed it, and for which topic.

Amazon SNS developer guide: "Verifying the signatures of Amazon SNS messages", "Parsing message formats". Anyone may
make a topic whose messages Amazon signs rightly: the caller compares the topic with its own.
"""

import base64
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

# Not every *.amazonaws.com: a bucket or a load balancer with such a name may be anybody's.
HOST = re.compile(r"sns\.[a-z]{2}(-[a-z]+)+-\d\.amazonaws\.com(\.cn)?")

NOTIFICATION = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")
CONFIRMATION = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
SIGNED = {
    "Notification": NOTIFICATION,
    "SubscriptionConfirmation": CONFIRMATION,
    "UnsubscribeConfirmation": CONFIRMATION,
}
HASHES: Mapping[str, hashes.HashAlgorithm] = {"1": hashes.SHA1(), "2": hashes.SHA256()}


class Envelope(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """One message as SNS posts it; a field that SNS left out is None, and then is not signed either."""

    type: str
    message_id: str
    topic_arn: str
    message: str
    timestamp: str
    signature: str
    signature_version: str
    signing_cert_url: str = msgspec.field(name="SigningCertURL")
    subject: str | None = None
    token: str | None = None
    subscribe_url: str | None = msgspec.field(name="SubscribeURL", default=None)


def read(body: bytes) -> Envelope:
    """Raises ValueError for anything but a message of SNS."""
    try:
        envelope = msgspec.json.decode(body, type=Envelope)
    except RecursionError:
        raise ValueError("nested beyond reason") from None
    if envelope.type not in SIGNED:
        raise ValueError("no message of SNS")
    return envelope


def amazons(url: str) -> bool:
    """Whether an address is one of SNS itself, over HTTPS on its usual port, and nobody else's by any trick."""
    try:
        place = urlsplit(url)
        port = place.port
    except ValueError:
        return False
    plain = url.isascii() and url.isprintable() and "\\" not in url and "@" not in place.netloc
    return plain and place.scheme == "https" and port in {None, 443} and bool(HOST.fullmatch(place.hostname or ""))


def to_sign(envelope: Envelope) -> bytes:
    """Name and value of each signed field, a line each, in the order of their names."""
    fields = msgspec.to_builtins(envelope)
    lines = [f"{name}\n{fields[name]}\n" for name in SIGNED[envelope.type] if fields[name] is not None]
    return "".join(lines).encode()


def genuine(envelope: Envelope, certificate: bytes) -> bool:
    """Whether the owner of this certificate (PEM) signed the message."""
    try:
        key = x509.load_pem_x509_certificate(certificate).public_key()
        signature = base64.b64decode(envelope.signature, validate=True)
        algorithm = HASHES[envelope.signature_version]
        if not isinstance(key, rsa.RSAPublicKey):
            return False
        key.verify(signature, to_sign(envelope), padding.PKCS1v15(), algorithm)
    except (ValueError, KeyError, InvalidSignature):
        return False
    return True
