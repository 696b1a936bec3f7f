"""Installations with a broker as it is shipped."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import services
from tests.mosquitto.place import Guarded, Installation, Scene, installed, revoked_and_added_again


@pytest.fixture(scope="session")
def first_place(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Installation:
    """Set up once; tests that change nothing of it share it."""
    if not services.Mosquitto.available():
        services.missing("mosquitto")
    place = installed(tmp_path_factory.mktemp("guarded") / "place", sqlite_template)
    revoked_and_added_again(place, "no2", "gate-1")
    return place


@pytest.fixture
def place(tmp_path: Path, sqlite_template: Path) -> Installation:
    """One that a test may change."""
    if not services.Mosquitto.available():
        services.missing("mosquitto")
    return installed(tmp_path / "place", sqlite_template)


@pytest.fixture
def guarded(place: Installation) -> Iterator[Guarded]:
    """Its broker."""
    with Guarded(place) as broker:
        yield broker


@contextmanager
def scene_at(place: Installation, without: tuple[str, ...] = ()) -> Iterator[Scene]:
    """Everybody connected to a broker without these lines of its configuration."""
    with Guarded(place, without=without) as broker:
        scene = Scene(place, broker)
        yield scene
        scene.close()


@pytest.fixture(scope="module")
def scene(first_place: Installation) -> Iterator[Scene]:
    """Everybody connected to the broker as it is shipped."""
    with scene_at(first_place) as scene:
        yield scene
