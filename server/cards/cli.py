"""`gatebell cards match`: the rule of printed numbers; `gatebell sun`: whether a message is a card's own."""

import csv
import json
import sys
from pathlib import Path

import click

from server.cards import printed, sun
from server.cards.printed import EXAMPLE, NoMatch, Sample


@click.group()
def cards() -> None:
    """Numbers of cards."""


@cards.command()
@click.argument("samples", nargs=-1, required=True, metavar="FILE.csv | PRINTED=CANONICAL ...")
@click.pass_context
def match(context: click.Context, samples: tuple[str, ...]) -> None:
    """Learn which rule makes the printed number of the read one, from three or more sample cards.

    Touch the cards at the gate to see what it reads, and give each as 0006762840=em4100:0700673158, or all in a CSV
    file with two columns. Prints one JSON object: the rule, or an error with the rules that remain.
    """
    try:
        found = printed.match([each for text in samples for each in _read(text)])
    except NoMatch as error:
        refusal = {"error": str(error), "remaining": error.remaining, "decides": error.decides}
        click.echo(json.dumps({key: value for key, value in refusal.items() if value}, ensure_ascii=False))
        context.exit(1)
    click.echo(json.dumps(found.told(), ensure_ascii=False))


def _read(text: str) -> list[Sample]:
    if "=" in text:
        return [printed.sample(text)]
    try:
        return printed.samples_of(Path(text).read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError:
        raise NoMatch(f"{text}: the letters cannot be read; save the sheet as CSV UTF-8") from None
    except (OSError, csv.Error) as error:
        raise NoMatch(f"{text!r} is no sample as in {EXAMPLE}, and no CSV file: {error}") from None


@click.command("sun")
@click.argument("question", metavar="JSON | -")
@click.pass_context
def verify(context: click.Context, question: str) -> None:
    """Verify one message of an NTAG 424 DNA: a JSON object with mode (AES, LRP), keys, picc_data, enc and cmac.

    Prints one JSON object: uid, ctr and all that was computed on the way, or {"error": ...}: `mac` for what the card
    did not write, `replay` for a counter that is not above last_ctr. `-` reads standard input, where no other user of
    this machine sees the keys.
    """
    try:
        click.echo(json.dumps(sun.answer(_question(question))))
    except (sun.Malformed, sun.WrongMac, sun.Replayed) as error:
        click.echo(json.dumps({"error": str(error)}))
        context.exit(1)


def _question(text: str) -> dict[str, object]:
    try:
        found = json.loads(sys.stdin.buffer.read() if text == "-" else text)
    except (ValueError, RecursionError) as error:
        raise sun.Malformed(f"this is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise sun.Malformed('this is JSON, but no object; write it as in {"mode": "AES", ...}')
    return found


commands: list[click.Command] = [cards, verify]
