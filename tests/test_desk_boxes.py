"The boxes desk: what it accepts and refuses, what a crash leaves, and a person before it in a real JupyterLab."
import json
import shutil
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from lab import Hand, Lab
from warp.config import Config
from warp.data.crops import cut_crop, make_crop, open_image
from warp.data.store import Store, Word
from warp.demo import World
from warp.desk.boxes import BoxDesk, Surface, card_html, offers_html, open_desk
from warp.desk.marks import (
    PAUSE_S, Act, History, Mark, as_bbox, caption, clipped, faults, in_reading_order, look_of, marks_of, new_number, next_open, palette, places, slot_colour,
    slot_keys, taken_over)
from warp.desk.names import Suggestion
from warp.desk.page import Sitting
from warp.desk.sheet import Sheet, queue_of
from warp.errors import InputError, StoreError
from warp.knowledge.vocabulary import Vocabulary
from warp.read.boxes import Proposal
from warp.records import GROUPS_OF, SLOTS, Annotation, Box, slot_named, slots_of

ROOT = Path(__file__).resolve().parent.parent
VOCABULARY = Vocabulary.load()
DEFLECTOR, SHIELD = "Solanae Deflector Array", "Covariant Shield Array"
SIZE = (640, 360)


def picture(shade: int, size: tuple[int, int] = SIZE) -> bytes:
    file = BytesIO()
    Image.linear_gradient("L").resize(size).point(lambda v: (v + shade) % 256).convert("RGB").save(file, "PNG")
    return file.getvalue()


def mark(slot: str, name: str = "", x: int = 10, y: int = 10, width: int = 46, height: int = 56, **more) -> Mark:
    return Mark(new_number(), Box(x, y, width, height), slot, name, **more)


class Knowing:
    "A suggester that knows one name for each slot, and what was confirmed and taken back."
    note = "made up"

    def __init__(self, **names: str): self.names, self.asked, self.followed = names, [], []
    def __call__(self, crops, slots, most=5):
        self.asked += slots
        return [[Suggestion(self.names[s], 0.9, "model"), Suggestion("__empty__", 0.1, "model")] if s in self.names else [] for s in slots]
    def picture(self, name): return b""
    def follow(self, *screenshots): self.followed += screenshots


def sit(store: Store, home: Path, *pictures: bytes, anchors: dict | None = None, **names: str) -> BoxDesk:
    shas = [store.add(png, f"{i}.png") for i, png in enumerate(pictures)]
    for sha in shas:
        if not store.screenshots()[sha]["screen_type"]: store.set_screen_type(sha, "SPACE_EQ")
    desk = BoxDesk(Sitting(Config.load(home=home), store, VOCABULARY, anchors or {"entries": []}, []), suggester=Knowing(**names))
    desk.settle()
    return desk


def draw(desk: BoxDesk, slot: str, name: str = "", x: int = 10, y: int = 10, width: int = 46, height: int = 56) -> Mark:
    "What the surface tells when a box is drawn, and what the field tells when it is named."
    desk.answers.set_slot(slot)
    desk.boxes.bboxes = [*desk.boxes.bboxes, dict(x=x, y=y, width=width, height=height, label=desk.boxes.label, page=desk.boxes.page)]
    if name: desk.field.value = name
    drawn = desk.mark
    desk.board.choose(None)
    return drawn


def told(desk: BoxDesk, number: int, **where: int) -> None:
    "What the surface tells when a box is moved."
    desk.boxes.bboxes = [{**d, **where} if d.get("number") == number else d for d in desk.boxes.bboxes]


def said(store: Store, sha: str, *states: str) -> list[tuple[str, str]]:
    return sorted((a.slot, a.name) for _, a in store.annotations(sha) if a.state in (states or ("confirmed",)))


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "training_data", VOCABULARY)


@pytest.fixture
def desk(store, tmp_path) -> BoxDesk:
    return sit(store, tmp_path, picture(0), picture(90), Deflector=DEFLECTOR, Shield=SHIELD)


# pages as values


def test_places_are_counted_as_one_reads():
    shaky = [mark("Devices", name, x, y) for name, x, y in (("c", 10, 80), ("b", 70, 9), ("a", 10, 31), ("d", 70, 77))]
    at = places(shaky)
    assert [(m.name, at[m.number]) for m in in_reading_order(shaky)] == [("a", 0), ("b", 1), ("c", 2), ("d", 3)]


def test_next_goes_round_and_back():
    marks = (mark("Devices", "a", 10), mark("Devices", "", 70), mark("Devices", "", 130, state="candidate"), mark("Ship Name", "", 200))
    second, third = marks[1].number, marks[2].number
    assert [next_open(marks, at) for at in (None, second, third, marks[3].number)] == [second, third, second, second]
    assert [next_open(marks, at, -1) for at in (None, second, third)] == [third, third, second]
    assert next_open(marks[:1], None) is None and next_open(marks[1:2], second) == second


@pytest.mark.parametrize(("drawn", "before", "becomes"), [
    (Box(600, 330, 100, 100), None, Box(600, 330, 40, 30)), (Box(-5, -9, 46, 56), None, Box(0, 0, 41, 47)), (Box(700, 10, 46, 56), None, Box(700, 10, 0, 56)),
    (Box(620, -9, 46, 56), Box(590, 4, 46, 56), Box(594, 0, 46, 56)), (Box(10, 10, -2, 56), Box(9, 10, 2, 56), Box(9, 10, 2, 56)),
    (Box(-4, 10, 50, 56), Box(0, 10, 46, 56), Box(0, 10, 46, 56))])
