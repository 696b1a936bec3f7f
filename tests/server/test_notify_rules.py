"""Which texts events deserve and in which words: the event's own time, one message, one text a number."""

import datetime as dt
import uuid
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.attendance.news import Event, Kind
from server.notify import rules
from server.notify.rules import Contact, GatePolicy, Happening, Notice
from server.outbox import segments

CHINA = dt.timezone(dt.timedelta(hours=8))
AT = dt.datetime(2026, 11, 25, 7, 41, 30, tzinfo=CHINA)
MOTHER = Contact(uuid.UUID(int=1), "+8613800000001", "zh_Hans_CN")
FATHER = Contact(uuid.UUID(int=2), "+8613800000002", "en")


def happening(kind: Kind = Kind.IN, *, late: int = 0, early: int = 0, gate: str | None = "1号门") -> Happening:
    at = None if kind is Kind.UNSURE else AT
    return Happening(Event(kind, 1, None if at is None else 27_690, late=late, early=early), at, gate)


def planned(*happenings: Happening, now: dt.datetime = AT, **changes: object) -> list[Notice]:
    words = {"pupil": "林语晨", "sign": "明德学校", "contacts": [MOTHER], "policy": GatePolicy(), **changes}
    return rules.plan(happenings, now=now, **words)  # type: ignore[arg-type]


@pytest.mark.parametrize(("event", "zh", "en"), [
    (happening(), "林语晨 07:41 已到校（1号门）。", "林语晨 07:41 arrived at school (1号门)."),
    (happening(gate=None), "林语晨 07:41 已到校。", "林语晨 07:41 arrived at school."),
    (happening(late=7), "林语晨 07:41 到校（迟到 7 分钟），1号门。", "林语晨 07:41 arrived 7 min late (1号门)."),
    (happening(late=7, gate=None), "林语晨 07:41 到校（迟到 7 分钟）。", "林语晨 07:41 arrived 7 min late."),
    (happening(Kind.OUT), "林语晨 07:41 已离校（1号门）。", "林语晨 07:41 left school (1号门)."),
    (happening(Kind.OUT, early=30), "林语晨 07:41 离校（早退 30 分钟），1号门。",
     "林语晨 07:41 left school 30 min early (1号门)."),
    (happening(Kind.UNSURE), "林语晨 已到校（1号门），刷卡时间待核实。",
     "林语晨 arrived at school (1号门); time not confirmed."),
])  # fmt: skip
def test_the_words_of_each_event_in_both_languages(event: Happening, zh: str, en: str) -> None:
    chinese, english = planned(event, contacts=[MOTHER, FATHER])
    assert (chinese.body, english.body) == (f"【明德学校】{zh}", f"【明德学校】{en}")


@pytest.mark.parametrize(("event", "wording"), [
    (happening(), "arrived"),
    (happening(late=1), "late"),
    (happening(Kind.OUT), "left"),
    (happening(Kind.OUT, early=1), "left_early"),
    (happening(Kind.UNSURE), "unsure"),
])  # fmt: skip
def test_the_wording_is_named(event: Happening, wording: str) -> None:
    assert [notice.wording for notice in planned(event)] == [wording]


def test_a_late_text_says_its_own_time_and_that_the_system_was_late() -> None:
    (notice,) = planned(happening(), now=AT + dt.timedelta(minutes=11))
    assert notice.body == "【明德学校】林语晨 07:41 已到校（1号门）。[系统延迟补发]"
    (notice,) = planned(happening(), now=AT + dt.timedelta(minutes=11), contacts=[FATHER])
    assert notice.body == "【明德学校】林语晨 07:41 arrived at school (1号门). [sent late]"
    (notice,) = planned(happening(), now=AT + dt.timedelta(minutes=10))
    assert "补发" not in notice.body


def test_what_is_too_old_is_no_news() -> None:
    assert planned(happening(), now=AT + dt.timedelta(minutes=120)) == []
    assert len(planned(happening(), now=AT + dt.timedelta(minutes=119))) == 1
    policy = GatePolicy(max_age_minutes=30)
    assert planned(happening(), now=AT + dt.timedelta(minutes=30), policy=policy) == []


def test_a_text_is_useful_as_long_as_its_event_is_news() -> None:
    (notice,) = planned(happening(), now=AT + dt.timedelta(minutes=5))
    assert (notice.event_at, notice.expires_at) == (AT, AT + dt.timedelta(minutes=120))
    (notice,) = planned(happening(Kind.UNSURE))
    assert (notice.event_at, notice.expires_at) == (AT, AT + dt.timedelta(minutes=120))


def test_a_school_may_switch_either_direction_off() -> None:
    both = (happening(), happening(Kind.OUT), happening(Kind.UNSURE))
    assert [n.event.kind for n in planned(*both, policy=GatePolicy(arrivals=False))] == ["out"]
    assert [n.event.kind for n in planned(*both, policy=GatePolicy(departures=False))] == ["in", "unsure"]


def test_one_number_gets_one_text_from_the_first_of_the_contacts() -> None:
    same = replace(FATHER, phone=MOTHER.phone)
    notices = planned(happening(), contacts=[MOTHER, same, replace(FATHER, phone="+8613800000003")])
    assert [(n.contact.guardian_id.int, n.contact.phone[-1]) for n in notices] == [(1, "1"), (2, "3")]


def test_a_gate_that_does_not_fit_is_left_out_before_a_name_is_cut() -> None:
    (notice,) = planned(happening(gate="门" * 60))
    assert notice.body == "【明德学校】林语晨 07:41 已到校。"
    (notice,) = planned(happening(), pupil="Maximiliane Alexandrovna von Hohenstein-Wittelsbach the Younger of Yunnan")
    assert notice.body == "【明德学校】Maximiliane Alexandrovna von Hohenstein-Wittelsbach… 07:41 已到校。"


def test_an_unknown_language_is_told_in_chinese() -> None:
    assert planned(happening(), contacts=[replace(MOTHER, locale="bo")])[0].body.endswith("已到校（1号门）。")
    assert planned(happening(), contacts=[replace(MOTHER, locale="en-GB")])[0].body.endswith("(1号门).")


@given(
    pupil=st.text(min_size=1, max_size=80).filter(lambda name: bool(name.split())),
    gate=st.none() | st.text(max_size=60),
    kind=st.sampled_from(list(Kind)),
    minutes=st.integers(0, 700),
    locale=st.sampled_from(["zh_Hans_CN", "en"]),
    age=st.integers(0, 119),
)
def test_every_text_is_one_message_with_one_sign(
    pupil: str, gate: str | None, kind: Kind, minutes: int, locale: str, age: int
) -> None:
    event = happening(kind, late=minutes if kind is Kind.IN else 0, early=minutes if kind is Kind.OUT else 0, gate=gate)
    contact = replace(MOTHER, locale=locale)
    now = AT + dt.timedelta(minutes=age)
    (notice,) = planned(event, pupil=pupil, sign="一" * 20, contacts=[contact], now=now)
    assert segments.count(notice.body).segments == 1
    assert notice.body.count("【") == notice.body.count("】") == 1
    assert kind is Kind.UNSURE or "07:41" in notice.body
