"""A term of a large school: judged day by day, judged again from raw facts, and looked at through the pages.

120 school days x 1,500 pupils, about 700,000 taps, 3 % away, leave, forgotten exits, marks; on SQLite and on a
PostgreSQL of its own (without fsync), or on `--database-url`. Every tenth day is also judged at noon, as a school does;
the last day is today, and it is 10:00. Prints one JSON object; times in seconds. How far it is goes to standard error.
`--folder` keeps SQLite's file, and what is found there is not made again: only the pages are measured then.
"""

import argparse
import hashlib
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from flask import Flask  # noqa: E402
from sqlalchemy import Engine, delete, event, func, insert, select  # noqa: E402

from gateway.timebase import Timebase  # noqa: E402
from server import clock, config, create_app  # noqa: E402
from server.accounts.rules import Grant  # noqa: E402
from server.accounts.service import create_user  # noqa: E402
from server.attendance import service as attendance  # noqa: E402
from server.attendance.models import PupilDay, TeacherMark  # noqa: E402
from server.calendar.models import Term  # noqa: E402
from server.db import db, new_id, transaction  # noqa: E402
from server.gates.models import Gateway  # noqa: E402
from server.leave.models import Leave, LeaveKind, LeaveState  # noqa: E402
from server.people.models import Pupil, SchoolClass  # noqa: E402
from server.schools.models import School  # noqa: E402
from server.taps.models import Tap  # noqa: E402
from tests import services  # noqa: E402
from tests.server.site import Visitor  # noqa: E402

ZONE, PASSWORD = "Asia/Shanghai", "a gate and a bell"
AM, NOON, PM, END = 28_200, 42_600, 48_600, 61_200  # the default bells
CLOSE = END + 3660  # nobody is expected any more
TODAY, TEN = date(2026, 11, 25), 36_000  # a Wednesday; what the clock shows
CHUNK = 10_000
TURNS = 20
PAGES = [
    *("/", "/classes", "/classes/CLASS", "/pupils/PUPIL", "/find?q=Pupil 7", "/texts", "/absence", "/leave", "/gates"),
    *("/register", "/register/CLASS", "/register/differences", "/gate?q=Pupil 7", "/inside", "/inside/list"),
    *("/reports?period=day", "/reports?period=week", "/reports?period=month", "/reports?period=term"),
    *("/reports/classes/CLASS", "/reports/classes/CLASS?period=term", "/reports/classes/CLASS/register"),
    *("/reports/pupils/PUPIL", "/rollcall", "/odd-uses"),
]


