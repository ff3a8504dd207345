"""The rule against a ten-line oracle, the quick reader against the careful one, DuckDB against Spark, and staging as it may look on a bad day."""
import json
import subprocess
import sys
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from warp.data.crops import make_crop
from warp.errors import InputError, MissingExtra, WarpError
from warp.hub import Add, FolderHub, MemoryHub
from warp.knowledge.staging import (MAX_LINE, SCREEN_CAP, PLAIN, StagingFile, parse_file, parse_line, read_files, read_screens, read_staging, screen_winners)
from warp.knowledge.vocabulary import Vocabulary
from warp.knowledge.votes import VOTE_SQL, Lines, crop_path, decide, decide_on, explain
from warp.records import SLOTS, Vote

ROOT, REPO = Path(__file__).resolve().parent.parent, "sets-sto/sto-icon-dataset"
def examples(n): return settings(deadline=None, derandomize=True, max_examples=n)


@pytest.fixture(scope="module")
def vocabulary():
    return Vocabulary.load()


# the rule

SEEDS_SQL = """
with one as (select * from lines qualify row_number() over (partition by crop_sha256, install_id order by confirmed_at desc, batch desc, n desc) = 1),
tally as (select crop_sha256, name, count(*) votes, min(confirmed_at) first, min(install_id) who from one where not withdrawn group by all)
select crop_sha256, name, votes, first, who from tally qualify row_number() over (partition by crop_sha256 order by votes desc, first, who, name) = 1"""


def oracle(votes):
    "The rule in ten lines of plain Python: {crop: (name, votes, slot)}."
    newest, said, best = {}, defaultdict(list), {}
    for n, v in enumerate(votes):
        key, rank = (v.crop_sha256, v.install_id), (v.confirmed_at, v.batch, n)
        newest[key] = max(newest.get(key, (("",), None)), (rank, v), key=lambda one: one[0])
    for _, v in newest.values():
        if not v.withdrawn: said[v.crop_sha256, v.name].append(v)
    for (sha, name), some in said.items():
        slot = min((-sum(v.slot == s for v in some), min(v.confirmed_at for v in some if v.slot == s), s) for s in {v.slot for v in some})[2]
        best[sha] = min(best.get(sha, (1,)), (-len(some), min(v.confirmed_at for v in some), min(v.install_id for v in some), name, slot))
    return {sha: (name, -n, slot) for sha, (n, _, _, name, slot) in best.items()}


def few(*values): return st.sampled_from(values)


A_VOTE = st.builds(Vote, few("a" * 64, "b" * 64, "c" * 32), few("ann", "ben", "cat", "dan", "Eve"), few("X", "Y", "Zed"), few("Kit", "Kit Modules", "Body Armor"),
                   st.integers(0, 5).map(lambda m: f"2026-11-20T10:{m:02d}:00Z"), st.integers(0, 5).map(lambda k: k == 0), few("", "3f9c27aa01b2c3d4"), st.just(""), few("", "b1", "b2"))
VOTES = st.lists(A_VOTE, max_size=40)


def found(winners): return {w.crop_sha256: (w.name, w.votes, w.slot) for w in winners}


@examples(40)
@given(VOTES)
def test_the_rule_is_the_one_that_was_given(votes):
    lines = Lines.of(votes)
    told = lines.connection.execute(SEEDS_SQL + " order by 1").fetchall()
    assert sorted(lines.connection.execute(VOTE_SQL + " select crop_sha256, name, votes, first, who from winner").fetchall()) == told
    assert {row[0]: (row[1], row[3], row[2]) for row in lines.elect().fetchall()} == found(decide(lines)) == oracle(votes)


@examples(12)
@given(VOTES)
def test_what_is_told_of_a_winner_is_true(votes):
    decided = decide(votes)
    for w in decided:
        assert len(w.voters) == w.votes == next(iter(w.tally.values())) and w.source == crop_path(w.voters[0], w.crop_sha256) and len(set(w.voters)) == w.votes
        assert list(w.tally.values()) == sorted(w.tally.values(), reverse=True) and next(iter(w.tally)) == w.name
        ballot = explain(votes, w.crop_sha256)
        assert ballot.winner == w and Counter(v.name for v, state in ballot.rows if state == "counts") == w.tally
        earliest = min((v for v, state in ballot.rows if state == "counts" and v.name == w.name), key=lambda v: (v.confirmed_at, v.install_id))
        assert (w.first, w.voters[0], w.screenshot16) == (earliest.confirmed_at, earliest.install_id, earliest.screenshot16)


