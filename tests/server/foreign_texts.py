"""A text about a child for the tests of providers abroad, and the bad hours that all their services have."""

import math
import uuid
from typing import Any

from server.outbox.providers.base import Outgoing
from tests.standins import NONSENSE, Answer

ZH = "【明德学校】林语晨 07:41 已到校（1号门 东门）。"
EN = "Lin Yuchen 07:41 arrived at school (Gate 1)."
PHONE = "+8613800000001"
CALLBACK = "https://school.example/callback/x/dlr/7/8"

# Nobody can tell from these whether the text was taken ...
DOUBTFUL = [
    Answer(hang_up=True),
    Answer(reset=True),
    Answer(late=1.0),
    Answer(b'{"messages": [{"status": "0"', cut=10),
    Answer(b"x" * 1000, drip=0.1),
    Answer(status=500),
    Answer(b"<html>bad gateway</html>", 502),
    Answer(status=503),
    Answer(b'{"messages": [3], "sid": 5, "MessageId": {}}'),
    *(Answer(body) for body in NONSENSE),
]

# ... and after these it surely was not.
NOT_TAKEN = [
    Answer(status=429),
    Answer(status=503, headers={"Retry-After": "7"}),
    Answer(b"<html>", 404),
    Answer(status=302, headers={"Location": "https://elsewhere.example/"}),
]


def outgoing(**changes: Any) -> Outgoing:
    """One to PHONE."""
    text: dict[str, Any] = {"text_id": uuid.UUID(int=7), "phone": PHONE, "body": ZH, "useful_for": 100.0}
    more = {"urgent": True, "callback": CALLBACK, "deadline": math.inf}
    return Outgoing(**{**text, **more, **changes})
