"The real client against a hub that misbehaves: what comes is right, what does not come is said, nothing is done twice, and everything ends."
import logging
import random
import socket
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import pytest
from loopback_hub import LoopbackHub, Refusal

from warp import hfhub
from warp.config import Config
from warp.errors import BusyError, ConflictError, FetchError, HubError, NotFoundError
from warp.hfhub import HfHub, Limits, find_token, redacted
from warp.hub import PATIENT, Add, Delete, open_hub

pytestmark = pytest.mark.filterwarnings("ignore:Use .content=:DeprecationWarning")  # the library's own
REPO, TOKEN = "sets-sto/sto-icon-dataset", "hf_veryverysecret"
LISTING, COMMIT = "GET .*/tree/", "POST .*/commit/"
IMPATIENT = Limits(connect_s=1, read_s=.25, call_s=.6, file_s=.6, fetch_s=5, commit_s=3)


class Clock:
    "Time that passes when somebody sleeps, and `then` whatever was planned for that moment."

    def __init__(self): self.ahead, self.slept, self.then = 0.0, [], lambda: None

    def __call__(self) -> float: return time.monotonic() + self.ahead

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.ahead += seconds
        self.then()


@pytest.fixture
def there():
    hfhub._DOORS.clear()  # a port may come again
    with LoopbackHub() as there:
        there.create(REPO, {"a/one.txt": b"1" * 900, "a/two.png": b"2" * 900, "top.txt": b"top"})
        yield there


@pytest.fixture
def clock(): return Clock()


@pytest.fixture
def hub(there, clock): return HfHub(endpoint=there.url, token=TOKEN, clock=clock, sleep=clock.sleep)


@pytest.fixture
def impatient(there): return HfHub(endpoint=there.url, token=TOKEN, limits=IMPATIENT, sleep=lambda seconds: None)


@pytest.fixture
def no_naps(monkeypatch):
    "The library's own pauses between uploads take no time."
    from huggingface_hub.utils import _http
    monkeypatch.setattr(_http, "time", SimpleNamespace(sleep=lambda seconds: None))


def commits(there: LoopbackHub) -> list[str]: return [title for _, title, _ in there.repos[REPO].commits[2:]]


VERBS = {
    "head": lambda hub, into: hub.head(REPO), "list": lambda hub, into: hub.list(REPO, "a"), "exists": lambda hub, into: hub.exists(REPO, "top.txt"),
    "read": lambda hub, into: hub.read(REPO, "a/one.txt"), "read a large one": lambda hub, into: hub.read(REPO, "a/two.png"),
    "fetch": lambda hub, into: hub.fetch(REPO, ["a/one.txt", "a/two.png"], into), "commit": lambda hub, into: hub.commit(REPO, [Add("b.png", b"new")], "one"),
}


# How much is asked

def test_a_listing_is_its_pages_and_nothing_else(there, hub):
    there.create(REPO, {f"data/{i:05}.txt": b"" for i in range(40_000)} | {"data/below/deep.txt": b"", "other/x.txt": b""})
    there.forget()
    entries = hub.list(REPO, "data")
    assert len(entries) == 40_001 and entries[40_000].path == "data/below" and entries[40_000].is_folder and there.count() == there.count(LISTING) == 41
    there.forget()
    assert [e.path for e in hub.list(REPO)] == ["data", "other"] and there.count() == 1


def test_a_fetch_asks_once_for_each_file(there, hub, tmp_path):
    there.create(REPO, {f"t/{i}.txt": b"%d" % i for i in range(120)} | {f"p/{i}.png": b"%d" % i for i in range(40)})
    there.forget()
    assert len(hub.fetch(REPO, [f"t/{i}.txt" for i in range(120)], tmp_path).done) == 120
    assert there.count() == 121 and there.count("/resolve/") == 120  # and one for the head
    there.forget()
    head = there.repos[REPO].head
    assert len(hub.fetch(REPO, [f"p/{i}.png" for i in range(40)] * 2, tmp_path, revision=head).done) == 40
    assert there.count("/resolve/") == 40 and there.count("/storage/") == 40 and there.count() == 80  # large files lie in another house
    assert all(f"/resolve/{head}/" in r.path for r in there.requests if "/resolve/" in r.path)


def test_a_head_does_not_bring_the_whole_repository(there, hub):
    hub.head(REPO)
    assert [(r.path, r.query) for r in there.requests] == [(f"/api/datasets/{REPO}", {"expand": ["sha"]})]


def test_a_commit_of_many_is_one(there, hub):
    crops = [Add(f"staging/me/crops/{i:03}.png", b"crop %d" % i) for i in range(200)]
    there.forget()
    hub.commit(REPO, [*crops, Add("staging/me/annotations/1.jsonl", b"{}\n"), Delete("top.txt"), Delete("was/never.txt")], "sync 200")
    assert there.count(COMMIT) == 1 and there.count("/preupload/") == 1 and there.count("/paths-info/") == 1 and there.count("objects/batch") == 1
    assert there.count("PUT") == 200 and there.count() == 4 + 2 * 200 and commits(there) == ["sync 200"]
    there.forget()
    hub.commit(REPO, crops, "the same once more")
    assert there.count() == 2 and commits(there) == ["sync 200"]  # a look, and the head


