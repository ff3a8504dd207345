"The house stands floor on floor: who may import whom, and what the base may load."
import ast
import graphlib
import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import warp

ROOT = Path(__file__).resolve().parent.parent
NBS = sorted((ROOT / "nbs").glob("*.ipynb"))
MODULES = {".".join(p.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): p
           for p in sorted((ROOT / "warp").rglob("*.py")) if p.name != "_modidx.py"}
NUMBERED = [nb for nb in NBS if re.match(r"\d\d_", nb.name)]  # index and 000_tour may import anything
GROUND = {"warp", "warp.errors"}  # written by hand, below every notebook
EXTRAS = ("warp.train", "warp.detect", "warp.desk", "warp.server", "warp.loop", "warp.release.publish", "warp.release.local")  # what an extra brings; all else is the app's
HEAVY = {"torch", "torchvision", "timm", "fastapi", "uvicorn", "ipywidgets", "anywidget", "jupyter_bbox_widget", "duckdb", "papermill", "nbdev", "huggingface_hub", "rapidocr", "cv2", "pyspark", "cleanlab"}


def number(nb: Path) -> int: return int(nb.name.split("_")[0])


def code_cells(nb: Path) -> list[str]:
    cells = json.loads(nb.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def tree(source: str) -> ast.Module:
    "A cell's syntax tree; magics and shell lines are no Python."
    return ast.parse("\n".join("pass" if line.lstrip().startswith(("%", "!")) else line for line in source.splitlines()))


def imported(node: ast.AST, inside: str = "warp") -> set[str]:
    "The modules of ours that the import statements in this tree name; `inside` is the package that relative ones start from."
    found = set()
    for item in ast.walk(node):
        if isinstance(item, ast.Import): found |= {alias.name for alias in item.names}
        if isinstance(item, ast.ImportFrom):
            origin = importlib.util.resolve_name("." * item.level + (item.module or ""), inside)
            inner = {f"{origin}.{alias.name}" for alias in item.names} & MODULES.keys()
            found |= inner or {origin}
    return {name for name in found if name == "warp" or name.startswith("warp.")}


def imported_by(name: str, path: Path, only_at_load: bool = False) -> set[str]:
    "What a module of ours imports of ours."
    source = ast.parse(path.read_text(encoding="utf-8"))
    return imported(at_load(source) if only_at_load else source, name if path.name == "__init__.py" else name.rpartition(".")[0])


def at_load(module: ast.Module) -> ast.Module:
    "What runs when the module is imported: everything but the bodies of functions and of `if TYPE_CHECKING`."
    class Strip(ast.NodeTransformer):
        def visit_FunctionDef(self, node: ast.FunctionDef) -> None: return None

        def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None: return None

        def visit_If(self, node: ast.If) -> ast.AST | None: return None if "TYPE_CHECKING" in ast.unparse(node.test) else self.generic_visit(node)
    return Strip().visit(module)


NUMBER_OF = {f"warp.{m[1]}": number(nb) for nb in NUMBERED if (m := re.search(r"#\|\s*default_exp ([\w.]+)", "\n".join(code_cells(nb))))} | {"warp.detect.verbs": 79, "warp.cli": 95}  # written by hand


@pytest.mark.parametrize("nb", NUMBERED, ids=lambda nb: nb.stem)
def test_a_notebook_imports_only_lower_numbers(nb):
    for source in code_cells(nb):
        for module in imported(tree(source)) - GROUND:
            assert module in NUMBER_OF, f"{nb.name} imports {module}, which no numbered notebook makes"
            assert NUMBER_OF[module] < number(nb), f"{nb.name} imports {module}, which is number {NUMBER_OF[module]}: only lower numbers"


@pytest.mark.parametrize("nb", NUMBERED, ids=lambda nb: nb.stem)
def test_exported_imports_stand_alone_and_are_explicit(nb):
    for source in code_cells(nb):
        body = tree(source).body
        guarded = [node for node in body if (isinstance(node, ast.Try) or isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING") and all(isinstance(inner, (ast.Import, ast.ImportFrom)) for inner in node.body)]  # a missing extra, a name for annotations
        imports = [node for node in [*body, *(inner for node in guarded for inner in node.body)] if isinstance(node, (ast.Import, ast.ImportFrom))]
        assert not any(alias.name == "*" for node in imports if isinstance(node, ast.ImportFrom) for alias in node.names), f"{nb.name} has a star import"
        assert not any(getattr(node, "level", 0) for node in imports), f"{nb.name} has a relative import: write `from warp.records import Box`"
        others = [node for node in body if not isinstance(node, (ast.Import, ast.ImportFrom)) and node not in guarded]
        if "#| export" in source and imports: assert not others, f"{nb.name}: exported imports stand alone in their cell:\n{source[:300]}"


def test_no_module_has_a_star_import():
    for name, path in MODULES.items():
        stars = [n for n in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(n, ast.ImportFrom) and n.names[0].name == "*"]
        assert not stars, f"{name} has a star import"


def test_no_cycles():
    graph = {name: imported_by(name, path, only_at_load=name == "warp") & MODULES.keys() - {name, "warp"} for name, path in MODULES.items()}
    tuple(graphlib.TopologicalSorter(graph).static_order())  # CycleError names the ring


def test_what_trains_never_imports_what_measures():
    for name, path in MODULES.items():
        if name.startswith(("warp.train", "warp.detect")): assert "warp.demo" not in imported_by(name, path), f"{name} imports the made world"


def test_the_base_loads_nothing_heavy():
    base = [name for name in MODULES if not name.startswith(EXTRAS)]
    program = f"""if True:
        import importlib, sys
        for name in {base!r}:
            importlib.import_module(name)
            heavy = {HEAVY!r} & sys.modules.keys()
            if heavy: sys.exit(f"importing {{name}} loads {{sorted(heavy)}}: load it inside the function that needs it")"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_modules_without_an_extra_ask_for_it_only_in_extras():
    for name, path in MODULES.items():
        if name.startswith(EXTRAS): continue
        reached = {m for m in imported_by(name, path, only_at_load=True) if m.startswith(EXTRAS)}
        assert not reached, f"{name} is in the base and imports {sorted(reached)} as it loads"


def test_the_front_door_is_small_and_sorted():
    assert len(warp.__all__) <= 10 and list(warp.__all__) == sorted(warp.__all__), warp.__all__
    for name in warp.__all__: assert getattr(warp, name) is not None
