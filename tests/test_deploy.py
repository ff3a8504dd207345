"""What is deployed: the pins, the image's steps, the host's settings. No container engine is needed: the steps are done by hand, in a folder of their own."""

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterator
from configparser import ConfigParser
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

import pytest

pytest.importorskip("fastapi")
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from test_intake import ME, crop_item

from warp.hub import FolderHub
from warp.server import Settings

ROOT = Path(__file__).resolve().parent.parent
DATA = "sets-sto/sto-icon-dataset"
LINUX = {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix", "python_version": "3.12", "python_full_version": "3.12.12",
         "platform_python_implementation": "CPython", "implementation_name": "cpython", "platform_machine": "x86_64", "extra": ""}  # what the image is


# pins

@pytest.fixture(scope="module")
def pins() -> dict[str, str]:
    "Package to version, of what the image installs."
    lines = [line for line in (ROOT / "api/requirements.txt").read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    wanted = [Requirement(line) for line in lines]
    assert all(re.fullmatch(r"==[^*,]+", str(r.specifier)) for r in wanted), "a pin names one version"
    found = {canonicalize_name(r.name): str(r.specifier)[2:] for r in wanted if not r.marker or r.marker.evaluate(LINUX)}
    assert len(found) == len(lines) and lines == sorted(lines, key=lambda line: canonicalize_name(line.split("==")[0])), "each package once, in order"
    return found


def test_pins_lie_in_the_ranges_of_the_package(pins):
    ini = ConfigParser(delimiters=["="], interpolation=None)
    ini.read(ROOT / "settings.ini", encoding="utf-8")
    asked = [Requirement(line) for key in ("requirements", "server_requirements") for line in ini["DEFAULT"][key].splitlines() if line.strip()]
    unpinned = {r.name for r in asked if canonicalize_name(r.name) not in pins}
    assert unpinned == {"onnxruntime", "threadpoolctl"}, unpinned  # recognition, which no server does
    for r in asked:
        if r.name not in unpinned: assert r.specifier.contains(pins[canonicalize_name(r.name)]), f"{r} and =={pins[canonicalize_name(r.name)]}"


def test_pins_agree_with_each_other_and_leave_nothing_out(pins):
    "What a pinned package itself asks for is pinned too, within its range (asked of those that are installed here in that version)."
    asked = 0
    for name, version in pins.items():
        try: there = metadata.distribution(name)
        except metadata.PackageNotFoundError: continue  # uvloop on Windows
        if there.version != version: continue
        for r in map(Requirement, there.requires or ()):
            if r.marker and not r.marker.evaluate(LINUX): continue
            asked += 1
            assert canonicalize_name(r.name) in pins, f"{name} needs {r}, which api/requirements.txt does not name"
            assert r.specifier.contains(pins[canonicalize_name(r.name)], prereleases=True), f"{name} needs {r}, pinned is {pins[canonicalize_name(r.name)]}"
    assert asked or os.environ.get("CI"), "none of the pins is installed here, so nothing was compared: bring api/requirements.txt up to date"


_LOADED = """
import sys
import uvicorn.protocols.http.httptools_impl, api.main, huggingface_hub.hf_api
if sys.platform != "win32": import uvloop
from importlib import metadata
by = metadata.packages_distributions()
print(*sorted({d for m in list(sys.modules) for d in by.get(m.partition(".")[0], ())}))
"""


def test_all_that_the_server_loads_is_pinned(pins, tmp_path):
    env = os.environ | {"WARP_HUB": str(tmp_path), "WARP_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", _LOADED], cwd=ROOT, env=env, capture_output=True, text=True, encoding="utf-8", check=True, timeout=60)
    loaded = {canonicalize_name(name) for name in done.stdout.split()} - {"sets-warp", "setuptools", "pip"}  # ours, and what every environment brings
    assert {"fastapi", "starlette", "uvicorn", "pydantic", "huggingface-hub", "numpy", "pillow"} <= loaded <= pins.keys(), loaded - pins.keys()


# the image

