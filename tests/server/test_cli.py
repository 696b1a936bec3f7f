"""The gatebell command: every mistake of an operator gets a sentence that names the place, never a traceback."""

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from server import cli
from tests import services
from tests.server.ingest_worker import ROOT, wait_until


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """Calls gatebell in an empty folder."""
    monkeypatch.chdir(tmp_path)
    command = cli.build()

    def call(*arguments: str, **environment: str) -> Result:
        result = CliRunner().invoke(command, arguments, env=environment)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    yield call


def test_help_names_all_commands(run) -> None:
    listed = run("--help").output
    for command in ("web", "ingest", "jobs", "all", "db", "check", "school", "attendance"):
        assert f"\n  {command} " in listed


def test_a_new_school_takes_three_commands(run, tmp_path: Path) -> None:
    assert run("db", "upgrade").output.strip().startswith("the database is at version 0")
    assert run("db", "upgrade").exit_code == 0
    assert "school no2 is open" in run("school", "add", "no2", "--name", "第二中学").output
    with sqlite3.connect(tmp_path / "gatebell.db") as connection:
        assert connection.execute("SELECT id, name, sign FROM school").fetchall() == [("no2", "第二中学", "第二中学")]
    connection.close()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("school", "add", "No 2", "--name", "x"), "cannot be a school's id"),
        (("school", "add", "no2", "--name", "x", "--timezone", "Mars/Base"), "is not a time zone"),
        (("--config", "nowhere.toml", "check"), "nowhere.toml: no such file"),
    ],
)
def test_what_an_operator_gets_wrong_is_said_in_a_sentence(run, arguments, says) -> None:
    run("db", "upgrade")
    result = run(*arguments)
    assert result.exit_code == 1 and says in result.output and "Traceback" not in result.output


def test_a_typo_in_the_configuration_is_named_with_the_key_that_was_meant(run, tmp_path: Path) -> None:
    (tmp_path / "gatebell.toml").write_text("[mqtt]\nurl = ['mqtt://x']\n")
    result = run("ingest")
    assert result.exit_code == 1
    assert "gatebell.toml" in result.output and "`url`" in result.output and "did you mean `urls`?" in result.output


def test_an_unknown_section_is_named_with_those_there_are(run, tmp_path: Path) -> None:
    (tmp_path / "gatebell.toml").write_text("[outbx]\nsenders = 1\n[x]\n")
    assert "did you mean `outbox`?" in run("check").output
    (tmp_path / "gatebell.toml").write_text("[web]\ncolour = 1\n")
    assert "there are: host, port" in run("check").output


def test_a_database_without_tables_says_what_to_run(run) -> None:
    assert "run: gatebell db upgrade" in run("school", "add", "no2", "--name", "x").output


def test_a_database_that_cannot_be_reached_is_named(run) -> None:
    url = f"postgresql://nobody@127.0.0.1:{services.free_port()}/none"
    result = run("school", "add", "no2", "--name", "x", GATEBELL_DATABASE__URL=url)
    assert result.exit_code == 1 and "look at database.url" in result.output


def test_a_taken_port_is_named(run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        for command in ("web", "all"):
            result = run(command, GATEBELL_WEB__PORT=str(port))
            assert result.exit_code == 1 and f"port {port} on 127.0.0.1 is taken" in result.output


def test_an_unknown_broker_scheme_or_version_is_named(run) -> None:
    run("db", "upgrade")
    assert "is not mqtt://host:port" in run("ingest", GATEBELL_MQTT__URLS="localhost:1883").output
    assert "there are: 5, 3.1.1" in run("ingest", GATEBELL_MQTT__VERSION="4").output


def test_check_names_every_problem_at_once(run, tmp_path: Path) -> None:
    (tmp_path / "gatebell.key").write_text("x" * 40)
    (tmp_path / "gatebell.key").chmod(0o644)
    port = services.free_port()
    result = run("check", GATEBELL_MQTT__URLS=f"mqtt://127.0.0.1:{port}", GATEBELL_OUTBOX__PROVIDERS="fone")
    assert result.exit_code == 1
    for said in ("chmod 600", f"127.0.0.1:{port} cannot be reached", "unknown provider 'fone'", "gatebell db upgrade"):
        assert said in result.output
    assert "4 thing(s) to put right" in result.output


def test_check_looks_at_each_schools_calendar(run, tmp_path: Path) -> None:
    run("db", "upgrade")
    assert "there is no school yet" in run("check").output
    run("school", "add", "no2", "--name", "x")
    with sqlite3.connect(tmp_path / "gatebell.db") as connection:
        term = (uuid.uuid4().hex, "no2", "old", "2020-01-01", "2020-02-01")
        connection.execute("INSERT INTO term (id, school_id, name, starts, ends) VALUES (?, ?, ?, ?, ?)", term)
    connection.close()
    assert "its last term ended on 2020-02-01" in run("check").output


def test_check_says_when_no_provider_would_carry_a_text(run) -> None:
    assert "outbox.providers is empty: no family gets a text" in run("check").output


@pytest.mark.mosquitto
def test_check_is_content_with_what_works(run, tmp_path: Path, mosquitto: services.Mosquitto) -> None:
    smsbox = services.free_port()
    (tmp_path / "gatebell.toml").write_text(
        f'[outbox]\nproviders = ["kannel"]\n[providers.kannel]\nurl = "http://127.0.0.1:{smsbox}/cgi-bin/sendsms"\n'
    )
    run("db", "upgrade")
    run("school", "add", "no2", "--name", "x")
    for version in ("5", "3.1.1"):
        with socket.create_server(("127.0.0.1", smsbox)):
            result = run("check", GATEBELL_MQTT__URLS=mosquitto.url, GATEBELL_MQTT__VERSION=version)
        assert (result.exit_code, result.output.splitlines()[1:]) == (0, ["all is well"])


def test_check_sees_that_something_else_listens_on_the_brokers_port(run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.check.ANSWER", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as other:
        url = f"mqtt://127.0.0.1:{other.getsockname()[1]}"
        assert f"{url} does not answer as a broker" in run("check", GATEBELL_MQTT__URLS=url).output


@pytest.mark.mosquitto
def test_all_serves_pages_takes_taps_and_ends_with_one_signal(run, tmp_path: Path, mosquitto) -> None:
    run("db", "upgrade")
    port = services.free_port()
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "GATEBELL_WEB__PORT": str(port),
        "GATEBELL_MQTT__URLS": mosquitto.url,
    }
    command = [sys.executable, "-m", "server", "all"]
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL) as process:
        try:
            services.wait_for_port(port, seconds=30)
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as answer:
                assert answer.status == 200
            wait_until(lambda: "connected to the broker" in (tmp_path / "ingest.log").read_text())
            process.send_signal(signal.SIGTERM)
            assert process.wait(15) == 0
        finally:
            process.kill()
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", port), 1).close()
