"Sprites in SLD files: what another hand wrote is read back, block by block, frame by frame."
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from PIL import Image, ImageDraw
from sld_files import Sprite, bc1_blocks, bc1_pixels, bc4_blocks, bc4_pixels, write_sld

from warp.detect.sld import read_sld
from warp.errors import ImageError


def thing(seed: int, size: tuple[int, int] = (64, 48)) -> Image.Image:
    "A coloured shape with holes, on nothing."
    rng, img = np.random.default_rng(seed), Image.new("RGBA", size)
    draw = ImageDraw.Draw(img)
    for _ in range(5):
        x, y = rng.integers(0, size[0] - 16), rng.integers(0, size[1] - 12)
        draw.ellipse((x, y, x + 20, y + 16), fill=(*map(int, rng.integers(0, 255, 3)), 255))
    return img


def decoded(img: Image.Image) -> np.ndarray:
    "What the slow decoder makes of a picture's own blocks: the truth after packing."
    out = np.zeros((img.height, img.width, 4), np.uint8)
    for (r, c), block in bc1_blocks(img).items(): out[4 * r:4 * r + 4, 4 * c:4 * c + 4] = bc1_pixels(block)
    return out


def near(a: np.ndarray, b: np.ndarray) -> bool:
    "Equal transparency, colours within what decoders differ by."
    seen = b[..., 3] > 0
    return np.array_equal(a[..., 3] > 0, seen) and np.abs(a.astype(int) - b.astype(int))[seen].max(initial=0) <= 8


def test_pain_1_delta_frames_keep_every_pixel():
    "A sheep that nods: what is skipped is as before, also when the box has moved meanwhile."
    base, nod, walk = thing(1), thing(1), thing(1)
    ImageDraw.Draw(nod).ellipse((40, 4, 58, 18), fill=(60, 40, 30, 255))
    wide = Image.new("RGBA", (72, 56))
    wide.paste(walk, (4, 8))
    ImageDraw.Draw(wide).rectangle((60, 40, 71, 55), fill=(200, 30, 30, 255))
    file = write_sld([Sprite(base, (40, 60)), Sprite(nod, (40, 60)), Sprite(wide, (36, 52))])
    assert len(file) < len(write_sld([Sprite(p, at, unchanged=False) for p, at in ((base, (40, 60)), (nod, (40, 60)), (wide, (36, 52)))]))
    frames = read_sld(file)
    for frame, picture in zip(frames, (base, nod, wide), strict=True): assert near(np.asarray(frame.image()), decoded(picture))
    assert (frames[2].layers["main"].x, frames[2].layers["main"].y) == (36, 52)


def test_all_layers_and_odd_lengths():
    "Shadow, outline, damage and player beside the main layer; lengths that are no multiples of four."
    main, shadow, mask, damage = thing(2), thing(3, (80, 40)).getchannel("A").point(lambda v: v // 2), thing(4).convert("L"), thing(5)
    for outline in (1, 2, 3, 7):
        frames = read_sld(write_sld([Sprite(main, (8, 8), shadow, (4, 24), mask, damage, outline, hotspot=(-3, 300)), Sprite(thing(6), (12, 8), player=mask)]))
        assert [set(f.layers) for f in frames] == [{"main", "shadow", "damage", "player"}, {"main", "player"}]
        assert frames[0].hotspot == (-3, 300) and frames[0].size == (200, 200)
        assert near(np.asarray(frames[0].layers["damage"].image()), decoded(damage)) and near(np.asarray(frames[1].image()), decoded(thing(6)))
        for name, picture in (("shadow", shadow), ("player", mask)):
            told = np.asarray(frames[0].layers[name].image()).astype(int)
            true = np.zeros_like(told)
            for (r, c), block in bc4_blocks(picture).items(): true[4 * r:4 * r + 4, 4 * c:4 * c + 4] = bc4_pixels(block)
            assert np.abs(told - true).max() <= 1


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(0, 5), st.booleans()), min_size=1, max_size=5), st.integers(0, 9))
def test_any_row_of_frames_comes_back(steps, outline):
    "Pictures, places and the leaving out in any mixture."
    sprites = [Sprite(thing(seed, (48, 32)), (4 * x, 4 * y), outline=outline, unchanged=delta) for seed, x, y, delta in steps]
    for frame, sprite in zip(read_sld(write_sld(sprites)), sprites, strict=True): assert near(np.asarray(frame.image()), decoded(sprite.main))


def test_a_players_colour_is_worn_where_the_mask_is():
    grey = Image.new("RGBA", (32, 32), (160, 160, 160, 255))
    half = Image.new("L", (32, 32))
    half.paste(255, (0, 0, 16, 32))
    frame = read_sld(write_sld([Sprite(grey, player=half)]))[0]
    worn = np.asarray(frame.image((0, 80, 250)))
    assert np.abs(worn[8, 4, :3].astype(int) - (0, 80, 250)).max() < 14 and np.abs(worn[8, 28, :3].astype(int) - 160).max() < 9


def test_damaged_files_are_told_from_whole_ones():
    file = write_sld([Sprite(thing(7)), Sprite(thing(8))])
    assert len(read_sld(file)) == 2
    for cut in (6, 20, 40, len(file) // 2, len(file) - 9):
        with pytest.raises(ImageError): read_sld(file[:cut])
    with pytest.raises(ImageError, match="version 3"): read_sld(file[:4] + b"\3\0" + file[6:])
