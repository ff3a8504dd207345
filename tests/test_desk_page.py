"The page that all desks share: its keyboard in a real JupyterLab, its messages, and what a desk sits down to."
import json
import os
import subprocess
import sys
import threading
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from lab import Hand, Lab
from warp.config import Config, read_json
from warp.data.store import Store
from warp.desk.page import Count, Page, desk_files, key_list, progress_html, screenshots_in, sit_down, thumbnail_bytes
from warp.errors import InputError, MissingExtra, StoreError
from warp.records import SCREEN_TYPES
from ipywidgets import HTML

ROOT = Path(__file__).resolve().parent.parent


class Opened:
    "Which files below a folder this process opens; an audit hook cannot be taken off, so it is switched off."
    def __init__(self, folder: Path):
        self.folder, self.files, self.on = str(folder), [], True
        sys.addaudithook(self)

    def __call__(self, event: str, args: tuple) -> None:
        if event == "open" and self.on and isinstance(args[0], (str, os.PathLike)) and str(args[0]).startswith(self.folder): self.files.append(str(args[0]))


@pytest.fixture
def page(tmp_path) -> Page:
    def refuse(): raise InputError("'Solanae' is no item")
    def lose(): raise StoreError("the disk is full")
    acts = {"r": ("refuse", refuse), "l": ("lose", lose), "f": ("fall", lambda: [][1]), "m": ("need more", more), "ArrowUp": ("up", None)}
    return Page(HTML("body"), Store(tmp_path / "training_data"), acts)


def more(): raise MissingExtra("jupyter_bbox_widget", "desk")


@pytest.mark.parametrize(("key", "says"), [("r", "'Solanae' is no item"), ("l", "the disk is full"), ("f", "IndexError"), ("m", "pip install")])
def test_what_fails_is_said(page, key, says):
    page.press(key)
    assert says in page.message and page.messages.outputs[0]["name"] == "stderr"
    assert ("Traceback" in page.message) == (key == "f") == ("warp-traceback" in page.messages._dom_classes)
    page.say("better now")
    assert page.messages.outputs[0]["name"] == "stdout" and "warp-traceback" not in page.messages._dom_classes
    page.say("")
    assert page.messages.outputs == ()


def test_keys_that_mean_nothing_do_nothing(page):
    for key in ("q", "ArrowUp", ""): page.press(key)
    page._heard(page.keys, {"type": "something else"}, [])
    page._heard(page.keys, {"type": "key"}, [])
    assert page.message == ""


def test_a_callback_gets_what_it_is_called_with(page):
    seen = []
    page.told(lambda *args, **kwargs: seen.append((args, kwargs)))(1, b=2)
    assert seen == [((1,), {"b": 2})]


def test_the_progress_line_follows_the_store(page):
    page.refresh()
    assert "0 of 0 screenshots done" in page.progress.value and "width:0%" in page.progress.value
    page.store.add(thumbnail_bytes(Image.new("RGB", (64, 64)), 64), "a<b>.jpg")
    page.store.set_done(next(iter(page.store.screenshots())))
    page.refresh()
    assert "1 of 1 screenshots done" in page.progress.value and "width:100%" in page.progress.value
    assert "&lt;b&gt;" in progress_html(Count(1, 1, "<b>"))


def test_keys_that_do_the_same_stand_together():
    rows = key_list({"1": ("one", print), "Enter": ("go", print), "n": ("go", print), "Home": ("go", None)})
    assert [(row["keys"], row["here"]) for row in rows] == [(["1"], True), (["Enter", "n"], True), (["Home"], False)]


@pytest.mark.parametrize("size", [(1920, 1080), (300, 2000), (8, 8), (2560, 8)])
def test_thumbnails_fit(size):
    img = Image.open(BytesIO(thumbnail_bytes(Image.new("RGBA", size, (200, 90, 10, 255)), 160)))
    assert max(img.size) == min(160, max(size)) and img.mode == "RGB" and min(img.size) >= 1


def test_static_files_ask_nothing_of_the_network():
    for file in (ROOT / "warp/static/desk").iterdir():
        text = desk_files(file.name)
        text = text.replace("http://www.w3.org/2000/svg", "")  # a name, not an address
        assert not [word for word in ("http://", "https://", "import(", "@import", "innerHTML") if word in text], file.name


# ---- sitting down

