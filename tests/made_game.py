"A game's folder as the aoe2 profile expects it, drawn by code: one SLD file a class, and terrain tiles. For tests and for the demonstration; nothing of a real game."
import colorsys
import re
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from sld_files import Sprite, write_sld

from warp.detect.profile import Profile

SIZES = {"nature": (96, 120), "animal": (48, 36), "fish": (56, 28), "building": (220, 168), "unit": (48, 64), "siege": (84, 68), "ship": (120, 100)}
TERRAIN = {"g_gr1": (92, 128, 62), "g_gr2": (108, 136, 70), "g_dirt": (140, 112, 74), "g_wt1": (44, 92, 128), "g_wt2": (60, 110, 140), "g_bla": (0, 0, 0), "o_placeholder": (210, 0, 210)}


def file_name(pattern: str) -> str:
    "A name that a pattern means."
    words = re.sub(r"\[(.)[^\]]*\]", r"\1", pattern).split("_")
    return "_".join("west" if word == "*" else re.sub(r"\*$", "A", word).replace("*", "") for word in words)


def make_game(folder: Path, profile: Profile) -> Path:
    "Writes `graphics/*.sld` and `terrain/*.dds` below the folder."
    (folder / "graphics").mkdir(parents=True)
    (folder / "terrain").mkdir()
    for c in (c for c in profile.classes if c.sprites):
        poses = [pose(c.id, c.kind, step) for step in range(5 if c.kind in ("animal", "unit") else 1)]
        file = write_sld([Sprite(img, (40, 40), player=mask, shadow=shadow if c.kind == "unit" else None, shadow_at=(44, 40), canvas=(320, 280)) for img, mask, shadow in poses])
        (folder / f"graphics/{file_name(c.sprites[0])}.sld").write_bytes(file)
    for name, colour in TERRAIN.items():
        grain = np.random.default_rng(sum(map(ord, name))).normal(0, 14, (64, 64, 1))
        Image.fromarray((grain + colour).clip(0, 255).astype(np.uint8)).convert("RGBA").save(folder / f"terrain/{name}.dds", pixel_format="DXT1")
    return folder


def pose(number: int, kind: str, step: int) -> tuple[Image.Image, Image.Image, Image.Image]:
    "A thing of a kind in the colours and with the emblem of its class; from step to step something moves. Main, player's mask, shadow."
    (w, h), hue = SIZES[kind], number * 0.618 % 1
    paint, dark = (tuple(int(255 * v) for v in colorsys.hsv_to_rgb(hue, s, l)) for s, l in ((0.55, 0.8), (0.6, 0.4)))
    img, mask = Image.new("RGBA", (w, h)), Image.new("L", (w, h))
    draw, own = ImageDraw.Draw(img), ImageDraw.Draw(mask)
    bob = 2 * step
    if kind == "building":
        draw.rectangle((w * .1, h * .4, w * .9, h - 1), fill=(200, 180, 140)); draw.polygon(((0, h * .45), (w * .5, 2), (w - 1, h * .45)), fill=paint, outline=dark)
        draw.rectangle((w * .42, h * .65, w * .58, h - 1), fill=(70, 50, 40)); flag = (w * .78, 4 + bob, w * .95, 24 + bob)
    elif kind == "nature":
        draw.rectangle((w * .45, h * .5, w * .55, h - 1), fill=(90, 64, 40)); draw.ellipse((2, 2, w - 3, h * .62), fill=paint, outline=dark); flag = None
    elif kind in ("animal", "fish"):
        draw.ellipse((2, h * .2, w * .8, h * .8), fill=paint, outline=dark); draw.ellipse((w * .66, h * .1 + bob, w - 2, h * .5 + bob), fill=dark)
        if kind == "animal":
            for x in (.2, .4, .6): draw.line((w * x, h * .7, w * x, h - 1), fill=dark, width=3)
        flag = None
    elif kind == "ship":
        draw.polygon(((0, h * .6), (w - 1, h * .6), (w * .8, h - 1), (w * .2, h - 1)), fill=(110, 80, 50)); draw.polygon(((w * .5, 2), (w * .9, h * .55), (w * .5, h * .55)), fill=paint, outline=dark)
        flag = (w * .2, h * .2 + bob, w * .45, h * .5 + bob)
    else:
        draw.ellipse((w * .3, 2, w * .7, h * .3), fill=(220, 180, 150)); draw.rectangle((w * .2, h * .3, w * .8, h * .75), fill=paint, outline=dark)
        for x in (.3, .6): draw.rectangle((w * x, h * .72, w * x + w * .12, h - 1 - bob), fill=dark)
        flag = (w * .25, h * .35, w * .75, h * .5)
    ImageDraw.Draw(img).regular_polygon((w / 2, h * .55, min(w, h) * .16), 3 + number % 5, rotation=number * 17, fill=dark, outline=(255, 255, 255))
    if flag:
        draw.rectangle(flag, fill=(160, 160, 160, 255))
        own.rectangle(flag, fill=255)
    return img, mask, img.getchannel("A").point(lambda v: v // 3)
