"The whole loop, killed three times on its way; what it leaves opens with older clients' rules, with ours, and with nothing but the wheel."
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

STAGES = 9
PLAYERS, STEPS = 5, 60
OURS = {"icon_embedder.onnx", "icon_gallery.npz", "icon_embedder_meta.json", "icon_embedder.safetensors", "icon_classifier.pt", "label_map.json", "icon_classifier_meta.json", "screen_classifier.onnx",
        "screen_classifier.pt", "screen_classifier_labels.json", "ship_type_corrections.json", "community_anchors.json", "training_manifest.json"}


def demo(folder: Path) -> subprocess.Popen:
    program = f"from warp.loop import demo; demo({str(folder)!r}, players={PLAYERS}, steps={STEPS})"
    return subprocess.Popen([sys.executable, "-u", "-c", program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> Path:
    "A finished demo that was killed three times: while players confirm, while they send, and in training."
    folder = tmp_path_factory.mktemp("loop") / "demo"
    for last in (f"1/{STAGES} ", f"2/{STAGES} ", "references"):
        with demo(folder) as process:
            for line in process.stdout:
                if line.startswith(last): break
            process.kill()
    with demo(folder) as process: lines = process.stdout.read().splitlines()
    assert process.returncode == 0, lines
    assert [line.split("/")[0] for line in lines if line[:1].isdigit() and f"/{STAGES} " in line] == [str(n) for n in range(1, STAGES + 1)], lines
    assert sum("(done before)" in line for line in lines) == 4
    return folder


def test_every_file_of_a_release_is_published(done):
    served = done / "hub/datasets/sets-sto/warp-knowledge"
    release = json.loads((served / "models/model_version.json").read_text(encoding="utf-8"))
    assert release["serial"] == 1 and OURS <= {p.name for p in (served / "models").iterdir()}
    assert {"trained_at", "val_acc", "n_classes", "n_samples", "n_users", "version"} <= release.keys()
    knowledge = json.loads((served / "knowledge.json").read_text(encoding="utf-8"))
    assert knowledge["algorithm"] == "phash-dct-64" and knowledge["entries"] == len(knowledge["knowledge"])
    corrections = json.loads((served / "models/ship_type_corrections.json").read_text(encoding="utf-8"))
    assert corrections and all(read != right for read, right in corrections.items())


def test_staging_has_the_layout_of_the_seeds(done):
    staging = done / "hub/datasets/sets-sto/sto-icon-dataset/staging"
    assert len(list(staging.iterdir())) == PLAYERS
    line = json.loads(next(staging.glob("*/annotations/*.jsonl")).read_text(encoding="utf-8").splitlines()[0])
    assert {"crop_sha256", "name", "slot", "date", "confirmed_at"} <= line.keys()
    text = "".join(p.read_text(encoding="utf-8") for p in staging.glob("*/annotations/*.jsonl"))
    assert '"Ship Name"' not in text and "U.S.S." not in text
    assert all(max(Image.open(p).size) <= 224 for p in staging.glob("*/screen_types/*/*.png"))


def test_older_clients_can_load_the_classifier(done):
    torch, torchvision = pytest.importorskip("torch"), pytest.importorskip("torchvision")
    models = done / "hub/datasets/sets-sto/warp-knowledge/models"
    labels = json.loads((models / "label_map.json").read_text(encoding="utf-8"))
    assert list(labels) == [str(i) for i in range(len(labels))] and list(labels.values()) == sorted(labels.values())
    net = torchvision.models.efficientnet_b0(weights=None)
    net.classifier[1] = torch.nn.Linear(1280, len(labels))
    net.load_state_dict(torch.load(models / "icon_classifier.pt", weights_only=True), strict=True)
    with torch.inference_mode(): assert net.eval()(torch.zeros(1, 3, 224, 224)).shape == (1, len(labels))


def test_the_newcomer_gets_a_build(done):
    build = json.loads((done / "build.json").read_text(encoding="utf-8"))
    assert build["_version"] == 1 and len(build["space"]["fore_weapons"]) == 5 and len(build["ground"]["kit_modules"]) == 6
    assert any(build["space"]["fore_weapons"]) and "U.S.S." not in (done / "build.json").read_text(encoding="utf-8")
    assert len(list((done / "pictures").glob("*.png"))) == 7


def test_what_the_newcomer_gets_is_true(done):
    "A few steps of training make no good model, but then the pictures lead: right names, no name for an empty place, none from nowhere."
    scores = json.loads((done / "scores.json").read_text(encoding="utf-8"))
    def share(stage: str) -> float: return scores[stage]["right"] / scores[stage]["filled"]
    assert 0.5 < share("templates, one pose") <= 0.9, "the made world is too hard or too easy"
    assert share("cascade") >= 0.9 and scores["cascade"]["named_empty"] == 0 and share("model") > 0.2
    reading = json.loads((done / "reading.json").read_text(encoding="utf-8"))
    assert reading["right"] >= 0.85 * reading["filled"] and reading["named_empty"] == 0 and reading["invented"] <= 2 and reading["screen_types_right"] >= 5


def test_the_wheel_alone_reads_a_screenshot(done, base_python, tmp_path):
    "Another folder, no torch, no network: a published model and the command."
    shot = next((done / "screenshots").iterdir())
    home = tmp_path / "home"
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")} | {"WARP_HOME": str(home), "WARP_HUB": str(done / "hub"), "WARP_HOST_DIR": str(done / "host")}
    warp = base_python.with_name("warp.exe" if os.name == "nt" else "warp")
    for words in (["update"], ["read", str(shot), "--out", "build.json", "--picture", "seen.png"]):
        ran = subprocess.run([warp, *words], cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-2000:]
    assert json.loads((tmp_path / "build.json").read_text(encoding="utf-8"))["_version"] == 1
    assert np.asarray(Image.open(tmp_path / "seen.png")).std() > 10


def test_another_demo_in_the_same_folder_is_refused(done):
    from warp.errors import InputError
    from warp.loop import demo as run
    with pytest.raises(InputError, match="holds a demo of"): run(done, seed=8, players=PLAYERS, steps=STEPS)