def test_ties_go_to_the_earliest_then_the_smallest_install_then_the_alphabet():
    sha = "b" * 64
    assert decide([Vote(sha, "zoe", "Z", "Kit", "2026-11-20T09:00:00Z"), Vote(sha, "ann", "A", "Kit", "2026-11-20T10:00:00Z")])[0].name == "Z"
    assert decide([Vote(sha, "zoe", "A", "Kit", "2026-11-20T09:00:00Z"), Vote(sha, "ann", "Z", "Kit", "2026-11-20T09:00:00Z")])[0].name == "Z"


def test_one_install_never_counts_twice():
    sha = "a" * 64
    said = [Vote(sha, "ann", "X", "Kit", f"2026-11-20T10:{m:02d}:00Z", batch=f"b{m}") for m in range(27)] + [Vote(sha, w, "Y", "Kit", "2026-11-20T12:00:00Z") for w in ("ben", "cat")]
    assert [(w.name, w.tally) for w in decide(said)] == [("Y", {"Y": 2, "X": 1})]
    gone = [*said, *(Vote(sha, w, "Y", "Kit", "2026-11-20T13:00:00Z", True) for w in ("ann", "ben", "cat"))]
    assert list(decide(gone)) == [] and explain(gone, sha).winner is None


def test_slot_is_that_of_the_winners_voters():
    sha = "c" * 64
    said = [Vote(sha, "ann", "X", "Kit", "2026-11-20T09:00:00Z"), Vote(sha, "ben", "X", "Weapons", "2026-11-20T10:00:00Z"), Vote(sha, "cat", "X", "Weapons", "2026-11-20T11:00:00Z"),
            Vote(sha, "dan", "Y", "Kit", "2026-11-20T08:00:00Z"), Vote(sha, "eve", "Y", "Kit", "2026-11-20T08:00:00Z")]
    assert (decide(said)[0].name, decide(said)[0].slot) == ("X", "Weapons")


def test_kinds_are_kept_apart(vocabulary):
    at = "2026-11-20T09:00:00Z"
    said = [Vote("1" * 64, "ann", "Gravity Well", "Boff Science", at), Vote("2" * 64, "ann", "Nonsense", "Boff Science", at), Vote("3" * 64, "ann", "T6-X2", "Ship Tier", at),
            Vote("4" * 64, "ann", "__empty__", "Kit", at), Vote("5" * 64, "ann", "Gravity Well", "Kit", at), Vote("6" * 64, "ann", "Gravity Well", "Pockets", at)]
    decided = decide(said, vocabulary)
    assert [w.name for w in decided] == ["Gravity Well", "__empty__"] and [w.name for w in decided.texts] == ["T6-X2"] and len(decided.unknown) == 3
    assert len(decide(said, vocabulary, min_votes=2).withheld) == 3 and len(decide(said, vocabulary, files=set()).without_file) == 3
    assert list(decide([])) == [] and str(decide([])) == "0 icon crops decided, 0 of them disputed" and decided.notes == []
    assert len({decide(said, vocabulary).digest, decide(said).digest, decide(said, vocabulary, files=set()).digest, decide(said[1:], vocabulary).digest}) == 4


def test_the_vocabulary_is_asked_as_it_would_answer(vocabulary):
    from warp.knowledge.votes import _known
    def allowed(slot, name):
        try: return vocabulary.check(slot, name) == name
        except InputError: return False
    words = ["Gravity Well", "gravity well", "__empty__", "__inactive__", "T6-X2", "U.S.S. Mine", "Test Item", "Pilot", ""]
    assert [(s, w) for s in (*SLOTS, "Pockets") for w in words if s != "Ship Name" and _known(vocabulary, s, w) != allowed(s, w)] == []


# lines as a table

