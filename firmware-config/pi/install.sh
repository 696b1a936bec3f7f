#!/bin/bash
# Makes a gate of a Raspberry Pi (or any Debian): changes only what is not yet as it shall be, and says each change.
set -euo pipefail

usage() {
    cat <<'TEXT'
install.sh [options]       set this machine up as a gate; a second run changes nothing
install.sh --dry-run ...   say every change, make none
install.sh --verify ...    say everything that is wrong; exit code 1 when something is
install.sh --uninstall     take away what install.sh brought; the taps and /etc/gatebell stay

  --wheels DIR       install the program from a folder that wheels.sh made, without network
  --skip-program     leave /opt/gatebell/.venv alone
  --data             keep taps and papers on the partition labelled gatebell-data
  --data-disk DISK   the same, and make that partition in the free space of DISK (never touches another partition)
  --sealed           read-only root, all else in memory; needs the data partition
  --unsealed         root writable again, for maintenance
  --root DIR         work on the system in DIR (a mounted image); needs --wheels or --skip-program

What was chosen once is kept in /opt/gatebell/setup.choices. What is changed is copied to /var/backups/gatebell first.
TEXT
}

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
MODE=apply ROOT='' WHEELS='' PROGRAM=yes DATA='' SEALED='' DATA_DISK=''
COUNT=0 REBOOT=no

BASE=/opt/gatebell
CHOICES=$BASE/setup.choices
BACKUPS=/var/backups/gatebell
UNITS=(gatebell-gateway.service gatebell-enrol.service)
# Programs that take a serial port, write a card full, or keep a clock of their own; masked whether they are there or not.
UNWANTED_UNITS=(
    ModemManager.service brltty.service brltty-udev.service serial-getty@serial0.service serial-getty@ttyAMA0.service
    serial-getty@ttyAMA10.service serial-getty@ttyS0.service hciuart.service bluetooth.service
    fake-hwclock.service fake-hwclock-load.service fake-hwclock-save.service dphys-swapfile.service
)
UNWANTED_PACKAGES=(modemmanager brltty fake-hwclock dphys-swapfile)
# Source in this folder, target; each is ours alone and kept as it is here.
FILES=(
    "udev/70-gatebell.rules /etc/udev/rules.d/70-gatebell.rules"
    "system.conf.d/gatebell.conf /etc/systemd/system.conf.d/gatebell.conf"
    "journald.conf.d/gatebell.conf /etc/systemd/journald.conf.d/gatebell.conf"
    "timesyncd.conf.d/gatebell.conf /etc/systemd/timesyncd.conf.d/gatebell.conf"
    "timesyncd.service.d/gatebell.conf /etc/systemd/system/systemd-timesyncd.service.d/gatebell.conf"
    "sysctl.d/gatebell.conf /etc/sysctl.d/90-gatebell.conf"
    "network.d/gatebell.conf /etc/NetworkManager/conf.d/gatebell.conf"
    "sysusers.d/gatebell.conf /etc/sysusers.d/gatebell.conf"
    "systemd/gatebell-gateway.service /etc/systemd/system/gatebell-gateway.service"
    "systemd/gatebell-enrol.service /etc/systemd/system/gatebell-enrol.service"
    "systemd/gatebell-overlay.service /etc/systemd/system/gatebell-overlay.service"
)

# shellcheck source=SCRIPTDIR/kinds.sh
. "$HERE/kinds.sh"

main() {
    options "$@"
    remember
    writable
    case $MODE in
        uninstall) uninstall ;;
        *) everything ;;
    esac
    finish
}

