"""Random days for property tests: every time a multiple of half a minute, crowded where the rules have corners."""

from hypothesis import strategies as st

from server.attendance import rules
from tests.server.day_oracle import STEP, Facts

TIMETABLES = [
    (),
    (rules.Session("day", 28_800, 55_800),),
    (rules.Session("am", 28_200, 42_600), rules.Session("pm", 48_600, 61_200)),
    (rules.Session("eve", 66_600, 75_600), rules.Session("am", 28_200, 42_600), rules.Session("pm", 48_600, 61_200)),
    (rules.Session("one", 28_200, 30_600), rules.Session("two", 30_600, 33_000)),  # no break between
]


def _corners(sessions: tuple[rules.Session, ...], policy: rules.Policy) -> tuple[list[int], list[int]]:
    """Where verdicts turn (bells, grace, cut-off, closing), and one step to either side of it."""
    turns = {28_200, 61_200}
    for session in sessions:
        turns |= {session.starts, session.ends, session.starts - 3600, session.ends + 3600}
        turns |= {session.starts + policy.grace * 60, session.starts + policy.absent_after * 60}
        turns |= {session.ends - policy.early * 60}
    return sorted(turns), sorted(turn + side * STEP for turn in turns for side in (-1, 1))


def moments(sessions: tuple[rules.Session, ...], policy: rules.Policy) -> st.SearchStrategy[int]:
    """Any time of the day, most of them at a corner."""
    exactly, beside = _corners(sessions, policy)
    anywhere = st.integers(0, 86_399 // STEP).map(lambda box: box * STEP)
    return st.one_of(st.sampled_from(exactly), st.sampled_from(beside), anywhere)


@st.composite
def days(draw: st.DrawFn) -> Facts:
    """One pupil's facts of one day."""
    sessions = draw(st.sampled_from(TIMETABLES))
    policy = draw(
        st.builds(rules.Policy, st.sampled_from([0, 5, 10]), st.sampled_from([0, 5]), st.sampled_from([15, 30, 45]))
    )
    moment = moments(sessions, policy)
    span = st.tuples(moment, moment).filter(lambda pair: pair[0] != pair[1]).map(sorted)
    names = st.sampled_from([*(session.name for session in sessions), "nowhere"])
    tap = st.builds(rules.Tap, moment, st.sampled_from(["in", "out"]), st.sampled_from([True] * 15 + [False]))
    mark = st.builds(rules.Mark, names, st.sampled_from(["present", "absent", "late"]), st.integers(1, 30))
    return Facts(
        sessions=sessions,
        policy=policy,
        now=draw(st.just(80_000) | moment),
        taps=tuple(draw(st.lists(tap, max_size=7))),
        leave=tuple(rules.Leave(*times, "sick") for times in draw(st.just([]) | st.lists(span, max_size=3))),
        marks=tuple(draw(st.just([]) | st.lists(mark, max_size=2))),
        gaps=tuple(rules.Gap(*times) for times in draw(st.lists(span, max_size=2))),
    )
