"The hosted workflows cannot run here, so everything they name is looked up: scripts, notebooks and their parameters, extras, verbs, secrets; and what they do to a version is done."
import argparse
import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from configparser import ConfigParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import yaml

from warp.cli import _parser

ROOT = Path(__file__).resolve().parent.parent
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
MADE = {"dist", "notes.md", "run.ipynb", "merge.ipynb", "out", "home", "host", "_docs", "clean"}  # what the steps themselves bring forth
SHELL = {"cd", "gh", "exit", "echo", "mkdir", "cat", "test"}


class Exact(yaml.SafeLoader):
    "YAML 1.2's words: `on` is a key, not a truth."


Exact.yaml_implicit_resolvers = {k: [(tag, expr) for tag, expr in v if tag != "tag:yaml.org,2002:bool"] for k, v in yaml.SafeLoader.yaml_implicit_resolvers.items()}
Exact.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("^(?:true|false)$"), list("tf"))


def parsed(path: Path) -> dict: return yaml.load(path.read_text(encoding="utf-8"), Exact)


def steps(path: Path) -> list[tuple[dict, dict]]:  # (job, step)
    return [(job, step) for job in parsed(path)["jobs"].values() for step in job["steps"]]


def commands(path: Path) -> list[list[str]]:
    "Every simple command of every step, split into words."
    lines = [line for _, step in steps(path) for line in step.get("run", "").replace("\\\n", " ").splitlines() if line.strip() and not line.strip().startswith("#")]
    found = []
    for line in lines:
        command = []
        for word in [*_words(line), ";"]:
            if word in ("|", "||", "&&", ";"):
                if command: found.append(command)
                command = []
            else: command.append(word)
    return found


def _words(line: str) -> shlex.shlex:
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;")
    lexer.whitespace_split = True
    return lexer


every = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)


def test_the_rooms_of_the_house_are_there():
    assert {"test.yml", "train_central_model.yml", "docs.yml", "release.yml"} <= {path.name for path in WORKFLOWS}


@every
def test_rights_and_limits_are_stated(path):
    flow = parsed(path)
    assert flow["permissions"] == {"contents": "read"}, "whoever needs more says so at the job"
    assert flow["concurrency"]["group"]
    for name, job in flow["jobs"].items():
        assert 0 < job["timeout-minutes"] <= 60, name
        assert all(right in ("read", "write") for right in job.get("permissions", {}).values()), name
        writes = {right for right, how in job.get("permissions", {}).items() if how == "write"}
        assert writes <= {"release.yml": {"id-token", "contents"}, "docs.yml": {"pages", "id-token"}, "train_central_model.yml": {"id-token"}}.get(path.name, set()), name
        if path.name != "test.yml" and (writes or "secrets." in json.dumps(job)):
            needed = [job, *(flow["jobs"][n] for n in ([job["needs"]] if isinstance(job.get("needs"), str) else job.get("needs", ())))]
            while needed[-1].get("needs"): needed.append(flow["jobs"][needed[-1]["needs"]])
            assert any("github.repository_owner ==" in part.get("if", "") for part in needed), f"{name} would run on a fork"


@every
def test_schedules_avoid_the_full_hour(path):
    for entry in parsed(path)["on"].get("schedule", ()):
        minute = entry["cron"].split()[0]
        assert minute.isdecimal() and 0 < int(minute) < 60 and int(minute) % 2, entry["cron"]


@every
def test_actions_are_pinned_to_a_major(path):
    for _, step in steps(path):
        assert ("uses" in step) != ("run" in step), step
        if "uses" in step: assert re.fullmatch(r"[\w-]+/[\w/-]+@(v\d+|release/v\d+)", step["uses"]), step["uses"]


@every
def test_secrets_come_from_secrets_and_into_the_environment_only(path):
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"hf_[A-Za-z0-9]{8}|gh[ps]_[A-Za-z0-9]{8}|github_pat_", text)
    for job, step in steps(path):
        assert "${{" not in step.get("run", ""), "an expression in a script is a door for strangers: hand it over by env"
        for name, value in {**job.get("env", {}), **step.get("env", {})}.items():
            if re.search("TOKEN|KEY|SECRET|PASSWORD", name): assert re.fullmatch(r"\$\{\{ secrets\.\w+ \}\}", str(value)), name
        assert "secrets." not in json.dumps({k: v for k, v in step.items() if k != "env"}), step


@every
def test_a_pipe_does_not_hide_a_failure(path):
    flow = parsed(path)
    for job, step in steps(path):
        if "|" not in re.sub(r"\|\|", "", step.get("run", "")): continue
        shell = step.get("shell") or job.get("defaults", {}).get("run", {}).get("shell") or flow.get("defaults", {}).get("run", {}).get("shell", "")
        assert shell == "bash" or "set -o pipefail" in step["run"], f"{path.name}: {step['run']}"
    assert "continue-on-error" not in path.read_text(encoding="utf-8") and "|| true" not in path.read_text(encoding="utf-8")


