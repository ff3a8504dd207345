"""A verb for every step of the detector line; each reads folders, writes folders, and says where.

`warp detect VERB` is how the line is used from a terminal, step by step, by whoever trains a detector for a game. Every path is made absolute before anything happens and is printed, because the older tools
resolved relative ones against their own package and worked on last year's pictures. Every verb is one call of a function that has its own notebook; nothing is decided here. `warp detect line` does all of it.

Written by hand: there is nothing to tell about it that a notebook would tell better than `warp detect --help` and the tutorial do. What is heavy is imported when a verb runs, so that the help is there at once.
"""
import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from warp.errors import InputError

if TYPE_CHECKING: from warp.detect.profile import Profile


def classes(args: argparse.Namespace) -> None:
    "Print the classes of a game as CVAT's raw label JSON."
    from warp.detect.profile import cvat_labels, load_profile
    print(cvat_labels(load_profile(args.profile)))


def extract(args: argparse.Namespace) -> None:
    "Cut the sprites of all classes out of the game's files, with a manifest and contact sheets."
    from warp.detect.profile import load_profile
    from warp.detect.sprites import extract_sprites
    sprites = extract_sprites(load_profile(args.profile), args.game, args.out, args.missing_ok, args.seed)
    print(f"{len(sprites.items)} sprites of {len(sprites.by_class)} classes in {sprites.folder}; look at {sprites.folder / 'sheets'}")


def backgrounds(args: argparse.Namespace) -> None:
    "Make clean ground from the game's terrain textures: land, or with --only-water water."
    from warp.detect.sprites import make_backgrounds
    made = make_backgrounds(args.tiles, args.out, args.count, args.only_water, seed=args.seed, zoom_max=args.zoom_max, soft_fraction=args.soft_fraction, blur=args.blur)
    print(f"{args.count} pieces of {made.sort} in {made.folder}")


def scenes(args: argparse.Namespace) -> None:
    "Make scenes with exact labels; the rules of the profile are checked on what was written."
    from tqdm.auto import tqdm

    from warp.detect.profile import load_profile
    from warp.detect.scenes import make_kit, make_scenes
    from warp.detect.sprites import read_backgrounds, read_sprites
    kit = make_kit(load_profile(args.profile), read_sprites(args.sprites) if args.sprites else None, [read_backgrounds(folder) for folder in args.backgrounds])
    with tqdm(total=args.count, desc="scenes") as bar:
        def step(done: int, count: int) -> None: bar.update(done - bar.n)
        print(make_scenes(kit, args.out, args.count, args.seed, args.size, not args.no_photometric, progress=step))


def following(args: argparse.Namespace) -> None:
    "Choose what to label next and pre-label it: a set, and a zip for CVAT."
    from warp.detect.labels import read_set, write_set, yolo_zip
    from warp.detect.profile import load_profile
    from warp.detect.select import Looked, next_batch
    profile = load_profile(args.profile)
    if bool(args.words) == bool(args.model): raise InputError("what shall propose boxes? Give --model, or --words where there is none yet")
    if args.words and args.tiles: raise InputError("--tiles cuts pictures for a model of a known scale: leave it out with --words")
    propose, name, version = _by_words(args.words, profile) if args.words else _by_model(args)
    looked = None if args.tiles else Looked(args.cache, version)
    done = [img for folder in args.labelled for img in read_set(folder).images]
    batch = next_batch(_pictures(args.pictures), propose, profile, name, args.count, args.min_score, done, looked)
    labels = write_set(batch.labels, args.out)
    yolo_zip(labels, args.out / "prelabels.zip")
    print(f"{batch}\n{args.out}, and {args.out / 'prelabels.zip'} for CVAT: Actions, Upload annotations, YOLO 1.1")


def _by_model(args: argparse.Namespace) -> tuple[Callable, str, str]:  # what proposes, its name, and what changes when it does
    from warp.detect.select import in_tiles
    from warp.detect.train import open_detector
    detector = open_detector(args.model)
    return in_tiles(detector) if args.tiles else detector, detector.contract.model_file or args.model.name, detector.contract.model_sha256 or str(args.model)


def _by_words(name: str, profile: "Profile") -> tuple[Callable, str, str]:
    from warp.detect.select import by_words, dinox, yoloe
    return by_words(dinox(profile) if name == "dinox" else yoloe(), profile), name, f"{name} {profile.digest}"


