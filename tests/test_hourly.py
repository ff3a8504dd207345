"The hourly job as the workflow runs it: papermill in a process of its own, on a folder hub."
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest

pytest.importorskip("torch")
from community import NAMES, ROOT, crop, first_hour, papermill, places, put
from loopback_hub import LoopbackHub

from warp.config import read_json, write_json
from warp.match.model import Gallery, IconModel, file_sha256, save_gallery


def copied(hour: Path, to: Path) -> Path:
    "The community after its first hour, to change something in it."
    for part in ("hub", "home", "images"): shutil.copytree(hour / part, to / part)
    return to


def heads(folder: Path) -> tuple[str, str]:
    hub, config = places(folder)
    return hub.head(config.data_repo), hub.head(config.delivery_repo)


def shown(page: Path) -> str:
    "Everything that the page's cells show, errors included."
    outputs = [o for cell in nbformat.read(page, 4).cells if cell.cell_type == "code" for o in cell.outputs]
    return "\n".join(o.get("text") or "".join(o.get("traceback", [])) or "\n".join(map(str, o.get("data", {}).values())) for o in outputs)


def summary(page: Path) -> str:
    "What the workflow puts on its run's page."
    done = subprocess.run([sys.executable, ROOT / "dev/run_summary.py", page], capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def hour() -> Path: return first_hour()


def test_the_first_hour_trains_publishes_and_keeps_its_page(hour):
    hub, config = places(hour)
    assert json.loads(hub.read(config.delivery_repo, "models/model_version.json"))["serial"] == 1
    said = shown(hour / "run.ipynb")
    assert "| embedder |" in said and "'n_samples': 60" in said
    assert "| classifier |" in summary(hour / "run.ipynb") and "**Published** as release 1" in summary(hour / "run.ipynb")


def test_ten_relabels_make_it_train(hour, tmp_path):
    folder = copied(hour, tmp_path)
    hub, config = places(folder)
    put(hub, config, 4, [*NAMES[1:11], *NAMES[10:]], day=21)  # the same pictures, ten of them under another name
    done, _ = papermill(folder, tmp_path / "run.ipynb", images=folder / "images", out=folder / "out", steps=1)
    assert done.returncode == 0, done.stderr[-3000:]
    said = summary(tmp_path / "run.ipynb")
    assert "10 are new, relabelled or gone" in said and "| embedder |" in said and "all held-back crops" in said and "release 1 of " in said and "**Not published.**" in said
    record = json.loads((folder / "out" / "run.json").read_text(encoding="utf-8"))
    assert record["embedder"]["warm_names"] == 14 and record["data"]["held"] == 12 and record["curves"]["embedder"] and record["judged"]["all"]["n"] == 12
    earlier, later = (set(json.loads((at / "out" / "canary.json").read_text(encoding="utf-8"))["crop_shas"]) for at in (hour, folder))
    assert earlier <= later, "held back once, held back for ever"


def all_knowing(models: Path, pictures: np.ndarray, names: list[str]) -> None:
    "Gives the served embedder a gallery in which every one of these crops has a point of its own."
    model = IconModel.load(models)
    points = model.embed(pictures)
    gallery = Gallery(np.array([*model.gallery.names, *names]), np.concatenate([model.gallery.centroids, points]), np.array([*model.gallery.kind, *["crops"] * len(names)]))
    save_gallery(gallery, models / "icon_gallery.npz")
    meta = read_json(models / "icon_embedder_meta.json")
    write_json(models / "icon_embedder_meta.json", meta | {"files": meta["files"] | {"icon_gallery.npz": file_sha256(models / "icon_gallery.npz")}})


def test_a_worse_model_is_refused_and_the_page_says_so(hour, tmp_path):
    folder = copied(hour, tmp_path)
    hub, config = places(folder)
    for player in range(7, 19): put(hub, config, player)
    models = hub.folder(config.delivery_repo) / "models"
    (models / "icon_embedder.safetensors").unlink()  # so the next training starts from nothing and has one step
    rows = [(i, player) for player in (*range(5), *range(7, 19)) for i in range(len(NAMES))]
    all_knowing(models, np.stack([np.asarray(crop(i, player)) for i, player in rows]), [NAMES[i] for i, _ in rows])
    before = heads(folder)
    done, _ = papermill(folder, tmp_path / "run.ipynb", images=folder / "images", out=folder / "out", publish=True, steps=1)
    assert done.returncode == 1 and "GateError" in done.stderr and "the embedder names " in done.stderr
    assert heads(folder) == before and (folder / "out" / "run.json").is_file(), "what was trained is kept, and published is nothing"
    said = summary(tmp_path / "run.ipynb")
    assert "| embedder |" in said and "**the gate is shut**" in said and "release 1 stays" in said
    assert re.search(r"the embedder names \d+ of \d+ canary crops where the served one names \d+: it loses", said), said
    assert any("image/png" in o.get("data", {}) for cell in nbformat.read(tmp_path / "run.ipynb", 4).cells if "verdict.sheet" in cell.source for o in cell.outputs), "the lost crops as pictures"


def test_a_mistyped_parameter_is_no_hour_with_the_default(hour, tmp_path):
    done, _ = papermill(hour, tmp_path / "run.ipynb", out=tmp_path / "out", budget_minuts=1)
    assert done.returncode == 1 and "budget_minuts cannot be set here: expected some of hub, out" in done.stderr and not (tmp_path / "out").exists()


def test_with_nothing_new_it_ends_at_once_and_the_public_hub_is_left_alone(hour, tmp_path):
    hub, config = places(hour)
    with LoopbackHub() as there:
        for repo in (config.data_repo, config.delivery_repo):
            top = hub.folder(repo)
            there.create(repo, {p.relative_to(top).as_posix(): p.read_bytes() for p in top.rglob("*") if p.is_file()})
        done, seconds = papermill(tmp_path, tmp_path / "run.ipynb", environment={"WARP_HUB": "hf://", "HF_ENDPOINT": there.url, "HF_HUB_OFFLINE": "0"}, out=tmp_path / "out", publish=True)
        print(f"skipped in {seconds:.1f} s after {there.count()} requests")
        assert done.returncode == 0, done.stderr[-3000:]
        for said in (shown(tmp_path / "run.ipynb"), summary(tmp_path / "run.ipynb")):
            assert "nothing has changed since the served release was trained" in said and "**Not published.**" in said
        assert not (tmp_path / "out").exists() and not there.count("POST .*/(commit|preupload)/"), "nothing is written"
        assert not there.count(r"/resolve/.*\.(png|pt|safetensors|onnx)"), "neither pictures nor weights are asked for"
        assert there.count() <= 60
