"""The server: what apps in the field ask it, what they and strangers send it, a hub that fails, and the real thing under uvicorn."""

import asyncio
import json
import os
import random
import re
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("torch")
from fastapi.testclient import TestClient

from test_intake import ART, BAD_ITEMS, BAD_PNG, GRID, ME, SHOT, b64, crop_item, said

from warp.config import Config
from warp.data.crops import make_crop
from warp.data.sync import thumbnail
from warp.errors import ConflictError, HubError, InputError, ModelError
from warp.hub import Add, FolderHub, MemoryHub
from warp.knowledge.ledger import Decision, add_decisions
from warp.release.manifest import toy_set
from warp.release.publish import publish
from warp.release.served import Answer, AnswerCache, read_knowledge, read_version
from warp.server import Settings, create_app, dispatch_workflow, problem
from warp.throttle import MAX_BODY, BodyLimit

ROOT = Path(__file__).parent.parent
REPO = "sets-sto/warp-knowledge"
SETTINGS = Settings("memory", REPO)


class Moody(MemoryHub):
    "A hub that counts its readings and can be down."
    down, readings = False, 0

    def head(self, repo):
        if self.down: raise HubError("secret-host.internal refused the connection")
        return super().head(repo)

    def read(self, repo, path, revision=None):
        self.readings += 1
        return super().read(repo, path, revision)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    root = tmp_path_factory.mktemp("trained")
    return [toy_set(root / str(n), [f"Item {i}" for i in range(5)], seed=n) for n in (1, 2)]


@pytest.fixture
def hub(trained):
    hub = Moody()
    publish(hub, Config(Path("unused"), "memory"), trained[0])
    hub.readings = 0
    return hub


def test_health_says_ok_even_when_the_hub_is_down(hub):
    hub.down = True
    reply = TestClient(create_app(hub, SETTINGS)).get("/health")
    said = reply.json()
    assert (reply.status_code, said["status"], said["repo"]) == (200, "ok", REPO) and hub.readings == 0
    assert (said["hub"], said["last_commit"], said["waiting"]) == ({"reachable": None, "asked_at": "", "takes": True}, None, 0)  # nobody asked yet


def test_health_remembers_what_it_heard_of_the_hub(hub):
    with TestClient(create_app(hub, Settings("memory", REPO, **FAST | {"cache_s": 0}))) as client:  # asked once at the start
        while client.get("/health").json()["hub"]["reachable"] is None: pass
        assert client.get("/health").json()["hub"]["reachable"] is True and hub.readings == 1
        hub.down = True
        assert client.get("/model/version").status_code == 200  # the kept one
        assert client.get("/health").json()["hub"]["reachable"] is False and client.get("/health").status_code == 200
        hub.down = False
        client.post("/contribute/bulk-crops", json={"install_id": ME, "items": [crop_item()]})
        commit = client.get("/health").json()["last_commit"]
        assert commit["revision"] == hub.head(DATA) and commit["at"].endswith("Z")


def test_health_says_when_names_are_not_checked(hub):
    app = create_app(hub, SETTINGS)
    assert (TestClient(app).get("/health").json()["validation"], app.state.backend.names > 4000) == ("enforcing", True)
    app = create_app(hub, SETTINGS)
    app.state.backend.names = 0
    assert TestClient(app).get("/health").json()["validation"] == "DISABLED (empty whitelist)"


def test_a_request_that_comes_after_the_end_is_a_503(hub):
    app = create_app(hub, SETTINGS)
    app.state.backend.close()
    assert is_problem(TestClient(app, raise_server_exceptions=False).post("/contribute", json=said()), 503)


def test_a_path_is_never_redirected(hub):
    assert TestClient(create_app(hub, SETTINGS)).get("/model/version/?a=1", follow_redirects=False).status_code == 404


def test_an_empty_hub_has_no_models():
    reply = TestClient(create_app(MemoryHub(), SETTINGS)).get("/model/version")
    assert (reply.status_code, reply.json()) == (200, {"available": False}) and reply.headers["etag"]


def test_the_version_is_the_file_with_available_and_revision(hub):
    reply = TestClient(create_app(hub, SETTINGS)).get("/model/version")
    published = json.loads(hub.read(REPO, "models/model_version.json"))
    assert reply.json() == {"available": True, **published, "revision": hub.head(REPO)}
    assert reply.headers["cache-control"].startswith("public, max-age=300") and reply.headers["content-type"] == "application/json"


@pytest.mark.parametrize(("header", "status"), [("{}", 304), ("W/{}", 304), ('"a", {}', 304), ('W/"a" ,  W/{} ', 304), ("*", 304),
                                                ('"a"', 200), ("", 200), ("nonsense{}", 200)])
def test_an_etag_saves_the_body(hub, header, status):
    client = TestClient(create_app(hub, SETTINGS))
    etag = client.get("/model/version").headers["etag"]
    assert re.fullmatch('"[0-9a-f]{32}"', etag)
    reply = client.get("/model/version", headers={"If-None-Match": header.format(etag)})
    assert reply.status_code == status and (reply.content == b"") is (status == 304) and reply.headers["etag"] == etag


def test_the_hub_is_read_once_in_five_minutes(hub):
    client = TestClient(create_app(hub, SETTINGS))
    assert len({client.get("/model/version").headers["etag"] for _ in range(20)}) == 1 and hub.readings == 1


def test_a_new_release_is_seen_when_the_time_is_over(hub, trained):
    client = TestClient(create_app(hub, Settings("memory", REPO, cache_s=0)))
    first = client.get("/model/version")
    publish(hub, Config(Path("unused"), "memory"), trained[1])
    second = client.get("/model/version", headers={"If-None-Match": first.headers["etag"]})
    assert (first.json()["serial"], second.status_code, second.json()["serial"]) == (1, 200, 2)


def test_a_hub_that_fails_later_leaves_the_last_answer(hub):
    client = TestClient(create_app(hub, Settings("memory", REPO, cache_s=0)))
    before = client.get("/model/version").content
    hub.down = True
    assert client.get("/model/version").content == before