def test_boxes_end_at_the_edge(drawn, before, becomes):
    assert clipped(drawn, SIZE, before) == becomes


def test_a_click_is_no_box():
    clicks = [dict(x=10, y=10, width=w, height=h, label="Devices") for w, h in ((0, 56), (46, 0), (-3, 56), (3, 3))]
    assert taken_over((), clicks, "Devices", SIZE) == ()


def test_the_surface_is_believed_only_what_a_hand_can_do():
    marks = (mark("Deflector", DEFLECTOR, state="confirmed", origin="a1"), mark("Shield", "", 80, state="candidate", origin="b2"))
    relabelled = [{**as_bbox(m, 1), "label": "Devices", "item": "x"} for m in marks]
    assert taken_over(marks, relabelled, "Devices", SIZE, 1) == taken_over(marks, [], "Devices", SIZE, 1) == marks
    moved = taken_over(marks, [as_bbox(m, 1) | {"x": m.bbox.x + 1} for m in marks], "Devices", SIZE, 1)
    assert [(m.state, m.origin, m.name) for m in moved] == [("pending", "a1", DEFLECTOR), ("pending", "b2", "")]
    stranger = dict(x=1, y=1, width=9, height=9, number=10**9, page=1)
    assert taken_over(marks, [stranger, stranger | {"number": None, "page": 0}], "Devices", SIZE, 1) == marks
    assert len(taken_over(marks, [stranger | {"number": None}], "Devices", SIZE, 1)) == 3


def test_a_page_comes_from_the_store_and_drafts_hide_what_they_replace():
    stored = [Annotation("a", "Shield", Box(1, 1, 9, 9), "confirmed", SHIELD), Annotation("b", "Shield", Box(2, 1, 9, 9), "pending", "", replaces="a"),
              Annotation("c", "Kit", Box(30, 1, 9, 9), "skipped")]
    assert [(m.origin, m.state, m.bbox.x) for m in marks_of(stored)] == [("a", "pending", 2)]


@pytest.mark.parametrize(("drawn", "says"), [
    (mark("", "x"), "no such slot"), (mark("Kit", "x"), "no such slot"), (mark("Deflector", DEFLECTOR, x=630), "not inside the 640x360"),
    (mark("Deflector"), "no name yet"), (mark("Deflector", "Solanae Deflektor Array"), f"did you mean '{DEFLECTOR}'"),
    (mark("Ship Name", "Enterprise"), "never a text")])
def test_each_fault_is_told(drawn, says):
    fault, = faults((drawn,), SIZE, "SPACE_EQ", VOCABULARY)
    assert says in fault.text and fault.number == drawn.number


def test_too_many_for_a_slot_and_the_same_box_twice():
    two = tuple(mark("Deflector", DEFLECTOR, 60 * i) for i in range(2))
    assert ["2 are drawn" in f.text for f in faults(two, SIZE, "SPACE_EQ", VOCABULARY)] == [True]
    same = tuple(mark("Devices", "__empty__") for _ in range(2))
    assert ["drawn 2 times" in f.text for f in faults(same, SIZE, "SPACE_EQ", VOCABULARY)] == [True]


def test_what_was_confirmed_and_what_nobody_looked_at_is_not_questioned():
    marks = (mark("Deflector", "No longer in the lists", state="confirmed"), mark("Shield", "", 80, state="candidate"), mark("Shield", x=140, state="skipped"))
    assert faults(marks, SIZE, "SPACE_EQ", VOCABULARY) == []


@pytest.mark.parametrize("kind", GROUPS_OF)
def test_every_slot_has_its_key_while_keys_last(kind):
    keys = slot_keys(kind)
    assert sorted(keys) == sorted(slots_of(kind)) and len({k for k in keys.values() if k}) == min(20, len(keys)) and list(keys.values())[:2] == ["1", "2"]
    most = [slot_named(slot).most for slot in keys]
    assert most == sorted(most, reverse=True)


def test_every_look_has_a_colour_of_its_own():
    colours = palette(SLOTS)
    assert len(set(colours.values())) == len(colours) == 4 * len(SLOTS) + 1 and len({slot_colour(s) for s in SLOTS}) == len(SLOTS)
    marks = mark("Kit", "a"), mark("Kit"), mark("Kit", state="candidate"), mark("Kit", state="skipped"), mark("Ship Name")
    looks = {look_of(m): as_bbox(m, 1)["label"] for m in marks}
    assert looks == {"said": "Ship Name", "unnamed": caption("Kit", "unnamed"), "guess": "Kit ?", "passed": "Kit –"} and set(looks.values()) <= set(colours)


def test_data_is_never_markup():
    html = card_html(mark("Deflector", "<b>x"), 0, "", "<b>x", "") + offers_html([Suggestion("<b>x", .5, "model")])
    assert "<b>x" not in html and html.count("&lt;b&gt;x") == 2


def test_a_held_key_is_one_stroke():
    a, b, c, d = ((mark("Kit")._replace(number=1, bbox=Box(x, 1, 9, 9)),) for x in range(4))
    history = History()
    for before, after, at in ((a, b, 1.0), (b, c, 1.1), (c, d, 1.2 + PAUSE_S)): history.did(Act("s", "moved a box", before, after, at=at))
    assert [(act.before, act.after) for act in history.done] == [(a, c), (c, d)]
    assert history.back().before == c and history.back().before == a and history.back() is None
    assert history.again().after == c
    history.did(Act("s", "drawing", c, a))
    assert history.undone == [] and history.again() is None and len(history.done) == 2


