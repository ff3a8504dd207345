"A small community on a folder hub, and the hourly job's first run over it: made once, used by every test that needs a real release."
import atexit
import functools
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import quote_plus

import numpy as np
from PIL import Image, ImageDraw

from warp.config import Config
from warp.data.crops import make_crop
from warp.hub import Add, FolderHub
from warp.knowledge.anchors import grid_file_name
from warp.knowledge.overrides import contribute, contribution
from warp.knowledge.vocabulary import Vocabulary
from warp.records import SCREEN_TYPES, Vote

ROOT = Path(__file__).resolve().parent.parent
NAMES = sorted(Vocabulary.load().names("Tactical Consoles"))[:12]
PLAYERS, SHIP = 5, "Fleet Support Cruiser"


def icon(i: int) -> Image.Image:
    "A clean icon as the host has it: 49 x 64 with transparent corners."
    rng = np.random.default_rng(i)
    img = Image.new("RGBA", (49, 64))
    back, front = (tuple(int(v) for v in rng.integers(60, 250, 3)) for _ in range(2))
    draw = ImageDraw.Draw(img)
    draw.ellipse((2, 6, 47, 58), fill=back)
    draw.regular_polygon((24, 32, 15), 3 + i % 5, fill=front)
    return img


def crop(i: int, player: int, turn: int = 0) -> Image.Image:
    "That icon as one player sees it."
    slot = Image.new("RGBA", (49, 64), (20, 30 + 12 * player, 45, 255))
    slot.alpha_composite(icon(i))
    noise = np.random.default_rng([i, player, turn]).normal(0, 5, (64, 64, 3))
    return Image.fromarray((np.asarray(slot.convert("RGB").resize((64, 64))) * (0.8 + 0.05 * player) + noise).clip(0, 255).astype(np.uint8))


def screen(kind: str, i: int) -> Image.Image:
    "A thumbnail with a panel whose shape tells the type, its names painted over."
    rng, at = np.random.default_rng([i, *kind.encode()]), SCREEN_TYPES.index(kind)
    img = Image.fromarray(rng.integers(0, 120, (4, 6, 3), dtype=np.uint8)).resize((224, 126))
    draw = ImageDraw.Draw(img)
    draw.rectangle((20 + 20 * at, 50, 60 + 20 * at, 60 + 8 * at), fill="#10161f", outline="#5a6b80")
    draw.rectangle((0, 0, 224, 40), fill="black")
    return img


def text_crop() -> Image.Image:
    img = Image.new("RGB", (180, 18), "black")
    ImageDraw.Draw(img).text((4, 3), SHIP, fill="white")
    return img


def grid(player: int) -> dict:
    "Where this player's panel keeps three slots."
    x = round(0.1 + 0.0002 * player, 5)
    slots = {slot: {"x0_rel": x, "y_rel": y, "w_rel": 0.024, "h_rel": 0.052, "step_rel": 0.029, "count": count}
             for slot, y, count in (("Fore Weapons", 0.2, 4), ("Tactical Consoles", 0.5, 5), ("Science Consoles", 0.6, 3))}
    return {"build_type": "SPACE_EQ", "aspect": 1.778, "resolution": "1920x1080", "slots": slots}


def put(hub: FolderHub, config: Config, player: int, names: list[str] = NAMES, day: int = 20, screens: int = 0, turn: int = 0) -> None:
    "What one install sends: crops with their lines, a misread ship type, screens, a layout."
    top, crops = f"staging/player-{player}", [make_crop(crop(i, player, turn)) for i in range(len(names))]
    said = [Vote(c.sha256, "", name, "Tactical Consoles", f"2026-11-{day}T10:{i:02}:00Z", screenshot16=f"{player:016x}") for i, (c, name) in enumerate(zip(crops, names))]
    text = make_crop(text_crop())
    said.append(Vote(text.sha256, "", SHIP, "Ship Type", f"2026-11-{day}T11:00:00Z", ml_name="F1eet Support Cruiser"))
    lines = "".join(json.dumps(vote.to_json()) + "\n" for vote in said).encode()
    where, drawn = grid(player), [(kind, make_crop(screen(kind, 10 * player + i)).png) for i in range(screens) for kind in SCREEN_TYPES]
    hub.commit(config.data_repo, [*(Add(f"{top}/crops/{c.sha256}.png", c.png) for c in [*crops, text]),
                                  Add(f"{top}/annotations/{hashlib.sha256(lines).hexdigest()[:32]}.jsonl", lines),
                                  Add(f"{top}/{grid_file_name(where)}", json.dumps(where).encode()),
                                  *(Add(f"{top}/screen_types/{kind}/{hashlib.sha256(png).hexdigest()}.png", png) for kind, png in drawn)], "sync")


def papermill(folder: Path, page: Path, notebook: str = "train", environment: dict[str, str] | None = None, **parameters: object) -> tuple[subprocess.CompletedProcess, float]:
    "Runs a notebook of nbs/runs on the community in `folder`, in a process of its own, as the workflow does; its end, and the seconds it took."
    words = [word for key, value in parameters.items() for word in ("-p", key, str(value))]
    command = [sys.executable, "-m", "papermill", f"nbs/runs/{notebook}.ipynb", str(page), "--cwd", ".", "--no-progress-bar", "--log-output", *words]
    told = os.environ | {"PYTHONPATH": str(ROOT), "WARP_HOME": str(folder / "home"), "WARP_HUB": str(folder / "hub"), "PYTHONUTF8": "1"} | (environment or {})
    start = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, env=told, capture_output=True, text=True, encoding="utf-8", timeout=600)
    return done, time.monotonic() - start


def places(folder: Path) -> tuple[FolderHub, Config]:
    return FolderHub(folder / "hub"), Config(folder / "home", str(folder / "hub"))


@functools.cache
def first_hour() -> Path:  # hub/, home/, images/, out/ and run.ipynb; to be copied before anything is changed in it
    "Five players have sent something, and the hourly job has trained on it for a few steps and published."
    folder = Path(tempfile.mkdtemp(prefix="warp-hour-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    hub, config = places(folder)
    for player in range(PLAYERS): put(hub, config, player, screens=1)
    png = make_crop(crop(0, 1)).png
    contribute(hub, config.delivery_repo, contribution("player-1", png, NAMES[0], "Tachyon Beam", timestamp="2026-11-20T12:00:00Z"), png)
    (folder / "images").mkdir()
    for i, name in enumerate(NAMES): icon(i).save(folder / "images" / f"{quote_plus(name)}.png")
    done, _ = papermill(folder, folder / "run.ipynb", images=folder / "images", out=folder / "out", steps=8, publish=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder
