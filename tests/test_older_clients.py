"A really trained, really published release, opened by the rules of the clients that came before, and by ours."
import ast
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
import community
import older_client
import torch
from community import NAMES, SHIP, crop, first_hour, grid, places, screen

from warp.errors import ModelError
from warp.hub import Add
from warp.knowledge.staging import screen_winners
from warp.match.model import IconModel, screen_input
from warp.read.screens import ScreenModel
from warp.records import SCREEN_TYPES, VIRTUAL_NAMES
from warp.release.manifest import check_state_dicts
from warp.release.publish import publish
from warp.release.update import update
from warp.train.classifier import _enlarged, load_classifier, new_classifier
from warp.train.embedder import normalised
from warp.train.screens import load_screens, new_screen_net

SEEDS_FIELDS = {"version": str, "trained_at": str, "n_classes": int, "val_acc": float, "n_samples": int, "n_users": int,
                "screen_trained_at": str, "screen_val_acc": float, "screen_n_samples": int}
SECONDS = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"


@pytest.fixture(scope="module")
def hour() -> Path: return first_hour()


@pytest.fixture(scope="module")
def delivered(hour) -> Path:
    "The delivery repository as plain files."
    hub, config = places(hour)
    return hub.folder(config.delivery_repo)


def asked(hour) -> dict:
    "What GET /model/version answers."
    from fastapi.testclient import TestClient

    from warp.server import Settings, create_app
    hub, config = places(hour)
    with TestClient(create_app(hub, Settings(config.hub, config.delivery_repo))) as server: return server.get("/model/version").json()


@pytest.fixture(scope="module")
def installed(hour, delivered, tmp_path_factory) -> Path:
    "The models folder of an older client after its check."
    mine = tmp_path_factory.mktemp("client") / "warp" / "models"
    assert older_client.install(delivered / "models", mine, asked(hour))
    return mine