def set_clock() -> None:
    """It is 10:00 of a school day, whenever this runs."""
    start = clock.to_millis(clock.at_local(TODAY, TEN, ZONE))
    day = 86_400_000
    clock._base = Timebase(start=start - day, begins=time.time_ns() // 1_000_000 - day, until=start + day)


def say(what: str) -> None:
    """How far it is, for who waits."""
    print(f"{time.strftime('%T')} {what}", file=sys.stderr, flush=True)


def school_days(count: int) -> list[date]:
    """The newest weekdays up to today, oldest first."""
    found = [day for n in range(2 * count + 7) if (day := TODAY - timedelta(days=n)).weekday() < 5]
    return found[:count][::-1]


def write_school(pupils: int, days: list[date]) -> tuple[School, list[UUID]]:
    """Thirty classes, their pupils, one term, and somebody of the office."""
    at = clock.at_local(days[0], 0, ZONE)
    with transaction() as session:
        school = School(id="bench", name="Bench", sign="Bench", created_at=at, timezone=ZONE)
        session.add(school)
        session.flush()
        session.add(Term(school_id="bench", name="term", starts=days[0], ends=days[-1]))
        rooms = [SchoolClass(id=new_id(), school_id="bench", name=f"({n})", grade=7 + n // 5) for n in range(30)]
        session.add_all(rooms)
        session.flush()
        rows = [
            {"id": new_id(), "school_id": "bench", "class_id": rooms[n % 30].id, "number": f"{n:06d}"}
            | {"name": f"Pupil {n}", "seat": n // 30 + 1, "active": True, "created_at": at}
            for n in range(pupils)
        ]
        session.execute(insert(Pupil), rows)
        now = clock.now()
        for n in range(4):
            session.add(Gateway(school_id="bench", id=f"gate-{n}", name=f"gate {n}", online=True, heard_at=now))
        create_user("bench", "office", "office", PASSWORD, [Grant("office")])
        return school, list(session.scalars(select(Pupil.id).order_by(Pupil.number)))


def facts(pupils: list[UUID], days: list[date]) -> Iterator[tuple[type, dict[str, Any]]]:
    """Taps, leave and marks of everybody on every day."""
    chance, n = random.Random(7), 0
    for day in days:
        midnight = clock.at_local(day, 0, ZONE)
        for pupil in pupils:
            luck = chance.random()
            if luck < 0.015:
                yield Leave, leave(pupil, midnight, chance)
                continue
            if luck < 0.03:
                continue
            if luck < 0.035:
                yield TeacherMark, mark(pupil, day, midnight)
            for second, direction in times(luck, chance):
                if day == TODAY and second > TEN:
                    break
                n += 1
                yield Tap, tap(pupil, day, midnight + timedelta(seconds=second), direction, n)


def times(luck: float, chance: random.Random) -> list[tuple[int, str]]:
    """In, out, in, out; some late, some without the last exit."""
    late = chance.randrange(6, 25) * 60 if luck > 0.96 else -chance.randrange(60, 2400)
    found = [(AM + late, "in"), (NOON + chance.randrange(60, 900), "out"), (PM - chance.randrange(60, 2400), "in")]
    return found if 0.5 < luck < 0.51 else [*found, (END + chance.randrange(60, 1800), "out")]


def tap(pupil: UUID, day: date, at: datetime, direction: str, n: int) -> dict[str, Any]:
    """A stored tap."""
    place = {"id": uuid4(), "school_id": "bench", "gateway_id": f"gate-{n % 4}", "reader_id": "a", "spool": "s"}
    card = {"direction": direction, "card": f"em4100:{n % 1500:010X}", "pupil_id": pupil, "seq": n, "boot": "b"}
    return (
        place
        | card
        | {"at": at, "day": day, "clock": "synced", "ticks": n, "late": False}
        | {
            "sent_at": at,
            "received_at": at,
        }
    )


def leave(pupil: UUID, midnight: datetime, chance: random.Random) -> dict[str, Any]:
    """A day's approved leave."""
    kind = chance.choice(list(LeaveKind))
    span = {"starts_at": midnight, "ends_at": midnight + timedelta(days=1), "asked_at": midnight}
    return {"id": new_id(), "school_id": "bench", "pupil_id": pupil, "kind": kind, "state": LeaveState.APPROVED} | span


def mark(pupil: UUID, day: date, midnight: datetime) -> dict[str, Any]:
    """A teacher's word."""
    seen = {"session": "am", "mark": "late", "minutes": 9, "made_by": pupil, "made_at": midnight}
    return {"id": new_id(), "school_id": "bench", "pupil_id": pupil, "date": day} | seen


def write_facts(pupils: list[UUID], days: list[date]) -> None:
    """By bulk inserts of many rows."""
    waiting: dict[type, list[dict[str, Any]]] = {Tap: [], Leave: [], TeacherMark: []}
    with transaction() as session:
        for kind, row in facts(pupils, days):
            waiting[kind].append(row)
            if len(waiting[kind]) == CHUNK:
                session.execute(insert(kind), waiting[kind])
                waiting[kind] = []
        for kind, rows in waiting.items():
            if rows:
                session.execute(insert(kind), rows)


def judge(school: School, pupils: list[UUID], day: date, second: int) -> float:
    """A day's verdicts as they stand at a second of it; how long that took."""
    began = time.perf_counter()
    with transaction():
        attendance.apply(school, {(pupil, day) for pupil in pupils}, clock.at_local(day, second, ZONE))
    return time.perf_counter() - began


def digest() -> str:
    """Everything that is kept of every judged day, in one word."""
    sum_ = hashlib.sha256()
    kept = (PupilDay.pupil_id, PupilDay.date, PupilDay.status, PupilDay.summary, PupilDay.late_minutes)
    query = select(*kept, PupilDay.inside, PupilDay.first_in, PupilDay.last_out, PupilDay.verdict)
    for row in db.session.execute(query.order_by(PupilDay.pupil_id, PupilDay.date).execution_options(yield_per=5000)):
        sum_.update(repr((*row[:-1], json.dumps(row[-1], sort_keys=True))).encode())
    return sum_.hexdigest()


def timed(act: Callable[[], object], turns: int = TURNS) -> dict[str, float]:
    """Wall and processor time of an act, and what it asks of the database, after one to warm up."""
    asked: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        asked.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    act()
    event.remove(Engine, "before_cursor_execute", note)
    walls, cores = [], []
    for _ in range(turns):
        wall, core = time.perf_counter(), time.process_time()
        act()
        walls.append(time.perf_counter() - wall)
        cores.append(time.process_time() - core)
    p95 = statistics.quantiles(walls, n=20)[-1]
    found = {"median": statistics.median(walls), "p95": p95, "processor_median": statistics.median(cores)}
    return {name: round(value, 4) for name, value in found.items()} | {"statements": len(asked)}


def pages(app: Flask, pupil: UUID) -> dict[str, dict[str, float]]:
    """How long each page takes the server with the whole term in its tables."""
    visitor = Visitor(app)
    assert visitor.log_in("office", PASSWORD).status_code == 303
    with app.app_context():
        room = db.session.scalar(select(Pupil.class_id).where(Pupil.id == pupil))
        db.session.remove()
    names = {"CLASS": str(room), "PUPIL": str(pupil)}
    found = {}
    for name in PAGES:
        url = name
        for short, long in names.items():
            url = url.replace(short, long)
        found[name] = timed(lambda url=url: visitor.text(url))  # type: ignore[misc]
        say(f"{name} {found[name]}")
    return found


def judged(school: School, everybody: list[UUID], days: list[date]) -> dict[str, Any]:
    """Every day as a school judges it; then all days again from nothing, which must give the same."""
    closes = []
    for n, day in enumerate(days):
        if n % 10 == 0:
            judge(school, everybody, day, NOON)
            say(f"judged to {day}")
        closes.append(judge(school, everybody, day, TEN if day == TODAY else CLOSE))
    first = digest()
    with transaction() as session:
        session.execute(delete(PupilDay))
    again = []
    for n, day in enumerate(days):
        again.append(judge(school, everybody, day, TEN if day == TODAY else CLOSE))
        if n % 10 == 0:
            say(f"judged again to {day}")
    return {
        "judged": round(sum(closes), 1),
        "judged_again": round(sum(again), 1),
        "equal": digest() == first,
        "day_close": {"median": round(statistics.median(closes), 3), "most": round(max(closes), 3)},
    }


def made(pupils: int, count: int) -> dict[str, Any]:
    """The term: facts in bulk, days by the product."""
    days = school_days(count)
    began = time.perf_counter()
    school, everybody = write_school(pupils, days)
    write_facts(everybody, days)
    wrote = round(time.perf_counter() - began, 1)
    db.session.remove()
    say(f"facts written in {wrote} s")
    return {"written": wrote} | judged(db.session.get_one(School, "bench"), everybody, days)


def run(url: str, folder: Path, pupils: int, count: int) -> dict[str, Any]:
    """The whole story on one database."""
    app = create_app(config.Config(database=config.Database(url=url), secrets=config.Secrets(key_file=f"{folder}/key")))
    with app.app_context():
        empty = db.session.get(School, "bench") is None
        found = made(pupils, count) if empty else {}
        db.session.remove()
        found["taps"] = db.session.scalar(select(func.count()).select_from(Tap))
        pupil = db.session.scalars(select(Pupil.id).where(Pupil.number == "000000")).one()
        db.session.remove()
    found["pages"] = pages(app, pupil)
    with app.app_context():
        db.engine.dispose()
    return found


def databases(folder: Path, url: str, kinds: str) -> Iterator[tuple[str, str]]:
    """Name and URL of each, migrated."""
    if url:
        services.migrate(url)
        yield url.split(":", maxsplit=1)[0], url
        return
    if "sqlite" in kinds:
        services.migrate(f"sqlite:///{folder}/bench.db")
        yield "sqlite", f"sqlite:///{folder}/bench.db"
    if "postgresql" in kinds:
        with services.Postgres(folder / "postgres") as server:
            yield "postgresql", server.fresh_database()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pupils", type=int, default=1500)
    parser.add_argument("--days", type=int, default=120)
    parser.add_argument("--database-url", default="")
    parser.add_argument("--only", default="sqlite postgresql", help="one of sqlite, postgresql")
    parser.add_argument("--folder", type=Path, help="kept afterwards")
    asked = parser.parse_args()
    set_clock()
    with tempfile.TemporaryDirectory(prefix="gatebell-bench-") as name:
        folder = asked.folder or Path(name)
        folder.mkdir(exist_ok=True)
        folder.chmod(0o755)
        found = {
            kind: run(url, folder, asked.pupils, asked.days)
            for kind, url in databases(folder, asked.database_url, asked.only)
        }
    size = {"pupils": asked.pupils, "days": asked.days, "cores": os.cpu_count()}
    print(json.dumps(size | {"load": [round(each, 1) for each in os.getloadavg()]} | found, indent=1))


if __name__ == "__main__":
    main()
