"What goes into training, and what must never get from there into what is measured."
import json
import random
import threading
from base64 import b64decode
from collections import Counter
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from warp.detect.labels import LabelBox, LabelledImage, LabelSet, read_set
from warp.detect.merge import gather, grouped, merge_sets, read_merged, split_groups
from warp.detect.profile import load_profile
from warp.detect.select import Looked, by_words, choose, dinox, doubt, hard_cases, in_tiles, next_batch, phrases_of, thumbnail, yoloe
from warp.errors import InputError, MissingExtra, ModelError, PrivacyError
from warp.match.detector import Contract, Detection, Detector
from warp.records import Box

CLASSES = ("sheep", "fish", "farm")


def picture(folder: Path, name: str, seed: int, group: str, kinds: tuple[str, ...] = ("sheep",), **more) -> LabelledImage:
    folder.mkdir(exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (9, 16, 3), dtype=np.uint8)).resize((160, 90), Image.Resampling.BICUBIC).save(folder / name)
    return LabelledImage(folder / name, (160, 90), tuple(LabelBox(kind, Box(5 + 30 * i, 20, 20, 20)) for i, kind in enumerate(kinds)), group, **more)


def some_set(*images: LabelledImage) -> LabelSet: return LabelSet(CLASSES, images, "toy", "d")


@pytest.fixture
def session_set(tmp_path) -> LabelSet:
    return some_set(*(picture(tmp_path / "a", f"{i}.png", i, f"match {i // 4}") for i in range(40)))


def test_splits_share_no_session_and_are_made_before_oversampling(session_set, tmp_path):  # pain 11
    merged = merge_sets([session_set], tmp_path / "out", oversample_real=10)
    groups = merged.summary["real_groups"]
    assert all(groups.values()) and not (set(groups["train"]) & set(groups["val"]) or set(groups["train"]) & set(groups["test"]) or set(groups["val"]) & set(groups["test"]))
    assert sum(map(len, groups.values())) == 10
    listed = Counter(img.file.name for img in read_merged(merged.folder, "train"))
    assert set(listed.values()) == {10} and len(listed) == merged.summary["real_train"]
    assert max(Counter(img.file.name for split in ("val", "test") for img in read_merged(merged.folder, split)).values()) == 1
    assert merged.summary["per_class"]["sheep"]["real_train"] == merged.summary["real_train"]  # unique, however often listed


def test_near_duplicates_of_two_sessions_are_not_split(tmp_path):  # pain 11
    a, b = picture(tmp_path / "a", "a.png", 1, "match 0"), picture(tmp_path / "a", "b.png", 1, "match 1")
    img = Image.open(b.file)
    img.putpixel((3, 3), (0, 0, 0))
    img.save(b.file)
    groups, joined = grouped([a, b, picture(tmp_path / "a", "c.png", 2, "match 2")])
    assert groups[0] == groups[1] != groups[2] and joined == 1


def test_a_split_does_not_depend_on_the_order_of_pictures():
    groups = [f"g{i % 13}" for i in range(70)]
    shares = {"train": .7, "val": .15, "test": .15}
    wanted = split_groups(groups, shares, 42)
    assert split_groups(random.Random(3).sample(groups, len(groups)), shares, 42) == wanted
    assert split_groups(groups, shares, 43) != wanted and set(wanted.values()) == {"train", "val", "test"}


def test_verified_empty_pictures_stay_and_unlabelled_ones_do_not(tmp_path):  # pain 10
    empty = picture(tmp_path / "a", "empty.png", 1, "g", (), verified_empty=True)
    unlabelled = picture(tmp_path / "a", "new.png", 2, "g", ())
    proposed = replace(picture(tmp_path / "a", "p.png", 3, "g"), boxes=(LabelBox("sheep", Box(1, 1, 9, 9), .9, "v1", reviewed=False),))
    pile = gather([some_set(empty, unlabelled, proposed)])
    assert pile.images == [empty] and pile.unlabelled == ["new.png", "p.png"]
    merged = merge_sets([some_set(empty, picture(tmp_path / "a", "s.png", 4, "h"))], tmp_path / "out")
    kept = [img for split in ("train", "val", "test") for img in read_merged(merged.folder, split)]
    assert [img.verified_empty for img in kept if not img.boxes] == [True]