def hard(args: argparse.Namespace) -> None:
    "List the pictures on which confusable classes were named hesitantly, the least sure first."
    from warp.data.crops import open_image
    from warp.detect.profile import load_profile
    from warp.detect.select import hard_cases
    from warp.detect.train import open_detector
    detector = open_detector(args.model)
    found = {str(file): detector(open_image(file), min_score=0.05) for file in _pictures(args.pictures)}
    for file, boxes in hard_cases(found, load_profile(args.profile).confusable, args.below): print(f"{file}: " + ", ".join(f"{d.name} {d.score:.2f}" for d in boxes))


def take(args: argparse.Namespace) -> None:
    "Take what was drawn in CVAT (COCO 1.0); the count of shapes must balance."
    from warp.detect.cvat import import_coco
    from warp.detect.labels import write_set
    from warp.detect.profile import load_profile
    labels, balance = import_coco(args.export, load_profile(args.profile), args.pictures, tuple(args.skip), finished=not args.unfinished)
    write_set(labels, args.out)
    print(f"{balance}\n{len(labels)} pictures in {args.out}")


def merge(args: argparse.Namespace) -> None:
    "Merge labelled and made sets, split by session; the set named first wins where pictures came twice."
    from warp.detect.labels import read_set
    from warp.detect.merge import merge_sets
    print(merge_sets([read_set(folder) for folder in args.sets], args.out, args.oversample_real, args.val_share, args.test_share, seed=args.seed))


def train(args: argparse.Namespace) -> None:
    "Train our own detector on a merged folder and export it; --yolo trains YOLO26n instead (AGPL-3.0)."
    from warp.detect.merge import read_merged
    from warp.detect.profile import load_profile
    from warp.detect.train import Recipe, contract_of, export_onnx, save_net, train_detector
    profile = load_profile(args.profile)
    if args.yolo: return _train_yolo(args, profile)
    from tqdm.auto import tqdm
    images, recipe = read_merged(args.merged, "train"), Recipe(size=profile.input_size, seconds=60 * args.minutes, seed=args.seed, photometric=not args.no_photometric, mirror=args.mirror)
    with tqdm(total=100, desc="training", unit="%") as bar:
        def step(done: float, loss: float) -> None:
            bar.update(int(100 * done) - bar.n)
            bar.set_postfix(loss=f"{loss:.3f}")
        trained = train_detector(images, profile.names, recipe, args.start, step)
    save_net(trained, args.out.with_suffix(".pt"))
    export_onnx(trained.net, args.out.with_suffix(".onnx"), contract_of(trained, profile.name, picture=list(images[0].size), profile_digest=profile.digest))
    print(f"{trained.steps} steps; {args.out.with_suffix('.onnx')}, with its contract; next: warp detect evaluate {args.out.with_suffix('.onnx')} {args.merged}")


def _train_yolo(args: argparse.Namespace, profile: "Profile") -> None:
    from warp.detect.yolo import export_yolo, train_yolo
    best = train_yolo(args.merged, args.out.parent / "runs", profile, str(args.start or "yolo26n.pt"), args.epochs, args.side)
    print(export_yolo(best, args.out.with_suffix(".onnx"), profile, args.side).layout, args.out.with_suffix(".onnx"))


def export(args: argparse.Namespace) -> None:
    "Write ONNX and contract from a .pt: ours, or with --yolo one of ultralytics. An .onnx that came from elsewhere gets a contract."
    from warp.detect.profile import load_profile
    file = args.weights.with_suffix(".onnx")
    if args.weights == file:
        from warp.detect.yolo import adopt_onnx
        contract = adopt_onnx(file, file, load_profile(args.profile), args.side, {"network": file.name, **({"licence": "AGPL-3.0"} if args.yolo else {})})
    elif args.yolo:
        from warp.detect.yolo import export_yolo
        contract = export_yolo(args.weights, file, load_profile(args.profile), args.side)
    else:
        from warp.detect.train import export_onnx, load_net, open_detector
        contract = export_onnx(load_net(args.weights), file, open_detector(args.weights, args.profile).contract)
    print(f"{file}: {contract.layout}, {contract.size[0]}x{contract.size[1]}, {len(contract.classes)} classes")


def evaluate(args: argparse.Namespace) -> None:
    "Measure a detector: thresholds from val, figures from test, real pictures first."
    from warp.detect.job import evaluate
    done = evaluate(args.model, args.merged, write=not args.dry_run)
    print(f"{done.report._repr_markdown_()}\n{done.ms:.0f} ms a picture")


def thresholds(args: argparse.Namespace) -> None:
    "Show what a report's thresholds would change in a contract or a source file; --write changes it."
    from warp.detect.measure import sync_thresholds
    print(sync_thresholds(json.loads(args.summary.read_text(encoding="utf-8")), args.target, args.write) or "nothing differs")


