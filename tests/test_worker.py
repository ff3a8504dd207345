"""The worker and its two ways out: a real server that misbehaves on order, hubs that fail, clocks that jump, kills at any step, and an app that never waits."""
import asyncio
import json
import os
import socket
import sqlite3
import subprocess
import sys
import textwrap
import threading
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("fastapi")
uvicorn = pytest.importorskip("uvicorn")
from PIL import Image
from loopback_hub import LoopbackHub
from test_sync_data import lines, staged

import warp
from warp import hfhub
from warp.config import Config, read_json, write_json
from warp.data import sync as outbox_module
from warp.data.crops import make_crop
from warp.data.store import Store
from warp.data.sync import HubWay, Outbox, SyncReport, sync
from warp.data.worker import (PAUSES_S, Chore, Corrections, Pace, Sent, Server, ServerWay, SyncWorker, Times, find_way, knowledge_due, refresh_knowledge,
                              side_by_side, tell_corrections, tell_server)
from warp.errors import BusyError, HubError, InputError, LockedError, StoreError
from warp.hub import Add, FolderHub, MemoryHub
from warp.knowledge.anchors import grid_of
from warp.knowledge.overrides import contribute, contribution, read_contributions
from warp.knowledge.staging import read_staging, screen_winners
from warp.records import Box
from warp.server import Settings, create_app

pytestmark = pytest.mark.filterwarnings("ignore:Use .content=:DeprecationWarning")  # huggingface_hub's own
NOW = "2026-11-20T12:00:00Z"
EPOCH = 1_795_176_000.0  # the same moment
DAY = 86_400.0


class Counted(MemoryHub):
    "Counts commits, and can be down."
    commits, down = 0, False

    def commit(self, *args, **more):
        if self.down: raise HubError("the hub is down")
        self.commits += 1
        return super().commit(*args, **more)

    def head(self, repo):
        if self.down: raise HubError("the hub is down")
        return super().head(repo)


