"""The judge against the written cases, against a second judge made differently, and in every order of the facts."""

import itertools
import json
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from server.attendance import cli, rules
from server.calendar import rules as calendar
from tests.conftest import SHARED
from tests.server import day_oracle
from tests.server.days import days

KEPT = Path(__file__).parents[1] / "frames" / "day-cases.jsonl"
# Ours, and those that stand beside the working tree, where there are any.
FILES = [path for path in (KEPT, SHARED / "day-cases.jsonl") if path.exists()]
CASES = list({line: json.loads(line) for path in FILES for line in path.read_text("utf-8").splitlines()}.values())
AM, PM = rules.Session("am", 28_200, 42_600), rules.Session("pm", 48_600, 61_200)


def judge(facts: day_oracle.Facts) -> rules.Day:
    return rules.judge(
        sessions=facts.sessions,
        policy=facts.policy,
        now=facts.now,
        taps=facts.taps,
        leave=facts.leave,
        marks=facts.marks,
        gaps=facts.gaps,
    )


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_written_cases_come_out_as_expected_in_any_order_of_their_facts(case: dict) -> None:
    for turned in (False, True):
        facts = {key: value[::-1] if turned and isinstance(value, list) else value for key, value in case.items()}
        verdict = json.loads(json.dumps(cli.judged(json.dumps(facts).encode()), default=asdict))
        assert verdict == {"id": case["id"]} | case["expect"]


@settings(max_examples=800, deadline=None)
@given(days())
def test_a_second_judge_made_of_half_minute_boxes_says_the_same(facts: day_oracle.Facts) -> None:
    day = judge(facts)
    found = {name: (str(verdict.state), verdict.late, verdict.early) for name, verdict in day.sessions.items()}
    assert (found, day.inside, list(day.flags)) == day_oracle.judge(facts)


@settings(max_examples=200, deadline=None)
@given(days(), st.randoms(use_true_random=False))
def test_order_and_repetition_of_facts_never_matter(facts: day_oracle.Facts, random) -> None:  # type: ignore[no-untyped-def]
    def shuffled(parts: tuple) -> tuple:  # type: ignore[type-arg]
        return tuple(random.sample(parts, len(parts)))

    doubled = facts.taps + tuple(random.choices(facts.taps, k=2) if facts.taps else ())
    turned = replace(
        facts,
        sessions=shuffled(facts.sessions),
        taps=shuffled(doubled),
        leave=shuffled(facts.leave * 2),
        marks=shuffled(facts.marks * 2),
        gaps=shuffled(facts.gaps * 2),
    )
    assert judge(turned) == judge(facts)


def test_every_permutation_of_a_busy_day_is_the_same_day() -> None:
    taps = [
        rules.Tap(27_000, "in"), rules.Tap(27_010, "in"), rules.Tap(36_000, "out"), rules.Tap(37_800, "in"),
        rules.Tap(61_300, "out"), rules.Tap(60, "in", trusted=False),
    ]  # fmt: skip
    seen = {
        rules.judge(sessions=[AM, PM], policy=rules.Policy(), now=70_000, taps=order).flags
        + tuple(map(str, rules.judge(sessions=[AM, PM], policy=rules.Policy(), now=70_000, taps=order).stays))
        for order in itertools.permutations(taps)
    }
    assert len(seen) == 1


@pytest.mark.parametrize(
    ("leave", "left"),
    [
        ([(28_200, 30_000)], (30_000, 42_600)),
        ([(28_100, 28_200)], (28_200, 42_600)),
        ([(27_000, 30_000), (30_000, 33_000)], (33_000, 42_600)),
        ([(32_000, 33_000), (29_000, 32_500), (27_000, 30_000)], (33_000, 42_600)),
        ([(36_000, 39_000), (39_000, 42_600)], (28_200, 36_000)),
        ([(42_600, 50_000)], (28_200, 42_600)),
        ([(30_000, 39_000)], (28_200, 42_600)),
    ],
)
def test_leave_shortens_from_either_end_again_and_again(leave: list, left: tuple) -> None:  # type: ignore[type-arg]
    assert calendar.shortened(AM, [rules.Leave(*span, "sick") for span in leave]) == left


