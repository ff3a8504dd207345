"""A release that knows the made world, learned in closed form: no steps, no torch in the learning, the same bytes' worth of sense on every machine, some seconds.

The icon network is a grid of means, whitened by what differs between two pictures of one item. The screen network is a ridge regression on such a grid, which cannot know panels that stand anywhere, so its shares are kept nearly equal: every panel is looked
for, and those that fit decide. Both are published and installed by the package's own publish and update, over a host folder with the world's clean icons. Who reads with them was never among those they learned from."""
import functools
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from warp.config import Config, write_json
from warp.data.crops import SIDE, crops_array
from warp.demo import World
from warp.hub import open_hub
from warp.knowledge.anchors import build_anchors, grid_of
from warp.match.model import SCREEN_SIDE, Gallery, file_sha256, save_gallery, screen_input
from warp.records import SCREEN_TYPES, SLOTS, VIRTUAL_NAMES
from warp.release.manifest import toy_set
from warp.release.publish import publish
from warp.release.update import update

CELLS, SCREEN_CELLS, UNSURE = 8, 16, 0.5  # means along a side of a crop, of a screen; how far shares of screens go apart
TEACHERS, MAPPERS = 6, 9  # players who taught names and screens; who drew boxes; the rest, and the newcomer, only read
SCALES = (0.6, 1.35, 0.85, 1.6, 1.1)  # of the interfaces of those who only read
GREY = (38, 44, 56)  # what lies behind a clean icon