def test_a_question_is_one_request(there, hub):
    for verb, n in (("head", 1), ("list", 1), ("exists", 1), ("read", 1), ("read a large one", 2)):
        there.forget()
        VERBS[verb](hub, None)
        assert there.count() == n, verb


# What passes

@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("kind,how", [("status", {"code": 500}), ("status", {"code": 503}), ("status", {"code": 429}), ("status", {"code": 408}), ("cut", {}), ("truncated", {})],
                         ids=["500", "503", "429", "408", "cut", "truncated"])
def test_what_fails_once_is_asked_again(there, hub, clock, tmp_path, verb, kind, how, no_naps):
    if verb == "commit" and how == {"code": 429}: there.order("/paths-info/|/preupload/", kind, times=2, **how)  # (a commit that is refused is not tried again)
    else: there.order("GET|HEAD|POST", kind, times=2, **how)
    VERBS[verb](hub, tmp_path)
    if verb == "commit": assert commits(there) == ["one"]
    if verb != "exists" or kind != "truncated": assert 1 <= len(clock.slept) <= 2 and all(.2 < s < 4 for s in clock.slept)  # (a HEAD has nothing to be cut)


@pytest.mark.parametrize("verb", [v for v in VERBS if v != "fetch"])
def test_what_keeps_failing_ends(there, hub, clock, tmp_path, verb):
    there.order(".", "status", code=502, times=99)
    with pytest.raises(HubError, match=r"failed 4 times while .*it answered 502"): VERBS[verb](hub, tmp_path)
    assert there.count() == 4 and len(clock.slept) == 3 and sum(clock.slept) < 15


@pytest.mark.parametrize("verb", VERBS)
def test_silence_ends(there, impatient, tmp_path, verb):
    there.order(".", "stall", times=99)
    with pytest.raises(HubError, match="while|did not come"): VERBS[verb](impatient, tmp_path)
    assert commits(there) == [] and not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize("verb", [v for v in VERBS if v not in ("exists", "commit")])
def test_a_drip_ends(there, impatient, tmp_path, verb):
    "Something comes all the time, and never an end: no read limit helps."
    there.order(".", "drip", times=99, seconds=.04)
    with pytest.raises(HubError, match="not done within 0.6 s|did not come"): VERBS[verb](impatient, tmp_path)


def test_headers_that_drip_end(impatient):
    with socket.create_server(("127.0.0.1", 0)) as server:
        def serve():
            with server.accept()[0] as peer:
                peer.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
                try:
                    while not over.wait(.05): peer.sendall(b"x")
                except OSError: pass
        over = threading.Event()
        threading.Thread(target=serve, daemon=True).start()
        hub = HfHub(endpoint=f"http://127.0.0.1:{server.getsockname()[1]}", limits=IMPATIENT)
        with pytest.raises(HubError, match="not done within 0.6 s of listing"): hub.list(REPO)
        over.set()


def test_nobody_there(tmp_path, clock):
    with socket.create_server(("127.0.0.1", 0)) as server: port = server.getsockname()[1]
    hub = HfHub(endpoint=f"http://127.0.0.1:{port}", clock=clock, sleep=clock.sleep)
    for act in VERBS.values():
        with pytest.raises(HubError, match="no connection came about"): act(hub, tmp_path)
    with pytest.raises(FetchError, match="200 of 200 files"): hub.fetch(REPO, [f"{i}.txt" for i in range(200)], tmp_path, revision="0" * 40)


def test_a_page_that_is_no_hub(there, hub, tmp_path):
    for verb in ("head", "list", "commit"):
        there.order(".", "nonsense")
        with pytest.raises(HubError, match="is this a hub"): VERBS[verb](hub, tmp_path)


def test_a_long_listing_repeats_a_page_not_itself(there, hub):
    there.create(REPO, {f"d/{i:04}.txt": b"" for i in range(5000)})
    there.order(f"{LISTING}.*", "headers", times=2)
    there.order(f"{LISTING}.*", "status", code=500)
    assert len(hub.list(REPO, "d")) == 5000 and there.count() == 6


# Too many requests

@pytest.mark.parametrize("headers", [{"RateLimit": '"api";r=0;t=30', "RateLimit-Policy": '"fixed window";"api";q=1000;w=300'}, {"Retry-After": "30"},
                                     {"Retry-After": "Fri, 20 Nov 2026 10:00:30 GMT", "Date": "Fri, 20 Nov 2026 10:00:00 GMT"}], ids=["window", "seconds", "date"])
@pytest.mark.parametrize("verb", VERBS)
def test_a_short_pause_is_made(there, hub, clock, tmp_path, headers, verb):
    there.order(".", "status", code=429, headers=headers)
    VERBS[verb](hub, tmp_path)
    assert 30 <= min(clock.slept) <= max(clock.slept) < 34


