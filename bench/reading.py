"""How quick and how right reading is: `python bench/reading.py [--only speed size accuracy art] [--folder out/reading]`. Needs the extras train and ocr.

Models are trained once, on what ten made players confirmed, by the functions that the demo trains with and for a fixed number of steps, so that the machine which trains them says nothing about how right reading is; the folder keeps them. Forty items are left out of
everything that was confirmed (*never confirmed*: the model knows their clean picture alone) and twenty-five out of the training as a whole (*brand new*: only the host's icon folder has them). Everything
that is measured comes from installs that nobody has seen.

- speed: 60 crops against 4,400 reference icons, the whole cascade, beside the public clients' way (a Python loop of cv2.matchTemplate and a histogram over all icons) and beside imagehash compared with all icons;
  then screenshots of 1920 x 1080, file in, build out, boxes found by us, with and without text; then a fresh process with everything in it;
- size: what `pip install sets-warp` brings, resident memory while reading, and what `import warp` costs;
- accuracy: boxes given, one disturbance at a time, plotted; all of them at once; then whole screenshots; both policies of the cascade;
- art: the same on 600 painted pictures of two free games instead of drawn icons (fetched as `bench/real_art.py` does; trains once more).

Times are wall-clock with the two threads that an app gets, `cpu` is processor time. Each line has its limit; a missed one is told at the end. Run it on a quiet machine.
"""
import argparse
import json
import re
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote_plus

import numpy as np
from PIL import Image, ImageDraw

from warp.config import Config, write_atomic, write_json
from warp.data.crops import SIDE, crops_array
from warp.demo import _FILTERS, Player, Shot, World, draw_icon
from warp.knowledge.anchors import build_anchors, grid_of
from warp.knowledge.vocabulary import Vocabulary
from warp.match.cascade import Cascade
from warp.match.model import screen_input
from warp.match.templates import icon_crop
from warp.read.build import Build, Reader
from warp.records import ICON_SLOTS, SCREEN_TYPES, SLOTS, VIRTUAL_NAMES, Box, Match

NEVER, NEW = 40, 25  # items kept out of the confirmations, and out of everything
HOURS, EMBEDDER_STEPS, SCREENS_STEPS = 2, 600, 240  # trainings of which each goes on from the last; steps of each, of 64 icons and of 16 screenshots
REFERENCES = 4400


@dataclass
class Report:
    "What was printed, and what missed its limit."
    missed: list[str] = field(default_factory=list)

    def line(self, what: str, value: float, unit: str, most: float | None = None, least: float | None = None, note: str = "", digits: int = 1) -> None:
        limit = f"<= {most:g}" if most is not None else f">= {least:g}" if least is not None else ""
        bad = most is not None and value > most or least is not None and value < least
        print(f"  {what:62} {value:10.{digits}f} {unit:3} {limit:10} {'MISSED ' if bad else ''}{note}", flush=True)
        if bad: self.missed.append(f"{what}: {value:.{digits}f} {unit}, limit {limit}")


# ---- models

@dataclass
class Trained:
    "A world, the models that learned from its players, and which items they did not meet."
    folder: Path
    world: World
    never_confirmed: frozenset[str]
    brand_new: frozenset[str]

    @property
    def config(self) -> Config: return Config.load(self.folder / "newcomer", self.folder / "hub", self.folder / "host")

    @property
    def new(self) -> frozenset[str]: return self.never_confirmed | self.brand_new


def trained(folder: Path, art: Path | None = None) -> Trained:
    "What the folder holds, made if it is not there."
    def painted(name: str) -> Image.Image: return Image.open(art / f"{quote_plus(name)}.png").convert("RGBA")
    world = World.make(7, icon_art=painted if art else draw_icon)
    kept = [str(name) for name in np.random.default_rng(99).permutation(world.names)]
    made = Trained(folder, world, frozenset(kept[:NEVER]), frozenset(kept[NEVER:NEVER + NEW]))
    if not (folder / "newcomer/models/current").exists(): _train(made)
    return made


