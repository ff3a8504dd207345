"The curated set: shards that others can open, an index that can be lost, and pictures that come from wherever they are."
import hashlib
import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import duckdb
import numpy as np
import pytest
from PIL import Image

from warp.data.crops import make_crop
from warp.errors import HubError
from warp.hub import Add, Delete, FolderHub, MemoryHub
from warp.knowledge import curated
from warp.knowledge.curated import CROPS, SCREENS, CropRow, Placed, ScreenRow, arrange, bring, fetch_pictures, picture_file, read_index, read_shard, write_index, write_shard
from warp.knowledge.staging import ScreenWinner
from warp.knowledge.votes import Winner, crop_path

REPO = "org/data"


def picture(i: int, size: tuple[int, int] = (64, 64)):
    return make_crop(Image.fromarray(np.random.default_rng(i).integers(0, 255, (*size, 3)).astype(np.uint8)))


CROP = [picture(i) for i in range(30)]
PNG = {c.sha256: c.png for c in CROP}
OLD = CROP[0].sha256[:32]  # as older clients name it


def row(i: int, name: str = "") -> CropRow: return CropRow(CROP[i].sha256, name or f"Item {i % 5}", "Science Consoles", 2, 3, "2026-11-18T20:00:00Z", f"{i:016x}")


def winner(i: int, source: str, voters: tuple[str, ...] = ("ann", "ben")) -> Winner:
    return Winner(CROP[i].sha256, f"Item {i % 5}", "Science Consoles", 2, voters, "2026-11-18T20:00:00Z", {f"Item {i % 5}": 2}, source)


def shelve(hub, shelf, packed: dict[int, list], pictures: dict[str, bytes], folder: Path) -> None:
    changes = []
    for n, rows in packed.items():
        write_shard(folder / "shard.parquet", shelf, rows, pictures)
        changes.append(Add(shelf.shard(n), (folder / "shard.parquet").read_bytes()))
    write_index(folder / "index.parquet", shelf, packed)
    hub.commit(REPO, [*changes, Add(shelf.index, (folder / "index.parquet").read_bytes())], "packed")


@pytest.fixture
def counting(monkeypatch) -> Counter:
    "Counts what is asked of any memory hub."
    asked, read, listed = Counter(), MemoryHub.read, MemoryHub.list
    monkeypatch.setattr(MemoryHub, "read", lambda self, *args, **kw: asked.update(["read"]) or read(self, *args, **kw))
    monkeypatch.setattr(MemoryHub, "list", lambda self, *args, **kw: asked.update(["list"]) or listed(self, *args, **kw))
    return asked


# ---- shards

def test_the_same_rows_give_the_same_bytes_whatever_they_hold(tmp_path):
    odd = [row(0, "Kämpfer's \"Beam\" | 攻撃"), row(1)._replace(screenshot16="", votes=0), row(2)._replace(crop_sha256=OLD)]
    for name in ("a", "b"): write_shard(tmp_path / f"{name}.parquet", CROPS, odd, PNG | {OLD: CROP[0].png})
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    assert read_shard(tmp_path / "a.parquet", CROPS) == [(r, (PNG | {OLD: CROP[0].png})[r.crop_sha256]) for r in odd]


def test_the_beginning_of_a_shard_stays_when_rows_are_added(tmp_path):
    "What the hub's storage keeps once is what did not move: whole row groups."
    many = [row(0)._replace(crop_sha256=f"{i:064x}", name=f"Item {i % 7}") for i in range(curated.SHARD_ROWS)]
    pictures = {r.crop_sha256: PNG[CROP[int(r.crop_sha256, 16) % 30].sha256] for r in many}
    for name, n in (("a", 3000), ("b", 3500)): write_shard(tmp_path / f"{name}.parquet", CROPS, many[:n], pictures)
    a, b = ((tmp_path / f"{name}.parquet").read_bytes() for name in "ab")
    end = duckdb.connect().execute(f"select max(data_page_offset + total_compressed_size) from parquet_metadata('{(tmp_path / 'a.parquet').as_posix()}') where row_group_id = 0").fetchone()[0]
    assert end > 2048 * 300 and a[:end - 4096] == b[:end - 4096]


@pytest.mark.parametrize("damage", [lambda b: b[:100], lambda b: b[:-20], lambda b: b"", lambda b: b"PAR1" + b[::-1]])
def test_a_damaged_shard_says_so(tmp_path, damage):
    write_shard(tmp_path / "a.parquet", CROPS, [row(0)], PNG)
    (tmp_path / "a.parquet").write_bytes(damage((tmp_path / "a.parquet").read_bytes()))
    with pytest.raises(HubError, match="history"): read_shard(tmp_path / "a.parquet", CROPS)


