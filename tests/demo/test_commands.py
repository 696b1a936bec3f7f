"""./run and ./test themselves, and the lock files they install from, without installing anything."""

import importlib.util
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))


def load(name: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A script of the root as a module."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    loader = SourceFileLoader(f"script_{name}", str(ROOT / name))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Any:
    return load("run", monkeypatch)


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.delenv("CI", raising=False)
    return load("test", monkeypatch)


@pytest.fixture
def clone(tmp_path: Path, run: ModuleType) -> Path:
    """A folder that looks installed: its Python has pip, and says what `gatebell` was asked."""
    folder = tmp_path / "clone"
    (folder / "requirements").mkdir(parents=True)
    for name in ("run", "pyproject.toml", "requirements/demo.txt", "requirements/build.txt"):
        shutil.copy(ROOT / name, folder / name)
    (folder / ".venv/bin").mkdir(parents=True)
    python = folder / ".venv/bin/python"
    python.write_text('#!/bin/sh\n[ "$1" = -c ] && exit\nshift 3\necho "in $PWD:" "$@"\n')
    python.chmod(0o755)
    run.ROOT, run.VENV, run.PYTHON = folder, folder / ".venv", folder / ".venv/bin/python"
    run.install = lambda lock: None
    run.ensure("requirements/demo.txt")
    return folder


def asked(clone: Path, *args: str, cwd: Path) -> str:
    """What the command line was at the end of ./run."""
    line = [sys.executable, str(clone / "run"), *args]
    return subprocess.run(line, cwd=cwd, capture_output=True, text=True, check=True).stdout.strip()


def test_without_a_word_run_starts_the_demo_whatever_folder_one_is_in(clone: Path, tmp_path: Path) -> None:
    assert asked(clone, cwd=tmp_path) == f"in {tmp_path}: demo --folder {clone}/.demo"
    options = asked(clone, "--speed", "60", "--port", "9000", cwd=tmp_path)
    assert options == f"in {tmp_path}: demo --speed 60 --port 9000 --folder {clone}/.demo"
    assert asked(clone, "--folder=x", cwd=tmp_path) == f"in {tmp_path}: demo --folder=x"


def test_any_other_word_goes_to_gatebell_as_it_is(clone: Path, tmp_path: Path) -> None:
    assert asked(clone, "import", "a b.csv", "--dry-run", cwd=tmp_path) == f"in {tmp_path}: import a b.csv --dry-run"
    assert asked(clone, "--config", "x", "check", cwd=tmp_path) == f"in {tmp_path}: --config x check"


def test_help_needs_nothing_installed(tmp_path: Path) -> None:
    shutil.copy(ROOT / "run", tmp_path / "run")
    said = subprocess.run([sys.executable, tmp_path / "run", "--help"], capture_output=True, text=True, check=True)
    assert "--speed" in said.stdout
    assert not (tmp_path / ".venv").exists()


@pytest.mark.parametrize("changed", ["pyproject.toml", "requirements/demo.txt", "requirements/build.txt"])
def test_a_changed_lock_or_project_is_installed_again(clone: Path, run: ModuleType, changed: str) -> None:
    installed: list[str] = []
    run.install = installed.append  # type: ignore[attr-defined]
    run.ensure("requirements/demo.txt")
    assert installed == []
    with (clone / changed).open("a") as file:
        file.write("\n# changed\n")
    run.ensure("requirements/demo.txt")
    assert installed == ["requirements/demo.txt"]


def test_a_venv_whose_python_is_gone_is_made_anew(clone: Path, run: ModuleType) -> None:
    made: list[str] = []
    run.make_venv = lambda: made.append("venv")  # type: ignore[attr-defined]
    (clone / ".venv/bin/python").unlink()
    (clone / ".venv/bin/python").symlink_to("/nowhere/python3.9")
    run.ensure("requirements/demo.txt")
    assert made == ["venv"]


def test_an_older_python_is_told_in_a_sentence(run: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 9, 2))
    with pytest.raises(SystemExit, match=r"needs Python 3\.11 or newer"):
        run.check_python()


def test_a_missing_venv_module_is_told_with_the_command_that_mends_it(
    run: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit, match="sudo apt install python3-venv"):
        run.check_python()


