"""The plug of the gate or of the server is pulled again and again: no green light was a lie, nothing is doubled.

Every tap whose light was green before a cut BEGAN must be in the server's table in the end. What a process says between
that moment and its own end counts for nothing, be it a light or a Stored: its machine has no power. (The kernel lets an
fsync return well that the cut has caught at work.) The same story with a mutant, or with fsync taken away from under
it, must lose taps, or this test would prove nothing.
"""

import contextlib
import random
import signal
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from glob import glob
from pathlib import Path

import pytest

from gateway.timebase import Timebase
from server import clock
from tests import services
from tests.durability import line
from tests.durability.conftest import School
from tests.durability.full import CUT_ROUNDS, CUT_STORIES, PATIENCE_S
from tests.durability.powerdisk import PowerDisk, obstacle
from tests.durability.proxy import Proxy
from tests.gateway.ends import until
from tests.server import gate

pytestmark = [pytest.mark.slow, pytest.mark.mosquitto]
PUPILS = 2000  # more than there are cards in a story

UNSETTLED = "SELECT count(*) FROM outbox_text WHERE state NOT IN ('sent', 'delivered')"
TOLD = "SELECT pupil_id FROM phone_text JOIN outbox_text ON outbox_text.id = text_id WHERE kind = 'in'"


@dataclass(frozen=True)
class Outcome:
    """What is left after a story.

    `late` is the number of lights between a cut's beginning and the gateway's end, `late_lost` that of their lost taps.
    """

    cuts: int
    promised: int
    late: int
    late_lost: int
    lost: int
    twice: list[str]
    untold: int
    told_twice: list[str]
    integrity: set[str]


class World:
    """A gate and a server, each on a disk of its own."""

    def __init__(self, gate_disk: PowerDisk, server_disk: PowerDisk, broker: services.Mosquitto, wire: Proxy) -> None:
        self.gate_disk, self.server_disk, self.broker, self.wire = gate_disk, server_disk, broker, wire
        self.database = server_disk.folder / "gatebell.db"
        self.cards = 0
        self.cuts: list[tuple[str, int]] = []  # whose, and when it began
        self.late: set[str] = set()

    def man(self, gate: line.Gate, *servers: line.Child) -> None:
        """Who works here."""
        self.gate, self.servers = gate, servers

    def start_server(self) -> None:
        """Broker, ingest and jobs."""
        self.broker.start()
        for child in self.servers:
            child.start()

    def stop_server(self) -> None:
        """All three at once."""
        for child in self.servers:
            child.kill()
        self.broker.stop(signal.SIGKILL)

    def tap(self, count: int) -> None:
        """New cards until so many more lights were green, and the server has most of them."""
        lit, stored = len(self.gate.greens) + count, line.kept(self.database).total() + count // 2
        until(lambda: self._touch() and len(self.gate.greens) >= lit, seconds=PATIENCE_S)
        until(lambda: line.kept(self.database).total() >= stored or self.gate.unsent() == 0, seconds=PATIENCE_S)

    def _touch(self) -> bool:
        """One card at most for every turn of `until`, so some dozens a second, while somebody reads them."""
        if self.gate.listens():
            self.cards += 1
            self.gate.cable.touch(line.card(self.cards))
        return True

    def cut_gate(self) -> None:
        """The Pi's plug, at a time when its spool alone has the newest taps."""
        self.wire.stall()
        lit = len(self.gate.greens) + 10
        until(lambda: self._touch() and len(self.gate.greens) >= lit, seconds=PATIENCE_S)
        self._pull()

    def cut_gate_at_rest(self) -> None:
        """The Pi's plug, when its spool has nothing left to send."""
        until(lambda: self.gate.unsent() == 0, seconds=PATIENCE_S)
        self._pull()

    def _pull(self) -> None:
        """What the wire still holds goes too: it must not bring the server a tap that the spool has lost."""
        began = self.gate_disk.cut()
        self.gate.kill()
        self.cuts.append(("gate", began))
        self.late |= {tap for tap, lit in self.gate.lit.items() if lit >= began}
        self.wire.cut()
        self.gate_disk.reboot()
        self.gate.start()
        self.wire.mend()

    def cut_server(self) -> None:
        """The plug of the machine that holds database and broker; nothing leaves it after."""
        self.wire.cut()
        self.cuts.append(("server", self.server_disk.cut()))
        self.stop_server()
        self.server_disk.reboot()
        self.start_server()
        self.wire.mend()

    def promised(self) -> set[str]:
        """The taps whose light was green, but for those lit when their machine's power was gone."""
        return set(self.gate.greens) - self.late

    def _lost(self, taps: set[str]) -> list[str]:
        """Which of them are not in the server's table now, and when they were lit, for who looks for the cause."""
        lost = taps - line.kept(self.database).keys()
        return [f"{tap}: {self._told(self.gate.lit[tap])}" for tap in sorted(lost)]

    def _told(self, lit: int) -> str:
        cuts = ", ".join(f"{(began - lit) / 1e6:+.3f} ms {whose}" for whose, began in self.cuts)
        return f"cuts seen from its light: {cuts}"

    def cut_server_at_rest(self) -> None:
        """The same as soon as the gate has written down that all is stored."""
        lit = len(self.gate.greens) + 5
        until(lambda: self._touch() and len(self.gate.greens) >= lit, seconds=PATIENCE_S)
        until(lambda: self.gate.unsent() == 0, seconds=PATIENCE_S)
        self.cut_server()

    def end(self) -> Outcome:
        """No more cards: the spool runs empty, then all is counted."""
        until(lambda: self.gate.unsent() == 0, seconds=PATIENCE_S)
        with contextlib.suppress(TimeoutError):  # what is missing then is counted
            until(lambda: line.ask(self.database, UNSETTLED)[0][0] == 0, seconds=PATIENCE_S)
        told = Counter(str(pupil) for (pupil,) in line.ask(self.database, TOLD))
        assert self.cards < PUPILS
        cards = Counter(str(card) for (card,) in line.ask(self.database, "SELECT card FROM tap"))
        files = (self.gate.spool, self.database)
        lost = self._lost(self.promised())
        print(*lost, sep="\n", end="")
        return Outcome(
            cuts=len(self.cuts),
            promised=len(self.promised()),
            late=len(self.late),
            late_lost=len(self._lost(self.late)),
            lost=len(lost),
            twice=[card for card, count in cards.items() if count > 1],
            untold=len(cards) - len(told),
            told_twice=[pupil for pupil, count in told.items() if count > 1],
            integrity={str(line.ask(file, "PRAGMA integrity_check")[0][0]) for file in files},
        )


