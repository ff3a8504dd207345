"What the store does with guesses, drafts and pages, and that everything can be taken back."
import hashlib
import json
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from warp.data.crops import cut_crop, make_crop
from warp.data.store import Store, Word
from warp.errors import BoxError, InputError, PrivacyError, StoreError, VocabularyError
from warp.knowledge.vocabulary import Vocabulary
from warp.records import Box

A, B, C = Box(10, 20, 46, 56), Box(80, 20, 46, 56), Box(150, 20, 46, 56)


@pytest.fixture
def shot(tmp_path):
    "A screenshot of noise: every box shows something else."
    Image.fromarray(np.random.default_rng(1).integers(0, 255, (200, 400, 3), dtype=np.uint8)).save(tmp_path / "shot.png")
    return tmp_path / "shot.png"


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "t")


def boxes(store, state=None) -> set:
    return {(a.state, a.slot, a.name, tuple(a.bbox)) for _, a in store.annotations(state=state)}


def crops(store) -> set:
    return {p.stem for p in store.crop_file("x").parent.iterdir()}


def require_whole(store):
    "Every confirmed record has its crop, under the name of its content, and there are no others."
    mentioned = {a.crop_sha256 for _, a in store.annotations() if a.crop_sha256}
    assert mentioned == crops(store)
    for sha in mentioned: assert hashlib.sha256(store.crop_file(sha).read_bytes()).hexdigest() == sha
    assert all(a.state == "confirmed" for _, a in store.annotations() if a.crop_sha256)


def test_only_a_person_confirms(store, shot):
    sha = store.add(shot)
    store.propose(sha, [Word(A, "Devices", "Battery", ml_name="Battery", ml_score=0.99)])
    (_, guess), = store.annotations()
    assert (guess.state, guess.name, guess.ml_name, guess.crop_sha256, guess.confirmed_at) == ("candidate", "", "Battery", "", "") and not crops(store)
    assert store.progress().boxes == 0


def test_a_guess_never_covers_what_a_person_did(store, shot):
    sha = store.add(shot)
    store.confirm(sha, A, "Devices", "Battery")
    store.draw(sha, [Word(B, "Devices", "")])
    passed = store.propose(sha, [Word(C, "Devices", ml_name="x")])[0]
    store.skip(sha, passed.id)
    moved = [Box(b.x + 3, b.y + 2, b.width, b.height) for b in (A, B, C)]
    assert store.propose(sha, [Word(b, "Engines", ml_name="y") for b in moved]) == []
    assert {a.state for _, a in store.annotations()} == {"confirmed", "pending", "skipped"}


def test_new_guesses_replace_old_ones(store, shot):
    sha = store.add(shot)
    store.propose(sha, [Word(A, "Devices", ml_name="x"), Word(B, "Devices", ml_name="x")])
    store.propose(sha, [Word(B, "Devices", ml_name="z")])
    assert [(a.bbox, a.ml_name) for _, a in store.annotations()] == [(B, "z")]


def test_a_guess_gives_way_to_a_word_in_its_place(store, shot):
    sha = store.add(shot)
    store.propose(sha, [Word(A, "Devices", ml_name="x"), Word(B, "Devices", ml_name="x")])
    store.confirm(sha, Box(A.x + 2, A.y, A.width, A.height), "Devices", "Battery")
    assert {(a.state, a.bbox.x) for _, a in store.annotations()} == {("confirmed", A.x + 2), ("candidate", B.x)}


def test_a_draft_is_exactly_the_page(store, shot, tmp_path):
    sha = store.add(shot)
    confirmed = store.confirm(sha, A, "Devices", "Battery")
    store.draw(sha, [Word(A, "Devices", "Renamed", replaces=confirmed.id), Word(B, "Engines", "half a na")])
    assert boxes(Store(tmp_path / "t")) == {("confirmed", "Devices", "Battery", A), ("pending", "Devices", "Renamed", A), ("pending", "Engines", "half a na", B)}
    assert [a.replaces for _, a in store.annotations(state="pending")] == [confirmed.id, ""]
    store.draw(sha, [Word(B, "Engines", "half a name")])
    assert boxes(store, "pending") == {("pending", "Engines", "half a name", B)}
    lines = (tmp_path / "t/annotations.journal.jsonl").read_bytes().count(b"\n")
    store.draw(sha, [Word(B, "Engines", "half a name")])
    assert (tmp_path / "t/annotations.journal.jsonl").read_bytes().count(b"\n") == lines, "the same page again writes nothing"
    assert store.undo() == ("confirmed Battery", (sha,)), "drafts are not in the history"


