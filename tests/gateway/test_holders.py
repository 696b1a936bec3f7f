"""Who has the port: real processes with a real pseudo-terminal, and another user's /proc as one may see it."""

import fcntl
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway import holders


@pytest.fixture
def terminal() -> Iterator[str]:
    """A pseudo-terminal that nobody else has."""
    master, slave = pty.openpty()
    name = os.ttyname(slave)
    os.close(slave)
    yield name
    os.close(master)


def test_a_port_that_nobody_has_is_free(terminal: str) -> None:
    assert holders.of(terminal) is None


def test_a_program_that_has_it_open_is_named(terminal: str, tmp_path: Path) -> None:
    program = tmp_path / "ModemManager"
    program.symlink_to(sys.executable)
    code = f"import sys; f = open({terminal!r}, 'rb'); print('open', flush=True); sys.stdin.read()"
    command = [str(program), "-I", "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None and child.stdout.readline()
        holder = holders.of(terminal)
        child.communicate()
    assert holder is not None and (holder.pid, holder.sure) == (child.pid, True)
    assert str(holder).startswith(f"ModemManager (process {child.pid}); it tries every serial port as a modem")


def test_a_lock_names_its_holder_when_open_files_are_hidden(terminal: str, tmp_path: Path) -> None:
    """The files of another user's process cannot be listed; its lock stands in /proc/locks for all to read."""
    with open(terminal, "rb") as port:
        fcntl.flock(port, fcntl.LOCK_EX)
        status = os.stat(terminal)
        place = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
        line = next(line for line in Path("/proc/locks").read_text().splitlines() if place in line)
    other = tmp_path / "412"
    other.mkdir()
    (other / "comm").write_text("minicom\n")
    (other / "cmdline").write_bytes(b"minicom\0")
    (tmp_path / "locks").write_text(line.replace(f" {os.getpid()} ", " 412 ") + "\n")
    holder = holders.of(terminal, tmp_path)
    assert holder == holders.Holder(412, "minicom") and "stop that program" in str(holder)


def process(proc: Path, pid: int, name: str, terminal: int = 0) -> None:
    """Another user's process."""
    folder = proc / str(pid)
    folder.mkdir()
    (folder / "comm").write_text(f"{name}\n")
    (folder / "cmdline").write_bytes(f"/sbin/{name}\0".encode())
    (folder / "stat").write_text(f"{pid} ({name} x) S 1 {pid} {pid} {terminal} {pid} 4194560 1 2\n")


def test_a_login_prompt_is_found_by_its_terminal(terminal: str, tmp_path: Path) -> None:
    device = os.stat(terminal).st_rdev
    number = os.major(device) << 8 | os.minor(device) & 0xFF | (os.minor(device) & 0xFFF00) << 12
    process(tmp_path, 77, "agetty", number)
    process(tmp_path, 78, "agetty", number + 1)
    holder = holders.of(terminal, tmp_path)
    assert holder == holders.Holder(77, "getty") and "raspi-config nonint do_serial_cons 1" in str(holder)


@pytest.mark.parametrize("name", holders.SUSPECTS)
def test_a_usual_culprit_is_only_suspected(name: str, terminal: str, tmp_path: Path) -> None:
    process(tmp_path, 90, name)
    holder = holders.of(terminal, tmp_path)
    assert holder == holders.Holder(90, name, sure=False) and str(holder).startswith(f"perhaps {name}, which runs here")
    assert holders.of("/dev/gate/not-there", tmp_path) == holder


def test_our_own_process_is_nobody(terminal: str) -> None:
    with open(terminal, "rb"):
        assert holders.of(terminal) is None


def test_a_gateway_is_called_so(tmp_path: Path) -> None:
    for pid, words in (
        (5, [b"/opt/x/python3", b"/opt/x/gatebell-gateway", b"run"]),
        (6, [b"python3", b"-m", b"gateway"]),
    ):
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "comm").write_text("python3\n")
        (tmp_path / str(pid) / "cmdline").write_bytes(b"\0".join(words))
        assert holders._name(tmp_path / str(pid)) == "gatebell-gateway"