def means(pictures: np.ndarray, cells: int) -> np.ndarray:  # (n, 3 * cells * cells)
    "Pictures as a grid of means, 0 to 1."
    n, side = len(pictures), pictures.shape[1]
    return pictures.reshape(n, cells, side // cells, cells, side // cells, 3).mean((2, 4)).transpose(0, 3, 1, 2).reshape(n, -1) / 255


def network(path: Path, name: str, side: int, cells: int, shift: np.ndarray, weights: np.ndarray, unit: bool) -> None:
    "The same as ONNX: uint8 pictures in, means, shift, weights; to unit length if asked."
    from onnx import TensorProto as T
    from onnx import helper as h
    from onnx import numpy_helper, save
    step = side // cells
    nodes = [h.make_node("Cast", [name], ["f"], to=T.FLOAT), h.make_node("Transpose", ["f"], ["t"], perm=[0, 3, 1, 2]),
             h.make_node("AveragePool", ["t"], ["p"], kernel_shape=[step, step], strides=[step, step]), h.make_node("Flatten", ["p"], ["v"]),
             h.make_node("Mul", ["v", "scale"], ["s"]), h.make_node("Sub", ["s", "shift"], ["c"]), h.make_node("MatMul", ["c", "w"], ["raw" if unit else "out"])]
    if unit: nodes.append(h.make_node("LpNormalization", ["raw"], ["out"], axis=1, p=2))
    parts = [numpy_helper.from_array(np.float32(value), key) for key, value in (("scale", 1 / 255), ("shift", shift), ("w", weights))]
    graph = h.make_graph(nodes, name, [h.make_tensor_value_info(name, T.UINT8, ["n", side, side, 3])], [h.make_tensor_value_info("out", T.FLOAT, ["n", weights.shape[1]])], parts)
    save(h.make_model(graph, opset_imports=[h.make_opsetid("", 22)], ir_version=10), str(path))


def record(shot, labels) -> dict:
    notes = [{"slot": t.slot, "slot_index": t.slot_index, "state": "confirmed", "bbox": list(t.bbox)} for t in labels]
    return {"width": 1920, "height": 1080, "screen_type": shot.screen_type, "annotations": notes}


def lesson(world: World) -> tuple[np.ndarray, list[str], np.ndarray, list[str], dict]:
    "What the teachers have: crops with names, screens with types, and their layouts."
    crops, names, screens, types = [], [], [], []
    for player in world.players[:TEACHERS]:
        for shot in map(lambda kind: world.shot(player, kind), SCREEN_TYPES):
            image, labels = shot.render().image, icons(world, player, shot)
            crops.append(crops_array(image, [t.bbox for t in labels]))
            names += [t.name for t in labels]
            screens.append(screen_input(image))
            types.append(shot.screen_type)
    grids = {player.install_id: [grid for shot in world.screenshots(player) if (grid := grid_of(record(shot, icons(world, player, shot))))] for player in world.players[:MAPPERS]}
    return np.concatenate(crops), names, np.stack(screens), types, build_anchors(grids)


def icons(world: World, player, shot) -> list: return [t for t in world.labels(player, shot) if SLOTS[t.slot].kind == "icon"]


def clean(world: World) -> np.ndarray:  # uint8 (names, 64, 64, 3)
    "Every item's own picture, as a crop."
    def laid(name: str) -> np.ndarray:
        icon = world.icon(name).convert("RGBA").resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        return np.asarray(Image.alpha_composite(Image.new("RGBA", icon.size, (*GREY, 255)), icon).convert("RGB"))
    return np.stack([laid(name) for name in world.names])


def learn_icons(folder: Path, world: World, crops: np.ndarray, names: list[str]) -> None:
    "The embedder, its gallery and its description."
    pure, seen = means(clean(world), CELLS), means(crops, CELLS)
    at = {name: i for i, name in enumerate(world.names)}
    virtual = {name: np.mean([v for v, n in zip(seen, names) if n == name], axis=0) for name in VIRTUAL_NAMES if name in names}
    apart = np.stack([v - pure[at[n]] for v, n in zip(seen, names) if n in at])  # what a screenshot does to a picture
    values, vectors = np.linalg.eigh(np.cov(apart.T) + 1e-3 * np.eye(apart.shape[1]))
    weights = (vectors / np.sqrt(values)).astype(np.float32)
    shift = np.mean(pure, axis=0)
    network(folder / "icon_embedder.onnx", "crops", SIDE, CELLS, shift, weights, unit=True)
    known = [*world.names, *virtual]
    points = np.stack([*(pure + apart.mean(0)), *virtual.values()])
    save_gallery(Gallery(np.array(known), (points - shift) @ weights, np.array(["reference"] * len(pure) + ["crops"] * len(virtual))), folder / "icon_gallery.npz")
    files = {name: file_sha256(folder / name) for name in ("icon_embedder.onnx", "icon_gallery.npz")}
    write_json(folder / "icon_embedder_meta.json", {"dimension": weights.shape[1], "n_names": len(known), "files": files, "temperature": 0.05, "unknown_cosine": 0.35,
                                                     "metrics": {"in_slot": {"n": len(crops), "accuracy": 0.5}}})  # it never saw a held-back crop, so it does not claim to lead


def learn_screens(folder: Path, screens: np.ndarray, types: list[str]) -> None:
    labels = sorted(SCREEN_TYPES)
    seen, wanted = means(screens, SCREEN_CELLS), np.eye(len(labels))[[labels.index(t) for t in types]]
    shift = seen.mean(0)
    weights = (seen - shift).T @ np.linalg.solve((seen - shift) @ (seen - shift).T + 8.0 * np.eye(len(seen)), wanted - wanted.mean(0))
    network(folder / "screen_classifier.onnx", "screens", SCREEN_SIDE, SCREEN_CELLS, shift, UNSURE * weights, unit=False)
    write_json(folder / "screen_classifier_labels.json", dict(zip(map(str, range(len(labels))), labels)))


@functools.cache
def world() -> World: return World.make(players=13)


def readers() -> list:
    "Five installs that nothing was learned from, their interfaces drawn from very small to very large."
    return [replace(player, scale=scale) for player, scale in zip([*world().players[MAPPERS:], world().newcomer], SCALES, strict=True)]


def teach(folder: Path, seed: int = 1, trained_at: str = "2026-11-20T10:00:00Z") -> Path:
    "A trained folder as `warp train` leaves it."
    made = toy_set(folder, sorted(world().names)[:50], seed, trained_at=trained_at)
    crops, names, screens, types, anchors = lesson(world())
    learn_icons(made, world(), crops, names)
    learn_screens(made, screens, types)
    write_json(made / "community_anchors.json", anchors)
    return made


def settle(folder: Path) -> Config:  # home/, hub/, host/ and release/ side by side
    "A player's machine that has the release and the host's icons."
    world().write_icons(folder / "host/images")
    config = Config.load(folder / "home", folder / "hub", folder / "host")
    hub = open_hub(config.hub)
    publish(hub, config, teach(folder / "release"))
    update(config, hub, every_h=0, server="")
    return config
