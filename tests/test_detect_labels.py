"Label sets and what people draw: nothing is lost, nothing is mixed, and every refusal names its file or annotation."
import json
from dataclasses import replace
from zipfile import ZipFile

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from PIL import Image
from pycocotools import mask as masks

from warp.detect.cvat import LabelDesk, extent_of, import_coco, remember
from warp.detect.labels import LabelBox, LabelledImage, box_sizes, new_set, read_set, unlike_in_size, write_set, yolo_lines, yolo_zip
from warp.detect.profile import cvat_labels, load_profile
from warp.errors import InputError
from warp.records import Box

AOE2 = load_profile("aoe2")


def pictures(folder, names=("m1_01.png", "m1_02.png", "m2_01.png"), size=(200, 100)):
    folder.mkdir(parents=True, exist_ok=True)
    for i, name in enumerate(names): Image.new("RGB", size, (i * 40, 90, 60)).save(folder / name)
    return [folder / name for name in names]


@pytest.fixture
def pond(tmp_path):
    files = pictures(tmp_path / "shots")
    boxes = (LabelBox("sheep", Box(10, 10, 30.5, 20)), LabelBox("deer", Box(60, 5, 40, 30), 0.42, "aoe2 v3", reviewed=False), LabelBox("tree", Box(150, 40, 80, 90), ignore=True))
    return new_set(AOE2, [LabelledImage(files[0], (200, 100), boxes, "m1"), LabelledImage(files[1], (200, 100), (), "m1", verified_empty=True), LabelledImage(files[2], (200, 100), (), "m2")])


def coco(tmp_path, notes, names=("m1_01.png", "m1_02.png", "m2_01.png")):
    pictures(tmp_path / "export")
    ids = {name: 40 - i for i, name in enumerate(sorted({n.get("name", "sheep") for n in notes}))}
    made = [{"id": 100 + i, "image_id": 1, "iscrowd": 0, "category_id": ids[n.get("name", "sheep")], **n} for i, n in enumerate(notes)]
    content = {"images": [{"id": i, "file_name": name, "width": 200, "height": 100} for i, name in enumerate(names, 1)], "categories": [{"id": v, "name": k} for k, v in ids.items()], "annotations": made}
    (tmp_path / "export/annotations").mkdir(exist_ok=True)
    (tmp_path / "export/annotations/instances_default.json").write_text(json.dumps(content), encoding="utf-8")
    return tmp_path / "export"


def test_a_set_comes_back_as_it_was(pond, tmp_path):
    written = write_set(pond, tmp_path / "set", {"made_by": "hand"})
    assert read_set(tmp_path / "set", verify=True) == written
    manifest = json.loads((tmp_path / "set/manifest.json").read_text(encoding="utf-8"))
    assert (manifest["images"], manifest["boxes"], manifest["ignored"], manifest["made_by"], manifest["profile_digest"]) == (3, 2, 1, "hand", AOE2.digest)
    assert written.counts["sheep"] == written.counts["deer"] == 1 and written.counts["tree"] == 0


def test_pain_3_a_picture_that_was_exchanged_is_noticed(pond, tmp_path):
    write_set(pond, tmp_path / "set")
    Image.new("RGB", (200, 100)).save(tmp_path / "set/images/m1_01.png")
    with pytest.raises(InputError, match="not the picture that was labelled"): read_set(tmp_path / "set", verify=True)


