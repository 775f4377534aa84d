"""The table of `bench.sh --set patrol`, and its bars."""

from statistics import median

from table_proxies import cells, peak_mb

METHODS = {
    "patrol": "goodgate patrol",
    "b3sum": "b3sum --check",
    "raw_read": "fio, direct read",
}
RAW_BAR = 0.9
CATALOG_BAR = 0.01
MEMORY_BAR_MB = 100
LARGE_BYTES = 1_000_000

LEGEND = """\
Seconds are medians over the rounds; in brackets is how many times goodgate's time that is (below 1: faster than goodgate).
Each method begins with a cold cache.

- goodgate patrol: `patrol --due 0s` of a registered folder: every file, its manifests, and what is new; with its start.
- b3sum: `--quiet --check` with the digests of the same files; it maps large files, which counts as its memory.
- fio: the bytes alone, by large direct transfers, nothing done with them; small files are taken as one large one.
- GiB are what the kernel counted at the device. CPU is user and kernel time. Peak is the resident memory.
- in the catalog: the part of goodgate's time in which it waited for SQLite, while its lanes went on reading."""


def mid(row, method, key="secs"):
    return median(s[key] for s in row[method])


def in_catalog(row):
    """Of goodgate's whole time."""
    return median(s["catalog_secs"] / s["secs"] for s in row["patrol"])


def rows(samples):
    out = [["files", "", *METHODS.values()]]
    for shelf, row in cells(samples, "shelf").items():
        times, cost = [], []
        for method in METHODS:
            if method not in row:
                times.append("failed")
                cost.append("-")
                continue
            ratio = ""
            if method != "patrol" and "patrol" in row:
                ratio = f" ({mid(row, method) / mid(row, 'patrol'):.2f}x)"
            times.append(f"{mid(row, method):.2f}{ratio}")
            read = mid(row, method, "read_bytes") / 2**30
            cost.append(f"{read:.2f} / {mid(row, method, 'cpu_secs'):.1f} / {peak_mb(row, method):.0f}")
        out.append([shelf, "s", *times])
        out.append(["", "GiB read / CPU s / peak MB", *cost])
    return out


def bars(samples):
    for shelf, row in cells(samples, "shelf").items():
        if len(row) < len(METHODS):
            yield f"{shelf}: not judged, as not every method worked"
            continue
        ours = mid(row, "patrol")
        sample = row["patrol"][0]
        raw, b3sum = mid(row, "raw_read") / ours, mid(row, "b3sum") / ours
        peak, share = peak_mb(row, "patrol"), in_catalog(row)
        good = b3sum >= 1 and peak < MEMORY_BAR_MB
        told = [f"{b3sum:.2f}x as fast as b3sum (1x)"]
        if sample["bytes"] / sample["files"] >= LARGE_BYTES:
            good = good and raw >= RAW_BAR
            told.append(f"{raw:.2f} of the raw read's rate ({RAW_BAR})")
        else:
            good = good and share <= CATALOG_BAR
            told.append(f"{share:.1%} of the time in the catalog ({CATALOG_BAR:.0%})")
        if any(s["read_bytes"] < s["bytes"] * 0.98 for s in row["patrol"]):
            good = False
            told.append("TOO FEW bytes were read from the device")
        told.append(f"peak {peak:.0f} MB (under {MEMORY_BAR_MB})")
        yield f"{shelf}: {', '.join(told)}: {'met' if good else 'MISSED'}"
