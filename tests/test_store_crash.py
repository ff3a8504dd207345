"""Kills processes that write to the store, at many moments, and looks at what is left: nothing acknowledged is lost, nothing is half there.

A child does one act after the other. Before an act it tells the parent what the touched screenshots will be like, after it that it is done. The parent kills it, reads everything
told so far, opens the folder and finds every screenshot as the last finished act left it, or as the one under way would have.
"""
import hashlib
import json
import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator
from itertools import count
from multiprocessing.connection import Connection, wait
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from warp import config
from warp.data import journal
from dying import die_at
from warp.data.store import Store, Word
from warp.errors import InputError
from warp.records import Box

# Children come from a server process, so that a kill costs milliseconds; where there is none, each starts anew and the test has fewer of them.
SERVER = "forkserver" in multiprocessing.get_all_start_methods()
START = multiprocessing.get_context("forkserver" if SERVER else "spawn")
if SERVER: START.set_forkserver_preload(["numpy", "PIL.Image", "pytest", "warp.data.store", "warp.release.update"])
CONFIRMATIONS = 1000
PAGES = 10  # screenshots, so that each stays short
DEAD = getattr(signal, "SIGKILL", signal.SIGTERM)
Page = dict[str, list]  # annotation id -> what is known of it


# what the child does

def page(store: Store, sha: str) -> Page:
    "A screenshot's annotations, to be compared."
    return {a.id: [a.slot, list(a.bbox), a.state, a.name, a.slot_index, a.crop_sha256] for _, a in store.annotations(sha)}


class Person:
    "Somebody who confirms, corrects, submits, skips, withdraws and takes back, told by a random generator; says beforehand what will come of it."

    def __init__(self, store: Store, seed: int):
        self.store, self.rng, self.seed, self.named = store, np.random.default_rng(seed), seed, 0
        self.shas = list(store.screenshots())
        self.past: list[tuple[str, Page]] = []  # screenshot and how it was before, newest last
        self.future: list[tuple[str, Page]] = []

    def free_box(self, sha: str) -> Box:
        "Somewhere on the grid where nothing is yet; boxes of the grid do not overlap."
        taken = {tuple(a.bbox) for _, a in self.store.annotations(sha)}
        cells = [box for x in range(0, 800, 10) for y in range(0, 400, 50) if (box := (x, y, 9, 40)) not in taken]
        return Box(*cells[int(self.rng.integers(len(cells)))])

    def new_name(self) -> str:
        self.named += 1
        return f"Item {self.seed}.{self.named}"

    def acts(self, only: str = "") -> Iterator[tuple[str, str, object]]:
        "Endlessly: kind, screenshot, and a confirmed annotation of it; `only` one kind, and a confirmation after each."
        kinds = ["confirm"] * 6 + ["correct", "withdraw", "submit", "submit", "skip", "undo", "undo", "redo", "change", "type", "close"]
        for turn in count():
            kind, sha = kinds[int(self.rng.integers(len(kinds)))], self.shas[int(self.rng.integers(len(self.shas)))]
            if only: kind = ("confirm", only)[(turn + (only != "undo")) % 2]
            notes = [a for _, a in self.store.annotations(sha, "confirmed")]
            if notes or kind not in ("correct", "withdraw", "skip", "change"): yield kind, sha, notes[int(self.rng.integers(len(notes)))] if notes else None

    # each returns what the page will be and how to make it so; crops are not known beforehand and stand as None

    def confirm(self, sha: str, _: object) -> tuple[Page, object]:
        box, name = self.free_box(sha), self.new_name()
        return page(self.store, sha) | {("new", *box): ["Devices", list(box), "confirmed", name, 0, None]}, lambda: self.store.confirm(sha, box, "Devices", name)

    def correct(self, sha: str, old: object) -> tuple[Page, object]:
        name, left = self.new_name(), {i: a for i, a in page(self.store, sha).items() if i != old.id}
        return left | {("new", *old.bbox): ["Hangars", list(old.bbox), "confirmed", name, 1, None]}, lambda: self.store.confirm(sha, old.bbox, "Hangars", name, 1)

    def change(self, sha: str, old: object) -> tuple[Page, object]:
        box, left = self.free_box(sha), {i: a for i, a in page(self.store, sha).items() if i != old.id}
        return left | {("new", *box): [old.slot, list(box), "confirmed", old.name, old.slot_index, None]}, lambda: self.store.change(sha, old.id, bbox=box)

    def withdraw(self, sha: str, old: object) -> tuple[Page, object]:
        return {i: a for i, a in page(self.store, sha).items() if i != old.id}, lambda: self.store.withdraw(sha, old.id)

    def skip(self, sha: str, old: object) -> tuple[Page, object]:
        return page(self.store, sha) | {old.id: [old.slot, list(old.bbox), "skipped", "", old.slot_index, ""]}, lambda: self.store.skip(sha, old.id)

    def submit(self, sha: str, _: object) -> tuple[Page, object]:
        "Five more, two fewer, in one act."
        now = page(self.store, sha)
        kept = [Word(a.bbox, a.slot, a.name, a.slot_index) for _, a in self.store.annotations(sha, "confirmed")][2:]
        words = [Word(box, "Devices", self.new_name(), i) for i, box in enumerate({self.free_box(sha) for _ in range(5)})]
        boxes = {tuple(word.bbox) for word in kept}
        will = {i: a for i, a in now.items() if a[2] == "skipped" or tuple(a[1]) in boxes}
        return will | {("new", *w.bbox): [w.slot, list(w.bbox), "confirmed", w.name, w.slot_index, None] for w in words}, lambda: self.store.submit(sha, [*kept, *words])

    def type(self, sha: str, _: object) -> tuple[Page, object]:
        kind = ("SPACE_EQ", "BOFFS", "TRAITS")[int(self.rng.integers(3))]
        return page(self.store, sha), lambda: self.store.set_screen_type(sha, kind)

    def close(self, sha: str, _: object) -> tuple[Page, object]: return page(self.store, sha), self.store.close

    def undo(self, *_: object) -> tuple[Page, object]: return self.past[-1][1] if self.past else {}, self.store.undo

    def redo(self, *_: object) -> tuple[Page, object]: return self.future[-1][1] if self.future else {}, self.store.redo


