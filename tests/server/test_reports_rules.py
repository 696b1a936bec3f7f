"""What counts as what, spans and their edges, and that sums agree at every level."""

import datetime as dt
import uuid

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.attendance import rules as days
from server.attendance import summary
from server.attendance.rules import State
from server.attendance.summary import Said
from server.reports import chart, rules
from server.reports.rules import Code, CodeSet, Counts, Key, Period, Span, Tally
from server.reports.service import Counted, Lot, by_time

D = dt.date
TERMS = [Span(D(2026, 2, 16), D(2026, 7, 3)), Span(D(2026, 9, 1), D(2027, 1, 22))]


@pytest.mark.parametrize(
    ("period", "day", "first", "last"),
    [
        (Period.DAY, D(2026, 11, 25), D(2026, 11, 25), D(2026, 11, 25)),
        (Period.WEEK, D(2026, 11, 30), D(2026, 11, 30), D(2026, 12, 6)),
        (Period.WEEK, D(2026, 11, 29), D(2026, 11, 23), D(2026, 11, 29)),
        (Period.MONTH, D(2028, 2, 29), D(2028, 2, 1), D(2028, 2, 29)),
        (Period.TERM, D(2026, 9, 1), D(2026, 9, 1), D(2027, 1, 22)),
        (Period.TERM, D(2026, 8, 31), D(2026, 2, 16), D(2026, 7, 3)),  # holidays belong to the term before
        (Period.TERM, D(2026, 1, 5), D(2025, 9, 7), D(2026, 1, 5)),  # before every term: the last 120 days
    ],
)
def test_a_span_holds_its_first_and_its_last_day(period: Period, day: dt.date, first: dt.date, last: dt.date) -> None:
    assert rules.span(period, day, TERMS) == Span(first, last)


def test_the_span_before_is_of_the_same_kind() -> None:
    november = Span(D(2026, 11, 1), D(2026, 11, 30))
    assert rules.before(Period.MONTH, november, TERMS) == Span(D(2026, 10, 1), D(2026, 10, 31))
    assert rules.before(Period.TERM, TERMS[1], TERMS) == TERMS[0]
    assert rules.before(Period.TERM, TERMS[0], TERMS) is None


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("", Tally()),
        ("P:am|P:pm", Tally(present=2)),
        ("L+7:am|P-12:pm", Tally(late=1, present=1, late_minutes=7, left_early=1)),
        ("E.sick:am|E.personal:pm", Tally(authorised=2)),
        ("E.trip:am|E.official:pm", Tally(elsewhere=2)),
        ("E:am", Tally(authorised=1)),
        ("A:am|U:pm|W:eve", Tally(unauthorised=1, unconfirmed=1, pending=1)),
    ],
)
def test_each_state_counts_as_the_page_says(line: str, wanted: Tally) -> None:
    assert rules.tally(summary.read(line), rules.Policy()) == wanted


def test_nothing_possible_has_no_rate() -> None:
    assert Tally().rate is None and Tally(unconfirmed=3, pending=1).rate is None
    assert Tally(present=1, late=1, elsewhere=1, authorised=1).rate == 0.75


def test_in_england_who_comes_after_the_register_closed_was_not_there() -> None:
    england = rules.Policy(codes=CodeSet.ENGLAND, register_open=30)
    assert rules.tally(summary.read("L+30:am|L+31:pm"), england) == Tally(late=1, unauthorised=1, late_minutes=61)
    codes = [
        england.used[rules.key(said, place, 30)].code for place, said in enumerate(summary.read("P:am|P:pm|L+31:x"))
    ]
    assert codes == ["/", "\\", "U"]


def test_a_schools_own_code_stands_over_the_set_and_counts_as_it_says() -> None:
    own = rules.Policy(own={Key.SICK: Code("M", Counts.NOT_COUNTED)})
    assert rules.tally(summary.read("E.sick:am|P:pm"), own) == Tally(left_out=1, present=1)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"own": {"sick": {"code": "M", "counts_as": "sometimes"}}}, rules.Policy)


def test_every_set_has_a_code_for_everything() -> None:
    for codes in CodeSet:
        assert set(rules.Policy(codes=codes).used) == set(Key)


@pytest.mark.parametrize("cell", ["=1+1", "+86138", "-3", "@sum", "\tx", "\rx"])
def test_no_cell_is_a_formula(cell: str) -> None:
    assert rules.safe(cell) == f"'{cell}"
    assert rules.safe("迟") == "迟" and rules.safe("") == "" and rules.safe(7) == "7"