@pytest.mark.parametrize("verb", VERBS)
def test_a_long_pause_ends_the_round_and_is_kept(there, hub, clock, tmp_path, verb):
    where = COMMIT if verb == "commit" else "."
    there.order(where, "status", code=429, headers={"RateLimit": '"api";r=0;t=280'})
    with pytest.raises(BusyError, match="come again in 280 s") as caught: VERBS[verb](hub, tmp_path)
    assert caught.value.retry_after_s == 280 and not clock.slept
    there.requests.clear()
    with pytest.raises(BusyError) as caught: VERBS[verb](hub, tmp_path)
    assert there.count(where) == 0 and 270 < caught.value.retry_after_s <= 280  # it does not even knock
    clock.ahead += 281
    VERBS[verb](hub, tmp_path)
    assert commits(there) == (["one"] if verb == "commit" else [])


def test_a_pause_holds_for_whoever_asks_next(there, hub, clock):
    there.order(".", "status", code=429, headers={"Retry-After": "280"})
    with pytest.raises(BusyError): hub.list(REPO)
    with pytest.raises(BusyError): HfHub(endpoint=there.url, token=TOKEN, clock=clock).head(REPO)
    assert there.count() == 1 and HfHub(endpoint=there.url, token="hf_another").head(REPO)  # limits are counted by account


def test_a_refusal_that_lasts(there, hub, clock):
    there.order(".", "status", code=429, headers={"Retry-After": "20"}, times=99)
    with pytest.raises(BusyError): hub.list(REPO)
    assert there.count() == 4 and len(clock.slept) == 3
    there.forget()
    clock.ahead += 60
    there.order(".", "status", code=429, times=99)
    with pytest.raises(BusyError) as caught: hub.list(REPO)
    assert caught.value.retry_after_s == 300  # the hub named no time; its windows have five minutes


def test_a_hint_without_measure_is_not_believed(there, hub, clock):
    there.order(".", "status", code=503, headers={"Retry-After": "99999999"})
    with pytest.raises(BusyError) as caught: hub.head(REPO)
    assert caught.value.retry_after_s == 3600


def test_too_many_commits_do_not_stop_the_reading(there, hub, tmp_path):
    there.order(COMMIT, "status", code=429, headers={"Retry-After": "2000"}, error="You have exceeded the rate limit for repository commits (128 per hour)")
    with pytest.raises(BusyError) as caught: VERBS["commit"](hub, tmp_path)
    assert caught.value.retry_after_s == 2000
    for verb in ("head", "list", "exists", "read", "fetch"): VERBS[verb](hub, tmp_path)
    assert commits(there) == []


@pytest.mark.parametrize("said,wait_s", [("You have exceeded our hourly quotas for action: commit. We invite you to retry later.", 900), ("Retry after 150 seconds", 150),
                                         ("rate limit for repository commits (128 per hour). You can retry this action in about 1 hour.", 3600)])
def test_what_a_refused_commit_says_in_words(there, hub, clock, said, wait_s):
    there.order(COMMIT, "status", code=429, error=said)
    with pytest.raises(BusyError) as caught: hub.commit(REPO, [Add("b.txt", b"1")], "one")
    assert caught.value.retry_after_s == wait_s and there.count(COMMIT) == 1 and not clock.slept


def test_a_busy_hub_ends_a_fetch(there, hub, tmp_path):
    there.create(REPO, {f"t/{i}.txt": b"%d" % i for i in range(300)})
    there.order("/resolve/", "headers", times=100)
    there.order("/resolve/", "status", code=429, headers={"RateLimit": '"resolvers";r=0;t=250'}, times=300)
    with pytest.raises(BusyError, match="come again in"): hub.fetch(REPO, [f"t/{i}.txt" for i in range(300)], tmp_path / "in")
    assert there.count("/resolve/") <= 100 + hub.limits.parallel
    assert len(list((tmp_path / "in/t").iterdir())) > 100 - hub.limits.parallel and not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize("verb", VERBS)
def test_a_job_sits_through_a_whole_window(there, clock, tmp_path, verb):
    "What ends an app's round, an hourly job waits for: `PATIENT` has room for the hub's longest window in every call."
    there.order(COMMIT if verb == "commit" else ".", "status", code=429, headers={"RateLimit": '"api";r=0;t=300'})
    VERBS[verb](HfHub(endpoint=there.url, token=TOKEN, limits=PATIENT, clock=clock, sleep=clock.sleep), tmp_path)
    assert 300 <= max(clock.slept) <= 331


