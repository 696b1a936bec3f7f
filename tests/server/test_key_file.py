"""The secret's file: made once, whole, for its owner alone, however many processes start together."""

import multiprocessing
import stat
from pathlib import Path

import pytest

from server import crypt


def digest(path: Path) -> str:
    """What a process that starts now hashes by."""
    crypt.load_file(path)
    return crypt.look_up("+8613800000000")


@pytest.mark.parametrize("round_", range(3))
def test_processes_that_start_together_use_one_secret(tmp_path: Path, round_: int) -> None:
    path = tmp_path / "new" / "gatebell.key"
    with multiprocessing.get_context("spawn").Pool(6) as pool:
        assert len(set(pool.map(digest, [path] * 6, chunksize=1))) == 1
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["gatebell.key"]
