# Part of install.sh: the kinds of things that shall be so. Each looks first, and changes only what is otherwise.
# Every PATH is one of the system that is set up, without ROOT before it.
# shellcheck shell=bash disable=SC2034,SC2153

# How a change is said, and made or not.

# PLACE WRONG DO: true when the caller shall make the change now.
act() {
    COUNT=$((COUNT + 1))
    case $MODE in
        verify) echo "wrong: $1: $2" && return 1 ;;
        dry-run) echo "would: $1: $3" && return 1 ;;
        *) echo "did: $1: $3" ;;
    esac
}

wrong() {
    COUNT=$((COUNT + 1))
    echo "wrong: $1: $2"
}

stop() {
    echo "install.sh: $1" >&2
    exit 2
}

finish() {
    if [ "$MODE" = verify ]; then
        if [ "$COUNT" = 0 ]; then echo "fine: everything is as install.sh makes it" && return; fi
        echo "$COUNT things are wrong; install.sh without --verify mends what it can"
        exit 1
    fi
    if [ "$MODE" = dry-run ]; then echo "$COUNT changes would be made" && return; fi
    if [ "$COUNT" = 0 ]; then echo "nothing to change" && return; fi
    sync
    if [ -z "$ROOT" ] && [ -d /run/systemd/system ]; then
        systemctl daemon-reload
        udevadm control --reload || true
    fi
    echo "$COUNT changes made"
    if [ "$REBOOT" = yes ]; then echo "restart the Pi: boot files have changed"; fi
}

# Kinds of things that shall be so.

file() { # SOURCE TARGET [MODE]
    local mode=${3:-644}
    if cmp -s "$1" "$ROOT$2" && [ "$(stat -c %a "$ROOT$2")" = "$mode" ]; then return; fi
    if act "$2" "missing, or not as shipped" "write it"; then put "$1" "$2" "$mode"; fi
}

once() { # SOURCE TARGET: a person's file from its first day on
    if [ -e "$ROOT$2" ]; then return; fi
    if act "$2" "missing" "write it, for you to edit"; then put "$1" "$2" 644; fi
}

text() { # TEXT TARGET
    if [ "$(cat "$ROOT$2" 2>/dev/null)" = "$1" ]; then return; fi
    if act "$2" "says something else" "write it"; then put <(echo "$1") "$2" 644; fi
}

# Whole or not at all, whenever the power goes; what stood there is kept.
put() { # SOURCE TARGET MODE
    local target=$ROOT$2
    keep "$2"
    mkdir -p "$(dirname "$target")"
    cat "$1" >"$target.new"
    chmod "$3" "$target.new"
    sync "$target.new"
    mv -f "$target.new" "$target"
}

keep() { # PATH
    [ -e "$ROOT$1" ] || return 0
    mkdir -p "$ROOT$BACKUPS$(dirname "$1")"
    cp -a "$ROOT$1" "$ROOT$BACKUPS$1.$(date +%Y%m%dT%H%M%S.%N)"
}

tree() { # SOURCE TARGET
    if [ "$1" -ef "$ROOT$2" ] || diff -qr "$1" "$ROOT$2" >/dev/null 2>&1; then return; fi
    if act "$2" "missing, or not as shipped" "copy this folder"; then
        rm -rf "$ROOT${2:?}.new" && mkdir -p "$ROOT$2.new"
        cp -r --preserve=mode "$1/." "$ROOT$2.new/"
        cp "$1/../gateway.toml.example" "$ROOT$(dirname "$2")/"
        rm -rf "$ROOT${2:?}" && mv "$ROOT$2.new" "$ROOT$2"
    fi
}

folder() { # PATH MODE OWNER:GROUP, names as the system in ROOT has them
    local wanted
    wanted="$2 $(number passwd "${3%:*}"):$(number group "${3#*:}")"
    if [ "$(id -u)" != 0 ]; then wanted=${wanted% *}; fi
    if [ "$(stat -c '%a %u:%g' "$ROOT$1" 2>/dev/null | cut -c "1-${#wanted}")" = "$wanted" ]; then return; fi
    if act "$1" "missing, or not $3 with mode $2" "make it $3 with mode $2"; then
        mkdir -p "$ROOT$1"
        chmod "$2" "$ROOT$1"
        if [ "$(id -u)" = 0 ]; then chown "${wanted#* }" "$ROOT$1"; fi
    fi
}

number() { # passwd|group NAME; root's where ROOT has no such name (timesyncd is not everywhere)
    awk -F: -v name="$2" '$1 == name { found = $3 } END { print found + 0 }' "$ROOT/etc/$1"
}

each_unit() { # masked|enabled UNIT...
    local state=$1 unit
    shift
    for unit in "$@"; do "$state" "$unit"; done
}

masked() { # UNIT
    if [ "$(readlink "$ROOT/etc/systemd/system/$1")" = /dev/null ]; then return; fi
    if act "$1" "may be started" "mask it"; then
        keep "/etc/systemd/system/$1"
        mkdir -p "$ROOT/etc/systemd/system"
        ln -sfn /dev/null "$ROOT/etc/systemd/system/$1"
    fi
}

enabled() { # UNIT
    local wants=$ROOT/etc/systemd/system/multi-user.target.wants/$1
    if [ "$(readlink "$wants")" = "/etc/systemd/system/$1" ]; then return; fi
    if act "$1" "is not started at boot" "start it at boot"; then
        mkdir -p "$(dirname "$wants")"
        ln -sfn "/etc/systemd/system/$1" "$wants"
    fi
}

# A block of ours in a file of others: PATH BLOCK WHY.
block() {
    local path=$1 wanted
    if [ "$(grep -c '^# >>> gatebell' "$ROOT$path")" != "$(grep -c '^# <<< gatebell' "$ROOT$path")" ]; then
        stop "$path: a line '# >>> gatebell' has no '# <<< gatebell'; put it back, or take our lines out"
    fi
    wanted=$(without_block "$ROOT$path" && cat "$2")
    if [ "$(cat "$ROOT$path")" = "$wanted" ]; then return; fi
    if act "$path" "$3" "write our lines at its end"; then
        put <(echo "$wanted") "$path" "$(stat -c %a "$ROOT$path")"
        REBOOT=yes
    fi
}

without_block() { # FILE
    awk '/^# >>> gatebell/ { ours = 1 } !ours { print } /^# <<< gatebell/ { ours = 0 }' "$1"
}