@pytest.mark.parametrize(("now", "inside"), [(64_799, True), (64_800, False)])
def test_an_exit_is_forgotten_from_the_sixtieth_minute_after_the_last_bell(now: int, inside: bool) -> None:
    day = rules.judge(sessions=[AM, PM], policy=rules.Policy(), now=now, taps=[rules.Tap(27_000, "in")])
    assert (day.inside, day.flags) == (inside, () if inside else ("exit_unknown",))


def test_leave_until_the_last_bell_covers_the_end_of_the_session() -> None:
    day = rules.judge(
        sessions=[PM],
        policy=rules.Policy(),
        now=70_000,
        taps=[rules.Tap(48_000, "in"), rules.Tap(54_100, "out")],
        leave=[rules.Leave(54_000, 61_200, "personal")],
    )
    assert day.sessions["pm"] == rules.Verdict(rules.State.PRESENT)


def test_an_exit_without_an_entry_is_the_gate_having_seen_the_pupil() -> None:
    def judged(**facts) -> rules.Day:  # type: ignore[no-untyped-def]
        taps = [rules.Tap(40_000, "out")]
        return rules.judge(sessions=[AM, PM], policy=rules.Policy(), now=43_000, taps=taps, **facts)

    marked = judged(marks=[rules.Mark("am", "absent")])
    assert (marked.sessions["am"].state, marked.flags) == ("absent", ("entry_unknown", "seen_by_gate_not_class"))
    assert judged(marks=[rules.Mark("am", "late", 12)]).flags == ("entry_unknown",)
    excused = judged(leave=[rules.Leave(28_000, 43_000, "sick")])
    assert (excused.sessions["am"].state, excused.flags) == ("present", ("entry_unknown", "present_on_leave"))


def test_a_tap_just_now_counts_from_the_judging_second_on() -> None:
    taps = [rules.Tap(30_730, "in")]
    now = rules.judging_second(30_730, taps)
    day = rules.judge(sessions=[AM, PM], policy=rules.Policy(), now=now, taps=taps)
    assert day.sessions["am"] == rules.Verdict(rules.State.LATE, late=42)


def test_a_gateways_clock_slightly_ahead_hides_no_tap_and_one_far_ahead_moves_nothing() -> None:
    assert rules.judging_second(100, [rules.Tap(103, "in")]) == 104
    assert rules.judging_second(100, [rules.Tap(900, "in")]) == 101
    assert rules.judging_second(100, [rules.Tap(103, "in", trusted=False)]) == 101


def test_the_command_prints_a_verdict_a_line_and_names_bad_lines(tmp_path: Path) -> None:
    lines = [json.dumps(CASES[0]), "{nonsense", "", json.dumps({"id": "x", "now": "7:61", "sessions": []})]
    file = tmp_path / "days.jsonl"
    file.write_text("\n".join(lines))
    result = CliRunner().invoke(cli.attendance, ["judge", str(file)])
    printed = [json.loads(line) for line in result.stdout.splitlines()]
    assert result.exit_code == 1
    assert printed[0] == {"id": "ordinary"} | CASES[0]["expect"]
    assert [line["id"] for line in printed] == ["ordinary", None, "x"]
    assert "line 2: JSON is malformed" in result.stderr
    assert "line 4: '7:61' is not a time of day" in result.stderr


def test_the_command_reads_standard_input() -> None:
    text = "".join(json.dumps(case) + "\n" for case in CASES)
    result = CliRunner().invoke(cli.attendance, ["judge", "-"], input=text)
    assert result.exit_code == 0
    assert Counter(json.loads(line)["id"] for line in result.stdout.splitlines()) == Counter(c["id"] for c in CASES)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"taps": [{"at": "07:41", "dir": "up"}]}, "$.taps[0].dir"),
        ({"sessions": [{"name": "am", "starts": "09:00", "ends": "08:00"}]}, "not after its start"),
        ({"sessions": [{"name": "am", "starts": "07:00", "ends": "08:00"}] * 2}, "one name"),
        ({"now": None}, "$.now"),
        ({"policy": {"grace": "5"}}, "$.policy.grace"),
    ],
)
def test_a_bad_case_names_its_place(change: dict, says: str) -> None:
    with pytest.raises(cli.BadCase, match=r".*") as caught:
        cli.judged(json.dumps(CASES[0] | change).encode())
    assert says in str(caught.value)
