"""NXP PN532 over HSU (UART), 13.56 MHz ISO 14443A: woken, set up and then asked for cards ten times a second.

Sources: NXP UM0701-02 (user manual) sections 6.2 and 7; nfcpy tests/base_clf_pn53x.py; NXP AN10927 on random UIDs.

Faults beside checksum, length, length_checksum and framing: `protocol` a frame that is from neither host nor chip,
`syntax` the chip's error frame, `phantom` a blank UID, `random-uid` a phone or passport whose UID is new each time,
`two-cards` a wallet (the fault names both, for who wants to see them), `no-answer` three questions unanswered.

With `sun` every card that speaks ISO 14443-4 is asked for the message of an NTAG 424 DNA (_ntag424.py). One that has
none is read as ever; one with a random UID is admitted with its message, in which the server finds who it is.
"""

from collections.abc import Iterator
from itertools import chain

from gateway.readers import _checks, _identity, _ntag424
from gateway.readers.base import Bad, Card, Fault, Frame, Idle, More, Noise, Reader, Step, Value

HOST, CHIP = 0xD4, 0xD5
SAM_CONFIGURATION, RF_CONFIGURATION, LIST_TARGETS, EXCHANGE = 0x14, 0x32, 0x4A, 0x40
ISO_DEP = 0x20  # bit of the SAK: the card speaks ISO 14443-4
AT_ONCE = 0.001  # seconds: a card in a hand does not wait for the next poll
WAKE = bytes.fromhex("5555") + bytes(14)
LONGEST = 3 + 5 + 265 + 2  # the extended frame with the most data
UID_SIZES = {4: b"\x00\x04\x08", 7: b"\x00\x44\x00", 10: b"\x00\xc4\x00"}  # -> ATQA and SAK of a plain card


def framed(payload: bytes) -> bytes:
    """The frame around TFI and data: normal up to 255 bytes, else extended."""
    size = len(payload)
    length = bytes([size]) if size < 256 else size.to_bytes(2)
    marked = b"\x00\x00\xff" + (b"\xff\xff" if size > 255 else b"") + length + bytes([-sum(length) & 0xFF])
    return marked + payload + bytes([-sum(payload) & 0xFF, 0])


def command(code: int, arguments: bytes = b"") -> bytes:
    """The frame of one host command."""
    return framed(bytes([HOST, code]) + arguments)


SETUP = (
    WAKE + command(SAM_CONFIGURATION, b"\x01\x00\x00"),  # normal mode
    command(RF_CONFIGURATION, b"\x05\x01\x00\x01"),  # finite retries, or a poll would wait for a card for ever
)
POLL = command(LIST_TARGETS, b"\x02\x00")  # at most 2 targets, 106 kbit/s type A


class Pn532(Reader):
    """`interval` is the time between two polls in seconds; a resting card is reported at each. `sun`: see above."""

    baud = 115200
    technology = "iso14443a"
    longest = LONGEST

    def __init__(self, interval: float = 0.1, sun: bool = False) -> None:
        super().__init__()
        if not 0.02 <= interval <= 2:
            raise ValueError(f"interval is 0.02 to 2 seconds, not {interval!r}")
        if not isinstance(sun, bool):
            raise ValueError(f"sun is true or false, not {sun!r}")
        self.interval = self._pause = interval
        self.sun = sun
        self._dialogue = _ntag424.Dialogue()
        self._questions: list[bytes] = []
        self._asked = b""
        self._missed = 0
        self._mute: list[Value] = []

    def take(self, window: bytes) -> Step:
        if window[0] not in b"\x00\x55":
            start = window.find(0)
            return Noise(len(window) if start < 0 else start)
        if len(window) == 1:
            return More("")
        if window[0] == 0x55 or window[1] != 0xFF:
            return Idle()
        return _frame(window)

    def feed(self, chunk: bytes) -> Iterator[Value]:
        found = chain(self._overdue(), super().feed(chunk))
        self.interval = AT_ONCE if self._dialogue.command else self._pause
        return found

    def flush(self) -> Iterator[Value]:
        return chain(self._overdue(), super().flush())

    def start(self) -> bytes:
        self._questions, self._missed, self._dialogue = list(SETUP[1:]), 0, _ntag424.Dialogue()
        self._answered, self._asked = True, SETUP[0]
        return self.ask(self._asked)

    def poll(self) -> bytes:
        """The next step of the set-up, then polls; an unanswered question is put again, the third time all of it."""
        waited_in_vain = not self._answered
        if waited_in_vain and self._waited < self.patience:
            return self.ask(self._asked)
        if not waited_in_vain:
            self._missed = 0
            self._asked = self._question()
            return self.ask(self._asked)
        self._missed += 1
        if self._dialogue.is_open:
            self._mute += self._dialogue.given_up()
            self._asked = POLL
        if self._missed < 3:
            return WAKE + self.ask(self._asked)
        self._mute.append(Fault("no-answer", "the PN532 is silent: check power, TX/RX and the HSU switches"))
        return self.start()

    def _question(self) -> bytes:
        if self._questions:
            return self._questions.pop(0)
        told, self._dialogue.command = self._dialogue.command, b""
        self.interval = self._pause
        return command(EXCHANGE, bytes([self._dialogue.target]) + told) if told else POLL

    def _judge(self, step: Frame | Bad | Noise | Idle) -> tuple[Value, ...]:
        values = super()._judge(step)
        return self._talk(step.said, values) if self.sun and isinstance(step, Frame) and step.answer else values

    def _talk(self, said: bytes, values: tuple[Value, ...]) -> tuple[Value, ...]:
        if said[:1] == bytes([LIST_TARGETS + 1]):
            return self._dialogue.listed(values, _talker(said, values))
        if said[:1] == bytes([EXCHANGE + 1]) and len(said) > 1:
            return values + self._dialogue.answered(said[1], said[2:])
        return values + (self._dialogue.given_up() if self._dialogue.is_open else ())

    def _overdue(self) -> list[Value]:
        mute, self._mute = self._mute, []
        return mute

    @classmethod
    def frame(cls, card: str) -> bytes:
        return framed(bytes([CHIP, LIST_TARGETS + 1, 1]) + _target_of(1, card))


