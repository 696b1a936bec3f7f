"""What staff set is laid over the defaults, checked on the way in, and survives versions; opening a school."""

import logging
from dataclasses import dataclass, field
from enum import StrEnum

import pytest
from click.testing import CliRunner
from sqlalchemy import update

from server import cli, config, settings
from server.attendance import rules
from server.db import db, transaction
from server.schools import service as schools
from server.schools.models import School, SchoolPolicy


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True)
class Policy:
    """Of an invented feature."""

    minutes: int = field(default=5, metadata={"least": 0, "most": 60})
    quiet: bool = False
    colour: Colour = Colour.RED
    contacts: tuple[str, ...] = ("first",)


Policy.__module__ = "server.invented.rules"


def set_policy(school: School, kind: type, **chosen: object) -> object:
    with transaction() as session:
        return settings.set_policy(session, school.id, kind, **chosen)


def test_a_school_that_set_nothing_has_the_defaults(school: School) -> None:
    assert settings.policy(school.id, rules.Policy) == rules.Policy()


def test_what_is_set_is_laid_over_the_defaults_and_keeps_its_type(school: School) -> None:
    set_policy(school, Policy, colour=Colour.BLUE, contacts=("first", "second"))
    set_policy(school, Policy, minutes="7", quiet="true")  # a form sends text
    assert settings.policy(school.id, Policy) == Policy(7, True, Colour.BLUE, ("first", "second"))
    assert settings.policy(school.id, rules.Policy) == rules.Policy()


def test_another_schools_policy_does_not_count(school: School) -> None:
    with transaction() as session:
        schools.add(session, "other", name="x", sign="x")
    set_policy(school, rules.Policy, grace=0)
    assert settings.policy("other", rules.Policy).grace == 5


@pytest.mark.parametrize(
    ("chosen", "says"),
    [
        ({"minuts": 3}, "invented has no setting 'minuts'; did you mean 'minutes'?"),
        ({"minutes": 61}, "minutes is 61; it must be between 0 and 60"),
        ({"minutes": "soon"}, r"\$.minutes"),
        ({"colour": "green"}, r"Invalid enum value 'green'"),
    ],
)
def test_a_wrong_setting_is_refused_with_its_place_and_nothing_changes(school: School, chosen: dict, says: str) -> None:
    set_policy(school, Policy, minutes=10)
    with pytest.raises(settings.BadPolicy, match=says):
        set_policy(school, Policy, **chosen)
    assert settings.policy(school.id, Policy) == Policy(minutes=10)


def test_settings_of_another_version_are_left_alone(school: School, caplog: pytest.LogCaptureFixture) -> None:
    set_policy(school, Policy, minutes=10)
    with transaction() as session:
        session.execute(update(SchoolPolicy).values(chosen={"minutes": 10, "forgotten": 1}))
    db.session.expire_all()
    with caplog.at_level(logging.WARNING):
        assert settings.policy(school.id, Policy) == Policy(minutes=10)
    assert "forgotten" in caplog.text


def test_the_ranges_of_attendance_hold(school: School) -> None:
    with pytest.raises(settings.BadPolicy, match="between 0 and 120"):
        set_policy(school, rules.Policy, grace=-1)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"school_id": "No.2"}, "use a-z, 0-9 and '-'"),
        ({"school_id": "mingde"}, "already"),
        ({"timezone": "Peking"}, "Asia/Shanghai"),
        ({"sign": "x" * 21}, "at most 20"),
        ({"locale": "fr"}, "zh_Hans_CN, en"),
    ],
)
def test_a_school_is_opened_with_what_will_work(school: School, changed: dict, says: str) -> None:
    wanted = {"school_id": "new", "name": "第二中学", "sign": "二中"} | changed
    with pytest.raises(schools.BadSchool, match=says), transaction() as session:
        schools.add(session, wanted.pop("school_id"), **wanted)


def test_one_school_needs_no_naming_and_two_do(school: School) -> None:
    assert schools.find(None).id == school.id
    with transaction() as session:
        schools.add(session, "no2", name="第二中学", sign="二中")
    assert schools.find("no2").name == "第二中学"
    with pytest.raises(schools.BadSchool, match="mingde, no2"):
        schools.find(None)
    with pytest.raises(schools.BadSchool, match="there is no school 'no3'"):
        schools.find("no3")


def test_the_command_opens_a_school(app, settings: config.Config, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setenv("GATEBELL_DATABASE__URL", settings.database.url)
    monkeypatch.setenv("GATEBELL_SECRETS__KEY_FILE", settings.secrets.key_file)
    words = ["school", "add", "no2", "--name", "第二中学", "--sign", "二中"]
    assert CliRunner().invoke(cli.build(), words).exit_code == 0
    again = CliRunner().invoke(cli.build(), words)
    assert (again.exit_code, again.output) == (1, "Error: there is a school 'no2' already\n")
    assert schools.find(None).sign == "二中"