def test_a_hub_that_fails_first_is_a_problem_without_secrets(hub):
    hub.down = True
    reply = TestClient(create_app(hub, SETTINGS)).get("/model/version")
    assert (reply.status_code, reply.headers["content-type"], reply.headers["retry-after"]) == (503, "application/problem+json", "30")
    assert reply.json()["title"] == "Service Unavailable" and "secret-host" not in reply.text
    hub.down = False
    assert TestClient(create_app(hub, SETTINGS)).get("/model/version").status_code == 200


@pytest.mark.parametrize("torn", [b'{"serial": 1', b"[]", b'{"serial": "x"}'])
def test_a_torn_description_is_not_passed_on(torn):
    hub = MemoryHub()
    hub.commit(REPO, [Add("models/model_version.json", torn)], "oops")
    with pytest.raises(ModelError): read_version(hub, REPO)
    assert TestClient(create_app(hub, SETTINGS)).get("/model/version").status_code == 503


class Moving(FolderHub):
    "A folder hub where somebody commits between our look at the head and our reading."
    moves = 1

    def exists(self, repo, path):
        if self.moves:
            self.moves -= 1
            self.commit(repo, [Add("README.md", b"a card")], "meanwhile")
        return super().exists(repo, path)


def test_a_hub_that_moves_on_while_it_is_read_is_read_again(hub, tmp_path):
    moving = Moving(tmp_path)
    moving.commit(REPO, [Add("models/model_version.json", hub.read(REPO, "models/model_version.json"))], "release")
    assert read_version(moving, REPO)["revision"] == moving.head(REPO) and moving.moves == 0


def test_many_at_once_read_the_hub_once(hub):
    async def crowd():
        cache = AnswerCache(lambda: read_version(hub, REPO), 300)
        return await asyncio.gather(*(cache.get() for _ in range(50)))

    assert len({a.etag for a in asyncio.run(crowd())}) == 1 and hub.readings == 1


def test_errors_have_one_shape(hub):
    client = TestClient(create_app(hub, SETTINGS), raise_server_exceptions=False)
    for reply, status in ((client.get("/nothing"), 404), (client.post("/model/version"), 405)):
        assert (reply.status_code, reply.json()["status"], reply.headers["content-type"]) == (status, status, "application/problem+json")


def test_an_unforeseen_error_tells_nothing(hub):
    class Broken(MemoryHub):
        def head(self, repo): raise RuntimeError("secret-host.internal")

    reply = TestClient(create_app(Broken(), SETTINGS), raise_server_exceptions=False).get("/model/version")
    assert (reply.status_code, reply.headers["content-type"]) == (500, "application/problem+json") and "secret" not in reply.text


def test_the_express_way_says_the_same_as_the_long_one(hub, monkeypatch):
    client = client_of(hub)
    for path in ("/model/version", "/knowledge"):
        first = client.get(path)  # nothing is kept yet: this one went the long way
        for asked in ({}, {"If-None-Match": first.headers["etag"]}, {"If-None-Match": 'W/"other", ' + first.headers["etag"]}, {"If-None-Match": '"other"'}):
            express, long = client.get(path, headers=asked), client.get(path, headers=asked | {"Origin": "https://example.org"})
            assert (express.status_code, express.content) == (long.status_code, long.content) and long.headers["access-control-allow-origin"] == "*"
            assert dict(express.headers) == {k: v for k, v in long.headers.items() if not k.startswith("access-control")}
        assert dict(client.get(path).headers) == dict(first.headers)
        monkeypatch.setattr("warp.server._ready", None)
        assert client.get(path).content == first.content and client.get(path, headers={"Origin": "https://example.org"}).status_code == 500
        assert client.post(path).status_code == 405
        monkeypatch.undo()


def test_web_pages_may_ask(hub):
    client = TestClient(create_app(hub, SETTINGS))
    reply = client.get("/model/version", headers={"Origin": "https://example.org"})
    assert reply.headers["access-control-allow-origin"] == "*" and "etag" in reply.headers["access-control-expose-headers"].lower()
    asked = client.options("/model/version", headers={"Origin": "https://example.org", "Access-Control-Request-Method": "POST"})
    assert asked.status_code == 200 and set(asked.headers["access-control-allow-methods"].split(", ")) == {"GET", "POST"}


def test_settings_keep_the_names_of_old(monkeypatch, tmp_path):
    told = {"WARP_HUB": str(tmp_path), "HF_REPO_ID": "me/mine", "HF_DATASET": "me/data", "ADMIN_KEY": "key", "MAX_REQ_PER_IP": "7", "GH_TOKEN": "token",
            "GH_REPO": "me/code", "WARP_TRUSTED_HOPS": "2",
            "WARP_WEBHOOK_SECRET": "hush", "WARP_GROUP_S": "0.5", "WARP_STATE": str(tmp_path / "s")}
    for name, value in told.items(): monkeypatch.setenv(name, value)
    assert Settings.from_env() == Settings(str(tmp_path), "me/mine", data_repo="me/data", admin_key="key", per_address=7, gh_token="token", gh_repo="me/code",
                                           trusted_hops=2, webhook_secret="hush", group_s=.5, state=tmp_path / "s")
    assert not any(secret in repr(Settings.from_env()) for secret in ("'key'", "'token'", "'hush'"))


def test_settings_without_an_environment(tmp_path):
    settings = Settings.from_env()
    assert (settings.delivery_repo, settings.data_repo, settings.gh_repo) == ("sets-sto/warp-knowledge", "sets-sto/sto-icon-dataset",
                                                                              "sets-sto/sets-warp-backend")
    assert (settings.per_address, settings.per_install, settings.trusted_hops, settings.admin_key, settings.state.name) == (500, 500, 0, "", "server.sqlite")


@pytest.mark.parametrize(("name", "value"), [("MAX_REQ_PER_IP", "many"), ("MAX_REQ_PER_IP", "-1"), ("WARP_TRUSTED_HOPS", "1.5"), ("WARP_GROUP_S", "nan"),
                                             ("WARP_GROUP_S", "inf")])
