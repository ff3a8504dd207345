"""How quick the desks are for the hand before them: `python bench/desks.py`. Needs the extras desk and dev, and a Chromium (see dev/browser.py).

A real JupyterLab on loopback and a headless browser without a graphics card, which is slower than anybody's own. Each desk has a fresh kernel: *first* counts from Ctrl+Enter in a notebook that has run
nothing yet, imports included, until the picture is on the page; *again* runs the same cell a second time. Screenshots are those of the made world, 1920 x 1080, as JPEG files.

- opening: the screen types desk and the boxes desk over a folder of 1,000 files; the grid over 500 crops whose suggestions were prepared before, as after a restart;
- next: one key until the next screenshot is shown sharp;
- dragging: one of 60 boxes is moved for two seconds while requestAnimationFrame counts; frames that did not come are dropped ones. The limit is what the same hand drops over an empty page,
  and what the page has to do for one move of the mouse must fit into one frame;
- typing: milliseconds the field of names takes for one letter over all 4,000 names of the game, its drop-down drawn.

Prints one table with the limits of each, and ends with an error when one is missed; on a machine that is busy with other things it will be.
"""
import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import NamedTuple
from urllib.request import Request, urlopen

import numpy as np
from playwright.sync_api import Page, sync_playwright
from tqdm.auto import tqdm

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "dev")]

from browser import find_browser  # noqa: E402
from lab import CHROMIUM_FLAGS, Hand, Lab  # noqa: E402
from warp.config import Config  # noqa: E402
from warp.data.store import Store, Word  # noqa: E402
from warp.demo import World  # noqa: E402
from warp.desk.grid import open_grid  # noqa: E402
from warp.knowledge.vocabulary import Vocabulary  # noqa: E402
from warp.records import Box, slot_named  # noqa: E402

STATIC = ROOT / "warp/static"
FRESH = ".warp-desk:not([data-old])"  # a desk that was not there before the cell was run again
FRAME_MS = 1000 / 60
SEARCHES = ("solanae deflector", "consol uni", "sda", "tetrion bem", "phaser", "quantm torp", "zzxq")  # words, initials, typos, and what fits nothing


class Line(NamedTuple):
    "One line of the table."
    what: str
    times: list[float]  # ms; of dropped frames: their number
    limit: float | None = None  # for the 95th percentile
    unit: str = "ms"
    note: str = ""

    @property
    def p95(self) -> float: return float(np.percentile(self.times, 95))

    @property
    def kept(self) -> bool: return self.limit is None or self.p95 <= self.limit

    def __str__(self) -> str:
        limit = "" if self.limit is None else f"{self.limit:,.0f} {self.unit}"
        numbers = f"{float(np.median(self.times)):9,.1f} {self.p95:9,.1f} {max(self.times):9,.1f}"
        return f"{self.what:<58} {numbers} {limit:>12} {'' if self.limit is None else 'kept' if self.kept else 'MISSED':>7}  {self.note}"


def line(what: str, seconds: list[float], limit_ms: float | None = None, note: str = "") -> Line:
    return Line(what, [s * 1000 for s in seconds], limit_ms, note=note)


# what lies before the desks

def jpeg(img: object) -> bytes:
    file = BytesIO()
    img.save(file, "JPEG", quality=80)
    return file.getvalue()


def fill(folder: Path, world: World, count: int) -> None:
    "That many different files; the pictures repeat, since no desk may look at them all."
    folder.mkdir(parents=True)
    made = [jpeg(world.shot(world.players[i % 10], kind).render().image) for i, kind in enumerate(("SPACE_EQ", "GROUND_EQ", "TRAITS", "BOFFS", "SPACE_MIXED", "SPACE_EQ"))]
    for i in range(count): (folder / f"{i:04}.jpg").write_bytes(made[i % len(made)] + str(i).encode())


def config_of(home: Path, host: Path | None = None) -> Config: return Config(home, str(home / "hub"), host_dir=host)