options() {
    while [ $# -gt 0 ]; do
        case $1 in
            --dry-run | --verify | --uninstall) MODE=${1#--} ;;
            --wheels) WHEELS=$(realpath -e "${2:?--wheels needs a folder}") && shift ;;
            --skip-program) PROGRAM=no ;;
            --data) DATA=yes ;;
            --data-disk) DATA=yes DATA_DISK=${2:?--data-disk needs a disk like /dev/mmcblk0} && shift ;;
            --sealed) SEALED=yes DATA=yes ;;
            --unsealed) SEALED=no ;;
            --root) ROOT=$(realpath -e "${2:?--root needs a folder}") && shift ;;
            -h | --help) usage && exit ;;
            *) stop "$1: unknown; install.sh --help lists what there is" ;;
        esac
        shift
    done
    if [ "$ROOT" = / ]; then ROOT=''; fi
    if [ -z "$ROOT" ] && [ "$(id -u)" != 0 ]; then stop "this needs root: sudo $0 $MODE"; fi
    if [ -n "$ROOT" ] && [ "$MODE$PROGRAM$WHEELS" = applyyes ]; then stop "--root needs --wheels DIR or --skip-program"; fi
}

# What was chosen in an earlier run holds until something else is chosen.
remember() {
    [ -f "$ROOT$CHOICES" ] || return 0
    if [ -z "$DATA" ] && grep -qx data=yes "$ROOT$CHOICES"; then DATA=yes; fi
    if [ -z "$SEALED" ] && grep -qx sealed=yes "$ROOT$CHOICES"; then SEALED=yes; fi
}

# A sealed root is opened by a person, for one start, never by the way.
writable() {
    if [ -n "$ROOT" ] || [ "$MODE" = verify ] || [ "$MODE" = dry-run ]; then return; fi
    if [ "$(findmnt -no FSTYPE / 2>/dev/null)" = overlay ] && grep -q overlayroot= /proc/cmdline; then
        stop "the root is memory: switch the overlay file system off in raspi-config, restart, then come again"
    fi
    if [ -w /etc ]; then return; fi
    stop "the root is sealed; open it until the next start: sudo mount -o remount,rw / (and /boot/firmware)"
}

everything() {
    unwanted_packages
    each_unit masked "${UNWANTED_UNITS[@]}"
    tree "$HERE" "$BASE/setup"
    for pair in "${FILES[@]}"; do
        read -r source target <<<"$pair"
        file "$HERE/$source" "$target"
    done
    file "$HERE/../gateway.toml.example" /etc/gatebell/gateway.toml.example
    once "$HERE/udev/70-gate-readers.rules" /etc/udev/rules.d/70-gate-readers.rules
    account
    folder /etc/gatebell 750 root:gatebell
    folder /var/lib/gatebell 700 gatebell:gatebell
    if [ $PROGRAM = yes ]; then program; fi
    boot
    storage
    each_unit enabled "${UNITS[@]}"
    text "data=${DATA:-no}"$'\n'"sealed=${SEALED:-no}" "$CHOICES"
    if [ -z "$ROOT" ] && [ "$MODE" = verify ]; then running; fi
}

# Things of this gate.

unwanted_packages() {
    local package
    for package in "${UNWANTED_PACKAGES[@]}"; do
        if ! has_package "$package"; then continue; fi
        if act "$package" "installed, and in a gate's way" "purge the package"; then
            in_root env DEBIAN_FRONTEND=noninteractive dpkg --purge --force-depends "$package" >/dev/null
        fi
    done
}

has_package() { # NAME
    [ -f "$ROOT/var/lib/dpkg/status" ] || return 1
    awk -v name="$1" '$1 == "Package:" { found = $2 == name } found && /^Status: .* installed$/ { there = 1 }
        END { exit !there }' "$ROOT/var/lib/dpkg/status"
}

in_root() {
    if [ -n "$ROOT" ]; then chroot "$ROOT" "$@"; else "$@"; fi
}

account() {
    if grep -q '^gatebell:' "$ROOT/etc/passwd" && member dialout && member gpio && member video; then return; fi
    if act "user gatebell" "missing, or not in the groups dialout, gpio and video" "make it"; then
        systemd-sysusers --root="${ROOT:-/}" "$HERE/sysusers.d/gatebell.conf"
    fi
}

