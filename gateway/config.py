"""The gateway's TOML file: what may stand in it, and every problem of a file at once, each with what to do about it."""

import importlib
import inspect
import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin
from urllib.parse import urlsplit

import msgspec

from gateway import devices, enrolled, passages, readers
from gateway.devices import Devices
from gateway.machine import identify
from gateway.passages import Passage, Walk
from gateway.readers.base import Reader
from gateway.wire import Direction, Name

PREFIX = "GATEBELL_GATEWAY_"
Seconds = Annotated[float, msgspec.Meta(gt=0)]
Count = Annotated[int, msgspec.Meta(ge=1)]
Pin = Annotated[int, msgspec.Meta(ge=0, le=27)]
Shard = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{2}$")]
PATTERNS = {
    r"'^[a-z0-9]": "only a-z, 0-9 and '-', at most 32 characters",
    r"'^[0-9]{2}": "two digits, like 00",
    r"'^$|": "an address and a port, like 0.0.0.0:8088",
}
STAND_INS = {  # for keys that are missing or wrong, and told as such
    "school": "school",
    "gateway": "gateway",
    "data_dir": ".",
    "profile": "rdm6300",
    "port": "loop://",
    "direction": "in",
    "reader": [{"id": "none", "profile": "rdm6300", "port": "loop://", "direction": "in"}],
}
COMMON = ("baud", "confirm")  # options that every profile has
SCHEMES = ("socket", "loop", "rfc2217", "spy", "alt", "hwgrep")


class ConfigError(ValueError):
    """The configuration cannot be used; the text has one line for each problem: place and what to do."""


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of the TOML file: a key that is not declared here is an error."""


class Mqtt(Section, frozen=True, kw_only=True):
    """Where the broker is. Always a list: the gateway goes round it when one is gone."""

    urls: tuple[str, ...] = ("mqtt://127.0.0.1:1883",)
    version: Literal["5", "3.1.1"] = "5"
    username: str = ""
    password_file: str = ""
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    keepalive_s: Annotated[int, msgspec.Meta(ge=5)] = 15
    reconnect_s: Seconds = 0.6


class SpoolSection(Section, frozen=True, kw_only=True):
    """How much disk the taps may take, and how long those are kept that the server has stored."""

    max_mb: Count = 64
    reserve_mb: Annotated[int, msgspec.Meta(ge=0)] = 8
    keep_days: Count = 7


class Feedback(Section, frozen=True, kw_only=True):
    """GPIO (BCM) numbers of what a pupil sees and hears; a pin that is not given stays silent."""

    green: Pin | None = None
    red: Pin | None = None
    amber: Pin | None = None
    buzzer: Pin | None = None


class Evacuation(Section, frozen=True, kw_only=True):
    """The page that says how many are inside, on the gate's own network."""

    listen: Annotated[str, msgspec.Meta(pattern=r"^$|^[^:]+:[0-9]{1,5}$")] = ""


class ReaderSection(Section, frozen=True, kw_only=True):
    """One reader on one port."""

    id: Name
    profile: str
    port: str
    direction: Direction
    name: str = ""
    same_card_s: Seconds = 5.0
    walk: Walk = Walk()  # of readers that read from afar
    options: dict[str, Any] = {}  # baud, confirm, and what the profile itself takes

    def baud(self) -> int:
        """The line's speed."""
        return int(self.options.get("baud", readers.load(self.profile).baud))

    def confirm(self) -> int:
        """How many equal reads make a tap."""
        return int(self.options.get("confirm", readers.load(self.profile).confirm))

    def protocol(self) -> Reader:
        """A new reader of this profile, with its own options. Raises TypeError and ValueError."""
        own = {key: value for key, value in self.options.items() if key not in COMMON}
        return readers.load(self.profile)(**own)


class Config(Section, frozen=True, kw_only=True):
    """The whole file."""

    school: Name
    gateway: Name
    data_dir: str
    machine_key_file: str = ""
    shard: Shard = "00"
    clock: Literal["check", "trust"] = "check"
    heartbeat_s: Seconds = 20.0
    mqtt: Mqtt = Mqtt()
    spool: SpoolSection = SpoolSection()
    feedback: Feedback = Feedback()
    evacuation: Evacuation = Evacuation()
    reader: tuple[ReaderSection, ...]
    passage: tuple[Passage, ...] = ()

    @property
    def client_id(self) -> str:
        """The name in its certificate, which is two levels of its topics; where the broker asks for no name, without
        the slash, which some brokers (rumqttd, the demo's) take in no client id."""
        named = bool(self.mqtt.cert_file or self.mqtt.username)
        return f"{self.school}/{self.gateway}" if named else f"gatebell-{self.school}-{self.gateway}"


@dataclass(frozen=True)
class Findings:
    """What a check found: problems stop the gateway, warnings do not."""

    config: Config | None = None
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def load(path: Path, environment: Mapping[str, str] = os.environ) -> Config:
    """Read the file and the environment over it. Raises ConfigError with all problems."""
    found = check(path, environment)
    if found.config is None:
        raise ConfigError("\n".join(found.problems))
    return found.config


