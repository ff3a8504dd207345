"""Which names each slot may hold: the host's tables, what is refused, what is proposed, what looks the same."""

import json
import subprocess
import sys
from typing import NamedTuple
from urllib.parse import quote_plus

import pytest
from PIL import Image

from warp.errors import InputError, PrivacyError, SlotError, VocabularyError
from warp.knowledge.vocabulary import Vocabulary, clean_name, is_reserved, looks_like_ship_name, near_misses, propose_names, shared_pictures
from warp.records import ICON_SLOTS, SLOTS, VIRTUAL_NAMES


@pytest.fixture(scope="module")
def vocabulary():
    return Vocabulary.load()


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


@pytest.mark.parametrize(("raw", "clean"), [("A &amp; B", "A & B"), ("Phaser Array Mk XII [Acc]x2", "Phaser Array"), ("Shield Array ∞", "Shield Array"),
                                            ("Kit-S", "Kit"),
                                            ("Mk 10 Thing", "Mk 10 Thing"), (" Padded ", "Padded")])
def test_cleaning(raw, clean):
    assert clean_name(raw) == clean


def test_ship_types_pass_and_ship_names_do_not(vocabulary):
    assert not [t for t in vocabulary.names("Ship Type") if looks_like_ship_name(t)]
    for text in ("USS Voyager", "U.S.S.Voyager", "u5s Voyager", "I.K.S Gorkon", "1KS Gorkon", "R.R.W. Valdore", "IRW Khazara", "NX-01", "NCC 74656",
                 "Heart of Gold", ""):
        assert looks_like_ship_name(text), text


def host_with(folder, **tables):
    for name, content in tables.items():
        place = folder / ("cache" if name.startswith("cache_") else "cargo") / f"{name.removeprefix('cache_')}.json"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return folder


def test_host_cargo(tmp_path, vocabulary):
    host = host_with(tmp_path, equipment=[{"name": "New Array Mk XV", "type": "Ship Deflector Dish"}, {"name": None, "type": "Kit"},
                                          {"name": "Hangar - Elite Things", "type": "Hangar Bay"}],
                     traits=[{"name": "New Trait", "type": "char", "environment": "space"}, {"name": "Officer's", "type": "boff", "environment": "space"}],
                     boff_abilities=[{"name": "New Ability", "type": "Science", "region": "Space"}])
    seen = Vocabulary.load(host)
    assert seen.names("Deflector") == {"New Array"} and not seen.names("Hangars")
    assert seen.names("Personal Space Traits") == {"New Trait"} and seen.names("Boff Science") == {"New Ability"}
    assert seen.names("Starship Traits") == vocabulary.names("Starship Traits") and seen.sources["starship_traits"] == "packaged"


def test_host_cache_and_its_cross_copies(tmp_path):
    universal, tactical = ({"name": n, "type": t, "Page": n} for n, t in (("U", "Universal Console"), ("T", "Ship Tactical Console")))
    host = host_with(tmp_path, cache_equipment={"tac_consoles": {"U": universal, "T": tactical}, "uni_consoles": {"U": universal, "T": tactical},
                                                "sci_consoles": {"U": universal}},
                     cache_space_traits={"traits": {"A": {}}, "rep_traits": {"B": {}}, "active_rep_traits": {"C": {}}},
                     cache_ground_traits={"traits": {"D": {}}, "rep_traits": {}, "active_rep_traits": {}},
                     cache_boff_abilities={"space": {"Pilot": [["Fly I"], ["Fly II"], ["Fly III"], []]}, "ground": {}, "all": {}})
    seen = Vocabulary.load(host)
    assert seen.names("Science Consoles") == {"U"} and seen.names("Tactical Consoles") == {"U", "T"} == seen.names("Universal Consoles")
    assert [seen.names(s) for s in ("Personal Space Traits", "Space Reputation", "Active Space Rep", "Personal Ground Traits")] == [{"A"}, {"B"}, {"C"}, {"D"}]
    assert seen.names("Boff Pilot") == {"Fly"}


