"""Names of serial devices: which stay the same at the next start, which do not, and what to write instead.

udev makes the stable ones (systemd rules.d/60-serial.rules): /dev/serial/by-id/ names an adapter by maker, model and
serial number, /dev/serial/by-path/ names the socket it is in. CH340 and PL2303 have no serial number, so two of them
have one by-id name, and whichever came last gets it.
"""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

UNSTABLE = re.compile(r"/dev/tty(USB|ACM)\d+")  # numbered in the order of plugging
PIN_UARTS = {"/dev/ttyS0", "/dev/ttyAMA0"}  # which of them is on the pins differs between models
PINS = "/dev/serial0"
BY_ID, BY_PATH = "/dev/serial/by-id", "/dev/serial/by-path"
WRAPPED = re.compile(r"(?:spy|alt)://([^?]*)")
MOST_LINKS = 8  # a link to a link to ...: more than that is a ring
NOBODYS = {"char", "block", "fd", "stdin", "stdout", "stderr", "serial0", "serial1"}  # links in /dev that no rule made


@dataclass(frozen=True)
class Adapter:
    """A USB device as sysfs knows it; `place` tells two of the same kind apart."""

    maker: str
    model: str
    serial: str
    place: str

    def is_twin_of(self, other: "Adapter") -> bool:
        """Whether the two would get one by-id name."""
        mine, theirs = (self.maker, self.model, self.serial), (other.maker, other.model, other.serial)
        return mine == theirs and self.place != other.place


