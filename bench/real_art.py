"""The whole loop on real game art instead of drawn icons: `python bench/real_art.py`.

The made world keeps its players, ships, panels and names, but an item's picture is one of some 600 that artists painted for two free games. They come from Debian's
packages freeorion-data (CC-BY-SA, GPL) and freeciv-data (GPL), are fetched into this user's cache folder with apt and unpacked there; nothing of them is committed.
Then `warp.loop.demo` runs as it is, and counts the newcomer's places for each stage of the matcher. Takes about the demo's time.
"""
import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import quote_plus

import numpy as np
import platformdirs
from PIL import Image
from tqdm.auto import tqdm

from warp.demo import ICON_SIZE, World
from warp.loop import demo

PACKAGES = ("freeorion-data", "freeciv-data")
WANTED = re.compile(r"/(icons|hulls_design|species|buildings|wonders|specials|monsters)/", re.IGNORECASE)
UNWANTED = re.compile(r"/flags/|cursor|/buttons/|/meter|_tiny|/sitrep|shield\b|-shield|mask|/controls|cell[_-]", re.IGNORECASE)  # parts of an interface, no pictures
MIN_SIDE = 24  # smaller pictures would show nothing but their own pixels


def art_folder(cache: Path) -> Path:
    "The unpacked packages; fetched at the first run."
    missing = [tool for tool in ("apt-get", "dpkg") if not shutil.which(tool)]
    for package in PACKAGES:
        if (cache / package / "complete").exists(): continue
        if missing: sys.exit(f"{' and '.join(missing)} not found: this bench fetches {' and '.join(PACKAGES)} from Debian. Run it on Debian or Ubuntu, "
                             f"or unpack the packages elsewhere and name the folder with --art")
        (cache / package).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as folder:
            run("apt-get", "download", package, cwd=folder)
            run("dpkg", "-x", str(next(Path(folder).glob("*.deb"))), str(cache / package))
        (cache / package / "complete").touch()
    return cache


def run(*command: str, cwd: str | None = None) -> None:
    "Runs it, or ends with what it said."
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    if done.returncode: sys.exit(f"{' '.join(command)} failed:\n{done.stderr.strip()[-600:]}\nIf the package was not found: is this machine online, and has apt-get update been run?")


def picture(path: Path) -> Image.Image | None:
    "The painting without its empty margin as an item's picture, or None for a file that shows too little."
    try: img = Image.open(path).convert("RGBA")
    except (OSError, SyntaxError, ValueError): return None
    box = img.getchannel("A").point(lambda a: 255 * (a > 30)).getbbox()
    if not box or min(box[2] - box[0], box[3] - box[1]) < MIN_SIDE: return None
    img = img.crop(box)
    if min(img.size) / max(img.size) < .4: return None
    scale = min((ICON_SIZE[0] - 2) / img.width, (ICON_SIZE[1] - 4) / img.height)
    width, height = round(img.width * scale), min(ICON_SIZE[1] - 4, round(img.height * scale * 1.2))  # items are portraits: a fifth taller than painted
    out = Image.new("RGBA", ICON_SIZE)
    out.paste(img.resize((width, height), Image.Resampling.LANCZOS), ((ICON_SIZE[0] - width) // 2, (ICON_SIZE[1] - height) // 2))
    a = np.asarray(out)
    return out if (a[..., 3] > 60).mean() > .2 and a[a[..., 3] > 60][:, :3].std() > 14 else None


def outline(img: Image.Image) -> np.ndarray:  # bool
    "Where a picture gets brighter from left to right, per colour: nearly equal for nearly equal pictures."
    ground = Image.new("RGBA", img.size, (70, 70, 70, 255))
    ground.alpha_composite(img)
    a = np.asarray(ground.convert("RGB").resize((17, 16), Image.Resampling.BOX)).astype(int)
    return (a[:, 1:] > a[:, :-1]).ravel()


def collect(art: Path) -> list[Image.Image]:
    "All usable pictures, each motif once."
    found, outlines = [], []
    for path in tqdm(sorted(art.rglob("*.png")), desc="looking at pictures", unit="file", leave=False):
        name = path.relative_to(art).as_posix()
        if not WANTED.search(f"/{name}") or UNWANTED.search(f"/{name}") or (img := picture(path)) is None: continue
        lines = outline(img)
        if outlines and (np.asarray(outlines) != lines).mean(axis=1).min() < .08: continue  # the same again, in another size or a moment later
        found.append(img)
        outlines.append(lines)
    return found


def write_items(pictures: list[Image.Image], folder: Path, seed: int) -> int:
    "Gives every item of the made world one of the pictures, as files that `warp.loop.demo` takes; returns how many items there are."
    names = World.make(seed).names
    if len(pictures) < len(names): sys.exit(f"only {len(pictures)} usable pictures for {len(names)} items: name another folder with --art")
    folder.mkdir(parents=True, exist_ok=True)
    order = np.random.default_rng([seed, 77]).permutation(len(pictures))
    for name, i in zip(names, order, strict=False): pictures[i].save(folder / f"{quote_plus(name)}.png")
    return len(names)


def main() -> None:
    "Fetches the art, runs the stages, prints a line for each."
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--art", type=Path, help="folder with PNG pictures below icons/, species/, buildings/ ... (default: fetched into the cache folder)")
    parser.add_argument("--folder", type=Path, help="where the run is left (default: a temporary folder)")
    parser.add_argument("--budget", type=float, default=150.0, help="seconds of training (default: 150)")
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()
    pictures = collect(args.art or art_folder(Path(platformdirs.user_cache_dir("sets-warp")) / "real_art"))
    with tempfile.TemporaryDirectory(prefix="warp-real-art-", ignore_cleanup_errors=True) as temporary:
        folder = args.folder or Path(temporary) / "loop"
        items = write_items(pictures, folder / "art", args.seed)
        print(f"{len(pictures)} usable pictures, {items} of them in use", flush=True)
        demo(folder, seed=args.seed, budget_s=args.budget, art=folder / "art")


if __name__ == "__main__":
    main()
