"""A training data folder as years of use leave it: one case for each way in which such a folder can be broken, and what must become of it.

`RECORDS` are cases that can share one folder, `FOLDERS` are those that spoil a folder as a whole. Each is data: its name, what is broken, how many boxes come to what, which notes
the report must hold, and everything that the store holds afterwards. Used by test_clients; has no tests of its own.
"""
import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from warp.data.crops import cut_crop
from warp.data.store import Store
from warp.records import Box

WRITTEN_AT = 1_775_000_000  # 2026-03-31, when the old client last wrote
DEFLECTOR, OTHER, SHIELD, DEVICE = "Advanced Graviton Deflector Array", "Advanced Neutrino Deflector Array", "Aegis Covariant Shield Array", "Advanced Battery - Hull Patch"
LONG = "Counter-Command Hyper Injection Warp Core"  # 41 characters: one name of the slot begins with its first 40
AMBIGUOUS = "Lukari Restoration Initiative Reinforced"  # 40 characters, with which two names begin
SECRET = "U.S.S. Quendelin"  # the ship's own name, wherever a client should not have put it
CAPTAIN = "Tharbadine"  # a name without a registry
TYPE = "Fleet Guardian Cruiser"


class Case(NamedTuple):
    "One broken thing."
    name: str
    broken: str  # what is wrong with it
    build: Callable[["Dirty"], None]
    boxes: str = ""  # what becomes of its boxes, such as "1 mended 2 refused"
    notes: tuple[tuple[str, str], ...] = ()  # (outcome, part of the reason) of every note on its records
    stored: tuple[tuple[str, str, str], ...] = ()  # (state, slot, name) of everything that is in the store afterwards
    types: str = "1 taken"  # what becomes of its screen types
    loose: str = ""  # what becomes of loose crops
    remarks: tuple[str, ...] = ()  # parts of what is said about files

    def counts(self, what: str = "boxes") -> Counter:
        words = getattr(self, what).replace("already there", "already_there").split()
        return Counter({o.replace("_", " "): int(n) for n, o in zip(words[::2], words[1::2], strict=True)})


