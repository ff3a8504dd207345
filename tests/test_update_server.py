"""The updater with the community's server in front of the hub, and the background checker: a real uvicorn on loopback, every byte on the wire counted."""

import errno
import gzip
import json
import logging
import math
import os
import shutil
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("fastapi")
import uvicorn
from PIL import Image
from loopback_hub import LoopbackHub
from test_update import DAY, ITEMS, NOW, ROOT, Counted, in_use, on_hub, republish, touched, train_here, without

import warp.release.update as updating
from warp import hfhub
from warp.config import Config, current_set, read_json, write_json
from warp.errors import BusyError, ConflictError, HubError, LockedError, ModelError, StoreError
from warp.hub import Add
from warp.hfhub import HfHub, Limits
from warp.match.cascade import Cascade
from warp.knowledge.corrections import apply_correction
from warp.match.model import IconModel
from warp.read.build import Reader
from warp.read.screens import ScreenModel
from warp.release.checks import FIRST_S, LOOK_S, UpdateChecker, hours_between, watch
from warp.release.manifest import SCREENS, check_labels, client_files, file_stamp, read_release, toy_set
from warp.release.publish import publish
from warp.release.update import PARTS, STEPS, ask_server, bootstrap, try_models, update
from warp.server import Settings, create_app

pytestmark = pytest.mark.filterwarnings("ignore:Use .content=:DeprecationWarning")  # the library's own
HOUR = 3600.0


class Wire:
    "A relay in front of a port that counts connections and bytes, both ways."

    def __init__(self, port: int):
        self.port, self.connections, self.bytes, self.up = port, 0, 0, b""
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try: near, _ = self.listener.accept()
            except OSError: return
            self.connections += 1
            far = socket.create_connection(("127.0.0.1", self.port))
            for source, sink, up in ((near, far, True), (far, near, False)): threading.Thread(target=self._pump, args=(source, sink, up), daemon=True).start()

    def _pump(self, source, sink, up):
        try:
            while data := source.recv(65536):
                self.bytes += len(data)
                if up: self.up += data
                sink.sendall(data)
        except OSError: pass
        try: sink.shutdown(socket.SHUT_WR)
        except OSError: pass

    def reset(self): self.connections, self.bytes, self.up = 0, 0, b""

    @property
    def requests(self): return self.up.count(b"GET /model/version HTTP/1.1\r\n")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    root = tmp_path_factory.mktemp("trained")
    return [toy_set(root / str(n), ITEMS, seed=n, trained_at=f"2026-11-{10 + n}T10:00:00Z") for n in (1, 2, 3)]


@pytest.fixture(autouse=True)
def as_installed(monkeypatch):
    "Other tests want no check beside them; here they are what is looked at."
    monkeypatch.delenv("WARP_UPDATE_HOURS", raising=False)


@pytest.fixture
def config(tmp_path): return Config(tmp_path / "home", str(tmp_path / "hub"))


@pytest.fixture
def hub(config): return Counted(config.hub)


@contextmanager
def serving(hub, config):
    "The real server under uvicorn in a thread, seen through a counting wire."
    real = uvicorn.Server(uvicorn.Config(create_app(hub, Settings(config.hub, config.delivery_repo, cache_s=0)), port=0, log_level="critical"))
    ready, startup = threading.Event(), real.startup

    async def start(sockets=None):
        await startup(sockets)
        ready.set()

    real.startup = start
    thread = threading.Thread(target=real.run)
    thread.start()
    assert ready.wait(60)
    wire = Wire(real.servers[0].sockets[0].getsockname()[1])
    try: yield wire
    finally:
        wire.listener.close()
        real.should_exit = real.force_exit = True
        thread.join(60)


@pytest.fixture
def server(config, hub, monkeypatch):
    "The server in front of the folder hub; `WARP_SERVER` names it."
    with serving(Counted(config.hub), config) as wire:
        monkeypatch.setenv("WARP_SERVER", wire.address + "/")
        yield wire


@pytest.fixture
def installed(config, hub, server, trained):
    "A machine that installed the first release two days ago, through the server."
    publish(hub, config, trained[0])
    assert update(config, hub, now=NOW - 2 * DAY).changed
    hub.calls.clear()
    server.reset()
    return config


def memory(config): return read_json(config.models / "model_version_remote_cache.json", {})


# The good days

def test_a_first_run_tells_its_steps_and_writes_the_stamp(config, hub, server, trained):
    publish(hub, config, trained[0])
    hub.calls.clear()
    told = []
    report = bootstrap(config, hub, lambda *step: told.append(step), now=NOW)
    assert report.changed and in_use(config) == 1 and server.requests == 1
    assert told == [(text, n, 7) for n, text in enumerate(STEPS)] + [(report.reason, 7, 7)]
    assert hub.calls.count("fetch") == len(PARTS)
    assert memory(config)["last_check"] == NOW and memory(config)["etag"]
    assert not update(config, hub, now=NOW + HOUR).changed and server.requests == 1
    assert read_json(current_set(config.models) / "model_version.json")["revision"] == hub.head(config.delivery_repo)
    assert "available" not in read_json(config.models / "model_version.json")