member() { # GROUP
    grep -qE "^$1:[^:]*:[^:]*:(.*,)?gatebell(,|\$)" "$ROOT/etc/group"
}

# The program in its own venv. It is as wanted when it starts and came from the same wheels (or the same sources).
program() {
    local source
    source=$(fingerprint)
    if program_starts && { [ -z "$source" ] || [ "$(cat "$ROOT$BASE/program.sha256" 2>/dev/null)" = "$source" ]; }; then
        return
    fi
    if act "$BASE/.venv" "the program does not start, or is another version" "install the program"; then
        install_program
        put <(echo "$source") "$BASE/program.sha256" 644
    fi
}

program_starts() {
    in_root env PYTHONDONTWRITEBYTECODE=1 "$BASE/.venv/bin/gatebell-gateway" --help >/dev/null 2>&1
}

# Of what would be installed; nothing where neither wheels nor sources are at hand.
fingerprint() {
    if [ -n "$WHEELS" ]; then
        sha256sum <"$WHEELS/SHA256SUMS" | cut -c 1-64
    elif [ -d "$HERE/../../gateway" ]; then
        (cd "$HERE/../.." && find gateway server pyproject.toml requirements/gateway.txt -type f -not -name '*.pyc' -print0 |
            LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum | cut -c 1-64)
    fi
}

install_program() {
    local folder=$ROOT/$BASE/wheels.new
    rm -rf "$folder"
    mkdir -p "$folder"
    if [ -n "$WHEELS" ]; then cp "$WHEELS"/*.whl "$WHEELS/SHA256SUMS" "$folder/"; else "$HERE/wheels.sh" "$folder"; fi
    (cd "$folder" && sha256sum --check --strict --quiet SHA256SUMS) || stop "$WHEELS: a wheel is not what SHA256SUMS says"
    in_root rm -rf "$BASE/.venv"
    in_root python3 -m venv "$BASE/.venv"
    in_root sh -c "$BASE/.venv/bin/pip install -q --disable-pip-version-check --no-index --no-deps $BASE/wheels.new/*.whl"
    rm -rf "$folder"
}

# Serial port, watchdog, lights: the firmware's files, where there is such firmware.
boot() {
    local boot=/boot/firmware
    [ -f "$ROOT$boot/config.txt" ] || boot=/boot
    if [ ! -f "$ROOT$boot/config.txt" ]; then
        echo "note: no config.txt, this is no Raspberry Pi: the pins stay as they are, USB readers work"
        return
    fi
    block "$boot/config.txt" "$HERE/config.txt.d/gate.txt" "the serial port, the watchdog or the lights are not set up"
    kernel_words "$boot/cmdline.txt"
}

# No login on the serial port, which would talk to the reader and eat its bytes; and no overlayroot (raspi-config's overlay
# file system), which lays memory over every partition: taps would be green and gone at the next power cut.
kernel_words() { # PATH
    local wanted
    wanted=$(sed -E 's/(^| )(console=(serial0|ttyAMA[0-9]+|ttyS[0-9]+)|overlayroot=)[^ ]*//g; s/^ +//' "$ROOT$1")
    if [ "$(cat "$ROOT$1")" = "$wanted" ]; then return; fi
    if act "$1" "a console on the reader's serial port, or memory laid over the taps" "take the words out"; then
        put <(echo "$wanted") "$1" "$(stat -c %a "$ROOT$1")"
        REBOOT=yes
    fi
}

