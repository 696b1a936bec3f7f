"""Minutes in which everything is killed and cut off at random: each green light is one tap, each family has one text.

`GATEBELL_FULL=yes` makes it ten minutes, `GATEBELL_CHAOS_SECONDS` as long as wanted; a failure names its seed, and
`GATEBELL_CHAOS_SEED` does the same again.
"""

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from gateway.timebase import Timebase
from server import clock
from tests import services
from tests.durability import line
from tests.durability.conftest import School
from tests.durability.full import CHAOS_S, LEAST_KILLS, LEAST_TAPS, PATIENCE_S, TAPS_PER_SECOND
from tests.durability.proxy import Proxy
from tests.gateway.ends import until
from tests.server import gate

pytestmark = [pytest.mark.slow, pytest.mark.mosquitto]
SEED = int(os.environ.get("GATEBELL_CHAOS_SEED", "0")) or random.SystemRandom().randrange(1, 10**6)
PUPILS = int(CHAOS_S * TAPS_PER_SECOND)
AGAIN_S = 8.0  # a pupil whose light stays dark holds the card there again
SETTLED = "SELECT count(*) FROM outbox_text WHERE state IN ('sent', 'delivered')"


class Pupils:
    """A crowd at one reader: who got no green light comes back."""

    def __init__(self, gate: line.Gate, chance: random.Random) -> None:
        self.gate = gate
        self.waiting = [line.card(n) for n in range(1, PUPILS + 1)]  # card 0 is a phantom
        self.touches: Counter[str] = Counter()
        self.held: dict[str, float] = {}
        chance.shuffle(self.waiting)

    def turn(self) -> None:
        """One card."""
        lit, now = set(self.gate.greens.values()), time.monotonic()
        dark = [card for card, at in self.held.items() if card not in lit and now - at > AGAIN_S]
        if dark or self.waiting:
            card = dark[0] if dark else self.waiting.pop()
            self.touches[card] += 1
            self.held[card] = now
            self.gate.cable.touch(card)

    def are_in(self) -> bool:
        """Whether everybody has seen green."""
        return not self.waiting and self.held.keys() <= set(self.gate.greens.values())


class World:
    """The whole line, and what can happen to it."""

    def __init__(self, folder: Path, database: Path, after: ExitStack) -> None:
        shown = line.seven_o_clock()
        self.database = database
        self.broker = after.enter_context(services.Mosquitto(folder / "mosquitto"))
        self.wires = [after.enter_context(Proxy(self.broker.port)) for _ in range(2)]
        self.gate = after.enter_context(line.Gate(folder, folder / "pi", self.wires[0].url, clock=shown))
        self.ingest = after.enter_context(line.server("ingest", folder, database, self.wires[1].url, clock=shown))
        self.jobs = after.enter_context(line.server("jobs", folder, database, self.wires[1].url, clock=shown))
        self.web = after.enter_context(
            line.server("web", folder, database, self.wires[1].url, clock=shown, port=services.free_port())
        )
        self.faults: Counter[str] = Counter()

    @property
    def children(self) -> tuple[line.Child, ...]:
        """All that can be killed, but for the broker."""
        return self.gate, self.ingest, self.jobs, self.web

    @property
    def kills(self) -> int:
        """How many kill -9 there were."""
        return sum(count for name, count in self.faults.items() if name.startswith("kill"))

    def fault(self, chance: random.Random) -> tuple[str, Callable[[], None]]:
        """Do something bad; the answer is its name and what ends it."""
        child = chance.choice(self.children)
        wire = chance.choice(self.wires)
        name, act, end = chance.choice(
            [
                (f"kill {child.log.stem}", child.kill, child.start),
                (f"kill {child.log.stem}", child.kill, child.start),
                ("kill broker", lambda: self.broker.stop(signal.SIGKILL), self.broker.start),
                ("cut", wire.cut, wire.mend),
                ("stall", wire.stall, wire.mend),
            ]
        )
        self.faults[name] += 1
        act()
        return name, end

    def tails(self) -> str:
        """What the children said last."""
        return "\n".join(child.tail() for child in self.children)


