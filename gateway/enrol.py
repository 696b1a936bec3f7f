"""`gatebell-gateway enrol`: takes the one file that the school's server wrote for this gate, and keeps its secrets.

What it says goes into enrolment.toml beside the gateway's own file, which is left as the person wrote it.
"""

import json
import os
import pwd
import re
import ssl
import sys
import tomllib
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from gateway.enrolled import DROP_IN, over

FOLDER = "enrolment"
FORMAT = 1
TEXTS = ("school", "gateway", "shard", "ca", "credential", "username", "password")
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
WRITTEN = "# Written by `gatebell-gateway enrol`; it stands above gateway.toml. Enrol anew instead of changing it.\n"


class EnrolError(ValueError):
    """The file cannot be taken; the text says why and what to do. It never quotes the file."""


def add_arguments(parser: ArgumentParser) -> None:
    """What the command takes."""
    config = Path(os.environ.get("GATEBELL_GATEWAY_CONFIG", "gateway.toml"))
    parser.add_argument("file", type=Path, help="the file that `gatebell gate add` wrote; a secret")
    parser.add_argument("--config", type=Path, default=config, help=f"the gateway's TOML file (here: {config})")
    parser.add_argument("--user", default="gatebell", help="who runs the gateway and must read its key")
    parser.add_argument("--force", action="store_true", help="also when this gateway was another gate until now")
    parser.set_defaults(command=run)


def run(args: Namespace) -> int:
    """Take one enrolment file; 2 when it cannot be taken."""
    try:
        return _run(args)
    except EnrolError as error:
        print(error, file=sys.stderr)
        return 2


def _run(args: Namespace) -> int:
    given = read(args.file)
    if not args.force:
        _refuse_another(given, args.config)
    try:
        changed = take(given, args.config, _owner(args.user))
    except OSError as error:
        raise EnrolError(f"{error.filename}: {error.strerror}; run it with sudo") from None
    print(f"this is {given['gateway']} of {given['school']}" + ("" if changed else ", as before"))
    if changed:
        print("now start it anew: sudo systemctl restart gatebell-gateway")
    print(f"and destroy {args.file}: whoever has it can speak as this gate", file=sys.stderr)
    return 0


def read(path: Path) -> dict[str, Any]:
    """What an enrolment file says, checked. Raises EnrolError."""
    try:
        given = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise EnrolError(f"{path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        raise EnrolError(f"{path} is no enrolment file, or it was cut off on the way; copy it again") from None
    if given.get("format") != FORMAT:
        raise EnrolError(f"{path} is no enrolment file that this version knows; it must say format = {FORMAT}")
    problem = _problem(given)
    if problem:
        raise EnrolError(f"{path}: {problem}; let the server write it anew: gatebell gate rotate")
    return given


def _problem(given: dict[str, Any]) -> str | None:
    for key in ("school", "gateway"):
        if not isinstance(given.get(key), str) or not NAME.fullmatch(given[key]):
            return f"{key} is missing or no id"
    if any(not isinstance(given.get(key, ""), str) for key in TEXTS) or not _are_texts(given.get("urls")):
        return "a key has the wrong type"
    if "credential" not in given and not {"username", "password"} <= given.keys():
        return "neither a credential nor a password is in it"
    return None if _fits(given) else "its certificate and key cannot be used together"


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, str) for each in value)


def _fits(given: dict[str, Any]) -> bool:
    """Whether TLS would take it, tried before anything is replaced; the key touches no disk."""
    memory = os.memfd_create("credential")
    try:
        os.write(memory, given.get("credential", "").encode())
        context = ssl.create_default_context(cadata=given.get("ca") or None)
        if "credential" in given:
            context.load_cert_chain(f"/proc/self/fd/{memory}")
    except (ssl.SSLError, ValueError):
        return False
    finally:
        os.close(memory)
    return True


def _refuse_another(given: dict[str, Any], config: Path) -> None:
    known = over(config, _tables(config)) if config.exists() else over(config, {})
    for key in ("school", "gateway"):
        if known.get(key, given[key]) != given[key]:
            raise EnrolError(
                f"this gateway is {key} {known[key]!r}, the file is for {given[key]!r}:"
                " take the right file, or say --force to make it another gate"
            )


def _tables(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise EnrolError(f"{path}: {error}; put it right first") from None


def take(given: dict[str, Any], config: Path, owner: tuple[int, int]) -> bool:
    """Keep it beside `config`, secrets for `owner` alone; whether anything was new. Safe to repeat and to interrupt."""
    folder = config.absolute().parent / FOLDER
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    files = {folder / "ca.crt": given.get("ca", "")}
    if "credential" in given:
        files[folder / "credential.pem"] = given["credential"]
    else:
        files[folder / "password"] = given["password"] + "\n"
    files[config.absolute().with_name(DROP_IN)] = _drop_in(given, folder)  # last: it names only what is there
    changed = [path for path, text in files.items() if not path.exists() or path.read_text("utf-8") != text]
    for path in changed:
        _replace(path, files[path], owner)
    return bool(changed)


def _drop_in(given: dict[str, Any], folder: Path) -> str:
    lines = [f"{key} = {_quoted(given[key])}" for key in ("school", "gateway", "shard") if key in given]
    lines += ["[mqtt]", f"urls = {json.dumps(given['urls'], ensure_ascii=False)}"]
    if given.get("ca"):
        lines.append(f"ca_file = {_quoted(str(folder / 'ca.crt'))}")
    if "credential" in given:
        lines.append(f"cert_file = {_quoted(str(folder / 'credential.pem'))}")
        lines += ['key_file = ""', 'username = ""', 'password_file = ""']
    else:
        lines += [f"username = {_quoted(given['username'])}", f"password_file = {_quoted(str(folder / 'password'))}"]
        lines += ['cert_file = ""', 'key_file = ""']
    return WRITTEN + "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)  # a JSON string is a TOML string


def _replace(path: Path, text: str, owner: tuple[int, int]) -> None:
    """All of it or nothing, for its owner alone, and on the disk before it is named."""
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.chown(new, *owner)
    new.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)


def _owner(name: str) -> tuple[int, int]:
    """Root hands the files over to whoever runs the gateway; others keep them."""
    if os.getuid() != 0:
        return -1, -1
    try:
        found = pwd.getpwnam(name)
    except KeyError:
        raise EnrolError(f"there is no user {name!r}: sudo useradd --system {name}, or say --user") from None
    return found.pw_uid, found.pw_gid
