"The model's side at recognition: galleries, scores, and three files that must belong together."
import json

import numpy as np
import pytest
from PIL import Image

from warp.config import Config
from warp.errors import ModelError
from warp.match.cascade import with_new_icons
from warp.match.model import (Calibration, Gallery, IconModel, file_sha256, load_gallery, name_vectors, onnx_session, save_gallery, scores_of, screen_input)
from warp.match.templates import icon_files


def unit(*rows): return np.array([np.array(r, np.float32) / np.linalg.norm(r) for r in rows], np.float32)


GALLERY = Gallery(["B", "A", "__empty__", "A"], unit((0, 1, 0), (1, 0, 0), (0, 0, 1), (1, 0, 1)), ["both"] * 4)
SHARP = Calibration(0.05, 0.4, 0.2, 0.0)


def averager(path, numbers=3):
    "A network that gives the mean colour, cut to so many numbers."
    import onnx
    from onnx import TensorProto, helper, numpy_helper
    nodes = [helper.make_node("Cast", ["crops"], ["x"], to=TensorProto.FLOAT), helper.make_node("ReduceMean", ["x"], ["m"], axes=[1, 2], keepdims=0),
             helper.make_node("MatMul", ["m", "w"], ["v"]), helper.make_node("LpNormalization", ["v"], ["vectors"], axis=1, p=2)]
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("crops", TensorProto.UINT8, ["n", 64, 64, 3])],
                              [helper.make_tensor_value_info("vectors", TensorProto.FLOAT, ["n", numbers])], [numpy_helper.from_array(np.eye(3, numbers, dtype=np.float32), "w")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), str(path))


@pytest.fixture
def folder(tmp_path):
    averager(tmp_path / "icon_embedder.onnx")
    save_gallery(GALLERY, tmp_path / "icon_gallery.npz")
    describe(tmp_path)
    return tmp_path


def describe(folder, **changes):
    meta = {"n_names": 3, "temperature": 0.05, "unknown_cosine": 0.4, "min_score": 0.2, "min_margin": 0.0,
            "files": {n: file_sha256(folder / n) for n in ("icon_embedder.onnx", "icon_gallery.npz")}} | changes
    (folder / "icon_embedder_meta.json").write_text(json.dumps(meta), encoding="utf-8")


def test_a_name_is_as_near_as_its_nearest_point():
    cosines = GALLERY.cosines(unit((1, 0, 1)))
    assert list(GALLERY.items) == ["A", "B", "__empty__"] and len(GALLERY) == 3
    assert cosines[0, 0] == pytest.approx(1.0)


def test_only_allowed_names_and_the_virtual_ones_take_part():
    red, dark = name_vectors(unit((1, 0.1, 0), (0, 0, 1)), GALLERY, [frozenset({"B"}), frozenset({"B"})], SHARP)
    assert red.name != "A" and "A" not in dict(red.alternatives)
    assert dark.name is None and dark.alternatives[0][0] == "__empty__" and dark.score > 0.9
    assert name_vectors(unit((1, 0, 0)), GALLERY, [None], SHARP)[0].name == "A"


def test_a_single_candidate_is_not_certain_of_everything():
    assert name_vectors(unit((1, -1, 0)), GALLERY, [frozenset({"B"})], SHARP)[0].name is None
    assert name_vectors(unit((0, 1, 0)), GALLERY, [frozenset({"B"})], SHARP)[0].score > 0.9


def test_names_unknown_to_the_gallery_give_no_answer_and_no_error():
    match, = name_vectors(unit((1, 0, 0)), GALLERY, [frozenset({"Never Seen"})], SHARP)
    assert match.name is None and match.by == "model"
    bare = Gallery(["A"], unit((1, 0, 0)), ["crops"])
    assert name_vectors(unit((1, 0, 0)), bare, [frozenset({"Z"})], SHARP) == [match.__class__(None, 0.0, "model", ())]


def test_scores_are_shares_and_thresholds_silence():
    scores = scores_of(GALLERY.cosines(unit((1, 1, 0))), np.ones((1, 3), bool), SHARP)
    assert (scores >= 0).all() and scores.sum() < 1
    tie = unit((1, 1, 0))
    assert name_vectors(tie, GALLERY, [None], SHARP)[0].known
    assert not name_vectors(tie, GALLERY, [None], Calibration(0.05, 0.4, 0.2, 0.1))[0].known
    assert not name_vectors(tie, GALLERY, [None], Calibration(0.05, 0.4, 0.9, 0.0))[0].known