@every
def test_every_file_that_is_named_exists(path):
    named = [word for words in commands(path) for word in words if re.search(r"\.(py|ipynb|md|txt|ini|json|toml|sh)$", word) and not word.startswith("-")]
    for _, step in steps(path):
        given = step.get("with", {})
        named += [line for key in ("path", "cache-dependency-path") for line in str(given.get(key, "")).split()]
    for name in named:
        if name.startswith("$") or Path(name).parts[0] in MADE: continue
        assert (ROOT / name).exists(), f"{path.name} names {name}"


@every
def test_every_program_and_verb_exists(path):
    verbs = next(a for a in _parser()._actions if isinstance(a, argparse._SubParsersAction)).choices
    for words in commands(path):
        program = Path(words[0]).name
        if program == "warp": assert words[1] in verbs or words[1] in ("--version", "--help"), words
        elif program == "python":
            if words[1] == "-m" and words[2] not in ("venv", "pip"): assert importlib.util.find_spec(words[2]), words
        else: assert program in SHELL, words


@every
def test_every_extra_is_in_the_settings(path):
    ini = ConfigParser(delimiters=["="], interpolation=None)
    ini.read(ROOT / "settings.ini", encoding="utf-8")
    extras = {key.removesuffix("_requirements") for key in ini["DEFAULT"] if key.endswith("_requirements")}
    for words in commands(path):
        for word in words:
            if found := re.fullmatch(r"\.\[(.+)\]", word): assert set(found[1].split(",")) <= extras, word


@every
def test_notebooks_are_given_parameters_that_they_have(path):
    for words in commands(path):
        if "papermill" not in words: continue
        nb = words[words.index("papermill") + 1]
        cells = json.loads((ROOT / nb).read_text(encoding="utf-8"))["cells"]
        known = re.findall(r"^(\w+) = ", "".join(next(c for c in cells if "parameters" in c["metadata"].get("tags", ()))["source"]), re.M)
        given = {words[i + 1]: words[i + 2] for i, word in enumerate(words) if word == "-p"}
        assert set(given) <= set(known), f"{nb} has {known}: papermill would go on with the default"
        assert not set(given.values()) & {"true", "false"}, "papermill knows Python's words only"
        assert not any(re.search("token|key|secret", name, re.I) for name in given), "parameters are written into the page"


# ---- train

def test_the_server_starts_this_very_workflow():
    server = pytest.importorskip("warp.server")
    flow = parsed(ROOT / ".github/workflows" / server.WORKFLOW)
    inputs = flow["on"]["workflow_dispatch"]["inputs"]
    assert not any(entry.get("required") for entry in inputs.values()), "the server sends no inputs"
    assert inputs["force_retrain"]["type"] == "boolean" and inputs["force_retrain"]["default"] is False
    assert flow["concurrency"]["cancel-in-progress"] is False and "schedule" in flow["on"]


def test_a_training_run_leaves_its_page_whatever_happens():
    path = ROOT / ".github/workflows/train_central_model.yml"
    told = [step for _, step in steps(path) if step.get("if", "").startswith("always()")]
    assert any("GITHUB_STEP_SUMMARY" in step.get("run", "") for step in told)
    assert any("upload-artifact" in step.get("uses", "") and "run.ipynb" in step["with"]["path"] for step in told)
    job = parsed(path)["jobs"]["train"]
    budget = parsed(path)["on"]["workflow_dispatch"]["inputs"]["budget_minutes"]["default"]
    until = int(re.search(r"UNTIL=\$\(\( \$\(date \+%s\) \+ (\d+) \* 60", job["steps"][0]["run"])[1])
    assert budget == 50 and until + 5 <= job["timeout-minutes"] == 60, "however long the installation takes, gate, upload and page want their minutes too"
    assert flow_shell(path, job) == "bash", "with pipefail, whether a step has a pipe today or not"


def flow_shell(path: Path, job: dict) -> str:
    return (job.get("defaults") or parsed(path).get("defaults") or {}).get("run", {}).get("shell", "")


class Hub(BaseHTTPRequestHandler):
    "A hosted runner's passport office and the hub's counter where it is shown, as the library knows them."

    def do_GET(self) -> None: self.answer({"value": f"passport for {self.path.partition('audience=')[2]}"} if self.headers["Authorization"] == "Bearer runner" else {}, 200)

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        fine = self.path == "/oauth/token" and asked["subject_token"].startswith("passport for http") and asked["resource"] == "datasets/sets-sto/warp-knowledge"
        self.answer({"access_token": "lent for an hour", "expires_in": 3600} if fine else {"error": "no trusted publisher"}, 200 if fine else 403)

    def answer(self, record: dict, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(record).encode())

    def log_message(self, *_: object) -> None: pass