def test_a_page_is_one_act(store, shot, tmp_path):
    sha = store.add(shot)
    kept = store.confirm(sha, A, "Devices", "Battery", confirmed_at="2026-01-01T00:00:00Z")
    gone = store.confirm(sha, B, "Engines", "Drive")
    store.draw(sha, [Word(C, "Shield", "x")])
    before, lines = boxes(store), (tmp_path / "t/annotations.journal.jsonl").read_bytes().count(b"\n")
    done = store.submit(sha, [Word(A, "Devices", "Battery"), Word(C, "Shield", "Array")], "SPACE_EQ")
    assert done == (1, 1, 1) and (tmp_path / "t/annotations.journal.jsonl").read_bytes().count(b"\n") == lines + 1
    assert boxes(store) == {("confirmed", "Devices", "Battery", A), ("confirmed", "Shield", "Array", C)}
    assert kept.confirmed_at in {a.confirmed_at for _, a in store.annotations()} and gone.crop_sha256 not in crops(store)
    record = store.screenshots()[sha]
    assert record["done"] and record["screen_type"] == "SPACE_EQ" and (tmp_path / "t" / record["copy"]).is_file()
    require_whole(store)
    assert store.undo() == (f"page of {shot.name}", (sha,))
    record = store.screenshots()[sha]
    assert boxes(store) == before and not record["done"] and not record["screen_type"] and not list((tmp_path / "t/screen_types").rglob("*.png"))
    require_whole(store)
    store.redo()
    assert boxes(store) == {("confirmed", "Devices", "Battery", A), ("confirmed", "Shield", "Array", C)} and store.screenshots()[sha]["screen_type"] == "SPACE_EQ"
    require_whole(store)


def test_a_page_with_a_fault_changes_nothing(tmp_path, shot):
    store = Store(tmp_path / "t", Vocabulary.load())
    sha = store.add(shot)
    store.draw(sha, [Word(B, "Devices", "y")])
    before = boxes(store)
    for bad, error in ((Word(B, "Deflector", "No Such Thing"), VocabularyError), (Word(Box(390, 0, 46, 56), "Deflector", "Solanae Deflector Array"), BoxError),
                       (Word(B, "Ship Type", "U.S.S. Secret"), PrivacyError), (Word(B, "Ship Name", "Secret"), PrivacyError)):
        with pytest.raises(error): store.submit(sha, [Word(A, "Deflector", "Solanae Deflector Array"), bad])
    assert boxes(store) == before and not crops(store)


def test_guesses_that_nobody_looked_at_stay_and_the_page_is_not_done(store, shot):
    sha = store.add(shot)
    one, two, three = store.propose(sha, [Word(b, "Devices", ml_name="Battery", ml_score=0.7) for b in (A, B, C)])
    store.submit(sha, [Word(A, "Devices", "Battery", replaces=one.id)], skipped=[two.id])
    assert {(a.state, a.bbox) for _, a in store.annotations()} == {("confirmed", A), ("skipped", B), ("candidate", C)} and not store.screenshots()[sha]["done"]
    assert next(a for _, a in store.annotations(state="confirmed")).ml_name == "Battery", "what was read goes along"
    store.submit(sha, [Word(A, "Devices", "Battery"), Word(Box(C.x + 30, C.y, 46, 56), "Devices", "Other", replaces=three.id)])
    assert store.screenshots()[sha]["done"] and not store.annotations(state="candidate")


def test_change_keeps_the_rest(store, shot):
    sha = store.add(shot)
    old = store.confirm(sha, A, "Devices", "Battery", slot_index=3, ml_name="Batter", ml_score=0.5)
    new = store.change(sha, old.id, name="Deuterium Surplus")
    assert (new.slot, new.slot_index, new.bbox, new.ml_name, new.ml_score) == ("Devices", 3, A, "Batter", 0.5)
    moved = store.change(sha, new.id, bbox=Box(11, 20, 46, 56))
    assert [a.id for _, a in store.annotations()] == [moved.id] and moved.name == "Deuterium Surplus"
    require_whole(store)
    with pytest.raises(InputError, match="no annotation"): store.change(sha, old.id, name="x")


def test_cannot_tell_takes_name_and_crop(store, shot):
    sha = store.add(shot)
    note = store.confirm(sha, A, "Devices", "Battery")
    store.skip(sha, note.id)
    assert boxes(store) == {("skipped", "Devices", "", A)} and not crops(store)
    store.undo()
    assert boxes(store) == {("confirmed", "Devices", "Battery", A)}
    require_whole(store)