def test_the_older_client_knows_nothing_of_ours():
    tree = ast.parse(Path(older_client.__file__).read_text(encoding="utf-8"))
    imported = {a.name for node in ast.walk(tree) if isinstance(node, ast.Import) for a in node.names} | {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    assert imported == {"json", "math", "re", "shutil", "pathlib", "torch", "PIL", "torchvision"}


def test_its_check_installs_all_it_asks_for_and_only_what_is_later(hour, delivered, installed):
    assert {p.name for p in installed.iterdir()} == {*older_client.FILES, *older_client.LATER}
    answer = asked(hour)
    assert not older_client.install(delivered / "models", installed, answer), "the same release again"
    assert not older_client.install(delivered / "models", installed, {"available": False})
    for theirs in ("2026-03-23T14:00:00.123456+00:00Z", "2026-11-20T00:00:00Z", ""):  # what clients of then have written down
        (installed / "model_version.json").write_text(json.dumps({"trained_at": theirs}), encoding="utf-8")
        assert older_client.install(delivered / "models", installed, answer)


def test_the_description_has_the_seeds_fields_and_times(delivered):
    record = older_client.read(delivered / "models" / "model_version.json")
    assert {field: type(record[field]) for field in SEEDS_FIELDS} == SEEDS_FIELDS
    assert re.fullmatch(SECONDS, record["trained_at"]) and re.fullmatch(SECONDS, record["screen_trained_at"])
    assert re.fullmatch("[0-9a-f]{16}", record["version"]) and record["val_acc"] == round(record["val_acc"], 4)
    assert record["n_classes"] == len(older_client.read(delivered / "models" / "label_map.json"))  # what was trained, not what was hoped for
    assert record["n_samples"] == len(NAMES) * community.PLAYERS and record["n_users"] == community.PLAYERS


def woken(state: dict, net: torch.nn.Module, x: torch.Tensor, rows: list[int], folder: Path, name: str) -> torch.nn.Module:
    """The published weights, their statistics measured on `x` and the last layer fitted to `rows`; also written to `folder`.

    After three steps a network from random numbers gives every picture one and the same answer, and a comparison of answers would compare nothing. This one knows its pictures.
    """
    net.load_state_dict(state)
    for layer in net.eval().modules():
        if isinstance(layer, torch.nn.BatchNorm2d): layer.train().reset_running_stats(); layer.momentum = None
    last, seen = [layer for layer in net.modules() if isinstance(layer, torch.nn.Linear)][-1], []
    with torch.no_grad():
        net(x)
        hook = last.register_forward_hook(lambda layer, given, answer: seen.append(given[0]))
        net.eval()(x)
        hook.remove()
        mean, wanted = seen[0].mean(0), 12 * torch.nn.functional.one_hot(torch.tensor(rows), last.out_features).float()
        near = (seen[0] - mean) @ (seen[0] - mean).T
        last.weight.copy_(torch.linalg.solve(near + 0.01 * near.diagonal().mean() * torch.eye(len(rows)), wanted - wanted.mean(0)).T @ (seen[0] - mean))
        last.bias.copy_(wanted.mean(0) - last.weight @ mean)
    torch.save({k: v.detach().contiguous().clone() for k, v in net.state_dict().items()}, folder / name)
    return net


def tensor(pictures: list) -> torch.Tensor: return torch.stack([torch.from_numpy(np.array(img)).permute(2, 0, 1) for img in pictures]).float() / 255


def agree(theirs: older_client.Network, pictures: list, names: list[str], said: torch.Tensor) -> None:
    "They name the pictures as we do, right, and as surely; and would not if colours were swapped or left as they are."
    assert [theirs.labels[i] for i in said.argmax(1)] == names and [theirs(img)[0] for img in pictures] == names
    mean, std = (torch.tensor(v)[:, None, None] for v in (older_client.MEAN, older_client.STD))

    def apart(change: Callable) -> float: return (torch.cat([theirs.shares(change(theirs.prepared(img))[None]) for img in pictures]) - said).abs().mean().item()
    right, swapped, plain = apart(lambda x: x), apart(lambda x: x[[2, 1, 0]]), apart(lambda x: x * std + mean)
    print(f"apart on average: {right:.5f}; colours swapped {swapped:.3f}, not normalised {plain:.3f}")
    assert right < 0.02 and min(swapped, plain) > 5 * right, (right, swapped, plain)


def test_the_icon_weights_open_strictly_and_answer_as_ours_do(installed, tmp_path):
    published, (state, labels) = older_client.Icons(installed), load_classifier(installed)
    assert labels == published.labels == sorted(NAMES)
    name, score = published(crop(0, 0))
    assert name in NAMES and 0 < score <= 1
    mine, crops = shutil.copytree(installed, tmp_path / "models"), [crop(i, i % 5, turn=1) for i in range(12)]
    x = normalised(_enlarged(tensor(crops), 224))
    ours = woken(state, new_classifier(len(labels)), x, [labels.index(name) for name in NAMES], mine, "icon_classifier.pt")
    with torch.inference_mode(): agree(older_client.Icons(mine), crops, NAMES, ours(x).softmax(1))


def test_the_screen_weights_have_seven_rows_and_answer_as_ours_do(installed, tmp_path):
    published, (state, labels) = older_client.Screens(installed), load_screens(installed)
    assert labels == published.labels == sorted(SCREEN_TYPES) and published.net.classifier[-1].out_features == 7  # some of them assume seven
    mine, kinds = shutil.copytree(installed, tmp_path / "models"), list(SCREEN_TYPES * 2)
    square = [screen(kind, i).resize((224, 224)) for i, kind in enumerate(kinds)]  # neither side has to frame or squeeze
    for img in square: img.paste((0, 0, 0), (0, 0, 224, 27))  # both sides see no names
    x = normalised(tensor([screen_input(img) for img in square]))
    ours = woken(state, new_screen_net(7), x, [labels.index(kind) for kind in kinds], mine, "screen_classifier.pt")
    with torch.inference_mode(): agree(older_client.Screens(mine), square, kinds, ours(x).softmax(1))


def test_nothing_that_is_loaded_is_a_program(installed):
    for name in ("icon_classifier.pt", "screen_classifier.pt"):
        state = torch.load(installed / name, map_location="cpu", weights_only=True)
        assert all(isinstance(key, str) and isinstance(value, torch.Tensor) for key, value in state.items()), "a bare state dict, no checkpoint around it"
        assert all(value.dtype in (torch.float32, torch.int64) and value.is_contiguous() for value in state.values())


def test_what_the_crowd_said_has_the_shapes_they_read(delivered, installed):
    assert older_client.read(installed / "ship_type_corrections.json") == {"F1eet Support Cruiser": SHIP}
    record = older_client.read(delivered / "knowledge.json")
    assert list(older_client.overrides(record).values()) == NAMES[:1] == list(older_client.overrides(record["knowledge"]).values())
    assert not set(record["knowledge"].values()) & set(VIRTUAL_NAMES) and record["entries"] == 1 and re.fullmatch(SECONDS, record["updated_at"])


def test_the_layouts_put_boxes_where_players_have_them(installed):
    anchors = older_client.read(installed / "community_anchors.json")
    assert set(anchors) >= {"generated_at", "n_contributors", "entries"} and anchors["n_contributors"] == community.PLAYERS
    assert all({"type", "aspect", "res", "slots", "n_contributors", "timestamp"} <= set(entry) and re.fullmatch(r"\d+x\d+", entry["res"]) for entry in anchors["entries"])
    found, sent = older_client.boxes(anchors, "SPACE_EQ", 1920, 1080), older_client.boxes({"entries": [{"type": "SPACE_EQ", "timestamp": ""} | grid(2)]}, "SPACE_EQ", 1920, 1080)
    assert {slot: len(there) for slot, there in found.items()} == {"Fore Weapons": 4, "Tactical Consoles": 5, "Science Consoles": 3}
    for slot in sent: assert np.abs(np.array(found[slot]) - np.array(sent[slot])).max() < 2, slot  # pixels
    assert older_client.boxes(anchors, "SPACE_EQ", 1280, 1024) == {} == older_client.boxes(anchors, "BOFFS", 1920, 1080)


def test_their_trainer_would_skip_after_ours(delivered):
    manifest = older_client.read(delivered / "models" / "training_manifest.json")
    shas = manifest["crop_shas"]
    assert shas == sorted(shas) and manifest["count"] == len(shas) == 60 and re.fullmatch(SECONDS, manifest["updated_at"])
    assert not older_client.would_train(manifest, set(shas)) and not older_client.would_train(manifest, {*shas, "0" * 64})
    assert older_client.would_train(manifest, {*shas, *(f"{i:064x}" for i in range(10))})


def test_our_own_client_opens_the_same_release(hour, tmp_path):
    hub, config = places(hour)
    report = update(config.__class__(tmp_path / "home", config.hub), hub, server="", every_h=0)
    current = tmp_path / "home" / "models" / "sets" / (tmp_path / "home" / "models" / "current").read_text(encoding="utf-8").strip()
    assert report.changed and report.release.serial == 1
    named = IconModel.load(current)(np.stack([np.asarray(crop(i, 2, turn=1)) for i in range(12)]), [frozenset(NAMES)] * 12)
    first = [match.alternatives[0][0] for match in named]
    assert sum(name == right for name, right in zip(first, NAMES)) >= 6, "three steps of training name most; chance names one in twelve"
    assert ScreenModel.load(current)(screen("TRAITS", 3)).by == "screens"
    for name in older_client.DEMANDED: assert (tmp_path / "home" / "models" / name).read_bytes() == (current / name).read_bytes()  # flat, where older programs look
    older_client.Icons(tmp_path / "home" / "models")


def test_an_eighth_kind_of_screen_does_not_become_an_eighth_row(hour, delivered, tmp_path):
    hub, config = places(hour)
    assert "DISCARD" not in SCREEN_TYPES
    shutil.copytree(hour / "hub", tmp_path / "hub")
    there, _ = places(tmp_path)
    before = screen_winners(there, config.data_repo)
    there.commit(config.data_repo, [Add(f"staging/player-1/screen_types/DISCARD/{i:064x}.png", b"x") for i in range(9)], "a newer program")
    assert screen_winners(there, config.data_repo) == before and len(before) == 35
    eight = shutil.copytree(hour / "out", tmp_path / "eight")
    (eight / "screen_classifier_labels.json").write_text(json.dumps({str(i): f"T{i}" for i in range(8)}), encoding="utf-8")
    with pytest.raises(ModelError, match="expected 7, found 8"): publish(there, config, eight)
    with pytest.raises(ModelError, match="head of screen_classifier.pt"): check_state_dicts(eight)
    with pytest.raises(RuntimeError, match="size mismatch"): older_client.Screens(eight)