def test_lines_and_votes_are_the_same(tmp_path):
    votes = [Vote("a" * 64, f"i{n}", "Ünïcode 'quoted'", "Ship Type", f"2026-11-20T10:00:{n:02d}Z", n % 3 == 0, "3f9c27aa01b2c3d4", "read", f"b{n}") for n in range(50)]
    lines = Lines.of(votes)
    written = Lines.from_parquet([lines.write_parquet(tmp_path / "it's [all] of*.parquet")])
    assert lines.votes() == written.votes() == votes and lines.votes("b" * 64) == [] and written.votes("a" * 64) == votes
    assert len(written) == 50 and written.digest == lines.digest and written.installs == sorted({v.install_id for v in votes})
    assert decide(written) == decide(votes) == decide(lines) and explain(written, "a" * 64) == explain(votes, "a" * 64)
    assert [p.name for p in tmp_path.iterdir()] == ["it's [all] of*.parquet"]
    empty = Lines.from_parquet([])
    assert not empty and not Lines.of([]) and lines and len(empty + lines) == len(lines + empty) == 50 and list(decide(empty)) == []
    relation = Lines.from_parquet([tmp_path / "it's [all] of*.parquet"]).elect()  # outlives what it was asked of
    assert len(relation.fetchall()) == 1


@examples(15)
@given(VOTES, VOTES)
def test_a_sum_has_every_line_and_none_twice(mine, others):
    both = Lines.of(mine) + Lines.of(others)
    assert both.votes() == mine + [v for v in others if v not in mine] and found(decide(both)) == oracle(mine + others)


def test_the_later_of_two_equal_files_counts(tmp_path):
    say = [Vote("a" * 64, "ann", name, "Kit", "2026-11-20T00:00:00Z") for name in ("X", "Y")]  # an old client: a date, and one file that it wrote twice
    files = [Lines.of([v]).write_parquet(tmp_path / f"{v.name}.parquet") for v in say]
    assert decide(Lines.of(say[:1]) + Lines.of(say[1:]))[0].name == "Y"
    assert decide(Lines.from_parquet(files[:1]) + Lines.of(say[1:]))[0].name == "Y"


def test_files_of_other_tools_are_read_or_refused(tmp_path):
    lines = Lines.of([Vote("a" * 64, w, "X", "Kit", "2026-11-20T09:00:00Z", batch="b") for w in ("ann", "ben")])
    part, foreign, torn = (tmp_path / f"{name}.parquet" for name in ("part", "foreign", "torn"))
    lines.connection.execute(f"copy (select crop_sha256, install_id, name, slot, confirmed_at from lines order by n) to '{part}'")
    lines.connection.execute(f"copy (select 1 a) to '{foreign}'")
    torn.write_bytes(part.read_bytes()[:-20])
    assert [(v.install_id, v.withdrawn, v.batch) for v in Lines.from_parquet([part]).votes()] == [("ann", False, ""), ("ben", False, "")]
    assert decide(Lines.from_parquet([part])) == decide(lines) and len(Lines.from_parquet([part, lines.write_parquet(tmp_path / "whole.parquet")])) == 4
    with pytest.raises(InputError, match="foreign.parquet holds no votes"): Lines.from_parquet([foreign])
    with pytest.raises(InputError, match="torn.parquet .* cannot be read"): Lines.from_parquet([torn])
    with pytest.raises(InputError, match="gone.parquet"): Lines.from_parquet([tmp_path / "gone.parquet"])


# staging: the quick reader and the careful one

GOOD = {"crop_sha256": "a" * 64, "name": "Ablative Shell", "slot": "Science Consoles", "date": "2026-11-20", "confirmed_at": "2026-11-20T10:02:11Z", "screenshot16": "3f9c27aa01b2c3d4"}
ODD = {"crop_sha256": ("a" * 32, "A" * 64, "a" * 63, "", 7, None, ["a" * 64], "a" * 64 + "\n", "é" * 64),
       "name": ("", "x" * 120, "x" * 121, 7, 1.5, True, None, ["x"], {"x": 1}, "two\nlines", "tab\t", "nul\0", "Shéll", "\u2028", "\ud800", "\x7f", 'quo"ted', "back\\slash", "ﬃ" * 120, "😀" * 61, "__empty__",
                "Test Item Name", "NX-01", "it's"),
       "slot": ("Kit", "Science Console", "Ship Name", "Pockets", "", None, 3, ["Kit"], "kit", "Ship Type", "Ship Tier", "Kit\0", "\ud800"),
       "date": ("2026-03-23", "2026-02-30", "", None, 20261120, "soon", "2026-W12-1"),
       "confirmed_at": ("", None, 0, False, "2026-11-20", "2026-11-20T10:02:11", "2026-11-20T10:02:11.999Z", "2026-11-20T10:02:11+00:00Z", "2026-11-20T12:02:11+02:00", "2026-11-20T23:30:00-02:00", "2026-13-01T00:00:00Z",
                        "2026-11-20T24:00:00Z", "2026-11-20T10:02:60Z", "2023-02-29T10:00:00Z", "0999-01-01T00:00:00Z", "9999-12-31T23:59:59-05:00", "20261120T100211Z", "2026-11-20 10:02:11Z", "2026-11-20T10:02:11z", "soon", ["x"]),
       "withdrawn": (True, False, "true", "false", 1, 0, None, "yes", [True]), "screenshot16": ("", "3f9c", "x" * 40, 5, None, "é" * 20, "\ud800"), "ml_name": ("F1eet", "x" * 200, "é" * 200, None, 7, "\udc00", "USS X"),
       "mood": ("fine", 1, None, {"deep": [1, 2]}, float("nan")), "install_id": ("ben",)}

