"A real JupyterLab on loopback and somebody who sits before it. Used by the tests of the desks and by the bench; has no tests of its own."
import os
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path

from warp.records import Box

ROOT = Path(__file__).resolve().parent.parent
CHROMIUM_FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]


class Lab:
    "JupyterLab on loopback with folders of its own."

    def __init__(self, folder: Path, notebooks: Path):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        settings = folder / "config/lab/user-settings/@jupyterlab/apputils-extension"
        settings.mkdir(parents=True)
        (settings / "notification.jupyterlab-settings").write_text('{"fetchNews": "false", "checkForUpdates": false}', encoding="utf-8")
        own = {"HOME": "home", "JUPYTER_CONFIG_DIR": "config", "JUPYTER_DATA_DIR": "data", "JUPYTER_RUNTIME_DIR": "run", "IPYTHONDIR": "ipython", "WARP_HOME": "warp"}
        environment = os.environ | {k: str(folder / v) for k, v in own.items()} | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
        self.token, self.url = "t0ken", f"http://127.0.0.1:{port}"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}", "--ServerApp.port_retries=0",
             f"--IdentityProvider.token={self.token}", f"--ServerApp.root_dir={notebooks}"],
            env=environment, cwd=notebooks, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8", errors="replace")
        self.log: list[str] = []

    def __enter__(self) -> "Lab":
        patience = threading.Timer(120, self.process.kill)
        patience.start()
        for line in self.process.stdout:
            self.log.append(line)
            if "is running at" in line: break
        else: raise AssertionError("JupyterLab did not start:\n" + "".join(self.log[-40:]))
        threading.Thread(target=lambda: self.log.extend(self.process.stdout), daemon=True).start()
        while not self._listens(): assert self.process.poll() is None, "".join(self.log[-40:])  # it says so a moment before it does so
        patience.cancel()
        return self

    def _listens(self) -> bool:
        try: return urllib.request.urlopen(f"{self.url}/api/status?token={self.token}", timeout=10).status == 200
        except urllib.error.URLError: return threading.Event().wait(0.1)

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        try: self.process.wait(30)
        except subprocess.TimeoutExpired: self.process.kill()


class Hand:
    "Somebody before the notebook: runs cells, and draws on the picture in the picture's own pixels."
    PICTURE = ".jp-OutputArea .wrapper img"

    def __init__(self, page, lab: Lab, notebook: str):
        self.page = page
        page.goto(f"{lab.url}/lab/tree/{notebook}?token={lab.token}")
        page.wait_for_selector(".jp-Notebook .jp-CodeCell", timeout=90_000)
        page.wait_for_function("""async url => { const found = await (await fetch(url)).json();
            return found.length && found[0].connections > 0 && found[0].execution_state === 'idle' }""", arg=f"{lab.url}/api/kernels?token={lab.token}", timeout=90_000, polling=300)
        page.wait_for_selector("#jp-main-statusbar >> text=/\\| Idle/", timeout=90_000)  # the server knows the kernel before the page does, and a cell run in between asks which kernel
        page.keyboard.press("Control+B")  # the file browser makes room

    def run(self, number: int, until: str) -> None:
        "Runs a code cell, again if the page was not yet listening, until `until` is shown."
        cell = self.page.locator(".jp-Notebook .jp-CodeCell").nth(number)
        for timeout in (15_000, 30_000, 60_000):
            cell.locator(".jp-InputArea-editor").click()
            self.page.keyboard.press("Control+Enter")
            try: return self.page.wait_for_selector(until, timeout=timeout)
            except self.page.timeout_error: continue
        raise AssertionError(f"cell {number} never showed {until}: {cell.inner_text()[:2000]}")

    def restart_kernel(self) -> None:
        """By the menu, as a person does it; what the desks on the page show from now on are old pictures of them, marked `data-old`.

        (After a restart that JupyterLab did not ask for, its version 4.6 may lose messages of the next desk.)"""
        self.page.evaluate("document.querySelectorAll('.warp-desk').forEach(desk => { desk.dataset.old = 'yes' })")
        self.page.locator("li.lm-MenuBar-item >> text=Kernel").click()
        self.page.locator(".lm-Menu-itemLabel >> text=/^Restart Kernel…$/").click()
        self.page.locator(".jp-Dialog button >> text=Restart").click()
        self.page.wait_for_selector(".jp-Dialog", state="detached")
        self.page.wait_for_selector("#jp-main-statusbar >> text=/\\| Idle/", timeout=90_000)

    def at(self, x: float, y: float) -> tuple[float, float]:
        "Where a pixel of the picture is on the page."
        self.page.locator(self.PICTURE).scroll_into_view_if_needed()
        shown = self.page.locator(self.PICTURE).bounding_box()
        scale = shown["width"] / self.page.evaluate(f"document.querySelector('{self.PICTURE}').naturalWidth")
        return shown["x"] + x * scale, shown["y"] + y * scale

    def draw(self, box: Box) -> None:
        self.page.mouse.move(*self.at(box.x, box.y))
        self.page.mouse.down()
        self.page.mouse.move(*self.at(box.right, box.bottom), steps=10)
        self.page.mouse.up()