def test_nothing_new_is_one_request_of_at_most_a_kilobyte_and_one_written_file(installed, hub, server, capsys):
    before = touched(installed)
    report = update(installed, hub, now=NOW)
    after = touched(installed)
    assert not report.changed and report.release.serial == 1 and hub.calls == []
    assert (server.connections, server.requests) == (1, 1) and b"if-none-match" in server.up.lower() and server.bytes <= 1024
    assert {p.name for p in after if before.get(p) != after[p]} - {".update.lock"} == {"model_version_remote_cache.json"}
    with capsys.disabled(): print(f"\nan update check with nothing new: {server.bytes} bytes on the wire, both ways")


def test_a_new_release_comes_and_is_then_known(installed, hub, server, trained):
    publish(hub, installed, trained[1])
    report = update(installed, hub, now=NOW)
    assert report.changed and report.offered.serial == 2 and in_use(installed) == 2 and "label_map.json" not in hub.fetched
    server.reset()
    assert "nothing has changed" in update(installed, hub, now=NOW + 2 * DAY).reason and server.bytes <= 1024


def test_an_empty_community_is_remembered(config, hub, server):
    assert update(config, hub, now=NOW).reason == "nothing is published yet"
    assert memory(config)["last_check"] == NOW and hub.calls == []


def test_a_check_alone_gets_the_whole_answer(installed, hub, trained):
    publish(hub, installed, trained[1])
    assert update(installed, hub, check_only=True, now=NOW).offered.serial == 2
    assert update(installed, hub, now=NOW).changed


def test_an_answer_is_weighed_again_beside_another_set(installed, hub, server, trained):
    publish(hub, installed, trained[1])
    update(installed, hub, now=NOW)
    update(installed, hub, rollback=True, now=NOW)
    assert "left by a rollback" in update(installed, hub, now=NOW + 2 * DAY).reason  # the whole answer
    assert "nothing has changed" in update(installed, hub, now=NOW + 4 * DAY).reason and in_use(installed) == 1
    assert update(installed, hub, force=True, now=NOW + 4 * DAY).changed and in_use(installed) == 2


@pytest.mark.parametrize(("trained_at", "changed"), [("2026-11-11T10:00:00Z", True), ("2026-11-19T10:00:00Z", False)])
def test_a_local_set_stays_until_a_later_one_is_published(installed, hub, trained, tmp_path, trained_at, changed):
    train_here(installed, trained_at)
    publish(hub, installed, trained[1])
    assert update(installed, hub, now=NOW).changed is changed
    if changed: return
    assert "nothing has changed" in update(installed, hub, now=NOW + 2 * DAY).reason
    later = shutil.copytree(trained[2], tmp_path / "later")
    write_json(later / "run.json", read_json(later / "run.json") | {"trained_at": "2026-11-21T10:00:00Z"})
    publish(hub, installed, later)
    assert update(installed, hub, now=NOW + 4 * DAY).changed and in_use(installed) == 3


def test_missing_screens_come_at_once_though_the_answer_is_known(installed, hub, server):
    for name in SCREENS: (current_set(installed.models) / name).unlink()
    report = update(installed, hub, now=NOW - 2 * DAY + 60)
    assert report.changed and in_use(installed) == 1 and set(hub.fetched) == {*SCREENS, "knowledge.json"}
    assert b"if-none-match" not in server.up.lower()


def test_an_empty_name_of_the_server_means_the_hub(installed, hub, server, monkeypatch):
    assert update(installed, hub, now=NOW, server="").reason.endswith("is installed") and hub.calls == ["read models/model_version.json"]
    monkeypatch.setenv("WARP_SERVER", "  ")
    update(installed, hub, now=NOW + 2 * DAY)
    assert server.connections == 0 and len(hub.calls) == 2


# A server that is down, asleep, or no server at all

def closed_port():
    with socket.create_server(("127.0.0.1", 0)) as free: return free.getsockname()[1]


@pytest.mark.parametrize("address", [f"http://127.0.0.1:{closed_port()}", "ftp://127.0.0.1", "nonsense", "http://[::1", "http://user:secret@127.0.0.1:1"],
                         ids=["closed", "ftp", "nonsense", "half", "secret"])
def test_a_server_that_is_not_there_leaves_all_as_it_is(installed, hub, address):
    before = touched(installed)
    with pytest.raises(HubError, match="could not be asked") as told: update(installed, hub, now=NOW, server=address)
    assert "secret" not in str(told.value) and hub.calls == [] and in_use(installed) == 1
    assert {p for p, t in touched(installed).items() if before.get(p) != t and p.name != ".update.lock"} == set()
    assert update(installed, hub, now=NOW + 60).release.serial == 1 and memory(installed)["last_check"] == NOW + 60


