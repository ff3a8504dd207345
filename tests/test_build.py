"""The build: what the lessons of 44 do not show."""

import csv
import io
import json

import pytest
from PIL import Image

from warp.config import Config
from warp.demo import World
from warp.errors import InputError, ModelError, SlotError
from warp.knowledge.vocabulary import Vocabulary
from warp.read.build import _ship, STEPS, Build, Reader, Seen, merge_builds, read_build
from warp.read.hostfile import HOST_KEYS, host_file
from warp.read.places import ReadSlot, decide_rows, draw_places, names_of, seats_of
from warp.read.ships import places_on, seats_on, ship_named, ship_on, ships
from warp.read.text import Line, read_lines
from warp.records import ICON_SLOTS, SLOTS, Box, Match


def place(slot, index=0, name="Thing", score=0.9, y=100, shot=0, row=0):
    known = name if name and not name.startswith("__") else None
    match = Match(known, score, "model", ((name, score),) if name else ())
    return ReadSlot(slot, index, Box(100 + 48 * index, y, 46, 56), match, shot, row)


def one(*places, file="a.png"): return Build(tuple(places), (Seen(file, Match("SPACE_EQ", 0.9, "screens")),))


def test_every_equipment_and_trait_slot_has_its_place_in_the_hosts_file():
    assert set(HOST_KEYS) == {s for s in ICON_SLOTS if SLOTS[s].group in ("space", "ground", "traits")}
    assert len({value[:2] for value in HOST_KEYS.values()}) == len(HOST_KEYS)


def test_lists_have_the_hosts_lengths_whatever_was_read():
    everything = [place(slot, i) for slot in HOST_KEYS for i in range(SLOTS[slot].most)]
    for places in (everything, everything[:1], everything[5:30:3]):
        file = host_file(places)
        for slot, (section, key, length) in HOST_KEYS.items():
            if key in file[section]: assert len(file[section][key]) == length, slot
    assert host_file(everything)["space"].keys() >= {key for section, key, _ in HOST_KEYS.values() if section == "space"}
    json.dumps(host_file(everything))


def test_what_was_not_seen_is_left_out_and_what_is_missing_is_null():
    file = host_file([place("Deflector"), place("Devices", 1, "__empty__")])
    assert file["space"]["sec_def"] == [None] and file["space"]["hangars"] == [None, None]
    assert file["space"]["devices"] == ["", "", None, None, None, None]
    assert "traits" not in file["space"] and file["ground"] == {} and file["captain"] == {} and file["_version"] == 1


def test_space_and_ground_traits_are_kept_apart():
    file = host_file([place("Personal Ground Traits", i, f"Trait {i}") for i in range(9)])
    assert file["space"] == {} and file["ground"]["traits"][:2] == [{"item": "Trait 0"}, {"item": "Trait 1"}]
    assert file["ground"]["traits"][9:] == [None, None, ""]  # two that few have, and the innate one


@pytest.mark.parametrize("name", [None, "__empty__", "__inactive__"])
def test_no_name_is_ever_made_of_an_empty_place(name):
    spot = place("Devices", 0, name)
    assert spot.name == "" and spot.state == (name or "unknown").strip("_")
    assert ReadSlot("Devices", 0, spot.bbox, Match(name, 0.99, "model")).name == ""  # even if a stage gave the virtual name away
    assert "__" not in json.dumps(host_file([spot])) + one(spot).to_csv() + str(one(spot))


def test_specializations_are_written_short():
    places = [place("Primary Specialization", 0, "Intelligence Officer"), place("Secondary Specialization", 0, "Strategist")]
    assert host_file(places)["captain"] == {"primary_spec": "Intelligence", "secondary_spec": "Strategist"}
    assert host_file([place("Primary Specialization", 0, "__empty__")])["captain"] == {"primary_spec": ""}


def test_seats_are_written_as_the_host_has_them():
    seats = [place("Boff Tactical", i, f"T{i}", y=100) for i in range(4)] + [place("Boff Temporal", i, f"X{i}", y=300) for i in range(2)]
    space = host_file(seats)["space"]
    assert [len(seat) for seat in space["boffs"]] == [4] * 6 and len(space["boff_specs"]) == 6
    assert space["boffs"][0][3] == {"item": "T3", "rank": "III"} and space["boffs"][1][2:] == [None, None]
    assert space["boff_specs"][:3] == [["Tactical", ""], ["Tactical", "Temporal"], [None, None]]
    ground = host_file([place("Boff Science", 0, "Medical Tricorder")])["ground"]
    assert [len(seat) for seat in ground["boffs"]] == [4] * 4 and ground["boff_profs"][0] == "Science" and len(ground["boff_specs"]) == 4


