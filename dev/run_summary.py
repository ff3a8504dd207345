"""What a run's notebook shows, as Markdown for the page of a hosted run: `python dev/run_summary.py run.ipynb >> "$GITHUB_STEP_SUMMARY"`.

Tables and sentences as they were shown; of an error its kind and its sentence. A run that never wrote its page is a sentence too, so that this step never hides the one that failed.
"""
import json
import sys
from pathlib import Path


def shown(output: dict) -> str:
    "One output as Markdown; records, pictures and progress are left to the page itself."
    if output["output_type"] == "error": return f"**{output['ename']}**: {output['evalue']}"
    return "".join(output.get("data", {}).get("text/markdown", ""))


def summary(page: Path) -> str:
    "Title, tables and errors of one executed notebook."
    if not page.is_file(): return f"{page.name} was not written: the log of the steps before says why."
    try: cells = json.loads(page.read_text(encoding="utf-8"))["cells"]
    except ValueError as e: return f"{page.name} cannot be read ({e}): the run was stopped while it wrote its page, and the log says how far it came."
    pictures = sum(kind.startswith("image/") for cell in cells for output in cell.get("outputs", []) for kind in output.get("data", {}))
    title = next(line for cell in cells if cell["cell_type"] == "markdown" for line in "".join(cell["source"]).splitlines() if line.startswith("# "))
    return "\n\n".join([f"#{title}", *filter(None, (shown(output) for cell in cells for output in cell.get("outputs", []))), *([f"{pictures} pictures stand in {page.name}, among the files of this run."] if pictures else [])])


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8")
    for page in sys.argv[1:]: print(summary(Path(page)))
