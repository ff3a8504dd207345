"""One verb a step, each a thin skin over the function of that name.

A terminal is where maintainers and curious players meet warp first. Every verb of `warp` parses its words, calls one function that a program could call as well, and prints the report that it
returns: a person reads it here, a program reads its fields. Nothing is decided here. Errors that warp raises on purpose become one line on standard error and exit status 1; a traceback means a bug.

The verbs stand in the order of the loop, and each docstring is also the verb's line in `--help`. What is heavy is imported by the verb that needs it, so that `warp read` starts without torch and
`warp --help` without anything; a verb that needs an extra says which one.

Written by hand: there is nothing to tell about it that a notebook would tell better than `warp --help` does.
"""
import argparse
import json
import re
import sys
from contextlib import AbstractContextManager
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from warp import __version__
from warp.config import Config
from warp.errors import HubError, InputError, MissingExtra, WarpError
from warp.hub import PATIENT, Hub, Limits, open_hub


def demo(args: argparse.Namespace) -> None:
    "The whole loop on made players, offline: screenshots, votes, training, publication, update, and a newcomer's build."
    from warp.loop import demo
    demo(args.folder, seed=args.seed, budget_s=args.budget)


def lab(args: argparse.Namespace) -> None:
    "Open the desks in JupyterLab: label screens, draw boxes, confirm icons."
    from warp.desk.lab import open_lab
    if args.then_train: _require_training()
    if open_lab(Config.load(args.home, args.hub, args.host), f"{args.desk}.ipynb", not args.no_browser): raise WarpError("JupyterLab stopped with an error: its last lines above say why")
    if args.then_train: _train_local(args, args.then_train)


def add(args: argparse.Namespace) -> None:
    "Add screenshots, files or whole folders, to what the desks will show."
    with _store(args) as store:
        for source in args.sources:
            added = store.add_all(source, progress=True)
            print(f"{source}: {len(added.shas)} screenshots" + "".join(f"\n  refused: {why}" for why in added.refused.values()))
        print(store.progress())


def import_(args: argparse.Namespace) -> None:
    "Take over what is there already: an older client's training_data folder, a COCO file, a YOLO folder."
    from warp.data.clients import import_folder
    from warp.data.formats import read_coco, read_yolo
    state = "confirmed" if args.confirmed else "pending"
    with _store(args) as store:
        if args.source.suffix == ".json": print(read_coco(store, args.source, args.screenshots[0] if args.screenshots else None, state=state))
        elif (args.source / "data.yaml").is_file(): print(read_yolo(store, args.source, state=state))
        else: print(import_folder(args.source, store, screenshots=args.screenshots, progress=True))


def export(args: argparse.Namespace) -> None:
    "Write the confirmed boxes for other tools: as a COCO file, or as a YOLO folder."
    from warp.data.formats import write_coco, write_yolo
    with _store(args) as store:
        print(write_coco(store, args.target, images=args.images) if args.target.suffix == ".json" else write_yolo(store, args.target))


def sync(args: argparse.Namespace) -> None:
    "Send what was confirmed on this machine: through the server, or straight to a hub."
    from warp.data.sync import sync
    from warp.data.worker import find_way
    from warp.knowledge.anchors import grid_of
    config = Config.load(args.home, args.hub, args.host)
    way = open_hub(config.hub) if args.hub else find_way(config)
    if way is None: raise HubError(f"nothing may be written to {config.hub} without a token: set WARP_SERVER to the community's server, or put a token into {config.token_file}")
    with _store(args) as store:
        print(sync(store, way, config, share_screens=args.share_screens, grids=grid_of))


def votes(args: argparse.Namespace) -> None:
    "Show what the community believes; 'warp votes show SHA' explains one crop, vote by vote."
    from warp.knowledge.curated import read_votes
    from warp.knowledge.ledger import read_ledger
    from warp.knowledge.merge import trust_of
    from warp.knowledge.trust import elect
    from warp.knowledge.vocabulary import Vocabulary
    config, hub = _places(args)
    staging, ledger = read_votes(hub, config.data_repo, progress=not args.what), read_ledger(hub, config.data_repo)
    if args.what: return _show(args, hub, config, staging, ledger)
    winners = elect(staging, Vocabulary.load(config.host_dir), trust=trust_of(args.trust), ledger=ledger)
    print("\n".join([str(winners), *winners.notes]))


