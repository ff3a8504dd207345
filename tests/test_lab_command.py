"`warp lab`: the desks reach a person who only ran pip, and stay as that person left them."
import json
import subprocess
import zipfile

import pytest

from warp.config import Config
from warp.desk.lab import lab_command, place_desks, shipped_desks

DESKS = ["confirm_icons.ipynb", "draw_boxes.ipynb", "label_screens.ipynb", "review_votes.ipynb"]


def test_the_wheel_carries_the_desks_as_they_are(wheel):
    with zipfile.ZipFile(wheel) as z:
        there = {name.rpartition("/")[2]: z.read(name).decode("utf-8") for name in z.namelist() if name.startswith("warp/static/desks/")}
    assert there == shipped_desks() and sorted(there) == DESKS


def test_without_jupyterlab_the_message_says_what_to_install(base_python, tmp_path):
    done = subprocess.run([base_python, "-c", "import sys; from warp.cli import main; sys.exit(main())", "lab", "--no-browser", "--home", tmp_path], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 1 and "pip install 'sets-warp[desk]'" in done.stderr and "Traceback" not in done.stderr
    assert sorted(nb.name for nb in (tmp_path / "desks").iterdir()) == DESKS, "copied from the installed package"


def test_an_edited_desk_stays(tmp_path):
    config = Config.load(home=tmp_path)
    folder = place_desks(config)
    (folder / "draw_boxes.ipynb").write_text("mine", encoding="utf-8")
    (folder / "label_screens.ipynb").unlink()
    place_desks(config)
    assert (folder / "draw_boxes.ipynb").read_text(encoding="utf-8") == "mine" and (folder / "label_screens.ipynb").is_file()
    assert "--no-browser" in lab_command(folder, browser=False)


@pytest.mark.parametrize("name", DESKS)
def test_a_desk_is_short_and_clean(name):
    cells = json.loads(shipped_desks()[name])["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert len(cells) <= 6 and not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)
    assert not any(word in source for source in code for word in ("def ", "class ", "for ", "if ", "while ")), "a desk has no logic"
