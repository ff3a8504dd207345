"The merge: where everything goes, what it takes to lose nothing, and that killing it changes nothing."
import hashlib
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from dying_merge import CROPS, DATA, DELIVERY, NAMES, digest, fill, lines_of, merged, send, vote
from loopback_hub import LoopbackHub
from warp.config import Config
from warp.errors import ConflictError, HubError
from warp.hfhub import HfHub
from warp.hub import Add, Delete, FolderHub, MemoryHub
from warp.knowledge import curated, merge as merging
from warp.knowledge.curated import CROPS as SHELF, SCREENS, CropRow, fetch_pictures, picture_file, read_index, read_shard, read_votes
from warp.knowledge.ledger import Decision, add_decisions, read_ledger
from warp.knowledge.merge import commits_of, merge, merge_contributions
from warp.knowledge.trust import elect
from warp.knowledge.votes import crop_path

CONFIG = Config(Path("nowhere"), "memory")


def tree(hub, repo=DATA, folder="") -> list[str]:
    found = hub.list(repo, folder)
    return sorted([e.path for e in found if not e.is_folder] + [path for e in found if e.is_folder for path in tree(hub, repo, e.path)])


def content(hub) -> dict[str, bytes]: return {path: hub.read(DATA, path) for path in tree(hub)}


def packed(hub) -> dict[str, CropRow]: return {sha: placed.row for sha, placed in read_index(hub, DATA, SHELF).items()}


def go(hub, **how): return merge(hub, CONFIG, apply=True, **how)


@pytest.fixture
def hub() -> MemoryHub:
    hub = MemoryHub()
    fill(hub)
    return hub


# ---- where everything goes

def test_a_dry_run_tells_everything_and_changes_nothing(hub):
    before = content(hub), hub.head(DATA), hub.head(DELIVERY)
    dry = merge(hub, CONFIG)
    assert (content(hub), hub.head(DATA), hub.head(DELIVERY)) == before and dry.commits == [] and "dry run" in str(dry)
    done = go(hub)
    assert done.facts == dry.facts and done.written == dry.written and done.audit == dry.audit and len(done.commits) == 1 and done.overrides["merged"] == dry.overrides["merged"] == 1


def test_everything_ends_where_it_should(hub):
    said, files = read_votes(hub, DATA), set(tree(hub))
    report, rows = go(hub), packed(hub)
    now = read_votes(hub, DATA)
    assert sorted(map(str, now.votes)) == sorted(map(str, said.votes)) and not now.refused  # every line that was ever a vote, and none of the others
    assert rows[CROPS[0].sha256].name == NAMES[0] and (rows[CROPS[0].sha256].votes, rows[CROPS[0].sha256].voters) == (2, 3)
    assert rows[CROPS[10].sha256].name == NAMES[7] and CROPS[11].sha256 not in rows and CROPS[13].sha256 not in rows  # relabelled, denied, taken back
    assert rows[CROPS[15].sha256].slot == "Ship Type" and rows[CROPS[17].sha256].name == NAMES[2] and CROPS[16].sha256[:32] in rows  # text; an older client's, whose last line counts
    assert CROPS[18].sha256 in rows and {CROPS[19].sha256, CROPS[14].sha256}.isdisjoint(rows)  # fay's copy is good; eve's is no picture; nobody knows My Favourite
    assert [p for p in tree(hub) if p.startswith("staging/") and "/screen_types/" not in p] == sorted([crop_path("dan", CROPS[14].sha256), "staging/old/anchors_grid_00112233.json"])
    screens = {sha: p.row.screen_type for sha, p in read_index(hub, DATA, SCREENS).items()}
    assert sorted(screens.values()) == ["BOFFS", "SPACE_EQ"] and {p for p in files if "/screen_types/" in p} - set(tree(hub)) == {p for p in files if "/eve/screen_types/BOFFS" in p}
    assert all(sha == hashlib.sha256(png).hexdigest()[:len(sha)] for n in (0,) for sha, png in _pictures(hub, n).items())
    assert report.facts["crops"] == len(rows) == 18


def _pictures(hub, n: int) -> dict[str, bytes]:
    import tempfile
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "s.parquet").write_bytes(hub.read(DATA, SHELF.shard(n)))
        return {row.crop_sha256: png for row, png in read_shard(Path(folder) / "s.parquet", SHELF)}


