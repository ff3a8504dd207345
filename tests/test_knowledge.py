"""Vocabulary, votes, corrections and overrides, against plain Python oracles and odd input."""
import json
import subprocess
import sys
from collections import Counter, defaultdict
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from warp.data.crops import crop_phash, make_crop, open_image
from warp.errors import ImageError, InputError, PrivacyError, SlotError, VocabularyError
from warp.hub import Add, FolderHub, MemoryHub
from warp.knowledge.corrections import apply_correction, build_corrections, tally_corrections
from warp.knowledge.overrides import ALGORITHM, contribute, contribution, merge_overrides, read_contributions, tally_overrides
from warp.knowledge.vocabulary import Vocabulary, clean_name, looks_like_ship_name
from warp.knowledge.votes import SCREEN_CAP, crop_path, decide, explain, parse_file, parse_line, read_screens, read_staging, screen_winners
from warp.records import ICON_SLOTS, SLOTS, VIRTUAL_NAMES, Vote

REPO, DELIVERY = "sets-sto/sto-icon-dataset", "sets-sto/warp-knowledge"


@pytest.fixture(scope="module")
def vocabulary():
    return Vocabulary.load()


# vocabulary

def test_every_slot_but_ship_name_has_names(vocabulary):
    assert [slot for slot in SLOTS if not vocabulary.names(slot)] == ["Ship Name"]
    assert not set(VIRTUAL_NAMES) & vocabulary.icon_names


def test_slots_hold_what_the_game_allows(vocabulary):
    fore, aft, experimental = (vocabulary.names(s) for s in ("Fore Weapons", "Aft Weapons", "Experimental"))
    assert experimental <= fore and experimental <= aft and fore - aft and aft - fore
    universal = vocabulary.names("Universal Consoles")
    assert all(vocabulary.names(f"{kind} Consoles") <= universal for kind in ("Engineering", "Science", "Tactical"))
    assert len(vocabulary.names("Primary Specialization")) == 5 and len(vocabulary.names("Secondary Specialization")) == 8
    assert "Ablative Shell" in vocabulary.names("Personal Space Traits") and "Gravity Well" in vocabulary.names("Boff Science")


def test_every_name_checks_in_its_slot_and_virtual_ones_in_icon_slots(vocabulary):
    for slot in ICON_SLOTS:
        for name in sorted(vocabulary.names(slot))[::40]: assert vocabulary.check(slot, name) == name
        for name in VIRTUAL_NAMES: assert vocabulary.check(slot, name) == name
    for slot in ("Ship Type", "Ship Tier"):
        with pytest.raises(InputError): vocabulary.check(slot, "__empty__")


def test_refusals_name_neighbours(vocabulary):
    with pytest.raises(VocabularyError, match="did you mean 'Gravity Well'"): vocabulary.check("Boff Science", "gravity well")
    with pytest.raises(VocabularyError, match="maintainer"): vocabulary.check("Kit", "qqqqqqqq")
    with pytest.raises(SlotError): vocabulary.check("Pockets", "Gravity Well")
    with pytest.raises(PrivacyError): vocabulary.check("Ship Name", "Enterprise")
    assert vocabulary.check("Ship Name", "") == ""
    with pytest.raises(PrivacyError) as refused: vocabulary.check("Ship Type", "I.K.S. Bortasqu'")
    assert "Bortasqu" not in str(refused.value)


def test_near_misses_of_every_kind_come_first(vocabulary):
    names = vocabulary.names("Universal Consoles")
    long = max(names, key=len)
    assert long in vocabulary.suggest("Universal Consoles", long[:40])
    assert vocabulary.suggest("Universal Consoles", long.upper())[0] == long
    assert vocabulary.suggest("Universal Consoles", f"{long} Mk XIV [Turn]")[0] == long
    assert vocabulary.suggest("Boff Science", "Gravity Well (23c)")[0] == "Gravity Well"


@pytest.mark.parametrize(("raw", "clean"), [("A &amp; B", "A & B"), ("Phaser Array Mk XII [Acc]x2", "Phaser Array"), ("Shield Array ∞", "Shield Array"), ("Kit-S", "Kit"),
                                            ("Mk 10 Thing", "Mk 10 Thing"), (" Padded ", "Padded")])
def test_cleaning(raw, clean):
    assert clean_name(raw) == clean