def check(path: Path, environment: Mapping[str, str] = os.environ, machine: Devices = devices.HERE) -> Findings:
    """Everything that is wrong or doubtful about a file."""
    try:
        tables = _overlaid(enrolled.over(path, tomllib.loads(path.read_text("utf-8"))), environment)
    except OSError as error:
        return Findings(problems=[f"{error.filename}: {error.strerror}; give the right file with --config"])
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        return Findings(problems=[f"{path}: not TOML: {error}"])
    config = msgspec.convert(_sound(Config, tables, 0), Config)
    problems = [f"{path}: {problem}" for problem in chain(_shape(Config, tables, ""), _sense(config, machine))]
    warnings = [f"{path}: {warning}" for warning in _doubts(config, machine)]
    return Findings(None if problems else config, problems, warnings)


# the shape: keys and types


def _shape(kind: Any, value: Any, place: str) -> Iterator[str]:
    """Problems of a value that is to become `kind`, table by table, so that one does not hide the next."""
    if _is_table(kind):
        yield from _table(kind, value, place)
    elif get_origin(kind) is tuple and isinstance(value, list) and _is_table(get_args(kind)[0]):
        for number, item in enumerate(value, 1):
            yield from _shape(get_args(kind)[0], item, f"{place}[{number}]")
    else:
        try:
            msgspec.convert(value, kind)
        except msgspec.ValidationError as error:
            yield f"{place}: {_said(error, kind, value)}"


