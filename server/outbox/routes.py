"""Where providers send receipts and replies. No login: the path itself is the secret, and a repeat changes nothing."""

import uuid

from flask import Blueprint, Response, current_app, request

from server import clock, db
from server.outbox import callbacks, inbound, providers, service

CSRF_EXEMPT = True  # called by machines; the secret in the path stands for the form's token

bp = Blueprint("outbox", __name__, url_prefix="/callback")


@bp.route("/<provider>/dlr/<uuid:text_id>/<mac>", methods=["GET", "POST"])
def receipt(provider: str, text_id: uuid.UUID, mac: str) -> Response:
    """One receipt of one text; answered only when it is stored, so that the provider tries again otherwise."""
    settings = current_app.extensions["gatebell"]
    if provider not in providers.names() or not callbacks.genuine(settings, provider, text_id, mac):
        return Response("no such address", 404, mimetype="text/plain")
    try:
        news = providers.load(provider).news(request.values)
    except ValueError:
        return Response("not a receipt", 400, mimetype="text/plain")
    with db.transaction() as session:
        service.receive(session, provider, text_id, news)
    return Response("stored", mimetype="text/plain")


@bp.route("/<provider>/mo/<mac>", methods=["GET", "POST"])
def reply(provider: str, mac: str) -> Response:
    """What a person wrote back; the answer is empty, or the provider would text it to that person."""
    settings = current_app.extensions["gatebell"]
    if provider not in providers.names() or not callbacks.genuine_inbound(settings, provider, mac):
        return Response("no such address", 404, mimetype="text/plain")
    try:
        heard = providers.load(provider).heard(request.values)
    except ValueError:
        return Response("not a reply", 400, mimetype="text/plain")
    with db.transaction() as session:
        inbound.take(session, provider, heard, clock.now())
    return Response("", mimetype="text/plain")
