"Thirty made screenshots of five installs that nobody learned from: all screen types, interface scales 0.6 to 1.6, two languages. And what was tampered with is noticed."
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from taught import readers, world

from warp.config import Config, current_set
from warp.errors import ModelError, WarpError
from warp.hub import open_hub
from warp.match.model import load_gallery, save_gallery
from warp.read.build import Reader, merge_builds
from warp.records import SCREEN_TYPES, SLOTS, VIRTUAL_NAMES
from warp.release.update import update

LANGUAGES = ("en", "de")


@pytest.fixture(scope="module")
def reader(taught) -> Reader:
    reader = Reader.open(taught)
    reader.lines = None  # the ship's line has tests of its own, and takes a second
    return reader


def judged(reader: Reader, shot, told: bool = False) -> dict:
    "A screenshot, read and held against the truth, box by box; `told`: a person says what it shows."
    made = shot.render()
    build = reader.read(made.png_or_jpeg, shot.screen_type if told else None)
    icons = [t for t in made.truth if SLOTS[t.slot].kind == "icon"]
    named = [p for p in build.slots if p.name]
    def on(place): return [t for t in icons if t.bbox.iou(place.bbox) >= .5]
    return {"build": build, "type": build.shots[0].screen.name == shot.screen_type, "filled": sum(t.name not in VIRTUAL_NAMES for t in icons),
            "right": sum(any(t.slot == p.slot and t.name == p.name for t in on(p)) for p in named),
            "wrong": sum(bool(on(p)) and not any(t.name in (p.name, *VIRTUAL_NAMES) for t in on(p)) for p in named),
            "empty named": sum(any(t.name in VIRTUAL_NAMES for t in on(p)) for p in named), "invented": sum(not on(p) for p in named), "doubts": build.doubts}


@pytest.fixture(scope="module")
def golden(reader) -> dict:
    "(player, screen type) -> how it was read. Every second install plays in German and says what its screenshots show; of the others' the taught network knows little, so that what fits must tell."
    asked = [(n, kind) for n in range(len(readers())) for i, kind in enumerate(SCREEN_TYPES) if i != n]
    return {(n, kind): judged(reader, replace(world().shot(readers()[n], kind), language=LANGUAGES[n % 2]), told=n % 2 == 1) for n, kind in asked}


def total(golden: dict, what: str, keep=lambda key: True) -> int: return sum(found[what] for key, found in golden.items() if keep(key))


def test_the_readers_differ():
    scales = {player.scale for player in readers()}
    assert len(scales) == 5 and min(scales) == .6 and max(scales) == 1.6
    assert {p.jpeg_quality for p in readers()} >= {0, 78}


def test_names_are_right_and_nothing_is_made_up(golden):
    print({key: {k: v for k, v in found.items() if v and k != "build"} for key, found in golden.items()})
    assert len(golden) == 30 and total(golden, "type") >= 21
    assert total(golden, "right") >= .85 * total(golden, "filled")
    assert total(golden, "wrong") <= .01 * total(golden, "filled")
    assert total(golden, "empty named") == 0 and total(golden, "invented") <= .01 * total(golden, "filled")


@pytest.mark.parametrize("kind", SCREEN_TYPES)
def test_every_type_of_screen_is_read(golden, kind):
    assert total(golden, "right", lambda key: key[1] == kind) >= .6 * total(golden, "filled", lambda key: key[1] == kind)


def test_the_language_of_the_game_changes_nothing(reader):
    english, german = (judged(reader, replace(world().shot(world().newcomer, "TRAITS"), language=language)) for language in LANGUAGES)
    assert german["right"] >= english["right"] - 1 and german["wrong"] <= english["wrong"]


# tampering: the same folder, one thing changed

@pytest.fixture
def mine(taught, tmp_path) -> Config:
    "A machine of its own with the release installed."
    shutil.copytree(taught.home, tmp_path / "home")
    return Config.load(tmp_path / "home", taught.hub, taught.host_dir)