def same(found: Page, expected: Page) -> bool:
    "Whether a page is as it was said it would be; a new box's id and crop are not said beforehand."
    def plain(some: Page) -> list: return sorted(json.dumps([*a[:5], bool(a[5]) if a[5] is not None else a[2] == "confirmed"]) for a in some.values())
    return plain(found) == plain(expected)


def labour(person: Person, tell: Connection, most: int = 0, only: str = "") -> None:
    "One act after the other, told before and after."
    for done, (kind, sha, one) in enumerate(person.acts(only)):
        if most and done >= most: break
        before, history = page(person.store, sha), {"undo": person.past, "redo": person.future}.get(kind)
        if history is not None:
            if not history: continue
            sha = history[-1][0]
            before = page(person.store, sha)
        will, act = getattr(person, kind)(sha, one)
        tell.send_bytes(json.dumps([kind, sha, list(will.values())]).encode())
        act()
        found = page(person.store, sha)
        assert same(found, will), (kind, will, found)  # while it lives it does what it said
        tell.send_bytes(json.dumps(["done", sha, list(found.values())]).encode())
        if history is not None: (person.future if kind == "undo" else person.past).append((history.pop()[0], before))
        elif kind != "close":
            person.past.append((sha, before))
            person.future.clear()


def child(tell: Connection, folder: Path, seed: int, lines: int, step: int = 0, line: int = 0, most: int = 0, only: str = "") -> None:
    "Does acts until it is killed, or kills itself: before the `step`-th change to a file, or at the `line`-th line of the store's own code."
    be_quick(lines)
    store = Store(folder)
    if step: die_at(step, folder)
    if line: die_at_line(line)
    labour(Person(store, seed), tell, most, only)
    tell.send_bytes(json.dumps(["end", "", []]).encode())


