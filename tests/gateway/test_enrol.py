"""Taking an enrolment file: what is kept and how, what is refused, and that nothing of it is said aloud."""

import json
import os
import stat
import subprocess
from pathlib import Path

import pytest

from gateway import __main__ as gateway_command
from gateway import config

USER = ["--user", "root"] if os.getuid() == 0 else []
WRITTEN = """# my own words
data_dir = "/tmp"   # not the SD card
[mqtt]
urls = ["mqtts://broker.school.example:8883"]
version = "3.1.1"
[[reader]]
id = "east"
profile = "rdm6300"
port = "loop://"
direction = "in"
"""


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A certificate with its key."""
    folder = tmp_path_factory.mktemp("pem")
    new = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=x"]
    command = ["openssl", "req", *new, "-keyout", "k.pem", "-out", "c.pem"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return (folder / "c.pem").read_text() + (folder / "k.pem").read_text()


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    """What a person wrote for this gateway."""
    path = tmp_path / "etc" / "gateway.toml"
    path.parent.mkdir()
    path.write_text(WRITTEN)
    return path


def enrolment(folder: Path, pem: str, *, name: str = "gate.gatebell", **changes: object) -> Path:
    """As `gatebell gate add` writes it, but for `changes`; a key that is None is left out."""
    ca = pem[: pem.index("-----BEGIN PRIVATE")]
    keys: dict[str, object] = {"format": 1, "school": "mingde", "gateway": "gate-1", "shard": "00"}
    keys |= {"urls": ["mqtts://gate.example:8883"], "ca": ca, "credential": pem} | changes
    path = folder / name
    path.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items() if value is not None))
    return path


def enrol(file: Path, toml: Path, *options: str) -> int:
    return gateway_command.main(["enrol", str(file), "--config", str(toml), *USER, *options])


def test_the_gateway_is_who_the_file_says_and_what_the_person_wrote_stays(tmp_path, toml, pem, capsys) -> None:
    assert enrol(enrolment(tmp_path, pem), toml) == 0
    assert toml.read_text() == WRITTEN
    read = config.load(toml, {})
    assert (read.school, read.gateway, read.shard, read.mqtt.version) == ("mingde", "gate-1", "00", "3.1.1")
    assert read.mqtt.urls == ("mqtts://gate.example:8883",)
    assert Path(read.mqtt.cert_file).read_text() == pem
    said = capsys.readouterr()
    assert "PRIVATE" not in said.out + said.err and "destroy" in said.err


def test_secrets_are_for_their_owner_alone(tmp_path, toml, pem) -> None:
    enrol(enrolment(tmp_path, pem), toml)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (toml.parent / "enrolment").iterdir()}
    assert modes == {"ca.crt": 0o600, "credential.pem": 0o600}


def test_taking_it_twice_changes_nothing(tmp_path, toml, pem, capsys) -> None:
    file = enrolment(tmp_path, pem)
    enrol(file, toml)
    before = {path: path.stat().st_mtime_ns for path in toml.parent.rglob("*") if path.is_file()}
    assert enrol(file, toml) == 0
    assert {path: path.stat().st_mtime_ns for path in toml.parent.rglob("*") if path.is_file()} == before
    assert "as before" in capsys.readouterr().out


@pytest.mark.parametrize("changes", [{"school": "no2"}, {"gateway": "gate-2"}])
def test_another_gates_file_is_refused_unless_forced(tmp_path, toml, pem, changes, capsys) -> None:
    enrol(enrolment(tmp_path, pem), toml)
    other = enrolment(tmp_path, pem, name="other.gatebell", **changes)
    assert enrol(other, toml) == 2
    assert "--force" in capsys.readouterr().err
    assert config.load(toml, {}).school == "mingde" and config.load(toml, {}).gateway == "gate-1"
    assert enrol(other, toml, "--force") == 0
    assert [getattr(config.load(toml, {}), key) for key in changes] == list(changes.values())


def test_what_a_person_wrote_of_another_school_is_refused_too(tmp_path, toml, pem) -> None:
    toml.write_text('school = "no2"\n' + WRITTEN)
    assert enrol(enrolment(tmp_path, pem), toml) == 2
    assert not (toml.parent / "enrolment.toml").exists()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"format": 2}, "format = 1"),
        ({"school": "../etc"}, "school"),
        ({"gateway": None}, "gateway"),
        ({"urls": "mqtts://x"}, "wrong type"),
        ({"credential": None}, "neither"),
        ({"credential": "nonsense"}, "cannot be used together"),
        ({"credential": None, "username": "a/b"}, "neither"),
        ({"ca": "nonsense"}, "cannot be used together"),
    ],
)
def test_a_damaged_file_changes_nothing_and_is_not_quoted(tmp_path, toml, pem, changes, says, capsys) -> None:
    assert enrol(enrolment(tmp_path, pem, **changes), toml) == 2
    said = capsys.readouterr().err
    assert says in said and "PRIVATE" not in said and pem[200:240] not in said
    assert [path.name for path in toml.parent.iterdir()] == ["gateway.toml"]


def test_a_file_that_was_cut_off_is_said_to_be(tmp_path, toml, pem, capsys) -> None:
    file = enrolment(tmp_path, pem)
    file.write_text(file.read_text()[:-300])
    assert enrol(file, toml) == 2
    assert "cut off" in capsys.readouterr().err


def test_a_password_takes_the_place_of_a_certificate_and_back(tmp_path, toml, pem) -> None:
    enrol(enrolment(tmp_path, pem), toml)
    by_password = enrolment(tmp_path, pem, credential=None, username="mingde/gate-1", password="s3cret")
    assert enrol(by_password, toml) == 0
    read = config.load(toml, {}).mqtt
    assert (read.username, read.cert_file, Path(read.password_file).read_text()) == ("mingde/gate-1", "", "s3cret\n")
    enrol(enrolment(tmp_path, pem), toml)
    read = config.load(toml, {}).mqtt
    assert (read.username, read.password_file) == ("", "") and read.cert_file


def test_the_environment_stands_above_an_enrolment(tmp_path, toml, pem) -> None:
    enrol(enrolment(tmp_path, pem), toml)
    assert config.load(toml, {"GATEBELL_GATEWAY_MQTT__URLS": "mqtts://other"}).mqtt.urls == ("mqtts://other",)


def test_an_enrolment_that_is_no_toml_is_named_by_check(tmp_path, toml, pem) -> None:
    enrol(enrolment(tmp_path, pem), toml)
    (toml.parent / "enrolment.toml").write_text("= nonsense")
    assert "not TOML" in "\n".join(config.check(toml, {}).problems)