def test_a_hosted_job_is_lent_a_token_where_the_hub_knows_it():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    Thread(target=server.serve_forever, daemon=True).start()
    here = f"http://127.0.0.1:{server.server_port}"
    hosted = {"GITHUB_ACTIONS": "true", "ACTIONS_ID_TOKEN_REQUEST_URL": f"{here}/passport?v=1", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "runner", "HF_ENDPOINT": here, "HF_TOKEN": "hf_secret", "HF_HUB_OFFLINE": "0"}
    program = "from warp.hfhub import find_token; print(find_token())"
    def found(**more: str) -> subprocess.CompletedProcess:
        return subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=os.environ | hosted | more, capture_output=True, text=True, encoding="utf-8")
    try:
        assert found(HF_OIDC_RESOURCE="datasets/sets-sto/warp-knowledge").stdout == "lent for an hour\n"
        assert found(HF_OIDC_RESOURCE="").stdout == "hf_secret\n", "where it is not set up, the secret is used"
        refused = found(HF_OIDC_RESOURCE="datasets/somebody/else")
        assert refused.returncode == 1 and "HubError: no token was lent for datasets/somebody/else" in refused.stderr and "id-token: write" in refused.stderr
    finally: server.shutdown()


def test_the_summary_says_why_and_never_fails(tmp_path):
    def cell(kind, source, outputs=()): return {"cell_type": kind, "source": source, "metadata": {}, "outputs": list(outputs)}
    page = tmp_path / "run.ipynb"
    page.write_text(json.dumps({"cells": [cell("markdown", ["# A training run\n", "\n", "> words"]),
        cell("code", "report", [{"output_type": "execute_result", "data": {"text/markdown": ["| stage |\n", "|---|\n"], "text/plain": "x"}}]),
        cell("code", "publish()", [{"output_type": "error", "ename": "GateError", "evalue": "not published, release 3 stays: no finished epoch", "traceback": ["\x1b[31m"]}]),
        cell("code", "later")]}), encoding="utf-8")
    said = subprocess.run([sys.executable, ROOT / "dev/run_summary.py", page, tmp_path / "none.ipynb"], capture_output=True, text=True, encoding="utf-8", check=True).stdout
    assert said.startswith("## A training run") and "| stage |" in said and "**GateError**: not published, release 3 stays" in said and "none.ipynb was not written" in said
    page.write_text('{"cells": [', encoding="utf-8")  # killed while it was written
    said = subprocess.run([sys.executable, ROOT / "dev/run_summary.py", page], capture_output=True, text=True, encoding="utf-8", check=True).stdout
    assert "cannot be read" in said


# ---- release

@pytest.fixture
def tree(tmp_path) -> Path:
    "What a release looks at, with a changelog that is ready."
    (tmp_path / "warp").mkdir()
    (tmp_path / "dev").mkdir()
    for name in ("warp/__init__.py", "dev/release_notes.py"): shutil.copy(ROOT / name, tmp_path / name)
    version = re.search(r'^__version__ = "(.+)"', (ROOT / "warp/__init__.py").read_text(encoding="utf-8"), re.M)[1]
    (tmp_path / "CHANGELOG.md").write_text(f"# Changelog\n\n## {version} (2026-11-20)\n\n- Reads screenshots.\n\n## 0.0.9\n\n- Older.\n", encoding="utf-8")
    return tmp_path


def noted(tree: Path, tag: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, tree / "dev/release_notes.py", tag], capture_output=True, text=True, encoding="utf-8")


def test_a_release_is_announced_with_its_own_part_of_the_changelog(tree):
    version = (tree / "CHANGELOG.md").read_text(encoding="utf-8").split("## ")[1].split()[0]
    assert noted(tree, f"v{version}").stdout == "- Reads screenshots.\n"
    for tag in (version, "v9.9.9", f"v{version}rc1"):
        done = noted(tree, tag)
        assert done.returncode == 1 and not done.stdout and f"as v{version}" in done.stderr
    (tree / "CHANGELOG.md").write_text(f"# Changelog\n\n## {version} (unreleased)\n\n- Soon.\n", encoding="utf-8")
    assert "write the day instead" in noted(tree, f"v{version}").stderr
    (tree / "CHANGELOG.md").write_text("# Changelog\n", encoding="utf-8")
    assert "says nothing" in noted(tree, f"v{version}").stderr


def test_the_changelog_knows_the_present_version():
    version = re.search(r'^__version__ = "(.+)"', (ROOT / "warp/__init__.py").read_text(encoding="utf-8"), re.M)[1]
    assert re.search(rf"^## {re.escape(version)}\b", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)
