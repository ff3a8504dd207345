"The name field in a real browser, and the suggester with nothing, with icons, and with what a person confirms and takes back."
import json
import shutil
from pathlib import Path
from urllib.parse import quote_plus

import numpy as np
import pytest
from PIL import Image

from lab import Hand, Lab, browsing, slowed
from warp.config import Config
from warp.data.crops import crops_array, open_image
from warp.data.store import Store
from warp.demo import World
from warp.desk.names import SIDE, NameField, Suggester, Suggestion, choices, names_for, picture_bytes, ranked
from warp.errors import SlotError
from warp.knowledge.vocabulary import Vocabulary
from warp.records import ICON_SLOTS, POSITION_SLOTS, TEXT_SLOTS, Match, slot_named

ROOT = Path(__file__).resolve().parent.parent
STATIC = ROOT / "warp/static/desk"
VOCABULARY = Vocabulary.load()
SOLANAE = "Solanae Deflector Array"
EMPTY, INACTIVE = "__empty__", "__inactive__"


# the kernel's side

@pytest.fixture(scope="module")
def world() -> World: return World.make()


@pytest.fixture(scope="module")
def icons(world, tmp_path_factory) -> Path: return world.write_icons(tmp_path_factory.mktemp("host") / "images")


@pytest.fixture
def store(tmp_path) -> Store: return Store(tmp_path / "training_data", VOCABULARY)


@pytest.fixture(scope="module")
def made(world): return world.shot(world.newcomer, "SPACE_EQ").render()


@pytest.fixture(scope="module")
def later(world): return world.shot(world.newcomer, "SPACE_MIXED").render()


def truth(made, slot: str): return next(t for t in made.truth if t.slot == slot)


def crop_of(made, slot: str) -> np.ndarray: return crops_array(made.image, [truth(made, slot).bbox])


def test_the_names_of_a_slot():
    for slot in ICON_SLOTS:
        *names, empty, inactive = names_for(VOCABULARY, slot)
        assert (empty, inactive) == (EMPTY, INACTIVE) and names == sorted(names, key=str.casefold) and set(names) == VOCABULARY.names(slot)
    for slot in TEXT_SLOTS: assert EMPTY not in names_for(VOCABULARY, slot) and names_for(VOCABULARY, slot)
    for slot in POSITION_SLOTS: assert names_for(VOCABULARY, slot) == []
    with pytest.raises(SlotError): names_for(VOCABULARY, "Nowhere")


def test_an_answer_stands_first_and_the_rest_follows_by_score():
    said = Match("A", 0.5, "model", (("B", 0.6), ("A", 0.5), ("C", 0.0)))
    seen = Match(None, 0.9, "session", ((EMPTY, 0.9), ("B", 0.7), ("Stranger", 0.99)))
    assert [(s.name, s.score, s.by) for s in ranked([said, seen], frozenset("ABC"), 5)] == [("A", 0.5, "model"), (EMPTY, 0.9, "session"), ("B", 0.7, "session")]
    assert ranked([said, seen], frozenset("ABC"), 1)[0].name == "A"
    assert [s.name for s in ranked([Match(None, 0.3, "model", (("C", 0.3), ("A", 0.8))), seen], frozenset("ABC"), 9)] == [EMPTY, "A", "B", "C"]
    assert ranked([Match(None, 0.0, "cascade"), Match(None, 0.0, "session")], frozenset("ABC"), 5) == []


def test_nothing_installed_learns_and_forgets(tmp_path, store, made, later):
    suggester, crop = Suggester.open(Config.load(home=tmp_path), store, VOCABULARY), crop_of(later, "Deflector")
    assert suggester(crop, ["Deflector"]) == [[]] and suggester.picture(SOLANAE) == b""
    assert "0 icons confirmed here" in suggester.note and "warp update" in suggester.note and "WARP_HOST_DIR" in suggester.note
    sha, box = store.add(made.png_or_jpeg, "a.png"), truth(made, "Deflector")
    note = store.confirm(sha, box.bbox, "Deflector", box.name)
    suggester.learn(note)
    (first,), = suggester(crop, ["Deflector"])
    assert (first.name, first.by) == (box.name, "session") and 0.5 < first.score <= 1 and first.picture == suggester.picture(box.name) != b""
    assert suggester(crop, ["Shield"]) == [[]], "a deflector is no shield"
    suggester.forget(note.id)
    assert suggester(crop, ["Deflector"]) == [[]] and suggester.picture(box.name) == b""
    suggester.forget(note.id)  # once more does no harm


