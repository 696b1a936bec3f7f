"""`gatebell-gateway`: what a person types and reads."""

import fcntl
import json
import subprocess
import sys
from pathlib import Path

import pytest

from gateway import readers
from gateway.__main__ import main
from tests.gateway.conftest import Write

ROOT = Path(__file__).parents[2]


def test_check_says_fine(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--config", str(write())]) == 0
    told = capsys.readouterr()
    assert "fine: gateway gate-1, 1 readers" in told.out and "reader is not there now" in told.err


@pytest.mark.parametrize("command", ["check", "run"])
def test_a_wrong_file_is_one_line_a_problem_and_exit_code_2(command: str, write: Write) -> None:
    path = write(extra="same_crad_s = 3\n", profile="rdm6301")
    asked = [sys.executable, "-m", "gateway", command, "--config", str(path)]
    done = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert f"{path}: reader[1].same_crad_s: unknown key; did you mean 'same_card_s'?" in done.stderr


def test_a_spool_in_use_is_named(write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "data").mkdir()
    with (tmp_path / "data" / "spool.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write("4711")
        lock.flush()
        asked = [sys.executable, "-m", "gateway", "run", "--config", str(write())]
        done = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "in use by another gateway (process 4711): stop it first" in done.stderr


def test_decode_says_what_bytes_mean(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["decode", "rdm6300", "0236373030334235314336434203", "0236383030334235314336434203"]) == 0
    assert capsys.readouterr().out == '{"card": "em4100:67003B51C6"}\n{"fault": "checksum"}\n'


def test_decode_of_any_bytes_is_json_lines_and_exit_code_0(capsys: pytest.CaptureFixture[str]) -> None:
    for name in readers.names():
        for line in (b"", b"\x02", b"\xff" * 300, bytes(range(256)) * 4, b"9" * 10_000, b"READY\r\n"):
            assert main(["decode", name, line.hex()]) == 0
    told = capsys.readouterr()
    assert told.err == "" and all(json.loads(line).keys() <= {"card", "fault"} for line in told.out.splitlines())


def test_decode_lists_the_readers_when_it_is_asked_for_another(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["decode", "rdm630", "00"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out) == {"fault": "unknown-reader", "known": readers.names()}
    assert "unknown reader 'rdm630'; known: " in told.err and "rdm6300" in told.err


def test_decode_says_what_is_no_hex(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["decode", "rdm6300", "zz"]) == 2
    told = capsys.readouterr()
    assert told.out == "" and "hex digit" in told.err


def test_decode_and_check_need_neither_a_serial_port_nor_a_broker(write: Write) -> None:
    line = (
        "import sys; sys.modules.update(dict.fromkeys(['serial', 'paho', 'gpiozero']));"
        "from gateway.__main__ import main; sys.exit(main())"
    )
    for words in (["decode", "em18", "343530304335443145394238"], ["check", "--config", str(write())]):
        asked = [sys.executable, "-c", line, *words]
        assert subprocess.run(asked, cwd=ROOT, capture_output=True, check=False).returncode == 0


def test_a_wrong_clock_variable_is_no_traceback(
    write: Write, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GATEBELL_CLOCK", "noon")
    assert main(["run", "--config", str(write())]) == 2
    assert "GATEBELL_CLOCK='noon'" in capsys.readouterr().err
