"""How many apps one server can answer: `python bench/server.py [--seconds 5] [--connections 32]`.

`GET /model/version` of a real uvicorn (one worker, uvloop and httptools, as `api/requirements.txt` has them), with and without a known ETag, beside the
barest thing that can stand there: a Starlette app with one route that sends the same bytes. Then two hundred crops through the front door, counted in
requests and commits.

The load comes from `wrk` where it is installed (`apt-get install wrk`, `brew install wrk`); otherwise from some connections of this process, which may itself
be the slower end: the figure is then a lower bound, and the table says so. What a machine that is busy with other things cannot spoil is the server's own CPU
time per answer; it stands beside the rate, and one core cannot give more than its inverse.
"""
import argparse
import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.request import Request, urlopen

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
RATE, CROPS, REQUESTS, COMMITS = 5000, 200, 8, 3  # what is asked of us
_BARE = """
from pathlib import Path
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

BODY = Path("body.json").read_bytes()
async def hello(request): return Response(BODY, media_type="application/json")
app = Starlette(routes=[Route("/model/version", hello)])
"""


class Measured(NamedTuple):
    "What one run showed."
    rate: float  # answers a second
    cpu_us: float  # CPU time of the server per answer, in microseconds
    bytes_each: float  # of headers and body


@contextmanager
def serving(app: str, folder: Path, **env: str) -> Iterator[tuple[subprocess.Popen, str]]:
    "A uvicorn in a process of its own, and its address."
    command = [sys.executable, "-m", "uvicorn", app, "--port", "0", "--no-access-log", "--no-proxy-headers", "--loop", "uvloop", "--http", "httptools"]
    server = subprocess.Popen(command, cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)} | env, stderr=subprocess.PIPE, text=True, encoding="utf-8")
    try: yield server, next(m[0] for line in server.stderr if (m := re.search(r"http://127\.0\.0\.1:\d+", line)))
    finally:
        server.terminate()
        server.communicate(timeout=60)


