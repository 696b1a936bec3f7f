"""An operator's slips in gatebell.toml: each gets a sentence that names the key, never a traceback."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from server import cli, config

FAULTS = {
    'database.url = "nonsense"': "database.url",
    'database.url = ""': "database.url",
    'database.url = "mysql://u:secret@x/y"': "database.url",
    'database.url = "foo://x"': "database.url",
    'database = "x"': "$.database",
    'secrets.key_file = "/tmp"': "secrets.key_file",
    'secrets.key_file = "/proc/nope/key"': "secrets.key_file",
    'secrets.key_file = "short"': "secrets.key_file",
    "web.port = 99999": "$.web.port",
    "web.port = -1": "$.web.port",
    'web.port = "x"': "$.web.port",
    "web.threads = 0": "$.web.threads",
    "ingest.batch = 0": "$.ingest.batch",
    "outbox.senders = -1": "$.outbox.senders",
    'outbox.providers = ["knnel"]': "outbox.providers",
    'mqtt.urls = ["foo"]': "mqtt.urls",
    'mqtt.urls = ["mqtt://h:999999"]': "mqtt.urls",
    "mqtt.urls = []": "mqtt.urls",
    'mqtt.urls = ["mqtts://127.0.0.1:1"]\nmqtt.ca_file = "/nope"': "ca_file",
    'mqtt.version = "6"': "mqtt.version",
}


@pytest.mark.parametrize(("written", "named"), FAULTS.items(), ids=FAULTS)
def test_a_slip_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str, named: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "short").write_text("abc")
    (tmp_path / "short").chmod(0o600)
    (tmp_path / "gatebell.toml").write_text(written)
    result = CliRunner().invoke(cli.build(), ["check"])
    assert isinstance(result.exception, SystemExit) and result.exit_code == 1, result.exception
    assert named in result.output and "secret@" not in result.output


def test_a_folder_in_the_place_of_the_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(config.ConfigError, match="Is a directory"):
        config.load(tmp_path, {})


def test_the_environment_over_a_section_that_is_none_leaves_it_to_be_named(tmp_path: Path) -> None:
    (tmp_path / "gatebell.toml").write_text('web = "x"')
    with pytest.raises(config.ConfigError, match="web"):
        config.load(tmp_path / "gatebell.toml", {"GATEBELL_WEB__PORT": "80"})


def test_an_unknown_log_level_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEBELL_LOG", "loud")
    with pytest.raises(config.ConfigError, match="GATEBELL_LOG=LOUD"):
        cli.talk()
