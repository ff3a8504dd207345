"The line as a whole: from a made game's files to a measured detector, and from a detector to a read build."
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "dev"))


def test_places_without_a_map_are_found_by_the_detector_and_named_by_what_lies_in_them(tmp_path):
    from warp.config import Config
    from warp.demo import World
    from warp.knowledge.vocabulary import Vocabulary
    from warp.match.cascade import Cascade
    from warp.match.detector import Contract, Detector, fit_of
    from warp.read.build import Reader
    from warp.records import SLOTS, VIRTUAL_NAMES, Match
    world = World.make(8)
    world.write_icons(tmp_path / "host" / "images")
    cascade = Cascade.open(Config(tmp_path / "home", str(tmp_path / "hub"), host_dir=tmp_path / "host"))
    counts = np.zeros(2, int)
    for kind in ("SPACE_EQ", "TRAITS"):
        made = world.shot(world.newcomer, kind).render()
        places = [t for t in made.truth if SLOTS[t.slot].kind == "icon"]
        fit, rng = fit_of(made.image.size, (960, 544)), np.random.default_rng(3)
        corners = fit.forth(np.array([[*t.bbox[:2], t.bbox.right, t.bbox.bottom] for t in places]) + rng.normal(0, 1.0, (len(places), 4)))
        rows = np.column_stack([corners, rng.uniform(.5, .9, len(places)), np.zeros(len(places))])[None]
        detector = Detector(lambda fed, rows=rows: [rows], Contract(("slot", "panel"), (960, 544), "rows", "uint8-nhwc", nms_iou=None))
        screen = Match(kind, 1.0, "screens", ((kind, 1.0),))
        blind = Reader(lambda img, screen=screen: screen, cascade.match, {"entries": []}, Vocabulary.load())
        assert not blind.read(made.image).slots  # no map, no detector: nothing, and it says so
        reader = Reader(lambda img, screen=screen: screen, cascade.match, {"entries": []}, Vocabulary.load(), detector=detector)
        read = {(p.slot, p.slot_index): p.name for p in reader.read(made.image).slots if p.name}
        wanted = {(t.slot, t.slot_index): t.name for t in places if t.name not in VIRTUAL_NAMES}
        counts += [sum(read.get(place) == name for place, name in wanted.items()), len(wanted)]
    assert counts[0] >= 0.9 * counts[1], counts


def test_warp_read_names_a_screen_without_a_map_by_a_trained_detector(taught, tmp_path, capsys):
    "The whole way: a player's boxes, training, ONNX and contract in a release, published, fetched, `warp read`. The maps of the release are empty."
    import shutil

    from taught import world

    from warp.cli import main
    from warp.config import Config, write_json
    from warp.detect.labels import LabelBox, LabelledImage
    from warp.detect.train import Recipe, contract_of, export_onnx, train_detector
    from warp.hub import open_hub
    from warp.records import SLOTS, VIRTUAL_NAMES, Box
    from warp.release.publish import publish
    from warp.release.update import update
    player, boxed = world().newcomer, []
    for kind in ("TRAITS", "SPACE_EQ"):  # of which the player has drawn all boxes
        made = world().shot(player, kind).render()
        (tmp_path / f"{kind}.shot").write_bytes(made.png_or_jpeg)
        boxes = tuple(LabelBox("slot", t.bbox) for t in made.truth if SLOTS[t.slot].kind == "icon")
        boxed.append(LabelledImage(tmp_path / f"{kind}.shot", made.image.size, boxes, "a player", "real"))
    trained = train_detector(boxed, ("slot",), Recipe(piece=(224, 160), batch=4, steps=200, wide=8))
    shutil.copytree(taught.home.parent / "release", tmp_path / "release")
    write_json(tmp_path / "release" / "community_anchors.json", {"entries": []})
    export_onnx(trained.net, tmp_path / "release" / "detector.onnx", contract_of(trained, "sto"))
    machine = Config.load(tmp_path / "home", tmp_path / "hub", taught.host_dir)
    publish(open_hub(machine.hub), machine, tmp_path / "release")
    update(machine, open_hub(machine.hub), every_h=0, server="")
    shot = world().shot(player, "GROUND_EQ").render()  # a window of which no box was drawn
    (tmp_path / "shot.jpg").write_bytes(shot.png_or_jpeg)
    assert main(["read", str(tmp_path / "shot.jpg"), "--json", "--home", str(machine.home), "--hub", machine.hub, "--host", str(taught.host_dir)]) == 0
    build = json.loads(capsys.readouterr().out)
    wanted = [t for t in shot.truth if SLOTS[t.slot].kind == "icon" and t.name not in VIRTUAL_NAMES]
    read = [(p["slot"], p["name"], Box(*p["bbox"])) for p in build["slots"] if p["name"]]
    right = [t for t in wanted if any((slot, name) == (t.slot, t.name) and box.iou(t.bbox) > 0.5 for slot, name, box in read)]  # a first place that is empty and was missed moves the numbers behind it
    assert len(right) >= 0.75 * len(wanted), (read, wanted)


