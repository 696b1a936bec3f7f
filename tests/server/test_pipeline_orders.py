"""In whatever order and in whatever batches the taps of a day come in, the day and the texts are the same."""

from itertools import permutations

import pytest
from flask import Flask

from gateway import wire
from server import pipeline
from server.attendance.models import PupilDay
from server.attendance.service import DayChange
from tests.server import gate

MORNINGS = {
    "out for lunch and back": [("07:41", "in"), ("11:55", "out"), ("13:20", "in"), ("17:05", "out")],
    "the entry was missed": [("11:55", "out"), ("13:20", "in"), ("13:21", "in"), ("17:05", "out")],
    "a gate for both ways": [("07:41", "both"), ("07:41:30", "both"), ("11:55", "both"), ("13:20", "both")],
    "late, and a clock not set": [("08:20", "in"), ("09:00", "unsure"), ("11:55", "out"), ("11:56", "out")],
}
COLUMNS = ("status", "late_minutes", "inside", "first_in", "last_out", "verdict")


def made(n: int, morning: list[tuple[str, str]]) -> list[wire.Tap]:
    taps = []
    for k, (when, way) in enumerate(morning, 1):
        changes = {"direction": "in", "clock": "unsynced", "boot": "other"} if way == "unsure" else {"direction": way}
        taps.append(gate.tap(10 * n + k, gate.at(when), card=gate.card_of(n), **changes))
    return taps


@pytest.mark.parametrize("morning", MORNINGS.values(), ids=MORNINGS)
def test_every_order_gives_the_same_day_and_the_same_texts(app: Flask, monkeypatch, morning) -> None:
    evening = gate.at("17:30")
    gate.set_clock(monkeypatch, evening)
    told: dict[object, list[tuple[str, int]]] = {}
    monkeypatch.setattr(pipeline.notify, "announce", lambda school, changes, now: _note(told, changes))
    orders = list(permutations(range(len(morning))))
    _, pupils = gate.add_school(len(orders) + 1)
    taps = [made(n, morning) for n in range(len(pupils))]
    for k in range(len(morning)):
        step = [taps[n][order[k]] for n, order in enumerate(orders)]
        pipeline.handle([gate.delivery(step[i : i + 50], evening) for i in range(0, len(step), 50)], evening)
    pipeline.handle([gate.delivery(taps[-1], evening)], evening)  # and one pupil whose taps came all at once
    days = [_without_memory(row) for row in gate.rows(PupilDay, *COLUMNS)]
    assert len(days) == len(pupils)
    assert set(days) == {days[0]}
    if not any(way == "both" for _, way in morning):  # there, only a later fact may show which way it went
        assert len(told) == len(pupils)
        assert len({tuple(sorted(events)) for events in told.values()}) == 1


def _note(told: dict[object, list[tuple[str, int]]], changes: list[DayChange]) -> None:
    """What notify is asked to tell, whatever it then finds too old."""
    for change in changes:
        told.setdefault(change.pupil_id, []).extend((event.kind, event.n) for event in change.change.events)


def _without_memory(row) -> str:
    """A day as it is kept; the times that were told stay in the order of telling."""
    *columns, verdict = row
    return repr([columns, {name: value for name, value in sorted(verdict.items()) if name != "told"}])