CHANGES = st.dictionaries(few(*ODD), st.integers(0, 40), max_size=3).map(lambda d: {key: ODD[key][i % len(ODD[key])] for key, i in d.items()})
DROPS = st.sets(few(*GOOD), max_size=2)


def written(changes, drops, ascii_only, tight, order):
    record = {key: value for key, value in (GOOD | changes).items() if key not in drops or key in changes}
    text = json.dumps(dict(sorted(record.items())) if order else record, ensure_ascii=ascii_only, separators=(",", ":") if tight else None)
    return text.encode("utf-8", "surrogatepass")


A_LINE = st.builds(written, CHANGES, DROPS, st.booleans(), st.booleans(), st.booleans())
PLAIN_LINE = json.dumps(GOOD).encode()
WRECKS = (b"", b"   ", b"\t", b"\x0c", b"[]", b"3", b'"x"', b"null", b"{", b"{}", b"\x00", b"\xff\xfe", b"\x80", b"\xef\xbb\xbf" + PLAIN_LINE, PLAIN_LINE[:-9], PLAIN_LINE[:-1] + b",}", PLAIN_LINE + b" x", PLAIN_LINE + PLAIN_LINE, b" " + PLAIN_LINE + b"  ",
          PLAIN_LINE[:-1] + b', "name": "Another"}', PLAIN_LINE[:-1] + b', "crop_sha256": "' + b"b" * 64 + b'"}', PLAIN_LINE[:-1] + b', "withdrawn": true, "withdrawn": false}', PLAIN_LINE[:-1] + b', "date": null}',
          PLAIN_LINE.replace(b"Shell", b"She\x00ll"), PLAIN_LINE.replace(b"Shell", b"She\x01ll"), PLAIN_LINE.replace(b"Shell", b"She\xffll"), PLAIN_LINE.replace(b"Shell", "She\u2028ll\u0085".encode()), PLAIN_LINE.replace(b", ", b",\r "),
          PLAIN_LINE.replace(b"Shell", b"She\xed\xa0\x80ll"), PLAIN_LINE.replace(b"Shell", b"She\\u0000ll"), PLAIN_LINE.replace(b"Shell", b"She\\ud83d\\ude00"), PLAIN_LINE.replace(b"name", b"n\\u0061me"), PLAIN_LINE.replace(b'": "', b'" : "'),
          PLAIN_LINE[:-1] + b', "withdrawn": True}', PLAIN_LINE[:-1] + b', "mood": nan}', PLAIN_LINE[:-1] + b', "mood": NaN}', PLAIN_LINE[:-1] + b', "mood": 1e999}', PLAIN_LINE[:-1] + b', "mood": 00}', b"[" * 3000, b'{"a":' * 600,
          PLAIN_LINE[:-1] + b', "ml_name": "' + b"x" * 3800 + b'"}', PLAIN_LINE[:-1] + b" " * (MAX_LINE - len(PLAIN_LINE)) + b"}", PLAIN_LINE[:-1] + b', "ml_name": "' + b"x" * (MAX_LINE - len(PLAIN_LINE) - 15) + b'"}',
          PLAIN_LINE[:-1] + b', "ml_name": "' + b"x" * (MAX_LINE - len(PLAIN_LINE) - 14) + b'"}', b"x" * 70_000, PLAIN_LINE.replace(b"2026-11-20T", b"2026-11-20t"), PLAIN_LINE + b"\x1c", PLAIN_LINE + b"\x00")
