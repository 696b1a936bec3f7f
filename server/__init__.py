"""The school's server: MQTT -> attendance -> texts, and the pages for staff and families."""

import importlib
import importlib.util
from pathlib import Path
from types import ModuleType

from flask import Flask

from server import assets, config, crypt, db, errors, web

# In order: a feature may import only features that stand before it (tests/test_layers.py).
FEATURES = (
    "schools",
    "accounts",
    "audit",
    "people",
    "cards",
    "calendar",
    "gates",
    "taps",
    "leave",
    "attendance",
    "oddities",
    "outbox",
    "notify",
    "absence",
    "leavedesk",
    "register",
    "rollcall",
    "transfer",
    "reports",
    "live",
    "board",
    "overview",
    "policies",
)

# The file names by which a feature hooks itself in; each is optional.
PARTS = ("models", "routes", "jobs", "cli")


def create_app(settings: config.Config | None = None) -> Flask:
    """Wire the application: no connection is opened, nothing is migrated, nothing is started."""
    settings = settings or config.Config()
    app = Flask("server", static_url_path="/static")
    app.extensions["gatebell"] = settings
    app.config.update(
        SQLALCHEMY_DATABASE_URI=db.absolute(settings.database.url),
        SQLALCHEMY_ENGINE_OPTIONS=db.engine_options(settings.database.url),
        MAX_CONTENT_LENGTH=16 * 1024 * 1024,
        MAX_FORM_PARTS=2000,
    )
    crypt.load_file(Path(settings.secrets.key_file))
    for feature in FEATURES:
        part(feature, "models")
    db.db.init_app(app)
    with app.app_context():
        db.tune(db.db.engine)
    db.migrate.init_app(app, db.db, directory=str(Path(__file__).parent / "migrations"))  # type: ignore[no-untyped-call]
    web.init_app(app)
    assets.init_app(app)
    errors.init_app(app)
    for feature in FEATURES:
        routes = part(feature, "routes")
        if routes is not None:
            app.register_blueprint(routes.bp)
            web.open_to_machines(app, routes)
    return app


def part(feature: str, name: str) -> ModuleType | None:
    """One hook of a feature (`server.taps.models`), or None when it has no such file."""
    module = f"server.{feature}.{name}"
    return importlib.import_module(module) if importlib.util.find_spec(module) else None
