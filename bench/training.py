"""What a processor second of training buys: `python bench/training.py`.

Everything is counted in processor seconds of one thread (time.process_time), in one run, beside a peer written plainly:

* speed: a step of the older clients' EfficientNet-B0 as we train it (64 pixels, all crops in one array, channels last), beside the way of the seeds (224 pixels, every
  sample through Pillow and torchvision one after the other, batches of 16).
* accuracy: the embedder on the frozen data set of bench/icons_bench.py, players it has never seen, after so many processor seconds from random numbers; beside the recipe
  that this project began with, written out below. Named by the head (softmax) and by the gallery; classes with one crop and with none apart; what is no class at all.
* size: 12,500 crops of 3,000 names from files to published files with two steps of training per network: what everything but the training takes, and the memory.

Tables go to the screen, a plot and the figures to out/. With the defaults it takes hours of a processor; `--only speed`, `--budget 100 --seeds 1` ... take a part of it.
"""
import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
import icons_bench
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torchvision import transforms
from torchvision.models import efficientnet_b0

from warp.data.crops import make_crop
from warp.match.model import Gallery
from warp.records import VIRTUAL_NAMES
from warp.train.art import as_tensor, compose, seeded
from warp.train.classifier import prepare_classifier, publish_classifier, train_classifier
from warp.train.embedder import CosineHead, Embedder, IconNet, embed_pictures, normalised, pooled, train_embedder
from warp.train.gallery import build_gallery, publish_embedder
from warp.train.loop import adamw, rate_at
from warp.train.samples import Samples, Split, split_samples

OUT = Path("out")
COLUMNS = ("best", "softmax", "gallery", "one crop", "never", "unknown", "kept")  # unknown: AUROC; kept: share of the known at 1 % false accepts


# ---- speed

def seeds_trainer(pictures: np.ndarray, rows: np.ndarray, classes: int) -> Callable[[], int]:  # a step; gives how many pictures it learnt from
    "The recipe of the seeds, as plainly as it can be written."
    look = transforms.Compose([transforms.RandomResizedCrop(224, (.8, 1.)), transforms.ColorJitter(.3, .3, .2), transforms.RandomHorizontalFlip(.3),
                               transforms.RandomAffine(5, (.05, .05)), transforms.ToTensor(), transforms.Normalize((.485, .456, .406), (.229, .224, .225))])
    net, files = efficientnet_b0(weights=None), [make_crop(Image.fromarray(p)).png for p in pictures]
    net.classifier[1] = nn.Linear(1280, classes)
    weight, optimiser, rng = torch.ones(classes), torch.optim.AdamW(net.parameters()), np.random.default_rng(0)

    def step() -> int:
        index = rng.integers(len(files), size=16)
        x = torch.stack([look(Image.fromarray(pictures[i])) for i in index])
        ce = F.cross_entropy(net(x), torch.from_numpy(rows[index]), weight, reduction="none")
        optimiser.zero_grad()
        ((1 - (-ce).exp()) ** 2 * ce).mean().backward()
        optimiser.step()
        return 16
    return step


def our_trainer(pictures: np.ndarray, rows: np.ndarray, references: np.ndarray) -> Callable[[], int]:
    "The lesson that `train_classifier` learns from, made pictures included."
    names = [f"{row:04d}" for row in rows]
    samples, every = Samples(pictures, names, ["a"] * len(rows), [""] * len(rows)), Split(np.arange(len(rows)), np.arange(0), "nothing")
    lesson, _, _ = prepare_classifier(samples, every, ([f"{i:04d}" for i in range(len(references))], references), 0, 0.0, None)
    optimiser = adamw((lesson,), 3e-4, 0.01)

    def step() -> int:
        optimiser.zero_grad()
        lesson(*lesson.batch()).backward()
        optimiser.step()
        return lesson.size
    return step


def per_second(step: Callable[[], int], repeats: int = 4) -> float:  # pictures per processor second, the best of some steps
    step()
    best = 0.0
    for _ in range(repeats):
        start = time.process_time()
        best = max(best, step() / (time.process_time() - start))
    return best


def speed(data: dict) -> dict:
    theirs, ours = per_second(seeds_trainer(data["x"], data["y"], len(data["ref"]))), per_second(our_trainer(data["x"], data["y"], data["ref"]))
    print(f"\nEfficientNet-B0, {len(data['ref'])} classes, pictures learnt from per processor second\n  the seeds' way, 224 px    {theirs:8.1f}\n"
          f"  ours, 64 px               {ours:8.1f}   {ours / theirs:.1f} times as many (15 wanted)", flush=True)
    return {"seeds": round(theirs, 1), "ours": round(ours, 1), "times": round(ours / theirs, 1)}


