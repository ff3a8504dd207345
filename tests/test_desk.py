"The box desk: what it accepts, what it refuses, and one box drawn by a real browser in a real JupyterLab."
import json
import shutil
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from lab import Hand, Lab
from warp.data.crops import cut_crop, make_crop, open_image
from warp.data.store import Store
from warp.demo import World
from warp.desk.boxes import BoxDesk, Drawn, drawn_boxes, faults, open_desk, practice_store
from warp.config import Config
from warp.errors import ImageError, InputError
from warp.knowledge.vocabulary import Vocabulary
from warp.records import Box, slot_named

ROOT = Path(__file__).resolve().parent.parent
VOCABULARY = Vocabulary.load()
DEFLECTOR = "Solanae Deflector Array"


def picture(shade: int, size: tuple[int, int] = (640, 360)) -> bytes:
    file = BytesIO()
    Image.linear_gradient("L").resize(size).point(lambda v: (v + shade) % 256).convert("RGB").save(file, "PNG")
    return file.getvalue()


def mark(slot: str, item: str, x: int = 10, y: int = 10, width: int = 46, height: int = 56) -> dict:
    return dict(x=x, y=y, width=width, height=height, label=slot, item=item)


def sit_down(store: Store, *pictures: bytes) -> BoxDesk:
    desk = BoxDesk(store, VOCABULARY, [store.add(png, f"{i}.png") for i, png in enumerate(pictures)])
    desk.screen_type.value = "SPACE_EQ"
    return desk


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "training_data", VOCABULARY)


def test_places_are_counted_as_one_reads():
    shaky = [mark("Devices", name, x, y) for name, x, y in (("c", 10, 80), ("b", 70, 9), ("a", 10, 31), ("d", 70, 77))]
    assert [(d.item, d.slot_index) for d in drawn_boxes(shaky)] == [("a", 0), ("b", 1), ("c", 2), ("d", 3)]


def test_a_click_is_no_box():
    assert drawn_boxes([mark("Devices", "a", width=0), mark("Devices", "b", height=0), mark("Devices", "c", width=-3)]) == []


@pytest.mark.parametrize(("drawn", "says"), [
    (Drawn("", 0, Box(1, 1, 9, 9), "x"), "no such slot"),
    (Drawn("Kit", 0, Box(1, 1, 9, 9), "x"), "no such slot"),
    (Drawn("Deflector", 0, Box(630, 1, 46, 56), DEFLECTOR), "not inside the 640x360"),
    (Drawn("Deflector", 0, Box(1, 1, 9, 9), ""), "no item yet"),
    (Drawn("Deflector", 0, Box(1, 1, 9, 9), "Solanae Deflektor Array"), f"did you mean '{DEFLECTOR}'"),
    (Drawn("Ship Name", 0, Box(1, 1, 9, 9), "Enterprise"), "never a text")])
def test_each_fault_is_told(drawn, says):
    assert says in faults([drawn], (640, 360), "SPACE_EQ", VOCABULARY)[0]


def test_too_many_for_a_slot():
    twice = [Drawn("Deflector", i, Box(60 * i, 1, 46, 56), DEFLECTOR) for i in range(2)]
    assert "2 are drawn" in faults(twice, (640, 360), "SPACE_EQ", VOCABULARY)[0]


def test_the_same_box_twice():
    twice = [Drawn("Devices", i, Box(1, 1, 46, 56), "__empty__") for i in range(2)]
    assert "drawn 2 times" in faults(twice, (640, 360), "SPACE_EQ", VOCABULARY)[0]


def test_submit_stores_crop_and_record_and_goes_on(store):
    desk = sit_down(store, picture(0), picture(90))
    first = desk.screenshot
    desk.boxes.bboxes = [mark("Deflector", DEFLECTOR, 100, 50), mark("Ship Name", "", 300, 10)]
    desk.boxes.submit_callback()
    known = {a.slot: a for _, a in store.annotations(first)}
    assert known["Deflector"].name == DEFLECTOR and known["Ship Name"].crop_sha256 == ""
    crop = make_crop(cut_crop(open_image(picture(0)), Box(100, 50, 46, 56)))
    assert known["Deflector"].crop_sha256 == crop.sha256 and store.crop_file(crop.sha256).read_bytes() == crop.png
    assert desk.screenshot != first and desk.boxes.bboxes == [] and desk.boxes.selected_index == -1
    assert store.screenshots()[first]["screen_type"] == "SPACE_EQ"


def test_all_or_nothing(store):
    desk = sit_down(store, picture(0))
    desk.boxes.bboxes = [mark("Deflector", DEFLECTOR), mark("Shield", "No Such Shield", 100)]
    desk.boxes.submit_callback()
    assert store.annotations() == [] and desk.screenshot and len(desk.boxes.bboxes) == 2
    assert "No Such Shield" in desk.message and desk.messages.outputs[0]["name"] == "stderr"


def test_what_is_left_alone_keeps_its_time(store):
    desk = sit_down(store, picture(0))
    shot = desk.screenshot
    store.confirm(shot, Box(10, 10, 46, 56), "Deflector", DEFLECTOR, confirmed_at="2026-01-01T00:00:00Z")
    desk.show(shot)
    assert desk.boxes.bboxes == [mark("Deflector", DEFLECTOR)]
    desk.boxes.submit_callback()
    assert [a.confirmed_at for _, a in store.annotations(shot)] == ["2026-01-01T00:00:00Z"]