A_FILE = st.lists(st.tuples(st.one_of(A_LINE, few(*WRECKS), st.just(PLAIN_LINE), st.binary(max_size=40)), few(b"\n", b"\n", b"\n", b"\n", b"\r\n", b"\r\n", b"\r", b"\n\n", b"\r\r\n", b"")), max_size=12).map(lambda some: b"".join(a + b for a, b in some))


def the_same(files):
    "What the careful reader makes of the files is what the quick one does."
    lines, refused = read_files(files)
    slowly = [parse_file(*(f.data, f.install_id, f.path)) for f in files]
    assert lines.votes() == [v for votes, _ in slowly for v in votes]
    assert refused == [r for _, some in slowly for r in some]
    return lines, refused


def in_files(datas): return [StagingFile(f"i{n % 2}", f"staging/i{n % 2}/annotations" + (f"/{n:032x}.jsonl" if n else ".jsonl"), data) for n, data in enumerate(datas)]


@examples(50)
@given(st.lists(A_FILE, max_size=4))
def test_both_readers_read_alike(datas):
    the_same(in_files(datas))


def test_both_readers_read_every_wreck_alike():
    singles = [written({key: value}, (), ascii_only, tight, False) for key, values in ODD.items() for value in values for ascii_only in (True, False) for tight in (True, False)]
    lines, refused = the_same(in_files([b"\n".join([PLAIN_LINE, wreck, PLAIN_LINE]) for wreck in WRECKS] + [b"\r\n".join(singles), b"\n".join(singles), b"\n".join(singles[::2]) + b"\n" + PLAIN_LINE[:40]]))
    assert len(lines) > 300 and len(refused) > 300 and len({r.why.split(":")[0] for r in refused}) > 10
    assert max(len(v.ml_name) for v in lines.votes()) == 120 and max(len(v.screenshot16) for v in lines.votes()) == 16


@pytest.mark.long
@examples(4000)
@given(st.lists(A_FILE, max_size=4))
def test_both_readers_read_alike_for_long(datas):
    the_same(in_files(datas))


def test_portions_do_not_show(monkeypatch):
    files = in_files([b"\n".join([written({"name": f"Item {n} {k}"}, (), True, False, False) for k in range(9)] + [b'{"torn']) for n in range(12)])
    whole, refused = the_same(files)
    monkeypatch.setattr("warp.knowledge.staging.PORTION", 2500)
    parts, also = the_same(files)
    assert parts.votes() == whole.votes() and also == refused and parts.digest == whole.digest and len(whole) == 108


def test_what_our_writers_write_is_plain():
    import re
    for slot in ("Kit", "Ship Type"):
        for withdrawn in (False, True): assert re.fullmatch(PLAIN, json.dumps(Vote("a" * 64, "ann", "It's (a) Name [x]", slot, "2026-11-20T10:00:00Z", withdrawn, "3f9c27aa01b2c3d4", "read").to_json()))
    assert re.fullmatch(PLAIN, '{"slot": "Kit", "name": "X", "crop_sha256": "%s", "date": "2026-03-23"}' % ("a" * 32))


def put_up(hub):
    png = make_crop(Image.new("RGB", (64, 64), "red"))
    good = Vote(png.sha256, "ann", "Gravity Well", "Boff Science", "2026-11-20T09:00:00Z")
    older = {"slot": "Boff Science", "name": "Tyken's Rift", "crop_sha256": png.sha256, "date": "2026-11-20"}
    hub.commit(REPO, [Add(crop_path("ben", png.sha256), png.png), Add("staging/ann/annotations/aa.jsonl", json.dumps(good.to_json()).encode() + b"\n"),
                      Add("staging/ann/annotations/b[1]*.jsonl", json.dumps(older | {"crop_sha256": "b" * 64}).encode()), Add("staging/ann/annotations/empty.jsonl", b""),
                      Add("staging/ben/annotations.jsonl", json.dumps(older).encode() + b'\n{"torn'), Add("staging/ben/annotations/notes.txt", b"?"), Add("staging/ben/annotations/deep.jsonl/x", b"{}"),
                      Add("staging/a b/annotations/x.jsonl", b"{}"), Add("staging/cat/annotations", b"no folder"), Add("staging/dog/crops", b"no folder"), Add("staging/emu/annotations.jsonl/x", b"{}")], "x")
    return hub


