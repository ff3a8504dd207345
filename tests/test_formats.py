"COCO and YOLO: what goes out comes back, what comes in dirty is counted, and no file leads out of its folder."
import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from warp.data.formats import CLASSES, Balance, read_coco, read_yolo, whole_box, write_coco, write_yolo, yolo_edges
from warp.data.store import Store, Word
from warp.demo import World
from warp.errors import BoxError, InputError, SlotError, StoreError
from warp.knowledge.vocabulary import Vocabulary
from warp.records import SLOTS, Box

SIZE = (320, 240)


@pytest.fixture(scope="module")
def world_store(tmp_path_factory) -> Store:
    "Every kind of screen of the made newcomer, confirmed as it is."
    world, store = World.make(), Store(tmp_path_factory.mktemp("world") / "training_data")
    shots = {shot.screen_type: shot for shot in world.screenshots(world.newcomer)}
    for shot in shots.values():
        made = shot.render()
        words = [Word(t.bbox, t.slot, t.name, t.slot_index, *(("read", 0.25) if t.slot == "Devices" else ())) for t in made.truth]
        store.submit(store.add(made.png_or_jpeg, shot.file), words, shot.screen_type)
    return store


def content(store: Store, *fields: str) -> set:
    return {(sha, *(getattr(a, field) for field in fields)) for sha, a in store.annotations()}


def noise(seed: int, size: tuple[int, int] = SIZE) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8))


@pytest.fixture
def store(tmp_path) -> Store: return Store(tmp_path / "t")


def coco(folder: Path, annotations: list, images: list | None = None, categories: list | None = None) -> Path:
    "A COCO file about a.png, whose category 1 is Devices."
    folder.mkdir(exist_ok=True)
    noise(1).save(folder / "a.png")
    record = {"images": images or [{"id": 1, "file_name": "a.png"}], "categories": categories or [{"id": 1, "name": "Devices"}], "annotations": annotations}
    (folder / "boxes.json").write_text(json.dumps(record), encoding="utf-8")
    return folder / "boxes.json"


def box(number: int = 1, bbox: object = (10, 20, 46, 56), **more: object) -> dict:
    return {"id": number, "image_id": 1, "category_id": 1, "bbox": bbox} | more


def yolo(folder: Path, lines: str, names: str = "names: [Devices, Deflector]\n") -> Path:
    for name in ("images", "labels"): (folder / name).mkdir(parents=True)
    noise(1).save(folder / "images/a.png")
    (folder / "labels/a.txt").write_text(lines, encoding="utf-8")
    (folder / "data.yaml").write_text(names, encoding="utf-8")
    return folder


def reasons(balance: Balance, verdict: str) -> str: return "; ".join(note for note in balance.notes if note.startswith(verdict))


# there and back

def test_coco_there_and_back(world_store, tmp_path):
    out = write_coco(world_store, tmp_path / "c/boxes.json", images=tmp_path / "c/images")
    every = len(world_store.annotations())
    assert (out.images, out.boxes, out.taken) == (len(world_store.screenshots()), every, every) and every > 150
    mine = Store(tmp_path / "mine", Vocabulary.load())
    assert read_coco(mine, tmp_path / "c/boxes.json", tmp_path / "c/images", state="confirmed").taken == every
    assert {a.id: a for _, a in mine.annotations()} == {a.id: a for _, a in world_store.annotations()}, "names, places, readings and times"
    for _, a in mine.annotations():
        if a.crop_sha256: assert mine.crop_file(a.crop_sha256).read_bytes() == world_store.crop_file(a.crop_sha256).read_bytes()
    assert [r["screen_type"] for r in mine.screenshots().values()] == [r["screen_type"] for r in world_store.screenshots().values()]
    drawn = Store(tmp_path / "drawn", Vocabulary.load())
    assert read_coco(drawn, tmp_path / "c/boxes.json", tmp_path / "c/images").taken == every
    fields = ("slot", "bbox", "name", "slot_index", "ml_name", "ml_score")
    assert content(drawn, *fields) == content(world_store, *fields) and {a.state for _, a in drawn.annotations()} == {"pending"}
    assert not list((tmp_path / "drawn/crops").iterdir()) and not any(r["screen_type"] for r in drawn.screenshots().values()), "only a person confirms"


