"""A broker with the shipped configuration and files written by our own commands, and clients that count deliveries."""

import os
import shutil
import signal
import ssl
import subprocess
import threading
import tomllib
import warnings
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import paho.mqtt.client as mqtt
from click.testing import CliRunner
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from gateway import wire
from server import broker, cli, config
from server.gates import authority
from tests import services
from tests.server.ingest_worker import wait_until

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "deploy" / "mosquitto"
INGEST = "gatebell-ingest-00"
GATES = (("mingde", "gate-1"), ("mingde", "gate-2"), ("no2", "gate-1"))


class Installation:
    """A folder with gatebell.toml, a database and all that the commands make; `port` is the broker's."""

    def __init__(self, folder: Path, database: Path, **broker_keys: Any) -> None:
        self.folder = folder
        self.port, self.password_port = services.free_port(), services.free_port()
        folder.mkdir(parents=True)
        shutil.copy(database, folder / "gatebell.db")
        self.configure(**broker_keys)

    @property
    def url(self) -> str:
        """Of the broker, for gates and server."""
        return f"mqtts://localhost:{self.port}"

    def configure(self, **broker_keys: Any) -> None:
        """Write gatebell.toml."""
        keys = "".join(f"{key} = {value!r}\n" for key, value in broker_keys.items())
        hangup = f'["sh", "-c", "kill -HUP $(cat {self.folder}/broker.pid)"]'
        (self.folder / "gatebell.toml").write_text(
            f'run_dir = "{self.folder}"\n[database]\nurl = "sqlite:///{self.folder}/gatebell.db"\n'
            f'[secrets]\nkey_file = "{self.folder}/gatebell.key"\n'
            f'[mqtt]\nurls = ["{self.url}"]\nca_file = "{self.folder}/ca.crt"\ncert_file = "{self.folder}/ingest.pem"\n'
            f'[broker]\nfolder = "{self.folder}/broker"\nca_file = "{self.folder}/ca.crt"\n'
            f'ca_key_file = "{self.folder}/ca.key"\nreload = {hangup}\n{keys}'
        )

    @property
    def settings(self) -> config.Config:
        """The operator's configuration."""
        return config.load(self.folder / "gatebell.toml", {})

    def gatebell(self, *arguments: str, code: int = 0) -> str:
        """What a command of ours says."""
        command = ["--config", str(self.folder / "gatebell.toml"), *arguments]
        with_pid = self.folder / "broker.pid"
        if not with_pid.exists():
            with_pid.write_text("")  # kill without a number fails: the broker does not run yet
        done = CliRunner().invoke(cli.build(), command)
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        assert done.exit_code == code, done.output
        return str(done.output)

    def enrol(self, school: str, gateway: str, *options: str, verb: str = "add") -> Path:
        """The enrolment file of a gate."""
        path = self.folder / f"{school}-{gateway}-{verb}{len(list(self.folder.glob('*.gatebell')))}.gatebell"
        self.gatebell("gate", verb, school, gateway, "--out", str(path), *options)
        return path

    @property
    def authority(self) -> authority.Authority:
        """Signs whatever a test needs."""
        return authority.load(self.settings.broker, datetime.now(UTC))

    def certificate(self, name: str, *, days: float = 1) -> Path:
        """One that our authority signed for any name, even one that no command would give."""
        path = self.folder / f"{name.replace('/', '_')}-{days}.pem"
        path.write_text(self.authority.client(name, datetime.now(UTC) + timedelta(days=days)).pem)
        return path

    def certified(self, enrolment: Path) -> Path:
        """The certificate and key out of an enrolment file."""
        path = enrolment.with_suffix(".pem")
        path.write_text(tomllib.loads(enrolment.read_text())["credential"])
        return path


def installed(folder: Path, database: Path) -> Installation:
    """Two schools and three gates, two of them of one name; set up as docs/operator.md says."""
    made = Installation(folder, database)
    for school in ("mingde", "no2"):
        made.gatebell("school", "add", school, "--name", school)
    made.gatebell("broker", "setup", code=1)  # all is written; only the broker that is to read it does not run yet
    for school, gateway in GATES:
        made.certified(made.enrol(school, gateway)).rename(folder / f"{school}-{gateway}.pem")
    return made


