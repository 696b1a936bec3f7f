"""enrol.sh: the caretaker's file is taken once and is gone, or stays with the reason beside it."""

import subprocess
from pathlib import Path

import pytest

from tests.deploy.roots import PI

# The other end of the line: keeps a whole file, refuses one that was cut off, and checks that there is a reader.
PROGRAM = """#!/bin/sh
case $1 in
    enrol) grep -q END "$2" || { echo "$2 was cut off on the way; copy it again" >&2; exit 2; }
           cp "$2" "$(dirname "$4")/enrolment.toml" ;;
    check) grep -q reader "$3" || { echo "reader: no reader at all; add a [[reader]]" >&2; exit 2; } ;;
esac
"""
READERS = '[[reader]]\nid = "east-in"\n'


class Gate:
    """A boot partition and a folder of papers."""

    def __init__(self, folder: Path) -> None:
        self.boot, self.papers, self.program = folder / "boot", folder / "etc", folder / "gatebell-gateway"
        self.boot.mkdir()
        self.papers.mkdir()
        self.program.write_text(PROGRAM)
        self.program.chmod(0o755)
        self.file = self.boot / "gatebell.enrol"
        self.complaint = self.boot / "gatebell.enrol-failed.txt"

    def start(self) -> int:
        command = [PI / "enrol.sh", self.boot, self.papers, self.program]
        return subprocess.run(command, capture_output=True, check=False).returncode


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path)


def test_the_file_is_taken_once_and_gone(gate: Gate) -> None:
    (gate.papers / "gateway.toml").write_text(READERS)
    gate.file.write_text("secret END\n")
    gate.complaint.write_text("from an earlier try")
    assert gate.start() == 0
    assert (gate.papers / "enrolment.toml").read_text() == "secret END\n"
    assert list(gate.boot.iterdir()) == []
    assert gate.start() == 0


def test_a_file_that_was_cut_off_stays_and_the_reason_can_be_read_with_a_laptop(gate: Gate) -> None:
    gate.file.write_text("secr")
    assert gate.start() == 1
    assert gate.file.read_text() == "secr" and not (gate.papers / "enrolment.toml").exists()
    assert gate.complaint.read_text().startswith("This gate could not be enrolled:\n")
    assert "copy it again" in gate.complaint.read_text()


def test_a_gate_without_readers_is_told_so_and_takes_the_next_try(gate: Gate) -> None:
    gate.file.write_text("secret END\n")
    assert gate.start() == 1 and gate.file.exists()
    (gate.boot / "gateway.toml").write_text(READERS)
    assert gate.start() == 0
    assert (gate.papers / "gateway.toml").read_text() == READERS
    assert [path.name for path in gate.boot.iterdir()] == ["gateway.toml"]


def test_a_gateway_file_that_is_there_is_never_replaced(gate: Gate) -> None:
    (gate.papers / "gateway.toml").write_text(READERS + "# mine\n")
    (gate.boot / "gateway.toml").write_text(READERS)
    gate.file.write_text("secret END\n")
    assert gate.start() == 0
    assert (gate.papers / "gateway.toml").read_text() == READERS + "# mine\n"
