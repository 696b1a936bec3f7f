"""A mail server for tests, on a real port: STARTTLS, TLS, a password, and every bad hour that a real one may have."""

import base64
import contextlib
import datetime as dt
import ipaddress
import socketserver
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass
class Mailbox:
    """What was taken, and how the server answers: `says` by verb, "." being the end of a message.

    An answer of "" hangs up, one of "..." says nothing until the test is over.
    """

    says: dict[str, str] = field(default_factory=dict)
    taken: list[tuple[str, str, bytes]] = field(default_factory=list)  # from, to, message
    verbs: list[str] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)  # of each MAIL
    password: str = ""
    over: threading.Event = field(default_factory=threading.Event)


class _Dialogue(socketserver.StreamRequestHandler):
    """One connection (RFC 5321, 3207, 4954)."""

    server: "MailServer"

    def handle(self) -> None:
        self.sender = self.recipient = ""
        with contextlib.suppress(OSError, StopIteration, ssl.SSLError):
            if self.server.tls_at_once:
                self._encrypt()
            self._say("CONNECT", "220 mail.test ESMTP")
            while line := self.rfile.readline():
                words = line.decode().strip()
                verb = words.split(" ")[0].split(":")[0].upper()
                self.server.box.verbs.append(verb)
                getattr(self, f"on_{verb.lower()}", self.on_other)(words)

    def finish(self) -> None:
        with contextlib.suppress(OSError):
            super().finish()
        self.connection.close()  # it is another socket once it is encrypted

    def _say(self, verb: str, words: str) -> None:
        box = self.server.box
        said = box.says.get(verb, words)
        if said == "...":
            box.over.wait(20)
            said = ""
        if not said:
            raise StopIteration
        self.wfile.write(said.encode() + b"\r\n")

    def _encrypt(self) -> None:
        assert self.server.context
        self.connection = self.server.context.wrap_socket(self.connection, server_side=True)
        self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", 0)

    def on_ehlo(self, words: str) -> None:
        offers = ["mail.test", "AUTH PLAIN"]
        if self.server.context and not isinstance(self.connection, ssl.SSLSocket):
            offers.append("STARTTLS")
        self._say("EHLO", "\r\n".join([f"250-{offer}" for offer in offers] + ["250 SIZE 100000"]))

    def on_starttls(self, words: str) -> None:
        self._say("STARTTLS", "220 go ahead")
        self._encrypt()

    def on_auth(self, words: str) -> None:
        given = base64.b64decode(words.split(" ")[2]).decode().split("\0")
        self._say("AUTH", "235 welcome" if given[2] == self.server.box.password else "535 5.7.8 no such login")

    def on_mail(self, words: str) -> None:
        self.sender = words.split("<")[1].split(">", maxsplit=1)[0]
        self.server.box.encrypted.append(isinstance(self.connection, ssl.SSLSocket))
        self._say("MAIL", "250 ok")

    def on_rcpt(self, words: str) -> None:
        self.recipient = words.split("<")[1].split(">", maxsplit=1)[0]
        self._say("RCPT", "250 ok")

    def on_data(self, words: str) -> None:
        self._say("DATA", "354 go ahead")
        if not self.server.box.says.get("DATA", "354").startswith("354"):
            return
        lines = []
        while (line := self.rfile.readline()) != b".\r\n":
            if not line:
                raise StopIteration
            lines.append(line.removeprefix(b"."))
        self._say(".", "250 2.0.0 taken")
        if self.server.box.says.get(".", "250").startswith("250"):
            self.server.box.taken.append((self.sender, self.recipient, b"".join(lines)))

    def on_quit(self, words: str) -> None:
        raise StopIteration

    def on_other(self, words: str) -> None:
        self._say("?", "502 5.5.1 not understood")


class MailServer(socketserver.ThreadingTCPServer):
    """Listens on a free port of this machine."""

    allow_reuse_address = True

    def __init__(self, *, context: ssl.SSLContext | None = None, tls_at_once: bool = False) -> None:
        super().__init__(("127.0.0.1", 0), _Dialogue)
        self.context, self.tls_at_once = context, tls_at_once
        self.box = Mailbox()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server_address[1])

    @contextlib.contextmanager
    def running(self) -> Iterator["MailServer"]:
        """Until the end of the block."""
        thread = threading.Thread(target=self.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield self
        finally:
            self.box.over.set()
            self.shutdown()
            self.server_close()
            thread.join(10)


def certificate(folder: Path, *, host: str = "127.0.0.1") -> tuple[ssl.SSLContext, Path]:
    """A server's context and the file by which a client knows it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail.test")])
    now = dt.datetime.now(dt.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = signed.public_bytes(serialization.Encoding.PEM)
    (folder / "mail.crt").write_bytes(pem)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "mail.pem").write_bytes(private + pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "mail.pem")
    return context, folder / "mail.crt"
