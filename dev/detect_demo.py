"""The detector line on a made game, offline: `python dev/detect_demo.py [--out detect-demo] [--seconds 90] [--scenes 160]`.

The game is drawn by code: animals, trees, houses, soldiers and ships, on grass and water. Its sprites are written as SLD files by the tests' own encoder, its ground as DDS textures, its *real*
screenshots by another painter than the one that makes scenes (smaller things, other light, some fog), labelled in COCO as CVAT exports it: boxes, polygons, empty pictures. Then the line runs as for a game one owns:
sprites, ground, scenes, import, merge, training, export, thresholds, figures, and a page to look at.
"""
import argparse
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from sld_files import Sprite, write_sld  # noqa: E402

if TYPE_CHECKING: from warp.detect.job import Line

PROFILE = """
name: meadow
about: a made game, seen from above
input_size: [640, 384]
box_convention: alpha
split_key: session
reference_width: 640
sprites: {source: sld, frames: [0, 1, 2], limit: 6}
zoom: [0.7, 1.2]
visible: {label: 0.4, ignore: 0.1}
empty: 0.05
distractors: 0.3
kinds:
  nature: {depth: 0, apart: 0.15}
  building: {depth: 1, apart: 0.1, overlays: [selection]}
  unit: {depth: 2, apart: 0.3, overlays: [selection, health]}
  ship: {depth: 2, apart: 0.2, overlays: [health]}
scenes:
  - {name: land, share: 0.75, backgrounds: land, without: [ship], effects: {shadow: {opacity: [0.2, 0.4], offset: [2, 5]}}}
  - {name: water, share: 0.25, backgrounds: water, only: [ship], effects: {submerge: {depth: [0.1, 0.25], opacity: [0.5, 0.8]}}}
blendings: {hard: 0.5, soft: 0.5}
overlays: {selection: 0.15, health: 0.2, fog: 0.2, cursor: 0.3}
confusable: [[soldier, archer]]
classes:
  - {id: 0, name: tree, kind: nature, count: [2, 8], sprites: ["n_tree_oak*_x1"]}
  - {id: 1, name: sheep, kind: unit, count: [1, 5], sprites: ["a_sheep_idle*_x1"]}
  - {id: 2, name: house, kind: building, count: [1, 3], sprites: ["b_house_age1*_x1"]}
  - {id: 3, name: soldier, kind: unit, count: [1, 5], sprites: ["u_soldier_idle*_x1"]}
  - {id: 4, name: archer, kind: unit, count: [1, 5], sprites: ["u_archer_idle*_x1"]}
  - {id: 5, name: galley, kind: ship, count: [1, 4], sprites: ["s_galley_idle*_x1"]}
"""
FILES = {"tree": "n_tree_oak", "sheep": "a_sheep_idle", "house": "b_house_age1", "soldier": "u_soldier_idle", "archer": "u_archer_idle", "galley": "s_galley_idle"}


