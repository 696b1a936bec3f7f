"""The data partition's and the sealed root's lines of fstab, as systemd's own generator reads them."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests import services
from tests.deploy import roots, units

GENERATOR = Path("/lib/systemd/system-generators/systemd-fstab-generator")
KINDS = ("data", "sealed")


@pytest.fixture(params=KINDS)
def generated(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """What systemd makes of fstab at a start."""
    if not GENERATOR.exists():
        services.missing("systemd")
    fstab = tmp_path / "fstab"
    fstab.write_text(roots.FSTAB + (roots.PI / "fstab.d" / f"{request.param}.txt").read_text())
    folders = [tmp_path / name for name in ("normal", "early", "late")]
    for folder in folders:
        folder.mkdir()
    environment = os.environ | {"SYSTEMD_FSTAB": str(fstab)}
    done = subprocess.run([GENERATOR, *folders], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stderr == ""
    return folders[0]


def said(folder: Path, unit: str, key: str) -> set[str]:
    """The words of a key."""
    return {word for line in units.values(folder / unit, key) for word in line.split()}


def test_papers_taps_and_time_are_on_the_data_partition_or_nowhere(generated: Path) -> None:
    places = {"var-lib-gatebell": "gatebell", "etc-gatebell": "etc", "var-lib-systemd-timesync": "timesync"}
    for name, folder in places.items():
        assert said(generated, f"{name}.mount", "What") == {f"/data/{folder}"}
        assert said(generated, f"{name}.mount", "RequiresMountsFor") == {"/data"}
    assert said(generated, "data.mount", "What") == {"/dev/disk/by-label/gatebell-data"}


def test_the_data_partition_is_checked_before_it_is_mounted(generated: Path) -> None:
    assert any(word.startswith("systemd-fsck@") for word in said(generated, "data.mount", "After"))


def test_a_machine_without_its_data_partition_starts_all_the_same(generated: Path) -> None:
    needed = {path.name for path in (generated / "local-fs.target.requires").iterdir()}
    assert needed <= {"-.mount", "boot-firmware.mount", "tmp.mount", "var.mount"}
    patience = next(generated.glob("dev-disk-by*gatebell*.device.d/*.conf"))
    assert "JobRunningTimeoutSec=20s" in patience.read_text()


def test_a_sealed_root_has_its_room_in_memory_before_anything_writes(generated: Path) -> None:
    if not (generated / "var.mount").exists():
        assert not (generated / "tmp.mount").exists()
        return
    assert said(generated, "var.mount", "Requires") == {"gatebell-overlay.service"}
    assert said(generated, "var.mount", "After") >= {"gatebell-overlay.service"}
    assert said(generated, "var.mount", "Before") == {"local-fs.target"}


def cycles(generated: Path, root: Path) -> list[str]:
    """What systemd says of orders that cannot be kept, with all that a gate starts."""
    system = root / "etc/systemd/system"
    shutil.copytree(generated, system, symlinks=True)
    for unit in units.FOLDERS[0].iterdir():
        shutil.copy(unit, system)
    drop_in = system / "systemd-timesyncd.service.d"
    drop_in.mkdir()
    shutil.copy(roots.PI / "timesyncd.service.d/gatebell.conf", drop_in)
    shutil.copytree("/lib/systemd/system", root / "lib/systemd/system", symlinks=True)
    names = ["local-fs.target", "sysinit.target", "multi-user.target", "gatebell-gateway.service"]
    command = ["systemd-analyze", f"--root={root}", "verify", "--man=no", *names]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    return [line for line in told.stderr.splitlines() if "cycle" in line]


def test_nothing_waits_for_itself(generated: Path, tmp_path: Path) -> None:
    assert cycles(generated, tmp_path / "root") == []
    mount = generated / "data.mount"
    mount.write_text(mount.read_text().replace("[Unit]", "[Unit]\nAfter=gatebell-gateway.service"))
    assert cycles(generated, tmp_path / "planted") != []
