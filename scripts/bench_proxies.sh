# Sourced by bench.sh: `--set proxies`. One goodgate-media child makes everything of a clip in one decode and reads every
# proxy back; beside it the ffmpeg program of the same libav makes the relink proxy alone, all outputs in runs of their
# own, and all of them in one run.
# shellcheck shell=bash

# The same sound for all: two channels, 24 bits.
tone() { printf 'anoisesrc=d=%s:c=pink:r=48000:a=0.3,aformat=channel_layouts=stereo' "$1"; }

# describe_clip NAME: its raster, encoder and file. Bit rates are those of cameras.
describe_clip() {
    local size=3840x2160
    case $1 in
        h264) name="UHD H.264 8-bit 4:2:0" file=h264.mov pixels=yuv420p coder=(-c:v libx264 -preset veryfast -b:v 100M -g 25) ;;
        hevc) name="UHD HEVC 10-bit 4:2:2" file=hevc.mov pixels=yuv422p10le coder=(-c:v libx265 -preset ultrafast -b:v 150M
            -tag:v hvc1 -x265-params "log-level=error:keyint=25:bframes=2") ;;
        prores) size=1920x1080 name="1080p ProRes 422 HQ" file=prores.mov pixels=yuv422p10le coder=(-c:v prores_ks
            -profile:v hq -qscale:v 4) ;;
    esac
    if [ -n "$quick" ]; then size=640x360 name="$name (quick)"; fi
    picture=$size
}

# Moving, with grain, so that nothing is easy to encode; its seconds repeat, as making them costs the most. With --keep the
# clips stay beside the working folder, for the next run.
make_clip() {
    [ ! -s "$clip" ] || return 0
    mkdir -p "${clip%/*}"
    local once=4 times=4 source
    if [ -n "$quick" ]; then once=1 times=0; fi
    say "making the clip $name"
    source="testsrc2=s=$picture:r=25:d=$once[a];mandelbrot=s=$picture:r=25[b];[a][b]blend=all_mode=average:shortest=1,"
    source+="noise=alls=8:allf=t+u,format=$pixels"
    run_child ffmpeg -v error -y -filter_complex "$source" "${coder[@]}" -t "$once" "$work/once.mov"
    run_child ffmpeg -v error -y -stream_loop "$times" -i "$work/once.mov" -f lavfi -i "$(tone $((once * (times + 1))))" \
        -map 0:v -map 1:a -c:v copy -c:a pcm_s24le -timecode 01:00:00:00 -f mov "$work/whole"
    rm "$work/once.mov"
    mv "$work/whole" "$clip"
}

# Settings of the presets (src/preset.rs), in ffmpeg's words.
relink=(-c:v prores_ks -profile:v proxy -qscale:v 11 -vendor apl0 -c:a pcm_s24le)
web=(-c:v libx264 -preset veryfast -crf 23 -g 12 -bf 0 -c:a aac -b:a 160k -ac 2 -movflags +faststart)
to_relink="scale=w='min(iw,1920)':h=-2:flags=bicubic,format=yuv422p10le"
to_web="scale=w='min(iw,1280)':h=-2:flags=bicubic,format=yuv420p"
to_still="scale=640:-2:flags=bicubic,format=yuvj420p"
tiles() { printf 'fps=60/%s,scale=320:-2:flags=bicubic,format=yuvj420p,tile=10x6' "$seconds"; }
# Loudness, peaks, and a sum for each point of a waveform.
levels="ebur128=framelog=verbose,asetnsamples=n=256,astats=metadata=1:reset=1:measure_overall=none"

encode() { timed "$1" ffmpeg -v error -nostdin -y "${@:2}"; }

by_relink_alone() { encode relink -i "$clip" -vf "$to_relink" "${relink[@]}" "$run/relink.mov"; }

by_separate() {
    by_relink_alone &&
        encode web -i "$clip" -vf "$to_web" "${web[@]}" "$run/web.mp4" &&
        encode poster -ss "$((seconds / 10))" -i "$clip" -vf "$to_still" -frames:v 1 "$run/poster.jpg" &&
        encode strip -i "$clip" -an -vf "$(tiles)" -frames:v 1 "$run/strip.jpg" &&
        encode levels -i "$clip" -vn -af "$levels" -f null -
}