def test_a_folder_is_listed_and_nothing_in_it_is_opened(tmp_path):
    shots = tmp_path / "shots"
    for number in range(1000):
        file = shots / f"{number // 100}" / f"{number:04}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"no picture at all")
    (shots / "0" / "._0000.png").write_bytes(b"what a Mac leaves behind")
    (shots / "0" / "notes.txt").write_text("no picture", encoding="utf-8")
    opened = Opened(shots)
    sitting = sit_down(shots, Config.load(home=tmp_path / "home"))
    opened.on = False
    assert len(sitting.files) == 1000 and sitting.files == sorted(sitting.files)
    assert opened.files == [] and sitting.store.screenshots() == {}


def test_folders_without_pictures(tmp_path):
    with pytest.raises(InputError, match="is no folder"): screenshots_in(tmp_path / "nowhere")
    with pytest.raises(InputError, match="has no pictures"): screenshots_in(tmp_path)
    sitting = sit_down(None, Config.load(home=tmp_path))
    assert sitting.files == [] and sitting.anchors == {"entries": []} and sitting.store.folder == tmp_path / "training_data"


@pytest.fixture
def practice(practised) -> Config: return Config.load(home=practised)


def test_practice_has_what_desks_need(practice):
    sitting = sit_down("practice", practice)
    shots = list(sitting.store.screenshots().values())
    assert [shot["screen_type"] for shot in shots] == [*SCREEN_TYPES, *[""] * 7]
    assert sitting.store.progress().today == 0 and sitting.config.home == practice.home / "practice"
    assert not practice.training_data.exists() and sitting.store.folder == practice.home / "practice/training_data"
    assert len(list(sitting.config.images.glob("*.png"))) > 500 and len(sitting.anchors["entries"]) == 5
    assert not {shot["screen_type_confirmed_at"][:4] for shot in shots[:7]} - {"2026"}


def test_practice_is_made_once(practice):
    before = {f: f.stat().st_mtime_ns for f in (practice.home / "practice").rglob("*.[pj][np]g")}
    sit_down("practice", practice)
    assert before == {f: f.stat().st_mtime_ns for f in (practice.home / "practice").rglob("*.[pj][np]g")}


def test_practice_interrupted_by_a_kill_is_made_again(tmp_path, practice):
    code = "import sys; from warp.config import Config; from warp.desk.page import sit_down; sit_down('practice', Config.load(home=sys.argv[1]))"
    child = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, stderr=subprocess.DEVNULL)
    journal = tmp_path / "practice/training_data/annotations.journal.jsonl"
    while not (journal.exists() and journal.stat().st_size > 1500):  # a few screenshots are in, not all
        assert child.poll() is None, "made before it could be killed"
        threading.Event().wait(0.005)
    child.kill()
    child.wait()
    assert not (tmp_path / "practice/made.json").exists()
    sitting = sit_down("practice", Config.load(home=tmp_path))
    whole = sit_down("practice", practice)
    assert list(sitting.store.screenshots()) == list(whole.store.screenshots())
    assert [shot["screen_type"] for shot in sitting.store.screenshots().values()] == [*SCREEN_TYPES, *[""] * 7]
    assert read_json(tmp_path / "practice/made.json") == {"version": 1}


# ---- in JupyterLab

CELL = """
from PIL import Image
from ipywidgets import HTML, Text, VBox
from jupyter_bbox_widget import BBoxWidget
from warp.desk.page import Count, Inbox, Page, png_bytes

heard, seen, field, inbox = [], HTML("heard:"), Text(placeholder="type here"), Inbox()
def hear(what):
    heard.append(what)
    seen.value = "heard: " + " ".join(heard)
    page.say(f"{what} was pressed")
def key(name): return f"do {name}", lambda: hear(name)
def fall(): raise RuntimeError("something of ours broke")
inbox.on_picture(lambda data, name: hear(f"{name or 'clipboard'}:{data[:4].hex()}"))
surface = BBoxWidget(image_bytes=png_bytes(Image.linear_gradient("L").resize((600, 160)).convert("RGB")), classes=["first", "second"])
keys = {name: key(name) for name in ("n", "x", "d", "1", "Shift+1", "Enter", "ArrowLeft", "Ctrl+z", "Ctrl+Shift+z", "Ctrl+Enter")}
count = Count(3, 7, "3 of 10 screenshots done, 41 boxes confirmed, 12 of them today")
page = Page(VBox([surface, field, seen, inbox]), None, keys | {"f": ("fall over", fall)}, lambda: count)
page.title.value = "<b>overview.png</b>, 1920x1080"
page.refresh()
page
"""


