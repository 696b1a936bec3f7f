"""Mail instead of a text, for families that asked for it: one SMTP dialogue a message.

RFC 5321 (the dialogue; section 4.2.5: who has the message after which reply), RFC 3207 (STARTTLS), RFC 3463 (the
three numbers of an enhanced reply code), RFC 3834 (Auto-Submitted: no robot answers a robot), RFC 5322 (the message).
"""

import contextlib
import re
import smtplib
import socket
import ssl
import time
from collections.abc import Iterator
from email import policy, utils
from email.errors import HeaderParseError
from email.message import EmailMessage
from pathlib import Path
from typing import Literal

from server import config
from server.outbox.providers.base import Accepted, Outgoing, Provider, SendFailed
from server.outbox.rules import Outcome

CONNECT, ANSWER = 3.0, 8.0  # seconds for the connection with its greeting, and for one reply
WHOLE = CONNECT + ANSWER  # for the dialogue until its last question: the sender's claim must outlive it
PORTS = {"starttls": 587, "tls": 465, "plain": 25}
LONGEST_SUBJECT = 78
CRLF = re.compile(r"\r\n|\r|\n")

# What we could use for one mailbox: no quotes, no spaces, nothing that could end a header or a command.
ADDRESS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@[A-Za-z0-9.-]{1,255}")


class Email(Provider):
    """Accepted means that the next mail server has it; what becomes of it then, nobody reports here."""

    name = "email"

    class Settings(config.Section, frozen=True, kw_only=True):
        """`sender` is the address that mail comes from and bounces to; `port` 0 is the usual one of `security`."""

        host: str = "127.0.0.1"
        port: config.Port = 0
        security: Literal["starttls", "tls", "plain"] = "starttls"
        ca_file: str = ""  # of a mail server with a certificate of the school's own; empty: the system's authorities
        username: str = ""
        password: str = ""
        password_file: str = ""
        sender: str
        sender_name: str = ""
        subject: str = ""  # empty: the text's own beginning

        def __post_init__(self) -> None:
            if not ADDRESS.fullmatch(self.sender):
                raise ValueError("sender must be an address such as gate@school.example")
            if CRLF.search(self.subject + self.sender_name):
                raise ValueError("subject and sender_name must be one line each")

    settings: "Email.Settings"

    @property
    def port(self) -> int:
        """Where the mail server listens."""
        return self.settings.port or PORTS[self.settings.security]

    @property
    def domain(self) -> str:
        """What stands in our greeting and in our messages' ids."""
        return self.settings.sender.rpartition("@")[2]

    def send(self, text: Outgoing) -> Accepted:
        """One message for one mailbox."""
        recipient = _mailbox(text.phone)
        message = self.message(text, recipient)
        if time.monotonic() > text.deadline:
            raise SendFailed(Outcome.RETRY_SAME, "the mail waited too long for its turn")
        end = time.monotonic() + WHOLE
        with self._line(end) as line:
            _addressed(line, self.settings.sender, recipient, end)
            _handed_over(line, message.as_bytes(), end)
            with contextlib.suppress(OSError, smtplib.SMTPException):
                line.putcmd("QUIT")  # for manners: its answer is not waited for
        return Accepted(message["Message-ID"].strip("<>"))

    def message(self, text: Outgoing, recipient: str) -> EmailMessage:
        """The whole mail; its id holds ours, so that a mail server's log can be searched for a text."""
        subject = self.settings.subject or " ".join(text.body.split())[:LONGEST_SUBJECT]
        message = EmailMessage(policy=policy.SMTP.clone(cte_type="7bit"))
        message["From"] = utils.formataddr((self.settings.sender_name, self.settings.sender))
        message["To"] = recipient
        message["Subject"] = subject
        message["Date"] = utils.format_datetime(utils.localtime())
        message["Message-ID"] = f"<{text.text_id}@{self.domain}>"
        message["Auto-Submitted"] = "auto-generated"
        message["X-Auto-Response-Suppress"] = "All"  # the same for Exchange, which does not read the one above
        if text.urgent:
            message["Importance"] = "high"
        message.set_content(text.body)
        return message

    def check(self) -> list[str]:
        """Greets the mail server and logs in."""
        problems = []
        if self.settings.security == "plain" and self.settings.username and not _local(self.settings.host):
            problems.append("email: security is `plain`, so the password travels openly; use `starttls` or `tls`")
        try:
            with self._line(time.monotonic() + WHOLE):
                pass
        except SendFailed as failed:
            problems.append(f"email: {self.settings.host}:{self.port}: {failed.reason}")
        return problems

    @contextlib.contextmanager
    def _line(self, end: float) -> Iterator[smtplib.SMTP]:
        """A mail server that has greeted us and knows us; nothing has been sent. Raises SendFailed."""
        line = None
        try:
            with _nothing_sent_yet():
                line = self._connected()
                _hurry(line, end)
                self._known(line, end)
            yield line
        finally:
            if line is not None:
                line.close()

    def _connected(self) -> smtplib.SMTP:
        security = self.settings.security
        if security == "tls":
            return smtplib.SMTP_SSL(self.settings.host, self.port, self.domain, timeout=CONNECT, context=self._tls())
        return smtplib.SMTP(self.settings.host, self.port, self.domain, timeout=CONNECT)

    def _known(self, line: smtplib.SMTP, end: float) -> None:
        if self.settings.security == "starttls":
            line.starttls(context=self._tls())  # raises where none is offered: never openly instead
            _hurry(line, end)
        line.ehlo_or_helo_if_needed()
        if self.settings.username:
            line.login(self.settings.username, self._password())

    def _tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.settings.ca_file or None)

    def _password(self) -> str:
        if self.settings.password_file:
            return Path(self.settings.password_file).read_text("utf-8").strip()
        return self.settings.password


