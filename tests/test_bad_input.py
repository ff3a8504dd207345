"What people hand in by mistake: each case is one clear line that names the value, what was expected and the remedy, and leaves nothing half-written."
import struct
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter
from taught import world

from warp.cli import main
from warp.data.crops import open_image
from warp.data.store import Store
from warp.errors import BoxError, ImageError, SlotError, VocabularyError
from warp.knowledge.vocabulary import Vocabulary
from warp.read.build import Build, Reader, open_shot
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


# reading: whatever is dropped on it

@pytest.fixture(scope="module")
def reader(taught) -> Reader: return Reader.open(taught)


@pytest.fixture(scope="module")
def made(): return world().shot(world().newcomer, "GROUND_EQ").render()


def encoded(img: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = BytesIO()
    img.save(file, kind, **options)
    return file.getvalue()


def photo(img: Image.Image) -> Image.Image:
    "A photo of a monitor: aslant, blurred, with the monitor's lines in it."
    w, h = img.size
    aslant = img.transform((w, h), Image.Transform.PERSPECTIVE, (1.06, .05, -40, .03, 1.08, -30, 3e-5, 2e-5), Image.Resampling.BICUBIC).filter(ImageFilter.GaussianBlur(1.5))
    pixels = np.asarray(aslant).astype(np.int16)
    pixels[::3] -= 24
    return Image.fromarray((pixels + np.random.default_rng(4).normal(0, 9, pixels.shape)).clip(0, 255).astype(np.uint8))


def washed(img: Image.Image) -> Image.Image: return img.point(lambda v: round(96 + v * .56))


def half_black(img: Image.Image) -> Image.Image:
    "The lower rows of the panel are gone."
    rows, img = sorted(t.bbox.y for t in world().shot(world().newcomer, "GROUND_EQ").truth()), img.copy()
    img.paste((0, 0, 0), (0, rows[len(rows) // 2] - 6, img.width, img.height))
    return img


def sixteen_bit(img: Image.Image) -> bytes:
    "RGB with 16 bits a channel, which Pillow reads and does not write."
    def chunk(kind: bytes, data: bytes) -> bytes: return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    wide = (np.asarray(img).astype(">u2") * 257).reshape(img.height, -1)
    rows = b"".join(b"\0" + row.tobytes() for row in wide)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", *img.size, 16, 2, 0, 0, 0)) + chunk(b"IDAT", zlib.compress(rows, 1)) + chunk(b"IEND", b"")


def clouds(img: Image.Image) -> Image.Image:
    "Something else altogether."
    return Image.fromarray(np.random.default_rng(2).integers(0, 255, (12, 20, 3), dtype=np.uint8)).resize(img.size, Image.Resampling.BICUBIC)


def animated(img: Image.Image) -> bytes:
    return encoded(img, "WEBP", save_all=True, append_images=[clouds(img)], duration=200, lossless=True, method=0)


def grey(img: Image.Image) -> bytes: return encoded(Image.fromarray(np.asarray(img.convert("L")).astype(np.uint16) * 257))


DROPPED: dict[str, tuple[Callable[[Image.Image], bytes], float | None, str]] = {  # what is made of a good screenshot: its bytes, the least share of its names, and words that must be told
    "a photo of a screen": (lambda img: encoded(photo(img), "JPEG", quality=70), None, ""),
    "washed out by HDR": (lambda img: encoded(washed(img)), None, "washed out"),
    "16 bits a channel": (sixteen_bit, .8, ""),
    "16 bits of grey": (grey, 0, "8-bit RGB"),
    "8K": (lambda img: encoded(img.resize((7680, 4320), Image.Resampling.BILINEAR), "JPEG", quality=60), None, ""),
    "200 pixels wide": (lambda img: encoded(img.resize((200, 112))), 0, "at least 300"),
    "JPEG of quality 20": (lambda img: encoded(img, "JPEG", quality=20), None, ""),
    "half black": (lambda img: encoded(half_black(img)), None, ""),
    "animated": (animated, .8, "only the first was read"),
    "something else": (lambda img: encoded(clouds(img), "JPEG"), 0, "nothing was read"),
    "one colour": (lambda img: encoded(Image.new("RGB", (1920, 1080), "navy")), 0, "nearly one colour"),
    "see-through": (lambda img: encoded(img.convert("RGBA")), .8, ""),
    "a palette": (lambda img: encoded(img.quantize(256)), None, ""),
    "cut off in the middle": (lambda img: encoded(img, "JPEG", quality=90)[:60_000], 0, "damaged"),
    "a text": (lambda img: b"To be, or not to be", 0, "no picture that Pillow can read"),
    "nothing at all": (lambda img: b"", 0, "no picture")}


@pytest.mark.parametrize("what", DROPPED)
@pytest.mark.filterwarnings("error")
def test_whatever_is_dropped_has_an_answer_and_no_invented_item(what, made, reader, tmp_path):
    make, least, words = DROPPED[what]
    (tmp_path / "dropped.png").write_bytes(make(made.image))
    build = reader.read(tmp_path / "dropped.png")
    there: dict[str, list] = {}
    for true in made.truth: there.setdefault(true.slot, []).append(true.name)
    invented = [str(p) for p in build.slots if p.name and p.name not in there.get(p.slot, ())]
    named = sum(bool(p.name) for p in build.slots) / sum(not t.name.startswith("__") for t in made.truth)
    print(f"{what}: {named:.0%} named; {build.reason} {build.shots[0].notes}")
    assert invented == [] and words in str(build) and "Traceback" not in str(build)
    assert build.slots or build.reason
    if least is not None: assert named >= least if least else named == 0
    assert build.to_json()["_version"] == 1 and build.to_csv().startswith("slot,")


def test_no_file_and_a_folder_have_answers_too(reader, tmp_path):
    assert "no such file" in reader.read(tmp_path / "gone.png").reason
    assert reader.read(tmp_path).reason and reader.read(b"\x89PNG\r\n\x1a\n").reason
    assert "80,000,000 pixels" in open_shot(png_of(60_000, 60_000)).reason


def test_the_command_says_so_in_one_line_and_reads_the_rest(taught, made, tmp_path, capsys):
    (tmp_path / "bad.png").write_bytes(b"nonsense")
    (tmp_path / "good.jpg").write_bytes(made.png_or_jpeg)
    places = ["--home", str(taught.home), "--hub", taught.hub, "--host", str(taught.host_dir)]
    assert "bad.png is no picture that Pillow can read" in said(["read", str(tmp_path / "bad.png"), *places], capsys)
    assert main(["read", str(tmp_path / "bad.png"), str(tmp_path / "good.jpg"), "--out", str(tmp_path / "build.json"), "--picture", str(tmp_path / "seen"), *places]) == 0
    told = capsys.readouterr()
    assert "bad.png: " in told.out and "Kit Modules" in told.out and "Traceback" not in told.err
    assert [p.name for p in (tmp_path / "seen").iterdir()] == ["good.png"] and (tmp_path / "build.json").exists()


def test_an_empty_build_can_do_everything_a_build_can():
    empty = Build()
    assert (empty.doubts, empty.names(), empty.to_record()["slots"]) == ([], {}, []) and str(empty) == "nothing was read: there was no screenshot"
