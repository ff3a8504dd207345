"What people already have comes in whole, mended or refused, and the report tells the truth about it."
import csv
import json
import shutil
import subprocess
import sys
from collections import Counter
from io import StringIO
from pathlib import Path

import dirty
import numpy as np
import pytest
from PIL import Image

from warp.data.clients import import_folder
from warp.data.crops import cut_crop, cut_text_crop
from warp.data.old import read_box, salvage
from warp.data.pictures import likeness
from warp.data.report import OUTCOMES, ImportReport
from warp.data.store import Store, Word
from warp.errors import InputError
from warp.knowledge.vocabulary import Vocabulary
from warp.records import Box

NAMES = Vocabulary.load()
FORBIDDEN = [name.casefold() for name in (dirty.SECRET, dirty.SECRET.split()[1], dirty.CAPTAIN)]


def everything(store: Store) -> list[tuple[str, str, str]]:
    "All that the store holds: state, slot, and the name or the guess."
    return sorted((a.state, a.slot, a.name or (a.ml_name if a.state == "candidate" else "")) for _, a in store.annotations())


def counts(report: ImportReport, kind: str) -> Counter: return Counter({o: report.count(o, kind) for o in OUTCOMES if report.count(o, kind)})


def require_silence(folder: Path, report: ImportReport) -> None:
    "No file of the store and no form of the report holds a ship's or a captain's name."
    texts = {"the page": str(report), "the markdown": report._repr_markdown_(), "the table": report.to_csv(), "the notes": repr(report.notes)}
    texts |= {str(p): p.name + p.read_bytes().decode("latin-1") for p in folder.rglob("*") if p.is_file()}
    for where, text in texts.items():
        for name in FORBIDDEN: assert name not in text.casefold(), f"{where} tells {name!r}"


def require_sound(store: Store) -> None:
    "Every confirmed record has its crop, cut from the screenshot that it stands under, and no crop is there for nothing."
    used = set()
    for sha, a in store.annotations():
        if a.state != "confirmed" or a.slot == "Ship Name":
            assert not a.crop_sha256
            continue
        cut = cut_text_crop if a.slot in ("Ship Type", "Ship Tier") else cut_crop
        assert np.array_equal(np.asarray(Image.open(store.crop_file(a.crop_sha256))), np.asarray(cut(store.image(sha), a.bbox)))
        used.add(a.crop_sha256)
    assert {p.stem for p in (store.folder / "crops").iterdir()} == used


@pytest.mark.parametrize("case", [*dirty.RECORDS, *dirty.FOLDERS], ids=lambda case: case.name)
def test_each_broken_thing(case, tmp_path):
    folder = dirty.build(tmp_path / "old", case)
    before = {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in folder.rglob("*") if p.is_file()}
    with Store(tmp_path / "new", NAMES) as store:
        report = import_folder(folder, store)
        assert report.balanced
        assert counts(report, "box") == case.counts("boxes"), str(report)
        assert counts(report, "screen type") == case.counts("types"), str(report)
        assert counts(report, "loose crop") == case.counts("loose"), str(report)
        told = [n for n in report.notes if n.outcome != "remark"]
        assert len(told) == len(case.notes), str(report)
        for outcome, why in case.notes: assert any(n.outcome == outcome and why in n.why for n in told), (why, str(report))
        for _, why in case.notes: assert why in str(report) and why in report.to_csv()
        remarks = [n for n in report.notes if n.outcome == "remark"]
        for part in case.remarks: assert any(part in f"{n.why} {n.detail}" for n in remarks), str(report)
        assert everything(store) == sorted(case.stored)
        require_sound(store)
        state = json.dumps(store.screenshots(), sort_keys=True)
        again = import_folder(folder, store)
        assert again.balanced and again.count("taken") == again.count("mended") == 0, str(again)
        assert again.count("read") == report.count("read") and again.count("refused") == report.count("refused")
        assert json.dumps(store.screenshots(), sort_keys=True) == state
    require_silence(tmp_path / "new", report)
    assert {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in folder.rglob("*") if p.is_file()} == before, "the old folder was changed"


@pytest.fixture(scope="module")
def all_at_once(tmp_path_factory):
    "One folder with every broken record in it, and what its import came to."
    home = tmp_path_factory.mktemp("dirty")
    folder = dirty.build(home / "old", *dirty.RECORDS)
    with Store(home / "new", NAMES) as store: report = import_folder(folder, store)
    return home, report


