"""SMPP 3.4 to an operator: one transceiver that stays bound, receipts and replies over the same connection.

SMPP Protocol Specification v3.4: 4.4 (submit_sm), 4.6 (deliver_sm), 5.1.3 (command_status), appendix B (receipts).
"""

import contextlib
import itertools
import logging
import re
import secrets
import select
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from server import config
from server.outbox import parts
from server.outbox.line import Line, Refused
from server.outbox.providers.base import Accepted, Brought, Heard, News, Outgoing, Provider, Report, SendFailed, Sink
from server.outbox.rules import Outcome, TextState

try:
    import smpplib.client
    import smpplib.exceptions
    import smpplib.smpp
except ImportError as missing:
    raise config.ConfigError("outbox.providers: `smpp` needs the extra: pip install 'gatebell[smpp]'") from missing

log = logging.getLogger(__name__)

KEEP_ALIVE = 30.0  # seconds of silence until enquire_link; twice that without a word is a dead connection
LONGEST_PDU = 70_000
TRY_LATER = 0x64  # ESME_RX_T_APPN: bring it again

OUTCOMES = {
    0x01: Outcome.FAIL_CONTENT,  # message length
    0x08: Outcome.RETRY_OTHER,  # system error
    0x0A: Outcome.RETRY_OTHER,  # our sender number
    0x0B: Outcome.FAIL_NUMBER,
    0x14: Outcome.RETRY_SAME,  # queue full
    0x45: Outcome.RETRY_OTHER,  # submit failed
    0x50: Outcome.FAIL_NUMBER,  # kind of number
    0x51: Outcome.FAIL_NUMBER,
    0x58: Outcome.RETRY_SAME,  # throttled
    0x62: Outcome.RETRY_OTHER,  # validity period
    0x64: Outcome.RETRY_SAME,
    0x65: Outcome.RETRY_OTHER,
    0xFF: Outcome.RETRY_OTHER,
}
STATES = {
    "DELIVRD": TextState.DELIVERED, "EXPIRED": TextState.EXPIRED, "DELETED": TextState.FAILED,
    "UNDELIV": TextState.FAILED, "REJECTD": TextState.FAILED, "ACCEPTD": TextState.SENT, "ENROUTE": TextState.SENT,
}  # fmt: skip
BY_NUMBER = {1: "ENROUTE", 2: "DELIVRD", 3: "EXPIRED", 4: "DELETED", 5: "UNDELIV", 6: "ACCEPTD", 8: "REJECTD"}

Ids = Literal["text", "hex", "decimal"]


