"""From the last byte of a card's frame on a serial line until the provider's HTTP request: the whole line in one run.

Real pseudo-terminals -> `gatebell-gateway run` -> mosquitto -> `gatebell ingest` -> SQLite (or --database-url)
-> `gatebell jobs` -> provider `kannel`, whose smsbox is here a server that notes when each request came.
Every tap is another card, another pupil and another number. Prints one JSON object; times in milliseconds.
"""

import argparse
import contextlib
import json
import os
import pty
import queue
import socket
import subprocess
import sys
import tempfile
import threading
import time
import tty
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from flask_migrate import upgrade  # noqa: E402
from sqlalchemy import select  # noqa: E402

from gateway import readers  # noqa: E402
from server import broker, clock, config, create_app, crypt  # noqa: E402
from server.cards.models import Card  # noqa: E402
from server.db import db, transaction  # noqa: E402
from server.gates.models import Gateway  # noqa: E402
from server.outbox.models import Attempt, OutboxText  # noqa: E402
from server.outbox.rules import percentiles  # noqa: E402
from server.people.models import Guardian, Guardianship, Pupil, Relation, SchoolClass  # noqa: E402
from server.schools.models import School  # noqa: E402
from server.taps.models import Tap  # noqa: E402

LIMIT_MS = 120.0
LINES = 2  # readers; each shows a card twice, as its profile demands
WARM_UP = 10  # taps before the measured ones: connections are made, statements compiled
RATES = ((1.0, 30), (50.0, 1000))


@dataclass(frozen=True)
class Plan:
    """How many taps at which pace; numbers of taps are numbers of pupils."""

    per_second: float
    taps: range


class Sendsms(BaseHTTPRequestHandler):
    """Accepts like Kannel and notes the moment and the number."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """One text."""
        came = time.time_ns()
        to = parse_qs(urlsplit(self.path).query)["to"][0]
        self.server.came.put((to, came))  # type: ignore[attr-defined]
        answer = b"0: Accepted for delivery"
        head = f"HTTP/1.1 202 Accepted\r\nContent-Length: {len(answer)}\r\n\r\n"
        self.wfile.write(head.encode() + answer)

    def log_message(self, *words: object) -> None:
        """Quiet."""


class Smsbox(ThreadingHTTPServer):
    """Where the provider sends."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Sendsms)
        self.came: queue.SimpleQueue[tuple[str, int]] = queue.SimpleQueue()

    def wait_for(self, numbers: set[str], *, seconds: float) -> dict[str, list[int]]:
        """Number -> moments at which a text for it came, once all have come or the time is over."""
        found: dict[str, list[int]] = {}
        until = time.monotonic() + seconds
        while time.monotonic() < until and not numbers <= found.keys():
            try:
                number, came = self.came.get(timeout=0.2)
            except queue.Empty:
                continue
            found.setdefault(number, []).append(came)
        return found


def free_port() -> int:
    """A TCP port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_port(port: int) -> None:
    """Return once somebody listens there. Raises ConnectionRefusedError after ten seconds."""
    for _ in range(200):
        with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise ConnectionRefusedError(f"nobody listens on port {port}")


def number_of(tap: int) -> str:
    """The guardian's telephone of a tap."""
    return f"+86138{tap:08d}"


def card_of(tap: int) -> str:
    """The card of a tap."""
    return f"em4100:{0x6700000000 + 7919 * (tap + 1):010X}"


