"""The table of `bench.sh --set proxies`, and its bars."""

from statistics import median

METHODS = {
    "goodgate_media": "goodgate-media: everything",
    "relink_alone": "(a) ffmpeg: relink proxy alone",
    "separate": "(b) ffmpeg: all, in separate runs",
    "one_run": "(c) ffmpeg: all, in one run",
}
# Of each method's time, what goodgate may take.
BARS = {"relink_alone": 1.25, "separate": 1 / 2.3, "one_run": 1.0}
MEMORY_BAR_MB = 700

LEGEND = """\
Seconds are medians over the rounds; in brackets is how many times that method's time goodgate takes (below 1: goodgate is
faster). Everything is bound by the processor; clips lie in the cache.

- goodgate-media: one child with its sandbox on makes a ProRes relink proxy, a web proxy, poster, filmstrip with its index,
  waveform, loudness and findings (black, frozen, silent, clipped, damaged), and reads both proxies back.
- ffmpeg: the program of the same libav makes the same two proxies, a poster, a filmstrip, and measures loudness and peaks.
  It looks for no findings and reads nothing back.
- CPU is user and kernel time. Peak is the resident memory of the largest process."""


def cells(samples, of="clip"):
    """{clip, or what `of` names: {method: its samples}}; what failed is left out."""
    groups = {}
    for s in samples:
        groups.setdefault(s[of], {}).setdefault(s["method"], []).append(s)
    def good(row):
        return {m: all_of for m, all_of in row.items() if not any(s["failed"] for s in all_of)}

    return {what: good(row) for what, row in groups.items()}


def secs(row, method):
    return median(s["secs"] for s in row[method])


def peak_mb(row, method):
    return max(s["peak_kib"] for s in row[method]) * 1024 / 1e6


def rows(samples):
    out = [["clip", "", *METHODS.values()]]
    for clip, row in cells(samples).items():
        times, cost = [], []
        for method in METHODS:
            if method not in row:
                times.append("failed")
                cost.append("-")
                continue
            judged = method in BARS and "goodgate_media" in row
            ratio = f" ({secs(row, 'goodgate_media') / secs(row, method):.2f}x)" if judged else ""
            times.append(f"{secs(row, method):.1f}{ratio}")
            cost.append(f"{median(s['cpu_secs'] for s in row[method]):.1f} / {peak_mb(row, method):.0f}")
        out.append([clip, "s", *times])
        out.append(["", "CPU s / peak MB", *cost])
    return out


def bars(samples):
    for clip, row in cells(samples).items():
        if len(row) < len(METHODS):
            yield f"{clip}: not judged, as not every method worked"
            continue
        ours, told, good = secs(row, "goodgate_media"), [], True
        for method, bar in BARS.items():
            ratio = ours / secs(row, method)
            good = good and ratio <= bar
            told.append(f"{ratio:.2f}x of {METHODS[method].split()[0]} (at most {bar:.2f})")
        peak = peak_mb(row, "goodgate_media")
        good = good and peak < MEMORY_BAR_MB
        yield f"{clip}: {', '.join(told)}, peak {peak:.0f} MB (under {MEMORY_BAR_MB}): {'met' if good else 'MISSED'}"