def test_the_first_export_wins_by_what_the_picture_is_not_by_its_name(tmp_path):
    first = picture(tmp_path / "a", "x.png", 1, "g", ("fish",))
    again, other = picture(tmp_path / "b", "renamed.png", 1, "g", ("sheep",)), picture(tmp_path / "b", "x.png", 2, "g")
    pile = gather([some_set(first), some_set(again, other)])
    assert pile.images == [first, other] and pile.again == ["renamed.png"]
    merged = merge_sets([some_set(first), some_set(other)], tmp_path / "out")  # two pictures of one name, both kept
    names = [img.file.name for split in ("train", "val", "test") for img in read_merged(merged.folder, split)]
    assert len(set(names)) == 2 and all(name.startswith("real_") for name in names)


def test_the_dataset_file_names_an_absolute_folder_and_nothing_stale_is_mixed_in(session_set, tmp_path, monkeypatch):  # pains 4 and 22
    monkeypatch.chdir(tmp_path)
    merged = merge_sets([session_set], "relative")
    told = yaml.safe_load((merged.folder / "dataset.yaml").read_text(encoding="utf-8"))
    assert told["path"] == str(tmp_path / "relative") and list(told["names"]) == [0, 1, 2]
    assert all((merged.folder / line).is_file() for line in (merged.folder / "train.txt").read_text(encoding="utf-8").split())
    with pytest.raises(InputError, match="not empty"): merge_sets([session_set], "relative")
    for split in ("train", "val", "test"): read_set(merged.folder / split, verify=True)


def test_classes_that_no_real_picture_shows_are_named(tmp_path):
    real = some_set(*(picture(tmp_path / "a", f"{i}.png", i, f"m{i}") for i in range(6)))
    made = some_set(*(picture(tmp_path / "b", f"s{i}.png", 50 + i, f"s{i}", ("fish",), source="synthetic") for i in range(10)))
    summary = merge_sets([real, made], tmp_path / "out").summary
    assert summary["zero_real_classes"] == ["fish", "farm"] and summary["synthetic_val"] == 2 and summary["synthetic_test"] == 0


def test_doubt_does_not_grow_with_the_number_of_boxes():  # pain 16
    def boxes(*scores): return [Detection("tree", s, 0, 0, 9, 9) for s in scores]
    assert doubt(boxes(*[.1] * 6)) < doubt([]) and doubt(boxes(.3)) == pytest.approx(doubt(boxes(*[.3] * 40)))


def test_what_a_model_found_is_kept_by_model_and_bytes(tmp_path):  # pain 16
    file, calls = tmp_path / "a.png", []
    def look(img): calls.append(img.size); return [Detection("sheep", .5, 1, 2, 3, 4)]
    for model, colour in (("v1", "red"), ("v1", "red"), ("v2", "red"), ("v2", "blue")):
        Image.new("RGB", (20, 10), colour).save(file)
        assert Looked(tmp_path / "kept", model)(file, look) == [Detection("sheep", .5, 1, 2, 3, 4)]
    assert len(calls) == 3
    with pytest.raises(InputError, match="whose|which model"): Looked(tmp_path, "")


def test_one_scene_is_not_chosen_twenty_times(tmp_path):
    rng = np.random.default_rng(1)
    base, others = Image.effect_noise((64, 36), 60), [Image.fromarray(rng.integers(0, 255, (9, 16, 3), dtype=np.uint8)).resize((64, 36)) for _ in range(5)]
    looks = np.stack([thumbnail(img) for img in [base] * 20 + others])
    assert len(set(choose([.8] * 20 + [.5] * 5, looks, 6)) & set(range(20, 25))) >= 4


def test_proposals_keep_score_and_source_and_are_not_reviewed(tmp_path):  # pain 18
    profile = load_profile("aoe2")
    files = [picture(tmp_path / "a", f"{i}.png", i, "g").file for i in range(4)]
    done = [replace(picture(tmp_path / "b", "copy.png", 2, "g"))]  # the third picture under another name
    batch = next_batch(files, lambda img: [Detection("sheep", .41, 2, 3, 20, 20), Detection("tree", .2, 2, 3, 20, 20)], profile, "aoe2_detector_v3", count=10, done=done)
    assert batch.labelled_before == 1 and {img.file.name for img in batch.labels.images} == {"0.png", "1.png", "3.png"}
    box, = batch.labels.images[0].boxes
    assert (box.class_name, box.score, box.source, box.reviewed) == ("sheep", .41, "aoe2_detector_v3", False)


def test_tiles_are_refused_at_another_scale_than_the_trained_one():  # pain 15
    detector = Detector(lambda fed: [np.zeros((1, 1, 6))], Contract(("a",), (64, 64), "rows", about={"picture": [128, 128]}))
    with pytest.raises(InputError, match="trained at 0.50"): in_tiles(detector, scale=1.0)
    with pytest.raises(InputError, match="does not say"): in_tiles(Detector(detector.run, Contract(("a",), (64, 64), "rows")))
    assert in_tiles(detector, scale=.5)(Image.new("RGB", (900, 300))) == []


