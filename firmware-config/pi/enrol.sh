#!/bin/bash
# Takes the enrolment file from the boot partition, once: the caretaker copies it there with any laptop.
set -euo pipefail

# When it cannot be used it stays, and a text beside it says why in words that can be read with that laptop.
BOOT=${1:-/boot/firmware}
PAPERS=${2:-/etc/gatebell}
PROGRAM=${3:-/opt/gatebell/.venv/bin/gatebell-gateway}
FILE=$BOOT/gatebell.enrol
COMPLAINT=$BOOT/gatebell.enrol-failed.txt

main() {
    [ -f "$FILE" ] || return 0
    open_boot
    local said
    if ! said=$("$PROGRAM" enrol "$FILE" 2>&1); then
        printf '%s\n' "This gate could not be enrolled:" "$said" >"$COMPLAINT"
        echo "$said" >&2
        return 1
    fi
    # On the disk before the only copy goes; then the key's bytes are overwritten, as far as a card lets that be done.
    find "$PAPERS" -type f -exec chmod 640 {} + -exec chgrp gatebell {} +
    sync -f "$PAPERS"
    shred -u "$FILE"
    rm -f "$COMPLAINT"
    echo "enrolled; $FILE is gone"
}

open_boot() {
    if [ -w "$BOOT" ]; then return; fi
    mount -o remount,rw "$BOOT"
    trap 'sync -f "$BOOT"; mount -o remount,ro "$BOOT"' EXIT
}

main
