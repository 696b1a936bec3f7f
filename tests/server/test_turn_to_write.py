"""Writers to SQLite stand in a queue of their own, so that none sleeps while the others work."""

import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from flask import Flask
from sqlalchemy import text

from server.db import db, transaction


def write(app: Flask, done: threading.Event) -> None:
    with app.app_context(), transaction() as session:
        session.execute(text("SELECT 1"))
        done.set()


def test_a_writer_waits_for_its_turn_and_not_for_a_sleep(app: Flask) -> None:
    done = threading.Event()
    writer = threading.Thread(target=write, args=(app, done))
    if db.engine.dialect.name != "sqlite":
        writer.start()
        assert done.wait(10)
        writer.join()
        return
    with open(f"{db.engine.url.database}-turn", "ab") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        writer.start()
        assert not done.wait(0.2)
    assert done.wait(10)
    writer.join()


def test_a_killed_writer_gives_its_turn_back(app: Flask, tmp_path: Path) -> None:
    if db.engine.dialect.name != "sqlite":
        return
    turn = f"{db.engine.url.database}-turn"
    hold = f"import fcntl,time; f=open({turn!r},'ab'); fcntl.flock(f,2); print(1,flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", hold], stdout=subprocess.PIPE) as holder:
        assert holder.stdout
        holder.stdout.readline()
        os.kill(holder.pid, signal.SIGKILL)
    done = threading.Event()
    write(app, done)
    assert done.is_set()


def test_many_writers_all_come_to_their_end(app: Flask) -> None:
    ends = [0] * 6

    def work(place: int) -> None:
        with app.app_context():
            for _ in range(40):
                with transaction() as session:
                    session.execute(text("SELECT 1"))
                ends[place] += 1

    threads = [threading.Thread(target=work, args=(place,)) for place in range(len(ends))]
    for thread in threads:
        thread.start()
    until = time.monotonic() + 60
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    assert ends == [40] * 6
