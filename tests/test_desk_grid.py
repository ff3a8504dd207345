"The confirm grid: who needs a person first, what is alike, and what a hand does with it, played in Python, in a bare browser, and in a real JupyterLab."
import json
import shutil
from base64 import b64encode
from collections import Counter, defaultdict
from pathlib import Path
from urllib.parse import quote_plus

import numpy as np
import pytest
from PIL import Image

from lab import Hand, Lab, browsing
from warp.config import Config
from warp.data.crops import crops_array, cut_crop, make_crop, open_image
from warp.data.store import Store, Word
from warp.demo import World
from warp.desk import grid as module
from warp.desk.grid import BELIEVED, COLUMNS, UNSURE, GridDesk, GridWidget, Icon, Prepared, clash, clusters, doubt, icon_key, likeness, need, open_grid, place, ranked, sheet_bytes, state_of
from warp.desk.names import Suggester
from warp.errors import InputError, StoreError
from warp.knowledge.vocabulary import Vocabulary
from warp.match.cascade import Cascade
from warp.match.templates import TemplateIndex, TemplateStage, icon_crop
from warp.records import Annotation, Box, slot_named

ROOT = Path(__file__).resolve().parent.parent
VOCABULARY = Vocabulary.load()
SHOWN = ".warp-grid[data-painted]"


def note(state: str = "candidate", name: str = "", ml_name: str = "", slot: str = "Deflector") -> Annotation:
    return Annotation("a1", slot, Box(1, 2, 46, 56), state, name, ml_name=ml_name)


def icon(state: str = "candidate", name: str = "", ml_name: str = "", *choices: tuple) -> Icon:
    return Icon("3f9c" * 16, note(state, name, ml_name), np.zeros((64, 64, 3), np.uint8), list(choices))


class World3:
    "Three players' ship screens with what is truly on them, and a folder with the pictures of their items."

    def __init__(self, folder: Path):
        self.world, self.folder = World.make(), folder
        self.shots = [self.world.shot(player, "SPACE_EQ").render() for player in self.world.players[:3]]
        (images := folder / "host/images").mkdir(parents=True)
        for name in sorted({n for shot in self.shots for t in self.truths(shot) for n in self.world.items[t.slot]}):
            self.world.icon(name).save(images / f"{quote_plus(name)}.png", compress_level=1)

    def truths(self, shot) -> list:
        return [t for t in shot.truth if slot_named(t.slot).kind == "icon"]

    def sit_down(self, home: Path, states: str = "ppp") -> tuple[Config, Store]:  # a letter a screenshot: p proposed, t only typed, c confirmed
        config = Config(home, str(home / "hub"), host_dir=self.folder / "host")
        store = Store(config.training_data, VOCABULARY)
        for i, (shot, state) in enumerate(zip(self.shots, states)):
            sha = store.add(shot.png_or_jpeg, f"overview-{i}.png")
            store.set_screen_type(sha, "SPACE_EQ")
            words = [Word(t.bbox, t.slot, t.name if state == "c" else "", t.slot_index) for t in self.truths(shot)]
            if state == "p": store.propose(sha, words)
            if state == "c": store.confirm_all([(sha, word) for word in words])
        return config, Store(config.training_data, VOCABULARY)  # a new one: what was done to set the table is not to be undone

    def truth(self, store: Store) -> dict[str, str]:  # key -> name
        return {icon_key(sha, Annotation("", t.slot, t.bbox, "")): t.name for sha, shot in zip(store.screenshots(), self.shots) for t in self.truths(shot)}


@pytest.fixture(scope="module")
def three(tmp_path_factory) -> World3:
    return World3(tmp_path_factory.mktemp("three"))


def desk_of(config: Config, store: Store, **options) -> GridDesk:
    return GridDesk(store, Suggester.open(config, store, VOCABULARY), config.home / "cache/grid", {"entries": []}, **options)


def press(desk: GridDesk, act: str, *keys: str, name: str = "") -> dict:
    "What the browser sends for an act; returns what it gets for it."
    desk.grid._handle_custom_msg({"act": act, "keys": list(keys), "name": name, "number": 7, "view": "v"}, [])
    return desk.grid.changes


def said(store: Store) -> dict[str, str]:
    return {icon_key(sha, a): a.name for sha, a in store.annotations(state="confirmed")}


def alike(desk: GridDesk) -> list[str]:
    "The keys of the largest cluster, as the key `a` takes them."
    groups = defaultdict(list)
    for one in desk.open:
        if len(one.choices) > 1 and one.offer: groups[desk.icons.cluster[one.key], one.offer].append(one.key)
    return max(groups.values(), key=len)


# ---- pure parts

def test_need_is_between_nothing_and_all():
    assert need([1.0, 0.0], 10**9, False) == pytest.approx(0, abs=1e-6) and need([], 0, True) == 1
    assert need([0.5, 0.5], 3, False) > need([0.9, 0.1], 3, False)  # hesitating
    assert need([0.9, 0.1], 0, False) > need([0.9, 0.1], 3, False)  # rare
    assert need([0.9, 0.1], 9, True) > need([], 0, False) - 1e-9 and need([0.9, 0.1], 9, True) > need([0.5, 0.5], 0, False) - 0.1  # a clash weighs most


