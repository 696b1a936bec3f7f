"""The one stream that each open page holds: `changed` says that the page should fetch itself anew."""

from flask import Blueprint, Response, current_app, request
from flask.blueprints import BlueprintSetupState

from server import config
from server.accounts import guard
from server.live.service import Hub

bp = Blueprint("live", __name__)


@bp.record_once
def make_hub(state: BlueprintSetupState) -> None:
    """Every application has one hub."""
    settings: config.Config = state.app.extensions["gatebell"]
    state.app.extensions["gatebell-live"] = Hub(state.app, settings.web.threads)  # type: ignore[arg-type]


@bp.get("/live")
def stream() -> Response:
    """Server-sent events until the page or the session is gone; 503 when too many pages are open."""
    hub: Hub = current_app.extensions["gatebell-live"]
    school = guard.the_school()
    joined = hub.join(school.id, school.timezone, request.cookies.get(guard.cookie_name(), ""))
    if joined is None:
        return Response("too many open pages", 503, {"Retry-After": "30"}, mimetype="text/plain")
    events = hub.events(joined, request.args.get("seen", ""))
    response = Response(events, mimetype="text/event-stream", headers={"X-Accel-Buffering": "no"})
    response.call_on_close(lambda: hub.leave(joined))
    return response
