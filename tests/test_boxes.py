"""Anchors and boxes: what the lessons of 24 and 43 do not show."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from warp.demo import Player, World
from warp.errors import InputError, SlotError
from warp.knowledge.anchors import build_anchors, check_grid, fewest_slots, fit_places, grid_file_name, grid_of, panels_of, places_of, runs_of, slot_entry
from warp.knowledge.vocabulary import Vocabulary
from warp.read.boxes import ALL_PANELS, find_places, lanes_of, propose, register, type_of
from warp.read.build import Reader
from warp.read.frames import Scene, outline_map, sums_of
from warp.read.text import Line, read_lines
from warp.records import SCREEN_TYPES, SLOTS, Box, Match

NOW = "2026-11-20T10:00:00Z"


def record_of(world, shot, player):
    notes = [{"slot": t.slot, "slot_index": t.slot_index, "state": "confirmed", "bbox": list(t.bbox)} for t in world.labels(player, shot)]
    return {"width": 1920, "height": 1080, "screen_type": shot.screen_type, "annotations": notes}


@pytest.fixture(scope="module")
def world():
    return World.make()


@pytest.fixture(scope="module")
def grids(world):
    return {p.install_id: [g for shot in world.screenshots(p) if (g := grid_of(record_of(world, shot, p)))] for p in world.players}


@pytest.fixture(scope="module")
def anchors(grids):
    return build_anchors(grids, NOW)


def record(boxes, screen_type="SPECIALIZATIONS", size=(1920, 1080)):
    notes = [{"slot": slot, "slot_index": i, "state": state, "bbox": list(box)} for slot, i, state, box in boxes]
    return {"width": size[0], "height": size[1], "screen_type": screen_type, "annotations": notes}


# grids

def test_only_confirmed_icon_boxes_become_a_grid():
    two = [("Primary Specialization", 0, "confirmed", (10, 10, 46, 56)), ("Secondary Specialization", 0, "confirmed", (10, 90, 46, 56))]
    assert grid_of(record(two))["slots"].keys() == {"Primary Specialization", "Secondary Specialization"}
    assert grid_of(record([two[0], (*two[1][:2], "pending", two[1][3])])) is None
    assert grid_of(record(two, screen_type="")) is None
    assert grid_of(record([*two, ("Ship Name", 0, "confirmed", (0, 0, 90, 20))]))["slots"].keys() == {"Primary Specialization", "Secondary Specialization"}
    assert fewest_slots("SPECIALIZATIONS") == 2 and fewest_slots("SPACE_EQ") == 3


def test_slots_of_another_screen_are_left_out():
    boxes = [(slot, 0, "confirmed", (10, 80 * i, 46, 56)) for i, slot in enumerate(("Kit", "Body Armor", "EV Suit", "Deflector"))]
    assert "Deflector" not in grid_of(record(boxes, "GROUND_EQ"))["slots"]


def test_boxes_without_indices_are_a_row_all_the_same():
    boxes = [("Kit Modules", 0, "confirmed", (100 + 48 * i, 10, 46, 56)) for i in (2, 0, 1)]
    boxes += [(slot, 0, "confirmed", (100, 80 * (i + 1), 46, 56)) for i, slot in enumerate(("Kit", "Body Armor"))]
    entry = grid_of(record(boxes, "GROUND_EQ"))["slots"]["Kit Modules"]
    assert entry["count"] == 3 and abs(entry["step_rel"] * 1920 - 48) < 0.1 and abs(entry["x0_rel"] * 1920 - 100) < 0.1


def test_a_grid_unrolls_into_the_boxes_it_was_made_of():
    rng = np.random.default_rng(3)
    for _ in range(20):
        x, y, n, step = rng.integers(0, 800), rng.integers(0, 800), int(rng.integers(1, 7)), int(rng.integers(47, 70))
        boxes = [Box(int(x + step * i), int(y), 46, 56) for i in range(n)]
        places = places_of({"Devices": slot_entry(boxes, 1920, 1080)}, 1920, 1080)
        assert [p.box for p in places] == boxes


def test_wrapping_rows_and_holes_are_runs():
    boxes = [Box(10 + 50 * i, 10, 46, 56) for i in range(4)] + [Box(10 + 50 * i, 80, 46, 56) for i in range(2)] + [Box(400, 80, 46, 56)]
    assert [len(run) for run in runs_of(boxes)] == [4, 2, 1]
    entry = slot_entry(boxes, 1000, 500)
    assert "x0_rel" not in entry and [run["count"] for run in entry["runs"]] == [4, 2, 1] and len({run["y_rel"] for run in entry["runs"]}) == 2


def test_equal_grids_share_a_file_name_whatever_their_order(grids):
    grid = next(iter(grids.values()))[0]
    turned = json.loads(json.dumps(dict(reversed(grid.items()))))
    assert grid_file_name(grid) == grid_file_name(turned) and grid_file_name(grid).startswith("anchors_grid_") and len(grid_file_name(grid)) == 26


@pytest.mark.parametrize("change", [
    {"build_type": "POCKETS"}, {"build_type": ["SPACE_EQ"]}, {"resolution": "1920"}, {"resolution": "1920x000"}, {"resolution": None}, {"slots": {}}, {"slots": None}, {"slots": {"Kit": 5, "Body Armor": 1, "EV Suit": 2}},
    {"slots": {s: {"x0_rel": 0.1, "y_rel": 2, "w_rel": 0.1, "h_rel": 0.1, "step_rel": 0, "count": 1} for s in ("Kit", "Body Armor", "EV Suit")}},
    {"slots": {s: {"x0_rel": 0.1, "y_rel": 0.2, "w_rel": 0.1, "h_rel": 0.1, "step_rel": 0, "count": 10**9} for s in ("Kit", "Body Armor", "EV Suit")}},
    {"slots": {s: {"x0_rel": 0.1, "y_rel": 0.2, "w_rel": 0.1, "h_rel": 0.1, "step_rel": 0, "count": "many"} for s in ("Kit", "Body Armor", "EV Suit")}}])
def test_foreign_grids_are_checked(grids, change):
    grid = next(g for g in next(iter(grids.values())) if g["build_type"] == "GROUND_EQ")
    assert check_grid(grid) == grid
    with pytest.raises(InputError): check_grid(grid | change)
    assert build_anchors({"a": [grid | change]}, NOW)["entries"] == []


# anchors

def test_a_mixed_grid_teaches_its_panels(grids):
    mixed = [g for gs in grids.values() for g in gs if g["build_type"] == "SPACE_MIXED"]
    kinds = {panel["build_type"] for grid in mixed for panel in panels_of(grid)}
    assert "SPACE_EQ" in kinds and not any(kind.endswith("MIXED") for kind in kinds)


def test_one_install_weighs_one_whatever_it_sends(grids, anchors):
    noisy = min(grids)
    again = build_anchors(grids | {noisy: grids[noisy] * 30}, NOW)
    assert again["entries"] == anchors["entries"]


def test_one_contributor_is_tentative_truth(grids):
    install = min(grids)
    alone = build_anchors({install: grids[install]}, NOW)
    assert alone["n_contributors"] == 1 and {e["type"] for e in alone["entries"]} == {"SPACE_EQ", "GROUND_EQ", "TRAITS", "BOFFS", "SPECIALIZATIONS"}


def test_all_entries_are_written_at_one_interface_scale(anchors):
    widths = {e["type"]: np.median([s["w_rel"] for s in e["slots"].values()]) * 1920 for e in anchors["entries"]}
    assert all(abs(widths[kind] / widths["SPACE_EQ"] - 1) < 0.03 for kind in ("GROUND_EQ", "TRAITS", "SPECIALIZATIONS"))
    assert abs(widths["BOFFS"] / widths["SPACE_EQ"] - 29 / 46) < 0.03


def test_the_layout_is_the_panels_own(world, anchors):
    entry = next(e for e in anchors["entries"] if e["type"] == "GROUND_EQ")
    shot = world.shot(world.newcomer, "GROUND_EQ")
    ours, true = places_of(entry["slots"], 1920, 1080), [t for t in shot.truth() if SLOTS[t.slot].kind == "icon"]
    places = [ours[0]._replace(slot=t.slot, slot_index=t.slot_index, x=t.bbox.x, y=t.bbox.y, width=t.bbox.width, height=t.bbox.height) for t in true]
    fit = fit_places(ours, places)
    there = {(p.slot, p.slot_index): p for p in places}
    assert all(p.moved(*fit[:3]).box.iou(there[p.slot, p.slot_index].box) > 0.9 for p in ours if (p.slot, p.slot_index) in there)


def test_fits_want_two_shared_places(anchors):
    places = places_of(anchors["entries"][0]["slots"], 1920, 1080)
    assert fit_places(places[:1], places) is None and fit_places(places, places).scale == pytest.approx(1)


# boxes

@pytest.mark.parametrize("kind", ["SPACE_EQ", "TRAITS", "BOFFS", "GROUND_MIXED"])
def test_the_newcomers_places_are_found(world, anchors, kind):
    shot = world.shot(world.newcomer, kind)
    said, true = propose(shot.render().image, kind, anchors), [t for t in shot.truth() if SLOTS[t.slot].kind == "icon"]
    overlap = [max((p.bbox.iou(t.bbox) for p in said if (p.slot, p.slot_index) == (t.slot, t.slot_index)), default=0) for t in true]
    assert np.mean([v >= 0.7 for v in overlap]) >= 0.99 and np.mean(overlap) >= 0.85
    assert len({p.bbox for p in said if max(p.bbox.iou(t.bbox) for t in true) < 0.5}) <= 1
    assert len({(p.slot, p.slot_index) for p in said}) == len(said)


def test_a_cropped_panel_is_found_too(world, anchors):
    shot = world.shot(world.newcomer, "GROUND_EQ")
    img, true = shot.render().image, [t for t in shot.truth() if SLOTS[t.slot].kind == "icon"]
    left, top = min(t.bbox.x for t in true) - 20, min(t.bbox.y for t in true) - 20
    cut = img.crop((left, top, max(t.bbox.right for t in true) + 60, max(t.bbox.bottom for t in true) + 20))
    said = {(p.slot, p.slot_index): p.bbox for p in propose(cut, "GROUND_EQ", anchors)}
    assert np.mean([said.get((t.slot, t.slot_index), Box(0, 0, 1, 1)).iou(t.bbox._replace(x=t.bbox.x - left, y=t.bbox.y - top)) > 0.7 for t in true]) > 0.9


@pytest.mark.parametrize("size", [(1920, 1080), (300, 200), (8, 8), (2000, 30)])
def test_pictures_without_a_panel_give_nothing(anchors, size):
    rng = np.random.default_rng(4)
    flat, noise = Image.new("RGB", size, "#203040"), Image.fromarray(rng.integers(0, 255, (size[1], size[0], 3), dtype=np.uint8))
    assert propose(flat, "SPACE_EQ", anchors) == [] and propose(noise, "SPACE_EQ", anchors) == []


def test_no_anchors_no_boxes_and_unknown_types_are_refused(anchors):
    img = Image.new("RGB", (640, 360))
    assert propose(img, "TRAITS", {}) == [] and propose(img, "TRAITS", {"entries": []}) == []
    with pytest.raises(SlotError): propose(img, "UNKNOWN", anchors)


def test_older_entries_without_our_fields_work(world, anchors):
    entry = json.loads(json.dumps(next(e for e in anchors["entries"] if e["type"] == "GROUND_EQ")))
    for slot in entry["slots"].values(): slot.pop("share"), slot.pop("elsewhere", None)
    panel = register(Scene(world.shot(world.newcomer, "GROUND_EQ").render().image), lanes_of(entry))
    assert panel.support > 0.7


# a large interface, and the arithmetic of the search

def test_a_panel_half_as_large_again_is_found(world, anchors):
    player = Player("stranger", 108, 1.489, 0.985, 0, Image.Resampling.BOX, 0, 0.999, 0.0)
    for kind in ("GROUND_EQ", "SPACE_EQ"):
        shot = world.shot(player, kind)
        said, true = propose(shot.render().image, kind, anchors), [t for t in shot.truth() if SLOTS[t.slot].kind == "icon"]
        met = [max((p.bbox.iou(t.bbox) for p in said if (p.slot, p.slot_index) == (t.slot, t.slot_index)), default=0) for t in true]
        assert min(met) > 0.7, (kind, met)


def test_a_coarse_map_holds_the_best_of_nine_neighbours():
    grey = np.random.default_rng(4).integers(0, 255, (61, 70), dtype=np.uint8)
    fine, coarse = outline_map(grey, 12, 15), outline_map(grey, 12, 15, coarse=True)
    assert coarse.shape == ((fine.shape[0] - 1) // 2, (fine.shape[1] - 1) // 2)
    for y, x in ((0, 0), (7, 11), (coarse.shape[0] - 1, coarse.shape[1] - 1)):
        assert coarse[y, x] == pytest.approx(fine[2 * y:2 * y + 3, 2 * x:2 * x + 3].max(), abs=1e-6)


def test_a_whole_frame_lights_its_own_corner():
    grey = np.zeros((80, 90), np.uint8)
    grey[20:35, 30:42] = 255
    lit = outline_map(grey, 12, 15)
    assert np.unravel_index(lit.argmax(), lit.shape) == (20, 30) and lit.max() == pytest.approx(1.0)


def test_sums_may_wrap_around():
    stripes = np.zeros((1500, 8), np.uint8)
    stripes[:, ::2] = 200
    faint, sums = sums_of(stripes, 20.0, 100.0)
    assert int((faint.upright[1400] - faint.upright[1300])[3]) == 100 * 20
    assert 1500 * 100 > np.iinfo(sums.upright.dtype).max  # so it did wrap
    assert int((sums.upright[1400] - sums.upright[1300])[3]) == 100 * 100


# where the screen model knows little

@pytest.mark.parametrize("kind, belief", [("SPACE_MIXED", {"GROUND_MIXED": .5, "SPACE_MIXED": .3, "TRAITS": .2}), ("GROUND_EQ", {"SPACE_EQ": .4, "GROUND_EQ": .2, "BOFFS": .2}), ("SPACE_EQ", {"GROUND_EQ": .3, "SPACE_EQ": .1})])
def test_of_the_two_kinds_of_equipment_the_one_that_is_there_is_found_whatever_the_model_prefers(world, anchors, kind, belief):
    shot, screen = world.shot(world.newcomer, kind), Match(None, max(belief.values()), "screens", tuple(belief.items()))
    found = find_places(Scene(shot.render().image), ALL_PANELS, anchors)
    assert set(found) == {spot.panel for spot in shot.spots} and type_of(found, screen) == kind


def at_a_loss(anchors, lines, elsewhere=("BOFFS", "SPECIALIZATIONS"), name=None) -> Reader:
    "A reader whose screen model believes in two panels, neither enough to name it, and whose matcher has one answer for everything."
    screen = Match(None, .45, "screens", tuple((kind, .45 if kind in elsewhere else .001) for kind in SCREEN_TYPES))
    return Reader(lambda img: screen, lambda crops, allowed: [Match(name, 0.9, "model", ((name, 0.9),) if name else ())] * len(crops), anchors, Vocabulary.load(), lines=lines)


def test_labels_read_off_the_picture_say_what_the_model_cannot(world, anchors):
    pytest.importorskip("rapidocr")
    shot = replace(world.shot(world.players[4], "TRAITS"), language="de")
    spot = shot.spots[0]
    img = shot.render().image.crop((max(0, spot.x - 60), max(0, spot.y - 60), spot.x + spot.width + 60, spot.y + spot.height + 60))
    blind, reading = (at_a_loss(anchors, lines).read(img) for lines in (None, read_lines))
    assert blind.shots[0].screen.by == "boxes" and not any(p.name for p in blind.slots)
    assert (reading.shots[0].screen.name, reading.shots[0].screen.by) == ("TRAITS", "labels") and len(reading.slots) > 30


def test_words_are_asked_for_only_where_nothing_else_is_known(world, anchors):
    asked = []
    def lines(img, piece):
        asked.append(piece)
        return [Line("LFG anyone, devices", .9, Box(20, 900, 200, 14)), Line("Devices", .9, Box(20, 930, 60, 14)), Line("U.S.S. Traits", .9, Box(20, 960, 90, 14))]
    img = world.shot(world.newcomer, "TRAITS").render().image
    lost = at_a_loss(anchors, lines).read(img)
    assert asked == [Box(0, 0, *img.size)] and lost.shots[0].screen.by == "boxes" and "U.S.S." not in repr(lost), "one label proves nothing"
    asked.clear()
    assert at_a_loss(anchors, lines).read(img, "SPECIALIZATIONS").shots[0].screen.by == "person" and not asked
    mistaken = at_a_loss(anchors, lines, name="Accurate")
    mistaken.screens = lambda img: Match("SPECIALIZATIONS", 1.0, "screens", (("SPECIALIZATIONS", 1.0),))
    said = mistaken.read(img).shots[0].screen
    assert (said.name, said.by) == ("TRAITS", "boxes") and not asked, "a panel that holds things proves the surest model wrong"
    assert len(at_a_loss(anchors, lines, elsewhere=("TRAITS", "BOFFS"), name="Accurate").read(img).slots) > 30 and not asked, "what lies there makes sense"
    def broken(img, piece): raise RuntimeError("the network of letters is ill")
    assert at_a_loss(anchors, broken).read(img).shots[0].screen.by == "boxes"
