"The site builds, every notebook has its page, links lead somewhere, and no page asks another host for anything."
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).resolve().parent.parent
FETCHED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}  # what a browser asks for without a click
NOT_FETCHED = {"canonical", "alternate", "prev", "next", "author", "license"}


class Page(HTMLParser):
    "What a page links to, what it fetches by itself, and the places one can jump to in it."

    def __init__(self, text: str):
        super().__init__()
        self.links, self.fetched, self.ids, self.text = [], [], set(), []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        attributes = dict(attrs)
        self.ids |= {attributes[key] for key in ("id", "name") if attributes.get(key)}
        if tag == "a" and attributes.get("href"): self.links.append(attributes["href"])
        if tag in FETCHED and attributes.get(FETCHED[tag]) and attributes.get("rel") not in NOT_FETCHED: self.fetched.append(attributes[FETCHED[tag]])

    def handle_data(self, data: str) -> None: self.text.append(data)


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> tuple[Path, list]:
    "The site in a temporary folder, and the pages that dev/make_site.py made."
    folder = tmp_path_factory.mktemp("site")
    program = ("import sys, pathlib; sys.path.insert(0, sys.argv[1]); import importlib; site = importlib.import_module('make_site'); "
               "[print(page.nb, page.address, sep='\\t') for page in site.build(pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3]))]")
    done = subprocess.run([sys.executable, "-c", program, ROOT / "dev", folder / "site", folder / "md"], capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    return folder / "site", [line.split("\t") for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def pages(site) -> dict[Path, Page]:
    return {path: Page(path.read_text(encoding="utf-8")) for path in site[0].rglob("*.html")}


def test_every_notebook_has_its_page_and_is_in_the_listing(site, pages):
    folder, made = site
    notebooks = [p for p in (ROOT / "nbs").rglob("*.ipynb") if ".ipynb_checkpoints" not in p.parts]
    assert sorted(nb for nb, _ in made) == sorted(map(str, notebooks))
    assert len({address for _, address in made}) == len(made), "two notebooks have one address"
    listed = {url.removeprefix("./") for url in pages[folder / "index.html"].links}
    for nb, address in made:
        assert folder / f"{address}.html" in pages, f"{nb} has no page"
        assert address == "index" or f"{address}.html" in listed, f"{nb} is not in the navigation"


def test_no_page_asks_another_host(site, pages):
    for path, page in pages.items():
        away = [url for url in page.fetched if urlsplit(url).netloc]
        assert not away, f"{path.name} fetches {away}"
    for style in site[0].rglob("*.css"):
        away = re.findall(r"(?:url\(|@import)\s*[\"']?((?:https?:)?//[^\"')]+)", style.read_text(encoding="utf-8"))
        assert not away, f"{style.name} fetches {away}"


def test_links_and_pictures_lead_somewhere(site, pages):
    folder, _ = site
    for path, page in pages.items():
        if path.name == "404.html": continue  # served at any depth: its links are absolute
        for url in page.links + page.fetched:
            parts = urlsplit(url)
            if parts.scheme or parts.netloc: continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            assert target.exists(), f"{path.relative_to(folder)} points to {url}: there is no such file"
            if parts.fragment and target in pages:
                assert unquote(parts.fragment) in pages[target].ids | {"__skip", "__tabbed"}, f"{path.relative_to(folder)} points to {url}: no such place"


def test_exported_names_can_be_linked(site, pages):
    assert {"cut_crop", "crop_sha256"} <= pages[site[0] / "data.crops.html"].ids
