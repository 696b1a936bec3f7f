"""The operator's configuration: a TOML file, GATEBELL_<SECTION>__<KEY> over it, `*_file` keys for secrets."""

import difflib
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec

Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]
Some = Annotated[int, msgspec.Meta(ge=1)]
Natural = Annotated[int, msgspec.Meta(ge=0)]
Amount = Annotated[float, msgspec.Meta(ge=0)]
Rate = Annotated[float, msgspec.Meta(gt=0)]


class ConfigError(ValueError):
    """The configuration cannot be used; the text names the place and what to write there."""


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of the TOML file: a key that is not declared here is an error."""


class Database(Section, frozen=True):
    """`sqlite:///path` or `postgresql://user@host/name`."""

    url: str = "sqlite:///gatebell.db"


class Mqtt(Section, frozen=True):
    """Where the broker is. Always a list: the client goes round it when one is gone."""

    urls: tuple[str, ...] = ("mqtt://127.0.0.1:1883",)
    version: str = "5"
    username: str = ""
    password_file: str = ""
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""


class Broker(Section, frozen=True):
    """What Gatebell writes for a broker with certificates, and what gates are told of it; see docs/operator.md."""

    urls: tuple[str, ...] = ()  # as gates reach it; empty: mqtt.urls
    folder: str = "broker"  # what the broker reads: certificates, revocations, access rules
    ca_file: str = "ca.crt"  # the installation's own authority, made on first use ...
    ca_key_file: str = "ca.key"  # ... with its key: whoever has it can speak as any gate
    reload: tuple[str, ...] = ()  # command that makes the broker read its files again; empty: it watches them itself
    workers: tuple[str, ...] = ()  # client ids of all ingest workers; empty: only ingest.client_id
    gate_days: Some = 825  # that a gate's certificate is valid
    rotate_days: Some = 30  # that the old one stays valid beside a new one that was never used


class Ingest(Section, frozen=True):
    """Which part of the wire this worker takes, and how it batches."""

    filters: tuple[str, ...] = ("gatebell/1/00/+/+/tap", "gatebell/1/00/+/+/state")
    client_id: str = "gatebell-ingest-00"
    sharded: bool = False
    batch: Some = 500
    linger_ms: Natural = 2


class Web(Section, frozen=True):
    """The pages. `url` is what people type, used in links and callbacks."""

    host: str = "127.0.0.1"
    port: Port = 8000
    url: str = "http://127.0.0.1:8000"
    threads: Some = 128
    secure_cookies: bool = False  # true behind HTTPS
    proxies: Natural = 0  # reverse proxies in front whose X-Forwarded-For may be believed


class Limits(Section, frozen=True):
    """How many texts are too many; 0 sets no limit. Money is in the currency of the price, per school and day."""

    pupil_per_hour: Natural = 12  # about one pupil to one number: a stuck reader cannot send 500 texts
    wording_per_day: Natural = 40  # of one wording to one number; operators stop at about 50
    number_per_day: Natural = 60
    price_per_message: Amount = 0.05
    money_per_day: Amount = 0.0  # then notices wait, and the office is told; gate and alert texts go on
    hard_money_per_day: Amount = 0.0  # then all texts wait; 0: twice money_per_day


class Outbox(Section, frozen=True):
    """Who sends: providers in order of preference (their settings stand in [providers.<name>]); none: texts wait."""

    providers: tuple[str, ...] = ()
    senders: Some = 4
    callback_secret_file: str = ""
    per_second: dict[str, Rate] = {}  # texts that a provider's account may be given, by all senders together
    weights: dict[str, Natural] = {}  # shares of the providers; none: the first takes all that it can
    limits: Limits = Limits()


class Secrets(Section, frozen=True):
    """The key that encrypts numbers and signs cookies; made on first use."""

    key_file: str = "gatebell.key"


class Config(Section, frozen=True):
    """The whole file."""

    database: Database = Database()
    mqtt: Mqtt = Mqtt()
    broker: Broker = Broker()
    ingest: Ingest = Ingest()
    web: Web = Web()
    outbox: Outbox = Outbox()
    secrets: Secrets = Secrets()
    providers: dict[str, dict[str, Any]] = {}
    robots: tuple[dict[str, Any], ...] = ()  # chat groups of staff that hear of standing faults; see docs/providers.md
    run_dir: str = "."
    demo: bool = False


def load(path: Path | None, environment: Mapping[str, str] = os.environ) -> Config:
    """Read the file (none: defaults) and the environment over it. Raises ConfigError."""
    tables: dict[str, Any] = {}
    if path is not None:
        try:
            tables = tomllib.loads(path.read_text("utf-8"))
        except FileNotFoundError:
            raise ConfigError(f"{path}: no such file; give it with --config or GATEBELL_CONFIG") from None
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror}") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: not TOML: {error}") from None
    try:
        loaded: Config = convert(Config, _overlaid(tables, environment))
    except ConfigError as error:
        raise ConfigError(f"{path or 'environment'}: {error}") from None
    return loaded


def convert(kind: type[Any], tables: dict[str, Any]) -> Any:
    """Tables -> Struct. Raises ConfigError with the path and, for a typo, the key that was meant."""
    try:
        return msgspec.convert(tables, kind, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{error}{_hint(str(error), kind)}") from None


def _overlaid(tables: dict[str, Any], environment: Mapping[str, str]) -> dict[str, Any]:
    for name, value in environment.items():
        match = re.fullmatch(r"GATEBELL_([A-Z]+)__([A-Z_]+)", name)
        if match:
            section, key = (part.lower() for part in match.groups())
            keys = tables.setdefault(section, {})
            if isinstance(keys, dict):  # else the conversion says what is wrong with it
                keys[key] = value.split(",") if key in {"urls", "filters", "providers", "workers"} else value
    return tables


def _hint(message: str, kind: type[Any]) -> str:
    unknown, path = re.search(r"unknown field `([^`]+)`", message), re.search(r"`\$([^`]*)`", message)
    if unknown is None:
        return ""
    for name in path.group(1).split(".")[1:] if path else ():
        kind = next((field.type for field in msgspec.structs.fields(kind) if field.name == name), kind)
    known = [field.name for field in msgspec.structs.fields(kind)]
    close = difflib.get_close_matches(unknown.group(1), known, 1)
    return f"; did you mean `{close[0]}`?" if close else f"; there are: {', '.join(known)}"
