#!/usr/bin/env bash
# How fast goodgate is here, beside what people copy cards with today. All methods work on the same disk in the same run,
# in turns, each from a cold cache, and each must prove its copies; one table says what it took. Sets the machine up and
# builds first. Works in a fresh folder and leaves nothing behind. `--help` has the options.
set -euo pipefail
start=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/setup.sh
. scripts/setup.sh
# shellcheck source=scripts/bench_proxies.sh
. scripts/bench_proxies.sh
# shellcheck source=scripts/bench_patrol.sh
. scripts/bench_patrol.sh
export LC_ALL=C

usage() {
    cat <<'TEXT'
usage: scripts/bench.sh [options]

  --set a,b,c       cards: (a) one clip of 8 GiB, (b) 20 of 400 MB, (c) 10,000 frames of 200 KB; all of them by default
  --set proxies     instead: what is made of a clip, beside the ffmpeg program, on clips of 20 seconds
  --set patrol      instead: copies proven again, 20 files of 400 MB and 100,000 of 20 KB, beside b3sum and a plain read
  --dests 1,2,3     how many destinations; all of them by default
  --rounds N        how often each method runs for each card and number; 3 by default
  --dir DIR         where to work, on the disk to be measured; below the project's target folder by default
  --quick           tiny cards: shows that everything works, and nothing else
  --memory          instead: goodgate's peak memory with a clip of 1 GiB and one of 16 GiB (both sparse), to two
                    destinations; one round by default
  --json FILE       also writes every sample there
  --keep            keeps the cards and the last logs; copies are always removed
  --dd              takes the device's limit with dd in place of fio
  --goodgate FILE   measures this program; nothing is built, and the hash cost is left out
  --settings FILE   more lines for goodgate's settings, e.g. [[device]] where the kernel takes a disk for a spinning one

Up to 34 GB are used at once. Dropping the cache needs root (or sudo); without, it is dropped file by file.
TEXT
}

wrong() {
    say "$0: $1"
    usage >&2
    exit 2
}