def test_a_seat_read_from_two_screenshots_stays_one_seat():
    first = one(*(place("Boff Science", i, f"S{i}", 0.9 - i / 2) for i in range(2)))
    second = one(*(place("Boff Science", i, f"S{i}", 0.6, y=700) for i in range(2)))
    assert [[p.name for p in seat] for seat in seats_of(merge_builds([first, second]).slots)] == [["S0", "S1"]]


def test_a_row_goes_to_the_slot_whose_names_fit():
    rivals = [place("Boff Pilot", i, None) for i in range(3)] + [place("Boff Command", i, n, s) for i, (n, s) in enumerate((("A", 0.6), (None, 0), ("C", 0.7)))]
    assert [(p.slot, p.name) for p in decide_rows(rivals)] == [("Boff Command", "A"), ("Boff Command", ""), ("Boff Command", "C")]
    assert len(decide_rows([place("Boff Pilot", 0, None), place("Boff Command", 0, None)])) == 1


def test_a_slot_that_wins_two_rows_counts_on():
    rows = [place("Boff Pilot", i, f"P{i}", y=100) for i in range(2)] + [place("Boff Pilot", i, f"Q{i}", y=200) for i in range(3)]
    assert [(p.slot_index, p.row, p.name) for p in decide_rows(rows)] == [(0, 0, "P0"), (1, 0, "P1"), (2, 1, "Q0"), (3, 1, "Q1"), (4, 1, "Q2")]
    assert names_of(decide_rows(rows)) == {"Boff Pilot": ["P0", "P1", "Q0", "Q1", "Q2"]}


def test_merging_keeps_the_better_answer_and_shows_the_dispute():
    a = one(place("Deflector", 0, "Old", 0.5), place("Shield", 0, None, 0.0), place("Engines", 0, "Same", 0.5))
    b = one(place("Deflector", 0, "New", 0.8), place("Shield", 0, "Known", 0.4), place("Engines", 0, "Same", 0.9), file="b.png")
    whole = merge_builds([a, b])
    assert whole.names() == {"Deflector": ["New"], "Engines": ["Same"], "Shield": ["Known"]}
    assert [(c.kept.name, c.other.name) for c in whole.conflicts] == [("New", "Old")] and "was kept against Old" in str(whole)
    assert {p.slot: p.shot for p in whole.slots} == {"Deflector": 1, "Engines": 1, "Shield": 1} and [s.file for s in whole.shots] == ["a.png", "b.png"]
    assert len(merge_builds([whole, one(place("Deflector", 0, "Third", 0.1))]).conflicts) == 2
    assert merge_builds([]) == Build()


def test_the_table_is_csv():
    rows = list(csv.DictReader(io.StringIO(one(place("Devices", 0, 'A "quoted", name')).to_csv())))
    assert rows[0]["name"] == 'A "quoted", name' and rows[0]["x"] == "100" and rows[0]["screenshot"] == "a.png"


def test_the_picture_has_room_for_all_of_it():
    img = Image.new("RGB", (640, 360), "#102030")
    many = [place("Personal Space Traits", i, "A name that is much too long for any column of any list " * 3) for i in range(10)]
    many += [place("Starship Traits", i, None) for i in range(7)]
    page = draw_places(img, many, "SPACE", [many[0]])
    assert page.width > img.width and page.height >= img.height
    assert one().picture(img).size[0] > 640


def test_files_are_written_whole_or_not_at_all(tmp_path):
    build, shot = one(place("Deflector")), tmp_path / "a.png"
    Image.new("RGB", (400, 300)).save(shot)
    assert json.loads(build.write(tmp_path / "new" / "b.json").read_text(encoding="utf-8"))["_version"] == 1
    assert build.write(tmp_path / "b.csv").read_text(encoding="utf-8").startswith("slot,")
    assert Image.open(build.write_picture(shot, tmp_path / "seen.jpg")).width > 400
    with pytest.raises(InputError): build.write(tmp_path / "b.xml")
    with pytest.raises(InputError): build.write_picture(shot, tmp_path / "seen.gif")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.png", "b.csv", "new", "seen.jpg"]


# the host's loader, by its rules: an empty build, over which the file's sections are laid; then every field is looked up

EQUIPMENT = {"fore_weapons": 5, "aft_weapons": 5, "experimental": 1, "deflector": 1, "sec_def": 1, "engines": 1, "core": 1, "shield": 1, "devices": 6, "uni_consoles": 3,
             "eng_consoles": 5, "sci_consoles": 5, "tac_consoles": 5, "hangars": 2}