def test_words_come_back_as_classes_and_hard_cases_least_sure_first():
    profile = load_profile("aoe2")
    asked = phrases_of(profile)
    assert set(asked.values()) == set(profile.names) and all(phrase == phrase.lower() for phrase in asked)
    found = by_words(lambda img, phrases: [(p.upper(), .1 + i / 100, (0, 0, 5, 5)) for i, p in enumerate(phrases)], profile)(Image.new("RGB", (9, 9)))
    assert len(found) == len(asked)
    assert [file for file, _ in hard_cases({"x": [Detection("camel_line", .3, 0, 0, 1, 1)], "y": [Detection("camel_line", .2, 0, 0, 1, 1)], "z": [Detection("tree", .2, 0, 0, 1, 1)]}, profile.confusable)] == ["y", "x"]


def test_a_missing_extra_says_what_to_install(monkeypatch):
    import builtins
    real = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", lambda name, *a, **k: (_ for _ in ()).throw(ImportError(name)) if name == "ultralytics" else real(name, *a, **k))
    with pytest.raises(MissingExtra, match=r"sets-warp\[ultralytics\]"): yoloe()


class Hosted(BaseHTTPRequestHandler):
    "A server that speaks as DINO-X's does: a question gets a number, and one asks again until it is answered."
    protocol_version, key, asked, states = "HTTP/1.1", "k3y", [], []

    def say(self, data: dict | None, code: int = 0, msg: str = "ok") -> None:
        body = json.dumps({"code": code, "msg": msg, "data": data}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.headers["Token"] != self.key: return self.say(None, 10001, "no such token")
        self.asked.append((self.path, body))
        self.say({"task_uuid": "t1"})

    def do_GET(self) -> None:
        assert self.path == "/v2/task_status/t1"
        self.say(self.states.pop(0) if len(self.states) > 1 else self.states[0])

    def log_message(self, *_: object) -> None: pass


@pytest.fixture
def hosted():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hosted)
    Hosted.asked.clear()
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_hosted_model_is_asked_by_words_and_answers_in_the_pictures_pixels(hosted):
    profile, img = load_profile("aoe2"), Image.new("RGB", (3072, 1728))
    Hosted.states = [{"status": "running"}, {"status": "success", "result": {"objects": [{"category": "sheep", "score": .7, "bbox": [10, 20, 40, 60]}, {"category": "a cloud", "score": .9, "bbox": [0, 0, 9, 9]}]}}]
    assert by_words(dinox(profile, "k3y", hosted), profile)(img) == [Detection("sheep", .7, 20, 40, 60, 80)]  # seen at half its size
    (path, body), = Hosted.asked
    assert path == "/v2/task/dinox/detection" and set(body["prompt"]["text"].split(".")) == set(phrases_of(profile))
    assert Image.open(BytesIO(b64decode(body["image"].partition(",")[2]))).size == (1536, 864)


@pytest.mark.parametrize(("state", "says"), [({"status": "failed", "error": "too dark"}, "too dark"), ({"status": "waiting"}, "within 0 s"), ({"status": "success"}, "another form")])
def test_a_hosted_model_without_an_answer_says_why(hosted, state, says):
    Hosted.states = [state]
    with pytest.raises(ModelError, match=says): dinox(load_profile("aoe2"), "k3y", hosted, patience_s=0)(Image.new("RGB", (64, 36)), ["sheep"])


def test_what_a_hosted_model_needs_is_told_and_windows_are_never_sent(hosted, monkeypatch):
    aoe2 = load_profile("aoe2")
    monkeypatch.delenv("DINOX_API_KEY", raising=False)
    with pytest.raises(InputError, match="DINOX_API_KEY"): dinox(aoe2)
    with pytest.raises(ModelError, match="no such token") as wrong: dinox(aoe2, "s3cret", hosted)(Image.new("RGB", (64, 36)), ["sheep"])
    assert "s3cret" not in str(wrong.value)
    with pytest.raises(ModelError, match="could not be asked"): dinox(aoe2, "k3y", "http://127.0.0.1:9")(Image.new("RGB", (64, 36)), ["sheep"])
    monkeypatch.setenv("DINOX_API_KEY", "k3y")
    with pytest.raises(PrivacyError, match="own name"): dinox(load_profile("sto"), address=hosted)
    assert not Hosted.asked