def test_the_neediest_come_first_and_clusters_stand_together():
    assert ranked([0.1, 0.9, 0.2, 0.95, 0.3], [0, 1, 0, 2, 1]) == [3, 1, 4, 2, 0]
    assert ranked([], []) == []


def test_a_word_is_doubted_by_a_clear_answer_once():
    clear, torn, weak = [("B", 0.9, "model"), ("A", 0.1, "model")], [("B", 0.9, "model"), ("A", 0.9 - UNSURE + 0.01, "model")], [("B", BELIEVED - 0.01, "model")]
    assert state_of(icon("confirmed", "A", "", *clear)) == "again"
    for quiet in (icon("confirmed", "A", "", *torn), icon("confirmed", "A", "", *weak), icon("confirmed", "B", "", *clear), icon("confirmed", "A", "B", *clear), icon("confirmed", "A")):
        assert state_of(quiet) == "confirmed"
    assert clash(icon("candidate", "", "A", *clear)) and not clash(icon("candidate", "", "B", *clear)) and not clash(icon("candidate", "", "", *clear))
    assert clash(icon("pending", "A", "", *clear)) and icon("pending", "A", "", *clear).offer == "A"
    assert icon("candidate", "", "", ("B", 0.2, "model")).offer == "", "what the matcher does not believe is not accepted by one key"


def test_places_keep_proportions_and_the_sheet_its_rows():
    wide = place(Image.new("RGB", (64, 64), "white"), 2.0)
    assert (wide[0] < 30).all() and (wide[32] == 255).all()
    for count, rows in ((1, 1), (COLUMNS, 1), (COLUMNS + 1, 2)):
        assert Image.open(module.BytesIO(sheet_bytes([wide] * count))).size == (64 * COLUMNS, 64 * rows)


def test_clusters_are_pure(three):
    "The very measurement of the notebook's Limits, on a small part of its data."
    crops = np.concatenate([crops_array(shot.image, [t.bbox for t in three.truths(shot)]) for shot in three.shots])
    names = [t.name for shot in three.shots for t in three.truths(shot)]
    members = defaultdict(list)
    for i, cluster in enumerate(clusters(crops, [""] * len(names))): members[cluster].append(names[i])  # the pictures alone have to tell them apart
    several = [some for some in members.values() if len(some) > 1]
    assert sum(Counter(some).most_common(1)[0][1] for some in several) / sum(map(len, several)) >= 0.9
    exact = defaultdict(set)
    for i, cluster in enumerate(clusters(crops, names)): exact[cluster].add(names[i])
    assert all(len(some) == 1 for some in exact.values())
    assert clusters(crops[:0], []) == [] and likeness(crops[0], crops[0]) == pytest.approx(1, abs=1e-3)


@pytest.mark.long
def test_the_limits_that_the_notebook_states():
    "Seven players' screens of all seven types, with the matcher that has nothing but the clean pictures; prints what stands under Limits."
    world = World.make()
    names = list(world.names)
    cascade = Cascade({"templates": TemplateStage(TemplateIndex.from_crops(names, np.stack([icon_crop(world.icon(name)) for name in names])))})
    truth, icons = [], []
    for player in (world.newcomer, *world.players[:6]):
        for shot in world.screenshots(player)[:7]:
            found, img = [t for t in world.labels(world.newcomer, shot) if slot_named(t.slot).kind == "icon"], shot.render().image
            crops = crops_array(img, [t.bbox for t in found])
            for t, crop, match in zip(found, crops, cascade.match(crops, [frozenset(world.items[t.slot]) for t in found])):
                truth.append(t.name)
                icons.append(Icon(shot.file, Annotation("", t.slot, t.bbox, "candidate"), crop, [(name, score, match.by) for name, score in match.alternatives]))
    right, offered, unsure = (np.array(some) for some in zip(*[(one.choices[0][0] == name, bool(one.offer), doubt(one) == "unsure") for name, one in zip(truth, icons)]))
    print(f"{len(icons)} icons; first name right {right.mean():.3f}; offered {offered.mean():.3f}, of these wrong {(~right[offered]).mean():.4f}")
    print(f"unsure {unsure.mean():.3f}, and of the wrong ones {unsure[~right].mean():.3f}; of the offered wrong ones {unsure[~right & offered].mean():.3f}")
    pure = {}
    for label, offers in (("by picture and name", [one.offer for one in icons]), ("by picture alone", [""] * len(icons))):
        members = defaultdict(list)
        for name, cluster in zip(truth, clusters(np.stack([one.crop for one in icons]), offers)): members[cluster].append(name)
        several = [some for some in members.values() if len(some) > 1]
        pure[label] = sum(Counter(some).most_common(1)[0][1] for some in several) / sum(map(len, several))
        print(f"{label}: {len(members)} clusters, {len(several)} of several, which hold {sum(map(len, several))}; purity {pure[label]:.4f}, "
              f"without a stranger {np.mean([len(set(some)) == 1 for some in several]):.4f}, largest {max(map(len, several))}")
    words = [one._replace(note=Annotation("", one.note.slot, one.note.bbox, "confirmed", name)) for one, name in zip(icons, truth)]
    false = sum(clash(word) for word in words)
    slips = [(word, wrong) for word in words if not word.note.name.startswith("__") and (wrong := next(iter(world.siblings(word.note.name, word.note.slot)), ""))]
    caught = sum(clash(word._replace(note=Annotation("", word.note.slot, word.note.bbox, "confirmed", wrong))) for word, wrong in slips)
    print(f"doubted: {false} of {len(words)} right words, {caught} of {len(slips)} slips to a brother")
    assert pure["by picture and name"] >= 0.99 and pure["by picture alone"] >= 0.9 and (~right[offered]).mean() <= 0.01 and unsure[~right].mean() >= 0.9 and false <= len(words) / 200


