"Every hub keeps the same promises, the public one too; the folder hub keeps them through kills."
import os
import random
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
from loopback_hub import LoopbackHub
from test_hfhub import Clock

from warp import hfhub
from warp.errors import ConflictError, HubError, LockedError, NotFoundError
from warp.hfhub import HfHub
from warp.hub import PATIENT, Add, Delete, FolderHub, MemoryHub, open_hub

pytestmark = pytest.mark.filterwarnings("ignore:Use .content=:DeprecationWarning")  # the library's own
REPO = "sets-sto/sto-icon-dataset"


COMMIT, BUT_COMMITS = "POST .*/commit/", "GET|HEAD|PUT|POST (?!.*/commit/)"
WEATHER = {  # what the public hub does to the first request for each thing, and to every fifth after that: (to which requests, what, how)
    "public": [], "public, 429 with a hint": [(".", "status", {"code": 429, "headers": {"RateLimit": '"api";r=0;t=200'}})],
    "public, 429 without": [(BUT_COMMITS, "status", {"code": 429})],  # a commit that is refused without a hint ends the round: test_hfhub has that
    "public, 412": [(COMMIT, "status", {"code": 412})], "public, 409": [(COMMIT, "status", {"code": 409})], "public, 500": [(".", "status", {"code": 500})],
    "public, 500 after doing it": [(COMMIT, "done_but", {"code": 500})], "public, cuts": [(".", "cut", {})], "public, lost replies": [(".", "lost_reply", {})],
    "public, half answers": [("GET|POST", "truncated", {})], "public, wrong bytes": [("GET .*(/resolve/|/storage/)", "wrong_bytes", {})],
    "public, stalls": [(BUT_COMMITS, "stall", {"times": 1}), (COMMIT, "stall", {"times": 1})]}


@pytest.fixture(params=["folder", "memory", *WEATHER])
def hub(request, tmp_path, monkeypatch):
    "The three hubs; the public one is the real client, and a server on this machine, in all its moods."
    if request.param in ("folder", "memory"):
        yield FolderHub(tmp_path / "hub") if request.param == "folder" else MemoryHub()
        return
    from huggingface_hub.utils import _http
    monkeypatch.setattr(_http, "time", SimpleNamespace(sleep=lambda seconds: None))  # the library's own pauses between uploads
    hfhub._DOORS.clear()  # a port may come again
    clock = Clock()
    with LoopbackHub(page=7) as there:
        there.create(REPO)
        for pattern, kind, how in WEATHER[request.param]: there.order(pattern, kind, **{"times": 1 << 30, "every": 5} | how)
        limits = PATIENT._replace(call_s=1e6, file_s=1e6, fetch_s=1e6, commit_s=1e6, read_s=.2 if "stalls" in request.param else 30)
        yield HfHub(endpoint=there.url, token="hf_test", limits=limits, clock=clock, sleep=clock.sleep)


def test_empty(hub):
    assert hub.head(REPO) == "" or isinstance(hub, HfHub)  # the public hub makes a first revision when it makes a repository
    assert hub.list(REPO) == [] and hub.list(REPO, "staging") == [] and not hub.exists(REPO, "a")
    with pytest.raises(NotFoundError, match="has no file a.txt"): hub.read(REPO, "a.txt")


def test_commit_read_list_delete(hub, tmp_path):
    (tmp_path / "file").write_bytes(b"from disk")
    one = hub.commit(REPO, [Add("a/b/c.txt", b"1"), Add("a/d.txt", tmp_path / "file")], "one")
    assert len(one) == 40 and hub.head(REPO) == one
    assert hub.read(REPO, "a/d.txt", one) == b"from disk"
    assert [(e.path, e.size, e.is_folder) for e in hub.list(REPO, "a")] == [("a/b", 0, True), ("a/d.txt", 9, False)]
    two = hub.commit(REPO, [Delete("a/b/c.txt"), Delete("never/was.txt"), Add("a/d.txt", b"new")], "two", parent=one)
    assert two != one and [e.path for e in hub.list(REPO, "a")] == ["a/d.txt"]
    with pytest.raises(ConflictError, match="somebody committed in between"): hub.commit(REPO, [Add("x", b"")], "three", parent=one)
    assert not hub.exists(REPO, "x") and hub.head(REPO) == two