def _mailbox(address: str) -> str:
    """As it goes over the wire. Raises SendFailed for what is no address."""
    if "@" not in address:
        raise SendFailed(Outcome.RETRY_OTHER, "the family has a telephone here and no mail address")
    local, _, domain = address.rpartition("@")
    with contextlib.suppress(UnicodeError):
        domain = domain.encode("idna").decode("ascii")
    if not ADDRESS.fullmatch(f"{local}@{domain}"):
        raise SendFailed(Outcome.FAIL_NUMBER, "the mail address is not one that we can write to")
    return f"{local}@{domain}"


def _hurry(line: smtplib.SMTP, end: float) -> None:
    """Wait no longer than the claim allows. Raises TimeoutError when nothing of it is left."""
    left = end - time.monotonic()
    if left <= 0 or line.sock is None:
        raise TimeoutError
    line.sock.settimeout(min(ANSWER, left))


@contextlib.contextmanager
def _nothing_sent_yet() -> Iterator[None]:
    """Whatever goes wrong in here, no mail server has the message. Raises SendFailed."""
    try:
        yield
    except smtplib.SMTPNotSupportedError:
        raise SendFailed(Outcome.RETRY_OTHER, "the mail server offers no STARTTLS, or no login by password") from None
    except smtplib.SMTPResponseException as error:
        raise _refused(error.smtp_code, error.smtp_error, Outcome.RETRY_OTHER) from None
    except ssl.SSLCertVerificationError as error:
        raise SendFailed(
            Outcome.RETRY_OTHER, f"the mail server's certificate is not good: {error.verify_message}"
        ) from None
    except UnicodeError:
        raise SendFailed(Outcome.RETRY_OTHER, "the mail server's name or our password cannot be used") from None
    except (OSError, smtplib.SMTPException, HeaderParseError) as error:
        raise SendFailed(Outcome.RETRY_OTHER, f"no connection to the mail server ({_kind(error)})") from None


def _addressed(line: smtplib.SMTP, sender: str, recipient: str, end: float) -> None:
    """Until the mail server says: go ahead (354). Raises SendFailed; the message has not left."""
    with _nothing_sent_yet():
        for command, otherwise in (
            (f"MAIL FROM:<{sender}>", Outcome.RETRY_OTHER),
            (f"RCPT TO:<{recipient}>", Outcome.FAIL_NUMBER),
            ("DATA", Outcome.FAIL_CONTENT),
        ):
            _hurry(line, end)
            code, words = line.docmd(command)
            if code // 100 != (3 if command == "DATA" else 2):
                raise _refused(code, words, otherwise)


def _handed_over(line: smtplib.SMTP, message: bytes, end: float) -> None:
    """The message, its dot, and the one reply that counts. Raises SendFailed."""
    dotted = re.sub(rb"(?m)^\.", b"..", message)
    with _nothing_sent_yet():
        _hurry(line, end)
    try:
        line.send(dotted + (b"" if dotted.endswith(b"\r\n") else b"\r\n") + b".\r\n")
        code, words = line.getreply()
    except (OSError, smtplib.SMTPException) as error:
        raise SendFailed(Outcome.UNKNOWN, f"no answer from the mail server ({_kind(error)})") from None
    if code == -1:
        raise SendFailed(Outcome.UNKNOWN, "the mail server's answer cannot be read")
    if code // 100 != 2:
        raise _refused(code, words, Outcome.FAIL_CONTENT)


def _refused(code: int, words: bytes | str, otherwise: Outcome) -> SendFailed:
    """What a 4xx or 5xx means; `otherwise` is what a 5xx of this step is about."""
    said = words.decode("utf-8", "replace") if isinstance(words, bytes) else words
    reason = f"the mail server answered {code} {_masked(said)}".strip()
    if 400 <= code < 500:
        return SendFailed(Outcome.RETRY_SAME, reason)
    if not 500 <= code < 600 or code in {502, 503, 530, 534, 535, 538}:  # not spoken to as it wants, or not logged in
        return SendFailed(Outcome.RETRY_OTHER, reason)
    subject = re.match(r"5\.(\d)\.\d", said)
    if otherwise is Outcome.FAIL_NUMBER and subject and subject[1] == "7":  # we may not use it: not the mailbox's fault
        return SendFailed(Outcome.RETRY_OTHER, reason)
    if otherwise is Outcome.FAIL_CONTENT and subject and subject[1] in "12":  # told only now that there is no mailbox
        return SendFailed(Outcome.FAIL_NUMBER, reason)
    return SendFailed(otherwise, reason)


def _masked(said: str) -> str:
    """A mail server's words without the address that they are about."""
    return re.sub(r"\S*@\S*|\d{6,}", "***", " ".join(said.replace("\0", "").split()))[:120]


def _kind(error: Exception) -> str:
    if isinstance(error, socket.gaierror):
        return "its name is not known"
    return "too slow" if isinstance(error, TimeoutError) else type(error).__name__


def _local(host: str) -> bool:
    return host == "localhost" or host.startswith("127.") or host == "::1"


PROVIDER = Email