def test_nothing_here(store, shot):
    sha = store.add(shot)
    store.propose(sha, [Word(A, "Devices", ml_name="x")])
    store.set_nothing_here(sha)
    record = store.screenshots()[sha]
    assert record["nothing_here"] and record["done"] and not record["annotations"]
    store.confirm(sha, A, "Devices", "Battery")
    assert not store.screenshots()[sha]["nothing_here"]
    with pytest.raises(InputError, match="withdraw them"): store.set_nothing_here(sha)
    store.undo(), store.undo()
    assert boxes(store) == {("candidate", "Devices", "", A)} and not store.screenshots()[sha]["nothing_here"]


def test_many_at_one_stroke_are_one_undo(store, shot, tmp_path):
    Image.new("RGB", (300, 100), "teal").save(tmp_path / "flat.png")
    one, two = store.add(shot), store.add(tmp_path / "flat.png")
    words = [(sha, Word(b, "Devices", "Battery")) for sha, b in ((one, A), (two, A), (one, B))]
    assert [a.bbox for a in store.confirm_all(words)] == [A, A, B]
    require_whole(store)
    assert set(store.undo().screenshots) == {one, two} and not boxes(store) and not crops(store)
    store.redo()
    assert len(store.annotations(state="confirmed")) == 3
    require_whole(store)
    with pytest.raises(BoxError): store.confirm_all([(one, Word(C, "Devices", "x")), (two, Word(Box(290, 0, 40, 50), "Devices", "x"))])
    assert len(store.annotations()) == 3, "all of them or none"


def test_undo_and_redo_go_through_everything_and_back(store, shot):
    sha, rng, states = store.add(shot), np.random.default_rng(5), []
    def now(): return json.dumps([sorted(map(str, boxes(store))), store.screenshots()[sha]["screen_type"], sorted(crops(store))])
    for i in range(60):
        states.append(now())
        there, verb = store.annotations(state="confirmed"), rng.integers(6)
        if verb <= 2 or not there: store.confirm(sha, Box(int(rng.integers(340)), int(rng.integers(140)), 46, 56), ["Devices", "Engines", "Shield"][rng.integers(3)], f"Item {i}")
        elif verb == 3: store.withdraw(sha, there[0][1].id)
        elif verb == 4: store.set_screen_type(sha, ["SPACE_EQ", "SPACE_MIXED"][rng.integers(2)])
        else: store.change(sha, there[-1][1].id, name=f"Renamed {i}")
    last = now()
    for wanted in reversed(states):
        store.undo()
        assert now() == wanted
    assert store.undo() is None
    for _ in states: store.redo()
    assert now() == last and store.redo() is None
    require_whole(store)


def test_after_another_act_there_is_no_redo(store, shot):
    sha = store.add(shot)
    store.confirm(sha, A, "Devices", "One")
    store.undo()
    store.confirm(sha, A, "Devices", "Two")
    assert store.redo() is None


def test_another_program_is_not_undone_over_its_head(store, shot, tmp_path):
    sha = store.add(shot)
    note = store.confirm(sha, A, "Devices", "One")
    Store(tmp_path / "t").change(sha, note.id, name="Two")
    with pytest.raises(StoreError, match="another program has changed"): store.undo()
    assert boxes(store) == {("confirmed", "Devices", "Two", A)}
    require_whole(store)


def test_a_pasted_screenshot_survives(tmp_path, shot):
    data = shot.read_bytes()
    sha = Store(tmp_path / "t").add(data, "pasted.png")
    shot.unlink()
    store = Store(tmp_path / "t")
    note = store.confirm(sha, A, "Devices", "Battery")
    assert note.crop_sha256 == make_crop(cut_crop(store.image(sha), A)).sha256 and store.screenshots()[sha]["file"] == "pasted.png"
    store.set_screen_type(sha, "TRAITS")
    store.undo()
    assert Store(tmp_path / "t").image(sha).size == (400, 200)


def test_a_file_is_read_once(store, shot, tmp_path, monkeypatch):
    assert store.known(shot) is None
    sha = store.add(shot)
    monkeypatch.setattr("warp.data.store.open_image", lambda *_: 1 / 0)
    assert Store(tmp_path / "t").known(str(shot)) == sha and store.add_all([shot]).shas == [sha]
    Image.new("RGB", (300, 100), "teal").save(shot)
    assert store.known(shot) is None, "another picture under the same name"