TRAITS = {"traits": 12, "rep_traits": 5, "active_rep_traits": 5}
GROUND = {"kit_modules": 6, "kit": 1, "armor": 1, "ev_suit": 1, "personal_shield": 1, "weapons": 2, "ground_devices": 5}
SLOT_OF = {(section, key): slot for slot, (section, key, _) in HOST_KEYS.items()}
RARITIES = ("Common", "Uncommon", "Rare", "Very Rare", "Ultra Rare", "Epic")
SHORT = ("Command", "Intelligence", "Miracle Worker", "Temporal", "Pilot", "Strategist", "Constable", "Commando")


def loads(file: dict, vocabulary: Vocabulary) -> None:
    "Asserts that a file is one that the host opens without losing anything."
    assert json.loads(json.dumps(file)) == file and file["_version"] == 1 and file.keys() == {"_version", "space", "ground", "captain"}
    lengths = {"space": EQUIPMENT | TRAITS | {"starship_traits": 7, "boffs": 6, "boff_specs": 6}, "ground": GROUND | TRAITS | {"boffs": 4, "boff_specs": 4, "boff_profs": 4}}
    for section, known in lengths.items():
        assert file[section].keys() <= known.keys() | ({"ship", "tier"} if section == "space" else set())
        for key in file[section].keys() & known.keys():
            entries = file[section][key]
            assert isinstance(entries, list) and len(entries) == known[key], (section, key)
            if (section, key) in SLOT_OF: [_item(entry, key, vocabulary.names(SLOT_OF[section, key])) for entry in entries]
        for seat in file[section].get("boffs", ()): _seat_loads(seat, vocabulary)
    for kind in file["space"].get("boff_specs", ()): assert kind == [None, None] or kind[0] in ("Tactical", "Engineering", "Science") and kind[1] in ("", *SHORT[:5])
    assert set(file["ground"].get("boff_profs", ())) <= {"Tactical", "Engineering", "Science"} and set(file["ground"].get("boff_specs", ())) <= set(SHORT[:5])
    assert file["captain"].keys() <= {"primary_spec", "secondary_spec"} and set(file["captain"].values()) <= {"", *SHORT}
    if "ship" in file["space"]: _fits_ship(file["space"])


def _item(entry: object, key: str, names: frozenset[str]) -> None:
    if entry in (None, ""): return
    if "traits" in key: assert entry.keys() == {"item"}
    else: assert entry.keys() == {"item", "rarity", "mark", "modifiers"} and entry["rarity"] in RARITIES and entry["mark"] == "" and entry["modifiers"] == [None] * 5
    assert entry["item"] in names, f"{key}: the host has no {entry['item']}"


def _seat_loads(seat: list, vocabulary: Vocabulary) -> None:
    abilities = frozenset().union(*(vocabulary.names(slot) for slot in SLOTS if slot.startswith("Boff ")))
    assert len(seat) == 4
    for entry in seat: assert entry in (None, "") or entry.keys() == {"item", "rank"} and entry["item"] in abilities and entry["rank"] in ("I", "II", "III")


def _fits_ship(space: dict) -> None:
    "The host hides what the ship does not have: nothing may stand there."
    ship = ships()[space["ship"]]
    assert space["tier"] in {5: ("T5", "T5-U", "T5-X", "T5-X2"), 6: ("T6", "T6-X", "T6-X2")}.get(ship.tier, (f"T{ship.tier}",))
    for slot, most in places_on(ship, space["tier"]).items():
        entries = space.get(HOST_KEYS[slot][1])
        assert entries is None or all(entry is None for entry in entries[most:]) and None not in entries[:most], slot
    for seat, abilities in zip(seats_on(ship), space.get("boffs", ())): assert None not in abilities[:seat.rank] and all(a is None for a in abilities[seat.rank:])


def build_of(world: World, player) -> tuple:
    "All that a made player has, as if every icon had been named right."
    return tuple(ReadSlot(t.slot, t.slot_index, t.bbox, Match(None if t.name.startswith("__") else t.name, .9, "model", ((t.name, .9),)), row=t.bbox.y, line=t.bbox.y)
                 for kind in ("SPACE_EQ", "GROUND_EQ", "TRAITS", "BOFFS", "SPECIALIZATIONS") for t in world.shot(player, kind).truth() if SLOTS[t.slot].kind == "icon")