def _train(made: Trained) -> None:
    "Everything that reading needs of a release; EfficientNet-B0, which only older clients load, is not trained."
    import torch
    from warp.train.art import load_references
    from warp.train.embedder import load_embedder, train_embedder
    from warp.train.gallery import publish_embedder
    from warp.train.samples import Samples, split_samples
    from warp.train.screens import publish_screens, train_screens
    torch.set_num_threads(1)
    world, vocabulary, started = made.world, Vocabulary.load(), time.process_time()
    world.write_icons(made.folder / "host/images")
    out = made.folder / "newcomer/models/sets/1"
    out.mkdir(parents=True, exist_ok=True)
    rows, screens, grids = [], [], {}
    for player in world.players:
        for shot in world.screenshots(player):
            img, labels = shot.render().image, world.labels(player, shot)
            notes = [{"slot": t.slot, "slot_index": t.slot_index, "state": "confirmed", "bbox": list(t.bbox)} for t in labels]
            grid = grid_of({"width": img.width, "height": img.height, "screen_type": shot.screen_type, "annotations": notes})
            if grid: grids.setdefault(player.install_id, []).append(grid)
            screens.append((screen_input(img), shot.screen_type))
            icons = [t for t in labels if SLOTS[t.slot].kind == "icon" and t.name not in made.new]
            rows += [(crop, t.name, player.install_id, shot.file, vocabulary.names(t.slot)) for crop, t in zip(crops_array(img, [t.bbox for t in icons]), icons)]
    pictures, *others = map(list, zip(*rows))
    samples = Samples(np.stack(pictures), *others)
    split, references = split_samples(samples, 7), load_references(made.folder / "host/images", set(world.names) - made.brand_new)
    for hour in range(HOURS):
        embedder = train_embedder(samples, split, references, steps=EMBEDDER_STEPS, seed=7 + hour, previous=load_embedder(out / "icon_embedder.safetensors") if hour else None)
        meta = publish_embedder(embedder, samples, split, references, out, 7)
    screen = publish_screens(train_screens(np.stack([s[0] for s in screens]), [s[1] for s in screens], steps=SCREENS_STEPS, seed=7), out)
    write_json(out / "community_anchors.json", build_anchors(grids, "2026-11-30T00:00:00Z"))
    write_json(out / "ship_type_corrections.json", {})
    write_json(out / "model_version.json", {"version": "1" * 16, "trained_at": "2026-11-30T00:00:00Z", "n_classes": len(set(samples.names)), "val_acc": 0.0,
                                            "n_samples": len(samples), "n_users": len(world.players), "serial": 1, "files": {}})
    write_atomic(made.folder / "newcomer/models/current", "1")
    print(f"trained in {time.process_time() - started:.0f} CPU seconds: embedder {HOURS} times {embedder.pictures} pictures, {meta['metrics']['in_slot']['accuracy']:.2%} of held-back crops in their slot, "
          f"{meta['precision']}; screens {screen['val_acc']:.1%} of {screen['n_held']} held-back screenshots")


# ---- screenshots of strangers

def stranger(number: int, scale: float = 1.0, gamma: float = 1.0, quality: int = 0) -> Player:
    "An install that no training has seen."
    return Player(f"stranger-{number}", 1000 + number, scale, gamma, quality, _FILTERS[number % 5], number % 4, (1.0, 0.94, 1.06, 0.91, 1.09)[number % 5], 0.0)


def crowd(count: int) -> list[Player]:
    "Strangers of all sorts: scales 0.6 to 1.6, gamma 0.75 to 1.35, PNG and JPEG from quality 55."
    rng = np.random.default_rng(31)
    scales, gammas = rng.permutation(np.linspace(0.6, 1.6, count)), rng.permutation(np.linspace(0.75, 1.35, count))
    return [stranger(i, round(float(s), 3), round(float(g), 3), (0, 55, 70, 90)[i % 4]) for i, (s, g) in enumerate(zip(scales, gammas))]


def shots_of(made: Trained, player: Player, kinds: tuple[str, ...] = SCREEN_TYPES) -> Iterator[tuple[bytes, Image.Image, Shot]]:
    for kind in kinds:
        shot = made.world.shot(player, kind)
        drawn = shot.render()
        yield drawn.png_or_jpeg, drawn.image, shot