class Smpp(Provider):
    """`Accepted.references` has one number a part, in order; each part has receipts of its own."""

    name = "smpp"

    class Settings(config.Section, frozen=True):
        """`answer_ids` and `receipt_ids` say how the operator writes one and the same number in the two places."""

        host: str = "127.0.0.1"
        port: config.Port = 2775
        system_id: str = ""
        password: str = ""
        password_file: str = ""
        system_type: str = ""
        sender: str = ""
        sender_ton: config.Natural = 0
        sender_npi: config.Natural = 0
        strip: str = "+"
        window: config.Some = 10
        answer_ids: Ids = "text"
        receipt_ids: Ids = "text"

    def __init__(self, settings: "Smpp.Settings") -> None:
        super().__init__(settings)
        self._references = itertools.count(secrets.randbelow(256))
        self._sink: Sink | None = None
        self._joiner = parts.Joiner()
        self._line = Line(self.name, lambda: _Session(self.settings, self._bring), settings.window)

    def start(self, sink: Sink) -> None:
        """Bind, and stay bound."""
        self._sink = sink
        self._line.start()

    def stop(self) -> None:
        """Unbind."""
        self._line.stop()

    def check(self) -> list[str]:
        """Why it is not bound."""
        if self._sink is None or not self._line.trouble:
            return []
        return [f"smpp: {self._line.trouble}"]

    def send(self, text: Outgoing) -> Accepted:
        """Part after part: nothing of a text goes after a part that was refused."""
        if not text.body.strip():
            raise SendFailed(Outcome.FAIL_CONTENT, "the text is empty")
        if time.monotonic() > text.deadline:
            raise SendFailed(Outcome.RETRY_SAME, "smpp: waited for too long")
        try:
            cut = parts.of(text.body, next(self._references) % 256)
        except ValueError as error:
            raise SendFailed(Outcome.FAIL_CONTENT, str(error)) from None
        ids: list[str] = []
        for part in cut:
            if ids and time.monotonic() > text.deadline:  # another sender may have the text soon
                raise SendFailed(Outcome.UNKNOWN, "smpp: only some parts left in time")
            status, given = self._line.submit(self.fields(text, part))
            if status:
                outcome = OUTCOMES.get(status, Outcome.RETRY_OTHER)
                raise SendFailed(outcome, f"the operator refused with 0x{status:02X}")
            ids.append(canonical(given, self.settings.answer_ids))
        return Accepted(ids[0], references=tuple(ids))

    def fields(self, text: Outgoing, part: parts.Part) -> dict[str, Any]:
        """The fields of submit_sm."""
        return {
            "source_addr_ton": self.settings.sender_ton,
            "source_addr_npi": self.settings.sender_npi,
            "source_addr": self.settings.sender,
            "dest_addr_ton": 1,
            "dest_addr_npi": 1,
            "destination_addr": text.phone.removeprefix(self.settings.strip),
            "short_message": part.body,
            "data_coding": 0 if part.gsm else 8,
            "esm_class": 0x40 if part.joined else 0,
            "registered_delivery": 1,
            "validity_period": validity(text.useful_for),
            "priority_flag": 1 if text.urgent else 0,
        }

    def _bring(self, pdu: Any) -> None:
        """Returns only when the sink has it: then smpplib answers the operator."""
        assert self._sink
        if pdu.esm_class & 0x3C:
            self._sink(Brought(reports=[Report(receipt(pdu, self.settings.receipt_ids))]))
            return
        header, body = _body(pdu)
        phone = _text(pdu.source_addr)
        whole = self._joiner.whole(phone, header, _decoded(body, pdu.data_coding))
        heard = [Heard(who, said) for who, said in self._joiner.overdue()]
        if whole is not None:
            heard.append(Heard(phone, whole.replace("\0", "")))
        if heard:
            self._sink(Brought(heard=heard))