def test_what_was_prepared_is_only_a_cache(tmp_path):
    kept, one = Prepared(tmp_path, "1"), icon("candidate", "", "", ("B", 0.9, "model"))
    kept.save("s", [one])
    assert kept.load("s")[one.key][1] == [("B", 0.9, "model")] and Prepared(tmp_path, "2").load("s") == {} and kept.load("other") == {}
    for broken in ("{}", "{", "[]", '{"stamp": "1", "icons": {"k": []}, "strip": "AAAA"}'):
        (tmp_path / "s.json").write_text(broken, encoding="utf-8")
        assert kept.load("s") == {}


# ---- the desk, with a real store and the made world's pictures

def test_showing_confirms_nothing(three, tmp_path):
    config, store = three.sit_down(tmp_path)
    desk = desk_of(config, store)
    assert len(desk.open) == sum(len(three.truths(shot)) for shot in three.shots)
    assert said(store) == {} and all(slot_named(one.note.slot).kind == "icon" for one in desk.open)
    assert [cell["key"] for cell in desk.grid.cells] == [one.key for one in desk.open] and "0 of " in desk.page.progress.value
    shot = Image.open(module.BytesIO(desk.grid.sheet))
    assert shot.width == 64 * COLUMNS and max(cell["tile"] for cell in desk.grid.cells) < COLUMNS * shot.height // 64


def test_accept_pick_skip_empty_undo_redo(three, tmp_path):
    config, store = three.sit_down(tmp_path)
    desk, truth = desk_of(config, store), three.truth(store)
    first, second, third, fourth = [one.key for one in desk.open if one.offer and len(one.choices) > 1 and not slot_named(one.note.slot).single][:4]
    changes = press(desk, "name", first, name=desk.icons[first].offer)
    assert changes["cells"][first]["state"] == "confirmed" and (changes["number"], changes["view"]) == (7, "v")
    press(desk, "name", second, name=desk.icons[second].choices[1][0])
    press(desk, "skip", third)
    press(desk, "name", fourth, name="__empty__")
    expected = {first: desk.icons[first].note.name, second: desk.icons[second].choices[1][0], fourth: "__empty__"}
    assert said(store) == expected and [icon_key(sha, a) for sha, a in store.annotations(state="skipped")] == [third]
    kept = next(a for sha, a in store.annotations(state="confirmed") if icon_key(sha, a) == second)
    assert kept.ml_name == desk.icons[second].choices[0][0] and kept.ml_score == desk.icons[second].choices[0][1]
    assert next(a for sha, a in store.annotations(state="confirmed") if icon_key(sha, a) == first).ml_name == ""
    changes = press(desk, "undo")
    assert set(changes["cells"]) == {fourth} and changes["cells"][fourth]["state"] == "open" and changes["go"] == fourth
    press(desk, "undo")
    assert desk.icons[third].note.state == "candidate"
    press(desk, "redo")
    assert state_of(desk.icons[third]) == "skipped"
    for _ in range(5): changes = press(desk, "undo")
    assert said(store) == {} and "nothing to undo" in changes["say"] and list(store.crop_file("x").parent.glob("*.png")) == []
    assert truth.keys() == {one.key for one in desk.open}


def test_a_cluster_is_one_undo_over_several_screenshots(three, tmp_path):
    config, store = three.sit_down(tmp_path)
    desk = desk_of(config, store)
    several = alike(desk)
    assert len(several) > 1
    changes = press(desk, "name", *several, name=desk.icons[several[0]].offer)
    assert changes["say"] == f"{len(several)} accepted: Ctrl+Z takes them back" and set(said(store)) == set(several)
    press(desk, "undo")
    assert said(store) == {}
    press(desk, "redo")
    assert set(said(store)) == set(several)
    for sha, a in store.annotations(state="confirmed"):
        assert store.crop_file(a.crop_sha256).read_bytes() == make_crop(cut_crop(store.image(sha), a.bbox)).png


def test_only_what_changed_travels(three, tmp_path):
    config, store = three.sit_down(tmp_path)
    desk, sent = desk_of(config, store), []
    desk.grid.observe(lambda change: sent.append(change["name"]), ["cells", "sheet", "names", "changes"])
    changes = press(desk, "name", desk.open[0].key, name="__empty__")
    assert sent == ["changes"] and len(changes["cells"]) <= 3
    assert next(c for c in desk.grid.cells if c["key"] == next(iter(changes["cells"])))["state"] == "confirmed", "a page that is loaded anew sees it"


