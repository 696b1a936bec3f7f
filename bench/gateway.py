"""What the gateway process costs and carries: memory, idle CPU, start-up, a tap's way to the broker, taps per second.

`python bench/gateway.py` prints one JSON object; it needs mosquitto on PATH and takes about 40 seconds. Everything is
real: the process, a pseudo-terminal, the broker, the fsync of each commit in --folder (default: the temporary folder).
"""

import argparse
import contextlib
import json
import os
import pty
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import tty
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
from paho.mqtt import client as mqtt

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from gateway import wire  # noqa: E402
from gateway.readers import load  # noqa: E402
from gateway.wire import Kind  # noqa: E402

RSS_LIMIT_MB = 40.0
SCHOOL, GATE = "mingde", "gate-1"
IDLE_S = 10.0
SINGLES = 100
FLOOD = 5_000
CONFIG = """
school = "mingde"
gateway = "gate-1"
data_dir = "{folder}/data"
[mqtt]
urls = ["mqtt://127.0.0.1:{port}"]
[[reader]]
id = "east"
profile = "id12la"
port = "{folder}/reader"
direction = "in"
"""


def until(what: Callable[[], bool], *, seconds: float = 30.0) -> None:
    """Wait closely. Raises TimeoutError."""
    end = time.monotonic() + seconds
    while not what():
        if time.monotonic() > end:
            raise TimeoutError(f"the gateway did not do it in {seconds:g} s")
        time.sleep(0.0005)


class School:
    """Hears taps and answers Stored; notes when each card came first."""

    def __init__(self, port: int) -> None:
        self.answering = True
        self.arrived: dict[str, float] = {}
        self.births: list[float] = []
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        self._client.on_connect = lambda client, *_: client.subscribe("gatebell/#", 1)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_message = self._on_message
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def _on_message(self, client: mqtt.Client, _: object, message: mqtt.MQTTMessage) -> None:
        now = time.monotonic()
        kind = wire.address(message.topic).kind
        if kind is Kind.STATE and msgspec.json.decode(message.payload, type=wire.State).online:
            self.births.append(now)
        if kind is Kind.TAP and self.answering:
            taps = msgspec.json.decode(message.payload, type=wire.Taps).taps
            for tap in taps:
                self.arrived.setdefault(tap.card, now)
            stored = wire.encode(wire.Stored(ids=[tap.id for tap in taps]))
            client.publish(wire.topic(SCHOOL, GATE, Kind.STORED), stored, qos=1)

    def close(self) -> None:
        """Hear no more."""
        self._client.disconnect()
        self._client.loop_stop()