def test_contents_of_all_kinds(hub, tmp_path):
    contents = {"crop.png": b"\x89PNG" * 3000, "empty.png": b"", "empty.jsonl": b"", "lines.jsonl": b'{"a": 1}\n' * 9, "model.onnx": bytes(range(256)) * 4000}
    (tmp_path / "disk.png").write_bytes(b"a crop on disk")
    hub.commit(REPO, [*(Add(f"all/{name}", data) for name, data in contents.items()), Add("all/disk.png", tmp_path / "disk.png")], "all")
    assert {e.path: e.size for e in hub.list(REPO, "all")} == {f"all/{n}": len(d) for n, d in contents.items()} | {"all/disk.png": 14}
    assert all(hub.read(REPO, f"all/{name}") == data for name, data in contents.items())
    hub.fetch(REPO, [f"all/{name}" for name in contents], tmp_path / "in")
    assert all((tmp_path / "in/all" / name).read_bytes() == data for name, data in contents.items())


def test_many_files_of_equal_content(hub, tmp_path):
    (tmp_path / "disk.png").write_bytes(b"the same" * 900)
    hub.commit(REPO, [Add(f"p/{i}.png", b"the same" * 900 if i % 3 else tmp_path / "disk.png") for i in range(60)] + [Add(f"p/{i}.txt", b"the same") for i in range(9)], "twins")
    assert len(hub.list(REPO, "p")) == 69 and {hub.read(REPO, f"p/{i}.png") for i in (0, 1, 30, 59)} == {b"the same" * 900}


@pytest.mark.parametrize("name", ["with space.txt", "Föhr & Kirk's.txt", "50%41.txt", "a#b.txt", "a+b=c.txt", "名前.png", "UPPER.TXT", "x" * 120 + ".txt"])
def test_names_that_need_quoting(hub, tmp_path, name):
    hub.commit(REPO, [Add(f"wörter dir/{name}", b"x")], "name")
    assert [e.path for e in hub.list(REPO, "wörter dir")] == [f"wörter dir/{name}"] and hub.exists(REPO, f"wörter dir/{name}")
    assert hub.read(REPO, f"wörter dir/{name}") == b"x"
    assert hub.fetch(REPO, [f"wörter dir/{name}"], tmp_path / "in").done == [f"wörter dir/{name}"]
    hub.commit(REPO, [Delete(f"wörter dir/{name}")], "gone")
    assert hub.list(REPO) == []


def test_a_folder_is_no_file(hub):
    hub.commit(REPO, [Add("a/b.txt", b"1"), Add("a.txt", b"2")], "one")
    assert [(e.path, e.is_folder) for e in hub.list(REPO)] == [("a", True), ("a.txt", False)]
    assert not hub.exists(REPO, "a") and hub.exists(REPO, "a/b.txt") and hub.list(REPO, "a.txt") == []
    with pytest.raises(NotFoundError): hub.read(REPO, "a")


def test_the_same_once_more_changes_nothing_that_can_be_read(hub):
    one = hub.commit(REPO, [Add("a.txt", b"1"), Add("b.png", b"2")], "one")
    again = hub.commit(REPO, [Add("a.txt", b"1"), Add("b.png", b"2"), Delete("c")], "once more", parent=one)
    assert hub.head(REPO) == again and hub.read(REPO, "a.txt") == b"1" and len(hub.list(REPO)) == 2
    hub.commit(REPO, [Add("a.txt", b"1"), Delete("a.txt")], "the last word counts")
    assert [e.path for e in hub.list(REPO)] == ["b.png"]


def test_what_is_to_be_committed_must_be_there(hub, tmp_path):
    before = hub.head(REPO)
    with pytest.raises((HubError, FileNotFoundError)): hub.commit(REPO, [Add("a.txt", b"1"), Add("b.txt", tmp_path / "never was")], "no")
    assert hub.head(REPO) == before and hub.list(REPO) == []