@pytest.fixture
def odd():
    "A server that answers what it is told to: `odd.answer = (status, headers, body)`."
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            status, headers, body = made.answer
            self.send_response(status)
            for key, value in headers.items(): self.send_header(key, value)
            self.end_headers()
            try:
                if not callable(body): self.wfile.write(body)
                else: body(self.wfile)
            except OSError: pass  # they hung up

        def log_message(self, *args): pass

    made = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.address = f"http://127.0.0.1:{made.server_port}"
    threading.Thread(target=made.serve_forever, args=(0.02,), daemon=True).start()
    yield made
    made.shutdown()
    made.server_close()


NO_ANSWERS = {"login page": (200, {}, b"<html>Welcome to the hotel"), "list": (200, {}, b"[]"), "no word": (200, {}, b'{"serial": 7}'),
              "yes": (200, {}, b'{"available": "yes"}'),
              "deep": (200, {}, b"[" * 100_000), "endless": (200, {}, b" " * 1_100_000), "not asked for": (304, {}, b""), "broken": (500, {}, b""),
              "gone": (404, {}, b""), "in circles": (302, {"Location": "/model/version"}, b""), "cut": (200, {"Content-Length": "99"}, b"{"),
              "bomb": (200, {"Content-Encoding": "gzip"}, gzip.compress(b'{"available": false}')),
              "path": (200, {}, b'{"available": true, "revision": "../main"}'), "later": (429, {}, b"")}


@pytest.mark.parametrize("answer", NO_ANSWERS.values(), ids=NO_ANSWERS)
def test_what_is_no_answer_counts_as_a_failure_of_the_network(installed, hub, odd, answer):
    odd.answer = answer
    before = memory(installed)
    with pytest.raises(HubError): update(installed, hub, now=NOW, server=odd.address)
    assert memory(installed) == before and in_use(installed) == 1


def test_a_description_that_is_none_is_a_model_fault(odd):
    odd.answer = (200, {}, b'{"available": true, "serial": "x"}')
    with pytest.raises(ModelError, match="describes no release"): ask_server(odd.address)


@pytest.mark.parametrize("status", [429, 503])
def test_the_time_a_server_names_is_told(odd, status):
    odd.answer = (status, {"Retry-After": "1200"}, b"")
    with pytest.raises(BusyError) as told: ask_server(odd.address)
    assert told.value.retry_after_s == 1200


def test_a_question_has_an_end(odd, monkeypatch):
    over = threading.Event()

    def drip(out):  # never silent, never done
        while not over.wait(0.01): out.write(b" ")

    odd.answer = (200, {}, drip)
    monkeypatch.setattr(updating, "ASK_S", 0.3)
    with pytest.raises(HubError, match="no whole answer within"): ask_server(odd.address)
    over.set()


@pytest.mark.parametrize("etag", ['"a\r\nX: y"', '"' + "a" * 300 + '"', "naked", 7, None, "Ω"])
def test_a_spoilt_etag_is_not_sent(installed, hub, server, etag):
    write_json(installed.models / "model_version_remote_cache.json", memory(installed) | {"etag": etag})
    assert update(installed, hub, now=NOW).reason.endswith("is installed") and b"if-none-match" not in server.up.lower()
    assert len(memory(installed)["etag"]) == 34


# A server or a hub that lies

def test_a_server_alone_can_pin_nobody(installed, hub, trained, odd):
    publish(hub, installed, trained[1])
    honest = json.loads(on_hub(hub, installed, "model_version.json").read_text(encoding="utf-8"))
    hub.calls.clear()
    for lie in ({"serial": 10**9}, {"files": honest["files"] | {"label_map.json": {"sha256": "0" * 64, "size": 3}}}, {"trained_at": "2036-01-01T00:00:00Z"}):
        odd.answer = (200, {}, json.dumps({"available": True, **honest, "revision": hub.head(installed.delivery_repo), **lie}).encode())
        with pytest.raises(ModelError, match="where the hub has another release"): update(installed, hub, every_h=0, now=NOW, server=odd.address)
        assert in_use(installed) == 1 and "fetch" not in hub.calls and memory(installed)["highest_serial"] == 1
    assert update(installed, hub, every_h=0, now=NOW).changed and in_use(installed) == 2


def test_bytes_that_are_not_the_published_ones_are_refused(installed, hub, trained):
    publish(hub, installed, trained[1])
    on_hub(hub, installed, "icon_gallery.npz").write_bytes(b"spoilt")
    with pytest.raises(ModelError, match="icon_gallery.npz"): update(installed, hub, now=NOW)
    assert in_use(installed) == 1 and not update(installed, hub, now=NOW + HOUR).changed  # not fetched at every start


def test_a_file_that_the_hub_has_lost_is_named(installed, hub, trained):
    publish(hub, installed, trained[1])
    on_hub(hub, installed, "icon_embedder.onnx").unlink()
    with pytest.raises(ModelError, match=r"icon_embedder\.onnx.*found nothing"): update(installed, hub, now=NOW)
    assert in_use(installed) == 1