def test_a_setting_that_cannot_be_read_stops_the_start(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=name): Settings.from_env()


def test_equal_records_have_equal_tags():
    assert Answer.of({"a": 1}).etag == Answer.of({"a": 1}).etag != Answer.of({"a": 2}).etag


class Real:
    "The server as its host starts it: uvicorn in a process of its own."

    def __init__(self, folder: Path, **env: str):
        self.env = os.environ | {"WARP_HUB": str(folder / "hub"), "WARP_HOME": str(folder / "home"), "HF_REPO_ID": REPO} | env
        command = [sys.executable, "-m", "uvicorn", "api.main:app", "--port", "0", "--no-proxy-headers"]  # any free port; uvicorn says which
        self.process = subprocess.Popen(command, cwd=ROOT, env=self.env, stderr=subprocess.PIPE, text=True, encoding="utf-8")
        self.address = next(m[0] for line in self.process.stderr if (m := re.search(r"http://127\.0\.0\.1:\d+", line)))

    def ask(self, path: str, body: dict | None = None, **headers: str) -> tuple[int, dict | None, dict]:
        request = urllib.request.Request(self.address + path, json.dumps(body).encode() if body else None, {"Content-Type": "application/json"} | headers)
        try:
            with urllib.request.urlopen(request, timeout=60) as reply: return reply.status, json.load(reply), reply.headers
        except urllib.error.HTTPError as e:
            text = e.read()
            return e.code, json.loads(text) if text else None, e.headers

    def __enter__(self) -> "Real": return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.communicate(timeout=30)


def test_the_real_server(tmp_path, trained):
    hub = FolderHub(tmp_path / "hub")
    publish(hub, Config(tmp_path, str(tmp_path / "hub")), trained[0])
    with Real(tmp_path) as server:
        status, record, headers = server.ask("/model/version")
        assert (status, record["serial"], record["revision"]) == (200, 1, hub.head(REPO))
        assert server.ask("/model/version", **{"If-None-Match": headers["ETag"]})[0] == 304
        assert server.ask("/health")[1]["status"] == "ok"


def pictures(count: int) -> list[str]:
    rng = random.Random(5)
    from PIL import Image
    return [b64(make_crop(Image.frombytes("RGB", (64, 64), rng.randbytes(12288))).png) for _ in range(count)]


def test_two_hundred_crops_in_five_requests_and_few_commits(tmp_path):
    hub, data = FolderHub(tmp_path / "hub"), "sets-sto/sto-icon-dataset"
    items = [crop_item(crop_png_b64=png) for png in pictures(200)]
    with Real(tmp_path, WARP_GROUP_S="2", WARP_TRUSTED_HOPS="1", MAX_REQ_PER_IP="203") as server:
        def send(i: int) -> tuple[int, dict | None, dict]:
            return server.ask("/contribute/bulk-crops", {"install_id": f"install-{i}", "items": items[i * 50:i * 50 + 50]},
                              **{"X-Forwarded-For": f"6.6.6.{i}, 203.0.113.9"})
        with ThreadPoolExecutor(4) as pool: replies = list(pool.map(send, range(4)))
        assert all(status == 200 and answer["accepted"] == 50 for status, answer, _ in replies)
        assert len({answer["revision"] for _, answer, _ in replies}) <= 2
        assert replies[-1][1]["revision"] in {hub.head(data), *(a["revision"] for _, a, _ in replies)}
        sent = {a["sha256"] for _, answer, _ in replies for a in answer["items"]}
        assert sent == {e.path.rpartition("/")[2][:-4] for i in range(4) for e in hub.list(data, f"staging/install-{i}/crops")} and len(sent) == 200
        # a forged entry on the left of X-Forwarded-For is no new address, and the counts outlive the process
        assert send(0)[0] == 429
        assert server.ask("/quota", **{"X-Forwarded-For": "1.2.3.4, 203.0.113.9"})[1]["address"] == {"seen_as": "203.0.113.9", "spent": 200, "limit": 203}
    with Real(tmp_path, WARP_TRUSTED_HOPS="1", MAX_REQ_PER_IP="203") as server:
        assert server.ask("/quota", **{"X-Forwarded-For": "203.0.113.9"})[1]["left"] == 3


def test_a_server_that_ends_commits_what_waits(tmp_path):
    with Real(tmp_path, WARP_GROUP_S="1.5") as server, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(server.ask, "/contribute/bulk-crops", {"install_id": ME, "items": [crop_item()]})
        while server.ask(f"/quota?install_id={ME}")[1]["install"]["spent"] == 0: pass  # it has arrived and waits for its group
        server.process.terminate()
        assert waiting.result(30)[1]["accepted"] == 1
    assert FolderHub(tmp_path / "hub").exists("sets-sto/sto-icon-dataset", f"staging/{ME}/crops/{make_crop(ART).sha256}.png")


def test_the_server_needs_neither_torch_nor_models(tmp_path):
    absent = ("torch", "onnxruntime", "duckdb", "ipywidgets", "matplotlib", "huggingface_hub")
    code = f"import sys; sys.modules.update(dict.fromkeys({absent})); from api.main import app"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=os.environ | {"WARP_HUB": str(tmp_path), "WARP_HOME": str(tmp_path)}, check=True, timeout=60)


# what is sent

DATA = "sets-sto/sto-icon-dataset"
FAST = dict(group_s=0.0, soon_s=0.0, per_address=10 ** 6, per_install=10 ** 6, admin_key="s3cret", webhook_secret="hush")


class Counting(Moody):
    "A hub that counts its commits too; `refuses` fails those and `lies` fails after them."
    commits, refuses, lies = 0, False, False

    def commit(self, *args, **kwargs):
        if self.down or self.refuses: raise HubError("secret-host.internal answered 500, token hf_secret")
        done = super().commit(*args, **kwargs)
        self.commits += 1
        if self.lies: raise HubError("secret-host.internal cut the connection")
        return done


@pytest.fixture
def empty(): return Counting()


def client_of(hub, **settings) -> TestClient: return TestClient(create_app(hub, Settings("memory", REPO, **FAST | settings)), raise_server_exceptions=False)