# ---- accuracy

def samples_of(data: dict) -> tuple[Samples, Split, tuple[list[str], np.ndarray]]:
    "All training crops to learn from, none held back, clean icons of all classes."
    names = [f"{i:04d} {name}" for i, name in enumerate(data["names"])]
    samples = Samples(data["x"], [names[c] for c in data["y"]], [f"install-{u}" for u in data["user"]], [""] * len(data["y"]))
    return samples, Split(np.arange(len(samples)), np.arange(0), "nothing"), (names, data["ref"])


def our_embedder(data: dict, seconds: float, seed: int) -> tuple[Embedder, Gallery]:
    samples, split, references = samples_of(data)
    embedder = train_embedder(samples, split, references, seconds, seed=seed, progress=False, clock=time.process_time)
    return embedder, build_gallery(embedder, samples, split, references, seed)


def first_batch(x: Tensor) -> Tensor:  # normalised
    "Crops and made pictures moved and lit anew, as the first recipe did it."
    n, x = len(x), x.float() / 255
    def u(*shape: int) -> Tensor: return torch.rand(n, *shape) * 2 - 1
    turn, size = u() * 4 * np.pi / 180, 1 + u() * .07
    c, s = turn.cos() / size, turn.sin() / size
    theta = torch.stack([torch.stack([c, -s, u() * .12], 1), torch.stack([s, c, u() * .12], 1)], 1)
    x = F.grid_sample(x, F.affine_grid(theta, list(x.shape), align_corners=False), padding_mode="reflection", align_corners=False)
    mean, grey = x.mean((2, 3), keepdim=True), (x * torch.tensor([.299, .587, .114]).view(1, 3, 1, 1)).sum(1, keepdim=True)
    x = grey + (x - grey) * (1 + u(1, 1, 1) * .25)
    x = (x - mean) * (1 + u(1, 1, 1) * .25) + mean * (1 + u(1, 1, 1) * .3)
    x = x.clamp(1e-3, 1).pow(torch.exp(u(1, 1, 1) * .25))
    return normalised(x + torch.randn_like(x) * .02 * torch.rand(n, 1, 1, 1))


def first_made(references: Tensor, index: Tensor) -> Tensor:  # uint8
    "Clean icons on random grounds with a frame, a patch of strokes and a loss of resolution, as the first recipe did it."
    icon, n, at = references[index].float(), len(index), torch.arange(64)
    ground = torch.rand(n, 3, 1, 1) ** 1.5 * 170 * (1 + .35 * torch.linspace(1, -1, 64).view(1, 1, 64, 1) * torch.randint(0, 2, (n, 1, 1, 1)))
    x = icon[:, :3] * (icon[:, 3:] / 255) + ground * (1 - icon[:, 3:] / 255)
    edge = torch.minimum(at, 63 - at)
    framed = (torch.minimum(edge[None, :], edge[:, None]) < torch.randint(1, 4, (n, 1, 1))) & (torch.rand(n, 1, 1) < .6)
    x = torch.where(framed[:, None], torch.rand(n, 3, 1, 1) * 255, x)
    wide, high, top = torch.randint(6, 24, (n, 1)), torch.randint(8, 15, (n, 1)), torch.rand(n, 1) < .25
    y0, x0 = torch.where(top, torch.randint(0, 5, (n, 1)), 61 - high), torch.where(top, torch.full_like(wide, 2), 62 - wide)
    patch = ((at >= x0) & (at < x0 + wide))[:, None, :] & ((at >= y0) & (at < y0 + high))[:, :, None] & (torch.rand(n, 1, 1) < .35)
    x = torch.where(patch[:, None] & (torch.rand(n, 1, 64, 64) < .45), torch.full_like(x, 235.), x) * (1 - (torch.rand(n, 1, 1, 1) < .06) * .35)
    for side in (40, 48, 56):
        k = torch.rand(n) < .22
        if k.any(): x[k] = F.interpolate(F.interpolate(x[k], size=(side, side), mode="bilinear", antialias=True), size=(64, 64), mode="bilinear")
    return x.clamp(0, 255).to(torch.uint8)


class FirstNet(IconNet):
    "The network as it was: all 64 pixels."
    def forward(self, x: Tensor) -> Tensor: return self.norm(self.project(pooled(self.features(x))))