sets=(a b c)
dests=(1 2 3)
rounds=
dir=
quick=
memory=
apart=
json=
keep=
without_fio=
goodgate=
settings=
while [ $# -gt 0 ]; do
    case $1 in
        --quick) quick=yes ;;
        --memory) memory=yes ;;
        --keep) keep=yes ;;
        --dd) without_fio=yes ;;
        -h | --help) usage; exit ;;
        --set | --dests | --rounds | --dir | --json | --goodgate | --settings)
            [ $# -ge 2 ] || wrong "$1 needs a value"
            case $1 in
                --set) if [[ $2 =~ ^(proxies|patrol)$ ]]; then apart=$2; else
                    [[ $2 =~ ^[abc](,[abc])*$ ]] || wrong "--set: no set is called \"$2\""; IFS=, read -ra sets <<<"$2"
                fi ;;
                --dests) [[ $2 =~ ^[123](,[123])*$ ]] || wrong "--dests: 1, 2 or 3"; IFS=, read -ra dests <<<"$2" ;;
                --rounds) [[ $2 =~ ^[1-9][0-9]?$ ]] || wrong "--rounds: 1 to 99"; rounds=$2 ;;
                *)
                    file=$2
                    case $file in /*) ;; *) file=$start/$file ;; esac
                    printf -v "${1#--}" %s "$file"
                    ;;
            esac
            shift
            ;;
        *) wrong "unknown: $1" ;;
    esac
    shift
done
[ -n "$rounds" ] || rounds=$([ -n "$memory" ] && echo 1 || echo 3)

# --- the folder and its disk -----------------------------------------------------------------------------------------

exec 3>&1 4>&2
child=
work=
printed=
report() { python3 benches/table.py "$work" ${json:+"$json"}; }
clean_up() {
    local code=$?
    trap - EXIT
    # Nothing interrupts the cleaning. The signal may have come while output went to a log.
    trap '' INT TERM HUP
    exec >&3 2>&4
    if [ -n "$child" ]; then
        { kill -TERM -- "-$child" || kill -TERM "$child"; } 2>/dev/null || true
        for _ in {1..100}; do
            kill -0 -- "-$child" 2>/dev/null || break
            sleep 0.1
        done
        kill -KILL -- "-$child" 2>/dev/null || true
        wait "$child" 2>/dev/null || true
    fi
    if [ -n "$work" ]; then
        if [ -z "$printed" ] && [ -s "$work/samples.jsonl" ]; then
            say "stopped; what was measured so far:"
            report || true
        fi
        if [ -n "$keep" ]; then
            rm -rf "$work"/run/d[1-9]
            say "kept: $work"
        else
            rm -rf "$work"
        fi
    fi
    exit "$code"
}

choose_folder() {
    [ -n "$dir" ] || { dir=${CARGO_TARGET_DIR:-$PWD/target}/bench && mkdir -p "$dir"; }
    dir=$(cd "$dir" && pwd -P) || die "--dir: there is no such folder"
    # fio takes ':' for the end of a name; TOML and JSON have signs of their own.
    [[ $dir =~ ^[A-Za-z0-9/._+@-]+$ ]] || die "the folder's path holds signs that fio would misread: \"$dir\""
    find_disk
}

make_folder() {
    work=$(mktemp -d "$dir/goodgate-bench.XXXXXX")
    logs=$work/logs
    mkdir "$logs"
}

# Speed and proof are of a device; what has none below it can show neither.
find_disk() {
    local number name
    # Of several mounts at one place the last one is on top.
    read -r fs number mounted < <(findmnt -nro FSTYPE,MAJ:MIN,OPTIONS -T "$dir" | tail -n 1)
    disk=/sys/dev/block/$number
    # btrfs answers with a number of its own.
    if [ ! -r "$disk/stat" ]; then
        number=$(findmnt -nvro SOURCE -T "$dir" | tail -n 1 | xargs lsblk -dnro MAJ:MIN 2>/dev/null) || number=none
        disk=/sys/dev/block/$number
    fi
    [ -r "$disk/stat" ] || die "\"$dir\" lies on $fs, which has no block device below it: nothing can be measured there" \
        "--dir names a folder on a real disk"
    name=$(basename "$(readlink -f "$disk")")
    case $name in
        zram* | ram*) die "\"$dir\" lies on $name, which is memory" "--dir names a folder on a real disk" ;;
        loop*) say "note: \"$dir\" lies in an image ($name); what is below that may answer from a cache" ;;
    esac
}

# Sectors of 512 bytes, whatever the disk's own are.
counters() {
    local s
    read -ra s <"$disk/stat"
    read_bytes=$((s[2] * 512))
    written_bytes=$((s[6] * 512))
}

free_bytes() { df --output=avail -B1 "$dir" | tail -n 1; }

# --- a cold cache ----------------------------------------------------------------------------------------------------

# One helper for the whole run, so that a password is asked for at most once.
choose_drop() {
    drop_how="file by file (posix_fadvise)"
    # So small that it is not worth the rest of the machine's cache.
    [ -z "$quick" ] || return 0
    if may_be_root && root sh -c 'echo 3 >/proc/sys/vm/drop_caches' 2>/dev/null; then
        coproc DROP { root sh -c 'while read -r _; do echo 3 >/proc/sys/vm/drop_caches && echo dropped; done'; }
        drop_how="whole (drop_caches)"
        return
    fi
    say "NOTE: dropping the page cache needs root. It is dropped FILE BY FILE instead: names and inodes stay cached, and"
    say "NOTE: so does what another program holds. Every method gets the same, but this is not quite a cold cache."
}

# Never within a time that counts.
cold() {
    sync -f "$work"
    if [ -n "${DROP_PID:-}" ]; then
        local answer=
        echo drop >&"${DROP[1]}"
        read -r answer <&"${DROP[0]}" || true
        [ "$answer" = dropped ] || die "the page cache could not be dropped any more"
    else
        python3 benches/forget.py "$card" "$run"
    fi
}

# Removed files are trimmed, and others use the disk too: waits until it rests, ten seconds at most.
settle() {
    local was
    [ -z "$quick" ] || return 0
    for _ in {1..20}; do
        was=$(<"$disk/stat")
        sleep 0.5
        [ "$was" != "$(<"$disk/stat")" ] || return 0
    done
}

# --- cards -----------------------------------------------------------------------------------------------------------

# describe SET: files, bytes each, name.
describe() {
    case $1$quick in
        a) files=1 each=$((8 << 30)) name="(a) 1 x 8 GiB" ;;
        b) files=20 each=400000000 name="(b) 20 x 400 MB" ;;
        c) files=10000 each=200000 name="(c) 10,000 x 200 KB" ;;
        ayes) files=1 each=$((64 << 20)) name="(a, quick) 1 x 64 MiB" ;;
        byes) files=4 each=16000000 name="(b, quick) 4 x 16 MB" ;;
        cyes) files=100 each=200000 name="(c, quick) 100 x 200 KB" ;;
    esac
    bytes=$((files * each))
}

# In a session of its own, so that whatever it starts can be ended with it; waited for in a way that a signal breaks.
run_child() {
    setsid "$@" </dev/null 3>&- 4>&- &
    child=$!
    local code=0
    wait "$child" || code=$?
    child=
    return "$code"
}

# Bytes that no disk can make smaller.
make_card() {
    say "making the card $name"
    mkdir -p "$card"
    if [ "$1" = c ]; then
        # shellcheck disable=SC2016
        run_child bash -c 'head -c "$1" /dev/urandom | split -b "$2" -a 6 -d --additional-suffix=.dpx - "$3"' \
            frames "$bytes" "$each" "$card/A001C001_"
    else
        local n
        for ((n = 1; n <= files; n++)); do
            run_child dd if=/dev/urandom of="$card/$(printf 'A001C%03d.MOV' "$n")" bs=8M iflag=fullblock,count_bytes \
                count="$each" status=none
        done
    fi
    sync -f "$card"
}

# --- one measurement -------------------------------------------------------------------------------------------------

# step STAGE COMMAND...: runs it; took (microseconds), cpu, peak. What it said is in $logs/STAGE.out and .err.
step() {
    local stage=$1 from until used
    shift
    from=${EPOCHREALTIME/./}
    code=0
    run_child "$gnu_time" -q -o "$logs/time" -f '%U %S %M %I' "$@" >"$logs/$stage.out" 2>"$logs/$stage.err" || code=$?
    until=${EPOCHREALTIME/./}
    took=$((until - from))
    read -ra used < <(tail -n 1 "$logs/time")
    cpu_cs=$((cpu_cs + 10#${used[0]/./} + 10#${used[1]/./}))
    if [ "${used[2]}" -gt "$peak_kib" ]; then peak_kib=${used[2]}; fi
    own_read_bytes=$((own_read_bytes + used[3] * 512))
    last=$stage
    return "$code"
}

count() { stages[$1]=$((${stages[$1]:-0} + took)); }
# Counts also what failed: the caller decides.
timed() {
    step "$@" || true
    count "$1"
    return "$code"
}

# `--verify full` is the default: the card is read twice, every copy once. One copy is never SAFE, by policy.
by_goodgate() {
    local want=0 safe=true args=() d
    if [ ${#to[@]} = 1 ]; then want=20 safe=false; fi
    for d in "${to[@]}"; do args+=(--to "$d"); done
    {
        printf '[catalog]\npath = "%s/catalog.db"\n[policy]\ndistinct_devices = false\n' "$run"
        [ -z "$settings" ] || cat "$settings"
    } >"$run/config.toml"
    timed offload env XDG_STATE_HOME="$run/state" "$goodgate" --config "$run/config.toml" offload "$card" "${args[@]}" \
        --json --progress never --no-media --allow-same-device || true
    [ "$code" = "$want" ] || { why="exit $code in place of $want"; return 1; }
    jq -e --argjson to ${#to[@]} --argjson files "$files" --argjson bytes "$bytes" --argjson safe "$safe" '
        .files == $files and .bytes == $bytes and .safe == $safe and .findings == [] and .hold == null
        and (.copies | length) == $to
        and all(.copies[]; .files == $files and .verified == $files and .read_back == "device" and .sealed)
        ' "$logs/offload.out" >"$logs/judged" || { why="not every file is proven on every destination"; return 1; }
}

by_cp() {
    local d from
    for d in "${to[@]}"; do timed copy cp -a ${no_clone:+"$no_clone"} "$card" "$d/" || return; done
    timed sync sync -f "$run" || return
    cold
    for from in "$card" "${to[@]/%//A001}"; do
        # shellcheck disable=SC2016
        timed check bash -o pipefail -c 'cd "$1" && find . -type f -print0 | sort -z | xargs -0 b3sum' sums "$from" || return
        if [ "$from" = "$card" ]; then mv "$logs/check.out" "$logs/source.b3"; continue; fi
        if ! { [ "$(wc -l <"$logs/source.b3")" = "$files" ] && cmp -s "$logs/source.b3" "$logs/check.out"; }; then
            why="digests differ"
            return 1
        fi
    done
}

by_rsync() {
    local d
    for d in "${to[@]}"; do timed copy rsync -a "$card" "$d/" || return; done
    timed sync sync -f "$run" || return
    cold
    for d in "${to[@]}"; do
        timed check rsync -a --checksum --dry-run --itemize-changes "$card" "$d/" || return
        [ ! -s "$logs/check.out" ] || { why="the checksum pass found differences"; return 1; }
    done
}

by_rclone() {
    local d rclone=(env RCLONE_CONFIG="$run/rclone.conf" rclone)
    for d in "${to[@]}"; do timed copy "${rclone[@]}" copy "$card" "$d/A001" || return; done
    timed sync sync -f "$run" || return
    cold
    for d in "${to[@]}"; do
        timed check "${rclone[@]}" check --download "$card" "$d/A001" || return
        grep -q " $files matching files" "$logs/check.err" || { why="not every file was compared"; return 1; }
    done
}

# The same bytes with nothing done to them: card, copies, copies again, card again, one after the other, each phase with
# large direct transfers. Many small files are taken as one large one.
by_limit() {
    local source=("$card"/*) d
    if [ "$set" = c ]; then
        # Written first, and not counted as a read of the card.
        source=("$run/source")
        phase card write "$run/source" || return
        unset 'stages[card]'
        counters
        before=("$read_bytes" "$written_bytes")
        cpu_cs=0 own_read_bytes=0
    fi
    phase card read "${source[@]}" || return
    for d in "${to[@]}"; do phase copies write "$d/limit" || return; done
    for d in "${to[@]}"; do phase read_back read "$d/limit" || return; done
    phase card_again read "${source[@]}"
}

# phase STAGE read|write FILE...
phase() {
    local stage=$1 way=$2 file
    shift 2
    if [ -n "$without_fio" ]; then
        for file in "$@"; do
            if [ "$way" = read ]; then
                timed "$stage" dd if="$file" of=/dev/null bs=8M iflag=direct || return
            else
                timed "$stage" dd if=/dev/zero of="$file" bs=8M iflag=fullblock,count_bytes count="$bytes" oflag=direct \
                    conv=fsync || return
            fi
        done
        return
    fi
    local options=(--name="$stage" --ioengine=libaio --direct=1 --bs=4M --iodepth=4 --output-format=json)
    options+=(--output="$logs/fio.json" --rw="$way")
    if [ "$way" = write ]; then
        options+=(--filename="$1" --size=$(((bytes + (4 << 20) - 1) >> 22 << 22)) --fallocate=native --end_fsync=1)
    elif [ $# = 1 ]; then
        options+=(--filename="$1" --readonly)
    else
        # All files of one folder, one after the other: a list of names has a limit.
        options+=(--opendir="${1%/*}" --file_service_type=sequential --readonly)
    fi
    # On huge pages, as our own buffers are: on small ones its requests are cut to less than 1 MiB.
    GLIBC_TUNABLES=glibc.malloc.hugetlb=1 step "$stage" fio "${options[@]}" || return
    # Its own clock, without its start; scaled, because it leaves out what does not fill a transfer. A note may come first.
    took=$(sed -n '/^{/,$p' "$logs/fio.json" | jq --argjson bytes "$bytes" \
        '.jobs[0] | (if .read.io_bytes > 0 then .read else .write end) | .runtime * 1000 * $bytes / .io_bytes | round') \
        || { why="fio said nothing useful"; return 1; }
    count "$stage"
}

secs() { printf '%d.%06d' $(($1 / 1000000)) $(($1 % 1000000)); }

# measure METHOD ROUND: one line in samples.jsonl. A method that fails is noted, and the others go on.
measure() {
    local method=$1 round=$2 total=0 stage told="" proven=null least d
    run=$work/run why="" last="" code=0 cpu_cs=0 peak_kib=0 own_read_bytes=0
    declare -gA stages=()
    to=()
    mkdir "$run"
    for ((d = 1; d <= copies; d++)); do
        mkdir "$run/d$d"
        to+=("$run/d$d")
    done
    cold
    settle
    counters
    before=("$read_bytes" "$written_bytes")
    if ! "by_$method"; then
        why=${why:-exit $code at the step: $last}
        say "FAILED: $method, $name to $copies: $why. Its last words:"
        tail -n 5 "$logs/$last".{out,err} | cut -c 1-500 >&2 || true
    fi
    sync -f "$run"
    counters
    read_bytes=$((read_bytes - before[0]))
    written_bytes=$((written_bytes - before[1]))
    for stage in "${!stages[@]}"; do
        total=$((total + stages[$stage]))
        told+="${told:+, }\"$stage\": $(secs "${stages[$stage]}")"
    done
    # The card twice and every copy once must have come from the device; 2 % for what counts in whole sectors. The device
    # counts the reads of others too; where a process hands in its own reads, the kernel's count for it must say the same.
    if [ "$method" = goodgate ]; then
        proven=true
        least=$(((card_reads + copies) * bytes * 98 / 100))
        [ "$read_bytes" -ge "$least" ] || proven=false
        case $fs in ext4 | xfs | vfat | exfat) [ "$own_read_bytes" -ge "$least" ] || proven=false ;; esac
        [ $proven = true ] || say "NOT PROVEN: goodgate, $name to $copies: too few bytes were read from the device"
    fi
    {
        printf '{"set": "%s", "card": "%s", "files": %d, "bytes": %d, "dests": %d, "method": "%s", "round": %d, ' \
            "$set" "$name" "$files" "$bytes" "$copies" "$method" "$round"
        printf '"failed": %s, "secs": %s, "stages": {%s}, "cpu_secs": %d.%02d, "peak_kib": %d, ' \
            "$(jq -n --arg why "$why" 'if $why == "" then null else $why end')" "$(secs "$total")" "$told" \
            $((cpu_cs / 100)) $((cpu_cs % 100)) "$peak_kib"
        printf '"read_bytes": %d, "written_bytes": %d, "own_read_bytes": %d, "reads_proven": %s}\n' \
            "$read_bytes" "$written_bytes" "$own_read_bytes" "$proven"
    } >>"$work/samples.jsonl"
    say "  $name to $copies, round $round: $method $(secs "$total") s"
    rm -rf "$run"
}

# fits COPIES WITH_CARD: room for so many copies, and for the card that is not made yet.
fits() {
    local cards=$(($1 + $2)) needed free
    # Its limit is taken with a source of its own.
    [ "$set" != c ] || ((cards += 1))
    needed=$((bytes * cards * 102 / 100 + (256 << 20)))
    free=$(free_bytes)
    [ "$needed" -le "$free" ] && return
    say "skipped: $name to $1 needs $((needed / 1000000)) MB, and $((free / 1000000)) MB are free"
    fact Skipped "$name to $1: needs $((needed / 1000000)) MB, $((free / 1000000)) MB were free"
    return 1
}

# --- the run ---------------------------------------------------------------------------------------------------------

fact() { printf '%s\t%s\n' "$1" "$2" >>"$work/facts.tsv"; }

versions() {
    local tool told=""
    for tool in cp b3sum rsync rclone "$([ -n "$without_fio" ] && echo dd || echo fio)"; do
        told+="${told:+, }$tool $("$tool" --version 2>/dev/null | grep -o '[0-9][0-9.]*[0-9]' | head -n 1)"
    done
    printf %s "$told"
}

facts() {
    local cpu physical spins
    cpu=$(sed -n 's/^model name[[:space:]]*: //p' /proc/cpuinfo | head -n 1)
    if grep -q '^flags.* hypervisor' /proc/cpuinfo; then cpu+=" (virtual machine)"; fi
    fact Machine "${cpu:-$(uname -m)}, $(nproc) cores, $(awk '/^MemTotal/ { printf "%.0f", $2 / 1048576 }' /proc/meminfo) GiB memory"
    fact Kernel "$(uname -sr)"
    physical=$(readlink -f "$disk")
    [ ! -e "$physical/partition" ] || physical=${physical%/*}
    spins=$(cat "$physical/queue/rotational" 2>/dev/null || echo "?")
    fact Disk "$(basename "$physical")$(sed 's/^/, /;s/ *$//' "$physical/device/model" 2>/dev/null || true), $(($(<"$physical/size") / 1953125)) GB; the kernel says $([ "$spins" = 1 ] && echo spinning || echo flash)"
    fact Filesystem "$fs ($mounted)"
    fact Date "$(date -u '+%Y-%m-%d %H:%M UTC')"
    [ "$apart" = proxies ] || fact Cache "dropped $drop_how before each method and before each check"
    fact goodgate "$("$goodgate" --version | cut -d' ' -f2)$([ -z "$built" ] || git describe --always --dirty 2>/dev/null | sed 's/^/, commit /')"
    [ -z "$settings" ] || fact "goodgate's settings" "$(grep -v '^ *#' "$settings" | tr -s '\n\t' '  ')"
    fact quick "${quick:-no}"
    fact memory "${memory:-no}"
    fact set "${apart:-offload}"
    fact Rounds "$rounds"
    [ -z "$memory$apart" ] || return 0
    fact tool "$([ -n "$without_fio" ] && echo "dd (one transfer at a time; zeros)" || echo fio)"
    fact Peers "$(versions)"
}

run_all() {
    local method turn at methods=(goodgate cp rsync rclone limit)
    card_reads=2
    for set in "${sets[@]}"; do
        describe "$set"
        card=$work/$set/A001
        for copies in "${dests[@]}"; do
            fits "$copies" "$([ -d "$card" ] && echo 0 || echo 1)" || continue
            [ -d "$card" ] || make_card "$set"
            for ((round = 1; round <= rounds; round++)); do
                for turn in "${!methods[@]}"; do
                    # Each round begins with another method.
                    at=$(((turn + round - 1) % ${#methods[@]}))
                    measure "${methods[at]}" "$round"
                done
            done
        done
        [ -n "$keep" ] || rm -rf "${work:?}/$set"
    done
    if [ -n "$built" ] && [ -z "$quick" ]; then
        run_child cargo bench -q --locked --bench hash >"$work/hash.txt" || say "FAILED: the hash cost"
    fi
}

# A sparse card: holes take no room, and reading them no device. What is written is real.
run_memory() {
    local size unit=30
    [ -z "$quick" ] || unit=24
    copies=2 files=1 card_reads=0
    for size in 1 16; do
        set=$size bytes=$((size << unit)) name="1 x $([ -n "$quick" ] && echo "$((size * 16)) MiB" || echo "$size GiB"), sparse"
        fits 2 0 || die "no room for the copies" "--dir names a folder on another disk"
        card=$work/$size/A001
        mkdir -p "$card"
        # A clip that begins with zeros counts as never written, and its card is not safe.
        head -c 1M /dev/urandom >"$card/A001C001.MOV"
        truncate -s "$bytes" "$card/A001C001.MOV"
        for ((round = 1; round <= rounds; round++)); do measure goodgate "$round"; done
    done
}

choose_folder
set_up bench
gnu_time=$(type -P time)
built=
if [ -z "$goodgate" ]; then
    say "Building (release; some minutes the first time)"
    cargo build --locked --release
    [ -n "$quick$memory$apart" ] || cargo bench --locked --bench hash --no-run
    goodgate=${CARGO_TARGET_DIR:-$PWD/target}/release/goodgate
    built=yes
fi
[ -x "$goodgate" ] || die "there is no program \"$goodgate\""
[ -z "$settings" ] || [ -r "$settings" ] || die "\"$settings\" cannot be read"

# Nothing of the user's own station takes part.
unset GOODGATE_CONFIG GOODGATE_CATALOG GOODGATE_MEDIA GOODGATE_LOG
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP
make_folder
choose_drop
facts
# A clone is no copy: nothing would be written.
no_clone=
: >"$work/clone"
if cp --reflink=always "$work/clone" "$work/clone.2" 2>/dev/null; then no_clone=--reflink=never; fi
if [ -n "$memory" ]; then run_memory; elif [ -n "$apart" ]; then "run_$apart"; else run_all; fi
printed=yes
report