def test_fetch_names_what_is_missing(hub, tmp_path):
    rev = hub.commit(REPO, [Add(f"crops/{i}.png", bytes([i])) for i in range(5)], "crops")
    got = hub.fetch(REPO, [f"crops/{i}.png" for i in range(7)], tmp_path / "in", revision=rev)
    assert got.done == [f"crops/{i}.png" for i in range(5)] and got.missing == ["crops/5.png", "crops/6.png"]
    assert (tmp_path / "in/crops/4.png").read_bytes() == b"\4" and not list(tmp_path.rglob("*.part"))
    with pytest.raises(NotFoundError): hub.fetch(REPO, ["crops/1.png"], tmp_path / "in", revision="0" * 40)


def test_fetch_nothing_and_over_something(hub, tmp_path):
    assert hub.fetch(REPO, ["a.txt"], tmp_path / "in").missing == ["a.txt"] and hub.fetch(REPO, [], tmp_path / "in").done == []
    hub.commit(REPO, [Add("a/b.txt", b"new")], "one")
    (tmp_path / "in/a").mkdir(parents=True)
    (tmp_path / "in/a/b.txt").write_bytes(b"old")
    assert hub.fetch(REPO, ["a/b.txt"], tmp_path / "in", progress=True).missing == []
    assert (tmp_path / "in/a/b.txt").read_bytes() == b"new"


@pytest.mark.parametrize("path", ["", "/etc/passwd", "../up", "a/../b", "a//b", "a\\b", "C:/x", ".hidden", "a/.hidden", "a/", "nul\0"])
def test_paths_from_strangers(hub, tmp_path, path):
    before = hub.head(REPO)
    with pytest.raises(HubError): hub.commit(REPO, [Add(path, b"x")], "bad")
    with pytest.raises(HubError): hub.fetch(REPO, [path], tmp_path / "in")
    assert hub.head(REPO) == before


def test_of_many_who_saw_the_same_head_one_commits(hub):
    parent = hub.commit(REPO, [Add("n.txt", b"0")], "start")
    def write(i):
        try: return hub.commit(REPO, [Add("n.txt", b"%d" % i)], str(i), parent=parent)
        except ConflictError: return None
    with ThreadPoolExecutor(6) as pool: made = [r for r in pool.map(write, range(1, 7)) if r]
    assert made == [hub.head(REPO)]


def test_nobody_who_names_no_parent_loses_anything(hub):
    def write(i): return [hub.commit(REPO, [Add(f"lines/{i}-{j}.jsonl", b"x")], "batch") for j in range(3)]
    with ThreadPoolExecutor(4) as pool: revisions = sum(pool.map(write, range(4)), [])
    assert len(hub.list(REPO, "lines")) == 12 and hub.head(REPO) in revisions


def test_any_history_reads_as_in_memory(hub):
    "A random life of a repository, beside the simplest hub there is."
    rng, memory = random.Random(7), MemoryHub()
    names = [f"{a}/{b}.{end}" for a in "abc" for b in "xy" for end in ("png", "txt")] + ["a/deep/er.txt", "top.txt"]
    for step in range(12):
        changes = [Add(n, rng.randbytes(rng.randrange(40))) if rng.random() < .7 else Delete(n) for n in rng.sample(names, rng.randrange(1, 6))]
        for one in (hub, memory): one.commit(REPO, changes, f"step {step}")
        for folder in ("", "a", "b", "c", "a/deep"): assert hub.list(REPO, folder) == memory.list(REPO, folder), f"step {step}: {changes}"
    for name in names:
        assert hub.exists(REPO, name) == memory.exists(REPO, name)
        if memory.exists(REPO, name): assert hub.read(REPO, name) == memory.read(REPO, name)