def test_what_is_refused_is_told_and_kept(hub):
    report = go(hub)
    kept = [json.loads(line) for path in tree(hub) if path.startswith("data/refused/") for line in hub.read(DATA, path).decode().splitlines()]
    assert {k["text"] for k in kept if "text" in k} == {'{"crop_sha256": "torn', r"not even JSON \xff"}
    eve = {k["path"].rpartition("/")[2].removesuffix(".png"): k["why"] for k in kept if "text" not in k and "/crops/" in k["path"]}
    assert eve == {CROPS[18].sha256: "another picture than its name promises", CROPS[19].sha256: "no PNG file"} and all(k["path"].split("/")[1] == "eve" for k in kept if "text" not in k)
    assert report.facts["refused"] == 2 and "eve" in str(report) and "no screen type" in str(report)
    audit = json.loads(hub.read(DATA, report.audit_file))
    assert audit["merge"]["refused"] == 2 and audit == report.audit


def test_a_ships_own_name_is_not_kept(hub):
    lines = [json.dumps({"crop_sha256": CROPS[22].sha256, "name": "Secretariat", "slot": "Ship Name", "date": "2026-11-18"}),
             json.dumps({"crop_sha256": "no digest", "name": "U.S.S. Secretariat", "slot": "Ship Type", "date": "2026-11-18"})]
    hub.commit(DATA, [Add(f"staging/gus/annotations/{'1' * 32}.jsonl", "\n".join(lines).encode())], "a careless client")
    assert go(hub).facts["refused"] == 4 and not [p for p, data in content(hub).items() if b"Secretariat" in data]


def test_a_second_merge_has_nothing_to_do(hub):
    go(hub)
    before = content(hub), hub.head(DATA), hub.head(DELIVERY)
    again = go(hub)
    assert (content(hub), hub.head(DATA), hub.head(DELIVERY)) == before and again.commits == [] and "nothing to do" in str(again) and again.overrides["message"]
    assert MemoryHub().head(DATA) == "" and go(MemoryHub()).commits == []


def test_merging_changes_no_decision(hub):
    "What the community believes is the same before, after, and whether votes came in one merge or in many."
    def believed(hub): return [(w.crop_sha256, w.name, w.slot, w.votes, w.voters, w.first, w.tally) for w in elect(read_votes(hub, DATA), ledger=read_ledger(hub, DATA))]
    before = believed(hub)
    go(hub)
    poisoned = CROPS[19].sha256
    assert believed(hub) == [b for b in before if b[0] != poisoned] and poisoned in {b[0] for b in before}
    one, many = MemoryHub(), MemoryHub()
    for h, between in ((one, lambda: None), (many, lambda: go(many))):
        for day in range(3):
            for who in ("ann", "ben", "cat"): send(h, [vote(who, i, NAMES[(i + day * len(who)) % 8], at=f"1{day}T2{i % 4}:00:00Z") for i in range(day, 8)])
            between()
    go(one)
    assert believed(one) == believed(many) and packed(one) == packed(many)


# ---- what changes afterwards

def test_a_crop_comes_back_when_it_is_sent_again(hub):
    go(hub)
    send(hub, [vote("ann", 5, at="20T20:00:00Z", withdrawn=True)])
    report = go(hub)
    assert CROPS[5].sha256 in packed(hub) and report.facts["updated"] == 1 and packed(hub)[CROPS[5].sha256].votes == 1  # ben still says so
    send(hub, [vote("ben", 5, at="20T20:00:00Z", withdrawn=True)])
    assert go(hub).facts["gone"] == 1 and CROPS[5].sha256 not in packed(hub) and not [p for p in tree(hub) if CROPS[5].sha256 in p]
    send(hub, [vote("ben", 5, at="21T20:00:00Z")])
    assert go(hub).facts["new"] == 1 and packed(hub)[CROPS[5].sha256].name == NAMES[5]


def test_a_relabel_rewrites_its_row_and_its_shard_only(hub, monkeypatch):
    monkeypatch.setattr(merging, "arrange", lambda index, wanted: curated.arrange(index, wanted, 8))
    go(hub)
    before, index = content(hub), read_index(hub, DATA, SHELF)
    send(hub, [vote(who, 2, NAMES[6], at="20T20:00:00Z") for who in ("ann",)])
    send(hub, [vote("ben", 2, NAMES[6], at="20T20:00:00Z")])
    report, after = go(hub), content(hub)
    assert report.facts["relabelled"] == 1 and packed(hub)[CROPS[2].sha256].name == NAMES[6] and {p.shard for p in index.values()} == {0, 1, 2}
    assert {p for p in after if "/crops/0" in p and after[p] != before[p]} == {SHELF.shard(index[CROPS[2].sha256].shard)}
    assert list(read_index(hub, DATA, SHELF)) == list(index)  # each in its place