def pack(args: argparse.Namespace) -> None:
    "Pack a merged folder for a rented graphics card: data.tar, run.sh that checks it, trains, exports and reminds you to stop the machine."
    from warp.detect.profile import load_profile
    from warp.detect.yolo import pack_for_pod
    folder = pack_for_pod(args.merged, args.out, load_profile(args.profile), args.weights, args.epochs, args.side, args.batch, args.version)
    print(f"{folder}: copy it there and run bash run.sh; stop the machine when it says so")


def find(args: argparse.Namespace) -> None:
    "Find things on pictures with a detector; --picture draws them."
    from PIL import ImageDraw

    from warp.data.crops import open_image
    from warp.detect.train import open_detector
    from warp.match.detector import mock_detector
    detector = mock_detector(["thing"]) if args.model.name == "mock" else open_detector(args.model, args.profile)
    for file in _pictures(args.pictures):
        img = open_image(file)
        found = detector(img, args.min_score)
        print(json.dumps({"file": str(file), "detections": [{"class_name": d.name, "confidence": round(d.score, 4), "bbox": [round(v, 1) for v in d[2:]]} for d in found]}))
        if args.picture:
            for d in found: ImageDraw.Draw(img).rectangle((d.x, d.y, d.x + d.width, d.y + d.height), outline="#3ade70", width=2)
            args.picture.mkdir(parents=True, exist_ok=True)
            img.convert("RGB").save(args.picture / f"{file.stem}.jpg", quality=90)


def line(args: argparse.Namespace) -> None:
    "All steps, and a report page."
    from warp.detect.job import run_line
    from warp.detect.labels import read_set
    from warp.detect.profile import load_profile
    from warp.detect.train import Recipe
    profile = load_profile(args.profile)
    grounds = {sort: folder for sort, folder in (("land", args.land), ("water", args.water)) if folder}
    done = run_line(profile, args.out, [read_set(folder) for folder in args.real], args.game, grounds, args.count, args.size, Recipe(size=profile.input_size, seconds=60 * args.minutes), args.oversample_real, args.seed)
    print(f"look at {done.page}")


def _pictures(sources: list[Path]) -> list[Path]:
    "Files as they are, folders with all pictures in them. Raises `InputError` for nothing at all."
    files = [f for s in sources for f in (sorted(p for p in s.rglob("*") if p.suffix.lower() in (".png", ".jpg", ".jpeg")) if s.is_dir() else [s])]
    if not files: raise InputError(f"there is no picture in {', '.join(map(str, sources))}: expected .png or .jpg files")
    return files


def _folder(text: str) -> Path: return Path(text).expanduser().absolute()


def _weights(text: str) -> Path:
    "A file that is there, else a name that ultralytics knows, such as yolo26n.yaml."
    return _folder(text) if _folder(text).exists() else Path(text)


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    return int(width), int(height)


_MANY = {"type": _folder, "action": "append", "default": [], "metavar": "FOLDER"}
_SHARED: dict[str, dict] = {  # words that several verbs have
    "profile": {"default": "sto", "help": "the game: sto, aoe2, or a YAML file (default: sto)"},
    "out": {"type": _folder, "required": True, "help": "a new folder"},
    "seed": {"type": int, "default": 42},
    "count": {"type": int},
    "size": {"type": _size, "default": (1280, 720), "metavar": "1280x720"},
    "game": {"type": _folder, "help": "the folder with the game's graphics"},
    "tiles": {"type": _folder, "required": True, "help": "the folder with the terrain textures"},
    "pictures": {"type": _folder, "nargs": "+", "help": "files or folders"},
    "model": {"type": _folder, "help": "an .onnx or .pt, or a folder with versions"},
    "merged": {"type": _folder, "help": "what `warp detect merge` made"},
    "oversample-real": {"type": int, "default": 1, "metavar": "N", "help": "list real pictures so often in training (default: 1)"},
    "minutes": {"type": float, "default": 10.0, "help": "of processor time (default: 10)"},
    "no-photometric": {"action": "store_true", "help": "leave light, colour and blur as they are"},
    "yolo": {"action": "store_true", "help": "with ultralytics, AGPL-3.0"},
    "epochs": {"type": int, "default": 150},
    "side": {"type": int, "default": 640, "help": "of YOLO's input (default: 640)"},
}


