"""How deciding grows with the number of votes: `python bench/votes.py [--small]`.

Staging folders of 10^4, 10^5 and 10^6 lines (the last in 5,000 folders, with a file for every crop), read and decided; and Parquet files of 10^4 to 10^7 rows,
decided and written to Parquet. Beside it, in the same run and each in a process of its own: pandas with its group-by, and the public backend's way, a loop in
Python over files and dictionaries (an install's last line for a crop counts, the most common name wins, a tie goes to the earliest). It prints seconds, seconds of
CPU and peak memory, and says whether the limits are kept. The picture goes to out/votes_growth.png.
"""
import argparse
import hashlib
import json
import math
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path

import psutil

ROOT, REPO = Path(__file__).resolve().parent.parent, "sets-sto/bench"
LIMITS = {("staging", 10**6): (4.0, None), ("parquet", 10**7): (15.0, 4.0)}  # (seconds, GiB)
SLOTS = ("Kit", "Science Consoles", "Boff Science", "Fore Weapons")
COLUMNS = ["crop_sha256", "install_id", "name", "slot", "confirmed_at", "batch", "withdrawn"]


# made votes: five a crop, one in ten of them for another name, one in fifty taken back

def make_staging(top: Path, lines: int, folders: int) -> None:
    "Folders of installs, each with two files of lines and an empty file for each of its crops."
    rng, shas = random.Random(lines), [hashlib.sha256(b"%d" % i).hexdigest() for i in range(lines // 5)]
    for f in range(folders):
        said, here = [], top / "staging" / hashlib.md5(b"%d" % f).hexdigest()
        (here / "annotations").mkdir(parents=True)
        (here / "crops").mkdir()
        for crop in rng.sample(range(len(shas)), lines // folders):
            minute, second = rng.randrange(60 * 24 * 30), rng.randrange(60)
            at = f"2026-10-{1 + minute // 1440:02d}T{minute // 60 % 24:02d}:{minute % 60:02d}:{second:02d}Z"
            line = {"crop_sha256": shas[crop], "name": f"Item {crop % 3000 + (rng.random() < .1)}", "slot": SLOTS[crop % 4], "date": at[:10], "confirmed_at": at, "screenshot16": shas[minute % len(shas)][:16]}
            said.append(json.dumps(line | ({"withdrawn": True} if rng.random() < .02 else {})) + "\n")
            os.close(os.open(here / "crops" / f"{shas[crop]}.png", os.O_CREAT | os.O_WRONLY))
        for part in (said[:len(said) // 2], said[len(said) // 2:]):
            data = "".join(part).encode()
            (here / "annotations" / f"{hashlib.sha256(data).hexdigest()[:32]}.jsonl").write_bytes(data)


def make_parquet(path: Path, rows: int) -> None:
    "Rows as `Lines.write_parquet` writes them, spread over installs as they come."
    import duckdb
    duckdb.sql(f"""copy (select sha256((hash(i) % {max(rows // 5, 1)})::varchar) crop_sha256, md5((hash(i * 7) % {max(rows // 200, 5)})::varchar) install_id,
        'Item ' || ((hash(i) % {max(rows // 5, 1)}) % 3000 + (hash(i * 3) % 10 = 0)::int) as name, ['Kit', 'Science Consoles', 'Boff Science', 'Fore Weapons'][1 + (hash(i) % 4)::int] slot,
        strftime(timestamp '2026-01-01' + to_seconds((hash(i * 11) % 20000000)::bigint), '%Y-%m-%dT%H:%M:%SZ') confirmed_at, hash(i * 13) % 50 = 0 withdrawn,
        left(md5((i // 60)::varchar), 16) screenshot16, '' ml_name, md5((i // 30)::varchar) batch, i::bigint n from range({rows}) t(i)) to '{path}' (format parquet, compression zstd)""")


# ways to decide; each returns the number of crops decided and a check over (crop, name, votes)

def check(some) -> tuple[int, str]:
    n = digest = 0
    for sha, name, votes in some: n, digest = n + 1, digest ^ hash_of(sha, name, votes)
    return n, f"{digest:016x}"


def hash_of(sha: str, name: str, votes: int) -> int: return int(sha[:16], 16) * (2 * len(name) + 1) * (2 * int(votes) + 1) * (2 * sum(name.encode()) + 1) % 2**64


def rule_staging(top: Path) -> list:
    from warp.hub import FolderHub
    from warp.knowledge.staging import read_staging
    return read_staging(FolderHub(top), REPO).lines.elect().project("crop_sha256, name, votes").fetchall()


def objects_staging(top: Path) -> list:
    from warp.hub import FolderHub
    from warp.knowledge.staging import read_staging
    winners = read_staging(FolderHub(top), REPO).decide()
    assert not winners.without_file
    return [(w.crop_sha256, w.name, w.votes) for w in winners]


def grouped(frame) -> list:
    frame = frame.sort_values(["confirmed_at", "batch"], kind="stable").drop_duplicates(["crop_sha256", "install_id"], keep="last")
    tally = frame[~frame.withdrawn].groupby(["crop_sha256", "name"], sort=False).agg(votes=("install_id", "size"), first=("confirmed_at", "min"), who=("install_id", "min")).reset_index()
    best = tally.sort_values(["votes", "first", "who", "name"], ascending=[False, True, True, True]).drop_duplicates("crop_sha256")
    return list(zip(best.crop_sha256, best.name, best.votes, strict=True))


def pandas_staging(top: Path) -> list:
    import pandas as pd
    rows = []
    for file in (top / "datasets" / REPO / "staging").glob("*/annotations/*.jsonl"):
        for line in file.read_text(encoding="utf-8").splitlines():
            said = json.loads(line)
            rows.append((said["crop_sha256"], file.parent.parent.name, said["name"], said["slot"], said["confirmed_at"], file.stem, said.get("withdrawn", False)))
    return grouped(pd.DataFrame(rows, columns=COLUMNS))


def loop(lines) -> list:
    "The public backend's way: dictionaries of dictionaries."
    newest = {}
    for sha, who, name, at, batch, withdrawn in lines:
        said = newest.setdefault(sha, {})
        if who not in said or said[who][:2] <= (at, batch): said[who] = (at, batch, name, withdrawn)
    winners = []
    for sha, said in newest.items():
        votes, first = Counter(name for _, _, name, withdrawn in said.values() if not withdrawn), defaultdict(lambda: ("~", "~"))
        who = defaultdict(lambda: "~")
        for install, (at, _, name, withdrawn) in said.items():
            if not withdrawn: first[name], who[name] = min(first[name], (at,)), min(who[name], install)
        if votes:
            name = min(votes, key=lambda name: (-votes[name], first[name], who[name], name))
            winners.append((sha, name, votes[name]))
    return winners


def loop_staging(top: Path) -> list:
    def lines():
        staging = top / "datasets" / REPO / "staging"
        for who in sorted(os.listdir(staging)):
            for file in sorted((staging / who / "annotations").glob("*.jsonl")):
                with open(file, encoding="utf-8") as f:
                    for line in f:
                        try: said = json.loads(line)
                        except ValueError: continue
                        yield said["crop_sha256"], who, said["name"], said["confirmed_at"], file.stem, said.get("withdrawn", False)
    return loop(lines())


def rule_parquet(path: Path) -> list:
    from warp.knowledge.votes import Lines
    Lines.from_parquet([path]).elect().write_parquet(str(path.with_suffix(".winners")))
    return []


def pandas_parquet(path: Path) -> list:
    import pandas as pd
    return grouped(pd.read_parquet(path, columns=COLUMNS))


def loop_parquet(path: Path) -> list:
    import pyarrow.parquet as pq
    def lines():
        for batch in pq.ParquetFile(path).iter_batches(columns=["crop_sha256", "install_id", "name", "confirmed_at", "batch", "withdrawn"]):
            yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)
    return loop(lines())


WAYS = {"staging": {"warp: the rule's table": rule_staging, "warp: winners as objects": objects_staging, "pandas group-by": pandas_staging, "loop over dictionaries": loop_staging},
        "parquet": {"warp: the rule's table": rule_parquet, "pandas group-by": pandas_parquet, "loop over dictionaries": loop_parquet}}


def one(kind: str, way: str, path: Path) -> None:
    "Runs in a process of its own, and prints what it took as JSON."
    __import__("warp.knowledge.staging"), __import__("duckdb") if way.startswith("warp") else __import__("pandas" if "pandas" in way else "pyarrow.parquet")
    started, cpu = time.perf_counter(), time.process_time()
    found = WAYS[kind][way](path)
    took = {"seconds": time.perf_counter() - started, "cpu": time.process_time() - cpu}
    if not found:
        import duckdb
        found = duckdb.execute("select crop_sha256, name, votes from read_parquet($1)", [str(path.with_suffix(".winners"))]).fetchall()
    n, digest = check(found)
    print(json.dumps(took | {"crops": n, "digest": digest}))


def measure(kind: str, way: str, path: Path) -> dict:
    "Seconds, CPU seconds and peak GiB of one way, watched from outside."
    run = subprocess.Popen([sys.executable, __file__, "--one", kind, way, str(path)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT)
    peak, process = 0, psutil.Process(run.pid)
    while run.poll() is None:
        try: peak = max(peak, process.memory_info().rss)
        except psutil.NoSuchProcess: break
        time.sleep(0.02)
    told = run.stdout.read()
    if run.wait() or not told: return {}
    return json.loads(told.splitlines()[-1]) | {"gib": peak / 2**30}


def told(kind: str, n: int, results: dict[str, dict]) -> list[str]:
    "The rows of the table for one size, and whether its limits are kept."
    digests = {r["digest"] for r in results.values() if r}
    for way, r in results.items():
        print(f"  {way:26}" + (f"{r['seconds']:9.2f} s {r['cpu']:9.2f} s CPU {r['gib']:7.2f} GiB {r['seconds'] / n * 1e6:8.2f} us a line {r['crops']:10,} crops" if r else "   failed (memory?)"), flush=True)
    print(f"  {'all decide alike' if len(digests) == 1 else 'THEY DIFFER: ' + str(digests)}")
    seconds, gib = LIMITS.get((kind, n), (None, None))
    ours, said = results["warp: the rule's table"], []
    if seconds: said.append(f"{kind} {n:,}: {ours['seconds']:.1f} s, limit {seconds:g} s: {'kept' if ours['seconds'] <= seconds else 'NOT KEPT'} (CPU on two cores: {ours['cpu']:.1f} s)")
    if gib: said.append(f"{kind} {n:,}: {ours['gib']:.2f} GiB, limit {gib:g} GiB: {'kept' if ours['gib'] <= gib else 'NOT KEPT'}")
    return said


def slope(points: dict[int, dict], what: str) -> float:
    "How steep the last tenfold is: 1 is linear, 2 quadratic."
    a, b = sorted(points)[-2:]
    return math.log(points[b][what] / points[a][what]) / math.log(b / a)


def draw(everything: dict[str, dict[int, dict[str, dict]]]) -> Path:
    import matplotlib
    matplotlib.use("agg")
    import matplotlib.pyplot as plt
    figure, axes = plt.subplots(1, 2, figsize=(11, 4.2), sharey=True)
    for axis, (kind, sizes) in zip(axes, everything.items(), strict=True):
        for way in WAYS[kind]:
            points = [(n, results[way]["seconds"]) for n, results in sizes.items() if results.get(way)]
            axis.loglog(*zip(*points, strict=True), "o-", label=way)
        for (limited, n), (seconds, _) in LIMITS.items():
            if limited == kind: axis.plot(n, seconds, "k_", markersize=22), axis.annotate(f"limit {seconds:g} s", (n, seconds), ha="right", va="bottom")
        axis.set(title={"staging": "lines in folders, read and decided", "parquet": "rows in Parquet, decided and written"}[kind], xlabel="lines", ylabel="seconds")
        axis.legend(fontsize=8)
    (ROOT / "out").mkdir(exist_ok=True)
    figure.tight_layout()
    figure.savefig(ROOT / "out/votes_growth.png", dpi=90)
    return ROOT / "out/votes_growth.png"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="up to 10^5 lines and 10^6 rows")
    parser.add_argument("--loop-up-to", type=float, default=1e6, help="the loop over dictionaries is left out above this size")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one: return one(arguments.one[0], arguments.one[1], Path(arguments.one[2]))
    sizes = {"staging": [10**4, 10**5] if arguments.small else [10**4, 10**5, 10**6], "parquet": [10**4, 10**5, 10**6] if arguments.small else [10**4, 10**5, 10**6, 10**7]}
    everything, verdicts = {"staging": {}, "parquet": {}}, []
    print(f"load of this machine before: {', '.join(f'{x:.1f}' for x in psutil.getloadavg())} on {os.cpu_count()} cores")
    for kind, counts in sizes.items():
        for n in counts:
            with tempfile.TemporaryDirectory(prefix="warp-bench-") as folder:
                path = Path(folder) if kind == "staging" else Path(folder) / "votes.parquet"
                if kind == "staging": make_staging(path / "datasets" / REPO, n, n // 200)
                else: make_parquet(path, n)
                print(f"{n:,} {'lines in ' + format(n // 200, ',') + ' folders' if kind == 'staging' else 'rows of Parquet'}", flush=True)
                ways = [way for way in WAYS[kind] if "loop" not in way or n <= arguments.loop_up_to]
                everything[kind][n] = {way: measure(kind, way, path) for way in ways}
                verdicts += told(kind, n, everything[kind][n])
        ours = {n: results["warp: the rule's table"] for n, results in everything[kind].items()}
        verdicts.append(f"{kind}: growth over the last tenfold {slope(ours, 'seconds'):.2f} by the clock, {slope(ours, 'cpu'):.2f} by CPU (1 is linear)")
    print(*verdicts, f"picture: {draw(everything).relative_to(ROOT)}", sep="\n")


if __name__ == "__main__": main()
