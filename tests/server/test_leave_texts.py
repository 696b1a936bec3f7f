"""Leave asked for by text: understood only when it is sure, asked back, and nobody's leave without a yes."""

import uuid
from datetime import date

import pytest
from flask import Flask
from sqlalchemy import select

from server import clock, crypt, replies
from server.db import db, transaction
from server.leave import spoken
from server.leave.models import Leave, LeaveKind, LeaveSource, LeaveState, LeaveWish
from server.leavedesk import texts
from server.outbox import inbound, segments
from server.outbox.models import InboundText, OutboxText
from server.outbox.providers.base import Heard
from server.people.models import Guardian, Guardianship, Pupil, Relation
from server.schools.models import School
from tests.server import gate

MOTHER = "+8613800000000"
TODAY = date(2026, 11, 25)  # a Wednesday
WHOLE = (0, 86_400)

SURE = [
    ("请假 3天 发烧", "sick", 25, 27, WHOLE),
    ("请假三天，发烧", "sick", 25, 27, WHOLE),
    ("leave tomorrow", "personal", 26, 26, WHOLE),
    ("林语晨明天请假一天 感冒", "sick", 26, 26, WHOLE),
    ("老师您好，孩子不舒服，今天请假，谢谢", "sick", 25, 25, WHOLE),
    ("请假 明天上午 看医生", "sick", 26, 26, (0, 43_200)),
    ("请假 今天下午 回老家", "personal", 25, 25, (43_200, 86_400)),
    ("请假11月26日到27日", "personal", 26, 27, WHOLE),
    ("请假11月26日至11月27日，两天", "personal", 26, 27, WHOLE),
    ("请假 明天 14:00-16:00", "personal", 26, 26, (50_400, 57_600)),
    ("Dear teacher, my son is sick today", "sick", 25, 25, WHOLE),
    ("sick leave for 2 days", "sick", 25, 26, WHOLE),
    ("请假　２天　咳嗽", "sick", 25, 26, WHOLE),
    ("事假 2026-11-26 to 2026-11-27", "personal", 26, 27, WHOLE),
    ("后天请假", "personal", 27, 27, WHOLE),
]
DOUBTFUL = [
    "请假",  # when?
    "请假 下周四",
    "请假半天",
    "请假两三天",
    "请假三四天",
    "请假十三天",
    "请假 15天",
    "明天不请假了",
    "取消明天的请假",
    "明天请假可以吗",
    "请假明天还是后天",
    "请假 1天 2天",
    "请假 2月30日",
    "请假 11/26",
    "请假 26号",
    "请假11月20日",  # over, or a year ahead
    "请假11月26日到27日，三天",
    "请假到周五",
    "leave on Friday",
    "sick leave next week",
    "sick leave until Friday",
    "he may leave tomorrow",
    "no leave tomorrow",
    "today leave at 3",
    "请假 明天 老师您好 周五的作业怎么办",
    "昨天请假",
    "请假 明天 16:00-14:00",
    "请假 明天 25:00-26:00",
    "请假 明天到后天 14:00-16:00",  # one of them or both?
]


@pytest.mark.parametrize(("body", "kind", "first", "last", "seconds"), SURE)
def test_a_plain_request_is_understood(body: str, kind: str, first: int, last: int, seconds: tuple[int, int]) -> None:
    found = spoken.understood(body, names=("林语晨", "语晨"), today=TODAY, second=8 * 3600)
    days = date(2026, 11, first), date(2026, 11, last)
    assert found == spoken.Spoken(kind, *days, *seconds)


@pytest.mark.parametrize("body", DOUBTFUL)
def test_whatever_is_not_sure_is_for_a_person(body: str) -> None:
    assert spoken.understood(body, names=("林语晨",), today=TODAY, second=8 * 3600) is None


def test_days_without_a_date_begin_today_in_the_morning_and_are_a_doubt_afterwards() -> None:
    assert spoken.understood("请假 1天", names=(), today=TODAY, second=12 * 3600 - 1)
    assert spoken.understood("请假 1天", names=(), today=TODAY, second=12 * 3600) is None
    assert spoken.understood("请假 今天上午", names=(), today=TODAY, second=12 * 3600) is None  # over


@pytest.fixture
def pupils(app: Flask, monkeypatch: pytest.MonkeyPatch) -> list[uuid.UUID]:
    gate.set_clock(monkeypatch, gate.at("07:30"))
    return gate.add_school(3)[1]


def say(body: str, phone: str = MOTHER) -> str:
    """A guardian's text comes in; as what it was taken."""
    with transaction() as session:
        inbound.take(session, "phone", Heard(phone, body, uuid.uuid4().hex), clock.now())
    replies.hand_out()
    db.session.rollback()
    return (
        db.session.scalars(select(InboundText).order_by(InboundText.received_at.desc(), InboundText.id))
        .all()[0]
        .handled_as
    )


def told() -> list[str]:
    return list(db.session.scalars(select(OutboxText.body).where(OutboxText.kind == "leave").order_by(OutboxText.n)))