def test_what_the_store_refuses_comes_back(three, tmp_path, monkeypatch):
    config, store = three.sit_down(tmp_path)
    desk = desk_of(config, store)
    key = desk.open[0].key
    changes = press(desk, "name", key, name="No Such Thing")
    assert changes["fault"] and "No Such Thing" in changes["say"] and changes["cells"][key]["state"] == "open" and said(store) == {}

    def full(*_, **__): raise StoreError("the disk is full: make room")
    monkeypatch.setattr(store, "confirm_all", full)
    changes = press(desk, "name", key, name="__empty__")
    assert changes["fault"] and changes["say"] == "the disk is full: make room" and changes["cells"][key]["state"] == "open"
    monkeypatch.setattr(store, "skip", lambda *_: 1 / 0)
    assert press(desk, "skip", key)["fault"] and "ZeroDivisionError" in desk.page.message and desk.page.messages.outputs[0]["name"] == "stderr"


def test_a_correction_teaches_its_look_alikes(three, tmp_path):
    config, store = three.sit_down(tmp_path)
    desk = desk_of(config, store)
    several = alike(desk)
    wrong, right = desk.icons[several[0]].offer, desk.icons[several[0]].choices[1][0]
    changes = press(desk, "name", several[0], name=right)
    taught = [key for key in several[1:] if desk.icons[key].offer == right]
    assert taught and {several[0], *taught} == set(changes["cells"]) and list(said(store)) == [several[0]], "suggested, not confirmed"
    assert changes["cells"][taught[0]]["choices"][0] == {"name": right, "score": desk.icons[taught[0]].choices[0][1], "by": "you", "tile": desk.places.at[right]}
    assert wrong in [name for name, _, _ in desk.icons[taught[0]].choices]
    again = desk_of(config, Store(config.training_data, VOCABULARY))
    assert {again.icons[key].offer for key in taught} == {right}, "it is remembered"
    changes = press(desk, "undo")
    assert {several[0], *taught} == set(changes["cells"]) and {desk.icons[key].offer for key in several} == {wrong}
    assert {desk_of(config, Store(config.training_data, VOCABULARY)).icons[key].offer for key in taught} == {wrong}


def test_a_doubted_word_is_asked_once(three, tmp_path):
    config, store = three.sit_down(tmp_path, "c")
    sha, = store.screenshots()
    victims = [a for _, a in store.annotations(state="confirmed") if a.slot == "Devices" and a.name not in ("__empty__", "__inactive__")]
    wrong, fine = victims[0], victims[1]
    others = [n for n in three.world.items["Devices"] if n not in {a.name for _, a in store.annotations()}]
    before = store.change(sha, wrong.id, name=others[0])
    desk = desk_of(config, store)
    assert desk.open == [] and desk.grid.more, "looking twice never delays the opening"
    press(desk, "more")
    asked = [one for one in desk.open if one.note.slot == "Devices"]
    assert [one.note.id for one in asked] == [wrong.id] and state_of(asked[0]) == "again" and asked[0].offer == others[0]
    assert fine.name in said(store).values() and next(c for c in desk.grid.cells if c["key"] == asked[0].key)["note"].startswith("looks like ")
    changes = press(desk, "name", asked[0].key, name=others[0])
    kept = next(a for _, a in store.annotations() if a.id == wrong.id)
    assert changes["cells"][asked[0].key]["state"] == "confirmed" and (kept.name, kept.confirmed_at, kept.ml_name) == (others[0], before.confirmed_at, wrong.name)
    again = desk_of(config, store)
    press(again, "more")
    assert not [one for one in again.open if one.note.id == wrong.id], "the same doubt is not raised twice"
    press(desk, "undo")
    changes = press(desk, "name", asked[0].key, name=wrong.name)
    assert next(a for _, a in store.annotations() if a.id == wrong.id).name == wrong.name


def test_one_of_its_kind_replaces_the_other(three, tmp_path):
    config, store = three.sit_down(tmp_path, "p")
    sha, = store.screenshots()
    deflector = next(a for _, a in store.annotations() if a.slot == "Deflector")
    store.propose(sha, [Word(a.bbox, a.slot, "", a.slot_index) for _, a in store.annotations()] + [Word(deflector.bbox._replace(x=deflector.bbox.x + 200), "Deflector")])
    desk = desk_of(config, store)
    first, second = [one.key for one in desk.open if one.note.slot == "Deflector"]
    name = three.world.items["Deflector"][0]
    press(desk, "name", first, name=name)
    changes = press(desk, "name", second, name=name)
    assert changes["cells"][second]["state"] == "confirmed" and "gone" in {fields["state"] for fields in changes["cells"].values()} | {state_of(desk.icons[first])}
    press(desk, "undo")
    assert state_of(desk.icons[first]) == "confirmed"


def test_resumes_where_one_stopped(three, tmp_path):
    config, store = three.sit_down(tmp_path)
    desk = desk_of(config, store)
    for _ in range(3): press(desk, "name", desk.open[0].key, name="__empty__")
    press(desk, "skip", desk.open[0].key)
    left = {one.key for one in desk.open}
    store.close()
    again = Store(config.training_data, VOCABULARY)
    desk = desk_of(config, again)
    assert {one.key for one in desk.open} == left and not desk.search.queue