def steps() -> list[tuple[str, str]]:
    "Instruction and argument of each line of the Dockerfile."
    lines = (ROOT / "api/Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    return [tuple(line.split(None, 1)) for line in lines if line.strip() and not line.startswith("#")]


def copied(into: Path) -> Path:
    "Does the COPY steps; the folder that is the image's WORKDIR."
    workdir = into
    for what, argument in steps():
        if what == "WORKDIR": workdir = into / argument.lstrip("/")
        if what != "COPY": continue
        *sources, target = shlex.split(argument)
        for source in sources:
            assert (ROOT / source).exists(), f"COPY {source}: there is no such file"
            place = workdir / target / (Path(source).name if target.endswith("/") else "")
            place.parent.mkdir(parents=True, exist_ok=True)
            if (ROOT / source).is_dir(): shutil.copytree(ROOT / source, place, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
            else: shutil.copy(ROOT / source, place)
    return workdir


def test_the_images_steps():
    kinds = [what for what, _ in steps()]
    assert steps()[0] == ("FROM", "python:3.12-slim") and set(kinds) <= {"FROM", "RUN", "WORKDIR", "COPY", "USER", "EXPOSE", "CMD"}
    assert kinds[-1] == "CMD" and "RUN" not in kinds[kinds.index("USER"):], "nothing is installed as the user, and nothing runs as root"
    user, made = dict(steps())["USER"], " ".join(argument for what, argument in steps() if what == "RUN")
    assert f"useradd --create-home --uid 1000 {user}" in made and "--no-cache-dir -r api/requirements.txt" in made
    shell, how, command = json.loads(steps()[-1][1])
    assert (shell, how) == ("sh", "-c") and command.startswith("exec uvicorn"), "signals must reach uvicorn, not a shell"
    first = kinds.index("COPY")
    assert steps()[first][1].startswith("api/requirements.txt"), "the pins come first, so that a change of code installs nothing anew"


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@contextmanager
def container(folder: Path, programs: Path, **env: str) -> Iterator[tuple[subprocess.Popen, str]]:
    "The image's command, run in its WORKDIR with the programs of that environment and nothing of ours in the way."
    workdir, port = copied(folder / "image"), free_port()
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("WARP_", "HF_", "PYTHON", "GH_", "COV_"))}
    env = clean | {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "PORT": str(port), "HOME": str(folder / "home"), "WARP_HUB": str(folder / "hub"),
                   "WARP_HOME": str(folder / "home"), "PYTHONDONTWRITEBYTECODE": "1"} | env
    with (folder / "log").open("w+", encoding="utf-8") as log:
        server = subprocess.Popen(json.loads(steps()[-1][1]), cwd=workdir, env=env, stdout=log, stderr=log)
        try: yield server, f"http://127.0.0.1:{port}"
        finally:
            if server.poll() is None: server.kill()
            server.wait(30)


