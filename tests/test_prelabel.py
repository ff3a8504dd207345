"Guesses on screenshots: where they come from, that they are guesses, and that they never meet a person's work."
import numpy as np
import pytest
from PIL import Image

from warp.config import Config
from warp.data.store import Store, Word
from warp.demo import Truth, World
from warp.desk.names import Suggester
from warp.desk.page import png_bytes, sit_down
from warp.desk.prelabel import find_boxes, is_untouched, own_anchors, places_of_last, prelabel
from warp.errors import ImageError
from warp.records import SCREEN_TYPES, Box, slot_named

NO_ANCHORS = {"entries": []}


@pytest.fixture(scope="module")
def world() -> World: return World.make()


@pytest.fixture(scope="module")
def practice(tmp_path_factory): return sit_down("practice", Config.load(home=tmp_path_factory.mktemp("home")))


@pytest.fixture(scope="module")
def suggester(practice) -> Suggester: return Suggester.open(practice.config, practice.store, practice.vocabulary)


@pytest.fixture
def store(tmp_path, practice) -> Store: return Store(tmp_path / "training_data", practice.vocabulary)


def shown(world: World, kind: str) -> list[Truth]: return world.shot(world.newcomer, kind).truth()
def icons(truth: list[Truth]) -> list[Truth]: return [t for t in truth if slot_named(t.slot).kind == "icon"]


def add(store: Store, world: World, kind: str, shift: tuple[int, int] = (0, 0)) -> str:
    "A screenshot of the newcomer, its panel moved, with its type."
    img = world.shot(world.newcomer, kind).render().image
    moved = img.copy()
    if any(shift): moved.paste(img, shift)
    sha = store.add(png_bytes(moved), f"{kind} {shift}.png")
    store.set_screen_type(sha, kind)
    return sha


def confirm(store: Store, sha: str, truth: list[Truth], shift: tuple[int, int] = (0, 0)) -> None:
    store.confirm_all([(sha, Word(t.bbox._replace(x=t.bbox.x + shift[0], y=t.bbox.y + shift[1]), t.slot, t.name, t.slot_index)) for t in truth])


@pytest.mark.parametrize("kind", SCREEN_TYPES)
def test_every_place_of_every_screen(practice, suggester, world, kind):
    sha = next(sha for sha, record in practice.store.screenshots().items() if record["screen_type"] == kind)
    guesses = prelabel(practice.store, sha, practice.anchors, suggester)
    truth = {(t.slot, t.slot_index): t for t in icons(shown(world, kind))}
    assert {(g.slot, g.slot_index) for g in guesses} == truth.keys()
    assert all(g.bbox.iou(truth[g.slot, g.slot_index].bbox) > 0.75 for g in guesses)
    right = sum(g.ml_name == truth[g.slot, g.slot_index].name for g in guesses)
    assert right >= 0.9 * len(guesses), "templates do not know empty and locked places, and hardly ever err on others"
    assert {(g.state, g.name, g.crop_sha256) for g in guesses} == {("candidate", "", "")} and all(0 < g.ml_score <= 1 for g in guesses)
    assert not list((practice.store.folder / "crops").iterdir()), "a guess has no crop"
    assert practice.store.progress().boxes == 0


def test_only_where_nobody_was(store, practice, world):
    def look(sha: str) -> list: return prelabel(Store(store.folder, practice.vocabulary), sha, practice.anchors)  # as another evening
    typeless = store.add(png_bytes(world.shot(world.newcomer, "SPECIALIZATIONS").render().image), "typeless.png")
    assert look(typeless) == []
    store.set_screen_type(typeless, "SPECIALIZATIONS")
    store.set_done(typeless)
    assert look(typeless) == []
    store.set_nothing_here(typeless)
    assert look(typeless) == []
    store.set_nothing_here(typeless, False)
    drawn = Box(5, 5, 40, 50)
    store.draw(typeless, [Word(drawn, "Primary Specialization", "")])
    assert look(typeless) == []
    store.draw(typeless, [])
    guesses = look(typeless)
    assert len(guesses) == 2 and look(typeless) == []
    store.skip(typeless, guesses[0].id)
    store.confirm(typeless, guesses[1].bbox, guesses[1].slot, "Pilot", replaces=guesses[1].id)
    assert look(typeless) == [] and {a.state for _, a in store.annotations()} == {"skipped", "confirmed"}


