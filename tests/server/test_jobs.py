"""Jobs: each in its time, one's failure is its own; and what time alone changes in a pupil's day."""

import logging
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from flask import Flask, current_app

from server import clock, jobs, pipeline
from server.attendance.models import PupilDay
from server.calendar import service as calendar
from server.db import transaction
from server.gates.models import Silence, SpoolGap
from server.people.models import Pupil
from tests.server import gate
from tests.server.ingest_worker import ROOT, wait_until


def test_the_jobs_of_all_features_are_found() -> None:
    names = {job.name for job in jobs.found()}
    assert {"gates.watch", "taps.settle_gaps", "pipeline.time_passes"} <= names


def test_each_job_runs_in_its_time_and_a_broken_one_stops_no_other(caplog: pytest.LogCaptureFixture) -> None:
    app, stop, runs = Flask("test"), threading.Event(), []

    def broken() -> None:
        runs.append("broken")
        raise ZeroDivisionError

    def often() -> None:
        runs.append(f"often in {current_app.name}")
        if runs.count("often in test") == 5:
            stop.set()

    seldom = jobs.Job("seldom", 3600, lambda: runs.append("seldom"))
    with caplog.at_level(logging.ERROR):
        jobs.loop(app, [jobs.Job("broken", 0.01, broken), jobs.Job("often", 0.01, often), seldom], stop)
    assert runs.count("seldom") == 1
    assert runs.count("broken") == jobs.failures["broken"] >= 4
    assert "job broken failed" in caplog.text and "ZeroDivisionError" in caplog.text


def statuses() -> dict[str, int]:
    found = gate.rows(PupilDay, "status")
    return {status: found.count(status) for status in found}


def pass_time(monkeypatch: pytest.MonkeyPatch, clock_time: str) -> dict[str, int]:
    gate.set_clock(monkeypatch, gate.at(clock_time))
    with current_app.app_context():
        pipeline.time_passes()
    return statuses()


@pytest.fixture
def pupils(app: Flask, monkeypatch: pytest.MonkeyPatch) -> list:
    gate.set_clock(monkeypatch, gate.at("05:00"))
    return gate.add_school()[1]


def arrive(clock_time: str, seq: int = 1, direction: str = "in") -> None:
    tap = gate.tap(seq, gate.at(clock_time), direction=direction)
    pipeline.handle([gate.delivery([tap], gate.at(clock_time))], gate.at(clock_time))


def test_every_pupil_has_a_row_from_the_opening_of_the_day(pupils, monkeypatch) -> None:
    assert pass_time(monkeypatch, "05:00") == {"not_yet": 3}


def test_who_is_missing_at_the_cut_off_is_unexplained(pupils, monkeypatch) -> None:
    pass_time(monkeypatch, "05:00")
    arrive("07:30")
    assert pass_time(monkeypatch, "07:55") == {"in_school": 1, "not_yet": 2}
    assert pass_time(monkeypatch, "10:00") == {"in_school": 1, "unexplained": 2}


def test_a_forgotten_exit_is_closed_an_hour_after_the_last_bell(pupils, monkeypatch) -> None:
    arrive("07:30")
    pass_time(monkeypatch, "17:30")
    assert gate.rows(PupilDay, "inside") == [False, False, True]
    pass_time(monkeypatch, "20:00")
    assert gate.rows(PupilDay, "inside") == [False, False, False]


def test_nobody_is_called_absent_by_a_gate_that_was_silent(pupils, monkeypatch) -> None:
    with transaction() as session:
        silence = Silence(school_id="mingde", gateway_id="gate-1", starts=gate.at("07:20"), ends=gate.at("07:50"))
        session.add(silence)
    assert pass_time(monkeypatch, "10:00") == {"unconfirmed": 3}
    with transaction() as session:
        session.get_one(Silence, silence.id).covered = True
    assert pass_time(monkeypatch, "10:01") == {"unexplained": 3}  # all its taps have come since


