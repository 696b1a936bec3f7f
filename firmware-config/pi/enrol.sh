#!/bin/bash
# Takes the enrolment file from the boot partition, once: the caretaker copies it there with any laptop.
set -euo pipefail

# A gateway.toml beside it is taken too, where the gate has none yet. What cannot be used stays, and a text beside it
# says why in words that can be read with that laptop.
BOOT=${1:-/boot/firmware}
PAPERS=${2:-/etc/gatebell}
PROGRAM=${3:-/opt/gatebell/.venv/bin/gatebell-gateway}
FILE=$BOOT/gatebell.enrol
COMPLAINT=$BOOT/gatebell.enrol-failed.txt

main() {
    [ -f "$FILE" ] || return 0
    open_boot
    if [ -f "$BOOT/gateway.toml" ] && [ ! -e "$PAPERS/gateway.toml" ]; then
        install -m 644 "$BOOT/gateway.toml" "$PAPERS/gateway.toml"
    fi
    local said
    if ! said=$("$PROGRAM" enrol "$FILE" --config "$PAPERS/gateway.toml" 2>&1); then
        complain "$said"
    elif ! said=$("$PROGRAM" check --config "$PAPERS/gateway.toml" 2>&1); then
        complain "$said"
    fi
    # On the disk before the only copy goes; then the key's bytes are overwritten, as far as a card lets that be done.
    sync -f "$PAPERS"
    shred -u "$FILE"
    rm -f "$COMPLAINT"
    echo "enrolled; $FILE is gone"
}

complain() { # WHY
    printf '%s\n' "This gate could not be enrolled:" "$1" >"$COMPLAINT"
    echo "$1" >&2
    exit 1
}

open_boot() {
    if [ -w "$BOOT" ]; then return; fi
    mount -o remount,rw "$BOOT"
    trap 'sync -f "$BOOT"; mount -o remount,ro "$BOOT"' EXIT
}

main