def picture(seed: int, size: tuple[int, int] = (480, 300)) -> Image.Image:
    "A screenshot of which no two places look alike."
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 255, (size[1] // 12, size[0] // 12, 3), dtype=np.uint8)).resize(size, Image.Resampling.BICUBIC)


def png(img: Image.Image, level: int = 6) -> bytes:
    out = BytesIO()
    img.save(out, "PNG", compress_level=level)
    return out.getvalue()


def ann_id(box: list, slot: str) -> str: return hashlib.md5("_".join(map(str, [*box, slot])).encode()).hexdigest()[:12]


class Dirty:
    "An old folder in the making. The case at hand gives all names their beginning, so that cases do not meet."

    def __init__(self, folder: Path) -> None:
        self.folder, self.case, self.seed, self.number = folder, "", 0, 0
        self.annotations: dict[str, Any] = {}
        self.index: dict[str, dict] = {}
        self.json_types: dict[str, str] = {}
        self.confirmed: dict[str, str] | None = None
        self.pictures: dict[str, Image.Image] = {}
        self.raw: dict[str, bytes] = {}  # files that are written as they are

    def shot(self, name: str = "shot.png", kind: str = "SPACE_EQ", size: tuple[int, int] = (480, 300), like: Image.Image | None = None, level: int = 6) -> Image.Image:
        "A screenshot; filed under `kind`, unless that is empty."
        self.seed += 1
        img = like or picture(self.seed, size)
        self.pictures[self.key(name)] = img
        if kind: self.put(f"screen_types/{kind}/{self.key(name)}", png(img, level))
        return img

    def place(self, number: int) -> list[int]:
        "The box of the n-th icon; every case has its own places, as ids are made of boxes alone."
        dx, dy = self.number % 10, self.number // 10
        return [10 + dx + 60 * (number % 7), 10 + dy + 70 * (number // 7), 46, 56]

    def key(self, name: str = "shot.png") -> str: return f"{self.case} {name}"

    def put(self, path: str, data: bytes) -> None:
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        os.utime(file, (WRITTEN_AT, WRITTEN_AT))

    def record(self, slot: Any = "Deflector", name: Any = DEFLECTOR, box: Any = None, key: str = "shot.png", crop: Image.Image | None = None, **fields: Any) -> dict:
        "A record of the first client, with its crop when an image to cut from is given. A field that is None is left out."
        box = self.place(0) if box is None else self.place(box) if isinstance(box, int) else box
        record = {"bbox": box, "slot": slot, "name": name, "state": "confirmed", "ann_id": ann_id(box, slot) if isinstance(box, list) else "", "ml_conf": 0.5, "ml_name": "", **fields}
        self.annotations.setdefault(self.key(key), []).append({k: v for k, v in record.items() if v is not None})
        if crop: self.crop(crop, box, slot, name)
        return record

    def crop(self, img: Image.Image, box: list, slot: str, name: str, **entry: Any) -> str:
        x, y, width, height = box
        file = f"{slot}__{name[:40]}__{ann_id(box, slot)}.png".lower().replace(" ", "_")
        self.put(f"crops/{file}", png(img.crop((x, y, x + width, y + height))))
        self.index[file] = {"slot": slot, "name": name, "state": "confirmed", "source": "user"} | entry
        return file

    def write(self) -> Path:
        if self.annotations: self.put("annotations.json", json.dumps(self.annotations).encode())
        if self.index: self.put("crops/crop_index.json", json.dumps(self.index).encode())
        if self.json_types: self.put("screen_types.json", json.dumps(self.json_types).encode())
        if self.confirmed is not None: self.put("screen_types_user_confirmed.json", json.dumps(self.confirmed).encode())
        for path, data in self.raw.items(): self.put(path, data)
        return self.folder


def build(folder: Path, *cases: "Case") -> Path:
    "A folder with these cases in it."
    dirty = Dirty(folder)
    for case in cases:
        dirty.case, dirty.number = case.name, dirty.number + 1
        case.build(dirty)
    return dirty.write()


# one record with one thing wrong

def one(*args: Any, cropped: bool = False, size: tuple[int, int] = (480, 300), **fields: Any) -> Callable[[Dirty], None]:
    "A screenshot with one record."
    def build_one(d: Dirty) -> None:
        img = d.shot(size=size)
        d.record(*args, crop=img if cropped else None, **fields)
    return build_one


def stored(slot: str = "Deflector", name: str = DEFLECTOR, state: str = "confirmed") -> tuple[tuple[str, str, str], ...]: return ((state, slot, name),)


def refused(why: str) -> dict: return {"boxes": "1 refused", "notes": (("refused", why),)}


def mended(why: str, *kept: str) -> dict: return {"boxes": "1 mended", "notes": (("mended", why),), "stored": stored(*kept)}


def two_of_one_name(d: Dirty, crops: bool = True) -> None:
    for kind, name, number in (("SPACE_EQ", DEFLECTOR, 0), ("TRAITS", OTHER, 1)):
        img = d.shot(kind=kind)
        d.record(name=name, box=number, crop=img if crops else None)


def two_alike(d: Dirty) -> None:
    first = d.shot(kind="SPACE_EQ")
    second = first.copy()
    second.paste("navy", (200, 100, 480, 300))  # the same panel, and another one beside it
    d.shot(kind="TRAITS", like=second)
    d.record(crop=first)


def wrong_crop(d: Dirty) -> None:
    d.shot()
    d.record(crop=picture(900))


def gone(d: Dirty, crop: bool = True, slot: str = "Deflector", name: str = DEFLECTOR) -> None: d.record(slot, name, crop=picture(901) if crop else None)


def gone_and_renamed(d: Dirty) -> None:
    d.record(name=OTHER)
    d.crop(picture(902), d.place(0), "Deflector", DEFLECTOR)


def ids_meet(d: Dirty) -> None:
    "An id ignores the screenshot, so the crop of the second took the place of the first's."
    for name in ("one.png", "two.png"): d.record(key=name, crop=d.shot(name))


def leaked_name_crop(d: Dirty) -> None:
    img = d.shot()
    d.record("Ship Name", SECRET, crop=img, ml_name=SECRET)


def accepted_by_program(d: Dirty) -> None:
    img = d.shot()
    d.record(ml_name=DEFLECTOR)
    d.crop(img, d.place(0), "Deflector", DEFLECTOR, source="auto")


def twice(d: Dirty, *words: tuple, **fields: Any) -> None:
    d.shot()
    for slot, name, box in words: d.record(slot, name, box, **fields)


def unreadable(d: Dirty, crop: bool) -> None:
    d.put(f"screen_types/SPACE_EQ/{d.key()}", png(picture(903))[:500])
    d.record(crop=picture(903) if crop else None)


def by_hash(d: Dirty, sha: str, *records: dict, name: str = "shot.png") -> None:
    d.annotations[sha[:16]] = {"filename": d.key(name), "image_sha256": sha, "annotations": list(records)}


def changed(d: Dirty, same_pixels: bool, crops: bool) -> None:
    "The successor's client knew the file by its hash, and the file was written anew since."
    d.seed += 1
    before = picture(d.seed)
    d.shot(like=before if same_pixels else picture(1000 + d.number))
    records = [{"bbox": d.place(n), "slot": slot, "name": name, "state": "confirmed", "ann_id": ann_id(d.place(n), slot)} for n, slot, name in ((0, "Deflector", DEFLECTOR), (1, "Ship Name", ""))]
    if crops: d.crop(before, d.place(0), "Deflector", DEFLECTOR)
    by_hash(d, hashlib.sha256(png(before, 1)).hexdigest(), *records)


def two_types(d: Dirty, listed: bool) -> None:
    img = d.shot(kind="TRAITS")
    d.shot(kind="BOFFS", like=img)
    if listed: d.json_types[d.key()] = "BOFFS"
    d.record("Starship Traits", "Emergency Weapon Cycle")


def type_says(kind: str) -> Callable[[Dirty], None]:
    def build_type(d: Dirty) -> None:
        d.shot(kind=kind)
        d.record()
    return build_type


def only_listed(d: Dirty) -> None:
    img = d.shot(kind="")
    d.put(f"screenshots/{d.key()}", png(img))
    d.json_types[d.key()] = "SPACE_EQ"
    d.record()


RECORDS: list[Case] = [
    Case("same name", "two screenshots of one file name share a list; the crops tell them apart", two_of_one_name, "2 mended", (("mended", "the kept crop tells"),) * 2,
         stored() + stored(name=OTHER), "2 taken"),
    Case("same name, no crops", "two screenshots of one file name, and nothing tells them apart", lambda d: two_of_one_name(d, crops=False), "2 refused",
         (("refused", "no crop tells which is meant"),) * 2, types="2 taken"),
    Case("same name, same pixels", "two screenshots of one file name that look the same under the box", two_alike, **refused("several pictures of this file name show"), types="2 taken"),
    Case("wrong crop", "the crop shows something else than the box", wrong_crop, **refused("the crop that was kept shows something else")),
    Case("ids meet", "two screenshots with the same box: the second crop took the first's place", ids_meet, "1 taken 1 refused", (("refused", "shows something else"),), stored(), "2 taken"),
    Case("gone, crop left", "the screenshot is gone, its crop is not", gone, **mended("its crop is kept as a picture of its own"), types=""),
    Case("gone, no crop", "screenshot and crop are gone", lambda d: gone(d, crop=False), **refused("the screenshot is gone, and no crop was kept"), types=""),
    Case("gone, other name", "the screenshot is gone, and the crop was filed under another name", gone_and_renamed, **refused("filed under another name"), types=""),
    Case("gone, own name as type", "the screenshot is gone, and the crop of its type carries the ship's own name", lambda d: gone(d, slot="Ship Type", name=SECRET), **refused("own name"), types=""),
    Case("unreadable, crop left", "the screenshot's file is torn, the crop is whole", lambda d: unreadable(d, crop=True), "1 mended",
         (("mended", "cannot be read; its crop is kept as a picture of its own"), ("refused", "the picture cannot be read")), stored(), "1 refused"),
    Case("unreadable, no crop", "the screenshot's file is torn, and there is no crop", lambda d: unreadable(d, crop=False), "1 refused",
         (("refused", "cannot be read, and no crop was kept"), ("refused", "the picture cannot be read")), types="1 refused"),
    Case("box over the edge", "a box two pixels outside", one(box=[-2, 10, 46, 56]), **mended("clipped")),
    Case("box outside", "a box far outside", one(box=[470, 10, 46, 56]), **refused("lies outside")),
    Case("box of no width", "a box without area", one(box=[10, 10, 0, 56]), **refused("has no area")),
    Case("box of negative height", "a box upside down", one(box=[10, 60, 46, -56]), **refused("has no area")),
    Case("box with fractions", "a box with fractions", one(box=[10.2, 9.8, 46.0, 56.4]), **mended("four whole numbers")),
    Case("box as text", "a box as text", one(box="10,10,46,56"), **mended("four whole numbers")),
    Case("box with names", "a box with named numbers", one(box={"x": 10, "y": 10, "w": 46, "h": 56}), **mended("four whole numbers")),
    Case("box of three", "a box of three numbers", one(box=[10, 10, 46]), **refused("not four numbers")),
    Case("box of nothing", "a box that is no number", one(box=[10, 10, float("nan"), 56]), **refused("not four numbers")),
    Case("no box", "a record without a box", one(bbox=None), **refused("not four numbers")),
    Case("older slot", "an older spelling of the slot", one("Secondary Deflector", "Deteriorating Secondary Deflector"), **mended("older spelling", "Sec-Def", "Deteriorating Secondary Deflector")),
    Case("slot in small letters", "a slot as file names have it", one("warp_core", LONG), **mended("older spelling", "Warp Core", LONG)),
    Case("unknown slot", "a slot that the game does not have", one("Boff Operations", "Beam Array: Overload"), **refused("no such slot")),
    Case("no slot", "a record without a slot", one(None), **refused("names no slot")),
    Case("cut name", "a name cut at 40 characters that one name begins with", one("Warp Core", LONG[:40]), **mended("cut at 40 characters", "Warp Core", LONG)),
    Case("ambiguous cut", "a name cut at 40 characters that two names begin with", one("Warp Core", AMBIGUOUS), **refused("cut at 40 characters, and several begin so")),
    Case("letter case", "a name that differs in case only", one(name=DEFLECTOR.upper()), **mended("upper and lower case")),
    Case("stray blanks", "a name with blanks around and within", one(name=f" {DEFLECTOR.replace(' ', '  ')} "), **mended("upper and lower case or blanks")),
    Case("qualifier", "a qualifier in brackets that no item has", one(name=f"{DEFLECTOR} (Ground)"), **mended("a qualifier")),
    Case("kept qualifier", "a qualifier that is part of the name", one("Boff Science", "Stasis Beam (23c.)"), "1 taken", (), stored("Boff Science", "Stasis Beam (23c.)")),
    Case("unknown name", "a name that is near another", one(name="Advanced Gravitron Deflector"), **refused("no such name")),
    Case("test name", "a developer's label", one(name="Test Item Name"), **refused("no such name")),
    Case("name of another slot", "a shield as deflector", one(name=SHIELD), **refused("no such name")),
    Case("no name", "confirmed without a name", one(name=""), **refused("without a name")),
    Case("name is a number", "a name that is no text", one(name=42), **refused("without a name")),
    Case("text of ship name", "a Ship Name with its text, in name and reading, and as a crop", leaked_name_crop, **mended("the text of Ship Name is dropped", "Ship Name", "")),
    Case("own name as type", "the ship's own name as Ship Type", one("Ship Type", SECRET, cropped=True), **refused("looks like a ship's own name")),
    Case("own name read", "a Ship Type whose line was read as the ship's own name", one("Ship Type", TYPE, ml_name=SECRET), **refused("looks like a ship's own name")),
    Case("name without registry read", "a Ship Type whose line was read as something else altogether", one("Ship Type", TYPE, ml_name=CAPTAIN), **refused("nothing like what was confirmed")),
    Case("name without registry as type", "a captain's name as Ship Type", one("Ship Type", CAPTAIN), **refused("looks like a ship's own name")),
    Case("type and tier", "Ship Type and Ship Tier with one box", lambda d: twice(d, ("Ship Type", TYPE, 0), ("Ship Tier", "T6", 0)), "2 refused", (("refused", "the same box"),) * 2),
    Case("candidate", "a guess of a program", one(state="candidate", name="", ml_name=DEFLECTOR), "1 taken", (), stored(state="candidate")),
    Case("unknown guess", "a guess that the slot does not know", one(state="candidate", name="", ml_name="Thing"), **mended("the box is kept without it", "Deflector", "", "candidate")),
    Case("pending", "a drawing", one(state="pending"), "1 taken", (), stored(state="pending")),
    Case("skipped", "passed over", one(state="skipped", name=""), "1 taken", (), stored(name="", state="skipped")),
    Case("unknown state", "a state that does not exist", one(state="reviewed"), **refused("the state is none")),
    Case("accepted by a program", "confirmed by nobody: the index says auto", accepted_by_program, **mended("a program had accepted it", "Deflector", DEFLECTOR, "candidate")),
    Case("no state, no time", "nothing tells that it was confirmed", one(state=None), **mended("so it is a drawing", "Deflector", DEFLECTOR, "pending")),
    Case("said twice", "the same record twice", lambda d: twice(d, *[("Deflector", DEFLECTOR, 0)] * 2), "1 taken 1 already_there", (("already there", "said twice"),), stored()),
    Case("two names", "one box and slot with two names", lambda d: twice(d, ("Deflector", DEFLECTOR, 0), ("Deflector", OTHER, 0)), "1 taken 1 refused",
         (("refused", "a later record"),), stored(name=OTHER)),
    Case("two slots", "one box with two slots", lambda d: twice(d, ("Devices", DEVICE, 0), ("Deflector", DEFLECTOR, 0)), "1 taken 1 refused", (("refused", "a later record"),), stored()),
    Case("two deflectors", "two boxes for a slot with one place", lambda d: twice(d, ("Deflector", DEFLECTOR, 0), ("Deflector", OTHER, 1)), "1 taken 1 refused",
         (("refused", "a later record"),), stored(name=OTHER)),
    Case("time ahead", "confirmed in the year 2099", one(confirmed_at="2099-01-01T00:00:00Z"), **mended("the time of confirmation")),
    Case("time is none", "a time that is none", one(confirmed_at="yesterday"), **mended("the time of confirmation")),
    Case("changed, proven", "the file was written anew; its crop proves that it is the same picture", lambda d: changed(d, True, True), "2 mended", (("mended", "written anew"),) * 2,
         stored() + stored("Ship Name", "")),
    Case("changed, other picture", "another picture in the file's place; the crop is left", lambda d: changed(d, False, True), "1 mended 1 refused",
         (("mended", "its crop is kept as a picture"), ("refused", "has changed since, and no crop")), stored()),
    Case("changed, no crop", "another picture in the file's place, and no crop", lambda d: changed(d, False, False), "2 refused", (("refused", "has changed since, and no crop"),) * 2),
    Case("no record", "a text where a record should be", lambda d: (d.shot(), d.annotations.update({d.key(): ["what"]})), **refused("there is no record")),
    Case("no list", "a number where a list should be", lambda d: (d.shot(), d.annotations.update({d.key(): 7})), **refused("there is no record")),
    Case("older type", "an older name of the screen type", type_says("SPACE"), "1 taken", (("mended", "older name of the screen type"),), stored(), "1 mended"),
    Case("no type", "a screenshot whose type nobody knew", type_says("UNKNOWN"), "1 taken", (("mended", "taken without one"),), stored(), "1 mended"),
    Case("no such type", "a type that never was", type_says("INVENTORY"), "1 taken", (("refused", "no such screen type"),), stored(), "1 refused"),
    Case("two types", "one picture under two types", lambda d: two_types(d, listed=False), "1 taken", (("refused", "choose one at the desk"),) * 2, stored("Starship Traits", "Emergency Weapon Cycle"), "2 refused"),
    Case("two types, listed", "one picture under two types, and the list names one", lambda d: two_types(d, listed=True), "1 taken", (("refused", "the client's list names the other"),),
         stored("Starship Traits", "Emergency Weapon Cycle"), "1 taken 1 refused"),
    Case("guessed type", "a type that only a program gave", only_listed, "1 taken", (("mended", "no person confirmed this type"),), stored(), "1 mended"),
    Case("virtual name", "an empty place, which is a class like any other", one("Devices", "__empty__"), "1 taken", (), stored("Devices", "__empty__")),
]


# a whole folder spoiled

def some(d: Dirty, count: int = 3, crops: bool = True) -> Image.Image:
    img = d.shot()
    for n, (slot, name) in enumerate([("Deflector", DEFLECTOR), ("Shield", SHIELD), ("Devices", DEVICE)][:count]): d.record(slot, name, n, crop=img if crops else None)
    return img


THREE = stored() + stored("Shield", SHIELD) + stored("Devices", DEVICE)


def as_text(d: Dirty, coding: str, name: str = "Überzug") -> None:
    some(d)
    d.record("Devices", name, 4)
    d.raw["annotations.json"] = json.dumps(d.annotations, ensure_ascii=False).encode(coding)


def torn(d: Dirty, keep: float) -> None:
    some(d)
    text = json.dumps(d.annotations)
    d.raw["annotations.json"] = text[:int(len(text) * keep)].encode()


def nonsense(d: Dirty) -> None:
    img = some(d)
    d.crop(img, d.place(5), "Ship Type", SECRET)
    d.put(f"crops/{'ab' * 32}.png", png(picture(905).crop((0, 0, 64, 64))))
    d.put(f"crops/{'cd' * 32}.png", png(picture(905).crop((0, 0, 200, 20))))
    d.raw["annotations.json"] = b"\x00\x01 not at all"


def no_annotations(d: Dirty) -> None:
    img = d.shot()
    d.crop(img, d.place(0), "Deflector", DEFLECTOR)


def a_list(d: Dirty) -> None:
    some(d)
    d.raw["annotations.json"] = json.dumps([{"slot": "Deflector"}]).encode()


def orphans(d: Dirty) -> None:
    img = some(d)
    d.crop(img, d.place(6), "Shield", SHIELD)
    d.put("anchors.json", b'{"learned": []}')


def torn_index(d: Dirty) -> None:
    some(d)
    d.raw["crops/crop_index.json"] = json.dumps(d.index)[:-30].encode()


def ship_in_file_name(d: Dirty) -> None:
    name = "Quendelin at dock.png"
    d.put(f"screen_types/SPACE_EQ/{name}", png(picture(906)))
    d.annotations[name] = [{"bbox": d.place(0), "slot": "Ship Name", "name": SECRET, "state": "confirmed"}, {"bbox": d.place(1), "slot": "Deflector", "name": "Quendelin's Dish", "state": "confirmed"}]


def a_store(d: Dirty, closed: bool = True, moved: bool = False) -> None:
    "The store of another machine."
    source = d.folder.parent / "elsewhere.png"
    source.write_bytes(png(picture(907)))
    store = Store(d.folder)
    sha = store.add(source)
    store.set_screen_type(sha, "SPACE_EQ", "2026-02-01T00:00:00Z")
    for n, (slot, name) in enumerate([("Deflector", DEFLECTOR), ("Shield", SHIELD), ("Devices", DEVICE)]): store.confirm(sha, Box(*d.place(n)), slot, name, confirmed_at="2026-02-01T00:00:00Z")
    store.confirm(sha, Box(*d.place(8)), "Ship Name")
    store.set_done(sha)
    if closed: store.close()
    if moved: source.unlink()


def newer_store(d: Dirty) -> None:
    a_store(d)
    content = json.loads((d.folder / "annotations.json").read_text(encoding="utf-8"))
    d.raw["annotations.json"] = json.dumps(content | {"version": 2}).encode()


def broken_journal(d: Dirty) -> None:
    a_store(d)
    (d.folder / "annotations.journal.jsonl").write_bytes(b'{"screenshot": "no JSON\n{}\n')


FOLDERS: list[Case] = [
    Case("CP1250", "annotations.json in the encoding of a Polish Windows", lambda d: as_text(d, "cp1250"), "3 taken 1 refused", (("refused", "no such name"),), THREE, remarks=("not written as UTF-8",)),
    Case("byte order mark", "annotations.json with a mark in front", lambda d: as_text(d, "utf-8-sig"), "3 taken 1 refused", (("refused", "no such name"),), THREE, remarks=("not written as UTF-8",)),
    Case("UTF-16", "annotations.json in UTF-16", lambda d: as_text(d, "utf-16"), "3 taken 1 refused", (("refused", "no such name"),), THREE, remarks=("not written as UTF-8",)),
    Case("torn", "annotations.json breaks off in the third record", lambda d: torn(d, 0.8), "2 taken", (("mended", "its record is lost"),), stored() + stored("Shield", SHIELD),
         loose="1 mended", remarks=("the JSON breaks off",)),
    Case("nonsense", "annotations.json is no JSON at all", nonsense, "", (("mended", "its record is lost"),) * 4 + (("refused", "a picture of text"),) * 2, loose="4 mended 2 refused", remarks=("the JSON breaks off",)),
    Case("no annotations", "crops and screenshots alone", no_annotations, "", (("mended", "its record is lost"),), loose="1 mended"),
    Case("a list", "annotations.json holds a list", a_list, "", (("mended", "its record is lost"),) * 3, loose="3 mended", remarks=("is not what it should be",)),
    Case("orphans", "crops that no record speaks of, and layout grids", orphans, "3 taken", (), THREE, remarks=("no record speaks of", "left aside")),
    Case("torn index", "crop_index.json breaks off", torn_index, "3 taken", (), THREE, remarks=("the JSON breaks off",)),
    Case("ship in a file name", "a screenshot that is called after the ship", ship_in_file_name, "1 mended 1 refused", (("mended", "the text of Ship Name"), ("refused", "no such name")), stored("Ship Name", "")),
    Case("a store", "the store of another machine", a_store, "4 taken", (), THREE + stored("Ship Name", "")),
    Case("a store that was not closed", "a store whose words are in the journal", lambda d: a_store(d, closed=False), "4 taken", (), THREE + stored("Ship Name", "")),
    Case("a store without screenshots", "a store whose screenshot was deleted; its copy is left", lambda d: a_store(d, moved=True), "4 mended", (("mended", "written anew"),) * 4, THREE + stored("Ship Name", "")),
    Case("a store with a broken journal", "a line of a store's journal is no JSON", broken_journal, "4 taken", (), THREE + stored("Ship Name", ""), remarks=("last acts may be missing",)),
    Case("a newer store", "a store of a version that we do not know", newer_store, "4 taken", (), THREE + stored("Ship Name", ""), remarks=("newer program",)),
]


def clean(folder: Path, shape: str) -> Path:
    "A folder with nothing wrong, as one of the clients left it: seeds, first or successor."
    dirty = Dirty(folder)
    dirty.case = "clean"
    img = dirty.shot()
    records = []
    for n, (slot, name) in enumerate([("Deflector", DEFLECTOR), ("Shield", SHIELD), ("Devices", DEVICE), ("Ship Type", TYPE), ("Ship Name", "")]):
        box = dirty.place(n) if n < 3 else [10, 150 + 30 * n, 200, 20]
        record = {"bbox": box, "slot": slot, "name": name}
        x, y, width, height = box
        cut = img.crop((x, y, x + width, y + height))
        if shape == "seeds":
            data = png(cut_crop(img, Box(*box)) if n < 3 else cut)
            record |= {"crop_sha256": hashlib.sha256(data).hexdigest(), "confirmed_at": "2026-04-03T12:00:00Z"}
            if name: dirty.put(f"crops/{record['crop_sha256']}.png", data)
        else:
            record |= {"state": "confirmed", "ann_id": ann_id(box, slot), "ml_conf": 0.75, "ml_name": "", "slot_index": 0}
            if name: dirty.crop(img, box, slot, name)
        records.append(record)
    sha = hashlib.sha256(png(img)).hexdigest()
    dirty.annotations = {sha[:16]: {"filename": dirty.key(), "image_sha256": sha, "annotations": records}} if shape == "successor" else {dirty.key(): records}
    return dirty.write()
