"""What a person sees when something went wrong, and the named errors that services raise."""

from flask import Flask, render_template, request
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_wtf.csrf import CSRFError
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import HTTPException

from server.db import db

BARE = """<!doctype html><html lang="zh-CN"><meta charset="utf-8"><title>Gatebell</title>
<h1>服务器出错 · Our fault</h1>
<p>校门照常记录，请稍后再试。 The gates keep recording; try again in a minute.</p></html>"""


class Refused(Exception):
    """A person asked for something that cannot be done; the text says why and what to do. Shown as a 400/422."""


class NotAllowed(Exception):
    """This user may not see or do this. Shown as 403 without saying whether it exists."""


class NotFound(Exception):
    """There is no such thing in what this user may see. Shown as 404."""


def init_app(app: Flask) -> None:
    """Hook the error pages in."""
    app.register_error_handler(Refused, lambda error: _page(422, str(error)))
    app.register_error_handler(NotAllowed, lambda error: _page(403))
    app.register_error_handler(NotFound, lambda error: _page(404))
    app.register_error_handler(CSRFError, lambda error: _page(400, _csrf_words()))
    app.register_error_handler(HTTPException, lambda error: _page(error.code or 500))
    app.register_error_handler(500, _broken)


def _broken(_error: HTTPException) -> ResponseReturnValue:
    try:
        db.session.rollback()
        return _page(500)
    except SQLAlchemyError:
        return BARE, 500


def _csrf_words() -> str:
    return _("This form was open for too long, or it came from another page. Go back, reload, and send it again.")


def _sentences() -> dict[int, tuple[str, str]]:
    return {
        400: (_("Not understood"), _("The request was not what this page sends. Go back and try again.")),
        403: (
            _("Not yours to see"),
            _("Your role does not include this. If you need it, ask the office to give you the class or grade."),
        ),
        404: (
            _("Nothing here"),
            _("There is no such page, or it is not in the classes that you look after. Look for a pupil instead."),
        ),
        405: (_("Not this way"), _("This page cannot be used like that. Go back and use the button on the page.")),
        413: (_("Too large"), _("The file is larger than 16 MB. Split it and send the parts.")),
        422: (_("Not done"), _("Something in the form cannot be used. Nothing was changed.")),
        429: (_("Too fast"), _("Wait a moment, then try again.")),
        500: (
            _("Our fault"),
            _("The server made a mistake and has noted it. The gates keep recording and texts keep going out."),
        ),
        503: (_("Busy"), _("Too many pages are open at once. Numbers stay as they are; try again in a minute.")),
    }


def _page(code: int, sentence: str = "") -> ResponseReturnValue:
    sentences = _sentences()
    title, usual = sentences.get(code, sentences[500 if code >= 500 else 400])
    template = "errors/fragment.html" if "HX-Request" in request.headers else "errors/page.html"
    return render_template(template, code=code, title=title, sentence=sentence or usual), code
