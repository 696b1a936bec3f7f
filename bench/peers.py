"""The three that are compared: our gateway, Node-RED, and a script; how each is installed, configured and started."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "requirements" / "gateway.txt"
PACKAGES = ("node@22", "node-red@5", "node-red-node-serialport")
CONFIG = """
school = "bench"
gateway = "gate-1"
data_dir = "{folder}/data"
clock = "trust"
[mqtt]
urls = ["mqtt://127.0.0.1:{port}"]
"""
READER = '[[reader]]\nid = "r{number}"\nprofile = "id12la"\nport = "{name}"\ndirection = "in"\n'
SETTINGS = """
module.exports = {{ uiPort: {port}, uiHost: "127.0.0.1", userDir: "{folder}", flowFile: "flows.json",
  mqttReconnectTime: 500, serialReconnectTime: 500, httpAdminRoot: false, httpNodeRoot: false,
  logging: {{ console: {{ level: "warn" }} }} }};
"""
FUNCTION = r"""
const text = msg.payload.toString().replace(/[^0-9A-F]/g, "");
let check = 0;
for (let at = 0; at < 12; at += 2) check ^= parseInt(text.substr(at, 2), 16);
if (text.length !== 12 || check !== 0) return null;
return { payload: JSON.stringify({ card: text.substr(0, 10) }) };
"""


class CannotInstall(Exception):
    """A package registry cannot be reached, or its tool is missing; the text says what to do."""


@dataclass(frozen=True)
class Peer:
    """A program to be measured: its words, and the environment beside ours."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)

    def start(self, folder: Path) -> subprocess.Popen[bytes]:
        """A process of its own; its words go to a log in the folder."""
        with (folder / f"{self.name}.log").open("ab") as log:
            return subprocess.Popen(
                self.command, cwd=folder, stdout=log, stderr=log, env=_environment() | dict(self.environment)
            )


def _environment() -> dict[str, str]:
    """Ours without what would change how Python runs: the gate's does not compile itself anew at each start."""
    return {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}


def gatebell(cache: Path, folder: Path, *, port: int, names: Sequence[Path]) -> Peer:
    """`gatebell-gateway run` as on a Pi."""
    readers = "".join(READER.format(number=number, name=name) for number, name in enumerate(names))
    (folder / "gateway.toml").write_text(CONFIG.format(folder=folder, port=port) + readers)
    python = str(cache / "venv" / "bin" / "python")
    words = [python, "-m", "gateway", "run", "--config", str(folder / "gateway.toml"), "--log", "warning"]
    return Peer("gatebell", words)


def script(cache: Path, folder: Path, *, port: int, names: Sequence[Path]) -> Peer:
    """peer_script.py with the same Python and packages."""
    python = str(cache / "venv" / "bin" / "python")
    file = shutil.copy(Path(__file__).with_name("peer_script.py"), folder)
    return Peer("script", [python, str(file), str(port), *map(str, names)])


def node_red(cache: Path, folder: Path, *, port: int, names: Sequence[Path]) -> Peer:
    """Node-RED without its editor: serial in -> function -> mqtt out for each reader."""
    home = folder / "node-red"
    home.mkdir(exist_ok=True)
    (home / "settings.js").write_text(SETTINGS.format(port=1880, folder=home))
    (home / "flows.json").write_text(json.dumps(_flows(port, names)))
    modules = cache / "node-red" / "node_modules"
    words = [str(modules / "node" / "bin" / "node"), str(modules / "node-red" / "red.js")]
    return Peer("node-red", [*words, "--settings", str(home / "settings.js")])


