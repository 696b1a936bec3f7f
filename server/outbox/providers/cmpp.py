"""China Mobile's direct line: one long connection by CMPP 2.0 or 3.0; see server/outbox/cmpp.py for the frames."""

import contextlib
import datetime as dt
import itertools
import logging
import secrets
import select
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

from server import config
from server.outbox import cmpp, parts
from server.outbox.line import Line, Refused
from server.outbox.providers.base import Accepted, Brought, Heard, News, Outgoing, Provider, Report, SendFailed, Sink
from server.outbox.rules import Outcome, TextState

log = logging.getLogger(__name__)

KEEP_ALIVE = 30.0  # seconds of silence until ACTIVE_TEST; three times that without a word is a dead connection
CHINA = ZoneInfo("Asia/Shanghai")  # of the time stamps, wherever this server stands
TRY_LATER = 9  # Result of DELIVER_RESP "other error": bring it again

RESULTS = {4: Outcome.FAIL_CONTENT, 6: Outcome.FAIL_CONTENT, 8: Outcome.RETRY_SAME}
REFUSALS = {
    1: "the frame was wrong",
    2: "our address is not allowed there",
    3: "source_addr or secret is wrong, or this server's clock",
    4: "the version is wrong: set version to 2.0 or 3.0",
}
STATES = {"DELIVRD": TextState.DELIVERED, "EXPIRED": TextState.EXPIRED, "ACCEPTD": TextState.SENT}
NO_WORD = frozenset({"", "UNKNOWN", "ENROUTE"})


class Cmpp(Provider):
    """`Accepted.references` has one Msg_Id a part, in order, as decimal text; each part has a report of its own."""

    name = "cmpp"

    class Settings(config.Section, frozen=True):
        """`source_addr` is the six digits of the contract (SP_Id), `sender` the 1069 number."""

        host: str = "127.0.0.1"
        port: config.Port = 7890
        source_addr: str = ""
        secret: str = ""
        secret_file: str = ""
        service_id: str = ""
        sender: str = ""
        version: Literal["2.0", "3.0"] = "2.0"
        window: config.Some = 16
        strip: str = "+86"

    def __init__(self, settings: "Cmpp.Settings") -> None:
        super().__init__(settings)
        self._references = itertools.count(secrets.randbelow(256))
        self._sink: Sink | None = None
        self._joiner = parts.Joiner()
        self._line = Line(self.name, lambda: _Session(self.settings, self._bring), settings.window)

    def start(self, sink: Sink) -> None:
        """Connect, and stay connected."""
        self._sink = sink
        self._line.start()

    def stop(self) -> None:
        """Say TERMINATE."""
        self._line.stop()

    def check(self) -> list[str]:
        """Why it is not connected."""
        if self._sink is None or not self._line.trouble:
            return []
        return [f"cmpp: {self._line.trouble}"]

    def send(self, text: Outgoing) -> Accepted:
        """Part after part: nothing of a text goes after a part that was refused."""
        if not text.body.strip():
            raise SendFailed(Outcome.FAIL_CONTENT, "the text is empty")
        if time.monotonic() > text.deadline:
            raise SendFailed(Outcome.RETRY_SAME, "cmpp: waited for too long")
        ids: list[str] = []
        for message in self.messages(text):
            if ids and time.monotonic() > text.deadline:  # another sender may have the text soon
                raise SendFailed(Outcome.UNKNOWN, "cmpp: only some parts left in time")
            result, given = self._line.submit(message)
            if result:
                raise SendFailed(RESULTS.get(result, Outcome.RETRY_OTHER), f"the operator refused with result {result}")
            ids.append(given)
        return Accepted(ids[0], references=tuple(ids))

    def messages(self, text: Outgoing) -> list[cmpp.Submit]:
        """One SUBMIT a part: plain ASCII as it is (0), the rest UCS-2 (8). Raises SendFailed."""
        simple = text.body.isascii() and all(" " <= letter <= "z" and letter not in "@$[\\]^_`" for letter in text.body)
        until = dt.datetime.now(CHINA) + dt.timedelta(seconds=max(60.0, min(text.useful_for, 7 * 86400)))
        try:
            return [
                cmpp.Submit(
                    part.body,
                    0 if part.gsm else 8,
                    part.joined,
                    part.total,
                    part.number,
                    text.phone.removeprefix(self.settings.strip),
                    self.settings.service_id,
                    self.settings.source_addr,
                    self.settings.sender,
                    f"{until:%y%m%d%H%M%S}032+",
                    int(text.urgent),
                )  # fmt: skip
                for part in parts.cut(text.body, next(self._references) % 256, gsm=simple and len(text.body) <= 140)
            ]
        except ValueError as error:
            raise SendFailed(Outcome.FAIL_CONTENT, str(error)) from None

    def _bring(self, brought: cmpp.Deliver) -> None:
        """Returns only when the sink has it: then the operator is answered."""
        assert self._sink
        if brought.report:
            text, stat = cmpp.report(brought.content)
            self._sink(Brought(reports=[Report(News(state(stat), stat, text))]))
            return
        header, body = parts.opened(brought.content) if brought.udhi else (None, brought.content)
        whole = self._joiner.whole(brought.phone, header, _decoded(body, brought.fmt))
        heard = [Heard(who, said) for who, said in self._joiner.overdue()]
        if whole is not None:
            reference = str(int.from_bytes(brought.msg_id, "big"))
            heard.append(Heard(brought.phone, whole.replace("\0", ""), reference))
        if heard:
            self._sink(Brought(heard=heard))