def test_it_follows_undo_and_relabelling(tmp_path, store, made, later):
    suggester, crop, box = Suggester.open(Config.load(home=tmp_path), store, VOCABULARY), crop_of(later, "Deflector"), truth(made, "Deflector")
    sha = store.add(made.png_or_jpeg, "a.png")
    other = next(n for n in names_for(VOCABULARY, "Deflector") if n != box.name)
    store.confirm(sha, box.bbox, "Deflector", other)
    suggester.follow(sha)
    assert suggester(crop, ["Deflector"])[0][0].name == other
    store.confirm(sha, box.bbox, "Deflector", box.name)
    suggester.follow(sha)
    assert [s.name for s in suggester(crop, ["Deflector"])[0]] == [box.name] and suggester.picture(other) == b""
    store.undo()
    suggester.follow(sha)
    assert [s.name for s in suggester(crop, ["Deflector"])[0]] == [other]
    store.undo()
    suggester.follow(sha)
    assert suggester(crop, ["Deflector"]) == [[]] and len(suggester.session) == 0


def test_a_desk_that_opens_again_knows_what_was_confirmed(tmp_path, store, made, later):
    sha, box = store.add(made.png_or_jpeg, "a.png"), truth(made, "Deflector")
    store.confirm(sha, box.bbox, "Deflector", box.name)
    suggester = Suggester.open(Config.load(home=tmp_path), store, VOCABULARY)
    assert "1 icon confirmed" in suggester.note and suggester(crop_of(later, "Deflector"), ["Deflector"])[0][0].name == box.name
    store.withdraw(sha, store.annotations(sha)[0][1].id)
    suggester.follow(sha)
    assert suggester(crop_of(later, "Deflector"), ["Deflector"]) == [[]]


def test_with_the_hosts_icons(tmp_path, store, made, icons):
    suggester = Suggester.open(Config.load(home=tmp_path, host_dir=icons.parent), store, VOCABULARY)
    there = [t for t in made.truth if slot_named(t.slot).kind == "icon" and not t.name.startswith("__")]
    lists = suggester(crops_array(made.image, [t.bbox for t in there]), [t.slot for t in there])
    right = np.mean([few[0].name == t.name for few, t in zip(lists, there)])
    among = np.mean([t.name in [s.name for s in few] for few, t in zip(lists, there)])
    assert right > 0.9 and among > 0.95, (right, among)
    assert all(len(few) <= 5 and [s.score for s in few[1:]] == sorted((s.score for s in few[1:]), reverse=True) for few in lists)
    assert all(s.name in VOCABULARY.names(t.slot) or s.name.startswith("__") for few, t in zip(lists, there) for s in few)
    assert "the host's icons" in suggester.note and "warp update" not in suggester.note
    assert len(suggester(crop_of(made, "Deflector"), ["Deflector"], most=2)[0]) == 2


def test_an_empty_place_and_texts(tmp_path, store, icons):
    suggester, flat = Suggester.open(Config.load(home=tmp_path, host_dir=icons.parent), store, VOCABULARY), np.full((3, 64, 64, 3), 20, np.uint8)
    texts, dark, name = suggester(flat, ["Ship Type", "Devices", "Ship Name"])
    assert texts == name == [] and dark[0].name == EMPTY
    assert suggester(flat[:0], []) == []


