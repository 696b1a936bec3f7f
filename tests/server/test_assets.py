"""Vendored files are what the manifest says, nothing is loaded from elsewhere, and every word is translated."""

import gzip
import hashlib
import re
import sys
import tomllib
from pathlib import Path

import pytest
from flask import Flask

ROOT = Path(__file__).parents[2]
STATIC = ROOT / "server" / "static"
PACKAGES = tomllib.loads((STATIC / "vendor.toml").read_text())["package"]
SOURCES = [path for path in (ROOT / "server").rglob("*") if path.suffix in {".html", ".css", ".js", ".svg"}]
OWN = [path for path in SOURCES if "vendor" not in path.parts]

sys.path.append(str(ROOT / "deploy"))
import translations  # noqa: E402
import vendor  # noqa: E402


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package["npm"])
def test_vendored_files_have_the_hashes_of_the_manifest(package: dict[str, object]) -> None:
    folder = vendor.folder_of(package)
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    assert found == package["sha256"]
    assert "LICENSE" in found and str(package["integrity"]).startswith("sha512-")


def test_every_vendored_folder_is_in_the_manifest() -> None:
    assert {path for path in (STATIC / "vendor").iterdir()} == {vendor.folder_of(package) for package in PACKAGES}


def test_the_manifest_names_no_registry() -> None:
    assert "://" not in (STATIC / "vendor.toml").read_text()


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT / "server")))
def test_no_file_loads_anything_from_another_server(path: Path) -> None:
    text = path.read_text()
    loads = re.findall(r"""(?:src|href|action)\s*=\s*["']?(?:https?:)?//[^"'\s>]+""", text)
    loads += re.findall(r"""(?:url\(|@import)\s*["']?(?:https?:)?//[^"')]+""", text)
    assert loads == []


@pytest.mark.parametrize("path", OWN, ids=lambda path: str(path.relative_to(ROOT / "server")))
def test_our_own_files_have_no_inline_style_or_script(path: Path) -> None:
    if path.suffix == ".html":
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=|hx-on|<script(?![^>]*src=)", path.read_text())


def test_the_sprite_has_the_icons_that_are_used_and_no_others() -> None:
    wanted = {name.removeprefix("filled/") + "-filled" * name.startswith("filled/") for name in PACKAGES[1]["icons"]}
    sprite = next((STATIC / "vendor").glob("tabler-icons-*/sprite.svg")).read_text()
    assert set(re.findall(r'<symbol id="([^"]+)"', sprite)) == wanted
    words = set(re.findall(r'"([a-z][a-z0-9-]*)"', "".join(
        path.read_text() for path in [*OWN, *(ROOT / "server").rglob("*.py")] if path.suffix in {".html", ".py"}
    )))  # fmt: skip
    assert wanted - words == set()


def test_every_string_is_translated_none_is_doubtful_and_the_compiled_file_is_fresh() -> None:
    assert list(translations.check()) == []


def test_the_check_of_translations_sees_a_missing_one(monkeypatch: pytest.MonkeyPatch) -> None:
    known = translations.committed()
    known.delete("Today")
    monkeypatch.setattr(translations, "committed", lambda: known)
    faults = list(translations.check())
    assert "missing: Today" in faults and any("messages.mo" in fault for fault in faults)


def test_the_style_sheet_uses_every_class_that_it_defines() -> None:
    css = (STATIC / "gatebell.css").read_text()
    pages = "".join(path.read_text() for path in [*OWN, *(ROOT / "server").rglob("*.py")] if path.suffix != ".css")
    defined = set(re.findall(r"\.([a-z][a-z_-]*[a-z])(?=[\s,{:.>\[+)])", css))
    built = {"pill", "square", "round", "share", "cell", "t"}  # followed by a state's name
    unused = {name for name in defined if name not in pages and name.split("-")[0] not in built}
    assert unused == set()


@pytest.mark.parametrize("name", [str(path.relative_to(STATIC)) for path in SOURCES if STATIC in path.parents])
def test_a_static_file_travels_compressed_and_arrives_the_same(app: Flask, name: str) -> None:
    client, whole = app.test_client(), (STATIC / name).read_bytes()
    asked = {"Accept-Encoding": "gzip, deflate, br"}
    packed = client.get(f"/static/{name}", headers=asked, buffered=True)
    assert packed.headers["Content-Encoding"] == "gzip" and "Accept-Encoding" in packed.headers["Vary"]
    assert gzip.decompress(packed.data) == whole and len(packed.data) < max(0.6 * len(whole), 400)
    again = client.get(f"/static/{name}", headers=asked | {"If-None-Match": packed.headers["ETag"]}, buffered=True)
    assert again.status_code == 304
    plain = client.get(f"/static/{name}", headers={"Accept-Encoding": "gzip;q=0"}, buffered=True)
    assert plain.data == whole and "Content-Encoding" not in plain.headers
    assert plain.mimetype == packed.mimetype and plain.headers["ETag"] != packed.headers["ETag"]


@pytest.mark.parametrize("name", ["nothing.css", "../web.py", "vendor", "%2e%2e/web.py"])
def test_only_files_of_the_pages_are_served(app: Flask, name: str) -> None:
    for asked in ("gzip", "identity"):
        assert (
            app.test_client().get(f"/static/{name}", headers={"Accept-Encoding": asked}, buffered=True).status_code
            == 404
        )
