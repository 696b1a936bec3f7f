"""`gatebell gate` against a live broker: enrolled, renewed, stolen, taken back; with real gates and a real worker."""

import sqlite3
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509

from gateway import wire
from gateway.wire import Kind
from server import config, create_app
from server.db import db
from server.gates import access, authority, jobs
from tests.mosquitto.gate_process import Crowd, GateProcess
from tests.mosquitto.place import GATES, INGEST, Client, Guarded, Installation, Scene
from tests.server.ingest_worker import Worker, wait_until

# paho drops the socket of a failed handshake without closing it; it is closed when it is collected
pytestmark = [
    pytest.mark.mosquitto,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture
def version(request: pytest.FixtureRequest) -> str:
    """Of MQTT, at both ends."""
    return str(getattr(request, "param", "5"))


@pytest.fixture
def worker(place: Installation, guarded: Guarded, version: str) -> Iterator[Worker]:
    """The server's ingest with the certificate that `gatebell broker setup` made."""
    with Worker(
        place.folder,
        place.settings.database.url,
        [place.url],
        GATEBELL_CONFIG=str(place.folder / "gatebell.toml"),
        GATEBELL_MQTT__VERSION=version,
        GATEBELL_SECRETS__KEY_FILE=str(place.folder / "gatebell.key"),
    ) as worker:
        wait_until(lambda: "connected" in worker.log())
        yield worker


def stored(place: Installation) -> int:
    """Taps in the server's database."""
    return int(rows(place, "SELECT count(*) FROM tap")[0][0])


def rows(place: Installation, query: str) -> list[tuple[object, ...]]:
    with sqlite3.connect(place.folder / "gatebell.db") as connection:
        found = connection.execute(query).fetchall()
    connection.close()
    return found


def listed(place: Installation, gateway: str) -> str:
    """The line of a gate in `gatebell gate list`."""
    lines = place.gatebell("gate", "list", "--school", "mingde").splitlines()
    return next(line for line in lines if line.startswith(gateway))


def run_the_job(place: Installation) -> None:
    """What the jobs process does every minute."""
    app = create_app(place.settings)
    with app.app_context():
        jobs.end_replaced_certificates()
        db.session.remove()
        db.engine.dispose()


def gets_in(place: Installation, proof: Path, name: str) -> bool:
    """Whether the broker lets this certificate in; the client leaves at once."""
    client = Client(place, proof, name)
    time.sleep(0.1)  # with TLS 1.3 a refusal comes after the handshake
    found = client.up
    client.close()
    return found


@pytest.mark.parametrize("version", ["5", "3.1.1"], indirect=True)
def test_from_the_enrolment_file_to_stored(place: Installation, worker: Worker, version: str, tmp_path: Path) -> None:
    gate = GateProcess(tmp_path / "gate")
    gate.config.write_text(gate.config.read_text().replace("[spool]", f'[mqtt]\nversion = "{version}"\n[spool]'))
    assert gate.enrol(place.enrol("mingde", "east", "--name", "1号门 东门")) == 0
    with gate:
        wait_until(lambda: "connected" in gate.said())
        gate.touch(7)
        wait_until(lambda: stored(place) == 1)
        wait_until(lambda: gate.waiting() == 0)
        wait_until(lambda: "certificate until" in listed(place, "east") and "not seen" not in listed(place, "east"))
    assert rows(place, "SELECT name FROM gateway WHERE id = 'east'") == [("1号门 东门",)]


def test_a_stolen_gate_is_cut_off_while_it_sends_and_keeps_its_taps(
    place: Installation, guarded: Guarded, worker: Worker, tmp_path: Path
) -> None:
    gate, other = GateProcess(tmp_path / "gate"), Client(place, place.folder / "mingde-gate-2.pem", "mingde/gate-2")
    gate.enrol(place.enrol("mingde", "east"))
    with gate, Crowd(gate) as crowd:
        wait_until(lambda: stored(place) >= 10)
        said = place.gatebell("gate", "revoke", "mingde", "east")
        assert "seen to refuse" in said
        other.publish(wire.topic("mingde", "gate-2", Kind.TAP), b"later")
        wait_until(lambda: rows(place, "SELECT count(*) FROM refused_payload WHERE topic LIKE '%/gate-2/%'") == [(1,)])
        refused = "SELECT sum(count) FROM refused_payload WHERE topic LIKE '%/east/%'"  # what came before that
        before, touched = (stored(place), rows(place, refused)), crowd.touched
        wait_until(lambda: crowd.touched >= touched + 30)
        assert (stored(place), rows(place, refused)) == before
        wait_until(lambda: gate.waiting() >= 25)
        wait_until(lambda: "revoked" in gate.said())  # its log says why, with its next try to connect
    assert other.up and other.publish(wire.topic("mingde", "gate-2", Kind.TAP), b"{}") == "Success"
    other.close()


def test_revoking_stops_a_connection_that_a_list_alone_would_leave(place: Installation, guarded: Guarded) -> None:
    scene = Scene(place, guarded)
    thief = scene.first
    (place.folder / "broker" / "revoked.crl").write_text(
        place.authority.revocations({_serial(place, "mingde-gate-1")}, datetime.now(UTC))
    )
    guarded.reload()
    time.sleep(0.5)
    assert thief.publish(wire.topic(*GATES[0], Kind.TAP), b"after the list") == "Success"  # the trap, still there
    place.gatebell("gate", "revoke", "mingde", "gate-1")
    wait_until(lambda: not thief.up)
    assert not gets_in(place, place.folder / "mingde-gate-1.pem", "mingde/gate-1")
    scene.settle()
    assert scene.second.up and scene.other_school.up and scene.worker.up
    scene.close()


def _serial(place: Installation, name: str) -> int:
    return x509.load_pem_x509_certificate((place.folder / f"{name}.pem").read_bytes()).serial_number


def test_revoking_says_so_when_the_broker_goes_on_listening(place: Installation, guarded: Guarded) -> None:
    text = (place.folder / "gatebell.toml").read_text()
    (place.folder / "gatebell.toml").write_text(text.replace("kill -HUP", "true"))
    assert "still takes messages of mingde/gate-1" in place.gatebell("gate", "revoke", "mingde", "gate-1", code=1)
    (place.folder / "gatebell.toml").write_text(text)
    assert "seen to refuse" in place.gatebell("gate", "revoke", "mingde", "gate-1")


def test_revoking_says_so_when_no_broker_answers(place: Installation) -> None:
    text = (place.folder / "gatebell.toml").read_text()
    (place.folder / "gatebell.toml").write_text(text.replace("kill -HUP", "true"))
    assert "is not known" in place.gatebell("gate", "revoke", "mingde", "gate-1", code=1)
    assert rows(place, "SELECT count(*) FROM gateway WHERE blocked_at IS NOT NULL") == [(1,)]


def test_a_gate_that_was_found_again_gets_new_credentials_and_its_old_ones_stay_dead(
    place: Installation, guarded: Guarded
) -> None:
    place.gatebell("gate", "revoke", "mingde", "gate-1")
    new = place.certified(place.enrol("mingde", "gate-1"))
    assert gets_in(place, new, "mingde/gate-1")
    assert not gets_in(place, place.folder / "mingde-gate-1.pem", "mingde/gate-1")
    scene = Scene(place, guarded)
    with Client(place, new, "mingde/gate-1") as gate:
        assert gate.publish(wire.topic(*GATES[0], Kind.TAP), b"back again") == "Success"
        scene.settle()
    assert scene.worker.has(b"back again")
    scene.close()


def test_after_a_rotation_the_old_certificate_ends_once_the_new_one_was_seen(
    place: Installation, worker: Worker, tmp_path: Path
) -> None:
    gate = GateProcess(tmp_path / "gate")
    old = place.enrol("mingde", "east")
    gate.enrol(old)
    new = place.enrol("mingde", "east", verb="rotate")
    run_the_job(place)
    gate.start()
    wait_until(lambda: "connected" in gate.said())
    gate.stop()
    assert gets_in(place, place.certified(old), "mingde/east")  # nobody has carried the new file there yet
    gate.enrol(new)
    with gate:
        wait_until(lambda: "not seen" not in listed(place, "east"))
        run_the_job(place)
        time.sleep(0.5)
        gate.touch(1)
        wait_until(lambda: stored(place) == 1)
    assert not gets_in(place, place.certified(old), "mingde/east")
    assert gets_in(place, place.certified(new), "mingde/east")


def test_a_database_that_was_set_back_revives_no_certificate(place: Installation, guarded: Guarded) -> None:
    kept = (place.folder / "gatebell.db").read_bytes()
    place.gatebell("gate", "revoke", "mingde", "gate-1")
    for name in ("gatebell.db", "gatebell.db-wal", "gatebell.db-shm"):
        (place.folder / name).unlink(missing_ok=True)
    (place.folder / "gatebell.db").write_bytes(kept)
    place.gatebell("broker", "setup")
    assert not gets_in(place, place.folder / "mingde-gate-1.pem", "mingde/gate-1")


def test_check_does_not_throw_out_the_worker_and_names_what_is_wrong(place: Installation, guarded: Guarded) -> None:
    with Client(place, place.folder / "ingest.pem", INGEST, lasting=True) as worker:
        said = place.gatebell("check", code=1)
        assert worker.up
    assert "broker" not in said.replace("broker/", "")
    (place.folder / "broker" / "acl").write_text("topic readwrite #\n")
    (place.folder / "ca.key").chmod(0o644)
    text = (place.folder / "gatebell.toml").read_text()
    (place.folder / "gatebell.toml").write_text(text.replace("[broker]", '[broker]\nurls = ["mqtt://192.0.2.1:1"]'))
    said = place.gatebell("check", code=1)
    assert "acl is not as it should be" in said and "chmod 600" in said and "without encryption" in said
    (place.folder / "gatebell.toml").write_text(text.replace("[broker]", "[broker]\ngate_days = 20"))
    place.enrol("mingde", "west")
    (place.folder / "ca.key").unlink()
    said = place.gatebell("check", code=1)
    assert "certificate of gate mingde/west ends soon" in said and "ca.key is missing" in said


def test_a_device_with_a_password_may_do_the_same_and_no_more(place: Installation, tmp_path: Path) -> None:
    gate = GateProcess(tmp_path / "gate")
    with Guarded(place, password=True) as guarded:
        file = place.enrol("mingde", "box", "--password")
        file.write_text(file.read_text().replace(f":{place.port}", f":{place.password_port}"))
        gate.enrol(file)
        secret = (gate.folder / "enrolment" / "password").read_text().strip()
        scene = Scene(place, guarded)
        with gate:
            wait_until(lambda: "connected" in gate.said())
            gate.touch(3)
            wait_until(lambda: any(where.endswith("/box/tap") for where, _ in scene.worker.got))
        with Client(place, None, "x", login=("mingde/box", secret)) as box:
            assert box.publish(wire.topic(*GATES[0], Kind.TAP), b"forged by box") == "Not authorized"
            scene.settle()
            assert not scene.worker.has(b"forged by box")
            for wrong in (("mingde/box", "guess"), ("mingde/gate-1", secret), ("mingde/box", "")):
                stranger = Client(place, None, "y", login=wrong)
                assert not stranger.up
                stranger.close()
            assert box.up
            place.gatebell("gate", "revoke", "mingde", "box")
            wait_until(lambda: not box.up)
        again = Client(place, None, "x", login=("mingde/box", secret))
        assert not again.up
        again.close()
        scene.close()


def test_a_broker_of_another_authority_gets_nothing(place: Installation, guarded: Guarded, tmp_path: Path) -> None:
    other = config.Broker(ca_file=str(tmp_path / "o.crt"), ca_key_file=str(tmp_path / "o.key"))
    authority.load(other, datetime.now(UTC))
    client = Client(place, place.folder / "mingde-gate-1.pem", "mingde/gate-1", ca=tmp_path / "o.crt")
    assert not client.up and "certificate verify failed" in client.said
    client.close()


def test_access_rules_do_not_grow_with_gates_and_hold_1250_of_them(place: Installation, guarded: Guarded) -> None:
    settings = place.settings
    assert len(access.acl(settings, [])) < 1500
    many = [(f"school-{n // 2}", f"gate-{n % 2}") for n in range(1250)]
    access.replace(place.folder / "broker" / "acl", access.acl(settings, many))  # worst of all: every one revoked
    guarded.reload()
    scene = Scene(place, guarded)
    begun = time.monotonic()
    for _ in range(10):
        scene.settle()
    assert time.monotonic() - begun < 5
    scene.close()