def test_drafts_wait_too_and_keep_their_names(three, tmp_path):
    config, store = three.sit_down(tmp_path, "t")
    sha, = store.screenshots()
    truths = [t for t in three.truths(three.shots[0]) if t.slot == "Devices"]
    store.draw(sha, [Word(truths[0].bbox, "Devices", three.world.items["Devices"][3])])
    desk = desk_of(config, store)
    only, = desk.open
    assert only.offer == three.world.items["Devices"][3] and only.note.state == "pending"
    press(desk, "name", only.key, name=only.offer)
    assert [(a.state, a.name) for _, a in store.annotations()] == [("confirmed", only.offer)]


def test_finds_more_one_screenshot_at_a_time(three, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "FIRST", 1)
    config, store = three.sit_down(tmp_path)
    desk = desk_of(config, store)
    shown = [one.key for one in desk.open]
    assert len(desk.search.queue) == 2 and desk.grid.more and {one.sha for one in desk.open} == {next(iter(store.screenshots()))}
    changes = press(desk, "more")
    assert changes["found"] == len(desk.open) - len(shown) > 0 and list(desk.icons)[:len(shown)] == shown, "what is there stays where it is"
    press(desk, "more")
    assert not desk.grid.more and press(desk, "more")["say"] == "There is nothing more to find."


def test_untouched_screenshots_are_prelabelled_lazily(three, tmp_path, monkeypatch):
    asked = []

    def guess(store, sha, anchors, suggester):
        asked.append(sha)
        return store.propose(sha, [Word(t.bbox, t.slot, "", t.slot_index) for t in three.truths(three.shots[list(store.screenshots()).index(sha)])])
    monkeypatch.setattr(module, "prelabel", guess)
    monkeypatch.setattr(module, "FIRST", 1)
    config, store = three.sit_down(tmp_path, "ttt")
    desk = desk_of(config, store)
    assert len(asked) == 1 and desk.open
    press(desk, "more")
    assert len(asked) == 2
    assert desk_of(config, Store(tmp_path / "x", VOCABULARY)).open == []
    config, store = three.sit_down(tmp_path / "other", "ttt")
    assert desk_of(config, store, prelabel_all=False).open == [] and len(asked) == 2


