"""Self-tests before the bell: asked in time, judged fairly, told once, and never a wolf that is not there."""

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import select

from gateway import config as gate_config
from gateway import wire
from gateway.app import Gateway as Pi
from server import clock, pipeline, settings
from server.calendar import service as calendar
from server.config import Config
from server.db import db, transaction
from server.gates import jobs, rules, selftests, service, words
from server.gates.models import Caretaker, GateFault, GateTest, Gateway, Silence
from server.notify import caretakers
from server.notify import jobs as notify_jobs
from server.outbox import segments
from server.outbox.models import OutboxText
from server.schools.models import School
from tests import services
from tests.gateway.ends import Cable, running
from tests.server import gate
from tests.server.ingest_worker import Worker, wait_until
from tests.server.test_gates import say, state

ROOT = Path(__file__).parents[2]
DOWN = {"down", "mute"}  # with the reason behind them
FINE = {"spool": "ok", "room": "ok", "server": "ok", "clock": "ok", "power": "ok", "reader lane-1": "ok"}


class Bell:
    """A school whose first bell is at 07:50, with one gate and a caretaker; its clock is set by hand."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.patch = patch
        self.at("07:00")
        self.school, self.pupils = gate.add_school()
        with transaction() as session:
            selftests.add_caretaker(session, self.school, name="王师傅", phone="+8613900000001", locale="zh_Hans_CN")
        self.hear()

    def at(self, clock_time: str) -> None:
        """It is that time now."""
        gate.set_clock(self.patch, gate.at(clock_time))

    def hear(self, **changes: object) -> None:
        """The gate is heard."""
        say(state(clock.now(), **changes), clock.now())

    def pass_(self) -> None:
        """All jobs have their turn."""
        jobs.want_tests()
        jobs.judge_tests()
        notify_jobs.tell_caretakers()

    def questions(self) -> list[selftests.Question]:
        """What ingest would send now."""
        with transaction() as session:
            return selftests.take_unsent(session, clock.now())

    def answer(self, question: selftests.Question, **checks: str) -> None:
        """The gate answers; names of checks with _ for a blank."""
        found = FINE | {name.replace("_", " ", 1).replace("_", "-"): words for name, words in checks.items()}
        number = question.command.number
        self.hear(tested=wire.Tested(number=number, at=clock.to_millis(clock.now()), checks=found))

    def test(self, clock_time: str, **checks: str) -> None:
        """A self-test at that time, asked for, sent, answered, judged and told."""
        self.at(clock_time)
        self.pass_()
        (question,) = self.questions()
        self.answer(question, **checks)
        self.pass_()

    @property
    def texts(self) -> list[str]:
        """What the caretaker is told, in order."""
        db.session.rollback()
        return list(db.session.scalars(select(OutboxText.body).order_by(OutboxText.created_at, OutboxText.kind)))

    @property
    def faults(self) -> list[tuple[str, str, bool]]:
        """Part, words, mended."""
        return [(part, found, at is not None) for part, found, at in gate.rows(GateFault, "part", "found", "mended_at")]


@pytest.fixture
def bell(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bell]:
    """The school."""
    return Bell(monkeypatch)


def test_the_gate_is_asked_twenty_minutes_before_the_first_bell_and_once(bell: Bell) -> None:
    for early in ("06:00", "07:29:50"):
        bell.at(early)
        bell.pass_()
        assert bell.questions() == []
    bell.at("07:30:05")
    bell.pass_()
    (question,) = bell.questions()
    assert question.gateway_id == "gate-1" and abs(question.command.sent - clock.to_millis(clock.now())) < 2_000
    bell.answer(question)
    for later in ("07:31", "07:45", "08:20", "12:00"):
        bell.at(later)
        bell.pass_()
        assert bell.questions() == []
    assert bell.faults == [] and bell.texts == []


def test_the_minutes_are_a_setting_and_so_is_the_test(bell: Bell) -> None:
    with transaction() as session:
        settings.set_policy(session, "mingde", rules.SelfTestPolicy, minutes_before_bell=45)
    bell.at("07:06")
    bell.pass_()
    assert len(bell.questions()) == 1
    with transaction() as session:
        settings.set_policy(session, "mingde", rules.SelfTestPolicy, self_test=False)
        session.execute(db.delete(GateTest))
    bell.at("07:30")
    bell.pass_()
    assert bell.questions() == []


def test_a_day_off_a_resting_gate_and_one_never_heard_are_left_alone(bell: Bell) -> None:
    with transaction() as session:
        session.add(Gateway(school_id="mingde", id="gate-9", name="gate-9"))
        calendar.set_off(session, "mingde", days=[gate.DAY])
    bell.at("07:31")
    bell.pass_()
    assert bell.questions() == []
    with transaction() as session:
        calendar.set_make_up(session, "mingde", day=gate.DAY, as_weekday=2)
        selftests.rest(session, "mingde", "gate-1", clock.now())
    bell.pass_()
    assert bell.questions() == [] and gate.rows(GateTest, "gateway_id") == []
    with transaction():
        selftests.use("mingde", "gate-1")
    bell.pass_()
    assert [each.gateway_id for each in bell.questions()] == ["gate-1"]  # and still not the one never heard


def test_a_fault_is_told_once_a_day_with_gate_fault_and_remedy_and_once_when_it_is_mended(bell: Bell) -> None:
    bell.test("07:30:05", reader_lane_1="down held ModemManager")
    assert bell.faults == [("reader lane-1", "down held ModemManager", False)]
    (text,) = bell.texts
    assert (
        text == "【明德学校】gate-1自检未通过：读卡器 lane-1 被程序 ModemManager 占用。请让管理员从树莓派上卸载该程序。"
    )
    bell.test("07:33", reader_lane_1="down held ModemManager")  # tested again by itself
    bell.test("07:36", reader_lane_1="down missing")  # the same part with another word is the same trouble
    assert len(bell.texts) == 1 and bell.faults == [("reader lane-1", "down missing", False)]
    bell.test("07:40")
    assert bell.faults == [("reader lane-1", "down missing", True)]
    assert bell.texts[1:] == ["【明德学校】gate-1自 07:40 起恢复正常（此前：读卡器 lane-1 没有连接）。"]
    bell.at("07:50")
    bell.pass_()
    assert bell.questions() == [] and len(bell.texts) == 2
    with transaction() as session:
        selftests.by_hand(session, bell.school, "gate-1", clock.now())
    (question,) = bell.questions()
    bell.answer(question, reader_lane_1="no-answer")
    bell.pass_()
    assert len(bell.texts) == 2 and bell.faults == [("reader lane-1", "no-answer", False)]  # once a day


def test_two_faults_are_two_texts_in_a_lane_of_their_own(bell: Bell) -> None:
    bell.test("07:30:05", spool="unwritten", clock="wrong -400")
    rows = gate.rows(OutboxText, "kind", "lane", "wording", "phone")
    assert rows == [("gate_fault", "alert", "gate_fault", "+8613900000001")] * 2
    assert {row[0] for row in gate.rows(GateFault, "part", "found")} == {"spool", "clock"}


def test_no_answer_within_a_minute_is_a_fault_and_a_late_answer_mends_it(bell: Bell) -> None:
    bell.at("07:30:05")
    bell.pass_()
    (question,) = bell.questions()
    bell.at("07:30:50")
    bell.pass_()
    assert bell.faults == []
    bell.at("07:31:10")
    bell.pass_()
    assert bell.faults == [("answer", "none", False)]
    assert bell.texts == ["【明德学校】gate-1自检未通过：网关没有应答。请检查电源和网络。"]
    bell.answer(question)
    bell.pass_()
    assert bell.faults == [("answer", "none", True)] and len(bell.texts) == 2


def test_a_question_that_we_could_not_send_is_not_the_gates_fault(bell: Bell) -> None:
    bell.at("07:30:05")
    bell.pass_()
    bell.at("07:31:10")
    bell.pass_()
    assert bell.faults == [("answer", "unasked", False)]
    assert "无法向校门发出自检" in bell.texts[0] and "请让管理员查看服务器和消息服务" in bell.texts[0]


def test_several_gates_with_one_cause_are_one_text(bell: Bell) -> None:
    for name in ("gate-2", "gate-3"):
        topic = wire.topic("mingde", name, wire.Kind.STATE)
        pipeline.heard([pipeline.Report(topic, "mingde", name, state(clock.now()), clock.now())])
    bell.at("07:30:05")
    bell.pass_()
    answered, *_silent = sorted(bell.questions(), key=lambda each: each.gateway_id)
    bell.answer(answered)
    bell.at("07:31:10")
    bell.pass_()
    assert bell.texts == ["【明德学校】gate-2、gate-3自检未通过：网关没有应答。请检查电源和网络。"]


def test_when_no_gate_answers_the_server_is_looked_at_first(bell: Bell) -> None:
    topic = wire.topic("mingde", "gate-2", wire.Kind.STATE)
    pipeline.heard([pipeline.Report(topic, "mingde", "gate-2", state(clock.now()), clock.now())])
    bell.at("07:30:05")
    bell.pass_()
    bell.questions()
    bell.at("07:31:10")
    bell.pass_()
    (text,) = bell.texts
    assert text == "【明德学校】全部校门自检未通过：无法向校门发出自检。请让管理员查看服务器和消息服务。"


def test_a_gate_that_is_away_is_not_asked_every_two_minutes(bell: Bell) -> None:
    bell.at("07:30:05")
    bell.pass_()
    bell.questions()
    born = state(clock.now()).birth
    say(wire.State(online=False, birth=born, at=born), clock.now())
    for minute in range(32, 50):
        bell.at(f"07:{minute}")
        bell.pass_()
    assert bell.questions() == []
    bell.hear()
    bell.pass_()
    assert len(bell.questions()) == 1  # it is back


def test_without_a_caretaker_nobody_is_texted_and_with_one_it_is_told_at_once(bell: Bell) -> None:
    with transaction() as session:
        session.execute(db.delete(Caretaker))
    bell.test("07:30:05", power="weak")
    assert bell.texts == [] and len(bell.faults) == 1
    with transaction() as session:
        selftests.add_caretaker(session, bell.school, name="Ann", phone="+8613900000002", locale="en")
    bell.pass_()
    assert bell.texts == ["【明德学校】gate-1, self-test: the gate's power supply is too weak. "
                          "Give it a better power supply and cable."]  # fmt: skip


def test_resting_ends_faults_and_silence_without_a_word(bell: Bell) -> None:
    bell.test("07:30:05", spool="unwritten")
    with transaction() as session:
        session.add(Silence(school_id="mingde", gateway_id="gate-1", starts=clock.now()))
    with transaction() as session:
        selftests.rest(session, "mingde", "gate-1", clock.now())
    bell.at("07:40")
    bell.pass_()
    jobs.watch()
    assert len(bell.texts) == 1 and bell.questions() == []
    assert gate.rows(Silence, "ends")[0] is not None and len(gate.rows(Silence, "ends")) == 1
    assert service.doubts("mingde", gate.DAY) == []


def test_doubts_name_gates_that_failed_or_were_silent(bell: Bell) -> None:
    bell.test("07:30:05", reader_lane_1="no-answer", power="weak")
    with transaction() as session:
        session.add(Silence(school_id="mingde", gateway_id="gate-1", starts=gate.at("06:00"), ends=gate.at("06:10")))
        session.add(
            Silence(
                school_id="mingde", gateway_id="gate-1", starts=gate.at("06:20"), ends=gate.at("06:30"), covered=True
            )
        )
    found = [(each.part, each.found, each.until, each.loses_taps) for each in service.doubts("mingde", gate.DAY)]
    assert found[0] == ("signal", "silent", gate.at("06:10"), True)
    assert sorted(each[:2] + each[3:] for each in found[1:]) == [
        ("power", "weak", False),
        ("reader lane-1", "no-answer", True),
    ]
    assert service.doubts("mingde", gate.DAY + timedelta(days=1)) == []
    bell.test("07:34")
    assert all(each.until for each in service.doubts("mingde", gate.DAY))


@pytest.mark.parametrize("number", ["", "x", "0" * 32, "é" * 20])
def test_an_answer_to_nothing_is_nothing(bell: Bell, number: str) -> None:
    tested = wire.Tested(number=number, at=clock.to_millis(clock.now()), checks={"spool": "unwritten"})
    bell.hear(tested=tested)
    bell.pass_()
    assert bell.faults == [] and gate.rows(GateTest, "id") == []


def test_another_gate_cannot_answer_for_this_one(bell: Bell) -> None:
    bell.at("07:30:05")
    bell.pass_()
    (question,) = bell.questions()
    tested = wire.Tested(number=question.command.number, at=0, checks=FINE)
    topic = wire.topic("mingde", "gate-2", wire.Kind.STATE)
    report = pipeline.Report(topic, "mingde", "gate-2", state(clock.now(), tested=tested), clock.now())
    pipeline.heard([report])
    assert gate.rows(GateTest, "answered_at") == [None]


@pytest.mark.parametrize(
    ("now", "bell_at", "due"), [(27_000, 28_200, True), (26_999, 28_200, False), (31_799, 28_200, True),
                                (31_800, 28_200, False), (27_500, None, False)]
)  # fmt: skip
def test_when_it_is_time(now: int, bell_at: int | None, due: bool) -> None:
    assert rules.is_time_to_test(now, bell_at, rules.SelfTestPolicy()) is due


def test_every_word_of_the_wire_has_its_own_in_both_languages(app: Flask, school: School) -> None:
    troubles = [("reader east-in", f"down {word} x") for word in wire.Trouble]
    checks = [tuple(key.split(" ")) for key in words.PARTS]
    table = (ROOT / "docs/wire.md").read_text().partition("Each of `checks`")[2].partition("## ")[0]
    rows = re.findall(r"^\| `(\w+)(?: <id>)?` \| (.*) \|$", table, re.M)
    listed = {(part, word) for part, said in rows for word in re.findall(r"`([a-z-]+)[^`]*`", said)}
    for part, word in listed:
        assert f"{part} {word}" in words.PARTS or (part == "reader" and (word in words.READERS or word in DOWN)), word
    assert ("room", "low") in listed
    for part, found in [*troubles, *checks, ("reader east-in", "faults"), ("reader x", "later-word"), ("odd", "y")]:
        fault = GateFault(part=part, found=found, seen_at=clock.now())
        for locale in ("zh_Hans_CN", "en"):
            body = caretakers.body(school, locale, fault, gates=["1号门"], every=False)
            assert "%(" not in body and segments.count(body).segments <= 3
            assert locale == "en" or not re.search(r"[a-z]{5,} [a-z]{3,}", body), body


@pytest.mark.mosquitto
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_from_the_bell_to_a_real_gate_and_back(
    app: Flask, settings: Config, tmp_path: Path, mosquitto: services.Mosquitto
) -> None:
    """A real broker, ingest process, gateway and pseudo-terminal; the reader is pulled and plugged in again."""
    gate.add_school()
    cable = Cable(tmp_path / "reader")
    cable.plug()
    path = tmp_path / "gateway.toml"
    path.write_text(
        f'school = "mingde"\ngateway = "gate-1"\ndata_dir = "{tmp_path}/data"\nclock = "trust"\n'
        f'[mqtt]\nurls = ["{mosquitto.url}"]\n[spool]\nreserve_mb = 0\n'
        f'[[reader]]\nid = "east"\nprofile = "rdm6300"\nport = "{cable.name}"\ndirection = "in"\n'
    )
    pi = Pi(gate_config.load(path, {}))
    with Worker(tmp_path, settings.database.url, [mosquitto.url]) as worker, running(pi):
        wait_until(lambda: "connected" in worker.log() and gate.rows(Gateway, "online") == [True], 60)
        assert _tested()["reader east"] == "ok"
        cable.unplug()
        wait_until(lambda: _tested()["reader east"] == "down missing", 60)
        jobs.judge_tests()
        assert gate.rows(GateFault, "part", "found", "mended_at") == [("reader east", "down missing", None)]
        cable.plug()
        wait_until(lambda: _tested()["reader east"] == "ok", 60)
        jobs.judge_tests()
        assert gate.rows(GateFault, "mended_at")[0] is not None
        cable.unplug()


def _tested() -> dict[str, str]:
    """What the gate answers to a test by hand."""
    with transaction() as session:
        school = session.get_one(School, "mingde")
        selftests.by_hand(session, school, "gate-1", clock.now())
    return dict(wait_until(_answer, 60))


def _answer() -> dict[str, str] | None:
    db.session.rollback()
    newest = selftests.newest_tests("mingde")["gate-1"]
    db.session.refresh(newest)
    return newest.checks if newest.answered_at else None