def test_ship_types_of_the_host(tmp_path, vocabulary):
    ships = [{"Page": "Fleet New Cruiser (T6)", "name": ["Fleet New", "Cruiser (T6)"], "type": "Cruiser", "displayprefix": "Fleet", "displayclass": "Newish",
              "displaytype": " Cruiser"},
             {"Page": "Kumari &amp; Co", "name": None, "displayclass": ["A", "B"]}, {"Page": None}]
    seen = Vocabulary.load(host_with(tmp_path / "raw", ship_list=ships))
    assert seen.names("Ship Type") == {"Fleet New Cruiser (T6)", "Fleet New Cruiser", "Fleet Newish Cruiser", "Kumari & Co", "A B"}
    assert seen.sources["ships"].endswith("ship_list.json") and seen.names("Ship Tier") == vocabulary.names("Ship Tier")
    assert seen.names("Kit") == vocabulary.names("Kit")
    digested = Vocabulary.load(host_with(tmp_path / "digest", cache_ships={s["Page"] or "": s for s in ships}))
    assert digested.names("Ship Type") == seen.names("Ship Type") and digested.check("Ship Type", "Fleet New Cruiser") == "Fleet New Cruiser"
    torn = Vocabulary.load(host_with(tmp_path / "torn", ship_list='[{"Page": 7}]', cache_ships="[]"))
    assert torn.names("Ship Type") == vocabulary.names("Ship Type") and torn.sources["ships"] == "packaged"


@pytest.mark.parametrize("torn", ['[{"name": "A c', "null", "[1, 2]", '{"a": 1}', "[]"])
def test_torn_host_tables_fall_back(tmp_path, vocabulary, torn):
    host = host_with(tmp_path, equipment=torn, traits=torn, boff_abilities=torn, cache_equipment=torn)
    assert Vocabulary.load(host).names("Kit") == vocabulary.names("Kit")


def test_reading_names_loads_nothing_heavy():
    code = ("import sys, warp.knowledge.vocabulary, warp.knowledge.corrections, warp.knowledge.overrides, warp.knowledge.anchors; "
            "print([m for m in ('torch', 'duckdb', 'rapidfuzz', 'fastapi') if m in sys.modules])")
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_a_misplaced_name_is_told_where_it_belongs(vocabulary):
    with pytest.raises(VocabularyError, match="belongs in Starship Traits"): vocabulary.check("Science Consoles", "Ablative Field Projector")
    assert vocabulary.slots("Gravity Well") == ("Boff Science",) and vocabulary.slots("T6-X2") == ("Ship Tier",) and vocabulary.slots("Nonsense") == ()


# reserved names

@pytest.mark.parametrize("name", ["Test Item Name", "test item", "TEST\u00a0ITEM 7", "Test\u200b Item", "\uff34est Item", "WARP test shield", "__boff_x",
                                  "__EMPTY__", "__"])
def test_reserved_names_are_refused_in_every_slot(vocabulary, name):
    assert is_reserved(name)
    for slot in SLOTS:
        with pytest.raises(InputError): vocabulary.check(slot, name)
    with pytest.raises(VocabularyError, match="refused everywhere"): vocabulary.check("Kit", name)


def test_no_real_name_is_reserved(vocabulary):
    assert not [name for name in [*vocabulary.icon_names, *vocabulary.names("Ship Type"), *VIRTUAL_NAMES] if is_reserved(name)]
    assert vocabulary.check("Starship Traits" if "Test Them" in vocabulary.names("Starship Traits") else vocabulary.slots("Test Them")[0], "Test Them")


def test_even_the_hosts_tables_bring_no_reserved_name(tmp_path):
    seen = Vocabulary.load(host_with(tmp_path, equipment=[{"name": "Test Item Name", "type": "Kit"}, {"name": "__empty__", "type": "Kit"},
                                                          {"name": "Real Kit", "type": "Kit"}]))
    assert seen.names("Kit") - {"__empty__"} == {"Real Kit"}


# proposals

class Won(NamedTuple):
    name: str
    slot: str
    votes: int = 1
    crop_sha256: str = "a" * 64


def only(vocabulary, name, slot):
    row, = propose_names([Won(name, slot)], vocabulary)
    return row


@pytest.mark.parametrize(("name", "slot", "proposal", "accident"), [
    ("gravity  well", "Boff Science", "Gravity Well", "other capitals or spaces"), ("Gravity Well III", "Boff Science", "Gravity Well", "a rank left on"),
    ("Gravity Well (23c)", "Boff Science", "Gravity Well", "a qualifier in brackets"),
    ("gravity_well", "Boff Science", "Gravity Well", "written as a file's name"),
    ("Gravity+Well", "Boff Science", "Gravity Well", "written as a file's name"),
    ("Gr\u0430vity Well", "Boff Science", "Gravity Well", "letters of another alphabet"),
    ("Gravity Wel", "Boff Science", "Gravity Well", "misspelt"), ("Gravity Well", "Kit", "Gravity Well", "belongs in Boff Science"),
    ("Hangar - Elite Aeon Timeships", "Hangars", "Hangar - Aeon Timeships", "listed under its plain form"),
    ("Test Item Name", "Kit", "", "kept for tests and programs"),
    ("\u0410\u0431\u043b\u044f\u0446\u0438\u043e\u043d\u043d\u044b\u0439", "Kit", "", "on no list"), ("Grandma's Secret Sauce", "Kit", "", "on no list"),
    ("t6-x2", "Ship Tier", "T6-X2", "other capitals or spaces")])
