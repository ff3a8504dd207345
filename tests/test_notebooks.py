"Every source notebook runs from its top, as a reader would run it, and what is shown in it belongs to a run without errors."
import json
import os
import signal
from pathlib import Path

import pytest
from nbdev.config import get_config
from nbdev.test import test_nb as run_nb  # renamed: pytest would collect a name that starts with test_

ROOT = Path(__file__).resolve().parent.parent
NBS = ROOT / "nbs"
FLAGS = get_config(ROOT).tst_flags.split()
SOURCES = sorted([*NBS.glob("*.ipynb"), *NBS.glob("tutorials/*.ipynb")])  # desks wait for a hand and runs for parameters: they have tests of their own
ALL = sorted(p for p in NBS.rglob("*.ipynb") if ".ipynb_checkpoints" not in p.parts)
MAX_OUTPUT, MAX_NOTEBOOK = 400_000, 2_500_000  # bytes; a notebook is read in a browser and kept in git for ever


def relative(path: Path) -> str: return path.relative_to(NBS).as_posix()


@pytest.mark.parametrize("nb", SOURCES, ids=relative)
def test_notebook(nb, tmp_path, monkeypatch):
    monkeypatch.setenv("WARP_HOME", str(tmp_path))
    monkeypatch.delenv("WARP_UPDATE_HOURS")  # a lesson shows what a reader would see
    handler = signal.getsignal(signal.SIGINT)  # nbdev puts in one that ends the process
    environment = dict(os.environ)
    try: ok, _ = run_nb(nb, skip_flags=FLAGS, basepath=ROOT)
    finally:
        signal.signal(signal.SIGINT, handler)
        os.environ.clear()
        os.environ.update(environment)
    assert ok, f"{nb.name} failed: its traceback is under Captured stderr"


@pytest.mark.parametrize("nb", ALL, ids=relative)
def test_outputs_are_fit_to_show(nb):
    assert nb.stat().st_size < MAX_NOTEBOOK, f"{nb.name} has {nb.stat().st_size:,} bytes: show smaller pictures"
    for cell in json.loads(nb.read_text(encoding="utf-8"))["cells"]:
        for output in cell.get("outputs", []):
            assert output["output_type"] != "error", f"{nb.name}, cell {cell['id']} shows an error: run `dev/nb run` again"
            assert len(json.dumps(output)) < MAX_OUTPUT, f"{nb.name}, cell {cell['id']} has an output of more than {MAX_OUTPUT:,} bytes"


@pytest.mark.parametrize("nb", [p for p in ALL if p.parent.name in ("desks", "runs")], ids=relative)
def test_desks_and_runs_hold_no_logic(nb):
    cells = json.loads(nb.read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert not any("default_exp" in source or "\ndef " in f"\n{source}" or "\nclass " in f"\n{source}" for source in code)
    if nb.parent.name == "desks": assert len(cells) <= 6, f"{nb.name} has {len(cells)} cells: an annotator's page has at most six"
    else: assert sum("parameters" in cell["metadata"].get("tags", []) for cell in cells) == 1, f"{nb.name}: papermill wants one cell tagged parameters"