def test_the_widget_is_the_one_that_the_desk_extends():
    assert "const drawing = " in Surface._esm and Surface._esm.count("export default") == 1


# at the desk


def test_submit_stores_crop_and_record_and_goes_on(desk, store):
    first = desk.screenshot
    draw(desk, "Deflector", DEFLECTOR, 100, 50)
    draw(desk, "Ship Name", x=300)
    desk.page.press("Ctrl+Enter")
    known = {a.slot: a for _, a in store.annotations(first)}
    assert known["Deflector"].name == DEFLECTOR and known["Ship Name"].crop_sha256 == ""
    crop = make_crop(cut_crop(open_image(picture(0)), Box(100, 50, 46, 56)))
    assert known["Deflector"].crop_sha256 == crop.sha256 and store.crop_file(crop.sha256).read_bytes() == crop.png
    assert desk.screenshot != first and desk.boxes.bboxes == [] and desk.boxes.selected_index == -1
    assert store.screenshots()[first]["done"] and "2 confirmed" in desk.message and desk.namer.suggester.followed == [first]


def test_all_or_nothing_and_the_first_fault_is_selected(desk, store):
    draw(desk, "Deflector", DEFLECTOR)
    lacking = draw(desk, "Shield", x=100)
    draw(desk, "Engines", x=200)
    desk.page.press("Ctrl+Enter")
    assert said(store, desk.screenshot) == [] and len(desk.boxes.bboxes) == 3 and desk.board.selected == lacking.number
    assert "Shield 1: it has no name yet" in desk.message and "Engines 1" in desk.message and desk.page.messages.outputs[0]["name"] == "stderr"


def test_a_name_that_the_slot_does_not_know_is_refused_at_once(desk, store):
    drawn = draw(desk, "Shield")
    desk.board.choose(drawn.number)
    desk.field.value = "Enterprise"
    assert desk.mark.name == "" and "'Enterprise' is not a name" in desk.message


def test_a_ships_own_name_is_refused_and_told_without_the_text(desk, store):
    drawn = draw(desk, "Ship Type", width=200)
    desk.board.choose(drawn.number)
    desk.field.value = "U.S.S. Terra Incognita"
    assert desk.mark.name == "" and "own name" in desk.message and "Terra" not in desk.message
    assert "Terra" not in (store.folder / "annotations.journal.jsonl").read_text(encoding="utf-8")


def test_a_ship_name_keeps_no_name_of_another_slot(desk, store):
    drawn = draw(desk, "Deflector", DEFLECTOR)
    desk.board.choose(drawn.number)
    desk.answers.set_slot("Ship Name")
    assert (desk.mark.name, desk.mark.ml_name, desk.field.disabled) == ("", "", True)
    here = desk.screenshot
    desk.page.press("Ctrl+Enter")
    (_, kept), = store.annotations(here)
    assert (kept.slot, kept.name, kept.ml_name, kept.crop_sha256) == ("Ship Name", "", "", "")


def test_what_is_left_alone_keeps_its_time(store, tmp_path):
    sha = store.add(picture(0), "0.png")
    store.confirm(sha, Box(10, 10, 46, 56), "Deflector", DEFLECTOR, confirmed_at="2026-01-01T00:00:00Z")
    store.confirm(sha, Box(80, 10, 46, 56), "Shield", SHIELD, confirmed_at="2026-01-01T00:00:00Z")
    desk = sit(store, tmp_path, picture(0))
    assert [d["label"] for d in desk.boxes.bboxes] == ["Deflector", "Shield"]
    told(desk, desk.sheet.marks[1].number, x=81)
    desk.page.press("Ctrl+Enter")
    times = {a.slot: a.confirmed_at for _, a in store.annotations(sha)}
    assert times["Deflector"] == "2026-01-01T00:00:00Z" < times["Shield"] and "1 confirmed, 1 as before, 0 taken back" in desk.message


def test_a_removed_box_is_taken_back(store, tmp_path):
    sha = store.add(picture(0), "0.png")
    store.confirm(sha, Box(10, 10, 46, 56), "Deflector", DEFLECTOR)
    desk = sit(store, tmp_path, picture(0))
    desk.boxes._handle_custom_msg({"type": "remove", "number": desk.sheet.marks[0].number}, [])
    assert desk.sheet.marks == () and desk.boxes.bboxes == []
    desk.page.press("Ctrl+Enter")
    assert store.annotations(sha) == [] and "1 taken back" in desk.message


def test_what_a_program_had_read_stays_with_a_renamed_box(store, tmp_path):
    sha = store.add(picture(0), "0.png")
    store.confirm(sha, Box(10, 10, 146, 16), "Ship Tier", "T6", ml_name="T8", ml_score=0.5)
    desk = sit(store, tmp_path, picture(0))
    desk.board.choose(desk.sheet.marks[0].number)
    desk.field.value = "T6-X"
    desk.page.press("Ctrl+Enter")
    (_, kept), = store.annotations(sha)
    assert (kept.name, kept.ml_name, kept.ml_score) == ("T6-X", "T8", 0.5)


def test_later_says_nothing_and_keeps_the_draft(desk, store):
    first, second = desk.queue.entries
    draw(desk, "Deflector", DEFLECTOR)
    desk.page.press("Space")
    assert said(store, first) == [] and said(store, first, "pending") == [("Deflector", DEFLECTOR)] and desk.screenshot == second
    desk.page.press("Space")
    assert desk.screenshot is None and "All done" in desk.page.title.value and "2 left for later" in desk.page.title.value
    for key in ("Ctrl+Enter", "Space", "Shift+n", "n", "Enter", "x", "Delete", "t"): desk.page.press(key)  # a hand that goes on
    assert desk.screenshot is None and "Traceback" not in desk.message
    desk.page.press("PageUp")
    desk.page.press("PageUp")
    assert desk.screenshot == first and [m.name for m in desk.sheet.marks] == [DEFLECTOR]


def test_an_empty_page_is_not_submitted_by_accident(desk, store):
    desk.page.press("Ctrl+Enter")
    assert "nothing is said" in desk.message and not any(r["done"] for r in store.screenshots().values())
    desk.page.press("Shift+n")
    record = store.screenshots()[desk.queue.entries[0]]
    assert record["done"] and record["nothing_here"] and desk.screenshot == desk.queue.entries[1]
    draw(desk, "Deflector", DEFLECTOR)
    desk.page.press("Shift+n")
    assert "remove them" in desk.message and desk.screenshot == desk.queue.entries[1]


def test_the_names_follow_the_selected_box(desk):
    deflector, tier = draw(desk, "Deflector"), draw(desk, "Ship Tier", x=100, width=150)
    assert desk.field.disabled and desk.board.card.offered == []
    desk.board.choose(deflector.number)
    assert not desk.field.disabled and DEFLECTOR in desk.field.names and desk.field.names[-2:] == ["__empty__", "__inactive__"]
    assert [s["name"] for s in desk.field.suggestions] == [DEFLECTOR, "__empty__"]
    desk.field.value = DEFLECTOR
    assert desk.mark.name == DEFLECTOR and (desk.mark.ml_name, desk.mark.ml_score) == (DEFLECTOR, 0.9)
    desk.boxes._handle_custom_msg({"type": "chosen", "number": deflector.number, "page": desk.boxes.page - 1}, [])
    desk.boxes._handle_custom_msg({"type": "chosen", "number": tier.number, "page": desk.boxes.page}, [])
    assert desk.board.selected == tier.number and desk.field.value == "" and desk.field.suggestions == []
    assert set(desk.field.names) == VOCABULARY.names("Ship Tier")


def test_nothing_is_asked_while_a_box_is_being_drawn(desk):
    asked = len(desk.namer.suggester.asked)
    start = dict(x=10, y=10, width=0, height=0, label="", page=desk.boxes.page)
    desk.boxes.bboxes = [start]
    desk.boxes.selected_index = 0
    assert desk.sheet.marks == () and len(desk.namer.suggester.asked) == asked
    assert desk.boxes.bboxes == [start], "the surface was answered in the middle of a drag"


def test_a_key_relabels_the_selected_box_at_once(desk):
    drawn = draw(desk, "Deflector", DEFLECTOR)
    desk.board.choose(drawn.number)
    desk.page.press(slot_keys("SPACE_EQ")["Shield"])
    assert (desk.mark.slot, desk.mark.name, desk.slots.current) == ("Shield", "", "Shield") and desk.boxes.bboxes[0]["label"] == caption("Shield", "unnamed")
    desk.board.choose(None)
    desk.page.press("1")
    assert desk.slots.current == "Devices" and desk.sheet.marks[0].slot == "Shield" and desk.boxes.label == caption("Devices", "unnamed")
    desk.page.press("Shift+0")  # no such slot on this screen
    assert desk.slots.current == "Devices"


def test_guesses_are_walked_through(store, tmp_path):
    sha = store.add(picture(0), "0.png")
    store.set_screen_type(sha, "SPACE_EQ")
    store.propose(sha, [Word(Box(10 + 70 * i, 10, 46, 56), slot) for i, slot in enumerate(("Deflector", "Shield", "Engines", "Warp Core"))])
    desk = sit(store, tmp_path, picture(0), picture(90), Deflector=DEFLECTOR, Shield=SHIELD)
    assert [look_of(m) for m in desk.sheet.marks] == ["guess"] * 4
    desk.page.press("n")
    assert desk.mark.slot == "Deflector"
    desk.page.press("Enter")
    assert desk.mark.slot == "Shield" and desk.sheet.marks[0][3:5] == (DEFLECTOR, "pending")
    desk.page.press("x")
    assert desk.mark.slot == "Engines"
    desk.page.press("Delete")
    assert desk.mark.slot == "Warp Core" and [a.slot for _, a in store.annotations(sha, "candidate")].count("Engines") == 0
    desk.page.press("p")
    assert desk.mark.slot == "Warp Core"
    desk.page.press("Ctrl+Enter")
    submitted = [("Deflector", DEFLECTOR)], [("Shield", "")], [("Warp Core", "")]
    assert tuple(said(store, sha, state) for state in ("confirmed", "skipped", "candidate")) == submitted
    assert "1 guess that nobody looked at" in desk.message and not store.screenshots()[sha]["done"]
    desk.page.press("Ctrl+z")
    assert desk.screenshot == sha and [look_of(m) for m in desk.sheet.marks] == ["said", "passed", "guess"]
    desk.page.press("Ctrl+z")
    assert sorted(m.slot for m in desk.sheet.marks) == ["Deflector", "Engines", "Shield", "Warp Core"] and ("Engines", "") in said(store, sha, "candidate")
    for _ in range(2): desk.page.press("Ctrl+z")
    assert [look_of(m) for m in desk.sheet.marks] == ["guess"] * 4 and len(said(store, sha, "candidate")) == len(store.annotations(sha)) == 4
    for _ in range(4): desk.page.press("Ctrl+y")
    assert desk.screenshot != sha and tuple(said(store, sha, state) for state in ("confirmed", "skipped", "candidate")) == submitted


def test_a_guess_that_was_taken_and_removed_does_not_come_back(store, tmp_path):
    sha = store.add(picture(0), "0.png")
    store.set_screen_type(sha, "SPACE_EQ")
    store.propose(sha, [Word(Box(10, 10, 46, 56), "Deflector"), Word(Box(80, 10, 46, 56), "Shield")])
    desk = sit(store, tmp_path, picture(0), Deflector=DEFLECTOR)
    for key in ("n", "Enter", "p", "Escape"): desk.page.press(key)
    desk.answers.remove(desk.sheet.marks[0].number)
    assert store.annotations(sha, "pending") == [] and said(store, sha, "candidate") == [("Shield", "")]
    desk.page.press("Ctrl+z")
    assert said(store, sha, "pending") == [("Deflector", DEFLECTOR)] and [m.state for m in desk.sheet.marks] == ["pending", "candidate"]
    desk.page.press("Ctrl+z")
    assert [m.state for m in desk.sheet.marks] == ["candidate"] * 2 and len(said(store, sha, "candidate")) == 2 and store.annotations(sha, "pending") == []
    for _ in range(2): desk.page.press("Ctrl+y")
    assert [m.slot for m in desk.sheet.marks] == ["Shield"] and said(store, sha, "candidate", "pending") == [("Shield", "")]


def test_enter_without_a_suggestion_asks_for_a_name(desk):
    drawn = draw(desk, "Engines")
    desk.board.choose(drawn.number)
    desk.page.press("Enter")
    assert desk.mark.unnamed and desk.board.selected == drawn.number


def test_a_guess_that_is_moved_or_relabelled_takes_its_place(store, tmp_path):
    sha = store.add(picture(0), "0.png")
    store.set_screen_type(sha, "SPACE_EQ")
    guess, = store.propose(sha, [Word(Box(10, 10, 46, 56), "Deflector", ml_name=DEFLECTOR, ml_score=.7)])
    desk = sit(store, tmp_path, picture(0), Shield=SHIELD)
    desk.board.choose(desk.sheet.marks[0].number)
    desk.answers.set_slot("Shield")
    desk.page.press("Enter")
    desk.page.press("Ctrl+Enter")
    assert said(store, sha) == [("Shield", SHIELD)] and said(store, sha, "candidate", "pending") == []


def test_undo_and_redo_across_screenshots(desk, store):
    first, second = desk.queue.entries
    draw(desk, "Deflector", DEFLECTOR)
    desk.page.press("Ctrl+Enter")
    draw(desk, "Shield", SHIELD, 200)
    desk.page.press("Ctrl+Enter")
    assert desk.screenshot is None and [r["done"] for r in store.screenshots().values()] == [True, True]
    crops = {f.name for f in store.crop_file("x").parent.iterdir()}
    states = []
    for _ in range(8):
        desk.page.press("Ctrl+z")
        states.append((desk.screenshot, [(m.slot, m.name) for m in desk.sheet.marks], said(store, first), said(store, second)))
    one, two, kept = ("Deflector", DEFLECTOR), ("Shield", SHIELD), [("Deflector", DEFLECTOR)]
    assert states[:3] == [(second, [two], kept, []), (second, [("Shield", "")], kept, []), (second, [], kept, [])]
    assert states[3:] == [(first, [one], [], []), (first, [("Deflector", "")], [], [])] + [(first, [], [], [])] * 3
    assert desk.message == "There is nothing to undo." and store.annotations(first) == store.annotations(second) == []
    for _ in range(3): desk.page.press("Ctrl+Shift+z")
    assert desk.screenshot == second and said(store, first) == kept
    for _ in range(3): desk.page.press("Ctrl+y")
    assert desk.screenshot is None and said(store, second) == [two] and {f.name for f in store.crop_file("x").parent.iterdir()} == crops
    desk.page.press("Ctrl+y")
    assert desk.message == "There is nothing to do again."


def test_undo_after_another_program_changed_the_page(desk, store):
    first = desk.screenshot
    draw(desk, "Deflector", DEFLECTOR)
    desk.page.press("Ctrl+Enter")
    other = Store(store.folder, VOCABULARY)
    other.change(first, other.annotations(first)[0][1].id, name="__empty__")
    desk.page.press("Ctrl+z")
    assert "another program" in desk.message and said(store, first) == [("Deflector", "__empty__")]
    desk.page.press("Ctrl+z")
    assert "Traceback" not in desk.message


def test_a_crash_loses_nothing_drawn(desk, store, tmp_path):
    desk.page.press("Space")
    here = desk.screenshot
    draw(desk, "Deflector", DEFLECTOR)
    moved = draw(desk, "Shield", x=200)
    told(desk, moved.number, x=210)
    again = BoxDesk(Sitting(desk.sitting.config, Store(store.folder, VOCABULARY), VOCABULARY, {"entries": []}, []), suggester=Knowing())
    assert again.screenshot == here and [(m.slot, m.name, m.bbox.x) for m in again.sheet.marks] == [("Deflector", DEFLECTOR, 10), ("Shield", "", 210)]
    assert [a.state for _, a in store.annotations(here)] == ["pending"] * 2 and not list(store.crop_file("x").parent.iterdir()), "a draft is no confirmation"


