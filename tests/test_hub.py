"Every hub keeps the same promises; the folder hub keeps them through kills."
import os
import subprocess
import sys
import time

import numpy as np
import pytest

from warp.errors import ConflictError, HubError, LockedError, NotFoundError
from warp.hub import Add, Delete, FolderHub, MemoryHub, open_hub

REPO = "sets-sto/sto-icon-dataset"


@pytest.fixture(params=["folder", "memory"])
def hub(request, tmp_path): return FolderHub(tmp_path / "hub") if request.param == "folder" else MemoryHub()


def test_empty(hub):
    assert hub.head(REPO) == "" and hub.list(REPO) == [] and hub.list(REPO, "staging") == [] and not hub.exists(REPO, "a")
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
    assert not hub.exists(REPO, "x")


def test_fetch_names_what_is_missing(hub, tmp_path):
    rev = hub.commit(REPO, [Add(f"crops/{i}.png", bytes([i])) for i in range(5)], "crops")
    got = hub.fetch(REPO, [f"crops/{i}.png" for i in range(7)], tmp_path / "in", revision=rev)
    assert got.done == [f"crops/{i}.png" for i in range(5)] and got.missing == ["crops/5.png", "crops/6.png"]
    assert (tmp_path / "in/crops/4.png").read_bytes() == b"\4" and not list(tmp_path.rglob("*.part"))
    with pytest.raises(NotFoundError): hub.fetch(REPO, ["crops/1.png"], tmp_path / "in", revision="0" * 40)


@pytest.mark.parametrize("path", ["", "/etc/passwd", "../up", "a/../b", "a//b", "a\\b", "C:/x", ".hidden", "a/.hidden", "a/", "nul\0"])
def test_paths_from_strangers(hub, path):
    with pytest.raises(HubError): hub.commit(REPO, [Add(path, b"x")], "bad")
    assert hub.head(REPO) == ""


def test_unusable_places(tmp_path):
    (tmp_path / "a file").write_text("x")
    with pytest.raises(HubError, match="cannot be used as a hub"): FolderHub(tmp_path / "a file")
    with pytest.raises(HubError, match="is no repository"): FolderHub(tmp_path / "h").head("just-one-name")
    with pytest.raises(HubError, match="WARP_HUB"): open_hub("s3://bucket")


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
