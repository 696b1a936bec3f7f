"""Where providers send receipts. There is no login: the path itself is the secret, and a repeat changes nothing."""

import uuid

from flask import Blueprint, Response, current_app, request

from server import db
from server.outbox import callbacks, providers, service

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