def flipped(file: Path) -> None:
    "One bit in the middle of the weights."
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(bytes(data))


def other_gallery(file: Path) -> None:
    "Last week's: the same names and sizes, other places."
    gallery = load_gallery(file)
    gallery.centroids = np.roll(gallery.centroids, 1, axis=0)
    save_gallery(gallery, file)


def turned(file: Path) -> None:
    "As many labels, in another order."
    names = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps(dict(zip(names, reversed(names.values())))), encoding="utf-8")


TAMPERED = [("icon_embedder.onnx", flipped), ("screen_classifier.onnx", flipped), ("icon_gallery.npz", other_gallery), ("screen_classifier_labels.json", turned), ("icon_gallery.npz", Path.unlink)]


@pytest.mark.parametrize("name, change", TAMPERED, ids=["a bit of the icon model", "a bit of the screen model", "a stale gallery", "turned labels", "no gallery"])
def test_what_was_tampered_with_is_refused_and_mended(mine, name, change):
    change(current_set(mine.models) / name)
    with pytest.raises(ModelError, match=f"{name}.*warp update"): Reader.open(mine)
    update(mine, open_hub(mine.hub), every_h=0, server="", force=True)
    assert Reader.open(mine).match(np.zeros((1, 64, 64, 3), np.uint8))[0].name is None


def test_a_gallery_of_another_training_is_refused_even_if_its_digests_were_written_anew(mine):
    "Somebody put a set together by hand: the release's list fits its files, the icon model's own does not."
    from hashlib import sha256
    folder = current_set(mine.models)
    other_gallery(folder / "icon_gallery.npz")
    record = json.loads((folder / "model_version.json").read_text(encoding="utf-8"))
    data = (folder / "icon_gallery.npz").read_bytes()
    record["files"]["icon_gallery.npz"] = {"sha256": sha256(data).hexdigest(), "size": len(data)}
    (folder / "model_version.json").write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(ModelError, match="icon_embedder_meta.json describes"): Reader.open(mine)


def test_a_tampered_release_never_comes_into_use(mine, taught, tmp_path):
    "On the hub the labels were turned after publication: who has the true ones keeps them, who has none gets nothing."
    shutil.copytree(taught.hub, tmp_path / "hub")
    labels, shot = "screen_classifier_labels.json", world().shot(world().newcomer, "SPECIALIZATIONS").render()
    served = next((tmp_path / "hub").rglob("models/model_version.json"))
    true = (served.parent / labels).read_bytes()
    turned(served.parent / labels)
    served.write_text(json.dumps(json.loads(served.read_text(encoding="utf-8")) | {"serial": 2, "trained_at": "2026-11-25T10:00:00Z"}), encoding="utf-8")
    hub, newcomer = open_hub(tmp_path / "hub"), replace(mine, home=tmp_path / "newcomer")
    update(replace(mine, hub=str(tmp_path / "hub")), hub, every_h=0, server="")
    assert (current_set(mine.models) / labels).read_bytes() == true and Reader.open(mine).read(shot.image).slots
    with pytest.raises(WarpError, match=labels): update(newcomer, hub, every_h=0, server="")
    assert current_set(newcomer.models) is None


def test_an_open_reader_keeps_the_old_set_when_the_new_one_is_damaged(mine):
    reader, shot = Reader.open(mine), world().shot(world().newcomer, "SPECIALIZATIONS").render()
    reader.lines = None
    before, old = reader.read(shot.image), current_set(mine.models)
    shutil.copytree(old, old.with_name("7"))
    flipped(old.with_name("7") / "icon_embedder.onnx")
    (mine.models / "current").write_text("7", encoding="utf-8")
    with pytest.warns(UserWarning, match="cannot be used and the old stays"): after = reader.read(shot.image)
    assert after.names() == before.names() and any(after.names().values())


def test_all_of_one_players_screens_make_one_build(golden):
    whole = merge_builds(found["build"] for (n, _), found in golden.items() if n == len(readers()) - 1)
    assert len(whole.shots) == 6 and len(whole.names()) > 20