def test_yolo_there_and_back(world_store, tmp_path):
    out = write_yolo(world_store, tmp_path / "y")
    every = len(world_store.annotations())
    assert out.taken == every == sum(len(p.read_text(encoding="utf-8").splitlines()) for p in (tmp_path / "y/labels").iterdir())
    mine = Store(tmp_path / "mine")
    assert read_yolo(mine, tmp_path / "y", state="confirmed").taken == every
    assert {a.id: a for _, a in mine.annotations()} == {a.id: a for _, a in world_store.annotations()}
    (tmp_path / "y/warp.json").unlink()
    bare = Store(tmp_path / "bare")
    assert read_yolo(bare, tmp_path / "y").taken == every
    assert content(bare, "slot", "bbox", "slot_index") == content(world_store, "slot", "bbox", "slot_index"), "places are counted as one reads"
    assert {a.name for _, a in bare.annotations()} == {""}


def test_the_second_time_there_is_nothing_new(world_store, tmp_path):
    write_coco(world_store, tmp_path / "boxes.json", images=tmp_path)
    write_yolo(world_store, tmp_path / "y")
    store = Store(tmp_path / "t")
    for state in ("pending", "confirmed"):
        first = read_coco(store, tmp_path / "boxes.json", state=state)
        assert first.taken == first.boxes
        before = store.annotations()
        assert read_coco(store, tmp_path / "boxes.json", state=state).unchanged == first.boxes
        assert read_yolo(store, tmp_path / "y", state=state).unchanged == first.boxes
        assert store.annotations() == before
    assert {a.state for _, a in store.annotations()} == {"confirmed"}, "what was drawn gave way to what was confirmed"


def test_every_box_of_every_size_comes_back_from_yolo():
    rng = np.random.default_rng(5)
    for width, height in ((1920, 1080), (1366, 768), (7680, 4320), (1279, 719)):
        for _ in range(500):
            x, y = int(rng.integers(0, width - 1)), int(rng.integers(0, height - 1))
            sent = Box(x, y, int(rng.integers(1, width - x + 1)), int(rng.integers(1, height - y + 1)))
            line = f"3 {(sent.x + sent.right) / 2 / width:.8f} {(sent.y + sent.bottom) / 2 / height:.8f} {sent.width / width:.8f} {sent.height / height:.8f}"
            assert whole_box(yolo_edges(line, width, height)[1], width, height) == (sent, [])


def test_pictures_keep_their_bytes_or_their_pixels(tmp_path):
    (tmp_path / "s").mkdir()
    noise(1).save(tmp_path / "s/shot.jpg")
    noise(2).save(tmp_path / "s/lost.png")
    store = Store(tmp_path / "t")
    kept, lost = store.add(tmp_path / "s/shot.jpg"), store.add(tmp_path / "s/lost.png")
    for sha in (kept, lost): store.submit(sha, [Word(Box(1, 2, 30, 40), "Devices", "Battery")], "SPACE_EQ")
    (tmp_path / "s/lost.png").unlink()
    assert write_yolo(Store(tmp_path / "t"), tmp_path / "y").taken == 2
    images = {p.name: p for p in (tmp_path / "y/images").iterdir()}
    assert images[f"shot-{kept[:8]}.jpg"].read_bytes() == (tmp_path / "s/shot.jpg").read_bytes()
    assert np.array_equal(Image.open(images[f"lost-{lost[:8]}.png"]), noise(2)), "from the copy that the store keeps"
    assert read_yolo(Store(tmp_path / "t"), tmp_path / "y").unchanged == 2, "a picture that we wrote out is known by its name, whatever its bytes"


