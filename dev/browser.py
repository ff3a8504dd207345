"Print the path of a Chromium for the browser tests, installing one if none is there: `CHROMIUM=$(python dev/browser.py)`."
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


def _named() -> str | None:
    "What the caller names, or what the system has."
    told = os.environ.get("CHROMIUM")
    if told and not Path(told).is_file(): sys.exit(f"CHROMIUM={told}: there is no such file; name a Chromium or unset it")
    return told or next(filter(None, map(shutil.which, NAMES)), None)


def _playwrights_own() -> str | None:
    "The browser that Playwright keeps in its own folder, if it is there."
    from playwright.sync_api import sync_playwright
    with sync_playwright() as p: path = p.chromium.executable_path
    return path if Path(path).is_file() else None


def _quietly(*command: str) -> bool:
    "Run a command with all its output on stderr: stdout is the answer's."
    print("==", " ".join(command), file=sys.stderr)
    try: return subprocess.run(command, stdout=sys.stderr, timeout=900).returncode == 0
    except (OSError, subprocess.TimeoutExpired): return False


def _fetched() -> str | None:
    return _playwrights_own() if _quietly(sys.executable, "-m", "playwright", "install", "chromium") else None


def _from_distribution() -> str | None:
    "Debian's and Ubuntu's package, where we may install one."
    if not (hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("apt-get")): return None
    _quietly("apt-get", "update", "-q")
    os.environ["DEBIAN_FRONTEND"] = "noninteractive"
    return _named() if _quietly("apt-get", "install", "-y", "-q", "--no-install-recommends", "chromium") else None


def find_browser(ways: tuple[Callable[[], str | None], ...] = (_named, _playwrights_own, _fetched, _from_distribution)) -> str:
    "The first browser that one of the ways yields, or an empty string."
    return next(filter(None, (way() for way in ways)), "")


if __name__ == "__main__":
    path = find_browser()
    if not path: print("no Chromium could be had: the browser tests will be skipped, or fail where CI is set", file=sys.stderr)
    print(path)
