"""What each line of the shipped configuration is for: without it, the cases that it guards must fail."""

import pytest

from tests.mosquitto import cases
from tests.mosquitto.conftest import scene_at
from tests.mosquitto.place import Installation

pytestmark = pytest.mark.mosquitto


@pytest.mark.parametrize("lines", cases.CONTROLS, ids="+".join)
def test_without_its_line_each_rule_breaks(first_place: Installation, lines: tuple[str, ...]) -> None:
    wanted = [case.__name__ for case in cases.CONTROLS[lines]]
    with scene_at(first_place, lines) as scene:
        assert cases.failing(scene, cases.CONTROLS[lines]) == wanted