def revoked_and_added_again(place: Installation, school: str, gateway: str) -> Path:
    """A gate's revoked certificate; the gate itself is in service again with a new one."""
    current = place.folder / f"{school}-{gateway}.pem"
    with Guarded(place):
        place.gatebell("gate", "revoke", school, gateway)
        old = current.rename(place.folder / "replaced.pem")
        place.certified(place.enrol(school, gateway)).rename(current)
    return old


class Guarded(services.Service):
    """mosquitto with the shipped files; `without` leaves out the lines that begin so."""

    def __init__(self, place: Installation, *, without: Iterable[str] = (), password: bool = False) -> None:
        super().__init__(place.folder / "mosquitto", place.port)
        self.place = place
        self.without = tuple(without)
        self.password = password

    def command(self) -> list[str]:
        """The shipped configuration with this test's folder and ports."""
        included = self.folder / "conf.d"
        included.mkdir(exist_ok=True)
        if self.password:
            (included / "gatebell-password.conf").write_text(self._here("gatebell-password.conf"))
        (self.folder / "mosquitto.conf").write_text(self._here("gatebell-tls.conf"))
        return [str(broker.mosquitto()), "-c", str(self.folder / "mosquitto.conf")]

    def _here(self, name: str) -> str:
        text = (SHIPPED / name).read_text()
        for shipped, here in (
            ("listener 8883", f"listener {self.place.port} 127.0.0.1"),
            ("listener 8884", f"listener {self.place.password_port} 127.0.0.1"),
            ("/var/lib/gatebell/broker", str(self.place.folder / "broker")),
            ("/var/lib/mosquitto/", f"{self.folder}/"),
            ("/etc/mosquitto/conf.d", str(self.folder / "conf.d")),
        ):
            text = text.replace(shipped, here)
        kept = [line for line in text.splitlines() if not line.startswith(self.without)] if self.without else [text]
        root = ["user root"] if os.getuid() == 0 and name == "gatebell-tls.conf" else []
        return "\n".join([*root, *kept]) + "\n"

    def start(self) -> None:
        """Start it and note its number, as a service manager does."""
        super().start()
        assert self.process is not None
        (self.place.folder / "broker.pid").write_text(str(self.process.pid))

    def said(self) -> str:
        """Its log."""
        return (self.folder / "log").read_text()

    def reload(self) -> None:
        """Let it read its files again."""
        assert self.process is not None
        self.process.send_signal(signal.SIGHUP)


