"""The configuration: every problem at once, each with its place and what to do."""

import re
import tomllib
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import config
from gateway.config import Config, ConfigError, check, load

EXAMPLE = Path(__file__).parents[2] / "firmware-config" / "gateway.toml.example"
GOOD = """
school = "mingde"
gateway = "gate-1"
data_dir = "/tmp/gatebell"
[[reader]]
id = "east"
profile = "rdm6300"
port = "loop://"
direction = "in"
"""


def problems(tmp_path: Path, text: str) -> list[str]:
    """What a check says, without the file's name."""
    path = tmp_path / "gateway.toml"
    path.write_text(text)
    found = check(path, {})
    assert (found.config is None) == bool(found.problems)
    return [line.removeprefix(f"{path}: ") for line in found.problems]


CASES = {
    "a misspelt key": (("school =", "schol ="), ["schol: unknown key; did you mean 'school'?", "school: missing"]),
    "a misspelt key of a reader": (
        ("profile =", "profil ="),
        ["reader[1].profil: unknown key; did you mean 'prof"],
    ),
    "a key that nothing is like": (("id =", "zzz = 1\nid ="), ["reader[1].zzz: unknown key; known keys: id, profile"]),
    "a misspelt section": (("[[reader]]", "[mqt]\n[[reader]]"), ["mqt: unknown key; did you mean 'mqtt'?"]),
    "an unknown reader": (
        ("rdm6300", "rdm630"),
        ["reader[1].profile: no reader 'rdm630'; did you mean 'rdm6300'"],
    ),
    "a wrong direction": (('"in"', '"inn"'), ["reader[1].direction: 'inn' is not one of in, out, both; did you mean"]),
    "a name with a dot": (("gate-1", "gate.1"), ["gateway: 'gate.1': only a-z, 0-9 and '-', at most 32 characters"]),
    "a text for a number": (("[[reader]]", '[spool]\nmax_mb = "1"\n[[reader]]'), ["spool.max_mb: Expected `int`, got"]),
    "a number too small": (("[[reader]]", "[spool]\nmax_mb = 0\n[[reader]]"), ["spool.max_mb: Expected `int` >= 1"]),
    "a table for a list": (("[[reader]]", "[reader]"), ["reader: must be a list of tables"]),
    "a list for a table": (("school", "mqtt = []\nschool"), ["mqtt: must be a table, written [mqtt]"]),
    "a reader that is no table": (("[[reader]]", "reader = [1]\n[mqtt]"), ["reader[1]: must be a table"]),
    "a wrong url": (("[[reader]]", '[mqtt]\nurls=["http://x"]\n[[reader]]'), ["mqtt.urls: 'http://x' is not mqtt://"]),
    "no url": (("[[reader]]", "[mqtt]\nurls=[]\n[[reader]]"), ["mqtt.urls: empty; give at least one"]),
    "a url with a bad port": (
        ("[[reader]]", '[mqtt]\nurls=["mqtt://x:99999"]\n[[reader]]'),
        ["mqtt.urls: 'mqtt://x:9"],
    ),
    "a version": (("[[reader]]", '[mqtt]\nversion="4"\n[[reader]]'), ["mqtt.version: '4' is not one of 5, 3.1.1"]),
    "a missing file": (("[[reader]]", '[mqtt]\nca_file="/no"\n[[reader]]'), ["mqtt.ca_file: /no cannot be read"]),
    "an unknown port": (("loop://", "sim://x"), ["reader[1].port: 'sim://x': a device path or socket://"]),
    "an option": (
        ('"in"', '"in"\noptions.bauds = 1'),
        ["reader[1].options.bauds: unknown key; rdm6300 takes"],
    ),
    "an option's value": (('"in"', '"in"\noptions.checksum = "crc"'), ["reader[1].options: checksum is xor or sum"]),
    "a confirm of 0": (('"in"', '"in"\noptions.confirm = 0'), ["reader[1].options.confirm: 0 is not a number of at"]),
    "a shard": (("school", 'shard = "7"\nschool'), ["shard: '7': two digits, like 00"]),
    "one pin twice": (("[[reader]]", "[feedback]\ngreen=17\nred=17\n[[reader]]"), ["feedback: one pin is given twice"]),
    "a pin that no Pi has": (
        ("[[reader]]", "[feedback]\ngreen=40\n[[reader]]"),
        ["feedback.green: Expected `int` <="],
    ),
    "a password without a name": (
        ("[[reader]]", f'[mqtt]\npassword_file="{EXAMPLE}"\n[[reader]]'),
        ["mqtt.username: missing; a password_file needs a username"],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_problem_is_named_with_its_place(name: str, tmp_path: Path) -> None:
    (old, new), expected = CASES[name]
    assert old in GOOD
    found = problems(tmp_path, GOOD.replace(old, new))
    for line in expected:
        assert any(problem.startswith(line) for problem in found), found


def test_a_good_file_has_no_problem(tmp_path: Path) -> None:
    assert problems(tmp_path, GOOD) == []


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    found = problems(tmp_path, GOOD.replace("school", "schol").replace('"in"', '"inn"').replace("gate-1", "Gate 1"))
    assert [line.split(":")[0] for line in sorted(found)] == ["gateway", "reader[1].direction", "schol", "school"]


def test_wrong_keys_do_not_hide_wrong_values(tmp_path: Path) -> None:
    text = GOOD.replace("school", "schol").replace("rdm6300", "rdm630").replace('"in"', '"inn"')
    found = problems(tmp_path, f"mqtt.urls = []\n{text}\noptions = 3\n[[reader]]\n")
    assert {line.split(":")[0] for line in found} == {
        *("schol", "school", "mqtt.urls", "reader[1].profile", "reader[1].direction", "reader[1].options"),
        *("reader[2].id", "reader[2].profile", "reader[2].port", "reader[2].direction"),
    }


KEYS = st.sampled_from([*Config.__struct_fields__, *config.ReaderSection.__struct_fields__, "urls", "max_mb", "green"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 40) | st.floats() | st.text("aß.:/ ", max_size=8) | st.just("rdm6300"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5),
)


@settings(deadline=None)
@given(st.dictionaries(KEYS, VALUES, max_size=8))
def test_no_file_makes_the_check_fail_itself(tables: dict[str, object]) -> None:
    sound = msgspec.convert(config._sound(Config, tables, 0), Config)
    assert all(isinstance(line, str) for line in [*config._shape(Config, tables, ""), *config._sense(sound)])


def test_a_gate_needs_a_reader(tmp_path: Path) -> None:
    text = GOOD[: GOOD.index("[[reader]]")]
    assert problems(tmp_path, text) == ["reader: missing; see gateway.toml.example"]
    assert problems(tmp_path, text + "reader = []") == ["reader: no reader at all; add a [[reader]]"]


def test_two_readers_may_share_neither_id_nor_port(tmp_path: Path) -> None:
    reader = GOOD[GOOD.index("[[reader]]") :].replace("loop://", "/dev/gate/reader-in")
    found = problems(tmp_path, GOOD.replace("loop://", "/dev/gate/reader-in") + reader)
    assert found == [
        "reader[2].id: 'east' is reader[1] already; every reader needs its own id",
        "reader[2].port: /dev/gate/reader-in is reader[1]'s already; two readers cannot share a port",
    ]


def test_a_missing_file_and_a_file_that_is_not_toml(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file or directory; give the right file with --config"):
        load(tmp_path / "nowhere.toml", {})
    assert "not TOML" in problems(tmp_path, "school = ")[0]


def test_the_environment_stands_above_the_file(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text(GOOD)
    environment = {
        "GATEBELL_GATEWAY_DATA_DIR": "/elsewhere",
        "GATEBELL_GATEWAY_MQTT__URLS": "mqtt://a:1,mqtts://b",
        "GATEBELL_CONFIG": "for the server",
    }
    loaded = load(path, environment)
    assert loaded.data_dir == "/elsewhere" and loaded.mqtt.urls == ("mqtt://a:1", "mqtts://b")
    with pytest.raises(ConfigError, match="data_dirr: unknown key; did you mean 'data_dir'"):
        load(path, {"GATEBELL_GATEWAY_DATA_DIRR": "/x"})


def test_the_example_is_a_good_file() -> None:
    found = check(EXAMPLE, {})
    assert found.problems == []
    expected = ("is not there now", "no number of its own")
    assert [line for line in found.warnings if not any(words in line for words in expected)] == []


def test_every_key_is_explained_in_the_example() -> None:
    text = EXAMPLE.read_text()
    written = set(re.findall(r"^#? ?([a-z_]+) *=", text, re.M)) | set(re.findall(r"^#? ?\[+([a-z_.]+)\]+", text, re.M))
    for section in (Config, *config.Section.__subclasses__()):
        for field in msgspec.structs.fields(section):
            assert field.name in written, f"{section.__name__}.{field.name} is not explained in {EXAMPLE.name}"


def test_the_values_shown_are_the_defaults() -> None:
    """A commented line shows the default."""
    shown = tomllib.loads(re.sub(r"^# ?(?=[a-z_]+ *= |\[[a-z]+\]$)", "", EXAMPLE.read_text(), flags=re.M))
    for name, section in (("mqtt", config.Mqtt), ("spool", config.SpoolSection)):
        for field in msgspec.structs.fields(section):
            value = shown[name][field.name]
            default = field.default
            if value != (list(default) if isinstance(default, tuple) else default):
                assert field.name in {"urls", "username", "password_file", "ca_file", "cert_file", "key_file"}