def test_a_detector_travels_in_a_model_set_under_its_plain_name(tmp_path):
    from warp.match.detector import contract_file
    from warp.release.manifest import DETECTOR
    assert {"detector.onnx", contract_file(tmp_path / "detector.onnx").name} == set(DETECTOR)


def test_the_words_of_detect_reach_its_own_parser(capsys, tmp_path):
    from warp.cli import main
    assert main(["detect", "classes", "--profile", "aoe2"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 60
    assert main(["detect", "find", str(tmp_path / "gone.onnx"), str(tmp_path)]) == 1
    assert "gone.onnx" in capsys.readouterr().err


def test_yolo_without_its_package_says_what_to_install_and_trains_nothing(capsys, monkeypatch, tmp_path):
    from warp.cli import main
    monkeypatch.setitem(sys.modules, "ultralytics", None)  # as if it were not installed
    for words in (["train", str(tmp_path), "--yolo", "--out", str(tmp_path / "m")], ["export", "--yolo", "--weights", str(tmp_path / "m.pt")], ["next", "--words", "yoloe", "--profile", "aoe2", str(tmp_path), "--out", str(tmp_path / "b")]):
        assert main(["detect", *words]) == 1
        assert "pip install 'sets-warp[ultralytics]'" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_next_wants_one_proposer_and_a_foreign_export_gets_a_contract(capsys, tmp_path):
    from test_detector_inference import network

    from warp.cli import main
    for words in ([], ["--model", "a", "--words", "yoloe"], ["--words", "yoloe", "--tiles"]):
        assert main(["detect", "next", *words, str(tmp_path), "--out", str(tmp_path / "b")]) == 1
        assert "--words" in capsys.readouterr().err
    file = network(tmp_path / "aoe2_detector_v3.onnx", "rows", size=(64, 64))
    assert main(["detect", "export", "--weights", str(file), "--side", "64", "--profile", "aoe2"]) == 0
    assert "rows, 64x64, 60 classes" in capsys.readouterr().out
    assert json.loads((tmp_path / "aoe2_detector_v3_contract.json").read_text(encoding="utf-8"))["class_count"] == 60


def test_pieces_keep_boxes_where_they_are_and_mirror_only_when_told(tmp_path):  # pain 24
    from warp.detect.train import Pictures, Recipe, cut_pieces
    pixels = np.zeros((1, 120, 200, 3), np.uint8)
    pixels[0, 30:50, 150:190] = 255
    pictures, recipe = Pictures(pixels, [np.array([[150, 30, 190, 50, 0]], np.float32)]), Recipe(size=(200, 120), piece=(200, 120), zoom=(1.0, 1.0))
    assert not Recipe().mirror
    for mirror in (False, True):
        sides = set()
        for seed in range(12):
            pieces, (table,) = cut_pieces(pictures, np.array([0]), replace(recipe, mirror=mirror), np.random.default_rng(seed))
            ys, xs = np.nonzero(pieces[0, ..., 0] > 127)
            assert table[0].tolist() == [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1, 0]
            sides.add(int(table[0, 0]))
        assert sides == ({10, 150} if mirror else {150})


def test_a_training_without_labels_or_time_says_so(tmp_path):
    from PIL import Image

    from warp.detect.labels import LabelledImage
    from warp.detect.train import Recipe, train_detector
    from warp.errors import TrainingError
    Image.new("RGB", (64, 48)).save(tmp_path / "a.png")
    picture = LabelledImage(tmp_path / "a.png", (64, 48))
    with pytest.raises(TrainingError, match="none of 1 pictures is labelled"): train_detector([picture], ("a",), Recipe(size=(64, 48)))
    with pytest.raises(TrainingError, match="were enough for"): train_detector([replace(picture, verified_empty=True)], ("a",), Recipe(size=(64, 48), piece=(64, 48), seconds=1e-6, wide=8))


def test_yolo_trains_exports_and_is_read(tmp_path, monkeypatch):
    for name, value in (("YOLO_CONFIG_DIR", str(tmp_path)), ("YOLO_OFFLINE", "true")): monkeypatch.setenv(name, value)  # before it is imported
    pytest.importorskip("ultralytics", reason="the ultralytics extra (AGPL-3.0) is not installed: pip install 'sets-warp[ultralytics]'")
    import detect_demo
    from PIL import Image

    from warp.detect.cvat import import_coco
    from warp.detect.merge import merge_sets
    from warp.detect.profile import load_profile
    from warp.detect.yolo import export_yolo, train_yolo
    from warp.match.detector import open_onnx
    from warp.match.model import onnx_session
    (tmp_path / "meadow.yaml").write_text(detect_demo.PROFILE, encoding="utf-8")
    profile = load_profile(tmp_path / "meadow.yaml")
    detect_demo.write_screenshots(tmp_path / "cvat", 16)
    labels, _ = import_coco(tmp_path / "cvat", profile, group_of=lambda name: name.split("_")[0])
    merged = merge_sets([labels], tmp_path / "merged")
    with pytest.warns(UserWarning, match="AGPL-3.0"): best = train_yolo(merged.folder, tmp_path / "runs", profile, "yolo26n.yaml", epochs=1, side=128, batch=4, device="cpu", workers=0, plots=False)
    contract = export_yolo(best, tmp_path / "meadow_detector_v1.onnx", profile, side=128)
    assert contract.layout == "rows" and onnx_session(tmp_path / "meadow_detector_v1.onnx").get_outputs()[0].shape == [1, 300, 6]
    for detection in open_onnx(tmp_path / "meadow_detector_v1.onnx")(Image.open(labels.images[0].file), min_score=0.0): assert detection.name in profile.names


def test_the_whole_line_on_a_made_game_fits_together(tmp_path):
    import detect_demo
    line = detect_demo.run(tmp_path / "demo", 60, 16, 40, steps=12)
    assert [step.name for step in line.steps] == ["sprites", "grounds", "scenes", "merged", "trained", "exported", "measured"]
    summary = json.loads((line.folder / "models" / "eval_real_summary.json").read_text(encoding="utf-8"))
    contract = json.loads((line.folder / "models" / "meadow_detector_v1_contract.json").read_text(encoding="utf-8"))
    assert summary["headline"].startswith("real pictures: F1") and contract["postprocessing"]["default_confidence"] == summary["default"]
    page = line.page.read_text(encoding="utf-8")
    assert "<script" not in page and "http" not in page and all(name in page for name in detect_demo.FILES)
    assert page.count("<figure>") == 4 + 4 + 2 + 6 + 4  # judged; made; real; sprites; grounds


@pytest.mark.long
def test_the_made_game_is_learned_in_350_steps(tmp_path):
    import detect_demo
    line = detect_demo.run(tmp_path / "demo", 60, 160, steps=350)
    assert line.evaluated.report.real.micro.f1 > 0.7 and line.evaluated.report.real.interval


TYPED = {"no typing": (False, False), "typing": (True, False), "typing and effects": (True, True)}


@pytest.mark.long
def test_what_typing_effects_and_real_pictures_are_worth(tmp_path, capsys):
    "Two seeds, three minutes of processor time each; judged on the same real sessions, of which training has seen none. The table is printed and left in out/ablation.json."
    import time

    import detect_demo

    from warp.data.crops import open_image
    from warp.detect.cvat import import_coco
    from warp.detect.measure import choose_thresholds, collect, report
    from warp.detect.profile import load_profile
    from warp.detect.scenes import make_kit, make_scenes
    from warp.detect.sprites import extract_sprites, make_backgrounds
    from warp.detect.train import Recipe, contract_of, torch_detector, train_detector
    detect_demo.write_game(tmp_path / "game")
    detect_demo.write_screenshots(tmp_path / "cvat", 160)  # 40 sessions of four
    grounds = [make_backgrounds(tmp_path / "game" / "terrain", tmp_path / kind, 24, kind == "water") for kind in ("land", "water")]
    table: dict[str, list[float]] = {}
    for kind, (typed, effects) in TYPED.items():
        told = yaml.safe_load(detect_demo.PROFILE)
        if not typed: told["scenes"] = [{"name": name, "share": share, "backgrounds": name} for name, share in (("land", 0.75), ("water", 0.25))]
        elif not effects: told["scenes"] = [{k: v for k, v in scene.items() if k != "effects"} for scene in told["scenes"]]
        (tmp_path / "meadow.yaml").write_text(yaml.safe_dump(told), encoding="utf-8")
        profile, named = load_profile(tmp_path / "meadow.yaml"), kind.replace(" ", "_")
        real = import_coco(tmp_path / "cvat", profile, group_of=lambda name: name.split("_")[0])[0].images
        for_training, dev, test = real[:32], real[32:80], real[80:]  # whole sessions
        kit = make_kit(profile, extract_sprites(profile, tmp_path / "game" / "graphics", tmp_path / f"sprites_{named}"), grounds)
        for seed in (1, 2):
            made = make_scenes(kit, tmp_path / f"{named}_{seed}", 320, seed, (640, 360)).labels.images
            for what, images in (("no real", made), ("10 % real", [*made, *for_training])):
                trained = train_detector(images, profile.names, Recipe(size=profile.input_size, piece=(320, 192), batch=6, seconds=180, seed=seed, mirror=True))
                detector = torch_detector(trained.net, contract_of(trained))
                on_dev, on_test = (collect(detector, part, lambda image: open_image(image.file), time.perf_counter)[0] for part in (dev, test))
                table.setdefault(f"{kind}, {what}", []).append(report(on_test, profile.names, choose_thresholds(on_dev, profile.names)).real.micro.f1)
    (ROOT / "out").mkdir(exist_ok=True)
    (ROOT / "out" / "ablation.json").write_text(json.dumps(table, indent=1), encoding="utf-8")
    with capsys.disabled(): print("\n" + "\n".join(f"{name:32} {np.mean(f1):.3f} (seeds {', '.join(f'{v:.3f}' for v in f1)})" for name, f1 in table.items()))
    assert len(table) == 6 and all(len(row) == 2 and min(row) > 0.1 for row in table.values())  # every one learned something