def test_ship_types_pass_and_ship_names_do_not(vocabulary):
    assert not [t for t in vocabulary.names("Ship Type") if looks_like_ship_name(t)]
    for text in ("USS Voyager", "U.S.S.Voyager", "u5s Voyager", "I.K.S Gorkon", "1KS Gorkon", "R.R.W. Valdore", "IRW Khazara", "NX-01", "NCC 74656", "Heart of Gold", ""):
        assert looks_like_ship_name(text), text


def host_with(folder, **tables):
    for name, content in tables.items():
        place = folder / ("cache" if name.startswith("cache_") else "cargo") / f"{name.removeprefix('cache_')}.json"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return folder


def test_host_cargo(tmp_path, vocabulary):
    host = host_with(tmp_path, equipment=[{"name": "New Array Mk XV", "type": "Ship Deflector Dish"}, {"name": None, "type": "Kit"}, {"name": "Hangar - Elite Things", "type": "Hangar Bay"}],
                     traits=[{"name": "New Trait", "type": "char", "environment": "space"}, {"name": "Officer's", "type": "boff", "environment": "space"}],
                     boff_abilities=[{"name": "New Ability", "type": "Science", "region": "Space"}])
    seen = Vocabulary.load(host)
    assert seen.names("Deflector") == {"New Array"} and not seen.names("Hangars")
    assert seen.names("Personal Space Traits") == {"New Trait"} and seen.names("Boff Science") == {"New Ability"}
    assert seen.names("Starship Traits") == vocabulary.names("Starship Traits") and seen.sources["starship_traits"] == "packaged"


def test_host_cache_and_its_cross_copies(tmp_path):
    universal, tactical = ({"name": n, "type": t, "Page": n} for n, t in (("U", "Universal Console"), ("T", "Ship Tactical Console")))
    host = host_with(tmp_path, cache_equipment={"tac_consoles": {"U": universal, "T": tactical}, "uni_consoles": {"U": universal, "T": tactical}, "sci_consoles": {"U": universal}},
                     cache_space_traits={"traits": {"A": {}}, "rep_traits": {"B": {}}, "active_rep_traits": {"C": {}}},
                     cache_ground_traits={"traits": {"D": {}}, "rep_traits": {}, "active_rep_traits": {}},
                     cache_boff_abilities={"space": {"Pilot": [["Fly I"], ["Fly II"], ["Fly III"], []]}, "ground": {}, "all": {}})
    seen = Vocabulary.load(host)
    assert seen.names("Science Consoles") == {"U"} and seen.names("Tactical Consoles") == {"U", "T"} == seen.names("Universal Consoles")
    assert [seen.names(s) for s in ("Personal Space Traits", "Space Reputation", "Active Space Rep", "Personal Ground Traits")] == [{"A"}, {"B"}, {"C"}, {"D"}]
    assert seen.names("Boff Pilot") == {"Fly"}


@pytest.mark.parametrize("torn", ['[{"name": "A c', "null", "[1, 2]", '{"a": 1}', "[]"])
def test_torn_host_tables_fall_back(tmp_path, vocabulary, torn):
    host = host_with(tmp_path, equipment=torn, traits=torn, boff_abilities=torn, cache_equipment=torn)
    assert Vocabulary.load(host).names("Kit") == vocabulary.names("Kit")


def test_reading_names_loads_nothing_heavy():
    code = "import sys, warp.knowledge.vocabulary, warp.knowledge.corrections, warp.knowledge.overrides; print([m for m in ('torch', 'duckdb', 'rapidfuzz', 'fastapi') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


# votes

def oracle(votes):
    "The rule of `VOTE_SQL` in plain Python."
    newest = {}
    for n, v in enumerate(votes):
        key, rank = (v.crop_sha256, v.install_id), (v.confirmed_at, v.batch, n)
        if key not in newest or newest[key][0] < rank: newest[key] = (rank, v)
    tally = defaultdict(list)
    for _, v in newest.values():
        if not v.withdrawn: tally[v.crop_sha256, v.name].append((v.confirmed_at, v.install_id))
    best = {}
    for (sha, name), said in tally.items():
        best[sha] = min(best.get(sha, ()) or (9,), (-len(said), min(at for at, _ in said), min(who for _, who in said), name))
    return {sha: (name, -n) for sha, (n, _, _, name) in best.items()}


def random_votes(seed, count=400):
    rng = np.random.default_rng(seed)
    def one(n):
        sha, who, name, minute, batch = (int(rng.integers(k)) for k in (20, 8, 4, 30, 3))
        return Vote(f"{sha:064x}", f"install{who}", f"name{name}", ICON_SLOTS[int(rng.integers(3))], f"2026-11-20T10:{minute:02d}:00Z", bool(rng.random() < 0.15), batch=f"b{batch}")
    return [one(n) for n in range(count)]


