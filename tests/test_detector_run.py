"The scheduled notebook of the detector, as papermill runs it."
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from warp.detect.labels import write_set
from warp.detect.profile import load_profile
from warp.detect.scenes import make_kit, make_scenes

ROOT = Path(__file__).resolve().parent.parent
@pytest.mark.long
def test_a_scheduled_run_makes_trains_measures_and_leaves_its_page(tmp_path):
    made = make_scenes(make_kit(load_profile("sto")), tmp_path / "made", 12, seed=5, size=(640, 360), workers=1).labels
    write_set(replace(made, images=tuple(replace(img, source="real", group=f"install {i % 6}") for i, img in enumerate(made.images))), tmp_path / "by people")  # stands in for screenshots of players
    command = [sys.executable, "-m", "papermill", "nbs/runs/train_detector.ipynb", str(tmp_path / "run.ipynb"), "--cwd", ".", "--no-progress-bar",
               "-p", "out", str(tmp_path / "detector"), "-p", "real", os.pathsep.join([str(tmp_path / "by people")]), "-p", "scenes", "8", "-p", "steps", "10", "-p", "size", "640x360"]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    page = (tmp_path / "run.ipynb").read_text(encoding="utf-8")
    told = "".join("".join(output.get("text", "")) + str(output.get("data", {})) for cell in json.loads(page)["cells"] for output in cell.get("outputs", []))
    assert "trained: 10 steps" in told and "real pictures: F1" in told and "| all |" in told
    assert (tmp_path / "detector/report.html").is_file() and (tmp_path / "detector/models/sto_detector_v1_contract.json").is_file()


def test_the_notebook_has_its_parameters():
    cells = json.loads((ROOT / "nbs/runs/train_detector.ipynb").read_text(encoding="utf-8"))["cells"]
    assert cells[0]["cell_type"] == "raw" and "skip_exec: true" in "".join(cells[0]["source"])
    told = "".join(next(cell for cell in cells if "parameters" in cell["metadata"].get("tags", []))["source"])
    assert {line.split(" = ")[0] for line in told.splitlines()} == {"profile", "out", "real", "game", "land", "water", "scenes", "size", "minutes", "steps", "oversample_real", "seed"}