def _show(args: argparse.Namespace, hub: Hub, config: Config, staging: Any, ledger: Any) -> None:
    "One crop's ballot, and its picture if one is asked for."
    from warp.data.crops import open_image
    from warp.knowledge.curated import crop_bytes
    from warp.knowledge.votes import ballot_picture, explain
    sha = _whole(args.sha, staging)
    ballot = explain(staging.lines, sha)
    print(ballot._repr_markdown_())
    decision = ledger.of_crop(sha)
    if decision: print(f"above the votes stands a maintainer's decision of {decision.at}: {decision.decision} {decision.name}".rstrip() + f" ({decision.why})")
    if not args.picture: return
    if ballot.winner is None: raise InputError(f"no vote on {sha} stands: there is nothing to draw")
    ballot_picture(open_image(crop_bytes(hub, config.data_repo, sha)), ballot.winner).save(args.picture)
    print(f"the picture is {args.picture}")


def _whole(start: str, staging: Any) -> str:
    "The one crop whose sha256 begins like this."
    found = [sha for sha, in staging.lines.connection.execute("select distinct crop_sha256 from lines where starts_with(crop_sha256, ?) order by 1 limit 2", [start.lower()]).fetchall()]
    if start and len(found) == 1: return found[0]
    raise InputError(f"{len(found) or 'no'} crops that were voted on begin with {start!r}: give {'more' if found else 'the first digits of the sha256 of a crop, as the pictures are named'}")


def merge(args: argparse.Namespace) -> None:
    "Take in what players sent: votes and pictures are packed, staging is tidied, overrides are counted. Without --apply it only tells."
    from warp.knowledge.merge import merge, trust_of
    config, hub = _places(args, PATIENT)
    print(merge(hub, config, trust=trust_of(args.trust), apply=args.apply, since=args.since, min_votes=args.min, progress=True))


def train(args: argparse.Namespace) -> None:
    "Train on the hub's votes and leave a release in a folder: everything, only icons or only screens; or for yourself alone, on this machine's confirmations (local)."
    _require_training()
    if args.what == "local": return _train_local(args, args.budget, args.force)
    from warp.knowledge.merge import trust_of
    from warp.train.job import PARTS, learn, open_hour
    config, hub = _places(args, PATIENT)
    hour = open_hour(hub, config, args.out, images=args.images, budget_minutes=args.budget, min_new_crops=args.min_new_crops, force=args.force, seed=args.seed,
                     trust=trust_of(args.trust), parts=[args.what] if args.what else PARTS, dry_run=args.dry_run)
    if args.dry_run: print(hour.counts())
    report = learn(hour)
    print(f"skipped: {report.skipped}" if report.skipped else f"a release lies in {args.out}; next: warp publish {args.out}")


def publish(args: argparse.Namespace) -> None:
    "Publish a trained release as one commit, unless it is worse than the served one; or an earlier one again."
    from warp.release.publish import publish, restore
    config, hub = _places(args, PATIENT)
    if not args.folder and not args.restore: raise InputError("nothing to publish was named: give the folder that 'warp train' left, or --restore and an earlier revision")
    print(restore(hub, config, args.restore) if args.restore else publish(hub, config, args.folder, force=args.force))


def update(args: argparse.Namespace) -> None:
    "Bring this machine's models up to the published release, or go back to the one before."
    from warp.release.update import update
    config, hub = _places(args)
    print(update(config, hub, check_only=args.check, rollback=args.rollback, force=args.force, progress=True, every_h=0))


