"What a desktop app gets: the wheel, built from the sdist, in an environment that has nothing else."
import os
import subprocess
from pathlib import Path

from test_layers import EXTRAS, MODULES

ABSENT = ("torch", "torchvision", "timm", "fastapi", "ipywidgets", "duckdb", "nbdev", "fastcore")


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
