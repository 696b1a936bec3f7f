"""The whole matrix of what is allowed and denied at a real broker with the shipped files."""

import pytest

from tests.mosquitto import cases
from tests.mosquitto.place import Scene

pytestmark = pytest.mark.mosquitto


# paho drops the socket of a failed handshake without closing it; it is closed when it is collected
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("case", cases.ALL, ids=lambda case: case.__name__)
def test_the_rule_holds(scene: Scene, case: cases.Case) -> None:
    assert case(scene)