def test_staging_is_read_from_every_hub_alike(tmp_path):
    one, other = (read_staging(put_up(hub), REPO, progress=True) for hub in (FolderHub(tmp_path / "it's a [hub]*"), MemoryHub()))
    assert one.votes == other.votes and one.files == other.files and one.refused == other.refused and one.lines.digest == other.lines.digest
    assert one.installs == ["ann", "ben"] and len(one.votes) == 3
    assert {r.path for r in one.refused} == {"staging/ben/annotations.jsonl", "staging/a b"}


def test_staging_is_read_from_a_folder_hub(tmp_path):
    hub = put_up(FolderHub(tmp_path))
    staging = read_staging(hub, REPO)
    assert staging.revision == hub.head(REPO)
    winner, = staging.decide()
    assert (winner.name, winner.source) == ("Tyken's Rift", crop_path("ben", winner.crop_sha256))  # a bare date is its midnight, the earlier time
    only_ann = replace(staging, lines=Lines.of([v for v in staging.votes if v.install_id == "ann"]))
    assert [w.name for w in only_ann.decide().without_file] == ["Gravity Well", "Tyken's Rift"] and decide(only_ann) == only_ann.decide() and explain(staging, "b" * 64) == explain(staging.votes, "b" * 64)
    assert "4 crops" not in staging._repr_markdown_() and "3 lines of 2 installs on 2 crops" in staging._repr_markdown_()
    assert read_staging(FolderHub(tmp_path / "new"), REPO).votes == []


@pytest.mark.parametrize("line", ["", "[]", "3", '"x"', "{", "\x00", "{}", '{"crop_sha256": 7}', '{"crop_sha256": "%s"}' % ("A" * 64),
                                  '{"crop_sha256": "%s", "slot": "Kit", "name": "x"}' % ("a" * 64), '{"crop_sha256": "%s", "slot": "Kit", "name": "x", "date": "soon"}' % ("a" * 64),
                                  '{"crop_sha256": "%s", "slot": "Kit", "name": "", "date": "2026-11-20"}' % ("a" * 64),
                                  '{"crop_sha256": "%s", "slot": "Kit", "name": "%s", "date": "2026-11-20"}' % ("a" * 64, "n" * 121),
                                  '{"crop_sha256": "%s", "slot": "Ship Name", "name": "U.S.S. X", "date": "2026-11-20"}' % ("a" * 64),
                                  '{"crop_sha256": "%s", "slot": ["Kit"], "name": "x", "date": "2026-11-20"}' % ("a" * 64), "[" * 100_000])
def test_no_line_breaks_the_reader(line):
    votes, refused = parse_file(line.encode(), "ann", "staging/ann/annotations/x.jsonl")
    assert votes == [] and len(refused) == bool(line)


def test_old_lines_are_understood():
    line = {"crop_sha256": "a" * 32, "slot": "Science Console", "name": "X", "date": "2026-03-23"}
    assert parse_line(json.dumps(line), "ann", "").slot == "Science Consoles"
    late = parse_line(json.dumps(line | {"confirmed_at": "2026-03-23T23:30:00-02:00"}), "ann", "")
    assert late.confirmed_at == "2026-03-24T01:30:00Z"


# screens

def test_screens():
    hub = MemoryHub()
    def put(who, kind, n): return Add(f"staging/{who}/screen_types/{kind}/{n:064x}.png", b"x")
    hub.commit(REPO, [*(put("ann", "TRAITS", n) for n in range(200)), *(put("ben", "BOFFS", n) for n in range(1000, 1040)), put("ann", "BOFFS", 7), put("ben", "SPACE", 3000),
                      put("ann", "BOFFS", 1001), put("cat", "TRAITS", 1001), put("dan", "TRAITS", 1001), put("ann", "UNKNOWN", 1),
                      Add("staging/ann/screen_types/TRAITS/overview.png", b"x")], "x")
    found = screen_winners(hub, REPO, seed=3)
    assert Counter(s.screen_type for s in found) == {"TRAITS": SCREEN_CAP, "BOFFS": 40, "SPACE_EQ": 1}
    assert found == screen_winners(hub, REPO, seed=3) != screen_winners(hub, REPO, seed=4)
    assert all(hub.exists(REPO, s.source) for s in found)
    tied, = (s for s in found if s.sha256 == f"{1001:064x}")  # two against two: the smallest install, ann, decides
    assert (tied.screen_type, tied.votes) == ("BOFFS", 2) and "/ann/" in tied.source
    assert sorted(r.why for r in read_screens(hub, REPO).refused) == ["filed under BOFFS and TRAITS by one install", "no screen type", "not named by its sha256"]