def test_where_nothing_was_found_one_does_not_wait_again(three, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(module, "prelabel", lambda store, sha, *_: asked.append(sha))
    config, store = three.sit_down(tmp_path, "tt")
    assert desk_of(config, store).open == [] and len(asked) == 2
    desk = desk_of(config, store)
    assert len(asked) == 2 and len(desk.search.queue) == 2 and desk.grid.more
    press(desk, "more")
    assert len(asked) == 3 and "1 to go" in desk.grid.changes["say"]


def test_a_lost_screenshot_is_told_and_passed_over(three, tmp_path):
    config, store = three.sit_down(tmp_path)
    lost = next(iter(store.screenshots()))
    for file in config.training_data.rglob(f"*{lost}*"): file.unlink()
    for file in config.training_data.rglob("overview-0*"): file.unlink()
    store = Store(config.training_data, VOCABULARY)
    desk = desk_of(config, store)
    assert lost not in {one.sha for one in desk.open} and desk.open and "overview-0.png" in desk.page.message


def test_a_folder_of_ones_own(three, tmp_path):
    config, store = three.sit_down(tmp_path, "p")
    with pytest.raises(InputError, match="name (one|a folder) with screenshots"): open_grid(tmp_path / "nowhere", config)
    shots = tmp_path / "shots"
    shots.mkdir()
    for i, shot in enumerate(three.shots[1:]): (shots / f"{i}.png").write_bytes(shot.png_or_jpeg)
    assert open_grid(shots, config).open == [], "nobody has added these files yet"
    shas = {store.add(shots / f"{i}.png") for i in range(2)}
    for sha in shas: store.propose(sha, [Word(Box(100 + 60 * i, 100, 46, 56), "Devices", "", i) for i in range(3)])
    assert {one.sha for one in open_grid(shots, config).open} == shas and len({one.sha for one in open_grid(None, config).open}) == 3


# ---- a bare browser

BARE = """async ([esm, css, state, sheet]) => {
  document.body.innerHTML = '<div class="warp-desk" tabindex="0"><div id="host"></div></div>';
  document.head.append(Object.assign(document.createElement('style'), {textContent: css}));
  state.sheet = new DataView(Uint8Array.from(atob(sheet), c => c.charCodeAt(0)).buffer);
  const on = {};
  window.sent = [];
  window.model = {get: key => state[key], set(key, value) { state[key] = value; (on['change:' + key] ?? []).forEach(listener => listener()); },
    on: (event, listener) => (on[event] ??= []).push(listener), off() {}, send: message => window.sent.push(message), save_changes() {}};
  const module = await import(URL.createObjectURL(new Blob([esm], {type: 'text/javascript'})));
  const begun = performance.now();
  module.default.render({model: window.model, el: document.getElementById('host')});
  await new Promise(done => { const look = () => document.querySelector('.warp-grid').dataset.painted ? done() : requestAnimationFrame(look); look(); });
  return performance.now() - begun;
}"""


DARK = ("--jp-layout-color1: #111; --jp-layout-color2: #212121; --jp-border-color2: #424242; --jp-ui-font-color1: #fff; --jp-ui-font-color2: #b3b3b3; "
        "--jp-brand-color1: #2196f3; --jp-success-color1: #4caf50; --jp-warn-color1: #ff9800; background: #111")  # as JupyterLab's dark theme has them


@pytest.fixture(scope="module")
def browser(chromium):
    "One for all tests that follow; the ones above had no need of it."
    with browsing(chromium) as found: yield found


def bare(page, cells: list[dict], places: list[np.ndarray], names: dict) -> float:  # milliseconds until it was painted
    state = dict(cells=cells, columns=COLUMNS, names=names, more=False, changes={})
    return page.evaluate(BARE, [str(GridWidget._esm), str(GridWidget._css), state, b64encode(sheet_bytes(places)).decode()])


def toy_cells(count: int) -> tuple[list[dict], list[np.ndarray]]:
    rng = np.random.default_rng(7)
    places = [place(Image.fromarray(rng.integers(0, 255, (8, 8, 3), np.uint8)), 49 / 64) for _ in range(count + 5)]
    choices = [dict(name=f"Item {k}", score=0.9 - k / 10, by="model", tile=count + k) for k in range(5)]
    cells = [dict(key=f"k{i}", slot="Devices", file="overview.png", state="open", name="", offer=choices[i // 4 % 5]["name"], note="", why="", cluster=i // 4, tile=i, picture=-1, image="",
                  choices=[choices[i // 4 % 5], *(c for c in choices if c is not choices[i // 4 % 5])]) for i in range(count)]
    return cells, places


def states(page) -> list[str]:
    return page.evaluate("[...document.querySelectorAll('.wg-cell')].map(cell => [...cell.classList].find(name => name.startsWith('wg-is-')).slice(6))")


def last(page) -> dict:
    return page.evaluate("sent.at(-1)")


def focused(page) -> str:
    return page.evaluate("document.querySelector('.wg-at').dataset.key")


def test_every_key_in_a_bare_browser(browser_page, pictures_out):
    page = browser_page
    page.set_viewport_size(dict(width=1250, height=860))
    page.on("pageerror", lambda error: pytest.fail(str(error)))
    cells, places = toy_cells(40)
    bare(page, cells, places, {"Devices": [f"Item {k}" for k in range(5)] + ["Large Battery", "Nimble Gadget", "__empty__"]})
    page.locator(".wg-cell").nth(0).click()
    assert page.evaluate("document.activeElement.dataset.key") == "k0" and page.evaluate("document.activeElement.getAttribute('aria-selected')") == "true"
    page.keyboard.press("Enter")
    assert last(page) | {"view": ""} == dict(act="name", name="Item 0", keys=["k0"], number=1, view="") and states(page)[0] == "confirmed" and focused(page) == "k1"
    page.keyboard.press("3")
    assert last(page)["name"] == "Item 2" and states(page)[1] == "confirmed"
    page.keyboard.press("x")
    assert last(page)["act"] == "skip" and states(page)[2] == "skipped"
    page.keyboard.press("e")
    assert last(page)["name"] == "__empty__" and "empty slot" in page.locator(".wg-cell").nth(3).inner_text()
    page.keyboard.press("a")
    assert last(page)["keys"] == ["k4", "k5", "k6", "k7"] and last(page)["name"] == "Item 1" and focused(page) == "k8"
    assert page.locator(".wg-status").inner_text() == "4 accepted: Ctrl+Z takes them back"
    page.screenshot(path=pictures_out / "grid_bare.png")
    page.evaluate(f"document.documentElement.style.cssText = '{DARK}'")
    page.screenshot(path=pictures_out / "grid_dark.png")
    page.keyboard.press("Control+z")
    assert last(page)["act"] == "undo"
    page.keyboard.press("Control+Shift+Z")
    assert last(page)["act"] == "redo"
    page.keyboard.press("g")  # no key of the grid: the field opens with it
    page.keyboard.type("adget")
    page.locator(".warp-names-row", has_text="Nimble Gadget").wait_for()
    page.keyboard.press("Enter")
    assert last(page)["name"] == "Nimble Gadget" and last(page)["keys"] == ["k8"] and focused(page) == "k9" and page.evaluate("document.activeElement.dataset.key") == "k9"
    page.keyboard.press("/")
    page.keyboard.type("exa n2")  # letters in the field are letters
    page.keyboard.press("Escape")
    assert focused(page) == "k9" and page.locator(".wg-field input").input_value() == "" and states(page)[9] == "open"
    page.keyboard.press("t")
    page.keyboard.press("Control+z")  # in an empty field it takes back an answer
    assert last(page)["act"] == "undo"
    page.keyboard.press("Escape")
    page.keyboard.press("End")
    assert focused(page) == "k39"
    page.keyboard.press("Home")
    assert focused(page) == "k0"
    across = page.evaluate("getComputedStyle(document.querySelector('.wg-cells')).gridTemplateColumns.split(' ').length")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    assert focused(page) == f"k{across + 1}"
    page.keyboard.press("PageDown")
    page.keyboard.press("PageUp")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowLeft")
    assert focused(page) == "k0"
    count = page.evaluate("sent.length")
    page.keyboard.press("Enter")
    assert page.evaluate("sent.length") == count and "is answered" in page.locator(".wg-status").inner_text()
    page.keyboard.press("n")
    assert focused(page) == "k9"
    page.locator(".wg-cell").nth(12).dblclick()
    assert last(page)["keys"] == ["k12"] and states(page)[12] == "confirmed"
    page.locator(".wg-cell").nth(13).click()
    page.locator(".wg-choice").nth(1).click()
    assert last(page)["keys"] == ["k13"]
    page.locator(".wg-skip").click()
    assert last(page)["act"] == "skip"


def test_the_kernels_word_counts_and_the_newest_act_stays(browser_page):
    page = browser_page
    cells, places = toy_cells(8)
    bare(page, cells, places, {})
    page.locator(".wg-cell").nth(0).click()
    page.keyboard.press("Enter")
    page.keyboard.press("Home")
    page.keyboard.press("2")  # a second thought before the first is answered
    first, second = page.evaluate("sent")
    assert page.locator(".wg-waiting").count() == 1
    answer = "([cells, more]) => model.set('changes', {cells, ...more})"
    page.evaluate(answer, [{"k0": {"state": "confirmed", "name": first["name"]}}, {"number": first["number"], "view": first["view"]}])
    assert second["name"] in page.locator(".wg-cell").nth(0).inner_text() and page.locator(".wg-waiting").count() == 1
    page.evaluate(answer, [{"k0": {"state": "open", "name": "", "offer": "Item 0"}}, {"number": second["number"], "view": second["view"], "say": "the disk is full: make room", "fault": True}])
    assert states(page)[0] == "open" and page.locator(".wg-waiting").count() == 0
    assert page.locator(".wg-status.wg-fault").inner_text() == "the disk is full: make room"


def test_more_icons_leave_the_hand_where_it_is(browser_page):
    page = browser_page
    cells, places = toy_cells(80)
    bare(page, cells, places, {})
    page.locator(".wg-cell").nth(30).click()
    page.keyboard.press("PageDown")
    before = page.evaluate("[document.activeElement.dataset.key, document.querySelector('.wg-cells').scrollTop]")
    assert before[1] > 0
    page.evaluate("() => model.set('cells', [...model.get('cells'), {...model.get('cells')[0], key: 'new'}])")
    assert page.locator(".wg-cell").count() == 81 and page.evaluate("[document.activeElement.dataset.key, document.querySelector('.wg-cells').scrollTop]") == before


def test_asks_for_more_when_it_runs_low(browser_page):
    page = browser_page
    cells, places = toy_cells(14)
    bare(page, cells, places, {})
    page.evaluate("() => model.set('more', true)")
    page.locator(".wg-cell").first.click()
    for key in ("x", "x"): page.keyboard.press(key)
    assert page.evaluate("sent.map(message => message.act)") == ["skip", "skip"]
    page.keyboard.press("x")
    page.keyboard.press("f")
    assert page.evaluate("sent.map(message => message.act)") == ["skip", "skip", "skip", "more"], "asked once, until it is answered"
    page.evaluate("() => model.set('changes', {cells: {}, say: 'Looking further', number: sent.at(-1).number, view: sent.at(-1).view, found: 0})")
    assert last(page)["act"] == "more" and page.evaluate("sent.length") == 5


def test_says_when_the_kernel_is_silent(browser_page):
    page = browser_page
    page.clock.install()
    cells, places = toy_cells(4)
    page.clock.resume()
    bare(page, cells, places, {})
    page.locator(".wg-cell").first.click()
    page.keyboard.press("Enter")
    page.clock.fast_forward(9000)
    page.wait_for_selector(".wg-status.wg-fault:has-text('not stored yet')")


def test_names_are_text(browser_page):
    page = browser_page
    cells, places = toy_cells(1)
    evil = "<img src=x onerror=window.hit=1>"
    cells[0] |= dict(offer=evil, slot=evil, file=evil, why=evil)
    cells[0]["choices"][0] = dict(name=evil, score=0.9, by=evil, tile=0)
    bare(page, cells, places, {evil: [evil]})
    page.locator(".wg-cell").click()
    page.keyboard.press("t")
    page.keyboard.press("Escape")
    assert page.locator("img[src=x]").count() == 0 and page.evaluate("window.hit") is None and evil in page.locator(".wg-cell").inner_text()


def test_five_hundred_at_once(browser_page, pictures_out):
    cells, places = toy_cells(500)
    took = bare(browser_page, cells, places, {})
    assert browser_page.locator(".wg-cell").count() == 500 and browser_page.evaluate("document.querySelector('.warp-grid').dataset.painted") == "500"
    print(f"500 cells painted {took:.0f} ms after they were there")


# ---- a real JupyterLab

def on_disk(folder: Path) -> dict[str, list[dict]]:
    "What annotations.json and the journal after it say, read without warp: sha -> annotations."
    shots = json.loads((folder / "annotations.json").read_text(encoding="utf-8"))["screenshots"] if (folder / "annotations.json").exists() else {}
    found = {sha: {a["id"]: a for a in record["annotations"]} for sha, record in shots.items()}
    for line in (folder / "annotations.journal.jsonl").read_text(encoding="utf-8").splitlines():
        acts = json.loads(line)
        for act in acts if isinstance(acts, list) else acts.get("acts", [acts]):
            notes = found.setdefault(act["screenshot"], {})
            for gone in act.get("drop", ()): notes.pop(gone, None)
            notes |= {a["id"]: a for a in act.get("put", ())}
    return {sha: list(notes.values()) for sha, notes in found.items()}


def stored(page) -> None:
    page.wait_for_selector(".wg-count:not(.wg-saving)")


def words(page) -> dict[str, str]:
    "What the grid says of the answered cells: key -> name, as it is shown."
    return dict(page.evaluate("[...document.querySelectorAll('.wg-is-confirmed')].map(cell => [cell.dataset.key, cell.querySelector('.wg-name').textContent])"))


def test_a_person_confirms_icons_in_jupyterlab(browser_page, pictures_out, tmp_path, practised):
    notebooks, page, elsewhere = tmp_path / "nb", browser_page, []
    notebooks.mkdir()
    shutil.copy(ROOT / "nbs/desks/confirm_icons.ipynb", notebooks)
    shutil.copytree(practised, tmp_path / "warp")
    with Lab(tmp_path, notebooks) as lab:
        page.on("request", lambda r: None if r.url.startswith((lab.url, "data:", "blob:")) else elsewhere.append(r.url))
        page.on("pageerror", lambda error: pytest.fail(str(error)))
        hand = Hand(page, lab, "confirm_icons.ipynb")
        hand.run(0, until=SHOWN)
        page.locator(".warp-grid").scroll_into_view_if_needed()
        page.locator(".wg-cell").first.click()
        page.screenshot(path=pictures_out / "grid_lab.png")
        offered = page.locator(".wg-is-open:not([data-why=unsure])")
        offered.first.click()
        accepted = focused(page)
        hand.press("Enter")
        hand.press("2")
        hand.press("x")
        typed, slot = page.evaluate("(() => { const at = document.querySelector('.wg-at'); return [at.dataset.key, at.dataset.key.split(' ').slice(2).join(' ')] })()")
        name = sorted(VOCABULARY.names(slot))[-1]
        hand.press("t")
        hand.cursor_in(".wg-field input")
        page.keyboard.type(name)
        page.locator(f".warp-names-row.warp-names-active[data-name={json.dumps(name)}]").wait_for()
        hand.press("Enter")
        assert focused(page) != typed
        stored(page)
        page.screenshot(path=pictures_out / "grid_answered.png")
        before = words(page)
        assert len(before) == 3 and before[typed] == name and accepted in before and page.locator(".wg-is-skipped").count() == 1
        page.locator(".wg-cell", has=page.locator(".wg-alike:not(:empty)")).first.click()
        several = page.locator(".wg-mate").count()
        page.screenshot(path=pictures_out / "grid_cluster.png")
        assert several > 1
        hand.press("a")
        stored(page)
        assert page.locator(".wg-status").inner_text() == f"{several} accepted: Ctrl+Z takes them back" and len(words(page)) == 3 + several
        hand.press("Control+z")
        page.wait_for_selector(".wg-status:has-text('Taken back')")
        assert words(page) == before
        hand.press("Control+Shift+Z")
        page.wait_for_selector(".wg-status:has-text('Done again')")
        page.locator(".wg-undo").focus()
        hand.press("Enter")  # buttons are for the keyboard too
        page.wait_for_selector(".wg-status:has-text('Taken back')")
        hand.press("Control+y")
        page.wait_for_selector(".wg-status:has-text('Done again')")
        after, left = words(page), page.locator(".wg-is-open").count()
        assert len(after) == 3 + several
        page.screenshot(path=pictures_out / "grid_redone.png")
        hand.restart_kernel()
        hand.run(0, until=f".warp-desk:not([data-old]) {SHOWN}")
        keys = set(page.evaluate("[...document.querySelectorAll('.wg-cell')].map(cell => cell.dataset.key)"))
        assert not keys & set(after) and len(keys) >= left > 0
        page.locator(".wg-cell").first.click()
        hand.press("e")
        stored(page)
        page.screenshot(path=pictures_out / "grid_resumed.png")
    training = tmp_path / "warp/practice/training_data"
    confirmed = [(sha, a) for sha, notes in on_disk(training).items() for a in notes if a["state"] == "confirmed"]
    assert len(confirmed) == 3 + several + 1
    names = {f"{sha[:16]} {','.join(map(str, a['bbox']))} {a['slot']}": a["name"] for sha, a in confirmed}
    assert {key: {"empty slot": "__empty__", "greyed out": "__inactive__"}.get(name, name) for key, name in after.items()}.items() <= names.items()
    pictures = {module.Path(file).name: file for file in (tmp_path / "warp/practice/screenshots").iterdir()}
    store = Store(training, VOCABULARY)
    for sha, a in confirmed:
        shot = open_image(pictures[store.screenshots()[sha]["file"]])
        kept = training / "crops" / f"{a['crop_sha256']}.png"
        assert kept.read_bytes() == make_crop(cut_crop(shot, Box(*a["bbox"]))).png
    assert len({a["crop_sha256"] for _, a in confirmed}) == len(list((training / "crops").glob("*.png")))
    assert not elsewhere, elsewhere
