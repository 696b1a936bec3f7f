"""Who must be looked for, and when a class is complete."""

import pytest

from server.rollcall import rules
from server.rollcall.rules import Known, Standing, Tally, standing

HOUR = 3600


@pytest.mark.parametrize(
    ("known", "blind_until", "expected"),
    [
        (Known("in_school", inside=True), None, Standing.INSIDE),
        (Known("late", inside=True), None, Standing.INSIDE),
        (Known("in_school"), None, Standing.INSIDE),  # a teacher saw what no gate did
        (Known("in_school", inside=True, absent_by_teacher=True), None, Standing.DISPUTED),
        (Known("unconfirmed"), None, Standing.UNCONFIRMED),
        (Known("not_yet"), None, None),
        (Known("not_yet"), 7 * HOUR, Standing.UNCONFIRMED),
        (Known("unexplained"), None, None),
        (Known("unexplained"), 9 * HOUR, Standing.UNCONFIRMED),  # came while the gate was blind, perhaps
        (Known("left", last_out=10 * HOUR), None, None),
        (Known("left", last_out=10 * HOUR), 9 * HOUR, None),  # the gate saw them go after it was mended
        (Known("left", last_out=10 * HOUR), 11 * HOUR, Standing.UNCONFIRMED),  # may be back, unseen
        (Known("left", exit_unknown=True), None, Standing.UNCONFIRMED),  # the day closed, and nobody saw them go
        (Known("excused"), 9 * HOUR, None),
        (Known("excused", inside=True), None, Standing.INSIDE),  # on leave, and came all the same
        (Known("off"), 9 * HOUR, None),
        (Known("off", inside=True), None, Standing.INSIDE),
    ],
)
def test_whoever_is_or_may_be_inside_is_looked_for(
    known: Known, blind_until: int | None, expected: Standing | None
) -> None:
    assert standing(known, blind_until) == expected


def test_a_class_with_somebody_in_doubt_is_never_complete() -> None:
    count = rules.tally([("inside", True), ("inside", True), ("unconfirmed", False)])
    assert (count.missing, count.doubtful_missing, count.is_complete) == (0, 1, False)
    assert not rules.tally([("inside", True), ("disputed", False)]).is_complete
    assert rules.tally([("inside", True), ("disputed", True), ("unconfirmed", True)]).is_complete


def test_tallies_add_up_and_the_most_missing_come_first() -> None:
    one, two = Tally(3, 1, 2, 0), Tally(5, 5, 1, 1)
    assert one + two == Tally(8, 6, 3, 1)
    assert sorted([two, one, Tally(4, 2, 9, 0)], key=rules.urgency) == [Tally(4, 2, 9, 0), one, two]


@pytest.mark.parametrize("text", ["=1+1", "+86", "-2", "@SUM(A1)", "\t=1", "\r=1"])
def test_no_cell_is_a_formula(text: str) -> None:
    assert rules.cell(text) == f"'{text}"
    assert rules.cell("王敏") == "王敏"
