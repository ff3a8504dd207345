"""The documentation site from the notebooks: nbs/*.ipynb -> _md/ (Markdown) -> _docs/ (HTML, by zensical).

`python dev/make_site.py`. Nothing is executed: a page shows what its notebook shows, prose, code, pictures and results. Code
that becomes part of the package is marked as such and can be linked by its name (`data.crops.html#cut_crop`); a name in
backticks, in any page, becomes such a link. Pages need no other host: no fonts, no scripts, no counters from elsewhere.
"""
import ast
import base64
import html
import json
import posixpath
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NBS, MD, DOCS = ROOT / "nbs", ROOT / "_md", ROOT / "_docs"
ROOMS = {"": "Start", "0": "Ground floor", "1": "Data", "2": "Knowledge", "3": "Match", "4": "Read", "5": "Train", "6": "Detect", "7": "Release",
         "8": "Desk and loop", "9": "Server and command line", "desks": "Desks", "runs": "Runs", "tutorials": "Tutorials"}
DIRECTIVE = re.compile(r"^#\|\s*(\S+?):?(?:\s+(.*))?$")
HIDDEN = {"hide", "default_exp"}
PICTURES = {"image/png": "png", "image/jpeg": "jpg", "image/svg+xml": "svg"}
STATIC = {".png", ".jpg", ".svg", ".webp", ".css"}


