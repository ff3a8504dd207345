"""The build: what the lessons of 44 do not show."""

import csv
import io
import json

import pytest
from PIL import Image

from warp.config import Config
from warp.demo import World
from warp.errors import ImageError, InputError, ModelError, SlotError
from warp.knowledge.vocabulary import Vocabulary
from warp.read.build import HOST_KEYS, Build, Reader, ReadSlot, Seen, decide_rows, draw_places, host_file, merge_builds, names_of, read_build, seats_of
from warp.read.ships import ship_named, ship_on
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
    assert space["boff_specs"][:3] == [["Tactical", None], ["Tactical", "Temporal"], [None, None]]
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


def test_bad_input_is_refused(tmp_path):
    with pytest.raises(ImageError): reader().read(tmp_path / "none.png")
    with pytest.raises(ImageError): reader().read(b"no picture")
    with pytest.raises(SlotError): reader().read(Image.new("RGB", (64, 64)), screen_type="UNKNOWN")
    with pytest.raises(ModelError, match="warp update"): Reader.open(Config.load(home=tmp_path))
    with pytest.raises(InputError): read_build(config=Config.load(home=tmp_path))


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
