"""`gatebell-gateway simulate`: readers on real pseudo-terminals, for load, for training, and for tests.

With --pupils it makes up a crowd, writes a gateway.toml for its ports, and is ready in two commands:

    gatebell-gateway simulate --readers 2 --pupils 300 --crowd morning
    gatebell-gateway run --config ports/gateway.toml          (in another window)

With --script it plays a file of JSON lines: first the readers, {"reader": "east-in", "profile": "rdm6300"}; then what
happens at a shown time (GATEBELL_CLOCK, UTC milliseconds), {"at": 1, "reader": "east-in", "card": "em4100:67003B51C6"},
or in place of the card "noise": "<hex>", "unplug": <seconds>, "fault": "<word>". A card with a "url" is an NTAG 424 DNA
that writes this of itself, with {counter} growing. What is past happens at once, as soon
as a gateway opens the port. While it runs, type `help`: faults on demand, such as `unplug reader-1`.
"""

import argparse
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from gateway import readers, simcrowd, simledger, simscript, timebase
from gateway.simconsole import Keyboard, NotUnderstood, Quit, obey
from gateway.simfaults import MEANING
from gateway.simlines import Simulation
from gateway.simscript import Script, ScriptError

TURN = 0.002  # seconds between two looks while a line has something to do
CONFIG = """\
# Written by `gatebell-gateway simulate`; change --school, --gateway and --broker there.
school = "{school}"
gateway = "{gateway}"
data_dir = "{folder}/spool"

[mqtt]
urls = ["{broker}"]
"""
READER = """
[[reader]]
id = "{name}"
profile = "{profile}"
port = "{folder}/{name}"
direction = "in"
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `gatebell-gateway simulate`."""
    parser.description = __doc__
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = "faults: " + "; ".join(f"{kind}: {meaning}" for kind, meaning in MEANING.items())
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--script", type=Path, help="what happens: a file of JSON lines")
    what.add_argument("--pupils", type=_count, metavar="N", help="a crowd with made-up cards (here: 100)")
    what.add_argument("--cards", type=Path, help="a crowd with these: canonical, one a line, or a CSV's column `card`")
    what.add_argument("--compare", type=Path, nargs=2, metavar=("LEDGER", "TAPS"), help=COMPARE)
    crowd = parser.add_argument_group("the crowd")
    crowd.add_argument("--readers", type=_count, default=1, metavar="N", help="how many, reader-1 and on")
    crowd.add_argument("--profiles", default="rdm6300", metavar="A,B", help="their kinds, dealt out in turn")
    crowd.add_argument("--crowd", choices=simcrowd.CURVES, default="morning", help="how pupils arrive (here: morning)")
    crowd.add_argument("--minutes", type=_positive, default=10.0, help="how long they take to arrive (here: 10)")
    crowd.add_argument("--speed", type=_positive, default=1.0, help="arrivals so many times as fast")
    crowd.add_argument("--faults", type=_count, default=0, metavar="N", help="so many, anywhere and at any time")
    crowd.add_argument("--seed", type=int, default=1, help="another number is another morning")
    for option, usual in (("school", "mingde"), ("gateway", "gate-sim"), ("broker", "mqtt://127.0.0.1:1883")):
        crowd.add_argument(f"--{option}", default=usual, help=f"for the gateway.toml (here: {usual})")
    parser.add_argument("--folder", type=Path, default=Path("ports"), help="where the readers' ports get their names")
    parser.add_argument("--ledger", type=Path, help="write what was shown and what must become taps (JSON lines)")
    parser.set_defaults(command=run)


COMPARE = "say what of a ledger is missing or too many in a spool.db, the server's SQLite file, or a CSV of taps"


def _count(text: str) -> int:
    if not text.isdigit() or not 0 < int(text) <= 1_000_000:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 to a million")
    return int(text)


def _positive(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number <= 100_000:
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return number


def run(args: argparse.Namespace) -> int:
    """Play, then keep the lines plugged until SIGTERM, Ctrl-C or `quit`; 1 for what cannot be played or compared."""
    try:
        return compare(*args.compare) if args.compare else play(args)
    except (ScriptError, simledger.LedgerError, readers.UnknownReader, OSError) as error:
        print(f"gatebell-gateway simulate: {error}", file=sys.stderr)
        return 1


def compare(ledger: Path, taps: Path) -> int:
    """Print what is missing and what is too many; 1 when there is any."""
    found = simledger.compare(simledger.read(ledger), simledger.taps(taps))
    print(found)
    return int(bool(found.missing or found.extra))


def play(args: argparse.Namespace) -> int:
    """The script or the crowd."""
    base = timebase.from_environment()
    script = simscript.read(args.script) if args.script else simcrowd.script(_plan(args), base.now_ms())
    with ExitStack() as open_files:
        ledger = simledger.Ledger(open_files.enter_context(args.ledger.open("wb")) if args.ledger else None)
        simulation = Simulation(script, args.folder, base, ledger=ledger, seed=args.seed)
        with simulation.plugged(), _stopped_by_signals() as stopped:
            print(f"{len(simulation.lines)} readers in {args.folder}, {len(simulation.events)} events", flush=True)
            if not args.script:
                print(_next_command(write_config(args, script)), flush=True)
            _turn_until(simulation, stopped)
    return 0


def _plan(args: argparse.Namespace) -> simcrowd.Plan:
    return simcrowd.Plan(
        profiles=args.profiles.split(","),
        readers=args.readers,
        pupils=args.pupils or 100,
        cards=args.cards,
        curve=args.crowd,
        seconds=args.minutes * 60,
        speed=args.speed,
        faults=args.faults,
        seed=args.seed,
    )


def write_config(args: argparse.Namespace, script: Script) -> Path:
    """A gateway.toml in the folder of the ports; gives its path."""
    folder = args.folder.absolute()
    top = CONFIG.format(school=args.school, gateway=args.gateway, folder=folder, broker=args.broker)
    lines = [READER.format(name=name, profile=profile, folder=folder) for name, profile in script.readers.items()]
    path: Path = args.folder / "gateway.toml"
    path.write_text(top + "".join(lines), "utf-8")
    return path


def _next_command(config: Path) -> str:
    return f"start the gateway in another window:\n  gatebell-gateway run --config {config}\ntype `help` for faults"


@contextmanager
def _stopped_by_signals() -> Iterator[list[int]]:
    """A list that is not empty any more once SIGTERM or Ctrl-C came."""
    stopped: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda received, _frame: stopped.append(received))
    yield stopped


def _turn_until(simulation: Simulation, stopped: list[int]) -> None:
    keyboard, told = Keyboard(), False
    while not stopped:
        time.sleep(TURN if simulation.turn() else 10 * TURN)
        if simulation.over and not told:
            told = True
            print("the script is over; the readers stay plugged in until Ctrl-C", flush=True)
        for line in keyboard.lines():
            try:
                print(obey(simulation, line), flush=True)
            except NotUnderstood as error:
                print(error, flush=True)
            except Quit:
                return