def read(args: argparse.Namespace) -> None:
    "Read screenshots of one build: names, places, a build file for SETS, an annotated picture."
    from tqdm.auto import tqdm

    from warp.host import with_host
    from warp.read.build import Reader, merge_builds
    from warp.read.ships import ship_named
    ship = ship_named(args.ship) if args.ship else None  # before anything is read: a name that is none ends here
    reader = Reader.open(with_host(Config.load(args.home, args.hub, args.host)))
    build = merge_builds(reader.read(shot) for shot in tqdm(args.shots, desc="reading", unit="shot", disable=len(args.shots) < 2, leave=False))
    if ship: build = replace(build, ship=ship)
    if not build.slots: raise InputError(f"nothing was read: {build.reason}")
    if args.out: build.write(args.out)
    for shot, path, seen in zip(args.shots, _pictures(args.picture, args.shots), build.shots):
        if not seen.reason: build.write_picture(shot, path)
    print(json.dumps(build.to_record(), ensure_ascii=False) if args.json else build.to_csv() if args.csv else build)


def _pictures(wanted: Path | None, shots: list[Path]) -> list[Path]:
    "Where each shot's annotated picture goes: one file for one shot, a folder for several."
    if wanted is None: return []
    return [wanted] if len(shots) == 1 and wanted.suffix else [wanted / f"{shot.stem}.png" for shot in shots]


def detect(args: argparse.Namespace) -> None:
    "The detector line, from a game's files and people's labels to measured boxes: 'warp detect --help' lists its own verbs."
    from warp.detect.verbs import run
    run(args.rest)


def serve(args: argparse.Namespace) -> None:
    "Serve /health and /model/version from the hub."
    # for one machine and for trying out: a server on the internet runs `uvicorn api.main:app` behind a proxy (api/)
    try:
        import uvicorn
        from warp.server import Settings, create_app
    except ImportError as e: raise MissingExtra(e.name or "uvicorn", "server") from e
    config, hub = _places(args)
    uvicorn.run(create_app(hub, Settings.from_env()), host=args.host_address, port=args.port, proxy_headers=False)  # the app itself counts trusted hops


def _places(args: argparse.Namespace, limits: Limits = Limits()) -> tuple[Config, Hub]:  # noqa: B008
    config = Config.load(args.home, args.hub, args.host)
    return config, open_hub(config.hub, limits)


def _store(args: argparse.Namespace) -> AbstractContextManager:  # a Store, closed at the end
    from warp.data.store import Store
    from warp.knowledge.vocabulary import Vocabulary
    config = Config.load(args.home, args.hub, args.host)
    return Store(config.training_data, Vocabulary.load(config.host_dir))


def _require_training() -> None:
    try: import torch  # noqa: F401
    except ImportError as e: raise MissingExtra("torch", "train") from e


def _train_local(args: argparse.Namespace, minutes: float, force: bool = False) -> None:
    "On what was confirmed here, for this machine alone."
    from warp.release.local import train_local
    config, hub = _places(args)
    print(train_local(config, hub, budget_minutes=minutes, images=getattr(args, "images", None), seed=getattr(args, "seed", 0), force=force))


# Times are written as people say them, and everything inside counts in minutes.
def minutes(text: str) -> float:
    "50m, 90s, 1.5h, or a bare number of minutes. Raises what argparse turns into a sentence."
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(s|m|h)?", text.strip())
    if not found or not float(found[1]): raise argparse.ArgumentTypeError(f"{text!r} is no time: write 50m, 90s or 1.5h")
    return float(found[1]) * {"s": 1 / 60, "m": 1, "h": 60}[found[2] or "m"]


# Each has its variable in the environment too, so a server or a scheduled job sets them once.
_PLACES = (("--home", "where this machine's data lies (WARP_HOME)"), ("--hub", "root of the hub, a folder (WARP_HUB)"), ("--host", "the SETS app's configuration folder, for its icons (WARP_HOST_DIR)"))
_SWITCHES = "measures beside the plain rule, joined by commas: slot_first, weigh, quarantine, newcomers, max_share=0.5 (default: none)"


def _verb(verbs: argparse._SubParsersAction, act, epilog: str = "", places: bool = True) -> argparse.ArgumentParser:
    "A verb, by default with the three places; its help ends with an example that can be pasted."
    parser = verbs.add_parser(act.__name__.strip("_"), help=act.__doc__, description=act.__doc__, epilog=epilog and f"example: {epilog}")
    parser.set_defaults(act=act)
    for flag, text in _PLACES if places else (): parser.add_argument(flag, metavar="PLACE", help=text)
    return parser