def first_recipe(data: dict, seconds: float, seed: int) -> tuple[Embedder, Gallery]:
    "What this project began with: IconNet of width 32 at 64 pixels, batches of 64, half of them made, AdamW at 3e-3, warm-up and cosine, label smoothing."
    torch.manual_seed(seed)
    samples, split, (names, icons) = samples_of(data)
    net, head = FirstNet(32, 256).to(memory_format=torch.channels_last), CosineHead(256, len(names))
    crops, rows, references, optimiser = as_tensor(data["x"]), torch.from_numpy(data["y"]).long(), as_tensor(icons), adamw((net, head), 3e-3, .05)
    start, steps = time.process_time(), 0
    while (progress := (time.process_time() - start) / seconds) < 1:
        i, j = torch.randint(len(crops), (32,)), torch.randint(len(icons), (32,))
        loss = F.cross_entropy(head(net(first_batch(torch.cat([crops[i], first_made(references, j)])))), torch.cat([rows[i], j]), label_smoothing=.1)
        for group in optimiser.param_groups: group["lr"] = 3e-3 * rate_at(progress)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        steps += 1
    embedder = Embedder(net.eval(), head, names, 0.0, steps, 64 * steps, seconds, False, 0)
    points = F.normalize(embed_pictures(net, references[:, :3])) + F.normalize(torch.zeros(len(names), 256).index_add_(0, rows, embed_pictures(net, crops)))
    return embedder, Gallery(np.array(names), points.numpy(), np.array(["both"] * len(names)))


def auroc(known: np.ndarray, unknown: np.ndarray) -> float:
    "How often something known scores higher than something unknown."
    order = np.concatenate([known, unknown]).argsort().argsort() + 1
    return (order[:len(known)].sum() - len(known) * (len(known) + 1) / 2) / (len(known) * len(unknown))


def judged(embedder: Embedder, gallery: Gallery, data: dict) -> dict[str, float]:
    "One row of the table."
    known, unknown = (embed_pictures(embedder.net, as_tensor(data[key])) for key in ("xt", "unk"))
    items = np.array([i for i, label in enumerate(embedder.labels) if label not in VIRTUAL_NAMES])
    with torch.inference_mode(): softmax = embedder.head(known).numpy()[:, items].argmax(1)
    named = np.array([i for i, name in enumerate(gallery.items) if name not in VIRTUAL_NAMES])
    close, far = gallery.cosines(known.numpy())[:, named], gallery.cosines(unknown.numpy())[:, named]
    truth, count = data["yt"], data["count"][data["yt"]]
    by = {"softmax": softmax == truth, "gallery": close.argmax(1) == truth}
    best = max(by.values(), key=np.mean)
    least = np.quantile(far.max(1), 0.99)
    figures = (best.mean(), by["softmax"].mean(), by["gallery"].mean(), best[count == 1].mean(), best[count == 0].mean(), auroc(close.max(1), far.max(1)), (close.max(1) > least).mean())
    return dict(zip(COLUMNS, (round(float(v), 4) for v in figures)))


def accuracy(data: dict, budgets: list[float], seeds: int, peer_seeds: int) -> list[dict]:
    rows = []
    print(f"\n{'':<15}{'CPU s':>6}{'seed':>5}{'pictures':>10}" + "".join(f"{c:>9}" for c in COLUMNS), flush=True)
    for name, train, n in (("first recipe", first_recipe, peer_seeds), ("ours", our_embedder, seeds)):
        for seconds, seed in ((b, s) for b in budgets for s in range(n)):
            embedder, gallery = train(data, seconds, seed)
            rows.append({"who": name, "seconds": seconds, "seed": seed, "pictures": embedder.pictures, "bf16": embedder.bf16} | judged(embedder, gallery, data))
            print(f"{name:<15}{seconds:>6.0f}{seed:>5}{embedder.pictures:>10}" + "".join(f"{rows[-1][c]:>9.4f}" for c in COLUMNS), flush=True)
    return rows


# ---- size

def size(crops: int = 12_500, names: int = 3_000) -> dict:
    "In a process of its own, so that the memory is that of a run and of nothing else; with all cores, as the hourly job has them."
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import training; training.size_here({crops}, {names})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": str(os.cpu_count())})
    if done.returncode: sys.exit(f"the measurement of size failed:\n{done.stderr[-2000:]}")
    figures = json.loads(done.stdout.splitlines()[-1])
    print(f"\n{crops} crops, {names} names: everything but the training {figures['wall_s']:.0f} s of wall time (60 allowed), peak memory {figures['peak_gib']:.2f} GiB (3 allowed)")
    for stage, seconds in figures["stages"].items(): print(f"  {stage:<42}{seconds:>8.1f} s")
    return figures


