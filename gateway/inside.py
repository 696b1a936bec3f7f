"""`gatebell-gateway inside`: the evacuation count, from what lies on this gate's disk, whether or not it runs."""

import argparse
import os
import sqlite3
import sys
from pathlib import Path

from gateway import config, evacuation, timebase
from gateway.cards import Cards
from gateway.clock import Clock
from gateway.seal import Seal
from gateway.wire import ClockState


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    path = Path(os.environ.get("GATEBELL_GATEWAY_CONFIG", "gateway.toml"))
    parser.add_argument("--config", type=Path, default=path, help=f"the gateway's TOML file (here: {path})")
    parser.set_defaults(command=run)


def run(args: argparse.Namespace) -> int:
    """Print how many are inside, and every reason to doubt it. Raises ConfigError."""
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
