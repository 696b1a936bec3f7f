"""The command `gatebell-gateway`: run, check, inside, simulate, decode, forms."""

import argparse
import json
import logging
import os
import pkgutil
import sqlite3
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from gateway import config, decode, evacuation, forms, readers, simulate, timebase
from gateway.cards import Cards
from gateway.clock import Clock
from gateway.feedback import FeedbackError
from gateway.seal import Seal
from gateway.spoolfile import SpoolUnusable
from gateway.wire import ClockState

log = logging.getLogger("gateway")

SWITCH_S = 0.0005  # the main thread must not wait 5 ms for paho's whenever it has touched the disk or a socket
LEVELS = ("debug", "info", "warning", "error")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; gives the exit code: 0 fine, 1 cannot work, 2 wrong configuration or arguments."""
    args = _parser().parse_args(argv)
    try:
        return int(args.command(args))
    except (config.ConfigError, timebase.ClockError, decode.BadHex, forms.NotCanonical) as error:
        print(error, file=sys.stderr)
        return 2
    except (SpoolUnusable, FeedbackError) as error:
        print(f"gatebell-gateway: {error}", file=sys.stderr)
        return 1


def run(args: argparse.Namespace) -> int:
    """Take taps until SIGTERM."""
    logging.basicConfig(level=args.log.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    threading.excepthook = end_process
    sys.setswitchinterval(SWITCH_S)
    settings = config.load(args.config)
    # By name: check and decode work, and at once, where there is no serial port's library.
    gateway = pkgutil.resolve_name("gateway.app:Gateway")(settings)
    gateway.stop_on_signals()
    gateway.run()
    return 0


def check(args: argparse.Namespace) -> int:
    """Say all that is wrong with a configuration."""
    found = config.check(args.config)
    for line in [*found.problems, *found.warnings]:
        print(line, file=sys.stderr)
    if found.config is None:
        return 2
    print(f"{args.config}: fine: gateway {found.config.gateway}, {len(found.config.reader)} readers")
    return 0


def say_how_many_are_inside(args: argparse.Namespace) -> int:
    """The evacuation count, from what lies on this gate's disk: whether or not the gateway runs."""
    settings = config.load(args.config)
    folder = Path(settings.data_dir)
    seal = Seal(folder, settings.machine_key_file)
    held = Cards(folder, seal)
    held.open()
    clock = Clock(base=timebase.from_environment(), trusted=settings.clock == "trust")
    word_at = held.lists.inside.at if held.lists else 0
    try:
        taps = evacuation.taps_since(folder / "spool.db", seal, word_at)
    except sqlite3.Error as error:
        print(f"{folder / 'spool.db'} cannot be read: {error}; run it as the gateway's own user", file=sys.stderr)
        return 1
    is_set = clock.state() is not ClockState.UNSYNCED
    print("\n".join(evacuation.lines(evacuation.count(held.lists, taps, clock.now() if is_set else None))))
    return 0


def say_what_bytes_mean(args: argparse.Namespace) -> int:
    """One JSON line for each card or fault, on stdout; the known readers if this is none of them."""
    try:
        for line in decode.lines(args.reader, " ".join(args.hex)):
            print(line)
    except readers.UnknownReader as error:
        print(decode.unknown())
        print(error, file=sys.stderr)
    return 0


def say_other_spellings(args: argparse.Namespace) -> int:
    """One JSON object: each rule that applies to a card, and the card's text by it."""
    print(json.dumps(forms.forms(args.card)))
    return 0


def end_process(failure: threading.ExceptHookArgs) -> None:
    """A dead thread is a deaf gateway that looks alive: end it all, systemd starts it anew."""
    told = (failure.exc_type, failure.exc_value or failure.exc_type(), failure.exc_traceback)
    name = failure.thread.name if failure.thread else "unknown"
    log.critical("thread %s died: the gateway ends, to be started again", name, exc_info=told)
    os._exit(70)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="gatebell-gateway", description="The gate's half of Gatebell.")
    commands = parser.add_subparsers(required=True, metavar="run | check | inside | simulate | decode | forms")
    for name, command, text in (
        ("run", run, "take taps and send them to the school's server"),
        ("check", check, "say all that is wrong with a configuration"),
        ("inside", say_how_many_are_inside, "say how many are inside, for an evacuation; needs no network"),
    ):
        sub = commands.add_parser(name, help=text)
        path = os.environ.get("GATEBELL_GATEWAY_CONFIG", "gateway.toml")
        sub.add_argument("--config", type=Path, default=Path(path), help=f"the TOML file (here: {path})")
        sub.add_argument("--log", choices=LEVELS, default="info", help="how much to tell")
        sub.set_defaults(command=command)
    simulated = commands.add_parser("simulate", help="readers on pseudo-terminals, played from a script")
    simulate.add_arguments(simulated)
    simulated.set_defaults(command=simulate.run)
    told = commands.add_parser("decode", help="what bytes of a reader mean")
    told.add_argument("reader", help=f"one of {', '.join(readers.names())}")
    told.add_argument("hex", nargs="+", help="the bytes, like 02 36 37 30 ...")
    told.set_defaults(command=say_what_bytes_mean)
    spelt = commands.add_parser("forms", help="a card's number in every spelling that readers and printers use")
    spelt.add_argument("card", help=f"canonical, as the gate shows it: {forms.EXAMPLE}")
    spelt.set_defaults(command=say_other_spellings)
    return parser


if __name__ == "__main__":
    sys.exit(main())
