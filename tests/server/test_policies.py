"""The settings pages: every field has words, bad values are refused at their field, changes are kept and judged."""

import dataclasses
import datetime as dt
import importlib
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import select

import server
from server import settings
from server.attendance import rules
from server.audit.models import AuditEntry
from server.calendar.models import StaleDay
from server.calendar.rules import BoardingPolicy
from server.db import db
from server.notify.rules import GatePolicy
from server.oddities import rules as oddities
from server.policies import pairs
from server.policies.words import FIELDS, POLICIES
from server.reports import rules as reports
from server.schools.models import School
from tests import sample
from tests.server.site import Site, Visitor

FOLDER = Path(server.__file__).parent


def policies() -> list[type[Any]]:
    """Every dataclass named Policy that stands in some feature's rules."""
    found = []
    for path in sorted(FOLDER.glob("*/*.py")):
        if re.search(r"^class \w*Policy\b", path.read_text(), re.MULTILINE) and path.name != "models.py":
            module = importlib.import_module(f"server.{path.parent.name}.{path.stem}")
            kinds = (
                each for each in vars(module).values() if isinstance(each, type) and dataclasses.is_dataclass(each)
            )
            found += [each for each in kinds if each.__name__.endswith("Policy") and each.__module__ == module.__name__]
    return found


def values(kind: type[Any], **changes: str) -> dict[str, str]:
    """The form as the page shows it, but for the changes."""
    fields = {field.name: getattr(kind(), field.name) for field in dataclasses.fields(kind)}
    written = {name: "yes" if value is True else "no" if value is False else value for name, value in fields.items()}
    if kind is BoardingPolicy:
        written |= {"timetables": "", "return_minute": "18:20"}
    written |= {name: pairs.words(value) for name, value in fields.items() if isinstance(value, dict)}
    return {name: str(value) for name, value in written.items()} | {"of": settings.name_of(kind)} | changes


@pytest.fixture
def office(site: Site) -> Visitor:
    """The office's visitor."""
    visitor = site.visitor("wangmin")
    visitor.post("/language", locale="en")
    return visitor


def test_every_policy_of_every_feature_stands_on_the_page_with_words_for_each_field() -> None:
    assert len(policies()) >= 5
    assert {settings.name_of(each) for each in policies()} == {settings.name_of(each.kind) for each in POLICIES}
    wanted = {f"{settings.name_of(kind)}.{field.name}" for kind in policies() for field in dataclasses.fields(kind)}
    assert wanted == set(FIELDS)


def test_each_page_shows_its_fields_with_their_values(office: Visitor) -> None:
    for each in POLICIES:
        page = office.text(f"/settings?of={settings.name_of(each.kind)}")
        for field in dataclasses.fields(each.kind):
            assert f'name="{field.name}"' in page
    assert office.get("/settings?of=accounts.Nothing").status_code == 404


@pytest.mark.parametrize(
    ("field", "text", "says"),
    [
        ("grace", "121", "between 0 and 120"),
        ("grace", "-1", "between 0 and 120"),
        ("grace", "five", "whole number"),
        ("grace", "", "whole number"),
        ("absent_after", "0", "between 1 and 600"),
        ("since", "25.11.2026", "like 2026-11-25"),
        ("since", "1999-01-01", "at most 400 days"),
    ],
)
def test_a_value_that_cannot_be_is_refused_at_its_field_and_nothing_is_set(
    site: Site, office: Visitor, field: str, text: str, says: str
) -> None:
    answer = office.post("/settings", **values(rules.Policy, early="9", **{field: text}))
    page = answer.get_data(as_text=True)
    assert answer.status_code == 422
    shown = re.search(rf'id="why-{field}" role="alert">.*?</svg>([^<]+)', page, re.DOTALL)
    assert shown is not None and says in shown[1]
    with site.app.app_context():
        assert settings.policy("mingde", rules.Policy) == rules.Policy()


