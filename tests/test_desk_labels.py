"The desk for a detector's labels, and a person before it in a real JupyterLab."
import json

import nbformat
import pytest
from PIL import Image

from lab import Hand, Lab
from made_game import pose
from warp.detect.cvat import LabelDesk
from warp.detect.labels import LabelBox, LabelledImage, LabelSet, new_set, read_set, write_set
from warp.detect.profile import load_profile
from warp.errors import InputError, StoreError
from warp.records import Box

SHEEP, VILLAGER = Box(60, 50, 48, 36), Box(300, 120, 48, 64)


@pytest.fixture
def batch(tmp_path) -> LabelSet:
    "Three pictures; on the first two the model has seen a sheep, on the third there is nothing."
    profile, images = load_profile("aoe2"), []
    for i in range(3):
        img = Image.new("RGB", (640, 360), (90, 120, 60 + i))
        for name, box in (("sheep", SHEEP), ("villager", VILLAGER)) if i < 2 else ():
            thing = pose(profile.by_name[name].id, profile.by_name[name].kind, 0)[0]
            img.paste(thing, box[:2], thing)
        img.save(tmp_path / f"match1_{i}.png")
        images.append(LabelledImage(tmp_path / f"match1_{i}.png", img.size, (LabelBox("sheep", SHEEP, 0.62, "aoe2 v3", reviewed=False),) if i < 2 else ()))
    return write_set(new_set(profile, images), tmp_path / "nb" / "batch")


def drawn(x: int, y: int, width: int, height: int, label: str = "sheep") -> dict: return {"x": x, "y": y, "width": width, "height": height, "label": label}


def press(desk: LabelDesk, button: str, page: int | None = None) -> None: desk.widget.asked = {"type": button, "page": page or desk.widget.page, "at": button}


def test_what_comes_late_for_a_page_that_has_gone_is_left_out(batch, tmp_path):
    desk = LabelDesk(batch, tmp_path / "draft.json")
    desk.widget.bboxes = late = [*desk.widget.bboxes, drawn(300, 120, 48, 64, "villager") | {"page": desk.widget.page}]
    press(desk, "submit")
    press(desk, "submit", desk.widget.page - 1)  # a second click on a slow machine
    desk.widget.bboxes = late  # the browser had held this back
    assert [b["label"] for b in desk.widget.bboxes] == ["sheep"] and len(desk.waiting) == 2
    press(desk, "submit")
    assert [len(boxes) for boxes in desk.said.values()] == [2, 1]


def test_a_page_that_cannot_be_kept_is_not_done(batch, tmp_path):
    desk = LabelDesk(batch, tmp_path / "draft.json")
    (tmp_path / "draft.json").mkdir()
    with pytest.raises(StoreError, match="draft.json"): press(desk, "submit")
    assert not desk.said and len(desk.waiting) == 3


def test_a_click_is_no_box_and_what_hangs_over_is_cut(batch, tmp_path):
    desk = LabelDesk(batch, tmp_path / "draft.json")
    desk.widget.bboxes = [drawn(9, 9, 0, 0), drawn(-4, 340, 30, 40), drawn(700, 10, 20, 20)]
    press(desk, "submit")
    assert json.loads((tmp_path / "draft.json").read_text(encoding="utf-8")) == {"match1_0.png": [["sheep", 0, 340, 26, 20]]}


def test_back_takes_up_the_last_page_as_it_was_left(batch, tmp_path):
    desk = LabelDesk(batch, tmp_path / "draft.json")
    desk.back()  # nothing yet
    desk.widget.bboxes = [drawn(1, 2, 30, 40, "deer")]
    press(desk, "submit")
    desk.back()
    assert [b["label"] for b in desk.widget.bboxes] == ["deer"] and desk.waiting[0].file.name == "match1_0.png" and desk.draft.read_text(encoding="utf-8").strip() == "{}"


def test_two_pictures_of_one_name_are_refused(batch, tmp_path):
    with pytest.raises(InputError, match="match1_0.png"): LabelDesk(LabelSet(batch.classes, batch.images * 2, batch.profile, batch.digest), tmp_path / "draft.json")


class Labeller(Hand):
    "Somebody before the desk, who looks before going on."
    def says(self, text: str) -> None: self.page.wait_for_selector(f".jp-OutputArea-output:not([data-old]) >> text={text}")
    def count(self) -> int: return self.page.locator(".wrapper .image svg rect.movable").count()
    def boxes(self, count: int) -> None: self.until(lambda: self.count() == count, f"{count} boxes")
    def click(self, button: str) -> None: self.page.locator(f".jp-OutputArea-output:not([data-old]) button:has-text('{button}')").click()


def test_a_person_labels_skips_goes_back_and_goes_on_after_a_crash(browser_page, batch, tmp_path, pictures_out):
    cell = "from warp.detect.cvat import LabelDesk\nfrom warp.detect.labels import read_set\n\nLabelDesk(read_set('batch'), 'draft.json')"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell)], metadata={"kernelspec": {"name": "python3", "display_name": "python3", "language": "python"}}), tmp_path / "nb/label.ipynb")
    page, draft, wrong = browser_page, tmp_path / "nb/draft.json", []
    page.on("pageerror", lambda e: wrong.append(str(e)))
    with Lab(tmp_path, tmp_path / "nb") as lab:
        hand = Labeller(page, lab, "label.ipynb")
        hand.run(0, until=hand.PICTURE)
        hand.says("0 of 3 done")
        hand.boxes(1)
        page.locator(".class-label", has_text="villager").click()
        hand.insist(lambda: hand.draw(VILLAGER), lambda: hand.count() == 2, "a box around the villager")
        page.mouse.click(*hand.at(600, 20))  # a slip of the hand
        page.screenshot(path=pictures_out / "labels-1-drawn.png")
        hand.click("Submit")
        hand.says("1 of 3 done")
        hand.click("Skip")
        hand.says("match1_2.png")
        hand.boxes(0)
        hand.click("Submit")
        hand.says("match1_1.png")
        hand.click("Back")
        hand.says("match1_2.png")
        hand.click("Submit")
        hand.says("2 of 3 done")
        hand.restart_kernel()
        page.evaluate("document.querySelectorAll('.jp-OutputArea-output').forEach(output => { output.dataset.old = 'yes' })")
        hand.run(0, until=".jp-OutputArea-output:not([data-old]) >> text=2 of 3 done")
        hand.boxes(1)
        page.locator(".wrapper").press("Enter")
        hand.says("All 3 pictures are done.")
        page.screenshot(path=pictures_out / "labels-2-done.png")
    first, second, third = LabelDesk(read_set(tmp_path / "nb/batch"), draft).finish().images
    assert [(b.class_name, b.score) for b in first.boxes] == [("sheep", 0.62), ("villager", None)] and [b.score for b in second.boxes] == [0.62]
    assert max(abs(a - b) for a, b in zip(first.boxes[1].box, VILLAGER)) <= 2 and third.verified_empty and not wrong, wrong