def test_weights_without_labels_are_refused_before_anything_is_fetched(installed, hub, trained):
    publish(hub, installed, trained[1])
    republish(hub, installed, without("label_map.json"))
    hub.calls.clear()
    with pytest.raises(ModelError, match="label_map.json"): update(installed, hub, now=NOW)
    assert "fetch" not in hub.calls and in_use(installed) == 1


def test_half_a_set_is_taken_up_again(installed, hub, trained):
    def cut(into):
        (into / "models" / "icon_gallery.npz").unlink()
        raise HubError("connection reset")

    publish(hub, installed, trained[1])
    hub.on_fetch, before = cut, memory(installed)
    with pytest.raises(HubError, match="reset"): update(installed, hub, now=NOW)
    assert memory(installed) == before and in_use(installed) == 1
    hub.on_fetch = None
    assert update(installed, hub, now=NOW + 60).changed and sorted(hub.fetched) == ["icon_gallery.npz", "knowledge.json"]


def test_a_server_that_looked_earlier_is_no_obstacle(installed, hub, trained, server):
    publish(hub, installed, trained[1])
    kept = ask_server(server.address).offer
    publish(hub, installed, trained[2])  # a folder keeps no old states, so what the server saw cannot be fetched any more
    ask = updating.ask_server
    updating.ask_server = lambda *args: ask(*args)._replace(offer=kept)
    try: report = update(installed, hub, now=NOW)
    finally: updating.ask_server = ask
    assert report.changed and report.offered.serial == 3 and in_use(installed) == 3


def test_what_the_hub_has_instead_is_weighed_anew(installed, hub, trained, server):
    publish(hub, installed, trained[1])
    update(installed, hub, now=NOW)
    publish(hub, installed, trained[2])
    kept = ask_server(server.address).offer
    republish(hub, installed, lambda record: record | {"serial": 1})
    hub.commit(installed.delivery_repo, [Add("README.md", b"a step back")], "meanwhile")
    ask = updating.ask_server
    updating.ask_server = lambda *args: ask(*args)._replace(offer=kept)
    try: report = update(installed, hub, now=NOW + 2 * DAY)
    finally: updating.ask_server = ask
    assert not report.changed and "a lower one is refused" in report.reason and in_use(installed) == 2


# The real client of the public hub

@pytest.fixture
def there(config):
    "The public hub's protocol on this machine, with its delivery repository."
    hfhub._DOORS.clear()
    with LoopbackHub() as there:
        there.create(config.delivery_repo)
        yield there


@pytest.fixture
def public(there): return HfHub(endpoint=there.url, limits=Limits(connect_s=5, read_s=1, call_s=10, file_s=3, fetch_s=20), sleep=lambda seconds: None)


def test_the_real_client_fetches_at_the_revision_that_the_server_names(config, there, public, trained):
    publish(public, config, trained[0])
    with serving(public, config) as server:
        kept = ask_server(server.address)
        publish(public, config, trained[1])  # the server looked before this
        ask, updating.ask_server = updating.ask_server, lambda *args: kept
        try: assert update(config, public, now=NOW, server=server.address).changed and in_use(config) == 1
        finally: updating.ask_server = ask
        there.order("GET /storage/", "wrong_bytes", 99)
        with pytest.raises(HubError): update(config, public, now=NOW + 2 * DAY, server=server.address)
        assert in_use(config) == 1 and memory(config)["last_check"] == NOW
        there.forget()
        assert update(config, public, now=NOW + 2 * DAY + 300, server=server.address).changed and in_use(config) == 2
        server.reset()
        assert not update(config, public, now=NOW + 4 * DAY, server=server.address).changed and server.bytes <= 1024


def asked_for(there): return sorted(r.path.rpartition("/")[2] for r in there.requests if "/resolve/" in r.path)


def test_a_first_run_over_the_public_hub(config, there, public, trained):
    "Named steps, each file asked for once, the stamp written; and then a day of silence."
    publish(public, config, trained[0])
    there.forget()
    told = []
    report = bootstrap(config, public, lambda *step: told.append(step), server="", now=NOW)
    release = read_release(current_set(config.models))
    assert report.changed and in_use(config) == 1 and [text for text, *_ in told] == [*STEPS, report.reason]
    assert asked_for(there) == sorted([*client_files(release), "knowledge.json", "model_version.json", "model_version.json"])  # asked, and read again at the revision
    assert all(f"/resolve/{there.repos[config.delivery_repo].head}/" in r.path for r in there.requests if r.path.endswith(".onnx"))
    asked = there.count()
    assert not update(config, public, server="", now=NOW + HOUR).changed and there.count() == asked and memory(config)["last_check"] == NOW