def test_denied_is_gone_and_does_not_come_back_with_the_next_upload(hub):
    go(hub)
    add_decisions(hub, DATA, [Decision("2026-11-20T00:00:00Z", "deny", CROPS[4].sha256, why="not an icon")])
    assert go(hub).facts["gone"] == 1 and CROPS[4].sha256 not in packed(hub)
    send(hub, [vote("gus", 4)])
    go(hub)
    assert CROPS[4].sha256 not in packed(hub) and not [p for p in tree(hub) if CROPS[4].sha256 in p]
    assert sum(v.crop_sha256 == CROPS[4].sha256 for v in read_votes(hub, DATA).votes) == 3  # the lines stay


def test_who_is_stopped_for_a_while_loses_no_picture(hub):
    "An install is denied: what only it voted for waits in staging, and is packed again when it is taken in again."
    go(hub)
    before, pictures = packed(hub), _pictures(hub, 0)
    add_decisions(hub, DATA, [Decision("2026-11-20T00:00:00Z", "deny", install_id="fay", why="we wonder")])
    report = go(hub)
    mine = {CROPS[21].sha256}
    assert report.facts["back"] == 1 and before.keys() - packed(hub).keys() == mine and hub.read(DATA, crop_path("fay", CROPS[21].sha256)) == pictures[CROPS[21].sha256]
    assert go(hub).commits == []
    add_decisions(hub, DATA, [Decision("2026-11-20T01:00:00Z", "pin", install_id="fay", why="we talked")])
    assert go(hub).facts["new"] == 1 and packed(hub) == before and _pictures(hub, 0) == pictures and not [p for p in tree(hub) if "/fay/" in p]


def test_an_older_client_writes_its_file_again(hub):
    "It knows nothing of batches: after a merge it begins a new file, and the same day's later word still counts."
    go(hub)
    line = {"crop_sha256": CROPS[17].sha256, "name": NAMES[4], "slot": "Science Console", "date": "2026-03-01"}
    hub.commit(DATA, [Add("staging/old/annotations.jsonl", json.dumps(line).encode())], "the same day")
    assert go(hub).facts["relabelled"] == 1 and packed(hub)[CROPS[17].sha256].name == NAMES[4]
    assert elect(read_votes(hub, DATA), ledger=read_ledger(hub, DATA)) and not [p for p in tree(hub) if p.endswith("annotations.jsonl")]


def test_screens_follow_their_owners(hub):
    go(hub)
    mine = [p for p in tree(hub) if p.startswith("staging/ben/screen_types/")]
    hub.commit(DATA, [Delete(p) for p in mine], "ben takes his screens back")
    report = go(hub)
    assert report.facts["screens_gone"] == 1 and {p.row.votes for p in read_index(hub, DATA, SCREENS).values()} == {1}


def test_damage_stops_the_merge_before_it_loses_anything(hub):
    go(hub)
    send(hub, [vote("gus", 22)])
    for harm, said in (([Add(SHELF.shard(0), b"torn")], "history"), ([Delete(SHELF.shard(0))], "not there"), ([Delete(SHELF.index), Add(SHELF.shard(0), b"torn")], "history"), ([Delete(p) for p in tree(hub) if p.startswith("data/votes/")], "no line about")):
        files = content(hub)
        hub.commit(DATA, harm, "an accident")
        with pytest.raises(HubError, match=said): go(hub)
        hub.commit(DATA, [Add(p, files[p]) for p in files], "restored")
    hub.commit(DATA, [Delete(SHELF.index), Delete("README.md")], "a smaller accident")
    go(hub)
    assert CROPS[22].sha256 in packed(hub) and len(packed(hub)) == 19 and hub.exists(DATA, "README.md")


# ---- size

def test_many_changes_are_several_commits_each_complete(hub):
    one = MemoryHub()
    fill(one)
    go(one)
    seen, commit = [], hub.commit

    def watched(repo, changes, message, parent=None):
        revision = commit(repo, changes, message, parent)
        if repo == DATA: seen.append((len(changes), believed()))
        return revision

    def believed():
        staging = read_votes(hub, DATA)
        found = elect(staging, ledger=read_ledger(hub, DATA))
        assert not [w for w in fetch_pictures(hub, DATA, found, Path(hub_cache)).missing]
        return len(staging.votes), [(w.crop_sha256, w.name) for w in found if w.crop_sha256 != CROPS[19].sha256]
    import tempfile
    with tempfile.TemporaryDirectory() as hub_cache:
        hub.commit = watched
        report = go(hub, most=12)
    assert len(report.commits) == len(seen) > 3 and all(n <= 12 for n, _ in seen) and len({json.dumps(b) for _, b in seen}) == 1
    assert content(hub) == content(one)


