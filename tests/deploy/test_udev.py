"""The udev rules: every line is a rule that udev takes, and the order that they count on is kept."""

import re
from pathlib import Path

import pytest

from tests.deploy.roots import PI

RULES = sorted((PI / "udev").glob("*.rules"))
MATCH = r'(ACTION|SUBSYSTEM|KERNEL|DRIVER|ENV\{\w+\}|ATTRS?\{[\w/]+\}|TEST|TAG)(==|!=)"[^"]+"'
ASSIGN = r'(SYMLINK\+=|GROUP=|MODE=|ENV\{\w+\}=|ATTR\{[\w/]+\}=|TAG\+=)"[^"]+"'
WORD = re.compile(rf"({MATCH}|{ASSIGN})")
USED = {"dialout", "gpio"}  # groups that sysusers.d makes


def rules(path: Path) -> list[str]:
    """The rules of a file, with those that are examples: they must work once the '#' is taken away."""
    lines = path.read_text().splitlines()
    return [line.lstrip("#") for line in lines if re.match(r"#?[A-Z]", line)]


def faults(rule: str) -> list[str]:
    """What is wrong with one rule."""
    words = re.findall(r'[^",]+"[^"]*"', rule)
    wrong = [word for word in words if not WORD.fullmatch(word.strip())]
    if ", ".join(word.strip() for word in words) != rule:
        wrong.append(f"something stands outside the words of {rule}")
    if not any("==" in word for word in words) or all("==" in word for word in words):
        wrong.append(f"matches nothing or does nothing: {rule}")
    return wrong


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.name)
def test_every_line_is_a_rule(path: Path) -> None:
    assert [fault for rule in rules(path) for fault in faults(rule)] == []
    assert len(rules(path)) >= 3


@pytest.mark.parametrize(
    "rule",
    [
        'SUBSYSTEM="tty", SYMLINK+="gate/in"',
        'SUBSYSTEM=="tty" SYMLINK+="gate/in"',
        'SUBSYSTEM=="tty", SYMLINK+="gate/in',
        'SUBSYSTEM=="tty", SYMLNK+="gate/in"',
        'SUBSYSTEM=="tty", KERNEL=="ttyUSB*"',
        'GROUP="dialout"',
    ],
)
def test_a_wrong_rule_is_found(rule: str) -> None:
    assert faults(rule)


def test_names_are_given_after_udev_knows_the_socket_and_before_modemmanager_looks() -> None:
    assert [path.name for path in RULES] == ["70-gate-readers.rules", "70-gatebell.rules"]
    assert all("60-serial.rules" < path.name < "77-mm-usb-device-blacklist.rules" for path in RULES)


def test_only_groups_are_named_that_exist() -> None:
    made = set(re.findall(r"^g (\w+)", (PI / "sysusers.d/gatebell.conf").read_text(), re.M))
    named = {group for path in RULES for group in re.findall(r'GROUP="(\w+)"', path.read_text())}
    assert named == USED <= made


def test_a_reader_s_name_is_for_its_owner_to_give() -> None:
    lines = (PI / "udev/70-gate-readers.rules").read_text().splitlines()
    assert all(line.startswith("#") for line in lines)
