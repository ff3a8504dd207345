"""How long it takes to confirm one box as the store grows: `python bench/store_growth.py`.

A confirmation is the whole act: the crop is cut, hashed, written as a file of its own and flushed, and the journal has one more flushed line. Stores of 1,000 to 100,000 confirmed boxes are made by
writing `annotations.json` as the store writes it, with an empty file in `crops/` for each record: the folder is as long as a real one, but only the confirmations that are timed cut real crops, from
screenshots of 1920 x 1080 that are already decoded, as they are when a desk shows them. Beside it, in the same run, on the same disk and with the same crop written in the same way:

- *rewrite*: all of annotations.json with every confirmation, as the programs do that people use today (unflushed, which favours it);
- *sqlite*: one committed insert into a table with an index, in WAL mode with synchronous=FULL, so that it is as durable as the journal.

The journal is folded into annotations.json once in a thousand acts, or in a tenth of the records where that is more; one confirmation then waits for it. That is the column `fold`.
Prints a table and writes out/store_growth.png.
"""
import argparse
import json
import os
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from tqdm.auto import tqdm

from warp.config import write_atomic
from warp.data.crops import cut_crop, make_crop
from warp.data.store import Store, Word
from warp.records import Annotation, Box, annotation_id

LIMITS_MS = {10_000: 30, 100_000: 50}  # records: the slowest that the 95th percentile may be
PER_PAGE = 60  # boxes of a screenshot
SIZES = (1_000, 3_000, 10_000, 30_000, 100_000)
OUT = Path(__file__).resolve().parent.parent / "out"


class Times(NamedTuple):
    "Milliseconds."
    median: float
    p95: float
    most: float

    @classmethod
    def of(cls, seconds: list[float]) -> "Times": return cls(*(float(np.percentile(seconds, q)) * 1000 for q in (50, 95, 100)))

    def __str__(self) -> str: return f"{self.median:7.1f} {self.p95:7.1f} {self.most:7.1f}"


class Row(NamedTuple):
    records: int
    confirm: Times
    rewrite: Times
    sqlite: Times
    submit: Times  # a page of 60 boxes
    open_s: float
    fold_s: float


