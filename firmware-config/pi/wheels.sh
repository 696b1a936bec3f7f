#!/bin/bash
# Puts all that a gate installs into a folder, for machines without network: wheels.sh DIR, on the same kind of machine.
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
SOURCE=$(realpath "$HERE/../..")
FOLDER=${1:?wheels.sh DIR: the folder to fill}

[ -f "$SOURCE/pyproject.toml" ] || { echo "wheels.sh: $SOURCE holds no sources; run it in a checkout" >&2 && exit 2; }
mkdir -p "$FOLDER"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
pip=("$work/venv/bin/pip" -q --disable-pip-version-check)
# What is downloaded is checked against the lock's hashes; what has no wheel for this machine (armhf) is built here.
"${pip[@]}" install --require-hashes -r "$SOURCE/requirements/build.txt"
"${pip[@]}" wheel --require-hashes -r "$SOURCE/requirements/gateway.txt" --wheel-dir "$FOLDER"
"${pip[@]}" wheel --no-deps --no-index --no-build-isolation "$SOURCE" --wheel-dir "$FOLDER"
(cd "$FOLDER" && sha256sum ./*.whl >SHA256SUMS)
echo "$FOLDER: $(find "$FOLDER" -name '*.whl' | wc -l) wheels for $(uname -m), $(python3 --version)"