def test_two_files_of_one_name_stay_two(tmp_path, store):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        noise(ord(name)).save(tmp_path / name / "overview.png")
        store.submit(store.add(tmp_path / name / "overview.png"), [Word(Box(ord(name), 2, 30, 40), "Devices", name)])
    write_yolo(store, tmp_path / "y")
    write_coco(store, tmp_path / "boxes.json", images=tmp_path / "c")
    assert len(list((tmp_path / "y/images").iterdir())) == len(list((tmp_path / "c").iterdir())) == 2
    back = Store(tmp_path / "back")
    read_yolo(back, tmp_path / "y", state="confirmed")
    assert content(back, "bbox", "name") == content(store, "bbox", "name")


def test_odd_names_become_names_for_every_system(tmp_path, store):
    for i, name in enumerate(("C:\\Users\\me\\..\\shot?.png", "../../x.png", "é ü 船.png", "." * 80 + ".png", "a" * 300, "")):
        store.submit(store.add(png(noise(i)), name or "?"), [Word(Box(1, 2, 30, 40), "Devices", "Battery")])
    assert write_yolo(store, tmp_path / "y").taken == 6
    names = [p.name for p in (tmp_path / "y/images").iterdir()]
    assert len(names) == 6 and all(len(name) < 80 and not set(name) & set('<>:"/\\|?*') for name in names)
    assert read_yolo(Store(tmp_path / "back"), tmp_path / "y", state="confirmed").taken == 6


def png(img: Image.Image) -> bytes:
    from io import BytesIO
    file = BytesIO()
    img.save(file, "PNG")
    return file.getvalue()


# writing

def test_what_is_written(tmp_path, store):
    shas = [store.add(png(noise(i)), f"{i}.png") for i in range(4)]
    store.submit(shas[0], [Word(Box(1, 2, 30, 40), "Devices", "Battery"), Word(Box(100, 2, 90, 14), "Ship Name")])
    store.set_nothing_here(shas[1])
    store.confirm(shas[2], Box(1, 2, 30, 40), "Deflector", "Array")
    store.draw(shas[3], [Word(Box(1, 2, 30, 40), "Devices")])
    out = write_coco(store, tmp_path / "boxes.json")
    assert (out.images, out.boxes, out.taken) == (3, 3, 3)
    assert [note.split(":")[0] for note in out.notes] == ["not done yet", "left out"] and "3.png" in str(out) and "2.png" in str(out)
    record = json.loads((tmp_path / "boxes.json").read_text(encoding="utf-8"))
    assert [c["name"] for c in record["categories"]] == list(SLOTS)
    assert {a["category_id"] for a in record["annotations"]} == {CLASSES.index(slot) + 1 for slot in ("Devices", "Ship Name", "Deflector")}
    assert write_coco(store, tmp_path / "boxes.json", states=("confirmed", "pending")).boxes == 4
    for states in ("confirmed", ("certain",)):
        with pytest.raises(InputError, match="such as"): write_coco(store, tmp_path / "boxes.json", states=states)
    private = write_yolo(store, tmp_path / "y")
    assert "private" in str(private) and (tmp_path / f"y/labels/1-{shas[1][:8]}.txt").read_text(encoding="utf-8") == "", "a picture of nothing is a picture too"


def test_a_picture_that_is_gone_takes_its_boxes_along_and_says_so(tmp_path, store):
    noise(1).save(tmp_path / "shot.png")
    sha = store.add(tmp_path / "shot.png")
    for x in (1, 60): store.confirm(sha, Box(x, 2, 30, 40), "Devices", "Battery")
    (tmp_path / "shot.png").unlink()
    for out in (write_yolo(Store(tmp_path / "t"), tmp_path / "y"), write_coco(Store(tmp_path / "t"), tmp_path / "b.json", images=tmp_path / "i")):
        assert (out.images, out.boxes, out.taken, out.refused) == (0, 2, 0, 2) and "picture missing" in str(out)
    assert write_coco(Store(tmp_path / "t"), tmp_path / "b.json").taken == 2, "boxes alone need no picture"


