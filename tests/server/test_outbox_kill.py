"""A sender that is killed at any moment loses no text and sends none twice."""

import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import func, select

from server.db import db
from server.outbox.models import Attempt, PhoneText
from tests.server.outbox_texts import all_in, many, queued, soon

TEXTS = 160
KILLS = 3


def received() -> Counter[object]:
    db.session.rollback()
    found = db.session.execute(select(PhoneText.text_id, func.count()).group_by(PhoneText.text_id)).all()
    db.session.rollback()
    return Counter({text_id: count for text_id, count in found})


def at_least(count: int) -> Callable[[], bool]:
    return lambda: received().total() >= count


@pytest.mark.usefixtures("school")
def test_killed_senders_lose_nothing_and_double_nothing(app: Flask, database_url: str, tmp_path: Path) -> None:
    ids = queued(*many(TEXTS))
    command = [sys.executable, "-m", "tests.server.outbox_child", database_url, str(tmp_path)]
    for kill in range(KILLS):
        with subprocess.Popen(command, cwd=Path(__file__).parents[2]) as child:
            soon(at_least(min(TEXTS - 10, received().total() + random.randint(5, TEXTS // KILLS))), seconds=60)
            child.kill()
        assert received().total() < TEXTS, f"nothing was left to kill for after kill {kill}"
    with subprocess.Popen(command, cwd=Path(__file__).parents[2]) as child:
        soon(all_in("delivered", count=TEXTS), seconds=60)
        child.terminate()
    assert received() == Counter(ids)
    cut_off = db.session.scalar(select(func.count()).select_from(Attempt).where(Attempt.ended_at.is_(None)))
    assert cut_off, "no kill hit a text on its way: the test proves nothing"