def test_pain_4_sets_are_never_mixed_and_stale_files_are_told(pond, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert write_set(pond, "relative").images[0].file.is_absolute()
    with pytest.raises(InputError, match="never mixed"): write_set(pond, "relative")
    (tmp_path / "relative/labels/old.txt").write_text("0 .5 .5 .1 .1\n", encoding="utf-8")
    with pytest.raises(InputError, match="old.txt"): read_set("relative")
    (tmp_path / "relative/labels/old.txt").unlink()
    (tmp_path / "relative/labels/m1_01.txt").write_text("", encoding="utf-8")
    with pytest.raises(InputError, match="m1_01.txt has 0 boxes and annotations.json 2"): read_set("relative")


def test_an_interrupted_writing_is_no_set(pond, tmp_path):
    write_set(pond, tmp_path / "set")
    (tmp_path / "set/manifest.json").unlink()
    with pytest.raises(InputError, match="interrupted"): read_set(tmp_path / "set")


def test_pain_6_things_of_another_size_are_told(pond):
    large = replace(pond, images=tuple(replace(i, boxes=tuple(replace(b, box=Box(b.box.x, b.box.y, 2.7 * b.box.width, 2.7 * b.box.height)) for b in i.boxes)) for i in pond.images))
    assert unlike_in_size(large, pond, (100, 64), few=1) == pytest.approx({"sheep": 2.7, "deer": 2.7}, abs=0.02)
    assert unlike_in_size(large, pond, (100, 64), few=2) == {}  # too few to say
    assert box_sizes(pond, (100, 64))["sheep"] == (15.2, 10.0, 1)  # as the detector sees it


def test_pain_10_pictures_with_nothing_on_them_are_kept(pond, tmp_path):
    back = read_set(write_set(pond, tmp_path / "set").images[0].file.parents[1])
    assert [(i.verified_empty, i.labelled) for i in back.images] == [(False, True), (True, True), (False, False)]
    labels, balance = import_coco(coco(tmp_path, [{"bbox": [1, 1, 20, 20]}]), AOE2)
    assert balance.pictures == 3 and balance.empty == 2 and [i.verified_empty for i in labels.images] == [False, True, True]
    assert not any(i.verified_empty for i in import_coco(tmp_path / "export", AOE2, finished=False)[0].images)


def test_pain_11_pictures_of_one_session_know_that_they_belong_together(tmp_path):
    export = coco(tmp_path, [{"bbox": [1, 1, 20, 20]}])
    assert [i.group for i in import_coco(export, AOE2)[0].images] == ["m1", "m1", "m2"]
    assert [i.group for i in import_coco(export, AOE2, group_of=lambda name: name[-6:-4])[0].images] == ["01", "02", "01"]


def test_pain_17_every_shape_becomes_a_box_and_the_count_balances(tmp_path):
    picture = np.zeros((100, 200), np.uint8)
    picture[20:50, 30:90] = 1
    packed = masks.encode(np.asfortranarray(picture))
    plain = {"size": [100, 200], "counts": [30 * 100 + 20, *[30, 70] * 59, 30, 100 * 200 - 89 * 100 - 50]}
    notes = [{"bbox": [10, 10, 20, 20]}, {"segmentation": [[5, 5, 25, 5, 25, 45]], "name": "deer"}, {"bbox": [0, 0, 0, 0], "segmentation": [[5, 5, 25, 5, 25, 45], [60, 50, 80, 50, 80, 90]]},
             {"segmentation": {"size": [100, 200], "counts": packed["counts"].decode()}, "name": "deer"}, {"segmentation": plain}, {"bbox": [50, 40, 40, 20], "attributes": {"rotation": 90}},
             {"bbox": [150, 50, 80, 20]}, {"bbox": [1, 1, 5, 5], "iscrowd": 1}, {"bbox": [1, 1, 5, 5], "name": "unicorn"}]
    export = coco(tmp_path, notes)
    with pytest.raises(InputError, match="lacks: unicorn"): import_coco(export, AOE2)
    labels, balance = import_coco(export, AOE2, skip=("unicorn",))
    assert (balance.read, balance.boxes, balance.ignored, balance.skipped) == (9, 7, 1, 1) and balance.shapes == {"rectangle": 3, "polygon": 2, "mask": 2, "rotated": 1}
    boxes = [tuple(round(v, 3) for v in b.box) for b in labels.images[0].boxes]
    assert boxes[1:7] == [(5, 5, 20, 40), (5, 5, 75, 85), (30, 20, 60, 30), (30, 20, 60, 30), (60, 30, 20, 40), (150, 50, 50, 20)]
    assert [b.class_name for b in labels.images[0].boxes[:4]] == ["sheep", "deer", "sheep", "deer"]
    for bad, words in (({"bbox": [0, 0, 0, 0], "segmentation": []}, "annotation 100 of picture 1"), ({"bbox": [300, 0, 10, 10]}, "outside"), ({"image_id": 77, "bbox": [1, 1, 2, 2]}, "picture 77")):
        with pytest.raises(InputError, match=words): import_coco(coco(tmp_path, [bad]), AOE2)


@settings(max_examples=60, deadline=None)
@given(st.floats(-720, 720), st.floats(1, 90), st.floats(1, 90))
def test_a_turned_box_holds_all_its_corners(angle, width, height):
    box, _ = extent_of({"bbox": [100, 100, width, height], "attributes": {"rotation": angle}})
    turn = np.radians(angle)
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * (width / 2, height / 2) @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]) + (100 + width / 2, 100 + height / 2)
    assert np.allclose((box.x, box.y, box.right, box.bottom), (*corners.min(0), *corners.max(0)), atol=1e-6)


