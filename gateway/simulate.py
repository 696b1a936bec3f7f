"""`gatebell-gateway simulate`: readers on real pseudo-terminals, fed with the real frames of a script's cards.

A script is JSON lines. First the readers, `{"reader": "east-in", "profile": "rdm6300"}`; then in any order
`{"at": <UTC ms>, "reader": "east-in", "card": "em4100:67003B51C6"}`, or `"noise": "<hex>"`, or `"unplug": <seconds>`
in place of the card. A card with a `"url"` is an NTAG 424 DNA that writes this of itself, with `{counter}` growing.
Times are shown times (GATEBELL_CLOCK): a script of a morning runs as fast as the demo does. What is past when it starts
happens as soon as a gateway opens the port.
"""

import argparse
import contextlib
import os
import pty
import select
import signal
import sys
import time
import tty
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import msgspec

from gateway import readers, timebase, wire
from gateway.simdevices import Device, device

TURN = 0.002  # seconds between two looks while a line has something to do
SETTLE = 0.2  # a port that has just been opened throws away what came before


class ScriptError(ValueError):
    """A line of the script cannot be used; the text names the line and what is wrong with it."""


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A reader that the script uses."""

    reader: wire.Name
    profile: str


class Event(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What happens at a reader at a shown time: exactly one of card, noise and unplug."""

    at: wire.Millis
    reader: wire.Name
    card: wire.CardText | None = None
    noise: str | None = None
    unplug: float | None = None
    url: wire.Proof | None = None


class Script(msgspec.Struct, frozen=True):
    """Readers by name with their profile, and all events in the order of time."""

    readers: dict[str, str]
    events: list[Event]


def read(path: Path) -> Script:
    """Read a script. Raises ScriptError naming the line."""
    known: dict[str, str] = {}
    events: list[Event] = []
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        try:
            if b'"profile"' in line:
                header = msgspec.json.decode(line, type=Header)
                readers.load(header.profile)
                known[header.reader] = header.profile
            elif line.strip():
                events.append(_event(line, known))
        except (msgspec.DecodeError, ValueError) as error:
            raise ScriptError(f"{path}:{number}: {error}") from None
    return Script(known, sorted(events, key=lambda event: event.at))


def _event(line: bytes, known: dict[str, str]) -> Event:
    event = msgspec.json.decode(line, type=Event)
    if event.reader not in known:
        raise ValueError(f"reader {event.reader!r} has no header line before this one")
    if sum(what is not None for what in (event.card, event.noise, event.unplug)) != 1:
        raise ValueError("exactly one of card, noise and unplug is wanted")
    if event.url is not None and event.card is None:
        raise ValueError("a url belongs to a card")
    bytes.fromhex(event.noise or "")
    return event


class Line:
    """One reader's cable: a pseudo-terminal whose slave end is the gateway's port, by a stable name."""

    def __init__(self, link: Path, module: Device, base: timebase.Timebase) -> None:
        self.link = link
        self.module = module
        self.base = base
        self.waiting: deque[Event] = deque()
        self.shown = 0  # cards that were held to the reader
        self._master: int | None = None
        self._tty = ""
        self._out = b""
        self._opened: float | None = None
        self._plug_again = 0.0

    def plug(self) -> None:
        """Make the pseudo-terminal, raw, and its name."""
        self._master, slave = pty.openpty()
        tty.setraw(slave)
        os.set_blocking(self._master, False)
        self._tty = os.ttyname(slave)
        os.close(slave)  # from here on the master hears whether a gateway holds the port
        self._name()

    def _name(self) -> None:
        self.link.parent.mkdir(parents=True, exist_ok=True)
        self.link.unlink(missing_ok=True)
        self.link.symlink_to(self._tty)

    def unplug(self) -> None:
        """Pull the cable: the gateway's port is gone, and so is its name."""
        if self._master is not None:
            os.close(self._master)
        self._master, self._out, self._opened = None, b"", None
        self.link.unlink(missing_ok=True)
        self.module.forget()

    def turn(self, now: float) -> bool:
        """Do what is due; True when there is more to do soon."""
        if self._master is None:
            if now < self._plug_again:
                return False
            self.plug()
        if not self._listened_to(now):
            if not self.link.is_symlink():  # somebody took it away: the next gateway would never find the port
                self._name()
            return False
        self._hear(now)
        self._out += self.module.speak(now)
        if self.waiting and not self._out and not self.module.busy(now):
            self._begin(self.waiting.popleft(), now)
        self._write()
        return bool(self.waiting or self._out) or self.module.busy(now)

    def _begin(self, event: Event, now: float) -> None:
        if event.unplug is not None:
            self.unplug()
            self._plug_again = now + event.unplug / self.base.speed
        elif event.noise is not None:
            self._out += bytes.fromhex(event.noise)
        elif event.card is not None:
            self.shown += 1
            self.module.present(event.card, now, event.url or "")

    def _listened_to(self, now: float) -> bool:
        assert self._master is not None
        poller = select.poll()
        poller.register(self._master, select.POLLIN)
        if any(mask & select.POLLHUP for _, mask in poller.poll(0)):
            self._opened, self._out = None, b""
            self.module.forget()
            return False
        if self._opened is None:
            self._opened = now
        return now >= self._opened + SETTLE

    def _hear(self, now: float) -> None:
        with contextlib.suppress(OSError):  # nothing there, or the port was closed this very moment
            self.module.hear(os.read(self._master or 0, 4096), now)

    def _write(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._master is not None and self._out:
                self._out = self._out[os.write(self._master, self._out) :]


class Simulation:
    """All lines of a script and the time at which each event goes to its line."""

    def __init__(self, script: Script, folder: Path, base: timebase.Timebase) -> None:
        self.base = base
        self.events = deque(script.events)
        self.lines = {
            name: Line(folder / name, device(profile, readers.load(profile), base.speed), base)
            for name, profile in script.readers.items()
        }

    def turn(self) -> bool:
        """Hand out what is due and let every line do its part; True when there is more to do soon."""
        now_ms = self.base.now_ms()
        while self.events and self.events[0].at <= now_ms:
            event = self.events.popleft()
            self.lines[event.reader].waiting.append(event)
        now = time.monotonic()
        return any([line.turn(now) for line in self.lines.values()])

    @property
    def over(self) -> bool:
        """Whether every event has reached its line."""
        return not self.events and not any(line.waiting for line in self.lines.values())

    @contextlib.contextmanager
    def plugged(self) -> Iterator[None]:
        """All lines exist inside, none after."""
        try:
            for line in self.lines.values():
                line.plug()
            yield
        finally:
            for line in self.lines.values():
                line.unplug()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `gatebell-gateway simulate`."""
    parser.description = __doc__
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--script", type=Path, required=True, help="what happens: a file of JSON lines")
    parser.add_argument("--folder", type=Path, default=Path("ports"), help="where the readers' ports get their names")


def run(args: argparse.Namespace) -> int:
    """Play the script, then keep the lines plugged until SIGTERM or Ctrl-C."""
    try:
        simulation = Simulation(read(args.script), args.folder, timebase.from_environment())
    except (ScriptError, OSError) as error:
        print(f"gatebell-gateway simulate: {error}", file=sys.stderr)
        return 1
    stopped: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda received, _frame: stopped.append(received))
    told = False
    with simulation.plugged():
        print(f"{len(simulation.lines)} readers in {args.folder}, {len(simulation.events)} events", flush=True)
        while not stopped:
            time.sleep(TURN if simulation.turn() else 10 * TURN)
            if simulation.over and not told:
                told = True
                print("the script is over; the readers stay plugged in until Ctrl-C", flush=True)
    return 0