def _parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser("warp", description="Screenshots of Star Trek Online builds in, named items out; trained by its players, one install, one vote.",
                                  epilog="Try 'warp demo' first: it needs no data and no network. 'warp VERB --help' tells more about each.")
    top.add_argument("--version", action="version", version=f"warp {__version__}")
    verbs = top.add_subparsers(title="verbs, in the order of the loop", metavar="VERB", required=True)
    p = _verb(verbs, demo, "warp demo --folder demo", places=False)
    p.add_argument("--folder", type=Path, default=Path("demo"), help="where everything is left; run again to go on after an interruption (default: demo)")
    p.add_argument("--seed", type=int, default=7, help="another seed is another world (default: 7)")
    p.add_argument("--budget", type=float, default=150, metavar="SECONDS", help="for training (default: 150)")
    p = _verb(verbs, lab, "warp lab draw_boxes")
    p.add_argument("desk", nargs="?", default="label_screens", choices=("label_screens", "draw_boxes", "confirm_icons", "review_votes"), help="the desk that is opened (default: label_screens)")
    p.add_argument("--no-browser", action="store_true", help="print the address instead of opening a browser")
    p.add_argument("--then-train", type=minutes, metavar="TIME", help="when the desks are closed, train on what you confirmed, for this machine: 10m")
    p = _verb(verbs, add, "warp add ~/Pictures/STO")
    p.add_argument("sources", type=Path, nargs="+", metavar="PLACE", help="screenshots, or folders with screenshots, looked through to the bottom")
    p = _verb(verbs, import_, "warp import ~/SETS-WARP/warp/training_data --screenshots ~/Pictures/STO")
    p.add_argument("source", type=Path, help="a client's training_data folder, a COCO .json file, or a YOLO folder with data.yaml")
    p.add_argument("--screenshots", type=Path, action="append", default=[], metavar="FOLDER", help="where the screenshots lie, if not beside the records; may be given several times")
    p.add_argument("--confirmed", action="store_true", help="COCO and YOLO: a person has confirmed these boxes; without it they wait at the desk")
    p = _verb(verbs, export, "warp export boxes.json --images boxes")
    p.add_argument("target", type=Path, help="a .json file for COCO, a folder for YOLO")
    p.add_argument("--images", type=Path, metavar="FOLDER", help="COCO: also copy the screenshots there")
    p = _verb(verbs, sync, "warp sync --hub /srv/hub")
    p.add_argument("--share-screens", action="store_true", help="also send small copies of whole screenshots, names blanked, for the screen-type model")
    p = _verb(verbs, votes, "warp votes show 3f9c5a --picture ballot.png --hub /srv/hub")
    p.add_argument("what", nargs="?", choices=("show",), help="one crop instead of all of them")
    p.add_argument("sha", nargs="?", default="", metavar="SHA", help="with show: the crop's sha256, or its first digits")
    p.add_argument("--picture", type=Path, metavar="FILE", help="with show: write the crop with a bar for each name here (PNG)")
    p.add_argument("--trust", default="", metavar="SWITCHES", help=_SWITCHES)
    p = _verb(verbs, merge, "warp merge --hub /srv/hub, and when the report looks right, warp merge --hub /srv/hub --apply")
    p.add_argument("--apply", action="store_true", help="commit it; without this nothing is changed")
    p.add_argument("--since", default="", metavar="DATE", help="overrides: decide only hashes that somebody spoke about from this day on (2026-11-20)")
    p.add_argument("--min", type=int, default=1, metavar="N", help="overrides: votes that the winning name needs (default: 1)")
    p.add_argument("--trust", default="", metavar="SWITCHES", help=_SWITCHES)
    p = _verb(verbs, train, "warp train --dry-run --hub /srv/hub, and when the counts look right, warp train --hub /srv/hub --budget 50m --out release")
    p.add_argument("what", nargs="?", choices=("icons", "screens", "local"), help="icons or screens: the other models stay as they are served; local: your own confirmations, used on this machine until the community has published a later training (default: icons and screens)")
    p.add_argument("--dry-run", action="store_true", help="count the votes, say what would be trained, fetch nothing and change nothing")
    p.add_argument("--budget", type=minutes, default=50, metavar="TIME", help="for reading and for all networks: 50m, 90s, 1.5h (default: 50m); what a stage cannot finish in its share it does not begin")
    p.add_argument("--out", type=Path, default=Path("release"), metavar="FOLDER", help="where the release is left (default: release)")
    p.add_argument("--images", type=Path, metavar="FOLDER", help="clean icons, one PNG an item (default: the host's)")
    p.add_argument("--min-new-crops", type=int, default=10, metavar="N", help="skip when fewer are new, relabelled or gone (default: 10)")
    p.add_argument("--force", action="store_true", help="train even when nothing is new; local: use it even if it names fewer of your own held-back crops than the set in use")
    p.add_argument("--seed", type=int, default=0, help="the same seed and the same votes hold back the same crops (default: 0)")
    p.add_argument("--trust", default="", metavar="SWITCHES", help=_SWITCHES)
    p = _verb(verbs, publish, "warp publish release --hub /srv/hub")
    p.add_argument("folder", type=Path, nargs="?", help="what 'warp train' left")
    p.add_argument("--restore", metavar="REVISION", help="publish again what the hub served at this revision, as the newest release")
    p.add_argument("--force", action="store_true", help="publish even if the gate refuses")
    p = _verb(verbs, update, "warp update --check")
    p.add_argument("--check", action="store_true", help="only tell whether there is something new")
    p.add_argument("--rollback", action="store_true", help="go back to the set before")
    p.add_argument("--force", action="store_true", help="check every byte of the set in use; replace a damaged, rolled-back or locally trained one")
    p = _verb(verbs, read, "warp read space.png traits.png --out build.json --picture seen")
    p.add_argument("shots", type=Path, nargs="+", metavar="SHOT", help="screenshots of one build")
    p.add_argument("--out", type=Path, help="the build file, for SETS: File -> Load")
    p.add_argument("--picture", type=Path, help="the screenshot with what was read drawn on it (a folder for several)")
    p.add_argument("--ship", metavar="TYPE", help="the ship, where it is not read from the screenshot: 'Fleet Kholhr Temporal Warbird [T6-X2]'; SETS drops the space section of a file that names none")
    p.add_argument("--csv", action="store_true", help="print one line a slot, for a spreadsheet")
    p.add_argument("--json", action="store_true", help="print everything that is known, scores and second thoughts too, for a program")
    _verb(verbs, detect, "warp detect scenes --out scenes", places=False)
    p = _verb(verbs, serve, "warp serve --hub /srv/hub --port 8000")
    p.add_argument("--port", type=int, default=8000)
    p.add_argument("--host-address", default="127.0.0.1", metavar="ADDRESS", help="where to listen (default: 127.0.0.1)")
    return top


# NVIDIA's and an older one install a package `warp` too. Whichever was installed last wins, silently, so the command looks and says so.
CLASHING = ("warp-lang", "sto-warp")


def clashes() -> list[str]:
    "Installed distributions that bring a package `warp` too."
    found = []
    for name in CLASHING:
        try: found.append(f"{name} {version(name)}")
        except PackageNotFoundError: pass
    return found


def main(
    words: list[str] | None = None,  # instead of sys.argv
) -> int:  # exit status
    "The command `warp`."
    words = sys.argv[1:] if words is None else words
    own = 1 if words[:1] == ["detect"] else len(words)  # the rest are words of a parser that is heavier to import
    args = _parser().parse_args(words[:own])
    args.rest = words[own:]
    for name in clashes(): print(f"warp: {name} is installed too and has a package of the same name: keep them in separate environments", file=sys.stderr)
    try:
        args.act(args)
    except WarpError as e:
        print(f"warp: {e}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("warp: interrupted; run the same command to go on", file=sys.stderr)
        return 130
    return 0