class _Session:
    """One connection."""

    def __init__(self, settings: Cmpp.Settings, bring: Callable[[cmpp.Deliver], None]) -> None:
        self.settings, self.bring = settings, bring
        self.version = cmpp.V3 if settings.version == "3.0" else cmpp.V2
        self._sequence = itertools.count(1)
        self._writing = threading.Lock()
        self._socket: socket.socket | None = None
        self._heard_at = time.monotonic()
        self._asked_at = 0.0

    def open(self) -> None:
        """Connect and log in. Raises Refused, OSError."""
        secret = self.settings.secret
        if self.settings.secret_file:
            secret = Path(self.settings.secret_file).read_text("utf-8").strip()
        self._socket = socket.create_connection((self.settings.host, self.settings.port), 5)
        stamp = f"{dt.datetime.now(CHINA):%m%d%H%M%S}"
        try:
            body = cmpp.connect(self.settings.source_addr, secret, stamp, self.version)
        except ValueError as error:
            raise Refused(f"source_addr: {error}") from None
        self.put(cmpp.Frame(cmpp.CONNECT, next(self._sequence), body))
        answer = self._frame()
        if answer.command != cmpp.CONNECT | cmpp.ANSWER:
            raise OSError("the other side does not speak CMPP")
        status, _ = cmpp.connected(answer.body)
        if status:
            raise Refused(f"the operator refused to connect ({status}): {REFUSALS.get(status, 'ask the operator')}")
        self._heard_at = time.monotonic()

    def prepare(self, message: cmpp.Submit) -> tuple[int, cmpp.Frame]:
        """A SUBMIT."""
        number = next(self._sequence) & 0xFFFFFFFF
        return number, cmpp.Frame(cmpp.SUBMIT, number, message.encode(self.version))

    def put(self, frame: cmpp.Frame) -> None:
        """Write it whole, never two into each other."""
        if self._socket is None:
            raise OSError("the connection is gone")
        with self._writing:
            self._socket.sendall(frame.encode())

    def read(self, answered: Callable[[int, Any], None]) -> None:
        """Act on one frame, or keep the connection alive."""
        if self._socket is None:
            raise OSError("the connection is gone")
        readable, _, _ = select.select([self._socket], [], [], 0.5)
        now = time.monotonic()
        if readable:
            self._heard_at = now
            self._act(self._frame(), answered)
        elif now - self._heard_at > 3 * KEEP_ALIVE:
            raise OSError("the operator is silent")
        elif now - max(self._heard_at, self._asked_at) > KEEP_ALIVE:
            self._asked_at = now
            self.put(cmpp.Frame(cmpp.ACTIVE_TEST, next(self._sequence)))

    def _act(self, frame: cmpp.Frame, answered: Callable[[int, Any], None]) -> None:
        if frame.command == cmpp.SUBMIT | cmpp.ANSWER:
            answered(frame.sequence, cmpp.submitted(frame.body))
        elif frame.command == cmpp.DELIVER:
            self._delivered(frame)
        elif frame.command == cmpp.ACTIVE_TEST:
            self.put(cmpp.Frame(cmpp.ACTIVE_TEST | cmpp.ANSWER, frame.sequence, b"\0"))
        elif frame.command == cmpp.TERMINATE:
            self.put(cmpp.Frame(cmpp.TERMINATE | cmpp.ANSWER, frame.sequence))
            raise OSError("the operator ended the connection")

    def _delivered(self, frame: cmpp.Frame) -> None:
        brought, result = cmpp.deliver(frame.body, self.version), 0
        try:
            self.bring(brought)
        except cmpp.Broken:
            log.warning("cmpp: a report that cannot be read was left out")
        except Exception:
            log.exception("cmpp: what the operator brought could not be kept; it will bring it again")
            result = TRY_LATER
        body = cmpp.deliver_answer(brought.msg_id, result, self.version)
        self.put(cmpp.Frame(cmpp.DELIVER | cmpp.ANSWER, frame.sequence, body))

    def _frame(self) -> cmpp.Frame:
        length, command, sequence = cmpp.header(self._exactly(cmpp.HEADER.size))
        return cmpp.Frame(command, sequence, self._exactly(length))

    def _exactly(self, size: int) -> bytes:
        assert self._socket
        octets = b""
        while len(octets) < size:
            more = self._socket.recv(size - len(octets))
            if not more:
                raise OSError("the operator closed the connection")
            octets += more
        return octets

    def close(self) -> None:
        """Without waiting for the answer to TERMINATE."""
        if self._socket:
            with contextlib.suppress(OSError):
                self.put(cmpp.Frame(cmpp.TERMINATE, next(self._sequence)))
            self._socket.close()


def state(stat: str) -> TextState | None:
    """What a report's Stat proves; all words that are not listed (MK:0001, MBBLACK ...) are refusals."""
    return None if stat in NO_WORD else STATES.get(stat, TextState.FAILED)


def _decoded(body: bytes, fmt: int) -> str:
    if fmt == 8:
        return body.decode("utf-16-be", "replace")
    return body.decode("gb18030" if fmt == 15 else "latin-1", "replace")


PROVIDER = Cmpp