def test_twelve_thousand_files_in_three_windows(there, clock, tmp_path):
    "In small: the hub serves a hundred files in a window. An app gets a hundred and the time to come again; a job gets all of them, and the pauses count only against its hour."
    there.create(REPO, {f"t/{i}.txt": b"%d" % i for i in range(250)})
    names, window, serve = [f"t/{i}.txt" for i in range(250)], [0.0, 0], there.serve
    def count(request):
        if "/resolve/" in request.path:
            if clock() >= window[0] + 300: window[:] = [clock(), 0]
            window[1] += 1
            if window[1] > 100: raise Refusal(429, "slow down", headers={"RateLimit": f'"resolvers";r=0;t={int(window[0] + 301 - clock())}'})
        return serve(request)
    there.serve = count
    with pytest.raises(BusyError, match="come again in"): HfHub(endpoint=there.url, clock=clock, sleep=clock.sleep).fetch(REPO, names, tmp_path / "app")
    clock.ahead += 301
    started = clock()
    job = HfHub(endpoint=there.url, limits=PATIENT._replace(parallel=1), clock=clock, sleep=clock.sleep)
    assert len(job.fetch(REPO, names, tmp_path / "job").done) == 250 and 600 < clock() - started < 700


def test_who_opens_a_hub_chooses_its_limits():
    assert open_hub("hf://").limits == Limits() and open_hub("hf://datasets/sets-sto/warp-knowledge", PATIENT).limits.fetch_s == 3600
    assert PATIENT.wait_s >= 310 and min(PATIENT.call_s, PATIENT.file_s, PATIENT.commit_s) > 3 * PATIENT.wait_s  # or no pause would fit into a call


# Files

def test_sixty_files_through_bad_weather(there, tmp_path, clock):
    kinds = [("status", {"code": 503}), ("truncated", {}), ("cut", {}), ("wrong_bytes", {}), ("stall", {}), ("status", {"code": 429, "headers": {"Retry-After": "1"}})]
    names = [f"t/{i:02}.{'txt' if i % 6 in (1, 3) else 'png'}" for i in range(60)] + ["t/never.txt"]
    there.create(REPO, {name: random.Random(name).randbytes(5000) for name in names[:60]})
    for i in range(48): there.order(f"/t/{i:02}", kinds[i % 6][0], **kinds[i % 6][1])
    for i, kind in ((49, "wrong_bytes"), (51, "cut"), (57, "stall")): there.order(f"/t/{i}", kind, times=99)
    hub = HfHub(endpoint=there.url, limits=Limits(read_s=.3, file_s=900, wait_s=5), clock=clock, sleep=clock.sleep)
    with pytest.raises(FetchError, match="3 of 61 files") as caught: hub.fetch(REPO, names, tmp_path / "in")
    assert set(caught.value.failed) == {"t/49.txt", "t/51.txt", "t/57.txt"} and caught.value.fetched.missing == ["t/never.txt"]
    assert "another digest" in caught.value.failed["t/49.txt"] and "connection broke" in caught.value.failed["t/51.txt"] and "no answer" in caught.value.failed["t/57.txt"]
    for name in caught.value.fetched.done: assert (tmp_path / "in" / name).read_bytes() == there.repos[REPO].files[name].data, name
    assert sorted(p.relative_to(tmp_path / "in").as_posix() for p in (tmp_path / "in").rglob("*") if p.is_file()) == sorted(caught.value.fetched.done)


@pytest.mark.parametrize("path,where", [("a/one.txt", "/resolve/.*one"), ("a/two.png", "GET /storage/")], ids=["small", "large"])
@pytest.mark.parametrize("kind", ["wrong_bytes", "truncated", "cut"])
def test_damaged_files_do_not_get_in(there, hub, tmp_path, path, where, kind):
    there.order(where, kind)
    assert hub.read(REPO, path) == there.repos[REPO].files[path].data
    there.forget()
    there.order(where, kind, times=99)
    with pytest.raises(HubError, match="failed 4 times"): hub.read(REPO, path)
    with pytest.raises(FetchError): hub.fetch(REPO, [path], tmp_path / "in")
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


def test_a_round_has_an_end_whatever_hangs(there, tmp_path):
    there.create(REPO, {f"t/{i}.txt": b"%d" % i for i in range(40)})
    there.order("/resolve/.*/t/[5-8].txt", "stall", times=99)
    hub = HfHub(endpoint=there.url, limits=Limits(read_s=30, fetch_s=1))
    with pytest.raises(FetchError, match="4 of 40 files.*not within 1 s") as caught: hub.fetch(REPO, [f"t/{i}.txt" for i in range(40)], tmp_path / "in")
    assert len(caught.value.fetched.done) == 36 and set(caught.value.failed) == {f"t/{i}.txt" for i in range(5, 9)}


def test_a_dead_storage_is_not_asked_for_every_file(there, hub, tmp_path):
    there.create(REPO, {f"p/{i}.png": b"%d" % i for i in range(400)})
    there.order("GET /storage/", "status", code=500, times=9999)
    with pytest.raises(FetchError, match="400 of 400") as caught: hub.fetch(REPO, [f"p/{i}.png" for i in range(400)], tmp_path / "in")
    assert there.count("/resolve/") < 400 and any("not tried" in why for why in caught.value.failed.values())