# In a cascade, as we do it: from the clip itself each would scale the whole picture again.
by_one_run() {
    local graph="[0:v]${to_relink},split[r][r2];[r2]${to_web},split=3[w][w2][w3];"
    graph+="[w2]select=eq(n\,$((seconds * 25 / 10))),${to_still}[p];[w3]$(tiles)[s];[0:a]asplit=3[a][b][c0];[c0]${levels}[c]"
    encode all -i "$clip" -filter_complex "$graph" -map '[r]' -map '[a]' "${relink[@]}" "$run/relink.mov" \
        -map '[w]' -map '[b]' "${web[@]}" "$run/web.mp4" -map '[p]' -frames:v 1 "$run/poster.jpg" \
        -map '[s]' -frames:v 1 "$run/strip.jpg" -map '[c]' -f null -
}

# The child as goodgate starts it: the clip on descriptor 0, an output on each from 3 on, nothing in its environment.
by_goodgate_media() {
    local request
    request=$(jq -cn --argjson version "$protocol" --argjson threads "$(nproc)" '
        def proxy(preset; container): {proxy: {preset: preset, container: container, vfr: false}};
        {version: $version, source: "file", more: 0, whole: false, finishes: [], luts: [], start_tc: ["01:00:00:00", 25, 1], reel: "A001", clip: "A001C001", sprite: "A001C001.jpg",
         memory_bytes: 4294967296, cpu_secs: 3600, output_bytes: 8589934592, max_pixels: 134217728,
         max_frames: 1000000, threads: $threads, allow_unconfined: false,
         outputs: [proxy("prores-proxy"; "mov"), proxy("web"; "mp4"), "poster", "filmstrip", "filmstrip-index",
                   "waveform", "qc"]}')
    # shellcheck disable=SC2016
    timed derive env -i MALLOC_ARENA_MAX=2 bash -c 'run=$3; exec "$1" derive "$2" <"$4" 3<>"$run/relink.mov" \
        4<>"$run/web.mp4" 5<>"$run/poster.jpg" 6<>"$run/strip.jpg" 7<>"$run/strip.vtt" 8<>"$run/levels.json" \
        9<>"$run/qc.json"' child "$media" "$request" "$run" "$clip" || { why="exit $code"; return 1; }
    # Four letters, four bytes of length, then JSON.
    tail -c +9 "$logs/derive.out" | jq -e '.body.derived | length == 7 and all(.[]; has("done"))' >"$logs/judged" \
        || { why="not every output was made: $(tail -c +9 "$logs/derive.out" | head -c 400)"; return 1; }
}

measure_proxies() {
    local method=$1 round=$2 total=0 stage
    run=$work/run why="" last="" code=0 cpu_cs=0 peak_kib=0 own_read_bytes=0
    declare -gA stages=()
    mkdir "$run"
    if ! "by_$method"; then
        why=${why:-exit $code at the step: $last}
        say "FAILED: $method, $name: $why"
        tail -n 5 "$logs/$last".err | cut -c 1-500 >&2 || true
    fi
    for stage in "${!stages[@]}"; do total=$((total + stages[$stage])); done
    jq -cn --arg clip "$name" --arg method "$method" --argjson round "$round" --arg why "$why" \
        --argjson secs "$(secs "$total")" --argjson cpu_cs "$cpu_cs" --argjson peak "$peak_kib" \
        '{clip: $clip, method: $method, round: $round, failed: (if $why == "" then null else $why end), secs: $secs,
          cpu_secs: ($cpu_cs / 100), peak_kib: $peak}' >>"$work/samples.jsonl"
    say "  $name, round $round: $method $(secs "$total") s"
    rm -rf "$run"
}

run_proxies() {
    local which round turn methods=(goodgate_media relink_alone separate one_run)
    media=${goodgate%/*}/goodgate-media
    [ -x "$media" ] || die "there is no program \"$media\""
    protocol=$(sed -n 's/^pub const VERSION: u32 = \([0-9]*\);/\1/p' src/media/protocol.rs)
    fact Peer "$(ffmpeg -version | head -n 1 | cut -d' ' -f1-3)"
    seconds=20
    if [ -n "$quick" ]; then seconds=1; fi
    for which in h264 hevc prores; do
        describe_clip "$which"
        clip=$work/$file
        [ -z "$keep" ] || clip=$dir/clips/${quick:+quick-}$file
        make_clip
        # Read once, so that nobody waits for the disk: all of this is bound by the processor.
        cat "$clip" >/dev/null
        for ((round = 1; round <= rounds; round++)); do
            for turn in "${!methods[@]}"; do
                measure_proxies "${methods[(turn + round - 1) % ${#methods[@]}]}" "$round"
            done
        done
        [ -n "$keep" ] || rm -f "$clip"
    done
}
