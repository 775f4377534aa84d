#!/usr/bin/env bash
# The program at work, in about a minute: two sample cards go in, proven copies and a searchable catalog come out, and a
# damaged byte is found. Sets the machine up and builds first. Touches only its own folder: target/demo, or
# $GOODGATE_DEMO_DIR. Can be run again and again.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/setup.sh

WAIT_SECS=120 # for one card's verdict; it takes a few seconds

title() {
    if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then printf '\n\033[1m%s\033[0m\n' "$*"; else printf '\n== %s\n' "$*"; fi
}
note() { printf '%s\n' "$*"; }
# Shows a command as one would type it, then its output.
show() {
    printf '\n$ goodgate %s\n' "$*"
    "$goodgate" "$@" 2>&1 || return $?
}

daemon=
dropping=
image=
mounted=
clean_up() {
    local code=$?
    trap - EXIT INT TERM
    local child
    for child in $dropping $daemon; do { kill "$child" && wait "$child"; } 2>/dev/null || true; done
    if [ -n "$mounted" ]; then root umount "$work/disk" || say "could not unmount \"$work/disk\""; fi
    exit "$code"
}

# --- the folder it works in ------------------------------------------------------------------------------------------

choose_folder() {
    work=${GOODGATE_DEMO_DIR:-${CARGO_TARGET_DIR:-$PWD/target}/demo}
    case $work in /*) ;; *) work=$PWD/$work ;; esac
    # Only what an earlier demo made is ever removed.
    if [ -e "$work" ] && [ -n "$(ls -A "$work")" ] && [ ! -e "$work/made-by-demo" ]; then
        die "\"$work\" is not empty and no earlier demo made it" "name another folder in GOODGATE_DEMO_DIR"
    fi
    mkdir -p "$work"
    # Left by a demo that was killed.
    if is_mounted "$work/disk"; then root umount "$work/disk"; fi
    find "$work" -mindepth 1 -maxdepth 1 ! -name made-by-demo -exec rm -rf {} +
    : >"$work/made-by-demo"
    work=$(cd "$work" && pwd -P)
    mkdir "$work/disk" "$work/cards"
}

is_mounted() { [ -d "$1" ] && [ "$(stat -c %d "$1")" != "$(stat -c %d "$1/..")" ]; }
filesystem() { df --output=fstype "$1" | tail -n 1; }

# A copy is proven by reading it back from the device. Some filesystems have none below them, or hide it.
choose_disk() {
    local fs
    fs=$(filesystem "$work")
    provable=yes
    case $fs in ext4 | xfs | btrfs | exfat | vfat | udf) return ;; esac
    note "The folder lies on $fs, where no read-back from a device can be proven."
    if may_be_root && make_image; then
        note "So the dump folder and the destinations go into a small ext4 image, mounted as a loop device. That shows the"
        note "way; what lies in an image is as safe as the disk (or the memory) that holds the image."
        return
    fi
    provable=
    note "No ext4 image could be mounted here either (that needs root and loop devices). The demo goes on: copies are"
    note "made and compared, but the verdict must be NOT SAFE, and says why."
}

make_image() {
    local mkfs
    mkfs=$(PATH="$PATH:/usr/sbin:/sbin" command -v mkfs.ext4) || return 1
    image=$work/disk.img
    truncate -s 512M "$image" && "$mkfs" -q -F "$image" || return 1
    note "(mounting \"$image\", as root)"
    root mount -o loop "$image" "$work/disk" || return 1
    mounted=yes
    root chown "$(id -u):$(id -g)" "$work/disk"
}

# --- sample cards ----------------------------------------------------------------------------------------------------

ff() { ffmpeg -nostdin -v error -y "$@"; }

# clip FILE TIMECODE HUE CODEC...: five seconds of moving picture with a tone; the encoder's options come last.
clip() {
    local file=$1 timecode=$2 hue=$3
    shift 3
    ff -f lavfi -i "testsrc2=size=1280x720:rate=24000/1001,hue=h=$hue" \
        -f lavfi -i "sine=frequency=440:sample_rate=48000,aformat=channel_layouts=stereo" \
        -t 5 -timecode "$timecode" -metadata:s:v:0 reel_name=A001 \
        -metadata creation_time=2026-03-14T09:26:53Z -metadata make=Sample -metadata model="Test Source 2" \
        "$@" "$file"
}

camera_card() {
    local to=$1/CLIPS
    mkdir -p "$to" "$1/STILLS"
    local h264=(-c:v libx264 -preset ultrafast -b:v 6M -pix_fmt yuv420p)
    h264+=(-color_primaries bt709 -color_trc bt709 -colorspace bt709)
    clip "$to/A001C001.MOV" 10:00:00:00 0 "${h264[@]}" -c:a pcm_s16le
    clip "$to/A001C002.MOV" 10:04:12:05 90 "${h264[@]}" -c:a aac -b:a 160k
    clip "$to/A001C003.MOV" 10:09:30:00 200 -c:v prores -profile:v 0 -c:a pcm_s24le
    local n
    for n in 1 2 3; do
        cat >"$to/A001C00$n.XML" <<XML
<?xml version="1.0" encoding="UTF-8"?>
<ClipNotes><Scene>12</Scene><Take>$n</Take><Iris>5.6</Iris></ClipNotes>
XML
    done
}

sound_card() {
    mkdir -p "$1"
    local take
    for take in 1 2; do
        # Broadcast WAVE: 10:00:00 and four minutes later, in samples since midnight.
        ff -f lavfi -i "anoisesrc=color=pink:sample_rate=48000:amplitude=0.2:seed=$take" -t 5 -ac 2 -c:a pcm_s24le \
            -write_bext 1 -metadata time_reference=$((48000 * (36000 + 240 * (take - 1)))) \
            -metadata originator="Sample Recorder" -metadata origination_date=2026-03-14 \
            -metadata origination_time=09:26:53 -metadata description="sSCENE=12 sTAKE=$take" \
            "$1/12-T0$take.WAV"
    done
    printf 'File,Scene,Take\n12-T01.WAV,12,1\n12-T02.WAV,12,2\n' >"$1/REPORT.CSV"
}

# As a person's file manager would: the folder appears, grows file by file, and is then left alone.
drop() {
    local from=$1 to=$2 file folders files
    mapfile -t folders < <(cd "$from" && find . -type d)
    mapfile -t files < <(cd "$from" && find . -type f | sort)
    (mkdir -p "$to" && cd "$to" && mkdir -p "${folders[@]}")
    for file in "${files[@]}"; do
        cp -p "$from/$file" "$to/$file"
        sleep 0.3
    done
}

# --- the demo --------------------------------------------------------------------------------------------------------

wait_for_verdict() {
    local roll=$1 until=$((SECONDS + WAIT_SECS)) code
    while [ "$SECONDS" -lt "$until" ]; do
        if ! kill -0 "$daemon" 2>/dev/null; then
            tail -n 20 "$work/daemon.log" >&2
            die "the daemon has ended; its log is above"
        fi
        code=0
        "$goodgate" --quiet status "$roll" >"$work/status" 2>&1 || code=$?
        # A card on its way is not safe yet, which is exit 20 as well; without hope of proof the end of the job counts.
        if [ "$code" = 0 ]; then cat "$work/status"; return; fi
        if [ -z "$provable" ] && grep -q 'memory only' "$work/status" && ! grep -q 'not finished' "$work/status"; then
            cat "$work/status"
            return
        fi
        sleep 0.5
    done
    say "no GOOD GATE for $roll within $WAIT_SECS s. What the program says of it:"
    cat "$work/status" >&2
    "$goodgate" jobs >&2 || true
    tail -n 20 "$work/daemon.log" >&2
    die "the demo stops here"
}

wait_for_proxies() {
    local until=$((SECONDS + WAIT_SECS))
    while [ "$SECONDS" -lt "$until" ]; do
        # "step" is null for a card whose job is done.
        "$goodgate" --json cards 2>/dev/null | grep -q '"step": *"' || return 0
        sleep 0.5
    done
    say "the proxies are not all made after $WAIT_SECS s; going on"
}

# Inverts one byte where it lies; size and times of the file stay as they were.
flip_byte() {
    local file=$1 at=$2 was
    was=$(od -An -tu1 -j "$at" -N 1 "$file" | tr -d ' ')
    touch -r "$file" "$work/times"
    # shellcheck disable=SC2059
    printf "\\x$(printf %02x $((was ^ 255)))" | dd of="$file" bs=1 seek="$at" conv=notrunc status=none
    touch -r "$work/times" "$file"
}

set_up demo
title "Building (release; some minutes the first time)"
cargo build --locked --release
target=${CARGO_TARGET_DIR:-$PWD/target}
goodgate=$target/release/goodgate
SECONDS=0

# Nothing of the user's own station takes part.
unset GOODGATE_CONFIG GOODGATE_CATALOG GOODGATE_MEDIA GOODGATE_LOG
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
title "1. A station in a folder of its own"
choose_folder
choose_disk
mkdir "$work/disk/dumps" "$work/disk/raid" "$work/disk/shuttle"
export GOODGATE_CONFIG=$work/config.toml XDG_STATE_HOME=$work/state
cat >"$GOODGATE_CONFIG" <<TOML
[catalog]
path = "$work/catalog.db"

[[destination]]
name = "RAID"
path = "$work/disk/raid"

[[destination]]
name = "shuttle"
path = "$work/disk/shuttle"

[[watch]]
path = "$work/disk/dumps"
settle_secs = 3
poll_secs = 1

# All of the demo lies on one disk. On a real station this line must not be there.
[policy]
distinct_devices = false
TOML
note "Settings: $GOODGATE_CONFIG"
note "It watches one dump folder and copies to two destinations. All of it lies on one disk, so the settings say"
note "distinct_devices = false; every verdict below names that relaxation first. A real station has two disks."
"$goodgate" config check

title "2. Two sample cards, made with ffmpeg"
camera_card "$work/cards/A001"
sound_card "$work/cards/S001"
(cd "$work/cards" && find . -type f -printf '%9s bytes  %P\n' | sort -k 3)

title "3. The daemon runs; both cards are dropped into the dump folder, slowly"
"$goodgate" --progress plain daemon >"$work/daemon.log" 2>&1 &
daemon=$!
drop "$work/cards/A001" "$work/disk/dumps/A001" &
dropping=$!
drop "$work/cards/S001" "$work/disk/dumps/S001"
wait "$dropping"
dropping=
note "Dropped. Each is taken up when nothing in it has changed for 3 seconds; then it is copied to both destinations,"
note "every copy is read back from the disk, the dump is read a second time, a manifest is sealed."

title "4. The verdicts"
wait_for_verdict A001
wait_for_verdict S001

title "5. What the catalog knows"
wait_for_proxies
show cards
show find camera:test
show find roll:S001
show show A001C001
note ""
note "Manifests (ASC MHL):"
find "$work/disk/raid" "$work/disk/shuttle" -path '*/ascmhl/*' -type f | sort
note "Proxies and posters:"
find "$work/media" -type f | sort

title "6. One byte of one copy is flipped behind the program's back; size and time stay the same"
show verify A001
victim=$work/disk/raid/A001/CLIPS/A001C001.MOV
flip_byte "$victim" 2500000
note ""
note "Byte 2500000 of $victim is now another one."
code=0
show verify A001 || code=$?
[ "$code" = 11 ] || die "verify ended with exit $code; 11 was expected"
note "(exit code 11: bytes differ. The block named is the one mebibyte that holds byte 2500000.)"
code=0
show status A001 || code=$?
[ "$code" = 20 ] || die "status ended with exit $code; 20 was expected"
note "(exit code 20: the card is not safe any more)"

title "7. The daemon stops when asked to"
kill -TERM "$daemon"
code=0
wait "$daemon" || code=$?
daemon=
note "SIGTERM: it ended with exit code $code. Its log: $work/daemon.log"
[ "$code" = 0 ] || die "the daemon ended with exit $code"

note ""
[ -n "$provable" ] || note "No GOOD GATE was possible here. With a folder on a real disk in GOODGATE_DEMO_DIR it is."
note "All of it took $SECONDS s. To look around:"
[ -z "$mounted" ] || note "  (the copies lie in the image $image, mounted at $work/disk)"
note "  export GOODGATE_CONFIG=$GOODGATE_CONFIG PATH=\"$target/release:\$PATH\""
note "  goodgate find camera:test; goodgate --help"