def test_a_missing_screen_model_comes_at_once_over_the_public_hub(config, there, public, trained):
    publish(public, config, trained[0])
    update(config, public, server="", now=NOW)
    for name in SCREENS: (current_set(config.models) / name).unlink()
    there.forget()
    assert update(config, public, server="", now=NOW + 60).changed and in_use(config) == 1
    assert asked_for(there) == sorted([*SCREENS, "knowledge.json", "model_version.json", "model_version.json"])


@pytest.mark.parametrize(("kind", "how"), [("cut", {}), ("stall", {}), ("truncated", {}), ("wrong_bytes", {}), ("status", {"code": 500}),
                                           ("status", {"code": 429, "headers": {"Retry-After": "900"}})], ids=lambda v: v if isinstance(v, str) else str(v.get("code", "")))
def test_a_download_that_broke_off_is_taken_up_where_it_stood(config, there, public, trained, kind, how):
    for folder in trained[:2]: publish(public, config, folder)
    there.order("GET /storage/", kind, times=10 ** 6, **how)  # the description comes, the large files do not
    there.order("GET .*/resolve/.*gallery", kind, times=10 ** 6, **how)
    with pytest.raises(HubError) as told: update(config, public, server="", now=NOW)
    assert current_set(config.models) is None and memory(config) == {} and isinstance(told.value, BusyError) == ("headers" in how)
    kept = {p.name for p in config.models.glob("sets/2.part/models/*") if not p.name.endswith(".part")}
    hfhub._DOORS.clear()  # a quarter of an hour has passed
    there.forget()
    assert update(config, public, server="", now=NOW + 900).changed and in_use(config) == 2
    assert kept.isdisjoint(asked_for(there)) and "icon_embedder.onnx" in asked_for(there)
    if kind != "status": assert kept  # small files had come, and were not fetched again


@pytest.mark.parametrize(("kind", "how"), [("lost_reply", {}), ("done_but", {"code": 504}), ("cut", {}), ("status", {"code": 500}), ("status", {"code": 409}), ("stall", {})],
                         ids=["lost reply", "504 but done", "cut", "500", "409", "stall"])
def test_a_release_is_published_once_whatever_the_hub_says(config, there, public, trained, kind, how):
    publish(public, config, trained[0])
    there.order("POST .*/commit/", kind, **how)
    assert publish(public, config, trained[1]).serial == 2
    assert len(there.repos[config.delivery_repo].commits) == 3  # as it was made, and two releases
    assert update(config, public, server="", now=NOW).changed and in_use(config) == 2


def test_two_publishers_do_not_mix(config, there, public, trained):
    "While one is uploading, another publishes: the first weighs his release anew and comes second, or is told."
    publish(public, config, trained[0])
    serve, once = there.serve, []
    def meddle(request):
        if "/commit/" in request.path and not once:
            once.append(1)
            publish(HfHub(endpoint=there.url), config, trained[1])
        return serve(request)
    there.serve = meddle
    try: publish(public, config, trained[2])
    except ConflictError: pass
    there.serve = serve
    update(config, public, server="", now=NOW)
    folder = current_set(config.models)
    assert in_use(config) in (2, 3) and json.loads(public.read(config.delivery_repo, "models/model_version.json"))["serial"] == in_use(config)
    check_labels(folder)


# Sets that are whole, and do not load

def edited(name, change):
    def spoil(folder): write_json(folder / name, change(read_json(folder / name)))
    return spoil


UNLOADABLE = {"other network": edited("icon_embedder_meta.json", lambda r: r | {"files": {"icon_gallery.npz": "0" * 64}}),
              "other count": edited("icon_embedder_meta.json", lambda r: r | {"n_names": 4000}),
              "word for a number": edited("icon_embedder_meta.json", lambda r: r | {"temperature": "warm"}),
              "list for a record": edited("icon_embedder_meta.json", lambda r: [r]),
              "unknown screens": edited("screen_classifier_labels.json", lambda r: {k: f"T{k}" for k in r}),
              "layouts": edited("community_anchors.json", lambda r: [r])}


@pytest.mark.parametrize("spoil", UNLOADABLE.values(), ids=UNLOADABLE)
def test_a_set_that_the_loaders_refuse_is_never_switched_to(installed, hub, trained, tmp_path, spoil):
    wrong = shutil.copytree(trained[1], tmp_path / "wrong")
    spoil(wrong)
    check_labels(wrong)  # what is checked at publication does not see it
    publish(hub, installed, wrong)
    with pytest.raises(ModelError): update(installed, hub, now=NOW)
    folder = current_set(installed.models)
    assert in_use(installed) == 1 and IconModel.load(folder) and ScreenModel.load(folder)
    publish(hub, installed, trained[2])
    assert update(installed, hub, now=NOW + 2 * DAY).changed and in_use(installed) == 3


def test_the_trial_takes_what_is_published(trained): try_models(trained[0])