def test_all_broken_things_in_one_folder(all_at_once):
    home, report = all_at_once
    assert len(dirty.RECORDS) >= 30 and report.balanced
    for what, kind in (("boxes", "box"), ("types", "screen type"), ("loose", "loose crop")):
        assert counts(report, kind) == sum((case.counts(what) for case in dirty.RECORDS), Counter()), str(report)
    told = Counter((n.outcome, n.why) for n in report.notes if n.outcome != "remark")
    for case in dirty.RECORDS:
        for outcome, why in case.notes: assert any(o == outcome and why in w for o, w in told), (case.name, why)
        mine = [n for n in report.notes if n.outcome != "remark" and n.key.startswith(f"{case.name} ")]
        assert len(mine) == len(case.notes), (case.name, mine)
    assert sum(told.values()) == sum(len(case.notes) for case in dirty.RECORDS)
    store = Store(home / "new", NAMES)
    assert everything(store) == sorted(s for case in dirty.RECORDS for s in case.stored)
    require_sound(store)
    require_silence(home / "new", report)


def test_the_report_can_be_read(all_at_once, tmp_path, pictures_out):
    _, report = all_at_once
    page = str(report)
    (pictures_out / "import_report.txt").write_text(page, encoding="utf-8")
    for case in dirty.RECORDS:
        for _, why in case.notes: assert why in page
    lines = page.splitlines()
    assert max(map(len, lines)) < 220 and len(lines) < 200
    rows = list(csv.DictReader(StringIO(report.to_csv())))
    assert [row["why"] for row in rows] == [n.why for n in report.notes]
    for name in ("report.csv", "report.txt"): report.write(tmp_path / name)
    assert (tmp_path / "report.csv").read_text(encoding="utf-8") == report.to_csv() and (tmp_path / "report.txt").read_text(encoding="utf-8") == page + "\n"


@pytest.mark.parametrize("shape", ["seeds", "first", "successor"])
def test_a_clean_folder_comes_in_whole(shape, tmp_path):
    folder = dirty.clean(tmp_path / "old", shape)
    with Store(tmp_path / "new", NAMES) as store:
        report = import_folder(folder, store)
        assert (report.count("read", "box"), report.count("taken", "box"), report.count("taken", "screen type")) == (5, 5, 1) and not report.notes, str(report)
        (sha,) = store.screenshots()
        assert store.screenshots()[sha]["screen_type"] == "SPACE_EQ"
        old = {Image.open(p).tobytes() for p in (folder / "crops").glob("*.png")}
        new = {a: Image.open(store.crop_file(a.crop_sha256)) for _, a in store.annotations() if a.crop_sha256}
        assert len(new) == 4
        for a, img in new.items():  # as the old client kept it, or as large as the box
            box = store.image(sha).crop((a.bbox.x, a.bbox.y, a.bbox.right, a.bbox.bottom))
            assert (img if shape == "seeds" and a.slot != "Ship Type" else box).tobytes() in old
            assert img.size == ((64, 64) if a.slot != "Ship Type" else box.size)
        at = {a.confirmed_at for _, a in store.annotations()}
        assert at == {"2026-04-03T12:00:00Z" if shape == "seeds" else "2026-03-31T23:33:20Z"}


def test_a_crop_without_screenshot_keeps_its_pixels(tmp_path):
    folder = dirty.clean(tmp_path / "old", "seeds")
    shutil.rmtree(folder / "screen_types")
    kept = {Image.open(p).tobytes() for p in (folder / "crops").glob("*.png")}
    with Store(tmp_path / "new", NAMES) as store:
        report = import_folder(folder, store)
        assert (report.count("mended", "box"), report.count("refused", "box")) == (4, 1)
        assert {Image.open(store.crop_file(a.crop_sha256)).tobytes() for _, a in store.annotations()} == kept
        assert all(record["done"] for record in store.screenshots().values())
        shutil.rmtree(folder)  # nothing in the store needs it any more
        for sha in store.screenshots(): store.image(sha)


def test_screenshots_are_found_in_extra_folders(tmp_path):
    folder = dirty.clean(tmp_path / "old", "first")
    shots = tmp_path / "Pictures/STO"
    shots.mkdir(parents=True)
    shutil.move(folder / "screen_types/SPACE_EQ/clean shot.png", shots / "CLEAN SHOT.PNG")
    with Store(tmp_path / "new", NAMES) as store:
        assert import_folder(folder, store).count("mended", "box") == 4  # from crops
    with Store(tmp_path / "new2", NAMES) as store:
        report = import_folder(folder, store, [shots])
        assert report.count("taken", "box") == 5
        assert store.known(shots / "CLEAN SHOT.PNG")
        assert import_folder(folder, store).count("taken") == 0  # and without naming them again: the store knows the picture
        assert len(store.screenshots()) == 1