def carrying(made: Trained, names: frozenset[str], player: Player) -> Player:
    "The player, whose build holds as many of these items as fit."
    rng, build = np.random.default_rng(player.number), dict(made.world.build(player))
    for slot, held in build.items():
        fitting = [n for n in made.world.items[slot] if n in names]
        if fitting: build[slot] = tuple(map(str, rng.permutation((fitting * len(held))[:len(held)])))
    made.world._cache["build", player.number, 0] = build
    return player


# ---- speed

def big_host(made: Trained) -> Config:
    "The trained models beside a host folder of 4,400 icons: all the game's names, each with a picture."
    home, vocabulary = made.folder / "big", Vocabulary.load()
    images = home / "host/images"
    if not (home / "complete").exists():
        images.mkdir(parents=True, exist_ok=True)
        game = sorted(set().union(*(vocabulary.names(slot) for slot in ICON_SLOTS)) - set(VIRTUAL_NAMES) - set(made.world.names))
        names = [*made.world.names, *game, *(f"Reference {i}" for i in range(REFERENCES))][:REFERENCES]
        for name in names: made.world.icon(name).save(images / f"{quote_plus(name)}.png", compress_level=1)
        (home / "complete").touch()
    config = Config.load(home / "home", made.folder / "hub", home / "host")
    target = config.models / "sets/1"
    target.mkdir(parents=True, exist_ok=True)
    for file in (made.config.models / "sets/1").iterdir(): write_atomic(target / file.name, file.read_bytes())
    write_atomic(config.models / "current", "1")
    return config


def public_way(icons: np.ndarray, crops: np.ndarray) -> Callable[[], list[int]]:
    "The matcher of the public clients, era A: for every crop a Python loop over all icons, matchTemplate and a histogram each."
    import cv2
    def histogram(rgb: np.ndarray) -> np.ndarray:
        return cv2.normalize(cv2.calcHist([cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV)], [0, 1], None, [18, 16], [0, 180, 0, 256]), None)
    index = [(icon, histogram(icon)) for icon in icons]

    def match() -> list[int]:
        found = []
        for crop in crops:
            mine, best = histogram(crop), (-1.0, -1)
            for i, (icon, tint) in enumerate(index):
                shape = float(cv2.matchTemplate(crop, icon, cv2.TM_CCOEFF_NORMED)[0, 0])
                if shape < 0.385: continue
                score = 0.8 * shape + 0.2 * max(0.0, cv2.compareHist(mine, tint, cv2.HISTCMP_CORREL))
                if score > best[0]: best = score, i
            found.append(best[1])
        return found
    cv2.setNumThreads(1)
    return match


def hash_way(icons: np.ndarray, crops: np.ndarray) -> Callable[[], list[int]]:
    "imagehash as its manual shows it: every icon's hash subtracted from the crop's."
    import imagehash
    index = [imagehash.phash(Image.fromarray(icon)) for icon in icons]
    return lambda: [int(np.argmin([mine - other for other in index])) for mine in (imagehash.phash(Image.fromarray(crop)) for crop in crops)]


def timed(act: Callable, rounds: int = 1) -> tuple[float, float]:
    "Median wall and CPU milliseconds."
    took = []
    for _ in range(rounds):
        wall, cpu = time.perf_counter(), time.process_time()
        act()
        took.append((1000 * (time.perf_counter() - wall), 1000 * (time.process_time() - cpu)))
    return tuple(np.median(took, axis=0))


def sixty_crops(made: Trained) -> tuple[np.ndarray, list[str], list[frozenset[str]]]:
    vocabulary, rows = Vocabulary.load(), []
    for _, img, shot in shots_of(made, stranger(3, 1.1, 0.9, 80)):
        icons = [t for t in shot.truth() if SLOTS[t.slot].kind == "icon" and t.name not in VIRTUAL_NAMES and t.name not in made.new]
        rows += zip(crops_array(img, [t.bbox for t in icons]), (t.name for t in icons), (vocabulary.names(t.slot) for t in icons))
    rows = [rows[i] for i in np.random.default_rng(1).permutation(len(rows))[:60]]
    crops, names, allowed = map(list, zip(*rows))
    return np.stack(crops), names, allowed


