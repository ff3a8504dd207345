"""A real JupyterLab on loopback and somebody who sits before it. Used by the tests of the desks and by the bench; has no tests of its own.

`SLOW_BROWSER=8 pytest tests/test_desk_boxes.py` slows the browser's processor down eightfold, as a laptop does that is busy with a game.
"""
import os
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Error as Refused, Page, TimeoutError as Late, sync_playwright

from warp.records import Box

ROOT = Path(__file__).resolve().parent.parent
PATIENCE_MS = 120_000
SLOWER = float(os.environ.get("SLOW_BROWSER", 1))
CHROMIUM_FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]


@contextmanager
def browsing(chromium: str) -> Iterator[Browser]:
    "A headless browser."
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=chromium, args=CHROMIUM_FLAGS)
        yield browser
        browser.close()


def slowed(page: Page) -> Page:
    "The page, as slow as SLOW_BROWSER says, and waits that only what is broken outlasts."
    page.set_default_timeout(PATIENCE_MS)
    page.set_default_navigation_timeout(PATIENCE_MS)
    if SLOWER > 1: page.context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": SLOWER})
    return page


class Lab:
    "JupyterLab on loopback with folders of its own."

    def __init__(self, folder: Path, notebooks: Path):
        settings = folder / "config/lab/user-settings/@jupyterlab/apputils-extension"
        settings.mkdir(parents=True)
        (settings / "notification.jupyterlab-settings").write_text('{"fetchNews": "false", "checkForUpdates": false}', encoding="utf-8")
        own = {"HOME": "home", "JUPYTER_CONFIG_DIR": "config", "JUPYTER_DATA_DIR": "data", "JUPYTER_RUNTIME_DIR": "run", "IPYTHONDIR": "ipython", "WARP_HOME": "warp"}
        self.environment = os.environ | {k: str(folder / v) for k, v in own.items()} | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
        self.notebooks, self.token = notebooks, "t0ken"

    def _start(self) -> bool:
        "Starts the server on a port that was free a moment ago; False where it did not come up, because somebody else took it for one."
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        self.log: list[str] = []
        self.url = f"http://127.0.0.1:{port}"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}", "--ServerApp.port_retries=0",
             f"--IdentityProvider.token={self.token}", f"--ServerApp.root_dir={self.notebooks}"],
            env=self.environment, cwd=self.notebooks, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8", errors="replace")
        patience = threading.Timer(120, self.process.kill)
        patience.start()
        up = any(self.log.append(line) or "is running at" in line for line in self.process.stdout)
        patience.cancel()
        return up

    def __enter__(self) -> "Lab":
        if not any(self._start() for _ in range(3)): raise AssertionError("JupyterLab did not start:\n" + "".join(self.log[-40:]))
        threading.Thread(target=lambda: self.log.extend(self.process.stdout), daemon=True).start()
        while not self._listens(): assert self.process.poll() is None, "".join(self.log[-40:])  # it says so a moment before it does so
        return self

    def _listens(self) -> bool:
        try: return urllib.request.urlopen(f"{self.url}/api/status?token={self.token}", timeout=10).status == 200
        except OSError: return threading.Event().wait(0.1)

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        try: self.process.wait(30)
        except subprocess.TimeoutExpired: self.process.kill()


