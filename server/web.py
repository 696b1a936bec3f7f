"""What every page has: security headers, CSRF, languages, the current user's layout."""

from flask import Flask


def init_app(app: Flask) -> None:
    """Hook the common parts of all pages in."""
