"""3,000 notices in the queue and arrivals at 50/s beside them, through a real Kannel to its fake SMSC, in one run.

First the counterpart's ceiling: a bare client on as many connections gives Kannel the same requests as fast as it
takes them. Then `gatebell jobs` sends what is in the database, and every arrival is written as ingest would: a
transaction of its own, then the call that wakes the senders. Receipts go to a listener that only counts, in both.
Prints one JSON object: p50 and p99 from the row's birth to Kannel's acceptance for each lane in milliseconds, texts a
second while the notices ran, the ceiling, and their ratio.
"""

import argparse
import http.client
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import date, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlencode

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from flask_migrate import upgrade  # noqa: E402
from sqlalchemy import func, select  # noqa: E402

from server import clock, config, create_app  # noqa: E402
from server.db import db, transaction  # noqa: E402
from server.outbox import service, wake  # noqa: E402
from server.outbox.models import OutboxText  # noqa: E402
from server.outbox.providers.base import Outgoing  # noqa: E402
from server.outbox.providers.kannel import Kannel as Adapter  # noqa: E402
from server.outbox.rules import Lane, TextState, percentiles  # noqa: E402
from server.outbox.service import NewText  # noqa: E402
from server.schools.models import School  # noqa: E402
from tests.kannel import Kannel  # noqa: E402
from tests.services import Postgres  # noqa: E402

DAY = date(2026, 11, 25)
WAITING = (TextState.QUEUED, TextState.CLAIMED)
BODY = "【明德学校】林语晨 07:41 已到校（1号门 东门）。"
NOTICE = "【明德学校】明天上午八点开家长会，请准时到校，谢谢配合。"


class Receipts(BaseHTTPRequestHandler):
    """Takes what Kannel brings and forgets it."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """One receipt."""
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    def log_message(self, *words: object) -> None:
        """Quiet."""


def serve_receipts(port_file: str) -> None:
    """In a process of its own, as our pages would be."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Receipts)
    server.daemon_threads = True
    Path(port_file).write_text(str(server.server_port))
    server.serve_forever()


def push(port: int, count: int, connections: int, callback: str) -> None:
    """The bare client, in a process of its own: prints the moment at which it began."""
    adapter = Adapter(Adapter.Settings(username="school", password="s3cret"))
    todo = iter(range(count))
    lock = threading.Lock()

    def work() -> None:
        line = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        while True:
            with lock:
                n = next(todo, None)
            if n is None:
                return
            text = Outgoing(uuid.uuid4(), f"+86137{n:08d}", NOTICE, 600, False, callback, 0)
            line.request("GET", f"/cgi-bin/sendsms?{urlencode(adapter.form(text))}")
            answer = line.getresponse()
            if answer.status != 202:
                raise SystemExit(f"Kannel answered {answer.status}")
            answer.read()

    threads = [threading.Thread(target=work) for _ in range(connections)]
    begins = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(begins)