@pytest.mark.parametrize("code", [403, 404, 410])
def test_a_file_that_the_storage_has_lost(there, hub, tmp_path, code):
    there.order("GET /storage/", "status", code=code, times=99)
    with pytest.raises(FetchError, match=f"1 of 3 files.*answered {code}|1 of 3 files.*refuses") as caught: hub.fetch(REPO, ["a/two.png", "a/one.txt", "top.txt"], tmp_path)
    assert caught.value.fetched.done == ["a/one.txt", "top.txt"]


def test_a_full_disk_is_not_the_hubs_fault(hub, tmp_path):
    (tmp_path / "in").write_text("a file where a folder should be", encoding="utf-8")
    with pytest.raises(HubError, match="cannot be written"): hub.fetch(REPO, ["a/one.txt"], tmp_path / "in")


@pytest.mark.skipif(sys.platform == "win32", reason="limits file sizes as POSIX systems do")
def test_a_disk_that_takes_no_more_ends_a_fetch(there, tmp_path):
    "The kernel refuses every byte beyond a size: one clear error at once, not a hundred retries, and no torn file."
    there.create(REPO, {f"t/{i}.txt": b"%d" % i * 4000 for i in range(100)} | {"small.txt": b"1"})
    there.forget()
    code = ("import resource, sys; from pathlib import Path; from warp.hfhub import HfHub; from warp.errors import HubError\n"
            "hub = HfHub(endpoint=sys.argv[1]); hub.head('sets-sto/sto-icon-dataset')\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))\n"
            "try: hub.fetch('sets-sto/sto-icon-dataset', ['small.txt'] + [f't/{i}.txt' for i in range(100)], Path(sys.argv[2]))\n"
            "except HubError as e: print(e)")
    done = subprocess.run([sys.executable, "-c", code, there.url, str(tmp_path / "in")], capture_output=True, text=True)
    assert "cannot be written (File too large): check the disk" in done.stdout, done.stderr
    assert there.count("/resolve/") < 100, "it went on asking"
    assert {p.relative_to(tmp_path / "in").as_posix() for p in (tmp_path / "in").rglob("*") if p.is_file()} <= {"small.txt"}


def test_names_of_strangers_are_not_listed(there, hub):
    there.create(REPO, {"a:b.txt": b"", "back\\slash.txt": b"", ".hidden/x": b"", "d/.env": b"", "d/good.txt": b""})
    assert [e.path for e in hub.list(REPO)] == ["d"] and [e.path for e in hub.list(REPO, "d")] == ["d/good.txt"]


# Commits

SURE = [("lost_reply", {}), ("done_but", {"code": 500}), ("done_but", {"code": 504})]
UNDONE = [("cut", {}), ("status", {"code": 500}), ("status", {"code": 409}), ("stall", {})]


@pytest.mark.parametrize("named", [False, True], ids=["", "parent"])
@pytest.mark.parametrize("kind,how", SURE + UNDONE, ids=["lost reply", "500 but done", "504 but done", "cut", "500", "409", "stall"])
def test_a_commit_is_made_once(there, clock, named, kind, how):
    hub = HfHub(endpoint=there.url, token=TOKEN, limits=Limits(read_s=.3), clock=clock, sleep=clock.sleep)
    there.order(COMMIT, kind, **how)
    parent = hub.head(REPO) if named else None
    revision = hub.commit(REPO, [Add("b.txt", b"1"), Add("b.png", b"2"), Delete("top.txt")], "one", parent=parent)
    assert revision == hub.head(REPO) and commits(there) == ["one"] and there.count(COMMIT) == (1 if (kind, how) in SURE else 2)
    assert set(there.repos[REPO].files) == {".gitattributes", "a/one.txt", "a/two.png", "b.txt", "b.png"}


@pytest.mark.parametrize("named", [False, True], ids=["", "parent"])
def test_a_commit_that_arrives_late_is_found(there, hub, clock, named):
    there.order(COMMIT, "cut")
    head = hub.head(REPO)
    def arrive():
        repo = there.repos[REPO]
        if repo.head == head: repo.add("one, late", repo.files | {"b.txt": there.blob("b.txt", b"1")})
    clock.then = arrive
    assert hub.commit(REPO, [Add("b.txt", b"1")], "one", parent=head if named else None) == there.repos[REPO].head
    assert commits(there) == ["one, late"] and there.count(COMMIT) == 1


@pytest.mark.parametrize("named", [False, True], ids=["", "parent"])
def test_somebody_else_commits_while_we_try_again(there, hub, clock, named):
    there.order(COMMIT, "cut")
    head = hub.head(REPO)
    def meddle():
        repo = there.repos[REPO]
        if repo.head == head: repo.add("theirs", repo.files | {"theirs.txt": there.blob("theirs.txt", b"x")})
    clock.then = meddle
    if named:
        with pytest.raises(ConflictError, match="somebody committed in between"): hub.commit(REPO, [Add("b.txt", b"1")], "ours", parent=head)
        assert commits(there) == ["theirs"]
    else:
        hub.commit(REPO, [Add("b.txt", b"1")], "ours")
        assert commits(there) == ["theirs", "ours"] and hub.read(REPO, "theirs.txt") == b"x"