@dataclass(frozen=True)
class Devices:
    """The serial devices of the machine whose file system begins at `root`."""

    root: Path = Path("/")

    def problem(self, port: str) -> str | None:
        """What is wrong with a name, with the line to write instead; None when it will be the same tomorrow."""
        path = plain(port)
        bad = path and self._unstable_step(path)
        if not bad:
            return None
        if bad in PIN_UARTS:
            return f"{bad} is the GPIO pins on some Pis and Bluetooth on others; {self._pins_advice(bad)}"
        return f"{bad} is named by the order of plugging and may be another reader tomorrow; {self.advice(bad)}"

    def doubt(self, port: str) -> str | None:
        """What makes a by-id name doubtful now: a twin of its adapter, or no serial number to tell twins apart."""
        path = plain(port)
        tty = self.device(path) if path.startswith(BY_ID + "/") else None
        own = self.adapter(tty) if tty else None
        if tty is None or own is None:
            return None
        twins = [name for name, other in self.adapters() if own.is_twin_of(other)]
        if twins:
            return (
                f"{tty} and {', '.join(twins)} are equal adapters with one by-id name between them, which is now "
                f"the one's and after the next start perhaps the other's; name each by its socket:{self._lines()}"
            )
        if not own.serial:
            better = self._link_in(BY_PATH, tty)
            where = f"; {better} names its socket" if better else ""
            return f"this adapter has no serial number: a second one of its kind would take this name{where}"
        return None

    def advice(self, tty: str) -> str:
        """Which line to write for this very device."""
        if not self._at(tty).exists():
            return f"nothing is plugged in there now: plug the reader in and check again.{self._lines()}"
        link, reason = self._best(tty)
        return f'write: port = "{link}"  ({reason})' if link else f"udev has no stable name for it.{self._lines()}"

    def device(self, port: str) -> str | None:
        """The device that a path leads to, through all its links; None for what is not there, or no path."""
        path = self._at(plain(port)) if plain(port) else None
        return self._named(path.resolve()) if path is not None and path.exists() else None

    def adapter(self, tty: str) -> Adapter | None:
        """The USB device behind /dev/ttyUSB0; None for what is none."""
        place = (self.root / "sys/class/tty" / Path(tty).name / "device").resolve()
        for folder in (place, *place.parents):
            if (folder / "idVendor").exists():
                maker, model, serial = (_word(folder / name) for name in ("idVendor", "idProduct", "serial"))
                return Adapter(maker, model, serial, str(folder))
        return None

    def adapters(self) -> Iterator[tuple[str, Adapter]]:
        """All USB serial devices that are plugged in."""
        for path in sorted((self.root / "dev").glob("tty[UA][SC][BM]*")):
            adapter = self.adapter(f"/dev/{path.name}")
            if adapter is not None:
                yield f"/dev/{path.name}", adapter

    def _best(self, tty: str) -> tuple[str, str]:
        """A stable name of a device, and what it follows: the school's own, the adapter's, or the socket's."""
        own = self._own_link(tty)
        if own:
            return own, "this school's own udev name"
        by_id, by_path = self._link_in(BY_ID, tty), self._link_in(BY_PATH, tty)
        if by_id and self._is_unique(tty):
            return by_id, "follows the adapter, whichever socket it is in"
        if by_path:
            return by_path, "follows the USB socket: do not change sockets; this adapter cannot be told from its like"
        return by_id or "", "the only name it has"

    def _is_unique(self, tty: str) -> bool:
        own = self.adapter(tty)
        return own is not None and own.serial != "" and not any(own.is_twin_of(other) for _, other in self.adapters())

    def _own_link(self, tty: str) -> str:
        """A link that a udev rule of this school made: anywhere in /dev, or one folder down, but for the usual ones."""
        dev = self.root / "dev"
        for path in sorted([*dev.glob("*"), *dev.glob("*/*")]):
            ours = NOBODYS.isdisjoint(path.relative_to(dev).parts)
            if ours and path.is_symlink() and self.device(self._named(path)) == tty:
                return self._named(path)
        return ""

    def _link_in(self, folder: str, tty: str) -> str:
        names = sorted(self._at(folder).glob("*"))
        return next((self._named(name) for name in names if self.device(self._named(name)) == tty), "")

    def _lines(self) -> str:
        """Every adapter that is plugged in, with its line."""
        found = [f'\n    {tty}: port = "{self._best(tty)[0] or tty}"' for tty, _ in self.adapters()]
        return "".join(["\n    plugged in now:", *found]) if found else ""

    def _pins_advice(self, uart: str) -> str:
        pins = self.device(PINS)
        if pins in (None, uart):
            return f'write: port = "{PINS}"  (always the pins, once the UART is enabled)'
        return f'here the pins are {pins}: write: port = "{PINS}" for them, or give {uart} a name of its own by udev'

    def _unstable_step(self, path: str) -> str | None:
        """The unstable name that a path is, or that a link made by hand leads to; udev's own links are renewed."""
        for _ in range(MOST_LINKS):
            if UNSTABLE.fullmatch(path) or path in PIN_UARTS:
                return path
            at = self._at(path)
            if path.startswith("/dev/") or not at.is_symlink():
                return None
            path = os.path.normpath(Path(path).parent / os.readlink(at))
        return None

    def _at(self, path: str) -> Path:
        return self.root / path.lstrip("/")

    def _named(self, path: Path) -> str:
        root = self.root if path.is_relative_to(self.root) else self.root.resolve()
        return f"/{path.relative_to(root)}"


HERE = Devices()


def plain(port: str) -> str:
    """The device path in a port, without what pyserial wraps around it: spy:///dev/x?file=y; empty when it is none."""
    wrapped = WRAPPED.match(port)
    path = wrapped[1] if wrapped else port
    if "://" in path or not path:
        return ""
    return os.path.normpath(path if path.startswith("/") else f"/dev/{path}" if path.startswith("tty") else path)


def shared(ports: Sequence[str], devices: Devices) -> Iterator[tuple[int, int, str]]:
    """Pairs of ports, earlier and later by place, that are one device by two names; with that device."""
    found = [devices.device(port) for port in ports]
    for later, device in enumerate(found):
        for earlier in range(later):
            if device is not None and device == found[earlier] and ports[later] != ports[earlier]:
                yield earlier, later, device


def _word(file: Path) -> str:
    try:
        return file.read_text("utf-8", "replace").strip()
    except OSError:
        return ""
