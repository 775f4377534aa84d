# Sourced by bench.sh: `--set patrol`. Copies are proven again: by goodgate from its catalog, by b3sum from a list of
# digests, and beside them the plain read of the same bytes by fio. Each from a cold cache.
# shellcheck shell=bash

# describe_shelf SET: files, bytes each, name.
describe_shelf() {
    case $1$quick in
        b) files=20 each=400000000 name="20 x 400 MB" ;;
        c) files=100000 each=20000 name="100,000 x 20 KB" ;;
        byes) files=4 each=16000000 name="(quick) 4 x 16 MB" ;;
        cyes) files=200 each=20000 name="(quick) 200 x 20 KB" ;;
    esac
    bytes=$((files * each))
}

# The catalog and the list know every file; fio reads many small ones as one large one.
make_shelf() {
    make_card "$set"
    shelf=$work/$set.shelf
    mkdir "$shelf"
    printf '[catalog]\npath = "%s/catalog.db"\n' "$shelf" >"$shelf/config.toml"
    [ -z "$settings" ] || cat "$settings" >>"$shelf/config.toml"
    say "registering it"
    # A roll that nobody offloaded: sound (0), and never safe.
    ours=(env XDG_STATE_HOME="$shelf/state" "$goodgate" --config "$shelf/config.toml")
    run_child "${ours[@]}" register "$card" --no-media --progress never --json >"$logs/register.out" \
        || die "the files could not be registered: $(head -c 400 "$logs/register.out")"
    (cd "$card" && find . -type f -not -path './ascmhl/*' -print0 | sort -z | xargs -0 b3sum) >"$shelf/b3sums"
    plain=("$card"/*.*)
    if [ "$set" = c ]; then
        plain=("$shelf/plain")
        step plain fio --name=plain --ioengine=libaio --direct=1 --bs=4M --iodepth=4 --rw=write --filename="${plain[0]}" \
            --size=$(((bytes + (4 << 20) - 1) >> 22 << 22)) --fallocate=native --end_fsync=1 || die "fio could not write"
    fi
}

by_patrol() {
    timed patrol "${ours[@]}" patrol --due 0s --json --progress never || { why="exit $code"; return 1; }
    jq -e --argjson files "$files" --argjson bytes "$bytes" '.files == $files and .good == $files and .bytes == $bytes
        and .findings == [] and .complete' "$logs/patrol.out" >"$logs/judged" || { why="not every copy was proven"; return 1; }
    in_catalog=$(jq .catalog_seconds "$logs/patrol.out")
}

by_b3sum() {
    # shellcheck disable=SC2016
    timed check bash -c 'cd "$1" && exec b3sum --quiet --check "$2"' check "$card" "$shelf/b3sums"
}

by_raw_read() { phase read read "${plain[@]}"; }

measure_patrol() {
    local method=$1 round=$2 total=0 stage
    run=$work/run why="" last="" code=0 cpu_cs=0 peak_kib=0 own_read_bytes=0 in_catalog=null
    declare -gA stages=()
    mkdir "$run"
    cold
    settle
    counters
    before=$read_bytes
    if ! "by_$method"; then
        why=${why:-exit $code at the step: $last}
        say "FAILED: $method, $name: $why"
        tail -n 5 "$logs/$last".{out,err} | cut -c 1-500 >&2 || true
    fi
    counters
    for stage in "${!stages[@]}"; do total=$((total + stages[$stage])); done
    jq -cn --arg shelf "$name" --argjson files "$files" --argjson bytes "$bytes" --arg method "$method" \
        --argjson round "$round" --arg why "$why" --argjson secs "$(secs "$total")" --argjson cpu_cs "$cpu_cs" \
        --argjson peak "$peak_kib" --argjson read "$((read_bytes - before))" --argjson in_catalog "$in_catalog" \
        '{shelf: $shelf, files: $files, bytes: $bytes, method: $method, round: $round,
          failed: (if $why == "" then null else $why end), secs: $secs, cpu_secs: ($cpu_cs / 100), peak_kib: $peak,
          read_bytes: $read, catalog_secs: $in_catalog}' >>"$work/samples.jsonl"
    say "  $name, round $round: $method $(secs "$total") s"
    rm -rf "$run"
}

run_patrol() {
    local round turn methods=(patrol b3sum raw_read)
    for set in b c; do
        describe_shelf "$set"
        card=$work/$set/A001
        make_shelf
        for ((round = 1; round <= rounds; round++)); do
            for turn in "${!methods[@]}"; do
                measure_patrol "${methods[(turn + round - 1) % ${#methods[@]}]}" "$round"
            done
        done
        [ -n "$keep" ] || rm -rf "${work:?}/$set" "$shelf"
    done
}