def test_pictures_fall_back_from_icon_to_newest_crop_to_none(tmp_path, store, made, icons):
    sha, box = store.add(made.png_or_jpeg, "a.png"), truth(made, "Deflector")
    old = store.confirm(sha, box.bbox, "Deflector", box.name, confirmed_at="2026-01-01T00:00:00Z")
    new = store.confirm(sha, truth(made, "Shield").bbox, "Shield", truth(made, "Shield").name, confirmed_at="2026-01-02T00:00:00Z")
    bare = Suggester.open(Config.load(home=tmp_path), store, VOCABULARY)
    assert bare.picture(old.name) == picture_bytes(store.crop_file(old.crop_sha256)) and bare.picture(new.name) != bare.picture(old.name)
    helped = Suggester.open(Config.load(home=tmp_path, host_dir=icons.parent), store, VOCABULARY)
    assert helped.picture(old.name) == picture_bytes(icons / f"{quote_plus(old.name)}.png") != bare.picture(old.name)
    assert bare.picture("") == bare.picture("No such item") == helped.picture("No such item") == b""
    again = store.confirm(store.add(made.png_or_jpeg + b"\0", "b.png"), truth(made, "Engines").bbox, "Deflector", box.name, confirmed_at="2026-02-01T00:00:00Z")
    bare.learn(again)
    assert bare.picture(box.name) == picture_bytes(store.crop_file(again.crop_sha256)), "the newest"
    bare.forget(again.id)
    assert bare.picture(box.name) == picture_bytes(store.crop_file(old.crop_sha256))


def test_a_picture_is_small_and_a_torn_one_is_none(tmp_path):
    Image.new("RGBA", (490, 640), (255, 0, 0, 0)).save(tmp_path / "large.png")
    (tmp_path / "torn.png").write_bytes(b"\x89PNG torn")
    img = open_image(picture_bytes(tmp_path / "large.png"))
    assert max(img.size) == SIDE and max(img.getpixel((20, 20))) < 40, "what is transparent is the game's dark ground"
    assert picture_bytes(tmp_path / "torn.png") == picture_bytes(tmp_path) == picture_bytes(tmp_path / "gone.png") == b""


def test_a_damaged_model_does_not_close_the_desk(tmp_path, store, made, icons):
    folder = tmp_path / "models/sets/3"
    folder.mkdir(parents=True)
    (tmp_path / "models/current").write_text("3", encoding="utf-8")
    (folder / "model_version.json").write_text("{}", encoding="utf-8")
    (folder / "icon_embedder.onnx").write_bytes(b"no model")
    bare, helped = (Suggester.open(Config.load(home=tmp_path, host_dir=host), store, VOCABULARY) for host in (None, icons.parent))
    assert bare(crop_of(made, "Deflector"), ["Deflector"]) == [[]] and str(folder) in bare.note
    assert helped(crop_of(made, "Deflector"), ["Deflector"])[0][0].by == "templates" and str(folder) in helped.note


def test_the_field_in_the_kernel():
    sent = []
    field = NameField(picture=lambda name: b"jpeg of " + name.encode())
    field.send = lambda content, buffers=None: sent.append(content)
    heard = []
    field.on_entered(lambda: heard.append(field.value))
    field.offer(["a", "b"], [Suggestion("a", 0.5, "model", b"x")], value="b")
    assert (field.names, field.value, sent[-1]) == (["a", "b"], "b", {"type": "reset"})
    assert field.suggestions == [{"name": "a", "score": 0.5, "by": "model", "picture": "data:image/jpeg;base64,eA=="}]
    assert choices([Suggestion("a", 1, "x")])[0]["picture"] == ""
    json.dumps(field.suggestions)
    field._handle_custom_msg({"type": "pictures", "names": ["a"]}, [])
    assert sent[-1]["pictures"]["a"].startswith("data:image/jpeg;base64,")
    field._handle_custom_msg({"type": "entered", "by": "enter"}, [])
    assert heard == ["b"] and field.pictured and not NameField().pictured


# the browser's side