class Broker:
    """mosquitto on a port of this machine."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.file = folder / "mosquitto.conf"
        self.file.write_text(f"listener {self.port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 200000\n")

    def start(self) -> None:
        """Until it listens."""
        path = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
        program = shutil.which("mosquitto", path=path)
        if program is None:
            raise SystemExit("bench/gateway.py needs mosquitto on PATH")
        self.process = subprocess.Popen([program, "-c", str(self.file)], stderr=subprocess.DEVNULL)
        until(self._listens)

    def _listens(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False

    def kill(self) -> None:
        """As a crash does."""
        self.process.kill()
        self.process.wait()


class Bench:
    """A gateway process between a pseudo-terminal and a broker."""

    def __init__(self, folder: Path, broker: Broker, school: School) -> None:
        self.folder, self.broker, self.school = folder, broker, school
        self.master, slave = pty.openpty()
        tty.setraw(slave)
        self.slave = slave
        (folder / "reader").symlink_to(os.ttyname(slave))
        (folder / "gateway.toml").write_text(CONFIG.format(folder=folder, port=broker.port))
        self.next = 0x6710000000  # small numbers are known phantoms

    def start(self) -> float:
        """Start the process; seconds until its birth is at the school."""
        before, births = time.monotonic(), len(self.school.births)
        command = [sys.executable, "-m", "gateway", "run", "--config", str(self.folder / "gateway.toml")]
        log = (self.folder / "log").open("ab")
        self.process = subprocess.Popen([*command, "--log", "warning"], cwd=ROOT, stderr=log)
        log.close()
        until(lambda: len(self.school.births) > births)
        return self.school.births[births] - before

    def stop(self) -> None:
        """A clean end."""
        self.process.terminate()
        self.process.wait(20)

    def rss_mb(self) -> float:
        """Resident memory."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024

    def cpu_s(self) -> float:
        """Processor time so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def cards(self, count: int) -> list[str]:
        """New cards."""
        self.next += count
        return [f"em4100:{number:010X}" for number in range(self.next - count, self.next)]

    def touch(self, cards: list[str]) -> None:
        """All frames of these cards as fast as the line takes them."""
        protocol = load("id12la")
        line = b"".join(protocol.frame(card) for card in cards)
        while line:
            line = line[os.write(self.master, line[:1024]) :]

    def idle_cpu_percent(self) -> float:
        """Of one core, while nobody comes."""
        before = self.cpu_s()
        time.sleep(IDLE_S)
        return (self.cpu_s() - before) / IDLE_S * 100

    def singles_ms(self) -> list[float]:
        """Last byte of a frame -> tap at a subscriber, one tap at a time: commit with fsync and publish included."""
        found = []
        for card in self.cards(SINGLES):
            before = time.monotonic()
            self.touch([card])
            until(lambda card=card: card in self.school.arrived)
            found.append((self.school.arrived[card] - before) * 1000)
            time.sleep(0.02)
        return found

    def flood_per_s(self) -> float:
        """Taps a second, all of them heard and stored, when frames come as fast as they are taken."""
        cards, before = self.cards(FLOOD), time.monotonic()
        writer = threading.Thread(target=self.touch, args=(cards,))
        writer.start()
        until(lambda: cards[-1] in self.school.arrived and all(card in self.school.arrived for card in cards))
        took = time.monotonic() - before
        writer.join()
        return FLOOD / took

    def return_s(self) -> float:
        """A broker's return -> the first tap of the outage at the school's connection."""
        self.broker.kill()
        cards = self.cards(20)
        self.touch(cards)
        time.sleep(2)
        self.broker.start()
        back = time.monotonic()
        with contextlib.closing(School(self.broker.port)) as school:
            until(lambda: cards[0] in school.arrived)
            return school.arrived[cards[0]] - back


def measure(bench: Bench) -> Iterator[tuple[str, float]]:
    """Name and number of everything."""
    cold = bench.start()
    bench.stop()
    yield "start_to_birth_s", statistics.median([cold, *(_restarted(bench) for _ in range(3))])
    bench.start()
    yield "rss_idle_mb", bench.rss_mb()
    yield "idle_cpu_percent", bench.idle_cpu_percent()
    singles = sorted(bench.singles_ms())
    yield "tap_to_broker_p50_ms", statistics.median(singles)
    yield "tap_to_broker_p99_ms", singles[round(len(singles) * 0.99) - 1]
    yield "taps_per_s", bench.flood_per_s()
    yield "first_tap_after_broker_return_s", bench.return_s()
    yield "rss_after_load_mb", bench.rss_mb()
    bench.stop()


def _restarted(bench: Bench) -> float:
    took = bench.start()
    bench.stop()
    return took


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="where the spool is: put it on the disk that you mean")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        folder = Path(name)
        broker = Broker(folder)
        broker.start()
        school = School(broker.port)
        try:
            found = {key: round(value, 3) for key, value in measure(Bench(folder, broker, school))}
        finally:
            school.close()
            broker.kill()
    found["rss_limit_mb"] = RSS_LIMIT_MB
    found["rss_of_limit"] = round(found["rss_after_load_mb"] / RSS_LIMIT_MB, 3)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