def thing(name: str, frame: int, seed: int = 0) -> Image.Image:  # RGBA, sides multiples of 4
    "A thing of the game, a little different in every frame."
    rng = np.random.default_rng([seed, frame, *name.encode()])
    size = {"tree": (36, 48), "sheep": (28, 20), "house": (64, 56), "soldier": (20, 32), "archer": (20, 32), "galley": (64, 44)}[name]
    img = Image.new("RGBA", (size[0] * 4, size[1] * 4))
    d, (w, h), j = ImageDraw.Draw(img), img.size, lambda v: v + int(rng.integers(-6, 7))
    if name == "tree":
        d.rectangle((w * .44, h * .6, w * .56, h * .97), fill=(96, 66, 40, 255))
        for x, y, r in ((.5, .3, .28), (.3, .45, .22), (.7, .45, .22)): d.ellipse((j(w * (x - r)), j(h * (y - r)), w * (x + r), h * (y + r)), fill=(j(40), j(104), j(44), 255))
    elif name == "sheep":
        for x in (.3, .42, .6, .72): d.rectangle((w * x, h * .6, w * x + 6, h * .95), fill=(60, 50, 46, 255))
        d.ellipse((w * .16, h * .12, w * .84, h * .74), fill=(j(230), j(226), 214, 255))
        d.ellipse((j(w * .74), j(h * .18), w * .97, h * .5), fill=(70, 60, 54, 255))
    elif name == "house":
        d.polygon([(w * .06, h * .45), (w * .5, h * .03), (w * .94, h * .45)], fill=(j(150), j(74), 52, 255))
        d.rectangle((w * .14, h * .45, w * .86, h * .96), fill=(j(206), j(184), 146, 255))
        d.rectangle((w * .42, h * .64, w * .58, h * .96), fill=(84, 58, 40, 255))
    elif name in ("soldier", "archer"):
        coat = (j(150), 40, 40, 255) if name == "soldier" else (40, j(110), 60, 255)
        d.rectangle((w * .34, h * .3, w * .66, h * .72), fill=coat)
        d.ellipse((w * .36, h * .06, w * .64, h * .3), fill=(226, 186, 150, 255))
        for x in (.38, .54): d.rectangle((w * x, h * .7, w * x + 8, h * .97), fill=(70, 56, 44, 255))
        if name == "soldier": d.line((w * .8, h * .1, w * .78, h * .75), fill=(210, 214, 220, 255), width=5)
        else: d.arc((w * .58, h * .2, w * .98, h * .8), -80, 80, fill=(120, 80, 40, 255), width=5)
    else:
        d.polygon([(w * .05, h * .62), (w * .95, h * .62), (w * .8, h * .95), (w * .2, h * .95)], fill=(j(120), j(80), 48, 255))
        d.rectangle((w * .48, h * .08, w * .52, h * .64), fill=(90, 64, 40, 255))
        d.polygon([(w * .52, h * .1), (j(w * .9), h * .5), (w * .52, h * .55)], fill=(230, 222, 200, 255))
    return (img if frame % 2 == 0 or name == "house" else img.transpose(Image.Transpose.FLIP_LEFT_RIGHT)).resize(size, Image.Resampling.LANCZOS)


def write_game(folder: Path) -> None:
    "SLD files, and terrain as DDS."
    (folder / "graphics").mkdir(parents=True)
    (folder / "terrain").mkdir()
    for name, file in FILES.items():
        for kind in "AB":
            pictures = [thing(name, i, ord(kind)) for i in range(3)]
            (folder / "graphics" / f"{file}{kind}_x1.sld").write_bytes(write_sld([Sprite(p, (20, 24)) for p in pictures]))
    rng = np.random.default_rng(1)
    for name, colour in (("g_gr1", (92, 118, 62)), ("g_gr2", (112, 122, 70)), ("g_dr1", (138, 116, 84)), ("g_wtr1", (44, 82, 118)), ("g_wtr2", (38, 92, 110))):
        noise = Image.fromarray(rng.integers(0, 60, (64, 64), dtype=np.uint8)).resize((256, 256), Image.Resampling.BICUBIC)
        Image.fromarray((np.asarray(noise)[..., None].astype(int) - 30 + np.array(colour)).clip(0, 255).astype(np.uint8)).save(folder / "terrain" / f"{name}.dds", pixel_format="DXT1")


