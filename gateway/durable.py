"""Writing a small file so that after a power cut it is the old one or the new one, whole."""

import os
from pathlib import Path


def write(path: Path, content: bytes) -> None:
    """Replace a file; back from here it is on disk. Only its owner may read it. Raises OSError."""
    new = path.with_name(f"{path.name}.new")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    new.rename(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)  # or the new name may be forgotten with the power
    finally:
        os.close(folder)