def test_an_export_replaces_its_own_and_nobody_elses(tmp_path, store):
    shas = [store.add(png(noise(i)), f"{i}.png") for i in range(2)]
    notes = [store.confirm(sha, Box(1, 2, 30, 40), "Devices", "Battery") for sha in shas]
    assert write_yolo(store, tmp_path / "y").images == 2
    (tmp_path / "y/images/theirs.png").write_bytes(b"theirs")
    store.withdraw(shas[0], notes[0].id)
    assert write_yolo(store, tmp_path / "y").images == 1
    assert {p.stem for p in (tmp_path / "y/images").iterdir()} == {f"1-{shas[1][:8]}", "theirs"} and len(list((tmp_path / "y/labels").iterdir())) == 1
    with pytest.raises(InputError, match="did not write"): write_yolo(store, yolo(tmp_path / "theirs", ""))


# reading, with everything that goes wrong

@pytest.mark.parametrize(("annotation", "verdict", "says"), [
    (box(), "taken", ""),
    (box(bbox=[10.0, 20.0, 46.0, 56.0]), "taken", ""),
    (box(bbox=[10.3, 20.4, 46, 56]), "mended", "rounded"),
    (box(bbox=[-1, 20, 46, 56]), "mended", "cut off"),
    (box(bbox=[275, 185, 46, 56]), "mended", "cut off"),
    (box(bbox=None, segmentation=[[10, 20, 56, 20, 56, 76, 10, 76]]), "mended", "outline"),
    (box(bbox=[0, 0, 0, 0], segmentation=[[10, 20, 56, 20], [56, 76, 10, 76, 3]]), "mended", "outline"),
    (box(attributes={"name": "Battery", "slot_index": "one", "ml_score": "x", "confirmed_at": "yesterday"}), "taken", ""),
    (box(attributes="none"), "taken", ""),
    (box(bbox=[-9, 20, 46, 56]), "refused", "sticks out"),
    (box(bbox=[1e308, 20, 1e308, 56]), "refused", "it "),
    (box(bbox=[10, 20, 0, 56]), "refused", "no box"),
    (box(bbox=[10, 20, 0.2, 56]), "refused", "no area"),
    (box(bbox="10,20,46,56"), "refused", "no box"),
    (box(bbox=[10, 20, 46]), "refused", "no box"),
    (box(bbox=[[1], 20, 46, 56]), "refused", "no box"),
    (box(bbox=[float("nan"), 20, 46, 56]), "refused", "no box"),
    (box(bbox=None, segmentation=[[None, {}]]), "refused", "no box"),
    (box(bbox=None, segmentation=[7]), "refused", "no box"),
    (box(bbox=None, segmentation={"counts": "abc", "size": [240, 320]}), "refused", "mask"),
    (box(iscrowd=1), "refused", "crowd"),
    (box(attributes={"rotation": 12.5}), "refused", "turned"),
    (box(category_id=9), "refused", "no category"),
    (box(category_id=[1]), "refused", "no category"),
    (box(category_id=None), "refused", "no category"),
    (box(image_id=9), "refused", "no image"),
    (box(image_id={}), "refused", "no image"),
    ("a box", "refused", "no record"), (None, "refused", "no record"), (7, "refused", "no record")])
def test_each_kind_of_coco_annotation(tmp_path, store, annotation, verdict, says):
    balance = read_coco(store, coco(tmp_path / "c", [annotation]))
    assert (balance.boxes, getattr(balance, verdict)) == (1, 1), str(balance)
    assert says in reasons(balance, verdict) and len(store.annotations()) == (verdict in ("taken", "mended"))


