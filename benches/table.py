#!/usr/bin/env python3
"""bench.sh's samples as one Markdown table, and the bars with what became of them.

Usage: table.py WORK [JSON]: WORK holds samples.jsonl, facts.tsv and perhaps hash.txt. Ends with 1 when a method failed, or
when the kernel did not count the reads that a goodgate run must make.
"""

import json
import os
import sys
from statistics import median

import table_patrol
import table_proxies

METHODS = {
    "goodgate": "goodgate",
    "cp": "cp + sync + b3sum",
    "rsync": "rsync + checksum pass",
    "rclone": "rclone + check --download",
    "limit": "device limit",
    "limit_once": "limit, card read once",
}
APART = {"patrol": table_patrol, "proxies": table_proxies}
MEMORY_BAR_MB = 256
MEMORY_GROWTH_BAR_MB = 16

LEGEND = """\
Seconds are medians over the rounds; in brackets is how many times goodgate's time that is (above 1: slower than goodgate).
Every method copies the card to all destinations and proves the copies; waiting for the disk (sync) counts, dropping the
cache does not.

- goodgate: `offload`, as its user runs it, with its manifests, catalog and metadata; the card is read twice, each copy once.
- cp: `cp -a` to each, `sync`, then `b3sum` of the card and all copies from a cold cache, digests compared.
- rsync: `rsync -a` to each, sync, then `rsync -a --checksum --dry-run` to each from a cold cache finds no difference.
- rclone: `rclone copy` to each, sync, then `rclone check --download` of each from a cold cache.
- device limit: {tool}, one phase after the other: the card, the copies written, the copies read back, the card again;
  many small files are taken as one large one. An engine that reads and writes at once can be below that sum.
- GiB are what the kernel counted at the device while the method ran. CPU is user and kernel time of the method's own
  processes. Peak is the resident memory of the largest of them (b3sum maps its files, which counts as its memory)."""


def megabytes(kib):
    return kib * 1024 / 1e6


def gib(count):
    value = count / 2**30
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


class Cell:
    """One method on one card to so many destinations: the medians of its rounds."""

    def __init__(self, samples):
        self.failed = any(s["failed"] for s in samples)
        times = [s["secs"] for s in samples]
        self.secs = median(times)
        self.spread = (max(times) - min(times)) / self.secs if self.secs else 0
        self.read = median(s["read_bytes"] for s in samples)
        self.written = median(s["written_bytes"] for s in samples)
        self.cpu = median(s["cpu_secs"] for s in samples)
        self.peak_mb = max(megabytes(s["peak_kib"]) for s in samples)
        self.unproven = any(s["reads_proven"] is False for s in samples)


def without_second_read(sample):
    once = dict(sample)
    once["secs"] = sample["secs"] - sample["stages"].get("card_again", 0)
    return once


def cells(samples):
    """{(card, dests): {method: Cell}}, in the order of the run."""
    groups = {}
    for s in samples:
        row = groups.setdefault((s["card"], s["dests"]), {})
        row.setdefault(s["method"], []).append(s)
        if s["method"] == "limit":
            row.setdefault("limit_once", []).append(without_second_read(s))
    return {key: {m: Cell(of) for m, of in row.items()} for key, row in groups.items()}