def test_rollback_passes_over_a_set_that_does_not_load(installed, hub, trained):
    for n, folder in enumerate(trained[1:], 1):
        publish(hub, installed, folder)
        update(installed, hub, now=NOW + 2 * n * DAY)
    folder = installed.models / "sets" / "2"
    write_json(folder / "icon_embedder_meta.json", [])
    record = read_json(folder / "model_version.json")
    record["files"]["icon_embedder_meta.json"] = file_stamp(folder / "icon_embedder_meta.json")._asdict()
    write_json(folder / "model_version.json", record)
    with pytest.raises(ModelError, match="nothing to go back to"): update(installed, hub, rollback=True)
    assert in_use(installed) == 3


# A set that breaks on this machine

def test_another_set_stands_in_while_the_broken_one_cannot_be_mended(installed, hub, trained, server):
    publish(hub, installed, trained[1])
    update(installed, hub, now=NOW)
    (current_set(installed.models) / "icon_embedder.onnx").unlink()  # a virus scanner
    with pytest.raises(HubError): update(installed, hub, now=NOW + 60, server=f"http://127.0.0.1:{closed_port()}")
    assert in_use(installed) == 1
    report = update(installed, hub, now=NOW + 120)  # at once, and the answer is weighed though it is known
    assert report.changed and "damaged here" in report.reason and in_use(installed) == 2
    server.reset()
    assert not update(installed, hub, now=NOW + 180).changed and server.connections == 0  # and then it is quiet again


def test_the_only_set_stays_though_it_is_damaged(installed, hub):
    (current_set(installed.models) / "icon_embedder.onnx").unlink()
    with pytest.raises(HubError): update(installed, hub, now=NOW, server=f"http://127.0.0.1:{closed_port()}")
    assert current_set(installed.models).name == "1"
    assert update(installed, hub, now=NOW + 60).changed and in_use(installed) == 1


# A full disk, death, and two at once

def full(*args, **kwargs): raise OSError(errno.ENOSPC, "No space left on device")


FULL = {"while files arrive": "hub", "while a file is copied": "shutil.copyfile", "while the set is flushed": "os.fsync", "while it gets its name": "os.rename",
        "while the line is rewritten": "warp.config.os.replace", "while it is described": "warp.release.update.write_json"}


@pytest.mark.parametrize("place", FULL.values(), ids=FULL)
def test_a_full_disk_leaves_the_set_in_use_and_no_rubbish(installed, hub, trained, monkeypatch, place):
    publish(hub, installed, trained[1])
    if place == "hub": hub.on_fetch = full
    else: monkeypatch.setattr(place, full)
    with pytest.raises(StoreError, match="No space left"): update(installed, hub, now=NOW)
    assert not list(installed.models.glob("sets/*.part")) and in_use(installed) == 1
    monkeypatch.undo()
    hub.on_fetch = None
    assert update(installed, hub, now=NOW + 60).changed and in_use(installed) == 2


@pytest.mark.parametrize("step", [8, 31, 46, 52, 60])
def test_a_process_killed_during_an_update_leaves_a_working_set(installed, hub, trained, tmp_path, server, step):
    publish(hub, installed, trained[1])
    (tmp_path / "out").mkdir()
    command = [sys.executable, str(ROOT / "tests" / "dying.py"), "update", *(str(tmp_path / n) for n in ("hub", "home", "out")), str(step)]
    died = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(ROOT), "WARP_SERVER": server.address}, timeout=120).returncode
    config = Config(tmp_path / "out" / str(step) / "home", "x")
    assert died and server.requests == 1 and in_use(config) in (1, 2)
    update(config, hub, every_h=0, now=NOW)
    assert in_use(config) == 2 == read_json(config.models / "model_version.json")["serial"]


def test_two_processes_at_once(installed, hub, trained, server):
    def other(into):
        code = ("import sys; from pathlib import Path; from warp.config import Config; from warp.hub import FolderHub; from warp.release.update import update\n"
                "from warp.errors import LockedError\n"
                f"config = Config(Path({str(installed.home)!r}), '')\n"
                f"try: update(config, FolderHub({installed.hub!r}), now={NOW})\n"
                "except LockedError: sys.exit(17)")
        met.append(subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=120).returncode)

    met = []
    publish(hub, installed, trained[1])
    hub.on_fetch = other
    assert update(installed, hub, now=NOW).changed and in_use(installed) == 2 and met == [17]


def test_loading_the_updater_loads_no_network():
    code = "import sys, warp.release.update, warp.release.checks; sys.exit(bool({'httpx', 'huggingface_hub', 'onnxruntime', 'torch'} & sys.modules.keys()))"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, timeout=120)


# The checker

class Days:
    "A clock, and a waiting that only moves its hand; after so many seconds it stops the checker."

    def __init__(self, now, until=math.inf): self.now, self.until, self.waits, self.checker = now, now + until, [], None

    def __call__(self): return self.now

    def wait(self, bell, seconds):
        self.waits.append(seconds)
        self.now += seconds
        if self.now > self.until: self.checker._stopping.set()