def test_a_day_is_summed_up_with_its_leave() -> None:
    sessions = [days.Session("am", 28_200, 42_600), days.Session("p|m", 48_600, 61_200)]
    leave = [days.Leave(0, 43_000, "sick"), days.Leave(42_000, 43_000, "trip")]
    taps = [days.Tap(49_500, "in"), days.Tap(60_000, "out")]
    day = days.judge(sessions=sessions, policy=days.Policy(), now=80_000, taps=taps, leave=leave)
    assert summary.written(day, sessions, leave) == "E.sick:am|L+15-20:p/m"


SAID = st.builds(
    Said,
    session=st.sampled_from(["am", "pm", "晚自习"]),
    state=st.sampled_from(list(State)),
    late=st.integers(0, 90),
    early=st.integers(0, 90),
    kind=st.just(""),
).map(lambda said: Said(said.session, said.state, said.late, said.early, "sick" if said.state is State.EXCUSED else ""))
LINES = st.lists(SAID, max_size=4)


def line_of(day: list[Said]) -> str:
    """As summary.written writes it, of verdicts that a test made up."""
    verdicts = {f"{n}{said.session}": days.Verdict(said.state, said.late, said.early) for n, said in enumerate(day)}
    sessions = [days.Session(name, n, n + 1) for n, name in enumerate(verdicts)]
    leave = [days.Leave(0, 9, "sick")] if day else []
    return summary.written(days.Day(sessions=verdicts), sessions, leave)


@given(LINES)
def test_a_summary_reads_back_as_it_was_written(day: list[Said]) -> None:
    read = summary.read(line_of(day))
    assert [(said.state, said.late, said.early, said.kind) for said in read] == [
        (said.state, said.late, said.early, said.kind) for said in day
    ]


@given(
    st.lists(
        st.tuples(st.integers(0, 9), st.integers(0, 60), LINES.map(line_of)),
        max_size=40,
        unique_by=lambda each: each[:2],
    ),
    st.sampled_from(list(CodeSet)),
)
def test_sums_agree_at_every_level(facts: list[tuple[int, int, str]], codes: CodeSet) -> None:
    """Pupil -> class -> grade -> school and day -> week -> month -> term give one and the same number."""
    policy, pupils = rules.Policy(codes=codes), [uuid.UUID(int=n) for n in range(10)]
    days_ = [D(2026, 10, 12) + dt.timedelta(days=n) for n in range(61)]
    of_pupils = Counted([Lot(pupils[who], days_[when], line, 1) for who, when, line in facts], policy)
    grouped: dict[tuple[int, dt.date, str], int] = {}
    for who, when, line in facts:
        key = (who % 3, days_[when], line)
        grouped[key] = grouped.get(key, 0) + 1
    of_classes = Counted([Lot(*key, count) for key, count in grouped.items()], policy)
    assert of_pupils.total == of_classes.total
    assert of_pupils.dates == of_classes.dates
    for room in range(3):
        mine = rules.total(of_pupils.units.get(pupils[n], Tally()) for n in range(room, 10, 3))
        assert mine == of_classes.units.get(room, Tally())
    weeks = rules.total(tally for _monday, tally in by_time(Period.TERM, of_classes.dates))
    months = rules.total(of_classes.by(lambda lot: lot.date.month).values())
    assert weeks == months == of_classes.total
    held = sum(len(summary.read(line)) for _who, _when, line in facts)
    assert of_classes.total.possible + of_classes.total.apart == held


@given(st.lists(st.integers(0, 20_000), max_size=130), st.sampled_from([340, 760]))
def test_bars_stay_inside_the_picture(counts: list[int], width: int) -> None:
    drawn = chart.draw([chart.Bar(str(n), count) for n, count in enumerate(counts)], width)
    assert len(drawn.bars) == len(counts)
    assert all(bar.x >= drawn.left - 0.1 and bar.x + bar.width <= width and bar.width > 0 for bar in drawn.bars)
    assert all(
        drawn.top - 0.1 <= bar.y <= drawn.base and abs(bar.y + bar.height - drawn.base) < 0.2 for bar in drawn.bars
    )


def test_a_silent_gate_is_hatched_on_its_minutes_alone() -> None:
    bars = chart.arrival_bars({7 * 60 + 30: 5}, 28_200, [(27_000, 27_060)])
    assert [bar.label for bar in bars if bar.unsure] == ["07:30"]
    assert len(bars) == 75 and sum(bar.count for bar in bars) == 5
    assert sum(bar.count for bar in chart.tens(bars)) == 5
