"""A client of the seeds' time (2.6), as far as a release concerns it, written anew from their rules.

It imports nothing of warp: whatever it opens, the players who never updated their program can open too. It fetches six files from `models/`, demands two, copies them beside its program, rebuilds both
networks as torchvision has them with heads as wide as the label maps, loads the weights strictly, and compares times as strings.
"""
import json
import math
import re
import shutil
from pathlib import Path

import torch
from PIL import Image
from torchvision import models as architectures
from torchvision import transforms as T

FILES = ("icon_classifier.pt", "label_map.json", "icon_classifier_meta.json", "model_version.json", "screen_classifier.pt", "screen_classifier_labels.json")
LATER = ("ship_type_corrections.json", "community_anchors.json")  # fetched with the others since 2.3
DEMANDED = ("icon_classifier.pt", "label_map.json")
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's


def read(path: Path) -> dict: return json.loads(path.read_text(encoding="utf-8"))


def install(hub_models: Path, mine: Path, answer: dict) -> bool:
    "One check for updates, `answer` being what GET /model/version said: whether a set was installed."
    local = read(mine / "model_version.json") if (mine / "model_version.json").exists() else {}
    if not answer.get("available") or answer["trained_at"] <= local.get("trained_at", ""): return False  # strings, as they are
    there = [name for name in FILES + LATER if (hub_models / name).is_file()]
    if not set(DEMANDED) <= set(there): return False
    mine.mkdir(parents=True, exist_ok=True)
    for name in there: shutil.copy2(hub_models / name, mine / name)
    version = read(mine / "model_version.json") | {"source": "community", "downloaded_at": "2026-11-20T18:00:00Z"}
    (mine / "model_version.json").write_text(json.dumps(version), encoding="utf-8")
    return True


def _labels(path: Path) -> list[str]:
    labels = read(path)
    return [labels[str(i)] for i in range(len(labels))]


class Network:
    "A bare state dict in a rebuilt network, with its labels."

    def __init__(self, net: torch.nn.Module, weights: Path, labels: list[str]):
        net.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True), strict=True)
        self.net, self.labels = net.eval(), labels

    @torch.inference_mode()
    def shares(self, x: torch.Tensor) -> torch.Tensor: return self.net(x).softmax(1)

    def __call__(self, img: Image.Image) -> tuple[str, float]:
        shares = self.shares(self.prepared(img)[None])[0]
        return self.labels[int(shares.argmax())], float(shares.max())


class Icons(Network):
    "EfficientNet-B0; a crop has 64 pixels and is enlarged to what the meta file says."

    def __init__(self, models: Path):
        labels, meta = _labels(models / "label_map.json"), read(models / "icon_classifier_meta.json")
        assert meta == {"n_classes": len(labels), "input_size": 224}, meta
        net = architectures.efficientnet_b0(weights=None)
        net.classifier[1] = torch.nn.Linear(1280, len(labels))
        super().__init__(net, models / "icon_classifier.pt", labels)
        self._transform = T.Compose([T.Resize((meta["input_size"],) * 2), T.ToTensor(), T.Normalize(MEAN, STD)])

    def prepared(self, img: Image.Image) -> torch.Tensor: return self._transform(img.convert("RGB").resize((64, 64), Image.BOX))


class Screens(Network):
    "MobileNetV3-Small; the whole screenshot is squeezed into the square."

    def __init__(self, models: Path):
        labels, net = _labels(models / "screen_classifier_labels.json"), architectures.mobilenet_v3_small(weights=None)
        net.classifier[-1] = torch.nn.Linear(1024, len(labels))
        super().__init__(net, models / "screen_classifier.pt", labels)
        self._transform = T.Compose([T.ToTensor(), T.Normalize(MEAN, STD)])

    def prepared(self, img: Image.Image) -> torch.Tensor: return self._transform(img.convert("RGB").resize((224, 224), Image.BOX))


def overrides(record: dict) -> dict[str, str]:
    "knowledge.json, or the bare map of the first days."
    found = record.get("knowledge", record)
    assert all(re.fullmatch("[0-9a-f]{16}", key) and isinstance(name, str) and name for key, name in found.items()), found
    return found


def boxes(anchors: dict, kind: str, width: int, height: int) -> dict[str, list[tuple[float, float, float, float]]]:
    "Where the community says that slots are, on a screen of that type and size."
    fitting = [e for e in anchors["entries"] if e["type"] == kind and abs(e["aspect"] - width / height) < 0.05]
    if not fitting: return {}
    entry = max(fitting, key=lambda e: e["timestamp"])
    found = {}
    for slot, at in entry["slots"].items():
        w, h = at["w_rel"] * width, at["h_rel"] * height
        found[slot] = [((run["x0_rel"] + i * run["step_rel"]) * width, at["y_rel"] * height - h / 2, w, h)
                       for run in at.get("runs", [at]) for i in range(run["count"])]
        assert all(math.isfinite(v) for box in found[slot] for v in box)
    return found


def would_train(manifest: dict, voted: set[str]) -> bool:
    "Whether the hourly job of the seeds would train again."
    old = set(manifest["crop_shas"])
    return voted != old and len(voted - old) >= 10
