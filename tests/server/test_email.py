"""Mail through a real SMTP dialogue: what arrives, what each reply means, and the one moment that leaves a doubt."""

import email
import email.policy
import math
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from server import config
from server.outbox.providers import base, opened
from server.outbox.providers import email as adapter
from server.outbox.providers.base import Outgoing, SendFailed
from server.outbox.providers.email import Email
from server.outbox.rules import Outcome
from tests import services
from tests.smtp import MailServer, certificate

ZH = "【明德学校】林语晨 07:41 已到校（1号门）。\n.第二行以点开头"
MOTHER = "mother@home.example"


def provider(port: int, **changes: object) -> Email:
    table = {"host": "127.0.0.1", "port": port, "security": "plain", "sender": "gate@school.example", **changes}
    return Email(config.convert(Email.Settings, table))


def outgoing(**changes: object) -> Outgoing:
    text = {"text_id": uuid.UUID(int=7), "phone": MOTHER, "body": ZH, "useful_for": 100.0, "urgent": True}
    return Outgoing(**{**text, "callback": "", "deadline": math.inf, **changes})  # type: ignore[arg-type]


@pytest.fixture
def server() -> Iterator[MailServer]:
    with MailServer().running() as server:
        yield server


def failure(sender: Email, **changes: object) -> SendFailed:
    with pytest.raises(SendFailed) as failed:
        sender.send(outgoing(**changes))
    assert "mother" not in failed.value.reason and "林语晨" not in failed.value.reason
    return failed.value


def test_a_mail_arrives_whole_with_our_id_and_asks_for_no_robots_answer(server: MailServer) -> None:
    accepted = provider(server.port, sender_name="明德学校").send(outgoing())
    assert accepted == base.Accepted(f"{uuid.UUID(int=7)}@school.example")
    ((sender, recipient, raw),) = server.box.taken
    assert (sender, recipient) == ("gate@school.example", MOTHER)
    mail = email.message_from_bytes(raw, policy=email.policy.default)
    assert mail.get_content().replace("\r\n", "\n").strip() == ZH
    assert mail["Message-ID"] == f"<{uuid.UUID(int=7)}@school.example>"
    assert (mail["Auto-Submitted"], mail["X-Auto-Response-Suppress"]) == ("auto-generated", "All")
    assert mail["From"] == "明德学校 <gate@school.example>"
    assert mail["Subject"].startswith("【明德学校】林语晨 07:41") and mail["Importance"] == "high"
    assert raw.isascii() and max(len(line) for line in raw.split(b"\r\n")) <= 998


def test_a_line_that_begins_with_a_dot_does_not_end_the_mail(server: MailServer) -> None:
    provider(server.port, subject="School").send(outgoing(body="one\n.\n..two\n.QUIT", urgent=False))
    ((_, _, raw),) = server.box.taken
    mail = email.message_from_bytes(raw, policy=email.policy.default)
    assert mail.get_content().replace("\r\n", "\n") == "one\n.\n..two\n.QUIT\n"
    assert (mail["Subject"], mail["Importance"]) == ("School", None)


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_login_and_mail_go_encrypted(tmp_path: Path, security: str) -> None:
    context, ca = certificate(tmp_path)
    (tmp_path / "password").write_text("s3cret\n")
    with MailServer(context=context, tls_at_once=security == "tls").running() as server:
        server.box.password = "s3cret"
        settings = {"security": security, "username": "gate", "password_file": str(tmp_path / "password")}
        provider(server.port, **settings, ca_file=str(ca)).send(outgoing())
        assert (len(server.box.taken), server.box.encrypted) == (1, [True])
        stranger = failure(provider(server.port, **settings))
    assert (stranger.outcome, len(server.box.taken)) == (Outcome.RETRY_OTHER, 1)
    assert "certificate is not good" in stranger.reason


def test_a_certificate_for_another_host_is_refused(tmp_path: Path) -> None:
    context, ca = certificate(tmp_path, host="127.0.0.9")
    with MailServer(context=context).running() as server:
        failed = failure(provider(server.port, security="starttls", ca_file=str(ca)))
        assert (failed.outcome, server.box.taken) == (Outcome.RETRY_OTHER, [])


def test_without_starttls_nothing_goes_openly(server: MailServer) -> None:
    failed = failure(provider(server.port, security="starttls", username="gate", password="s3cret"))
    assert (failed.outcome, "AUTH" in server.box.verbs) == (Outcome.RETRY_OTHER, False)