def checking(config, hub, clock, **options):
    checker = clock.checker = UpdateChecker(config, hub, clock=clock, wait=clock.wait, **options)
    return checker


def run_through(checker):
    "The thread's whole life, on the clock that is handed in."
    checker.start()._thread.join(60)
    assert not checker._thread.is_alive()


def test_the_thread_asks_after_fifteen_seconds_and_once_a_day(installed, hub, server):
    clock = Days(NOW, 4 * DAY)
    run_through(checking(installed, hub, clock))
    assert clock.waits[0] == FIRST_S == 15 and max(clock.waits) <= LOOK_S
    assert server.requests == 4  # at 15 s, and after 24, 48 and 72 hours


def test_the_listener_hears_of_a_set_once(installed, hub, trained, server):
    publish(hub, installed, trained[1])
    heard = []
    run_through(checking(installed, hub, Days(NOW, 3 * DAY), on_updated=lambda release: heard.append(release.serial)))
    assert heard == [2]


def test_a_set_that_another_program_installed_is_heard_of(installed, hub, trained):
    heard, clock = [], Days(NOW)
    checker = checking(installed, hub, clock, on_updated=lambda release: heard.append(release.serial))
    publish(hub, installed, trained[1])
    update(installed, hub, now=NOW)
    checker.step(asked=True)
    assert heard == [2]


def test_failures_are_followed_by_longer_and_longer_pauses(installed, hub, server, monkeypatch, caplog):
    monkeypatch.setenv("WARP_SERVER", f"http://127.0.0.1:{closed_port()}")
    clock, before = Days(NOW), memory(installed)
    checker = checking(installed, hub, clock)
    pauses = []
    with caplog.at_level(logging.WARNING, "warp.release.checks"):
        for _ in range(6):
            pauses.append(checker.step() / 60)
            assert checker.step(asked=True) == pauses[-1] * 60  # within the pause nobody is asked, whoever opens a desk
            clock.now += pauses[-1] * 60
    assert pauses == [5, 15, 60, 240, 240, 240] and memory(installed) == before and isinstance(checker.last, HubError)
    assert len(caplog.records) == 1  # one warning, not one for each
    monkeypatch.setenv("WARP_SERVER", server.address)
    assert checker.step() == DAY and checker.last.release.serial == 1 and memory(installed)["last_check"] == clock.now


def test_a_longer_pause_that_the_server_names_is_kept(installed, hub, odd):
    odd.answer = (503, {"Retry-After": "1200"}, b"")
    assert checking(installed, hub, Days(NOW), server=odd.address).step() == 1200


@pytest.mark.parametrize("leap", [DAY, -DAY, 400 * DAY, -400 * DAY])
def test_a_clock_that_leaps_silences_nobody(installed, hub, server, leap):
    clock = Days(NOW)
    checker = checking(installed, hub, clock)
    assert checker.step() == DAY
    clock.now += leap
    server.reset()
    assert 0 < checker.step() <= DAY and server.requests == 1
    assert 0 < checker.step() <= DAY and server.requests == 1


def test_a_clock_that_leaps_ends_a_pause(installed, hub):
    clock = Days(NOW)
    checker = checking(installed, hub, clock, server=f"http://127.0.0.1:{closed_port()}")
    assert checker.step() == 300
    clock.now -= DAY
    checker.server = None
    assert checker.step() == DAY and checker.last.release.serial == 1


def test_opening_a_desk_asks_nobody_within_the_day(installed, hub, server):
    checker = checking(installed, hub, Days(NOW))
    checker.step()
    server.reset()
    assert checker.step(asked=True) == DAY and server.connections == 0


def test_opening_a_desk_brings_missing_screens(installed, hub):
    checker = checking(installed, hub, Days(NOW))
    checker.step()
    for name in SCREENS: (current_set(installed.models) / name).unlink()
    checker.step(asked=True)
    assert ScreenModel.load(current_set(installed.models)) and in_use(installed) == 1


@pytest.mark.parametrize("error", [RuntimeError("a bug"), MemoryError(), LockedError("another"), OSError(errno.EIO, "the disk")])
def test_nothing_is_raised_into_the_app(installed, hub, trained, error):
    def fails(*args): raise error

    publish(hub, installed, trained[1])
    hub.fetch = fails
    checker = checking(installed, hub, Days(NOW))
    assert checker.step() == 300 and checker.last is not None and in_use(installed) == 1


def test_a_listener_that_fails_is_logged_and_the_checks_go_on(installed, hub, trained, caplog):
    def fails(release): raise ValueError("a listener's bug")

    publish(hub, installed, trained[1])
    checker = checking(installed, hub, Days(NOW), on_updated=fails)
    assert checker.step() == DAY and in_use(installed) == 2 and "could be told" in caplog.text


