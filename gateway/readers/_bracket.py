"""The M100 family of UHF modules: `BB type command length parameters sum 7E`; some clones bracket with AA and DD."""

from typing import ClassVar

from gateway.readers import _checks, _identity
from gateway.readers._layout import Layout, ends_with_sum
from gateway.readers.base import Frame, Reader, Step, Value

HOST, REPLY, NOTICE = 0, 1, 2
TAG, POLL_MANY, STOP, REGION, POWER = 0x22, 0x27, 0x28, 0x07, 0xB6
LONGEST = 7 + 255
REGIONS = {"china-900": 1, "us": 2, "europe": 3, "china-800": 4, "korea": 6}


def _size(window: bytes) -> int:
    return 7 + window[4] if window[1] <= NOTICE and window[3] == 0 else 0


def layout(start: int, end: int) -> Layout:
    """The frame between two bracket bytes."""
    return Layout(bytes([start]), 5, _size, ends_with_sum(1), bytes([end]))


def framed(layout: Layout, *, kind: int, code: int, parameters: bytes = b"") -> bytes:
    """A frame with its sum and brackets."""
    body = bytes([kind, code]) + len(parameters).to_bytes(2) + parameters
    return layout.header + body + bytes([_checks.total(body)]) + layout.tail


def take(layout: Layout, window: bytes) -> Step:
    # start  type  command  PL x2  RSSI PC x2 EPC... CRC x2  sum  end
    frame = layout.take(window)
    if not isinstance(frame, bytes):
        return frame
    tag = frame[1] in (REPLY, NOTICE) and frame[2] == TAG and frame[4] > 1
    return Frame(len(frame), (_tag(frame[5:-2]),) if tag else ())


def _tag(report: bytes) -> Value:
    return _identity.heard(_identity.gen2(report[1:]), rssi=_identity.signed(report[:1]))


def notice(layout: Layout, card: str) -> bytes:
    """What the module sends for a tag at -60 dBm."""
    return framed(layout, kind=NOTICE, code=TAG, parameters=b"\xc4" + _identity.memory_of(card))


def script(layout: Layout, *, region: str, power_dbm: float) -> bytes:
    """Stop, region, power, then 65,535 polls. Raises ValueError for a region or power that is not lawful anywhere."""
    if region not in REGIONS:
        raise ValueError(f"region {region!r} is not one of {', '.join(REGIONS)}")
    if not 5 <= power_dbm <= 30:
        raise ValueError(f"power_dbm is 5 to 30, not {power_dbm!r}")
    setup = [(STOP, b""), (REGION, bytes([REGIONS[region]])), (POWER, round(power_dbm * 100).to_bytes(2))]
    frames = [framed(layout, kind=HOST, code=code, parameters=parameters) for code, parameters in setup]
    return b"".join([*frames, many(layout)])


def many(layout: Layout) -> bytes:
    """Poll 65,535 times."""
    return framed(layout, kind=HOST, code=POLL_MANY, parameters=b"\x22\xff\xff")


class Bracketed(Reader):
    """A module of the family; its file gives the `layout`. `region` is the law of the country."""

    baud = 115200
    technology = "epc"
    tells_rssi = True
    interval = 2.0
    longest: ClassVar[int] = LONGEST
    layout: ClassVar[Layout]

    def __init__(self, region: str = "china-900", power_dbm: float = 20.0) -> None:
        super().__init__()
        self._script = script(self.layout, region=region, power_dbm=power_dbm)

    def take(self, window: bytes) -> Step:
        return take(self.layout, window)

    def start(self) -> bytes:
        return self._script

    def poll(self) -> bytes:
        return self.nudge(many(self.layout))

    @classmethod
    def frame(cls, card: str) -> bytes:
        return notice(cls.layout, card)