# Data partition and sealed root.
storage() {
    if [ -n "$DATA_DISK" ]; then data_disk; fi
    if [ "$DATA" != yes ]; then return; fi
    folder /data 755 root:root
    folder /var/lib/systemd/timesync 755 systemd-timesync:systemd-timesync
    if [ -n "$(blkid -L gatebell-data 2>/dev/null || true)" ] || [ -n "$ROOT" ]; then
        local lines=data
        if [ "$SEALED" = yes ]; then lines=sealed; fi
        block /etc/fstab "$HERE/fstab.d/$lines.txt" "the data partition, or the sealed root, is not as chosen"
        root_mount
    else
        act "gatebell-data" "no partition has this label" "needs --data-disk DISK, or one that data-partition.sh made" ||
            return 0
        stop "no partition is labelled gatebell-data: give --data-disk DISK, or make one with data-partition.sh"
    fi
}

data_disk() {
    if blkid -o value -s LABEL "$DATA_DISK"* 2>/dev/null | grep -qx gatebell-data; then return; fi
    if act "$DATA_DISK" "has no partition gatebell-data" "make it in the free space and copy taps and papers to it"; then
        "$HERE/data-partition.sh" "$DATA_DISK" --fill "${ROOT:-/}"
    fi
}

# Read-only for / and the boot partition when sealed, and the word taken away again when not.
root_mount() {
    local wanted
    wanted=$(awk -v sealed="${SEALED:-no}" '
        !/^#/ && ($2 == "/" || $2 ~ "^/boot") {
            gsub(/(^|,)r[ow](,|$)/, ",", $4); gsub(/^,|,$/, "", $4)
            if ($4 == "") $4 = "defaults"
            if (sealed == "yes") $4 = $4 ",ro"
        } { print }' "$ROOT/etc/fstab")
    if [ "$(tr -s ' \t' ' ' <"$ROOT/etc/fstab")" = "$(tr -s ' \t' ' ' <<<"$wanted")" ]; then return; fi
    if act /etc/fstab "the root is not $([ "$SEALED" = yes ] && echo read-only || echo writable)" "mount the root so"; then
        put <(echo "$wanted") /etc/fstab 644
        REBOOT=yes
    fi
}

# What only a machine that runs can tell.
running() {
    [ -d /run/systemd/system ] || return 0
    if [ "$DATA" = yes ] && [ "$(findmnt -no FSTYPE --mountpoint /var/lib/gatebell)" != ext4 ]; then
        wrong /var/lib/gatebell "is not on the data partition; see systemctl status data.mount"
    fi
    if [ "$SEALED" = yes ] && ! findmnt -no OPTIONS / | grep -qE '(^|,)ro(,|$)'; then wrong / "is writable"; fi
    if [ ! -f /etc/gatebell/gateway.toml ]; then wrong /etc/gatebell/gateway.toml "missing: this gate is not enrolled"; fi
}

uninstall() {
    local pair unit path
    for unit in "${UNITS[@]}"; do gone "/etc/systemd/system/multi-user.target.wants/$unit"; done
    for unit in "${UNWANTED_UNITS[@]}"; do
        if [ "$(readlink "$ROOT/etc/systemd/system/$unit")" = /dev/null ]; then gone "/etc/systemd/system/$unit"; fi
    done
    for pair in "${FILES[@]}"; do gone "${pair#* }"; done
    SEALED=no
    if [ -f "$ROOT/etc/fstab" ]; then root_mount_and_block; fi
    for path in /boot/firmware/config.txt /boot/config.txt; do
        if [ -f "$ROOT$path" ]; then block "$path" /dev/null "our lines are in it"; fi
    done
    gone "$BASE"
    echo "note: /etc/gatebell, /var/lib/gatebell, the user and 70-gate-readers.rules stay; copies are in $BACKUPS"
}

root_mount_and_block() {
    block /etc/fstab /dev/null "our lines are in it"
    MODE=apply root_mount
}

gone() { # PATH
    if [ ! -e "$ROOT$1" ] && [ ! -L "$ROOT$1" ]; then return; fi
    echo "did: $1: take it away"
    COUNT=$((COUNT + 1))
    rm -rf "$ROOT${1:?}"
}

main "$@"