def test_a_gap_of_an_earlier_day_that_is_mended_clears_that_day(pupils, monkeypatch) -> None:
    with transaction() as session:
        gap = SpoolGap(school_id="mingde", gateway_id="gate-1", spool=gate.SPOOL, first_seq=4, last_seq=9)
        gap.since, gap.until, gap.seen_at = gate.at("07:00"), gate.at("08:30"), gate.at("08:30")
        session.add(gap)
    pass_time(monkeypatch, "18:00")
    assert mornings() == ["unconfirmed"] * 3
    tomorrow = "30:00"
    pass_time(monkeypatch, tomorrow)
    assert mornings() == ["unconfirmed"] * 3
    with transaction() as session:
        session.get_one(SpoolGap, gap.id).closed_at = gate.at(tomorrow)
    pass_time(monkeypatch, "30:01")
    assert mornings() == ["absent"] * 3


def test_disorder_on_the_way_judges_nobody_and_opens_no_day_before_the_first(pupils, monkeypatch) -> None:
    arrive("07:30", seq=2)  # its first number is still on the way
    assert sum(pass_time(monkeypatch, "07:30:05").values()) == 3
    assert len(gate.rows(SpoolGap, "id")) == 1
    assert sum(pass_time(monkeypatch, "07:31").values()) == 3  # now it counts, from the day before on
    assert set(gate.rows(PupilDay, "date")) == {gate.DAY}


def mornings() -> list[str]:
    return [
        row.verdict["sessions"]["am"]["state"] for row in gate.rows(PupilDay, "date", "verdict") if row.date == gate.DAY
    ]


def test_a_day_off_has_no_rows(pupils, monkeypatch) -> None:
    with transaction() as session:
        calendar.set_off(session, "mingde", days=[gate.DAY])
    assert pass_time(monkeypatch, "10:00") == {}


def test_a_pupil_that_comes_to_the_school_today_has_a_row_soon(pupils, monkeypatch) -> None:
    assert sum(pass_time(monkeypatch, "05:00").values()) == 3
    with transaction() as session:
        first = session.get_one(Pupil, pupils[0])
        new = Pupil(school_id="mingde", class_id=first.class_id, number="9", name="新", created_at=gate.at("05:00"))
        session.add(new)
    now = time.monotonic()
    monkeypatch.setattr("server.attendance.turns.time.monotonic", lambda: now + 61)
    assert sum(pass_time(monkeypatch, "05:01").values()) == 4


def test_time_is_looked_at_without_judging_while_nothing_changes(pupils, monkeypatch) -> None:
    pass_time(monkeypatch, "05:00")
    judged: list[int] = []
    monkeypatch.setattr(pipeline, "_judge_again", lambda school, day, chunk: judged.append(len(chunk)))
    pass_time(monkeypatch, "05:30")
    assert judged == []
    monkeypatch.setattr(pipeline, "CHUNK", 2)
    pass_time(monkeypatch, "10:00")
    assert judged == [2, 1]


def test_a_look_that_failed_is_made_again(pupils, monkeypatch) -> None:
    real = pipeline._judge_again
    monkeypatch.setattr(pipeline, "_judge_again", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        pass_time(monkeypatch, "05:00")
    monkeypatch.setattr(pipeline, "_judge_again", real)
    assert pass_time(monkeypatch, "05:01") == {"not_yet": 3}


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_jobs_process_runs_and_ends_cleanly(settings, pupils, tmp_path: Path) -> None:
    with transaction() as session:
        today = clock.local_day(datetime.now(UTC), "Asia/Shanghai")
        calendar.set_make_up(session, "mingde", day=today, as_weekday=0)
    environment = {
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": str(ROOT),
        "GATEBELL_DATABASE__URL": settings.database.url,
        "GATEBELL_SECRETS__KEY_FILE": settings.secrets.key_file,
    }
    command = [sys.executable, "-m", "server", "jobs"]
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL) as process:
        try:
            wait_until(lambda: gate.rows(PupilDay, "pupil_id"))
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0
        finally:
            process.kill()
