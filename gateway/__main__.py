"""The command `gatebell-gateway`: run, check, enrol, inside, simulate, decode, forms."""

import argparse
import importlib
import logging
import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from gateway import config, timebase
from gateway.feedback import FeedbackError
from gateway.spoolfile import SpoolUnusable

log = logging.getLogger("gateway")

SWITCH_S = 0.0005  # the main thread must not wait 5 ms for paho's whenever it has touched the disk or a socket
OTHERS = {  # loaded only when they are called: a gate that takes taps does not carry them
    "enrol": ("gateway.enrol:add_arguments", "take the file that the school's server wrote for this gate"),
    "inside": ("gateway.inside:add_arguments", "how many are inside, by what this gate knows: also without a network"),
    "simulate": ("gateway.simulate:add_arguments", "readers on pseudo-terminals, for load, training and tests"),
    "decode": ("gateway.told:add_decode", "what bytes of a reader mean"),
    "forms": ("gateway.told:add_forms", "a card's number in every spelling that readers and printers use"),
}
LEVELS = ("debug", "info", "warning", "error")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; gives the exit code: 0 fine, 1 cannot work, 2 wrong configuration or arguments."""
    args = _parser(sys.argv[1:] if argv is None else argv).parse_args(argv)
    try:
        return int(args.command(args))
    except (config.ConfigError, timebase.ClockError) as error:
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
    gateway = importlib.import_module("gateway.app").Gateway(settings)
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


def end_process(failure: threading.ExceptHookArgs) -> None:
    """A dead thread is a deaf gateway that looks alive: end it all, systemd starts it anew."""
    told = (failure.exc_type, failure.exc_value or failure.exc_type(), failure.exc_traceback)
    name = failure.thread.name if failure.thread else "unknown"
    log.critical("thread %s died: the gateway ends, to be started again", name, exc_info=told)
    os._exit(70)


def _parser(argv: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="gatebell-gateway", description="The gate's half of Gatebell.")
    commands = parser.add_subparsers(required=True, metavar="run | check | enrol | inside | simulate | decode | forms")
    for name, command, text in (
        ("run", run, "take taps and send them to the school's server"),
        ("check", check, "say all that is wrong with a configuration"),
    ):
        sub = commands.add_parser(name, help=text)
        path = os.environ.get("GATEBELL_GATEWAY_CONFIG", "gateway.toml")
        sub.add_argument("--config", type=Path, default=Path(path), help=f"the TOML file (here: {path})")
        sub.add_argument("--log", choices=LEVELS, default="info", help="how much to tell")
        sub.set_defaults(command=command)
    for name, (arguments, text) in OTHERS.items():
        sub = commands.add_parser(name, help=text)
        if argv[:1] == [name]:
            module, function = arguments.split(":")
            getattr(importlib.import_module(module), function)(sub)
    return parser


if __name__ == "__main__":
    sys.exit(main())