def test_a_folder_with_broken_pictures(store, shot, tmp_path):
    (tmp_path / "deep/er").mkdir(parents=True)
    (tmp_path / "deep/er/half.JPG").write_bytes(shot.read_bytes()[:4000])
    Image.new("RGB", (300, 100), "teal").save(tmp_path / "deep/b.png")
    (tmp_path / "deep/notes.txt").write_text("no picture", encoding="utf-8")
    added = store.add_all(tmp_path)
    assert len(added.shas) == 2 and list(added.refused) == [str(tmp_path / "deep/er/half.JPG")] and "is damaged" in next(iter(added.refused.values()))
    with pytest.raises(InputError, match="no folder"): store.add_all(tmp_path / "nowhere")


def test_a_screenshot_that_moved_is_found_again_when_added_again(store, shot, tmp_path):
    sha = store.add(shot)
    there = shot.rename(tmp_path / "elsewhere.png")
    assert store.add(there) == sha
    assert Store(tmp_path / "t").image(sha).size == (400, 200) and store.screenshots()[sha]["file"] == "shot.png"


def test_nothing_of_a_ships_name_is_stored(store, shot, tmp_path):
    sha, secret = store.add(shot), "U.S.S. Secret"
    store.propose(sha, [Word(A, "Ship Name", ml_name=secret), Word(B, "Ship Type", ml_name=secret), Word(C, "Ship Name", name=secret)])
    for slot in ("Ship Name", "Ship Type"):
        with pytest.raises(PrivacyError): store.draw(sha, [Word(A, slot, secret)])
        with pytest.raises(PrivacyError): store.confirm(sha, A, slot, secret)
    with pytest.raises(PrivacyError): store.confirm(sha, A, "Ship Type", "Escort", ml_name=secret)
    store.confirm(sha, A, "Ship Name")
    named = Store(tmp_path / "t", Vocabulary.load())
    named.draw(sha, [Word(B, "Ship Type", "Grandma's Revenge")])
    assert [a.name for _, a in named.annotations(state="pending")] == [""], "a text that no vocabulary knows may be a name"
    store.close()
    everything = b"".join(p.read_bytes() for p in (tmp_path / "t").rglob("*") if p.is_file())
    assert b"Secret" not in everything and b"Revenge" not in everything


def test_progress_counts_today_by_this_machines_clock(store, shot):
    sha = store.add(shot)
    store.confirm(sha, A, "Devices", "Battery", confirmed_at="2020-01-01T00:00:00Z")
    store.confirm(sha, B, "Devices", "Battery")
    assert (store.progress().boxes, store.progress().today) == (2, 1)
    store.undo()
    assert (store.progress().boxes, store.progress().today, store.progress().left) == (1, 0, 1)
    store.set_done(sha)
    assert store.progress()[:2] == (1, 0) and str(store.progress()).startswith("1 of 1 screenshots done")


def test_times_are_written_in_one_form(store, shot):
    assert store.confirm(store.add(shot), A, "Devices", "Battery", confirmed_at="2026-03-23T14:00:00+00:00Z").confirmed_at == "2026-03-23T14:00:00Z"


def test_threads_take_turns(store, shot, tmp_path):
    "JupyterLab runs a click and a cell in two threads of one kernel."
    sha, interval = store.add(shot), sys.getswitchinterval()
    def said(first): return [store.confirm(sha, Box(x, first, 20, 30), "Devices", f"Item {x} {first}").id for x in range(0, 300, 5)]
    def looked(): return len(store.annotations(sha)), len(store.screenshots()), store.progress().boxes
    def looked_on(): return [looked() for _ in iter(lambda: all(task.done() for task in writing), True)]
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            writing = [pool.submit(said, y) for y in (10, 80)]
            reading = [pool.submit(looked_on) for _ in range(2)]
            ids = {i for task in writing for i in task.result()}
            for task in reading: task.result()
    finally: sys.setswitchinterval(interval)
    assert len(ids) == 120 == len(store.annotations()) == len(Store(tmp_path / "t").annotations()) and {a.id for _, a in store.annotations()} == ids


def test_a_type_takes_nothing_here_back_in_one_act(store, shot):
    sha = store.add(shot)
    store.set_nothing_here(sha)
    store.set_screen_type(sha, "TRAITS")
    assert not store.screenshots()[sha]["nothing_here"] and not store.screenshots()[sha]["done"]
    store.undo()
    assert store.screenshots()[sha]["nothing_here"] and store.screenshots()[sha]["done"] and not store.screenshots()[sha]["screen_type"]
