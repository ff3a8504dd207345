"""What strangers send: pictures that are none, words that cannot be, paths, clocks; and the counting and grouping behind the server."""

import base64
import json
import random
import struct
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from warp.data.crops import crop_phash, make_crop
from warp.data.sync import thumbnail
from warp.errors import HubError, ImageError, InputError, PrivacyError, StoreError, VocabularyError, WarpError
from warp.hub import Add, Delete, FolderHub, MemoryHub
from warp.intake import (ICON_BOUNDS, SCREEN_BOUNDS, TEXT_BOUNDS, check_install_id, check_png, clean, crops_parcel, decode_base64, decoded, example_png,
                         grids_parcel, icon_crop, is_blank,
                         moment, plain_id, screens_parcel, take_contribution, text_crop)
from warp.knowledge.overrides import read_contributions, tally_overrides
from warp.knowledge.vocabulary import Vocabulary
from warp.records import SCREEN_TYPES
from warp.throttle import Committer, Quota, client_address

NOW, ME, REPO = "2026-11-20T12:00:00Z", "7d1f0c3e-2b5a-4c8d-9e6f-001122334455", "sets-sto/sto-icon-dataset"
SIGNATURE = b"\x89PNG\r\n\x1a\n"


def b64(data: bytes) -> str: return base64.b64encode(data).decode()


def chunk(kind: bytes, data: bytes) -> bytes: return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def header(width=64, height=64, depth=8, colour=2, packing=0, filters=0, interlace=0) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, packing, filters, interlace))


def saved(img: Image.Image, kind="PNG", **how) -> bytes:
    with BytesIO() as out:
        img.save(out, kind, **how)
        return out.getvalue()


ART = Image.fromarray(np.random.default_rng(4).integers(0, 255, (64, 64, 3), dtype=np.uint8))
PLAIN = saved(ART)
PIXELS = chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row.tobytes() for row in np.asarray(ART))))
END = chunk(b"IEND", b"")


def noted() -> bytes:
    note = PngInfo()
    note.add_text("Author", "somebody")
    return saved(ART, pnginfo=note)


