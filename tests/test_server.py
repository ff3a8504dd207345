"""The server: what apps in the field ask it, a hub that fails, and the real thing under uvicorn."""

import asyncio
import json
import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("torch")
from fastapi.testclient import TestClient

from warp.config import Config
from warp.errors import HubError, ModelError
from warp.hub import Add, FolderHub, MemoryHub
from warp.release.manifest import toy_set
from warp.release.publish import publish
from warp.server import Answer, Settings, VersionCache, create_app, read_version

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
    assert (reply.status_code, reply.json()) == (200, {"status": "ok", "repo": REPO}) and hub.readings == 0


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
        cache = VersionCache(hub, SETTINGS)
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


def test_web_pages_may_ask(hub):
    client = TestClient(create_app(hub, SETTINGS))
    reply = client.get("/model/version", headers={"Origin": "https://example.org"})
    assert reply.headers["access-control-allow-origin"] == "*" and "etag" in reply.headers["access-control-expose-headers"].lower()
    asked = client.options("/model/version", headers={"Origin": "https://example.org", "Access-Control-Request-Method": "POST"})
    assert asked.status_code == 200 and set(asked.headers["access-control-allow-methods"].split(", ")) == {"GET", "POST"}


def test_settings_keep_the_names_of_old(monkeypatch, tmp_path):
    monkeypatch.setenv("WARP_HUB", str(tmp_path))
    monkeypatch.setenv("HF_REPO_ID", "me/mine")
    assert Settings.from_env() == Settings(str(tmp_path), "me/mine")


def test_equal_records_have_equal_tags():
    assert Answer.of({"a": 1}).etag == Answer.of({"a": 1}).etag != Answer.of({"a": 2}).etag


def test_the_real_server(tmp_path, trained):
    hub = FolderHub(tmp_path / "hub")
    publish(hub, Config(tmp_path, str(tmp_path / "hub")), trained[0])
    env = os.environ | {"WARP_HUB": str(tmp_path / "hub"), "WARP_HOME": str(tmp_path / "home"), "HF_REPO_ID": REPO}
    command = [sys.executable, "-m", "uvicorn", "api.main:app", "--port", "0"]  # any free port; uvicorn says which
    server = subprocess.Popen(command, cwd=ROOT, env=env, stderr=subprocess.PIPE, text=True, encoding="utf-8")
    try:
        address = next(m[0] for line in server.stderr if (m := re.search(r"http://127\.0\.0\.1:\d+", line)))
        with urllib.request.urlopen(f"{address}/model/version", timeout=30) as reply:
            record, etag = json.load(reply), reply.headers["ETag"]
        assert record["serial"] == 1 and record["revision"] == hub.head(REPO)
        again = urllib.request.Request(f"{address}/model/version", headers={"If-None-Match": etag})
        with pytest.raises(urllib.error.HTTPError) as unchanged: urllib.request.urlopen(again, timeout=30)
        assert unchanged.value.code == 304
        with urllib.request.urlopen(f"{address}/health", timeout=30) as reply: assert json.load(reply)["status"] == "ok"
    finally:
        server.terminate()
        server.communicate(timeout=30)


def test_the_server_needs_neither_torch_nor_models(tmp_path):
    absent = ("torch", "onnxruntime", "duckdb", "ipywidgets", "imagehash", "PIL", "huggingface_hub")
    code = f"import sys; sys.modules.update(dict.fromkeys({absent})); from api.main import app"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=os.environ | {"WARP_HUB": str(tmp_path)}, check=True, timeout=60)


def test_a_hub_that_cannot_be_is_told_at_the_start(tmp_path):
    env = os.environ | {"WARP_HUB": "gopher://hub"}
    done = subprocess.run([sys.executable, "-c", "import api.main"], cwd=ROOT, env=env, capture_output=True, text=True, encoding="utf-8", timeout=60)
    assert done.returncode == 1 and "gopher://hub" in done.stderr


def test_the_pins_are_pins():
    lines = [line for line in (ROOT / "api" / "requirements.txt").read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+(; .+)?", line) for line in lines)
    assert {"fastapi", "uvicorn", "starlette"} <= {line.split("==")[0] for line in lines}