@pytest.mark.parametrize("number", range(4))
def test_a_written_build_opens_in_the_host_field_by_field(number, tmp_path):
    world, vocabulary = World.make(), Vocabulary.load()
    player = world.players[number]
    shown = world.ship(player)
    for ship in (None, ship_named(f"{shown.type} [{shown.tier}]")):
        build = Build(build_of(world, player), (Seen("a.png", SPACE),), ship=ship, vocabulary=vocabulary)
        file = json.loads(build.write(tmp_path / "build.json").read_text(encoding="utf-8"))
        loads(file, vocabulary)
        named = {p.name for p in build.slots if p.name and p.slot in HOST_KEYS and HOST_KEYS[p.slot][2] > p.slot_index}
        written = {entry["item"] for section in ("space", "ground") for key, entries in file[section].items() if key not in ("boffs", "boff_specs", "boff_profs", "ship", "tier") for entry in entries if entry}
        assert written == named


@pytest.mark.parametrize("change, gone", [
    (lambda file: file["space"]["devices"].append(None), "six devices"), (lambda file: file["space"]["deflector"].__setitem__(0, {"item": "Kettle", "rarity": "Common", "mark": "", "modifiers": [None] * 5}), "a name"),
    (lambda file: file["space"]["shield"][0].pop("rarity"), "a rarity"), (lambda file: file.__setitem__("_version", 2), "the version"), (lambda file: file["space"]["sec_def"].__setitem__(0, None), "a place"),
    (lambda file: file["space"].__setitem__("tier", "T4"), "the tier")], ids=["a list too long", "an unknown item", "no rarity", "another version", "a place the ship has", "a tier it cannot have"])
def test_the_loaders_rules_are_strict(change, gone):
    vocabulary = Vocabulary.load()
    item = {slot: sorted(vocabulary.names(slot))[0] for slot in ("Devices", "Deflector", "Shield", "Sec-Def")}
    page = next(ship.page for ship in ships().values() if ship.record["secdeflector"] and ship.tier == 6)
    file = host_file([place(slot, 0, name) for slot, name in item.items()], ship_named(f"{page} [T6]"))
    loads(file, vocabulary)
    change(file)
    with pytest.raises((AssertionError, KeyError)): loads(file, vocabulary)


def test_officers_sit_in_the_ships_seats_whatever_the_order_on_the_screen():
    ship = ship_named("Achilles Miracle Worker Heavy Destroyer [T6-X2]")
    rows = [place("Boff Science", 0, "Science Team", y=100), *(place("Boff Tactical", i, n, y=200) for i, n in enumerate(("Tactical Team", "Torpedo: Spread", "Attack Pattern Beta"))),
            *(place("Boff Miracle Worker", i, n, y=300) for i, n in enumerate(sorted(Vocabulary.load().names("Boff Miracle Worker"))[:4]))]
    space = host_file(rows, ship)["space"]
    seats = dict(zip((str(seat) for seat in seats_on(ship.found.ship)), space["boffs"]))
    assert [seat.rank for seat in seats_on(ship.found.ship)] == [4, 3, 3, 2, 1] and len(seats) == 5
    assert all(space["boffs"][0]) and space["boff_specs"][0] == ["Tactical", "Miracle Worker"] and space["boffs"][4][0] == {"item": "Science Team", "rank": "I"}
    assert [a["item"] for a in space["boffs"][2] if a] == ["Tactical Team", "Torpedo: Spread", "Attack Pattern Beta"] and space["boff_specs"][5] == [None, None]
    assert Build(tuple(rows), ship=ship).doubts == []
    crowd = rows + [place("Boff Pilot", i, n, y=400) for i, n in enumerate(sorted(Vocabulary.load().names("Boff Pilot"))[:2])]
    assert any("Boff Pilot: 2 abilities" in doubt for doubt in Build(tuple(crowd), ship=ship).doubts)


# the reader

SPACE = Match("SPACE_EQ", 0.9, "screens")


def reader(screen=SPACE, anchors=None):
    return Reader(lambda img: screen, lambda crops, allowed: pytest.fail("nothing to match"), anchors or {"entries": []}, Vocabulary.load())


