"What all tests share: no test touches the user's folders or the network, and one clean install of the built wheel."
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

ROOT = Path(__file__).resolve().parent.parent
LOOPBACK = ("127.0.0.1", "::1", "localhost")
os.environ.setdefault("MPLBACKEND", "agg")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # two cores, and notebooks that teach with tiny models: threads would only fight


@pytest.fixture(scope="session", autouse=True)
def own_home():
    "WARP_HOME in a temporary folder, and no hub, token or host of the person who runs the tests."
    told = {k: os.environ.pop(k) for k in list(os.environ) if k.startswith(("WARP_", "HF_"))}
    with tempfile.TemporaryDirectory(prefix="warp-tests-", ignore_cleanup_errors=True) as home:
        os.environ["WARP_HOME"] = home
        os.environ |= {"HF_HUB_OFFLINE": "1", "WARP_UPDATE_HOURS": "never", "WARP_HOST_DIR": ""}  # empty: no looking for the host
        yield Path(home)
    for key in ("WARP_HOME", "HF_HUB_OFFLINE", "WARP_UPDATE_HOURS", "WARP_HOST_DIR"): del os.environ[key]
    os.environ.update(told)


@pytest.fixture(scope="session", autouse=True)
def no_network():
    "A connection that leaves this machine fails, naming where it wanted to go. (Processes that a test starts are their own masters.)"
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: object) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in LOOPBACK:
            raise OSError(f"a test wanted to reach {address[0]}: tests stay on this machine")
        return connect(self, address)
    socket.socket.connect = guarded
    yield
    socket.socket.connect = connect


def made_once(tmp_path_factory, name: str, make: Callable[[Path], object]) -> Path:
    "A folder that the first worker who needs it makes, for all of them."
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    with FileLock(f"{folder}.lock"):
        if not (folder / "done").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            (folder / "done").touch()
    return folder


def build_wheel(folder: Path) -> None:
    out, source = folder / "dist", folder / "source"  # a copy: what an earlier build left here would go along
    shutil.copytree(ROOT / "warp", source / "warp", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "nbs/desks", source / "nbs/desks", ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
    for name in ("settings.ini", "setup.py", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE"): shutil.copy(ROOT / name, source)
    done = subprocess.run([sys.executable, "-m", "build", "--outdir", out, source], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


@pytest.fixture(scope="session")
def wheel(tmp_path_factory) -> Path:
    "The wheel as a stranger gets it: built from the sdist, not from this folder."
    return next((made_once(tmp_path_factory, "wheel", build_wheel) / "dist").glob("*.whl"))


def clean_install(wheel: Path, folder: Path, interpreter: str | Path) -> Path:  # its Python
    "A new environment of that interpreter with the wheel and its base requirements, and nothing else."
    subprocess.run([interpreter, "-m", "venv", folder], check=True, capture_output=True, text=True)
    python = python_of(folder)
    done = subprocess.run([python, "-m", "pip", "install", "-q", wheel], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return python


def python_of(folder: Path) -> Path: return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


@pytest.fixture(scope="session")
def base_python(wheel, tmp_path_factory) -> Path:
    "The Python of a new environment that holds the wheel and its base requirements, and nothing else."
    return python_of(made_once(tmp_path_factory, "base", lambda folder: clean_install(wheel, folder, sys.executable)))


@pytest.fixture(scope="session")
def taught(tmp_path_factory):
    "A machine with a release that knows the made world (see taught.py); to be copied before anything is changed in it."
    from taught import settle

    from warp.config import Config
    folder = made_once(tmp_path_factory, "taught", settle)
    return Config.load(folder / "home", folder / "hub", folder / "host")


@pytest.fixture(scope="session")
def chromium() -> str:
    "A browser for the tests that need one. Skipped only where none can be had, and never where CI is set."
    sys.path.insert(0, str(ROOT / "dev"))
    try: from browser import find_browser
    finally: sys.path.pop(0)
    path = find_browser()
    if not path and os.environ.get("CI"): pytest.fail("no Chromium, and CI is set: install one or name it in CHROMIUM")
    if not path: pytest.skip("no Chromium on this machine and none could be installed: name one in CHROMIUM")
    return path


@pytest.fixture
def browser(chromium):
    "A browser for one test. (While one is open, asyncio believes that a loop runs; a file whose last tests all need one may widen this.)"
    from lab import browsing
    with browsing(chromium) as found: yield found


@pytest.fixture
def browser_page(browser):
    "An empty page of a headless browser, tall enough for a desk."
    from lab import slowed
    page = slowed(browser.new_page(viewport=dict(width=1600, height=1500)))
    yield page
    page.close()


@pytest.fixture(scope="session")
def practised(tmp_path_factory) -> Path:
    "A home in which the world to practise in is made already, eleven seconds of work: look at it, or copy it."
    from warp.config import Config
    from warp.desk.page import practice_config
    home = tmp_path_factory.mktemp("practised")
    practice_config(Config.load(home=home))
    return home


@pytest.fixture(scope="session")
def pictures_out() -> Path:
    "Where tests leave screenshots of what they saw, for people to look at."
    folder = ROOT / "out/tests"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