def test_the_datasets_library_shows_pictures_with_labels(tmp_path):
    "Offline and in a process of its own: by file, and by the page's list of what there is."
    hub, repo = FolderHub(tmp_path / "hub"), "org/data"
    shelve(hub, CROPS, {0: [row(i) for i in range(20)], 1: [row(i) for i in range(20, 30)]}, PNG, tmp_path)
    screen = picture(99, (126, 224))
    shelve(hub, SCREENS, {0: [ScreenRow(screen.sha256, "SPACE_EQ", 1)]}, {screen.sha256: screen.png}, tmp_path)
    page = curated.dataset_card(repo, [row(i) for i in range(30)], [ScreenRow(screen.sha256, "SPACE_EQ", 1)], 0, 2)
    hub.commit(repo, [Add("README.md", page.encode())], "a page")
    program = f"""if True:
        import datasets, json
        there, cache = {str(hub.folder(repo))!r}, {str(tmp_path / "cache")!r}
        files = [there + "/" + name for name in {[CROPS.shard(0), CROPS.shard(1)]!r}]
        by_file = datasets.load_dataset("parquet", data_files=files, cache_dir=cache, split="train")
        crops, screens = (datasets.load_dataset(there, name, cache_dir=cache, split="train") for name in ("crops", "screens"))
        told = lambda d: [d.features["image"].__class__.__name__, len(d), [d[i]["image"].size for i in (0, len(d) - 1)]]
        first = by_file[21]["image"].convert("RGB").tobytes().hex()[:60]
        print(json.dumps([told(by_file), told(crops), told(screens), by_file[21]["name"], by_file[21]["votes"], first, crops[21]["slot"], screens[0]["screen_type"],
                          datasets.get_dataset_config_names(there)]))"""
    offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(tmp_path / "hf"), "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=os.environ | offline)
    assert done.returncode == 0, done.stderr[-2000:]
    pixels = np.random.default_rng(21).integers(0, 255, (64, 64, 3)).astype(np.uint8).tobytes().hex()[:60]
    crops = ["Image", 30, [[64, 64]] * 2]
    assert json.loads(done.stdout.splitlines()[-1]) == [crops, crops, ["Image", 1, [[224, 126]] * 2], "Item 1", 2, pixels, "Science Consoles", "SPACE_EQ", ["crops", "screens"]]


# ---- which row lies where

def test_rows_stay_and_only_what_changes_is_written_anew():
    wanted, index = {r.crop_sha256: r for r in map(row, range(20))}, {}
    for n, rows in arrange(index, wanted, 8).items(): index |= {r.crop_sha256: Placed(n, r) for r in rows}
    assert Counter(p.shard for p in index.values()) == {0: 8, 1: 8, 2: 4} and arrange(index, wanted, 8) == {}
    in_first, in_second = (next(sha for sha, p in index.items() if p.shard == n) for n in (0, 1))
    assert list(arrange(index, wanted | {in_first: wanted[in_first]._replace(name="Other")}, 8)) == [0]
    gone = {sha: r for sha, r in wanted.items() if sha != in_second}
    assert {n: len(rows) for n, rows in arrange(index, gone, 8).items()} == {1: 7}
    more = arrange(index, wanted | {r.crop_sha256: r for r in map(row, range(20, 30))}, 8)
    assert {n: len(rows) for n, rows in more.items()} == {2: 8, 3: 6} and more[2][:4] == [p.row for p in index.values() if p.shard == 2]
    assert arrange(index, {sha: r for sha, r in wanted.items() if index[sha].shard != 2}, 8) == {2: []}


@pytest.mark.parametrize("harm", [[Delete(CROPS.index)], [Add(CROPS.index, b"torn")]])
def test_a_lost_index_is_made_from_the_shards(tmp_path, harm):
    hub = MemoryHub()
    shelve(hub, CROPS, {0: [row(1), row(0)], 1: [row(2)]}, PNG, tmp_path)
    before = read_index(hub, REPO, CROPS)
    hub.commit(REPO, [*harm, Add("data/crops/notes.txt", b"not ours")], "harm")
    assert read_index(hub, REPO, CROPS) == before and list(before) == [CROP[i].sha256 for i in (1, 0, 2)]
    assert read_index(MemoryHub(), REPO, CROPS) == {}


# ---- pictures

