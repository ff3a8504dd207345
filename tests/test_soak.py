"""A bad day for everybody: installs with real workers, a real uvicorn, the public hub's protocol behind it; programs are killed, the hub stalls and refuses.

Nothing here is a stand-in but the hub's machine: each install is a process with a home, a store and a `SyncWorker` of its own that finds its way by itself, every third one straight to the hub with a
token and the others through the server, which is `uvicorn api.main:app`; both reach the loopback hub by the real huggingface_hub client. What is asked at every death and at the end: what an install believes to be sent is on the hub, and the hub holds it once. Ten installs with a thousand crops in
`make test`, fifty with ten thousand in `make test-long`."""
import json
import os
import random
import socket
import subprocess
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")
from loopback_hub import LoopbackHub
from test_worker import filled

from warp.config import Config
from warp.data.sync import Outbox
from warp.data.worker import Corrections
from warp.records import utc_now

ROOT = Path(__file__).resolve().parent.parent
DATA, DELIVERY = Config.data_repo, Config.delivery_repo

# An app as short as can be. Its pauses run a thousand times faster: five minutes after a failure are a third of a second.
APP = """
import sys, threading, time
from warp.config import Config
from warp.data.sync import Outbox
from warp.data.worker import Pace, SyncWorker
config, want, heard = Config.load(home=sys.argv[1]), int(sys.argv[2]), threading.Event()
worker = SyncWorker(config, on_status=lambda status: status.state == "waiting" and heard.set(), clock=lambda: 1000 * time.monotonic(),
                    pace=Pace(every_s=.3, first_s=.05, soon_s=0, least=1)).start()
while True:
    heard.wait()
    heard.clear()
    outbox = Outbox(config.home / "sync.sqlite")
    done = len(outbox.sent()) == want and not outbox.refused() and not worker.corrections.waiting("2026-01-01T00:00:00Z")
    outbox.close()
    if done: break
worker.stop()
"""

UNKIND = [("POST .*/commit/", "status", {"code": 429, "headers": {"Retry-After": "1"}}), ("POST .*/commit/", "lost_reply", {}), ("POST .*/commit/", "cut", {}),
          ("POST .*/commit/", "done_but", {"code": 504}), ("POST .*/commit/", "stall", {"seconds": .5}), ("POST .*/commit/", "status", {"code": 409}),
          ("/preupload/", "status", {"code": 429}), ("/preupload/", "stall", {"seconds": .5}), ("PUT", "status", {"code": 500}), ("PUT", "cut", {}),
          ("/paths-info/", "status", {"code": 503}), ("/paths-info/", "status", {"code": 429, "headers": {"RateLimit": '"api";r=0;t=1'}}), ("objects/batch", "lost_reply", {})]


class Watched(LoopbackHub):
    "Tells how many requests came, to whoever waits for the next moment of fate."

    def __init__(self):
        super().__init__()
        self.came = threading.Condition()

    def note(self, request):
        with self.came: self.came.notify_all()
        return super().note(request)

    def wait_for(self, requests: int, over: threading.Event) -> None:
        with self.came: self.came.wait_for(lambda: len(self.requests) >= requests or over.is_set())