def measure_crops(made: Trained, report: Report) -> None:
    config, (crops, names, allowed) = big_host(made), sixty_crops(made)
    files = sorted(config.images.glob("*.png"))
    icons = np.stack([icon_crop(Image.open(f)) for f in files])
    print(f"60 crops against {len(icons):,} reference icons")
    few = 4
    peer, hashes = public_way(icons, crops[:few]), hash_way(icons, crops[:few])
    loop, loop_cpu = timed(peer)
    report.line("public way, measured on 4 crops, for 60", loop * 60 / few / 1000, "s", note=f"cpu {loop_cpu * 60 / few / 1000:.1f} s")
    brute, brute_cpu = timed(hashes)
    report.line("imagehash against all, measured on 4 crops, for 60", brute * 60 / few, "ms", note=f"cpu {brute_cpu * 60 / few:.0f} ms")
    for policy in ("default", "seeds"):
        for what, slots in (("each slot's names", allowed), ("all names", None)):
            cascade = Cascade.open(config, policy)
            cascade.match(crops, slots)
            wall, cpu = timed(partial(cascade.match, crops, slots), 9)
            answers = [m.name for m in cascade.match(crops, slots)]
            right, unknown = sum(a == n for a, n in zip(answers, names)), answers.count(None)
            strict = policy == "default" and slots is not None
            report.line(f"cascade, policy {policy}, {what}", wall, "ms", 100 if strict else None, note=f"cpu {cpu:.0f} ms, {right} of 60 right, {60 - right - unknown} wrong (among 4,400 drawn icons some are all but the same)")
            if policy == "default": report.line("    times as fast as the public way", loop * 60 / few / wall, "x", least=200)
    model = cascade.stages.get("model")
    if model: report.line("model alone (int8 network)", timed(partial(model.embed, crops), 9)[0], "ms")


def read_all(reader: Reader, files: list[bytes]) -> tuple[list[float], list[Build]]:
    seconds, builds = [], []
    for data in files:
        started = time.perf_counter()
        builds.append(reader.read(data))
        seconds.append(time.perf_counter() - started)
    return seconds, builds


COLD = """
import json, sys, time
started = time.perf_counter()
import warp
from warp.config import Config
build = warp.read_build(sys.argv[1], config=Config.load(sys.argv[2], sys.argv[3], sys.argv[4]))
took = time.perf_counter() - started
largest = next(int(line.split()[1]) / 1024 for line in open("/proc/self/status", encoding="utf-8") if line.startswith("VmHWM:"))  # ru_maxrss would be the parent's, which exec hands down
print(json.dumps([took, largest, sum(bool(s.name) for s in build.slots), sorted({m.split(".")[0] for m, loaded in sys.modules.items() if loaded} & {"torch", "scipy", "cv2", "rapidocr"})]))
"""


def cold(config: Config, file: Path, text: bool) -> list:
    "A fresh process: seconds until the build is there, imports included, and its largest resident memory."
    hide = "" if text else "import sys; sys.modules['rapidocr'] = None; import importlib.util as u; f = u.find_spec; u.find_spec = lambda name, *a: None if name == 'rapidocr' else f(name, *a)\n"
    done = subprocess.run([sys.executable, "-c", hide + COLD, file, config.home, config.hub, config.host_dir], capture_output=True, text=True)
    if done.returncode: sys.exit(done.stderr[-2000:])
    return json.loads(done.stdout.splitlines()[-1])