@contextmanager
def child(words: Sequence[str], log: Path, settings: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """One process of the line."""
    with log.open("wb") as file:
        running = subprocess.Popen(words, stdout=file, stderr=file, cwd=ROOT, env=os.environ | settings)
    try:
        yield running
    finally:
        running.terminate()
        try:
            running.wait(20)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()


def lines(folder: Path) -> list[int]:
    """Pseudo-terminals, linked under the folder as `line-0` ...; their masters."""
    masters = []
    for number in range(LINES):
        master, slave = pty.openpty()
        tty.setraw(slave)
        (folder / f"line-{number}").symlink_to(os.ttyname(slave))
        masters.append(master)
    return masters


def write_configs(folder: Path, *, mqtt: int, sms: int, database: str) -> tuple[Path, Path]:
    """The two TOML files of the line."""
    server, gateway = folder / "gatebell.toml", folder / "gateway.toml"
    server.write_text(
        f'run_dir = "{folder}"\n[database]\nurl = "{database}"\n[mqtt]\nurls = ["mqtt://127.0.0.1:{mqtt}"]\n'
        f'[outbox]\nproviders = ["kannel"]\n[secrets]\nkey_file = "{folder}/key"\n'
        f'[providers.kannel]\nurl = "http://127.0.0.1:{sms}/cgi-bin/sendsms"\nusername = "school"\npassword = "x"\n'
    )
    gateway.write_text(
        f'school = "bench"\ngateway = "gate-1"\ndata_dir = "{folder}/spool"\nclock = "trust"\n'
        f'[mqtt]\nurls = ["mqtt://127.0.0.1:{mqtt}"]\n'
        + "".join(
            f'[[reader]]\nid = "r{number}"\nprofile = "rdm6300"\nport = "{folder}/line-{number}"\ndirection = "in"\n'
            for number in range(LINES)
        )
    )
    return server, gateway


def fill(settings: Path, taps: int) -> None:
    """A school with a pupil, a card and a guardian with a verified number for every tap."""
    now = clock.now()
    upgrade()
    with transaction() as session:
        session.add(School(id="bench", name="Bench", sign="明德学校", created_at=now))
        session.flush()
        room = SchoolClass(school_id="bench", name="1", grade=1)
        session.add_all([room, Gateway(school_id="bench", id="gate-1", name="1号门 东门")])
        session.flush()
        for tap in range(taps):
            add_pupil(session, room, tap, now)


def add_pupil(session, room: SchoolClass, tap: int, now) -> None:  # type: ignore[no-untyped-def]
    """One pupil with all that a text needs."""
    phone = number_of(tap)
    pupil = Pupil(school_id="bench", class_id=room.id, number=str(tap), name=f"林语{tap}", created_at=now)
    parent = Guardian(school_id="bench", name="林", phone=phone, phone_hash=crypt.look_up(phone), verified_at=now)
    session.add_all([pupil, parent])
    session.flush()
    session.add_all(
        [
            Card(school_id="bench", text=card_of(tap), pupil_id=pupil.id, since=now),
            Guardianship(school_id="bench", pupil_id=pupil.id, guardian_id=parent.id, relation=Relation.MOTHER, rank=1),
        ]
    )


def play(masters: Sequence[int], plan: Plan) -> dict[str, int]:
    """Show the cards at the plan's pace; number -> the moment before its last byte was written."""
    frame, shown, begins = readers.load("rdm6300").frame, {}, time.monotonic()
    for place, tap in enumerate(plan.taps):
        time.sleep(max(0.0, begins + place / plan.per_second - time.monotonic()))
        card = frame(card_of(tap))
        shown[number_of(tap)] = time.time_ns()
        os.write(masters[place % LINES], card + card)
    return shown


def measure(smsbox: Smsbox, masters: Sequence[int], plan: Plan) -> dict[str, object]:
    """Play a plan and wait for its texts."""
    shown = play(masters, plan)
    came = smsbox.wait_for(set(shown), seconds=30)
    took = [(came[number][0] - shown[number]) / 1e6 for number in shown if number in came]
    found = percentiles(took, (50, 99))
    return {
        "taps_per_s": plan.per_second,
        "taps": len(shown),
        "texts": sum(map(len, came.values())),
        "missing": len(shown.keys() - came.keys()),
        "p50_ms": round(found.get(50, -1.0), 1),
        "p99_ms": round(found.get(99, -1.0), 1),
        "max_ms": round(max(took, default=-1.0), 1),
    } | ({"stages_ms": stages(shown, came)} if STAGES else {})


STAGES: list[bool] = []


def stages(shown: dict[str, int], came: dict[str, list[int]]) -> dict[str, list[float]]:
    """Where the time went: p50 and p99 of each leg, by the times that stand in the database."""
    legs: dict[str, list[float]] = {
        name: [] for name in ("to_gateway", "to_ingest", "to_queue", "to_claim", "to_provider")
    }
    query = (
        select(OutboxText.phone, Tap.at, Tap.received_at, OutboxText.created_at, Attempt.started_at)
        .join(Tap, Tap.pupil_id == OutboxText.pupil_id)
        .join(Attempt, Attempt.text_id == OutboxText.id)
    )
    for phone, *moments in db.session.execute(query):
        if phone in shown and phone in came:
            marks = [shown[phone] / 1e6, *(clock.to_millis(moment) for moment in moments), came[phone][0] / 1e6]
            for leg, begins, ends in zip(legs.values(), marks, marks[1:], strict=False):
                leg.append(ends - begins)
    db.session.rollback()
    return {name: [round(value, 1) for value in percentiles(leg, (50, 99)).values()] for name, leg in legs.items()}


def run(folder: Path, database: str) -> dict[str, object]:
    """Start the line, play every plan, stop it."""
    plans = plans_of(RATES)
    mqtt, masters, smsbox = free_port(), lines(folder), Smsbox()
    threading.Thread(target=smsbox.serve_forever, daemon=True).start()
    server, gateway = write_configs(folder, mqtt=mqtt, sms=smsbox.server_port, database=database)
    app = create_app(config.load(server))
    with app.app_context(), ExitStack() as running:
        fill(server, plans[-1].taps.stop)
        start(running, folder, server=server, gateway=gateway, mqtt=mqtt)
        measure(smsbox, masters, plans[0])
        measured = [measure(smsbox, masters, plan) for plan in plans[1:]]
        running.close()
        db.engine.dispose()
    return report(measured, "sqlite" if database.startswith("sqlite") else "postgresql")


def start(running: ExitStack, folder: Path, *, server: Path, gateway: Path, mqtt: int) -> None:
    """Broker, ingest, jobs and gateway, each in a process of its own."""
    python, log = sys.executable, folder
    running.enter_context(child(broker.command(mqtt, folder / "broker"), log / "broker.log", {}))
    wait_for_port(mqtt)
    for part in ("ingest", "jobs"):
        words = [python, "-m", "server", "--config", str(server), part]
        running.enter_context(child(words, log / f"{part}.log", {}))
    words = [python, "-m", "gateway", "run", "--config", str(gateway)]
    running.enter_context(child(words, log / "gateway.log", {}))
    time.sleep(4)


def plans_of(rates: Sequence[tuple[float, int]]) -> list[Plan]:
    """The warm-up and every pace, each with taps of its own."""
    plans = [Plan(10.0, range(WARM_UP))]
    for per_second, taps in rates:
        begins = plans[-1].taps.stop
        plans.append(Plan(per_second, range(begins, begins + taps)))
    return plans


def report(measured: Sequence[dict[str, object]], database: str) -> dict[str, object]:
    """The JSON object; `ratio` is the worst p99 over the limit."""
    worst = max(float(str(one["p99_ms"])) for one in measured)
    return {
        "bench": "tap_to_text",
        "database": database,
        "cores": os.cpu_count(),
        "runs": list(measured),
        "limit_ms": LIMIT_MS,
        "ratio": round(worst / LIMIT_MS, 3),
    }


def main() -> int:
    """Exit 1 when a text is missing, doubled, or p99 is above the limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database-url", default="", help="an empty PostgreSQL database; default: SQLite")
    parser.add_argument("--stages", action="store_true", help="say also where the time went")
    parser.add_argument("--keep", type=Path, help="use this folder and leave logs and database there")
    given = parser.parse_args()
    STAGES.extend([True] if given.stages else [])
    with tempfile.TemporaryDirectory(prefix="gatebell-bench-") as temporary:
        folder = given.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        found = run(folder, given.database_url or f"sqlite:///{folder}/gatebell.db")
    print(json.dumps(found))
    runs = found["runs"]
    complete = all(one["texts"] == one["taps"] for one in runs)  # type: ignore[attr-defined]
    return 0 if complete and float(str(found["ratio"])) <= 1 else 1


if __name__ == "__main__":
    sys.exit(main())