class Hand:
    """Somebody before the notebook: runs cells, and draws on the picture in the picture's own pixels.

    What a hand does can be lost: a click on what moves or fades, a key while nothing has the keyboard. So an act waits until the page can take it, and then for what it should show; `insist` does it
    again where that harms nobody. Nothing here clicks a desk to give it the keyboard: a desk that loses it has a fault.
    """
    DESK, PICTURE = ".warp-desk:not([data-old])", ".jp-OutputArea .wrapper img"

    def __init__(self, page: Page, lab: Lab, notebook: str):
        self.page = page
        page.goto(f"{lab.url}/lab/tree/{notebook}?token={lab.token}")
        page.wait_for_selector(".jp-Notebook .jp-CodeCell")
        page.wait_for_function("""async url => { const found = await (await fetch(url)).json();
            return found.length && found[0].connections > 0 && found[0].execution_state === 'idle' }""", arg=f"{lab.url}/api/kernels?token={lab.token}", polling=300)
        self._idle()  # the server knows the kernel before the page does, and a cell run in between asks which kernel
        files = page.locator(".jp-FileBrowser")
        self.insist(lambda: files.is_visible() and page.keyboard.press("Control+B"), lambda: not files.is_visible(), "the file browser makes room")

    def until(self, asked: Callable[[], object], what: str, seconds: float = 60) -> object:
        "Asks again, ten times a second, until there is an answer."
        for _ in range(int(10 * seconds)):
            if found := asked(): return found
            self.page.wait_for_timeout(100)
        raise AssertionError(f"never: {what}")

    def insist(self, act: Callable[[], object], shown: Callable[[], object], what: str) -> object:
        "Acts, and acts again where nothing shows for 5, 10, 20 seconds. Only for acts that may be done twice."
        for seconds in (5, 10, 20, 40):
            try: act()
            except (Refused, AssertionError): pass  # it went away under the hand, and that may have been the effect
            try: return self.until(shown, what, seconds)
            except AssertionError: continue
        raise AssertionError(f"never, though it was tried four times: {what}")

    def press(self, *keys: str) -> None:
        "Keys for the desk, each once the desk or a field on it has the keyboard."
        for key in keys:
            self.page.wait_for_function("desk => document.activeElement?.closest(desk)", arg=self.DESK)
            self.page.keyboard.press(key)

    def cursor_in(self, element: str) -> None:
        "Waits until it has the keyboard."
        self.page.wait_for_function("element => document.activeElement?.matches(element)", arg=element)

    def _idle(self) -> None: self.page.wait_for_selector("#jp-main-statusbar >> text=/\\| Idle/")

    def run(self, number: int, until: str) -> None:
        """Runs a code cell until `until` is shown.

        That it runs shows in its prompt, and only where that never moved, or came back with nothing to show for it, is the cell run again: two runs would show one desk after the other."""
        cell = self.page.locator(".jp-Notebook .jp-CodeCell").nth(number)
        for _ in range(3):
            cell.evaluate("""cell => { delete cell.dataset.ran; const prompt = cell.querySelector('.jp-InputPrompt');
                new MutationObserver((_, it) => { cell.dataset.ran = 'yes'; it.disconnect() }).observe(prompt, {childList: true, characterData: true, subtree: true}) }""")
            cell.locator(".jp-InputArea-editor").click()
            self.page.keyboard.press("Control+Enter")
            try: self.until(lambda: cell.get_attribute("data-ran"), "the cell runs", 15)
            except AssertionError: continue
            for _ in range(36):
                busy = "*" in cell.locator(".jp-InputPrompt").inner_text()
                try: return self.page.wait_for_selector(until, timeout=5_000 if busy else 30_000)
                except Late:
                    if not busy: break
        raise AssertionError(f"cell {number} never showed {until}: {cell.inner_text()[:2000]}")

    def restart_kernel(self) -> None:
        """By the menu, as a person does it; what the desks on the page show from now on are old pictures of them, marked `data-old`.

        (After a restart that JupyterLab did not ask for, its version 4.6 may lose messages of the next desk.)"""
        page, dialog = self.page, self.page.locator(".jp-Dialog")
        page.evaluate("""() => { document.querySelectorAll('.warp-desk').forEach(desk => { desk.dataset.old = 'yes' });
            const bar = document.querySelector('#jp-main-statusbar'); window.left_idle = false;
            new MutationObserver((_, it) => { if (!/\\| Idle/.test(bar.textContent)) { window.left_idle = true; it.disconnect() } }).observe(bar, {childList: true, characterData: true, subtree: true}) }""")

        def choose() -> None:
            page.keyboard.press("Escape")  # a menu that is half open
            page.locator("li.lm-MenuBar-item >> text=Kernel").click(timeout=5_000)
            page.locator(".lm-Menu-itemLabel >> text=/^Restart Kernel…$/").click(timeout=5_000)
        self.insist(choose, dialog.is_visible, "the dialog that asks whether to restart")
        page.locator(".jp-Dialog button >> text=Restart").click()
        dialog.wait_for(state="detached")
        page.wait_for_function("window.left_idle")
        self._idle()

    def at(self, x: float, y: float) -> tuple[float, float]:
        "Where a pixel of the picture is on the page, once the picture lies still."
        self.page.locator(self.PICTURE).first.scroll_into_view_if_needed()
        left, top, scale = self.page.evaluate("""async picture => { for (let before;;) {
            const img = document.querySelector(picture), r = img.getBoundingClientRect(), now = [r.x, r.y, r.width / img.naturalWidth];
            if (img.complete && img.naturalWidth && before?.join() === now.join()) return now;
            before = now;
            await new Promise(requestAnimationFrame) } }""", self.PICTURE)
        return left + x * scale, top + y * scale

    def draw(self, box: Box) -> None:
        begin, end = self.at(box.x, box.y), self.at(box.right, box.bottom)
        self.page.mouse.move(*begin)
        self.page.mouse.down()
        self.page.mouse.move(*end, steps=10)
        self.page.mouse.up()