def measure_screens(made: Trained, report: Report, installs: int) -> None:
    config = big_host(made)
    print(f"screenshots of 1920 x 1080, file in, build out, {REFERENCES:,} icons in the host's folder")
    files = [data for player in crowd(installs) for data, _, _ in shots_of(made, player)]
    reader = Reader.open(config)
    lines, reader.lines = reader.lines, None
    read_all(reader, files[:3])
    cpu = time.process_time()
    seconds, builds = read_all(reader, files)
    cpu = (time.process_time() - cpu) / len(files)
    icons = [len(b.slots) for b in builds]
    report.line("warm, without text: median", np.median(seconds), "s", digits=3, note=f"{len(files)} screenshots of {installs} strangers, {np.mean(icons):.0f} places on average, cpu {cpu:.3f} s")
    report.line("warm, without text: 95th percentile", np.percentile(seconds, 95), "s", 0.5, digits=3, note=f"longest {max(seconds):.3f} s")
    full = [s for s, n in zip(seconds, icons) if n >= 50]
    if full: report.line("    those with 50 places or more: 95th percentile", np.percentile(full, 95), "s", 0.5, digits=3, note=f"{len(full)} screenshots")
    if lines:
        reader.lines = lines
        shown = [f for f, b in zip(files, builds) if any(s.slot == "Deflector" for s in b.slots)][:12]
        read_all(reader, shown[:1])
        reader.lines = None
        bare, _ = read_all(reader, shown)
        reader.lines = lines
        more, _ = read_all(reader, shown)
        report.line("what text adds, where there is a ship: 95th percentile", np.percentile(np.subtract(more, bare), 95), "s", 1.0, digits=3, note=f"median {np.median(np.subtract(more, bare)):.3f} s, {len(shown)} screenshots")
    file = made.folder / "cold.png"
    mixed = max(range(len(files)), key=lambda i: min(icons[i], 60))
    write_atomic(file, files[mixed])
    cold(config, file, False)
    runs = [cold(config, file, False) for _ in range(5)]
    report.line("cold start to first build, imports included (fresh process)", np.median([r[0] for r in runs]), "s", 1.5, digits=3, note=f"{runs[0][2]} names; heavy modules loaded: {runs[0][3] or 'none'}")
    report.line("resident memory while reading, largest", max(r[1] for r in runs), "MB", 350, digits=0)
    if lines: report.line("    with text", cold(config, file, True)[1], "MB", digits=0)


# ---- size

def base_install() -> dict[str, float]:  # distribution -> MB
    "What `pip install sets-warp` brings, by following requirements without extras and summing up the files of each distribution here."
    sizes, waiting = {}, ["sets-warp"]
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in sizes: continue
        try: dist = metadata.distribution(name)
        except metadata.PackageNotFoundError: continue  # for another platform
        sizes[name] = sum(p.stat().st_size for f in dist.files or () if (p := Path(str(f.locate()))).is_file()) / 1e6
        waiting += [re.match(r"[\w.-]+", r)[0] for r in dist.requires or () if "extra ==" not in r]
    package = Path(__file__).resolve().parent.parent / "warp"  # an editable install lists no files of its own
    return sizes | {"sets-warp": sum(p.stat().st_size for p in package.rglob("*") if p.is_file() and p.suffix != ".pyc") / 1e6}


def measure_size(report: Report) -> None:
    print("size")
    sizes = base_install()
    most = ", ".join(f"{name} {mb:.0f}" for name, mb in sorted(sizes.items(), key=lambda item: -item[1])[:6])
    report.line("base install on disk", sum(sizes.values()), "MB", 400, digits=0, note=f"{len(sizes)} distributions: {most}")
    report.line("`import warp` over a bare interpreter, processor time", cpu_of("import warp") - cpu_of("pass"), "ms", 150)


def cpu_of(program: str) -> float:
    "Processor milliseconds of a fresh interpreter, the best of nine."
    def used() -> float: return sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])
    took = []
    for _ in range(9):
        before = used()
        subprocess.run([sys.executable, "-c", program], check=True)
        took.append(1000 * (used() - before))
    return min(took)


# ---- accuracy