@pytest.fixture
def world(tmp_path: Path, school: School, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A school of PUPILS at seven o'clock."""
    if not services.Mosquitto.available():
        services.missing("mosquitto")
    monkeypatch.setattr(clock, "_base", Timebase(start=clock.to_millis(gate.SEVEN), begins=0, until=2**50))
    with ExitStack() as after:
        yield World(tmp_path, school(tmp_path / "gatebell.db", pupils=PUPILS + 1), after)


def morning(world: World, pupils: Pupils, chance: random.Random) -> None:
    """Cards at a steady pace; a fault every second or two, which lasts up to two seconds."""
    until(world.gate.listens, seconds=PATIENCE_S)
    ends, mend = time.monotonic() + CHAOS_S, None
    change = time.monotonic() + 1
    while time.monotonic() < ends:
        pupils.turn()
        time.sleep(1 / TAPS_PER_SECOND)
        if time.monotonic() > change:
            if mend is None:
                _, mend = world.fault(chance)
                change = time.monotonic() + chance.uniform(0, 2)
            else:
                mend()
                mend, change = None, time.monotonic() + chance.uniform(0.3, 2)
    if mend is not None:
        mend()


def calm(world: World, pupils: Pupils) -> None:
    """No more faults: the last come in, the spool runs empty, the texts are settled, and a resend's time passes."""
    end = time.monotonic() + 4 * PATIENCE_S
    while not pupils.are_in():
        assert time.monotonic() < end, "not everybody has seen green"
        pupils.turn()
        time.sleep(1 / TAPS_PER_SECOND)
    until(lambda: world.gate.unsent() == 0, seconds=2 * PATIENCE_S)
    until(lambda: line.ask(world.database, SETTLED)[0][0] >= PUPILS, seconds=2 * PATIENCE_S)
    time.sleep(5)


def test_every_green_light_is_one_tap_and_every_family_has_one_text(world: World) -> None:
    chance = random.Random(SEED)
    print(f"GATEBELL_CHAOS_SEED={SEED}: {PUPILS} pupils in {CHAOS_S:g} s")
    pupils = Pupils(world.gate, chance)
    try:
        morning(world, pupils, chance)
        calm(world, pupils)
    except (AssertionError, TimeoutError) as late:
        raise AssertionError(f"seed {SEED}, {dict(world.faults)}: {late}\n{world.tails()}") from late
    account(world, pupils)
    greens = len(world.gate.greens)
    print(f"{greens} green lights, {world.kills} kills of {world.faults.total()} faults: {dict(world.faults)}")
    assert greens >= LEAST_TAPS
    assert world.kills >= LEAST_KILLS


def account(world: World, pupils: Pupils) -> None:
    """Compare lights, rows and texts."""
    what = f"seed {SEED}, {dict(world.faults)}"
    kept = line.kept(world.database)
    assert sorted(set(world.gate.greens) - kept.keys()) == [], f"green, and not in the database: {what}"
    assert [tap for tap, count in kept.items() if count > 1] == [], what
    rows = Counter(str(card) for (card,) in line.ask(world.database, "SELECT card FROM tap"))
    assert rows.keys() == pupils.touches.keys(), what
    assert [card for card in rows if rows[card] > pupils.touches[card]] == [], f"more taps than touches: {what}"
    texts = Counter(
        (pupil, kind)
        for pupil, kind in line.ask(
            world.database, "SELECT pupil_id, kind FROM phone_text JOIN outbox_text ON outbox_text.id = text_id"
        )
    )
    assert [each for each, count in texts.items() if count > 1] == [], f"texts sent twice: {what}"
    assert sum(kind == "in" for _, kind in texts) == PUPILS == len(texts), what
