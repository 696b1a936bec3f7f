"""One morning of the demo school: starts everything, says where to look, keeps it running until it is told to stop."""

import http.client
import sys
import threading
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from flask import Flask
from sqlalchemy import func, select

from gateway.timebase import VARIABLE, Timebase
from server import broker, config, create_app
from server.attendance.models import PupilDay
from server.attendance.rules import Status
from server.db import db
from server.demo import gates, morning, roster, school, stage
from server.outbox.models import PhoneText
from server.supervisor import KeepsDying, Supervisor

LEAD_MS = 4000  # the clock stands at 06:40 that long, while the processes come up
PATIENCE = 60.0  # seconds for the first page
STEP = 10 * 60  # demo seconds between two lines of progress


def run(place: stage.Stage, stop: threading.Event, say: Callable[[str], None], *, embedded: bool) -> None:
    """Play the morning until `stop` is set. Raises CannotStart when a part does not come up."""
    begins = time.time_ns() // 1_000_000 + LEAD_MS
    base = stage.clock_of(place.speed, begins_ms=begins)
    with Supervisor(place.folder / "logs", say) as family:
        try:
            start(family, place, base, embedded=embedded)
            if wait_for_page(family, place, stop):
                for line in welcome(place):
                    say(line)
                family.watch(stop, Progress(place, base, say).tell)
        except KeepsDying as error:
            raise stage.CannotStart(str(error)) from None
        finally:
            say("stopping")
    say("stopped; the next start plays the same morning anew")


def start(family: Supervisor, place: stage.Stage, base: Timebase, *, embedded: bool) -> None:
    """All processes of the line, from the parents' phones back to the card readers."""
    environment = {VARIABLE: str(base), "PYTHONUNBUFFERED": "1"}
    server = [str(Path(sys.executable).with_name("gatebell"))]
    gateway = [str(Path(sys.executable).with_name("gatebell-gateway"))]
    family.start("broker", broker.command(place.broker, place.folder / "broker", embedded=embedded))
    for name in ("web", "ingest", "jobs"):
        family.start(name, [*server, "--config", str(place.config), name], environment)
    for name in gates.GATEWAYS:
        family.start(name, [*gateway, "run", "--config", str(place.gateway_config(name))], environment)
    played = ["simulate", "--script", str(place.script), "--folder", str(place.ports)]
    family.start("readers", [*gateway, *played], environment)


def wait_for_page(family: Supervisor, place: stage.Stage, stop: threading.Event) -> bool:
    """Until the first page answers; False when it was stopped before. Raises CannotStart."""
    until = time.monotonic() + PATIENCE
    while not stop.wait(0.05):
        family.check()
        if answers(place.web):
            return True
        if time.monotonic() > until:
            raise stage.CannotStart(f"no page after {PATIENCE:.0f} s; the log says:\n{family.last_words('web')}")
    return False


def answers(port: int) -> bool:
    """Whether a page comes from that port."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status < 500
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def welcome(place: stage.Stage) -> list[str]:
    """Where to look, who can log in, and what is going to happen."""
    minutes = (morning.ENDS - morning.STARTS) / 60 / place.speed
    late = morning.LATE_SENIOR + morning.LATE_JUNIOR
    return [
        "",
        f"  School           {place.url}",
        f"  Parents' phones  {place.url}/phone",
        "",
        f"  Log in with password {school.PASSWORD} as",
        *(f"    {login:10} {name}  {role}" for login, name, role in school.LOGINS),
        "",
        f"  A fresh morning, Wednesday 25 November, 06:40 to 08:20 in {minutes:.1f} minutes (--speed {place.speed:g}).",
        f"  {roster.PUPILS - morning.ABSENT} of {roster.PUPILS} pupils come through four card readers of three kinds;"
        f" {late} are late, {morning.ABSENT} stay away.",
        "  Bells: senior 07:20, junior 07:45. Noise on a line at 07:02, a lost card at 07:05, an unknown one at 07:09.",
        "",
        "  Ctrl-C ends it.",
        "",
    ]


class Progress:
    """A calm line every ten minutes of the demo's clock."""

    def __init__(self, place: stage.Stage, base: Timebase, say: Callable[[str], None]) -> None:
        self.base = base
        self.say = say
        self.app: Flask = create_app(config.load(place.config))
        self.next = base.start + STEP * 1000
        self.over = False

    def tell(self) -> None:
        """Say the line when it is due."""
        now = self.base.now_ms()
        if self.over or now < self.next:
            return
        shown = min(now, self.base.until)
        self.next += STEP * 1000
        self.say(f"  {_wall(shown)}  {self._counts()}")
        if now >= self.base.until:
            self.over = True
            self.say("  The morning is over; the school stays open, at life's own pace, until Ctrl-C.")

    def _counts(self) -> str:
        with self.app.app_context():
            states = (
                select(PupilDay.status, func.count()).where(PupilDay.date == school.TODAY).group_by(PupilDay.status)
            )
            by_status = {status: count for status, count in db.session.execute(states)}
            texts = db.session.scalar(select(func.count()).select_from(PhoneText))
            db.session.rollback()
        late, left = by_status.get(Status.LATE, 0), by_status.get(Status.LEFT, 0)
        here = by_status.get(Status.IN_SCHOOL, 0) + late
        missing = roster.PUPILS - here - left
        return f"{here:3} in school ({late} late), {missing:3} not here, {left} left, {texts:3} texts on the phones"


def _wall(shown_ms: int) -> str:
    return f"{datetime.fromtimestamp(shown_ms / 1000, ZoneInfo(stage.TIMEZONE)):%H:%M}"
