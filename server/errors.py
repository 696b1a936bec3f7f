"""What a person sees when something went wrong, and the named errors that services raise."""

from flask import Flask


class Refused(Exception):
    """A person asked for something that cannot be done; the text says why and what to do. Shown as a 400/422."""


class NotAllowed(Exception):
    """This user may not see or do this. Shown as 403 without saying whether it exists."""


class NotFound(Exception):
    """There is no such thing in what this user may see. Shown as 404."""


def init_app(app: Flask) -> None:
    """Hook the error pages in."""