class Client:
    """One connection: whether it is up, what it got, and what the broker said of what it sent."""

    def __init__(
        self,
        place: Installation,
        proof: Path | None,
        client_id: str = "any",
        *,
        version: int = mqtt.MQTTv5,
        ca: Path | None = None,
        tls: bool = True,
        login: tuple[str, str] | None = None,
        will: tuple[str, bytes] | None = None,
        lasting: bool = False,
        highest: ssl.TLSVersion | None = None,
    ) -> None:
        self.got: list[tuple[str, bytes]] = []
        self.answers: dict[int, str] = {}
        self.granted: list[Any] | None = None
        self.over = threading.Event()
        self.up = False
        self.said = ""
        self.version = version
        clean = None if version == mqtt.MQTTv5 else not lasting
        self.client = client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id, clean, protocol=version)  # type: ignore[arg-type]
        client.reconnect_delay_set(60, 60)
        if tls:
            client.tls_set_context(_context(ca or place.folder / "ca.crt", proof, highest))
        if login:
            client.username_pw_set(*login)
        if will:
            client.will_set(*will, qos=1)
        client.on_connect, client.on_disconnect = self._on_connect, self._on_disconnect
        client.on_message = lambda _c, _d, message: self.got.append((message.topic, bytes(message.payload)))
        client.on_publish = lambda _c, _d, mid, code, _more: self.answers.__setitem__(mid, str(code))
        client.on_subscribe = lambda _c, _d, _mid, codes, _more: setattr(self, "granted", codes)
        self._connect(place.password_port if login else place.port, lasting)

    def _connect(self, port: int, lasting: bool) -> None:
        options: dict[str, Any] = {}
        if self.version == mqtt.MQTTv5:
            kept = Properties(PacketTypes.CONNECT)
            kept.SessionExpiryInterval = 3600 if lasting else 0
            options = {"clean_start": not lasting, "properties": kept}
        try:
            self.client.connect("localhost", port, 30, **options)
        except OSError as error:
            self.said = str(error)
            return
        self.client.loop_start()
        self.over.wait(5)

    def _on_connect(self, _client: Any, _data: Any, _flags: Any, code: Any, _more: Any) -> None:
        self.up, self.said = not code.is_failure, str(code)
        self.over.set()

    def _on_disconnect(self, _client: Any, _data: Any, _flags: Any, code: Any, _more: Any) -> None:
        self.up, self.said = False, str(code)
        self.over.set()

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> str:
        """What the broker said to it; `lost` when it ended the connection instead."""
        number = self.client.publish(topic, payload, 1, retain).mid
        wait_until(lambda: number in self.answers or not self.up)
        return self.answers.get(number, "lost")

    def subscribe(self, topic: str) -> None:
        """Ask for a filter and wait for the answer, which proves nothing: what will not be delivered is granted too."""
        self.granted = None
        self.client.subscribe(topic, 1)
        wait_until(lambda: self.granted is not None or not self.up)

    def has(self, payload: bytes) -> bool:
        """Whether a message with this payload came."""
        return any(each == payload for _, each in self.got)

    def close(self) -> None:
        """Leave."""
        self.client.disconnect()
        self.client.loop_stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _context(ca: Path, proof: Path | None, highest: ssl.TLSVersion | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(ca))
    if highest:
        context.set_ciphers("ALL:@SECLEVEL=0")
        with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
            context.minimum_version = context.maximum_version = highest
    if proof:
        context.load_cert_chain(str(proof))
    return context


class Scene:
    """Who is at the broker in every case: the worker, and the three gates of GATES."""

    def __init__(self, place: Installation, guarded: Guarded) -> None:
        self.place, self.guarded = place, guarded
        self.count = 0
        self.worker = self.as_worker()
        self.first, self.second, self.other_school = (self.as_gate(*each) for each in GATES)

    def as_worker(self) -> Client:
        """The server's worker, with its lasting session."""
        worker = Client(self.place, self.place.folder / "ingest.pem", INGEST, lasting=True)
        for kind in (wire.Kind.TAP, wire.Kind.STATE):
            worker.subscribe(f"gatebell/1/00/+/+/{kind}")
        return worker

    def as_gate(self, school: str, gateway: str, **options: Any) -> Client:
        """A gate with the certificate of its enrolment file, listening to its own topics."""
        proof = options.pop("proof", self.place.folder / f"{school}-{gateway}.pem")
        client = Client(self.place, proof, f"{school}/{gateway}", **options)
        if client.up:
            client.subscribe(wire.topic(school, gateway, wire.Kind.STORED))
            client.subscribe(wire.topic(school, gateway, wire.Kind.COMMAND))
        return client

    def settle(self) -> None:
        """Return when the worker has got all that the broker took until now: a later message has come through."""
        self.count += 1
        mark = b"settle %d" % self.count
        self.second.publish(wire.topic(*GATES[1], wire.Kind.TAP), mark)
        wait_until(lambda: self.worker.has(mark))

    def close(self) -> None:
        """Everybody leaves."""
        for client in (self.worker, self.first, self.second, self.other_school):
            client.close()


def rogue(folder: Path, name: str) -> Path:
    """A certificate for this name that nobody signed but itself."""
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "9",
    ]
    escaped = name.replace("/", "\\/")
    command += ["-subj", f"/CN={escaped}", "-keyout", "rogue.key", "-out", "rogue.crt"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    path = folder / "rogue.pem"
    path.write_text((folder / "rogue.crt").read_text() + (folder / "rogue.key").read_text())
    return path
