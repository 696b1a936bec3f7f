"""A term of a large school: judged day by day, judged again from raw facts, and looked at through the pages.

120 school days x 1,500 pupils, about 700,000 taps, 3 % away, leave, forgotten exits, marks; on SQLite and on a
PostgreSQL of its own (without fsync), or on `--database-url`. Every tenth day is also judged at noon, as a school does.
Prints one JSON object; times in seconds.
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
from sqlalchemy import delete, func, insert, select  # noqa: E402

from server import clock, config, create_app  # noqa: E402
from server.accounts.rules import Grant  # noqa: E402
from server.accounts.service import create_user  # noqa: E402
from server.attendance import service as attendance  # noqa: E402
from server.attendance.models import PupilDay, TeacherMark  # noqa: E402
from server.calendar.models import Term  # noqa: E402
from server.db import db, new_id, transaction  # noqa: E402
from server.leave.models import Leave, LeaveKind, LeaveState  # noqa: E402
from server.people.models import Pupil, SchoolClass  # noqa: E402
from server.schools.models import School  # noqa: E402
from server.taps.models import Tap  # noqa: E402
from tests import services  # noqa: E402
from tests.server.site import Visitor  # noqa: E402

ZONE, PASSWORD = "Asia/Shanghai", "a gate and a bell"
AM, NOON, PM, END = 28_200, 42_600, 48_600, 61_200  # the default bells
CLOSE = END + 3660  # nobody is expected any more
CHUNK = 10_000
TURNS = 20


def school_days(count: int) -> list[date]:
    """The newest weekdays before today, oldest first."""
    found, day = [], clock.local_day(clock.now(), ZONE)
    while len(found) < count:
        day -= timedelta(days=1)
        found += [day] if day.weekday() < 5 else []
    return found[::-1]


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
        create_user("bench", "office", "office", PASSWORD, [Grant("office")])
    return school, [row["id"] for row in rows]


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
    """Wall and processor time of an act, after one to warm up."""
    act()
    walls, cores = [], []
    for _ in range(turns):
        wall, core = time.perf_counter(), time.process_time()
        act()
        walls.append(time.perf_counter() - wall)
        cores.append(time.process_time() - core)
    p95 = statistics.quantiles(walls, n=20)[-1]
    found = {"median": statistics.median(walls), "p95": p95, "processor_median": statistics.median(cores)}
    return {name: round(value, 4) for name, value in found.items()}


def pages(app: Flask, pupil: UUID, day: date) -> dict[str, dict[str, float]]:
    """How long each page takes the server with the whole term in its tables."""
    visitor = Visitor(app)
    assert visitor.log_in("office", PASSWORD).status_code == 303
    with app.app_context():
        room = db.session.scalar(select(Pupil.class_id).where(Pupil.id == pupil))
        db.session.remove()
    ask = f"day={day}"
    urls = ["/", "/classes", f"/classes/{room}?{ask}", f"/pupils/{pupil}?{ask}", "/find?q=Pupil 7", f"/texts?{ask}"]
    urls += [f"/reports?period={period}&{ask}" for period in ("day", "week", "month", "term")]
    urls += [
        f"/reports/classes/{room}?{ask}",
        f"/reports/classes/{room}?period=term&{ask}",
        f"/reports/pupils/{pupil}?{ask}",
    ]
    urls += [f"/reports/classes/{room}/register?{ask}"]
    plain = {str(room): "CLASS", str(pupil): "PUPIL", f"&{ask}": "", f"?{ask}": ""}
    found = {}
    for url in urls:
        name = url
        for long, short in plain.items():
            name = name.replace(long, short)
        found[name] = timed(lambda url=url: visitor.text(url))  # type: ignore[misc]
    return found


def run(url: str, folder: Path, pupils: int, count: int) -> dict[str, Any]:
    """The whole story on one database."""
    app = create_app(config.Config(database=config.Database(url=url), secrets=config.Secrets(key_file=f"{folder}/key")))
    with app.app_context():
        days = school_days(count)
        began = time.perf_counter()
        school, everybody = write_school(pupils, days)
        write_facts(everybody, days)
        taps = db.session.scalar(select(func.count()).select_from(Tap))
        wrote = time.perf_counter() - began
        db.session.remove()
        school = db.session.get_one(School, "bench")
        closes = []
        for n, day in enumerate(days):
            if n % 10 == 0:
                judge(school, everybody, day, NOON)
            closes.append(judge(school, everybody, day, CLOSE))
        first = digest()
        with transaction() as session:
            session.execute(delete(PupilDay))
        again = [judge(school, everybody, day, CLOSE) for day in days]
        equal = digest() == first
        db.session.remove()
    found = pages(app, everybody[0], days[-1])
    with app.app_context():
        db.session.remove()
        db.engine.dispose()
    return {
        "taps": taps,
        "written": round(wrote, 1),
        "judged": round(sum(closes), 1),
        "judged_again": round(sum(again), 1),
        "equal": equal,
        "day_close": {"median": round(statistics.median(closes), 3), "most": round(max(closes), 3)},
        "month_report": found["/reports?period=month"],
        "pages": found,
    }


def databases(folder: Path, url: str) -> Iterator[tuple[str, str]]:
    """Name and URL of each, migrated and empty."""
    if url:
        services.migrate(url)
        yield url.split(":", maxsplit=1)[0], url
        return
    services.migrate(f"sqlite:///{folder}/bench.db")
    yield "sqlite", f"sqlite:///{folder}/bench.db"
    with services.Postgres(folder / "postgres") as server:
        yield "postgresql", server.fresh_database()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pupils", type=int, default=1500)
    parser.add_argument("--days", type=int, default=120)
    parser.add_argument("--database-url", default="")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gatebell-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        found = {
            kind: run(url, folder, asked.pupils, asked.days) for kind, url in databases(folder, asked.database_url)
        }
    size = {"pupils": asked.pupils, "days": asked.days, "cores": os.cpu_count(), "load": round(os.getloadavg()[0], 1)}
    print(json.dumps(size | found, indent=1))


if __name__ == "__main__":
    main()