class Gate:
    "Stands before the real server: counts what is asked, and misbehaves on order."

    def __init__(self, app):
        self.app, self.asked, self.orders, self.agents = app, [], [], set()
        self.stalls, self.free = threading.Event(), threading.Event()

    def order(self, kind, times=1, path="/", **more): self.orders += [(kind, path, more)] * times

    def count(self, path="/"): return sum(p.startswith(path) for p in self.asked)

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http": return await self.app(scope, receive, send)
        self.asked.append(scope["path"])
        self.agents.add(dict(scope["headers"]).get(b"user-agent", b"").decode())
        order = next((o for o in self.orders if scope["path"].startswith(o[1])), None)
        if not order: return await self.app(scope, receive, send)
        self.orders.remove(order)
        await getattr(self, order[0])(scope, receive, send, **order[2])

    @staticmethod
    async def answer(scope, receive, send, status=500, body=b"{}", **headers):
        pairs = [(k.replace("_", "-").encode(), v.encode()) for k, v in headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": pairs})
        await send({"type": "http.response.body", "body": body})

    async def lost(self, scope, receive, send):
        "Does it, and answers 502."
        async def nowhere(message): pass
        await self.app(scope, receive, nowhere)
        await self.answer(scope, receive, send, 502)

    async def stall(self, scope, receive, send):
        self.stalls.set()
        await asyncio.to_thread(self.free.wait)
        await self.app(scope, receive, send)

    async def drip(self, scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(50): await send({"type": "http.response.body", "body": b" " * 100, "more_body": True})
        await send({"type": "http.response.body", "body": b"{}"})


class There:
    "The real server in a thread, on loopback."

    def __init__(self, hub, **settings):
        known = dict(group_s=0.0, soon_s=0.0, rest_s=0.0, per_address=10 ** 6, per_install=10 ** 6, cache_s=0.0)
        self.hub, self.gate = hub, Gate(create_app(hub, Settings("memory", Config.delivery_repo, **known | settings)))
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        self.uvicorn = uvicorn.Server(uvicorn.Config(self.gate, log_level="critical", lifespan="off", timeout_graceful_shutdown=1))
        self.thread = threading.Thread(target=self.uvicorn.run, kwargs={"sockets": [self.socket]}, daemon=True)
        self.thread.start()

    def way(self, config, **times): return ServerWay(Server(self.url, Times(**times)), config.install_id)

    def close(self):
        self.gate.free.set()
        self.uvicorn.should_exit = True
        self.thread.join(10)


@pytest.fixture
def config(tmp_path): return Config.load(home=tmp_path / "home", hub=tmp_path / "hub")


@pytest.fixture
def open_there():
    opened = []
    def start(hub=None, **settings):
        opened.append(There(hub or Counted(), **settings))
        return opened[-1]
    yield start
    for there in opened: there.close()


@pytest.fixture
def there(open_there): return open_there()


def place(n): return Box(10 + 60 * (n % 10), 250 + 70 * (n // 10), 46, 56)


def filled(config, shots=1, icons=8, name="Gravity Well", others=(), seed=0):
    "A store whose names the server knows."
    store, rng = Store(config.training_data), np.random.default_rng((seed, shots, icons))
    for n in range(shots):
        img = Image.new("RGB", (640, 560), (n, 20, 40))
        for i in range(icons): img.paste(Image.fromarray(rng.integers(0, 255, (8, 6, 3), dtype=np.uint8)).resize((46, 56)), place(i)[:2])
        file = config.home / f"shot{n}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        img.save(file)
        sha = store.add(file)
        store.set_screen_type(sha, "BOFFS", "2026-11-20T09:00:00Z")
        for i in range(icons):
            slot, word = others[i] if i < len(others) else ("Boff Science", name)
            store.confirm(sha, place(i), slot, word, slot_index=i, confirmed_at=f"2026-11-20T10:{n:02d}:{i:02d}Z")
    return store


ABLE = (("Boff Tactical", "Ambush"), ("Boff Engineering", "Aceton Beam"))  # with these a screen has enough for a layout grid


class Clock:
    "Both clocks of a worker, moved by hand."

    def __init__(self): self.mono, self.wall = 0.0, EPOCH

    def forward(self, seconds):
        self.mono += seconds
        self.wall += seconds


def worker_of(config, way, clock, least=1, **more):
    more = {"chance": lambda low, high: 1.0 if low <= 1 <= high else low} | more
    return SyncWorker(config, way, pace=Pace(least=least), clock=lambda: clock.mono, wall=lambda: clock.wall, **more)


def once_each(hub, config, many):
    "Whether so many crops lie there, each with one line."
    said = Counter(line["crop_sha256"] for line in lines(hub, config))
    files = {p.split("/")[1][:-4] for p in staged(hub, config) if p.startswith("crops/")}
    return len(said) == many and set(said.values()) <= {1} and files == set(said)


# the way through the server

def test_both_ways_bring_the_same(config, there):
    store, hub = filled(config, shots=2, others=ABLE), MemoryHub()
    sha = next(iter(store.screenshots()))
    store.confirm(sha, Box(5, 5, 200, 20), "Ship Type", "Fleet Support Cruiser", ml_name="F1eet Support Cruiser", confirmed_at="2026-11-20T10:30:00Z")
    straight = sync(store, hub, config, now=NOW, share_screens=True, grids=grid_of)
    (config.home / "sync.sqlite").unlink()
    report = sync(store, there.way(config), config, now=NOW, share_screens=True, grids=grid_of)
    assert (report.sent, report.screens, report.grids, report.refused, report.stays) == (17, 2, 2, 0, ())
    assert (straight.sent, straight.screens, straight.grids) == (17, 2, 2)
    assert staged(there.hub, config) == staged(hub, config)
    assert sync(store, there.way(config), config, now=NOW, share_screens=True, grids=grid_of) == SyncReport()
    assert there.gate.agents == {f"WARP/{warp.__version__}"}


def test_two_hundred_crops_in_few_requests_and_commits(config, open_there):
    there = open_there(group_s=1.0)
    report = sync(filled(config, shots=5, icons=40), there.way(config), config, now=NOW)
    assert report.sent == 200 and once_each(there.hub, config, 200)
    assert len(there.gate.asked) <= 8 and there.hub.commits <= 3 and report.commits <= 3


def test_minds_change_through_the_server(config, there):
    store, way = filled(config, others=ABLE), there.way(config)
    sync(store, way, config, now=NOW, share_screens=True, grids=grid_of)
    sha, note = store.annotations()[3]
    store.confirm(sha, note.bbox, note.slot, "Tachyon Beam", confirmed_at="2026-11-20T11:00:00Z")
    store.withdraw(sha, store.annotations()[4][1].id)
    store.set_screen_type(sha, "SPACE_MIXED", "2026-11-20T11:00:00Z")
    report = sync(store, way, config, now="2026-11-20T12:05:00Z", share_screens=True, grids=grid_of)
    assert (report.sent, report.retracted, report.screens, report.grids, report.refused) == (1, 1, 1, 1, 0), report
    names = Counter(w.name for w in read_staging(there.hub, config.data_repo).decide())
    assert names == {"Aceton Beam": 1, "Ambush": 1, "Gravity Well": 4, "Tachyon Beam": 1}
    assert [s.screen_type for s in screen_winners(there.hub, config.data_repo)] == ["SPACE_MIXED"]
    files = staged(there.hub, config)
    assert len([p for p in files if p.startswith("crops/")]) == 7 and len([p for p in files if p.startswith("anchors_grid_")]) == 1
    assert len([p for p in files if p.startswith("screen_types/")]) == 1
    assert sync(store, way, config, now="2026-11-20T12:06:00Z", share_screens=True, grids=grid_of) == SyncReport()


def test_thumbnails_with_drawn_names_pass_the_servers_look(config, there):
    config.home.mkdir(parents=True)
    store, rng = Store(config.training_data), np.random.default_rng(8)
    places = [(0, 0, 300, 20), (7, 3, 211, 13), (500, 333, 123, 31), (970, 687, 310, 33), (1, 700, 1279, 20), (640, 11, 9, 9)]
    for n, box in enumerate(places):
        file = config.home / f"{n}.png"
        Image.fromarray(rng.integers(60, 255, (90, 160, 3), dtype=np.uint8)).resize((1280, 720), Image.Resampling.NEAREST).save(file, compress_level=1)
        sha = store.add(file)
        store.set_screen_type(sha, ("SPACE_EQ", "TRAITS")[n % 2], "2026-11-20T09:00:00Z")
        store.confirm(sha, Box(*box), "Ship Name")
    report = sync(store, there.way(config), config, now=NOW, share_screens=True)
    assert (report.screens, report.refused, report.stays, len(there.gate.asked)) == (6, 0, (), 2)


def test_two_screenshots_may_share_a_grid(config, there):
    store, way = filled(config, shots=2, others=ABLE), there.way(config)
    def same(record): return grid_of(record) if record["file"] != no else None
    no = ""
    assert sync(store, way, config, now=NOW, grids=same).grids == 2
    no = "shot0.png"
    assert sync(store, way, config, now="2026-11-20T12:01:00Z", grids=same) == SyncReport()  # taken back here, and still another's
    assert len([p for p in staged(there.hub, config) if p.startswith("anchors_grid_")]) == 1
    no = "shot1.png"
    sync(store, way, config, now="2026-11-20T12:02:00Z", grids=lambda record: None)
    assert not [p for p in staged(there.hub, config) if p.startswith("anchors_grid_")]
    assert sync(store, way, config, now="2026-11-20T12:03:00Z", grids=lambda record: None) == SyncReport()


def test_one_bad_item_costs_nobody_else(config, there):
    store, way = filled(config), there.way(config)
    sha, note = store.annotations()[2]
    store.confirm(sha, note.bbox, note.slot, "Kettle")
    report = sync(store, way, config, now=NOW)
    assert (report.sent, report.refused, len(report.stays)) == (7, 1, 1) and "Kettle" in report.stays[0]
    asked = len(there.gate.asked)
    report = sync(store, way, config, now=NOW)
    assert (report.sent, report.refused, len(report.stays), len(there.gate.asked)) == (0, 0, 1, asked)  # not sent again unchanged
    store.confirm(sha, note.bbox, note.slot, "Tachyon Beam")
    assert sync(store, way, config, now=NOW).sent == 1 and once_each(there.hub, config, 8)


def test_an_older_word_does_not_stay_when_the_newer_is_refused(config, there):
    store, way = filled(config), there.way(config)
    sync(store, way, config, now=NOW)
    sha, note = store.annotations()[0]
    store.confirm(sha, note.bbox, note.slot, "Kettle")
    assert [(r.refused, r.retracted) for r in (sync(store, way, config, now=f"2026-11-20T12:0{n}:00Z") for n in (1, 2, 3))] == [(1, 0), (0, 1), (0, 0)]
    assert len(read_staging(there.hub, config.data_repo).decide()) == 7


def test_a_newer_warp_tries_what_was_refused_once_more(config, there, monkeypatch):
    store = filled(config, icons=1, name="Kettle")
    assert sync(store, there.way(config), config, now=NOW).refused == 1
    monkeypatch.setattr(outbox_module, "__version__", "99.0")
    assert [sync(store, there.way(config), config, now=NOW).refused for _ in range(2)] == [1, 0]


def test_a_lost_answer_doubles_nothing(config, there):
    store = filled(config, shots=3, icons=40)
    there.gate.order("lost", 2)
    with pytest.raises(HubError, match="502"): sync(store, there.way(config), config, now=NOW)
    report = sync(store, there.way(config), config, now=NOW)
    assert 0 < report.sent < 120 and once_each(there.hub, config, 120)  # one of three requests was acknowledged, or none was begun after the first loss


def test_a_word_taken_back_while_its_answer_was_lost_is_taken_back_there(config, there):
    store = filled(config, icons=3)
    there.gate.order("lost")
    with pytest.raises(HubError): sync(store, there.way(config), config, now=NOW)
    sha, note = store.annotations()[0]
    store.withdraw(sha, note.id)
    report = sync(store, there.way(config), config, now="2026-11-20T12:05:00Z")
    assert report.retracted == 1 and len(read_staging(there.hub, config.data_repo).decide()) == 2
    assert sync(store, there.way(config), config, now="2026-11-20T12:06:00Z") == SyncReport()


def test_a_request_that_nobody_takes_is_halved(config, there):
    store = filled(config, icons=5)
    there.gate.order("answer", 3, "/contribute", status=422, body=b'{"detail": "items.0: no"}')  # all five, then the first two, then the first alone
    report = sync(store, there.way(config), config, now=NOW)
    assert (report.sent, report.refused, len(there.gate.asked)) == (4, 1, 5) and "422: items.0: no" in report.stays[0]


@pytest.mark.parametrize(("order", "said"), [
    (dict(status=200, body=b"<html>Welcome to our hotel</html>"), "something else than JSON"), (dict(status=302, location="https://elsewhere.example"), "302"),
    (dict(status=404), "address of a warp server"), (dict(status=200, body=b'{"ok": true}'), "did not say what became"),
    (dict(status=200, body=b"[1]"), "JSON"), (dict(status=200, body=b'{"items": []}'), "no answer about 8 of 8"),
    (dict(status=200, body=b'{"items": [5, {"index": "0"}, {"index": 0, "accepted": true}]}'), "no answer about 8"),
    (dict(status=200, body=json.dumps({"items": [{"index": i, "accepted": True, "sha256": "0" * 64} for i in range(8)]}).encode()), "no answer about 8"),
    (dict(status=500, body=b"oops"), "500")])
def test_only_an_acknowledgement_counts(config, there, order, said):
    store = filled(config)
    there.gate.order("answer", **order)
    with pytest.raises(HubError, match=said): sync(store, there.way(config), config, now=NOW)
    assert Outbox(config.home / "sync.sqlite").sent() == {}
    assert sync(store, there.way(config), config, now=NOW).sent == 8 and once_each(there.hub, config, 8)


def test_some_answers_are_kept_and_the_rest_comes_again(config, there):
    store, way = filled(config), there.way(config)
    there.gate.order("answer", status=200, body=json.dumps({"items": [{"index": 2, "accepted": False, "reason": "not this one"}], "revision": "x"}).encode())
    with pytest.raises(HubError, match="no answer about 7 of 8"): sync(store, way, config, now=NOW)
    report = sync(store, way, config, now=NOW)
    assert report.sent == 7 and len(report.stays) == 1


def test_a_server_that_never_ends_is_left(config, there):
    ticks = iter(range(0, 100_000, 20))
    server = Server(there.url, Times(total_s=100), clock=lambda: float(next(ticks)))
    there.gate.order("drip")
    with pytest.raises(HubError, match="not done with /health within 100 s"): server.ask("/health")
    there.gate.order("drip")
    with pytest.raises(HubError, match="without an end"): Server(there.url, Times(most_bytes=1000)).ask("/health")
    there.gate.order("stall")
    with pytest.raises(HubError, match="within 0.1 s"): Server(there.url, Times(total_s=.1)).ask("/health")


@pytest.mark.parametrize("address", ["warp.example.org", "ftp://x", "https://", "", "http:///x"])
def test_addresses_that_are_none(address):
    with pytest.raises(HubError, match="WARP_SERVER"): Server(address)


def test_a_server_that_is_not_there():
    with socket.create_server(("127.0.0.1", 0)) as taken: port = taken.getsockname()[1]
    with pytest.raises(HubError, match="ConnectError"): Server(f"http://127.0.0.1:{port}").ask("/health")
    with pytest.raises(HubError): Server("http://[half").ask("/health")


# which way

def test_which_way(config, monkeypatch, tmp_path):
    public, unnamed = replace(config, hub="hf://"), replace(config, hub=str(config.home / "hub"))
    assert find_way(public) is None and repr(find_way(config)).startswith("HubWay(FolderHub") and isinstance(find_way(unnamed), HubWay)
    write_json(config.knowledge / "config.json", {"backend_url": "https://older.example"})
    assert find_way(public).server.address == "https://older.example"
    monkeypatch.setenv("WARP_SERVER", "https://warp.example/")
    assert find_way(public).server.address == "https://warp.example" == find_way(unnamed).server.address and isinstance(find_way(config), HubWay)
    config.token_file.write_text("hf_mine\n", encoding="utf-8")
    assert repr(find_way(public)).startswith("HubWay(HfHub")
    monkeypatch.setenv("WARP_SERVER", "nonsense")
    config.token_file.unlink()
    with pytest.raises(HubError, match="WARP_SERVER"): find_way(public)


# the worker's patience

def test_it_gathers_twenty_or_an_hour(config):
    store, hub, clock = filled(config, icons=8), Counted(), Clock()
    clock.wall = EPOCH - 7000  # 10:03:20
    worker = worker_of(config, HubWay(hub, config.data_repo), clock, least=20)
    worker.turn()
    assert (worker.status.report.gathering, hub.commits) == (8, 0)
    clock.forward(3500)
    worker.turn()
    assert (worker.status.report.sent, hub.commits) == (8, 1)  # the oldest was confirmed at 10:00
    store.withdraw(*((s, a.id) for s, a in store.annotations()).__next__())
    clock.forward(300)
    worker.turn()
    assert (worker.status.report.gathering, hub.commits) == (1, 1)
    clock.forward(3600)
    worker.turn()
    assert (worker.status.report.retracted, hub.commits) == (1, 2)


def test_twenty_go_at_once(config):
    filled(config, icons=20)
    hub, clock = Counted(), Clock()
    clock.wall = EPOCH - 7000
    worker_of(config, HubWay(hub, config.data_repo), clock, least=20).turn()
    assert hub.commits == 1 and once_each(hub, config, 20)


@pytest.mark.parametrize("jump", [-DAY, DAY])
def test_a_clock_that_jumps_a_day(config, there, jump):
    store, clock = filled(config, shots=3, icons=8), Clock()
    worker = worker_of(config, there.way(config), clock)
    worker.pace.limit = 10
    worker.turn()
    assert worker.status.report.sent == 10
    clock.wall += jump
    sha, note = store.annotations()[0]
    store.confirm(sha, note.bbox, note.slot, "Tachyon Beam")
    worker.turn()
    assert worker.status.report.sent == (10 if jump > 0 else 0)  # set back, it gives no second allowance
    clock.wall -= jump
    worker.turn()
    assert not worker.status.error
    clock.wall += 2 * DAY
    for _ in range(3):
        worker.turn()
        clock.wall += DAY
    decided = read_staging(there.hub, config.data_repo).decide()
    assert Counter(w.name for w in decided) == {"Gravity Well": 23, "Tachyon Beam": 1} and not worker.status.error


def test_the_day_has_its_limit_for_any_number_of_workers(config):
    filled(config, shots=6, icons=40)
    hub, clock = Counted(), Clock()
    for _ in range(3): worker_of(config, HubWay(hub, config.data_repo), clock).turn()
    assert once_each(hub, config, 200)
    clock.forward(DAY)
    worker_of(config, HubWay(hub, config.data_repo), clock).turn()
    assert once_each(hub, config, 240)


def test_busy_means_busy(config, there):
    store, clock = filled(config), Clock()
    worker = worker_of(config, there.way(config), clock)
    there.gate.order("answer", path="/contribute", status=429, body=b'{"detail": "Rate limit exceeded. Try again tomorrow."}', retry_after="40000")
    worker.turn()
    assert "Try again tomorrow" in worker.status.error and there.gate.count("/contribute") == 1
    for _ in range(100):
        clock.forward(399)
        store.confirm(*((s, a.bbox, a.slot, "Tachyon Beam") for s, a in store.annotations()).__next__())
        worker.wake()
        worker.turn()
    assert there.gate.count("/contribute") == 1
    clock.forward(1000)
    worker.turn()
    assert worker.status.report.sent == 16 and worker.status.error == "" and there.gate.count("/contribute") == 3  # what was under way, and what is said now


def test_a_busy_server_ends_the_round(config, there):
    filled(config, shots=5, icons=40)
    there.gate.order("answer", 4, "/contribute", status=503, body=b'{"detail": "later"}', retry_after="77")
    with pytest.raises(BusyError) as busy: sync(Store(config.training_data), there.way(config), config, now=NOW)
    assert busy.value.retry_after_s == 77 and there.gate.count("/contribute") <= 4


def test_a_hub_that_wants_a_pause_gets_it(config):
    filled(config)
    clock, hub = Clock(), MemoryHub()
    hub.commit = lambda *_, **__: (_ for _ in ()).throw(BusyError("128 commits an hour", 900.0))
    worker = worker_of(config, HubWay(hub, config.data_repo), clock)
    worker.turn()
    assert worker._chores[0].not_before >= 900 and worker._chores[0].fails == 0


def test_the_public_hubs_own_client_is_given_its_pause(config):
    pytest.importorskip("huggingface_hub")
    filled(config)
    hfhub._DOORS.clear()  # a port may come again
    with LoopbackHub() as public:
        public.create(config.data_repo, {})
        public.order("POST .*/commit/", "status", code=429, headers={"Retry-After": "2000"}, error="You have exceeded the rate limit for repository commits")
        clock = Clock()
        hub = hfhub.HfHub(endpoint=public.url, token="hf_mine", clock=lambda: clock.mono, sleep=lambda seconds: None)
        worker = worker_of(config, HubWay(hub, config.data_repo), clock)
        worker.turn()
        asked = public.count(".")
        assert "hf_mine" not in worker.status.error and 2000 <= worker._chores[0].not_before <= 2300, worker.status.error
        for _ in range(6):
            clock.forward(300)
            worker.turn()
        assert public.count(".") == asked
        clock.forward(600)
        worker.turn()
        assert (worker.status.report.sent, worker.status.error) == (8, "")


# straight to the public hub, with the real client

@pytest.fixture
def public(config, monkeypatch):
    "The public hub's protocol on this machine; whoever puts a token into `hub_token.txt` goes straight there."
    hfhub._DOORS.clear()  # a port may come again
    with LoopbackHub(tokens={"hf_good": "me", "hf_another": "me"}) as public:
        public.create(config.data_repo)
        monkeypatch.setenv("HF_ENDPOINT", public.url)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        yield public


def on_public(config): return replace(config, hub="hf://")


def quiet(config): write_json(config.knowledge / "knowledge_cache.json", {"knowledge": {}, "fetched_at": EPOCH})


def test_both_straight_ways_bring_the_same(config, public):
    store, folder = filled(config, shots=2, others=ABLE), FolderHub(config.hub)
    config.token_file.write_text("hf_good\n", encoding="utf-8")
    said = [sync(store, way, config, now=NOW, share_screens=True, grids=grid_of) for way in (HubWay(folder, config.data_repo), find_way(on_public(config)))
            if not (config.home / "sync.sqlite").unlink(missing_ok=True)]
    assert said[0] == said[1] and (said[0].sent, said[0].commits) == (16, 1)
    there = hfhub.HfHub(endpoint=public.url)
    assert staged(there, config) == staged(folder, config) and public.count("POST .*/commit/") == 1
    public.forget()
    assert sync(store, find_way(on_public(config)), config, now=NOW, share_screens=True, grids=grid_of) == SyncReport() and public.count() == 0


@pytest.mark.parametrize("where", ["/paths-info/", "/preupload/", "objects/batch", "PUT", "/commit/"])
@pytest.mark.parametrize(("kind", "how"), [("lost_reply", {}), ("cut", {}), ("status", {"code": 500}), ("done_but", {"code": 504}),
                                           ("status", {"code": 429, "headers": {"Retry-After": "200"}})], ids=["lost reply", "cut", "500", "504 but done", "429"])
def test_a_round_straight_to_a_hub_that_fails_in_the_middle(config, public, where, kind, how, monkeypatch):
    "Whatever breaks, and even where the whole round fails: the next round finishes it, each label once."
    from huggingface_hub.utils import _http
    monkeypatch.setattr(_http, "time", SimpleNamespace(sleep=lambda seconds: None))
    store, now = filled(config, icons=12), [0.0]
    hub = hfhub.HfHub(endpoint=public.url, token="hf_good", limits=hfhub.Limits(tries=2), clock=lambda: now[0], sleep=lambda seconds: now.__setitem__(0, now[0] + seconds))
    public.order(where, kind, times=3, **how)
    sent = 0
    for _ in range(4):
        try: sent += sync(store, hub, config, now=NOW).sent
        except HubError: now[0] += 300
    assert sent == 12 or "commit" in where or kind in ("lost_reply", "done_but")  # a batch that had arrived is found, and reported as nothing new
    assert once_each(hfhub.HfHub(endpoint=public.url), config, 12) and len(public.repos[config.data_repo].commits) == 2
    assert sync(store, hub, config, now=NOW) == SyncReport()


def test_a_revoked_token_on_the_public_hub(config, public):
    "One notice that names the file, next to no traffic, and everything goes on with the next token."
    filled(config)
    quiet(config)
    config.token_file.write_text("hf_revoked\n", encoding="utf-8")
    clock = Clock()
    worker = worker_of(on_public(config), None, clock)
    for _ in range(48):
        worker.turn()
        clock.forward(300)
    assert "401" in worker.status.error and "hub_token.txt" in worker.status.error and "hf_revoked" not in worker.status.error
    assert public.count() < 8 and Outbox(config.home / "sync.sqlite").sent() == {}
    config.token_file.write_text("hf_another\n", encoding="utf-8")
    worker.turn()
    assert "labels" not in worker.status.errors and worker.status.report.sent == 8 and once_each(hfhub.HfHub(endpoint=public.url), config, 8)


def test_a_month_without_the_public_hub(config, public):
    "Nobody there for thirty days, and more to send every day; then all of it, within the limits of its days, and the last word on each."
    store, clock = filled(config, shots=3, icons=20), Clock()
    config.token_file.write_text("hf_good\n", encoding="utf-8")
    quiet(config)
    with socket.create_server(("127.0.0.1", 0)) as taken: port = taken.getsockname()[1]
    gone = hfhub.HfHub(endpoint=f"http://127.0.0.1:{port}", token="hf_good", sleep=lambda seconds: None)
    worker = worker_of(config, HubWay(gone, config.data_repo), clock)
    worker.pace.limit = 50
    for day in range(30):
        store.confirm(*((s, a.bbox, a.slot, ("Tachyon Beam", "Gravity Well")[day % 2]) for s, a in store.annotations()[day:day + 1]).__next__())
        worker.turn()
        clock.forward(DAY)
    assert "no connection came about" in worker.status.errors["labels"]
    back = worker_of(on_public(config), None, clock)
    back.pace.limit = 50
    for _ in range(3):
        back.turn()
        clock.forward(DAY)
    decided = read_staging(hfhub.HfHub(endpoint=public.url), config.data_repo).decide()
    assert "labels" not in back.status.errors and {w.crop_sha256: w.name for w in decided} == {a.crop_sha256: a.name for _, a in store.annotations()}


def test_failures_wait_longer_each_time():
    chore, now, tries = Chore("x", lambda: tries.append(now[0]) or 1 / 0), [0.0], []
    for _ in range(5000):
        chore.turn(lambda: now[0], lambda low, high: 1.0)
        now[0] += 60
    assert [b - a for a, b in zip(tries, tries[1:])][:6] == [*PAUSES_S, PAUSES_S[-1], PAUSES_S[-1]] and chore.error == "division by zero"


def test_a_month_offline(config, there):
    store, clock, asked = filled(config, shots=3), Clock(), []
    class Gone:
        most = 200
        def arrived(self, top, items): return None
        def carry(self, items, changes):
            asked.append(len(items))
            raise HubError("no connection")
            yield
    worker = worker_of(config, Gone(), clock)
    worker.pace.limit = 20
    for _ in range(30 * 24):
        worker.turn()
        clock.forward(3600)
    assert len(asked) < 30 * 6 + 10 and set(asked) == {20} and worker.status.error == "labels: no connection"
    assert len(store.annotations()) == 24
    back = worker_of(config, there.way(config), clock)
    back.turn()
    assert once_each(there.hub, config, 24) and back.status.error == ""


def test_a_revoked_token_and_then_another(config):
    filled(config)
    clock, token = Clock(), ["revoked"]
    class Guarded(MemoryHub):
        tries = 0
        def commit(self, *args, **more):
            self.tries += 1
            if token[0] == "revoked": raise HubError("the hub refuses the token (401): put one that may do this into hub_token.txt or HF_TOKEN")
            return super().commit(*args, **more)
    hub = Guarded()
    config.token_file.write_text("hf_old", encoding="utf-8")
    worker = worker_of(config, HubWay(hub, config.data_repo), clock)
    for _ in range(96):
        worker.turn()
        clock.forward(900)
    assert hub.tries < 12 and "hub_token.txt" in worker.status.error and "hf_old" not in worker.status.error
    token[0] = "good"
    config.token_file.write_text("hf_another", encoding="utf-8")
    worker.turn()
    assert worker.status.report.sent == 8 and worker.status.error == ""


def test_nothing_to_do_costs_nothing(config, monkeypatch):
    store, hub, clock = filled(config), Counted(), Clock()
    worker = worker_of(config, HubWay(hub, config.data_repo), clock)
    worker.turn()
    rounds = []
    monkeypatch.setattr("warp.data.worker.sync", lambda *a, **k: rounds.append(1) or SyncReport())
    for _ in range(5):
        clock.forward(300)
        worker.turn()
    assert rounds == []
    store.set_done(next(iter(store.screenshots())))
    worker.turn()
    assert rounds == [1]


def test_a_machine_without_labels_is_left_alone(config):
    worker_of(config, HubWay(Counted(), config.data_repo), Clock()).turn()
    assert not config.training_data.exists() and not (config.home / "sync.lock").exists()


def test_no_way_out_is_said_and_is_no_loss(config):
    filled(config)
    worker = worker_of(replace(config, hub="hf://"), None, Clock())
    write_json(config.knowledge / "knowledge_cache.json", {"knowledge": {}, "fetched_at": EPOCH})
    worker.turn()
    assert "WARP_SERVER" in worker.status.errors["labels"] and list(worker.status.errors) == ["labels"]


# the app never waits, and never falls

def test_stop_does_not_wait_for_a_stalled_request(config, there):
    filled(config)
    there.gate.order("stall", path="/contribute")
    first = SyncWorker(config, there.way(config), pace=Pace(first_s=0, soon_s=0, least=1)).start()
    first.wake()
    assert there.gate.stalls.wait(30)
    stopped = threading.Event()
    def stop(): first.stop(), stopped.set()
    threading.Thread(target=stop, daemon=True).start()
    assert stopped.wait(2) and first.status.state == "stopped" and first._thread.is_alive()
    second = worker_of(config, there.way(config), Clock())
    second.turn()
    assert "is held by another program" in second.status.errors["labels"] and there.gate.count("/contribute") == 1
    there.gate.free.set()
    first._thread.join(30)
    second.turn()
    assert not first._thread.is_alive() and second.status.error == "" and once_each(there.hub, config, 8)


def test_the_program_ends_while_a_request_hangs(config, there):
    filled(config).close()
    there.gate.order("stall", path="/contribute")
    code = textwrap.dedent("""
        import sys
        from warp.config import Config
        from warp.data.worker import Pace, Server, ServerWay, SyncWorker
        config = Config.load(home=sys.argv[1])
        worker = SyncWorker(config, ServerWay(Server(sys.argv[2]), config.install_id), pace=Pace(first_s=0, soon_s=0, least=1)).start()
        worker.wake()
        sys.stdin.readline()
        print(worker.stop())""")
    child = subprocess.Popen([sys.executable, "-c", code, str(config.home), there.url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert there.gate.stalls.wait(60)
    out, _ = child.communicate("go\n", timeout=30)  # the request would hang for 60 s
    assert (child.returncode, out.strip()) == (0, "False")
    there.gate.free.set()
    clock = Clock()
    worker = worker_of(config, there.way(config), clock)
    worker.turn()
    assert worker.status.error == "" and once_each(there.hub, config, 8)


def test_rounds_come_with_jitter_and_wake_brings_them_forward(config):
    waits = []
    def wait(event, seconds):
        waits.append(seconds)
        if len(waits) == 3: worker._bell.set()
        if len(waits) == 6: worker._halt.set()
    worker = SyncWorker(config, HubWay(MemoryHub(), config.data_repo), wait=wait)
    worker._work()
    first, second, third, soon, fifth, last = waits
    assert 9 <= first <= 45 and all(240 <= s <= 360 for s in (second, third, fifth, last)) and soon == 10 and len({first, second, third, fifth, last}) == 5


@pytest.mark.parametrize("error", [HubError("x"), OSError(28, "No space left on device"), sqlite3.OperationalError("database or disk is full"),
                                   InputError("odd"), ValueError("what"), MemoryError()])
def test_errors_end_in_the_status(config, error, monkeypatch):
    filled(config)
    heard, clock, hub = [], Clock(), Counted()
    def hear(status):
        heard.append(status.state)
        raise RuntimeError("the app's own mistake")
    worker = worker_of(config, HubWay(hub, config.data_repo), clock, on_status=hear)
    with monkeypatch.context() as patch:
        patch.setattr(Outbox, "begin", lambda *_: (_ for _ in ()).throw(error))
        worker.turn()
    assert worker.status.errors["labels"] and heard == ["working", "waiting"]
    clock.forward(301)
    worker.turn()
    assert worker.status.error == "" and once_each(hub, config, 8)


def test_two_workers_at_once(config, there):
    filled(config, shots=5, icons=40)
    workers = [worker_of(config, there.way(config), Clock()) for _ in range(2)]
    threads = [threading.Thread(target=w.turn) for w in workers]
    for t in threads: t.start()
    for t in threads: t.join()
    sent = [w.status.report.sent if w.status.report else 0 for w in workers]
    assert sum(sent) == 200 and once_each(there.hub, config, 200)
    assert all(set(w.status.errors) <= {"labels"} for w in workers)


KILLED = textwrap.dedent("""
    import os, sys, threading
    from warp.config import Config
    from warp.data import sync as module
    from warp.data.worker import Corrections, Pace, Server, ServerWay, SyncWorker, tell_server
    left, lock = int(sys.argv[3]), threading.Lock()
    def step():
        global left
        with lock:
            left -= 1
            if left == 0: os._exit(9)
    def counted(function):
        def call(*args, **more):
            step()
            result = function(*args, **more)
            step()
            return result
        return call
    for name in ("begin", "mark", "finish"): setattr(module.Outbox, name, counted(getattr(module.Outbox, name)))
    Corrections.done, Server.ask = counted(Corrections.done), counted(Server.ask)
    config, server = Config.load(home=sys.argv[1]), Server(sys.argv[2])
    tell = tell_server(server, config.install_id)
    worker = SyncWorker(config, ServerWay(server, config.install_id), pace=Pace(least=1), tell=tell, wall=lambda: 1795176000.0)
    worker.turn()
    print(worker.status.error)
""")


def test_killed_anywhere_and_started_again(config, there):
    store = filled(config, shots=3, icons=40)
    png = store.crop_file(store.annotations()[0][1].crop_sha256).read_bytes()
    store.close()
    for n in range(3): Corrections(config.home / "sync.sqlite").put(png, "Gravity Well", "", f"2026-11-20T11:0{n}:00Z")
    write_json(config.knowledge / "knowledge_cache.json", {"knowledge": {}, "fetched_at": EPOCH})
    env, steps = os.environ | {"PYTHONPATH": str(Path(warp.__file__).parents[1])}, [1, 2, 3, 4, 6, 7, 9, 12, 14, 17, 20, 100]
    kills = 0
    for step in steps:
        ended = subprocess.run([sys.executable, "-c", KILLED, str(config.home), there.url, str(step)], env=env, capture_output=True, text=True)
        assert ended.returncode in (0, 9), ended.stderr
        kills += ended.returncode == 9
    assert (ended.returncode, ended.stdout.strip()) == (0, "") and kills >= 6
    assert once_each(there.hub, config, 120)
    assert len(read_contributions(there.hub, config.delivery_repo).records) == 3
    assert sync(Store(config.training_data), there.way(config), config, now=NOW) == SyncReport()


# corrections

def picture(seed=1): return make_crop(Image.fromarray(np.random.default_rng(seed).integers(0, 255, (8, 8, 3), dtype=np.uint8)).resize((64, 64))).png


@pytest.fixture
def corrections(config): return Corrections(config.home / "sync.sqlite")


def test_corrections_arrive_once_even_when_answers_are_lost(config, there, corrections):
    clock = Clock()
    worker = worker_of(config, there.way(config), clock, tell=tell_server(Server(there.url), config.install_id))
    assert all(worker.correct(picture(n), "Gravity Well", "Tachyon Beam") for n in range(6))
    there.gate.order("lost", 2, "/contribute")
    worker.turn()
    assert "corrections" in worker.status.errors and corrections.waiting(NOW)
    clock.forward(200)
    worker.turn()
    asked = there.gate.count("/contribute")
    clock.forward(101)  # the breaker's five minutes are over
    worker.turn()
    assert there.gate.count("/contribute") > asked and worker.status.error == "" and corrections.waiting(NOW) == []
    assert len(read_contributions(there.hub, config.delivery_repo).records) == 6 and 2 <= worker.status.corrections <= 6


def test_a_refused_correction_is_forgotten_and_named(config, there, corrections):
    for name in ("Kettle", "Gravity Well"): corrections.put(picture(), name, "", NOW)
    done = tell_corrections(corrections, tell_server(Server(there.url), config.install_id), NOW)
    assert done.sent == 1 and "Kettle" in done.refused[0] and corrections.waiting(NOW) == [] and corrections.used(NOW[:10]) == 2


def test_fifty_wait_two_hundred_go_and_a_week_is_enough(corrections):
    assert (Corrections.most, Corrections.keep_days, Pace().limit) == (50, 7, 200)
    told, corrections.most = [], 5
    tell = partial(tell_corrections, corrections, told.append, limit=20)
    for _ in range(5):
        assert sum(corrections.put(b"png", f"Item {n}", "", NOW) for n in range(7)) == 5
        tell(NOW)
    assert len(told) == 20 and len(corrections.waiting(NOW)) == 5
    assert tell("2026-11-19T12:00:00Z") == Sent()  # a clock set back
    assert tell("2026-11-21T12:00:00Z").sent == 5
    assert corrections.put(b"png", "Late", "", NOW)
    assert [len(corrections.waiting(f"2026-11-27T12:00:0{s}Z")) for s in (0, 1)] == [1, 0]


def test_too_many_requests_end_the_round_of_corrections(config, there, corrections):
    for n in range(50): corrections.put(picture(n), "Gravity Well", "", NOW)
    there.gate.order("answer", 50, "/contribute", status=429, body=b"{}", retry_after="500")
    clock = Clock()
    worker = worker_of(config, there.way(config), clock, tell=tell_server(Server(there.url), config.install_id))
    worker.turn()
    assert there.gate.count("/contribute") <= 8 and len(corrections.waiting(NOW)) == 50 and worker._chores[1].not_before >= 500


def test_corrections_go_straight_to_a_hub_too(config, corrections):
    hub = Counted()
    tell = lambda c: contribute(hub, config.delivery_repo, contribution(config.install_id, c.png, c.item_name, c.wrong_name, timestamp=c.at), c.png)  # noqa: E731
    worker = worker_of(config, HubWay(hub, config.data_repo), Clock(), tell=tell)
    worker.correct(picture(), "Gravity Well")
    worker.correct(picture(2), "Kettle")
    worker.turn()
    assert [c.item_name for c in read_contributions(hub, config.delivery_repo).records] == ["Gravity Well"] and "Kettle" in worker.status.refused[0]


def test_corrections_without_a_way_wait(config, corrections):
    worker = worker_of(config, HubWay(Counted(), config.data_repo), Clock())
    assert worker.correct(picture(), "Gravity Well")
    worker.turn()
    assert len(corrections.waiting(NOW)) == 1 and worker.status.error == ""


def test_a_torn_queue_is_named(config):
    config.home.mkdir(parents=True)
    (config.home / "sync.sqlite").write_bytes(b"this is no database at all, but it is long enough to look like one" * 20)
    worker = worker_of(config, HubWay(Counted(), config.data_repo), Clock())
    worker.turn()
    assert "sync.sqlite cannot be used" in worker.status.errors["corrections"]
    assert worker.correct(picture(), "Gravity Well") is False


# what others corrected

def published(hub, table, **more): hub.commit(Config.delivery_repo, [Add("knowledge.json", json.dumps({"knowledge": table} | more).encode())], "knowledge")


def cache(config): return read_json(config.knowledge / "knowledge_cache.json")


@pytest.mark.parametrize("through", ["server", "hub"])
def test_knowledge_comes_once_a_day_and_only_when_it_changed(config, there, through):
    published(there.hub, {"0" * 16: "Gravity Well"}, votes={"0" * 16: {"Gravity Well": 2}}, algorithm="phash-dct-64", entries=1)
    source = Server(there.url) if through == "server" else there.hub
    assert knowledge_due(config, EPOCH) and refresh_knowledge(config, source, EPOCH)
    assert set(cache(config)) == {"knowledge", "votes", "algorithm", "fetched_at", "etag"}
    assert not knowledge_due(config, EPOCH + DAY - 1) and knowledge_due(config, EPOCH + DAY) and knowledge_due(config, EPOCH - 1)  # a clock set back
    assert not refresh_knowledge(config, source, EPOCH + DAY) and cache(config)["fetched_at"] == EPOCH + DAY
    published(there.hub, {"1" * 16: "Tachyon Beam"})
    assert refresh_knowledge(config, source, EPOCH + 2 * DAY) and cache(config)["knowledge"] == {"1" * 16: "Tachyon Beam"}


@pytest.mark.parametrize("order", [dict(status=503, body=b"{}"), dict(status=503, body=b"{}", retry_after="30"), dict(status=500), dict(status=429),
                                   dict(status=404), dict(status=200, body=b"<html>"), dict(status=200, body=b"{}"),
                                   dict(status=200, body=b'{"knowledge": []}'), dict(status=200, body=b'{"knowledge": {"a"')])
def test_nothing_bad_replaces_the_copy(config, there, order):
    published(there.hub, {"0" * 16: "Gravity Well"})
    refresh_knowledge(config, Server(there.url), EPOCH)
    before = cache(config)
    there.gate.order("answer", **order)
    with pytest.raises(HubError): refresh_knowledge(config, Server(there.url), EPOCH + DAY)
    assert cache(config) == before


def test_an_empty_table_replaces_no_full_one(config, there):
    published(there.hub, {"0" * 16: "Gravity Well"})
    refresh_knowledge(config, Server(there.url), EPOCH)
    there.gate.order("answer", status=200, body=b'{"knowledge": {}}')
    assert not refresh_knowledge(config, Server(there.url), EPOCH + DAY) and cache(config)["knowledge"] == {"0" * 16: "Gravity Well"}


@pytest.mark.parametrize("place", ["os.fsync", "os.replace"])
def test_a_full_disk_leaves_the_copy_and_the_queue_as_they_were(config, there, corrections, monkeypatch, place):
    def full(*args, **more): raise OSError(28, "No space left on device")

    published(there.hub, {"0" * 16: "Gravity Well"})
    refresh_knowledge(config, Server(there.url), EPOCH)
    before = cache(config)
    published(there.hub, {"1" * 16: "Tachyon Beam"})
    assert corrections.put(picture(), "Gravity Well", "", NOW)
    worker = worker_of(config, HubWay(MemoryHub(), config.data_repo), Clock(), tell=tell_server(Server(there.url), config.install_id))
    with monkeypatch.context() as patch:
        patch.setattr(place, full)
        with pytest.raises(StoreError, match="No space left"): refresh_knowledge(config, Server(there.url), EPOCH + DAY)
        patch.setattr(Corrections, "_base", lambda self: (_ for _ in ()).throw(StoreError("database or disk is full")))
        assert worker.correct(picture(2), "Tachyon Beam") is False and "full" in worker.status.errors["corrections"]
    assert cache(config) == before and len(corrections.waiting(NOW)) == 1 and not list(config.knowledge.glob(".*.json.*"))
    assert refresh_knowledge(config, Server(there.url), EPOCH + DAY) and cache(config)["knowledge"] == {"1" * 16: "Tachyon Beam"}


def test_a_torn_copy_is_fetched_anew(config, there):
    published(there.hub, {"0" * 16: "Gravity Well"})
    config.knowledge.mkdir(parents=True)
    for torn in ('{"knowledge": {', "[]", '{"fetched_at": "yesterday"}'):
        (config.knowledge / "knowledge_cache.json").write_text(torn, encoding="utf-8")
        assert knowledge_due(config, EPOCH) and refresh_knowledge(config, Server(there.url), EPOCH)
        assert cache(config)["knowledge"] == {"0" * 16: "Gravity Well"}


def test_the_worker_refreshes_and_uses_the_old_one_offline(config, there, monkeypatch):
    published(there.hub, {"0" * 16: "Gravity Well"})
    monkeypatch.setenv("WARP_SERVER", there.url)
    clock = Clock()
    worker = worker_of(config, HubWay(MemoryHub(), config.data_repo), clock)
    for _ in range(20):
        worker.turn()
        clock.forward(300)
    assert there.gate.count("/knowledge") == 1 and cache(config)["knowledge"]
    there.hub.down = True
    there.gate.order("answer", 100, "/knowledge", status=503, body=b"{}")
    for _ in range(100):
        worker.turn()
        clock.forward(900)
    assert there.gate.count("/knowledge") < 6 and cache(config)["knowledge"] and "knowledge" in worker.status.errors


# small parts

def test_side_by_side_stops_at_the_first_failure():
    done = []
    def act(n):
        done.append(n)
        if n == 0: raise HubError("no")
    results = dict(side_by_side([partial(act, n) for n in range(50)], most=1))
    assert len(results) == 50 and done == [0] and all(isinstance(r, HubError) for r in results.values())


def test_locked_is_no_failure():
    def locked(): raise LockedError("another program")
    chore = Chore("x", locked)
    chore.turn(lambda: 0.0, lambda low, high: 1.0)
    assert (chore.fails, chore.not_before, chore.error) == (0, 0.0, "another program")


def test_starting_costs_an_app_nothing():
    code = "import sys, threading, warp.data.worker as w; print(sorted({'huggingface_hub', 'httpx', 'httpx2', 'httpcore2'} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_folder_hubs_serve_a_whole_round(config):
    filled(config)
    worker = worker_of(config, None, Clock(), grids=grid_of, share_screens=True)
    worker.turn()
    assert worker.status.error == "" and worker.status.way.startswith("HubWay(FolderHub") and once_each(FolderHub(config.hub), config, 8)