@pytest.mark.parametrize(("line", "verdict", "says"), [
    ("0 0.5 0.5 0.1 0.1", "taken", ""),
    ("1.0\t0.5  0.5 0.1 0.1 ", "taken", ""),
    ("0 0.5 0.5 0.1109 0.1", "mended", "rounded"),
    ("0 0.5 0.5 0.1 0.1 0.93", "mended", "left out"),
    ("0 0.1 0.1 0.2 0.1 0.2 0.2 0.1 0.2", "mended", "outline"),
    ("0 0.5 0.5 0.1", "refused", "four numbers"),
    ("0 0.5 0.5 0.1 0.1 0.1 0.1 0.1", "refused", "four numbers"),
    ("0", "refused", "four numbers"),
    ("2 0.5 0.5 0.1 0.1", "refused", "beyond the classes"),
    ("-1 0.5 0.5 0.1 0.1", "refused", "beyond the classes"),
    ("0.5 0.5 0.5 0.1 0.1", "refused", "beyond the classes"),
    ("Devices 0.5 0.5 0.1 0.1", "refused", "no line of numbers"),
    ("0 nan 0.5 0.1 0.1", "refused", "no line of numbers"),
    ("0 1e999 0.5 0.1 0.1", "refused", "no line of numbers"),
    ("0 0.5 0.5 0 0", "refused", "no area"),
    ("0 0.5 0.5 -0.1 0.1", "refused", "no area"),
    ("0 160 120 46 56", "refused", "sticks out"),
    ("\ufffd\x00", "refused", "no line of numbers")])
def test_each_kind_of_yolo_line(tmp_path, store, line, verdict, says):
    balance = read_yolo(store, yolo(tmp_path / "y", f"\n{line}\n\n"))
    assert (balance.boxes, getattr(balance, verdict)) == (1, 1), str(balance)
    assert says in reasons(balance, verdict) and len(store.annotations()) == (verdict in ("taken", "mended"))


@pytest.mark.parametrize("name", ["../../diary.png", "../diary.png", "sub/../../diary.png", "..\\diary.png", "{folder}/diary.png", "C:\\diary.png", "//server/diary.png",
                                  "", None, 7, "a\0.png", "link.png"])
def test_a_file_name_never_leads_out_of_the_folder(tmp_path, store, name):
    noise(7).save(tmp_path / "diary.png")
    file = coco(tmp_path / "c", [box()], [{"id": 1, "file_name": name.format(folder=tmp_path) if isinstance(name, str) else name}])
    if name == "link.png":
        try: os.symlink(tmp_path / "diary.png", tmp_path / "c/link.png")
        except OSError: pytest.skip("this user may make no links")
    balance = read_coco(store, file)
    assert (balance.boxes, balance.refused) == (1, 1) and store.screenshots() == {} and "leads out" in str(balance)


def test_a_tampered_side_file_removes_nothing_outside(tmp_path, store):
    sha = store.add(png(noise(1)), "a.png")
    store.confirm(sha, Box(1, 2, 30, 40), "Devices", "Battery")
    write_yolo(store, tmp_path / "y")
    (tmp_path / "diary.png").write_bytes(b"mine")
    (tmp_path / "y/warp.json").write_text('{"images": {"../../diary.png": {}}}', encoding="utf-8")
    with pytest.raises(InputError, match="leads out"): write_yolo(store, tmp_path / "y")
    assert (tmp_path / "diary.png").exists()


def test_pictures_that_cannot_be_used(tmp_path, store):
    images = [*({"id": i, "file_name": f"{name}.png"} for i, name in ((1, "a"), (2, "lost"), (3, "torn"), (5, "empty"), (6, "b"), (6, "c"), (7, "a"))),
              {"id": 4, "file_name": "a.png", "width": 640, "height": 480}, "picture", {"file_name": "a.png"}]
    file = coco(tmp_path / "c", [box(i, image_id=i) for i in range(1, 8)], images)
    (tmp_path / "c/torn.png").write_bytes(png(noise(3))[:900])
    noise(5).save(tmp_path / "c/empty.png")
    balance = read_coco(store, file)
    assert (balance.images, balance.boxes, balance.taken, balance.refused, balance.unchanged) == (10, 7, 2, 4, 1)  # the last is the first picture again
    page = str(balance)
    for told in ("no such file", "damaged", "640x480", "two image records"): assert told in page, page
    assert str(tmp_path) not in page