def test_uv_gets_the_indexes_and_wheels_that_pip_is_configured_with(
    run: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = (
        "global.index-url='https://mirror.school/simple'\nglobal.extra-index-url='file:///a file:///b'\n"
        "global.find-links='/wheels'\ninstall.trusted-host='mirror.school'\nglobal.timeout='60'\n"
        ":env:.find-links='/newer'\n"
    )
    monkeypatch.setattr(subprocess, "check_output", lambda *_args, **_options: listed)
    options = run.uv_sources()
    for pair in (
        ("--default-index", "https://mirror.school/simple"),
        ("--index", "file:///b"),
        ("--find-links", "/newer"),
        ("--allow-insecure-host", "mirror.school"),
    ):
        assert pair in list(zip(options, options[1:], strict=False))
    assert "/wheels" not in options


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_a_lock_names_no_host_and_pins_every_package_by_hash(lock: Path) -> None:
    text = lock.read_text()
    assert "://" not in text
    assert not re.search(r"^\s*-(-index|-extra-index|-find-links|-trusted|i |f )", text, re.M)
    assert "index" not in text
    for pinned in re.split(r"\n(?=\w)", text.strip()):
        assert re.match(r"[\w.-]+==[\w.]+( ; .*)? \\\n", pinned), pinned[:80]
        assert "--hash=sha256:" in pinned


def test_the_locks_agree_with_one_another() -> None:
    pins: dict[str, set[str]] = {}
    for lock in LOCKS:
        for name, version in re.findall(r"^([\w.-]+)==(\S+)", lock.read_text(), re.M):
            pins.setdefault(name, set()).add(version)
    assert {name: versions for name, versions in pins.items() if len(versions) > 1} == {}


def test_the_locks_hold_everything_that_the_project_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    for lock, names in (("demo", ("gateway", "server", "demo")), ("test", ("gateway", "server", "demo", "test"))):
        text = (ROOT / f"requirements/{lock}.txt").read_text()
        wanted = [*project["project"]["dependencies"], *(line for name in names for line in extras[name])]
        for requirement in wanted:
            name = re.match(r"[\w.-]+", requirement)
            assert name is not None
            assert name.group() == "gatebell" or re.search(rf"^{re.escape(name.group())}==", text, re.M), requirement
    build = (ROOT / "requirements/build.txt").read_text()
    assert all(f"\n{name}==" in f"\n{build}" for name in project["build-system"]["requires"])


REPORT = """<testsuites><testsuite>
<testcase name="a"/><testcase name="b"><failure/></testcase><testcase name="c"><error/></testcase>
<testcase name="d"><skipped/></testcase></testsuite></testsuites>"""


def test_the_last_line_counts_what_pytest_reported(
    script: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "report.xml").write_text(REPORT)
    counts = script.count(tmp_path / "report.xml")
    assert counts == (1, 2, 1)
    assert script.summary({"mypy": "ok"}, counts, []) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "1 passed, 2 failed, 1 skipped"


def test_a_failed_check_fails_the_whole_though_all_tests_passed(
    script: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert script.summary({"mypy": "FAILED (exit code 1)"}, (5, 0, 0), []) == 1
    assert script.summary({"mypy": "ok"}, (5, 0, 0), []) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "5 passed, 0 failed"


def test_what_is_left_out_is_named_and_fails_in_ci(script: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert script.summary({}, (5, 0, 1), ["kannel"]) == 0
    assert "kannel could not be installed" in capsys.readouterr().out
    script.CI = True
    assert script.summary({}, (5, 0, 0), ["kannel"]) == 1
    assert script.summary({}, (5, 0, 1), []) == 1
    assert "1 tests were skipped" in capsys.readouterr().out


def test_a_run_without_a_report_is_no_success(script: Any, tmp_path: Path) -> None:
    assert script.count(tmp_path / "none.xml") is None
    script.BIN = tmp_path
    (tmp_path / "pytest").write_text("#!/bin/sh\nexit 3\n")
    (tmp_path / "pytest").chmod(0o755)
    counts, word = script.pytest("not slow", [])
    assert counts == (0, 1, 0)
    assert "exit code 3" in word


def test_a_program_is_found_where_debian_puts_it(script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    script.NEEDED = {"one": ["no-such-program"], "two": [f"{tmp_path}/*/initdb"], "three": ["here"]}
    (tmp_path / "15").mkdir()
    (tmp_path / "15" / "initdb").touch()
    (tmp_path / "here").touch(mode=0o755)
    assert [script.present(name) for name in script.NEEDED] == [False, True, True]


def test_only_what_is_missing_is_installed_and_never_with_recommendations(
    script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = tmp_path / "apt-get"
    fake.write_text(f'#!/bin/sh\necho "$DEBIAN_FRONTEND $@" >> {tmp_path}/asked\n')
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    script.POLICY = tmp_path / "policy-rc.d"
    script.apt = lambda: ["env"]
    script.NEEDED = {"bash": ["sh"], "kannel": ["no-such-program"]}
    script.setup.ensure = lambda lock: None
    assert script.prepare() == ["kannel"]
    update, install = (tmp_path / "asked").read_text().splitlines()
    assert update.startswith("noninteractive") and update.endswith(" update")
    assert install.endswith("install -y --no-install-recommends kannel")


def test_services_stay_stopped_only_while_packages_are_installed(
    script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script.POLICY = tmp_path / "policy-rc.d"
    with script.services_stopped(["env"]):
        assert subprocess.run([script.POLICY], check=False).returncode == 101
    assert not script.POLICY.exists()
    script.POLICY.write_text("theirs")
    with script.services_stopped(["env"]):
        assert script.POLICY.read_text() == "theirs"
    assert script.POLICY.read_text() == "theirs"
