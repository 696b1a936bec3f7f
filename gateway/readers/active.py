"""Any reader of 2.4 GHz active tags (校讯通 and the like) whose frame can be described: all of it is options.

No frame of a 校讯通 terminal is published; the vendors' readers differ only in header, length, check and where the
number stands (compare active_0x40.py, active_bioenable.py, active_tzone.py, which are written in the same words).
Without options the frame is that of active-0x40.
"""

from typing import ClassVar

from gateway.readers import _active
from gateway.readers.base import Card, Fault, Reader, Step


class Active(Reader):
    """The options are those of `_active.Shape`, header and tail in hex."""

    technology = "active"
    longest: ClassVar[int] = 255 + 64

    def __init__(
        self,
        header: str = "40",
        size: int = 7,
        check: str = "xor:0",
        id: str = "2:6",
        order: str = "msb",
        tail: str = "",
        length_at: int = -1,
        low: str = "",
    ) -> None:
        super().__init__()
        self._shape = _active.shape(
            header, size=size, check=check, id=id, order=order, tail=tail, length_at=length_at, low=low
        )

    def take(self, window: bytes) -> Step:
        frame = self._shape.layout.take(window)
        return self._shape.meaning(frame) if isinstance(frame, bytes) else frame

    @classmethod
    def frame(cls, card: str) -> bytes:
        return cls()._shape.framed(card)


PROTOCOL = Active
EXAMPLES = [
    ("40000216032374", [Card("active:02160323")]),
    ("40000216032375", [Fault("checksum")]),
]
