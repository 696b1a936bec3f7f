"""The installation's own certificate authority: made on first use, signs the broker, the workers and the gates.

All certificates are valid from 1970 on: a Pi without a battery clock wakes up there after a power cut, and must still
believe its broker. EC P-256, so that the smallest Pi shakes hands in milliseconds.
"""

import ipaddress
import os
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from server.config import Broker
from server.errors import Refused

ALWAYS = datetime(1970, 1, 1, tzinfo=UTC)
CA_YEARS = 30
BROKER_YEARS = 20  # nobody stands beside every gate on the day that a broker's certificate ends
YEAR = timedelta(days=365)
LONGEST_NAME = 64  # of a subject, X.509's upper bound
PEM = serialization.Encoding.PEM


class NoAuthority(Refused):
    """The authority's files cannot be used; the text says which and what to do."""


@dataclass(frozen=True)
class Issued:
    """A certificate with its key; `pem` holds both and is a secret."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def certificate_pem(self) -> str:
        """For everyone."""
        return self.certificate.public_bytes(PEM).decode()

    @property
    def key_pem(self) -> str:
        """For its holder alone."""
        plain = serialization.NoEncryption()
        return self.key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, plain).decode()

    @property
    def pem(self) -> str:
        """Both in one file: there is no moment in which they do not fit each other."""
        return self.certificate_pem + self.key_pem

    @property
    def serial(self) -> str:
        """As the list of revoked certificates has it."""
        return f"{self.certificate.serial_number:x}"

    @property
    def print(self) -> str:
        """As the gateway says in its State which one it uses."""
        return self.certificate.fingerprint(hashes.SHA256()).hex()[:16]


@dataclass(frozen=True)
class Authority:
    """Signs what the broker and its clients prove themselves with."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> str:
        """What everyone may know."""
        return self.certificate.public_bytes(PEM).decode()

    @property
    def ends(self) -> datetime:
        """The last moment of everything that it signed."""
        return self.certificate.not_valid_after_utc

    def client(self, name: str, until: datetime) -> Issued:
        """For a gate (`school/gateway`) or a worker (its client id): proves a client, never a broker."""
        return self._sign(name, until, x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]))

    def broker(self, hosts: Sequence[str], now: datetime) -> Issued:
        """For the broker under all its names and addresses: proves a broker, never a client."""
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
        names = x509.SubjectAlternativeName([_general_name(host) for host in hosts])
        return self._sign("gatebell broker", now + BROKER_YEARS * YEAR, usage, names)

    def revocations(self, serials: Iterable[int], now: datetime) -> str:
        """The list of revoked certificates. It never ends: with a list that has, a broker turns all gates away."""
        builder = x509.CertificateRevocationListBuilder().issuer_name(self.certificate.subject)
        builder = builder.last_update(ALWAYS).next_update(self.ends)
        number = x509.CRLNumber(round(now.timestamp() * 1000))
        builder = builder.add_extension(number, critical=False).add_extension(self._issuer(), critical=False)
        for serial in sorted(serials):
            revoked = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now)
            builder = builder.add_revoked_certificate(revoked.build())
        return builder.sign(self.key, hashes.SHA256()).public_bytes(PEM).decode()

    def _sign(self, name: str, until: datetime, *extensions: x509.ExtensionType) -> Issued:
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(name, self.certificate.subject, key.public_key(), min(until, self.ends))
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_usage("digital_signature"), critical=True)
        for extension in (*extensions, self._issuer()):
            builder = builder.add_extension(extension, critical=False)
        return Issued(builder.sign(self.key, hashes.SHA256()), key)

    def _issuer(self) -> x509.AuthorityKeyIdentifier:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())


def load(settings: Broker, now: datetime) -> Authority:
    """The authority of these files; made anew when neither is there. Raises NoAuthority."""
    certificate, key = Path(settings.ca_file), Path(settings.ca_key_file)
    if not certificate.exists() and not key.exists():
        _make(certificate, key, now)
    try:
        return _read(certificate, key)
    except (OSError, ValueError, TypeError) as error:
        said = getattr(error, "strerror", None) or error
        raise NoAuthority(f"broker.ca_file {certificate} and ca_key_file {key} cannot be used: {said}") from None


def certificate_of(path: Path) -> x509.Certificate | None:
    """The first certificate of a PEM file; None when there is none that can be read."""
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError):
        return None


def hosts_of(certificate: x509.Certificate) -> list[str]:
    """The names and addresses that a broker's certificate stands for, sorted."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return sorted(str(each.value) for each in names)


def write_secret(path: Path, text: str) -> None:
    """A file for its owner alone, whole or not at all."""
    write_whole(path, text, mode=0o600)


def write_whole(path: Path, text: str, *, mode: int) -> None:
    """A new file in the place of the old one, on the disk before it has the name; with this mode whatever the umask."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.chmod(mode)
    new.replace(path)


def _make(certificate: Path, key: Path, now: datetime) -> None:
    secret = ec.generate_private_key(ec.SECP256R1())
    name = f"Gatebell {secrets.token_hex(4)}"  # two installations' authorities are told apart
    builder = _builder(name, _subject(name), secret.public_key(), now + CA_YEARS * YEAR)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage("key_cert_sign", "crl_sign"), critical=True)
    made = Issued(builder.sign(secret, hashes.SHA256()), secret)
    try:
        write_secret(key, made.key_pem)
        certificate.parent.mkdir(parents=True, exist_ok=True)
        certificate.write_text(made.certificate_pem, "ascii")
    except OSError as error:
        raise NoAuthority(f"broker.ca_file {certificate} cannot be made: {error.strerror}") from None


def _read(certificate: Path, key: Path) -> Authority:
    secret = serialization.load_pem_private_key(key.read_bytes(), None)
    if not isinstance(secret, ec.EllipticCurvePrivateKey):
        raise ValueError("the key is not of an elliptic curve; make one with: openssl ecparam -name prime256v1 -genkey")
    known = x509.load_pem_x509_certificate(certificate.read_bytes())
    if known.public_key() != secret.public_key():
        raise ValueError("they do not belong together")
    return Authority(known, secret)


def _builder(name: str, issuer: x509.Name, key: ec.EllipticCurvePublicKey, until: datetime) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder().subject_name(_subject(name)).issuer_name(issuer).public_key(key)
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(ALWAYS).not_valid_after(until)
    return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)


def _subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _usage(*wanted: str) -> x509.KeyUsage:
    every = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
    names = (*every, "key_cert_sign", "crl_sign", "encipher_only", "decipher_only")
    return x509.KeyUsage(**{name: name in wanted for name in names})


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
