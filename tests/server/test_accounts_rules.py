"""Scopes, waiting and passwords as plain rules."""

import uuid

import pytest

from server.accounts import rules
from server.accounts.rules import Grant, Scope

CLASS = uuid.uuid4()


@pytest.mark.parametrize(
    ("grants", "scope"),
    [
        ([], Scope()),
        ([Grant("office")], Scope(whole=True)),
        ([Grant("guard")], Scope(whole=True)),
        ([Grant("operator")], Scope()),
        ([Grant("class_teacher")], Scope()),
        ([Grant("subject_teacher")], Scope()),
        ([Grant("class_teacher", class_id=CLASS)], Scope(classes=frozenset({CLASS}))),
        ([Grant("grade_head", grade=8)], Scope(grades=frozenset({8}))),
        ([Grant("counsellor", grade=9)], Scope(grades=frozenset({9}))),
        (
            [Grant("grade_head", grade=8), Grant("class_teacher", class_id=CLASS)],
            Scope(grades=frozenset({8}), classes=frozenset({CLASS})),
        ),
    ],
)
def test_a_grant_gives_its_scope_and_no_more(grants: list[Grant], scope: Scope) -> None:
    assert rules.scope(grants) == scope


def test_the_first_failures_are_free_then_the_wait_doubles_up_to_a_limit() -> None:
    waits = [rules.wait_after(n, free=5, longest=300) for n in range(20)]
    assert waits[:8] == [0, 0, 0, 0, 0, 2, 4, 8]
    assert waits[-1] == 300
    assert waits == sorted(waits)


@pytest.mark.parametrize(
    ("password", "fault"),
    [
        ("short", "short"),
        ("12345678", "common"),
        ("Password1", "common"),
        ("xxwangminxx", "login"),
        ("a gate and a bell", None),
        ("晴天走东门还是南门", None),
    ],
)
def test_bad_passwords_are_named(password: str, fault: str | None) -> None:
    assert rules.password_fault(password, "wangmin") == fault


@pytest.mark.parametrize(
    "target", ["https://evil.example/", "//evil.example", "/\\evil.example", "", "/\tx", "javascript:"]
)
def test_the_login_leads_to_no_other_server(target: str) -> None:
    assert rules.local_path(target) == "/"


def test_the_login_leads_back_to_the_page_that_was_asked_for() -> None:
    assert rules.local_path("/texts?state=failed") == "/texts?state=failed"
