"""A real gateway process under a service manager's real socket: the sign of life stops when one thread hangs."""

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from tests import services
from tests.gateway.conftest import Write
from tests.gateway.ends import Cable, School, until

ROOT = Path(__file__).parents[2]
SIGN_S = 0.2
WINDOW_S = 2.6  # the main loop looks at its timers once a second


class Manager:
    """What systemd is to a service: a socket, and what was heard on it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.ear.bind(str(path))
        self.lines: list[str] = []

    def hear(self, seconds: float) -> list[str]:
        """The lines of so many seconds."""
        end, heard = time.monotonic() + seconds, list[str]()
        while (left := end - time.monotonic()) > 0:
            self.ear.settimeout(left)
            with suppress(TimeoutError):
                heard += self.ear.recv(4096).decode().splitlines()
        self.lines += heard
        return heard

    def lives(self) -> bool:
        """Whether signs of life come."""
        return self.hear(WINDOW_S).count("WATCHDOG=1") >= 2

    def is_told(self, words: str) -> bool:
        """Whether signs have stopped, with these words for the reason."""
        heard = self.hear(WINDOW_S)
        return "WATCHDOG=1" not in heard and any(words in line for line in heard if line.startswith("STATUS="))


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    """A service manager."""
    manager = Manager(tmp_path / "notify")
    yield manager
    manager.ear.close()


@contextmanager
def started(path: Path, manager: Manager, *, stderr: int = subprocess.DEVNULL) -> Iterator[subprocess.Popen[bytes]]:
    """A gateway that the manager started."""
    environment = {**os.environ, "NOTIFY_SOCKET": str(manager.path), "WATCHDOG_USEC": str(round(SIGN_S * 2e6))}
    command = [sys.executable, "-m", "tests.gateway.impatient_child", "run", "--config", str(path)]
    child = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=stderr)
    try:
        yield child
    finally:
        with suppress(ProcessLookupError):
            child.send_signal(signal.SIGCONT)
        child.kill()
        child.wait(10)


@contextmanager
def pipe(path: Path) -> Iterator[Callable[[], None]]:
    """A named pipe that nobody reads yet; gives what opens its other end and reads it empty."""
    os.mkfifo(path)
    ends: list[int] = []

    def read() -> None:
        if not ends:
            ends.append(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
        with suppress(BlockingIOError):
            while os.read(ends[0], 1 << 16):
                pass

    yield read
    for end in ends:
        os.close(end)


def test_a_gateway_that_works_says_so_with_words(
    write: Write, manager: Manager, mosquitto: services.Mosquitto, cable: Cable
) -> None:
    with started(write(mosquitto.url), manager):
        until(lambda: "STATUS=1 of 1 readers up, 0 taps wait, connected" in manager.hear(0.5))
        assert manager.lives() and manager.lines[0] == "READY=1"


def test_a_port_that_hangs_in_its_driver_stops_the_sign(
    write: Write, manager: Manager, cable: Cable, tmp_path: Path
) -> None:
    """pyserial's spy:// writes down what it does, here into a pipe that nobody reads: opening it never returns."""
    path = write()
    path.write_text(path.read_text().replace(f'"{cable.name}"', f'"spy://{cable.name}?file={tmp_path}/spied"'))
    with pipe(tmp_path / "spied") as read, started(path, manager):
        until(lambda: manager.is_told("port east hangs"), seconds=15)
        until(lambda: read() or manager.lives())


def test_a_port_that_hangs_at_work_stops_the_sign_and_is_told(
    write: Write, manager: Manager, cable: Cable, tmp_path: Path, mosquitto: services.Mosquitto, school: School
) -> None:
    path = write(mosquitto.url)
    path.write_text(path.read_text().replace(f'"{cable.name}"', f'"spy://{cable.name}?file={tmp_path}/spied"'))
    with pipe(tmp_path / "spied") as read, started(path, manager):
        until(lambda: read() or manager.lives(), seconds=15)
        for _ in range(60):  # each is a line of the spy's, until its pipe is full
            cable.write(bytes(256))
        until(lambda: manager.is_told("port east hangs"), seconds=20)
        until(lambda: [s for s in school.states if s.readers and s.readers[0].why == "stuck"])


def test_a_link_that_hangs_stops_the_sign(write: Write, manager: Manager, cable: Cable, tmp_path: Path) -> None:
    """Its password lies in a pipe that nobody writes."""
    os.mkfifo(tmp_path / "password")
    path = write()
    path.write_text(
        path.read_text().replace("[mqtt]", f'[mqtt]\nusername = "x"\npassword_file = "{tmp_path}/password"')
    )
    with started(path, manager):
        until(lambda: manager.is_told("link hangs"), seconds=15)


def test_a_broker_that_takes_the_call_and_says_nothing_is_no_reason_to_start_again(
    write: Write, manager: Manager, cable: Cable
) -> None:
    mute = socket.create_server(("127.0.0.1", 0))
    with mute, started(write(f"mqtt://127.0.0.1:{mute.getsockname()[1]}"), manager):
        line, _ = mute.accept()
        until(lambda: "STATUS=1 of 1 readers up, 0 taps wait, no broker" in manager.hear(0.5))
        manager.hear(2.0)
        assert manager.lives()
        line.close()


def test_a_spool_that_cannot_be_written_stops_the_sign(
    write: Write, manager: Manager, cable: Cable, tmp_path: Path
) -> None:
    with started(write(), manager):
        until(manager.lives, seconds=15)
        with closing(sqlite3.connect(tmp_path / "data" / "spool.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            until(lambda: any("nothing can be written" in line for line in manager.hear(1)), seconds=20)
            assert not manager.lives()
            other.execute("ROLLBACK")
        until(manager.lives, seconds=20)


def fill(end: int) -> None:
    """Write until the pipe takes not one byte more."""
    os.set_blocking(end, False)
    for size in (4096, 1):
        with suppress(BlockingIOError):
            while True:
                os.write(end, bytes(size))
    os.set_blocking(end, True)


def test_a_log_that_nobody_reads_stops_the_sign(write: Write, manager: Manager, cable: Cable) -> None:
    reads, writes = os.pipe()
    with started(write(), manager, stderr=writes):
        until(manager.lives, seconds=15)
        fill(writes)
        until(lambda: manager.is_told("nobody reads our log"), seconds=15)
        os.read(reads, 1 << 20)
        until(manager.lives, seconds=15)
    os.close(reads)
    os.close(writes)


def test_a_main_thread_that_waits_for_a_line_of_log_gives_no_sign(write: Write, manager: Manager, cable: Cable) -> None:
    """The pipe is full, and the next line that the main thread logs is about a pulled cable."""
    reads, writes = os.pipe()
    with started(write(), manager, stderr=writes):
        until(manager.lives, seconds=15)
        fill(writes)
        cable.unplug()
        until(lambda: manager.hear(1.5) == [], seconds=20)
    os.close(reads)
    os.close(writes)


def test_a_process_that_is_stopped_gives_no_sign(write: Write, manager: Manager, cable: Cable) -> None:
    with started(write(), manager) as child:
        until(manager.lives, seconds=15)
        child.send_signal(signal.SIGSTOP)
        manager.hear(0.5)
        assert manager.hear(1.0) == []
        child.send_signal(signal.SIGCONT)
        until(manager.lives)
