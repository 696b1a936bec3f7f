"""The commands that answer a person and need no gate: `decode` (what bytes mean) and `forms` (spellings of a card)."""

import argparse
import json
import sys

from gateway import decode, forms, readers


def add_decode(parser: argparse.ArgumentParser) -> None:
    """The arguments of `gatebell-gateway decode`."""
    parser.add_argument("reader", help=f"one of {', '.join(readers.names())}")
    parser.add_argument("hex", nargs="+", help="the bytes, like 02 36 37 30 ...")
    parser.set_defaults(command=say_what_bytes_mean)


def add_forms(parser: argparse.ArgumentParser) -> None:
    """The arguments of `gatebell-gateway forms`."""
    parser.add_argument("card", help=f"canonical, as the gate shows it: {forms.EXAMPLE}")
    parser.set_defaults(command=say_other_spellings)


def say_what_bytes_mean(args: argparse.Namespace) -> int:
    """One JSON line for each card or fault, on stdout; the known readers if this is none of them."""
    try:
        for line in decode.lines(args.reader, " ".join(args.hex)):
            print(line)
    except readers.UnknownReader as error:
        print(decode.unknown())
        print(error, file=sys.stderr)
    except decode.BadHex as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def say_other_spellings(args: argparse.Namespace) -> int:
    """One JSON object: each rule that applies to a card, and the card's text by it."""
    try:
        print(json.dumps(forms.forms(args.card)))
    except forms.NotCanonical as error:
        print(error, file=sys.stderr)
        return 2
    return 0
