"""The pages' static files, compressed for browsers that can read it: Tabler's 635 kB travel as 78."""

import gzip
from functools import cache
from io import BytesIO
from pathlib import Path

from flask import Flask, Response, current_app, request, send_file
from werkzeug.security import safe_join

COMPRESSED = {".css", ".js", ".svg"}


def init_app(app: Flask) -> None:
    """Take the place of the framework's own view of static files."""
    app.view_functions["static"] = static_file


def static_file(filename: str) -> Response:
    """One file; each is compressed once, when it is first asked for."""
    response = _compressed(filename) or current_app.send_static_file(filename)
    response.vary.add("Accept-Encoding")
    return response


def _compressed(filename: str) -> Response | None:
    path = Path(safe_join(str(current_app.static_folder), filename) or "")
    if path.suffix not in COMPRESSED or not path.is_file() or not request.accept_encodings.quality("gzip"):
        return None
    changed = path.stat().st_mtime
    body = BytesIO(_gzipped(path, changed))
    response = send_file(body, download_name=path.name, etag=f"{path.name}-{changed}-gzip", last_modified=changed)
    response.content_encoding = "gzip"
    return response


@cache
def _gzipped(path: Path, _changed: float) -> bytes:
    return gzip.compress(path.read_bytes(), mtime=0)