def write_notebook(file: Path, *cells: str) -> None:
    empty = {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": []}
    nb = {"cells": [empty | {"id": f"cell{i}", "source": source.strip()} for i, source in enumerate(cells)],
          "metadata": {"kernelspec": {"name": "python3", "display_name": "python3", "language": "python"}}, "nbformat": 4, "nbformat_minor": 5}
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(nb), encoding="utf-8")


GIVE = """([how, name]) => { const files = new DataTransfer();
    files.items.add(new File([new Uint8Array([0xab, 0xcd, 0xef, 0x01])], name, { type: "image/png" }));
    const desk = document.querySelector(".warp-desk"), options = { bubbles: true, cancelable: true };
    desk.dispatchEvent(how === "paste" ? new ClipboardEvent(how, { ...options, clipboardData: files }) : new DragEvent(how, { ...options, dataTransfer: files }));
}"""


def test_the_keyboard_in_jupyterlab(browser_page, tmp_path, pictures_out):
    write_notebook(tmp_path / "nb/keys.ipynb", CELL, "'another cell'", "'and another'")
    with Lab(tmp_path, tmp_path / "nb") as lab:
        hand, page = Hand(browser_page, lab, "keys.ipynb"), browser_page
        hand.run(0, until=".warp-desk.warp-listening")
        page.wait_for_selector(hand.PICTURE)
        press, said = hand.press, []

        def heard(*names: str) -> None:
            said.extend(names)
            shown = "text => [...document.querySelectorAll('.warp-desk .widget-html-content')].some(e => e.textContent === text)"
            page.wait_for_function(shown, arg="heard: " + " ".join(said))

        for name in ("n", "x", "Enter", "ArrowLeft"): press(name)  # the desk has the keyboard as soon as it is there
        heard("n", "x", "Enter", "ArrowLeft")
        for name in ("d", "d", "Shift+1", "1", "Control+z", "Control+Shift+z", "Control+Enter"): press(name)
        heard("d", "d", "Shift+1", "1", "Ctrl+z", "Ctrl+Shift+z", "Ctrl+Enter")

        page.locator(".warp-desk .wrapper").click(position=dict(x=90, y=150))  # the drawing widget now has the focus, and keeps every key that it sees
        press("n")
        press("Shift+1")
        heard("n", "Shift+1")
        press("a")  # no key of the desk: JupyterLab would put a cell above
        press("n")
        heard("n")
        assert page.locator(".jp-Notebook .jp-CodeCell").count() == 3

        press("?")
        page.wait_for_selector(".warp-keys-sheet >> text=fall over")
        page.locator(".warp-desk").screenshot(path=pictures_out / "page_keys.png")
        press("Escape")
        page.wait_for_selector(".warp-keys-sheet", state="hidden")

        press("f")
        page.wait_for_selector(".warp-messages >> text=something of ours broke")
        page.screenshot(path=pictures_out / "page_fault.png")

        field = page.get_by_placeholder("type here")
        field.click()
        page.keyboard.type("n1x?")
        assert field.input_value() == "n1x?"
        press("Control+z")  # letters that were not entered: the field's own
        assert field.input_value() != "n1x?"
        page.keyboard.type("beam")
        press("Enter")
        press("Control+z")  # entered: now it is an act that is taken back
        heard("Ctrl+z")
        press("n")
        assert "n" in field.input_value()
        press("Escape")
        press("n")
        heard("n")

        for how in ("dragenter", "paste", "drop"): page.evaluate(GIVE, [how, "image.png" if how == "paste" else "dropped.png"])
        heard("clipboard:abcdef01", "dropped.png:abcdef01")
        with page.expect_file_chooser() as chooser: page.get_by_role("button", name="Add pictures").click()
        chooser.value.set_files(files=[{"name": f"{i}.png", "mimeType": "image/png", "buffer": bytes([i, 2, 3, 4])} for i in range(2)])
        heard("0.png:00020304", "1.png:01020304")

        page.locator(".jp-Notebook .jp-CodeCell").nth(1).locator(".jp-InputArea-editor").click()  # somewhere else
        page.wait_for_selector(".warp-desk:not(.warp-listening)")
        page.wait_for_selector(".warp-keys-state >> text=click the desk")
        page.keyboard.type("n")
        page.locator(".warp-desk .warp-title").click()
        page.wait_for_selector(".warp-desk.warp-listening")
        press("x")
        heard("x")