def test_gallery_survives_its_file_and_damage_is_named(tmp_path):
    save_gallery(GALLERY, tmp_path / "g.npz")
    again = load_gallery(tmp_path / "g.npz")
    assert list(again.names) == list(GALLERY.names) and np.abs(again.centroids - GALLERY.centroids).max() < 1e-3
    data = (tmp_path / "g.npz").read_bytes()
    (tmp_path / "g.npz").write_bytes(data[:len(data) // 2])
    with pytest.raises(ModelError, match="is no gallery"): load_gallery(tmp_path / "g.npz")
    np.savez(tmp_path / "short.npz", names=np.array(["A", "B"]), centroids=np.zeros((1, 3), np.float16), kind=np.array(["both", "both"]))
    with pytest.raises(ModelError, match="one of each per point"): load_gallery(tmp_path / "short.npz")
    np.savez(tmp_path / "pickled.npz", names=np.array(["A", None], object), centroids=np.zeros((2, 3)), kind=np.array(["a", "b"]))
    with pytest.raises(ModelError): load_gallery(tmp_path / "pickled.npz")


def test_three_files_load_together(folder):
    model = IconModel.load(folder)
    red = np.zeros((2, 64, 64, 3), np.uint8)
    red[..., 0] = 200
    assert [m.name for m in model(red, [frozenset({"A", "B"})] * 2)] == ["A", "A"]
    assert model.embed(red[:0]).shape == (0, 3) and model(red[:0], []) == []
    assert model.embed(np.repeat(red, 150, 0)).shape == (300, 3)


def test_files_of_two_trainings_do_not(folder):
    averager(folder / "icon_embedder.onnx", numbers=2)
    with pytest.raises(ModelError, match="not of one training"): IconModel.load(folder)
    describe(folder)
    with pytest.raises(ModelError, match="gives 2 numbers"): IconModel.load(folder)
    averager(folder / "icon_embedder.onnx")
    describe(folder, n_names=4)
    with pytest.raises(ModelError, match="counts 4 names"): IconModel.load(folder)


def test_missing_and_torn_files_are_named(folder, tmp_path_factory):
    with pytest.raises(ModelError, match="warp update"): IconModel.load(tmp_path_factory.mktemp("none"))
    (folder / "icon_embedder.onnx").write_bytes(b"not a network")
    with pytest.raises(ModelError, match="onnxruntime"): onnx_session(folder / "icon_embedder.onnx")
    (folder / "icon_embedder_meta.json").write_text("{", encoding="utf-8")
    with pytest.raises(ModelError, match="no JSON"): IconModel.load(folder)


def test_wrong_pictures_are_refused(folder):
    with pytest.raises(ModelError, match="expected uint8"): IconModel.load(folder).embed(np.zeros((1, 64, 64, 3), np.float32))


@pytest.mark.parametrize("size", [(1920, 1080), (1080, 1920), (800, 800), (100, 60), (224, 126)])
def test_screens_are_framed_alike_at_training_and_reading(size):
    img = Image.effect_noise(size, 60).convert("RGB")
    sent = img.copy()
    sent.thumbnail((224, 224))
    assert screen_input(img).shape == (224, 224, 3)
    assert (screen_input(img) == screen_input(sent)).all() and img.size == size


def host_icons(config, **colours):
    "The host's folder: a plain frame in each of these colours."
    config.images.mkdir(parents=True, exist_ok=True)
    for name, colour in colours.items():
        icon = Image.new("RGBA", (49, 64), (10, 10, 10, 255))
        icon.paste((*colour, 255), (8, 8, 41, 56))
        icon.save(config.images / f"{name}.png")


def wiser_than(model, folder, config): return with_new_icons(model, icon_files(config.images), folder, config.home / "cache/new_icons.npz")


def test_what_the_host_shows_and_the_gallery_lacks_is_known_at_once(folder, tmp_path, monkeypatch):
    config = Config(tmp_path / "home", str(tmp_path / "hub"), host_dir=tmp_path / "host")
    host_icons(config, A=(0, 0, 255), New=(0, 200, 220), __empty__=(200, 200, 200))
    model = IconModel.load(folder)
    wiser = wiser_than(model, folder, config)
    assert list(wiser.gallery.items) == ["A", "B", "New", "__empty__"] and (wiser.gallery.names == "A").sum() == 2  # A keeps its own two points
    assert (wiser.gallery.names == "__empty__").sum() == 1  # no picture ever stands for an empty place
    crop = np.full((1, 64, 64, 3), 5, np.uint8)
    crop[:, 10:54, 10:54] = (0, 190, 210)
    assert wiser(crop, [frozenset({"A", "New"})])[0].name == "New"
    assert wiser(crop, [frozenset({"A"})])[0].name != "New"

    def never(*_): raise AssertionError("the kept points were not used")
    with monkeypatch.context() as m:
        m.setattr(IconModel, "icon_points", never)
        again = wiser_than(IconModel.load(folder), folder, config)
    assert np.allclose(again.gallery.centroids, wiser.gallery.centroids, atol=2e-3)
    host_icons(config, Newer=(220, 200, 0))
    assert "Newer" in wiser_than(model, folder, config).gallery.items  # a changed folder is looked at again
    (config.home / "cache/new_icons.npz").write_bytes(b"torn")
    assert "Newer" in wiser_than(model, folder, config).gallery.items


def test_no_host_no_new_icons(folder, tmp_path):
    model = IconModel.load(folder)
    assert with_new_icons(model, [], folder, tmp_path / "new_icons.npz") is model


def test_the_items_of_a_slot_are_kept_and_right():
    gallery = Gallery(["B", "A", "__empty__", "A"], unit((0, 1, 0), (1, 0, 0), (0, 0, 1), (1, 1, 0)), ["both"] * 4)
    part = gallery.among(frozenset({"A"}))
    assert part.items.tolist() == ["A", "__empty__"] and gallery.among(None) is gallery and part is gallery.among(frozenset({"A"}))
    assert np.allclose(part.cosines(unit((1, 1, 0), (0, 1, 0))), [[1, 0], [0.5 ** 0.5, 0]], atol=1e-6)


def test_each_vector_is_compared_within_its_own_slot_and_answers_keep_their_order():
    gallery = Gallery(["A", "B", "C"], unit((1, 0, 0), (0, 1, 0), (0, 0, 1)), ["both"] * 3)
    allowed = [frozenset("A"), frozenset("BC"), frozenset("A"), None, frozenset("BC")]
    vectors = unit((1, 0, 0), (0, 0, 1), (0, 1, 0), (0, 1, 0), (0, 1, 0))
    assert [m.name for m in name_vectors(vectors, gallery, allowed, SHARP)] == ["A", "C", None, "B", "B"]
