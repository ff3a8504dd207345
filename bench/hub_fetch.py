"""Many small files by name, from a hub on this machine: `python bench/hub_fetch.py [--files 12000]`.

`HfHub.fetch` beside huggingface_hub's own `snapshot_download`, one after the other in the same run, each told exactly the same files and given the
same sixteen threads. Once with small files that the hub sends itself, and once with pictures, for which it sends the client on to its storage. Six
more files never come, three that say nothing and three that come byte by byte: ours says so within its limit, which holds for every single file.
"""
import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.pop("HF_HUB_OFFLINE", None)
os.environ |= {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}

ROOT, REPO, LIMIT_S = Path(__file__).resolve().parent.parent, "sets-sto/bench", 5.0


def serve(files: int, suffix: str) -> tuple[subprocess.Popen, str]:
    "A hub in a process of its own, and its address."
    command = [sys.executable, ROOT / "tests/loopback_hub.py", "--files", str(files), "--suffix", suffix, "--stalling", "3"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    return server, server.stdout.readline().strip()


def ours(url: str, names: list[str], into: Path) -> str:
    from warp.hfhub import HfHub
    assert len(HfHub(endpoint=url).fetch(REPO, names, into).done) == len(names)
    return ""


def with_stalls(url: str, names: list[str], into: Path) -> str:
    from warp import hfhub
    bring, took = hfhub._Fetching._bring, {}
    def timed(fetching: object, path: str) -> None:
        started = time.perf_counter()
        try: bring(fetching, path)
        finally: took[path] = time.perf_counter() - started
    never = [f"{how}/{i}.jsonl" for how in ("stall", "drip") for i in range(3)]
    hfhub._Fetching._bring = timed
    try: hfhub.HfHub(endpoint=url, limits=hfhub.Limits(file_s=LIMIT_S)).fetch(REPO, [*never[:3], *names, *never[3:]], into)
    except hfhub.FetchError as e:
        assert set(e.failed) == set(never) and len(e.fetched.done) == len(names), e
        longest = max(took.values())
        return f"{len(never)} given up; the longest file took {longest:.1f} s, limit {LIMIT_S:g} s: {'kept' if longest <= LIMIT_S * 1.1 else 'NOT KEPT'}"
    finally: hfhub._Fetching._bring = bring
    raise AssertionError("files that never come came")


def theirs(url: str, names: list[str], into: Path) -> str:
    from huggingface_hub import snapshot_download
    snapshot_download(REPO, repo_type="dataset", endpoint=url, token=False, allow_patterns="crops/*", local_dir=into, max_workers=16)
    return ""


def measure(what: str, act: Callable[[str, list[str], Path], str], url: str, names: list[str]) -> float:
    with tempfile.TemporaryDirectory() as folder:
        started, cpu = time.perf_counter(), time.process_time()
        said = act(url, names, Path(folder))
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
        arrived = sum(p.is_file() for p in (Path(folder) / "crops").iterdir())
    assert arrived == len(names), f"{arrived} of {len(names)} arrived"
    print(f"    {what:42} {seconds:7.1f} s   {len(names) / seconds:6.0f} files/s   {cpu:6.1f} s of this process's CPU   {said}", flush=True)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=12_000)
    arguments = parser.parse_args()
    for suffix, words in ((".jsonl", "sent by the hub itself"), (".png", "kept in the storage, one redirect a file")):
        server, url = serve(arguments.files, suffix)
        names = [f"crops/{i:05}{suffix}" for i in range(arguments.files)]
        print(f"{arguments.files} files of 6,000 bytes, {words}")
        try:
            with tempfile.TemporaryDirectory() as folder: ours(url, names[:1], Path(folder))  # loads the library, for both
            mine, its = measure("HfHub.fetch", ours, url, names), measure("snapshot_download", theirs, url, names)
            measure("HfHub.fetch and six that never come", with_stalls, url, names)
            print(f"    at least as fast as snapshot_download: {'kept' if mine <= its else 'NOT KEPT'} ({mine / its:.2f} of its time)")
        finally: server.kill()


if __name__ == "__main__": main()
