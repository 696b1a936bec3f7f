"""The unit files: systemd understands them, finds them hardened, and what they forbid is nothing that we do."""

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import tomllib
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests import services
from tests.deploy import units
from tests.durability import line, syscalls
from tests.gateway.ends import Cable, School, until
from tests.server import gate
from tests.server.ingest_worker import GateClient

LIMITS = {  # exposure as systemd-analyze counts it, times ten: 100 is a service without any fence
    "gatebell-gateway.service": 20,
    "gatebell-web.service": 15,
    "gatebell-ingest.service": 15,
    "gatebell-jobs.service": 15,
    "gatebell-backup.service": 15,
    "gatebell-broker.service": 20,
    "gatebell-enrol.service": 30,  # root, to take a file from the boot partition
    "gatebell-overlay.service": 100,  # one mkdir before there is anything to protect
}
COMMAND = ("-c", "from server.cli import main; main()", "--config")


@pytest.fixture(scope="module", autouse=True)
def analyze() -> None:
    """systemd's own tool; it needs no running systemd."""
    if not shutil.which("systemd-analyze"):
        services.missing("systemd")


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A root with all units and, where they start something, a file that could be started."""
    for unit in units.UNITS:
        target = tmp_path / "etc/systemd/system" / unit.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(unit, target)
        for command in units.values(unit, "ExecStart"):
            program = tmp_path / command.split()[0].lstrip("-/")
            program.parent.mkdir(parents=True, exist_ok=True)
            program.write_text("#!/bin/sh\n")
            program.chmod(0o755)
    shutil.copytree("/lib/systemd/system", tmp_path / "lib/systemd/system", symlinks=True)
    return tmp_path


def verify(machine: Path) -> subprocess.CompletedProcess[str]:
    names = [unit.name for unit in units.UNITS]
    command = ["systemd-analyze", f"--root={machine}", "verify", "--man=no", *names]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_systemd_understands_every_unit(machine: Path) -> None:
    told = verify(machine)
    ours = [line for line in told.stderr.splitlines() if "gatebell" in line]
    assert ours == [] and told.returncode == 0, told.stderr


def test_a_wrong_line_in_a_unit_is_found(machine: Path) -> None:
    unit = machine / "etc/systemd/system/gatebell-gateway.service"
    unit.write_text(unit.read_text().replace("ProtectHome=yes", "ProtectHoem=yes"))
    assert "ProtectHoem" in verify(machine).stderr


@pytest.mark.parametrize("unit", units.SERVICES, ids=lambda unit: unit.name)
def test_a_service_is_fenced_in(unit: Path) -> None:
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", f"--threshold={LIMITS[unit.name]}"]
    told = subprocess.run([*command, str(unit)], capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout + told.stderr


@pytest.mark.parametrize("name", ["gateway", "web", "ingest", "jobs"])
def test_a_service_that_stays_is_started_again_for_ever_and_stops_nothing_else(name: str) -> None:
    unit = units.named(f"gatebell-{name}.service")
    told = {key: units.values(unit, key) for key in ("Type", "Restart", "StartLimitIntervalSec", "User")}
    assert told == {"Type": ["notify"], "Restart": ["always"], "StartLimitIntervalSec": ["0"], "User": ["gatebell"]}


def test_the_gateway_waits_for_its_disk_and_for_nothing_else() -> None:
    unit = units.named("gatebell-gateway.service")
    assert units.values(unit, "RequiresMountsFor") == ["/var/lib/gatebell /etc/gatebell"]
    assert not {"network-online.target", "time-sync.target"} & set(" ".join(units.values(unit, "After")).split())


def test_every_service_has_a_limit() -> None:
    assert set(LIMITS) == {unit.name for unit in units.SERVICES}


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """Where strace writes."""
    if not shutil.which("strace"):
        services.missing("strace")
    if obstacle := syscalls.obstacle(tmp_path):
        pytest.skip(obstacle)
    return tmp_path / "trace"


@contextlib.contextmanager
def watched(trace: Path, *command: str) -> Iterator[None]:
    """Run a command of ours as systemd does: the block begins when it says that it is ready, and ends with SIGTERM."""
    log = trace.with_suffix(".log")
    words = ["strace", "-D", "-f", "-o", str(trace), sys.executable, *command]
    with contextlib.ExitStack() as after:
        folder = Path(after.enter_context(tempfile.TemporaryDirectory()))  # a socket's name must be short
        systemd = after.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        systemd.bind(str(folder / "notify"))
        systemd.settimeout(60)
        environment = os.environ | {"NOTIFY_SOCKET": str(folder / "notify")}
        out = after.enter_context(log.open("wb"))
        process = subprocess.Popen(words, cwd=units.ROOT, stdout=out, stderr=out, env=environment)
        after.callback(process.kill)
        while b"READY=1" not in systemd.recv(4096):
            pass
        yield
        process.terminate()
        assert process.wait(60) == 0, log.read_text()
    until(lambda: re.search(r"\+\+\+ (exited|killed)[^\n]*\n$", trace.read_text(errors="replace")))


def forbidden(unit: str, trace: Path) -> set[str]:
    """What the process did and its unit forbids."""
    calls = units.made(trace)
    assert len(calls) > 30, "strace saw too little"
    assert units.maps_code(trace) == []
    # SQLite gives its files to the owner of the database, but only when root runs it, as here and never under systemd.
    return calls - units.allowed(units.named(unit)) - ({"fchown"} if os.getuid() == 0 else set())


GATEWAY = """
school = "mingde"
gateway = "gate-1"
data_dir = "{folder}/spool"
[mqtt]
urls = ["{broker}"]
[[reader]]
id = "east"
profile = "rdm6300"
port = "{folder}/reader"
direction = "in"
"""
SERVER = """
run_dir = "{folder}"
[database]
url = "sqlite:///{folder}/school.db"
[mqtt]
urls = ["{broker}"]
[web]
port = {port}
[secrets]
key_file = "{folder}/key"
"""


def test_the_gateway_does_nothing_that_its_unit_forbids(
    tmp_path: Path, trace: Path, mosquitto: services.Mosquitto
) -> None:
    toml = tmp_path / "gateway.toml"
    toml.write_text(GATEWAY.format(folder=tmp_path, broker=mosquitto.url))
    cable = Cable(tmp_path / "reader")
    cable.plug()
    with School(mosquitto.url) as server, watched(trace, "-m", "gateway", "run", "--config", str(toml)):
        log = trace.with_suffix(".log")
        until(lambda: "reader east up" in log.read_text(), seconds=60)
        cable.touch()
        until(lambda: len(server.taps) == 1, seconds=60)
    cable.unplug()
    assert forbidden("gatebell-gateway.service", trace) == set()
    assert {"adjtimex", "clock_adjtime"} & units.made(trace)  # why its unit does not say ProtectClock=yes


@pytest.fixture
def toml(tmp_path: Path, mosquitto: services.Mosquitto, school: Callable[..., Path]) -> Path:
    """A server's configuration, with a small school."""
    school(tmp_path / "school.db")
    toml = tmp_path / "gatebell.toml"
    toml.write_text(SERVER.format(folder=tmp_path, broker=mosquitto.url, port=services.free_port()))
    return toml


