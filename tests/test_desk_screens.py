"The desk for screen types: every key, broken pictures, undo across screenshots, and an annotator's evening in a real JupyterLab."
import json
import shutil
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lab import Hand, Lab
from test_desk_page import GIVE, Opened, write_notebook
from warp.config import Config, write_json
from warp.data.crops import open_image
from warp.data.store import Store
from warp.demo import World
from warp.desk.page import sit_down, thumbnail_bytes
from warp.desk.screens import LOOKS, ScreensDesk, next_open, screen_model
from warp.records import SCREEN_TYPES, Box, Match

ROOT = Path(__file__).resolve().parent.parent


def picture(number: int, size: tuple[int, int] = (320, 180), kind: str = "PNG") -> bytes:
    file, rng = BytesIO(), np.random.default_rng(number)
    Image.fromarray(rng.integers(0, 255, (size[1] // 20, size[0] // 20, 3), dtype=np.uint8)).resize(size, Image.Resampling.NEAREST).save(file, kind)
    return file.getvalue()


def fill(folder: Path, count: int, broken: tuple[int, ...] = ()) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count): (folder / f"{i:04}.png").write_bytes(b"\x89PNG torn off" if i in broken else picture(i))
    return folder


@pytest.fixture
def config(tmp_path) -> Config:
    return Config.load(home=tmp_path / "home")


def open_desk(config: Config, folder: Path | None, **kwargs) -> ScreensDesk:
    return ScreensDesk(sit_down(folder, config), **kwargs)


def types(store: Store) -> dict[str, str]:
    return {record["file"]: record["screen_type"] for record in store.screenshots().values()}


def asked(desk: ScreensDesk, what: str, at: int) -> tuple[dict, list]:
    "What the browser gets for an answer."
    answers = []
    desk.wall.send = lambda content, buffers=None: answers.append((content, buffers))
    desk._heard(desk.wall, {"type": "want", "what": what, "at": at}, [])
    del desk.wall.send
    (answer,) = answers
    return answer


def test_every_type_has_its_key(config, tmp_path):
    desk = open_desk(config, fill(tmp_path / "shots", 7))
    for look in LOOKS.values(): desk.page.press(look.key)
    assert list(types(desk.store).values()) == list(SCREEN_TYPES) and desk.wall.marks == "1234567"
    assert "Every screenshot here has its type" in desk.page.message
    for kind, file in zip(SCREEN_TYPES, sorted((tmp_path / "shots").iterdir())):
        kept, = (config.training_data / "screen_types" / kind).iterdir()
        assert kept.name == file.name and np.array_equal(np.asarray(open_image(kept)), np.asarray(open_image(file)))


@pytest.mark.parametrize(("marks", "at", "there"), [("---", -1, 0), ("1--", 0, 1), ("-11", 2, 0), ("11-", 2, 2), ("s-1", 0, 1), ("s11", 1, 0), ("s11", 0, -1),
                                                    ("ss1", 0, 1), ("1!0", 0, -1), ("", -1, -1)])
def test_where_to_go_next(marks, at, there): assert next_open(marks, at) == there


def test_undo_and_redo_go_where_it_happened(config, tmp_path):
    desk = open_desk(config, fill(tmp_path / "shots", 4))
    press = desk.page.press
    for key in "14": press(key)
    press("0")
    assert (desk.wall.marks, desk.wall.at) == ("140-", 3)
    press("Ctrl+z")
    assert (desk.wall.marks, desk.wall.at) == ("14--", 2)
    press("Ctrl+z")
    assert (desk.wall.marks, desk.wall.at) == ("1---", 1) and "screen type BOFFS" in desk.page.message
    press("Ctrl+Shift+z")
    press("Ctrl+y")
    assert (desk.wall.marks, desk.wall.at) == ("140-", 2)
    for _ in range(4): press("Ctrl+z")
    assert desk.wall.marks == "----" and "nothing to take back" in desk.page.message
    assert not list((config.training_data / "screen_types").rglob("*.png"))
    press("Ctrl+y")
    press("7")
    press("Ctrl+y")
    assert "nothing to do again" in desk.page.message


def test_a_second_word_replaces_the_first_and_delete_takes_it_away(config, tmp_path):
    desk = open_desk(config, fill(tmp_path / "shots", 2))
    desk.page.press("1")
    desk.wall.at = 0
    desk.page.press("2")
    assert desk.wall.marks == "2-" and [f.parent.name for f in (config.training_data / "screen_types").rglob("*.png")] == ["GROUND_EQ"]
    desk.wall.at = 0
    desk.page.press("Backspace")
    assert desk.wall.marks == "0-"
    desk.wall.at = 0
    desk.page.press("3")
    assert desk.wall.marks == "3-" and not next(iter(desk.store.screenshots().values()))["nothing_here"]
    desk.wall.at = 0
    desk.page.press("Delete")
    assert desk.wall.marks == "--"
    desk.wall.at = 1
    desk.page.press("Delete")  # nothing is known of it: nothing happens
    assert len(desk.store.screenshots()) == 1


def test_nothing_here_is_refused_where_boxes_are_confirmed(config, tmp_path):
    desk = open_desk(config, fill(tmp_path / "shots", 1))
    desk.page.press("1")
    sha = desk.tiles[0].sha
    desk.store.confirm(sha, Box(10, 10, 46, 56), "Ship Name")
    desk.page.press("0")
    assert "confirmed boxes" in desk.page.message and desk.page.messages.outputs[0]["name"] == "stderr" and desk.wall.marks == "1"


def test_later_comes_last(config, tmp_path):
    desk = open_desk(config, fill(tmp_path / "shots", 3))
    desk.page.press("s")
    assert (desk.wall.marks, desk.wall.at) == ("s--", 1)
    desk.page.press("n")
    assert desk.wall.at == 2
    desk.page.press("1")
    desk.page.press("1")
    assert (desk.wall.marks, desk.wall.at) == ("s11", 0) and desk.store.progress().done == 0
    desk.page.press("5")
    assert desk.wall.marks == "511"


def test_broken_pictures_are_told_and_the_others_go_on(config, tmp_path):
    desk = open_desk(config, fill(tmp_path / "shots", 4, broken=(1, 3)))
    desk.page.press("1")
    assert (desk.wall.marks, desk.wall.at) == ("1!--", 2) and "0001.png" in desk.page.message and desk.page.messages.outputs[0]["name"] == "stderr"
    desk.wall.at = 3
    desk.page.press("2")
    assert "0003.png" in desk.page.message and list(types(desk.store)) == ["0000.png"]
    assert "0003.png" in asked(desk, "view", 3)[0]["fault"] and desk.wall.marks == "1!-!"
    desk.wall.at = 2
    desk.page.press("2")
    assert desk.wall.marks == "1!2!" and desk._count().left == 0


def test_the_first_one_may_be_broken(config, tmp_path):
    desk = open_desk(config, fill(tmp_path / "shots", 2, broken=(0,)))
    desk.page.press("1")
    assert "0000.png" in desk.page.message and desk.store.screenshots() == {}
    desk.page.press("n")
    desk.page.press("1")
    assert desk.wall.marks[1] == "1"


def test_a_screenshot_whose_file_is_gone(config, tmp_path):
    shots = fill(tmp_path / "shots", 1)
    store = sit_down(None, config).store
    store.add(shots / "0000.png")
    (shots / "0000.png").unlink()
    desk = open_desk(config, None)
    assert "0000.png" in asked(desk, "thumb", 0)[0]["fault"] and desk.wall.marks == "!"


def test_resume(config, tmp_path):
    shots = fill(tmp_path / "shots", 5)
    desk = open_desk(config, shots)
    for key in "12": desk.page.press(key)
    again = open_desk(config, shots)  # as after a kernel restart: the first desk was never closed
    assert (again.wall.marks, again.wall.at) == ("12---", 2)
    assert "2 of 5 screenshots have a type, 2 of them since midnight; 3 left" in again.page.progress.value
    assert open_desk(config, None).wall.marks == "12"


def test_a_thousand_screenshots_are_not_looked_at(config, tmp_path):
    shots = fill(tmp_path / "shots", 1000)
    opened = Opened(shots)
    desk = open_desk(config, shots)
    looked_at = list(opened.files)
    content, buffers = asked(desk, "thumb", 999)
    opened.on = False
    assert looked_at == [] and len(desk.wall.marks) == 1000
    assert set(opened.files) == {str(shots / "0999.png")} and content["at"] == 999 and Image.open(BytesIO(buffers[0])).size == (320, 180)


def test_pictures_come_in(config):
    desk = open_desk(config, None)
    assert "No screenshots yet" in desk.page.title.value
    for key in ("1", "0", "s", "n", "Enter", "Delete", "Ctrl+z"): desk.page.press(key)  # an empty desk has nothing to say
    take = desk.page.told(desk.take)
    take(picture(1), "")
    assert (desk.wall.marks, desk.wall.at) == ("-", 0) and desk.wall.names[0].endswith(".png")
    take(b"no picture", "notes.png")
    assert desk.page.messages.outputs[0]["name"] == "stderr" and len(desk.tiles) == 1
    take(picture(2, kind="JPEG"), "overview.jpg")
    take(picture(1), "again.png")
    assert (len(desk.tiles), desk.wall.at) == (2, 0)
    desk.page.press("1")
    desk.page.press("2")
    assert list(types(desk.store).values()) == ["SPACE_EQ", "GROUND_EQ"] and open_desk(config, None).wall.marks == "12"


def test_only_a_person_confirms(config, tmp_path):
    names = iter([Match("TRAITS", 0.9, "screens"), Match(None, 0.3, "screens")])
    desk = open_desk(config, fill(tmp_path / "shots", 2), guess=lambda img: next(names))
    for at in (0, 1): asked(desk, "thumb", at)
    assert desk.wall.guesses == "3-" and desk.wall.marks == "--" and desk.store.screenshots() == {}
    desk.page.press("Enter")
    assert desk.wall.marks == "3-"
    desk.page.press("Enter")
    assert "nothing is guessed" in desk.page.message and desk.wall.marks == "3-"


def test_a_damaged_model_is_no_reason_not_to_open(config):
    assert screen_model(config) is None
    write_json(config.models / "sets/3/model_version.json", {})
    (config.models / "current").write_text("3", encoding="utf-8")
    assert screen_model(config) is None


# ---- in JupyterLab

def looked_at(page, at: int) -> None:
    page.wait_for_selector(f".warp-desk:not([data-old]) .warp-view[data-at='{at}'][data-sharp=yes]")


def wait_for_marks(page, wanted: str) -> None:
    shorts = {"-": "", "s": "later"} | {look.key: look.short for look in LOOKS.values()} | {"0": "Nothing"}
    shown = "wanted => [...document.querySelectorAll('.warp-desk:not([data-old]) .warp-badge')].map(badge => badge.textContent).join() === wanted"
    page.wait_for_function(shown, arg=",".join(shorts[letter] for letter in wanted))


def test_an_evening_in_jupyterlab(browser_page, tmp_path, pictures_out):
    notebooks, page = tmp_path / "nb", browser_page
    notebooks.mkdir()
    shutil.copy(ROOT / "nbs/desks/label_screens.ipynb", notebooks)
    elsewhere, broken = [], []
    with Lab(tmp_path, notebooks) as lab:
        page.on("request", lambda r: None if r.url.startswith((lab.url, "data:", "blob:")) else elsewhere.append(r.url))
        page.on("pageerror", lambda e: broken.append(str(e)))
        hand = Hand(page, lab, "label_screens.ipynb")
        press = hand.press
        hand.run(0, until=".warp-view[data-sharp=yes]")
        looked_at(page, 7)
        page.wait_for_function("[...document.querySelectorAll('.warp-tile img')].filter(img => img.naturalWidth).length === 14")
        page.screenshot(path=pictures_out / "screens_open.png")
        page.locator(".warp-desk").screenshot(path=pictures_out / "screens_desk.png")
        for key, at in (("1", 8), ("2", 9), ("4", 10)):  # the third is wrong: it shows traits
            press(key)
            looked_at(page, at)
        press("Control+z")
        looked_at(page, 9)
        wait_for_marks(page, "123456712-----")
        press("Control+z")
        wait_for_marks(page, "12345671------")
        press("Control+Shift+z")
        wait_for_marks(page, "123456712-----")
        press("n")
        looked_at(page, 9)
        press("3")
        looked_at(page, 10)
        press("s")
        looked_at(page, 11)
        press("0")
        looked_at(page, 12)
        press("ArrowLeft")
        looked_at(page, 11)
        press("ArrowUp")
        looked_at(page, 11 - 3 if page.evaluate("getComputedStyle(document.querySelector('.warp-tiles')).gridTemplateColumns.split(' ').length") == 3 else 7)
        page.screenshot(path=pictures_out / "screens_half.png")
        wait_for_marks(page, "1234567123s0--")

        hand.restart_kernel()
        hand.run(0, until=".warp-desk:not([data-old]) .warp-view[data-sharp=yes]")
        looked_at(page, 10)
        wait_for_marks(page, "1234567123-0--")  # "later" was for that evening
        for key, at in (("4", 12), ("6", 13)):
            press(key)
            looked_at(page, at)
        press("7")
        page.wait_for_selector("text=Every screenshot here has its type")
        page.screenshot(path=pictures_out / "screens_done.png")
    practice = tmp_path / "warp/practice"
    Store(practice / "training_data").close()
    records = json.loads((practice / "training_data/annotations.json").read_text(encoding="utf-8"))["screenshots"]
    said = [record["screen_type"] or "nothing" * record["nothing_here"] for record in records.values()]
    assert said == [*SCREEN_TYPES, "SPACE_EQ", "GROUND_EQ", "TRAITS", "BOFFS", "nothing", "SPACE_MIXED", "GROUND_MIXED"]
    typed = [record for record in records.values() if record["screen_type"]]
    copies = sorted((practice / "training_data/screen_types").rglob("*.*"))
    assert copies == sorted(practice / f"training_data/screen_types/{r['screen_type']}/{Path(r['file']).stem}.png" for r in typed)
    for record in typed:
        copy = practice / "training_data/screen_types" / record["screen_type"] / f"{Path(record['file']).stem}.png"
        assert np.array_equal(np.asarray(open_image(copy)), np.asarray(open_image(practice / "screenshots" / record["file"]))), copy
    assert not elsewhere and not broken, (elsewhere, broken)


def test_a_wall_of_a_thousand_in_the_dark(browser_page, tmp_path, pictures_out):
    page, shots, world = browser_page, tmp_path / "shots", World.make()
    shots.mkdir()
    pictures = [thumbnail_bytes(world.shot(world.players[i % 10], SCREEN_TYPES[i % 7]).render().image, 800) for i in range(13)]
    for i in range(1000):
        (shots / f"{i:04}.jpg").write_bytes(b"torn off" if i == 3 else pictures[i % 13] + str(i).encode())
    write_notebook(tmp_path / "nb/wall.ipynb", f"""
from warp.demo import World
from warp.desk.page import sit_down, thumbnail_bytes
from warp.desk.screens import ScreensDesk
from warp.records import Match
desk = ScreensDesk(sit_down({str(shots)!r}), lambda img: Match(["TRAITS", "BOFFS", None][sum(img.getpixel((400, 200))) % 3], 0.8, "screens"))
desk""")
    with Lab(tmp_path, tmp_path / "nb") as lab:
        theme = tmp_path / "config/lab/user-settings/@jupyterlab/apputils-extension/themes.jupyterlab-settings"
        theme.write_text('{"theme": "JupyterLab Dark"}', encoding="utf-8")
        hand = Hand(page, lab, "wall.ipynb")
        press = hand.press
        hand.run(0, until=".warp-view[data-at='0'][data-sharp=yes]")
        page.wait_for_selector(".warp-tile[data-at='3'] >> text=no picture")
        page.wait_for_function("document.querySelectorAll('.warp-badge.warp-guess').length > 8")
        shown = page.evaluate("[...document.querySelectorAll('.warp-tile img')].filter(img => img.naturalWidth).length")
        assert page.locator(".warp-tile").count() == 1000 and page.evaluate("document.querySelector('.warp-tile:last-child').offsetTop") > 20_000
        assert shown < 120, f"{shown} pictures were fetched for a window that shows some thirty"
        press("End")
        looked_at(page, 999)
        press("6")  # round the corner, to the first
        looked_at(page, 0)
        for key in ("1", "2", "Enter"): press(key)
        page.wait_for_selector(".warp-tile[data-at='1'] .warp-badge >> text=Ground")
        looked_at(page, 4)
        for key in ("ArrowRight", "ArrowRight", "5"): page.keyboard.press(key)  # faster than anybody: the digit is still for the one that the arrows led to
        page.wait_for_selector(".warp-tile[data-at='6'] .warp-badge >> text=Specs")
        assert page.locator(".warp-tile[data-at='5'] .warp-badge:not(.warp-guess):not(:empty)").count() == 0
        page.evaluate(GIVE, ["drop", "torn.png"])
        page.wait_for_selector(".warp-messages >> text=no picture that Pillow can read")
        page.screenshot(path=pictures_out / "screens_dark.png")
        press("?")
        page.wait_for_selector(".warp-keys-sheet >> text=put it off")
        page.screenshot(path=pictures_out / "screens_dark_keys.png")