@dataclass
class Cell:
    "One cell, its directives taken off."
    kind: str
    source: str
    directives: dict[str, str]
    outputs: list[dict]

    @property
    def exported(self) -> bool: return "export" in self.directives or "exports" in self.directives

    @property
    def names(self) -> list[str]:
        "Functions and classes that this cell adds to the package."
        if self.kind != "code" or not self.exported: return []
        return [node.name for node in ast.parse(self.source).body if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_")]


@dataclass
class Page:
    "One notebook on its way to the site."
    nb: Path
    cells: list[Cell] = field(default_factory=list)

    @property
    def address(self) -> str:  # relative to the site's root, without a suffix
        "The notebook's name without its number, as nbdev writes it: 10_data.crops -> data.crops."
        rel = self.nb.relative_to(NBS)
        return (rel.parent / re.sub(r"^\d+_", "", rel.stem)).as_posix()

    @property
    def room(self) -> str:
        rel = self.nb.relative_to(NBS)
        if len(rel.parts) > 1: return rel.parts[0]
        return rel.stem[0] if re.match(r"\d\d_", rel.stem) else ""

    @property
    def title(self) -> str:
        found = next((m for c in self.cells if c.kind == "markdown" and (m := re.search(r"^# (.+)$", c.source, re.M))), None)
        return found[1] if found else self.nb.stem


def read_cell(cell: dict) -> Cell:
    lines = "".join(cell["source"]).split("\n")
    directives = {}
    while lines and (found := DIRECTIVE.match(lines[0])):
        directives[found[1]] = found[2] or ""
        lines.pop(0)
    return Cell(cell["cell_type"], "\n".join(lines).strip("\n"), directives, cell.get("outputs", []))


def read_page(nb: Path) -> Page:
    return Page(nb, [read_cell(cell) for cell in json.loads(nb.read_text(encoding="utf-8"))["cells"]])


def read_pages() -> list[Page]:
    "Every notebook, in the listing's order: index and tour, then the numbers, then the folders."
    found = [nb for nb in NBS.rglob("*.ipynb") if not any(part.startswith((".", "_")) for part in nb.relative_to(NBS).parts)]
    order = list(ROOMS)
    return sorted(map(read_page, found), key=lambda page: (order.index(page.room), page.nb.stem != "index", page.nb.name))


class Links:
    "Where names and notebooks are to be found on the site."

    def __init__(self, pages: list[Page]):
        self.notebooks = {page.nb.relative_to(NBS).as_posix(): page.address for page in pages}
        self.modules = {f"warp.{c.directives['default_exp']}": p.address for p in pages for c in p.cells if c.directives.get("default_exp")}
        self.modules |= {name.removeprefix("warp."): address for name, address in self.modules.items() if name.count(".") > 1}  # prose says `data.crops`
        self.names: dict[str, str] = {}
        for page in pages:
            for name in (name for cell in page.cells for name in cell.names):
                self.names[name] = "" if name in self.names else f"{page.address}.html#{name}"  # a name that two modules have is no address

    def to(self, target: str, page: Page) -> str:
        "`target`, an address from the site's root, as a link from `page`."
        here, there = posixpath.dirname(page.address), target.split("#")
        if there[0] == f"{page.address}.html": return f"#{there[1]}" if len(there) > 1 else posixpath.basename(there[0])
        return posixpath.relpath(there[0], here or ".") + "".join(f"#{part}" for part in there[1:])

    def notebook_link(self, match: re.Match, page: Page) -> str:
        "A link to a notebook leads to its page; one to another file of the repository is shown as that file's name."
        text, target, anchor = match[1], match[2], match[3] or ""
        if re.match(r"[a-z]+:|#|/", target): return match[0]
        rel = posixpath.normpath(posixpath.join(page.nb.parent.relative_to(NBS).as_posix(), target))
        if rel in self.notebooks: return f"[{text}]({self.to(self.notebooks[rel] + '.html' + anchor, page)})"
        return match[0] if Path(target).suffix in STATIC else text

    def backticks(self, match: re.Match, page: Page) -> str:
        name = match[1].removesuffix("()")
        target = self.names.get(name) or (f"{self.modules[name]}.html" if name in self.modules else "")
        return f"[{match[0]}]({self.to(target, page)})" if target else match[0]

    def prose(self, markdown: str, page: Page) -> str:
        "Prose with its links turned and its names linked; fenced code is left alone."
        parts = re.split(r"(^```.*?^```[^\n]*$)", markdown, flags=re.M | re.S)
        for i in range(0, len(parts), 2):
            text = re.sub(r"(?<!!)\[([^\]\n]*)\]\(([^)\s#]+)(#[^)\s]*)?\)", lambda m: self.notebook_link(m, page), parts[i])
            lines = [line if line.startswith("#") else re.sub(r"(?<![\[`])`([\w.]+(?:\(\))?)`(?![\]`])", lambda m: self.backticks(m, page), line)
                     for line in text.split("\n")]
            parts[i] = "\n".join(lines)
        return "".join(parts)


def fence(text: str, language: str) -> str:
    ticks = "`" * max(3, 1 + max((len(run) for run in re.findall(r"`+", text)), default=0))
    return f"{ticks}{language}\n{text.rstrip()}\n{ticks}"


def block(kind: str, *parts: str) -> str:
    "A marked-up stretch of Markdown."
    return f'<div class="{kind}" markdown>\n\n' + "\n\n".join(parts) + "\n\n</div>"


def picture(output: dict) -> tuple[str, bytes] | None:
    "Suffix and bytes of a shown picture."
    for mime, suffix in PICTURES.items():
        if mime in output.get("data", {}):
            data = "".join(output["data"][mime])
            return suffix, data.encode() if suffix == "svg" else base64.b64decode(data)
    return None


def shown(output: dict, files: Path, count: int) -> str:
    "What a cell showed, in the richest form that a page can hold without a kernel."
    if output["output_type"] == "stream": return fence("".join(output["text"]), "text")
    if output["output_type"] == "error": return fence(re.sub(r"\x1b\[[\d;]*m", "", "\n".join(output["traceback"])), "text")
    data = output.get("data", {})
    if found := picture(output):
        files.mkdir(parents=True, exist_ok=True)
        (files / f"{count}.{found[0]}").write_bytes(found[1])
        label = html.escape("".join(data.get("text/plain", "a picture")).split("\n")[0][:80]).translate(str.maketrans("[]", "()"))
        return f"![{label}]({files.name}/{count}.{found[0]})"
    for mime in ("text/markdown", "text/html"):
        if mime in data: return "".join(data[mime])
    return fence("".join(data.get("text/plain", "")), "text")


def render(page: Page, links: Links, out: Path) -> None:
    "Write one page and its pictures."
    target = out / f"{page.address}.md"
    files = target.with_name(f"{target.name.removesuffix('.md')}_files")
    parts, count = [], 0
    for cell in page.cells:
        if cell.kind == "raw" or HIDDEN & cell.directives.keys() or not cell.source.strip(): continue
        if cell.kind == "markdown":
            parts.append(links.prose(re.sub(r"^(# .+)\n\n> (.+)$", r"\1\n\n\2\n{ .lead }", cell.source, flags=re.M), page))
            continue
        anchors = "".join(f'<a id="{name}"></a>' for name in cell.names)
        code = fence(cell.source, "python")
        parts.append((anchors + "\n\n" if anchors else "") + (block("exported", code) if cell.exported else code))
        for output in cell.outputs:
            count += 1
            parts.append(block("output", shown(output, files, count)))
    where = page.nb.relative_to(ROOT).as_posix()
    parts.append(f'<p class="source-link">This page is the notebook <code>{where}</code>; code with a line at its left is the package\'s own.</p>')
    target.parent.mkdir(parents=True, exist_ok=True)
    head = f"---\ntitle: {json.dumps(page.title)}\n---\n\n"
    target.write_text(head + "\n\n".join(parts) + "\n", encoding="utf-8", newline="\n")


def navigation(pages: list[Page]) -> str:
    "The listing as the site's table of contents, in TOML."
    rooms: dict[str, list[Page]] = {}
    for page in pages: rooms.setdefault(page.room, []).append(page)

    def entry(page: Page) -> str: return "{" + f"{json.dumps(page.title)} = {json.dumps(page.address + '.md')}" + "}"
    return "nav = [" + ", ".join("{" + f"{json.dumps(ROOMS[room])} = [{', '.join(map(entry, found))}]" + "}" for room, found in rooms.items()) + "]"


def write_markdown(md: Path = MD) -> list[Page]:
    "All pages as Markdown, the pictures that prose names, and the site's configuration."
    shutil.rmtree(md, ignore_errors=True)
    pages = read_pages()
    links = Links(pages)
    for page in pages: render(page, links, md / "pages")
    for path in [*NBS.rglob("*"), ROOT / "docs/nb.css"]:
        if path.suffix not in STATIC or ".ipynb_checkpoints" in path.parts: continue
        target = md / "pages" / (path.relative_to(NBS) if path.is_relative_to(NBS) else path.name)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    settings = (ROOT / "docs/zensical.toml").read_text(encoding="utf-8").replace("nav = []", navigation(pages))
    (md / "zensical.toml").write_text(settings, encoding="utf-8", newline="\n")
    return pages


def build(out: Path = DOCS, md: Path = MD) -> list[Page]:
    "The whole site into `out`, by way of `md`."
    pages = write_markdown(md)
    command = [sys.executable, "-m", "zensical", "build", "--clean", "--config-file", md / "zensical.toml"]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8")
    if done.returncode: sys.exit(f"zensical stopped with {done.returncode}:\n{done.stdout}{done.stderr}")
    shutil.rmtree(out, ignore_errors=True)
    shutil.move(md / "site", out)
    return pages


if __name__ == "__main__":
    pages = build()
    print(f"{len(pages)} notebooks -> {len(list(DOCS.rglob('*.html')))} pages in {DOCS.relative_to(ROOT)}/")
