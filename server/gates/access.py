"""The files that a broker reads: who may do what, who is revoked, which passwords hold; and making it read them again.

A gate's certificate is named `school/gateway`, which is two levels of its topics: one pattern serves every gate there
will ever be, and only revoked ones have lines of their own.
"""

import base64
import fcntl
import hashlib
import os
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509

from gateway.wire import ROOT, VERSION
from server.config import Broker, Config
from server.errors import Refused
from server.gates.authority import Authority, write_whole

RELOAD_S = 20
ROUNDS = 101  # as mosquitto_passwd does; the passwords are 32 random bytes, not words
SALT_BYTES = 12
CHECKER = "gatebell-check"  # the identity of `gatebell check`: may connect and nothing else

_ACL = """# Written by `gatebell broker setup` and every `gatebell gate` command: changes made here are lost.
# Nobody without a certificate (or password) gets in, and who is not named below may do nothing.

# Every gate: %u is the name in its certificate, <school>/<gateway>, which is two levels of the topic.
pattern write {root}/%u/tap
pattern write {root}/%u/state
pattern read {root}/%u/stored
pattern read {root}/%u/command

# The server's workers read what gates say and answer. They can make no tap.
{workers}
# Revoked gates: cut off at the broker's next SIGHUP, even on a connection that is open.
{revoked}"""
_WORKER = """user {name}
topic read {root}/+/+/tap
topic read {root}/+/+/state
topic write {root}/+/+/stored
topic write {root}/+/+/command
"""
_REVOKED = """user {school}/{gateway}
topic deny #
"""


class BrokerNotTold(Refused):
    """The files are written, but the broker was not made to read them; the text says what to do by hand."""


@dataclass(frozen=True)
class Access:
    """What the broker must know of the gates."""

    blocked: tuple[tuple[str, str], ...]  # school, gateway
    revoked: frozenset[int]  # serial numbers
    passwords: tuple[tuple[str, str], ...]  # user name, hash


def identity(school_id: str, gateway_id: str) -> str:
    """The name in a gate's certificate, its user name and its client id."""
    return f"{school_id}/{gateway_id}"


def workers(settings: Config) -> tuple[str, ...]:
    """The client ids of all workers of this installation."""
    return settings.broker.workers or (settings.ingest.client_id,)


def acl(settings: Config, blocked: Iterable[tuple[str, str]]) -> str:
    """The broker's access rules. In a district every shard is open to a gate, but only under its own name."""
    root = f"{ROOT}/{VERSION}/{'+' if settings.ingest.sharded else '00'}"
    written = "\n".join(_WORKER.format(root=root, name=name) for name in workers(settings))
    denied = "\n".join(_REVOKED.format(school=school, gateway=gateway) for school, gateway in sorted(blocked))
    return _ACL.format(root=root, workers=written, revoked=denied)


def password_hash(password: str) -> str:
    """As mosquitto's password file has it: PBKDF2 with SHA-512."""
    salt = os.urandom(SALT_BYTES)
    made = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, ROUNDS)
    return f"$7${ROUNDS}${base64.b64encode(salt).decode()}${base64.b64encode(made).decode()}"


@contextmanager
def turn(settings: Broker) -> Iterator[None]:
    """One writer at a time, from reading the database to the last file: an older view never wins."""
    folder = Path(settings.folder)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".turn").open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def write(settings: Config, authority: Authority, access: Access, now: datetime) -> bool:
    """Write what has changed; whether anything had. What was revoked once stays so, whatever the database has lost."""
    folder = Path(settings.broker.folder)
    known = revoked_in(folder / "revoked.crl")
    texts = {"ca.crt": authority.pem} | _texts(settings, access)
    if known is None or not access.revoked <= known or not _is_of(folder / "revoked.crl", authority):
        texts["revoked.crl"] = authority.revocations(access.revoked | (known or frozenset()), now)
    changed = [name for name, text in texts.items() if _differs(folder / name, text)]
    for name in changed:
        replace(folder / name, texts[name])
    return bool(changed)


def in_use(settings: Config) -> bool:
    """Whether this installation writes a broker's files at all."""
    return Path(settings.broker.folder, "acl").exists()


def stale(settings: Config, access: Access) -> list[str]:
    """Names of files in the broker's folder that are not what they should be."""
    folder = Path(settings.broker.folder)
    known = revoked_in(folder / "revoked.crl")
    found = [name for name, text in _texts(settings, access).items() if _differs(folder / name, text)]
    return found + (["revoked.crl"] if known is None or not access.revoked <= known else [])


def _texts(settings: Config, access: Access) -> dict[str, str]:
    return {
        "acl": acl(settings, access.blocked),
        "passwords": "".join(f"{name}:{made}\n" for name, made in access.passwords),
    }


def tell(settings: Broker) -> None:
    """Make the broker read its files again. Raises BrokerNotTold."""
    if not settings.reload:
        return  # something watches the folder
    command = " ".join(settings.reload)
    try:
        done = subprocess.run(settings.reload, capture_output=True, text=True, timeout=RELOAD_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BrokerNotTold(f"broker.reload: {command!r} does not run: {error}; reload the broker by hand") from None
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise BrokerNotTold(f"broker.reload: {command!r} says: {said[-1] if said else done.returncode}; do it by hand")


def revoked_in(path: Path) -> frozenset[int] | None:
    """The serial numbers of a list of revoked certificates; None when there is no such list."""
    found = _list(path)
    return None if found is None else frozenset(each.serial_number for each in found)


def replace(path: Path, text: str) -> None:
    """A whole new file in the place of the old one, for the owner and the folder's group (the broker's)."""
    write_whole(path, text, mode=0o640)


def _list(path: Path) -> x509.CertificateRevocationList | None:
    try:
        return x509.load_pem_x509_crl(path.read_bytes())
    except (OSError, ValueError):
        return None


def _is_of(path: Path, authority: Authority) -> bool:
    found = _list(path)
    return found is not None and found.is_signature_valid(authority.key.public_key())


def _differs(path: Path, text: str) -> bool:
    try:
        return path.read_text("utf-8") != text
    except OSError:
        return True