def test_messages_of_the_screenshot_before_are_not_taken_for_this_one(desk, store):
    draw(desk, "Deflector", DEFLECTOR)
    late = [{**d} for d in desk.boxes.bboxes]
    fresh = dict(x=300, y=10, width=46, height=56, label="", page=desk.boxes.page)
    desk.page.press("Ctrl+Enter")
    second = desk.screenshot
    desk.boxes.bboxes = late
    desk.boxes.bboxes = [*late, fresh]
    assert desk.sheet.marks == () and desk.boxes.bboxes == [] and store.annotations(second) == []
    drawn = draw(desk, "Shield", SHIELD)
    desk.boxes.bboxes = []
    assert [m.number for m in desk.sheet.marks] == [drawn.number] and len(desk.boxes.bboxes) == 1


def test_an_untyped_screenshot_asks_first(store, tmp_path):
    store.add(picture(0), "0.png")
    desk = BoxDesk(Sitting(Config.load(home=tmp_path), store, VOCABULARY, {"entries": []}, []), suggester=Knowing())
    assert desk.screen_type.value == "" and desk.slots.slots == []
    desk.boxes.bboxes = [dict(x=10, y=10, width=46, height=56, label="", page=desk.boxes.page)]
    assert desk.sheet.marks == () and desk.boxes.bboxes == [] and "say first what the screenshot shows" in desk.message
    desk.screen_type.value = "GROUND_EQ"
    assert store.screenshots()[desk.screenshot]["screen_type"] == "GROUND_EQ" and desk.slots.slots[0]["name"] == "Kit Modules"
    desk.page.press("Ctrl+z")
    assert desk.screen_type.value == "" and store.screenshots()[desk.screenshot]["screen_type"] == ""
    desk.page.press("Ctrl+y")
    assert desk.screen_type.value == "GROUND_EQ"


def test_an_error_of_ours_is_shown_too(desk, store, monkeypatch):
    draw(desk, "Deflector", DEFLECTOR)
    monkeypatch.setattr(store, "submit", lambda *_, **__: 1 / 0)
    desk.page.press("Ctrl+Enter")
    assert "ZeroDivisionError" in desk.message


def test_a_page_that_cannot_be_kept_stays_as_it_was(desk, store, monkeypatch):
    draw(desk, "Deflector", DEFLECTOR)
    def full(*_): raise StoreError("the disk is full: make room")
    monkeypatch.setattr(store, "draw", full)
    draw(desk, "Shield", x=200)
    assert "the disk is full" in desk.message and [m.slot for m in desk.sheet.marks] == ["Deflector"] and len(desk.boxes.bboxes) == 1


def test_a_folder_of_ones_own(tmp_path):
    config = Config.load(home=tmp_path / "home")
    with pytest.raises(InputError, match="nowhere"): open_desk(tmp_path / "nowhere", config)
    shots = tmp_path / "shots"
    shots.mkdir()
    (shots / "a.png").write_bytes(picture(0)[:500])
    (shots / "b.PNG").write_bytes(picture(0))
    (shots / "c.png").write_bytes(picture(90))
    desk = open_desk(shots, config)
    assert "b.PNG" in desk.page.title.value and len(desk.store.screenshots()) == 1, "the first that can be shown, and no other was read"
    desk.page.press("Space")
    assert "c.png" in desk.page.title.value
    desk.page.press("Space")
    assert desk.screenshot is None and "a.png" in desk.message


def test_guesses_that_come_late_are_not_undone(store):
    sha = store.add(picture(0), "0.png")
    sheet = Sheet(store)
    sheet.open(sha)
    sheet.change((mark("Deflector"),), "drawing")
    store.propose(sha, [Word(Box(10, 10, 46, 56), "Deflector"), Word(Box(80, 10, 46, 56), "Shield")])
    assert sheet.take_in() and not sheet.take_in() and [m.slot for m in sheet.marks] == ["Deflector", "Shield"], "where a person has drawn nothing is proposed"
    sheet.turn(back=True)
    assert [m.slot for m in sheet.marks] == ["Shield"] and store.annotations(sha, "pending") == []
    sheet.turn(back=False)
    assert sorted(m.slot for m in sheet.marks) == ["Deflector", "Shield"]


def test_a_program_looks_once_and_the_desk_goes_on(store, tmp_path, monkeypatch):
    looked = []
    def find(still, sha, anchors) -> list[Proposal]:
        looked.append((sha, still.image(sha).size))
        return [Proposal("Deflector", 0, Box(10, 10, 46, 56), .9)]
    monkeypatch.setattr("warp.desk.sheet.find_boxes", find)
    desk = sit(store, tmp_path, picture(0), picture(90), Deflector=DEFLECTOR)
    first, second = desk.queue.entries
    assert said(store, first, "candidate") == [("Deflector", "")] and [look_of(m) for m in desk.sheet.marks] == ["guess"]
    for key in ("n", "Delete", "Space", "PageUp"): desk.page.press(key)
    desk.settle()
    assert desk.screenshot == first and desk.sheet.marks == () and sorted(set(looked)) == sorted({(first, SIZE), (second, SIZE)}) and len(looked) == 2