def test_thousands_that_go_home_go_first():
    adds, core, gone = [Add(f"staging/a/crops/{i}.png", b"x") for i in range(7)], [Add("data/crops/00000.parquet", b"y"), Delete("data/crops/00001.parquet")], {f"staging/b/{i}" for i in range(7)}
    all_in_one = commits_of(adds, core, gone)
    assert [len(c) for c in all_in_one] == [16]
    split = commits_of(adds, core, gone, 4)
    assert [len(c) for c in split] == [4, 3, 4, 4, 1] and core[0] in split[2] and all(isinstance(c, Delete) for some in split[3:] for c in some)


def test_small_files_of_votes_become_one(hub, monkeypatch):
    monkeypatch.setattr(curated, "FOLD", 3)
    for i in range(5):
        send(hub, [vote("gus", 22, NAMES[i % 8], at=f"1{i}T20:00:00Z")])
        go(hub)
        assert len([p for p in tree(hub) if p.startswith("data/votes/")]) <= 3 and f"**{39 + i} votes**" in hub.read(DATA, "README.md").decode()
    assert len(read_votes(hub, DATA).votes) == 43
    assert packed(hub)[CROPS[22].sha256].name == NAMES[4] and go(hub).commits == []


# ---- somebody else at the same moment

class Busy(MemoryHub):
    "Somebody commits just before each of the first merges' commits."

    def __init__(self, acts): super().__init__(); self.acts = acts

    def commit(self, repo, changes, message, parent=None):
        if parent is not None and self.acts and message.startswith("merge "): self.acts.pop(0)(self)
        return super().commit(repo, changes, message, parent)


def test_a_player_who_sends_at_the_same_moment_loses_nothing():
    acts = [lambda h: send(h, [vote("gus", 22)]), lambda h: h.commit(DATA, [Add("staging/old/annotations.jsonl", h.read(DATA, "staging/old/annotations.jsonl") + lines_of([vote("old", 23)])),
                                                                           Add(crop_path("old", CROPS[23].sha256), CROPS[23].png)], "an older client appends")]
    busy, calm = Busy([]), MemoryHub()
    for h in (busy, calm): fill(h)
    busy.acts = list(acts)
    for act in acts: act(calm)
    assert len(go(busy).commits) == 1 and not busy.acts
    go(calm)
    assert content(busy) == content(calm) and {CROPS[22].sha256, CROPS[23].sha256} <= packed(busy).keys()


def test_one_who_never_stops_is_told_of(monkeypatch):
    monkeypatch.setattr(merging, "TRIES", 2)
    busy = Busy([])
    fill(busy)
    before = set(tree(busy))
    busy.acts = [lambda h, i=i: send(h, [vote("gus", 22, at=f"1{i}T20:00:00Z")]) for i in range(9)]
    with pytest.raises(ConflictError): go(busy)
    assert before <= set(tree(busy)) and len(busy.acts) == 9 - merging.TRIES
    busy.acts = []
    assert go(busy).facts["taken"] > 0


def test_a_conflict_in_the_middle_of_removing_is_gone_on_with():
    busy, calm = Busy([]), MemoryHub()
    for h in (busy, calm): fill(h)
    late = lambda h: send(h, [vote("gus", 22)])
    busy.acts = [lambda h: None, lambda h: None, late]
    report = go(busy, most=12)
    go(calm), late(calm), go(calm)
    assert report.facts["new"] == 18 and len(report.commits) > 4 and packed(busy) == packed(calm) and [p for p in tree(busy) if "staging" in p] == [p for p in tree(calm) if "staging" in p]


def test_two_merges_at_once_are_one(hub):
    assert go(hub).commits

    class Late(MemoryHub):
        def commit(self, repo, changes, message, parent=None):
            if message.startswith("merge ") and self.other:
                self.other = False
                go(self)
            return super().commit(repo, changes, message, parent)
    late = Late()
    late.other = False
    fill(late)
    late.other = True
    assert go(late).commits == [] and content(late) == content(hub)


# ---- killed