class Counted(NamedTuple):
    "Places, by what came of them."
    right: int = 0
    wrong: int = 0
    unknown: int = 0
    among: int = 0  # unknown ones whose alternatives hold the right name
    empty: int = 0
    named_empty: int = 0

    def __add__(self, other: "Counted") -> "Counted": return Counted(*(a + b for a, b in zip(self, other)))  # type: ignore[override]

    @property
    def filled(self) -> int: return self.right + self.wrong + self.unknown

    def share(self, count: int) -> float: return 100 * count / max(1, self.filled)

    def __str__(self) -> str:
        return (f"{self.share(self.right):6.2f} % right {self.share(self.wrong):5.2f} % wrong {self.share(self.unknown):5.2f} % unknown ({self.among} of {self.unknown} among the alternatives), "
                f"{self.filled} filled; {self.named_empty} of {self.empty} empty ones named")


def count(truth: str, match: Match | None) -> Counted:
    name = match.name if match and match.name not in VIRTUAL_NAMES else None
    if truth in VIRTUAL_NAMES: return Counted(empty=1, named_empty=bool(name))
    if name: return Counted(right=name == truth, wrong=name != truth)
    return Counted(unknown=1, among=truth in dict(match.alternatives) if match else 0)


class Asked(NamedTuple):
    crop: np.ndarray
    name: str
    slot: str


def nudged(box: Box, error: int, rng: np.random.Generator, size: tuple[int, int]) -> Box:
    "The box with every side up to so many pixels off."
    left, top, right, bottom = (int(v) for v in rng.integers(-error, error + 1, 4))
    x, y = max(0, box.x + left), max(0, box.y + top)
    return Box(x, y, max(8, min(size[0], box.right + right) - x), max(8, min(size[1], box.bottom + bottom) - y))


