"""What systemd hears."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.watchdog import Watchdog


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[socket.socket]:
    """The socket of a systemd."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(str(tmp_path / "notify"))
        ear.settimeout(5)
        yield ear


def test_lines_arrive(systemd: socket.socket) -> None:
    watchdog = Watchdog.from_environment({"NOTIFY_SOCKET": systemd.getsockname(), "WATCHDOG_USEC": "30000000"})
    watchdog.say("WATCHDOG=1", "STATUS=2 readers")
    assert systemd.recv(1000) == b"WATCHDOG=1\nSTATUS=2 readers"
    assert watchdog.interval == 15


def test_an_abstract_socket_is_found() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind("\0gatebell-test-notify")
        ear.settimeout(5)
        Watchdog("@gatebell-test-notify").say("READY=1")
        assert ear.recv(1000) == b"READY=1"


def test_without_systemd_nothing_happens() -> None:
    watchdog = Watchdog.from_environment({})
    watchdog.say("READY=1")
    assert watchdog == Watchdog("", None)