def test_a_stale_parent_is_refused_at_once(there, hub, clock):
    head = hub.head(REPO)
    hub.commit(REPO, [Add("b.txt", b"1")], "theirs")
    there.forget()
    with pytest.raises(ConflictError): hub.commit(REPO, [Add("c.txt", b"1")], "ours", parent=head)
    with pytest.raises(ConflictError): hub.commit(REPO, [Add("b.txt", b"1")], "nothing new, but not from there", parent=head)
    with pytest.raises(ConflictError): hub.commit(REPO, [Add("c.txt", b"1")], "as if nobody had written", parent="")
    assert there.count(COMMIT) == 1 and commits(there) == ["theirs"] and not clock.slept


def test_a_deletion_that_somebody_was_faster_with(there, hub):
    repo = there.repos[REPO]
    there.order("/paths-info/", "headers")
    serve, once = there.serve, []
    def meddle(request):  # between the look and the commit
        if "/commit/" in request.path and not once: once.append(repo.add("theirs", {p: b for p, b in repo.files.items() if p != "top.txt"}))
        return serve(request)
    there.serve = meddle
    hub.commit(REPO, [Delete("top.txt"), Add("b.txt", b"1")], "ours")
    assert commits(there) == ["theirs", "ours"] and not hub.exists(REPO, "top.txt")


@pytest.mark.parametrize("kind,how", [("status", {"code": 500}), ("cut", {}), ("stall", {}), ("lost_reply", {})], ids=lambda v: v if isinstance(v, str) else "")
@pytest.mark.parametrize("where", ["/preupload/", "objects/batch", "PUT /storage", "/verify", "/paths-info/"])
def test_an_upload_that_stumbles(there, clock, where, kind, how, no_naps):
    hub = HfHub(endpoint=there.url, token=TOKEN, limits=Limits(read_s=.3), clock=clock, sleep=clock.sleep)
    there.order(where, kind, **how)
    hub.commit(REPO, [Add("b.png", b"1"), Add("c.png", b"2"), Add("d.png", b"3")], "one")
    assert commits(there) == ["one"] and hub.read(REPO, "c.png") == b"2"


def test_an_upload_that_never_works_commits_nothing(there, hub, no_naps):
    there.order("PUT", "status", code=500, times=999)
    with pytest.raises(HubError, match="answered 500 while committing 2 changes"): hub.commit(REPO, [Add("b.png", b"1"), Add("c.png", b"2")], "one")
    assert there.count(COMMIT) == 0


@pytest.mark.parametrize("xet", [True, False], ids=["with Xet", "without"])
def test_as_the_public_hub_has_it(there, tmp_path, monkeypatch, xet):
    "There the library may use its Xet engine, which knows nothing of our limits: the commit's own ends it."
    from huggingface_hub import constants
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", not xet)
    monkeypatch.setattr(hfhub, "PUBLIC", there.url)
    hub = HfHub(endpoint=there.url, token=TOKEN, limits=Limits(commit_s=1 if xet else 60))
    (tmp_path / "disk.png").write_bytes(b"twin" * 99)
    changes = [Add("b.png", b"twin" * 99), Add("c.png", tmp_path / "disk.png"), Add("d.txt", b"1"), Add("e.txt", tmp_path / "disk.png")]
    there.order("xet-write-token", "stall", times=99)
    if xet:
        with pytest.raises(HubError, match="not done within 1 s of committing 4 changes"): hub.commit(REPO, changes, "one")
    else: hub.commit(REPO, changes, "one")
    assert there.count("xet-write-token") == xet and there.count(COMMIT) == (not xet) and commits(there) == ([] if xet else ["one"])


def test_what_was_given_up_does_not_happen_later(there):
    hub, before = HfHub(endpoint=there.url, limits=Limits(commit_s=.3)), set(threading.enumerate())
    there.order("/preupload/", "stall", seconds=.8)
    with pytest.raises(HubError, match="not done within|no answer came"): hub.commit(REPO, [Add("b.txt", b"1")], "one")
    for thread in set(threading.enumerate()) - before:
        if thread.name == "warp hub": thread.join(10)
    assert there.count(COMMIT) == 0


def test_the_hubs_reasons_are_told(there, hub):
    there.order(COMMIT, "status", code=400, error="Your push was rejected: a folder holds at most 10000 files")
    with pytest.raises(HubError, match="answered 400.*at most 10000 files"): hub.commit(REPO, [Add("b.txt", b"1")], "one")
    there.order(COMMIT, "status", code=403)
    with pytest.raises(HubError, match=r"refuses the token \(403\)"): hub.commit(REPO, [Add("b.txt", b"1")], "one")