def test_a_picture_of_something_else_is_an_empty_build_with_a_reason():
    img = Image.new("RGB", (640, 360), "#405060")
    unknown = reader(Match(None, 0.3, "screens", (("TRAITS", 0.3),))).read(img)
    assert unknown.slots == () and "TRAITS" in unknown.reason and str(unknown).startswith("nothing was read")
    assert "nobody has confirmed a layout" in reader().read(img).reason
    row = {"x0_rel": 0.2, "w_rel": 0.024, "h_rel": 0.05, "step_rel": 0.025, "count": 3}
    slots = {slot: row | {"y_rel": 0.1 * i} for i, slot in enumerate(("Devices", "Fore Weapons", "Hangars"), 1)}
    entry = {"type": "SPACE_EQ", "aspect": 1.78, "res": "1920x1080", "n_contributors": 1, "timestamp": "", "slots": slots}
    assert "panel was not found" in reader(anchors={"entries": [entry]}).read(img).reason
    assert unknown.to_json() == {"_version": 1, "space": {}, "ground": {}, "captain": {}}


def test_bad_input_is_told_and_wrong_calls_are_refused(tmp_path):
    assert "no such file" in reader().read(tmp_path / "none.png").reason and "no picture" in reader().read(b"no picture").reason
    with pytest.raises(SlotError): reader().read(Image.new("RGB", (640, 360)), screen_type="UNKNOWN")
    with pytest.raises(ModelError, match="warp update"): Reader.open(Config.load(home=tmp_path))
    with pytest.raises(InputError): read_build(config=Config.load(home=tmp_path))


def test_a_reading_can_be_ended_before_each_of_its_steps(made):
    class Enough(Exception): pass
    seen = []
    def step(text, done, steps):
        seen.append((text, done, steps))
        if done == last: raise Enough
    for last in range(len(STEPS)):
        seen.clear()
        with pytest.raises(Enough): reader().read(made.image, step=step)
        assert seen == [(text, i, len(STEPS)) for i, text in enumerate(STEPS[:last + 1])]
    last = -1
    assert reader().read(made.image, step=step).reason


def test_a_reader_of_text_that_fails_costs_only_the_ship(made):
    def broken(img, piece): raise RuntimeError("the network of letters is ill")
    ship, notes = _ship(broken, {}, made.image, [Box(600, 400, 46, 56)])
    assert ship is None and "the network of letters is ill" in notes[0]


def test_a_person_may_say_what_the_screen_is():
    build = reader(Match(None, 0.1, "screens")).read(Image.new("RGB", (640, 360)), screen_type="TRAITS")
    assert build.shots[0].screen == Match("TRAITS", 1.0, "person")


def test_a_known_ship_goes_into_the_file_and_counts_its_places():
    ship = ship_named("Achilles Miracle Worker Heavy Destroyer [T6-X2]")
    build = Build((place("Devices", 0), place("Aft Weapons", 0), place("Aft Weapons", 1), place("Aft Weapons", 2)), (), (), ship)
    space = build.to_json()["space"]
    assert (space["ship"], space["tier"]) == ("Achilles Miracle Worker Heavy Destroyer", "T6-X2")
    assert space["devices"][1:] == ["", "", "", "", None] and space["sec_def"] == [None], "five devices, and no secondary deflector"
    assert len(build.doubts) == 1 and "Aft Weapons: 3" in build.doubts[0] and build.doubts[0] in str(build)
    assert "Ship Type,1,Achilles" in build.to_csv()


def test_the_surer_ship_of_several_screenshots_wins():
    shared, sure = ship_on([Line("Fleet Avenger Battlecruiser", .9, Box(0, 0, 99, 20))]), ship_named("Fleet Avenger Battlecruiser [T6]")
    assert len(shared.found.pages) == 2 and "ship" not in host_file([place("Shield")], shared)["space"]
    for order in ((shared, sure), (sure, shared)): assert merge_builds(Build(ship=s) for s in order).ship == sure
    assert merge_builds([Build(), Build(ship=shared)]).ship == shared


@pytest.fixture(scope="module")
def made():
    world = World.make()
    return world.shot(world.newcomer, "SPACE_EQ").render()


@pytest.mark.parametrize("scale", [0.6, 1.0, 1.6])
def test_a_ship_is_read_at_any_scale_and_its_own_name_is_nowhere(made, scale):
    truth = {t.slot: t for t in made.truth if t.slot.startswith("Ship")}
    img = made.image.resize((round(made.image.width * scale), round(made.image.height * scale)), Image.Resampling.BICUBIC)
    head = truth["Ship Name"].bbox
    piece = Box(max(0, round((head.x - 40) * scale)), max(0, round((head.y - 30) * scale)), round(500 * scale), round(110 * scale))
    seen = ship_on(read_lines(img, piece))
    assert (seen.found.ship.texts[0], seen.tier) == (truth["Ship Type"].name, truth["Ship Tier"].name)
    assert "U.S.S" not in repr(seen)
