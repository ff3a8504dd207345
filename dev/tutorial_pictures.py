"""The pictures of nbs/tutorials/annotator.ipynb, taken of the real desks: `python dev/tutorial_pictures.py`.

It opens JupyterLab on a made world, in folders of its own, does at each desk what the tutorial tells, and photographs the desk.
"""
import shutil
import sys
import tempfile
from io import BytesIO
from pathlib import Path

from browser import find_browser
from PIL import Image
from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "nbs/images"
sys.path.insert(0, str(ROOT / "tests"))

from lab import CHROMIUM_FLAGS, Hand, Lab  # noqa: E402  # the tests' JupyterLab

DESK = ".warp-desk"


def photograph(page: Page, name: str) -> None:
    "The desk alone, as a JPEG of at most 1,200 pixels."
    page.mouse.move(2, 2)
    img = Image.open(BytesIO(page.locator(DESK).first.screenshot())).convert("RGB")
    img.thumbnail((1200, 1200), Image.Resampling.LANCZOS)
    img.save(IMAGES / f"{name}.jpg", quality=80, optimize=True)
    print(IMAGES / f"{name}.jpg", img.size, (IMAGES / f"{name}.jpg").stat().st_size, "bytes")


def screens(page: Page, lab: Lab) -> None:
    Hand(page, lab, "label_screens.ipynb").run(0, until=".warp-screens-big img, .warp-desk img")
    for key in "12": page.keyboard.press(key)
    page.wait_for_selector("text=9 of 14 screenshots have a type")
    photograph(page, "annotator_screens")


def boxes(page: Page, lab: Lab) -> None:
    hand = Hand(page, lab, "draw_boxes.ipynb")
    hand.run(0, until=hand.PICTURE)
    page.wait_for_selector(".warp-card:has-text('wait for you')", timeout=60_000)
    for _ in range(4):
        page.keyboard.press("n")
        page.wait_for_selector(".warp-offer")
        page.keyboard.press("Enter")
    page.wait_for_selector(".warp-offer")
    photograph(page, "annotator_boxes")


def grid(page: Page, lab: Lab) -> None:
    Hand(page, lab, "confirm_icons.ipynb").run(0, until=".wg-cell")
    for _ in range(3): page.keyboard.press("ArrowRight")
    photograph(page, "annotator_grid")


def main() -> None:
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=find_browser(), args=CHROMIUM_FLAGS)
        for take in (screens, boxes, grid):
            with tempfile.TemporaryDirectory() as folder:
                desks = Path(folder) / "desks"
                shutil.copytree(ROOT / "nbs/desks", desks)
                page = browser.new_page(viewport=dict(width=1500, height=1400))
                with Lab(Path(folder), desks) as lab: take(page, lab)
                page.close()
        browser.close()


if __name__ == "__main__": main()
