"""How labels leave a machine: layout, privacy, changes of mind, limits, crashes at any point, two programs."""
import hashlib
import json
import os
import sqlite3
import subprocess
import sys
import textwrap
from collections import Counter
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image

from warp.config import Config
from warp.data import sync as module
from warp.data.crops import open_image
from warp.data.store import Store
from warp.data.sync import MOST_PER_COMMIT, THUMB_SIDE, SyncReport, sync, thumbnail
from warp.errors import HubError, LockedError, PrivacyError, StoreError
from warp.hub import FolderHub, MemoryHub
from warp.knowledge.anchors import grid_of
from warp.knowledge.staging import read_staging, screen_winners
from warp.privacy import NAME_BANDS, has_registry_prefix, may_leave
from warp.records import SCREEN_TYPES, Annotation, Box

NOW = "2026-11-20T12:00:00Z"


def screenshot(seed, icons=8):
    rng, img = np.random.default_rng(seed), Image.new("RGB", (640, 360), (int(seed) % 200, 20, 40))
    for n in range(icons):
        img.paste(Image.fromarray(rng.integers(0, 255, (8, 6, 3), dtype=np.uint8)).resize((46, 56)), (10 + 60 * (n % 10), 150 + 70 * (n // 10)))
    return img


def place(n):
    return Box(10 + 60 * (n % 10), 150 + 70 * (n // 10), 46, 56)


@pytest.fixture
def config(tmp_path):
    return Config.load(home=tmp_path / "home", hub=tmp_path / "hub")


def filled(config, shots=1, icons=8, kind="SPACE_EQ"):
    "A store with confirmed icons."
    store = Store(config.training_data)
    for n in range(shots):
        file = config.home / f"shot{n}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        screenshot(n + 1, icons).save(file)
        sha = store.add(file)
        store.set_screen_type(sha, kind, "2026-11-20T09:00:00Z")
        for i in range(icons): store.confirm(sha, place(i), "Devices", f"Item {n} {i}", slot_index=i % 6, confirmed_at=f"2026-11-20T10:{n:02d}:{i:02d}Z")
    return store


def staged(hub, config):
    "path below the install's folder -> bytes."
    top = f"staging/{config.install_id}"
    def walk(folder): return [p for e in hub.list(config.data_repo, folder) for p in (walk(e.path) if e.is_folder else [e.path])]
    return {p.removeprefix(f"{top}/"): hub.read(config.data_repo, p) for p in walk(top)}


def lines(hub, config):
    return [json.loads(line) for path, data in staged(hub, config).items() if path.startswith("annotations/") for line in data.decode("utf-8").splitlines()]


@pytest.mark.parametrize("kind", ["folder", "memory"])
def test_layout_is_that_of_the_formats(config, kind):
    store, hub = filled(config), FolderHub(config.hub) if kind == "folder" else MemoryHub()
    report = sync(store, hub, config, now=NOW)
    assert report == SyncReport(sent=8, commits=1)
    files = staged(hub, config)
    for path, data in files.items():
        folder, name = path.split("/")
        assert folder in ("crops", "annotations") and hashlib.sha256(data).hexdigest()[:len(name.split(".")[0])] == name.split(".")[0]
    assert len(files) == 9 and all(set(line) == {"crop_sha256", "name", "slot", "date", "confirmed_at", "screenshot16"} for line in lines(hub, config))
    staging = read_staging(hub, config.data_repo)
    assert not staging.refused and len(staging.decide()) == 8 and all(hub.exists(config.data_repo, w.source) for w in staging.decide())
    assert sync(store, hub, config, now=NOW) == SyncReport()


def test_the_same_labels_make_the_same_files(config, tmp_path):
    store, one, two = filled(config), MemoryHub(), MemoryHub()
    sync(store, one, config, now=NOW)
    (config.home / "sync.sqlite").unlink()
    sync(store, two, config, now="2026-11-25T00:00:00Z")
    assert staged(one, config) == staged(two, config)
    (config.home / "sync.sqlite").unlink()
    sync(store, one, config, now="2026-11-26T00:00:00Z")
    assert staged(one, config) == staged(two, config)


def test_only_a_persons_word_leaves():
    base = Annotation("a", "Kit", Box(0, 0, 9, 9), "confirmed", "X", crop_sha256="a" * 64)
    assert may_leave(base) == "" == may_leave(replace(base, name="__empty__"))
    for state in ("candidate", "pending", "skipped"): assert may_leave(replace(base, state=state))
    assert may_leave(replace(base, crop_sha256="")) and may_leave(replace(base, slot="Ship Name"))


def text_word(read, name="Fleet Support Cruiser", slot="Ship Type"):
    return Annotation("a", slot, Box(0, 0, 9, 9), "confirmed", name, crop_sha256="a" * 64, ml_name=read)


@pytest.mark.parametrize("read", ["U.S.S. Voyager", "USS Fleet Support Cruiser", "V5S Fleet Support Cruiser", "I.K.S. Gorkon", "R R W Valdore", "Heart of Gold", "Black Pearl", "zh'Thavan of the Ice"])
def test_a_line_that_may_be_a_ships_name_stays(config, read, monkeypatch):
    why = may_leave(text_word(read))
    assert why and read not in why
    store, hub = filled(config), MemoryHub()
    sha = next(iter(store.screenshots()))
    if has_registry_prefix(read):  # refused at the desk already; an older store may still hold it
        with pytest.raises(PrivacyError) as refusal: store.confirm(sha, Box(5, 5, 200, 20), "Ship Type", "Fleet Support Cruiser", ml_name=read)
        assert read not in str(refusal.value)
        monkeypatch.setattr("warp.data.store.refuse_ship_name", lambda *_: None)
    store.confirm(sha, Box(5, 5, 200, 20), "Ship Type", "Fleet Support Cruiser", ml_name=read)
    report = sync(store, hub, config, now=NOW)
    assert report.sent == 8 and len(report.stays) == 1 and read not in str(report.stays)
    assert read.encode() not in b"".join(staged(hub, config).values()) + (config.home / "sync.sqlite").read_bytes()


@pytest.mark.parametrize("word", [text_word(""), text_word("F1eet Support Cruiser"), text_word("Flect Supp0rt Cruizer"), text_word("[TB-X2]", "T6-X2", "Ship Tier"), text_word("IT6-X21", "T6-X2", "Ship Tier")])
def test_bruised_readings_leave(word):
    assert may_leave(word) == "" and not has_registry_prefix(word.ml_name)


def test_ship_name_is_never_sent(config):
    store, hub = filled(config), MemoryHub()
    store.confirm(next(iter(store.screenshots())), Box(5, 5, 200, 20), "Ship Name")
    assert sync(store, hub, config, now=NOW, share_screens=True).sent == 8
    assert b"Ship Name" not in b"".join(staged(hub, config).values())


def test_nothing_outside_training_data_is_read(config):
    store, hub = filled(config), MemoryHub()
    secret = config.home / "secret.png"
    screenshot(99).save(secret)
    sha, record = next(iter(store.screenshots().items()))
    for copy in ("../secret.png", str(secret)):
        record["copy"] = copy  # as a tampered annotations.json would have it
        report = sync(store, hub, config, now=NOW, share_screens=True)
        assert report.screens == 0 and "has no copy" in report.stays[0]
    for file in config.home.glob("shot*.png"): file.unlink()
    assert len(staged(hub, config)) == 9 and sync(Store(config.training_data), hub, config, now=NOW, share_screens=True).screens == 1


def test_a_changed_crop_file_stays_and_blocks_nothing(config):
    store, hub = filled(config), MemoryHub()
    first, second = (a for _, a in store.annotations()[:2])
    store.crop_file(first.crop_sha256).write_bytes(b"not what was confirmed")
    store.crop_file(second.crop_sha256).unlink()
    report = sync(store, hub, config, now=NOW)
    assert report.sent == 6 and len(report.stays) == 2


def test_changed_withdrawn_and_confirmed_again(config):
    store, hub = filled(config, icons=2), MemoryHub()
    sync(store, hub, config, now=NOW)
    sha, note = store.annotations()[0]
    store.confirm(sha, note.bbox, note.slot, "Another", confirmed_at="2026-11-20T11:00:00Z")
    assert sync(store, hub, config, now="2026-11-20T12:01:00Z").sent == 1
    store.withdraw(sha, note.id)
    report = sync(store, hub, config, now="2026-11-20T12:02:00Z")
    assert (report.sent, report.retracted) == (0, 1) and f"crops/{note.crop_sha256}.png" not in staged(hub, config)
    assert [w.name for w in read_staging(hub, config.data_repo).decide()] == ["Item 0 1"]
    store.confirm(sha, note.bbox, note.slot, "Another", confirmed_at="2026-11-20T08:00:00Z")  # the clock was set back
    assert sync(store, hub, config, now="2026-11-20T08:00:01Z").sent == 1
    assert {w.name for w in read_staging(hub, config.data_repo).decide()} == {"Another", "Item 0 1"}
    assert sync(store, hub, config, now="2026-11-20T08:00:02Z") == SyncReport()


def test_of_one_crop_in_two_places_the_newest_word_counts(config):
    store, hub = filled(config, icons=1), MemoryHub()
    sha = next(iter(store.screenshots()))
    store.confirm(sha, place(0), "Kit Modules", "Newer", confirmed_at="2026-11-20T11:00:00Z")
    twin = config.home / "twin.png"
    screenshot(1, 1).save(twin, compress_level=1)  # other bytes, the same pixels
    other = store.add(twin)
    store.confirm(other, place(0), "Devices", "Older", confirmed_at="2026-11-20T10:30:00Z")
    assert sync(store, hub, config, now=NOW).sent == 1 and [line["name"] for line in lines(hub, config)] == ["Newer"]


def test_an_empty_store_withdraws_nothing(config, tmp_path):
    hub = MemoryHub()
    sync(filled(config), hub, config, now=NOW)
    report = sync(Store(tmp_path / "lost"), hub, config, now=NOW)
    assert report.retracted == 0 and "restore the folder" in report.stays[0] and len(staged(hub, config)) == 9


def test_the_day_has_a_limit_that_outlives_the_process(config):
    store, hub = filled(config, shots=3, icons=20), MemoryHub()
    assert [(r.sent, r.waiting) for r in (sync(store, hub, config, now=NOW, limit=25) for _ in range(2))] == [(25, 35), (0, 35)]
    assert sync(store, hub, config, now="2026-11-19T12:00:00Z", limit=25).sent == 0  # a clock set back
    sha, note = store.annotations()[0]
    store.withdraw(sha, note.id)
    assert sync(store, hub, config, now=NOW, limit=25).retracted == 1  # taking back needs no allowance
    assert [sync(store, hub, config, now=f"2026-11-{d}T00:00:00Z", limit=25).sent for d in (21, 22, 23)] == [25, 10, 0]


def test_commits_hold_a_hundred(config):
    store, hub = filled(config, shots=6, icons=20), MemoryHub()
    report = sync(store, hub, config, now=NOW, limit=110)
    assert (report.sent, report.waiting, report.commits) == (110, 10, 2) and MOST_PER_COMMIT == 100
    assert sorted(Counter(p.split("/")[0] for p in staged(hub, config)).items()) == [("annotations", 2), ("crops", 110)]


def test_screens_need_consent_and_move_when_retyped(config):
    store, hub = filled(config), MemoryHub()
    sha = next(iter(store.screenshots()))
    assert sync(store, hub, config, now=NOW).screens == 0
    assert sync(store, hub, config, now=NOW, share_screens=True).screens == 1
    store.set_screen_type(sha, "TRAITS")
    assert sync(store, hub, config, now=NOW, share_screens=True).screens == 1
    where, = (p for p in staged(hub, config) if p.startswith("screen_types/"))
    assert where.startswith("screen_types/TRAITS/") and [s.screen_type for s in screen_winners(hub, config.data_repo)] == ["TRAITS"]
    store.confirm(sha, Box(5, 100, 200, 20), "Ship Name")  # drawn later: the thumbnail is made anew
    assert sync(store, hub, config, now=NOW, share_screens=True).screens == 1
    assert len([p for p in staged(hub, config) if p.startswith("screen_types/")]) == 1
    assert sync(store, hub, config, now=NOW, share_screens=True) == SyncReport()


@pytest.mark.parametrize("kind", SCREEN_TYPES)
def test_names_are_painted_over_before_shrinking(kind):
    img, box = Image.effect_noise((1920, 1080), 90).convert("RGB"), Box(900, 700, 300, 30)
    record = {"width": 1920, "height": 1080, "screen_type": kind, "annotations": []}
    def other(region):
        "The same screenshot with another name there."
        changed = img.copy()
        changed.paste("white", (region.x, region.y, region.right, region.bottom))
        return changed
    def same(region): return thumbnail(img, record) == thumbnail(other(region), record)
    band = Box(0, 0, 1920, int(1080 * NAME_BANDS[kind][1]))
    assert same(band) and not same(box) and max(open_image(thumbnail(img, record).png).size) == THUMB_SIDE
    record["annotations"] = [{"slot": "Ship Name", "bbox": list(box), "state": "pending"}]
    assert same(box) and not same(band)
    record["annotations"][0]["state"] = "candidate"
    assert same(box) and same(band)  # a program's guess of where the name is, is not trusted
    record["annotations"] = [{"slot": "Ship Type", "bbox": list(box), "state": "confirmed"}]
    assert same(box) and same(band) and same(Box(900, 645, 300, 55))  # the lines above a type: the name is one of them


def test_a_small_screenshot_is_not_enlarged():
    img = Image.effect_noise((100, 60), 90).convert("RGB")
    assert open_image(thumbnail(img, {"width": 100, "height": 60, "screen_type": "BOFFS", "annotations": []}).png).size == (100, 60)


def test_grids_travel_and_are_replaced(config):
    store, hub = filled(config, kind="SPACE_MIXED"), MemoryHub()
    sha = next(iter(store.screenshots()))
    for n, slot in enumerate(("Deflector", "Engines", "Shield")): store.confirm(sha, Box(20, 10 + 40 * n, 30, 36), slot, "X")
    assert sync(store, hub, config, now=NOW, grids=grid_of).grids == 1
    grid, = (json.loads(data) for path, data in staged(hub, config).items() if path.startswith("anchors_grid_"))
    assert grid["build_type"] == "SPACE_MIXED" and {"Deflector", "Engines", "Shield", "Devices"} == set(grid["slots"])
    store.confirm(sha, Box(25, 10, 30, 36), "Deflector", "X")
    assert sync(store, hub, config, now=NOW, grids=grid_of).grids == 1
    assert len([p for p in staged(hub, config) if p.startswith("anchors_grid_")]) == 1
    assert sync(store, hub, config, now=NOW, grids=grid_of) == SyncReport()


class Lossy(MemoryHub):
    "Fails one commit in two, sometimes after making it."

    def __init__(self, seed):
        super().__init__()
        self.rng = np.random.default_rng(seed)

    def commit(self, *args, **more):
        before, after = self.rng.random(2) < 0.4
        if before: raise HubError("503: try again later")
        revision = super().commit(*args, **more)
        if after: raise HubError("the connection was reset")
        return revision


@pytest.mark.parametrize("seed", range(6))
def test_a_failing_hub_loses_and_doubles_nothing(config, seed, monkeypatch):
    monkeypatch.setattr(module, "MOST_PER_COMMIT", 5)
    store, hub = filled(config, shots=2, icons=12), Lossy(seed)
    for turn in range(60):
        if turn == 4: store.withdraw(*((s, a.id) for s, a in store.annotations()).__next__())
        if turn == 8: store.confirm(*((s, a.bbox, a.slot, "Changed") for s, a in store.annotations()[-1:]).__next__())
        try:
            if sync(store, hub, config, now=NOW) == SyncReport() and turn > 8: break
        except HubError: pass
    said = Counter((line["crop_sha256"], line["name"], line.get("withdrawn", False)) for line in lines(hub, config))
    assert max(said.values()) == 1
    held = {w.crop_sha256: w.name for w in read_staging(hub, config.data_repo).decide()}
    assert held == {a.crop_sha256: a.name for _, a in store.annotations()}


def test_a_second_program_is_told(config):
    store = filled(config)
    with FileLock(config.home / "sync.lock"), pytest.raises(LockedError, match="let it finish"): sync(store, MemoryHub(), config)
    assert sync(store, MemoryHub(), config).sent == 8


def test_a_torn_database_is_named(config):
    store = filled(config)
    (config.home / "sync.sqlite").write_bytes(b"this is no database at all, but it is long enough to look like one" * 20)
    with pytest.raises(StoreError, match="sync.sqlite cannot be used"): sync(store, MemoryHub(), config)


@pytest.mark.parametrize("kind", ["folder", "memory"])
def test_a_full_disk_at_every_write_loses_nothing(config, monkeypatch, kind):
    "The database may grow to so many pages and no further, wherever that strikes; then there is room again."
    monkeypatch.setattr(module, "MOST_PER_COMMIT", 7)
    store, hub, tables, struck = filled(config, shots=2, icons=12), FolderHub(config.hub) if kind == "folder" else MemoryHub(), module._TABLES, 0
    with closing(sqlite3.connect(config.home / "sync.sqlite")) as base: base.executescript("pragma page_size = 512; create table small (pages)")
    sync(store, hub, config, now=NOW, limit=3)
    for pages in range(20, 120):
        monkeypatch.setattr(module, "_TABLES", f"{tables};pragma max_page_count = {pages}")
        try: sync(store, hub, config, now=NOW)
        except StoreError as e:
            struck += 1
            assert "sync.sqlite cannot be" in str(e) and "full" in str(e)
    monkeypatch.setattr(module, "_TABLES", tables)
    sync(store, hub, config, now=NOW)
    said = Counter(line["crop_sha256"] for line in lines(hub, config))
    assert struck >= 8 and len(said) == 24 and set(said.values()) == {1} and sync(store, hub, config, now=NOW) == SyncReport()


@pytest.mark.skipif(sys.platform == "win32", reason="limits file sizes as POSIX systems do")
def test_a_disk_that_really_takes_no_more(config, tmp_path):
    "The kernel refuses every byte beyond a size, in a process of its own: no word of Python's in the error, nothing lost, nothing twice."
    config = replace(config, hub=str(config.home / "hub"))
    filled(config, shots=1, icons=12).close()
    code = textwrap.dedent("""
        import resource, sys
        from warp.config import Config
        from warp.data import sync as module
        from warp.data.store import Store
        from warp.errors import WarpError
        from warp.hub import FolderHub
        config = Config.load(home=sys.argv[1], hub=sys.argv[1] + "/hub")
        store = Store(config.training_data)
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
        try: print("sent", module.sync(store, FolderHub(config.hub), config, now="2026-11-20T12:00:00Z").sent)
        except WarpError as e: print(type(e).__name__, e)""")
    env = os.environ | {"PYTHONPATH": str(Path(module.__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    said = [subprocess.run([sys.executable, "-c", code, str(config.home), str(size)], env=env, capture_output=True, text=True) for size in (0, 5_000, 40_000, 1 << 30)]
    assert [s.returncode for s in said] == [0] * 4, said[0].stderr + said[1].stderr + said[2].stderr
    assert all(s.stdout.startswith(("StoreError", "HubError")) for s in said[:2]) and said[-1].stdout == "sent 12\n", [s.stdout for s in said]
    counted = Counter(line["crop_sha256"] for line in lines(FolderHub(config.hub), config))
    assert len(counted) == 12 and set(counted.values()) == {1}


KILLED = textwrap.dedent("""
    import os, sys
    from warp.config import Config
    from warp.data import sync as module
    from warp.data.store import Store
    from warp.hub import FolderHub
    left = int(sys.argv[2])
    def counted(function):
        def call(*args, **more):
            global left
            left -= 1
            if left == 0: os._exit(9)
            result = function(*args, **more)
            left -= 1
            if left == 0: os._exit(9)
            return result
        return call
    config = Config.load(home=sys.argv[1], hub=sys.argv[1] + "/hub")
    store = Store(config.training_data)
    os.fsync, os.replace = counted(os.fsync), counted(os.replace)
    module.MOST_PER_COMMIT = 7
    for name in ("begin", "finish"): setattr(module.Outbox, name, counted(getattr(module.Outbox, name)))
    FolderHub.commit = counted(FolderHub.commit)
    print(module.sync(store, FolderHub(config.hub), config, now="2026-11-20T12:00:00Z").sent)
""")


def test_killed_anywhere_and_started_again(config):
    config = replace(config, hub=str(config.home / "hub"))
    store, rng = filled(config, shots=2, icons=15), np.random.default_rng(11)
    store.close()
    env, kills = os.environ | {"PYTHONPATH": str(Path(module.__file__).parents[2]), "OMP_NUM_THREADS": "1"}, 0
    for _ in range(60):
        ended = subprocess.run([sys.executable, "-c", KILLED, str(config.home), str(rng.integers(1, 60))], env=env, capture_output=True, text=True)
        assert ended.returncode in (0, 9), ended.stderr
        if ended.returncode == 0: break
        kills += 1
    assert ended.returncode == 0 and kills >= 3
    hub = FolderHub(config.hub)
    said = Counter(line["crop_sha256"] for line in lines(hub, config))
    assert len(said) == 30 and set(said.values()) == {1}
    assert {p.split("/")[1].removesuffix(".png") for p in staged(hub, config) if p.startswith("crops/")} == set(said)
    assert sync(Store(config.training_data), hub, config, now=NOW) == SyncReport()
