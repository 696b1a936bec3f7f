"""Who may import whom (the house plan's table), and that the law bites: every planted breach is caught."""

import subprocess
from pathlib import Path

import pytest

from tests import layers

ROOT = Path(__file__).parents[1]

PLANTED = [
    ("gateway/uplink.py", "from server import db", "never imports the server"),
    ("gateway/wire.py", "import paho.mqtt.client", "only the standard library and msgspec"),
    ("gateway/timebase.py", "import requests", "only the standard library and msgspec"),
    ("gateway/gatelist.py", "import serial", "only the standard library and gateway and msgspec"),
    ("gateway/forms.py", "import msgspec", "only the standard library"),
    ("gateway/forms.py", "from gateway import wire", "only the standard library"),
    ("server/cards/rules.py", "from gateway import timebase", "rules are pure"),
    ("gateway/readers/rdm6300.py", "import serial", "bytes in, values out"),
    ("gateway/readers/rdm6300.py", "import time", "bytes in, values out"),
    ("gateway/readers/rdm6300.py", "from gateway import spool", "bytes in, values out"),
    ("server/taps/service.py", "from gateway.spool import Spool", "only gateway.forms, gateway.gatelist, gateway"),
    ("server/attendance/rules.py", "from flask import request", "rules are pure"),
    ("server/attendance/rules.py", "from sqlalchemy import select", "rules are pure"),
    ("server/attendance/rules.py", "from server import clock", "rules are pure"),
    ("server/attendance/rules.py", "from server.taps.models import Tap", "rules are pure"),
    ("server/taps/models.py", "from server.taps.service import store", "never service or routes"),
    ("server/taps/models.py", "from server.people import routes", "never service or routes"),
    ("server/people/service.py", "from flask import session", "does not know about requests"),
    ("server/people/service.py", "from server.people.routes import bp", "never imports routes"),
    ("server/people/service.py", "def f():\n    db.session.commit()", "never commits"),
    ("server/people/service.py", "def f():\n    with db.transaction():\n        pass", "never commits"),
    ("server/cards/service.py", "from server.attendance.service import apply", "stands after cards"),
    ("server/cards/models.py", "from server import notify", "stands after cards"),
    ("server/notify/service.py", "from server import pipeline", "no feature imports the top"),
    ("server/live/routes.py", "from server.ingest import run", "no feature imports the top"),
    ("server/gates/service.py", "from server.gatelists import Lister", "no feature imports the top"),
    ("server/db.py", "from server.people.service import visible_pupils", "must not know features"),
]

LEGAL = [
    ("gateway/uplink.py", "import paho.mqtt.client\nfrom gateway import wire"),
    ("gateway/readers/m100.py", "from collections.abc import Iterator\nfrom gateway.readers.base import Card"),
    ("server/taps/service.py", "from gateway import wire\nfrom server.taps.models import Tap"),
    ("server/attendance/rules.py", "from dataclasses import dataclass\nfrom server.calendar import rules"),
    ("server/attendance/service.py", "from server.calendar import service\nfrom server.attendance import rules"),
    ("server/outbox/routes.py", "from flask import request\ndef f():\n    db.session.commit()"),
    ("server/cards/rules.py", "from gateway import forms\nfrom gateway.forms import low24"),
    ("server/pipeline.py", "from server.notify import service"),
]


def sources() -> list[Path]:
    """All Python files of the product that git knows or could know."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "gateway/*.py", "server/*.py"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    return [ROOT / name for name in listed if "migrations" not in name and (ROOT / name).exists()]


def test_nobody_imports_what_the_plan_forbids() -> None:
    found = [b for file in sources() for b in layers.breaches(str(file.relative_to(ROOT)), file.read_text())]
    assert found == []


@pytest.mark.parametrize(("path", "source", "says"), PLANTED)
def test_a_planted_breach_is_caught(path: str, source: str, says: str) -> None:
    found = layers.breaches(path, source)
    assert found and says in found[0] and found[0].startswith(f"{path}:")


@pytest.mark.parametrize(("path", "source"), LEGAL)
def test_what_the_plan_allows_passes(path: str, source: str) -> None:
    assert layers.breaches(path, source) == []


def test_every_feature_folder_is_listed_and_every_listed_one_exists() -> None:
    folders = {path.parent.name for path in (ROOT / "server").glob("*/__init__.py")}
    assert folders - {"demo", "migrations"} == set(layers.FEATURES)


def test_all_test_folders_are_packages() -> None:
    folders = {path.parent for path in (ROOT / "tests").rglob("*.py")}
    assert [folder for folder in folders if not (folder / "__init__.py").exists()] == []