@contextmanager
def child(*words: str, log: Path | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """One process beside this one."""
    with (log or Path(os.devnull)).open("wb") as file:
        running = subprocess.Popen([sys.executable, *words], stdout=file, stderr=file, cwd=ROOT)
    try:
        yield running
    finally:
        running.terminate()
        running.wait(30)


def new(lane: Lane, n: int, **words: object) -> NewText:
    """A text to a number of its own."""
    now = clock.now()
    return NewText(
        school_id="bench",
        pupil_id=uuid.uuid4(),
        guardian_id=uuid.uuid4(),
        day=DAY,
        kind="in" if lane is Lane.GATE else "notice",
        n=1,
        phone=f"+8613{8 if lane is Lane.GATE else 9}{n:08d}",
        lane=lane,
        wording="arrived" if lane is Lane.GATE else "notice",
        body=BODY if lane is Lane.GATE else NOTICE,
        event_at=now,
        expires_at=now + timedelta(hours=1),
    )


def put(texts: Sequence[NewText], run_dir: str) -> None:
    """One commit, and the call."""
    with transaction() as session:
        service.enqueue(session, texts)
    wake.notify(run_dir)


def waiting(lane: Lane) -> int:
    """Texts of a lane that no provider has yet."""
    count = select(func.count()).where(OutboxText.lane == lane, OutboxText.state.in_(WAITING))
    found = db.session.scalar(count) or 0
    db.session.rollback()
    return found


def play(run_dir: str, notices: int, per_second: float) -> None:
    """Queue the notices, then arrivals at their pace until all notices are gone."""
    for begin in range(0, notices, 200):
        put([new(Lane.BULK, n) for n in range(begin, min(notices, begin + 200))], run_dir)
    begins, looked, n = time.monotonic(), time.monotonic(), 0
    while True:
        time.sleep(max(0.0, begins + n / per_second - time.monotonic()))
        put([new(Lane.GATE, n)], run_dir)
        n += 1
        if time.monotonic() - looked > 1:
            looked = time.monotonic()
            if waiting(Lane.BULK) == 0:
                break
    until = time.monotonic() + 30
    while waiting(Lane.GATE) and time.monotonic() < until:
        time.sleep(0.1)


def lanes() -> dict[str, dict[str, float]]:
    """Count, p50, p99 and maximum in milliseconds of each lane."""
    query = select(OutboxText.lane, OutboxText.created_at, OutboxText.sent_at, OutboxText.attempts)
    found: dict[str, list[float]] = {}
    lost: dict[str, int] = {}
    for lane, created, sent, attempts in db.session.execute(query):
        found.setdefault(lane, [])
        if sent is None or attempts != 1:
            lost[lane] = lost.get(lane, 0) + 1
        else:
            found[lane].append(clock.elapsed(created, sent) * 1000)
    return {
        lane: {
            "texts": len(took),
            "not_once": lost.get(lane, 0),
            "p50_ms": round(percentiles(took, (50,)).get(50, -1.0)),
            "p99_ms": round(percentiles(took, (99,)).get(99, -1.0)),
            "max_ms": round(max(took, default=-1.0)),
        }
        for lane, took in found.items()
    }


def throughput() -> float:
    """Texts a second of both lanes between the first and the last notice's acceptance."""
    ends = select(func.min(OutboxText.sent_at), func.max(OutboxText.sent_at)).where(OutboxText.lane == Lane.BULK)
    first, last = db.session.execute(ends).one()
    count = db.session.scalar(select(func.count()).where(OutboxText.sent_at.between(first, last))) or 0
    return float(count / max(0.001, clock.elapsed(first, last)))


def run(given: argparse.Namespace, folder: Path, database: str) -> dict[str, object]:
    """Kannel, the ceiling, the senders, the texts."""
    with ExitStack() as running:
        port_file = folder / "port"
        running.enter_context(child(__file__, "--receipts", str(port_file)))
        kannel = running.enter_context(Kannel(folder / "kannel"))
        while not port_file.exists():
            time.sleep(0.05)
        url = f"http://127.0.0.1:{port_file.read_text()}"
        before = ceiling(given, kannel, url)
        toml = folder / "gatebell.toml"
        toml.write_text(
            f'run_dir = "{folder}"\n[database]\nurl = "{database}"\n[web]\nurl = "{url}"\n'
            f'[outbox]\nproviders = ["kannel"]\nsenders = {given.connections // given.processes}\n'
            f'[secrets]\nkey_file = "{folder}/key"\n'
            f'[providers.kannel]\nurl = "{kannel.url}"\nusername = "school"\npassword = "s3cret"\n'
        )
        app = create_app(config.load(toml))
        with app.app_context():
            upgrade()
            with transaction() as session:
                session.add(School(id="bench", name="Bench", sign="明德学校", created_at=clock.now()))
            for number in range(given.processes):
                words = ("-m", "server", "--config", str(toml), "jobs")
                running.enter_context(child(*words, log=folder / f"jobs-{number}.log"))
            time.sleep(5)
            play(str(folder), given.notices, given.per_second)
            found, rate = lanes(), throughput()
            db.session.remove()
            db.engine.dispose()
        after = ceiling(given, kannel, url)
    best = max(before, after)
    return {
        "bench": "outbox",
        "database": database.split(":", maxsplit=1)[0],
        "lanes": found,
        "texts_per_s": round(rate),
        "ceiling_per_s": [round(before), round(after)],
        "ratio": round(rate / best, 2),
        "senders": {"processes": given.processes, "connections": given.connections},
    }


def ceiling(given: argparse.Namespace, kannel: Kannel, url: str) -> float:
    """Texts a second that get through Kannel to its SMSC from a client that does nothing else."""
    callback = f"{url}/callback/kannel/dlr/{uuid.uuid4()}/{'0' * 32}"
    words = [sys.executable, __file__, "--push", str(kannel.sendsms), callback]
    words += ["--notices", str(given.notices), "--connections", str(given.connections)]
    before = arrived(kannel)
    begins = float(subprocess.run(words, cwd=ROOT, check=True, capture_output=True, text=True).stdout)
    while arrived(kannel) < before + given.notices:
        time.sleep(0.02)
    rate = given.notices / (time.monotonic() - begins)
    time.sleep(3)  # the receipts
    return rate


def arrived(kannel: Kannel) -> int:
    """Texts that the SMSC has printed."""
    return kannel.sent().count(b"<10690000 ")


def main() -> int:
    """Exit 1 when an arrival took more than a second (p99), a text went not exactly once, or the ratio is low."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--postgres", action="store_true", help="on a PostgreSQL of its own (without fsync)")
    parser.add_argument("--notices", type=int, default=3000)
    parser.add_argument("--per-second", type=float, default=50.0, help="arrivals")
    parser.add_argument("--connections", type=int, default=16, help="to Kannel, of all senders together")
    parser.add_argument("--processes", type=int, default=1, help="sender processes")
    parser.add_argument("--keep", type=Path, help="use this folder and leave logs and database there")
    parser.add_argument("--receipts", help=argparse.SUPPRESS)
    parser.add_argument("--push", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.receipts:
        serve_receipts(given.receipts)
    if given.push:
        push(int(given.push[0]), given.notices, given.connections, given.push[1])
        return 0
    with tempfile.TemporaryDirectory(prefix="gatebell-bench-") as temporary, ExitStack() as running:
        folder = given.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o755)
        url = f"sqlite:///{folder}/gatebell.db"
        if given.postgres:
            url = running.enter_context(Postgres(folder / "postgres")).fresh_database()
        found = run(given, folder, url)
    print(json.dumps(found, ensure_ascii=False))
    complete = all(lane["not_once"] == 0 for lane in found["lanes"].values())  # type: ignore[attr-defined]
    in_time = found["lanes"]["gate"]["p99_ms"] <= 1000  # type: ignore[index]
    return 0 if complete and in_time and float(str(found["ratio"])) >= 0.8 else 1


if __name__ == "__main__":
    sys.exit(main())
