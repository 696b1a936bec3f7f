"""Our gateway beside Node-RED and a 40-line script: the same frames, the same broker, interleaved in one run.

`python bench/gateway_vs_peers.py` prints one JSON object and takes about eight minutes; exit code 1 when a limit is
broken. It installs the peers once into --cache (about 300 MB): Node-RED and its Node from npm, and a venv with
requirements/gateway.txt in which our gateway and the script run as on a Pi. It needs mosquitto, npm, gcc.

Each round starts every peer alone: time from its start to the first tap at a subscriber, 50 frames/s, memory, idle
CPU, a flood over four lines, a broker's return. Medians of the rounds are compared with the limits. Ours writes each
tap with fsync before it publishes; the others keep nothing. Then, once for each: what is kept of 200 taps through an
outage of the broker, the same with a kill -9 of the gateway, and a server that dies before it stored. All of ours is
measured again on a slow disk: fsync and fdatasync take --flush-ms longer, by an LD_PRELOAD shim (slow_flush.c).
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from peers import PEERS, CannotInstall, Peer, install, slow_disk  # noqa: E402
from rig import LINES, Broker, Ear, Lines, TooSlow, rig, until  # noqa: E402

Numbers = dict[str, float]
WARM_UP = 50
PACED, PACE_S = 500, 0.02
IDLE_S = 8.0
SHORT_OUTAGE_S = 3.0
OUTAGE_TAPS = 200
KEPT_QUIET_S = 15.0  # nothing new for so long: what has not come is lost
CPU_LIMIT, COLD_LIMIT_S, FLOOD_LIMIT, RETURN_LIMIT_S = 0.3, 0.5, 8_000, 1.0
RSS_OF_SCRIPT, RSS_OF_NODE_RED = 1.25, 0.25


@dataclass(frozen=True)
class Plan:
    """What was asked for on the command line."""

    cache: Path
    folder: Path
    rounds: int
    flood: int
    outage_s: float
    flush_ms: int


class Session:
    """One peer at work between the lines and the broker."""

    def __init__(self, peer: Peer, folder: Path, stand: tuple[Broker, Ear, Lines]) -> None:
        self.peer, self.folder = peer, folder
        self.broker, self.ear, self.lines = stand
        self.process: subprocess.Popen[bytes] | None = None

    def heard(self, cards: Sequence[str]) -> int:
        """How many of these the subscriber has."""
        return sum(card in self.ear.arrived for card in cards)

    def start(self) -> float:
        """Start it; seconds until a first tap is at the subscriber, cards being shown all the time."""
        begins = time.monotonic()
        self.process = self.peer.start(self.folder)
        first = self._greet(0)
        for line in range(1, LINES):
            self._greet(line)
        return first - begins

    def _greet(self, line: int) -> float:
        shown: list[str] = []

        def comes() -> bool:
            shown.extend(self.lines.cards(1))
            self.lines.show(line, shown[-1:])
            time.sleep(0.01)
            return self.heard(shown) > 0

        until(comes, f"{self.peer.name} reads line {line}")
        return min(self.ear.arrived[card] for card in shown if card in self.ear.arrived)

    def kill(self) -> None:
        """As a pulled plug does to a process."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def paced_ms(self, count: int) -> tuple[list[float], int]:
        """From just before a frame is written until its tap is at the subscriber, sorted; and how many never were."""
        cards, shown, begins = self.lines.cards(count), {}, time.monotonic()
        for number, card in enumerate(cards):
            time.sleep(max(0.0, begins + number * PACE_S - time.monotonic()))
            shown[card] = time.monotonic()
            self.lines.show(number, [card])
        kept = self.kept(cards)
        took = [(self.ear.arrived[card] - shown[card]) * 1000 for card in cards if card in self.ear.arrived]
        return sorted(took), count - kept

    def flood_per_s(self, count: int) -> tuple[float, int]:
        """Frames a second over four lines until the last tap is heard, and how many never were."""
        cards, begins = self.lines.cards(count), time.monotonic()
        shares = [cards[line::LINES] for line in range(LINES)]
        writers = [threading.Thread(target=self.lines.show, args=share) for share in enumerate(shares)]
        for writer in writers:
            writer.start()
        kept = self.kept(cards)
        for writer in writers:
            writer.join()
        took = max(self.ear.arrived[card] for card in cards if card in self.ear.arrived) - begins
        return kept / took, count - kept

    def kept(self, cards: Sequence[str]) -> int:
        """How many of these arrive in the end."""
        known, moved = -1, time.monotonic()
        while time.monotonic() - moved < KEPT_QUIET_S:
            if (found := self.heard(cards)) == len(cards):
                return found
            if found != known:
                known, moved = found, time.monotonic()
            time.sleep(0.02)
        return known

    def rss_mb(self) -> float:
        """Resident memory."""
        status = (self._proc() / "status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024

    def idle_percent(self) -> float:
        """Of one core, while nobody comes."""
        before = self._cpu_s()
        time.sleep(IDLE_S)
        return (self._cpu_s() - before) / IDLE_S * 100

    def _cpu_s(self) -> float:
        """By the scheduler's account, in nanoseconds for each thread: the usual one counts in steps of 10 ms."""
        tasks = (self._proc() / "task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9

    def _proc(self) -> Path:
        assert self.process is not None
        return Path(f"/proc/{self.process.pid}")

    def return_s(self) -> float:
        """A broker's return -> the first tap of the outage at the subscriber."""
        self.broker.stop()
        cards = self.lines.cards(20)
        for number, card in enumerate(cards):
            self.lines.show(number, [card])
        time.sleep(SHORT_OUTAGE_S)
        self.broker.start()
        back = time.monotonic()
        with suppress(TooSlow):
            until(lambda: self.heard(cards) > 0, "the first tap", seconds=KEPT_QUIET_S)
            return max(0.0, min(self.ear.arrived[card] for card in cards if card in self.ear.arrived) - back)
        return float("inf")

    def show_through(self, cards: Sequence[str], seconds: float) -> None:
        """These cards, evenly over that time."""
        for number, card in enumerate(cards):
            self.lines.show(number, [card])
            time.sleep(seconds / len(cards))


@contextmanager
def session(name: str, plan: Plan, place: str, *, slow: bool = False) -> Iterator[Session]:
    """A stand of its own with this peer, not started."""
    folder = plan.folder / f"{place}-{name}"
    with rig(folder) as stand:
        peer = PEERS[name](plan.cache, folder, port=stand[0].port, names=stand[2].names)
        found = Session(slow_disk(plan.cache, peer, flush_ms=plan.flush_ms) if slow else peer, folder, stand)
        try:
            yield found
        finally:
            found.kill()


def measure(found: Session, plan: Plan) -> Numbers:
    """One round of one peer."""
    numbers = {"cold_start_to_first_tap_s": found.start()}
    found.paced_ms(WARM_UP)
    paced, numbers["paced_lost"] = found.paced_ms(PACED)
    numbers |= {"p50_ms": statistics.median(paced), "p99_ms": paced[round(len(paced) * 0.99) - 1]}
    numbers |= {"rss_mb": found.rss_mb(), "idle_cpu_percent": found.idle_percent()}
    numbers["flood_per_s"], numbers["flood_lost"] = found.flood_per_s(plan.flood)
    numbers |= {"rss_after_flood_mb": found.rss_mb(), "first_tap_after_return_s": found.return_s()}
    return numbers


# what is kept of 200 taps


def outage(found: Session, plan: Plan) -> int:
    """Taps made while the broker is away."""
    found.broker.stop()
    cards = found.lines.cards(OUTAGE_TAPS)
    found.show_through(cards, plan.outage_s)
    found.broker.start()
    return found.kept(cards)


def outage_and_kill(found: Session, plan: Plan) -> int:
    """... and the gateway is killed before the broker is back."""
    found.broker.stop()
    cards = found.lines.cards(OUTAGE_TAPS)
    found.show_through(cards, plan.outage_s)
    time.sleep(1.0)  # the last card's light is green by now: a touch whose light never came is not a tap
    found.kill()
    found.broker.start()
    found.start()
    return found.kept(cards)


def server_dies(found: Session, _plan: Plan) -> int:
    """Taps that the broker took and the server had not stored when both died."""
    found.ear.storing = False
    cards = found.lines.cards(OUTAGE_TAPS)
    found.show_through(cards, OUTAGE_TAPS * PACE_S)
    time.sleep(0.5)
    found.broker.kill()
    found.ear.arrived.clear()
    found.ear.storing = True
    found.broker.start()
    return found.kept(cards)


LOSSES: dict[str, Callable[[Session, Plan], int]] = {
    "broker_outage": outage,
    "broker_outage_and_kill": outage_and_kill,
    "server_died_before_it_stored": server_dies,
}


def kept_by(name: str, plan: Plan, *, slow: bool = False) -> dict[str, int]:
    """Of 200 taps, through each kind of loss."""
    found = {}
    for loss, play in LOSSES.items():
        with session(name, plan, f"{loss}{'-slow' * slow}", slow=slow) as peer:
            peer.start()
            found[loss] = play(peer, plan)
    return found


# the run


def run(plan: Plan, names: Sequence[str]) -> dict[str, object]:
    """Rounds, losses, slow disk, and what stands against the limits."""
    rounds: dict[str, list[Numbers]] = {name: [] for name in names}
    slow: list[Numbers] = []
    flushes: list[Numbers] = []
    for number in range(plan.rounds):
        for name in names:
            with session(name, plan, f"round{number}") as peer:
                rounds[name].append(measure(peer, plan))
            say(f"round {number + 1}/{plan.rounds} {name}: {rounds[name][-1]}")
        if plan.flush_ms:
            with session("gatebell", plan, f"slow{number}", slow=True) as peer:
                slow.append(measure(peer, plan))
            say(f"round {number + 1}/{plan.rounds} gatebell, slow disk: {slow[-1]}")
        flushes.append(flush_ms(plan.folder))
    kept = all_kept(plan, names)
    raw = {name: medians(found) for name, found in rounds.items()}
    if slow:
        raw["gatebell_slow_disk"] = medians(slow)
    return {
        "bench": "gateway_vs_peers",
        "cores": os.cpu_count(),
        "rounds": plan.rounds,
        "flush_ms": medians(flushes),
        "flush_ms_of_slow_disk": plan.flush_ms,
        "medians": raw,
        "kept_of_200": kept,
        "limits": list(limits(raw, kept)),
    }


def all_kept(plan: Plan, names: Sequence[str]) -> dict[str, dict[str, int]]:
    """The losses of all peers side by side: they are counted, not timed."""
    with ThreadPoolExecutor() as pool:
        found = {name: pool.submit(kept_by, name, plan) for name in names}
        if plan.flush_ms:
            found["gatebell_slow_disk"] = pool.submit(kept_by, "gatebell", plan, slow=True)
        return {name: future.result() for name, future in found.items()}


def flush_ms(folder: Path) -> Numbers:
    """What a commit costs on this disk at this moment, without any gateway: 16 kB at the end of a file, flushed."""
    took = []
    with (folder / "flushed").open("wb", buffering=0) as file:
        for _ in range(200):
            time.sleep(PACE_S / 4)
            begins = time.monotonic()
            file.write(bytes(16_384))
            os.fdatasync(file.fileno())
            took.append((time.monotonic() - begins) * 1000)
    return {"p50": statistics.median(took), "p99": sorted(took)[round(len(took) * 0.99) - 1]}


def medians(found: Sequence[Numbers]) -> Numbers:
    """Of each number over the rounds; of losses the worst; infinite (it never came) is no number in JSON."""
    pick = {key: max if key.endswith("_lost") else statistics.median for key in found[0]}
    seen = {key: round(pick[key]([numbers[key] for numbers in found]), 3) for key in found[0]}
    return {key: value for key, value in seen.items() if value != float("inf")}


def limits(raw: dict[str, Numbers], kept: dict[str, dict[str, int]]) -> Iterator[dict[str, object]]:
    """Each limit with what was seen and their ratio: at most 1 holds."""
    for name in [name for name in raw if name.startswith("gatebell")]:
        ours, slow = raw[name], " on a slow disk" * (name != "gatebell")
        yield _at_most(f"idle CPU{slow}, %", ours["idle_cpu_percent"], CPU_LIMIT)
        yield _at_most(f"cold start to first tap stored{slow}, s", ours["cold_start_to_first_tap_s"], COLD_LIMIT_S)
        yield _at_most(f"first tap after a broker's return{slow}, s", ours["first_tap_after_return_s"], RETURN_LIMIT_S)
        yield _at_least(f"flood{slow}, frames/s", ours["flood_per_s"], FLOOD_LIMIT)
        yield _at_most(f"lost{slow}", ours["flood_lost"] + ours["paced_lost"], 0)
        yield _at_least(f"kept of 200{slow}, worst case", min(kept[name].values()), OUTAGE_TAPS)
    ours = raw["gatebell"]
    for key in ("rss_mb", "rss_after_flood_mb"):
        if "script" in raw:
            yield _at_most(f"{key} against the script's", ours[key], RSS_OF_SCRIPT * raw["script"][key])
        if "node-red" in raw:
            yield _at_most(f"{key} against Node-RED's", ours[key], RSS_OF_NODE_RED * raw["node-red"][key])
    if "node-red" in raw:
        yield _at_most("p99 against Node-RED's, ms", ours["p99_ms"], raw["node-red"]["p99_ms"])


def _at_most(what: str, seen: float, limit: float) -> dict[str, object]:
    ratio = seen / limit if limit else float(seen > 0) * 2
    return {"what": what, "seen": seen, "limit": round(limit, 3), "ratio": round(ratio, 3)}


def _at_least(what: str, seen: float, limit: float) -> dict[str, object]:
    return {"what": what, "seen": seen, "limit": limit, "ratio": round(limit / max(seen, 1e-9), 3)}


def say(text: str) -> None:
    """How far it is, beside the JSON."""
    print(text, file=sys.stderr, flush=True)


def arguments() -> argparse.Namespace:
    """The command line."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "gatebell-bench"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="how often every peer is measured")
    parser.add_argument("--flood", type=int, default=20_000, help="frames of a flood")
    parser.add_argument("--outage", type=float, default=20.0, help="seconds without a broker")
    parser.add_argument("--flush-ms", type=int, default=10, help="the slow disk's flush; 0: no slow disk")
    parser.add_argument("--without", choices=["node-red", "script"], action="append", default=[], help="leave one out")
    parser.add_argument("--cache", type=Path, default=cache, help=f"where the peers are installed: {cache}")
    parser.add_argument("--folder", type=Path, help="where the spool is: put it on the disk that you mean")
    return parser.parse_args()


def main() -> int:
    """Print one JSON object; 0 when all limits hold, 1 when one is broken, 3 when it could not be measured."""
    given = arguments()
    names = [name for name in PEERS if name not in given.without]
    sys.setswitchinterval(0.0005)  # the ear must note when a message came, not when the writer pauses
    try:
        install(given.cache, names)
        with tempfile.TemporaryDirectory(prefix="gatebell-peers-", dir=given.folder) as name:
            plan = Plan(given.cache, Path(name), given.rounds, given.flood, given.outage, given.flush_ms)
            found = run(plan, names)
    except (CannotInstall, TooSlow) as error:
        say(f"gateway_vs_peers: {error}")
        return 3
    print(json.dumps(found))
    return int(any(limit["ratio"] > 1 for limit in found["limits"]))  # type: ignore[attr-defined]


if __name__ == "__main__":
    sys.exit(main())