def test_drafts_first_then_what_is_not_done(store):
    done, left, draft = (store.add(picture(shade), f"{shade}.png") for shade in (0, 60, 120))
    store.set_done(done)
    store.draw(draft, [Word(Box(1, 1, 9, 9), "Kit")])
    assert queue_of(store, []) == [draft, left, done]


def test_the_sheet_refuses_a_box_outside(store):
    sheet = Sheet(store)
    sheet.open(store.add(picture(0), "0.png"))
    with pytest.raises(InputError, match="not inside"): sheet.change((mark("Kit", x=639),), "drawing")
    assert sheet.marks == () and sheet.history.done == []


# a person in JupyterLab


class Sitter(Hand):
    "Somebody before the boxes desk, who looks before going on."
    CARD, BOX = ".warp-boxes-side .warp-card h4", ".warp-boxes-canvas g:not([style*=animation]) rect.movable"  # what fades away is no box any more

    def shows(self, text: str) -> None: self.page.wait_for_selector(f".warp-title:has-text('{text}')")
    def card(self, *texts: str) -> None: self.page.wait_for_selector(self.CARD + "".join(f":has-text({json.dumps(text)})" for text in texts))
    def says(self, text: str) -> None: self.page.wait_for_selector(f".warp-messages >> text={text}")
    def boxes(self, count: int) -> None: self.page.wait_for_function(f"document.querySelectorAll('{self.BOX}').length === {count}")

    def part(self, box: Box, kind: str = "movable", at_most: int = 8):
        "The outline (movable) or the cross (clickable) of the box that lies there, give or take some pixels, or None. An element, so that a click waits until it lies still, and hits it."
        return self.page.evaluate_handle("""([boxes, picture, x, y, kind, most]) => {
            const scale = document.querySelector(picture).naturalWidth / document.querySelector(".warp-boxes-canvas .image svg").clientWidth;
            const far = r => Math.abs(r.x.baseVal.value * scale - x) + Math.abs(r.y.baseVal.value * scale - y);
            const near = [...document.querySelectorAll(boxes)].filter(r => far(r) <= most).sort((a, b) => far(a) - far(b))[0];
            return near?.parentElement.querySelector(`rect.${kind}`) ?? null }""", [self.BOX, self.PICTURE, box.x, box.y, kind, at_most]).as_element()

    def hit(self, box: Box, kind: str = "movable") -> None: self.until(lambda: self.part(box, kind), f"a box at {box}", 20).click(timeout=5_000)

    def draw(self, box: Box) -> None:
        "Draws it, and again where the drag came to nothing."
        self.insist(lambda: Hand.draw(self, box), lambda: self.part(box), f"a box at {box}")

    def click(self, box: Box) -> None:
        "Selects it."
        def selected() -> bool: return (part := self.part(box)) and part.evaluate("rect => parseFloat(rect.style.strokeWidth)") == 3
        self.insist(lambda: self.hit(box), selected, f"the box at {box} is selected")

    def cross(self, box: Box) -> None:
        "Takes it off by its cross, which only a selected box has."
        def act() -> None:
            self.click(box)
            self.hit(box, "clickable")
        self.insist(act, lambda: not self.part(box), f"the box at {box} is gone")

    def crosses(self) -> int: return self.page.evaluate("[...document.querySelectorAll('.warp-boxes-canvas rect.clickable')].filter(r => getComputedStyle(r).pointerEvents !== 'none').length")

    def choose_none(self) -> None:
        "Clicks where no box lies."
        self.insist(lambda: self.page.mouse.click(*self.at(5, 5)), lambda: self.page.locator(self.CARD, has_text="No box selected").count(), "no box is selected")

    def name(self, slot: str, key: str, box: Box, name: str) -> None:
        "Draws a box and names it, without the mouse but for the drawing."
        self.press({"Shift+": "Shift+Digit"}.get(key[:-1], "Digit") + key[-1])
        self.page.wait_for_selector(f".warp-slot-current:has-text('{slot}')")
        self.draw(box)
        self.cursor_in(".warp-names-input")
        self.page.keyboard.type(name.lower())
        self.page.wait_for_selector(f".warp-names-row.warp-names-active[data-name={json.dumps(name)}]")
        self.press("Enter")
        self.cursor_in(".wrapper")


def crops_are_right(store: Store, sha: str) -> list[tuple[str, str]]:
    "Compares every confirmed crop with the pixels of the screenshot; (slot, name) of each."
    record, found = store.screenshots()[sha], []
    img = open_image(Path(record["source"]))
    for _, a in store.annotations(sha, "confirmed"):
        found.append((a.slot, a.name))
        if slot_named(a.slot).kind == "icon": assert store.crop_file(a.crop_sha256).read_bytes() == make_crop(cut_crop(img, a.bbox)).png
    return sorted(found)


