"""The whole line, for real: cards on pseudo-terminals become texts on phones, each once, also through crashes.

This is the product's promise. What each phone must get is worked out from the script alone (server/demo/morning.py).
"""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from server.demo.morning import Text
from tests import services
from tests.demo import ledger

SPEED = 120
LAG = 6  # minutes of the demo, three seconds of life: a busy machine may read a card that much later
GATEBELL = str(Path(sys.executable).with_name("gatebell"))


class Demo:
    """`gatebell demo` in a folder of its own, with everything that it says."""

    def __init__(self, folder: Path, *options: str, speed: int = SPEED) -> None:
        self.folder = folder
        self.port = services.free_port()
        self.said: list[str] = []
        line = [GATEBELL, "demo", "--folder", str(folder), "--port", str(self.port), "--speed", str(speed), *options]
        self.process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self._reading = threading.Thread(target=self._read)
        self._reading.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as said:
            for line in said:
                self.said.append(line.rstrip())

    def output(self) -> str:
        return "\n".join(self.said)

    def wait_for(self, text: str, seconds: float) -> None:
        """Until it has said so."""
        self.eventually(lambda: text in self.output(), f"to say {text!r}", seconds)

    def eventually(self, true: Callable[[], object], what: str, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not true():
            assert self.process.poll() is None, f"the demo ended:\n{self.output()}"
            assert time.monotonic() < until, f"waited {seconds} s for it {what}:\n{self.output()}\n{self.logs()}"
            time.sleep(0.1)

    def pid(self, name: str) -> int:
        return int((self.folder / "logs" / f"{name}.pid").read_text())

    def kill(self, *names: str) -> None:
        """SIGKILL to the whole group, as a machine's out-of-memory killer or a power cut of one box would."""
        for name in names:
            os.killpg(self.pid(name), signal.SIGKILL)

    def logs(self) -> str:
        """The end of each process's log."""
        tails = (
            f"== {log.name}\n" + "\n".join(log.read_text("utf-8", "replace").splitlines()[-8:])
            for log in sorted((self.folder / "logs").glob("*.log"))
        )
        return "\n".join(tails)

    def stop(self) -> int:
        """Ctrl-C; the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        code = self.process.wait(20)
        self._reading.join(10)
        return code


@contextmanager
def demo(folder: Path, *options: str, speed: int = SPEED) -> Iterator[Demo]:
    playing = Demo(folder, *options, speed=speed)
    try:
        yield playing
    finally:
        playing.stop()


def settle(playing: Demo) -> None:
    """Until the morning is over and the outbox at rest; then the time of a resend, in which a double would come."""
    playing.wait_for("The morning is over", 120)
    config = playing.folder / "gatebell.toml"
    wanted = sum(ledger.expected().values())
    deadline = time.monotonic() + 45
    while time.monotonic() < deadline and (ledger.arrived(config).total() < wanted or ledger.unsettled(config)):
        time.sleep(0.5)
    time.sleep(4)


def must_match(playing: Demo) -> None:
    """Each number has exactly its texts."""
    got = ledger.arrived(playing.folder / "gatebell.toml")
    found = ledger.differences(ledger.expected(), got, lag=LAG)
    listed = "\n".join(found[:40])
    assert not found, f"{len(found)} texts are wrong:\n{listed}\n{playing.output()}\n{playing.logs()}"


def questions(playing: Demo) -> list[Text]:
    """Every copy of a question where a child is."""
    got = ledger.received(playing.folder / "gatebell.toml")
    return [text for text in got.elements() if text.kind == "absent"]


def groups_left(pids: list[int]) -> list[int]:
    """Process groups that still have somebody."""
    left = []
    for pid in pids:
        try:
            os.killpg(pid, 0)
        except ProcessLookupError:
            continue
        left.append(pid)
    return left


def test_every_phone_gets_exactly_the_texts_that_the_morning_implies(tmp_path: Path) -> None:
    with demo(tmp_path, "--no-history") as playing:
        settle(playing)
        must_match(playing)
        asked = questions(playing)
        assert ledger.wrong_questions(asked, everybody=True) == []
        assert {text.minute >= "07:50" for text in asked} == {True}  # nobody before the seniors' cut-off
        pids = [int(path.read_text()) for path in (tmp_path / "logs").glob("*.pid")]
        assert len(pids) == 7
        began = time.monotonic()
        assert playing.stop() == 0
        assert time.monotonic() - began < 15  # the promise is 5 s on a machine with nothing else to do
    assert groups_left(pids) == []
    assert "Traceback" not in playing.output() + playing.logs()
    assert re.search(r"07:30 .* in school \(\d+ late\)", playing.output())
    said = re.search(r"08:20  741 in school \(20 late\),  40 not here, 5 left, (\d+) texts", playing.output())
    gate_texts = ledger.expected().total()
    assert said and gate_texts <= int(said[1]) <= gate_texts + sum(len(phones) for phones in ledger.ladders().values())


@pytest.mark.parametrize(
    "broker", [(), pytest.param(("--embedded-broker",), marks=pytest.mark.slow)], ids=["usual", "embedded"]
)
def test_no_text_is_lost_or_doubled_when_broker_and_server_are_killed_in_the_crowd(
    tmp_path: Path, broker: tuple[str, ...]
) -> None:
    with demo(tmp_path, "--no-history", *broker) as playing:
        playing.wait_for("  07:10", 60)
        playing.kill("broker")
        playing.wait_for("broker was ended by SIGKILL", 10)
        playing.wait_for("  07:20", 30)
        playing.kill("ingest", "jobs", "web")
        playing.wait_for("jobs was ended by SIGKILL", 10)
        playing.wait_for("  07:30", 30)
        playing.kill("broker", "ingest", "jobs", "web")
        settle(playing)
        must_match(playing)
        assert ledger.wrong_questions(questions(playing), everybody=False) == []  # a gate fell silent: held is right
        assert playing.stop() == 0


def test_a_busy_port_is_named_with_a_free_one(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = [GATEBELL, "demo", "--folder", str(tmp_path), "--port", str(port)]
        ended = subprocess.run(line, capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 1
    said = re.fullmatch(rf"Error: port {port} is in use by another program; use --port (\d+)\n", ended.stderr)
    assert said and int(said.group(1)) > port


def test_a_second_demo_in_one_folder_is_refused(tmp_path: Path) -> None:
    from server.demo import stage

    line = [GATEBELL, "demo", "--folder", str(tmp_path), "--port", str(services.free_port())]
    with stage.alone_in(tmp_path):
        ended = subprocess.run(line, capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 1
    assert "a demo runs in" in ended.stderr and "--folder" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_the_count_names_what_is_missing_doubled_astray_or_late() -> None:
    texts = [ledger.Text("+1", "何俊杰", "in", 1, "arrived", minute) for minute in ("07:10", "07:12", "07:09", "07:30")]
    wanted, later, earlier, much_later = (Counter([text]) for text in texts)
    assert ledger.differences(wanted, wanted) == []
    assert ledger.differences(wanted, later, lag=2) == []
    for got, word in ((Counter(), "missing"), (wanted + wanted, "twice"), (earlier, "wrong"), (much_later, "wrong")):
        assert [line.split()[0] for line in ledger.differences(wanted, got, lag=2)] == [word]
    wrong_number = Counter([ledger.Text("+2", "何俊杰", "in", 1, "arrived", "07:10")])
    assert [line.split()[0] for line in ledger.differences(wanted, wrong_number)] == ["missing", "astray"]


def test_the_count_of_questions_names_a_false_an_astray_and_a_missing_one() -> None:
    [(name, phones)] = [(name, phones) for name, phones in ledger.ladders().items() if len(phones) > 1][:1]
    first, second = (ledger.Text(phone, name, "absent", 1, "absent", f"07:5{n}") for n, phone in enumerate(phones[:2]))
    stranger = ledger.Text("+1", "nobody", "absent", 1, "absent", "07:50")
    assert ledger.wrong_questions([first, second], everybody=False) == []
    for asked in ([second], [first, first], [stranger]):
        assert len(ledger.wrong_questions(asked, everybody=False)) == 1
    assert any(line.startswith(f"missing  {name}") for line in ledger.wrong_questions([], everybody=True))


@pytest.mark.slow
def test_a_second_start_uses_the_school_of_the_first(tmp_path: Path) -> None:
    with demo(tmp_path) as playing:
        playing.wait_for("School  ", 180)
        assert "24 November: 15" in playing.output()
        assert playing.stop() == 0
    with demo(tmp_path) as playing:
        playing.wait_for("School  ", 60)
        assert "making the demo school" not in playing.output()
        assert playing.stop() == 0