def test_a_deleted_box_is_taken_back(store):
    desk = sit_down(store, picture(0))
    shot = desk.screenshot
    store.confirm(shot, Box(10, 10, 46, 56), "Deflector", DEFLECTOR)
    desk.show(shot)
    desk.boxes.bboxes = []
    desk.boxes.submit_callback()
    assert store.annotations(shot) == []


def test_what_a_program_had_read_stays_with_a_renamed_box(store):
    desk = sit_down(store, picture(0))
    shot = desk.screenshot
    store.confirm(shot, Box(10, 10, 146, 16), "Ship Tier", "T6", ml_name="T8", ml_score=0.5)
    desk.show(shot)
    desk.boxes.bboxes = [desk.boxes.bboxes[0] | {"item": "T6-X"}]
    desk.boxes.submit_callback()
    (_, said), = store.annotations(shot)
    assert (said.name, said.ml_name, said.ml_score) == ("T6-X", "T8", 0.5)


def test_skip_says_nothing(store):
    desk = sit_down(store, picture(0), picture(90))
    first = desk.screenshot
    desk.boxes.bboxes = [mark("Deflector", DEFLECTOR)]
    desk.boxes.skip_callback()
    assert store.annotations() == [] and desk.screenshot != first
    desk.boxes.skip_callback()
    assert desk.screenshot is None and "All done" in desk.title.value
    desk.boxes.submit_callback()  # a click on what is no longer there


def test_the_list_of_names_follows_the_selected_box(store):
    desk = sit_down(store, picture(0))
    assert desk.item.disabled
    desk.boxes.bboxes = [mark("Deflector", ""), mark("Ship Tier", "", 100)]
    desk.boxes.selected_index = 0
    assert not desk.item.disabled and DEFLECTOR in desk.item.options and "__empty__" in desk.item.options
    desk.item.value = DEFLECTOR
    assert desk.boxes.bboxes[0]["item"] == DEFLECTOR
    desk.boxes.selected_index = 1
    assert desk.item.value == "" and set(desk.item.options) == VOCABULARY.names("Ship Tier")


def test_an_error_of_ours_is_shown_too(store, monkeypatch):
    desk = sit_down(store, picture(0))
    desk.boxes.bboxes = [mark("Deflector", DEFLECTOR)]
    monkeypatch.setattr(store, "confirm", lambda *_, **__: 1 / 0)
    desk.boxes.submit_callback()
    assert "ZeroDivisionError" in desk.message


def test_a_folder_of_ones_own(tmp_path):
    config = Config.load(home=tmp_path / "home")
    with pytest.raises(InputError, match="has no pictures"): open_desk(tmp_path / "nowhere", config)
    shots = tmp_path / "shots"
    shots.mkdir()
    (shots / "b.png").write_bytes(picture(0))
    (shots / "a.PNG").write_bytes(picture(90))
    (shots / "notes.txt").write_text("no picture", encoding="utf-8")
    desk = open_desk(shots, config)
    assert [r["file"] for r in desk.store.screenshots().values()] == ["a.PNG", "b.png"] and "a.PNG" in desk.title.value
    (shots / "c.png").write_bytes(picture(0)[:500])
    with pytest.raises(ImageError, match="c.png"): open_desk(shots, config)


def test_practice_is_not_training_data(tmp_path):
    config = Config.load(home=tmp_path)
    desk = open_desk(config=config)
    assert desk.screen_type.value == "SPACE_EQ" and not config.training_data.exists()
    assert list(practice_store(config, VOCABULARY).screenshots()) == list(desk.store.screenshots()), "the same screenshot every time"


def test_draw_name_and_submit_in_jupyterlab(browser_page, tmp_path):
    notebooks = tmp_path / "nb"
    notebooks.mkdir()
    shutil.copy(ROOT / "nbs/desks/draw_boxes.ipynb", notebooks)
    world = World.make()
    made = next(shot for shot in world.screenshots(world.newcomer) if shot.screen_type == "SPACE_EQ").render()
    truth = next(t for t in made.truth if slot_named(t.slot).kind == "icon" and not t.name.startswith("__"))
    elsewhere = []
    with Lab(tmp_path, notebooks) as lab:
        browser_page.on("request", lambda r: None if r.url.startswith((lab.url, "data:", "blob:")) else elsewhere.append(r.url))
        hand = Hand(browser_page, lab, "draw_boxes.ipynb")
        hand.run(0, until=hand.PICTURE)
        browser_page.wait_for_function(f"document.querySelector('{hand.PICTURE}').naturalWidth === {made.image.width}")
        browser_page.locator(".class-label", has_text=truth.slot).first.click()
        hand.draw(truth.bbox)
        item = browser_page.get_by_placeholder("select a box")
        item.fill(truth.name)
        item.press("Enter")
        browser_page.screenshot(path=tmp_path / "desk.png")
        browser_page.locator("button.success").click()
        browser_page.wait_for_selector("text=1 confirmed", timeout=30_000)
    practice = tmp_path / "warp/practice"
    record, = json.loads((practice / "annotations.json").read_text(encoding="utf-8"))["screenshots"].values()
    said, = record["annotations"]
    assert (said["state"], said["slot"], said["name"]) == ("confirmed", truth.slot, truth.name)
    assert max(abs(a - b) for a, b in zip(said["bbox"], truth.bbox)) <= 2, f"drawn {said['bbox']}, meant {truth.bbox}"
    crop = practice / "crops" / f"{said['crop_sha256']}.png"
    assert crop.read_bytes() == make_crop(cut_crop(open_image(practice / record["copy"]), Box(*said["bbox"]))).png
    assert not elsewhere, elsewhere