def write_screenshots(folder: Path, count: int, seed: int = 9) -> None:
    "Real screenshots, another painter's, and what people drew on them, as CVAT exports it."
    (folder / "images").mkdir(parents=True)
    (folder / "annotations").mkdir()
    names, rng, coco = list(FILES), np.random.default_rng(seed), {"images": [], "annotations": []}
    for i in range(count):
        session, water = i // 4, rng.random() < .25
        light = np.random.default_rng([seed, session]).uniform(.75, 1.2)
        base = (46, 88, 116) if water else [(88, 112, 58), (126, 112, 78), (104, 120, 66)][session % 3]
        noise = np.asarray(Image.fromarray(rng.integers(0, 50, (46, 80), dtype=np.uint8)).resize((640, 360), Image.Resampling.BILINEAR)).astype(int) - 25
        img = Image.fromarray((noise[..., None] + np.array(base)).clip(0, 255).astype(np.uint8))
        coco["images"].append({"id": i + 1, "file_name": f"match{session}_{i}.jpg", "width": 640, "height": 360})
        taken: list[tuple[int, int, int, int]] = []
        for _ in range(0 if i % 13 == 7 else int(rng.integers(4, 13))):
            name = "galley" if water else names[int(rng.integers(5))]
            picture = thing(name, int(rng.integers(3)), 70)
            w, h = (round(v * rng.uniform(.75, 1.05)) for v in picture.size)
            x, y = int(rng.integers(0, 640 - w)), int(rng.integers(0, 360 - h))
            if any(x < a + c and a < x + w and y < b + d and b < y + h for a, b, c, d in taken): continue
            taken.append((x, y, w, h))
            img.paste(picture.resize((w, h)), (x, y), picture.resize((w, h)))
            box = Image.Image.getbbox(picture.resize((w, h)).getchannel("A").point(lambda v: 255 * (v > 127))) or (0, 0, w, h)
            x1, y1, x2, y2 = (a + b for a, b in zip((x, y, x, y), box))
            shape = {"bbox": [x1, y1, x2 - x1, y2 - y1], "segmentation": []} if rng.random() < .7 else {"segmentation": [[x1, y1, x2, y1, x2, y2, x1, y2]]}  # CVAT leaves a polygon without a box
            coco["annotations"].append({"id": len(coco["annotations"]) + 1, "image_id": i + 1, "category_id": names.index(name) + 1, "iscrowd": 0, "area": (x2 - x1) * (y2 - y1)} | shape)
        if i % 5 == 0: ImageDraw.Draw(img, "RGBA").rectangle((0, 300, 640, 360), fill=(20, 24, 30, 120))
        ImageEnhance.Brightness(img).enhance(light).filter(ImageFilter.GaussianBlur(.4)).save(folder / "images" / f"match{session}_{i}.jpg", quality=84)
    coco["categories"] = [{"id": k + 1, "name": name} for k, name in enumerate(names)]
    (folder / "annotations" / "instances_default.json").write_text(json.dumps(coco), encoding="utf-8")


def run(out: Path, seconds: float, scenes: int, shots: int = 144, steps: int = 0) -> "Line":  # 36 matches of four screenshots: five of them are left to judge by
    "The whole of it; the `Line` that came out."
    from warp.detect.cvat import import_coco
    from warp.detect.job import run_line
    from warp.detect.profile import load_profile
    from warp.detect.train import Recipe
    out.mkdir(parents=True, exist_ok=True)
    (out / "meadow.yaml").write_text(PROFILE, encoding="utf-8")
    profile = load_profile(out / "meadow.yaml")
    write_game(out / "game")
    write_screenshots(out / "cvat", shots)
    labels, balance = import_coco(out / "cvat", profile, group_of=lambda name: name.split("_")[0])
    print(f"imported: {balance}")
    recipe = Recipe(size=profile.input_size, seconds=seconds, steps=steps, mirror=True)
    return run_line(profile, out / "line", [labels], out / "game" / "graphics", {"land": out / "game" / "terrain", "water": out / "game" / "terrain"}, scenes, (640, 360), recipe, oversample_real=3)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("detect-demo"), help="a new folder")
    parser.add_argument("--seconds", type=float, default=90, help="of processor time for training (default: 90)")
    parser.add_argument("--scenes", type=int, default=160, help="to be made (default: 160)")
    args = parser.parse_args()
    if args.out.exists(): raise SystemExit(f"{args.out.absolute()} is there already: remove it, or name another folder with --out")
    started = time.perf_counter()
    print(f"the page is {run(args.out.absolute(), args.seconds, args.scenes).page} ({time.perf_counter() - started:.0f} s)")
