"""A server that is restored from an old backup gets back every tap of the last seven days from its gates, once.

Two real gates, a real broker, real ingest and jobs, and days of cards; the clock of all is set on from day to day.
"""

import contextlib
import shutil
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from gateway.timebase import Timebase
from server import clock, create_app
from server.db import db
from tests import services
from tests.durability import line
from tests.durability.full import PATIENCE_S
from tests.durability.server_child import settings
from tests.gateway.ends import until
from tests.server import gate

pytestmark = [pytest.mark.slow, pytest.mark.mosquitto]
TODAY = gate.SEVEN
DAYS = [TODAY - timedelta(days=ago) for ago in (9, 5, 1)]  # the first is older than what gates keep
PUPILS = 12


@dataclass
class World:
    """A school whose machines are started anew every morning."""

    folder: Path
    url: str
    broker: services.Mosquitto
    postgres: services.Postgres | None
    cards: int = 0
    greens: dict[str, datetime] = field(default_factory=dict)  # by tap: the morning on which it was green

    def copy(self) -> str:
        """A backup of the database, which nobody uses now."""
        if self.postgres:
            return self.postgres.copy(self.url)
        path = self.folder / f"backup-{uuid.uuid4().hex}.db"
        for tail in ("", "-wal"):
            if (source := Path(self.url.removeprefix("sqlite:///") + tail)).exists():
                shutil.copy(source, f"{path}{tail}")
        return f"sqlite:///{path}"

    @contextlib.contextmanager
    def morning(self, day: datetime, *roles: str) -> Iterator[list[line.Gate]]:
        """Everything runs and shows seven o'clock of a day."""
        shown = str(Timebase(start=(at := clock.to_millis(day)), begins=time.time_ns() // 1_000_000, until=at))
        with contextlib.ExitStack() as after:
            for role in roles:
                words = ("tests.durability.server_child", role, str(self.folder), self.url, self.broker.url)
                after.enter_context(line.Child(self.folder / f"{role}.log", *words, clock=shown))
            gates = [self._gate(name, shown) for name in ("gate-1", "gate-2")]
            for each in gates:
                after.enter_context(each)
            for each in gates:
                until(each.listens, seconds=PATIENCE_S)
            yield gates
            for each in gates:
                self.greens |= dict.fromkeys(each.greens, day)

    def _gate(self, name: str, shown: str) -> line.Gate:
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        each = line.Gate(folder, folder / "data", self.broker.url, clock=shown, name=name)
        each.starts = each.log.read_text().count("reader east up") if each.log.exists() else 0
        return each

    def crowd(self, gates: list[line.Gate], count: int) -> None:
        """Pupils at both gates in turn; all see green, and the server has them."""
        for n in range(count):
            at, lit = gates[n % 2], len(gates[n % 2].greens)
            at.cable.touch(gate.card_of(1 + self.cards % (PUPILS - 1)))
            self.cards += 1
            until(lambda at=at, lit=lit: len(at.greens) > lit, seconds=PATIENCE_S)
        self.rest(gates)

    def rest(self, gates: list[line.Gate]) -> None:
        """No gate holds anything back."""
        until(lambda: all(each.unsent() == 0 for each in gates), seconds=PATIENCE_S)

    def ask(self, sql: str, url: str = "") -> list[tuple[object, ...]]:
        """Rows of the database."""
        engine = create_engine(url or self.url)
        with engine.connect() as connection:
            rows = [tuple(row) for row in connection.execute(text(sql))]
        engine.dispose()
        return rows

    def kept(self) -> Counter[str]:
        """How often each tap stands in the table."""
        return Counter(str(uuid.UUID(str(id))) for (id,) in self.ask("SELECT id FROM tap"))

    def days(self, since: datetime, url: str = "") -> dict[tuple[str, str], tuple[object, ...]]:
        """What all days from then on were judged to; not what is only said while a day lasts."""
        rows = self.ask("SELECT pupil_id, date, late_minutes, first_in, last_out FROM pupil_day", url)
        day = str((since + timedelta(hours=8)).date())
        return {(str(pupil), str(on)): tuple(map(str, rest)) for pupil, on, *rest in rows if str(on) >= day}


@pytest.fixture
def world(
    database_url: str,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    mosquitto: services.Mosquitto,
    monkeypatch: pytest.MonkeyPatch,
) -> World:
    """A school that opens ten days ago."""
    monkeypatch.setattr(clock, "_base", Timebase(start=clock.to_millis(DAYS[0]), begins=0, until=2**50))
    app = create_app(settings(str(tmp_path), database_url, ""))
    with app.app_context():
        gate.add_school(PUPILS)
        db.session.remove()
        db.engine.dispose()
    server = request.getfixturevalue("postgres") if database_url.startswith("postgres") else None
    return World(tmp_path, database_url, mosquitto, server)


@pytest.mark.parametrize("backup_after", [0, 2], ids=["before-the-gates-had-any-tap", "of-five-days-ago"])
def test_every_tap_of_seven_days_comes_back_once_and_nobody_is_told_again(world: World, backup_after: int) -> None:
    backup = world.copy()
    for n, day in enumerate(DAYS, 1):
        with world.morning(day, "ingest") as gates:
            world.crowd(gates, 6)
        backup = world.copy() if n == backup_after else backup
    before, world.url = world.url, backup
    texts = len(world.ask("SELECT id FROM outbox_text"))
    with world.morning(TODAY, "ingest", "jobs") as gates:
        world.crowd(gates, 3)  # new taps come in between
        kept = {tap for tap, day in world.greens.items() if TODAY - day < timedelta(days=7)}
        until(lambda: kept <= world.kept().keys(), seconds=PATIENCE_S + 60)
        until(lambda: not world.ask("SELECT id FROM spool_gap WHERE closed_at IS NULL"), seconds=PATIENCE_S)
        world.crowd(gates, 1)
    stored = world.kept()
    assert set(stored.values()) == {1}
    assert kept | {tap for tap, day in world.greens.items() if day == TODAY} <= stored.keys()
    old = world.days(DAYS[1], before)
    assert old == {key: value for key, value in world.days(DAYS[1]).items() if key in old}
    assert len(old) == 12
    new = world.ask("SELECT day FROM outbox_text")
    assert len(new) - texts == 4  # those of today
    lost = world.ask("SELECT count(*) FROM spool_gap WHERE lost_at IS NOT NULL")[0][0]
    assert lost == (0 if backup_after else 2)  # what no gate keeps any more is an incident, one for each gate
