"Writes SLD files as the game has them, from pictures, and reads them back slowly and plainly: nothing here is shared with warp.detect.sld."
import struct
from dataclasses import dataclass, field
from io import BytesIO

import numpy as np
from PIL import Image

ORDER = ("main", "shadow", "outline", "damage", "player")
CLEAR = {"main": b"\0\0\0\0\xff\xff\xff\xff", "damage": b"\0\0\0\0\xff\xff\xff\xff", "shadow": bytes(8), "player": bytes(8)}


@dataclass
class Sprite:
    "One frame to be written: pictures whose sides are multiples of 4, and where they lie on the canvas."
    main: Image.Image  # RGBA
    at: tuple[int, int] = (0, 0)  # of main, damage and player; multiples of 4
    shadow: Image.Image | None = None  # L
    shadow_at: tuple[int, int] = (0, 0)
    player: Image.Image | None = None  # L, as large as main
    damage: Image.Image | None = None  # RGBA, as large as main
    outline: int = 0  # bytes of it: the reader must skip them
    canvas: tuple[int, int] = (200, 200)
    hotspot: tuple[int, int] = (100, 150)
    unchanged: bool = field(default=True)  # leave out what the frame before has at the same place


def bc1_blocks(img: Image.Image) -> dict[tuple[int, int], bytes]:  # (row, column): block
    img.convert("RGBA").save(file := BytesIO(), "DDS", pixel_format="DXT1")
    data = file.getvalue()[128:]
    columns = img.width // 4
    return {divmod(i, columns): data[8 * i:8 * i + 8] for i in range(len(data) // 8)}


def bc4_blocks(img: Image.Image) -> dict[tuple[int, int], bytes]:
    rows, columns = img.height // 4, img.width // 4
    values = np.asarray(img.convert("L")).astype(int).reshape(rows, 4, columns, 4).swapaxes(1, 2).reshape(-1, 16)
    ends = np.stack([values.max(1), values.min(1)], 1)
    ramps = np.array([bc4_ramp(high, low) if high > low else [high] * 8 for high, low in ends.tolist()])
    index = np.abs(ramps[:, None] - values[..., None]).argmin(2)  # 0 to 7, one a pixel
    packed = (index.astype(np.uint64) << np.arange(0, 48, 3, dtype=np.uint64)).sum(1, dtype=np.uint64)
    return {divmod(i, columns): bytes(ends[i].tolist()) + int(packed[i]).to_bytes(6, "little") for i in range(rows * columns)}


def bc4_ramp(a: int, b: int) -> list[int]:
    if a > b: return [a, b, *(((7 - i) * a + i * b) // 7 for i in range(1, 7))]
    return [a, b, *(((5 - i) * a + i * b) // 5 for i in range(1, 5)), 0, 255]


def write_sld(frames: list[Sprite]) -> bytes:
    "The file. Each layer leaves out what is clear, or, in a frame after the first that may, what is as before at the same place of the canvas."
    out, before = struct.pack("<4s4HI", b"SLDX", 4, len(frames), 0, 0x10, 0xFF000000), {}
    for index, frame in enumerate(frames):
        kinds, body, now = 0, b"", {}
        for bit, name in enumerate(ORDER):
            if name == "outline":
                if frame.outline:
                    kinds |= 1 << bit
                    body += _padded(bytes(range(256))[:frame.outline])
                continue
            picture = getattr(frame, name)
            if picture is None: continue
            kinds |= 1 << bit
            x, y = frame.shadow_at if name == "shadow" else frame.at
            blocks = (bc1_blocks if name in ("main", "damage") else bc4_blocks)(picture)
            placed = {(y // 4 + r, x // 4 + c): block for (r, c), block in blocks.items()}
            delta = frame.unchanged and index > 0
            body += _padded(_layer(name, placed, (x, y, x + picture.width, y + picture.height), before.get(name, {}) if delta else None))
            now[name] = placed
        out += struct.pack("<2H2h2BH", *frame.canvas, *frame.hotspot, kinds, 0, index) + body
        before = now
    return out


def _layer(name: str, placed: dict, box: tuple, before: dict | None) -> bytes:
    pairs, blocks, state = [[0, 0]], [], "skip"
    for place, block in sorted(placed.items()):
        same = block == (CLEAR[name] if before is None else before.get(place, CLEAR[name]))
        if same and (state == "draw" or pairs[-1][0] == 255): pairs.append([0, 0])
        if not same and pairs[-1][1] == 255: pairs.append([0, 0])
        state = "skip" if same else "draw"
        pairs[-1][state == "draw"] += 1
        if not same: blocks.append(block)
    flag = 0 if before is None else 0x80
    head = struct.pack("<4H", *box) if name in ("main", "shadow") else b""
    return head + bytes([flag, 0]) + struct.pack("<H", len(pairs)) + bytes(v for pair in pairs for v in pair) + b"".join(blocks)


def _padded(body: bytes) -> bytes:
    length = len(body) + 4
    return struct.pack("<I", length) + body + bytes(-length % 4)


def bc1_pixels(block: bytes) -> np.ndarray:  # uint8, (4, 4, 4): by the book, one pixel at a time
    c0, c1 = struct.unpack("<2H", block[:4])
    def rgb(c: int) -> tuple: return ((c >> 11) * 255 // 31, (c >> 5 & 63) * 255 // 63, (c & 31) * 255 // 31, 255)
    a, b = rgb(c0), rgb(c1)
    def mix(p: int, q: int) -> tuple: return tuple((p * x + q * y) // (p + q) for x, y in zip(a, b, strict=True))
    table = [a, b, mix(2, 1), mix(1, 2)] if c0 > c1 else [a, b, mix(1, 1), (0, 0, 0, 0)]
    bits = int.from_bytes(block[4:], "little")
    return np.array([table[bits >> 2 * i & 3] for i in range(16)], np.uint8).reshape(4, 4, 4)


def bc4_pixels(block: bytes) -> np.ndarray:  # uint8, (4, 4)
    ramp, bits = bc4_ramp(block[0], block[1]), int.from_bytes(block[2:], "little")
    return np.array([ramp[bits >> 3 * i & 7] for i in range(16)], np.uint8).reshape(4, 4)
