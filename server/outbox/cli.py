"""`gatebell text`: what a text costs before anybody sends it, and where replies are brought."""

import json
import sys
from collections.abc import Iterator

import click

from server.cli import app_for
from server.outbox import callbacks, providers, segments
from server.outbox.segments import Rule


@click.group("text")
def text() -> None:
    """Texts to families."""


@text.command("count")
@click.option("--rule", type=click.Choice([rule.value for rule in Rule]), required=True,
              help="gsm: as the air interface counts; cn: as Chinese operators bill.")  # fmt: skip
@click.option("--sign", default="", help="The sender's name, which is sent before the text in 【】.")
@click.argument("words", metavar="TEXT|-")
def count(rule: str, sign: str, words: str) -> None:
    """Print encoding, units and messages of TEXT as one JSON object; `-` reads one JSON string a line."""
    for each in _from_input() if words == "-" else [words]:
        click.echo(json.dumps(counted(each, Rule(rule), sign)))


@text.command("replies-url")
@click.argument("provider", type=click.Choice(sorted(providers.names())))
@click.pass_context
def replies_url(context: click.Context, provider: str) -> None:
    """Print the address at which this provider shall bring what people write back; it is a secret.

    For Kannel: get-url = "ADDRESS?from=%p&text=%a&id=%I" in group sms-service, mo-recode = true in group smsbox.
    """
    settings = app_for(context).extensions["gatebell"]
    click.echo(callbacks.inbound_url(settings, provider))


def counted(words: str, rule: Rule, sign: str = "") -> dict[str, str | int]:
    """What one text comes to: units are septets, UTF-16 units or (rule cn) characters."""
    whole = f"【{sign}】{words}" if sign else words
    found = segments.count(whole, rule)
    narrow = rule is Rule.GSM and segments.is_gsm(whole)
    return {"encoding": "gsm7" if narrow else "ucs2", "units": found.units, "segments": found.segments}


def _from_input() -> Iterator[str]:
    for number, line in enumerate(sys.stdin, 1):
        if not line.strip():
            continue
        try:
            words = json.loads(line)
        except json.JSONDecodeError as error:
            raise click.ClickException(f"line {number} is not JSON: {error}") from None
        if not isinstance(words, str):
            raise click.ClickException(f'line {number} is not a JSON string such as "到校"')
        yield words


commands: list[click.Command] = [text]