def test_the_newer_word_wins(tmp_path):
    folder = dirty.clean(tmp_path / "old", "seeds")
    with Store(tmp_path / "new", NAMES) as store:
        sha = store.add(folder / "screen_types/SPACE_EQ/clean shot.png")
        older = store.confirm(sha, Box(12, 11, 45, 55), "Deflector", dirty.OTHER, confirmed_at="2026-01-01T00:00:00Z")  # drawn a little differently
        newer = store.confirm(sha, Box(70, 10, 46, 56), "Shield", "Adapted K.H.G. Resilient Shield Array", confirmed_at="2026-10-01T00:00:00Z")
        same = store.confirm(sha, Box(131, 11, 46, 56), "Devices", dirty.DEVICE, confirmed_at="2026-01-01T00:00:00Z")
        store.set_screen_type(sha, "SPACE_MIXED", "2026-10-01T00:00:00Z")
        report = import_folder(folder, store)
        ids = {a.id for _, a in store.annotations(sha)}
        assert older.id not in ids and {newer.id, same.id} <= ids and len(ids) == 5
        assert store.screenshots()[sha]["screen_type"] == "SPACE_MIXED"
        whys = Counter(n.why for n in report.notes)
        assert whys == {"an older word in the store gave way": 1, "a later word in the store stays": 1, "the store has this place, drawn a little differently": 1,
                        "another type was confirmed later and stays": 1}, str(report)
        assert report.balanced and (report.count("taken", "box"), report.count("already there", "box")) == (3, 2)
        require_sound(store)


def test_what_a_person_did_in_the_store_stays(tmp_path):
    "Drawings and guesses are added to, and a place that somebody passed over is passed over."
    folder = dirty.build(tmp_path / "old", *[c for c in dirty.RECORDS if c.name in ("candidate", "pending", "skipped")])
    with Store(tmp_path / "new", NAMES) as store:
        import_folder(folder, store)
        (guessed,), (drawn,), (passed,) = ([sha for sha, _ in store.annotations(state=state)] for state in ("candidate", "pending", "skipped"))
        store.draw(drawn, [Word(Box(300, 100, 40, 50), "Shield", dirty.SHIELD)])
        (guess,) = [a for _, a in store.annotations(guessed)]
        store.confirm(guessed, guess.bbox, "Deflector", dirty.DEFLECTOR)
        report = import_folder(folder, store)
        assert counts(report, "box") == {"taken": 1, "already there": 2}  # the drawing was rubbed out, and comes back beside the other
        assert everything(store) == [("confirmed", "Deflector", dirty.DEFLECTOR), ("pending", "Deflector", dirty.DEFLECTOR), ("pending", "Shield", dirty.SHIELD), ("skipped", "Deflector", "")]
        assert len(store.annotations(passed)) == 1


def test_a_killed_import_is_finished_by_the_next(tmp_path):
    "The process dies at one write after the other; then the import is run once more and must come to the same."
    cases = [c for c in dirty.RECORDS if c.name in ("same name", "gone, crop left", "older type", "skipped", "candidate", "pending", "changed, proven")]
    folder = dirty.build(tmp_path / "old", *cases)
    with Store(tmp_path / "whole", NAMES) as store:
        report = import_folder(folder, store)
        expected, shots = everything(store), sorted(store.screenshots())
    code = ("import sys; from pathlib import Path; sys.path.insert(0, sys.argv[4])\n"
            "from dying import die_at\nfrom warp.data.clients import import_folder\nfrom warp.data.store import Store\nfrom warp.knowledge.vocabulary import Vocabulary\n"
            "names = Vocabulary.load(); store = Store(sys.argv[2], names); die_at(int(sys.argv[3]), Path(sys.argv[2])); import_folder(sys.argv[1], store)")
    died = 0
    for step in (2, 5, 9, 14, 22, 31, 43, 58):
        done = subprocess.run([sys.executable, "-c", code, folder, tmp_path / f"t{step}", str(step), Path(__file__).parent], capture_output=True, text=True)
        died += done.returncode != 0
        with Store(tmp_path / f"t{step}", NAMES) as store:
            after = import_folder(folder, store)
            assert after.balanced and after.count("read") == report.count("read")
            assert everything(store) == expected and sorted(store.screenshots()) == shots
            require_sound(store)
    assert died >= 4