def run_dying(hub: Path, out: Path, most: int, steps: list[int]) -> list[list[str]]:
    done = subprocess.run([sys.executable, str(Path(__file__).with_name("dying_merge.py")), hub, out, str(most), *map(str, steps)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return [line.split() for line in done.stdout.splitlines()]


def steps_of(hub: Path, out: Path, most: int) -> int:
    "How many changes to the disk a merge makes."
    count = [0]
    def hook(event, args):
        writes = event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR)
        if count[0] >= 0 and (writes or event in ("os.rename", "os.remove", "os.rmdir", "os.mkdir")) and str(args[0]).startswith(str(out)): count[0] += 1
    import shutil
    root = shutil.copytree(hub, out)
    sys.addaudithook(hook)
    merged(root, most)
    found, count[0] = count[0], -1
    return found


@pytest.fixture(scope="module")
def sent(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("sent") / "hub"
    fill(FolderHub(root))
    return root


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("most", [5000, 15])
def test_a_merge_that_is_killed_and_run_again_leaves_what_one_in_peace_leaves(sent, tmp_path, most):
    steps = steps_of(sent, tmp_path / "peace", most)
    clean = digest(FolderHub(tmp_path / "peace"))
    draw = sorted(random.Random(most).sample(range(1, steps), 3)) + [steps]
    told = run_dying(sent, tmp_path / "killed", most, draw)
    assert [how for how, _ in told] == ["killed"] * len(draw) and {found for _, found in told} == {clean}


@pytest.mark.long
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_at_every_step(sent, tmp_path):
    steps = steps_of(sent, tmp_path / "peace", 15)
    told = run_dying(sent, tmp_path / "killed", 15, list(range(1, steps + 2)))
    assert {found for _, found in told} == {digest(FolderHub(tmp_path / "peace"))} and told[-1][0] == "through"


# ---- the real client

def test_the_same_over_http_with_few_requests(hub, tmp_path):
    with LoopbackHub() as there:
        for repo in (DATA, DELIVERY): there.create(repo)
        far = HfHub(endpoint=there.url, token="hf_test")
        fill(far)
        report = go(far)
        assert len(report.commits) == 1 and {p: b for p, b in content(far).items() if p != ".gitattributes"} == (go(hub), content(hub))[1]
        winners = elect(read_votes(far, DATA), ledger=read_ledger(far, DATA))
        before = there.count("GET .*/resolve/")
        assert fetch_pictures(far, DATA, winners, tmp_path) == ([], {}) and there.count("GET .*/resolve/") - before <= 2
        assert all(picture_file(tmp_path, w.crop_sha256).is_file() for w in winners) and len(winners) == 18


# ---- overrides

def test_overrides_since_and_min(hub):
    first = merge_contributions(hub, DELIVERY)
    assert (first["merged"], first["total"]) == (1, 1) and first["revision"] == hub.head(DELIVERY)
    assert merge_contributions(hub, DELIVERY)["message"] == "nothing new"
    assert merge_contributions(hub, DELIVERY, min_votes=3, apply=False) == {"ok": True, "merged": 1, "total": 0}
    assert merge_contributions(hub, DELIVERY, min_votes=3, since="2026-11-19", apply=False)["merged"] == 0
    assert any(p.startswith("contributions/2026-11-18/") for p in tree(hub, DELIVERY))


# ---- by papermill

ROOT = Path(__file__).resolve().parent.parent


def test_papermill_runs_the_merge(tmp_path):
    hub, out = FolderHub(tmp_path / "hub"), tmp_path / "page.ipynb"
    fill(hub)
    done = subprocess.run([sys.executable, "-m", "papermill", "nbs/runs/merge_knowledge.ipynb", str(out), "--no-progress-bar", "--cwd", ".", "-p", "hub", str(tmp_path / "hub"), "-p", "apply", "True",
                           "-p", "since", "", "-p", "min_votes", "1", "-p", "trust", "quarantine"], cwd=ROOT, capture_output=True, text=True,
                          env=os.environ | {"PYTHONPATH": str(ROOT), "WARP_HOME": str(tmp_path / "home")})
    assert done.returncode == 0, done.stderr[-3000:]
    assert "| crops | 18 new" in out.read_text(encoding="utf-8") and "won_by" in out.read_text(encoding="utf-8") and hub.exists(DATA, SHELF.shard(0)) and hub.exists(DELIVERY, "knowledge.json")


def test_the_notebook_has_its_parameters():
    cells = json.loads((ROOT / "nbs/runs/merge_knowledge.ipynb").read_text(encoding="utf-8"))["cells"]
    assert cells[0]["cell_type"] == "raw" and "skip_exec: true" in "".join(cells[0]["source"])
    tagged = [c for c in cells if "parameters" in c["metadata"].get("tags", [])]
    assert len(tagged) == 1 and {line.split(" = ")[0] for line in "".join(tagged[0]["source"]).splitlines()} == {"hub", "apply", "since", "min_votes", "trust"}