@pytest.fixture(scope="module")
def tab(chromium):
    "A plain page with names.js in it."
    with browsing(chromium) as browser:
        page = slowed(browser.new_page(viewport=dict(width=900, height=640)))
        page.set_content("<meta charset=utf-8><style>:root { color-scheme: light dark }</style>"
                         "<div id=around tabindex=0><div id=host style='width: 460px; margin: 30px'></div><button>next</button></div>")
        page.add_style_tag(content=(STATIC / "names.css").read_text(encoding="utf-8"))
        shared = "\nObject.assign(window, { nameField, indexNames, searchNames, matchedRanges });"
        page.add_script_tag(content=(STATIC / "names.js").read_text(encoding="utf-8") + shared, type="module")
        page.wait_for_function("() => window.nameField")
        page.evaluate("() => { window.outside = []; document.getElementById('around').addEventListener('keydown', e => outside.push(e.key)); }")
        yield page


class Field:
    "A name field on the page, and somebody who types into it."

    def __init__(self, page, names: list[str], suggestions: list[dict] = ()):
        self.page, self.input, self.options = page, page.locator(".warp-names-input"), page.locator("[role=option]")
        page.evaluate("""([names, suggestions]) => { window.field?.destroy(); window.picked = []; window.outside.length = 0;
            window.field = nameField(document.getElementById('host'), {placeholder: 'name'}); field.setNames(names); field.setSuggestions(suggestions);
            field.onPick((name, by) => picked.push([name, by])); }""", [list(names), list(suggestions)])

    def type(self, text: str) -> "Field":
        self.input.click()
        self.input.fill(text)
        return self

    def press(self, *keys: str) -> "Field":
        for key in keys: self.page.keyboard.press(key)
        return self

    def shown(self) -> list[str]: return self.options.evaluate_all("rows => rows.map(row => row.dataset.name)")
    def picked(self) -> list: return self.page.evaluate("picked")
    def highlighted(self) -> list[str]: return self.page.locator("[aria-selected=true]").evaluate_all("rows => rows.map(row => row.dataset.name)")
    def hint(self) -> str: return self.page.locator(".warp-names-hint").inner_text()
    def opened(self) -> bool: return self.page.locator(".warp-names-panel").is_visible()


DEFLECTORS = names_for(VOCABULARY, "Deflector")
SUGGESTED = [{"name": name, "score": score, "by": by, "picture": ""}
             for name, score, by in ((SOLANAE, 0.934, "model"), ("Ablative Field Projector", 0.2, "templates"), (EMPTY, 0.1, "session"))]


def found(page, names: list[str], text: str, most: int = 12) -> list[str]:
    return page.evaluate("([names, text, most]) => searchNames(indexNames(names), text, most).rows.map(row => row.name)", [names, text, most])


@pytest.mark.parametrize(("text", "best"), [
    ("sola defl", SOLANAE), ("defl sola", SOLANAE), ("  SOLANAE   array ", SOLANAE), ("solanae deflektor", SOLANAE),
    ("soalnae", SOLANAE), ("slnae dflctr", SOLANAE),
    ("SDA", SOLANAE), ("soldefar", SOLANAE), ("olanae", SOLANAE), ("grosse", "Größe X"), ("große", "Größe X"),
    ("gröSSE x", "Größe X"), ("chekovs", "Chekov’s Pistol"),
    ("chekov's", "Chekov’s Pistol"), ("a-b", "Console - A/B (100%)"), ("100", "Console - A/B (100%)"),
    ("empty", EMPTY), ("grey", INACTIVE), ("éclair", "Eclair")])
def test_what_is_meant_comes_first(tab, text, best):
    names = ["Alpha Beam", SOLANAE, "Elite Fleet Deflector Array", "Sol Defense Shield", "Größe X", "Chekov’s Pistol", "Console - A/B (100%)", "Eclair"]
    assert found(tab, sorted(names) + [EMPTY, INACTIVE], text)[0] == best


