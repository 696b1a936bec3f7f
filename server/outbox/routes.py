"""Where providers send receipts and replies. No login: the path itself is the secret, and a repeat changes nothing."""

import uuid
from urllib.parse import urlsplit

from flask import Blueprint, Response, current_app, request

from server import config
from server.outbox import callbacks, intake, providers
from server.outbox.providers.base import Forged, Incoming

CSRF_EXEMPT = True  # called by machines; the secret in the path stands for the form's token

bp = Blueprint("outbox", __name__, url_prefix="/callback")


@bp.route("/<provider>/dlr/<uuid:text_id>/<mac>", methods=["GET", "POST"])
def receipt(provider: str, text_id: uuid.UUID, mac: str) -> Response:
    """Receipts of one text; answered only when they are stored, so that the provider tries again otherwise."""
    settings = current_app.extensions["gatebell"]
    if provider not in providers.names() or not callbacks.genuine(settings, provider, text_id, mac):
        return Response("no such address", 404, mimetype="text/plain")
    return _take(settings, provider, text_id)


@bp.route("/<provider>/mo/<mac>", methods=["GET", "POST"])
def reply(provider: str, mac: str) -> Response:
    """Whatever a provider brings to one address: what people wrote back, and receipts of many texts."""
    settings = current_app.extensions["gatebell"]
    if provider not in providers.names() or not callbacks.genuine_inbound(settings, provider, mac):
        return Response("no such address", 404, mimetype="text/plain")
    return _take(settings, provider, None)


def _take(settings: config.Config, name: str, text_id: uuid.UUID | None) -> Response:
    provider = providers.one(settings, name)
    try:
        brought = provider.take(_incoming(settings))
    except Forged:
        return Response("not signed by this provider", 403, mimetype="text/plain")
    except ValueError:
        return Response("not a receipt and not a reply", 400, mimetype="text/plain")
    intake.keep(provider.name, brought, text_id)
    body, mimetype = provider.acknowledgement() if brought.answer is None else (brought.answer, "text/plain")
    return Response(body, mimetype=mimetype)


def _incoming(settings: config.Config) -> Incoming:
    asked, body = urlsplit(request.url), request.get_data()  # before the form is read: then there would be none
    return Incoming(
        method=request.method,
        url=settings.web.url.rstrip("/") + asked.path + (f"?{asked.query}" if asked.query else ""),
        headers=request.headers,
        query=request.args,
        form=request.form,
        body=body,
    )
