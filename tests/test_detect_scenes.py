"From a game's files to a set of scenes: sprites are whose they say, scenes keep their types' rules, labels are what is seen."
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from made_game import make_game
from PIL import Image, ImageDraw

from warp.detect.canvas import Canvas, labels_of
from warp.detect.labels import box_sizes, read_set
from warp.detect.profile import cvat_labels, load_profile
from warp.detect.scenes import make_kit, make_scenes, misplaced, plan_scenes, render, rerender
from warp.detect.sprites import declare_clean, extract_sprites, find_files, make_backgrounds, matches, read_backgrounds, read_sprites
from warp.errors import ImageError, InputError

AOE2 = load_profile("aoe2")


@pytest.fixture(scope="module")
def game(tmp_path_factory) -> Path:
    return make_game(tmp_path_factory.mktemp("game"), AOE2)


@pytest.fixture(scope="module")
def kit(game, tmp_path_factory):
    "Sprites of all sixty classes but the farm, two sorts of ground."
    home = tmp_path_factory.mktemp("line")
    grounds = [make_backgrounds(game / "terrain", home / sort, 2, sort == "water", (640, 360)) for sort in ("land", "water")]
    return make_kit(AOE2, extract_sprites(AOE2, game / "graphics", home / "sprites"), grounds)


@pytest.fixture(scope="module")
def made(kit, tmp_path_factory):
    return make_scenes(kit, tmp_path_factory.mktemp("scenes") / "set", 16, seed=5, size=(640, 360))


def pond(folder: Path, **change: object):
    "A profile of two classes on one sort of ground; `change` replaces parts of it."
    data = {"name": "pond", "about": "a pond", "input_size": [320, 192], "box_convention": "alpha", "split_key": "session", "reference_width": 400, "sprites": {"source": "images"}, "zoom": [1, 1],
            "kinds": {"thing": {"depth": 1, "apart": 0}}, "scenes": [{"name": "shore", "share": 1, "backgrounds": "land"}],
            "classes": [{"id": 0, "name": "duck", "kind": "thing", "count": [1, 1], "sprites": ["duck"]}, {"id": 1, "name": "pike", "kind": "thing", "count": [1, 1], "sprites": ["pike"]}]}
    (folder / "pond.yaml").write_text(yaml.safe_dump({**data, **change}), encoding="utf-8")
    return load_profile(folder / "pond.yaml")


