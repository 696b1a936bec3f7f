"""Lays out a folder for one morning of the demo: a fresh copy of the school, configurations, the script, free ports."""

import fcntl
import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gateway import wire
from gateway.timebase import VARIABLE, Timebase
from server import clock
from server.demo import gates, morning, roster, school

ROOM_MB = 100  # the school twice, what two gates keep back, logs
FAR = 4_000_000_000_000  # a clock that begins then stands still until the next century
CODE = Path(__file__).parents[1]
TIMEZONE = "Asia/Shanghai"


class CannotStart(RuntimeError):
    """The demo cannot run here and now; the text says why and what to do."""


@dataclass(frozen=True)
class Stage:
    """The folder of a demo and the ports of this run."""

    folder: Path
    web: int
    broker: int
    speed: float

    @property
    def config(self) -> Path:
        """The server's configuration."""
        return self.folder / "gatebell.toml"

    @property
    def script(self) -> Path:
        """What happens at the readers."""
        return self.folder / "morning.jsonl"

    @property
    def ports(self) -> Path:
        """The readers' serial ports."""
        return self.folder / "ports"

    @property
    def url(self) -> str:
        """What a browser opens."""
        return f"http://127.0.0.1:{self.web}"

    def gateway_config(self, gateway: str) -> Path:
        """One gateway's configuration."""
        return self.folder / f"{gateway}.toml"


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Two demos in one folder would tear each other's database apart. Raises CannotStart."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CannotStart(f"a demo runs in {folder} already; stop it, or use --folder for a second one") from None
        yield


def claim_port(port: int) -> None:
    """Check that the pages can be served there. Raises CannotStart naming the port and a free one."""
    try:
        _bind(port)
    except PermissionError:
        raise CannotStart(f"port {port} is reserved by this system; use --port {_next_free(8000)}") from None
    except OSError:
        raise CannotStart(f"port {port} is in use by another program; use --port {_next_free(port + 1)}") from None


def _bind(port: int) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))
        return int(probe.getsockname()[1])


def _next_free(port: int) -> int:
    while port < 65535:
        try:
            return _bind(port)
        except OSError:
            port += 1
    return _bind(0)


def lay_out(folder: Path, port: int, template: Path, speed: float) -> Stage:
    """A fresh morning: everything of an earlier run is gone but the template."""
    stage = Stage(folder.resolve(), port, _bind(0), speed)
    for old in ("gatebell.db", "gatebell.db-wal", "gatebell.db-shm"):
        (folder / old).unlink(missing_ok=True)
    for old in ("logs", "ports", "broker", *gates.GATEWAYS):
        shutil.rmtree(folder / old, ignore_errors=True)
    for name in ("gatebell.db", "key"):
        shutil.copy(template / name, folder / name)
    stage.config.write_text(_server_toml(stage.folder, stage.broker, stage.web), "utf-8")
    for gateway in gates.GATEWAYS:
        stage.gateway_config(gateway).write_text(_gateway_toml(stage, gateway), "utf-8")
    stage.script.write_text(morning.script(morning.moments(roster.build()), _at(0)), "utf-8")
    return stage


def clock_of(speed: float, *, begins_ms: int) -> Timebase:
    """Shows 06:40 until it begins, then runs `speed` times as fast until 08:20."""
    return Timebase(_at(morning.STARTS), begins_ms, speed, _at(morning.ENDS))


def _at(second: int) -> int:
    return clock.to_millis(clock.at_local(school.TODAY, second, TIMEZONE))


def _server_toml(folder: Path, broker: int, web: int) -> str:
    return _toml(
        {
            "": {"demo": True, "run_dir": str(folder)},
            "[database]": {"url": f"sqlite:///{folder}/gatebell.db"},
            "[mqtt]": {"urls": [f"mqtt://127.0.0.1:{broker}"]},
            "[web]": {"port": web, "url": f"http://127.0.0.1:{web}"},
            "[outbox]": {"providers": ["phone"]},
            "[secrets]": {"key_file": str(folder / "key")},
        }
    )


def _gateway_toml(stage: Stage, gateway: str) -> str:
    head = {"school": school.ID, "gateway": gateway, "data_dir": str(stage.folder / gateway), "clock": "trust"}
    text = _toml({"": head, "[mqtt]": {"urls": [f"mqtt://127.0.0.1:{stage.broker}"]}})
    for reader in gates.READERS:
        if reader.gateway == gateway:
            keys = {"id": reader.id, "profile": reader.profile, "port": str(stage.ports / reader.id)}
            text += _toml({"[[reader]]": keys | {"direction": reader.direction, "name": reader.name}})
            text += _toml({"[reader.options]": _hurry(stage.speed)}) if reader.profile == "pn532" else ""
    return text


def _hurry(speed: float) -> dict[str, object]:
    """A module that is asked ten times a second sees no more cards than that: a crowd in a hurry wants more."""
    return {"interval": min(0.1, max(0.02, 3 / speed))}


def _toml(tables: Mapping[str, Mapping[str, object]]) -> str:
    """Tables of plain values; JSON's strings, numbers, booleans and lists are TOML's too."""
    lines = []
    for head, keys in tables.items():
        lines += [head, *(f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in keys.items()), ""]
    return "\n".join(lines).lstrip()


def template(folder: Path, stop: threading.Event, say: Callable[[str], None], *, history: bool) -> Path:
    """The folder with the school's database and key, made when this version of the code has none yet.

    Raises CannotStart when there is no room, or the school cannot be made.
    """
    made = folder / "template" / f"{_version()}{'' if history else '-bare'}"
    if (made / "gatebell.db").exists():
        return made
    _want_room(folder)
    say("making the demo school, once: families, cards" + (", and a month of school days" if history else ""))
    shutil.rmtree(made.parent, ignore_errors=True)
    fresh = made.with_suffix(".new")
    fresh.mkdir(parents=True)
    (fresh / "gatebell.toml").write_text(_server_toml(fresh.resolve(), 1883, 8000), "utf-8")
    command = [sys.executable, "-m", "server.demo.prepare", "--config", str(fresh / "gatebell.toml")]
    standing = str(clock_of(1, begins_ms=FAR))
    run_to_end(command if history else [*command, "--bare"], {VARIABLE: standing}, stop)
    if not stop.is_set():
        fresh.rename(made)
    return made


def _want_room(folder: Path) -> None:
    free = shutil.disk_usage(folder).free // 1_000_000
    if free < ROOM_MB:
        raise CannotStart(f"{folder.resolve()} has {free} MB of room, the demo needs {ROOM_MB}; --folder takes another")


def run_to_end(command: Sequence[str], environment: Mapping[str, str], stop: threading.Event) -> None:
    """Run a child that shares our output; ends it when `stop` is set. Raises CannotStart when it fails."""
    with subprocess.Popen(command, env={**os.environ, **environment}, start_new_session=True) as child:
        while child.poll() is None and not stop.wait(0.05):
            pass
        if child.poll() is None:
            child.terminate()
    if child.returncode and not stop.is_set():
        raise CannotStart(f"{' '.join(command[1:3])} ended with exit code {child.returncode}; the reason stands above")


def _version() -> str:
    """Changes with every change of the code that fills the database."""
    digest = hashlib.sha256(Path(wire.__file__).read_bytes())
    for path in sorted(CODE.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
