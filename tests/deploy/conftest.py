"""A small school, a clean Debian to install into, and the wheels of the gate's program."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests import services
from tests.deploy import roots
from tests.durability.conftest import school

__all__ = ["school"]
NOT_NEEDED = ("var/cache/apt/archives", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale")
PACKAGES = "python3,python3-venv,systemd,systemd-sysv,systemd-timesyncd,udev,passwd"


@pytest.fixture(scope="session")
def debian(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A minimal Debian 12 with a Pi's boot files, to copy: what Raspberry Pi OS Lite is made of."""
    if os.getuid() != 0:
        pytest.skip("a clean root needs root, for debootstrap and chroot")
    if not shutil.which("debootstrap", path="/usr/sbin:/usr/bin"):
        services.missing("debootstrap")
    root = tmp_path_factory.mktemp("debian") / "root"
    command = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", str(root)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    for place in NOT_NEEDED:
        shutil.rmtree(root / place, ignore_errors=True)
    return roots.like_a_pi(root)


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that wheels.sh makes."""
    folder = tmp_path_factory.mktemp("wheels")
    done = subprocess.run([roots.PI / "wheels.sh", folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def age(tmp_path: Path) -> tuple[Path, Path]:
    """Private and public key of age."""
    if not shutil.which("age-keygen"):
        services.missing("age")
    private, public = tmp_path / "age.key", tmp_path / "age.pub"
    subprocess.run(["age-keygen", "-o", private], check=True, capture_output=True)
    public.write_text(subprocess.run(["age-keygen", "-y", private], check=True, capture_output=True, text=True).stdout)
    return private, public