@pytest.mark.parametrize("seed", range(12))
def test_the_rule_agrees_with_plain_python(seed):
    votes = random_votes(seed)
    found = decide(votes)
    assert {w.crop_sha256: (w.name, w.votes) for w in found} == oracle(votes)
    for w in found:
        assert len(w.voters) == w.votes == next(iter(w.tally.values())) and w.source == crop_path(w.voters[0], w.crop_sha256)
        assert list(w.tally.values()) == sorted(w.tally.values(), reverse=True)


@pytest.mark.parametrize("seed", range(4))
def test_order_of_files_does_not_matter(seed):
    votes, rng = [replace(v, batch=f"b{n}") for n, v in enumerate(random_votes(seed))], np.random.default_rng(seed)
    assert decide([votes[i] for i in rng.permutation(len(votes))]) == decide(votes)


def test_one_install_never_counts_twice_and_a_withdrawal_is_final():
    sha = "a" * 64
    said = [Vote(sha, "ann", "X", "Kit", f"2026-11-20T10:{m:02d}:00Z", batch=f"b{m}") for m in range(27)] + [Vote(sha, w, "Y", "Kit", "2026-11-20T12:00:00Z") for w in ("ben", "cat")]
    assert [(w.name, w.tally) for w in decide(said)] == [("Y", {"Y": 2, "X": 1})]
    gone = [*said, *(Vote(sha, w, "Y", "Kit", "2026-11-20T13:00:00Z", True) for w in ("ann", "ben", "cat"))]
    assert list(decide(gone)) == [] and explain(gone, sha).winner is None


def test_ties_go_to_the_earliest_then_the_smallest_install():
    sha = "b" * 64
    assert decide([Vote(sha, "zoe", "Z", "Kit", "2026-11-20T09:00:00Z"), Vote(sha, "ann", "A", "Kit", "2026-11-20T10:00:00Z")])[0].name == "Z"
    assert decide([Vote(sha, "zoe", "A", "Kit", "2026-11-20T09:00:00Z"), Vote(sha, "ann", "Z", "Kit", "2026-11-20T09:00:00Z")])[0].name == "Z"


def test_slot_is_that_of_the_winners_voters():
    sha = "c" * 64
    said = [Vote(sha, "ann", "X", "Kit", "2026-11-20T09:00:00Z"), Vote(sha, "ben", "X", "Weapons", "2026-11-20T10:00:00Z"), Vote(sha, "cat", "X", "Weapons", "2026-11-20T11:00:00Z"),
            Vote(sha, "dan", "Y", "Kit", "2026-11-20T08:00:00Z"), Vote(sha, "eve", "Y", "Kit", "2026-11-20T08:00:00Z")]
    assert (decide(said)[0].name, decide(said)[0].slot) == ("X", "Weapons")


def test_kinds_are_kept_apart(vocabulary):
    at = "2026-11-20T09:00:00Z"
    said = [Vote("1" * 64, "ann", "Gravity Well", "Boff Science", at), Vote("2" * 64, "ann", "Nonsense", "Boff Science", at), Vote("3" * 64, "ann", "T6-X2", "Ship Tier", at),
            Vote("4" * 64, "ann", "__empty__", "Kit", at), Vote("5" * 64, "ann", "Gravity Well", "Kit", at)]
    found = decide(said, vocabulary)
    assert [w.name for w in found] == ["Gravity Well", "__empty__"] and [w.name for w in found.texts] == ["T6-X2"] and len(found.unknown) == 2
    assert len(decide(said, vocabulary, min_votes=2).withheld) == 3 and len(decide(said, vocabulary, files=set()).without_file) == 3
    assert list(decide([])) == [] and str(decide([])) == "0 icon crops decided, 0 of them disputed"


