"""The supervisor on real child processes: crashes, kills, stubborn children, and its own death."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from server.supervisor import KeepsDying, Supervisor, stop_on_signals

SLEEPER = [sys.executable, "-c", "import time; print('here', flush=True); time.sleep(600)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)",
]
PARENT = """
import sys, time
from pathlib import Path
from server.supervisor import Supervisor
family = Supervisor(Path(sys.argv[1]), print)
family.start("child", [sys.executable, "-c", "import time; time.sleep(600)"])
time.sleep(600)
"""


def eventually(true: Callable[[], object], seconds: float = 10) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "did not come true"
        time.sleep(0.01)


def exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A zombie that waits for its new parent is gone for our purpose.
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def pid_of(folder: Path, name: str) -> int:
    return int((folder / f"{name}.pid").read_text())


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def family(tmp_path: Path, said: list[str]) -> Iterator[Supervisor]:
    with Supervisor(tmp_path, said.append, grace=1) as family:
        yield family


def test_a_killed_child_is_named_and_runs_again(family: Supervisor, said: list[str], tmp_path: Path) -> None:
    family.start("ingest", SLEEPER)
    first = pid_of(tmp_path, "ingest")
    os.kill(first, signal.SIGKILL)

    def restarted() -> bool:
        family.check()
        return pid_of(tmp_path, "ingest") != first

    eventually(restarted)
    assert family.alive("ingest")
    assert len(said) == 1
    assert said[0].startswith("ingest was ended by SIGKILL")


def test_a_child_that_never_comes_up_ends_with_its_last_words(family: Supervisor) -> None:
    family.start("web", [sys.executable, "-c", "import sys; sys.exit('no such table: school')"])

    def gave_up() -> bool:
        try:
            family.check()
        except KeepsDying as error:
            assert "web ended with exit code 1" in str(error)
            assert "no such table: school" in str(error)
            return True
        return False

    eventually(gave_up, 20)


def test_stop_ends_a_child_that_ignores_sigterm(family: Supervisor, tmp_path: Path) -> None:
    family.start("deaf", STUBBORN)
    family.start("kind", SLEEPER)
    eventually(lambda: "deaf" in family.last_words("deaf"))
    pids = [pid_of(tmp_path, "deaf"), pid_of(tmp_path, "kind")]
    family.stop()
    assert not any(exists(pid) for pid in pids)


def test_the_whole_group_of_a_crashed_child_goes_with_it(family: Supervisor, tmp_path: Path) -> None:
    grandchild = "import subprocess, sys, time; p = subprocess.Popen(['sleep', '600']); print(p.pid, flush=True); "
    family.start("web", [sys.executable, "-c", grandchild + "time.sleep(600)"])
    eventually(lambda: family.last_words("web").strip())
    worker = int(family.last_words("web").split()[0])
    os.kill(pid_of(tmp_path, "web"), signal.SIGKILL)

    def gone() -> bool:
        family.check()
        return not exists(worker)

    eventually(gone)


def test_children_do_not_outlive_a_killed_supervisor(tmp_path: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path)])
    eventually(lambda: (tmp_path / "child.pid").exists() and (tmp_path / "child.pid").read_text().strip())
    child = pid_of(tmp_path, "child")
    assert exists(child)
    parent.kill()
    parent.wait(10)
    eventually(lambda: not exists(child))


def test_a_signal_sets_the_event_instead_of_ending_the_process() -> None:
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        stop = stop_on_signals()
        os.kill(os.getpid(), signal.SIGTERM)
        eventually(stop.is_set)
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


def test_watch_calls_each_until_it_is_told_to_stop(family: Supervisor) -> None:
    stop, calls = threading.Event(), []

    def each() -> None:
        calls.append(1)
        if len(calls) == 3:
            stop.set()

    family.watch(stop, each)
    assert len(calls) == 3
