"""Layouts of strangers: what a grid must be, who counts how often, and who may not be the measure of the others."""

import json

import numpy as np
import pytest

from warp.errors import InputError
from warp.knowledge.anchors import build_anchors, check_grid, fit_places, grid_of, places_of, usable_grids

NOW = "2026-11-20T10:00:00Z"
ROWS = {"Fore Weapons": (0, 4), "Deflector": (1, 1), "Devices": (3, 4), "Science Consoles": (4, 3), "Tactical Consoles": (5, 3)}


def grid(scale=1.0, left=300, top=150, size=(1920, 1080), seed=0, **rows):
    "A grid of the equipment panel as somebody with this interface scale confirms it; hands tremble by a pixel."
    rng, notes = np.random.default_rng(seed), []
    for slot, (row, count) in (ROWS | {name.replace("_", " "): where for name, where in rows.items()}).items():
        notes += [{"slot": slot, "slot_index": i, "state": "confirmed",
                   "bbox": [round(left + scale * 58 * i + rng.integers(-1, 2)), round(top + scale * 72 * row), round(scale * 46), round(scale * 56)]}
                  for i in range(count)]
    return grid_of({"width": size[0], "height": size[1], "screen_type": "SPACE_EQ", "annotations": notes})


def steps(anchors):
    "Distance from row to row, in widths of an icon: what the layout is, whatever its size."
    slots, (width, height) = anchors["entries"][0]["slots"], map(int, anchors["entries"][0]["res"].split("x"))
    places = {p.slot: p for p in places_of(slots, width, height) if p.slot_index == 0}
    return {slot: (places[slot].y - places["Deflector"].y) / places["Deflector"].width for slot in ROWS}


@pytest.mark.parametrize(("old", "new"), [("SPACE", "SPACE_EQ"), ("GROUND", "GROUND_EQ"), ("SPEC", "SPECIALIZATIONS"), ("SPACE_TRAITS", "TRAITS"),
                                          ("GROUND_BOFFS", "BOFFS")])
def test_types_of_older_clients_are_understood(old, new):
    entry = grid()["slots"]["Deflector"]
    slots = {"SPACE_EQ": ["Deflector", "Engines", "Shield"], "GROUND_EQ": ["Kit", "Body Armor", "EV Suit"],
             "SPECIALIZATIONS": ["Primary Specialization", "Secondary Specialization"],
             "TRAITS": ["Starship Traits", "Space Reputation", "Active Space Rep"], "BOFFS": ["Boff Science", "Boff Pilot", "Boff Command"]}[new]
    theirs = grid() | {"build_type": old, "slots": {slot: entry | {"y_rel": 0.1 + 0.1 * i} for i, slot in enumerate(slots)}}
    assert check_grid(theirs)["build_type"] == new and [e["type"] for e in build_anchors({"old": [theirs]}, NOW)["entries"]] == [new]


@pytest.mark.parametrize("change", [{"x0_rel": float("nan")}, {"x0_rel": float("inf")}, {"x0_rel": 10 ** 400}, {"y_rel": -0.1}, {"w_rel": 0}, {"h_rel": "1"},
                                    {"step_rel": None}, {"count": 0},
                                    {"count": True}, {"count": 1.0}, {"count": 10 ** 400}, {"runs": []}, {"runs": [3]}, {"runs": {"a": 1}},
                                    {"runs": [{"x0_rel": 0.1}] * 9}])
def test_impossible_entries_are_refused_with_a_reason_and_stop_nobody(change):
    bent = grid()
    bent["slots"]["Devices"] |= change
    with pytest.raises(InputError, match="Devices") as told: check_grid(bent)
    assert len(str(told.value)) < 500
    grids = {"bad": [bent, 7, None, [], {"build_type": {}}], "good": [grid()]}
    good, refused = usable_grids(grids)
    assert [w for w, _ in good] == ["good"] and [w for w, _ in refused] == ["bad"] * 5 and all(why for _, why in refused)
    assert build_anchors(grids, NOW) == build_anchors({"good": [grid()]}, NOW)