def is_problem(reply, *statuses: int) -> bool:
    if reply.status_code not in statuses or reply.headers["content-type"] != "application/problem+json": return False
    return reply.json()["status"] == reply.status_code and bool(reply.json().get("detail"))


def test_a_contribution_as_clients_have_always_sent_it(empty):
    client = client_of(empty)
    reply = client.post("/contribute", json=said())
    assert reply.status_code == 200 and reply.json() == {"ok": True, "contribution_id": reply.json()["contribution_id"], "crop_sha256": make_crop(ART).sha256}
    place = f"contributions/2026-11-20/{reply.json()['contribution_id']}"
    record = json.loads(empty.read(REPO, f"{place}.json"))
    assert set(record) == {"contribution_id", "install_id", "phash", "item_name", "wrong_name", "confirmed", "warp_version", "timestamp", "client_phash"}
    assert empty.read(REPO, f"{place}.png") == make_crop(ART).png
    assert client.post("/contribute", json=said()).json() == reply.json() and empty.commits == 1  # a replay
    least = {k: said()[k] for k in ("install_id", "phash", "crop_png_b64", "item_name")}
    assert client.post("/contribute", json=least).status_code == 200


BAD_FIELDS = [("install_id", ""), ("install_id", "../.."), ("install_id", "x" * 65), ("install_id", 5), ("phash", "0" * 15), ("phash", "G" * 16),
              ("phash", "0" * 16 + "\n"), ("crop_png_b64", "short"), ("crop_png_b64", "A" * 200_001),
              ("crop_png_b64", "!" * 200), ("item_name", ""), ("item_name", "x" * 301), ("item_name", "Kettle"), ("item_name", "Test Item Name"),
              ("item_name", "\x00\x07"), ("item_name", None), ("wrong_name", "x" * 301),
              ("confirmed", False), ("confirmed", "yes"), ("warp_version", "x" * 21), ("timestamp", "x" * 31), ("timestamp", "../../../etc/passwd"),
              ("timestamp", "1970-01-01"),
              *(("crop_png_b64", b64(png)) for what, png in BAD_PNG.items() if len(png) > 75)]


def test_bad_contributions_are_told_why_and_leave_nothing(empty):
    client = client_of(empty)
    for name, value in BAD_FIELDS: assert is_problem(client.post("/contribute", json=said(**{name: value})), 400, 422), (name, value)
    for name in ("install_id", "phash", "crop_png_b64", "item_name"):
        assert is_problem(client.post("/contribute", json={k: v for k, v in said().items() if k != name}), 422)
    assert empty.commits == 0


def test_pictures_are_400_and_words_are_422(empty):
    client = client_of(empty)
    assert {client.post("/contribute", json=said(crop_png_b64=b64(png))).status_code for png in BAD_PNG.values() if len(png) > 75} == {400}
    assert {client.post("/contribute", json=said(**change)).status_code for change in ({"phash": "x"}, {"item_name": "Kettle"})} == {422}


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"5", b'"text"', b"\xff\xfe", b"[" * 100_000, b'{"install_id": "' + b"a" * 100_000,
                                  b'{"install_id": NaN}', b'{"install_id": ' + b"9" * 5000 + b"}",
                                  json.dumps(said(item_name="\ud800")).encode(), b'{"\\ud800": "\\udfff"}', b"a=1&b=2",
                                  b"--x\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--x--"], ids=range(15))
@pytest.mark.parametrize("path", ["/contribute", "/contribute/bulk-crops", "/upload/screen-types", "/upload/anchors"])
def test_bodies_that_are_none(empty, path, body):
    for kind in ("application/json", "text/plain", "multipart/form-data; boundary=x", ""):
        assert is_problem(client_of(empty).post(path, content=body, headers={"Content-Type": kind}), 400, 422)
    assert empty.commits == 0


def test_a_batch_is_answered_item_by_item(empty):
    reply = client_of(empty).post("/contribute/bulk-crops", json={"install_id": ME, "items": [crop_item(slot="Pockets"), crop_item(), 5]})
    body = reply.json()
    assert (reply.status_code, body["ok"], body["accepted"], body["rejected"], len(body["rejected_reasons"])) == (200, True, 1, 2, 2)
    assert [i["accepted"] for i in body["items"]] == [False, True, False] and body["items"][1]["sha256"] == make_crop(ART).sha256
    assert "Pockets" in body["items"][0]["reason"]
    assert body["revision"] == empty.head(DATA) and len(empty.list(DATA, f"staging/{ME}/crops")) == 1


def test_a_batch_of_which_nothing_can_be_taken(empty):
    client = client_of(empty)
    for start in range(0, len(BAD_ITEMS), 50):
        some = BAD_ITEMS[start:start + 50]
        reply = client.post("/contribute/bulk-crops", content=json.dumps({"install_id": ME, "items": some}), headers={"Content-Type": "application/json"})
        assert is_problem(reply, 400) and reply.json()["accepted"] == 0 and len(reply.json()["items"]) == len(some) and reply.json()["ok"] is False
    assert empty.commits == 0


@pytest.mark.parametrize(("path", "body"), [
    ("/contribute/bulk-crops", {"install_id": ME, "items": []}), ("/contribute/bulk-crops", {"install_id": ME, "items": [crop_item()] * 51}),
    ("/contribute/bulk-crops", {"install_id": ME, "items": "all"}),
    ("/contribute/bulk-crops", {"install_id": "../../../x", "items": [crop_item()]}),
    ("/contribute/bulk-crops", {"install_id": "short", "items": [crop_item()]}), ("/contribute/bulk-crops", {"install_id": ME + "\n", "items": [crop_item()]}),
    ("/contribute/bulk-crops", {"items": [crop_item()]}), ("/upload/screen-types", {"install_id": ME, "screen_type": "UNKNOWN", "items": [{}]}),
    ("/upload/screen-types", {"install_id": ME, "screen_type": "../x", "items": [{}]}),
    ("/upload/screen-types", {"install_id": ME, "screen_type": "TRAITS", "items": [{}] * 21}), ("/upload/anchors", {"install_id": ME, "grids": [GRID] * 21}),
    ("/upload/anchors", {"install_id": ME, "grids": {}}),
    ("/upload/anchors", {"install_id": ME, "grids": [[]]})])