def _add(verbs: argparse._SubParsersAction, act: Callable, name: str, words: str, /, **more: dict) -> None:
    "One verb: plain words are shared arguments, with ! they are positional; `more` are its own or changed ones."
    p = verbs.add_parser(name, help=act.__doc__, description=act.__doc__)
    p.set_defaults(act=act)
    for word in words.split():
        given = _SHARED[word.strip("!")] | more.pop(word.strip("!").replace("-", "_"), {})
        p.add_argument(word.strip("!") if word.endswith("!") else f"--{word}", **given)
    for word, given in more.items(): p.add_argument(f"--{word.replace('_', '-')}", **given)


def parser() -> argparse.ArgumentParser:
    "The words of `warp detect`."
    top = argparse.ArgumentParser("warp detect", description="From a game's files and people's labels to a measured detector. Without data: make detect-demo.")
    verbs = top.add_subparsers(title="verbs, in the order of the work", metavar="VERB", required=True)
    _add(verbs, classes, "classes", "profile")
    _add(verbs, extract, "extract", "profile game out seed", game={"required": True},
         missing_ok={"nargs": "*", "default": [], "metavar": "CLASS", "help": "classes that may have no file"})
    _add(verbs, backgrounds, "backgrounds", "tiles out count seed", count={"default": 200}, only_water={"action": "store_true"},
         zoom_max={"type": float, "default": 1.6}, soft_fraction={"type": float, "default": 0.35}, blur={"type": float, "default": 1.6})
    _add(verbs, scenes, "scenes", "profile out count seed size no-photometric", count={"default": 1000},
         sprites={"type": _folder, "help": "what extract made; sto needs none"}, backgrounds=_MANY)
    _add(verbs, following, "next", "profile model pictures! out count", count={"default": 20}, min_score={"type": float, "default": 0.25},
         words={"choices": ("yoloe", "dinox"), "help": "where there is no model yet: YOLOE on this machine (AGPL-3.0), or DINO-X, to whose maker every picture is sent (DINOX_API_KEY)"},
         tiles={"action": "store_true", "help": "at the training's scale, for large screenshots"}, labelled=_MANY, cache={"type": _folder, "default": _folder("detector_cache")})
    _add(verbs, hard, "hard", "profile model pictures!", model={"required": True}, below={"type": float, "default": 0.5})
    _add(verbs, take, "import", "profile out", export={"type": _folder, "required": True, "help": "the unpacked export, or its .json"},
         pictures={"type": _folder, "help": "where the pictures are, if not beside it"}, skip={"nargs": "*", "default": [], "metavar": "CLASS", "help": "classes to leave out"},
         unfinished={"action": "store_true", "help": "pictures without boxes are not known to be empty"})
    _add(verbs, merge, "merge", "out oversample-real seed", sets={**_MANY, "required": True, "help": "a set; several, and the first wins"},
         val_share={"type": float, "default": 0.15}, test_share={"type": float, "default": 0.15})
    _add(verbs, train, "train", "merged! profile out minutes seed no-photometric yolo epochs side", out={"help": "the model's name: models/sto_detector_v2"},
         start={"type": _weights, "metavar": "FILE", "help": "go on from this .pt; with --yolo also a name that ultralytics knows (default there: yolo26n.pt)"}, mirror={"action": "store_true", "help": "mirror pieces; never for windows"})
    _add(verbs, export, "export", "profile yolo side", weights={"type": _folder, "required": True, "help": "a .pt, or an .onnx with [1, 300, 6] or [1, 4 + classes, n]"})
    _add(verbs, evaluate, "evaluate", "model! merged!", dry_run={"action": "store_true", "help": "write neither summary nor thresholds"})
    _add(verbs, thresholds, "thresholds", "", summary={"type": _folder, "required": True}, target={"type": _folder, "required": True}, write={"action": "store_true"})
    _add(verbs, pack, "pack", "merged! profile out epochs side", weights={"default": "yolo26n.pt"}, batch={"type": int, "default": 32}, version={"type": int, "default": 1})
    _add(verbs, find, "find", "model! pictures! profile", model={"help": "an .onnx or .pt, a folder with versions, or `mock`, which finds one thing in the middle, for trying out"}, profile={"default": ""}, min_score={"type": float}, picture={"type": _folder, "help": "a folder for pictures with the boxes drawn in"})
    _add(verbs, line, "line", "profile out game count size minutes oversample-real seed", count={"default": 500}, real=_MANY, land={"type": _folder}, water={"type": _folder})
    return top


def run(words: list[str]) -> None:
    "`warp detect` with these words."
    args = parser().parse_args(words)
    args.act(args)
