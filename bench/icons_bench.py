"""Real game icons as players' screenshots would show them: the data set on which `bench/training.py` measures. Run it to make the file and a contact sheet.

Every class is one painted icon of two free games (Debian's freeorion-data and freeciv-data, fetched once with apt into this user's cache folder; GPL and CC-BY-SA, never committed).
A crop passes through an *install* (interface scale, resampling filter, gamma, brightness, JPEG, frame) and a *moment* (rarity, count, rank text, cooldown, a box some pixels off).
How many crops a class has follows a long tail; one class in ten has none at all, and what is shown of the unknown is never a class. Test installs never appear in training.
Frozen: its digest is printed and compared. Nothing that trains may import it.
"""
import argparse
import hashlib
import io
import re
import sys
from pathlib import Path

import numpy as np
import platformdirs
from PIL import Image, ImageDraw, ImageFont
from real_art import PACKAGES, art_folder
from tqdm.auto import tqdm

CACHE = Path(platformdirs.user_cache_dir("sets-warp"))
DIGEST = "c69cfb154142"  # of seed 11 with freeorion-data 0.4.10 and freeciv-data 3.0.6
KEEP = re.compile(r"/(icons|hulls_design|species|flags|buildings|wonders|specials|monsters)(/|$)")
SKIP = re.compile(r"(cursor|/buttons/|/meter|_tiny|/sitrep|shield\b|mask|-shield|/controls|cell[_-])", re.I)
FILTERS = [Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS, Image.Resampling.BOX]
RARITY = [(58, 60, 70), (24, 84, 40), (22, 56, 122), (88, 44, 126), (140, 88, 24), (20, 96, 110)]
PANEL = (12, 15, 22)
CANVAS, AT = 88, 12  # pixels of a slot with its surroundings, and where the icon begins in it
INSTALLS, UNSEEN, MEAN_CROPS, MOST_CROPS, NEVER, UNKNOWN = 40, 10, 4.2, 30, 0.1, 0.1


# ---- the icons