def test_a_repository_is_made_on_purpose_only(there, hub, tmp_path):
    new = "sets-sto/warp-knowledge"
    for ask in (lambda: hub.commit(new, [Add("a.txt", b"1")], "one"), lambda: hub.read(new, "a.txt"), lambda: hub.head(new), lambda: hub.list(new), lambda: hub.list(new, "a"),
                lambda: hub.exists(new, "a.txt"), lambda: hub.fetch(new, ["a.txt"], tmp_path), lambda: hub.fetch(new, ["a.txt"], tmp_path, revision="0" * 40)):
        with pytest.raises(NotFoundError, match="no such repository.*create"): ask()  # never "it is empty": the token may be the reason
    hub.create(new)
    hub.create(new)
    hub.commit(new, [Add("README.md", b"---\nlicense: cc0-1.0\n---\n")], "one", parent=hub.head(new))
    assert hub.read(new, "README.md").startswith(b"---")


def test_one_repository_only(there):
    hub = HfHub("sets-sto/warp-knowledge", endpoint=there.url)
    for act in VERBS.values():
        with pytest.raises(HubError, match="the only repository of this address"): act(hub, None)
    assert there.count() == 0


# Tokens, and who may see them

def test_nobody_sees_the_token(there, clock, tmp_path, caplog, capfd, no_naps):
    "Neither in errors nor in what any logger says at its most talkative; and no signed address either."
    caplog.set_level(logging.DEBUG)
    hub, said = HfHub(endpoint=there.url, token=TOKEN, clock=clock, sleep=clock.sleep), []
    for kind, how in [("headers", {}), ("cut", {}), ("truncated", {}), ("nonsense", {}), ("status", {"code": 401, "error": f"token {TOKEN} is revoked"}),
                      ("status", {"code": 400, "error": f"see https://x.example/?X-Signature=secret-of-the-store&t={TOKEN}"}), ("status", {"code": 500})]:
        for where in ("PUT", "GET", "POST"):
            there.forget()
            there.order(where, kind, times=99, **how)
            for act in VERBS.values():
                try: act(hub, tmp_path)
                except HubError as e: said.append(f"{e!r} {e} {e.__cause__!r} {e.__suppress_context__}")
            hub.commit(REPO, [], "nothing") if kind == "headers" else None
    everything = "\n".join(said) + caplog.text + "".join(capfd.readouterr())
    assert len(said) > 20 and "refuses the token (401)" in everything
    for secret in (TOKEN, TOKEN[3:], "secret-of-the-store"): assert secret not in everything, everything[max(0, everything.index(secret) - 300):][:600]


def test_the_token_goes_to_the_hub_and_nowhere_else(there, hub, tmp_path):
    for act in VERBS.values(): act(hub, tmp_path)
    assert {r.headers.get("authorization") for r in there.requests if not r.path.startswith("/storage")} == {f"Bearer {TOKEN}"}
    assert {r.headers.get("authorization") for r in there.requests if r.method in ("GET", "PUT") and r.path.startswith("/storage")} == {None}


def test_where_tokens_come_from(there, monkeypatch, tmp_path):
    def sent() -> str | None:
        there.forget()
        HfHub(endpoint=there.url).head(REPO)
        return there.requests[0].headers.get("authorization")
    monkeypatch.setenv("WARP_HOME", str(tmp_path))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    assert find_token() is None and sent() is None
    Config.load().token_file.write_text("hf_from_file\n", encoding="utf-8")
    assert sent() == "Bearer hf_from_file"
    monkeypatch.setenv("HF_TOKEN", "hf_from_env")
    assert sent() == "Bearer hf_from_env"
    monkeypatch.delenv("HF_TOKEN")
    for bad in ("two words", "two\nlines", "ключ"):
        Config.load().token_file.write_text(bad, encoding="utf-8")
        with pytest.raises(HubError, match="holds no token") as caught: sent()
        assert bad not in str(caught.value)
    Config.load().token_file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(HubError, match="cannot be read as text"): sent()


def test_a_revoked_token():
    with LoopbackHub(tokens={"hf_good": "me"}) as there:
        there.create(REPO, {"a.txt": b"1"})
        assert HfHub(endpoint=there.url, token="hf_good").commit(REPO, [Add("b.txt", b"1")], "one")
        revoked, nobody = HfHub(endpoint=there.url, token="hf_old"), HfHub(endpoint=there.url)
        for act in (lambda: revoked.head(REPO), lambda: revoked.commit(REPO, [Add("c.txt", b"")], "no"), lambda: nobody.commit(REPO, [Add("c.txt", b"")], "no")):
            there.requests.clear()
            with pytest.raises(HubError, match=r"refuses the token \(401\).*hub_token.txt"): act()
            assert there.count() <= 3
        assert nobody.read(REPO, "a.txt") == b"1"  # reading needs none


@pytest.mark.parametrize("text,clean", [
    ("GET https://cdn.x/a?X-Sig=1&y=2 failed", "GET https://cdn.x/a failed"), ("Authorization: Bearer abc.def", "Authorization: Bearer …"),
    ("token hf_ABCdef123, no other", "token …, no other"), ("proxy http://me:pass@host/x", "proxy http://…@host/x"), ("why? nothing to hide", "why? nothing to hide")])