def halves(folder: Path) -> Path:
    "Two things with wide margins, red on their left and blue on their right; and plain green ground."
    for sub in ("game", "land"): (folder / sub).mkdir(exist_ok=True)
    for name, (w, h) in {"duck": (40, 20), "pike": (20, 40)}.items():
        img = Image.new("RGBA", (120, 100))
        ImageDraw.Draw(img).rectangle((30, 30, 29 + w // 2, 29 + h), fill=(230, 0, 0)); ImageDraw.Draw(img).rectangle((30 + w // 2, 30, 29 + w, 29 + h), fill=(0, 0, 230))
        img.save(folder / f"game/{name}.png")
    Image.new("RGB", (400, 240), (0, 120, 0)).save(folder / "land/green.png")
    return folder


def pond_kit(tmp_path: Path, **change: object):
    profile = pond(halves(tmp_path), **change)
    return make_kit(profile, extract_sprites(profile, tmp_path / "game", tmp_path / "sprites"), [declare_clean(tmp_path / "land", "land")])


def test_pain_2_a_pattern_catches_what_it_means_and_no_more(game, tmp_path):
    assert not any(matches(p, "u_inf_karambitwarrior_idleA_x1") for p in AOE2.by_name["ram"].sprites)
    assert not any(matches(p, name) for p in AOE2.by_name["relic"].sprites for name in ("u_relic_cart_idleA_x1", "n_relic_cart_x1"))
    assert not any(matches(p, "b_west_town_center_age2_destruction_x1") for p in AOE2.by_name["town_center"].sprites)
    assert any(matches(p, "b_west_town_center_age1_x1") for p in AOE2.by_name["town_center"].sprites)
    (tmp_path / "game").mkdir()
    shutil.copytree(game / "graphics", tmp_path / "game/graphics")
    claimed = replace(AOE2, classes=tuple(replace(c, sprites=(*c.sprites, "u_*_karambitwarrior_idle*_x1")) if c.name == "ram" else c for c in AOE2.classes))
    (tmp_path / "game/graphics/u_inf_karambitwarrior_idleA_x1.sld").write_bytes((game / "graphics/n_Agold_x1.sld").read_bytes() if (game / "graphics/n_Agold_x1.sld").exists() else b"SLDX")
    with pytest.raises(InputError, match="claimed by ram and unique_infantry"): find_files(claimed, tmp_path / "game")
    (tmp_path / "game/graphics/u_cav_knight_idleA_x1.sld").unlink()
    (tmp_path / "game/graphics/u_rel_monk_idleA_x1.sld").unlink()
    with pytest.raises(InputError, match="(?s)knight_line: no file.*monk: no file"): find_files(AOE2, tmp_path / "game")
    assert "monk" not in find_files(AOE2, tmp_path / "game", missing_ok=("monk", "knight_line"))


def test_pain_2_there_is_a_contact_sheet_for_every_class(kit):
    assert {p.stem for p in (kit.sprites.folder / "sheets").iterdir()} == {c.name for c in AOE2.classes if not c.only_real}
    assert len(kit.sprites.by_class["sheep"]) == 2  # two frames of one file
    assert {s.player for s in kit.sprites.by_class["knight_line"]} == {"blue", "red"} and {s.player for s in kit.sprites.by_class["sheep"]} == {""}


def test_pain_3_a_sprite_says_whose_it_is_and_scenes_remember_which_they_used(kit, made, tmp_path):
    shutil.copytree(kit.sprites.folder, tmp_path / "sprites")
    (tmp_path / "sprites/stable/sheep_01.png").write_bytes((tmp_path / "sprites" / kit.sprites.by_class["sheep"][0].file).read_bytes())
    with pytest.raises(InputError, match="sheep_01.png is in no manifest"): read_sprites(tmp_path / "sprites")
    manifest = json.loads((made.folder / "manifest.json").read_text(encoding="utf-8"))
    known = manifest["made_from"]["sprite_digests"]
    assert known == {s.file: s.sha256 for s in kit.sprites.items} and all(set(e["sprites"]) <= known.keys() for e in manifest["entries"])
    assert all(e["sprites"] for e in manifest["entries"] if not e["empty"])
    old = replace(kit.sprites, digest="another state")
    with pytest.raises(InputError, match="another state of profile"): make_kit(AOE2, old, kit.grounds.values())


def test_pain_4_folders_are_absolute_and_told(kit, made, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert made.folder.is_absolute() and str(made.folder) in str(made)
    with pytest.raises(InputError, match="never mixed"): make_scenes(kit, made.folder, 1)
    with pytest.raises(InputError, match=str(tmp_path)): extract_sprites(AOE2, "game_graphics", "sprites")


def test_pain_5_a_class_more_is_one_entry_more(tmp_path):
    three = [{"id": i, "name": n, "kind": "thing", "count": [1, 1], "sprites": [n]} for i, n in enumerate(("duck", "pike", "frog"))]
    halves(tmp_path)
    Image.new("RGBA", (24, 24), (200, 200, 0, 255)).save(tmp_path / "game/frog.png")
    kit = pond_kit(tmp_path, classes=three)
    summary = make_scenes(kit, tmp_path / "set", 2, size=(400, 240), workers=1)
    assert summary.labels.counts["frog"] and "frog" in cvat_labels(kit.profile) and (tmp_path / "set/classes.txt").read_text(encoding="utf-8").split()[2] == "frog"


def test_pain_6_one_zoom_holds_for_a_whole_scene(kit):
    "Within a scene things keep their sprites' proportions; between scenes the zoom differs, and one in four is far away."
    sizes = {}
    for s in kit.sprites.items: sizes.setdefault(s.class_name, []).append(s.size)
    plan = plan_scenes(kit, 200, 5, (640, 360))
    assert 0.15 < sum(e["zoom"] < 0.31 for e in plan) / 200 < 0.35
    for entry in [e for e in plan if not e["empty"]][:3]:
        scene = render(entry, kit)
        whole = [b for b in scene.boxes if b.box.x > 0 and b.box.y > 0 and b.box.right < 640 and b.box.bottom < 360 and b.box.width > 8]
        ratios = [min(abs(b.box.width / w - entry["zoom"] / 2) for w, _ in sizes[b.class_name]) / (entry["zoom"] / 2) for b in whole]
        assert whole and max(ratios) < 0.13  # 5 % of its own, and half a pixel


def test_pain_7_what_is_seen_is_counted_in_pixels():
    canvas = Canvas(Image.new("RGB", (200, 100)))
    def block(w: int, h: int) -> Image.Image: return Image.new("RGBA", (w, h), (200, 200, 200, 255))
    canvas.put(block(100, 50), 20, 20, "house")
    for _ in range(2): canvas.put(block(45, 50), 20, 20, "tree")  # twice the same place: a union, not a sum
    assert canvas.seen()[1] == pytest.approx(0.55) and canvas.seen()[3] == 1 and canvas.seen()[2] == 0
    frame = Image.new("RGBA", (100, 50))
    ImageDraw.Draw(frame).rectangle((0, 0, 99, 49), outline=(255, 255, 255, 255))
    canvas.put(frame, 20, 20, "gate")  # its rectangle covers everything, its pixels nearly nothing
    assert canvas.seen()[1] > 0.5
    canvas.put(block(4, 4), 80, 40, "sheep")
    canvas.put(block(60, 60), 60, 20, "castle")  # the large one hides the small one
    assert canvas.seen()[5] == 0 and "sheep" not in {b.class_name for b in labels_of(canvas, AOE2)[0]}
    alone = Canvas(Image.new("RGB", (200, 100)))
    alone.put(block(100, 50), 20, 20, "house")
    alone.hide((0, 0, 200, 100), 0.47)  # half transparent fog is not a wall
    assert alone.seen()[1] == pytest.approx(0.53) and not labels_of(alone, AOE2)[0][0].ignore
    alone.hide((20, 20, 120, 70), 1)
    assert labels_of(alone, AOE2) == ((), 1)
    edge = Canvas(Image.new("RGB", (200, 100)))
    edge.put(block(100, 50), -75, 20, "house")
    (box,), _ = labels_of(edge, AOE2)
    assert edge.seen()[1] == pytest.approx(0.25) and box.ignore and tuple(box.box) == (0, 20, 25, 50)


def test_pain_8_boxes_are_as_large_as_what_is_drawn(tmp_path):
    kit = pond_kit(tmp_path)
    for entry in plan_scenes(kit, 6, 3, (400, 240), photometric=False):
        scene = render(entry, kit)
        pixels = np.asarray(scene.image).astype(int)
        for b in scene.boxes:
            rows, columns = np.nonzero(pixels[b.box.y:b.box.bottom, b.box.x:b.box.right, 1] < 60)
            assert (columns.min(), rows.min()) <= (1, 1) and columns.max() >= b.box.width - 2 and rows.max() >= b.box.height - 2
            assert b.box.width < 50  # of 120 with the margin


def test_pain_9_pictures_that_nobody_declared_clean_are_no_background(tmp_path):
    (tmp_path / "shots").mkdir()
    Image.new("RGB", (64, 64)).save(tmp_path / "shots/match.png")
    with pytest.raises(InputError, match="not declared clean"): read_backgrounds(tmp_path / "shots")
    declare_clean(tmp_path / "shots", "land")
    assert read_backgrounds(tmp_path / "shots").sort == "land"


def test_pain_10_empty_scenes_are_made_and_known_to_be_empty(tmp_path):
    kit = pond_kit(tmp_path, empty=0.5)
    labels = make_scenes(kit, tmp_path / "set", 11, size=(200, 120), workers=1).labels
    assert 0 < sum(i.verified_empty for i in labels.images) < 11 and all(i.verified_empty == (not i.boxes) for i in labels.images)


def test_pain_21_a_torn_file_is_told_by_its_name(game, tmp_path):
    shutil.copytree(game / "graphics", tmp_path / "graphics")
    torn = tmp_path / "graphics/a_herd_sheep_idleA_x1.sld"
    torn.write_bytes(torn.read_bytes()[:300])
    with pytest.raises(ImageError, match="a_herd_sheep_idleA_x1.sld is damaged"): extract_sprites(AOE2, tmp_path / "graphics", tmp_path / "out")
    assert not (tmp_path / "out/sprites.json").exists()


def test_pain_23_scene_types_gate_classes_and_effects(made):
    "Checked by what was written: water classes only on water and only there submerged; land classes never."
    labels, entries = read_set(made.folder, verify=True), json.loads((made.folder / "manifest.json").read_text(encoding="utf-8"))["entries"]
    water = set(AOE2.scene("water").classes)
    assert made.scenes == {"land": 14, "water": 2}
    for img, entry in zip(labels.images, entries, strict=True):
        assert {b.class_name for b in img.boxes} <= (water if img.scene == "water" else set(AOE2.names) - water)
        assert ("submerge" in entry["effects"]) == (img.scene == "water") and ("shadow" in entry["effects"]) == (img.scene == "land")
    assert misplaced(labels, entries, AOE2) == []
    flooded = [{**e, "scene": "water"} for e in entries]
    assert len(misplaced(labels, flooded, AOE2)) > 14
    assert sum(labels.counts.values()) + labels.ignored == sum(len(i.boxes) for i in labels.images) > 100


def test_pain_24_nothing_is_mirrored_or_turned(tmp_path):
    kit = pond_kit(tmp_path)
    for entry in plan_scenes(kit, 8, 9, (400, 240)):
        scene = render(entry, kit)
        pixels = np.asarray(scene.image).astype(int)
        for b in scene.boxes:
            part = pixels[b.box.y:b.box.bottom, b.box.x:b.box.right]
            if b.box.x == 0 or b.box.right == 400: continue  # cut by the edge
            red, blue = part[:, :b.box.width // 3, 0].mean(), part[:, -b.box.width // 3:, 2].mean()
            assert red > part[:, -b.box.width // 3:, 0].mean() + 40 and blue > part[:, :b.box.width // 3, 2].mean() + 40


def test_a_scene_is_drawn_again_alone_byte_for_byte(made):
    for name in (made.labels.images[3].file.name, made.labels.images[-1].file.name): assert rerender(made.folder, name) == (made.folder / "images" / name).read_bytes()
    with pytest.raises(InputError, match="has changed"): rerender(made.folder, made.labels.images[0].file.name, replace(AOE2, digest="new"))


def test_rare_classes_are_drawn_more_often(tmp_path):
    twice = [{"id": 0, "name": "duck", "kind": "thing", "count": [1, 1], "sprites": ["duck"]}, {"id": 1, "name": "pike", "kind": "thing", "count": [1, 1], "weight": 3, "sprites": ["pike"]}]
    counts = make_scenes(pond_kit(tmp_path, classes=twice), tmp_path / "set", 8, size=(400, 240), workers=1).labels.counts
    assert counts == {"duck": 8, "pike": 24}


def test_windows_and_their_places(tmp_path):
    "The sto profile without any picture of the game: places lie in windows, several processes draw what one draws."
    kit = make_kit(load_profile("sto"))
    summary = make_scenes(kit, tmp_path / "set", 14, seed=2, size=(960, 540), workers=2)
    assert set(summary.labels.counts) == {"slot"} and summary.labels.counts["slot"] > 150
    for img in summary.labels.images:
        for i, a in enumerate(img.boxes): assert not any(a.box.iou(b.box) > 0.1 for b in img.boxes[:i])
    assert rerender(summary.folder, summary.labels.images[5].file.name) == summary.labels.images[5].file.read_bytes()
    assert box_sizes(summary.labels, (960, 544))["slot"][0] > 8


def test_what_a_scene_lacks_is_told_before_anything_is_drawn(kit):
    with pytest.raises(InputError, match="stands on 'water'"): make_kit(AOE2, kit.sprites, [kit.grounds["land"]])
    with pytest.raises(InputError, match="needs sprites"): make_kit(AOE2, None, kit.grounds.values())