def test_requests_that_cannot_be(empty, path, body):
    assert is_problem(client_of(empty).post(path, json=body), 400, 422) and empty.commits == 0


def test_screens_and_grids_arrive(empty):
    client = client_of(empty)
    crop = thumbnail(SHOT, {"width": 960, "height": 540, "screen_type": "TRAITS", "annotations": []})
    assert client.post("/upload/screen-types", json={"install_id": ME, "screen_type": "TRAITS",
                                                     "items": [{"png_b64": b64(crop.png)}]}).json()["items"][0]["sha256"] == crop.sha256
    assert client.post("/upload/anchors", json={"install_id": ME, "grids": [GRID]}).json()["accepted"] == 1
    assert [e.path.rpartition("/")[2][:12] for e in empty.list(DATA, f"staging/{ME}")] == ["anchors_grid", "screen_types"]
    for path, body in (("/upload/screen-types", {"screen_type": "TRAITS", "items": [{"sha256": crop.sha256, "withdrawn": True}]}),
                       ("/upload/anchors", {"grids": [{"sha8": empty.list(DATA, f"staging/{ME}")[0].path[-13:-5], "withdrawn": True}]})):
        assert client.post(path, json={"install_id": ME, **body}).json()["accepted"] == 1
    assert empty.list(DATA, f"staging/{ME}") == []


def test_a_word_taken_back_stays_back(empty):
    client, sent = client_of(empty), {"install_id": ME, "items": [crop_item()]}
    sha = client.post("/contribute/bulk-crops", json=sent).json()["items"][0]["sha256"]
    back = {"install_id": ME, "items": [{"slot": "Boff Science", "name": "Gravity Well", "crop_sha256": sha, "withdrawn": True,
                                         "confirmed_at": "2026-11-20T11:00:00Z"}]}
    answers = [client.post("/contribute/bulk-crops", json=body).json()["accepted"] for body in (back, sent, back)]  # the first batch comes once more
    assert answers == [1, 1, 1] and empty.list(DATA, f"staging/{ME}/crops") == [] and len(empty.list(DATA, f"staging/{ME}/annotations")) == 2
    assert empty.commits == 2


def test_the_batches_of_two_installs_are_one_commit(empty):
    client = client_of(empty, group_s=0.5)
    with ThreadPoolExecutor(6) as pool:
        send = lambda i: client.post("/contribute/bulk-crops", json={"install_id": f"install-{i}", "items": [crop_item()]}).json()  # noqa: E731
        replies = list(pool.map(send, range(6)))
    assert len({r["revision"] for r in replies}) == 1 == empty.commits and len(empty.list(DATA, "staging")) == 6


def test_a_lost_hub_acknowledges_nothing(empty):
    client = client_of(empty, per_install=3)
    empty.down = True
    for path, body in (("/contribute", said()), ("/contribute/bulk-crops", {"install_id": ME, "items": [crop_item()]}),
                       ("/upload/anchors", {"install_id": ME, "grids": [GRID]})):
        for _ in range(2):  # the second time it rests
            reply = client.post(path, json=body)
            assert is_problem(reply, 503) and 20 < int(reply.headers["retry-after"]) <= 30 and "secret" not in reply.text and "hf_" not in reply.text
    empty.down = False
    assert empty.head(DATA) == empty.head(REPO) == "" and client.get("/quota", params={"install_id": ME}).json()["install"]["spent"] == 0  # given back


def test_an_answer_that_was_lost_is_given_when_it_is_asked_for_again(empty):
    empty.lies = True
    body = {"install_id": ME, "items": [crop_item()]}
    assert client_of(empty).post("/contribute/bulk-crops", json=body).status_code == 503 and empty.commits == 1
    empty.lies = False
    assert client_of(empty).post("/contribute/bulk-crops", json=body).json()["accepted"] == 1 and empty.commits == 1


def test_items_are_what_is_counted(empty):
    client = client_of(empty, per_install=4, per_address=6)
    def sends(who: str, *items: object) -> int: return client.post("/contribute/bulk-crops", json={"install_id": who, "items": list(items)}).status_code
    assert sends("install-1", crop_item(), 5, {}) == 200  # what is refused costs the same
    assert sends("install-1", crop_item(), crop_item()) == 429  # two are more than one
    assert client.post("/contribute", json=said(install_id="install-1")).status_code == 200
    over = client.post("/contribute", json=said(install_id="install-1"))
    assert is_problem(over, 429) and over.json()["detail"] == "Rate limit exceeded. Try again tomorrow." and 0 < int(over.headers["retry-after"]) <= 86400
    assert client.post("/contribute", json=said(install_id="install-1!!")).status_code == 429  # the same install, however it is spelt
    assert sends("install-2", crop_item(), crop_item(), crop_item()) == 429 and sends("install-2", crop_item(), crop_item()) == 200  # the address has two left
    quota = client.get("/quota", params={"install_id": "install-1"}).json()
    assert (quota["unit"], quota["left"], quota["install"], quota["address"]["spent"]) == ("items", 0, {"spent": 4, "limit": 4}, 6)
    assert is_problem(client.get("/quota", params={"install_id": "../.."}), 422)


def test_a_forged_address_is_no_new_one(empty):
    def sends(client: TestClient, forged: int, rest: str) -> int:
        return client.post("/contribute", json=said(install_id=f"install-{forged}"), headers={"X-Forwarded-For": f"6.6.6.{forged}{rest}"}).status_code
    behind = client_of(empty, per_address=2, trusted_hops=2)
    assert [sends(behind, i, ", 203.0.113.9, 172.68.1.1") for i in range(4)] == [200, 200, 429, 429]
    assert sends(behind, 5, ", 198.51.100.7, 172.68.1.1") == 200
    bare = client_of(empty, per_address=2)
    assert [sends(bare, i, "") for i in range(4)] == [200, 200, 429, 429]


