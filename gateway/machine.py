"""What makes this machine this one and does not lie on its disk: what the seal's key is made from."""

import fcntl
import logging
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger("gateway.machine")

SERIAL = Path("proc/device-tree/serial-number")  # of a Raspberry Pi; anybody may read it
PRODUCT = Path("sys/class/dmi/id/product_uuid")  # of a PC; root may read it
MAILBOX = Path("dev/vcio")  # to a Pi's firmware; group video
NOT_SECRET = b"this machine has no name of its own"

# The firmware's property interface: GET_DEVICE_PRIVATE_KEY for 8 rows of 32 bits from row 0, as Raspberry Pi's
# rpi-otp-private-key asks it: size, request, tag, room for the answer, size of the question, first row, rows.
_PROPERTY = 3 << 30 | struct.calcsize("P") << 16 | 100 << 8  # _IOWR(100, 0, char *)
_ASK_KEY = struct.pack("<16I", 64, 0, 0x00030081, 40, 40, 0, 8, *[0] * 9)
_ANSWERED = 0x80000000


@dataclass(frozen=True)
class Machine:
    """An identity and where it was found; `is_secret` is false when whoever has the disk has it too."""

    identity: bytes
    source: str
    is_secret: bool = True


def identify(key_file: str = "", root: Path = Path("/")) -> Machine:
    """The best that this machine has: a key file, the Pi's own key, its serial number, a PC's product id.

    A Pi's serial number has 32 unknown bits: enough against a finder, not against somebody who pays for a search
    (scrypt makes it some core-years). A key in the Pi's OTP memory or on another medium has no such end.
    """
    for source, find in _sources(key_file, root):
        try:
            found = find()
        except OSError as error:
            found = b""
            if source == key_file:
                log.error("machine_key_file %s cannot be read: %s; the machine's own number is used", key_file, error)
        if found.strip(b"\0 \n"):
            return Machine(found, source)
    return Machine(NOT_SECRET, "nothing", is_secret=False)


def _sources(key_file: str, root: Path) -> list[tuple[str, Callable[[], bytes]]]:
    own: list[tuple[str, Callable[[], bytes]]] = [
        ("its OTP key", lambda: _otp_key(root / MAILBOX)),
        ("its serial number", (root / SERIAL).read_bytes),
        ("its product id", (root / PRODUCT).read_bytes),
    ]
    return [(key_file, Path(key_file).read_bytes), *own] if key_file else own


def _otp_key(mailbox: Path) -> bytes:
    """The device private key of a Pi 4 or 5; zeros when none was ever written. Raises OSError."""
    message = bytearray(_ASK_KEY)
    with mailbox.open("rb", buffering=0) as line:
        fcntl.ioctl(line, _PROPERTY, message)
    answer = struct.unpack("<16I", message)
    return struct.pack("<8I", *answer[7:15]) if answer[1] == _ANSWERED else b""