def test_ingest_does_nothing_that_its_unit_forbids(toml: Path, trace: Path, mosquitto: services.Mosquitto) -> None:
    with watched(trace, *COMMAND, str(toml), "ingest"), GateClient(mosquitto.port) as client:
        tap = gate.tap(1, datetime.now(UTC), card=line.card(1))
        for _ in range(60):
            client.send(gate.message([tap]))
            with contextlib.suppress(TimeoutError):
                until(lambda: tap.id in client.stored, seconds=1)
                break
        assert tap.id in client.stored
    assert forbidden("gatebell-ingest.service", trace) == set()


def test_jobs_do_nothing_that_their_unit_forbids(toml: Path, trace: Path) -> None:
    with watched(trace, *COMMAND, str(toml), "jobs"):
        time.sleep(2)
    assert forbidden("gatebell-jobs.service", trace) == set()


def test_the_pages_do_nothing_that_their_unit_forbids(toml: Path, trace: Path) -> None:
    port = tomllib.loads(toml.read_text())["web"]["port"]
    address = f"http://127.0.0.1:{port}/"
    with watched(trace, *COMMAND, str(toml), "web"), urllib.request.urlopen(address, timeout=60) as page:
        assert page.status == 200
    assert forbidden("gatebell-web.service", trace) == set()


def test_the_backup_does_nothing_that_its_unit_forbids(toml: Path, trace: Path, age: tuple[Path, Path]) -> None:
    words = ["strace", "-D", "-f", "-o", str(trace), sys.executable, "deploy/backup/backup.py"]
    words += ["--config", str(toml), "--folder", str(toml.parent / "backups"), "--recipient", str(age[1])]
    environment = os.environ | {"PYTHONPATH": str(units.ROOT)}
    done = subprocess.run(words, cwd=units.ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    until(lambda: trace.exists() and "+++ exited" in trace.read_text(errors="replace")[-200:])
    assert forbidden("gatebell-backup.service", trace) == set()