def test_word_starts_before_insides_before_guesses(tab):
    names = ["Nonsense Beam", "Sensor Array", "Beam Sensor", "Sensor", "Sennit Sob", "Sxxensor"]
    assert found(tab, names, "sens") == ["Sensor", "Sensor Array", "Beam Sensor", "Nonsense Beam", "Sennit Sob"], "initials last"
    assert found(tab, ["Absolute", "Solo", "Sol"], "sol") == ["Sol", "Solo", "Absolute"], "the whole word first"
    assert found(tab, ["Beam Array Phaser", "Phaser Beam Array", "Phaser Array Beam"], "phaser beam")[0] == "Phaser Beam Array", "side by side before apart"
    assert found(tab, ["Quantum Torpedo"], "quantum phaser") == [], "every word must fit"
    assert found(tab, ["Antiproton Beam", "Antares"], "anit proton") == ["Antiproton Beam"]
    assert found(tab, ["Pola", "Cola"], "sola") == [], "the first letter of a short word must be right"
    assert found(tab, ["Alpha"], "zzzz") == found(tab, [], "a") == []


def test_all_names_are_found_by_themselves(tab):
    lists = json.loads((ROOT / "warp/static/item_names.json").read_text(encoding="utf-8"))
    pools = [lists[table] for table in ("equipment", "traits", "boff_abilities", "specializations")]
    names = sorted({n for pool in pools for some in pool.values() for n in some} | set(lists["starship_traits"]))
    assert len(names) >= 4_000
    wrong = tab.evaluate("""names => { const index = indexNames(names);
        return names.filter(name => index.exact(name.toUpperCase()) !== name && index.exact(name) !== name).concat(
               names.filter((name, i) => i % 10 === 0 && !searchNames(index, name).rows.some(row => row.name === name))) }""", names)
    assert wrong == []
    field = Field(tab, names).type("e")
    assert len(field.shown()) == 12 and "type on" in tab.locator(".warp-names-foot").inner_text()


def test_highlights_are_where_the_letters_are(tab):
    def marked(label, text): return tab.evaluate("([label, text]) => matchedRanges(label, text).map(([a, b]) => label.slice(a, b))", [label, text])
    assert marked(SOLANAE, "defl sola") == ["Sola", "Defl"]
    assert marked("Größe X", "grosse") == ["Größe"] and marked("Chekov’s Pistol", "chekovs") == ["Chekov", "s"]
    assert marked(SOLANAE, "sda") == ["S", "D", "A"] and marked(SOLANAE, "zzz") == []
    assert marked("Solanae", "olan") == ["olan"]


def test_markup_in_a_name_stays_text(tab):
    evil = "<img src=x onerror=\"window.broken=1\"> Array & <b>bold</b>"
    suggestion = {"name": evil, "score": 0.5, "by": "<script>window.broken=1</script>", "picture": "javascript:window.broken=1"}
    field = Field(tab, [evil, SOLANAE], [suggestion]).type("array")
    assert evil in field.shown() and tab.locator(".warp-names-panel img, .warp-names-panel b, .warp-names-panel script").count() == 0
    assert field.options.filter(has_text="onerror").locator("mark").inner_text() == "Array"
    field.press("Enter")
    assert field.picked() == [[evil, "enter"]] and field.input.input_value() == evil and not tab.evaluate("window.broken")


def test_words_from_the_outside_are_no_names_of_ours(tab):
    assert Field(tab, ["constructor", "toString"]).type("constr").press("Enter").picked() == [["constructor", "enter"]]


def test_enter_takes_what_is_highlighted(tab):
    field = Field(tab, DEFLECTORS).type("sola defl")
    assert field.highlighted() == [SOLANAE] and field.input.get_attribute("aria-activedescendant") == tab.locator("[aria-selected=true]").get_attribute("id")
    field.press("Enter")
    assert field.picked() == [[SOLANAE, "enter"]] and field.input.input_value() == SOLANAE and not field.opened()
    field.press("Enter")
    assert field.picked()[1:] == [[SOLANAE, "enter"]], "what stands there may be said once more"