def clean_icon(path: Path) -> Image.Image | None:
    "The icon on a transparent square of 64 pixels, or None if there is too little of it."
    try: img = Image.open(path).convert("RGBA")
    except (OSError, SyntaxError, ValueError): return None
    box = img.getchannel("A").point(lambda a: 255 if a > 30 else 0).getbbox()
    if not box or min(img.size) < 24: return None
    img = img.crop(box)
    side = max(img.size)
    if side < 24 or min(img.size) / side < .25: return None
    square = Image.new("RGBA", (side, side))
    square.paste(img, ((side - img.width) // 2, (side - img.height) // 2))
    out = square.resize((64, 64), Image.Resampling.LANCZOS)
    return out if (np.asarray(out)[..., 3] > 60).mean() > .12 and np.asarray(out.convert("RGB")).std() > 6 else None


def signature(img: Image.Image) -> np.ndarray:  # bool
    "Where a picture gets brighter from left to right, per colour: nearly equal for nearly equal pictures."
    flat = Image.alpha_composite(Image.new("RGBA", img.size, (70, 70, 70, 255)), img).convert("RGB").resize((17, 16), Image.Resampling.BOX)
    a = np.asarray(flat).astype(int)
    return np.concatenate([(a[:, 1:, c] > a[:, :-1, c]).ravel() for c in range(3)])


def collect(art: Path) -> list[tuple[str, Image.Image]]:
    "All usable icons by name, each motif once."
    roots = [art / package for package in PACKAGES if (art / package).is_dir()] or [art]
    paths = sorted(((p.relative_to(root).parts, p) for root in roots for p in root.rglob("*.png")), key=lambda pair: pair[0])
    found, signatures = [], []
    for parts, path in tqdm(paths, "looking at pictures", leave=False):
        inside = "/" + "/".join(parts)
        if not KEEP.search(inside) or SKIP.search(inside): continue
        img = clean_icon(path)
        if img is None: continue
        lines = signature(img)
        if signatures and (np.asarray(signatures) != lines).mean(1).min() < .06: continue
        found.append((path.parent.name + "/" + path.stem, img))
        signatures.append(lines)
    return found


# ---- what a player sees of them

def install(seed: int, number: int) -> dict:
    "One player's interface."
    r = np.random.default_rng([seed, 7001, number])
    return dict(px=int(r.integers(36, 88)), filter=FILTERS[r.integers(4)], gamma=float(r.uniform(.7, 1.4)), gain=float(r.uniform(.78, 1.22)),
                jpeg=int(r.choice([0, 0, 55, 65, 75, 85, 92])), frame=int(r.integers(0, 4)), corner=int(r.integers(4)), tint=r.uniform(.93, 1.07, 3), font=int(r.integers(10, 18)))


def slot(who: dict, r: np.random.Generator) -> tuple[Image.Image, np.ndarray]:
    "An empty slot of a random rarity, and its base colour."
    base = np.array(RARITY[r.integers(len(RARITY))], np.float32)
    y, x = np.mgrid[0:CANVAS, 0:CANVAS] / CANVAS
    shade = {0: 1.2 - .6 * y, 1: 1.15 - .5 * np.hypot(x - .5, y - .5), 2: np.ones((CANVAS, CANVAS)), 3: .7 + .5 * x}[who["frame"]]
    ground = np.clip(base * shade[..., None] + r.normal(0, 2.5, (CANVAS, CANVAS, 1)), 0, 255).astype(np.uint8)
    ground[:AT - 3] = ground[CANVAS - AT + 3:] = PANEL
    ground[:, :AT - 3] = ground[:, CANVAS - AT + 3:] = PANEL
    return Image.fromarray(ground).convert("RGBA"), base


def decorate(img: Image.Image, base: np.ndarray, who: dict, r: np.random.Generator) -> None:
    "Frame, count, rank text and cooldown, some of the time each."
    d, far = ImageDraw.Draw(img), CANVAS - AT
    edge = tuple(int(v) for v in np.clip(base * 1.9 + 25, 0, 255)) + (255,)
    if who["frame"] and r.random() < .85: d.rounded_rectangle((AT - 2, AT - 2, far + 1, far + 1), radius=3 * (who["frame"] == 3), outline=edge, width=who["frame"])
    font = ImageFont.load_default(who["font"])
    if r.random() < .3:
        text = str(int(r.choice([2, 5, 12, 37, 99, 250, 999])))
        right, low = far - 2 - d.textlength(text, font=font), far - who["font"] - 4
        d.text([(AT + 2, AT), (right, AT), (AT + 2, low), (right, low)][who["corner"]], text, font=font, fill=(245, 245, 235, 255), stroke_width=1, stroke_fill=(0, 0, 0, 255))
    if r.random() < .2:
        d.text((AT + 2, AT + 1), str(r.choice(["Mk X", "XII", "XIV", "XV", "NEW"])), font=ImageFont.load_default(11), fill=(255, 214, 90, 255), stroke_width=1, stroke_fill=(0, 0, 0, 255))
    if r.random() < .08:
        sweep = Image.new("RGBA", (CANVAS, CANVAS))
        ImageDraw.Draw(sweep).pieslice((AT - 10, AT - 10, far + 10, far + 10), -90, float(r.uniform(-60, 200)), fill=(0, 0, 0, 130))
        img.alpha_composite(sweep)


def shown(icon: Image.Image, who: dict, r: np.random.Generator) -> np.ndarray:  # uint8 (64, 64, 3)
    "One crop of the icon, as that player sees and boxes it."
    img, base = slot(who, r)
    img.alpha_composite(icon, (AT, AT))
    decorate(img, base, who, r)
    scale = who["px"] / 64
    screen = img.convert("RGB").resize((max(8, round(CANVAS * scale)),) * 2, who["filter"])
    dx, dy = (r.integers(-3, 4, 2) if r.random() < .75 else (0, 0))
    grow = int(r.integers(-2, 4))
    x, y, side = round(AT * scale + dx - grow), round(AT * scale + dy - grow), who["px"] + 2 * grow
    a = np.asarray(screen.crop((x, y, x + side, y + side))).astype(np.float32) / 255
    a = np.clip(a * who["gain"] * who["tint"], 0, 1) ** who["gamma"] * float(r.uniform(.94, 1.06)) * 255 + r.normal(0, float(r.choice([0, 0, 2, 4])), a.shape)
    out = Image.fromarray(np.clip(a, 0, 255).astype(np.uint8))
    if who["jpeg"]:
        f = io.BytesIO()
        out.save(f, "JPEG", quality=who["jpeg"], subsampling=2)
        out = Image.open(f).convert("RGB")
    return np.asarray(out.resize((64, 64), Image.Resampling.BILINEAR))


# ---- the data set

def long_tail(n: int, rng: np.random.Generator) -> np.ndarray:  # crops per class
    "Most have one or two, some have thirty, one in ten has none."
    count = np.clip(np.round(rng.pareto(1.1, n) * 1.3 + 1), 1, MOST_CROPS).astype(int)
    while count.mean() < MEAN_CROPS:
        i = rng.integers(n)
        count[i] = min(MOST_CROPS, count[i] + int(rng.integers(1, 4)))
    count[rng.permutation(n)[:int(n * NEVER)]] = 0
    return count


def make(art: Path, seed: int = 11) -> dict[str, np.ndarray]:
    "x, y: training crops and their classes; xt, yt: those of unseen installs; unk: crops of what is no class; ref: clean icons; count: crops per class."
    icons, rng = collect(art), np.random.default_rng(seed)
    order = rng.permutation(len(icons))
    n_unknown = int(len(icons) * UNKNOWN)
    unknown, known = order[:n_unknown], order[n_unknown:]
    count, who, seen = long_tail(len(known), rng), [install(seed, u) for u in range(INSTALLS)], INSTALLS - UNSEEN

    def crops(repeats: np.ndarray, low: int, high: int, salt: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        rows = []
        for c in tqdm(range(len(known)), "showing icons", leave=False):
            for j in range(repeats[c]):
                r = np.random.default_rng([seed, salt, c, j])
                u = int(r.integers(low, high))
                rows.append((shown(icons[known[c]][1], who[u], r), c, u))
        pictures, classes, users = zip(*rows)
        return np.stack(pictures), np.array(classes), np.array(users)

    x, y, user = crops(count, 0, seen, 1)
    xt, yt, ut = crops(np.full(len(known), 3), seen, INSTALLS, 2)
    unk = []
    for i in unknown:
        for k in range(3):
            r = np.random.default_rng([seed, 3, int(i), k])
            unk.append(shown(icons[i][1], who[int(r.integers(seen, INSTALLS))], r))
    return {"x": x, "y": y, "user": user, "xt": xt, "yt": yt, "ut": ut, "unk": np.stack(unk), "ref": np.stack([np.asarray(icons[i][1]) for i in known]),
            "names": np.array([icons[i][0] for i in known]), "count": count}


def load(art: Path | None = None) -> dict[str, np.ndarray]:
    "The data set, made at the first call."
    path = CACHE / "icons_bench.npz"
    if art or not path.exists():
        data = make(art or art_folder(CACHE / "real_art"))
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(path, **data)
    with np.load(path) as z: data = dict(z)
    digest = hashlib.sha256(data["x"].tobytes() + data["xt"].tobytes()).hexdigest()[:12]
    if digest != DIGEST: print(f"note: this data set's digest is {digest}, not {DIGEST}: other versions of the art or of Pillow; compare figures of one data set only", file=sys.stderr)
    return data


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--art", type=Path, help="folder with the unpacked packages (default: fetched into the cache folder)")
    parser.add_argument("--sheet", type=Path, default=Path("out/icons_bench.png"), help="where to put a contact sheet")
    args = parser.parse_args()
    data = load(args.art)
    count = data["count"]
    print(f"{len(count)} classes ({(count == 0).sum()} never in training, {(count == 1).sum()} with one crop), {len(data['x'])} training crops of {len(set(data['user']))} installs, "
          f"{len(data['xt'])} test crops of {len(set(data['ut']))} others, {len(data['unk'])} of unknown things")
    args.sheet.parent.mkdir(parents=True, exist_ok=True)
    rows = [np.concatenate([icon[..., :3][None] * (icon[..., 3:] > 0), data["xt"][3 * c:3 * c + 3]]) for c, icon in enumerate(data["ref"][:40])]
    Image.fromarray(np.vstack([np.hstack(np.concatenate(rows[i:i + 5])) for i in range(0, 40, 5)])).save(args.sheet)
    print(f"five icons a row, each clean and as three unseen players show it: {args.sheet}")


if __name__ == "__main__":
    main()
