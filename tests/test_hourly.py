"The hourly job as the workflow runs it: papermill in a process of its own, on a folder hub."
import json
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest

pytest.importorskip("torch")
from community import ROOT, first_hour, papermill, places, put
from loopback_hub import LoopbackHub

from warp.release.manifest import read_gallery


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


def test_a_worse_model_fails_the_run_with_the_gates_reason(hour, tmp_path):
    folder = copied(hour, tmp_path)
    hub, config = places(folder)
    gallery = hub.folder(config.delivery_repo) / "models" / "icon_gallery.npz"  # the served one knows twice as many items as anybody has labelled
    names, centroids = read_gallery(gallery)
    np.savez(gallery, names=np.array([*names, *(f"Lost Item {i}" for i in range(len(names)))]), centroids=np.concatenate([centroids, centroids]), kind=np.array(["crops"] * 2 * len(names)))
    put(hub, config, 7, turn=7)
    before = heads(folder)
    done, _ = papermill(folder, tmp_path / "run.ipynb", images=folder / "images", out=folder / "out", publish=True, steps=1)
    reason = f"icon_gallery.npz keeps {len(names)} of {2 * len(names)} served names"
    assert done.returncode == 1 and "GateError" in done.stderr and reason in done.stderr
    assert heads(folder) == before and "| embedder |" in shown(tmp_path / "run.ipynb"), "what was done until then is kept"
    assert (folder / "out" / "run.json").is_file(), "and so is the trained set"
    assert reason in summary(tmp_path / "run.ipynb") and "release 1 stays" in summary(tmp_path / "run.ipynb")


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
