"""`gatebell-gateway simulate` as a newcomer and a trainer use it: two commands, a broker, and the comparison."""

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway import simledger
from gateway.simfaults import Kind
from tests import services
from tests.gateway.ends import School

ROOT = Path(__file__).parents[2]
GATEWAY = [sys.executable, "-m", "gateway"]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[services.Mosquitto]:
    """A real mosquitto."""
    if not services.Mosquitto.available():
        services.missing("mosquitto")
    with services.Mosquitto(tmp_path / "broker") as running:
        yield running


@contextmanager
def child(words: list[str]) -> Iterator[subprocess.Popen[str]]:
    """One of the two commands."""
    pipe = subprocess.PIPE
    running = subprocess.Popen(words, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT, text=True)
    try:
        yield running
    finally:
        running.kill()
        running.communicate(timeout=10)


def say(running: subprocess.Popen[str], line: str) -> None:
    """Type it."""
    assert running.stdin is not None
    running.stdin.write(line + "\n")
    running.stdin.flush()


def until(path: Path, what: str, count: int, *, seconds: float = 60) -> None:
    """The ledger has so many lines with that in them."""
    end = time.monotonic() + seconds
    while path.read_text().count(what) < count:
        assert time.monotonic() < end, path.read_text()
        time.sleep(0.02)


def test_two_commands_bring_a_crowd_with_faults_to_the_school_and_the_ledger_agrees(
    tmp_path: Path, broker: services.Mosquitto
) -> None:
    ports, ledger = tmp_path / "ports", tmp_path / "ledger.jsonl"
    played = [
        "simulate",
        "--pupils",
        "60",
        "--readers",
        "3",
        "--profiles",
        "rdm6300,id12la,pn532",
        "--crowd",
        "at-once",
    ]
    played += ["--folder", str(ports), "--ledger", str(ledger), "--broker", broker.url, "--gateway", "gate-1"]
    with child(GATEWAY + played) as simulation, School(broker.url) as school:
        assert simulation.stdout is not None
        found = [simulation.stdout.readline() for _ in range(4)]
        config = re.search(r"run --config (\S+)", "".join(found))
        assert found[0].startswith("3 readers in ") and config, found
        with child([*GATEWAY, "run", "--config", config[1]]):
            until(ledger, '"yes"', 10)
            say(simulation, "unplug reader-1 1")
            say(simulation, "flip reader-2 1")
            say(simulation, "mute reader-3 1")
            until(ledger, '"card"', 60)
            say(simulation, "quit")
            assert simulation.wait(20) == 0
            time.sleep(1)  # the last tap is committed
        assert {tap.card for tap in school.taps} == {tap.card for tap in simledger.taps(ports / "spool" / "spool.db")}
    assert [entry in ledger.read_text() for entry in (Kind.UNPLUG, Kind.FLIP, Kind.MUTE)] == [True] * 3
    compared = [*GATEWAY, "simulate", "--compare", str(ledger), str(ports / "spool" / "spool.db")]
    done = subprocess.run(compared, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and " 0 missing, 0 too many" in done.stdout, done.stdout


def test_a_lost_tap_is_an_exit_code_of_one(tmp_path: Path) -> None:
    (tmp_path / "ledger").write_text(
        '{"at":1795000000000,"reader":"reader-1","card":"em4100:67003B51C6","tap":"yes"}\n'
    )
    (tmp_path / "taps.csv").write_text("card,reader,at\n")
    words = [*GATEWAY, "simulate", "--compare", str(tmp_path / "ledger"), str(tmp_path / "taps.csv")]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout == (
        "0 taps as they must be, 1 missing, 0 too many\nmissing: 1795000000000 reader-1 em4100:67003B51C6\n"
    )


@pytest.mark.parametrize(
    ("words", "code", "complaint"),
    [
        (["--profiles", "rdm6301"], 1, "'rdm6301' cannot be simulated with a crowd; choose from"),
        (["--pupils", "0"], 2, "'0' is no number from 1 to a million"),
        (["--minutes", "-1"], 2, "'-1' is no number above 0"),
        (["--pupils", "5", "--script", "x"], 2, "not allowed with"),
        (["--cards", "/nowhere/cards"], 1, "No such file"),
        (["--compare", "/nowhere/ledger", "/nowhere/taps"], 1, "No such file"),
    ],
)
def test_what_cannot_be_simulated_is_a_sentence(tmp_path: Path, words: list[str], code: int, complaint: str) -> None:
    line = [*GATEWAY, "simulate", "--folder", str(tmp_path / "ports"), *words]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == code and complaint in done.stderr and "Traceback" not in done.stderr


def test_the_gate_does_not_carry_the_simulator() -> None:
    program = (
        "import sys, gateway.__main__, gateway.app; print([m for m in sys.modules if '.sim' in m or m == 'difflib'])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