# the same text on Spark

SPARK = """
import json, sys
import numpy as np
from pathlib import Path
from pyspark.sql import SparkSession
from warp.knowledge.votes import Lines, decide, decide_on, elect_on_spark
from warp.records import Vote

out, rows, memory = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
made = f'''(select sha256((i // 5)::varchar) crop_sha256, 'install' || hash(i * 7) % 997 install_id, 'Item ' || case when hash(i * 3) % 7 = 0 then hash(i) % 3 else 9 end || ' "é' name,
  case when hash(i * 5) % 9 = 0 then 'Kit' else 'Weapons' end slot, strftime(timestamp '2026-01-01' + to_minutes((hash(i * 11) % 300)::int), '%Y-%m-%dT%H:%M:%SZ') confirmed_at, 'b' || hash(i) % 3 batch,
  '3f9c' screenshot16, '' ml_name, hash(i * 13) % 9 = 0 withdrawn, i::bigint n from range({rows}) t(i))'''
lines = Lines.of([])
lines.connection.execute(f"insert into lines by name select * from {made}")
parts = []
for k in (0, 1):  # two files, each with every second line
    part = Lines.of([])
    part.connection.execute(f"insert into lines by name select * from {made} where n % 2 = {k}")
    parts.append(part.write_parquet(out / f"{k}.parquet"))
here = SparkSession.builder.master("local[1]").config(map={"spark.ui.enabled": "false", "spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1", "spark.sql.shuffle.partitions": "1" if rows < 10_000 else "8",
    "spark.sql.codegen.wholeStage": str(rows > 10_000).lower(), "spark.driver.memory": memory, "spark.ui.showConsoleProgress": "false", "spark.local.dir": str(out), "spark.sql.warehouse.dir": str(out / "warehouse")}).getOrCreate()
try:
    there, ours = decide_on("spark", Lines.from_parquet(parts)), decide(lines)  # the running session is found
    told = {"digests": [there.digest, ours.digest, decide(Lines.from_parquet(parts)).digest], "equal": there == ours, "crops": len(ours), "disputed": len(ours.disputed)}
    if rows < 10_000:
        elect_on_spark(lines, out / "winners", session=here)
        winners = lines.connection.read_parquet(str(out / "winners" / "*.parquet"))
        told["elected"] = sorted(winners.fetchall()) == sorted(lines.elect().fetchall())
        told["alive"] = here.range(3).count() == 3
finally: here.stop()
print(json.dumps(told))
"""


def on_spark(folder, rows, memory):
    "Runs in a process of its own: the one Spark session of all tests, gone with it."
    from warp.knowledge.votes import _need_java
    try: _need_java()
    except WarpError as e: pytest.skip(str(e))
    done = subprocess.run([sys.executable, "-c", SPARK, folder, str(rows), memory], capture_output=True, text=True, encoding="utf-8", cwd=ROOT)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_duckdb_and_spark_decide_alike(tmp_path):
    told = on_spark(tmp_path, 2000, "1g")
    assert len(set(told["digests"])) == 1 and told["equal"] and told["elected"] and told["alive"]
    assert told["crops"] > 350 and told["disputed"] > 30


@pytest.mark.long
def test_duckdb_and_spark_decide_a_million_lines_alike(tmp_path):
    told = on_spark(tmp_path, 1_000_000, "3g")
    assert len(set(told["digests"])) == 1 and told["equal"] and told["crops"] > 190_000 and told["disputed"] > 10_000


def test_spark_says_what_it_lacks(monkeypatch, tmp_path):
    from warp.knowledge.votes import _need_java
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(WarpError, match="no Java was found in JAVA_HOME .*install a Java runtime .*17.*set JAVA_HOME"): _need_java()
    monkeypatch.delenv("JAVA_HOME")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(WarpError, match="on the PATH"): _need_java()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/java").write_bytes(b"")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    _need_java()
    for module in ("ibis", "pyspark"):
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(MissingExtra, match=rf"{module} is not installed.*sets-warp\[spark\]"): decide_on("spark", [])
        monkeypatch.undo()


def test_reading_the_module_loads_neither_engine():
    code = "import sys, warp.knowledge.staging; print([m for m in ('duckdb', 'ibis', 'pyspark', 'pandas', 'pyarrow', 'torch') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout.strip() == "[]"