@pytest.mark.parametrize("resolution", ["1920x000", "000x1080", "99999x100", "100x99999", "1920", 1920, None, "1920x1080x3",
                                        "\u0661\u0669\u0662\u0660x\u0661\u0660\u0668\u0660"])
def test_screens_of_impossible_shape_are_refused(resolution):
    with pytest.raises(InputError, match="resolution"): check_grid(grid() | {"resolution": resolution})


def test_one_contributor_is_tentative_and_two_are_not():
    alone, two = (build_anchors({f"i{n}": [grid(seed=n)] for n in range(k)}, NOW)["entries"][0] for k in (1, 2))
    assert (alone["tentative"], alone["n_contributors"]) == (True, 1) and (two["tentative"], two["n_contributors"]) == (False, 2)
    assert build_anchors({"i0": [grid()] * 50}, NOW)["entries"][0]["tentative"]  # fifty grids of one install are one voice


def test_the_median_is_taken_per_install_first():
    honest = {f"i{n}": [grid(seed=n)] for n in range(2)}
    shifted = grid(seed=7, Science_Consoles=(4.5, 3))  # half a row lower
    usual, crowded = steps(build_anchors(honest, NOW)), steps(build_anchors(honest | {"loud": [shifted] * 60}, NOW))
    assert max(abs(usual[slot] - crowded[slot]) for slot in ROWS) < 0.05


def test_runs_are_kept():
    record = {"width": 1920, "height": 1080, "screen_type": "SPACE_EQ", "annotations": [
        {"slot": slot, "slot_index": i, "state": "confirmed", "bbox": [x, y, 46, 56]} for slot, i, x, y in
        [*(("Devices", i, 100 + 58 * i, 300) for i in range(3)), *(("Devices", 3 + i, 100 + 58 * i, 370) for i in range(2)), ("Deflector", 0, 100, 100),
         ("Shield", 0, 100, 170)]]}
    entry = build_anchors({w: [grid_of(record)] for w in ("ann", "ben", "cat")}, NOW)["entries"][0]["slots"]["Devices"]
    assert [run["count"] for run in entry["runs"]] == [3, 2] and "x0_rel" not in entry


def mirrored(places=20):
    bent = json.loads(json.dumps(grid(top=200)))
    for entry in bent["slots"].values(): entry |= {"x0_rel": 0.9 - entry["x0_rel"] - entry["step_rel"] * (entry["count"] - 1), "y_rel": 1 - entry["y_rel"]}
    bent["slots"]["Devices"] |= {"count": places, "step_rel": 0.03, "x0_rel": 0.1}
    return bent


@pytest.mark.parametrize("liars", [1, 2, 4])
def test_a_minority_of_fuller_grids_is_not_the_measure_of_the_others(liars):
    honest = {f"i{n}": [grid(1 + 0.1 * n, 100 + 40 * n, 60 + 20 * n, seed=n)] for n in range(5)}
    usual = steps(build_anchors(honest, NOW))
    attacked = build_anchors(honest | {f"liar{n}": [mirrored(18 + n)] * 9 for n in range(liars)}, NOW)
    assert attacked["entries"][0]["n_contributors"] >= 5 and max(abs(usual[slot] - steps(attacked)[slot]) for slot in ROWS) < 0.1


def test_honest_grids_of_other_ships_still_lie_on_the_frame():
    grids = {f"i{n}": [grid(1 + 0.05 * n, seed=n, Devices=(3, 2 + n % 4), Tactical_Consoles=(5, 2 + n % 3))] for n in range(12)}
    entry = build_anchors(grids, NOW)["entries"][0]
    layout = places_of(entry["slots"], *map(int, entry["res"].split("x")))
    fit = fit_places(layout, places_of(grid(seed=99)["slots"], 1920, 1080))
    assert entry["n_contributors"] == 12 and fit.shared == len({p[:2] for p in layout} & {p[:2] for p in places_of(grid()["slots"], 1920, 1080)})