def test_stop_does_not_wait_for_the_network(installed, hub, trained):
    asked, answer = threading.Event(), threading.Event()

    def slow(into):
        asked.set()
        assert answer.wait(60)

    publish(hub, installed, trained[1])
    hub.on_fetch, heard = slow, []
    checker = UpdateChecker(installed, hub, on_updated=heard.append, first_s=0, every_h=1e-9).start()
    assert asked.wait(60)
    assert checker.stop() is False  # it came back although the thread is still inside the request
    answer.set()
    assert checker.stop(60) is True and heard == [] and in_use(installed) == 1 and checker.last is None
    hub.on_fetch = None
    assert update(installed, hub, every_h=0).changed and in_use(installed) == 2


def test_a_sleeping_checker_stops(installed, hub, server):
    with UpdateChecker(installed, hub, first_s=1e6) as checker: assert checker._thread.is_alive()
    assert checker.stop(60) is True and server.connections == 0
    assert UpdateChecker(installed, hub).stop() is True  # one that never began


def test_the_bell_wakes_a_sleeper(installed, hub):
    done = threading.Event()
    with UpdateChecker(installed, hub, first_s=1e6) as checker:
        checker._listeners.tell = done.set
        checker.check_soon()
        assert done.wait(60)
    assert checker.stop(60) and checker.last.release.serial == 1


def test_there_is_one_checker_for_a_folder(installed, hub, trained):
    publish(hub, installed, trained[1])
    news = threading.Event()
    checker = watch(installed, lambda release: news.set(), hub=hub, first_s=0)
    try: assert watch(installed) is checker and news.wait(60)
    finally: assert checker.stop(60)
    again = watch(installed, hub=hub, first_s=1e6)
    assert again is not checker and again.stop(60)


@pytest.mark.parametrize(("text", "hours"), [("", 24), ("6", 6), ("0.01", 0.25), ("0", 24), ("-1", 24), ("nan", 24), ("daily", 24), (" Never ", math.inf),
                                             ("inf", math.inf)])
def test_the_interval_is_a_setting(monkeypatch, text, hours):
    monkeypatch.setenv("WARP_UPDATE_HOURS", text)
    assert hours_between() == hours


def test_never_begins_nothing(installed, hub, server, monkeypatch):
    monkeypatch.setenv("WARP_UPDATE_HOURS", "never")
    checker = UpdateChecker(installed, hub).start()
    assert checker._thread is None and checker.stop()


def test_a_matcher_that_is_open_takes_the_new_set_up(installed, hub, trained):
    matcher = Cascade.open(installed)
    crops = np.full((1, 64, 64, 3), 90, np.uint8)
    before = matcher.stages["model"].embed(crops)
    publish(hub, installed, trained[1])
    checking(installed, hub, Days(NOW)).step()
    matcher.match(crops)
    assert not np.array_equal(before, matcher.stages["model"].embed(crops))


def test_a_reader_that_is_open_takes_the_new_set_up(installed, hub, trained, tmp_path):
    "Screen model, layouts and corrections; and all of the set at the next picture, none of it before."
    entry = {"type": "SPACE_EQ", "aspect": 1.778, "n_contributors": 3, "slots": {}}
    later = shutil.copytree(trained[1], tmp_path / "later")
    write_json(later / "community_anchors.json", {"entries": [entry]})
    write_json(later / "ship_type_corrections.json", {"F1eet Support Cruiser": "Fleet Support Cruiser"})
    reader, picture = Reader.open(installed), Image.new("RGB", (640, 360), (40, 60, 90))
    before, screens = reader.screens.shares([picture]), reader.screens
    publish(hub, installed, later)
    checking(installed, hub, Days(NOW)).step()
    assert reader.screens is screens and reader.anchors["entries"] == []
    reader.read(picture)
    assert not np.array_equal(before, reader.screens.shares([picture])) and reader.anchors["entries"] == [entry]
    assert apply_correction("F1eet Support Cruiser ", reader.corrections) == "Fleet Support Cruiser"
    screens = reader.screens
    reader.read(picture)
    assert reader.screens is screens  # read once, not at every picture
    update(installed, hub, rollback=True, now=NOW)
    reader.read(picture)
    assert np.array_equal(before, reader.screens.shares([picture])) and reader.anchors["entries"] == [] and reader.corrections == {}


@pytest.mark.filterwarnings("ignore:what was newly installed cannot be used")
def test_a_reader_keeps_what_it_has_when_the_new_set_is_spoilt(installed, hub, trained):
    reader, picture = Reader.open(installed), Image.new("RGB", (640, 360), (40, 60, 90))
    publish(hub, installed, trained[1])
    update(installed, hub, now=NOW)
    screens, whole = reader.screens, (current_set(installed.models) / SCREENS[0]).read_bytes()
    (current_set(installed.models) / SCREENS[0]).write_bytes(whole[:50])
    with pytest.warns(UserWarning, match="the old stays"): reader.read(picture)
    assert reader.screens is screens and reader.read(picture).reason