def page_of_sixty(config: Config, world: World) -> None:
    "A store with one screenshot on which sixty boxes are drawn."
    store = Store(config.training_data)
    sha = store.add(jpeg(world.shot(world.newcomer, "SPACE_EQ").render().image), "sixty.jpg")
    store.set_screen_type(sha, "SPACE_EQ")
    store.draw(sha, [Word(Box(60 + 150 * (i % 12), 60 + 180 * (i // 12), 64, 84), "Devices", f"Battery {i}", i) for i in range(60)])


def grid_of(config: Config, world: World, crops: int) -> None:
    "A store in which that many crops wait, each with suggestions."
    store = Store(config.training_data, Vocabulary.load())
    kinds = ("SPACE_EQ", "TRAITS", "BOFFS", "GROUND_EQ")
    for player, kind in ((player, kind) for kind in kinds for player in world.players):
        made = world.shot(player, kind).render()
        left = crops - len(store.annotations(state="candidate"))
        words = [Word(t.bbox, t.slot, slot_index=t.slot_index) for t in made.truth if slot_named(t.slot).kind == "icon"][:left]
        if not words: break
        sha = store.add(made.png_or_jpeg, f"{player.install_id[:8]}-{kind}.png")
        store.set_screen_type(sha, kind)
        store.propose(sha, words)
    desk = open_grid(None, config)
    for sha in tqdm(store.screenshots(), desc="preparing suggestions", leave=False, disable=None): desk.prepare(sha)


# the hand

def notebook(path: Path, *cells: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    code = [dict(cell_type="code", id=f"c{i}", metadata={}, execution_count=None, outputs=[], source=source) for i, source in enumerate(cells)]
    kernel = dict(kernelspec=dict(name="python3", display_name="python3", language="python"))
    path.write_text(json.dumps(dict(cells=code, metadata=kernel, nbformat=4, nbformat_minor=5)), encoding="utf-8")


def end_kernels(lab: Lab) -> None:
    "So that the next desk has a fresh one."
    def ask(path: str, method: str) -> bytes: return urlopen(Request(f"{lab.url}/api/{path}", method=method, headers={"Authorization": f"token {lab.token}"}), timeout=60).read()
    for session in json.loads(ask("sessions", "GET")): ask(f"sessions/{session['id']}", "DELETE")


class Sitter(Hand):
    "Somebody with a stopwatch."

    def seconds_until(self, act: Callable[[], None], shown: str, arg: object = None) -> float:
        "From an act to what it shows, an expression of the page's."
        start = time.perf_counter()
        act()
        self.page.wait_for_function(shown, arg=arg, timeout=120_000)
        return time.perf_counter() - start

    def open(self, shown: str) -> float:
        "Runs the notebook's only cell."
        self.page.evaluate("document.querySelectorAll('.warp-desk').forEach(desk => desk.dataset.old = 1)")
        self.page.locator(".jp-Notebook .jp-CodeCell").first.locator(".jp-InputArea-editor").click()
        return self.seconds_until(lambda: self.page.keyboard.press("Control+Enter"), shown)


@contextmanager
def sitting(page: Page, folder: Path, name: str, cell: str) -> Iterator[Sitter]:
    "A notebook with one cell, opened in a JupyterLab of its own."
    notebook(folder / name / "nb" / f"{name}.ipynb", cell)
    with Lab(folder / name, folder / name / "nb") as lab:
        yield Sitter(page, lab, f"{name}.ipynb")
        end_kernels(lab)


def pictured(selector: str) -> str:
    "An image within a fresh desk is there and decoded."
    return f"(() => {{ const img = document.querySelector('{FRESH} {selector}'); return img && img.complete && img.naturalWidth > 0 }})()"


def opened(hand: Sitter, what: str, shown: str, limit_ms: float, times: int = 3) -> list[Line]:
    return [line(f"{what}: first", [hand.open(shown)], None, "imports included"), line(f"{what}: again", [hand.open(shown) for _ in range(times)], limit_ms)]


def screens(page: Page, folder: Path, shots: Path) -> list[Line]:
    cell = f"from warp.config import Config\nfrom warp.desk.screens import open_screens\nopen_screens({str(shots)!r}, Config.load(home={str(folder / 'home-screens')!r}))"
    count = len(list(shots.iterdir()))
    with sitting(page, folder, "screens", cell) as hand:
        sharp = f"document.querySelector(\"{FRESH} .warp-view[data-at='%d'][data-sharp=yes]\") && document.querySelectorAll('{FRESH} .warp-tile').length === {count}"
        lines = opened(hand, f"screen types desk opens over {count:,} screenshots", sharp % 0, 2000)
        walk = [hand.seconds_until(lambda: page.keyboard.press("ArrowRight"), sharp % at) for at in range(1, 16)]
    return [*lines, line("screen types desk: the next screenshot, sharp", walk)]


def boxes(page: Page, folder: Path, shots: Path) -> list[Line]:
    cell = f"from warp.config import Config\nfrom warp.desk.boxes import open_desk\nopen_desk({str(shots)!r}, Config.load(home={str(folder / 'home-boxes')!r}))"
    count = len(list(shots.iterdir()))
    with sitting(page, folder, "boxes", cell) as hand:
        lines = opened(hand, f"boxes desk opens over {count:,} screenshots", pictured(".wrapper img"), 2000)
        title = f"document.querySelector('{FRESH} .warp-title').textContent.includes('%04d.jpg') && {pictured('.wrapper img')}"
        walk = [hand.seconds_until(lambda: page.keyboard.press("PageDown"), title % at) for at in range(1, 11)]
    return [*lines, line("boxes desk: the next screenshot", walk)]


COUNT_FRAMES = """() => {
  window.frames_ms = []; window.moves_ms = [];
  let last = performance.now(), begun;
  const tick = () => { const now = performance.now(); frames_ms.push(now - last); last = now; window.ticking = requestAnimationFrame(tick) };
  const done = new MessageChannel();  // its message comes when everything that the move set off has been worked through
  done.port1.onmessage = () => { document.body.getBoundingClientRect(); moves_ms.push(performance.now() - begun) };
  addEventListener('mousemove', window.on_move = () => { begun = performance.now(); done.port2.postMessage(0) }, true);
  tick();
}"""
COUNTED = "() => { cancelAnimationFrame(ticking); removeEventListener('mousemove', on_move, true); return [frames_ms.slice(2), moves_ms] }"


def dragging(page: Page, what: str, start: tuple[float, float], limit: float | None) -> list[Line]:
    "A circle of two seconds with the button down, at the pace of a hand."
    from math import cos, sin
    page.mouse.move(*start)
    page.mouse.down()
    page.evaluate(COUNT_FRAMES)
    begun, moves = time.perf_counter(), 0
    while (t := time.perf_counter() - begun) < 2:
        page.mouse.move(start[0] + 60 * sin(3 * t), start[1] + 60 - 60 * cos(3 * t))
        moves += 1
    frames, work = page.evaluate(COUNTED)
    page.mouse.up()
    dropped = sum(max(0, round(ms / FRAME_MS) - 1) for ms in frames)
    fps = 1000 * len(frames) / sum(frames)
    return [Line(f"{what}: dropped frames in 2 s", [dropped], limit, "frames", f"{fps:.0f} frames/s, {moves} moves of the mouse"),
            Line(f"{what}: from one frame to the next", frames), Line(f"{what}: the page's work for one move", work, FRAME_MS if limit is not None else None)]


def drag(page: Page, folder: Path, config: Config) -> list[Line]:
    cell = f"from warp.config import Config\nfrom warp.desk.boxes import open_desk\nopen_desk(None, Config.load(home={str(config.home)!r}))"
    page.set_content("<p style='height: 1200px'>an empty page</p>")
    control = dragging(page, "control, an empty page", (400, 400), None)
    with sitting(page, folder, "drag", cell) as hand:
        hand.open(f"document.querySelectorAll('{FRESH} .warp-boxes-canvas rect.movable').length === 60")
        x, y = hand.at(60 + 150 * 5 + 32, 60 + 180 * 2 + 42)
        page.mouse.click(x, y)
        places = f"[...document.querySelectorAll('{FRESH} .warp-boxes-canvas rect.movable')].map(box => box.outerHTML).sort().join()"
        before = page.evaluate(places)
        lines = dragging(page, "one of 60 boxes dragged", (x, y), control[0].times[0])
        if page.evaluate(places) == before: sys.exit("the box did not move: this bench is out of date")
    return [*control, *lines]


def grid(page: Page, folder: Path, config: Config, crops: int) -> list[Line]:
    cell = f"from pathlib import Path\nfrom warp.config import Config\nfrom warp.desk.grid import open_grid\nopen_grid(None, Config(Path({str(config.home)!r}), 'hub', host_dir=Path({str(config.host_dir)!r})))"
    with sitting(page, folder, "grid", cell) as hand:
        return opened(hand, f"grid with {crops} crops painted", f"document.querySelector('{FRESH} .warp-grid')?.dataset.painted === '{crops}'", 1000)


def all_names() -> list[str]:
    lists = json.loads((STATIC / "item_names.json").read_text(encoding="utf-8"))
    pools = [lists[table] for table in ("equipment", "traits", "boff_abilities", "specializations")]
    return sorted({n for pool in pools for some in pool.values() for n in some} | set(lists["starship_traits"]))


def typing(page: Page) -> list[Line]:
    "Letter by letter; the time of a letter is that of the field's own listener, which searches and draws the list, with the layout forced behind it."
    names = all_names()
    page.set_content("<meta charset=utf-8><div id=host style='width: 460px; margin: 30px'></div>")
    page.add_style_tag(content=(STATIC / "desk/names.css").read_text(encoding="utf-8"))
    page.add_script_tag(content=(STATIC / "desk/names.js").read_text(encoding="utf-8") + "\nObject.assign(window, { nameField });", type="module")
    page.wait_for_function("() => window.nameField")
    page.evaluate("""names => { window.times = []; let begun;
        addEventListener('input', () => { begun = performance.now() }, true);
        window.field = nameField(document.getElementById('host'), {placeholder: 'type'});
        addEventListener('input', () => { document.body.getBoundingClientRect(); document.querySelector('[role=listbox]')?.getBoundingClientRect(); times.push(performance.now() - begun) });
        field.setNames(names); field.focus() }""", names)
    for _ in range(3):
        for text in SEARCHES:
            page.locator("input").fill("")
            page.keyboard.type(text)
    times = page.evaluate("times")
    return [line(f"a letter typed over {len(names):,} names", [ms / 1000 for ms in times], 30, f"{len(times)} letters")]


def main() -> None:
    "Makes what lies before the desks, sits down before each, prints the table."
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=("typing", "screens", "boxes", "drag", "grid"), help="these only")
    parser.add_argument("--screenshots", type=int, default=1000)
    parser.add_argument("--crops", type=int, default=500)
    args = parser.parse_args()
    wanted, chromium = args.only or ("typing", "screens", "boxes", "drag", "grid"), find_browser()
    if not chromium: sys.exit("no Chromium: install one or name it in CHROMIUM")
    world, lines = World.make(), []
    load = f", load average {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    print(f"{os.cpu_count()} cores{load}\n\n{'':<58} {'median':>9} {'p95':>9} {'max':>9} {'limit':>12}", flush=True)
    with tempfile.TemporaryDirectory(prefix="warp-desks-", ignore_cleanup_errors=True) as temporary, sync_playwright() as p:
        folder = Path(temporary)
        shots, sixty, waiting = folder / "shots", config_of(folder / "home-sixty"), config_of(folder / "home-grid", folder / "host")
        if {"screens", "boxes"} & set(wanted): fill(shots, world, args.screenshots)
        if "drag" in wanted: page_of_sixty(sixty, world)
        if "grid" in wanted:
            world.write_icons(folder / "host/images")
            grid_of(waiting, world, args.crops)
        browser = p.chromium.launch(executable_path=chromium, args=CHROMIUM_FLAGS)
        measures = {"typing": typing, "screens": lambda page: screens(page, folder, shots), "boxes": lambda page: boxes(page, folder, shots),
                    "drag": lambda page: drag(page, folder, sixty), "grid": lambda page: grid(page, folder, waiting, args.crops)}
        for name in wanted:
            page = browser.new_page(viewport=dict(width=1600, height=1400))
            for one in measures[name](page):
                lines.append(one)
                print(one, flush=True)
            page.close()
        browser.close()
    missed = [one.what for one in lines if not one.kept]
    print("\nmissed: " + "; ".join(missed) if missed else "\nall limits kept")
    sys.exit(bool(missed))


if __name__ == "__main__":
    main()