BAD_PNG = {
    "nothing": b"", "text": b"hello", "a GIF": saved(ART.convert("P"), "GIF"), "a JPEG": saved(ART, "JPEG"), "only a signature": SIGNATURE,
    "no header": SIGNATURE + PIXELS + END,
    "no pixels": SIGNATURE + header() + END, "no end": SIGNATURE + header() + PIXELS, "cut off": PLAIN[:-20], "cut in the header": PLAIN[:20],
    "one byte flipped": PLAIN[:500] + bytes([PLAIN[500] ^ 1]) + PLAIN[501:],
    "0x0": SIGNATURE + header(0, 0) + PIXELS + END, "0 wide": SIGNATURE + header(0) + PIXELS + END,
    "30000x30000": SIGNATURE + header(30_000, 30_000) + PIXELS + END,
    "2^31 wide": SIGNATURE + header(2 ** 31, 1) + PIXELS + END, "7x7": saved(ART.resize((7, 7))),
    "a bomb": SIGNATURE + header() + chunk(b"IDAT", zlib.compress(bytes(40_000_000), 9)) + END,
    "fewer pixels": SIGNATURE + header(64, 65) + PIXELS + END, "more pixels": SIGNATURE + header(64, 63) + PIXELS + END,
    "no zlib": SIGNATURE + header() + chunk(b"IDAT", b"x" * 400) + END,
    "16 bits": saved(Image.new("I;16", (64, 64), 3)), "1 bit": saved(ART.convert("1")), "interlaced": SIGNATURE + header(interlace=1) + PIXELS + END,
    "odd packing": SIGNATURE + header(packing=1) + PIXELS + END,
    "colour type 5": SIGNATURE + header(colour=5) + PIXELS + END, "animated": saved(ART, save_all=True, append_images=[ART.rotate(90)]), "a text": noted(),
    "EXIF": saved(ART, exif=b"Exif\0\0MM\0*"),
    "a ZIP behind it": PLAIN + b"PK\3\4", "two headers": SIGNATURE + header() + header() + PIXELS + END,
    "pixels apart": SIGNATURE + header() + PIXELS + chunk(b"gAMA", b"\0\0\xb1\x8f") + PIXELS + END,
    "header last": SIGNATURE + PIXELS + header() + END, "a long chunk": SIGNATURE + struct.pack(">I", 2 ** 32 - 1) + b"IHDR",
    "a palette picture without one": SIGNATURE + header(colour=3) + chunk(b"IDAT", zlib.compress(b"\0" * 65 * 64)) + END,
    "grey": saved(Image.new("RGB", (64, 64), "grey")), "black": saved(Image.new("RGB", (64, 64))),
    "nearly uniform": saved(Image.fromarray((np.asarray(ART) // 16 + 100).astype(np.uint8)))}


@pytest.mark.parametrize("what", BAD_PNG)
def test_pictures_that_are_none(what):
    with pytest.raises(ImageError) as refused: icon_crop(BAD_PNG[what])
    assert 20 < len(str(refused.value)) < 300


@pytest.mark.parametrize("img", [ART, ART.convert("L"), ART.convert("RGBA"), ART.convert("LA"), ART.convert("P"), ART.resize((46, 56)), ART.resize((512, 8)),
                                 ART.resize((8, 512))], ids=lambda i: f"{i.mode} {i.size}")
def test_pictures_that_are_some(img):
    crop = icon_crop(saved(img))
    assert crop == icon_crop(crop.png) and len(crop.png) == 12_420  # canonical, and stable
    if img.size == (64, 64): assert crop == make_crop(img)


def test_text_keeps_its_size_and_thumbnails_have_theirs():
    line = ART.resize((300, 20))
    assert text_crop(saved(line)) == make_crop(line)
    for bounds, size in ((ICON_BOUNDS, (513, 64)), (TEXT_BOUNDS, (300, 257)), (TEXT_BOUNDS, (1601, 20)), (SCREEN_BOUNDS, (225, 100)),
                         (SCREEN_BOUNDS, (100, 225)), (SCREEN_BOUNDS, (31, 100))):
        with pytest.raises(ImageError, match=f"{size[0]}x{size[1]}"): check_png(saved(ART.resize(size)), bounds)


def test_a_flip_anywhere_is_noticed_or_harmless():
    rng = random.Random(7)
    for _ in range(400):
        broken = bytearray(PLAIN)
        for _ in range(rng.choice((1, 1, 2, 5, 50))): broken[rng.randrange(len(broken))] = rng.randrange(256)
        if rng.random() < .3: broken = broken[:rng.randrange(len(broken))]
        if rng.random() < .3: broken[rng.randrange(len(broken) + 1):rng.randrange(len(broken) + 1)] = rng.randbytes(rng.randrange(40))
        try: assert icon_crop(bytes(broken)) == make_crop(ART)
        except ImageError: pass


def test_right_checksums_do_not_help():
    "Chunks with right checksums and random contents reach the decoder: whatever it makes of them, it is an `ImageError` or a crop."
    rng = random.Random(8)
    for _ in range(300):
        colour = rng.choice((0, 2, 3, 4, 6))
        size = 16 * (1 + 16 * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour])
        extra = b"".join(chunk(rng.choice((b"PLTE", b"tRNS", b"gAMA", b"pHYs", b"cHRM", b"sBIT", b"sRGB")),
                               rng.randbytes(rng.choice((0, 1, 3, 4, 9, 32, 768, 900)))) for _ in range(rng.randrange(3)))
        try: icon_crop(SIGNATURE + header(16, 16, colour=colour) + extra + chunk(b"IDAT", zlib.compress(rng.randbytes(size))) + END)
        except ImageError: pass


@pytest.mark.parametrize("text", ["", None, 5, [], {}, "!", "iVBORw0KGgo", "iVBO\nRw0K", "iVBO Rw0K", "ä" * 400, "data:image/png;base64,AAAA", "====", "A===",
                                  "QUJD=", "QUJ=", "QUI=QUI=", "Q=UI",
                                  "-_-_", "\ud800", "A" * 300_000])
def test_base64_is_strict(text):
    with pytest.raises(ImageError): decode_base64(text)
    assert decode_base64(b64(PLAIN)) == PLAIN


@pytest.mark.parametrize("text", ["..", "../../etc/passwd", "/absolute/path", "with space", "short", "x" * 65, "nul\0nul-nul", "new\nline-id", "C:\\windows",
                                  "dots.are.out", "ünïcödé-id", "", None, 7, ["a"] * 9])
def test_install_ids_cannot_lead_anywhere(text):
    with pytest.raises(InputError): check_install_id(text)


def test_the_oldest_route_drops_what_it_does_not_know():
    assert plain_id("../../a b\n") == "ab" and plain_id(ME) == ME
    with pytest.raises(InputError): plain_id("../..")


@pytest.mark.parametrize(("text", "time"), [("", NOW), ("2026-11-20T11:00:00Z", "2026-11-20T11:00:00Z"),
                                            ("2026-11-20T11:00:00.123456+00:00Z", "2026-11-20T11:00:00Z"), ("2026-11-20", "2026-11-20T00:00:00Z"),
                                            ("2026-11-20T13:00:00+02:00", "2026-11-20T11:00:00Z"), ("2027-01-01T00:00:00Z", NOW),
                                            ("9999-12-31T23:59:59Z", NOW)])
def test_times(text, time): assert moment(text, NOW) == time


@pytest.mark.parametrize("text", ["yesterday", "1970-01-01T00:00:00Z", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "2026-13-01", "../../../etc",
                                  "T", "2026-11-20T25:00:00Z", "\ud800", "𝟚𝟘𝟚𝟞-11-20"])
def test_times_that_are_none(text):
    with pytest.raises(InputError): moment(text, NOW)


def test_clean():
    assert clean(" a\x00b\x1b[31m\ud800c\x7f\x9f ") == "ab[31mc" and clean("Kläger’s 火") == "Kläger’s 火"


@pytest.fixture(scope="module")
def vocabulary(): return Vocabulary.load()


def crop_item(**change) -> dict:
    return {"slot": "Boff Science", "name": "Gravity Well", "crop_png_b64": b64(PLAIN), "confirmed_at": "2026-11-20T10:00:00Z", "screenshot16": "3f9c" * 4,
            "ml_name": ""} | change


LINE = b64(saved(Image.effect_noise((180, 16), 80).convert("RGB")))
BAD_ITEMS = [5, None, "x", [], {}, crop_item(slot="Pockets"), crop_item(slot=None), crop_item(slot=["Deflector"]), crop_item(slot="../../x"),
             crop_item(slot="x" * 100), crop_item(slot="Deflector"), crop_item(slot="\ud800"),
             crop_item(name=""), crop_item(name="Kettle"), crop_item(name="Test Item Name"), crop_item(name=7), crop_item(name={}),
             crop_item(name="Gravity Well\x00"), crop_item(name="x" * 10_000), crop_item(name="\udfff"),
             crop_item(slot="Ship Name", name=""), crop_item(slot="Ship Name", name="U.S.S. Enterprise"),
             crop_item(slot="Ship Type", name="I.K.S. Bortasqu'", crop_png_b64=LINE),
             crop_item(slot="Ship Type", name="My Lovely Boat", crop_png_b64=LINE), crop_item(slot="Ship Type", name="__empty__", crop_png_b64=LINE),
             crop_item(slot="Ship Type", name="Fleet Support Cruiser", ml_name="NCC-1701 Mine", crop_png_b64=LINE),
             crop_item(slot="Ship Type", name="Fleet Support Cruiser", ml_name="Grandma's Revenge", crop_png_b64=LINE),
             crop_item(ml_name="\x1b[2J"), crop_item(ml_name=4), crop_item(ml_name="x" * 400), crop_item(screenshot16="../../../../etc/"),
             crop_item(screenshot16="3f"), crop_item(screenshot16=1e9),
             crop_item(crop_sha256="0" * 64), crop_item(crop_sha256="../x"), crop_item(crop_sha256=[1]), crop_item(confirmed_at="soon"),
             crop_item(confirmed_at=1_700_000_000), crop_item(confirmed_at={"a": 1}),
             crop_item(withdrawn="yes"), crop_item(withdrawn=[]), crop_item(withdrawn=True), crop_item(withdrawn=True, crop_sha256="../" * 21 + "x"),
             crop_item(crop_png_b64=""), crop_item(crop_png_b64=None),
             *[crop_item(crop_png_b64=b64(png)) for png in BAD_PNG.values()]]


def test_no_bad_item_is_stored_and_each_is_told_why(vocabulary):
    parcel = crops_parcel(ME, BAD_ITEMS, vocabulary, NOW)
    assert parcel.accepted == 0 and parcel.changes == () and parcel.proof is None and len(parcel.reasons) == len(BAD_ITEMS)
    text = json.dumps([t.answer(i) for i, t in enumerate(parcel.taken)])  # what cannot be written cannot be answered
    for secret in ("Enterprise", "Bortasqu", "NCC-1701", "Grandma", "Lovely Boat"): assert secret not in text
    assert all(len(reason) < 450 for reason in parcel.reasons)


def test_a_bad_item_does_not_cost_the_others(vocabulary):
    parcel = crops_parcel(ME, [BAD_ITEMS[5], crop_item(), BAD_ITEMS[20],
                               crop_item(slot="Ship Type", name="Fleet Support Cruiser", ml_name="F1eet Support Cruiser", crop_png_b64=LINE)], vocabulary, NOW)
    assert [not t.reason for t in parcel.taken] == [False, True, False, True] and parcel.accepted == 2
    lines = [json.loads(line) for line in parcel.proof.content.decode().splitlines()]
    assert {(line["slot"], line["name"], line.get("ml_name")) for line in lines} == {("Boff Science", "Gravity Well", None),
                                                                                     ("Ship Type", "Fleet Support Cruiser", "F1eet Support Cruiser")}
    assert {line["crop_sha256"] for line in lines} == {c.path.split("/")[-1][:-4] for c in parcel.changes if c.path.endswith("png")}


def test_lines_are_those_that_sync_writes(vocabulary):
    parcel = crops_parcel(ME, [crop_item()], vocabulary, NOW)
    assert parcel.proof.content.decode() == json.dumps({"crop_sha256": make_crop(ART).sha256, "name": "Gravity Well", "slot": "Boff Science",
                                                        "date": "2026-11-20", "confirmed_at": "2026-11-20T10:00:00Z",
                                                        "screenshot16": "3f9c" * 4}) + "\n"
    assert parcel.changes[0] == Add(f"staging/{ME}/crops/{make_crop(ART).sha256}.png", make_crop(ART).png)


def test_older_spellings_and_older_clients(vocabulary):
    old = {"slot": "Science Console", "name": sorted(vocabulary.names("Science Consoles"))[0], "crop_png_b64": b64(saved(ART.resize((46, 56)))), "ml_name": ""}
    parcel = crops_parcel(ME, [old], vocabulary, NOW)
    line = json.loads(parcel.proof.content)
    assert (line["slot"], line["confirmed_at"], line["screenshot16"]) == ("Science Consoles", NOW, "") and parcel.taken[0].sha == line["crop_sha256"]


def test_virtual_names_are_classes_of_icons(vocabulary): assert crops_parcel(ME, [crop_item(name="__empty__")], vocabulary, NOW).accepted == 1


def test_a_retraction_keeps_no_text_that_is_not_listed(vocabulary):
    sha = "ab" * 32
    for slot, name, kept in (("Ship Type", "U.S.S. Enterprise", ""), ("Ship Type", "Fleet Support Cruiser", "Fleet Support Cruiser"),
                             ("Boff Science", "Gone Since Yesterday", ""), ("Ship Name", "U.S.S. Mine", "")):
        parcel = crops_parcel(ME, [{"slot": slot, "name": name, "ml_name": "U.S.S. Mine", "crop_sha256": sha, "withdrawn": True}], vocabulary, NOW)
        line = json.loads(parcel.proof.content)
        assert line["name"] == kept and line["withdrawn"] is True and "Mine" not in parcel.proof.content.decode()
        assert parcel.changes[0] == Delete(f"staging/{ME}/crops/{sha}.png")


def test_what_is_stored_is_what_the_merge_reads(vocabulary):
    from warp.knowledge.staging import read_staging
    hub = MemoryHub()
    parcel = crops_parcel(ME, [crop_item()], vocabulary, NOW)
    hub.commit(REPO, parcel.changes, "one")
    staging = read_staging(hub, REPO)
    back = crops_parcel(ME, [{"slot": "Boff Science", "name": "Gone Since", "crop_sha256": "ab" * 32, "withdrawn": True}], vocabulary, NOW)
    hub.commit("other/repo", back.changes, "two")
    assert not read_staging(hub, "other/repo").refused and read_staging(hub, "other/repo").votes[0].withdrawn
    assert not staging.refused and [(v.name, v.install_id, v.crop_sha256) for v in staging.votes] == [("Gravity Well", ME, make_crop(ART).sha256)]


SHOT = Image.effect_noise((960, 540), 90).convert("RGB")


@pytest.mark.parametrize("screen_type", SCREEN_TYPES)
def test_our_own_thumbnails_pass(screen_type):
    crop = thumbnail(SHOT, {"width": 960, "height": 540, "screen_type": screen_type, "annotations": []})
    parcel = screens_parcel(ME, screen_type, [{"png_b64": b64(crop.png)}])
    assert parcel.accepted == 1, parcel.reasons
    assert parcel.changes == (Add(f"staging/{ME}/screen_types/{screen_type}/{crop.sha256}.png", crop.png),)


def test_drawn_regions_are_looked_at():
    shots = [{"id": "a", "slot": "Ship Name", "slot_index": 0, "bbox": [100, 40, 300, 30], "state": "confirmed", "name": "", "crop_sha256": ""}]
    record = {"width": 960, "height": 540, "screen_type": "SPACE_EQ", "annotations": shots}
    from warp.privacy import name_regions
    shares = [[b.x / 960, b.y / 540, b.right / 960, b.bottom / 540] for b in name_regions(record)]
    item = {"png_b64": b64(thumbnail(SHOT, record).png), "name_regions": shares}
    assert screens_parcel(ME, "SPACE_EQ", [item]).accepted == 1
    assert "not black" in screens_parcel(ME, "SPACE_EQ", [item | {"name_regions": None}]).reasons[0]
    assert "not black" in screens_parcel(ME, "SPACE_EQ", [item | {"name_regions": [[0.5, 0.5, 0.9, 0.9]]}]).reasons[0]
    for bad in ([], [[]], [[0, 0, 1]], [[0, 0, 2, 1]], [[.5, 0, .4, 1]], [["a", 0, 1, 1]], [[True, 0, 1, 1]], "all", {"a": 1}, [[0, 0, 10 ** 400, 1]],
                [[float("nan")] * 4], [[0, 0, 1, 1]] * 41):
        assert "name_regions" in screens_parcel(ME, "SPACE_EQ", [item | {"name_regions": bad}]).reasons[0]


def test_screens_that_do_not_pass():
    bad = [{"png_b64": b64(saved(SHOT))}, {"png_b64": b64(saved(SHOT.resize((224, 126))))}, {}, {"png_b64": 5}, 7, {"withdrawn": True},
           {"withdrawn": True, "sha256": "../../x"}, {"withdrawn": 5}]
    assert screens_parcel(ME, "TRAITS", bad).accepted == 0
    for kind in ("UNKNOWN", "SPACE", "../../x", "", None, ["TRAITS"]):
        with pytest.raises(InputError, match="is no screen type"): screens_parcel(ME, kind, [])
    assert screens_parcel(ME, "TRAITS", [{"withdrawn": True, "sha256": "ab" * 32}]).changes == (Delete(f"staging/{ME}/screen_types/TRAITS/{'ab' * 32}.png"),)


def test_is_blank_forgives_an_edge_and_nothing_else():
    img = np.zeros((100, 100, 3), np.uint8)
    img[50:] = 200
    assert is_blank(Image.fromarray(img), (0.0, 0.0, 1.0, 0.51)) and not is_blank(Image.fromarray(img), (0.0, 0.0, 1.0, 0.6))
    img[20, 20] = 90
    assert not is_blank(Image.fromarray(img), (0.0, 0.0, 1.0, 0.5))


ROW = {"x0_rel": 0.1, "y_rel": 0.2, "w_rel": 0.02, "h_rel": 0.05, "step_rel": 0.03, "count": 1}
GRID = {"build_type": "SPACE_EQ", "aspect": 1.778, "resolution": "1920x1080", "slots": {"Fore Weapons": ROW | {"count": 5}, "Deflector": ROW, "Shield": ROW}}


def test_our_own_grids_keep_their_file_name():
    from warp.knowledge.anchors import grid_file_name
    parcel = grids_parcel(ME, [GRID])
    assert parcel.changes[0].path == f"staging/{ME}/{grid_file_name(GRID)}" and json.loads(parcel.changes[0].content) == GRID
    split = GRID | {"slots": GRID["slots"] | {"Shield": {"y_rel": .2, "w_rel": .02, "h_rel": .05,
                                                         "runs": [{k: ROW[k] for k in ("x0_rel", "y_rel", "step_rel", "count")}] * 2}}}
    assert json.loads(grids_parcel(ME, [split]).changes[0].content) == split


def test_grids_that_are_none():
    def with_row(**change): return GRID | {"slots": GRID["slots"] | {"Shield": ROW | change}}
    bad = [5, {}, [], None, GRID | {"build_type": "POCKETS"}, GRID | {"build_type": ["SPACE_EQ"]}, GRID | {"build_type": {}}, GRID | {"resolution": "big"},
           GRID | {"resolution": "1920x000"}, GRID | {"resolution": None},
           GRID | {"resolution": "100x99999"}, GRID | {"slots": []}, GRID | {"slots": {}}, GRID | {"slots": {"Shield": ROW}}, with_row(x0_rel=2),
           with_row(x0_rel="a"), with_row(x0_rel=None), with_row(x0_rel=10 ** 400),
           with_row(x0_rel=float("nan")), with_row(w_rel=0), with_row(count=0), with_row(count=10 ** 9), with_row(count=1.5), with_row(count="1"),
           with_row(runs=5), with_row(runs=[5]), with_row(runs={"a": 1}), with_row(runs=[[]]),
           GRID | {"slots": GRID["slots"] | {"Shield": 5}}, {"withdrawn": True}, {"withdrawn": True, "sha8": "../../../"}]
    parcel = grids_parcel(ME, bad)
    assert parcel.accepted == 0 and parcel.changes == () and len(parcel.reasons) == len(bad)
    json.dumps(parcel.reasons)


def said(**change) -> dict:
    return {"install_id": ME, "phash": "0" * 16, "crop_png_b64": b64(PLAIN), "item_name": "Gravity Well", "wrong_name": "Tachyon Beam", "confirmed": True,
            "warp_version": "2.6", "timestamp": "2026-11-20T10:00:00Z"} | change


def test_a_contribution_can_be_read_back(vocabulary):
    hub, name, parcel = MemoryHub(), *take_contribution(said(install_id=f"../{ME}", item_name="Gravity\x00 Well", wrong_name="Tachyon\x07 Beam"), vocabulary,
                                                        NOW)
    hub.commit(REPO, parcel.changes, "one")
    read = read_contributions(hub, REPO)
    assert read.refused == [] and (read.records[0].contribution_id, read.records[0].phash, read.records[0].client_phash) == (name, crop_phash(ART), "0" * 16)
    assert (read.records[0].item_name, read.records[0].wrong_name, read.records[0].warp_version) == ("Gravity Well", "Tachyon Beam", "2.6")
    assert "ip" not in " ".join(json.loads(parcel.proof.content)) and parcel.changes[1].content == make_crop(ART).png
    assert take_contribution(said(install_id=f"../{ME}"), vocabulary, "2026-12-01T00:00:00Z")[0] == name  # sent again later, it is the same


def test_virtual_names_take_back_and_never_win(vocabulary):
    hub = MemoryHub()
    for change in ({}, {"item_name": "__empty__", "timestamp": "2026-11-20T11:00:00Z"}):
        hub.commit(REPO, take_contribution(said(**change), vocabulary, NOW)[1].changes, "one")
    assert tally_overrides(read_contributions(hub, REPO).records, vocabulary)["knowledge"] == {}


@pytest.mark.parametrize(("change", "error"), [
    ({"item_name": "Test Item Name"}, VocabularyError), ({"item_name": "\x00\x01"}, VocabularyError),
    ({"item_name": "Fleet Support Cruiser"}, VocabularyError), ({"item_name": "U.S.S. Enterprise"}, VocabularyError),
    ({"install_id": "../.."}, InputError), ({"timestamp": "../../../etc/passwd"}, InputError), ({"timestamp": "1970-01-01"}, InputError),
    ({"crop_png_b64": "!" * 200}, ImageError), ({"wrong_name": "a\u2028b"}, InputError),
    *[({"crop_png_b64": b64(png)}, ImageError) for png in BAD_PNG.values()]])
def test_contributions_that_are_none(vocabulary, change, error):
    with pytest.raises(error): take_contribution(said(**change), vocabulary, NOW)


def test_the_example_is_a_good_one(vocabulary):
    assert crops_parcel(ME, [crop_item(crop_png_b64=b64(example_png()))], vocabulary, NOW).accepted == 1 and 100 <= len(b64(example_png())) < 1000


def test_decoders_that_fall_are_the_pictures_fault(monkeypatch):
    def fall(png): raise SystemError("unknown")
    monkeypatch.setattr("warp.intake.open_image", fall)
    with pytest.raises(ImageError, match="SystemError"): decoded(PLAIN, ICON_BOUNDS)


# counting

@pytest.mark.parametrize(("peer", "forwarded", "hops", "address"), [
    ("10.0.0.4", [], 0, "10.0.0.4"), ("10.0.0.4", ["6.6.6.6"], 0, "10.0.0.4"), ("10.0.0.4", ["6.6.6.6, 203.0.113.9"], 1, "203.0.113.9"),
    ("10.0.0.4", ["6.6.6.6, 203.0.113.9, 172.68.1.1"], 2, "203.0.113.9"),
    ("10.0.0.4", ["6.6.6.6", "203.0.113.9,172.68.1.1"], 2, "203.0.113.9"), ("10.0.0.4", ["203.0.113.9"], 2, "10.0.0.4"),
    ("10.0.0.4", ["x" * 5000], 1, "10.0.0.4"), ("10.0.0.4", [""], 1, "10.0.0.4"),
    ("10.0.0.4", ["203.0.113.9:5555"], 1, "203.0.113.9"), ("10.0.0.4", ["[2001:db8::9]:5555"], 1, "2001:db8::/64"),
    ("10.0.0.4", ["2001:db8:0:0:ffff::9"], 1, "2001:db8::/64"), ("::ffff:192.0.2.1", [], 0, "192.0.2.1"),
    ("fe80::1%eth0", [], 0, "fe80::/64"), ("", [], 0, "unknown"), ("testclient", ["'; drop table spent; --"], 1, "unknown")])
def test_whose_address(peer, forwarded, hops, address): assert client_address(peer, forwarded, hops) == address


def test_the_last_places_are_taken_once(tmp_path):
    quotas = [Quota(tmp_path / "s.sqlite", 30, 50) for _ in range(2)]  # as two processes would
    with ThreadPoolExecutor(8) as pool: allowed = list(pool.map(lambda i: quotas[i % 2].take(f"install-{i % 4}", "203.0.113.9", 3).allowed, range(40)))
    assert sum(allowed) == 16  # 48 of the address's 50
    assert quotas[0].take("install-9", "203.0.113.9", 0).left == 2 and quotas[0].take("install-9", "203.0.113.9", 2).allowed
    assert not quotas[1].take("install-9", "203.0.113.9", 1).allowed
    for quota in quotas: quota.close()


def test_a_day_ends_and_leaves_nothing(tmp_path):
    noon = datetime(2026, 11, 20, 12, tzinfo=timezone.utc)
    quota = Quota(tmp_path / "s.sqlite", 5, 5)
    assert quota.take("ann", "203.0.113.9", 5, noon).resets_in == 12 * 3600
    assert not quota.take("ann", "203.0.113.9", 1, noon + timedelta(hours=11)).allowed
    assert quota.take("ann", "203.0.113.9", 1, noon + timedelta(days=1)).install_spent == 1
    assert quota.take("ann", "203.0.113.9", 0, noon).install_spent == 1  # the clock went back, the day did not
    assert quota._base.execute("select count(*), count(distinct day) from spent").fetchone() == (2, 1)
    quota.give_back("ann", "203.0.113.9", 9, noon + timedelta(days=1))
    assert quota.take("ann", "203.0.113.9", 0, noon + timedelta(days=1)).install_spent == 0
    quota.close()


def test_no_address_is_written_down(tmp_path):
    quota = Quota(tmp_path / "s.sqlite", 5, 5)
    quota.take("some-install-id", "203.0.113.9", 1)
    written = b"".join(f.read_bytes() for f in tmp_path.iterdir())
    assert b"203.0.113.9" not in written and b"some-install-id" not in written
    quota.close()


def test_a_file_that_cannot_be_used(tmp_path):
    (tmp_path / "s.sqlite").write_bytes(b"no database" * 1000)
    with pytest.raises(StoreError, match="WARP_STATE"): Quota(tmp_path / "s.sqlite", 5, 5)
    quota = Quota(None, 5, 5)
    quota._base.execute("drop table spent")
    with pytest.raises(StoreError): quota.take("ann", "x", 1)


def test_once():
    quota = Quota(None, 5, 5)
    assert [quota.once("a", 60, now) for now in (100, 120, 159.9, 160, 161, 50)] == [True, False, False, True, False,
                                                                                     True]  # a clock set back does not block for years
    quota.undo_once("a")
    assert quota.once("a", 60, 51) and quota.once("b", 60, 51)


# grouping

def lines(who: str, text: str = "x") -> Add: return Add(f"staging/{who}/annotations/{text}.jsonl", text.encode())


class Counted(MemoryHub):
    commits, hold = 0, None

    def commit(self, *args, **kwargs):
        self.commits += 1
        if self.hold: self.hold.wait(10)
        return super().commit(*args, **kwargs)


def test_many_hands_one_commit():
    hub = Counted()
    committer = Committer(hub, REPO, group_s=0.3)
    waiting = [committer.submit([lines(f"install-{i}")]) for i in range(50)]
    assert len({w.result(10) for w in waiting}) == 1 == hub.commits and len(hub.list(REPO, "staging")) == 50
    committer.close()


def test_a_full_group_does_not_wait():
    hub = Counted()
    committer = Committer(hub, REPO, group_s=3600, most=10)
    waiting = [committer.submit([lines(f"install-{i}", f"{j}") for j in range(4)]) for i in range(5)]  # 8 changes fit, the third parcel makes 12
    assert all(w.result(10) for w in waiting[:2]) and not waiting[4].done()
    committer.close()  # the end comes, and the rest goes with it
    assert all(w.done() for w in waiting) and sum(len(hub.list(REPO, e.path + "/annotations")) for e in hub.list(REPO, "staging")) == 20
    with pytest.raises(HubError, match="about to end"): committer.submit([lines("late")])


def test_what_arrives_meanwhile_waits_for_the_next():
    hub = Counted()
    hub.hold = threading.Event()
    committer = Committer(hub, REPO, group_s=0.0)
    first = committer.submit([lines("ann")])
    while not hub.commits: time.sleep(0.001)
    second = committer.submit([lines("ben")])
    assert not first.done() and not second.done()
    hub.hold.set()
    assert first.result(10) != second.result(10) and hub.commits == 2
    committer.close()


def test_a_later_word_in_the_same_group_wins():
    hub = Counted()
    committer = Committer(hub, REPO, group_s=0.2)
    done = [committer.submit([Add("staging/ann/crops/a.png", b"1")]), committer.submit([Delete("staging/ann/crops/a.png")])]
    assert done[0].result(10) == done[1].result(10) and not hub.exists(REPO, "staging/ann/crops/a.png")
    committer.close()


@pytest.mark.parametrize("restart", [False, True])
def test_a_parcel_that_comes_twice_is_committed_once(restart):
    hub = Counted()
    committer = Committer(hub, REPO, group_s=0.0)
    parcel = [Add("staging/ann/crops/a.png", b"1"), lines("ann")], lines("ann")
    committer.submit(*parcel).result(10)
    committer.submit([Delete("staging/ann/crops/a.png"), lines("ann", "back")], lines("ann", "back")).result(10)
    if restart: committer = Committer(hub, REPO, group_s=0.0)
    committer.submit(*parcel).result(10)
    assert hub.commits == 2 and not hub.exists(REPO, "staging/ann/crops/a.png")
    committer.submit([Add(lines("ann").path, b"other bytes")], Add(lines("ann").path, b"other bytes")).result(10)
    assert hub.commits == 3 and hub.read(REPO, lines("ann").path) == b"other bytes"
    committer.close()


@pytest.mark.parametrize("error", [HubError("429 of secret-host"), OSError("disk full"), RuntimeError("a bug"), StoreError("no")])
def test_a_commit_that_fails_is_told_to_all_and_ends_nothing(error):
    class Failing(MemoryHub):
        down = True

        def commit(self, *args, **kwargs):
            if self.down: raise error
            return super().commit(*args, **kwargs)

    hub = Failing()
    committer = Committer(hub, REPO, group_s=0.05, rest_s=0.1)
    for waiting in [committer.submit([lines(f"install-{i}")]) for i in range(3)]:
        with pytest.raises(HubError): waiting.result(10)
    assert hub.head(REPO) == "" and committer.rests_for > 0
    with pytest.raises(HubError, match="a moment ago"): committer.submit([lines("ann")])
    hub.down = False
    while committer.rests_for: time.sleep(0.01)
    assert committer.submit([lines("ann")]).result(10) == hub.head(REPO)
    committer.close()


def test_a_lost_reply_is_found_again(tmp_path):
    "The commit landed, the answer did not: the same parcel once more is acknowledged without a second commit."
    class Deaf(FolderHub):
        deaf = True

        def commit(self, *args, **kwargs):
            done = super().commit(*args, **kwargs)
            if self.deaf: raise HubError("the connection was cut")
            return done

    hub = Deaf(tmp_path)
    committer = Committer(hub, REPO, group_s=0.0, rest_s=0.0)
    with pytest.raises(HubError): committer.submit([lines("ann")], lines("ann")).result(10)
    hub.deaf, landed = False, hub.head(REPO)
    assert committer.submit([lines("ann")], lines("ann")).result(10) == landed == hub.head(REPO)
    committer.close()


def test_too_much_at_once_is_sent_away():
    hub = Counted()
    hub.hold = threading.Event()
    committer = Committer(hub, REPO, group_s=0.0, most=10)
    waiting = [committer.submit([lines("ann")])]
    while not hub.commits: time.sleep(0.001)
    with pytest.raises(HubError, match="waiting"):
        for i in range(100): waiting.append(committer.submit([lines(f"install-{i}")]))
    hub.hold.set()
    assert 30 < len(waiting) < 60 and all(w.result(10) for w in waiting)
    committer.close()


def test_errors_are_all_ours():
    assert issubclass(PrivacyError, InputError) and issubclass(InputError, WarpError)