@pytest.fixture
def world(tmp_path: Path, school: School, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Two disks, a broker, a school at seven o'clock."""
    monkeypatch.setattr(clock, "_base", Timebase(start=clock.to_millis(gate.SEVEN), begins=0, until=2**50))
    if not services.Mosquitto.available():
        services.missing("mosquitto")
    if reason := obstacle(tmp_path):
        pytest.skip(reason)
    with PowerDisk(tmp_path / "pi") as pi, PowerDisk(tmp_path / "server") as server:
        school(server.folder / "gatebell.db", pupils=PUPILS)
        server.sync()
        with services.Mosquitto(server.folder / "mosquitto") as broker, Proxy(broker.port) as wire:
            yield World(pi, server, broker, wire)


def story(world: World, seed: int, *, pi_mutant: str = "", server: str = "", preload: str = "") -> Outcome:
    """Cards and cuts by a seed; `pi_mutant` and `server` name mutants, `preload` a library that takes fsync away."""
    folder, chance, shown = world.gate_disk.folder.parent, random.Random(seed), line.seven_o_clock()
    pi = line.Gate(folder, world.gate_disk.folder, world.wire.url, mutant=pi_mutant, clock=shown)
    ingest, jobs = (
        line.server(role, folder, world.database, world.broker.url, mutant=mutant, clock=shown)
        for role, mutant in (("ingest", server), ("jobs", "normal" if server == "normal" else ""))
    )
    for child in (pi, ingest, jobs):
        child.environment |= {"LD_PRELOAD": preload} if preload else {}
    world.man(pi, ingest, jobs)
    kinds = [world.cut_gate, world.cut_gate_at_rest, world.cut_server, world.cut_server_at_rest]
    cuts = [cut for _ in range(CUT_ROUNDS) for cut in chance.sample(kinds, len(kinds))]
    with pi, ingest, jobs:
        try:
            for cut in cuts:
                world.tap(chance.randint(10, 40))
                cut()
            world.tap(10)
            return world.end()
        except TimeoutError as late:
            raise AssertionError(f"seed {seed}: {late}\n{pi.tail()}\n{ingest.tail()}\n{jobs.tail()}") from late


@pytest.mark.parametrize("seed", range(1, CUT_STORIES + 1))
def test_what_was_green_before_a_power_cut_is_at_the_server_once(world: World, seed: int) -> None:
    outcome = story(world, seed)
    print(f"seed {seed}: {outcome}")
    assert outcome.promised >= 40
    assert (outcome.lost, outcome.twice, outcome.integrity) == (0, [], {"ok"}), f"seed {seed}: {outcome}"
    assert (outcome.untold, outcome.told_twice) == (0, []), f"seed {seed}: {outcome}"


@pytest.mark.parametrize(
    ("pi", "server"),
    [
        pytest.param("normal", "", id="the-spool-does-not-wait-for-the-disk"),
        pytest.param("forgets", "normal", id="the-server-does-not-wait-for-the-disk"),
        pytest.param("forgets", "answers-first", id="stored-is-said-before-the-commit"),
        pytest.param("reuses", "by-number", id="numbers-are-used-again-and-taken-for-the-tap"),
    ],
)
def test_a_mutant_is_found_out(world: World, pi: str, server: str) -> None:
    assert story(world, 1, pi_mutant=pi, server=server).lost > 0


def test_numbers_used_again_lose_nothing_while_the_id_is_the_tap(world: World) -> None:
    outcome = story(world, 1, pi_mutant="reuses")
    assert (outcome.lost, outcome.twice) == (0, [])


def test_without_fsync_the_same_story_loses_taps(world: World) -> None:
    libraries = glob("/usr/lib/*/libeatmydata.so*")
    if not libraries:
        pytest.skip("libeatmydata is not installed (package eatmydata)")
    assert story(world, 1, pi_mutant="forgets", preload=libraries[0]).lost > 0