def _flows(port: int, names: Sequence[Path]) -> list[dict[str, object]]:
    broker = {"id": "b", "type": "mqtt-broker", "broker": "127.0.0.1", "port": str(port), "clientid": "peer-node-red"}
    broker |= {"autoConnect": True, "protocolVersion": "4", "keepalive": "15", "cleansession": True}
    parse = {"id": "f", "type": "function", "z": "t", "func": FUNCTION, "outputs": 1, "wires": [["m"]]}
    out = {"id": "m", "type": "mqtt out", "z": "t", "topic": "peer/tap", "qos": "1", "broker": "b", "wires": []}
    flows: list[dict[str, object]] = [{"id": "t", "type": "tab", "label": "gate"}, broker, parse, out]
    for number, name in enumerate(names):
        line = {"serialport": str(name), "serialbaud": "9600", "databits": "8", "parity": "none", "stopbits": "1"}
        line |= {"newline": "0x03", "bin": "false", "out": "char", "addchar": "", "waitfor": ""}
        flows.append({"id": f"s{number}", "type": "serial-port", **line})
        flows.append({"id": f"i{number}", "type": "serial in", "z": "t", "serial": f"s{number}", "wires": [["f"]]})
    return flows


PEERS = {"gatebell": gatebell, "node-red": node_red, "script": script}


# installing


def install(cache: Path, names: Sequence[str]) -> None:
    """What the peers need, in a folder outside the repository. Raises CannotInstall."""
    if cache.resolve().is_relative_to(ROOT):
        raise CannotInstall(f"--cache {cache} is inside the repository: choose a folder outside it")
    cache.mkdir(parents=True, exist_ok=True)
    _install_python(cache)
    if "node-red" in names:
        _install_node_red(cache / "node-red")


def _install_python(cache: Path) -> None:
    """A venv as the Pi's: the locked packages, and our package compiled."""
    venv, stamp = cache / "venv", cache / "venv" / "lock.sha256"
    wanted = hashlib.sha256(LOCK.read_bytes()).hexdigest()
    if not stamp.exists() or stamp.read_text() != wanted:
        shutil.rmtree(venv, ignore_errors=True)
        _call([sys.executable, "-m", "venv", str(venv)], "python3-venv is missing: sudo apt install python3-venv")
        pip = [str(venv / "bin" / "pip"), "install", "-q", "--require-hashes", "-r", str(LOCK)]
        _call(pip, "the Python package index cannot be reached: give pip a mirror (pip config) and start again")
        stamp.write_text(wanted)
    (site,) = venv.glob("lib/python*/site-packages")
    shutil.rmtree(site / "gateway", ignore_errors=True)
    shutil.copytree(ROOT / "gateway", site / "gateway", ignore=shutil.ignore_patterns("__pycache__"))
    _call([str(venv / "bin" / "python"), "-m", "compileall", "-q", str(site)], "the gateway does not compile")


def _install_node_red(folder: Path) -> None:
    stamp = folder / "installed"
    if stamp.exists() and stamp.read_text() == " ".join(PACKAGES):
        return
    if shutil.which("npm") is None:
        raise CannotInstall("npm is missing: sudo apt install npm; or leave Node-RED out: --without node-red")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    npm = [
        "npm",
        "install",
        "--no-audit",
        "--no-fund",
        "--loglevel=error",
        "--fetch-retries=1",
        "--prefix",
        str(folder),
        *PACKAGES,
    ]
    _call(npm, "the npm registry cannot be reached: give npm a mirror (npm config set registry), or --without node-red")
    stamp.write_text(" ".join(PACKAGES))


def _call(words: Sequence[str], advice: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=_environment())
    if done.returncode:
        raise CannotInstall(f"{advice}\n({words[0]} said: {(done.stderr or done.stdout).strip()[-500:]})")


def slow_disk(cache: Path, peer: Peer, *, flush_ms: int) -> Peer:
    """The same program where every flush takes `flush_ms` longer. Raises CannotInstall."""
    shim = cache / "slow_flush.so"
    source = Path(__file__).with_name("slow_flush.c")
    if shutil.which("gcc") is None:
        raise CannotInstall("gcc is missing for the slow disk: sudo apt install gcc; or --flush-ms 0 to leave it out")
    _call(["gcc", "-O2", "-shared", "-fPIC", "-o", str(shim), str(source), "-ldl"], "slow_flush.c does not compile")
    slow = {"LD_PRELOAD": str(shim), "SLOW_FLUSH_MS": str(flush_ms)}
    return Peer(peer.name, peer.command, {**peer.environment, **slow})