def test_folders_that_are_none(tmp_path):
    with Store(tmp_path / "new") as store:
        (tmp_path / "checkout").mkdir()
        for bad, why in ((tmp_path / "nowhere", "no folder"), (tmp_path / "new", "own folder")):
            with pytest.raises(InputError, match=why): import_folder(bad, store)
        (tmp_path / "empty").mkdir()
        with pytest.raises(InputError, match="holds no annotations.json"): import_folder(tmp_path / "empty", store)
        folder = dirty.clean(tmp_path / "client/training_data", "first")
        assert import_folder(folder.parent, store).count("taken", "box") == 5  # the folder above will do
        shutil.move(tmp_path / "client", tmp_path / "checkout/warp")
        assert import_folder(tmp_path / "checkout", store).count("already there", "box") == 5


def test_without_a_vocabulary_names_are_taken_as_they_are(tmp_path):
    folder = dirty.build(tmp_path / "old", *[c for c in dirty.RECORDS if c.name in ("unknown name", "own name as type", "text of ship name")])
    with Store(tmp_path / "new") as store: report = import_folder(folder, store)
    assert counts(report, "box") == {"taken": 1, "mended": 1, "refused": 1}
    require_silence(tmp_path / "new", report)


def test_no_half_record_is_salvaged():
    records = [{"bbox": {"x": 1, "y": 2, "w": 3, "h": 4}, "slot": "Deflector", "name": 'a "quoted" [{name}] \\', "n": n} for n in range(5)]
    whole = {"a.png": records[:3], "0123456789abcdef": {"annotations": records[3:], "filename": "b.png"}}
    text = json.dumps(whole)
    ends = [text.index(f'"n": {n}}}') + len('"n": 0}') for n in range(5)]
    for cut in range(len(text)):
        content, where = salvage(text[:cut])
        found = [r for value in (content or {}).values() for r in (value["annotations"] if isinstance(value, dict) else value)]
        assert where and found == records[:sum(end <= cut for end in ends)], cut
    assert salvage(text) == (whole, "")
    broken = text.replace('"n": 2}', '"n": oops}')
    assert salvage(broken)[0] == {"a.png": records[:2]} and f"of {len(broken)}" in salvage(broken)[1]


def test_whatever_stands_in_the_files_is_counted(tmp_path):
    "Records with odd values in odd places: nothing raises, everything is counted, nothing private is told."
    odd = [None, True, -1, 0, 3.5, 10**400, float("nan"), "", "x" * 5000, "2026-13-45", [], [None], {}, {"bbox": {}}, dirty.SECRET, "\x00", "../../x.png", "Ship Name", "__empty__", [1, 2, 3, 4]]
    rng = np.random.default_rng(5)

    def spoiled(value: object) -> object:
        if rng.random() < .06: return odd[rng.integers(len(odd))]
        if isinstance(value, dict): return {(k if rng.random() > .02 else str(odd[rng.integers(len(odd))])[:50]): spoiled(v) for k, v in value.items()}
        return [spoiled(v) for v in value] if isinstance(value, list) else value

    for shape in ("seeds", "first", "successor"):
        folder = dirty.clean(tmp_path / shape, shape)
        files = {p: json.loads(p.read_text(encoding="utf-8")) for p in folder.rglob("*.json")}
        for n in range(25):
            for p, content in files.items(): p.write_text(json.dumps(spoiled(content)), encoding="utf-8")
            with Store(tmp_path / f"{shape}{n}", NAMES) as store:
                report = import_folder(folder, store)
                assert report.balanced and report.count("read", "screen type") == 1
                require_sound(store)
                again = import_folder(folder, store)
                assert again.balanced and again.count("taken") == again.count("mended") == 0, str(again)
            require_silence(tmp_path / f"{shape}{n}", report)


def test_boxes_of_all_kinds_are_read_or_refused():
    rng = np.random.default_rng(3)
    odd = [1, -1, 0, 1.5, "7", "x", None, True, float("inf"), [], {}, 10**30]
    for _ in range(2000):
        raw = [odd[i] for i in rng.integers(0, len(odd), rng.integers(0, 6))]
        try: box, _ = read_box(raw if rng.random() < .8 else dict(zip("xywh", raw, strict=False)))
        except InputError: continue
        assert box.area > 0 and all(isinstance(v, int) for v in box)


def test_likeness_knows_the_place_and_not_the_filter():
    shot = dirty.picture(11)
    for n in range(12):
        box = Box(10 + 37 * n, 40, 46, 56)
        if box.right > 480: break
        cut = cut_crop(shot, box)
        native = shot.crop((box.x, box.y, box.right, box.bottom))
        assert likeness(native, cut) > .95 and likeness(native.resize((64, 64), Image.Resampling.BOX), cut) > .85
        assert likeness(native, cut_crop(dirty.picture(12), box)) < .85
    flat = Image.new("RGB", (46, 56), "navy")
    assert likeness(flat, flat) == 1 and likeness(flat, Image.new("RGB", (46, 56), "white")) == 0