class Day:
    "The installs, the server, and what befalls them."

    def __init__(self, folder: Path, there: Watched, installs: int, crops: int, seed: int) -> None:
        self.there, self.crops, self.rng, self.over = there, crops, random.Random(seed), threading.Event()
        self.homes = [folder / f"player{n:02}" for n in range(installs)]
        self.configs = [Config.load(home=home) for home in self.homes]
        self.running: dict[Config, subprocess.Popen] = {}
        self.turn, self.fates, self.deaths, self.starts = threading.Lock(), Counter(), 0, 0
        self.folder = folder
        with socket.create_server(("127.0.0.1", 0)) as free: self.port = free.getsockname()[1]
        for n, config in enumerate(self.configs): self.label(n, config)

    def label(self, n: int, config: Config) -> None:
        "Somebody has confirmed so many crops, and put one wrong answer right."
        store = filled(config, shots=self.crops // 20, icons=20, seed=n)
        png = store.crop_file(store.annotations()[0][1].crop_sha256).read_bytes()
        store.close()
        if n % 3 == 0: config.token_file.write_text("hf_of_a_player\n", encoding="utf-8")  # this one goes straight to the hub
        Corrections(config.home / "sync.sqlite").put(png, "Gravity Well", "Tachyon Beam", utc_now())

    def serve(self) -> None:
        env = {"WARP_HUB": "hf://", "HF_ENDPOINT": self.there.url, "HF_TOKEN": "hf_of_the_server", "HF_HUB_DISABLE_XET": "1", "WARP_HOME": str(self.folder / "server"),
               "WARP_GROUP_S": "0.3", "WARP_SOON_S": "0.1", "WARP_REST_S": "0.2", "MAX_REQ_PER_IP": "1000000", "MAX_REQ_PER_INSTALL": "1000000"}
        command = [sys.executable, "-W", "ignore", "-m", "uvicorn", "api.main:app", "--port", str(self.port), "--log-level", "critical"]
        self.server, self.starts = subprocess.Popen(command, cwd=ROOT, env=os.environ | env), self.starts + 1

    def play(self, config: Config) -> None:
        "One install, started again whenever it was killed, until it has sent all it has."
        env = os.environ | {"WARP_SERVER": f"http://127.0.0.1:{self.port}", "WARP_HUB": "hf://", "HF_ENDPOINT": self.there.url, "HF_HUB_DISABLE_XET": "1",
                            "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore", "OMP_NUM_THREADS": "1"}
        while True:
            with self.turn: app = self.running[config] = subprocess.Popen([sys.executable, "-c", APP, str(config.home), str(self.crops)], env=env)
            ended = app.wait(1200)
            assert ended in (0, -9, 1 if os.name == "nt" else 0), ended
            self.look(config)
            if ended == 0: return
            self.deaths += 1

    def look(self, config: Config) -> None:
        "Whatever an install believes to be sent is there, at any moment."
        outbox, top = Outbox(config.home / "sync.sqlite"), f"staging/{config.install_id}"
        believed = {key for kind, key in outbox.sent()}
        outbox.close()
        assert believed <= {p.rpartition("/")[2][:-4] for p in self.there.repos[DATA].files if p.startswith(f"{top}/crops/")}

    def befall(self, moments: list[tuple[int, str]]) -> None:
        "At the n-th request that reaches the hub, this happens."
        for requests, what in moments:
            self.there.wait_for(requests, self.over)
            if self.over.is_set(): return
            if what == "hub": self.there.order(*(order := self.rng.choice(UNKIND))[:2], **order[2])
            if what == "server":
                self.server.kill()
                self.server.wait()
                self.serve()
            if what == "app":
                with self.turn: alive = [app for app in self.running.values() if app.poll() is None]
                if alive: self.rng.choice(alive).kill()
            self.fates[what] += 1

    def run(self, at_once: int, servers: int, apps: int, hubs: int) -> None:
        spread = 2 * self.crops * len(self.homes) - 20  # a crop is at least two requests to the hub: its bytes, and the check
        moments = sorted((self.rng.randrange(20, spread), what) for what, n in (("server", servers), ("app", apps), ("hub", hubs)) for _ in range(n))
        self.serve()
        fate = threading.Thread(target=self.befall, args=(moments,), daemon=True)
        fate.start()
        try:
            with ThreadPoolExecutor(at_once) as pool: list(pool.map(self.play, self.configs))
        finally:
            self.over.set()
            with self.there.came: self.there.came.notify_all()
            fate.join(60)
            self.server.kill()
            self.server.wait()


def soak(folder: Path, installs: int, crops: int, at_once: int, **fates: int) -> None:
    with Watched() as there:
        for repo in (DATA, DELIVERY): there.create(repo)
        day = Day(folder, there, installs, crops, seed=installs)
        day.run(at_once, **fates)
        files, said = there.repos[DATA].files, there.repos[DELIVERY].files
        for config in day.configs:
            top, outbox = f"staging/{config.install_id}/", Outbox(config.home / "sync.sqlite")
            acknowledged = {key for kind, key in outbox.sent()}
            outbox.close()
            stored = {p.rpartition("/")[2][:-4] for p in files if p.startswith(f"{top}crops/")}
            lines = Counter(json.loads(line)["crop_sha256"] for p, blob in files.items() if p.startswith(f"{top}annotations/") for line in blob.data.splitlines())
            assert stored == acknowledged == set(lines) and set(lines.values()) == {1} and len(stored) == crops, config.home.name
        assert len([p for p in files if p.startswith("staging/")]) == sum(p.endswith((".png", ".jsonl")) for p in files)  # and nothing else lies there
        records = [json.loads(blob.data) for path, blob in said.items() if path.endswith(".json")]
        assert sorted(r["install_id"] for r in records) == sorted(c.install_id for c in day.configs)  # each correction once
        assert day.fates == {"server": fates["servers"], "app": fates["apps"], "hub": fates["hubs"]} and day.starts == fates["servers"] + 1
        assert day.deaths > fates["apps"] // 2  # some were struck between two lives
        print(f"\n{installs * crops} crops of {installs} installs; killed: {day.deaths} apps, {day.starts - 1} servers; {fates['hubs']} refusals and stalls; commits: {len(there.repos[DATA].commits) - 1}, "
              f"requests to the hub: {len(there.requests)}")


def test_a_bad_day(tmp_path): soak(tmp_path, installs=10, crops=100, at_once=5, servers=2, apps=6, hubs=10)


@pytest.mark.long
def test_a_long_bad_day(tmp_path): soak(tmp_path, installs=50, crops=200, at_once=10, servers=12, apps=50, hubs=80)