def test_a_guess_is_not_taken_by_enter(tab):
    field = Field(tab, DEFLECTORS).type("solanae deflektor")
    assert field.shown()[0] == SOLANAE and field.highlighted() == []
    field.press("Enter")
    assert field.picked() == [] and field.hint() == "no such name in this slot; is one of these meant?" and field.input.input_value() == "solanae deflektor"
    assert field.input.get_attribute("aria-invalid") == "true"
    field.press("ArrowDown", "Enter")
    assert field.picked() == [[SOLANAE, "enter"]] and field.hint() == "" and field.input.get_attribute("aria-invalid") == "false"


def test_free_text_is_refused_and_kept(tab):
    field = Field(tab, DEFLECTORS, SUGGESTED).type("Enterprise-D").press("Enter")
    assert (field.picked(), field.hint(), field.input.input_value(), field.opened()) == ([], "no such name in this slot", "Enterprise-D", True)
    field.type(SOLANAE.upper()).press("Enter")
    assert field.picked() == [[SOLANAE, "enter"]], "its proper spelling"


def test_the_exact_name_wins_over_a_suggestion(tab):
    names = ["Solanae Deflector", SOLANAE]
    field = Field(tab, names, SUGGESTED[:1]).type("solanae deflector")
    assert field.shown()[0] == "Solanae Deflector" and field.press("Enter").picked() == [["Solanae Deflector", "enter"]]
    assert Field(tab, names, SUGGESTED[:1]).type("defl").shown()[0] == SOLANAE, "else what the matcher thinks likely comes first"


def test_digits_pick_suggestions_only_while_nothing_is_typed(tab):
    field = Field(tab, DEFLECTORS, SUGGESTED)
    field.input.click()
    assert field.shown() == [s["name"] for s in SUGGESTED] and field.highlighted() == []
    assert tab.locator(".warp-names-percent").all_inner_texts() == ["93 %", "20 %", "10 %"]
    field.press("3")
    assert field.picked() == [[EMPTY, "digit"]] and field.input.input_value() == "empty slot"
    field.press("2")  # the value is there, whole and untouched: thinking again is one key
    assert field.picked()[1:] == [["Ablative Field Projector", "digit"]]
    field.type("a").press("1")
    assert len(field.picked()) == 2 and field.input.input_value() == "a1"
    field.type("").press("4", "9")
    assert len(field.picked()) == 2, "there are three suggestions"


def test_an_empty_field_needs_a_choice(tab):
    field = Field(tab, DEFLECTORS, SUGGESTED)
    field.input.click()
    field.press("Enter")
    assert field.picked() == [] and "digit" in field.hint()
    field.press("ArrowDown", "ArrowDown", "ArrowUp", "Enter")
    assert field.picked() == [[SOLANAE, "enter"]]


def test_arrows_go_round_and_the_mouse_works(tab):
    field = Field(tab, DEFLECTORS).type("array")
    shown = field.shown()
    field.press("ArrowUp")
    assert field.highlighted() == [shown[-1]]
    field.press("ArrowDown", "ArrowDown")
    assert field.highlighted() == [shown[1]]
    field.options.nth(4).click()
    assert field.picked() == [[shown[4], "click"]] and field.input.evaluate("input => input === document.activeElement")


def test_tab_takes_the_highlighted_one_and_moves_on(tab):
    field = Field(tab, DEFLECTORS).type("sola").press("Tab")
    assert field.picked() == [[SOLANAE, "tab"]] and field.input.input_value() == SOLANAE and tab.evaluate("document.activeElement.tagName") == "BUTTON"
    field = Field(tab, DEFLECTORS, SUGGESTED)
    field.input.click()
    assert field.press("Tab").picked() == [], "passing by is no word"


def test_escape_closes_then_brings_the_name_back(tab):
    field = Field(tab, DEFLECTORS)
    tab.evaluate(f"field.setValue({SOLANAE!r})")
    field.type("elite")
    assert field.opened()
    field.press("Escape")
    assert not field.opened() and field.input.input_value() == "elite"
    field.press("Escape")
    assert field.input.input_value() == SOLANAE and field.picked() == []
    field.press("Escape")
    assert not field.input.evaluate("input => input === document.activeElement")


