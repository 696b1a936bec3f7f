#!/bin/bash
# Makes the image for a school's gates from a Raspberry Pi OS Lite image: build.sh IMAGE OUT --wheels DIR [options]
set -euo pipefail

usage() {
    cat <<'TEXT'
build.sh IMAGE OUT --wheels DIR [options]      as root; IMAGE is only read

  --wheels DIR     from firmware-config/pi/wheels.sh, run on the same kind of Pi (or in its chroot)
  --data-size MIB  the data partition (512)
  --grow MIB       more room for the root (512)
  --gateway FILE   a gateway.toml for all of them: readers, lights; else each brings one beside its gatebell.enrol
  --wifi FILE      a NetworkManager connection, *.nmconnection; a cable is better
  --open           leave the root writable

One image serves every gate of a school: what a gate is comes from gatebell.enrol on its boot partition, at its first start.
TEXT
}

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
PI=$HERE/..
IMAGE='' OUT='' WHEELS='' DATA_SIZE=512 GROW=512 WIFI='' GATEWAY='' SEALED=--sealed
LOOP='' THERE=''

main() {
    options "$@"
    cp --sparse=always "$IMAGE" "$OUT.new"
    truncate --size "+$((GROW + DATA_SIZE + 1))MiB" "$OUT.new"
    trap clean EXIT
    grow
    attach
    set_up
    "$PI/data-partition.sh" "$LOOP" --size "$DATA_SIZE" --fill "$THERE" --format
    detach
    mv "$OUT.new" "$OUT"
    echo "$OUT: ready; write it to a card, copy a gate's gatebell.enrol to its first partition, put it in and switch on"
}

options() {
    while [ $# -gt 0 ]; do
        case $1 in
            --wheels) WHEELS=$(realpath -e "${2:?}") && shift ;;
            --data-size) DATA_SIZE=${2:?} && shift ;;
            --grow) GROW=${2:?} && shift ;;
            --gateway) GATEWAY=$(realpath -e "${2:?}") && shift ;;
            --wifi) WIFI=$(realpath -e "${2:?}") && shift ;;
            --open) SEALED=--data ;;
            -h | --help) usage && exit ;;
            -*) stop "$1: unknown; build.sh --help lists what there is" ;;
            *) if [ -z "$IMAGE" ]; then IMAGE=$1; else OUT=$1; fi ;;
        esac
        shift
    done
    if [ -z "$OUT" ] || [ -z "$WHEELS" ]; then stop "give IMAGE, OUT and --wheels DIR; see build.sh --help"; fi
    if [ ! -f "$IMAGE" ]; then stop "$IMAGE: no such image; unpack it first (xz --decompress)"; fi
    if [ "$(id -u)" != 0 ]; then stop "this needs root, for loop devices and chroot"; fi
    if [ "$(sfdisk --dump "$IMAGE" | grep -c 'start=')" != 2 ]; then
        stop "$IMAGE: not two partitions, boot and root; take a Raspberry Pi OS image that was never started"
    fi
}

stop() {
    echo "build.sh: $1" >&2
    exit 2
}

# Only the second partition moves its end; nothing moves its start.
grow() {
    local size
    size=$(sfdisk --dump "$OUT.new" | awk '/start=/ { last = $0 } END { sub(/.*size= */, "", last); print last + 0 }')
    echo "size=$((size + GROW * 2048))" | sfdisk --quiet --no-reread --partno 2 "$OUT.new" >/dev/null
}

attach() {
    LOOP=$(losetup --find --show --partscan "$OUT.new")
    partx --update "$LOOP" # for kernels that read no partition tables themselves
    wait_for "${LOOP}p2"
    e2fsck -fp "${LOOP}p2" >/dev/null || [ $? = 1 ] || stop "the image's root file system is damaged"
    resize2fs "${LOOP}p2" >/dev/null 2>&1
    THERE=$(mktemp -d)
    mount "${LOOP}p2" "$THERE"
    mkdir -p "$THERE/boot/firmware"
    mount "${LOOP}p1" "$THERE/boot/firmware"
    mount -t proc proc "$THERE/proc"
    chroot "$THERE" /bin/true 2>/dev/null ||
        stop "this machine cannot run the image's programs: apt install qemu-user-static binfmt-support"
}

wait_for() { # DEVICE
    for _ in $(seq 50); do if [ -b "$1" ]; then return; fi; sleep 0.1; done
    stop "$1 does not appear; are loop devices with partitions possible here?"
}

set_up() {
    local cmdline=$THERE/boot/firmware/cmdline.txt line
    # Raspberry Pi OS would grow the root over the whole card at its first start, and ask for a user.
    line=$(tr -s '[:space:]' '\n' <"$cmdline" | grep -vE '^(init=.*(firstboot|init_resize).*|resize|quiet)$' | paste -sd ' ')
    echo "$line" >"$cmdline"
    for unit in userconfig.service resize2fs_once.service; do
        ln -sfn /dev/null "$THERE/etc/systemd/system/$unit"
    done
    # Every gate makes its own, at each start.
    : >"$THERE/etc/machine-id"
    if [ -n "$WIFI" ]; then
        mkdir -p "$THERE/etc/NetworkManager/system-connections"
        cp "$WIFI" "$THERE/etc/NetworkManager/system-connections/gatebell.nmconnection"
        chmod 600 "$THERE/etc/NetworkManager/system-connections/gatebell.nmconnection"
    fi
    "$PI/install.sh" --root "$THERE" --wheels "$WHEELS" "$SEALED"
    if [ -n "$GATEWAY" ]; then install -m 644 "$GATEWAY" "$THERE/etc/gatebell/gateway.toml"; fi
    "$PI/install.sh" --root "$THERE" --wheels "$WHEELS" --verify
}

detach() {
    sync -f "$THERE"
    umount --recursive "$THERE"
    rmdir "$THERE" && THERE=''
    losetup --detach "$LOOP" && LOOP=''
}

clean() {
    if [ -n "$THERE" ]; then umount --recursive "$THERE" 2>/dev/null || true; rmdir "$THERE" 2>/dev/null || true; fi
    if [ -n "$LOOP" ]; then losetup --detach "$LOOP"; fi
    rm -f "$OUT.new"
}

main "$@"
