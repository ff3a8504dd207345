"What people hand in by mistake: each case is one clear line that names the value, what was expected and the remedy, and leaves nothing half-written."
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from warp.cli import main
from warp.data.crops import open_image
from warp.data.store import Store
from warp.errors import BoxError, ImageError, SlotError, VocabularyError
from warp.knowledge.vocabulary import Vocabulary
from warp.records import Box


def png_of(width: int, height: int) -> bytes:
    "A PNG whose header promises that size; its body is one short row."
    def chunk(kind: bytes, data: bytes) -> bytes: return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b""))


@pytest.fixture
def shot(tmp_path) -> Path:
    Image.fromarray(np.random.default_rng(2).integers(0, 255, (200, 400, 3), dtype=np.uint8)).save(tmp_path / "shot.png")
    return tmp_path / "shot.png"


@pytest.mark.parametrize("data, words", [
    (b"To be, or not to be", "no picture that Pillow can read"),
    (b"", "no picture"),
    (png_of(0, 0), "0x0|no picture|damaged"),
    (png_of(10_000, 10_000), "10000x10000: expected sides of at least 8 and at most 80,000,000 pixels"),
    (png_of(60_000, 60_000), "80,000,000 pixels"),
    (png_of(400, 300), "damaged"),
    (png_of(4, 4), "4x4: expected sides of at least 8"),
], ids=["text", "nothing", "0 pixels", "100 million", "a bomb", "truncated", "tiny"])
def test_pictures_that_are_none(data, words, tmp_path):
    with pytest.raises(ImageError, match=words): open_image(data)
    (tmp_path / "bad.png").write_bytes(data)
    store = Store(tmp_path / "t")
    with pytest.raises(ImageError, match="bad.png"): store.add(tmp_path / "bad.png")
    assert store.screenshots() == {}


@pytest.mark.parametrize("box", [Box(-1, 0, 40, 50), Box(0, 0, 0, 50), Box(0, 0, 40, 0), Box(390, 0, 40, 50), Box(0, 190, 40, 50), Box(0, 0, -40, 50)])
def test_boxes_that_are_none(box, shot, tmp_path):
    store = Store(tmp_path / "t", Vocabulary.load())
    sha = store.add(shot)
    with pytest.raises(BoxError, match="draw"): store.confirm(sha, box, "Deflector", "Deflector Array")
    assert store.annotations() == [] and not list((tmp_path / "t/crops").iterdir())


def test_slots_and_names_that_are_none(shot, tmp_path):
    store = Store(tmp_path / "t", Vocabulary.load())
    sha, box = store.add(shot), Box(0, 0, 40, 50)
    with pytest.raises(SlotError, match="'Pockets': expected one of"): store.confirm(sha, box, "Pockets", "Lint")
    with pytest.raises(SlotError, match="'UNKNOWN'"): store.set_screen_type(sha, "UNKNOWN")
    with pytest.raises(VocabularyError, match="is not a name that Deflector can hold"): store.confirm(sha, box, "Deflector", "Kettle")
    assert store.annotations() == [] and not (tmp_path / "t/screen_types").exists()


def said(words: list[str], capsys) -> str:
    assert main(words) == 1
    err = capsys.readouterr().err
    assert err.startswith("warp: ") and "Traceback" not in err
    return err


def test_a_hub_that_is_empty(tmp_path, capsys):
    places = ["--hub", str(tmp_path / "hub"), "--home", str(tmp_path / "home")]
    for force in ([], ["--force"]):
        assert main(["train", *force, "--out", str(tmp_path / "out"), *places]) == 0
        assert "skipped: nobody has confirmed an icon yet" in capsys.readouterr().out
    assert "run.json" in said(["publish", str(tmp_path / "out"), *places], capsys)
    assert main(["update", *places]) == 0 and "nothing is published yet" in capsys.readouterr().out
    assert not (tmp_path / "out/run.json").exists()


def test_a_hub_that_cannot_be_written(tmp_path, capsys):
    (tmp_path / "file").write_text("not a folder", encoding="utf-8")
    assert "name a folder that you may write to" in said(["update", "--hub", str(tmp_path / "file"), "--home", str(tmp_path / "home")], capsys)


def test_reading_without_a_model(tmp_path, shot, capsys):
    assert "run `warp update`" in said(["read", str(shot), "--home", str(tmp_path / "home")], capsys)
