"""`gatebell cards`: the rule of printed numbers, keys of cards that prove themselves; `gatebell sun`: one message."""

import csv
import json
import sys
from pathlib import Path

import click

from server import clock
from server.cards import personal, printed, service, sun, sunkeys
from server.cards.printed import EXAMPLE, NoMatch, Sample
from server.cards.sunlink import Layout
from server.cli import app_for, settings_for
from server.db import transaction
from server.schools import service as schools

WARNING = (
    "These keys are secret: whoever has them can write messages in this card's name. Write them into the card at once,"
    " keep no copy, and close this window."
)


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


@cards.command("sun-keys")
@click.argument("card", metavar="CARD")
@click.option("--mode", type=click.Choice(["AES", "LRP"]), default="AES", show_default=True)
@click.option("--layout", type=click.Choice([each.value for each in Layout]), default=Layout.PICC.value,
              show_default=True, help="Which parameters the card is to write.")  # fmt: skip
@click.option("--anew", is_flag=True, help="The card is written again: other keys, and its counter begins at 0.")
@click.option("--school", "school_id", help="Which school; not needed where there is one.")
@click.pass_context
def sun_keys(context: click.Context, card: str, mode: str, layout: str, anew: bool, school_id: str | None) -> None:
    """Print the keys and settings to write into one NTAG 424 DNA, as in iso14443a:04DE5F1EACC040.

    The card must be a pupil's already. The same card gets the same keys again, until --anew. It counts as before until
    `gatebell cards must-prove`.
    """
    app_for(context)
    school = schools.find(school_id).id
    with transaction() as session:
        proving = service.give_keys(session, school, card, mode=mode, layout=Layout(layout), anew=anew, now=clock.now())
        uid = service.uid_of(service.text_of(session, proving))
        given = personal.Setting(proving.mode, Layout(proving.layout), settings_for(context).web.url)
        keys = sunkeys.of_card(school, uid, proving.version)
    click.echo(WARNING, err=True)
    click.echo("\n".join(personal.lines(uid, proving.version, keys, given)))


@cards.command("must-prove")
@click.argument("written", nargs=-1, required=True, metavar="CARD ...")
@click.option("--no", "stop", is_flag=True, help="Its number alone is enough again.")
@click.option("--school", "school_id", help="Which school; not needed where there is one.")
@click.pass_context
def must_prove(context: click.Context, written: tuple[str, ...], stop: bool, school_id: str | None) -> None:
    """From now on the number alone of these cards proves nothing: a copied number is shown to staff, and is nobody."""
    app_for(context)
    school = schools.find(school_id).id
    with transaction() as session:
        for card in written:
            service.set_must(session, school, card, must=not stop)
    click.echo(f"{len(written)} card(s) {'need not prove themselves' if stop else 'must prove themselves'} from now on")


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
