"What a desktop app gets: the wheel, built from the sdist, in an environment that has nothing else."
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import clean_install
from taught import world
from test_layers import EXTRAS, MODULES

ABSENT = ("torch", "torchvision", "timm", "fastapi", "ipywidgets", "duckdb", "nbdev", "fastcore", "cv2", "rapidocr", "onnx")


def run(python: Path, *arguments: str, cwd: Path) -> str:
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
    done = subprocess.run([python, *arguments], cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def test_the_environment_is_bare(base_python, tmp_path):
    program = f"import importlib.util as u; print([name for name in {ABSENT!r} if u.find_spec(name)])"
    assert run(base_python, "-c", program, cwd=tmp_path).strip() == "[]"


def test_every_base_module_imports(base_python, tmp_path):
    base = [name for name in MODULES if not name.startswith(EXTRAS)]
    run(base_python, "-c", f"import importlib; [importlib.import_module(name) for name in {base!r}]", cwd=tmp_path)


def test_the_wheel_is_whole(base_python, tmp_path):
    program = "import warp, pathlib; top = pathlib.Path(warp.__file__).parent / 'static'; print(*sorted(p.relative_to(top).as_posix() for p in top.rglob('*.*')))"
    shipped, static = run(base_python, "-c", program, cwd=tmp_path).split(), MODULES["warp"].parent / "static"
    assert [name for name in shipped if not name.startswith("desks/")] == sorted(p.relative_to(static).as_posix() for p in static.rglob("*.*"))


def test_import_warp_brings_nothing_heavy(base_python, tmp_path):
    program = "import sys, warp; print(sorted({'onnxruntime', 'scipy', 'huggingface_hub', 'PIL'} & sys.modules.keys()), warp.__file__)"
    loaded, _, home = run(base_python, "-c", program, cwd=tmp_path).partition("] ")
    assert "huggingface_hub" not in loaded and "onnxruntime" not in loaded, loaded
    assert str(base_python.parent.parent) in home, f"warp came from {home}, not from the wheel"


def test_the_command_line_speaks(base_python, tmp_path):
    script = base_python.with_name("warp.exe" if os.name == "nt" else "warp")
    done = subprocess.run([script, "--help"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "read" in done.stdout and "update" in done.stdout


# a screenshot, read: by this Python and by the newest at hand, without a network

def newest_python() -> Path | None:
    "The newest interpreter on this machine that is newer than the one that runs the tests; None: there is none."
    managed = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    found = {(3, minor): shutil.which(f"python3.{minor}") for minor in range(sys.version_info[1] + 1, 20)}
    found |= {(3, int(m[1])): str(p) for p in managed.glob("3.*/bin/python") if (m := re.match(r"3\.(\d+)\.", p.parent.parent.name))}
    for version in sorted((v for v, path in found.items() if path and v > sys.version_info[:2]), reverse=True):
        done = subprocess.run([found[version], "-c", "import sys, venv, ensurepip; print(*sys.version_info[:2])"], capture_output=True, text=True)
        if done.returncode == 0 and done.stdout.split() == list(map(str, version)): return Path(found[version])
    return None


@pytest.fixture(scope="session")
def newer_base_python(wheel, tmp_path_factory) -> Path:
    newest = newest_python()
    if newest is None: pytest.skip(f"no Python newer than {sys.version_info[0]}.{sys.version_info[1]} on this machine")
    return clean_install(wheel, tmp_path_factory.mktemp("newer"), newest)


READS = """
import json, socket, sys
def refused(*_): raise OSError("reading needs no network")
socket.socket.connect = socket.getaddrinfo = refused
from warp.cli import main
code = main(sys.argv[1:])
sys.stdout.flush()
heavy = sorted({"torch", "cv2", "huggingface_hub", "onnx"} & sys.modules.keys())
print(json.dumps({"code": code, "heavy": heavy, "python": sys.version_info[:2]}), file=sys.stderr)
"""


def read_alone(python: Path, taught, folder: Path) -> dict:
    "What `warp read --json` says there, in a process that cannot reach anybody."
    made = world().shot(world().newcomer, "GROUND_EQ").render()
    (folder / "shot.jpg").write_bytes(made.png_or_jpeg)
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")} | {"WARP_HOME": str(taught.home), "WARP_HUB": taught.hub, "WARP_HOST_DIR": str(taught.host_dir), "PYTHONUTF8": "1"}
    done = subprocess.run([python, "-c", READS, "read", "shot.jpg", "--json", "--out", "build.json", "--picture", "seen.png"], cwd=folder, env=environment, capture_output=True, text=True, encoding="utf-8")
    last = json.loads(done.stderr.splitlines()[-1])
    assert done.returncode == 0 and last["code"] == 0 and last["heavy"] == [], done.stderr[-3000:]
    there = {(t.slot, t.slot_index): t.name for t in made.truth if not t.name.startswith("__")}
    said = json.loads(done.stdout)
    named = {(s["slot"], s["slot_index"]): s["name"] for s in said["slots"] if s["name"]}
    assert len(named) >= .8 * len(there) and named.items() <= there.items()
    assert json.loads((folder / "build.json").read_text(encoding="utf-8"))["_version"] == 1 and (folder / "seen.png").read_bytes().startswith(b"\x89PNG")
    return said | last


def test_the_wheel_alone_reads_a_screenshot(base_python, taught, tmp_path):
    said = read_alone(base_python, taught, tmp_path)
    assert said["shots"][0]["screen_type"] == "GROUND_EQ" and {s["by"] for s in said["slots"]} <= {"model", "templates", "cascade", "hashes"}


def test_the_newest_python_reads_it_too(newer_base_python, taught, tmp_path):
    said = read_alone(newer_base_python, taught, tmp_path)
    assert tuple(said["python"]) > sys.version_info[:2]
    program = f"import importlib.util as u; print([name for name in {ABSENT!r} if u.find_spec(name)])"
    assert run(newer_base_python, "-c", program, cwd=tmp_path).strip() == "[]"
