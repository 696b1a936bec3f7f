"""Waking senders: at once, all of them, and never at the caller's cost."""

import threading
from pathlib import Path

from server.outbox import wake
from server.outbox.wake import Listener


def test_a_call_ends_the_wait(tmp_path: Path) -> None:
    with Listener(tmp_path) as listener:
        threading.Timer(0.05, wake.notify, [tmp_path]).start()
        assert listener.wait(10)
        assert not listener.wait(0.01)


def test_calls_that_pile_up_count_as_one(tmp_path: Path) -> None:
    with Listener(tmp_path) as listener:
        for _ in range(500):  # more than a socket's queue holds: the caller never waits
            wake.notify(tmp_path)
        assert listener.wait(0)
        assert not listener.wait(0)


def test_every_listener_is_woken(tmp_path: Path) -> None:
    with Listener(tmp_path) as first, Listener(tmp_path) as second:
        wake.notify(tmp_path)
        assert first.wait(1)
        assert second.wait(1)


def test_nobody_listening_is_no_error(tmp_path: Path) -> None:
    wake.notify(tmp_path)
    wake.notify(tmp_path / "not there")


def test_the_socket_of_a_killed_process_is_cleared_away(tmp_path: Path) -> None:
    killed = Listener(tmp_path)
    killed.path.parent.mkdir(exist_ok=True)  # not the run folder where that has a long name
    killed.socket.bind(str(killed.path))
    killed.socket.close()
    wake.notify(tmp_path)
    assert not killed.path.exists()


def test_a_listener_leaves_nothing_behind(tmp_path: Path) -> None:
    with Listener(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_waking_oneself_is_not_a_call(tmp_path: Path) -> None:
    with Listener(tmp_path) as listener:
        listener.wake()
        assert not listener.wait(10)


def test_a_run_folder_with_a_long_name_works_too(tmp_path: Path) -> None:
    long = tmp_path / ("x" * 120)
    long.mkdir()
    with Listener(long) as listener:
        wake.notify(long)
        assert listener.wait(1)
    assert wake.folder(long) != wake.folder(tmp_path / ("y" * 120))
    listener.path.parent.rmdir()
