"""install.sh on a root made by hand: it says what it would do, does it once, finds what was damaged, and goes again."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import services
from tests.deploy import roots
from tests.deploy.roots import PI, install, lines, tree

Damage = Callable[[Path], object]
QUICK = "--skip-program"


def bare(folder: Path) -> Path:
    if not shutil.which("systemd-sysusers"):
        services.missing("systemd")
    return roots.by_hand(folder / "root")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root that nothing was installed into."""
    return bare(tmp_path)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root after install.sh with everything, to copy."""
    root = bare(tmp_path_factory.mktemp("installed"))
    done = install(root, QUICK, "--sealed")
    assert done.returncode == 0, done.stderr
    return root


@pytest.fixture
def gate(installed: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return roots.copy(installed, tmp_path / "gate")


def read(root: Path, name: str) -> str:
    return (root / name).read_text()


@pytest.mark.parametrize("options", [[], ["--data"], ["--sealed"]])
def test_a_dry_run_says_what_is_done_and_changes_nothing(root: Path, options: list[str]) -> None:
    before = tree(root)
    told = install(root, QUICK, "--dry-run", *options)
    assert told.returncode == 0 and tree(root) == before
    done = install(root, QUICK, *options)
    assert lines(told.stdout, "would") == lines(done.stdout, "did") != []


@pytest.mark.parametrize("options", [[], ["--data"], ["--sealed"]])
def test_a_second_run_changes_nothing(root: Path, options: list[str]) -> None:
    install(root, QUICK, *options)
    before = tree(root)
    again = install(root, QUICK, *options)
    assert (again.returncode, again.stdout) == (0, "nothing to change\n")
    assert tree(root) == before


def test_what_was_chosen_once_needs_not_be_said_again(gate: Path) -> None:
    assert install(gate, QUICK).stdout == "nothing to change\n"
    assert install(gate, QUICK, "--verify").returncode == 0


def test_verify_of_a_bare_root_names_everything_and_changes_nothing(root: Path) -> None:
    before = tree(root)
    told = install(root, QUICK, "--verify")
    assert told.returncode == 1 and tree(root) == before
    assert len(lines(told.stdout, "wrong")) >= 30


def unlink(name: str) -> Damage:
    return lambda root: (root / name).unlink()


def append(name: str, text: str) -> Damage:
    def change(root: Path) -> None:
        with (root / name).open("a") as file:
            file.write(text)

    return change


def replace(name: str, old: str, new: str) -> Damage:
    def change(root: Path) -> None:
        text = read(root, name)
        assert old in text
        (root / name).write_text(text.replace(old, new))

    return change


JOURNALD = "etc/systemd/journald.conf.d/gatebell.conf"
DAMAGES = [
    ("boot/firmware/cmdline.txt", replace("boot/firmware/cmdline.txt", "tty1", "tty1 console=ttyAMA0,115200")),
    ("boot/firmware/config.txt", replace("boot/firmware/config.txt", "dtparam=watchdog=on\n", "")),
    ("etc/fstab", replace("etc/fstab", "data=ordered", "data=writeback")),
    ("etc/fstab", replace("etc/fstab", "defaults,noatime,ro", "defaults,noatime")),
    (
        "etc/systemd/journald.conf.d/gatebell.conf",
        append("etc/systemd/journald.conf.d/gatebell.conf", "Storage=auto\n"),
    ),
    ("etc/systemd/system.conf.d/gatebell.conf", unlink("etc/systemd/system.conf.d/gatebell.conf")),
    ("etc/systemd/timesyncd.conf.d/gatebell.conf", unlink("etc/systemd/timesyncd.conf.d/gatebell.conf")),
    ("etc/udev/rules.d/70-gatebell.rules", append("etc/udev/rules.d/70-gatebell.rules", "# mine\n")),
    ("etc/udev/rules.d/70-gate-readers.rules", unlink("etc/udev/rules.d/70-gate-readers.rules")),
    ("gatebell-gateway.service", unlink("etc/systemd/system/multi-user.target.wants/gatebell-gateway.service")),
    ("etc/systemd/system/gatebell-gateway.service", unlink("etc/systemd/system/gatebell-gateway.service")),
    ("ModemManager.service", unlink("etc/systemd/system/ModemManager.service")),
    ("serial-getty@ttyAMA0.service", unlink("etc/systemd/system/serial-getty@ttyAMA0.service")),
    ("user gatebell", replace("etc/group", "dialout:x:20:gatebell", "dialout:x:20:")),
    ("var/lib/gatebell", lambda root: (root / "var/lib/gatebell").chmod(0o777)),
    ("etc/gatebell", lambda root: (root / "etc/gatebell").chmod(0o755)),
    ("opt/gatebell/setup", unlink("opt/gatebell/setup/enrol.sh")),
]


def places(told: str, word: str) -> list[str]:
    return sorted(line.split(": ")[0].lstrip("/") for line in lines(told, word))


def test_verify_names_every_damage_and_the_next_run_mends_only_that(gate: Path) -> None:
    for _place, damage in DAMAGES:
        damage(gate)
    damaged = sorted(place for place, _damage in DAMAGES)
    told = install(gate, QUICK, "--verify")
    assert (told.returncode, places(told.stdout, "wrong")) == (1, damaged)
    assert places(install(gate, QUICK).stdout, "did") == damaged
    assert install(gate, QUICK, "--verify").returncode == 0


@pytest.mark.parametrize("package", ["modemmanager", "brltty"])
def test_verify_names_a_package_that_takes_serial_ports(gate: Path, package: str) -> None:
    append("var/lib/dpkg/status", f"Package: {package}\nStatus: install ok installed\n\n")(gate)
    told = install(gate, QUICK, "--verify")
    assert lines(told.stdout, "wrong") == [f"{package}: installed, and in a gate's way"]


def test_a_purged_package_is_no_trouble(gate: Path) -> None:
    append("var/lib/dpkg/status", "Package: brltty\nStatus: deinstall ok config-files\n\n")(gate)
    assert install(gate, QUICK, "--verify").returncode == 0


def test_the_serial_console_goes_and_the_rest_of_the_line_stays(gate: Path) -> None:
    kept = roots.CONSOLE.replace("console=serial0,115200 ", "")
    assert read(gate, "boot/firmware/cmdline.txt") == kept + "\n"


def test_every_way_to_name_the_serial_console_is_found(gate: Path) -> None:
    consoles = " ".join(f"console={port}" for port in ("serial0,115200", "ttyAMA0", "ttyS0,9600n8", "ttyAMA10,115200"))
    (gate / "boot/firmware/cmdline.txt").write_text(f"root=/dev/x console=tty1 rootwait {consoles}\n")
    install(gate, QUICK)
    assert read(gate, "boot/firmware/cmdline.txt") == "root=/dev/x console=tty1 rootwait\n"


@pytest.mark.parametrize("word", ["overlayroot=tmpfs", "overlayroot=tmpfs:recurse=0"])
def test_memory_laid_over_the_taps_is_named_and_taken_away(gate: Path, word: str) -> None:
    file = gate / "boot/firmware/cmdline.txt"
    before = file.read_text()
    file.write_text(f"{word} {before}")
    told = install(gate, QUICK, "--verify")
    assert told.returncode == 1 and "memory laid over the taps" in told.stdout
    install(gate, QUICK)
    assert file.read_text() == before


def test_lines_of_others_stay_as_they_were(gate: Path) -> None:
    assert read(gate, "boot/firmware/config.txt").startswith(roots.FILES["boot/firmware/config.txt"])
    assert read(gate, "etc/fstab").startswith("proc /proc proc defaults 0 0\n")


def test_a_block_without_its_end_is_refused_and_no_line_lost(gate: Path) -> None:
    damaged = read(gate, "boot/firmware/config.txt").replace("# <<< gatebell\n", "dtoverlay=mine\n")
    (gate / "boot/firmware/config.txt").write_text(damaged)
    told = install(gate, QUICK)
    assert told.returncode == 2 and "put it back" in told.stderr
    assert read(gate, "boot/firmware/config.txt") == damaged


def test_a_person_s_files_are_never_overwritten(gate: Path) -> None:
    mine = {"etc/gatebell/gateway.toml": "school = 'mine'\n", "etc/udev/rules.d/70-gate-readers.rules": "# mine\n"}
    for name, text in mine.items():
        (gate / name).write_text(text)
    for options in (["--unsealed"], ["--uninstall"], ["--sealed"]):
        assert install(gate, QUICK, *options).returncode == 0
        assert {name: read(gate, name) for name in mine} == mine


def test_what_is_changed_is_kept(gate: Path) -> None:
    kept = gate / "var/backups/gatebell/boot/firmware"
    assert [file.read_text() for file in kept.glob("cmdline.txt.*")] == [roots.CONSOLE + "\n"]
    first = min((gate / "var/backups/gatebell/etc").glob("fstab.*"))
    assert first.read_text() == roots.FSTAB


def test_unsealed_makes_the_root_writable_and_keeps_the_data_partition(gate: Path) -> None:
    assert install(gate, QUICK, "--unsealed").returncode == 0
    mounts = {words[1]: words[3] for line in read(gate, "etc/fstab").splitlines() if len(words := line.split()) == 6}
    assert "ro" not in mounts["/"].split(",") and "ro" not in mounts["/boot/firmware"].split(",")
    assert "/data" in mounts and "/var" not in mounts
    assert install(gate, QUICK, "--verify").returncode == 0


def test_uninstalled_nothing_of_ours_acts_any_more(gate: Path) -> None:
    assert install(gate, QUICK, "--uninstall").returncode == 0
    units = [path.name for path in (gate / "etc/systemd/system").rglob("*") if path.is_symlink() or path.is_file()]
    assert units == [] and not (gate / "opt/gatebell").exists()
    assert read(gate, "boot/firmware/config.txt") == roots.FILES["boot/firmware/config.txt"]
    assert read(gate, "etc/fstab").split() == roots.FSTAB.split()
    assert (gate / "var/lib/gatebell").exists()


def test_what_is_no_pi_keeps_its_pins_and_installs_all_the_same(root: Path) -> None:
    shutil.rmtree(root / "boot")
    done = install(root, QUICK)
    assert done.returncode == 0 and "this is no Raspberry Pi" in done.stdout
    assert install(root, QUICK, "--verify").returncode == 0


def test_it_verifies_from_the_gate_itself(gate: Path) -> None:
    own = gate / "opt/gatebell/setup/install.sh"
    assert install(gate, QUICK, "--verify", script=own).returncode == 0


def test_owners_are_those_of_the_root_not_of_this_machine(gate: Path) -> None:
    if os.getuid() != 0:
        assert (gate / "var/lib/gatebell").stat().st_uid == os.getuid()
        return
    ids = {words[0]: int(words[2]) for line in read(gate, "etc/passwd").splitlines() if (words := line.split(":"))}
    assert (gate / "var/lib/gatebell").stat().st_uid == ids["gatebell"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--wheel", "x"], "--wheel: unknown"),
        ([], "--root needs --wheels DIR or --skip-program"),
        (["--wheels", "/nowhere/at/all"], "/nowhere/at/all"),
    ],
)
def test_wrong_words_are_a_sentence_and_change_nothing(root: Path, options: list[str], says: str) -> None:
    before = tree(root)
    told = install(root, *options)
    assert told.returncode != 0 and says in told.stderr
    assert tree(root) == before


def test_shellcheck_finds_nothing(tmp_path: Path) -> None:
    if not shutil.which("shellcheck"):
        services.missing("shellcheck")
    scripts = [*PI.rglob("*.sh"), *(PI.parents[1] / "deploy").rglob("*.sh")]
    told = subprocess.run(["shellcheck", "-x", *map(str, scripts)], capture_output=True, text=True, check=False)
    assert told.stdout == "" and told.returncode == 0 and len(scripts) >= 5