def test_a_search_that_found_nothing_is_not_repeated(store, practice, monkeypatch):
    sha = store.add(png_bytes(Image.new("RGB", (1280, 720), (9, 9, 9))), "dark.png")
    store.set_screen_type(sha, "BOFFS")
    assert prelabel(store, sha, practice.anchors) == [] and is_untouched(store.screenshots()[sha])
    monkeypatch.setattr("warp.desk.prelabel.find_boxes", lambda *_: pytest.fail("looked again"))
    assert prelabel(store, sha, practice.anchors) == []


def test_ones_own_map_finds_the_panel_elsewhere(store, world):
    assert own_anchors(store)["entries"] == []
    first = add(store, world, "GROUND_EQ")
    assert find_boxes(store, first, NO_ANCHORS) == []
    truth = shown(world, "GROUND_EQ")
    confirm(store, first, truth)
    assert [entry["type"] for entry in own_anchors(store)["entries"]] == ["GROUND_EQ"]
    second = add(store, world, "GROUND_EQ", (-80, -30))
    guesses = prelabel(store, second, NO_ANCHORS)
    assert {(g.slot, g.slot_index) for g in guesses} == {(t.slot, t.slot_index) for t in truth}
    there = {(t.slot, t.slot_index): t.bbox._replace(x=t.bbox.x - 80, y=t.bbox.y - 30) for t in truth}
    assert all(g.bbox.iou(there[g.slot, g.slot_index]) > 0.75 for g in guesses)


def test_the_last_screenshot_lends_its_boxes_texts_included(store, world):
    truth = shown(world, "SPACE_EQ")
    first, second = add(store, world, "SPACE_EQ"), add(store, world, "SPACE_EQ", (0, 1))
    confirm(store, first, truth)
    places = places_of_last(store, second, store.image(second))
    assert {(p.slot, p.bbox) for p in places} == {(t.slot, t.bbox) for t in truth}
    store.propose(second, [Word(p.bbox, p.slot, slot_index=p.slot_index, ml_name="U.S.S. Calypso" if p.slot.startswith("Ship") else "") for p in places])
    assert "Calypso" not in (store.folder / "annotations.journal.jsonl").read_text(encoding="utf-8")
    third = add(store, world, "SPACE_EQ", (150, 90))  # the panel is somewhere else: the boxes lie on nothing
    assert places_of_last(store, third, store.image(third)) == []
    fourth = store.add(png_bytes(store.image(first).resize((1600, 900))), "small.png")
    store.set_screen_type(fourth, "SPACE_EQ")
    assert places_of_last(store, fourth, store.image(fourth)) == [], "another size"


def test_boxes_without_names(store, practice, world):
    sha = add(store, world, "BOFFS")
    guesses = prelabel(store, sha, practice.anchors)
    assert guesses and {g.ml_name for g in guesses} == {""}
    assert not [1 for i, a in enumerate(guesses) for b in guesses[:i] if a.bbox.iou(b.bbox) > 0.5], "one slot for each place"


def test_a_matcher_that_knows_nothing(store, practice, world):
    def clueless(crops: np.ndarray, slots: list[str], most: int = 5) -> list[list]: return [[] for _ in slots]
    sha = add(store, world, "TRAITS")
    guesses = prelabel(store, sha, practice.anchors, clueless)
    assert len(guesses) == len(icons(shown(world, "TRAITS"))) and {g.ml_name for g in guesses} == {""}


def test_a_picture_that_is_gone(store, tmp_path, world):
    file = tmp_path / "shot.png"
    file.write_bytes(png_bytes(Image.new("RGB", (640, 360))))
    sha = store.add(file)
    store.set_screen_type(sha, "TRAITS")
    for copy in [file, *(store.folder / "screen_types").rglob("*.png")]: copy.unlink()
    with pytest.raises(ImageError, match="add the file again"): prelabel(Store(store.folder), sha, NO_ANCHORS)
