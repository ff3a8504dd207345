"One path from picture to boxes, and no silent way around it."
import json
import shutil
import sys

import numpy as np
import pytest
from PIL import Image

from warp.errors import ModelError
from warp.match.detector import (Contract, Detector, contract_file, decode_columns, decode_heat, decode_rows, fit_of, letterbox, mock_detector, open_onnx, read_contract,
                                 resolve_model, thin_out, versions, write_contract)

onnx = pytest.importorskip("onnx", reason="onnx comes with the train extra")
SIZE = (64, 48)


def network(path, layout="heat-map", classes=2, size=SIZE):
    "A network of that layout that gives zeros."
    from onnx import TensorProto, helper, numpy_helper
    w, h = size
    shapes = {"heat-map": [(1, classes, h // 4, w // 4), (1, 4, h // 4, w // 4)], "rows": [(1, 300, 6)], "columns": [(1, 4 + classes, 50)]}[layout]
    uint8 = layout == "heat-map"
    image = helper.make_tensor_value_info("image", TensorProto.UINT8 if uint8 else TensorProto.FLOAT, [1, h, w, 3] if uint8 else [1, 3, h, w])
    weights = [numpy_helper.from_array(np.zeros(s, np.float32), f"w{i}") for i, s in enumerate(shapes)]
    nodes = [helper.make_node("Identity", [f"w{i}"], [f"o{i}"]) for i in range(len(shapes))]
    outputs = [helper.make_tensor_value_info(f"o{i}", TensorProto.FLOAT, s) for i, s in enumerate(shapes)]
    onnx.save(helper.make_model(helper.make_graph(nodes, "zeros", [image], outputs, weights), opset_imports=[helper.make_opsetid("", 17)], ir_version=10), path)
    return path


def contract(layout="heat-map", **more) -> Contract:
    return Contract(("slot", "panel"), SIZE, layout, "uint8-nhwc" if layout == "heat-map" else "float-nchw", **more)


@pytest.mark.parametrize("layout", ["heat-map", "rows", "columns"])
def test_every_layout_is_read_by_contract(tmp_path, layout):
    model = network(tmp_path / "a.onnx", layout)
    write_contract(contract(layout), model)
    assert Detector.load(model)(Image.new("RGB", (320, 200))) == []


def test_a_layout_of_the_same_shape_is_not_guessed(tmp_path):  # (1, 300, 6) may be rows, or two classes in columns
    model = network(tmp_path / "a.onnx", "rows")
    write_contract(contract("columns"), model)
    with pytest.raises(ModelError, match="not the layout 'columns'"): Detector.load(model)


def test_a_missing_model_is_an_error_that_names_every_place_tried(tmp_path):  # pain 20
    with pytest.raises(ModelError) as told: open_onnx(tmp_path / "sto_detector_v6")
    assert "sto_detector_v6.onnx" in str(told.value) and "sto_detector_v6.pt" in str(told.value)
    with pytest.raises(ModelError, match="detector.onnx"): open_onnx(tmp_path, "sto")
    with pytest.raises(ModelError, match="gone.onnx"): open_onnx(tmp_path / "gone.onnx")


def test_the_substitute_comes_only_when_asked_for(tmp_path):  # pain 20
    assert [d.name for d in mock_detector(("slot",))(Image.new("RGB", (90, 60)))] == ["slot"]
    with pytest.raises(ModelError): open_onnx(tmp_path / "mock")


def test_the_highest_version_wins_by_number_and_onnx_before_pt(tmp_path):
    for name in ("sto_detector_v9.onnx", "sto_detector_v10.onnx", "sto_detector_v10.pt", "aoe2_detector_v11.onnx", "sto_detector_v12.onnx.part"): (tmp_path / name).touch()
    assert resolve_model(tmp_path, "sto").name == "sto_detector_v10.onnx"
    assert [v for v, _ in versions(tmp_path, "sto")] == [10, 10, 9] and resolve_model(tmp_path).name == "aoe2_detector_v11.onnx"
    (tmp_path / "sto_detector_v11.pt").touch()
    with pytest.raises(ModelError, match="needs torch"): open_onnx(tmp_path, "sto")
    assert resolve_model(tmp_path / "sto_detector_v9.pt").name == "sto_detector_v9.onnx"  # the .pt is missing, its sibling is there


def test_another_size_than_the_trained_one_is_an_error(tmp_path):  # pain 15
    model = network(tmp_path / "a.onnx")
    write_contract(contract(), model)
    with pytest.raises(ModelError, match="1280x1280 was asked for"): Detector.load(model, size=(1280, 1280))
    write_contract(Contract(("slot", "panel"), (640, 640)), model)
    with pytest.raises(ModelError, match="64x48 the network takes"): Detector.load(model)


def test_weights_and_words_that_do_not_belong_together_are_refused(tmp_path):
    model = network(tmp_path / "a.onnx")
    with pytest.raises(ModelError, match="no contract"): Detector.load(model)
    write_contract(contract(), model)
    data = bytearray(model.read_bytes())
    data[-9] ^= 1
    model.write_bytes(data)
    with pytest.raises(ModelError, match="sha256 differs"): Detector.load(model)
    network(model, classes=3)
    write_contract(contract(), model)
    with pytest.raises(ModelError, match="2 classes"): Detector.load(model)
    record = json.loads(contract_file(model).read_text(encoding="utf-8"))
    for change, what in (({"schema_version": 9}, "schema 9"), ({"classes": ["panel", "slot"]}, "class list"), ({"output": {"layout": "guess"}}, "layout 'guess'"), ({"input": {}}, "no detector contract")):
        contract_file(model).write_text(json.dumps(record | change), encoding="utf-8")
        with pytest.raises(ModelError, match=what): read_contract(model)
    assert Contract.from_json(record) == read_back(record)


def read_back(record: dict) -> Contract: return Contract.from_json(json.loads(json.dumps(Contract.from_json(record).to_json())))


def test_nothing_is_remembered_between_pictures():  # pain 14
    rng = np.random.default_rng(3)
    def run(fed):  # boxes whose places follow from the picture
        at = fed[0, :12, :2, 0] / 8.0
        return [np.column_stack([at, at + 20, fed[0, :12, 3, 0] / 255, np.zeros(12)])[None]]
    detector = Detector(run, Contract(("slot", "panel"), SIZE, "rows", "uint8-nhwc", nms_iou=None, confidence=0.0))
    pictures = [Image.fromarray(rng.integers(0, 255, (48, 64, 3), dtype=np.uint8)) for _ in range(6)]
    alone = [detector(img) for img in pictures]
    shuffled = {int(i): detector(pictures[i]) for i in rng.permutation(6)}
    assert [shuffled[i] for i in range(6)] == alone and any(alone)


def test_boxes_come_back_to_the_pixel_whatever_the_shape():
    for picture in ((1920, 1080), (1080, 1920), (63, 47), (3440, 1440)):
        fit, boxes = fit_of(picture, (960, 544)), np.array([[1, 2, picture[0] - 3, picture[1] - 4]], float)
        np.testing.assert_allclose(fit.back(fit.forth(boxes)), boxes, atol=1e-6)
        sheet, same = letterbox(Image.new("RGB", picture, "white"), (960, 544))
        assert same == fit and sheet.shape == (544, 960, 3)
        rows, cols = np.nonzero((sheet == 255).all(2))
        assert (cols.min(), rows.min()) == (fit.left, fit.top) and abs(cols.max() + 1 - fit.left - picture[0] * fit.scale) <= 1


def test_decoding_finds_what_was_laid_into_the_maps():
    rng = np.random.default_rng(5)
    heat, size, wanted = np.zeros((2, 20, 30), np.float32), np.zeros((4, 20, 30), np.float32), []
    for k in range(8):
        row, col, w, h = int(rng.integers(0, 6)) * 3, k * 3 + 2, float(rng.uniform(8, 30)), float(rng.uniform(8, 30))
        heat[k % 2, row, col] = .5 + k / 20
        size[:, row, col] = .25, .75, np.log(w / 4), np.log(h / 4)
        cx, cy = (col + .25) * 4, (row + .75) * 4
        wanted.append((k % 2, cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2))
    rows = decode_heat(heat, size, 4, .4)
    np.testing.assert_allclose(sorted((r[5], *r[:4]) for r in rows), sorted(wanted), atol=1e-3)
    assert (np.diff(rows[:, 4]) <= 0).all()
    columns = np.concatenate([np.array([[(r[0] + r[2]) / 2, (r[1] + r[3]) / 2, r[2] - r[0], r[3] - r[1]] for r in rows]).T, np.eye(2)[:, rows[:, 5].astype(int)] * rows[:, 4]])
    np.testing.assert_allclose(decode_columns(columns, .4), decode_rows(rows, .4), atol=1e-6)
    assert len(thin_out(np.vstack([rows, rows]), .5)) == len(rows)


def test_reading_with_a_detector_loads_no_torch(tmp_path):
    import subprocess
    model = network(tmp_path / "detector.onnx")
    write_contract(contract(), model)
    program = (f"from warp.match.detector import open_onnx; from PIL import Image; import warp.read.grid, sys; open_onnx({str(tmp_path)!r})(Image.new('RGB', (64, 48))); "
               "sys.exit(sorted({'torch', 'ultralytics', 'cv2', 'pycocotools'} & sys.modules.keys()) or 0)")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    shutil.rmtree(tmp_path)
