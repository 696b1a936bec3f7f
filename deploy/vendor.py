"""Brings the pages' third-party files into server/static/vendor: fetch by npm, check against vendor.toml, copy.

Run it after something in vendor.toml was changed. What it writes is committed, so that nobody else needs npm.
"""

import base64
import hashlib
import json
import re
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from pathlib import Path

STATIC = Path(__file__).parents[1] / "server" / "static"
MANIFEST = STATIC / "vendor.toml"


def main() -> None:
    """Fetch, check and copy every package of the manifest, then write the hashes of what was copied."""
    packages = tomllib.loads(MANIFEST.read_text())["package"]
    for package in packages:
        with tempfile.TemporaryDirectory() as folder:
            archive = pack(f"{package['npm']}@{package['version']}", Path(folder))
            check(archive, package)
            copy(archive, package)
    MANIFEST.write_text(render(packages))


def pack(spec: str, folder: Path) -> Path:
    """The package's archive as the registry's client gives it."""
    done = subprocess.run(["npm", "pack", spec, "--json"], cwd=folder, check=True, capture_output=True, text=True)
    return folder / str(json.loads(done.stdout)[0]["filename"])


def check(archive: Path, package: dict[str, object]) -> None:
    """Stop when the archive is not the one of the manifest."""
    found = "sha512-" + base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if package.setdefault("integrity", found) != found:
        sys.exit(
            f"{package['npm']} {package['version']}: integrity is {found}, vendor.toml says {package['integrity']}"
        )


def folder_of(package: dict[str, object]) -> Path:
    """Where a package's files stand; the version is in the path, so browsers may keep them for ever."""
    name = str(package["npm"]).strip("@").replace("/", "-")
    return STATIC / "vendor" / f"{name}-{package['version']}"


def copy(archive: Path, package: dict[str, object]) -> None:
    """Take the named files and draw the named icons into one sprite; a licence that npm leaves out stays as it was."""
    target = folder_of(package)
    target.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive) as tar:
        for name in package["files"]:  # type: ignore[attr-defined]
            content = member(tar, str(name))
            (target / Path(str(name)).name).write_bytes(
                re.sub(rb"\n?(//|/\*)# sourceMappingURL=.*\s*$", b"\n", content)
            )
        if "icons" in package:
            (target / "sprite.svg").write_text(sprite(tar, package["icons"]))  # type: ignore[arg-type]
    package["sha256"] = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(target.iterdir()) if path.is_file()
    }


def member(tar: tarfile.TarFile, name: str) -> bytes:
    """One file of the archive."""
    file = tar.extractfile(f"package/{name}")
    if file is None:
        sys.exit(f"{name}: not in the package")
    return file.read()


def sprite(tar: tarfile.TarFile, icons: list[str]) -> str:
    """One SVG file with a symbol for each icon; `filled/x` becomes `x-filled`."""
    symbols = []
    for icon in sorted(icons):
        kind, _, name = icon.rpartition("/")
        source = member(tar, f"icons/{kind or 'outline'}/{name}.svg").decode()
        shapes = re.sub(r'\s*<path stroke="none" d="M0 0h24v24H0z" fill="none"\s*/>', "", source)
        inner = " ".join(shapes[shapes.index(">", shapes.index("<svg")) + 1 : shapes.rindex("</svg>")].split())
        paint = 'fill="currentColor"' if kind else 'fill="none" stroke="currentColor" stroke-width="2"'
        round_ends = ' stroke-linecap="round" stroke-linejoin="round"' if not kind else ""
        symbols.append(
            f'<symbol id="{name}{"-filled" * bool(kind)}" viewBox="0 0 24 24" {paint}{round_ends}>{inner}</symbol>'
        )
    return '<svg xmlns="http://www.w3.org/2000/svg">\n' + "\n".join(symbols) + "\n</svg>\n"


def render(packages: list[dict[str, object]]) -> str:
    """The manifest as TOML."""
    lines = ["# Third-party files of the pages. deploy/vendor.py fetches and checks them; tests hash them again."]
    for package in packages:
        lines += ["", "[[package]]"]
        for key, value in package.items():
            if key != "sha256":
                lines.append(f"{key} = {json.dumps(value, ensure_ascii=False)}")
        lines.append("[package.sha256]")
        lines += [f"{json.dumps(name)} = {json.dumps(digest)}" for name, digest in package["sha256"].items()]  # type: ignore[attr-defined]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
