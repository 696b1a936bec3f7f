"""Readers' cables on real pseudo-terminals: each line holds its cards to a simulated module and suffers its faults."""

import contextlib
import os
import pty
import select
import time
import tty
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from gateway import readers, timebase
from gateway.simdevices import DEVICES, Device, device, made
from gateway.simfaults import Expected, Faults, Kind, expected
from gateway.simledger import Happened, Ledger, Shown
from gateway.simscript import Event, Script

SETTLE = 0.2  # a port that has just been opened throws away what came before
SAME_CARD_S = 8.0  # a card that comes again so soon is the same touch, or a new one: the gate's settings decide


@dataclass
class Held:
    """Cards at the reader now, and what was wrong while they were there."""

    at: int
    cards: list[str]
    kinds: frozenset[Kind]
    repeated: bool
    changed: bool = field(default=False)  # a fault began or ended meanwhile


class Line:
    """One reader's cable: a pseudo-terminal whose slave end is the gateway's port, by a stable name."""

    def __init__(self, link: Path, profile: str, *, base: timebase.Timebase, ledger: Ledger, rng: Random) -> None:
        self.link = link
        self.profile = profile
        self.protocol = readers.load(profile)
        self.module: Device = device(profile, self.protocol, base.speed)
        self.faults = Faults(self.protocol, rng)
        self.base = base
        self.ledger = ledger
        self.waiting: deque[Event] = deque()
        self.shown = 0  # cards that were held to the reader
        self._rng = rng
        self._held: Held | None = None
        self._last = ""  # the card that lies on the reader when one is stuck there
        self._seen: dict[str, float] = {}
        self._master: int | None = None
        self._tty = ""
        self._out = b""
        self._opened: float | None = None
        self._plug_again = 0.0

    @property
    def state(self) -> str:
        """For a trainer."""
        if self._master is None:
            return "unplugged"
        wrong = ", ".join(sorted(self.faults.active(time.monotonic())))
        return ("nobody listens" if self._opened is None else "a gateway listens") + (f": {wrong}" if wrong else "")

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
        self._master = None
        self.link.unlink(missing_ok=True)
        self._cut()

    def _cut(self) -> None:
        """Nobody hears us: what was on its way is lost, and a card that was being read may or may not have been."""
        self._out, self._opened = b"", None
        self.module.forget()
        if self._held is not None:
            self._held.changed = True
            self._note_held()

    # what a trainer or a script does to it

    def suffer(self, kind: Kind, seconds: float, now: float) -> None:
        """Begin a fault. Seconds are those of the shown time."""
        until = now + seconds / self.base.speed
        self.ledger.write(Happened(at=self.base.now_ms(), reader=self.link.name, fault=kind, seconds=seconds))
        if kind is Kind.UNPLUG:
            self.unplug()
            self._plug_again = until
        else:
            self.faults.begin(kind, until)

    def heal(self, now: float) -> None:
        """End every fault; the cable is plugged in."""
        self.faults.heal()
        self._plug_again = now

    # its life

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
        self._out += self.faults.bend(self.module.speak(now), now) + self.faults.murmur(now)
        self._watch_held(now)
        if not self._out and not self.module.busy(now):
            self._next(now)
        self._write(now)
        return bool(self.waiting or self._out or self.faults.active(now)) or self.module.busy(now)

    def _next(self, now: float) -> None:
        self._note_held()
        if Kind.STUCK in self.faults.active(now):
            self._lie(now)
        elif self.waiting:
            self._begin(self.waiting.popleft(), now)

    def _lie(self, now: float) -> None:
        """The last card, or any, is still there: the module says it again."""
        if self._last:
            self.module.present(self._last, now)
        else:
            self._show(made(self._rng, self.protocol.technology), now)
        self._seen[self._last] = now

    def _begin(self, event: Event, now: float) -> None:
        trouble = event.trouble()
        if trouble is not None:
            self.suffer(*trouble, now)
        elif event.noise is not None:
            self._out += bytes.fromhex(event.noise)
        elif event.card is not None:
            self._show(event.card, now, event.url or "")

    def _show(self, card: str, now: float, url: str = "") -> None:
        kinds = self.faults.active(now)
        cards = [card, self._companion()] if Kind.TWO in kinds else [card]
        again = any(now - self._seen.get(one, -SAME_CARD_S) < SAME_CARD_S for one in cards)
        self._held = Held(self.base.now_ms(), cards, kinds, again)
        self._seen.update(dict.fromkeys(cards, now))
        self._last = card
        self.shown += len(cards)
        self.module.present(card, now, url)
        for other in cards[1:]:
            self.module.join(other)

    def _companion(self) -> str:
        """The next pupil's card, or one that nobody has."""
        if self.waiting and self.waiting[0].card:
            return self.waiting.popleft().card or ""
        return made(self._rng, self.protocol.technology)

    def _watch_held(self, now: float) -> None:
        if self._held is not None and self.faults.active(now) != self._held.kinds:
            self._held.changed = True

    def _note_held(self) -> None:
        """The cards have gone: into the ledger with them."""
        held, self._held = self._held, None
        if held is None:
            return
        tap = expected(self.protocol, held.kinds, asked=self.profile in DEVICES)
        if held.changed or (held.repeated and tap is Expected.YES):
            tap = Expected.ANY
        for card in held.cards:
            self.ledger.write(Shown(at=held.at, reader=self.link.name, card=card, tap=tap))

    def _listened_to(self, now: float) -> bool:
        assert self._master is not None
        poller = select.poll()
        poller.register(self._master, select.POLLIN)
        if any(mask & select.POLLHUP for _, mask in poller.poll(0)):
            self._cut()
            return False
        if self._opened is None:
            self._opened = now
        return now >= self._opened + SETTLE

    def _hear(self, now: float) -> None:
        with contextlib.suppress(OSError):  # nothing there, or the port was closed this very moment
            self.module.hear(os.read(self._master or 0, 4096), now)

    def _write(self, now: float) -> None:
        room = self.faults.room(now)
        going = self._out if room is None else self._out[:room]
        with contextlib.suppress(BlockingIOError):
            while self._master is not None and going:
                sent = os.write(self._master, going)
                going, self._out = going[sent:], self._out[sent:]


class Simulation:
    """All lines of a script and the time at which each event goes to its line."""

    def __init__(
        self, script: Script, folder: Path, base: timebase.Timebase, *, ledger: Ledger | None = None, seed: int = 1
    ) -> None:
        self.base = base
        self.events = deque(script.events)
        self.lines = {
            name: Line(folder / name, profile, base=base, ledger=ledger or Ledger(), rng=Random(f"{seed} {name}"))
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