@pytest.mark.parametrize("kind", ["folder", "memory", "public"])
def test_a_folder_of_forty_thousand(tmp_path, kind):
    "Listed whole and in order, page by page where there are pages."
    files = {f"data/{i:05}.txt": b"" for i in range(40_000)} | {"data/below/deep.txt": b"", "other/x.txt": b"1"}
    with LoopbackHub() as there:
        if kind == "public":
            there.create(REPO, files)
            hub = HfHub(endpoint=there.url)
        elif kind == "memory": (hub := MemoryHub()).commit(REPO, [Add(p, b) for p, b in files.items()], "many")
        else:  # put there by hand, as people may: a commit would flush each of them
            hub = FolderHub(tmp_path)
            for path in ("data/below", "other"): (hub.folder(REPO) / path).mkdir(parents=True)
            for path, data in files.items(): (hub.folder(REPO) / path).write_bytes(data)
        entries = hub.list(REPO, "data")
        assert [e.path for e in entries] == sorted([*(p for p in files if p.count("/") == 1 and p < "other"), "data/below"])
        assert [(e.path, e.is_folder) for e in hub.list(REPO)] == [("data", True), ("other", True)] and there.count("/tree/") == (42 if kind == "public" else 0)


def test_unusable_places(tmp_path):
    (tmp_path / "a file").write_text("x", encoding="utf-8")
    with pytest.raises(HubError, match="cannot be used as a hub"): FolderHub(tmp_path / "a file")
    with pytest.raises(HubError, match="is no repository"): FolderHub(tmp_path / "h").head("just-one-name")
    with pytest.raises(HubError, match="is no repository"): HfHub().head("just-one-name")
    with pytest.raises(HubError, match="WARP_HUB"): open_hub("s3://bucket")


def test_one_address_decides(tmp_path):
    assert isinstance(open_hub(tmp_path), FolderHub) and isinstance(open_hub(str(tmp_path)), FolderHub)
    assert isinstance(open_hub("hf://"), HfHub) and open_hub("hf://").only is None
    assert open_hub("hf://datasets/sets-sto/warp-knowledge").only == "sets-sto/warp-knowledge"
    for address in ("hf://sets-sto/warp-knowledge", "hf://datasets/one-name", "hf://datasets", "hf://models/a/b", "hf://datasets/a/b/c"):
        with pytest.raises(HubError, match="is no hub"): open_hub(address)


HOLD = "import sys; from warp.hub import FolderHub\nwith FolderHub(sys.argv[1])._at(sys.argv[2]).locked(): print('held', flush=True); sys.stdin.read()"


def test_a_second_process_waits_or_says_who_waits(tmp_path):
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path), REPO], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline().strip() == b"held"
        with pytest.raises(LockedError, match="locked by another process"): FolderHub(tmp_path, lock_timeout_s=0.05).commit(REPO, [Add("a", b"")], "no")
        holder.kill()                                          # the kernel drops a dead process's lock
    FolderHub(tmp_path).commit(REPO, [Add("a", b"")], "yes")


WRITE = """
import sys
from warp.hub import Add, Delete, FolderHub
hub, repo, n = FolderHub(sys.argv[1]), sys.argv[2], int(sys.argv[3])
while True:
    n += 1
    hub.commit(repo, [Add(f"set/{i}.txt", str(n).encode()) for i in range(20)] + [Add(f"n/{n}.txt", b"") , Delete(f"n/{n - 1}.txt")], "again")
    print(n, flush=True)
"""


def test_kills_leave_whole_commits(tmp_path):
    "Whatever the moment of the kill: all twenty files are of one commit, and no acknowledged commit is lost."
    rng, acknowledged = np.random.default_rng(5), 0
    for _ in range(8):
        with subprocess.Popen([sys.executable, "-c", WRITE, str(tmp_path), REPO, str(acknowledged)], stdout=subprocess.PIPE, text=True) as p:
            first = p.stdout.readline()
            deadline = time.monotonic() + float(rng.uniform(0, 0.08))
            while time.monotonic() < deadline: os.sched_yield() if hasattr(os, "sched_yield") else None
            p.kill()
            acknowledged = max([int(x) for x in (first + p.stdout.read()).split()] or [acknowledged])
        hub = FolderHub(tmp_path)
        assert hub.head(REPO)
        now = {hub.read(REPO, f"set/{i}.txt") for i in range(20)}
        assert len(now) == 1 and int(now.pop()) in (acknowledged, acknowledged + 1)
        assert len(hub.list(REPO, "n")) == 1
        assert not list((tmp_path / ".warp").rglob("journal")) and not list((tmp_path / ".warp").rglob("staged"))
        acknowledged = int(hub.read(REPO, "set/0.txt"))