def test_leaving_takes_nothing(tab):
    field = Field(tab, DEFLECTORS).type("elite")
    tab.locator("button").click()
    assert field.picked() == [] and field.input.input_value() == "" and not field.opened()


def test_keys_stay_in_the_field_and_shortcuts_pass(tab):
    field = Field(tab, DEFLECTORS, SUGGESTED)
    field.input.click()
    field.press("d", "1", "Backspace", "Enter", "ArrowDown", "Escape")
    assert tab.evaluate("outside") == [] and tab.locator(".warp-names").get_attribute("data-lm-suppress-shortcuts") == "true"
    field.press("Control+z")
    assert "z" in tab.evaluate("outside")


def test_few_names_are_all_shown_and_virtual_ones_have_signs(tab):
    field = Field(tab, ["T6", "T6-X", EMPTY, INACTIVE])
    field.input.click()
    assert field.shown() == ["T6", "T6-X", EMPTY, INACTIVE] and field.options.all_inner_texts()[2:] == ["empty slot", "greyed out"]
    assert tab.locator(".warp-names-glyph--empty--").count() == tab.locator(".warp-names-glyph--inactive--").count() == 1
    field.type("greyed").press("Enter")
    assert field.picked() == [[INACTIVE, "enter"]] and field.input.input_value() == "greyed out"


def test_what_a_screen_reader_is_told(tab):
    field = Field(tab, DEFLECTORS)
    assert field.input.get_attribute("role") == "combobox" and field.input.get_attribute("aria-expanded") == "false"
    field.type("sola")
    assert field.input.get_attribute("aria-expanded") == "true"
    assert tab.locator(f"#{field.input.get_attribute('aria-controls')}").get_attribute("role") == "listbox"
    assert tab.locator("[role=status]").count() == 1


def test_pictures_of_rows_are_asked_for_once(tab):
    field = Field(tab, ["Alpha One", "Alpha Two", "Beta"])
    tab.evaluate("() => { window.asked = []; field.onPictures(names => asked.push(...names)); }")
    field.type("alpha")
    assert tab.evaluate("asked") == ["Alpha One", "Alpha Two", "Beta"]
    dot = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=="
    tab.evaluate("dot => field.setPictures({'Alpha One': dot, 'Beta': dot, 'Alpha Two': ''})", dot)
    assert tab.locator("[role=option] img").count() == 1
    field.type("alpha one")
    assert tab.locator("[role=option] img").count() == 1 and field.type("b").shown() == ["Beta"] and tab.locator("[role=option] img").count() == 1
    assert tab.evaluate("asked") == ["Alpha One", "Alpha Two", "Beta"]


def test_setting_things_while_it_is_open(tab):
    field = Field(tab, DEFLECTORS).type("sola")
    tab.evaluate("field.setNames(['Solar Sail'])")
    assert field.shown() == ["Solar Sail"]
    tab.evaluate("field.setSuggestions([{name: 'Solar Sail', score: 2, by: 'x', picture: ''}])")
    assert tab.locator(".warp-names-percent").inner_text() == "100 %"
    tab.evaluate("field.setValue('__inactive__')")
    assert field.input.input_value() == "greyed out" and not field.opened()
    tab.evaluate("field.setDisabled(true)")
    assert field.input.is_disabled()
    tab.evaluate("() => { field.destroy(); field.destroy(); }")
    assert tab.locator(".warp-names").count() == 0


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_drop_down_is_seen(tab, theme, made, icons, pictures_out, tmp_path):
    tab.emulate_media(color_scheme=theme)
    suggester = Suggester.open(Config.load(home=tmp_path, host_dir=icons.parent), Store(tmp_path / "training_data"), VOCABULARY)
    suggested = choices(suggester(crop_of(made, "Deflector"), ["Deflector"])[0]) + [{"name": EMPTY, "score": 0.04, "by": "session", "picture": ""}]
    field = Field(tab, DEFLECTORS, suggested[-5:])
    field.input.click()
    tab.screenshot(path=pictures_out / f"names_{theme}_suggestions.png")
    box, panel = field.input.bounding_box(), tab.locator(".warp-names-panel").bounding_box()
    assert panel["y"] >= box["y"] + box["height"] and panel["width"] >= box["width"] and panel["y"] + panel["height"] <= 640
    field.type("defl ar")
    tab.screenshot(path=pictures_out / f"names_{theme}_typed.png")
    field.type("solanae deflektor").press("Enter")
    tab.screenshot(path=pictures_out / f"names_{theme}_refused.png")
    tab.emulate_media(color_scheme="light")