def be_quick(lines: int) -> None:
    "Folds the journal in often. Flushes nothing: a kill loses nothing that the system was given; what a power cut may lose is watched in a test of its own."
    journal.MAX_JOURNAL_LINES, os.fsync = lines, lambda fd: None


def die_at_line(line: int) -> None:
    "From here on, the process ends before the `line`-th line that it runs in the modules that write; what only counts in memory is passed over."
    left = [line]

    def of_interest(code: object) -> bool:
        return code.co_filename in (journal.__file__, config.__file__) and not code.co_qualname.startswith(("State.", "apply"))

    def local(frame: object, event: str, _: object) -> object:
        left[0] -= event == "line"
        if left[0] <= 0:
            os.kill(os.getpid(), DEAD)
            os._exit(9)
        return local
    sys.settrace(lambda frame, event, _: local if of_interest(frame.f_code) else None)


# what the parent sees

class Known:
    "What was told, and what may therefore be in the folder."

    def __init__(self, folder: Path):
        self.folder, self.pages, self.under_way, self.kinds, self.confirmed = folder, {}, None, [], 0

    def start(self, **how: object) -> tuple[object, Connection]:
        ear, mouth = START.Pipe(duplex=False)
        process = START.Process(target=child, args=(mouth, self.folder), kwargs=how, daemon=True)
        process.start()
        mouth.close()
        return process, ear

    def hear(self, ear: Connection) -> str:
        "The next thing told; empty at the end."
        assert ear.poll(60), "nothing was heard for a minute"
        try: kind, sha, notes = json.loads(ear.recv_bytes())
        except (EOFError, OSError): return ""
        if kind == "end": return ""
        if kind == "done":
            self.pages[sha] = notes
            self.confirmed += self.under_way[0] in ("confirm", "correct", "change") or 5 * (self.under_way[0] == "submit")
            self.under_way = None
        else:
            self.under_way = (kind, sha, notes)
            self.kinds.append(kind)
        return kind

    def check(self) -> None:
        "Opens the folder as the next program will."
        for name in ("annotations.json", "annotations.journal.jsonl"):
            text = (self.folder / name).read_text(encoding="utf-8") if (self.folder / name).exists() else ""
            if name.endswith("l"): [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
            elif text: json.loads(text)
        store = Store(self.folder)
        for sha in store.screenshots():
            found, told = page(store, sha), self.pages.get(sha, [])
            may = [told] + ([self.under_way[2]] if self.under_way and self.under_way[1] == sha else [])
            assert any(same(found, dict(enumerate(one))) for one in may), f"{self.under_way and self.under_way[0]}: neither as before nor as after"
            self.pages[sha] = list(found.values())
        self.under_way = None
        require_whole(store)


def require_whole(store: Store) -> None:
    "Every confirmed record has its crop and the crop is what it is called; no id is there twice."
    for file in store.crop_file("x").parent.glob("*.png"): assert hashlib.sha256(file.read_bytes()).hexdigest() == file.stem, "a half-written crop under its final name"
    for sha, record in store.screenshots().items():
        ids = [a["id"] for a in record["annotations"]]
        assert len(ids) == len(set(ids))
        if record["screen_type"]: assert (store.folder / record["copy"]).is_file() and store.image(sha)
    for _, a in store.annotations():
        assert bool(a.crop_sha256) == (a.state == "confirmed")
        if a.crop_sha256: assert store.crop_file(a.crop_sha256).is_file()


def require_tidy(store: Store) -> None:
    "After closing there is nothing but what the records name."
    store.close()
    assert {p.stem for p in store.crop_file("x").parent.iterdir()} == {a.crop_sha256 for _, a in store.annotations()} - {""}
    assert (store.folder / "annotations.journal.jsonl").read_bytes() == b""


@pytest.fixture
def folder(tmp_path) -> Path:
    "A store with some screenshots of noise: every box shows something else."
    store = Store(tmp_path / "training_data")
    for i in range(PAGES):
        Image.fromarray(np.random.default_rng(i).integers(0, 255, (400, 800, 3), dtype=np.uint8)).save(tmp_path / f"{i}.bmp")  # quick to read
        store.add(tmp_path / f"{i}.bmp")
    return tmp_path / "training_data"


def test_killed_at_random_moments_of_a_thousand_confirmations(folder):
    known, rng, kills = Known(folder), np.random.default_rng(11), 0
    while known.confirmed < CONFIRMATIONS:
        process, ear = known.start(seed=kills, lines=int(rng.choice([3, 17, 1000])))
        for _ in range(int(rng.integers(1, 120 if SERVER else 400))): assert known.hear(ear), "the child died of itself"
        process.kill()
        while known.hear(ear): pass
        process.join()
        assert process.exitcode == -DEAD or os.name == "nt"
        known.check()
        kills += 1
    assert set(known.kinds) >= {"confirm", "correct", "withdraw", "submit", "skip", "undo", "redo", "change", "type", "close"}
    require_tidy(Store(folder))
    known.check()


@pytest.mark.parametrize("only", ["confirm", "submit", "withdraw", "undo", "type", "close", ""])
def test_killed_before_each_change_to_a_file(folder, only):
    if not SERVER and only not in ("submit", ""): pytest.skip("starting a process anew for each step takes too long here")
    known = Known(folder)
    process, ear = known.start(seed=1, lines=1000, most=12)
    while known.hear(ear): pass
    process.join()
    for step in range(1, {"submit": 26, "": 26}.get(only, 15) if SERVER else 8):
        process, ear = known.start(seed=100 + step, lines=2, step=step, most=30, only=only)
        while known.hear(ear): pass
        process.join()
        assert process.exitcode, "the step was never reached"
        known.check()
    require_tidy(Store(folder))


def test_killed_before_each_line_of_the_code(folder):
    "Every line of a confirmation that also folds the journal in, then lines here and there of everything else."
    known, rng = Known(folder), np.random.default_rng(5)
    every = [("confirm", line) for line in range(1, 121)] if SERVER else []
    for i, (only, line) in enumerate([*every, *(("", int(line)) for line in rng.integers(1, 2000, 20 if SERVER else 8))]):
        process, ear = known.start(seed=500 + i, lines=0, line=line, only=only)
        while known.hear(ear): pass
        process.join()
        assert process.exitcode
        known.check()
    require_tidy(Store(folder))


def test_a_line_torn_at_any_byte_was_never_said(folder):
    store = Store(folder)
    sha = next(iter(store.screenshots()))
    store.confirm(sha, Box(0, 0, 40, 50), "Devices", "Kept")
    file = folder / "annotations.journal.jsonl"
    whole = file.read_bytes()
    store.submit(sha, [Word(Box(0, 0, 40, 50), "Devices", "Kept"), Word(Box(100, 0, 40, 50), "Devices", "Jülich ∞", 1)])
    line = file.read_bytes()[len(whole):]
    for cut in range(len(line) - 1):
        file.write_bytes(whole + line[:cut])
        assert [a.name for _, a in Store(folder).annotations()] == ["Kept"]
    other = Store(folder)
    other.confirm(sha, Box(200, 0, 40, 50), "Devices", "Later")
    assert [a.name for _, a in Store(folder).annotations()] == ["Kept", "Later"], "the torn line is gone, and what followed is there"
    require_whole(other)


def one_of_two(tell: Connection, folder: Path, serial: str, most: int) -> None:
    "Confirms on the same screenshots as the other, in columns of its own; takes some words back, in both ways."
    be_quick(lines=20)
    store, mine = Store(folder), []
    shas = list(store.screenshots())

    def told(name: str, act: object) -> object:
        tell.send_bytes(json.dumps(["will", name]).encode())
        done = act()
        tell.send_bytes(json.dumps(["done", name]).encode())
        return done

    for i in range(most):
        sha, box, name = shas[i % len(shas)], Box(20 * (i // 8) + 10 * (serial == "B"), 50 * (i % 8), 9, 40), f"{serial}{i}"
        note = told(f"+{name}", lambda: store.confirm(sha, box, "Devices", name))  # noqa: B023  # called at once
        if i % 7 == 6: assert told(f"-{name}", store.undo).screenshots == (sha,)
        else: mine.append((sha, note))
        if i % 5 == 4:
            sha, note = mine.pop(0)
            told(f"-{note.name}", lambda: store.withdraw(sha, note.id))  # noqa: B023


@pytest.mark.parametrize("killed", [False, True])
def test_two_programs_in_one_folder(folder, killed):
    "Hundreds of acts each; in the second round one of them is killed half-way."
    most, there, under_way = 200, set(), {}
    pairs = [START.Pipe(duplex=False) for _ in "AB"]
    people = {ear: START.Process(target=one_of_two, args=(mouth, folder, serial, most), daemon=True) for serial, (ear, mouth) in zip("AB", pairs, strict=True)}
    for process in people.values(): process.start()
    for _, mouth in pairs: mouth.close()
    ears, acts, victim = list(people), 0, pairs[1][0]
    while ears:
        for ear in wait(ears, timeout=60) or pytest.fail("nothing was heard for a minute"):
            try: kind, act = json.loads(ear.recv_bytes())
            except (EOFError, OSError): ears.remove(ear)
            else:
                under_way[ear] = act if kind == "will" else ""
                if kind == "done": (there.add if act[0] == "+" else there.discard)(act[1:])
                acts += kind == "done"
                if killed and acts == 150: people[victim].kill()
    for process in people.values(): process.join()
    assert [people[ear].exitcode for ear, _ in pairs][:1 if killed else 2] == [0] * (1 if killed else 2)
    store, perhaps = Store(folder), {act[1:] for act in under_way.values() if act}
    names = [a.name for _, a in store.annotations()]
    assert len(names) == len(set(names)) and there - perhaps <= set(names) <= there | perhaps and len(perhaps) <= killed
    require_whole(store)
    require_tidy(store)


def test_what_is_acknowledged_is_on_the_disk_not_only_on_its_way(folder, monkeypatch):
    "A kill cannot show it, a power cut would: crop and line are flushed, in this order, before the act returns."
    flushed, fsync = [], os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (flushed.append((os.fstat(fd).st_ino, os.fstat(fd).st_size)), fsync(fd))[1])
    store = Store(folder)
    sha = next(iter(store.screenshots()))

    def state(file: Path) -> tuple[int, int]: return file.stat().st_ino, file.stat().st_size
    note = store.confirm(sha, Box(0, 0, 40, 50), "Devices", "Kept")
    line = folder / "annotations.journal.jsonl"
    assert flushed == [state(store.crop_file(note.crop_sha256)), state(line)]
    for act in (lambda: store.skip(sha, note.id), store.undo, store.redo, lambda: store.withdraw(sha, note.id), lambda: store.set_done(sha)):
        act()
        assert flushed[-1] == state(line)
    store.close()
    assert flushed[-2:] == [state(folder / "annotations.json"), state(line)]


def test_an_act_of_the_dead_cannot_be_undone_and_the_next_program_says_so(folder):
    known = Known(folder)
    process, ear = known.start(seed=3, lines=1000, most=5, only="confirm")
    while known.hear(ear): pass
    process.join()
    store = Store(folder)
    assert store.undo() is None and len(store.annotations()) == 5
    sha, note = store.annotations()[0]
    Store(folder).withdraw(sha, note.id)
    with pytest.raises(InputError, match="withdrawn already"): store.withdraw(sha, note.id)
