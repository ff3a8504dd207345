"""The changelog's part on one version: `python dev/release_notes.py v0.1.0`. Stops unless the tag is that of warp.__version__ and the changelog speaks of it as released."""
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def notes(
    tag: str,  # v0.1.0
    root: Path = ROOT,
) -> str:
    "The section of that version. Raises `SystemExit` saying what does not agree."
    version = re.search(r'^__version__ = "(.+)"', (root / "warp/__init__.py").read_text(encoding="utf-8"), re.M)[1]
    if tag != f"v{version}": sys.exit(f"the tag is {tag}, warp.__version__ is {version}: tag the commit that raised the version, as v{version}")
    parts = re.split(r"^## (.+)$", (root / "CHANGELOG.md").read_text(encoding="utf-8"), flags=re.M)
    found = {title.split()[0]: (title, text.strip()) for title, text in zip(parts[1::2], parts[2::2])}
    title, text = found.get(version, ("", ""))
    if "unreleased" in title: sys.exit(f"CHANGELOG.md calls {version} unreleased: write the day instead, as in `## {version} (2026-11-20)`")
    if not text: sys.exit(f"CHANGELOG.md says nothing under `## {version}`: tell people what they will notice")
    return text


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8")
    print(notes(*sys.argv[1:]))