def cpu_s(process: subprocess.Popen) -> float:
    "CPU seconds that a process has used; 0 where the system does not tell."
    try: fields = Path(f"/proc/{process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    except OSError: return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def by_wrk(url: str, headers: dict[str, str], seconds: float, connections: int) -> tuple[int, int]:
    "Answers and bytes, as wrk counts them. An answer that is an error ends the run."
    said = subprocess.run(["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", *(f"-H{k}: {v}" for k, v in headers.items()), url],
                          capture_output=True, text=True, check=True).stdout
    assert "Non-2xx" not in said and "Socket errors" not in said, said
    answers, size, unit = re.search(r"(\d+) requests in [\d.]+s, ([\d.]+)(\w*)B read", said).groups()
    return int(answers), int(float(size) * 1024 ** "_KMGT".index(unit or "_"))


async def by_ourselves(url: str, headers: dict[str, str], seconds: float, connections: int) -> tuple[int, int]:
    "Answers and bytes, from connections of this process, eight questions in flight on each."
    host, port, path = re.fullmatch(r"http://([\d.]+):(\d+)(/.*)", url).groups()
    ask = (f"GET {path} HTTP/1.1\r\nHost: {host}\r\n" + "".join(f"{k}: {v}\r\n" for k, v in headers.items()) + "\r\n").encode() * 8
    done, end = [0, 0], time.monotonic() + seconds

    async def one() -> None:
        reader, writer = await asyncio.open_connection(host, int(port))
        while time.monotonic() < end:
            writer.write(ask)
            for _ in range(8):
                head = await reader.readuntil(b"\r\n\r\n")
                assert head.startswith((b"HTTP/1.1 200", b"HTTP/1.1 304")), head
                length = re.search(rb"content-length: (\d+)", head)
                size = int(length[1]) if length else 0
                await reader.readexactly(size)
                done[0], done[1] = done[0] + 1, done[1] + len(head) + size
        writer.close()
    await asyncio.gather(*(one() for _ in range(connections)))
    return done[0], done[1]


def measure(server: subprocess.Popen, url: str, headers: dict[str, str], arguments: argparse.Namespace) -> Measured:
    started, cpu = time.perf_counter(), cpu_s(server)
    load = by_wrk if shutil.which("wrk") and not arguments.own_client else lambda *how: asyncio.run(by_ourselves(*how))
    answers, size = load(url, headers, arguments.seconds, arguments.connections)
    return Measured(answers / (time.perf_counter() - started), 1e6 * (cpu_s(server) - cpu) / answers, size / answers)


def published(folder: Path) -> Path:
    "A folder hub with one release of a realistic size."
    from warp.config import Config
    from warp.hub import FolderHub
    from warp.release.manifest import toy_set
    from warp.release.publish import publish
    hub = folder / "hub"
    publish(FolderHub(hub), Config(folder, str(hub)), toy_set(folder / "trained", [f"Item {i}" for i in range(40)]))
    return hub


def answering(arguments: argparse.Namespace) -> bool:
    "The table of rates; whether the limit is kept."
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        env = {"WARP_HUB": str(published(folder)), "WARP_HOME": str(folder / "home")}
        with serving("api.main:app", folder, **env) as (ours, url):
            with urlopen(url + "/model/version") as reply: body, etag = reply.read(), reply.headers["ETag"]
            (folder / "body.json").write_bytes(body)
            (folder / "bare.py").write_text(_BARE, encoding="utf-8")
            with serving("bare:app", folder) as (bare, bare_url):
                rows = {"warp, /model/version": (ours, url, {}), "warp, nothing new (304)": (ours, url, {"If-None-Match": etag}),
                        "bare Starlette, same bytes": (bare, bare_url, {})}
                best: dict[str, Measured] = {}
                for _turn in range(arguments.turns):
                    for what, (server, address, headers) in rows.items():
                        seen = measure(server, address + "/model/version", headers, arguments)
                        best[what] = max(best.get(what, seen), seen)
    busy = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    print(f"{arguments.connections} connections, {arguments.seconds:g} s each, best of {arguments.turns}; load {busy:.1f} on {os.cpu_count()} cores; "
          f"load from {'wrk' if shutil.which('wrk') and not arguments.own_client else 'this process (a lower bound; install wrk)'}")
    for what, m in best.items():
        print(f"    {what:28} {m.rate:8,.0f} answers/s   {m.cpu_us:6.0f} us of CPU each   {m.bytes_each:6,.0f} bytes each")
    first, bare = best["warp, /model/version"], best["bare Starlette, same bytes"]
    could = 1e6 / first.cpu_us if first.cpu_us else first.rate
    print(f"    {first.rate / bare.rate:.2f} of the bare rate; a core of its own would give {could:,.0f}/s; "
          f"at least {RATE:,} wanted: {'kept' if first.rate >= RATE else 'kept by CPU time, the machine was busy' if could >= RATE else 'NOT kept'}")
    return max(first.rate, could) >= RATE


def crops() -> bool:
    "Two hundred crops of four installs at once; whether the limits are kept."
    from test_intake import crop_item
    from test_server import pictures
    from warp.hub import FolderHub
    made = [crop_item(crop_png_b64=png) for png in pictures(CROPS)]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        hub = FolderHub(Path(name) / "hub")
        with serving("api.main:app", Path(name), WARP_HUB=str(Path(name) / "hub"), WARP_HOME=str(Path(name) / "home"), WARP_GROUP_S="2") as (_, url):
            def send(i: int) -> str:
                body = json.dumps({"install_id": f"install-{i}", "items": made[i * 50:i * 50 + 50]}).encode()
                with urlopen(Request(url + "/contribute/bulk-crops", body, {"Content-Type": "application/json"}), timeout=60) as reply: said = json.load(reply)
                assert said["accepted"] == 50, said
                return said["revision"]
            started = time.perf_counter()
            with ThreadPoolExecutor(4) as pool: revisions = list(pool.map(send, range(CROPS // 50)))
            seconds = time.perf_counter() - started
        stored = sum(len(hub.list("sets-sto/sto-icon-dataset", f"staging/install-{i}/crops")) for i in range(4))
    assert stored == CROPS
    kept = len(revisions) <= REQUESTS and len(set(revisions)) <= COMMITS
    print(f"{CROPS} crops: {len(revisions)} requests (at most {REQUESTS}), {len(set(revisions))} commits (at most {COMMITS}), "
          f"{seconds:.1f} s, 2 s of them waiting for company: {'kept' if kept else 'NOT kept'}")
    return kept


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--own-client", action="store_true", help="no wrk even where there is one")
    arguments = parser.parse_args()
    kept = [answering(arguments), crops()]
    raise SystemExit(0 if all(kept) else 1)


if __name__ == "__main__": main()