def test_pain_18_a_guess_keeps_its_score_on_the_way_through_a_labelling_tool(pond, tmp_path):
    assert read_set(write_set(pond, tmp_path / "set").images[0].file.parents[1]).images[0].boxes[1] == pond.images[0].boxes[1]
    assert yolo_zip(pond, tmp_path / "out.zip") == 2
    z = ZipFile(tmp_path / "out.zip")
    assert z.read("obj.names").decode().split() == list(AOE2.names) and z.read("obj_train_data/m1_02.txt") == b""
    assert z.read("obj_train_data/m1_01.txt").decode().splitlines() == yolo_lines(pond.images[0], pond.classes)
    home = import_coco(coco(tmp_path, [{"bbox": [10, 10, 30, 20]}, {"bbox": [60.4, 5, 40, 30], "name": "deer"}, {"bbox": [120, 5, 40, 30], "name": "deer"}]), AOE2)[0]
    assert [(b.score, b.source, b.reviewed) for b in remember(home, pond).images[0].boxes] == [(None, "person", True), (0.42, "aoe2 v3", True), (None, "person", True)]


def press(desk, button): desk.widget.asked = {"type": button, "page": desk.widget.page}


def test_a_draft_at_the_desk_survives_the_kernel(pond, tmp_path):
    desk = LabelDesk(pond, tmp_path / "draft.json")
    assert [b["label"] for b in desk.widget.bboxes] == ["sheep", "deer", "tree"]
    desk.widget.bboxes = desk.widget.bboxes[:2]
    press(desk, "submit")
    again = LabelDesk(pond, tmp_path / "draft.json")
    assert [i.file.name for i in again.waiting] == ["m1_02.png", "m2_01.png"]
    press(again, "skip")
    press(again, "submit")
    done = again.finish()
    assert [(i.file.name, len(i.boxes), i.verified_empty) for i in done.images] == [("m1_01.png", 2, False), ("m2_01.png", 0, True)]
    assert done.images[0].boxes[1].score == 0.42


def test_the_labels_of_a_project_come_from_the_profile():
    assert [label["name"] for label in json.loads(cvat_labels(AOE2))] == list(AOE2.names)


def test_read_back_differs_means_an_error(pond, tmp_path):
    with pytest.raises(InputError, match="without area"): new_set(AOE2, [replace(pond.images[0], boxes=(LabelBox("sheep", Box(1, 1, 0, 5)),))])
    with pytest.raises(InputError, match="did you mean 'sheep'"): new_set(AOE2, [replace(pond.images[0], boxes=(LabelBox("sheeep", Box(1, 1, 4, 5)),))])
    with pytest.raises(InputError, match="name of 2 pictures"): write_set(replace(pond, images=(pond.images[0], pond.images[0])), tmp_path / "twice")