def size_here(crops: int, names: int) -> None:
    "Files in, published files out, two steps of training for each network."
    from warp.knowledge.curated import picture_file
    from warp.knowledge.votes import Winner
    from warp.train.classifier import Plan
    from warp.train.job import read_crops
    rng, stages = np.random.default_rng(0), {}
    icons = rng.integers(0, 255, (names, 8, 8, 4), np.uint8).repeat(8, 1).repeat(8, 2)
    labels = [f"Item {i:04d}" for i in range(names)]
    rows = np.concatenate([np.arange(names), rng.integers(0, names, crops - names)])

    def timed(stage: str, act: Callable[[], object]) -> object:
        start = time.monotonic()
        result = act()
        stages[stage] = round(time.monotonic() - start, 2)
        return result

    with tempfile.TemporaryDirectory() as folder:
        cache, winners = Path(folder) / "cache", []
        for i, part in enumerate(np.array_split(rows, 100)):
            for row, picture in zip(part, compose(as_tensor(icons), torch.from_numpy(part), seeded(i)).permute(0, 2, 3, 1).numpy()):
                crop = make_crop(Image.fromarray(picture))
                path = picture_file(cache, crop.sha256)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(crop.png)
                winners.append(Winner(crop.sha256, labels[row], "Tactical Consoles", 1, ("a",), ""))
        pictures, kept, _ = timed("decode the crops", lambda: read_crops(cache, winners))
        samples = Samples(pictures, [w.name for w in kept], [f"install-{i % 40}" for i in range(len(kept))], [""] * len(kept))
        split = timed("split", lambda: split_samples(samples))
        clean = labels, icons
        embedder = timed("embedder: prepare and two steps", lambda: train_embedder(samples, split, clean, steps=2, progress=False))
        timed("embedder: gallery, calibration, export", lambda: publish_embedder(embedder, samples, split, clean, Path(folder) / "out"))
        trained = timed("classifier: prepare, two steps, judge at 224", lambda: train_classifier(samples, split, clean, plan=Plan(1, 128, 0), progress=False))
        timed("classifier: write", lambda: publish_classifier(trained, Path(folder) / "out"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2 ** 20
    print(json.dumps({"wall_s": round(sum(stages.values()), 1), "peak_gib": round(peak, 2), "stages": stages}))


# ---- the whole

def plot(rows: list[dict], path: Path) -> None:
    "Best answer against processor seconds."
    import matplotlib
    matplotlib.use("agg")
    import matplotlib.pyplot as plt
    figure, axes = plt.subplots(figsize=(7, 4))
    for who, colour in (("first recipe", "#888888"), ("ours", "#1f6f8b")):
        for column, style in (("best", "-"), ("never", ":")):
            points = {}
            for row in rows:
                if row["who"] == who: points.setdefault(row["seconds"], []).append(row[column])
            if points:
                axes.plot(sorted(points), [np.mean(points[s]) for s in sorted(points)], "o" + style, color=colour, label=f"{who}, {'best answer' if column == 'best' else 'classes without a crop'}")
    axes.set_xlabel("processor seconds of training, one thread")
    axes.set_ylabel("crops of unseen players named right")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=("speed", "accuracy", "size"), default=("speed", "size", "accuracy"))
    parser.add_argument("--budget", nargs="+", type=float, default=[100.0, 510.0], help="processor seconds of each training (default: 100 510)")
    parser.add_argument("--seeds", type=int, default=3, help="trainings of ours for each budget (default: 3)")
    parser.add_argument("--peer-seeds", type=int, default=1, help="trainings of the first recipe for each budget; 0: none (default: 1)")
    parser.add_argument("--art", type=Path, help="folder with the unpacked packages (default: fetched into the cache folder)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    OUT.mkdir(exist_ok=True)
    figures, data = {}, icons_bench.load(args.art) if set(args.only) - {"size"} else {}
    if "speed" in args.only: figures["speed"] = speed(data)
    if "size" in args.only: figures["size"] = size()
    if "accuracy" in args.only:
        figures["accuracy"] = accuracy(data, args.budget, args.seeds, args.peer_seeds)
        plot(figures["accuracy"], OUT / "training.png")
    (OUT / "training.json").write_text(json.dumps(figures, indent=1), encoding="utf-8")
    print(f"\nfigures: {OUT / 'training.json'}" + (f", plot: {OUT / 'training.png'}" if "accuracy" in args.only else ""))


if __name__ == "__main__":
    main()
