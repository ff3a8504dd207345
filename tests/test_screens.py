"The screen model's edges: labels that do not fit, shares or scores, pictures of any shape."
import numpy as np
import pytest
from PIL import Image

from warp.config import write_json
from warp.errors import ModelError
from warp.read.screens import LABELS_FILE, MODEL_FILE, ScreenModel, read_labels
from warp.records import SCREEN_TYPES

onnx = pytest.importorskip("onnx")


def network(path, outputs: int, softmax: bool) -> None:
    "Gives its first outputs to red, green and blue, in that order."
    make = onnx.helper
    weights = np.zeros((3, outputs), np.float32)
    weights[:, :3] = np.eye(3) / 20
    nodes = [make.make_node("Cast", ["screens"], ["x"], to=onnx.TensorProto.FLOAT), make.make_node("ReduceMean", ["x"], ["m"], axes=[1, 2], keepdims=0),
             make.make_node("MatMul", ["m", "weights"], ["scores"])] + ([make.make_node("Softmax", ["scores"], ["shares"], axis=1)] if softmax else [])
    value, proto = make.make_tensor_value_info, onnx.TensorProto
    ends = [value("screens", proto.UINT8, ["n", 224, 224, 3])], [value("shares" if softmax else "scores", proto.FLOAT, ["n", outputs])]
    graph = make.make_graph(nodes, "screens", *ends, [onnx.numpy_helper.from_array(weights, "weights")])
    path.write_bytes(make.make_model(graph, opset_imports=[make.make_opsetid("", 17)], ir_version=9).SerializeToString())


@pytest.fixture
def folder(tmp_path):
    network(tmp_path / MODEL_FILE, 7, True)
    write_json(tmp_path / LABELS_FILE, {str(i): name for i, name in enumerate(SCREEN_TYPES)})
    return tmp_path


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P"])
def test_any_picture_can_be_asked_about(folder, mode):
    model = ScreenModel.load(folder)
    for size in ((1920, 1080), (300, 900), (64, 64)):
        answer = model(Image.new("RGB", size, (10, 200, 10)).convert(mode))
        assert answer.by == "screens" and len(answer.alternatives) == 7 and abs(sum(share for _, share in answer.alternatives) - 1) < 0.01
    assert model(Image.new("RGB", (1920, 1080), (10, 250, 10))).name == SCREEN_TYPES[1]


def test_below_one_half_there_is_no_name(folder):
    answer = ScreenModel.load(folder)(Image.new("RGB", (640, 360), (128, 128, 128)))
    assert answer.name is None and answer.score < 0.5 and answer.alternatives[0][1] == answer.score


def test_scores_without_a_softmax_give_the_same(folder, tmp_path):
    img, shares = Image.new("RGB", (640, 360), (120, 90, 60)), ScreenModel.load(folder)
    network(folder / MODEL_FILE, 7, False)
    assert np.allclose(ScreenModel.load(folder).shares([img]), shares.shares([img]), atol=1e-4)


def test_weights_and_labels_are_one_thing(folder):
    network(folder / MODEL_FILE, 8, True)
    with pytest.raises(ModelError, match="tells 8 screens apart and its labels name 7"): ScreenModel.load(folder)


@pytest.mark.parametrize("labels", [{}, {"0": "BOFFS", "2": "TRAITS"}, {"0": "SPACE"}, {"0": None}, ["BOFFS"]])
def test_bad_labels_are_refused(folder, labels):
    write_json(folder / LABELS_FILE, labels)
    with pytest.raises(ModelError, match="warp update"): read_labels(folder / LABELS_FILE)


def test_missing_and_torn_files(folder):
    (folder / MODEL_FILE).write_bytes(b"<html>404</html>")
    with pytest.raises(ModelError): ScreenModel.load(folder)
    (folder / LABELS_FILE).unlink()
    with pytest.raises(ModelError): ScreenModel.load(folder)
