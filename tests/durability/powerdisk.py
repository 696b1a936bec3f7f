"""A disk whose plug can be pulled: ext4 on a loop device and the shutdown call of xfstests' `godown`.

At `cut` all is gone that was not fsynced, metadata too; `reboot` mounts it again, which replays the journal as a
machine does at its next start. It drops all at once and neither tears nor reorders: tests/gateway/test_salvage.py does.
"""

import fcntl
import os
import shutil
import struct
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

SHUTDOWN = 0x8004587D  # EXT4_IOC_SHUTDOWN, _IOR('X', 125, __u32)
NO_LOG_FLUSH = 2


def obstacle(folder: Path) -> str:
    """Why there can be no such disk here; empty when it works."""
    if os.getuid() != 0:
        return "a power cut needs root, for a loop device"
    if not shutil.which("mkfs.ext4"):
        return "a power cut needs mkfs.ext4 (package e2fsprogs)"
    try:
        with PowerDisk(folder / "trial"):
            return ""
    except subprocess.CalledProcessError as error:
        return f"a power cut needs loop devices and ext4: {error.stderr.decode().strip()}"


class PowerDisk:
    """Mounted at `folder` inside, gone after."""

    def __init__(self, folder: Path, mib: int = 96) -> None:
        self.folder = folder
        self.image = folder.with_name(folder.name + ".img")
        self.mib = mib
        self.boots = 0

    def cut(self) -> int:
        """Pull the plug; the answer is the moment before, in nanoseconds of CLOCK_MONOTONIC.

        What an fsync kept that had returned by then stays. One that is still at work may return well some milliseconds
        later although its transaction was dropped: a machine without power would not have come back from it.
        """
        fd = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            began = time.monotonic_ns()
            fcntl.ioctl(fd, SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
        finally:
            os.close(fd)
        return began

    def reboot(self) -> None:
        """Power again; whoever used the disk must have ended.

        A copy is mounted: while anybody's mount namespace still holds the old mount, the old image stays shut down.
        """
        _run("umount", str(self.folder))
        self.boots += 1
        old, self.image = self.image, self.folder.with_name(f"{self.folder.name}-{self.boots}.img")
        _run("cp", "--sparse=always", str(old), str(self.image))
        old.unlink()
        self._mount()

    def sync(self) -> None:
        """All that stands there now stays."""
        _run("sync", "-f", str(self.folder))

    def _mount(self) -> None:
        _run("mount", "-o", "loop", str(self.image), str(self.folder))

    def __enter__(self) -> Self:
        self.folder.mkdir()
        with self.image.open("wb") as image:
            image.truncate(self.mib << 20)
        _run("mkfs.ext4", "-q", "-F", str(self.image))
        self._mount()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _run("umount", str(self.folder))
        self.image.unlink()


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