def test_a_picture_without_boxes_is_told_and_added(tmp_path, store):
    balance = read_coco(store, coco(tmp_path / "c", []))
    assert (balance.images, balance.boxes) == (1, 0) and "without boxes" in str(balance) and len(store.screenshots()) == 1


def test_numbers_used_twice(tmp_path, store):
    twice = [{"id": 1, "name": "Devices"}, {"id": 1, "name": "Devices", "supercategory": "x"}]
    file = coco(tmp_path / "c", [box(1), box(1, [100, 20, 46, 56]), box(2)], categories=twice)
    balance = read_coco(store, file)
    assert (balance.taken, balance.unchanged) == (2, 1) and "stands on 2 annotations" in str(balance) and "same box twice" in str(balance)
    doubtful = coco(tmp_path / "d", [box(1)], categories=[{"id": 1, "name": "Devices"}, {"id": 1, "name": "Deflector"}])
    assert "two category records" in reasons(read_coco(store, doubtful), "refused")


def test_other_names_for_slots(tmp_path, store):
    categories = [{"id": i, "name": name} for i, name in enumerate(("devices", "Science Console", "console_sci", "person", None, ["Devices"]), 1)]
    file = coco(tmp_path / "c", [box(i, [50 * i - 40, 20, 40, 50], category_id=i) for i in range(1, 7)], categories=categories)
    balance = read_coco(store, file, slots={"console_sci": "Science Console"})
    assert (balance.taken, balance.refused) == (3, 3) and "'person' is no slot" in str(balance)
    assert [(a.slot, a.slot_index) for _, a in store.annotations()] == [("Devices", 0), ("Science Consoles", 0), ("Science Consoles", 1)]
    with pytest.raises(SlotError): read_coco(store, file, slots={"console_sci": "Pockets"})


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}", '{"images": [], "annotations": {}, "categories": []}', "[" * 100_000, "\xff\xfe"])
def test_a_file_that_is_no_coco(tmp_path, store, text):
    (tmp_path / "x.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match="x.json"): read_coco(store, tmp_path / "x.json")
    with pytest.raises(InputError, match="no such file"): read_coco(store, tmp_path / "none.json")


def test_a_file_with_a_mark_at_its_start(tmp_path, store):
    file = coco(tmp_path / "c", [box()])
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert read_coco(store, file).taken == 1


@pytest.mark.parametrize("names", ["names:\n  0: Devices\n  1: Deflector\n", "names: {0: Devices, '1': Deflector}\n",
                                   "names:\n- Devices\n- Deflector\nnc: 2\ntrain: ../../etc\n"])
def test_the_ways_to_name_classes(tmp_path, store, names):
    assert read_yolo(store, yolo(tmp_path / "y", "1 0.5 0.5 0.1 0.1\n", names)).taken == 1
    assert [a.slot for _, a in store.annotations()] == ["Deflector"]


@pytest.mark.parametrize("names", ["", "names: 3\n", "- a\n", "names: [a\n", "nc: 2\n", "!!python/object/apply:os.system [exit]\n"])
def test_classes_without_names(tmp_path, store, names):
    folder = yolo(tmp_path / "y", "1 0.5 0.5 0.1 0.1\n", names)
    if names == "names: 3\n": assert read_yolo(store, folder).refused == 1
    else:
        with pytest.raises(InputError, match="names no classes"): read_yolo(store, folder)
    with pytest.raises(InputError, match="neither data.yaml"): read_yolo(store, tmp_path / "nothing")


@pytest.mark.parametrize(("picture", "label"), [("images/train/a.png", "labels/train/a.txt"), ("train/images/a.jpeg", "train/labels/a.txt"), ("a.PNG", "a.txt"),
                                                ("images/a.b.png", "labels/a.b.txt"), ("images/images/a.png", "images/labels/a.txt")])
def test_the_usual_arrangements(tmp_path, store, picture, label):
    for file in (tmp_path / "y" / picture, tmp_path / "y" / label): file.parent.mkdir(parents=True, exist_ok=True)
    noise(1).save(tmp_path / "y" / picture)
    (tmp_path / "y" / label).write_text("0 0.5 0.5 0.1 0.1\n", encoding="utf-8")
    (tmp_path / "y/classes.txt").write_text("Devices\n", encoding="utf-8")
    balance = read_yolo(store, tmp_path / "y")
    assert (balance.images, balance.boxes, balance.taken) == (1, 1, 1), str(balance)


def test_labels_and_pictures_that_lost_each_other(tmp_path, store):
    folder = yolo(tmp_path / "y", "0 0.5 0.5 0.1 0.1\n")
    noise(2).save(folder / "images/b.png")
    (folder / "images/torn.png").write_bytes(png(noise(3))[:900])
    for name in ("torn", "gone"): (folder / f"labels/{name}.txt").write_text("0 0.5 0.5 0.1 0.1\n1 0.5 0.5 0.1 0.1\n", encoding="utf-8")
    balance = read_yolo(store, folder)
    assert (balance.images, balance.boxes, balance.taken, balance.refused) == (3, 5, 1, 4) and "without boxes" in str(balance) and len(store.screenshots()) == 2


@pytest.mark.parametrize("side", ["", "{}", "[]", '{"images": []}', '{"images": {"a.png": 7}}',
                                  '{"images": {"a.png": {"boxes": [7, {"slot": "Devices"}, {"slot": 1, "bbox": [1, 2, 3, 4]}], "sha256": 5}}}'])
def test_a_damaged_side_file_costs_only_the_names(tmp_path, store, side):
    folder = yolo(tmp_path / "y", "0 0.5 0.5 0.1 0.1\n")
    (folder / "warp.json").write_text(side, encoding="utf-8")
    assert read_yolo(store, folder).taken == 1


# what a person said stands above what a file says

def test_drawn_boxes_join_those_that_wait(tmp_path, store):
    file = coco(tmp_path / "c", [box(1), box(2, [100, 20, 46, 56]), box(3, [200, 20, 46, 56])])
    sha = store.add(tmp_path / "c/a.png")
    store.draw(sha, [Word(Box(10, 20, 46, 56), "Devices", "Mine"), Word(Box(10, 120, 46, 56), "Shield", "Also Mine")])
    said = store.confirm(sha, Box(100, 20, 46, 56), "Devices", "Battery")
    balance = read_coco(store, file)
    assert (balance.taken, balance.unchanged) == (1, 2)
    drawn = {("pending", 10, "Mine"), ("pending", 10, "Also Mine"), ("pending", 200, "")}
    assert {(a.state, a.bbox.x, a.name) for _, a in store.annotations()} == drawn | {("confirmed", 100, "Battery")}
    assert said in [a for _, a in store.annotations()]


def test_confirming_needs_names_and_room(tmp_path):
    store = Store(tmp_path / "t", Vocabulary.load())
    categories = [{"id": i, "name": name} for i, name in enumerate(("Devices", "Deflector", "Ship Name", "Ship Type"), 1)]
    boxes = [box(1), *(box(i, [100 * i - 100, 20, 46, 56], category_id=2, name="Solanae Deflector Array") for i in (2, 3)), box(4, [10, 120, 46, 56], name="No Such Battery"),
             *(box(i, [100 * i - 490, 200, 90, 20], category_id=i - 2, name="U.S.S. Secret") for i in (5, 6))]
    balance = read_coco(store, coco(tmp_path / "c", boxes, categories=categories), state="confirmed")
    assert (balance.taken, balance.mended, balance.refused) == (1, 1, 4), str(balance)
    assert [(a.slot, a.state, a.name) for _, a in store.annotations()] == [("Deflector", "confirmed", "Solanae Deflector Array"), ("Ship Name", "confirmed", "")]
    store.close()
    assert "Secret" not in str(balance) + (tmp_path / "t/annotations.json").read_text(encoding="utf-8"), "of a ship's name nothing is kept or told"
    with pytest.raises(InputError, match="when a person has seen to them"): read_coco(store, tmp_path / "c/boxes.json", state="candidate")


def test_times_are_believed_only_when_they_have_passed(tmp_path, store):
    said = ["2026-01-02T03:04:05Z", "2999-01-01T00:00:00Z", "soon", 7]
    file = coco(tmp_path / "c", [box(i, [70 * i + 1, 20, 46, 56], name="Battery", attributes={"confirmed_at": when}) for i, when in enumerate(said)])
    assert read_coco(store, file, state="confirmed").taken == 4
    times = [a.confirmed_at for _, a in store.annotations()]
    assert times[0] == said[0] and all("2026-01-02" < when < "2999" for when in times[1:])


def test_another_crop_than_the_file_says_is_told(tmp_path, store):
    balance = read_coco(store, coco(tmp_path / "c", [box(name="Battery", attributes={"crop_sha256": "0" * 64})]), state="confirmed")
    assert balance.taken == 1 and "another one than the file says" in str(balance)


def test_a_balance_that_does_not_add_up_cannot_be_made():
    with pytest.raises(StoreError, match="5 boxes went in and 4"): Balance(1, 5, 1, 1, 1, 1, {})
    with pytest.raises(BoxError): whole_box((0, 0, 0, 0), *SIZE)


def test_boxes_alone_go_to_another_tool_and_come_back_moved(tmp_path, store):
    "Without pictures: the store knows its own screenshots by sha256, and by the name they went out under if a tool drops what it does not know."
    sha = store.add(png(noise(1)), "overview.png")
    for x in (10, 100): store.confirm(sha, Box(x, 20, 46, 56), "Devices", "Battery")
    write_coco(store, tmp_path / "boxes.json")
    record = json.loads((tmp_path / "boxes.json").read_text(encoding="utf-8"))
    record["annotations"][1]["bbox"][0] = 103.6
    for left_out in ((), ("sha256",), ("sha256", "width", "height", "screen_type")):
        record["images"] = [{key: value for key, value in image.items() if key not in left_out} for image in record["images"]]
        (tmp_path / "moved.json").write_text(json.dumps(record), encoding="utf-8")
        balance = read_coco(store, tmp_path / "moved.json")
        assert (balance.unchanged, balance.mended) == ((1, 1) if not left_out else (2, 0)), str(balance)
    assert [(a.state, a.bbox.x) for _, a in store.annotations()] == [("confirmed", 10), ("confirmed", 100), ("pending", 104)] and len(store.screenshots()) == 1


def test_a_screenshot_whose_picture_is_gone_can_be_drawn_on_but_not_confirmed(tmp_path):
    noise(1).save(tmp_path / "shot.png")
    store = Store(tmp_path / "t")
    sha = store.add(tmp_path / "shot.png")
    image = {"id": 1, "file_name": "shot.png", "sha256": sha, "screen_type": "SPACE_EQ"}
    (tmp_path / "shot.png").unlink()
    file, gone = coco(tmp_path / "c", [box(name="Battery")], [image]), Store(tmp_path / "t")
    balance = read_coco(gone, file, state="confirmed")
    assert (balance.refused, gone.annotations()) == (1, []) and "no longer where it was" in str(balance)
    assert read_coco(gone, file).taken == 1