def covered(crop: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    "Something of the game's own laid over an icon: a sweep of shadow, a ribbon, a number, over this share of it."
    if not share: return crop
    img, kind = Image.fromarray(crop), rng.integers(3)
    draw, high = ImageDraw.Draw(img, "RGBA"), round(SIDE * share)
    if kind == 0: draw.pieslice((-SIDE, -SIDE, 2 * SIDE, 2 * SIDE), -90, -90 + 360 * share, fill=(0, 0, 0, 150))
    elif kind == 1: draw.rectangle((0, 0, SIDE, high), fill=(240, 200, 40, 255))
    else: draw.rectangle((0, SIDE - high, SIDE, SIDE), fill=(8, 10, 16, 255))
    return np.asarray(img)


def asked(made: Trained, player: Player, error: int = 0, cover: float = 0.0, only: frozenset[str] | None = None) -> list[Asked]:
    "Every icon place of a stranger's seven screenshots; `only`: places of these items alone, otherwise those of all that were confirmed."
    rng, rows = np.random.default_rng(player.number), []
    for _, img, shot in shots_of(made, player):
        icons = [t for t in shot.truth() if SLOTS[t.slot].kind == "icon" and (t.name in only if only is not None else t.name not in made.new)]
        crops = crops_array(img, [nudged(t.bbox, error, rng, img.size) for t in icons])
        rows += [Asked(covered(crop, cover, rng), t.name, t.slot) for crop, t in zip(crops, icons)]
    return rows


def named(cascade: Cascade, rows: list[Asked], vocabulary: Vocabulary) -> Counted:
    "Screen by screen would be the same: every crop is answered for itself."
    matches = cascade.match(np.stack([r.crop for r in rows]), [vocabulary.names(r.slot) for r in rows])
    return sum((count(r.name, m) for r, m in zip(rows, matches)), Counted())


DISTURBANCES: dict[str, list] = {"interface scale": [0.6, 0.75, 1.0, 1.25, 1.6], "gamma": [0.6, 0.75, 1.0, 1.35, 1.7], "JPEG quality": [40, 55, 70, 85, 95],
                                 "box error, px": [0, 1, 2, 3, 5], "covered, share": [0.0, 0.1, 0.2, 0.3, 0.45]}


def disturbed(made: Trained, what: str, level: float, number: int) -> list[Asked]:
    option = {"interface scale": {"scale": level}, "gamma": {"gamma": level}, "JPEG quality": {"quality": int(level)}}.get(what, {})
    return asked(made, stranger(number, **option), error=int(level) if what.startswith("box") else 0, cover=level if what.startswith("covered") else 0.0)


def places_of_builds(made: Trained, reader: Reader, players: list[Player], only: frozenset[str] | None = None) -> tuple[Counted, int, int, int, list]:
    "Whole screenshots: what came of every place, names where no place is, screen types right, and how many there were; what failed, with its picture."
    total, invented, types, shots, failures = Counted(), 0, 0, 0, []
    for player in players:
        for data, img, shot in shots_of(made, player):
            build = reader.read(data)
            icons = [t for t in shot.truth() if SLOTS[t.slot].kind == "icon"]
            for t in icons:
                if (t.name not in only) if only is not None else (t.name in made.new): continue
                on_it = [s for s in build.slots if s.slot == t.slot and s.bbox.iou(t.bbox) >= 0.5]
                match = max(on_it, key=lambda s: s.bbox.iou(t.bbox)).match if on_it else None
                one = count(t.name, match)
                total += one
                if one.wrong or one.unknown or one.named_empty: failures.append((player, shot.screen_type, t, match, img.crop((t.bbox.x - 6, t.bbox.y - 6, t.bbox.right + 6, t.bbox.bottom + 6))))
            invented += sum(1 for s in build.slots if s.name and not any(s.bbox.iou(t.bbox) >= 0.5 for t in icons))
            types += build.shots[0].screen.name == shot.screen_type
            shots += 1
    return total, invented, types, shots, failures


def measure_accuracy(made: Trained, report: Report, installs: int, right: float, wrong: float, sweeps: bool, title: str) -> None:
    vocabulary, curves = Vocabulary.load(), {}
    cascades = {policy: Cascade.open(made.config, policy) for policy in ("default", "seeds")}
    print(f"accuracy, {title}, boxes given, items that somebody has confirmed")
    for what, levels in DISTURBANCES.items() if sweeps else ():
        for level in levels:
            rows = disturbed(made, what, level, 50)
            curves[what, level] = {policy: named(cascade, rows, vocabulary) for policy, cascade in cascades.items()}
            print(f"  {what:16} {level:5}   " + "   ".join(f"{policy}: {c.share(c.right):6.2f} % right {c.share(c.wrong):5.2f} % wrong {c.named_empty} empty named" for policy, c in curves[what, level].items()), flush=True)
    if curves: plot(curves, made.folder.parent / "accuracy.png")
    rows = [row for player in crowd(installs) for row in asked(made, player, error=3, cover=0.0)]
    for policy, cascade in cascades.items():
        total = named(cascade, rows, vocabulary)
        strict = policy == "default"
        print(f"  everything at once, 3 px of box error, policy {policy}: {total}")
        report.line(f"    right, policy {policy}", total.share(total.right), "%", least=right if strict else None, digits=2)
        report.line(f"    wrong, policy {policy}", total.share(total.wrong), "%", wrong if strict else None, digits=2)
        report.line(f"    empty places named, policy {policy}", total.named_empty, "", 0 if strict else None, digits=0)
    for what, names in (("never confirmed by anyone", made.never_confirmed), ("brand new, only in the host's folder", made.brand_new)):
        rows = [row for i in range(4) for row in asked(made, carrying(made, names, stranger(200 + i, (0.75, 1.0, 1.3, 1.5)[i], (0.85, 1.0, 1.2, 0.9)[i], (0, 70, 85, 55)[i])), error=2, only=names)]
        for policy, cascade in cascades.items():
            total = named(cascade, rows, vocabulary)
            strict = policy == "default" and names == made.never_confirmed
            report.line(f"{what}, policy {policy}: right", total.share(total.right), "%", least=90 if strict else None, digits=2, note=f"{total.share(total.wrong):.2f} % wrong, {total.filled} places")
    print("  whole screenshots, boxes found by us")
    reader = Reader.open(made.config)
    reader.lines = None
    total, invented, types, shots, failures = places_of_builds(made, reader, crowd(installs))
    print(f"  {total}")
    report.line("right, whole screenshots", total.share(total.right), "%", least=right, digits=2)
    report.line("wrong, whole screenshots", total.share(total.wrong), "%", wrong, digits=2, note=f"screen types {types} of {shots}")
    report.line("empty places named, and names where no place is", total.named_empty + invented, "", 0, digits=0, note=f"{total.named_empty} and {invented}")
    kinds = Counter((player.scale, kind, "no box" if match is None else "wrong" if match.known else "unknown") for player, kind, _, match, _ in failures)
    for (scale, kind, why), n in kinds.most_common(8): print(f"      {n:4} {why:8} on {kind} at scale {scale}")
    sheet(failures, made.folder.parent / f"failures_{title.split()[0]}.png")


def plot(curves: dict, file: Path) -> None:
    "Right and wrong by disturbance, both policies."
    import matplotlib
    matplotlib.use("agg")
    from matplotlib import pyplot as plt
    fig, axes = plt.subplots(1, len(DISTURBANCES), figsize=(17, 3.4), sharey=True)
    for ax, (what, levels) in zip(axes, DISTURBANCES.items()):
        for policy, colour in (("default", "#1f6fb2"), ("seeds", "#c2571a")):
            ax.plot(levels, [curves[what, v][policy].share(curves[what, v][policy].right) for v in levels], "o-", color=colour, label=f"right, {policy}")
            ax.plot(levels, [curves[what, v][policy].share(curves[what, v][policy].wrong) for v in levels], "x:", color=colour, label=f"wrong, {policy}")
        ax.set(xlabel=what, ylim=(-2, 102))
        ax.grid(alpha=0.3)
    axes[0].set_ylabel("% of filled places")
    axes[-1].legend(fontsize=7, loc="center right")
    fig.tight_layout()
    fig.savefig(file, dpi=110)
    print(f"  plot: {file}")


def sheet(failures: list, file: Path, most: int = 40) -> None:
    "Pictures of what failed, with what it is and what was said."
    if not failures: return
    page = Image.new("RGB", (4 * 330, 84 * ((min(most, len(failures)) + 3) // 4)), "#10141c")
    draw = ImageDraw.Draw(page)
    for i, (player, kind, truth, match, picture) in enumerate(failures[:most]):
        x, y = i % 4 * 330, i // 4 * 84
        picture.thumbnail((76, 76))
        page.paste(picture, (x + 4, y + 4))
        said = "no box" if match is None else f"{match.name or 'unknown'} {match.score:.2f} by {match.by}"
        first = match.alternatives[0] if match and match.alternatives else ("", 0)
        for n, text in enumerate((truth.name[:38], said[:38], f"first: {first[0][:26]} {first[1]:.2f}", f"{kind} {player.scale} q{player.jpeg_quality} g{player.gamma}")):
            draw.text((x + 84, y + 6 + 18 * n), text, fill="#f2f5fa" if n == 0 else "#aab6c8")
    page.save(file)
    print(f"  what failed: {file}")


# ----

def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=["speed", "size", "accuracy", "art"], choices=["speed", "size", "accuracy", "art"])
    parser.add_argument("--folder", type=Path, default=Path("out/reading"), help="models and plots are kept here (default: out/reading)")
    parser.add_argument("--installs", type=int, default=10, help="strangers, seven screenshots each (default: 10)")
    parser.add_argument("--no-sweeps", action="store_true", help="leave out the disturbances one at a time")
    args = parser.parse_args()
    report = Report()
    if "size" in args.only: measure_size(report)
    if {"speed", "accuracy"} & set(args.only): made = trained(args.folder / "demo")
    if "speed" in args.only:
        measure_crops(made, report)
        measure_screens(made, report, args.installs)
    if "accuracy" in args.only: measure_accuracy(made, report, args.installs, 97, 0.5, not args.no_sweeps, "made icons")
    if "art" in args.only:
        import platformdirs
        import real_art
        art = args.folder / "pictures"
        if not art.exists(): real_art.write_items(real_art.collect(real_art.art_folder(Path(platformdirs.user_cache_dir("sets-warp")) / "real_art")), art, 7)
        measure_accuracy(trained(args.folder / "art", art), report, args.installs, 95, 1.0, False, "painted pictures")
    for miss in report.missed: print(f"MISSED: {miss}")
    sys.exit(bool(report.missed))


if __name__ == "__main__": main()
