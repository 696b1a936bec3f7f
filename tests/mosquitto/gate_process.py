"""A real gateway process that was enrolled with a real file: bytes on a pseudo-terminal in, MQTT over TLS out."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from gateway import __main__ as gateway_command
from tests.gateway.ends import Cable
from tests.server.ingest_worker import ROOT, wait_until


class GateProcess:
    """`gatebell-gateway run` in its own folder; `before` stands before the command, as in faketime."""

    def __init__(self, folder: Path, *before: str) -> None:
        self.folder = folder
        self.before = before
        self.config = folder / "gateway.toml"
        self.process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True)
        self.cable = Cable(folder / "reader")
        self.cable.plug()
        self.config.write_text(
            f'data_dir = "{folder}/data"\nclock = "trust"\nheartbeat_s = 0.5\n[spool]\nreserve_mb = 0\n'
            f'[[reader]]\nid = "east"\nprofile = "rdm6300"\nport = "{folder}/reader"\ndirection = "in"\n'
        )

    def enrol(self, file: Path, *options: str) -> int:
        """As the person at the gate does."""
        user = ["--user", "root"] if os.getuid() == 0 else []
        return gateway_command.main(["enrol", str(file), "--config", str(self.config), *user, *options])

    def start(self) -> None:
        """Start it; it connects by itself."""
        command = [*self.before, sys.executable, "-m", "gateway", "run", "--config", str(self.config)]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                stdout=log,
                stderr=log,
                env=os.environ | {"FAKETIME_DONT_FAKE_MONOTONIC": "1"},
                start_new_session=True,  # faketime stays as the parent: the signal must reach both
            )

    def stop(self) -> None:
        """End it as systemd does."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGTERM)
            self.process.wait(20)
            self.process = None

    def said(self) -> str:
        """Its log."""
        return (self.folder / "log").read_text("utf-8")

    def touch(self, number: int) -> None:
        """The card of this number held to the reader, once that is open."""
        wait_until(lambda: "reader east up" in self.said())
        self.cable.touch(f"em4100:{number:010X}")

    def waiting(self) -> int:
        """Taps in the spool that no Stored has named."""
        with sqlite3.connect(f"file:{self.folder}/data/spool.db?mode=ro", uri=True) as spool:
            count = spool.execute(UNSENT).fetchone()[0]
        spool.close()
        return int(count)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self.cable.unplug()


UNSENT = "SELECT count(*) FROM tap WHERE stored_at IS NULL"


class Crowd:
    """Touches a new card every 100 ms until told to stop."""

    def __init__(self, gate: GateProcess) -> None:
        self.gate = gate
        self.touched = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._stop.wait(0.1):
            self.touched += 1
            self.gate.touch(self.touched)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
