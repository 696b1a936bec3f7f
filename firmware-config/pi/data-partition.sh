#!/bin/bash
# Makes the data partition in the free space of a disk: data-partition.sh DISK [--size MIB] [--fill ROOT] [--format]
set -euo pipefail

# Touches no partition that is there. With --fill it gets the papers and taps of the system in ROOT.
# --format: also where an old file system lies in the free space (a card that was used before).
LABEL=gatebell-data
DISK='' SIZE=512 FILL='' FORMAT=no

stop() {
    echo "data-partition.sh: $1" >&2
    exit 2
}

main() {
    while [ $# -gt 0 ]; do
        case $1 in
            --size) SIZE=${2:?--size needs MiB} && shift ;;
            --fill) FILL=${2:?--fill needs the root of a system} && shift ;;
            --format) FORMAT=yes ;;
            -*) stop "$1: unknown" ;;
            *) DISK=$1 ;;
        esac
        shift
    done
    [ -b "$DISK" ] || stop "give a disk, like /dev/mmcblk0, not '$DISK'"
    [ "$(blkid -o value -s LABEL "$DISK"* 2>/dev/null | grep -cx $LABEL || true)" = 0 ] || stop "$DISK has it already"
    local partition
    partition=$(append)
    format "$partition"
    if [ -n "$FILL" ]; then fill "$partition"; fi
    echo "$partition: $SIZE MiB, ext4, label $LABEL"
}

append() { # the new partition's name
    local before after
    before=$(partitions)
    echo "start=$(behind), size=${SIZE}MiB, type=L" | sfdisk --quiet --append --force --no-reread --wipe-partitions never "$DISK" >&2 ||
        stop "$DISK has no $SIZE MiB free behind its last partition (Raspberry Pi OS fills the card at its first start: do this before, or use a USB stick)"
    after=$(partitions)
    local name number
    name=$(comm -13 <(sort <<<"$before") <(sort <<<"$after"))
    number=${name##*[!0-9]}
    partx --add --nr "$number" "$DISK" 2>/dev/null || partx --update --nr "$number" "$DISK"
    for _ in $(seq 50); do if [ -b "$name" ]; then break; fi; sleep 0.1; done
    echo "$name"
}

behind() { # the first whole MiB behind the last partition; there is a gap before the first one too
    sfdisk --dump "$DISK" | awk '/start=/ { sub(/.*start= */, ""); split($0, at, /, size= */)
        if (at[1] + at[2] > end) end = at[1] + at[2] } END { print int((end + 2047) / 2048) * 2048 }'
}

partitions() {
    sfdisk --dump "$DISK" | awk '$2 == ":" { print $1 }'
}

format() { # PARTITION
    local old
    old=$(blkid --probe -o value -s TYPE "$1" || true)
    if [ -n "$old" ] && [ $FORMAT = no ]; then stop "$1: an old $old lies there; give --format if nobody needs it"; fi
    mkfs.ext4 -q -F -m 1 -L $LABEL "$1"
}

fill() { # PARTITION
    local there
    there=$(mktemp -d)
    mount "$1" "$there"
    mkdir -p "$there/gatebell" "$there/etc" "$there/timesync"
    copy /var/lib/gatebell "$there/gatebell"
    copy /etc/gatebell "$there/etc"
    copy /var/lib/systemd/timesync "$there/timesync"
    sync -f "$there"
    umount "$there"
    rmdir "$there"
}

copy() { # FOLDER of the system, TARGET; with owner and mode
    if [ -d "$FILL$1" ]; then cp -a "$FILL$1/." "$2/"; fi
}

main "$@"