def test_a_request_is_asked_back_and_stands_after_the_yes(pupils: list[uuid.UUID]) -> None:
    assert say("请假 明天 发烧") == "leave"
    assert told() == ["【明德学校】学生0 11月26日 病假，对吗？请回复“是”或“否”。"]
    assert db.session.scalars(select(Leave)).all() == []
    assert say("是") == "leave"
    [leave] = db.session.scalars(select(Leave))
    assert (leave.starts_at, leave.ends_at) == (gate.at("24:00"), gate.at("48:00"))
    assert (leave.state, leave.source, leave.kind) == (LeaveState.ASKED, LeaveSource.TEXT, LeaveKind.SICK)
    assert leave.reason == "请假 明天 发烧" and leave.guardian_id is not None
    assert told()[1:] == ["【明德学校】学生0 11月26日 病假已收到，请等老师批准。"]
    assert say("是") == "person"  # nothing is waited for any more


def test_a_no_drops_it_and_is_confirmed(pupils: list[uuid.UUID]) -> None:
    say("请假 明天")
    assert say("否") == "leave" and "没有登记请假" in told()[-1]
    assert say("是") == "person" and db.session.scalars(select(Leave)).all() == []


def test_a_yes_is_about_the_newest_request_alone_and_not_for_ever(
    pupils: list[uuid.UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    say("请假 明天")
    say("请假 后天")
    say("是")
    assert [leave.starts_at for leave in db.session.scalars(select(Leave))] == [gate.at("48:00")]
    say("请假 11月30日")
    gate.set_clock(monkeypatch, gate.at("20:00"))
    assert say("是") == "person"


def test_days_off_in_between_and_what_stands_already_are_for_a_person(pupils: list[uuid.UUID]) -> None:
    assert say("请假 11月27日 3天") == "person"  # a Friday
    assert say("请假 11月28日") == "person"
    say("请假 明天")
    say("是")
    assert say("病假 明天 两天") == "person"  # overlaps


def test_strangers_and_barred_or_unverified_guardians_are_not_taken(pupils: list[uuid.UUID]) -> None:
    assert say("请假 明天", "+8613911112222") == "person"
    with transaction() as session:
        session.scalars(select(Guardianship).where(Guardianship.pupil_id == pupils[0])).one().barred = True
    assert say("请假 明天") == "person"
    with transaction() as session:
        session.scalars(
            select(Guardian).where(Guardian.phone_hash == crypt.look_up("+8613800000001"))
        ).one().verified_at = None
    assert say("请假 明天", "+8613800000001") == "person"
    assert told() == [] and db.session.scalars(select(LeaveWish)).all() == []


def test_who_is_barred_before_the_yes_gets_no_leave_and_no_text(pupils: list[uuid.UUID]) -> None:
    say("请假 明天")
    with transaction() as session:
        session.scalars(select(Guardianship).where(Guardianship.pupil_id == pupils[0])).one().barred = True
    assert say("是") == "person"
    assert len(told()) == 1 and db.session.scalars(select(Leave)).all() == []


def test_of_two_children_the_text_must_name_one(pupils: list[uuid.UUID]) -> None:
    with transaction() as session:
        mother = session.scalars(select(Guardian).where(Guardian.phone_hash == crypt.look_up(MOTHER))).one()
        ship = Guardianship(school_id="mingde", pupil_id=pupils[1], guardian_id=mother.id, rank=2)
        ship.relation = Relation.MOTHER
        session.add(ship)
        for n, name in enumerate(("林语晨", "林知远")):
            session.get_one(Pupil, pupils[n]).name = name
    assert say("请假 明天") == "person"
    assert say("语晨和知远明天请假") == "person"
    assert say("知远明天请假") == "leave"
    assert told() == ["【明德学校】林知远 11月26日 事假，对吗？请回复“是”或“否”。"]


@pytest.mark.parametrize("wording", sorted(set(texts.ZH) - {"link"}))
@pytest.mark.parametrize("locale", ["zh_Hans_CN", "en"])
def test_each_text_is_one_message(pupils: list[uuid.UUID], wording: str, locale: str) -> None:
    school = db.session.get_one(School, "mingde")
    span = texts.span_of(school, gate.at("24:00"), gate.at("72:00"))
    name = "林语晨" if locale != "en" else "Lin Yuchen"
    sign = school.sign if locale != "en" else "Mingde"
    words = texts.body(texts.Said(wording, span, LeaveKind.PERSONAL), sign=sign, name=name, locale=locale)
    most = 1 if locale != "en" else 2
    assert segments.count(words).segments <= most, words
    assert "{" not in words and words.startswith("【")


def test_texts_say_part_days_and_long_spans_in_both_languages(pupils: list[uuid.UUID]) -> None:
    school = db.session.get_one(School, "mingde")
    part = texts.span_of(school, gate.at("13:00"), gate.at("16:30"))
    over = texts.span_of(school, gate.at("13:00"), gate.at("60:00"))
    assert texts.span_words(part, chinese=True) == "11月25日 13:00-16:30"
    assert texts.span_words(part, chinese=False) == "Wed 25 Nov 13:00-16:30"
    assert texts.span_words(over, chinese=True) == "11月25日 13:00至11月27日 12:00"