def test_redacted(text, clean): assert redacted(text) == clean


# Manners

def test_importing_warp_does_not_load_the_library():
    program = "import sys, warp.hfhub; from warp.hub import open_hub; hub = open_hub('hf://'); repr(hub); print('huggingface_hub' in sys.modules, hub)"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.startswith("False HfHub('', ")


def test_the_address_of_another_hub(there, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", there.url + "/")
    assert HfHub().head(REPO) == there.repos[REPO].head
    monkeypatch.setenv("HF_ENDPOINT", "huggingface.co")
    with pytest.raises(HubError, match="is no hub's address"): HfHub()


def test_offline_means_no_network(there, hub, monkeypatch, tmp_path):
    "Where somebody has switched the library to offline, nothing leaves this machine; a hub on it may still be asked."
    from huggingface_hub import constants
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(HubError, match="offline mode is enabled"): HfHub(endpoint="https://hub.example").head(REPO)
    with pytest.raises(HubError, match="offline mode is enabled"): HfHub(endpoint="https://hub.example").fetch(REPO, ["a.txt"], tmp_path, revision="0" * 40)
    assert hub.head(REPO)


def test_others_in_the_process_keep_their_library(there, hub):
    "A host application may use huggingface_hub too: its requests know nothing of our limits and errors."
    hub.head(REPO)
    from huggingface_hub import HfApi
    from huggingface_hub.utils import HfHubHTTPError, get_session
    there.order(LISTING, "status", code=500)
    api = HfApi(endpoint=there.url, token=False)
    there.order("GET /api/datasets/[^/]+/[^/]+$", "status", code=503)
    with pytest.raises(HfHubHTTPError): api.dataset_info(REPO)
    assert api.dataset_info(REPO).sha == hub.head(REPO) and get_session().timeout.read is None


def test_limits_reach_the_librarys_own_threads(there, no_naps):
    "It uploads several files in threads of its own, which know nothing of our call; and others in the process upload too."
    from huggingface_hub import CommitOperationAdd, HfApi
    hub = HfHub(endpoint=there.url, token=TOKEN, limits=Limits(read_s=.3, commit_s=40))
    hub.head(REPO)
    there.order("PUT", "stall", times=3)
    said = []
    def act():
        try: hub.commit(REPO, [Add(f"{i}.png", b"x%d" % i) for i in range(3)], "ours")
        except HubError as e: said.append(e)
    ours = threading.Thread(target=act)
    ours.start()
    HfApi(endpoint=there.url, token=TOKEN).create_commit(REPO, [CommitOperationAdd(f"their{i}.txt", b"1") for i in range(3)], commit_message="theirs", repo_type="dataset")
    ours.join(30)
    assert sorted(commits(there)) == ["ours", "theirs"] and not said and there.count("PUT") == 6


def test_bars_stay_away_until_the_last_commit_ends(monkeypatch):
    monkeypatch.delenv("HF_HUB_DISABLE_PROGRESS_BARS", raising=False)
    monkeypatch.setattr(hfhub, "_HUSHED", [0])  # commits of other tests may still hang
    away = []
    utils = SimpleNamespace(are_progress_bars_disabled=lambda: bool(away), disable_progress_bars=lambda: away.append(1), enable_progress_bars=away.clear)
    first, second = hfhub._no_bars(utils), hfhub._no_bars(utils)
    first.__enter__(), second.__enter__()
    first.__exit__(None, None, None)
    assert away
    second.__exit__(None, None, None)
    assert not away
    away.append("by the program itself")
    with hfhub._no_bars(utils): pass
    assert away == ["by the program itself"]


def test_many_threads_share_one_hub(there, hub):
    said, threads = [], [threading.Thread(target=lambda i=i: said.append((hub.commit(REPO, [Add(f"t/{i}.png", b"x%d" % i)], str(i)), hub.read(REPO, "top.txt"), hub.list(REPO, "a"))))
                         for i in range(8)]
    for thread in threads: thread.start()
    for thread in threads: thread.join(30)
    assert len(said) == 8 and sorted(commits(there)) == [str(i) for i in range(8)]


def test_another_programs_client_does_not_push_ours_out(tmp_path):
    "Whoever sets a client of his own in this process keeps it until our next call, and our calls stay bounded."
    import huggingface_hub
    from huggingface_hub.utils import httpx
    with LoopbackHub() as there:
        there.create(REPO, {"a.txt": b"a"})
        hub = HfHub(endpoint=there.url, token=TOKEN)
        assert hub.read(REPO, "a.txt") == b"a"
        huggingface_hub.set_client_factory(lambda: httpx.Client(follow_redirects=True))
        there.order("POST .*/commit/", "status", code=429, headers={"Retry-After": "900"})
        with pytest.raises(BusyError) as caught: hub.commit(REPO, [Add("b.txt", b"b")], "more")
        assert 800 < caught.value.retry_after_s <= 900