def test_shards_cost_few_requests(tmp_path, counting):
    hub = MemoryHub()
    shelve(hub, CROPS, {0: [row(i) for i in range(15)], 1: [row(i) for i in range(15, 30)]}, PNG, tmp_path)
    counting.clear()
    winners = [winner(i, CROPS.shard(i // 15)) for i in range(30)]
    assert fetch_pictures(hub, REPO, winners, tmp_path / "out") == ([], {}) and counting == {"read": 2}
    assert all(picture_file(tmp_path / "out", c.sha256).read_bytes() == c.png for c in CROP)
    assert fetch_pictures(hub, REPO, winners, tmp_path / "out") == ([], {}) and counting == {"read": 2}  # all there


def test_a_picture_comes_from_wherever_it_is(tmp_path):
    "In a damaged shard and with one voter; in none and with the second voter; nowhere; in a shard that does not hold it; under an older name."
    hub = MemoryHub()
    shelve(hub, CROPS, {0: [row(4), row(5)]}, PNG, tmp_path)
    hub.commit(REPO, [Add(CROPS.shard(1), b"torn"), Add(crop_path("ben", CROP[1].sha256), CROP[1].png), Add(crop_path("ben", CROP[2].sha256), CROP[2].png),
                      Add(crop_path("ann", CROP[6].sha256), CROP[6].png), Add(crop_path("ann", OLD), CROP[0].png)], "scattered")
    asked = [winner(1, CROPS.shard(1)), winner(2, crop_path("ann", CROP[2].sha256)), winner(3, CROPS.shard(7)), winner(6, CROPS.shard(0)), winner(4, CROPS.shard(0)),
             replace(winner(0, crop_path("ann", OLD)), crop_sha256=OLD)]
    assert fetch_pictures(hub, REPO, asked, tmp_path / "out") == ([CROP[3].sha256], {})
    assert [picture_file(tmp_path / "out", sha).read_bytes() for sha in (CROP[1].sha256, CROP[2].sha256, CROP[6].sha256, CROP[4].sha256, OLD)] == [CROP[i].png for i in (1, 2, 6, 4, 0)]


@pytest.mark.parametrize("bytes_", [b"", b"GIF89a" + b"\0" * 500, CROP[1].png, CROP[0].png[:-30], CROP[0].png + b"PK\3\4"])
def test_what_is_not_the_picture_is_refused_and_the_next_place_asked(tmp_path, bytes_):
    hub = MemoryHub()
    sha = CROP[0].sha256
    hub.commit(REPO, [Add(crop_path("ann", sha), bytes_)], "poison")
    came = bring(hub, REPO, {sha: [crop_path("ann", sha), crop_path("ben", sha)]}, tmp_path / "out")
    assert came.missing == [] and list(came.refused) == [crop_path("ann", sha)] and not picture_file(tmp_path / "out", sha).exists()
    hub.commit(REPO, [Add(crop_path("ben", sha), CROP[0].png)], "the true one")
    assert list(bring(hub, REPO, {sha: [crop_path("ann", sha), crop_path("ben", sha)]}, tmp_path / "out").refused) == [crop_path("ann", sha)]
    assert picture_file(tmp_path / "out", sha).read_bytes() == CROP[0].png


def test_a_file_that_is_named_rightly_and_is_no_picture_is_refused(tmp_path):
    data = curated.PNG + b"nothing that can be decoded"
    sha, hub = hashlib.sha256(data).hexdigest(), MemoryHub()
    hub.commit(REPO, [Add(crop_path("ann", sha), data)], "poison")
    assert "picture" in bring(hub, REPO, {sha: [crop_path("ann", sha)]}, tmp_path / "out").refused[crop_path("ann", sha)]


def test_screens_come_from_shards_or_from_staging(tmp_path):
    hub, (a, b) = MemoryHub(), (picture(i, (126, 224)) for i in (70, 71))
    shelve(hub, SCREENS, {0: [ScreenRow(a.sha256, "BOFFS", 1)]}, {a.sha256: a.png}, tmp_path)
    place = f"staging/ann/screen_types/BOFFS/{b.sha256}.png"
    hub.commit(REPO, [Add(place, b.png)], "one more")
    asked = [ScreenWinner(a.sha256, "BOFFS", "staging/ann/screen_types/BOFFS/gone.png"), ScreenWinner(b.sha256, "BOFFS", place)]
    assert fetch_pictures(hub, REPO, asked, tmp_path / "out") == ([], {})
    assert [picture_file(tmp_path / "out", c.sha256).read_bytes() for c in (a, b)] == [a.png, b.png]


def test_the_page_names_only_what_there_is():
    assert "configs" not in curated.dataset_card(REPO, [], [], 0, 0)
    page = curated.dataset_card(REPO, [row(i) for i in range(30)], [], 5, 2)
    assert "config_name: crops" in page and "screens/*" not in page and "data/votes/*" in page and "30 crops" in page