def _is_table(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _table(kind: type[msgspec.Struct], value: Any, place: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{place}: must be a table, written [{place}]"
        return
    fields = {field.name: field for field in msgspec.structs.fields(kind)}
    for key in value.keys() - fields.keys():
        close = _close(key, fields)
        hint = f"did you mean {close[0]!r}?" if close else f"known keys: {', '.join(fields)}"
        yield f"{_join(place, key)}: unknown key; {hint}"
    for name, declared in fields.items():
        if name in value:
            yield from _shape(declared.type, value[name], _join(place, name))
        elif declared.required:
            yield f"{_join(place, name)}: missing; see gateway.toml.example"


def _sound(kind: type[msgspec.Struct], table: Any, number: int) -> dict[str, Any]:
    """What of a table has the right shape, with stand-ins for what is needed: its sense can be judged all the same."""
    given = table if isinstance(table, dict) else {}
    sound: dict[str, Any] = {}
    for declared in msgspec.structs.fields(kind):
        name, value = declared.name, given.get(declared.name)
        if _is_table(declared.type):
            sound[name] = _sound(declared.type, value, 0)
        elif declared.type == tuple[ReaderSection, ...] and isinstance(value, list):
            sound[name] = [_sound(ReaderSection, item, place) for place, item in enumerate(value, 1)]
        elif name in given and not list(_shape(declared.type, value, "")):
            sound[name] = value
        elif declared.required:
            sound[name] = f"unnamed-{number}" if name == "id" else STAND_INS[name]
    return sound


def _said(error: msgspec.ValidationError, kind: Any, value: Any) -> str:
    choices = _choices(kind)
    if choices and isinstance(value, str):
        close = _close(value, choices)
        return f"{value!r} is not one of {', '.join(choices)}" + (f"; did you mean {close[0]!r}?" if close else "")
    if get_origin(kind) is tuple and isinstance(value, dict):
        return "must be a list of tables: write [[ ]] around its name, once for each"
    for pattern, words in PATTERNS.items():
        if pattern in str(error):
            return f"{value!r}: {words}"
    return re.sub(r" - at `\$(.*?)`", r" at \1", str(error))


def _choices(kind: Any) -> list[str]:
    if get_origin(kind) is Literal:
        return list(get_args(kind))
    return [str(item) for item in kind] if isinstance(kind, type) and issubclass(kind, StrEnum) else []


def _close(word: str, known: Iterable[str]) -> list[str]:
    """The known word that is nearest. By name: a sound file needs no hints, and the gate should not carry them."""
    found: list[str] = importlib.import_module("difflib").get_close_matches(word, known, 1)
    return found


def _join(place: str, key: str) -> str:
    return f"{place}.{key}" if place else key


# the sense: values that fit their type and still cannot work


def _sense(config: Config, machine: Devices = devices.HERE) -> Iterator[str]:
    known = readers.names()
    if not config.reader:
        yield "reader: no reader at all; add a [[reader]]"
    for number, reader in enumerate(config.reader, 1):
        place = f"reader[{number}]"
        if reader.profile not in known:
            yield f"{place}.profile: {_unknown_profile(reader.profile, known)}"
        else:
            yield from _options(reader, f"{place}.options")
        if "://" in reader.port and urlsplit(reader.port).scheme not in SCHEMES:
            yield f"{place}.port: {reader.port!r}: a device path or {', '.join(f'{name}://' for name in SCHEMES)}"
        for other, earlier in enumerate(config.reader[: number - 1], 1):
            if earlier.id == reader.id:
                yield f"{place}.id: {reader.id!r} is reader[{other}] already; every reader needs its own id"
            if earlier.port == reader.port and not reader.port.startswith("loop://"):
                taken = f"{reader.port} is reader[{other}]'s already"
                yield f"{place}.port: {taken}; two readers cannot share a port{_hint(reader)}"
    yield from _device_sense(config.reader, machine)
    yield from passages.problems(config)
    yield from _mqtt_sense(config.mqtt)
    pins = [pin for pin in msgspec.structs.astuple(config.feedback) if pin is not None]
    if len(pins) != len(set(pins)):
        yield "feedback: one pin is given twice"


def _hint(reader: ReaderSection) -> str:
    equal = "; two equal adapters: name each by its socket, under /dev/serial/by-path/"
    return equal if reader.port.startswith(devices.BY_ID) else ""


def _device_sense(section: tuple[ReaderSection, ...], machine: Devices) -> Iterator[str]:
    for number, reader in enumerate(section, 1):
        problem = machine.problem(reader.port)
        if problem:
            yield f"reader[{number}].port: {problem}"
    for earlier, later, device in devices.shared([reader.port for reader in section], machine):
        names = f"{section[later].port} and reader[{earlier + 1}]'s {section[earlier].port}"
        yield f"reader[{later + 1}].port: {names} are one device, {device}; two readers cannot share a port"


def _options(reader: ReaderSection, place: str) -> Iterator[str]:
    for key in set(COMMON) & reader.options.keys():
        if type(reader.options[key]) is not int or reader.options[key] < 1:
            yield f"{place}.{key}: {reader.options[key]!r} is not a number of at least 1"
    own = inspect.signature(readers.load(reader.profile)).parameters
    unknown = reader.options.keys() - own.keys() - set(COMMON)
    for key in sorted(unknown):
        yield f"{place}.{key}: unknown key; {reader.profile} takes {', '.join([*COMMON, *own])}"
    if not unknown:
        try:
            reader.protocol()
        except (TypeError, ValueError) as error:
            yield f"{place}: {error}"


def _mqtt_sense(mqtt: Mqtt) -> Iterator[str]:
    if not mqtt.urls:
        yield "mqtt.urls: empty; give at least one, like mqtt://127.0.0.1:1883"
    for url in mqtt.urls:
        if not _is_broker(url):
            yield f"mqtt.urls: {url!r} is not mqtt://host[:port] or mqtts://host[:port]"
    for key in ("password_file", "ca_file", "cert_file", "key_file"):
        file = getattr(mqtt, key)
        if file and not os.access(file, os.R_OK):
            yield f"mqtt.{key}: {file} cannot be read; does it exist, and may this user read it?"
    if mqtt.password_file and not mqtt.username:
        yield "mqtt.username: missing; a password_file needs a username"


def _is_broker(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in {"mqtt", "mqtts"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _unknown_profile(profile: str, known: list[str]) -> str:
    close = _close(profile, known)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"no reader {profile!r}; {hint}known: {', '.join(known)}"


def _doubts(config: Config, machine: Devices) -> Iterator[str]:
    if not _can_be_made(Path(config.data_dir)):
        yield f"data_dir: warning: this user cannot write {config.data_dir}; may the one that runs the gateway?"
    for number, reader in enumerate(config.reader, 1):
        doubt = machine.doubt(reader.port)
        if doubt:
            yield f"reader[{number}].port: warning: {doubt}"
        elif reader.port.startswith("/") and not Path(reader.port).exists():
            yield f"reader[{number}].port: warning: {reader.port} is not there now"
    yield from _machine_doubts(config)


def _machine_doubts(config: Config) -> Iterator[str]:
    file = config.machine_key_file
    if file and not os.access(file, os.R_OK):
        yield f"machine_key_file: warning: {file} cannot be read; without it the taps sealed with it cannot be sent"
    elif not identify(file).is_secret:
        yield (
            "machine_key_file: warning: this machine has no number of its own, so whoever takes its disk can read the"
            " cards on it; keep 32 random bytes on another medium and name that file here"
        )


def _can_be_made(folder: Path) -> bool:
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    return there.is_dir() and os.access(there, os.W_OK)


# the environment


def _overlaid(tables: dict[str, Any], environment: Mapping[str, str]) -> dict[str, Any]:
    """GATEBELL_GATEWAY_DATA_DIR, GATEBELL_GATEWAY_MQTT__URLS (commas between): texts and lists of texts only."""
    for variable, value in environment.items():
        if variable.startswith(PREFIX):
            *sections, key = variable.removeprefix(PREFIX).lower().split("__")
            table = tables
            for section in sections:
                table = table.setdefault(section, {})
            table[key] = value.split(",") if key == "urls" else value
    return tables