def test_every_accident_is_known_by_name(vocabulary, name, slot, proposal, accident):
    row = only(vocabulary, name, slot)
    assert (row.proposal, row.accident.partition(",")[0]) == (proposal, accident)


def test_every_name_cut_at_forty_is_found_again(vocabulary):
    long = [(slot, name) for slot in ("Universal Consoles", "Fore Weapons", "Ground Devices") for name in sorted(vocabulary.names(slot)) if len(name) > 41][::7]
    assert len(long) > 20
    for slot, name in long:
        cut = name[:40].lower().replace(" ", "_")
        if cut.replace("_", " ").strip() in {n.lower() for n in vocabulary.names(slot)}: continue  # a shorter name that exists
        row = only(vocabulary, cut, slot)
        assert name in (row.proposal, *row.others) and row.accident.startswith("cut at 40")


def test_a_qualifier_is_folded_only_where_the_full_name_does_not_exist(vocabulary):
    names = vocabulary.names("Weapons")
    full = next(n for n in sorted(names) if n.endswith(")") and n.rpartition(" (")[0] in names)
    assert vocabulary.check("Weapons", full) == full and full not in near_misses(full + "x", names)
    assert only(vocabulary, full.rpartition(" (")[0] + " (Ground)", "Weapons").proposal == full.rpartition(" (")[0]


def test_proposals_gather_votes_and_crops_and_apply_nothing(vocabulary):
    some = [Won("gravity well", "Boff Science", 3, "b" * 64), Won("gravity well", "Boff Science", 2, "a" * 64), Won("Nonsense", "Kit", 1, "c" * 64)]
    rows = propose_names(some, vocabulary)
    assert [(r.name, r.votes, r.crops) for r in rows] == [("gravity well", 5, ("a" * 64, "b" * 64)), ("Nonsense", 1, ("c" * 64,))]
    assert "| gravity well | Boff Science | 5 | 2 | Gravity Well |" in rows._repr_markdown_() and propose_names([], vocabulary) == []


# pictures

def host_pictures(folder, **icons):
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for n, (name, colour) in enumerate(icons.items()):
        img = Image.new("RGBA", (49, 64), (n, n, n, 0))  # what lies under full transparency differs
        if colour: img.paste(colour, (10, 10, 40, 50))
        img.save(folder / "images" / f"{quote_plus(name.replace('_', ' '))}.png", compress_level=n % 9)
    return folder


def test_equal_pictures_make_a_class_whatever_their_bytes(tmp_path):
    host = host_pictures(tmp_path, A="#ff0000", B_one="#ff0000", C="#ff0100", D=None, E=None)
    (host / "images" / "F.png").write_bytes(b"torn")
    shared = shared_pictures(host, ["A", "B one", "C", "D", "E", "F", "G"])
    assert shared == {"A": {"A", "B one"}, "B one": {"A", "B one"}}  # blank and torn pictures make nobody alike


def test_borrowed_icons_make_a_class(tmp_path):
    host = host_with(host_pictures(tmp_path, Gravity_Well="#00ff00"),
                     cache_alt_images={"X__space__traits": "Gravity Well", "Y__ground__traits": "Lost Icon", 7: "Z"},
                     starship_traits=[{"name": "Z&#039;s", "icon_name": "Lost Icon"}, {"name": None, "icon_name": "Lost Icon"}, 5], traits="{")
    shared = shared_pictures(host, ["X", "Y", "Z's", "Gravity Well"])
    assert shared == {"X": {"X", "Gravity Well"}, "Gravity Well": {"X", "Gravity Well"}, "Y": {"Y", "Z's"}, "Z's": {"Y", "Z's"}}


def test_sharing_is_mutual_and_needs_a_host(tmp_path, vocabulary):
    names = sorted(vocabulary.names("Deflector"))[:3]
    host = host_pictures(tmp_path, **{n.replace(" ", "_"): "#0000ff" for n in names[:2]})
    seen = Vocabulary.load(host)
    assert seen.same_picture(names[0]) == seen.same_picture(names[1]) == set(names[:2]) and seen.same_picture(names[2]) == {names[2]}
    assert vocabulary.same_picture(names[0]) == {names[0]} and seen.same_picture("__empty__") == {"__empty__"}
