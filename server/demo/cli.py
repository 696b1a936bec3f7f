"""`gatebell demo`: the demo school on one machine, from a card at a simulated gate to a text on a phone page."""

import errno
from pathlib import Path

import click

from server.demo import show, stage
from server.supervisor import stop_on_signals

OF_THE_FOLDER = {
    errno.ENOENT,
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOSPC,
    errno.EDQUOT,
    errno.ENOTDIR,
    errno.EEXIST,
}


@click.command("demo")
@click.option("--speed", type=click.FloatRange(1, 240), default=10, show_default=True, help="Times as fast as life.")
@click.option("--port", type=click.IntRange(1, 65535), default=8000, show_default=True, help="Of the pages.")
@click.option("--folder", type=click.Path(path_type=Path), default=Path(".demo"), show_default=True)
@click.option("--history/--no-history", default=True, help="Whether the school has lived through a month before.")
@click.option("--embedded-broker", is_flag=True, help="Even where mosquitto is installed.")
def demo(speed: float, port: int, folder: Path, history: bool, embedded_broker: bool) -> None:
    """Play a Wednesday morning at the demo school; everything is made anew at each start. Ctrl-C ends it."""
    stop = stop_on_signals()
    try:
        with stage.alone_in(folder):
            stage.claim_port(port)
            template = stage.template(folder, stop, say, history=history)
            if stop.is_set():
                say("stopped; the next start makes the school anew")
            else:
                show.run(stage.lay_out(folder, port, template, speed), stop, say, embedded=embedded_broker)
    except stage.CannotStart as error:
        raise click.ClickException(str(error)) from None
    except OSError as error:
        if error.errno not in OF_THE_FOLDER:
            raise
        words = f"{error.filename or folder}: {error.strerror}; the demo needs a folder with room that it may write in"
        raise click.ClickException(f"{words}: --folder") from None


def say(text: str) -> None:
    """One line, at once."""
    click.echo(text)


commands: list[click.Command] = [demo]
