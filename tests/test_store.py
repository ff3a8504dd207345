"What a person confirmed stays, whatever happens to the process."
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from warp.data.crops import cut_crop, make_crop
from warp.data.journal import MAX_JOURNAL_LINES
from warp.data.store import Store
from warp.errors import ImageError, InputError, PrivacyError, StoreError
from warp.records import Box


@pytest.fixture
def picture(tmp_path):
    "A screenshot of noise: every box shows something else."
    Image.fromarray(np.random.default_rng(1).integers(0, 255, (200, 400, 3), dtype=np.uint8)).save(tmp_path / "shot.png")
    return tmp_path / "shot.png"


def test_crops_are_the_pixels_under_the_box(tmp_path, picture):
    with Store(tmp_path / "t") as store:
        sha = store.add(picture)
        note = store.confirm(sha, Box(10, 20, 46, 56), "Devices", "Battery", slot_index=2, ml_name="Batter", ml_score=0.5)
        png = store.crop_file(note.crop_sha256).read_bytes()
    assert hashlib.sha256(png).hexdigest() == note.crop_sha256 == make_crop(cut_crop(Image.open(picture), Box(10, 20, 46, 56))).sha256
    record = json.loads((tmp_path / "t/annotations.json").read_text(encoding="utf-8"))
    assert record["version"] == 1 and record["screenshots"][sha]["annotations"] == [note.to_json()]
    assert sha == hashlib.sha256(picture.read_bytes()).hexdigest() and not (tmp_path / "t/annotations.journal.jsonl").read_bytes()


def test_two_files_of_one_name_are_two_pictures(tmp_path, picture):
    other = tmp_path / "b" / "shot.png"
    other.parent.mkdir()
    Image.new("RGB", (300, 200), "navy").save(other)
    store = Store(tmp_path / "t")
    one, two = store.add(picture), store.add(other)
    for sha in (one, two): store.set_screen_type(sha, "TRAITS")
    assert sorted(p.name for p in (tmp_path / "t/screen_types/TRAITS").iterdir()) == sorted(["shot.png", f"shot-{two[:8]}.png"])
    store.set_screen_type(two, "BOFFS")                        # a person changes his mind: the old copy goes
    assert [p.name for p in (tmp_path / "t/screen_types/TRAITS").iterdir()] == ["shot.png"]
    assert [p.name for p in (tmp_path / "t/screen_types/BOFFS").iterdir()] == ["shot.png"]


def test_slot_rules(tmp_path, picture):
    store = Store(tmp_path / "t")
    sha = store.add(picture)
    a = store.confirm(sha, Box(0, 0, 40, 50), "Devices", "One")
    store.confirm(sha, Box(0, 0, 40, 50), "Engines", "Two")    # the same box: a correction, slot and all
    assert [n.slot for _, n in store.annotations()] == ["Engines"] and store.crop_file(a.crop_sha256).exists()
    store.confirm(sha, Box(60, 0, 40, 50), "Engines", "Three")  # a ship has one engine
    assert [n.name for _, n in store.annotations()] == ["Three"]
    store.confirm(sha, Box(0, 100, 200, 20), "Ship Type", "Cruiser", ml_name="Cru1ser")
    store.confirm(sha, Box(150, 100, 90, 20), "Ship Tier", "T6")  # texts may overlap
    with pytest.raises(InputError, match="draw a box around each"): store.confirm(sha, Box(0, 100, 200, 20), "Ship Tier", "T6")
    store.confirm(sha, Box(0, 80, 200, 18), "Ship Name")
    with pytest.raises(PrivacyError): store.confirm(sha, Box(0, 80, 200, 18), "Ship Name", "U.S.S. Secret")
    store.close()
    assert "Secret" not in (tmp_path / "t/annotations.json").read_text(encoding="utf-8")
    assert Image.open(store.crop_file(next(n.crop_sha256 for _, n in store.annotations() if n.slot == "Ship Type"))).size == (200, 20)


def test_a_crop_in_two_places_stays_until_both_are_gone(tmp_path):
    Image.new("RGB", (300, 100), "teal").save(tmp_path / "flat.png")
    store = Store(tmp_path / "t")
    sha = store.add(tmp_path / "flat.png")
    one, two = (store.confirm(sha, Box(x, 0, 40, 50), "Devices", "Battery") for x in (0, 100))
    assert one.crop_sha256 == two.crop_sha256
    store.withdraw(sha, one.id)
    assert store.crop_file(one.crop_sha256).exists()
    store.withdraw(sha, two.id)
    assert not store.crop_file(one.crop_sha256).exists() and store.annotations() == []
    with pytest.raises(InputError, match="no annotation"): store.withdraw(sha, two.id)


def test_the_journal_is_folded_in(tmp_path, picture, monkeypatch):
    monkeypatch.setattr("warp.data.journal.MAX_JOURNAL_LINES", 5)
    store, other = Store(tmp_path / "t"), Store(tmp_path / "t")
    sha = store.add(picture)
    for i in range(12): (store if i % 3 else other).confirm(sha, Box(i, 0, 40, 50), "Devices", f"Item {i}")
    assert len(store.annotations()) == len(other.annotations()) == len(Store(tmp_path / "t").annotations()) == 12
    assert len((tmp_path / "t/annotations.journal.jsonl").read_text(encoding="utf-8").splitlines()) <= 6 < MAX_JOURNAL_LINES


def test_bad_input_leaves_nothing(tmp_path, picture):
    store = Store(tmp_path / "t")
    (tmp_path / "no.png").write_text("no picture")
    (tmp_path / "half.png").write_bytes(picture.read_bytes()[:5000])
    for bad in ("no.png", "half.png", "missing.png"):
        with pytest.raises(ImageError): store.add(tmp_path / bad)
    assert store.screenshots() == {} and not list((tmp_path / "t/crops").iterdir())
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="cannot be used"): Store(tmp_path / "file")
    sha = store.add(picture)
    picture.unlink()
    with pytest.raises(ImageError, match="add the file again"): Store(tmp_path / "t").confirm(sha, Box(0, 0, 40, 50), "Devices", "Battery")


CONFIRM = """
import sys
from warp.data.store import Store
from warp.records import Box
store = Store(sys.argv[1]); sha = store.add(sys.argv[2])
for i in range(int(sys.argv[3]), 300): print(store.confirm(sha, Box(i, i % 90, 40, 50), "Devices", f"Item {i}").crop_sha256, flush=True)
"""


def test_kills_lose_nothing_acknowledged(tmp_path, picture):
    rng, acknowledged = np.random.default_rng(3), []
    for _ in range(6):
        with subprocess.Popen([sys.executable, "-c", CONFIRM, str(tmp_path / "t"), str(picture), str(len(acknowledged))], stdout=subprocess.PIPE, text=True) as p:
            for _ in range(int(rng.integers(1, 12))): acknowledged.append(p.stdout.readline().strip())
            p.kill()
            acknowledged += p.stdout.read().split()
        acknowledged = [a for a in acknowledged if a]
        notes = [n for _, n in Store(tmp_path / "t").annotations()]
        assert {n.crop_sha256 for n in notes} >= set(acknowledged)
        for n in notes: assert hashlib.sha256((tmp_path / "t/crops" / f"{n.crop_sha256}.png").read_bytes()).hexdigest() == n.crop_sha256
        acknowledged = [n.crop_sha256 for n in notes]
    Store(tmp_path / "t").close()
    assert {p.stem for p in Path(tmp_path / "t/crops").iterdir()} == set(acknowledged)