# both sides

CELLS = ["""from pathlib import Path
from ipywidgets import Label, VBox
from warp.desk.names import NameField, Suggestion, names_for, picture_bytes
from warp.knowledge.vocabulary import Vocabulary
names = names_for(Vocabulary.load(), "Deflector")
icons = Path("images")
def picture(name): return picture_bytes(icons / (name.replace(" ", "+") + ".png"))
field, told = NameField(picture=picture), Label("nothing yet")
field.on_entered(lambda: setattr(told, "value", "entered " + field.value))
field.offer(names, [Suggestion("Deflector Array", 0.91, "model", picture("Deflector Array")), Suggestion("__empty__", 0.05, "session")])
VBox([field, told])""",
         """field.offer(names, value="__inactive__")
field.focus()"""]


def test_the_field_in_jupyterlab(tab, icons, tmp_path, pictures_out):
    page, elsewhere = slowed(tab.context.browser.new_page(viewport=dict(width=1600, height=1500))), []
    notebooks = tmp_path / "nb"
    notebooks.mkdir()
    shutil.copytree(icons, notebooks / "images")
    cells = [{"cell_type": "code", "id": f"c{i}", "metadata": {}, "outputs": [], "execution_count": None, "source": cell} for i, cell in enumerate(CELLS)]
    kernel = {"kernelspec": {"name": "python3", "display_name": "python3", "language": "python"}}
    (notebooks / "field.ipynb").write_text(json.dumps({"cells": cells, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}), encoding="utf-8")
    with Lab(tmp_path, notebooks) as lab:
        page.on("request", lambda r: None if r.url.startswith((lab.url, "data:", "blob:")) else elsewhere.append(r.url))
        hand = Hand(page, lab, "field.ipynb")
        hand.run(0, until=".warp-names-input")
        field = page.locator(".warp-names-input")
        field.click()
        page.wait_for_selector("[role=option] img")
        page.screenshot(path=pictures_out / "names_lab_suggestions.png", clip=dict(x=0, y=0, width=1100, height=700))
        page.keyboard.press("1")
        page.wait_for_selector("text=entered Deflector Array")
        page.keyboard.type("dda")  # shortcuts of the notebook: delete this cell, and a new one above
        assert field.input_value() == "dda"
        field.fill("de ar")
        page.wait_for_function("() => document.querySelectorAll('.warp-names-panel [role=option]:not(.warp-names-suggested) img').length > 0")
        row = page.locator(".warp-names-panel [role=option]").last
        spot = row.bounding_box()
        at = page.evaluate("([x, y]) => document.elementFromPoint(x, y).closest('[role=option]')?.id", [spot["x"] + 60, spot["y"] + 8])
        assert at == row.get_attribute("id"), "the drop-down lies above the notebook and is cut off nowhere"
        page.screenshot(path=pictures_out / "names_lab_typed.png", clip=dict(x=0, y=0, width=1100, height=700))
        field.fill("SOLANAE DEFLECTOR ARRAY")
        page.keyboard.press("Enter")
        page.wait_for_selector(f"text=entered {SOLANAE}")
        field.fill("half a wo")
        page.locator(".jp-Notebook .jp-CodeCell").nth(1).locator(".jp-InputArea-editor").click()
        page.keyboard.press("Control+Enter")
        page.wait_for_function("() => document.activeElement.value === 'greyed out'")
    assert not elsewhere, elsewhere