def ask(url: str, body: dict | None = None) -> dict:
    request = urllib.request.Request(url, json.dumps(body).encode() if body else None, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as reply: return json.load(reply)


def healthy(server: subprocess.Popen, url: str, folder: Path) -> dict:
    "What /health says once the server is up and has looked at its hub, as the host polls it."
    end = time.monotonic() + 60
    while time.monotonic() < end and server.poll() is None:
        try:
            if (said := ask(f"{url}/health"))["hub"]["reachable"] is not None: return said
        except (urllib.error.URLError, ConnectionError): pass
        time.sleep(0.02)
    raise AssertionError((folder / "log").read_text(encoding="utf-8")[-3000:])


def serves_and_ends(folder: Path, programs: Path) -> None:
    "Starts, is healthy, takes a crop, is told to end while one waits, commits it, answers it, and is gone in time with status 0."
    from concurrent.futures import ThreadPoolExecutor
    with container(folder, programs, WARP_GROUP_S="2") as (server, url), ThreadPoolExecutor(1) as pool:
        said = healthy(server, url, folder)
        assert (said["status"], said["validation"], said["hub"]["reachable"]) == ("ok", "enforcing", True) and said["names"] > 4000
        waiting = pool.submit(ask, f"{url}/contribute/bulk-crops", {"install_id": ME, "items": [crop_item()]})
        while not ask(f"{url}/health")["waiting"]: time.sleep(0.01)
        started = time.monotonic()
        server.send_signal(signal.SIGTERM)
        assert waiting.result(30)["accepted"] == 1
        assert server.wait(30) in (0, -signal.SIGTERM) and time.monotonic() - started < 25, "it ends within the grace of its command"
    assert len(FolderHub(folder / "hub").list(DATA, f"staging/{ME}/crops")) == 1
    assert "Traceback" not in (folder / "log").read_text(encoding="utf-8")


@pytest.mark.skipif(os.name == "nt", reason="the image's command is for a POSIX shell")
def test_the_images_command_serves_and_ends_well(tmp_path): serves_and_ends(tmp_path, Path(sys.executable).parent)


def python_312() -> str | None:
    "A Python of the image's version, where this machine has one."
    for name in filter(None, (os.environ.get("PYTHON312"), "python3.12", "python3", sys.executable)):
        path = shutil.which(name)
        if path and subprocess.run([path, "-c", "import sys; sys.exit(sys.version_info[:2] != (3, 12))"], capture_output=True).returncode == 0: return path
    return None


@pytest.mark.long
@pytest.mark.skipif(os.name == "nt", reason="the image's command is for a POSIX shell")
def test_the_image_by_hand_with_its_own_python_and_pins(tmp_path):
    "All of the image but its base: a Python 3.12 that has the pins, and the copied files."
    python = python_312()
    if not python: pytest.skip("no Python 3.12 on this machine: name one in PYTHON312")
    subprocess.run([python, "-m", "venv", tmp_path / "venv"], check=True)
    install = [tmp_path / "venv/bin/pip", "install", "-q", "--only-binary", ":all:", "-r", ROOT / "api/requirements.txt"]
    done = subprocess.run(install, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert subprocess.run([tmp_path / "venv/bin/pip", "check"], capture_output=True).returncode == 0
    serves_and_ends(tmp_path, tmp_path / "venv/bin")


# the host

def service() -> dict:
    services = yaml.safe_load((ROOT / "api/render.yaml").read_text(encoding="utf-8"))["services"]
    assert len(services) == 1
    return services[0]


def test_the_host_is_told_what_it_needs():
    told = service()
    known = {"type", "name", "runtime", "dockerfilePath", "dockerContext", "plan", "autoDeployTrigger", "healthCheckPath", "maxShutdownDelaySeconds", "envVars"}
    assert told.keys() == known and (told["type"], told["runtime"], told["healthCheckPath"]) == ("web", "docker", "/health")
    assert (ROOT / told["dockerContext"] / told["dockerfilePath"]).samefile(ROOT / "api/Dockerfile")
    grace = int(re.search(r"--timeout-graceful-shutdown (\d+)", steps()[-1][1])[1])
    assert Settings.group_s + 5 < grace < told["maxShutdownDelaySeconds"], "the server is killed while it still commits"


def unknown_settings(variables: list[dict]) -> set[str]:
    "Variables that nobody reads."
    read = {f.metadata["name"] for f in Settings.__dataclass_fields__.values()} | {"HF_TOKEN", "PORT"}
    return {v["key"] for v in variables} - read


def test_the_hosts_settings_are_read_by_somebody(monkeypatch, tmp_path):
    variables = service()["envVars"]
    assert unknown_settings(variables) == set() and unknown_settings([{"key": "MAX_REQ_PER_lP"}]) == {"MAX_REQ_PER_lP"}
    assert len({v["key"] for v in variables}) == len(variables)
    for v in variables: assert len(v.keys() & {"value", "sync", "generateValue"}) == 1 and isinstance(v.get("value", ""), str), v
    seeds = {"HF_TOKEN", "HF_DATASET", "HF_REPO_ID", "ADMIN_KEY", "MAX_REQ_PER_IP", "GH_TOKEN", "GH_REPO"}
    assert seeds <= {v["key"] for v in variables}
    secrets = {"HF_TOKEN", "ADMIN_KEY", "GH_TOKEN", "WARP_WEBHOOK_SECRET"}
    assert not [v for v in variables if v["key"] in secrets and "value" in v], "a secret stands in a public file"
    for v in variables: monkeypatch.setenv(v["key"], v.get("value", f"the {v['key']}"))
    monkeypatch.setenv("WARP_HUB", str(tmp_path))
    settings = Settings.from_env()
    assert (settings.per_address, settings.trusted_hops, settings.admin_key, settings.webhook_secret) == (500, 2, "the ADMIN_KEY", "the WARP_WEBHOOK_SECRET")
    assert (settings.delivery_repo, settings.data_repo, settings.gh_repo) == ("sets-sto/warp-knowledge", DATA, "sets-sto/sets-warp-backend")


def test_one_python_everywhere():
    "The image's Python is one that the package allows."
    least = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["requires-python"]
    assert re.fullmatch(r">=3\.1[0-2]", least) and dict(steps())["FROM"].startswith("python:3.12")