def table(rows):
    """Markdown, padded so that a terminal shows it as a table too."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["| " + " | ".join(c.ljust(w) for c, w in zip(row, widths)) + " |" for row in rows]
    lines.insert(1, "|" + "|".join("-" * (w + 2) for w in widths) + "|")
    return "\n".join(lines)


def speed_rows(groups):
    rows = [["card", "to", "", *METHODS.values()]]
    for (card, dests), row in groups.items():
        ours = row.get("goodgate")
        secs, moved, cost = [], [], []
        for method in METHODS:
            cell = row.get(method)
            if cell is None or cell.failed:
                secs.append("failed" if cell else "-")
                moved.append("-")
                cost.append("-")
                continue
            ratio = ""
            if cell is not ours and ours and not ours.failed:
                ratio = f" ({cell.secs / ours.secs:.2f}x)"
            secs.append(f"{cell.secs:.2f}{ratio}")
            if method == "limit_once":
                moved.append("")
                cost.append("")
                continue
            moved.append(f"{gib(cell.read)} / {gib(cell.written)}{' TOO FEW' if cell.unproven else ''}")
            large = method == "goodgate" and cell.peak_mb >= MEMORY_BAR_MB
            cost.append(f"{cell.cpu:.1f} / {cell.peak_mb:.0f}{' TOO MUCH' if large else ''}")
        rows.append([card, str(dests), "s", *secs])
        rows.append(["", "", "GiB read / written", *moved])
        rows.append(["", "", "CPU s / peak MB", *cost])
    return rows


def met(good):
    return "met" if good else "MISSED"


def bars(groups):
    """The speed bars of one card and number each: a line, or the reason why there is none."""
    for (card, dests), row in groups.items():
        lacking = [m for m in METHODS if m not in row or row[m].failed]
        if lacking:
            yield f"{card} to {dests}: not judged, without {', '.join(lacking)}"
            continue
        if row["goodgate"].unproven:
            yield f"{card} to {dests}: not judged, because goodgate's reads are not proven"
            continue
        ours = row["goodgate"].secs
        cp, rclone = row["cp"].secs / ours, row["rclone"].secs / ours
        limit = ours / row["limit"].secs
        if card.startswith("(c"):
            good = cp >= 2 and rclone >= 2
            line = f"{card} to {dests}: {cp:.2f}x faster than cp (2x), {rclone:.2f}x than rclone (2x): {met(good)}"
        else:
            good = (cp >= 1.5 or limit <= 1.2) and rclone >= 3
            line = (
                f"{card} to {dests}: {cp:.2f}x faster than cp (1.5x) or {limit:.2f}x the limit's time (1.2x), "
                f"and {rclone:.2f}x faster than rclone (3x): {met(good)}"
            )
            # Then no engine that moves these bytes one after the other could meet it.
            if (room := row["rclone"].secs / row["limit"].secs) < 3:
                line += f" (the device's limit itself is {room:.2f}x faster than rclone)"
        yield line


def proofs(samples):
    """What holds for every goodgate run, whatever its speed."""
    ours = [s for s in samples if s["method"] == "goodgate"]
    proven = sum(s["reads_proven"] is True for s in ours)
    yield f"read from the device, by the kernel's counters: {proven} of {len(ours)} goodgate runs: {met(proven == len(ours))}"
    peak = max((megabytes(s["peak_kib"]) for s in ours), default=0)
    yield f"goodgate's peak memory: {peak:.0f} MB (under {MEMORY_BAR_MB}): {met(peak < MEMORY_BAR_MB)}"


def memory_report(samples, facts):
    groups = cells(samples)
    rows = [["card", "to", "s", "GiB read / written", "CPU s", "peak MB"]]
    for (card, dests), row in groups.items():
        c = row["goodgate"]
        if c.failed:
            rows.append([card, str(dests), "failed", "-", "-", "-"])
            continue
        moved = f"{gib(c.read)} / {gib(c.written)}"
        rows.append([card, str(dests), f"{c.secs:.2f}", moved, f"{c.cpu:.1f}", f"{c.peak_mb:.1f}"])
    print(table(rows))
    print()
    print("The clips are sparse: reading them costs no device. What is written and read back is real.")
    peaks = [row["goodgate"].peak_mb for row in groups.values()]
    grown = peaks[-1] - peaks[0]
    good = len(peaks) == 2 and grown <= MEMORY_GROWTH_BAR_MB
    if facts.get("quick") == "yes":
        good_text = "not judged with --quick"
    else:
        good_text = met(good)
    print(f"- the large clip takes {grown:+.1f} MB (at most {MEMORY_GROWTH_BAR_MB} more): {good_text}")
    for line in proofs(samples):
        print(f"- {line}")


def speed_report(samples, facts, work):
    groups = cells(samples)
    print(table(speed_rows(groups)))
    print()
    print(LEGEND.format(tool=facts.get("tool", "fio")))
    spread, where = max(
        ((cell.spread, f"{METHODS[m]}, {card} to {dests}") for (card, dests), row in groups.items() for m, cell in row.items()),
        default=(0, "none"),
    )
    if facts.get("Rounds") != "1":
        print(f"- Widest spread of one cell over its rounds: {spread:.0%} of its median ({where}).")
    print()
    print("Bars:")
    print()
    if facts.get("quick") == "yes":
        print("- speed: not judged with --quick, whose cards are too small to say anything")
    else:
        for line in bars(groups):
            print(f"- {line}")
    for line in proofs(samples):
        print(f"- {line}")
    print()
    path = os.path.join(work, "hash.txt")
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            lines = file.read().splitlines()
        print(lines[0])
        print()
        print("\n".join(f"- {line}" for line in lines[1:]))
        return lines
    print("Hash cost: not measured in this run.")
    return []


def apart_report(samples, facts, of):
    """A set with methods of its own."""
    print(table(of.rows(samples)))
    print()
    print(of.LEGEND)
    print()
    print("Bars:")
    print()
    if facts.get("quick") == "yes":
        print("- not judged with --quick, whose files are too small to say anything")
        return
    for line in of.bars(samples):
        print(f"- {line}")


def main():
    work, out = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None
    samples = []
    if os.path.exists(path := os.path.join(work, "samples.jsonl")):
        with open(path, encoding="utf-8") as file:
            samples = [json.loads(line) for line in file]
    with open(os.path.join(work, "facts.tsv"), encoding="utf-8") as file:
        pairs = [line.rstrip("\n").split("\t", 1) for line in file]
    facts = {}
    for name, value in pairs:
        facts[name] = f"{facts[name]}; {value}" if name in facts else value
    for name, value in facts.items():
        if name not in ("quick", "memory", "tool", "set"):
            print(f"- {name}: {value}")
    print()
    if not samples:
        print("Nothing was measured.")
        return 1
    hash_lines = []
    if facts.get("memory") == "yes":
        memory_report(samples, facts)
    elif (of := APART.get(facts.get("set"))) is not None:
        apart_report(samples, facts, of)
    else:
        hash_lines = speed_report(samples, facts, work)
    if out:
        with open(out, "w", encoding="utf-8") as file:
            json.dump({"facts": facts, "samples": samples, "hash": hash_lines}, file, indent=1)
            file.write("\n")
    bad = any(s["failed"] or s.get("reads_proven") is False for s in samples)
    return 1 if bad else 0


sys.exit(main())
