"""The whole matrix of what is allowed and denied at a real broker with the shipped files, and what each line is for."""

import pytest

from tests.mosquitto import cases
from tests.mosquitto.conftest import scene_at
from tests.mosquitto.place import Installation, Scene

pytestmark = pytest.mark.mosquitto


@pytest.mark.parametrize("case", cases.ALL, ids=lambda case: case.__name__)
def test_the_rule_holds(scene: Scene, case: cases.Case) -> None:
    assert case(scene)


@pytest.mark.parametrize("line", cases.CONTROLS)
def test_without_its_line_each_rule_breaks(first_place: Installation, line: str) -> None:
    wanted = [case.__name__ for case in cases.CONTROLS[line]]
    with scene_at(first_place, (line,)) as scene:
        assert cases.failing(scene, cases.CONTROLS[line]) == wanted