class _Session(smpplib.client.Client):  # type: ignore[misc]
    """One bind. smpplib writes from several threads only under our lock, and reads only what is really there."""

    def __init__(self, settings: Smpp.Settings, bring: Callable[[Any], None]) -> None:
        super().__init__(settings.host, settings.port, timeout=5, allow_unknown_opt_params=True)
        self.logger.disabled = True  # it logs whole messages with number and text
        self.settings, self.bring = settings, bring
        self._writing = threading.RLock()
        self._heard_at = time.monotonic()
        self._asked_at = 0.0
        self._answered: Callable[[int, Any], None] = lambda number, answer: None
        self.set_message_received_handler(self._received)
        self.set_message_sent_handler(self._sent)
        self.set_error_pdu_handler(lambda pdu: None)  # the handler above is called for errors too

    def open(self) -> None:
        """Connect and bind. Raises Refused, OSError."""
        password = self.settings.password
        if self.settings.password_file:
            password = Path(self.settings.password_file).read_text("utf-8").strip()
        try:
            self.connect()
            self.bind_transceiver(
                system_id=self.settings.system_id, password=password, system_type=self.settings.system_type
            )
        except smpplib.exceptions.PDUError as error:
            code = error.args[1] if len(error.args) > 1 else 0
            raise Refused(
                f"the operator refused to bind (0x{code:02X}): check system_id, password and our address there"
            ) from None
        except smpplib.exceptions.ConnectionError:
            raise OSError(f"nobody answers at {self.host}:{self.port}") from None

    def next_sequence(self) -> int:
        """Numbers go to several threads."""
        with self._writing:
            return int(super().next_sequence())

    def prepare(self, message: dict[str, Any]) -> tuple[int, Any]:
        """A submit_sm."""
        with self._writing:
            pdu = smpplib.smpp.make_pdu("submit_sm", client=self, **message)
        return pdu.sequence, pdu

    def put(self, frame: Any) -> None:
        """Write it whole."""
        try:
            self.send_pdu(frame)
        except smpplib.exceptions.ConnectionError:
            raise OSError("the connection is gone") from None

    def send_pdu(self, p: Any) -> bool:
        """Never two frames into each other."""
        with self._writing:
            return bool(super().send_pdu(p))

    def _recv_exact(self, exact_size: int) -> bytes:
        if not 0 <= exact_size <= LONGEST_PDU:
            raise smpplib.exceptions.ConnectionError("a frame of impossible length")
        return bytes(super()._recv_exact(exact_size))

    def read(self, answered: Callable[[int, Any], None]) -> None:
        """A time-out within a frame would lose step: wait before it, and give up the connection inside it."""
        self._answered = answered
        if self._socket is None:
            raise OSError("the connection is gone")
        readable, _, _ = select.select([self._socket], [], [], 0.5)
        now = time.monotonic()
        try:
            if readable:
                self._heard_at = now
                self.read_once(auto_send_enquire_link=False)
            elif now - self._heard_at > 2 * KEEP_ALIVE:
                raise OSError("the operator is silent")
            elif now - max(self._heard_at, self._asked_at) > KEEP_ALIVE:
                self._asked_at = now
                self.send_pdu(smpplib.smpp.make_pdu("enquire_link", client=self))
        except smpplib.exceptions.ConnectionError:
            raise OSError("the connection is gone") from None

    def close(self) -> None:
        """Without waiting for the answer to unbind."""
        with contextlib.suppress(Exception):  # it is gone already
            self.send_pdu(smpplib.smpp.make_pdu("unbind", client=self))
        self.disconnect()

    def _sent(self, pdu: Any) -> None:
        self._answered(pdu.sequence, (pdu.status, _text(pdu.message_id)))

    def _received(self, pdu: Any) -> int:
        try:
            self.bring(pdu)
        except Exception:
            log.exception("smpp: what the operator brought could not be kept; it will bring it again")
            return TRY_LATER
        return 0


def canonical(given: str, kind: Ids) -> str:
    """The same text for a number that is written in hex here and in decimal there, with or without zeros before."""
    plain = given.strip("\0 ")
    try:
        return str(int(plain, 16 if kind == "hex" else 10)) if kind != "text" else plain.lower().lstrip("0") or "0"
    except ValueError:
        return plain.lower()


def validity(useful_for: float) -> str:
    """Relative time of SMPP 3.4 section 7.1.1."""
    seconds = max(60, min(int(useful_for), 7 * 86400))
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    return f"0000{days:02}{hour:02}{minute:02}{second:02}000R"


def receipt(pdu: Any, ids: Ids) -> News:
    """From the optional parameters, or from the text that appendix B describes."""
    _, body = _body(pdu)
    words = body.decode("latin-1").replace("\0", "")
    found = dict(re.findall(r"\b(id|stat|err):(\S*)", words.split("text:")[0].split("Text:")[0]))
    given = _text(pdu.receipted_message_id) or found.get("id", "")
    stat = found.get("stat", "").upper() or BY_NUMBER.get(_number(pdu.message_state), "")
    raw = f"{stat} {found.get('err', '')}".strip()
    return News(STATES.get(stat), raw[:400], canonical(given, ids)[:100])


def _number(value: Any) -> int:
    if isinstance(value, bytes):
        return int.from_bytes(value, "big")
    return int(value or 0)


def _text(value: Any) -> str:
    return value.decode("latin-1").strip("\0") if isinstance(value, bytes) else str(value or "")


def _body(pdu: Any) -> tuple[parts.Header | None, bytes]:
    body = pdu.short_message or pdu.message_payload or b""
    if pdu.esm_class & 0x40:
        return parts.opened(body)
    return None, body


def _decoded(body: bytes, coding: int) -> str:
    if coding == 8:
        return body.decode("utf-16-be", "replace")
    if coding == 3:
        return body.decode("latin-1")
    return parts.from_gsm(body)


PROVIDER = Smpp
