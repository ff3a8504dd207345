"""README.md from nbs/index.ipynb: `python dev/readme.py` writes it, `--check` says whether it is in step.

Prose as it is, code as code, text and pictures as they were shown. Links are written for a reader in nbs/ and are turned
to suit a reader at the root; cells marked `#| hide` stay behind.
"""
import json
import posixpath
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
INDEX, README = ROOT / "nbs/index.ipynb", ROOT / "README.md"
NOTE = "<!-- Made by dev/readme.py from nbs/index.ipynb: edit that. -->\n"


def from_root(markdown: str) -> str:
    "The same text with relative links that hold one folder higher."
    def turned(match: re.Match) -> str:
        target = match[2]
        if re.match(r"[a-z]+:|#|/", target): return match[0]
        return f"{match[1]}{posixpath.normpath(posixpath.join('nbs', target))}{match[3]}"
    return re.sub(r"(\]\()([^)\s]+)(\))", turned, markdown)


def cell_text(cell: dict) -> str:
    "One cell as Markdown."
    source = "".join(cell["source"])
    if cell["cell_type"] == "raw" or re.match(r"#\|\s*hide", source): return ""
    source = re.sub(r"\A(#\|.*\n)+", "", source)
    if cell["cell_type"] == "markdown": return from_root(source)
    shown = ["".join(output.get("text") or output.get("data", {}).get("text/plain", "")) for output in cell["outputs"]]
    return "\n\n".join([f"```python\n{source}\n```", *(f"```\n{text.rstrip()}\n```" for text in shown if text)])


def readme(index: Path = INDEX) -> str:
    "The README that the index makes."
    cells = json.loads(index.read_text(encoding="utf-8"))["cells"]
    return NOTE + "\n" + "\n\n".join(filter(None, map(cell_text, cells))) + "\n"


if __name__ == "__main__":
    wanted = readme()
    if "--check" not in sys.argv: README.write_text(wanted, encoding="utf-8", newline="\n")
    elif not README.exists() or README.read_text(encoding="utf-8") != wanted: sys.exit("README.md is not what nbs/index.ipynb makes: run python dev/readme.py")
