"""A real nginx with the shipped configuration, as any user: only ports, folders and the certificate are the test's."""

import datetime
import os
import re
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests import services

SHIPPED = Path(__file__).parents[2] / "deploy" / "nginx" / "gatebell.conf"
NAME = "gate.school.example"
WHOLE = """
{user}
daemon off;
pid {folder}/pid;
error_log {folder}/nginx.log;
worker_processes 1;
events {{ worker_connections 512; }}
http {{
    {temporary}
    include {folder}/gatebell.conf;
}}
"""
TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


class Nginx(services.Service):
    """nginx before an application on `upstream`; a context manager."""

    def __init__(self, folder: Path, upstream: int) -> None:
        super().__init__(folder)
        self.plain = services.free_port()
        self.upstream = upstream
        self.certificate = folder / "fullchain.pem"

    @property
    def url(self) -> str:
        """What people type, by an address; the name goes into Host."""
        return f"https://{NAME}:{self.port}"

    def command(self) -> list[str]:
        """Write everything that nginx needs; the command."""
        if not self.certificate.exists():
            _certify(self.folder)
        (self.folder / "gatebell.conf").write_text(self._moved())
        temporary = " ".join(f"{name}_temp_path {self.folder}/{name};" for name in TEMPORARY)
        user = "user root;" if os.getuid() == 0 else ""  # else its workers may not look into a test's folder
        (self.folder / "nginx.conf").write_text(WHOLE.format(user=user, folder=self.folder, temporary=temporary))
        return [services._program("nginx") or "nginx", "-c", str(self.folder / "nginx.conf")]

    def _moved(self) -> str:
        """The shipped file, elsewhere."""
        text = re.sub(r"^ *listen \[::\].*\n", "", SHIPPED.read_text(), flags=re.M)
        for old, new in (
            ("listen 443", f"listen 127.0.0.1:{self.port}"),
            ("listen 80", f"listen 127.0.0.1:{self.plain}"),
            ("127.0.0.1:8000", f"127.0.0.1:{self.upstream}"),
            ("/etc/ssl/gatebell", str(self.folder)),
            ("/var/lib/nginx", str(self.folder)),
            ("/var/log/nginx", str(self.folder)),
            ("/var/www/html", str(self.folder / "www")),
        ):
            assert old in text, f"{old} is not in {SHIPPED.name} any more"
            text = text.replace(old, new)
        return text


def _certify(folder: Path) -> None:
    """A key and a certificate that says so itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "fullchain.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "privkey.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
