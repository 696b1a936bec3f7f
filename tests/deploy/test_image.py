"""The image recipe on an image made here: it starts sealed, keeps taps on its data partition, and is whole."""

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

from tests import services
from tests.deploy import disk, roots
from tests.deploy.test_enrol_script import READERS, Gate
from tests.durability import powerdisk

pytestmark = pytest.mark.slow
BUILD = roots.PI / "image" / "build.sh"
SIZE = 480  # MiB of the original
DATA = 48
GROW = 64
USER = "setpriv --reuid=gatebell --regid=gatebell --init-groups"


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@pytest.fixture(scope="module")
def original(debian: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small Raspberry Pi OS that was never started."""
    folder = tmp_path_factory.mktemp("image")
    if obstacle := powerdisk.obstacle(folder):
        pytest.skip(obstacle)
    for program, package in (("mkfs.vfat", "dosfstools"), ("sfdisk", "fdisk")):
        if not shutil.which(program, path="/usr/sbin:/sbin:/usr/bin"):
            services.missing(package)
    return disk.make(folder / "os.img", debian, SIZE)


def build(original: Path, out: Path, wheels: Path, *options: str) -> subprocess.CompletedProcess[str]:
    sizes = ["--data-size", str(DATA), "--grow", str(GROW)]
    command = [BUILD, original, out, "--wheels", wheels, *sizes, *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def image(original: Path, wheels: Path) -> Path:
    """The image for the gates."""
    before = digest(original)
    out = original.with_name("gates.img")
    done = build(original, out, wheels)
    assert done.returncode == 0, done.stdout + done.stderr
    assert digest(original) == before, "the original was changed"
    return out


def test_only_the_end_of_the_root_moves_and_one_partition_is_new(original: Path, image: Path) -> None:
    old, new = disk.partitions(original), disk.partitions(image)
    assert [start for start, _ in new[:2]] == [start for start, _ in old] and new[0] == old[0]
    assert new[1][1] == old[1][1] + GROW * 2048
    assert len(new) == 3 and new[2][1] == DATA * 2048 and new[2][0] >= sum(new[1])


def test_every_file_system_of_it_is_sound(image: Path) -> None:
    with disk.attached(image) as loop:
        for part in ("p2", "p3"):
            disk.run("e2fsck", "-fn", loop + part)
        assert disk.run("blkid", "--probe", "-o", "value", "-s", "LABEL", f"{loop}p3") == "gatebell-data"


def test_it_would_not_grow_over_its_data_nor_ask_a_user(image: Path, tmp_path: Path) -> None:
    with disk.attached(image) as loop, disk.mounted(f"{loop}p1", tmp_path, "ro"):
        words = (tmp_path / "cmdline.txt").read_text().split()
    assert not [word for word in words if word.startswith(("init=", "resize", "console=serial"))]
    assert "root=PARTUUID=aa-02" in words and "rootwait" in words


def test_sealed_it_writes_taps_to_its_data_partition_and_nothing_else_anywhere(image: Path, tmp_path: Path) -> None:
    with disk.attached(image) as loop, disk.mounted(f"{loop}p2", tmp_path, "ro"):
        said = disk.start(
            tmp_path,
            f'{USER} sh -c "echo tap > /var/lib/gatebell/tap; sync /var/lib/gatebell/tap"',
            "echo line > /var/log/line; echo paper > /etc/gatebell/paper; echo x > /tmp/x",
            "for place in /etc/x /usr/x /opt/gatebell/x; do ! touch $place 2>/dev/null || echo written: $place; done",
            "grep /data /proc/mounts | head -1",
        )
        assert "written" not in said
        assert {"rw", "nosuid", "nodev", "noexec", "noatime", "errors=remount-ro", "data=ordered"} <= set(
            said.split()[3].split(",")
        )
        again = disk.start(tmp_path, "cat /var/lib/gatebell/tap /etc/gatebell/paper; ls /var/log/line 2>&1 || true")
    assert again.split("\n")[:2] == ["tap", "paper"] and "No such file" in again


def test_a_tap_in_a_sealed_gate_outlives_the_power(image: Path, tmp_path: Path) -> None:
    script = """
import logging
from gateway.clock import Clock
from gateway.spool import Limits, Spool, Touch
from gateway.wire import ClockState, Direction
from pathlib import Path
clock = Clock()
spool = Spool(Path("/var/lib/gatebell/spool.db"), gateway="gate-1", clock=clock, limits=Limits(16 << 20, 1 << 20, 7))
spool.open()
print(spool.depth())
spool.put([Touch("east-in", Direction.IN, "em4100:67003B51C6", clock.now(), ClockState.UNSYNCED, clock.ticks())])
"""
    with disk.attached(image) as loop, disk.mounted(f"{loop}p2", tmp_path, "ro"):
        run = f'echo "{script.replace(chr(34), chr(92) + chr(34))}" | {USER} /opt/gatebell/.venv/bin/python -'
        assert [disk.start(tmp_path, run) for _ in range(2)] == ["0", "1"]


def test_what_came_out_is_what_install_makes(image: Path, tmp_path: Path) -> None:
    with (
        disk.attached(image) as loop,
        disk.mounted(f"{loop}p2", tmp_path),
        disk.mounted(f"{loop}p1", tmp_path / "boot/firmware"),
    ):
        told = roots.install(tmp_path, "--skip-program", "--verify")
    assert told.returncode == 0, told.stdout


def test_gates_of_one_image_do_not_share_an_identity(image: Path, tmp_path: Path) -> None:
    with disk.attached(image) as loop, disk.mounted(f"{loop}p2", tmp_path, "ro"):
        assert (tmp_path / "etc/machine-id").read_text() == ""
        assert not list((tmp_path / "etc/ssh").glob("ssh_host_*")) if (tmp_path / "etc/ssh").exists() else True


@pytest.mark.parametrize("fault", ["no wheels", "a third partition", "no image"])
def test_what_cannot_be_built_is_a_sentence_and_leaves_nothing(
    original: Path, wheels: Path, tmp_path: Path, fault: str
) -> None:
    source, folder = original, wheels
    if fault == "no wheels":
        folder = tmp_path / "empty"
        folder.mkdir()
    elif fault == "no image":
        source = tmp_path / "nothing.img"
    else:
        source = tmp_path / "started.img"
        disk.run("cp", "--sparse=always", original, source)
        disk.run("truncate", "--size", "+8MiB", source)
        disk.run("sfdisk", "--quiet", "--append", source, text="size=4MiB\n")
    loops = disk.run("losetup", "--list", "--noheadings", "--output", "BACK-FILE")
    done = build(source, tmp_path / "out.img", folder)
    assert done.returncode != 0 and done.stderr
    assert not list(tmp_path.glob("out.img*"))
    assert disk.run("losetup", "--list", "--noheadings", "--output", "BACK-FILE") == loops


def test_a_data_partition_takes_no_room_that_is_not_free(original: Path, tmp_path: Path) -> None:
    image = tmp_path / "full.img"
    disk.run("cp", "--sparse=always", original, image)
    before = digest(image)
    with disk.attached(image) as loop:
        told = subprocess.run([roots.PI / "data-partition.sh", loop], capture_output=True, text=True, check=False)
    assert told.returncode == 2 and "has no 512 MiB free behind its last partition" in told.stderr
    assert digest(image) == before


def test_an_old_file_system_in_the_free_space_is_not_overwritten_unasked(original: Path, tmp_path: Path) -> None:
    image = tmp_path / "used.img"
    disk.run("cp", "--sparse=always", original, image)
    disk.run("truncate", "--size", "+64MiB", image)
    with disk.attached(image) as loop:
        disk.run("mkfs.ext4", "-q", "-F", "-E", f"offset={SIZE << 20}", "-L", "photos", loop, "60M")
        words = [str(roots.PI / "data-partition.sh"), loop, "--size", "48"]
        told = subprocess.run(words, capture_output=True, text=True, check=False)
    assert told.returncode == 2 and "give --format if nobody needs it" in told.stderr


def test_install_makes_the_data_partition_only_when_told_and_takes_papers_and_taps_along(
    original: Path, tmp_path: Path
) -> None:
    image, root = tmp_path / "card.img", tmp_path / "root"
    disk.run("cp", "--sparse=always", original, image)
    disk.run("truncate", "--size", "+600MiB", image)
    root.mkdir()
    with disk.attached(image) as loop:
        with disk.mounted(f"{loop}p2", root), disk.mounted(f"{loop}p1", root / "boot/firmware"):
            assert roots.install(root, "--skip-program").returncode == 0
            assert len(disk.partitions(image)) == 2
            (root / "etc/gatebell/gateway.toml").write_text("mine\n")
            (root / "var/lib/gatebell/spool.db").write_text("taps\n")
            done = roots.install(root, "--skip-program", "--data-disk", loop)
            assert done.returncode == 0, done.stderr
            assert roots.install(root, "--skip-program", "--data-disk", loop).stdout == "nothing to change\n"
        with disk.mounted(f"{loop}p3", root, "ro"):
            found = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
            owner = (root / "gatebell").stat()
    assert {"etc/gateway.toml", "gatebell/spool.db"} <= found
    assert owner.st_uid != 0 and owner.st_mode & 0o777 == 0o700


def test_an_enrolment_file_is_taken_from_a_boot_partition_that_is_read_only(image: Path, tmp_path: Path) -> None:
    gate = Gate(tmp_path)
    (gate.papers / "gateway.toml").write_text(READERS)
    with disk.attached(image) as loop:
        with disk.mounted(f"{loop}p1", gate.boot):
            gate.file.write_text("secret END\n")
        with disk.mounted(f"{loop}p1", gate.boot, "ro"):
            assert gate.start() == 0
            assert not gate.file.exists()
            mine = next(line for line in Path("/proc/mounts").read_text().splitlines() if str(gate.boot) in line)
            assert mine.split()[3].startswith("ro")
    assert (gate.papers / "enrolment.toml").exists()