def box_at(i: int) -> Box: return Box(4 + 48 * (i % 39), 4 + 58 * (i // 39 % 18), 46, 56)


def record_of(page: str, i: int) -> dict:
    "A confirmed box that nobody cut."
    box = box_at(i)
    return Annotation(annotation_id(page, box, "Devices"), "Devices", box, "confirmed", f"Some Item of the Game {i % 997}", i, sha256(f"{page}{i}".encode()).hexdigest(), "2026-11-20T10:02:11Z").to_json()


def big_store(folder: Path, records: int) -> dict:
    "Writes a store of that many records and returns the content of annotations.json."
    pages = {sha256(f"{records}{p}".encode()).hexdigest(): min(PER_PAGE, records - p * PER_PAGE) for p in range(-(-records // PER_PAGE))}
    facts = {"width": 1920, "height": 1080, "added_at": "2026-11-20T10:00:00Z", "screen_type": "SPACE_EQ", "screen_type_confirmed_at": "2026-11-20T10:01:00Z", "done": True, "nothing_here": False}
    content = {"version": 1, "screenshots": {page: {"file": f"{page[:8]}.png", **facts, "annotations": [record_of(page, i) for i in range(count)]} for page, count in pages.items()}}
    (folder / "crops").mkdir(parents=True)
    for page in content["screenshots"].values():
        for a in page["annotations"]: (folder / "crops" / f"{a['crop_sha256']}.png").touch()
    write_atomic(folder / "annotations.json", json.dumps(content, ensure_ascii=False))
    return content


def timed(act: Callable[[int], object], repeats: int) -> list[float]:
    "Seconds of each call; the number of the call is its argument."
    seconds = []
    for i in range(repeats):
        start = time.perf_counter()
        act(i)
        seconds.append(time.perf_counter() - start)
    return seconds


def keep_crop(folder: Path, img: Image.Image, box: Box) -> str:
    "What all three do first: cut, hash, save."
    crop = make_crop(cut_crop(img, box))
    write_atomic(folder / "crops" / f"{crop.sha256}.png", crop.png)
    return crop.sha256


def rewriting(folder: Path, content: dict, img: Image.Image) -> Callable[[int], None]:
    page = next(iter(content["screenshots"]))

    def confirm(i: int) -> None:
        content["screenshots"][page]["annotations"].append(record_of(page, i) | {"crop_sha256": keep_crop(folder, img, box_at(i + 7))})
        (folder / "rewritten.json").write_text(json.dumps(content, ensure_ascii=False, indent=2), encoding="utf-8")
    return confirm


def inserting(folder: Path, content: dict, img: Image.Image) -> Callable[[int], None]:
    base = sqlite3.connect(folder / "peer.sqlite", isolation_level=None)
    base.executescript("pragma journal_mode=wal; pragma synchronous=full; create table boxes (page text, id text, record text); create index pages on boxes (page)")
    base.execute("begin")
    base.executemany("insert into boxes values (?, ?, ?)", ((page, a["id"], json.dumps(a)) for page, shot in content["screenshots"].items() for a in shot["annotations"]))
    base.execute("commit")
    page = next(iter(content["screenshots"]))

    def confirm(i: int) -> None:
        record = record_of(page, i) | {"crop_sha256": keep_crop(folder, img, box_at(i + 11))}
        base.execute("insert into boxes values (?, ?, ?)", (page, record["id"], json.dumps(record)))
    return confirm


def measured(folder: Path, records: int, pictures: list[Path], repeats: int) -> Row:
    "One size."
    content = big_store(folder, records)
    start = time.perf_counter()
    store = Store(folder)
    open_s = time.perf_counter() - start
    shas = [store.add(picture) for picture in pictures]
    store.confirm(shas[0], Box(1870, 1000, 46, 56), "Devices", "The first one")  # the first act imports what is imported late
    confirm, submits = [], []
    for done in range(0, repeats, PER_PAGE):  # page by page, as somebody works
        page = shas[done // PER_PAGE % len(shas)]
        img = store.image(page)
        confirm += timed(lambda i: store.confirm(page, box_at(i), "Devices", f"Item {i}", i), min(PER_PAGE, repeats - done))  # noqa: B023  # called at once
    for page in shas:
        store.image(page)
        submits += timed(lambda _: store.submit(page, [Word(box_at(100 + i), "Devices", f"Item {i}", i) for i in range(PER_PAGE)]), 1)  # noqa: B023
    start = time.perf_counter()
    store._ledger.journal.compact()
    fold_s = time.perf_counter() - start
    rewrite = timed(rewriting(folder, content, img), max(3, min(repeats, 200_000 // records)))
    return Row(records, Times.of(confirm), Times.of(rewrite), Times.of(timed(inserting(folder, content, img), repeats)), Times.of(submits), open_s, fold_s)


def flushing_ms(folder: Path) -> float:
    "What this disk takes to make a crop's bytes durable."
    return Times.of(timed(lambda i: write_atomic(folder / f"flush{i}", bytes(12_420)), 50)).median


def draw(rows: list[Row], file: Path) -> None:
    "Both axes logarithmic, the limits as bars."
    import matplotlib
    matplotlib.use("agg")
    import matplotlib.pyplot as plt
    fig, ax = plt.subplots(figsize=(8, 5), layout="constrained")
    x = [row.records for row in rows]
    for name, colour, label in (("rewrite", "#b35900", "peer: all of annotations.json rewritten"), ("sqlite", "#6e7781", "peer: sqlite, one committed insert"), ("confirm", "#0969da", "warp")):
        times = [getattr(row, name) for row in rows]
        ax.plot(x, [t.median for t in times], "o-", color=colour, label=f"{label}, median")
        ax.fill_between(x, [t.median for t in times], [t.p95 for t in times], color=colour, alpha=.2, label="to the 95th percentile" if name == "confirm" else None)
    for records, ms in LIMITS_MS.items():
        ax.plot([records / 1.6, records * 1.6], [ms, ms], color="#cf222e", lw=3, label="must stay below" if records == min(LIMITS_MS) else None)
        ax.annotate(f"{ms} ms", (records, ms * 1.12), ha="center", color="#cf222e")
    ax.set(xscale="log", yscale="log", xlabel="confirmed boxes in the store", ylabel="ms to confirm one more: crop, hash, file, durable record")
    ax.grid(alpha=.25, which="both")
    ax.legend()
    file.parent.mkdir(parents=True, exist_ok=True)
    fig.savefig(file, dpi=120)


def main() -> None:
    "Measures each size, prints the table, draws the picture; ends with an error when a limit is missed."
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--repeats", type=int, default=300, help="confirmations for each size (default: 300)")
    parser.add_argument("--out", type=Path, default=OUT / "store_growth.png")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="warp-growth-", ignore_cleanup_errors=True) as temporary:
        folder, rng = Path(temporary), np.random.default_rng(1)
        pictures = [folder / f"{i}.png" for i in range(5)]
        for picture in pictures: Image.fromarray(rng.integers(0, 255, (1080, 1920, 3), dtype=np.uint8)).save(picture, compress_level=0)
        flush, load = flushing_ms(folder), f", load average {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
        print(f"{os.cpu_count()} cores{load}; one file of 12 kB written and flushed: {flush:.1f} ms; {args.repeats} confirmations for each size\n", flush=True)
        print(f"{'':>9} | {'warp, ms':^23} | {'rewrite, ms':^23} | {'sqlite, ms':^23} | {'60 boxes, ms':>12} | {'open, s':>7} | {'fold, s':>7}")
        print(f"{'records':>9} |{'  median     p95     max |' * 3} {'median':>12} |         |")
        rows = []
        for records in tqdm(args.sizes, desc="sizes", leave=False, disable=None):
            rows.append(row := measured(folder / str(records), records, pictures, args.repeats))
            tqdm.write(f"{row.records:9,} | {row.confirm} | {row.rewrite} | {row.sqlite} | {row.submit.median:12.0f} | {row.open_s:7.2f} | {row.fold_s:7.2f}")
            sys.stdout.flush()
    draw(rows, args.out)
    print(f"\nthe picture is {args.out}")
    missed = [f"{row.records:,} records: 95 % within {row.confirm.p95:.1f} ms, must be {limit} ms" for row in rows if (limit := LIMITS_MS.get(row.records)) and row.confirm.p95 > limit]
    print("\n".join(missed) or "limits kept: " + ", ".join(f"{ms} ms at {records:,}" for records, ms in LIMITS_MS.items()))
    sys.exit(bool(missed))


if __name__ == "__main__":
    main()