def _frame(window: bytes) -> Step:
    # 00 FF  LEN LCS  TFI data...  DCS 00        00 FF  FF FF  LENhi LENlo LCS  TFI data...  DCS 00
    marks = window[2:4]
    if marks in (b"\x00\xff", b"\xff\x00"):  # ACK, NACK
        return _whole(window, body=b"", size=5)
    body = 7 if marks == b"\xff\xff" else 4
    if len(window) < body:
        return More()
    if _checks.total(window[4:7] if body == 7 else marks):
        return Bad("length_checksum")
    length = int.from_bytes(window[4:6]) if body == 7 else window[2]
    if not 1 <= length <= 265:
        return Bad("length", detail=f"a frame of {length} bytes")
    return _whole(window, body=window[body : body + length + 1], size=body + length + 2)


def _whole(window: bytes, *, body: bytes, size: int) -> Step:
    if len(window) < size:
        return More()
    if window[size - 1]:
        return Bad("framing", size, "the closing 00 is missing")
    return _judged(body, size=size) if body else Frame(size, answer=False)


def _judged(body: bytes, *, size: int) -> Step:
    if _checks.total(body):
        return Bad("checksum", size)
    if body == b"\x7f\x81":
        return Frame(size, (Fault("syntax", "the PN532 did not understand the last command"),))
    if body[0] == CHIP and len(body) > 2 and body[1] % 2:  # a command's code is even, its answer's one more
        return Frame(size, _meaning(body[1:-1]), said=body[1:-1])
    if body[0] == HOST:
        return Frame(size, answer=False)
    return Bad("protocol", size, "neither host nor PN532 sends such a frame")


def _meaning(answer: bytes) -> tuple[Value, ...]:
    if answer[:1] != bytes([LIST_TARGETS + 1]) or answer[1:] == b"\x00":
        return ()
    found = _targets(answer[2:], answer[1]) if len(answer) > 1 else None
    if not found:
        return (Fault("length", "the list of cards does not fit its frame"),)
    values = [_identified(uid, sak) for uid, sak in found]
    if len(values) == 1:
        return (values[0],)
    cards = tuple(text for value in values for text in _named(value))
    return (Fault("two-cards", "two cards at once: hold one alone to the reader", cards),)


def _targets(block: bytes, count: int) -> list[tuple[bytes, int]] | None:
    """UID and SAK of `count` targets that fill `block` exactly; an ATS follows only some of the cards that have one."""
    # Tg  ATQA x2  SAK  IDLen  UID...  [ATSLen ATS...]     ATSLen counts itself
    if count == 0:
        return None if block else []
    if len(block) < 5 or block[4] not in UID_SIZES or len(block) < 5 + block[4]:
        return None
    sak, uid, rest = block[3], block[5 : 5 + block[4]], block[5 + block[4] :]
    tails = [rest]
    if sak & 0x20 and rest and 1 <= rest[0] <= len(rest):
        tails.insert(0, rest[rest[0] :])
    for tail in tails:
        others = _targets(tail, count - 1)
        if others is not None:
            return [(uid, sak), *others]
    return None


def _talker(said: bytes, values: tuple[Value, ...]) -> int | None:
    """The number of the one card in the field, if it may have a message: neither blank nor a mere memory card."""
    found = _targets(said[2:], said[1]) if len(values) == 1 else None
    kept = isinstance(values[0], Card) or values[0].kind == "random-uid" if values else False
    return said[2] if found and kept and len(found) == 1 and found[0][1] & ISO_DEP else None


def _identified(uid: bytes, sak: int) -> Value:
    value = _identity.card("iso14443a", uid)
    if len(uid) == 4 and (uid[0] == 0x08 or uid[0] == 0x80 and sak == 0x20):
        return Fault("random-uid", "a phone, passport or card with a random UID is no identity", _named(value))
    return value


def _named(value: Value) -> tuple[str, ...]:
    return (value.text,) if isinstance(value, Card) else value.cards


def _target_of(number: int, card: str) -> bytes:
    uid = _identity.raw_of(card)
    return bytes([number]) + UID_SIZES[len(uid)] + bytes([len(uid)]) + uid


PROTOCOL = Pn532
EXAMPLES = [
    ("0000ff0cf4d54b0101000408049eb36e66a900", [Card("iso14443a:9EB36E66")]),
    ("0000ff0ff1d54b010100440007047fa99a1f6680c800", [Card("iso14443a:047FA99A1F6680")]),
    ("0000ff12eed54b010100c4000a01020304050607080910d300", [Card("iso14443a:01020304050607080910")]),
    ("0000ff0cf4d54b010100042004083a5bc15800", [Fault("random-uid")]),
    ("0000ff04fbd5013435368b00", [Fault("length_checksum")]),
    ("0000ff01ff7f8100", [Fault("syntax")]),
    ("0000ff00ff00", []),
    ("0000ff03fdd54b00e000", []),
]