def test_staging_is_read_from_a_folder_hub(tmp_path):
    hub, png = FolderHub(tmp_path), make_crop(Image.new("RGB", (64, 64), "red"))
    good = Vote(png.sha256, "ann", "Gravity Well", "Boff Science", "2026-11-20T09:00:00Z")
    older = {"slot": "Boff Science", "name": "Tyken's Rift", "crop_sha256": png.sha256, "date": "2026-11-20"}
    hub.commit(REPO, [Add(crop_path("ben", png.sha256), png.png), Add("staging/ann/annotations/aa.jsonl", json.dumps(good.to_json()).encode() + b"\n"),
                      Add("staging/ben/annotations.jsonl", json.dumps(older).encode() + b'\n{"torn'), Add("staging/ben/annotations/notes.txt", b"?"),
                      Add("staging/a b/annotations/x.jsonl", b"{}")], "x")
    staging = read_staging(hub, REPO)
    assert staging.installs == ["ann", "ben"] and staging.revision == hub.head(REPO)
    assert {r.path for r in staging.refused} == {"staging/ben/annotations.jsonl", "staging/a b"}
    winner, = staging.decide()
    assert (winner.name, winner.source) == ("Tyken's Rift", crop_path("ben", png.sha256))  # a bare date is its midnight, the earlier time
    only_ann = replace(staging, votes=[v for v in staging.votes if v.install_id == "ann"])
    assert [w.name for w in only_ann.decide().without_file] == ["Gravity Well"]
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


def test_bytes_that_are_no_text_are_refused():
    assert len(parse_file(b"\xff\xfe\n\x80", "ann", "a/x.jsonl")[1]) == 2


def test_old_lines_are_understood():
    line = {"crop_sha256": "a" * 32, "slot": "Science Console", "name": "X", "date": "2026-03-23"}
    assert parse_line(json.dumps(line), "ann", "").slot == "Science Consoles"
    late = parse_line(json.dumps(line | {"confirmed_at": "2026-03-23T23:30:00-02:00"}), "ann", "")
    assert late.confirmed_at == "2026-03-24T01:30:00Z"


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


# corrections

def text_vote(who, read, name, slot="Ship Type", minute=0, **more):
    return Vote(more.pop("crop", read + who).encode().hex()[:64].ljust(64, "0"), who, name, slot, f"2026-11-20T10:{minute:02d}:00Z", ml_name=read, **more)


def test_corrections_one_install_one_vote(vocabulary):
    name, other = "Fleet Support Cruiser", "Support Cruiser"
    said = [text_vote("ann", "F1eet Support Cruiser", name, minute=m, crop=f"c{m}") for m in range(9)] + [text_vote(w, "F1eet Support Cruiser", other) for w in ("ben", "cat")]
    assert build_corrections(said, vocabulary) == {"F1eet Support Cruiser": other}
    assert tally_corrections(said)[0].tally == {name: 1, other: 2}
    assert build_corrections([*said, *(text_vote(w, "F1eet Support Cruiser", other, minute=30, withdrawn=True) for w in ("ben", "cat"))], vocabulary) == {"F1eet Support Cruiser": name}


@pytest.mark.parametrize(("read", "name", "slot"), [("T6-X2", "T1", "Ship Tier"), ("Support Cruiser", "T6", "Ship Tier"), ("T6-Xz", "T1", "Ship Tier"), ("gibberish", "T6", "Ship Tier"),
                                                    ("Supp0rt Cruiser", "My Cruiser", "Ship Type"), ("Supp0rt Cruiser", "T6", "Ship Type"), ("U.S.S. Support", "Support Cruiser", "Ship Type"),
                                                    ("Black Pearl", "Support Cruiser", "Ship Type"), ("", "Support Cruiser", "Ship Type")])
def test_corrections_that_must_not_be(vocabulary, read, name, slot):
    assert build_corrections([text_vote("ann", read, name, slot)], vocabulary) == {}


def test_corrections_of_tiers_and_their_use(vocabulary):
    table = build_corrections([text_vote("ann", "[T6-Xz]", "T6-X2", "Ship Tier"), text_vote("ann", "X", "Gravity Well", "Boff Science")], vocabulary)
    assert table == {"[T6-Xz]": "T6-X2"} and apply_correction(" [T6-Xz] ", table) == "T6-X2" and apply_correction("other", table) == "other"


# overrides

def picture(seed):
    rng = np.random.default_rng(seed)
    return make_crop(Image.fromarray(rng.integers(0, 255, (8, 6, 3), dtype=np.uint8)).resize((64, 64))).png