def test_a_change_counts_from_its_date_judges_past_days_again_and_stays_in_the_history(
    site: Site, office: Visitor
) -> None:
    first = sample.DAY - dt.timedelta(days=3)
    answer = office.post("/settings", **values(rules.Policy, grace="8", since=first.isoformat()))
    assert answer.status_code == 303
    with site.app.app_context():
        assert settings.policy("mingde", rules.Policy, on=first).grace == 8
        assert settings.policy("mingde", rules.Policy, on=first - dt.timedelta(days=1)).grace == 5
        again = set(db.session.scalars(select(StaleDay.date).where(StaleDay.school_id == "mingde")))
        assert again == {first + dt.timedelta(days=n) for n in range(4)}
        entry = db.session.scalars(select(AuditEntry).where(AuditEntry.action == "policy.set")).one()
        assert entry.detail == {"since": first.isoformat(), "grace": 8}
    page = office.text("/settings?of=attendance.Policy")
    assert "王敏" in page and first.isoformat() in page


def test_what_judges_no_day_touches_none_and_sending_the_same_again_changes_nothing(
    site: Site, office: Visitor
) -> None:
    for _twice in range(2):
        office.post("/settings", **values(GatePolicy, departures="no", since="2026-11-20"))
    with site.app.app_context():
        assert not settings.policy("mingde", GatePolicy).departures
        assert len(settings.history("mingde", GatePolicy)) == 1
        assert db.session.scalars(select(StaleDay)).all() == []


def test_a_setting_for_each_of_several_names_is_written_as_pairs(site: Site, office: Visitor) -> None:
    own = {"trip": {"code": "G", "counts_as": "attend"}, "late": {"code": "V", "counts_as": "unauthorised"}}
    answer = office.post("/settings", **values(reports.Policy, own="trip = G attend，late = V unauthorised"))
    assert answer.status_code == 303
    assert office.post("/settings", **values(oddities.Policy, between="gate-1+gate-3 = 300")).status_code == 303
    with site.app.app_context():
        assert msgspec.to_builtins(settings.policy("mingde", reports.Policy).own) == own
        assert settings.policy("mingde", oddities.Policy).between == {"gate-1+gate-3": 300}
        assert len(settings.history("mingde", reports.Policy)) == 1
    assert "trip = G attend, late = V unauthorised" in office.text("/settings?of=reports.Policy")


@pytest.mark.parametrize(
    ("kind", "field", "text"),
    [
        (reports.Policy, "own", "trip"),
        (reports.Policy, "own", "trip = G"),
        (reports.Policy, "own", "trip = G perhaps"),
        (reports.Policy, "own", "nothing = G attend"),
        (reports.Policy, "own", "trip = TOOLONG attend"),
        (oddities.Policy, "between", "gate-1+gate-3 = far"),
        (oddities.Policy, "between", "= 3"),
    ],
)
def test_pairs_that_cannot_be_are_refused_at_their_field(office: Visitor, kind: type, field: str, text: str) -> None:
    answer = office.post("/settings", **values(kind, **{field: text}))
    assert answer.status_code == 422 and f'id="why-{field}"' in answer.get_data(as_text=True)


def test_boarders_are_set_with_commas_a_weekday_and_a_time(site: Site, office: Visitor) -> None:
    office.post(
        "/settings", **values(BoardingPolicy, timetables="寄宿， senior", return_weekday="5", return_minute="19:05")
    )
    with site.app.app_context():
        assert settings.policy("mingde", BoardingPolicy) == BoardingPolicy(("寄宿", "senior"), 5, 19 * 60 + 5)
    assert "19:05" in office.text("/settings?of=calendar.BoardingPolicy")


@pytest.mark.parametrize("login", ["lijing", "zhaoqiang", "menwei"])
def test_only_office_and_head_set_anything(site: Site, login: str) -> None:
    visitor = site.visitor(login)
    assert visitor.get("/settings").status_code == 403
    assert visitor.post("/settings", **values(rules.Policy, grace="0")).status_code == 403
    with site.app.app_context():
        assert db.session.get_one(School, "mingde")
        assert settings.policy("mingde", rules.Policy) == rules.Policy()