def test_bodies_are_counted_as_they_arrive(empty):
    client = client_of(empty)
    assert is_problem(client.post("/contribute", content=b"x" * (MAX_BODY + 1)), 413)
    assert is_problem(client.post("/contribute", content=(b"x" * 1_000_000 for _ in range(12))), 413)  # no Content-Length
    assert is_problem(client.post("/admin/merge", content=(b"x" * 1_000_000 for _ in range(12))), 413)


def asgi(app, messages, length=None) -> list[dict]:
    "What an ASGI app sends to a POST whose body arrives in these messages."
    sent, parts = [], list(messages)

    async def receive():
        part = parts.pop(0) if parts else asyncio.Future()
        return await part if isinstance(part, asyncio.Future) else part

    async def send(message): sent.append(message)
    headers = [] if length is None else [(b"content-length", length)]
    asyncio.run(app({"type": "http", "method": "POST", "path": "/", "headers": headers, "query_string": b""}, receive, send))
    return sent


async def echo(scope, receive, send):
    body = (await receive())["body"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


def test_bodies_that_lie_stall_or_end_early():
    def part(body, more=True): return {"type": "http.request", "body": body, "more_body": more}
    def status(limit, messages, length=None): return asgi(limit, messages, length)[0]["status"]
    limit = BodyLimit(echo, problem, most=10, all_together=100, within_s=0.2)
    assert asgi(limit, [part(b"12345"), part(b"67890", False)])[1]["body"] == b"1234567890"
    assert status(limit, [part(b"12345"), part(b"678901", False)]) == 413 and status(limit, [], b"11") == 413 and status(limit, [part(b"", False)], b"x") == 200
    assert status(limit, [part(b"123")]) == 408  # and then nothing more
    assert status(limit, [part(b"123"), {"type": "http.disconnect"}]) == 400
    assert status(BodyLimit(echo, problem, most=100, all_together=10), [part(b"x" * 11, False)]) == 503
    assert limit._held == 0


def test_knowledge_is_served_like_the_version(empty):
    client = client_of(empty, cache_s=0)
    assert client.get("/knowledge").json() == {"knowledge": {}}
    empty.commit(REPO, [Add("knowledge.json", b'{"knowledge": {"0f": "Gravity Well"}, "entries": 1}')], "one")
    reply = client.get("/knowledge")
    assert reply.json() == {"knowledge": {"0f": "Gravity Well"}, "entries": 1}
    assert client.get("/knowledge", headers={"If-None-Match": reply.headers["etag"]}).status_code == 304
    empty.commit(REPO, [Add("knowledge.json", b'{"0f": "Gravity Well"}')], "a bare map")
    assert client.get("/knowledge").json() == {"knowledge": {"0f": "Gravity Well"}}
    for torn in (b"{", b"[]", b"\xff"):
        empty.commit(REPO, [Add("knowledge.json", torn)], "torn")
        with pytest.raises(ModelError): read_knowledge(empty, REPO)
        assert client.get("/knowledge").json() == {"knowledge": {"0f": "Gravity Well"}} and is_problem(client_of(empty).get("/knowledge"), 503)


def test_a_merge_needs_its_key(empty):
    client = client_of(empty)
    for headers in ({}, {"X-Admin-Key": ""}, {"X-Admin-Key": "s3cre"}, {"X-Admin-Key": "s3cret "[:6] + "x"}, {"X-Admin-Key": "schlüssel".encode("latin-1")}):
        assert is_problem(client.post("/admin/merge", headers=headers), 403)
    for headers in ({}, {"X-Admin-Key": ""}, {"X-Admin-Key": "s3cret"}):
        assert is_problem(client_of(empty, admin_key="").post("/admin/merge", headers=headers), 503)
    assert empty.commits == 0 and client.post("/admin/merge", headers={"X-Admin-Key": "s3cret"}).status_code == 200


def test_a_merge_is_served_at_once_and_done_once(empty):
    client, key = client_of(empty), {"X-Admin-Key": "s3cret"}
    assert client.get("/knowledge").json() == {"knowledge": {}}
    client.post("/contribute", json=said())
    assert client.post("/admin/merge", headers=key).json() == {"ok": True, "merged": 1, "total": 1, "revision": empty.head(REPO)}
    assert list(client.get("/knowledge").json()["knowledge"].values()) == ["Gravity Well"]
    assert client.post("/admin/merge", headers=key).json() == {"ok": True, "merged": 0, "total": 1, "message": "nothing new"}
    client.post("/contribute", json=said(item_name="__inactive__", timestamp="2026-11-20T11:00:00Z"))
    assert client.post("/admin/merge", headers=key).json() == {"ok": True, "merged": 1, "total": 0, "revision": empty.head(REPO)}
    client.post("/contribute", json=said(install_id="somebody-else"))
    empty.refuses = True
    assert is_problem(client.post("/admin/merge", headers=key), 503)


def test_a_merge_leaves_out_whom_a_maintainer_has_shut_out(empty):
    client, key = client_of(empty), {"X-Admin-Key": "s3cret"}
    client.post("/contribute", json=said())
    add_decisions(empty, DATA, [Decision("", "deny", install_id=ME, why="makes names up")])
    assert client.post("/admin/merge", headers=key).json()["total"] == 0
    add_decisions(empty, DATA, [Decision("", "pin", install_id=ME, why="it was a mistake")])
    assert client.post("/admin/merge", headers=key).json()["total"] == 1


def test_a_merge_and_somebody_else_at_once(empty):
    class Busy(Counting):
        meanwhile = 2

        def commit(self, repo, changes, message, parent=None):
            if parent is not None and self.meanwhile:
                self.meanwhile -= 1
                MemoryHub.commit(self, repo, [Add("README.md", str(self.meanwhile).encode())], "somebody else")
            return super().commit(repo, changes, message, parent)

    hub = Busy()
    client = client_of(hub)
    client.post("/contribute", json=said())
    assert client.post("/admin/merge", headers={"X-Admin-Key": "s3cret"}).json()["merged"] == 1
    hub.meanwhile = 99
    client.post("/contribute", json=said(install_id="another-install", item_name="Tractor Beam", crop_png_b64=b64(make_crop(ART.rotate(90)).png)))
    assert is_problem(client.post("/admin/merge", headers={"X-Admin-Key": "s3cret"}), 503) and issubclass(ConflictError, HubError)


def test_two_merges_at_once_are_one(empty):
    gate, entered = threading.Event(), threading.Event()

    class Slow(Counting):
        def list(self, *args):
            entered.set()
            gate.wait(10)
            return super().list(*args)

    client, key = client_of(Slow()), {"X-Admin-Key": "s3cret"}
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(client.post, "/admin/merge", headers=key)
        assert entered.wait(10) and is_problem(client.post("/admin/merge", headers=key), 409)
        gate.set()
        assert first.result(10).status_code == 200


def hooked(hub, dispatch=None, **settings) -> TestClient:
    return TestClient(create_app(hub, Settings("memory", REPO, **FAST | {"gh_token": "token"} | settings), dispatch or (lambda s: None)),
                      raise_server_exceptions=False)


def test_the_hub_starts_training_at_most_hourly(empty, tmp_path):
    started, key = [], {"X-Webhook-Secret": "hush"}
    client = hooked(empty, lambda s: started.append(s.gh_repo), state=tmp_path / "s")
    assert client.post("/webhooks/hf-dataset", json={"event": {"action": "update"}}, headers=key).json() == {"ok": True, "triggered": True}
    assert client.post("/webhooks/hf-dataset", content=b"\xff", headers=key).json() == {"ok": True, "triggered": False, "reason": "rate_limited"}
    again = hooked(empty, lambda s: started.append(s.gh_repo), state=tmp_path / "s")  # a restart is no way round
    assert again.post("/webhooks/hf-dataset", headers=key).json()["triggered"] is False and started == ["sets-sto/sets-warp-backend"]
    assert hooked(empty, gh_token="").post("/webhooks/hf-dataset", headers=key).json() == {"ok": True}


def test_the_hub_must_know_the_secret(empty):
    started = []
    for headers in ({}, {"X-Webhook-Secret": ""}, {"X-Webhook-Secret": "hus"}):
        assert is_problem(hooked(empty, started.append).post("/webhooks/hf-dataset", headers=headers), 403)
    assert is_problem(hooked(empty, started.append, webhook_secret="").post("/webhooks/hf-dataset", headers={"X-Webhook-Secret": ""}), 503) and started == []


def test_a_dispatch_that_fails_is_tried_again(empty):
    class Flaky:
        calls = 0

        def __call__(self, settings):
            self.calls += 1
            if self.calls == 1: raise urllib.error.URLError("token token refused")

    flaky = Flaky()
    client, key = hooked(empty, flaky), {"X-Webhook-Secret": "hush"}
    failed = client.post("/webhooks/hf-dataset", headers=key)
    assert is_problem(failed, 503) and "token" not in failed.text
    assert client.post("/webhooks/hf-dataset", headers=key).json()["triggered"] is True and flaky.calls == 2


def test_what_the_code_host_is_asked(monkeypatch):
    asked = []
    class Reply:
        def __enter__(self): return self
        def __exit__(self, *_): pass
    monkeypatch.setattr(urllib.request, "urlopen", lambda request, timeout: asked.append((request, timeout)) or Reply())
    dispatch_workflow(Settings("memory", REPO, gh_token="token", gh_repo="me/code"))
    request, timeout = asked[0]
    assert (request.full_url, request.get_method(), request.data,
            timeout) == ("https://api.github.com/repos/me/code/actions/workflows/train_central_model.yml/dispatches", "POST", b'{"ref":"main"}', 10)
    assert request.get_header("Authorization") == "Bearer token" and "token" not in request.full_url


def test_a_disk_that_fails_is_a_503(empty):
    app = create_app(empty, Settings("memory", REPO, **FAST))
    app.state.backend.quota._base.execute("drop table spent")
    for reply in (TestClient(app, raise_server_exceptions=False).post("/contribute", json=said()),
                  TestClient(app, raise_server_exceptions=False).get("/quota")):
        assert is_problem(reply, 503)


def test_the_documentation_is_whole(empty):
    client = client_of(empty)
    schema = client.get("/openapi.json").json()
    routes = {(method, path) for path, methods in schema["paths"].items() for method in methods}
    assert routes == {("get", "/"), ("get", "/health"), ("get", "/model/version"), ("get", "/knowledge"), ("get", "/quota"), ("post", "/contribute"),
                      ("post", "/contribute/bulk-crops"), ("post", "/upload/screen-types"),
                      ("post", "/upload/anchors"), ("post", "/webhooks/hf-dataset"), ("post", "/admin/merge")}
    assert client.get("/docs").status_code == 200 and "application/json" not in schema["paths"]["/contribute"]["post"]["responses"]["422"]["content"]
    paths = {"ContributionBody": "/contribute", "CropsBody": "/contribute/bulk-crops", "ScreensBody": "/upload/screen-types", "GridsBody": "/upload/anchors"}
    for name, path in paths.items(): assert client.post(path, json=schema["components"]["schemas"][name]["examples"][0]).status_code == 200


def test_web_pages_may_send(empty):
    reply = client_of(empty).post("/contribute", json=said(item_name="Kettle"), headers={"Origin": "https://example.org"})
    assert reply.status_code == 422 and reply.headers["access-control-allow-origin"] == "*"


def test_the_end_commits_what_waits(empty):
    app = create_app(empty, Settings("memory", REPO, **FAST | {"group_s": 3600.0}))
    with TestClient(app) as client, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(client.post, "/contribute/bulk-crops", json={"install_id": ME, "items": [crop_item()]})
        while not app.state.backend.data._waiting: pass
        app.state.backend.close()
        assert waiting.result(10).json()["revision"] == empty.head(DATA)


@pytest.mark.filterwarnings("ignore:Use .content=:DeprecationWarning")  # huggingface_hub's own
def test_the_public_hubs_own_client_says_when_to_come_back():
    from loopback_hub import LoopbackHub
    from warp import hfhub
    hfhub._DOORS.clear()
    with LoopbackHub() as there:
        for repo in (DATA, REPO): there.create(repo, {"README.md": b"a card"})
        client, body = client_of(hfhub.HfHub(endpoint=there.url, token="hf_secret")), {"install_id": ME, "items": [crop_item()]}
        sent = client.post("/contribute/bulk-crops", json=body).json()
        assert sent["accepted"] == 1 and there.count("POST .*/commit/") == 1
        assert client_of(hfhub.HfHub(endpoint=there.url, token="hf_secret")).post("/contribute/bulk-crops", json=body).json()["accepted"] == 1
        assert there.count("POST .*/commit/") == 1  # a replay, after a restart
        there.order("POST .*/commit/", "status", code=429, headers={"Retry-After": "900"})
        refused = client.post("/contribute", json=said())
        assert is_problem(refused, 503) and 800 < int(refused.headers["retry-after"]) <= 900 and "hf_secret" not in refused.text


# what people look at

def served_year(hub, records: object) -> None:
    hub.commit(REPO, [Add("metrics.json", records if isinstance(records, bytes) else json.dumps(records).encode())], "a year")


def a_year() -> list[dict]:
    months = [(1, .71, .62, .31, 620, 3, 190), (3, .86, .75, .45, 2600, 9, 560), (5, .93, .84, .55, 5200, 19, 1130), (7, .951, .88, .60, 7400, 24, 1480),
              (9, .964, .92, .68, 9900, 30, 1810), (11, .974, .94, .73, 12450, 37, 2040)]
    return [{"serial": n, "published_at": f"2026-{month:02}-10T10:00:00Z",
             "embedder": {"val_acc": icons, "interval": [icons - .9 / crops ** .5, min(1, icons + .6 / crops ** .5)]}, "screens": {"val_acc": screens},
             "val_acc": older, "n_samples": crops, "n_users": people, "n_classes": names, "seconds": {"embedder": 840.0, "classifier": 1500.0},
             "warnings": ["<b>not bold</b>"]}
            for n, (month, icons, screens, older, crops, people, names) in enumerate(months, 1)]


def test_the_status_page_is_one_text(hub):
    served_year(hub, a_year())
    reply = client_of(hub).get("/")
    assert reply.status_code == 200 and reply.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in reply.headers["content-security-policy"] and reply.headers["etag"]
    assert "<b>not bold</b>" not in reply.text and "&lt;b&gt;not bold" in reply.text and reply.text.count("<svg") == 4 and "<script" not in reply.text
    assert not re.search(r'(src|href)="(https?:)?//', reply.text)
    assert client_of(hub).get("/", headers={"If-None-Match": reply.headers["etag"]}).status_code in (200, 304)  # the minute may have changed


@pytest.mark.parametrize("metrics", [b"{", b"[]", b"5", b"null", b'[{"serial": 1}]', b'[[], {"published_at": 7}]',
                                     b'[{"published_at": "2026-01-01", "embedder": 5, "warnings": 7, "seconds": [], "n_samples": "x", "n_users": true, "val_acc": 1e999}]',
                                     b'[{"published_at": "2026-01-01", "embedder": {"val_acc": 0.5, "interval": ["a", 2]}, "n_samples": 1e308}]'])
def test_torn_metrics_cost_the_plots_and_not_the_page(hub, metrics):
    served_year(hub, metrics)
    reply = client_of(hub).get("/")
    assert reply.status_code == 200 and "Release 1" in reply.text and "NaN" not in reply.text and "nan" not in reply.text.replace("finance", "")


def test_an_empty_hub_has_a_page_and_a_lost_one_a_problem(empty):
    assert "Nothing has been learned yet" in client_of(empty).get("/").text
    empty.down = True
    assert is_problem(client_of(empty).get("/"), 503)


@pytest.mark.parametrize("state", ["year", "first", "empty"])
def test_the_status_page_in_a_browser(state, hub, empty, browser_page, pictures_out, tmp_path):
    shown = FolderHub(tmp_path / "hub")
    if state != "empty":
        shown.commit(REPO, [Add("models/model_version.json", hub.read(REPO, "models/model_version.json"))], "release")
        served_year(shown, a_year()[:1 if state == "first" else None])
    asked = []
    browser_page.on("request", lambda request: asked.append(request.url))
    with Real(tmp_path) as server:
        for width, height, scheme in ((1280, 900, "light"), (1280, 900, "dark"), (390, 844, "light")):
            browser_page.set_viewport_size({"width": width, "height": height})
            browser_page.emulate_media(color_scheme=scheme)
            browser_page.goto(server.address + "/")
            browser_page.screenshot(path=pictures_out / f"status_{state}_{width}_{scheme}.png", full_page=True)
            assert browser_page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "the page is wider than the window"
            assert browser_page.evaluate("document.querySelector('.sign img').naturalWidth > 0"), "the sign is not shown: is it allowed by the page's policy?"
            words = browser_page.evaluate("[...document.querySelectorAll('svg text')].map(t => { const r = t.getBoundingClientRect(), "
                                          "c = t.closest('.card').getBoundingClientRect(); return r.left >= c.left && r.right <= c.right })")
            assert all(words) and bool(words) is (state == "year"), "a word leaves its card"
            overlaps = browser_page.evaluate("[...document.querySelectorAll('svg')].some(s => { "
                                             "const b = [...s.querySelectorAll('.name')].map(t => t.getBoundingClientRect()); return b.some((p, i) => b.some((q, j) => j > i && p.top < q.bottom - 3 && q.top < p.bottom - 3)) })")
            assert not overlaps, "two names lie on each other"
    assert all(url.startswith(server.address) for url in asked), "the page asks other hosts"


# what is delivered

def test_a_hub_that_cannot_be_is_told_at_the_start(tmp_path):
    env = os.environ | {"WARP_HUB": "gopher://hub"}
    done = subprocess.run([sys.executable, "-c", "import api.main"], cwd=ROOT, env=env, capture_output=True, text=True, encoding="utf-8", timeout=60)
    assert done.returncode == 1 and "gopher://hub" in done.stderr
