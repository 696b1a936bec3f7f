"""Amazon's two signatures: ours on a request, by published vectors; SNS's on what it brings."""

import base64
import datetime as dt
import json

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

from server.outbox import sigv4, sns
from tests.server import amazon

SUITE = sigv4.Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
THEN = dt.datetime(2015, 8, 30, 12, 36, tzinfo=dt.UTC)


def signature(method: str, headers: dict[str, str], body: bytes = b"", path: str = "/") -> str:
    sent = sigv4.signed(
        method, f"https://example.amazonaws.com{path}", headers, body,
        credentials=SUITE, region="us-east-1", service="service", now=THEN,
    )  # fmt: skip
    return sent["authorization"]


def test_the_published_vector_get_vanilla() -> None:
    assert signature("GET", {}) == (
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
        "SignedHeaders=host;x-amz-date, "
        "Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
    )


def test_the_published_vector_post_vanilla() -> None:
    assert signature("POST", {}).endswith("5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b")


def test_an_independent_reader_finds_the_same_signature() -> None:
    body = '{"MessageBody": "林语晨 07:41"}'.encode()
    headers = {"content-type": "application/x-amz-json-1.0", "x-amz-target": "A.B"}
    sent = sigv4.signed(
        "POST", "https://sms-voice.eu-west-1.amazonaws.com/", headers, body,
        credentials=sigv4.Credentials("AK", "sk", "lent"), region="eu-west-1", service="sms-voice", now=THEN,
    )  # fmt: skip
    carried = sent | {"host": "sms-voice.eu-west-1.amazonaws.com"}
    assert amazon.proven("POST", "/", carried, body, secret="sk")
    assert not amazon.proven("POST", "/", carried, body + b" ", secret="sk")
    assert not amazon.proven("POST", "/", carried | {"x-amz-target": "A.C"}, body, secret="sk")
    assert "x-amz-security-token" in sent["authorization"]


@pytest.mark.parametrize("path", ["/a?b=c", "/a%20b", "/你"])
def test_what_would_need_rewriting_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="simple"):
        signature("GET", {}, path=path)


@pytest.mark.parametrize("url", [
    "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-0000.pem",
    "https://sns.cn-north-1.amazonaws.com.cn/x.pem",
    "https://sns.us-gov-west-1.amazonaws.com/x.pem",
    "https://sns.eu-west-1.amazonaws.com:443/x.pem",
])  # fmt: skip
def test_addresses_of_sns(url: str) -> None:
    assert sns.amazons(url)


@pytest.mark.parametrize("url", [
    "http://sns.us-east-1.amazonaws.com/x.pem",
    "https://sns.us-east-1.amazonaws.com.evil.example/x.pem",
    "https://evil.example/sns.us-east-1.amazonaws.com/x.pem",
    "https://mine.s3.amazonaws.com/x.pem",
    "https://sns.s3.amazonaws.com/x.pem",
    "https://sns.us-east-1.amazonaws.com@evil.example/x.pem",
    "https://evil.example\\@sns.us-east-1.amazonaws.com/x.pem",
    "https://evil.example#@sns.us-east-1.amazonaws.com/",
    "https://sns.us-east-1.amazonaws.com:8443/x.pem",
    "https://sns.us-east-1.amazonaws.com:x/x.pem",
    "https://xsns.us-east-1.amazonaws.com/x.pem",
    "https://[::1]/x.pem",
    "https://[",
    "file:///etc/passwd",
    "https://ѕns.us-east-1.amazonaws.com/x.pem",
    "",
])  # fmt: skip
def test_addresses_that_only_look_so(url: str) -> None:
    assert not sns.amazons(url)


@pytest.mark.parametrize("version", ["1", "2"])
@pytest.mark.parametrize("subject", [None, "delivery"])
def test_a_signed_message_is_genuine_and_every_change_shows(version: str, subject: str | None) -> None:
    post = amazon.post({"a": 1}, version=version, subject=subject)
    assert sns.genuine(sns.read(post), amazon.CERTIFICATE)
    fields = json.loads(post)
    for name in ("Message", "MessageId", "TopicArn", "Timestamp"):
        changed = sns.read(json.dumps(fields | {name: fields[name] + "x"}).encode())
        assert not sns.genuine(changed, amazon.CERTIFICATE), name
    for name, value in (("Subject", "another"), ("SignatureVersion", "3"), ("Signature", "!!"), ("Signature", "")):
        assert not sns.genuine(sns.read(json.dumps(fields | {name: value}).encode()), amazon.CERTIFICATE), name
    other = "2" if version == "1" else "1"
    assert not sns.genuine(sns.read(json.dumps(fields | {"SignatureVersion": other}).encode()), amazon.CERTIFICATE)


def test_a_subscription_is_signed_with_its_address_and_token() -> None:
    post = amazon.subscription("https://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription")
    assert sns.genuine(sns.read(post), amazon.CERTIFICATE)
    fields = json.loads(post)
    for name in ("SubscribeURL", "Token"):
        assert not sns.genuine(sns.read(json.dumps(fields | {name: "x"}).encode()), amazon.CERTIFICATE)


@pytest.mark.parametrize("certificate", [b"", b"-----BEGIN CERTIFICATE-----\n", b"\0" * 100, amazon.STRANGER])
def test_another_certificate_proves_nothing(certificate: bytes) -> None:
    assert not sns.genuine(sns.read(amazon.post({})), certificate)


@pytest.mark.parametrize("body", [
    b"", b"\0", b"[]", b'{"a":' * 50_000, b"{}", b"<html>", b'{"Type": "Notification"}',
    amazon.post({}).replace(b'"Notification"', b'"Other"'),
    amazon.post({}).replace(b'"Type": "Notification"', b'"Type": 3'),
])  # fmt: skip
def test_what_is_no_message_of_sns(body: bytes) -> None:
    with pytest.raises(ValueError):
        sns.read(body)


def test_the_tests_own_signing_follows_the_guide() -> None:
    """The guide's order of lines, spelt out once by hand."""
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
    lines = "Message\nhello\nMessageId\nm1\nTimestamp\n2026-11-27T00:00:00Z\nTopicArn\narn:t\nType\nNotification\n"
    post = {
        "Type": "Notification", "MessageId": "m1", "TopicArn": "arn:t", "Message": "hello",
        "Timestamp": "2026-11-27T00:00:00Z", "SignatureVersion": "1", "SigningCertURL": "https://x",
        "Signature": base64.b64encode(key.sign(lines.encode(), padding.PKCS1v15(), hashes.SHA1())).decode(),
    }  # fmt: skip
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now).not_valid_after(now + dt.timedelta(days=1)).sign(key, hashes.SHA256())
    ).public_bytes(serialization.Encoding.PEM)  # fmt: skip
    assert sns.genuine(sns.read(json.dumps(post).encode()), certificate)