def test_contribution_recomputes_the_hash_and_leaves_no_address(vocabulary):
    hub = MemoryHub()
    said = contribute(hub, DELIVERY, "ann", picture(1), "Gravity Well", "Tyken's Rift", client_phash="0" * 16, timestamp="2026-11-20T10:00:00Z", vocabulary=vocabulary)
    record = json.loads(hub.read(DELIVERY, f"contributions/2026-11-20/{said.contribution_id}.json"))
    assert record["phash"] == crop_phash(open_image(picture(1))) and record["client_phash"] == "0" * 16 and "ip_hash" not in record
    assert {"contribution_id", "install_id", "phash", "item_name", "wrong_name", "confirmed", "warp_version", "timestamp"} <= set(record)
    again = contribute(hub, DELIVERY, "ann", picture(1), "Gravity Well", "Tyken's Rift", timestamp="2026-11-20T10:00:00Z", vocabulary=vocabulary)
    assert again.contribution_id == said.contribution_id and len(hub.list(DELIVERY, "contributions/2026-11-20")) == 2


@pytest.mark.parametrize(("png", "name", "error"), [(b"", "Gravity Well", ImageError), (b"x" * 150_001, "Gravity Well", ImageError), (picture(1)[:900], "Gravity Well", ImageError),
                                                    (make_crop(Image.new("RGB", (64, 64), "#222")).png, "Gravity Well", ImageError), (picture(1), "Test Item Name", VocabularyError),
                                                    (picture(1), "__boff_x", VocabularyError), (picture(1), "", VocabularyError)])
def test_contributions_refused_at_the_door(png, name, error):
    hub = MemoryHub()
    with pytest.raises(error): contribute(hub, DELIVERY, "ann", png, name)
    assert hub.head(DELIVERY) == ""


@pytest.mark.parametrize("seed", range(6))
def test_overrides_agree_with_plain_python_in_any_order(seed, vocabulary):
    rng, names = np.random.default_rng(seed), [*sorted(vocabulary.icon_names)[:3], "__empty__", "Test Item Name"]
    base = [contribution("ann", picture(n), names[0], timestamp="2026-11-20T10:00:00Z", vocabulary=vocabulary) for n in range(4)]
    records = []
    for n in range(120):
        c = base[int(rng.integers(4))]
        records.append(replace(c, contribution_id=f"{n:016x}", install_id=f"i{rng.integers(6)}", item_name=names[int(rng.integers(5))], timestamp=f"2026-11-20T10:{rng.integers(60):02d}:00Z"))
    latest = {}
    for c in sorted(records, key=lambda c: (c.timestamp, c.contribution_id)):
        if c.item_name != "Test Item Name": latest[c.phash, c.install_id] = c
    expected = defaultdict(Counter)
    for (phash, _), c in latest.items():
        if c.item_name != "__empty__": expected[phash][c.item_name] += 1
    merged = tally_overrides([records[i] for i in rng.permutation(120)], vocabulary)
    assert merged == tally_overrides(records, vocabulary) and merged["votes"] == expected
    assert all(merged["votes"][p][n] == max(merged["votes"][p].values()) for p, n in merged["knowledge"].items()) and merged["entries"] == len(expected)


def test_merge_refuses_what_cannot_be_believed(tmp_path, vocabulary):
    hub = FolderHub(tmp_path)
    said = contribute(hub, DELIVERY, "ann", picture(1), "Gravity Well", timestamp="2026-11-20T10:00:00Z")
    good = json.loads(hub.read(DELIVERY, f"{said.folder}/{said.contribution_id}.json"))
    odd = {"lies": good | {"phash": "f" * 16, "install_id": "ben"}, "unconfirmed": good | {"confirmed": False, "install_id": "cat"}, "when": good | {"timestamp": "soon"},
           "who": good | {"install_id": "../x"}, "lacks": {k: v for k, v in good.items() if k != "item_name"}, "list": [1], "old": good | {"install_id": "old", "ip_hash": "12345678"}}
    adds = [Add(f"contributions/2026-11-19/{k}.json", json.dumps(v).encode()) for k, v in odd.items()] + [Add(f"contributions/2026-11-19/{k}.png", picture(1)) for k in odd]
    hub.commit(DELIVERY, [*adds, Add("contributions/2026-11-19/torn.json", b'{"a'), Add("contributions/2026-11-19/torn.png", picture(1)), Add("contributions/README.md", b"x")], "odd")
    read = read_contributions(hub, DELIVERY)
    assert {c.install_id for c in read.records} == {"ann", "ben", "old"} and {c.phash for c in read.records} == {said.phash}
    assert len(read.refused) == 6
    assert merge_overrides(hub, DELIVERY, vocabulary) == {"knowledge": {said.phash: "Gravity Well"}, "algorithm": ALGORITHM, "votes": {said.phash: {"Gravity Well": 3}},
                                                          "updated_at": "2026-11-20T10:00:00Z", "entries": 1}