@pytest.mark.parametrize(("verb", "words", "outcome"), [
    ("CONNECT", "421 4.3.2 too busy", Outcome.RETRY_SAME),
    ("CONNECT", "554 no service", Outcome.RETRY_OTHER),
    ("CONNECT", "", Outcome.RETRY_OTHER),
    ("CONNECT", "SSH-2.0-OpenSSH", Outcome.RETRY_OTHER),
    ("AUTH", "535 5.7.8 no", Outcome.RETRY_OTHER),
    ("AUTH", "454 4.7.0 later", Outcome.RETRY_SAME),
    ("MAIL", "451 4.3.0 later", Outcome.RETRY_SAME),
    ("MAIL", "550 5.7.1 not your sender", Outcome.RETRY_OTHER),
    ("MAIL", "530 5.7.0 Must issue a STARTTLS command first", Outcome.RETRY_OTHER),
    ("MAIL", "", Outcome.RETRY_OTHER),
    ("RCPT", "450 4.2.0 greylisted <mother@home.example>", Outcome.RETRY_SAME),
    ("RCPT", "550 5.1.1 <mother@home.example>: no such user", Outcome.FAIL_NUMBER),
    ("RCPT", "552-5.2.2 <mother@home.example>\r\n552 5.2.2 full", Outcome.FAIL_NUMBER),
    ("RCPT", "553 no", Outcome.FAIL_NUMBER),
    ("RCPT", "554 5.7.1 Relay access denied", Outcome.RETRY_OTHER),
    ("RCPT", "", Outcome.RETRY_OTHER),
    ("DATA", "451 later", Outcome.RETRY_SAME),
    ("DATA", "554 no valid recipients", Outcome.FAIL_CONTENT),
    ("DATA", "", Outcome.RETRY_OTHER),
    (".", "452 4.3.1 disk full", Outcome.RETRY_SAME),
    (".", "554 5.7.1 looks like spam", Outcome.FAIL_CONTENT),
    (".", "552 5.3.4 too large", Outcome.FAIL_CONTENT),
    (".", "550 5.1.1 mother@home.example unknown", Outcome.FAIL_NUMBER),
    (".", "", Outcome.UNKNOWN),
    (".", "\0\0\0", Outcome.UNKNOWN),
    (".", "x" * 100_000, Outcome.UNKNOWN),
    (".", "...", Outcome.UNKNOWN),
])  # fmt: skip
def test_what_each_reply_means(
    server: MailServer, monkeypatch: pytest.MonkeyPatch, verb: str, words: str, outcome: Outcome
) -> None:
    monkeypatch.setattr(adapter, "ANSWER", 0.5)
    server.box.says[verb] = words
    server.box.password = "s3cret"
    login = {"username": "gate", "password": "s3cret"} if verb == "AUTH" else {}
    assert failure(provider(server.port, **login)).outcome is outcome
    assert server.box.taken == []


@pytest.mark.parametrize("verb", ["EHLO", "MAIL", "RCPT", "DATA"])
def test_silence_before_the_message_was_surely_not_sent(
    server: MailServer, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    monkeypatch.setattr(adapter, "ANSWER", 0.2)
    server.box.says[verb] = "..."
    assert failure(provider(server.port)).outcome is Outcome.RETRY_OTHER


def test_a_dialogue_that_lasts_too_long_ends_before_its_message(
    server: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "WHOLE", 0.0)
    assert failure(provider(server.port)).outcome is Outcome.RETRY_OTHER
    assert "DATA" not in server.box.verbs
    late = failure(provider(server.port), deadline=time.monotonic() - 1)
    assert late.outcome is Outcome.RETRY_SAME


def test_nobody_listens() -> None:
    failed = failure(provider(services.free_port()))
    assert failed.outcome is Outcome.RETRY_OTHER


@pytest.mark.parametrize(("address", "outcome"), [
    ("+8613800000001", Outcome.RETRY_OTHER),
    ("a b@home.example", Outcome.FAIL_NUMBER),
    ("mother@home.example>\r\nRCPT TO:<x@y.example", Outcome.FAIL_NUMBER),
    ("mother@home.example\nBcc: x@y.example", Outcome.FAIL_NUMBER),
    ("母亲@home.example", Outcome.FAIL_NUMBER),
    ("@home.example", Outcome.FAIL_NUMBER),
])  # fmt: skip
def test_what_is_no_address_never_reaches_the_line(server: MailServer, address: str, outcome: Outcome) -> None:
    assert failure(provider(server.port), phone=address).outcome is outcome
    assert server.box.verbs == []


def test_a_chinese_domain_is_written_as_mail_servers_know_it(server: MailServer) -> None:
    provider(server.port).send(outgoing(phone="mother@例子.example"))
    assert server.box.taken[0][1] == "mother@xn--fsqu00a.example"


def test_settings_are_checked_at_start() -> None:
    def problem(table: dict[str, object]) -> str:
        with pytest.raises(config.ConfigError) as error:
            opened(config.Config(outbox=config.Outbox(providers=("email",)), providers={"email": table}))
        return str(error.value)

    assert "[providers.email]: sender must be an address such as gate@school.example" in problem({"sender": "gate"})
    assert "one line each" in problem({"sender": "g@s.example", "subject": "a\nBcc: b"})
    assert "did you mean `password`" in problem({"sender": "g@s.example", "pasword": "x"})
    assert "sender" in problem({})


def test_check_greets_and_logs_in(server: MailServer) -> None:
    server.box.password = "right"
    assert provider(server.port, username="gate", password="right").check() == []
    assert provider(server.port, username="gate", password="wrong").check() == [
        f"email: 127.0.0.1:{server.port}: the mail server answered 535 5.7.8 no such login"
    ]
    missing = provider(server.port, username="gate", password_file="/nowhere/password").check()
    assert len(missing) == 1