def test_a_person_draws_names_submits_undoes_and_comes_back_after_a_crash(browser_page, tmp_path, practised, pictures_out):
    notebooks = tmp_path / "nb"
    notebooks.mkdir()
    shutil.copy(ROOT / "nbs/desks/draw_boxes.ipynb", notebooks)
    shutil.copytree(practised, tmp_path / "warp")
    world, elsewhere, wrong = World.make(), [], []
    one, two = [shot.render() for shot in world.screenshots(world.newcomer)[:2]]
    icons = [t for t in one.truth if slot_named(t.slot).kind == "icon" and not t.name.startswith("__")]
    mine, name_box = icons[-1], next(t for t in one.truth if t.slot == "Ship Name")
    page, keep = browser_page, lambda state: browser_page.screenshot(path=pictures_out / f"boxes-{state}.png")
    with Lab(tmp_path, notebooks) as lab:
        page.on("request", lambda r: None if r.url.startswith((lab.url, "data:", "blob:")) else elsewhere.append(r.url))
        page.on("pageerror", lambda e: wrong.append(str(e)))
        hand = Sitter(page, lab, "draw_boxes.ipynb")
        hand.run(0, until=hand.BOX)
        store = Store(tmp_path / "warp/practice/training_data", VOCABULARY)
        first, second = list(store.screenshots())[:2]
        files = [store.screenshots()[sha]["file"] for sha in (first, second)]
        hand.shows(files[0])
        guesses = len(store.annotations(first, "candidate"))
        assert guesses > 10
        hand.boxes(guesses)
        page.locator(".warp-desk").scroll_into_view_if_needed()
        keep("1-guesses")
        # a guess goes, a box of one's own comes, by digit, letters and Enter
        hand.click(mine.bbox)
        hand.card(mine.slot, "a guess")
        hand.press("Delete")
        hand.boxes(guesses - 1)
        hand.name(mine.slot, slot_keys("SPACE_EQ")[mine.slot], mine.bbox, mine.name)
        hand.boxes(guesses)
        keep("2-named")
        # a click leaves nothing; a ship's own name is a box and no more
        page.mouse.click(*hand.at(60, 40))
        hand.press("Shift+Digit7")
        page.wait_for_selector(".warp-slot-current:has-text('Ship Name')")
        hand.draw(name_box.bbox)
        hand.boxes(guesses + 1)
        # guesses: one accepted, one that nobody can tell
        hand.card("No box selected")
        hand.press("n")
        hand.card("a guess")
        keep("3-guess")
        hand.press("Enter")
        page.wait_for_function(f"[...document.querySelectorAll('{hand.BOX}')].filter(r => r.style.stroke.endsWith(' 0.75)')).length === {guesses - 2}")
        hand.press("x")
        page.wait_for_function(f"[...document.querySelectorAll('{hand.BOX}')].filter(r => r.style.stroke.endsWith(' 0.4)')).length === 1")
        # submit, undo, redo
        hand.press("Control+Enter")
        hand.shows(files[1])
        hand.says("3 confirmed")
        keep("4-next")
        confirmed = crops_are_right(store, first)
        assert (mine.slot, mine.name) in confirmed and ("Ship Name", "") in confirmed and len(confirmed) == 3
        drawn = next(a.bbox for _, a in store.annotations(first, "confirmed") if (a.slot, a.name) == (mine.slot, mine.name) and a.bbox.iou(mine.bbox) > .8)
        assert max(abs(a - b) for a, b in zip(drawn, mine.bbox)) <= 2, f"drawn {drawn}, meant {mine.bbox}"
        assert len(store.annotations(first, "skipped")) == 1 and not any(min(a.bbox[2:]) < 4 for _, a in store.annotations(first))
        hand.press("Control+z")
        hand.shows(files[0])
        hand.says("Undone: submitting")
        hand.boxes(guesses + 1)
        assert store.annotations(first, "confirmed") == [] and not list((store.folder / "crops").glob("*.png"))
        keep("5-undone")
        hand.press("Control+Shift+z")
        hand.shows(files[1])
        assert crops_are_right(store, first) == confirmed
        # a draft that was never submitted, and a kernel that dies
        theirs = next(t for t in two.truth if slot_named(t.slot).kind == "icon" and not t.name.startswith("__"))
        guesses = len(hand.until(lambda: store.annotations(second, "candidate"), "a program has looked at the second screenshot"))
        hand.boxes(guesses)
        assert hand.crosses() == 0, "the cross of a box that is not selected would lie in the box above"
        hand.click(theirs.bbox)
        hand.card("a guess")
        assert hand.crosses() == 1
        hand.cross(theirs.bbox)
        hand.card("No box selected")
        hand.boxes(guesses - 1)
        hand.draw(spare := Box(40, 40, 60, 60))
        hand.hit(spare, "clickable")  # at once, when Python may not even have heard of it
        hand.card("No box selected")
        hand.boxes(guesses - 1)
        hand.name(theirs.slot, slot_keys("GROUND_EQ")[theirs.slot], theirs.bbox, theirs.name)
        hand.restart_kernel()
        hand.run(0, until=f".warp-desk:not([data-old]) .warp-title:has-text('{files[1]}'):has-text('1 of ')")
        hand.shows(files[1])
        draft = store.annotations(second, "pending")
        assert [(a.slot, a.name) for _, a in draft] == [(theirs.slot, theirs.name)]
        page.wait_for_function(f"[...document.querySelectorAll('{hand.BOX}')].filter(r => !r.style.stroke.startsWith('rgba')).length === 1")
        page.locator(".warp-desk").scroll_into_view_if_needed()
        keep("6-after-a-crash")
        hand.choose_none()
        hand.press("Control+Enter")
        hand.says("1 confirmed")
        assert crops_are_right(store, second) == [(theirs.slot, theirs.name)]
        hand.press("?")
        page.wait_for_selector(".warp-keys-sheet >> visible=true")
        keep("7-keys")
    written = json.loads((store.folder / "annotations.json").read_text(encoding="utf-8"))["screenshots"]
    assert set(written) <= set(store.screenshots()) and not elsewhere and not wrong, (elsewhere, wrong)
