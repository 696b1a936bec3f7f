"""The chart of arrivals: its window, its lines and its table."""

import pytest

from server.overview import chart
from server.overview.chart import Morning

H, M = 3600, 60
BELLS = [(7 * H + 20 * M, "senior"), (7 * H + 45 * M, "junior")]


def morning(**fields: object) -> Morning:
    """A morning with the sample's bells."""
    usual: dict[str, object] = {"today": {}, "before": {}, "bells": BELLS, "silences": (), "now": None}
    return Morning(**{**usual, **fields})  # type: ignore[arg-type]


def test_the_window_begins_well_before_the_first_bell_and_ends_after_the_last() -> None:
    assert chart.window(at for at, _ in BELLS) == (6 * H + 30 * M, 8 * H + 10 * M)
    assert chart.window(()) == (7 * H + 10 * M, 8 * H + 30 * M)


def test_only_the_minutes_of_the_window_count() -> None:
    found = chart.minutes({7 * 60: 2, 7 * 60 + 1: 1, 7 * 60 - 1: 5, 7 * 60 + 10: 5}, 7 * H, 7 * H + 10 * M)
    assert found == [2, 1, 0, 0, 0, 0, 0, 0, 0, 0]


@pytest.mark.parametrize("width", [760, 340])
def test_nothing_is_drawn_outside_the_picture(width: int) -> None:
    crowd = {7 * 60 + n: n % 17 for n in range(50)}
    drawn = chart.draw(morning(today=crowd, before=crowd, silences=[(0, 24 * H)], now=7 * H + 52 * M), width)
    places = [tuple(map(float, place.split(","))) for place in f"{drawn.today} {drawn.area} {drawn.before}".split()]
    assert all(0 <= x <= width and 0 <= y <= drawn.height for x, y in places)
    assert all(band.x >= 0 and band.x + band.width <= width for band in drawn.bands)
    assert all(drawn.top <= label.at <= drawn.base for label in drawn.counts)


def test_today_is_drawn_until_now_and_the_day_before_to_the_end() -> None:
    drawn = chart.draw(morning(today={7 * 60: 1}, before={7 * 60: 1}, now=7 * H + 10 * M), 760)
    assert drawn.now is not None
    assert len(drawn.today.split()) == 40 and len(drawn.before.split()) == 100


def test_before_the_window_there_is_no_line_and_no_now() -> None:
    drawn = chart.draw(morning(now=5 * H), 760)
    assert drawn.today == "" and drawn.area == "" and drawn.now is None


def test_after_the_window_the_morning_stays_and_now_is_gone() -> None:
    drawn = chart.draw(morning(today={7 * 60: 1}, now=15 * H), 760)
    assert len(drawn.today.split()) == 100 and drawn.now is None


@pytest.mark.parametrize(("count", "top"), [(0, 4), (3, 4), (5, 8), (29, 40), (101, 200), (5000, 4000)])
def test_the_axis_ends_on_a_round_number(count: int, top: int) -> None:
    drawn = chart.draw(morning(today={7 * 60: count}), 760)
    assert [label.text for label in drawn.counts][-1] == str(top)


def test_the_table_has_the_same_numbers() -> None:
    slots = chart.table(morning(today={7 * 60: 1, 7 * 60 + 9: 1, 7 * 60 + 10: 1}, before={7 * 60: 1}))
    assert [(slot.starts, slot.today, slot.before) for slot in slots if slot.today] == [
        ("07:00", 2, 1),
        ("07:10", 1, 0),
    ]
    assert len(slots) == 10
