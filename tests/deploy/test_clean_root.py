"""install.sh in a clean Debian, from inside as on a Pi: program and all, without network, and again."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.deploy import roots
from tests.deploy.roots import inside, lines, tree

pytestmark = pytest.mark.slow
SCRIPT = "/src/firmware-config/pi/install.sh"
PROGRAM = "/opt/gatebell/.venv/bin/gatebell-gateway"


@pytest.fixture(scope="module")
def debian_with_source(debian: Path, wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Debian in which a checkout and the wheels lie."""
    root = roots.copy(debian, tmp_path_factory.mktemp("source") / "root")
    for name in ("firmware-config", "gateway", "server", "requirements"):
        shutil.copytree(roots.PI.parents[1] / name, root / "src" / name)
    shutil.copy(roots.PI.parents[1] / "pyproject.toml", root / "src")
    shutil.copytree(wheels, root / "wheels")
    return root


def setup(root: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return inside(root, "bash", SCRIPT, "--wheels", "/wheels", *options)


@pytest.fixture(scope="module")
def gate(debian_with_source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Debian after the first run."""
    root = roots.copy(debian_with_source, tmp_path_factory.mktemp("gate") / "root")
    done = setup(root)
    assert done.returncode == 0, done.stderr + done.stdout
    return root


def test_a_dry_run_in_a_clean_debian_changes_nothing(debian_with_source: Path) -> None:
    before = tree(debian_with_source)
    told = setup(debian_with_source, "--dry-run")
    assert told.returncode == 0 and "/opt/gatebell/.venv: install the program" in told.stdout
    assert tree(debian_with_source) == before


def test_the_second_run_changes_nothing_and_verify_is_green(gate: Path) -> None:
    before = tree(gate)
    again = setup(gate)
    assert (again.returncode, again.stdout) == (0, "nothing to change\n"), again.stderr
    fine = setup(gate, "--verify")
    assert (fine.returncode, fine.stdout) == (0, "fine: everything is as install.sh makes it\n")
    assert tree(gate) == before


def test_the_program_works_there_as_its_user_and_knows_nothing_of_the_server_s_packages(gate: Path) -> None:
    (gate / "etc/gatebell/gateway.toml").write_text((gate / "etc/gatebell/gateway.toml.example").read_text())
    user = ("setpriv", "--reuid=gatebell", "--regid=gatebell", "--init-groups")
    asked = inside(gate, *user, PROGRAM, "check", "--config", "/etc/gatebell/gateway.toml")
    (gate / "etc/gatebell/gateway.toml").unlink()
    assert asked.returncode == 0 and "fine: gateway gate-1, 1 readers" in asked.stdout, asked.stderr
    packages = inside(gate, "/opt/gatebell/.venv/bin/pip", "list", "--format=freeze").stdout.lower()
    assert "msgspec" in packages and "flask" not in packages and "hatchling" not in packages


def test_verify_names_a_broken_program_and_the_next_run_mends_it(gate: Path) -> None:
    for file in (gate / "opt/gatebell/.venv/lib").rglob("msgspec/__init__.py"):
        file.unlink()
    told = setup(gate, "--verify")
    assert told.returncode == 1
    assert lines(told.stdout, "wrong") == ["/opt/gatebell/.venv: the program does not start, or is another version"]
    assert setup(gate).returncode == 0
    assert setup(gate, "--verify").returncode == 0


def test_a_wheel_that_was_changed_is_refused(gate: Path, tmp_path: Path) -> None:
    root = roots.copy(gate, tmp_path / "root")
    wheel = next((root / "wheels").glob("msgspec*.whl"))
    wheel.write_bytes(wheel.read_bytes() + b"x")
    (root / "opt/gatebell/program.sha256").write_text("an older one\n")
    told = setup(root)
    assert told.returncode == 2 and "a wheel is not what SHA256SUMS says" in told.stderr


def test_systemd_s_own_tools_take_the_installed_units_and_settings(gate: Path) -> None:
    units = ["gatebell-gateway.service", "gatebell-enrol.service", "gatebell-overlay.service"]
    told = inside(gate, "systemd-analyze", "verify", "--man=no", *units)
    assert [line for line in told.stderr.splitlines() if "gatebell" in line] == []
    for name, line in (
        ("systemd/system.conf", "RuntimeWatchdogSec=10"),
        ("systemd/journald.conf", "Storage=volatile"),
        ("systemd/timesyncd.conf", "SaveIntervalSec=5min"),
    ):
        assert line in inside(gate, "systemd-analyze", "cat-config", name).stdout.splitlines()


def udev_says(root: Path, rules: str) -> list[str]:
    told = inside(root, "udevadm", "test", "--action=add", "/sys/class/mem/null")
    return [line for line in (told.stdout + told.stderr).splitlines() if f"{rules}:" in line]


def test_udev_takes_every_rule_and_names_a_wrong_one(gate: Path, tmp_path: Path) -> None:
    folder = gate / "etc/udev/rules.d"
    examples = (folder / "70-gate-readers.rules").read_text().replace("#SUBSYSTEM", "SUBSYSTEM")
    (folder / "71-examples.rules").write_text(examples)
    (folder / "72-wrong.rules").write_text('SUBSYSTEM=="tty", SYMLNK+="gate/in"\n')
    try:
        assert udev_says(gate, "70-gatebell.rules") == udev_says(gate, "71-examples.rules") == []
        assert udev_says(gate, "72-wrong.rules") != []
    finally:
        (folder / "71-examples.rules").unlink()
        (folder / "72-wrong.rules").unlink()


def test_uninstalled_it_is_a_debian_again(gate: Path, tmp_path: Path) -> None:
    root = roots.copy(gate, tmp_path / "root")
    assert setup(root, "--uninstall").returncode == 0
    assert not (root / "opt/gatebell").exists()
    found = [path for path in (root / "etc/systemd").rglob("*gatebell*") if path.is_file()]
    assert found == []
