"Training, with tiny networks and few steps: what is promised about splits, deadlines, Ctrl-C, warm starts, files and skipped runs."
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from urllib.parse import quote_plus

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from warp.config import Config
from warp.data.crops import make_crop
from warp.errors import FetchError, ImageError, ModelError, TrainingError
from warp.hub import Add, Delete, MemoryHub
from warp.knowledge.vocabulary import Vocabulary
from warp.match.model import IconModel, screen_input
from warp.records import VIRTUAL_NAMES, Vote
from warp.train import art, classifier, embedder as embedding, gallery, job, loop, samples, screens

ROOT = Path(__file__).resolve().parent.parent
NAMES = sorted(Vocabulary.load().names("Tactical Consoles"))[:12]
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def icon(i):
    rng = np.random.default_rng(i)
    img = Image.new("RGBA", (49, 64))
    back, front = (tuple(int(v) for v in rng.integers(60, 250, 3)) for _ in range(2))
    draw = ImageDraw.Draw(img)
    draw.ellipse((2, 6, 47, 58), fill=back)
    draw.regular_polygon((24, 32, 15), 3 + i % 5, fill=front)
    return img


def crop(i, player, turn=0):
    slot = Image.new("RGBA", (49, 64), (20, 30 + 12 * player, 45, 255))
    slot.alpha_composite(icon(i))
    noise = np.random.default_rng([i, player, turn]).normal(0, 5, (64, 64, 3))
    return Image.fromarray((np.asarray(slot.convert("RGB").resize((64, 64))) * (0.8 + 0.05 * player) + noise).clip(0, 255).astype(np.uint8))


def some_samples(players=6):
    who = [(i, p) for p in range(players) for i in range(len(NAMES))]
    return samples.Samples(np.stack([np.asarray(crop(i, p)) for i, p in who]), [NAMES[i] for i, _ in who], [f"install-{p}" for _, p in who], [f"shot-{p}" for _, p in who])


SAMPLES = some_samples()
SPLIT = samples.split_samples(SAMPLES)
CLEAN = NAMES, np.stack([art.square_icon(icon(i)) for i in range(len(NAMES))])


@pytest.fixture(scope="module")
def embedder(): return embedding.train_embedder(SAMPLES, SPLIT, CLEAN, steps=60, width=8, progress=False)


# ---- art

def test_made_crops_repeat_with_their_seed_and_differ_without():
    clean = art.as_tensor(CLEAN[1])
    one, same, other = (art.compose(clean, torch.arange(12), art.seeded(s)) for s in (1, 1, 2))
    assert one.dtype == torch.uint8 and one.shape == (12, 3, 64, 64)
    assert torch.equal(one, same) and not torch.equal(one, other)
    assert art.compose(clean, torch.tensor([3]), art.seeded(1)).shape == (1, 3, 64, 64)


def test_references_are_read_by_the_hosts_file_names(tmp_path):
    for i, name in enumerate(NAMES): icon(i).save(tmp_path / f"{quote_plus(name)}.png")
    names, pictures = art.load_references(tmp_path)
    assert names == NAMES and pictures.shape == (12, 64, 64, 4)
    assert art.load_references(tmp_path, {NAMES[3]})[0] == [NAMES[3]]
    assert art.load_references(None)[1].shape == (0, 64, 64, 4)
    (tmp_path / "Torn.png").write_bytes(b"x")
    with pytest.raises(ImageError, match="Torn.png"): art.load_references(tmp_path)
    bad = []
    assert art.load_references(tmp_path, on_bad=bad.append)[0] == NAMES and len(bad) == 1


def test_transparent_pixels_do_not_bleed():
    img = Image.new("RGBA", (49, 64), (255, 0, 255, 0))
    ImageDraw.Draw(img).rectangle((10, 10, 38, 53), fill=(0, 200, 0, 255))
    square = art.square_icon(img)
    assert square[square[..., 3] > 0][:, 0].max() < 20  # no trace of the magenta


def test_empty_slots_come_in_both_kinds():
    pictures, kind = art.empty_slots(40, art.seeded(0))
    assert pictures.shape == (40, 3, 64, 64) and set(kind.tolist()) == {0, 1}


def test_art_never_imports_what_measures():
    for module in ("art", "samples", "loop", "embedder", "gallery", "classifier", "screens", "job"):
        assert "demo" not in (ROOT / "warp" / "train" / f"{module}.py").read_text(encoding="utf-8")


# ---- split, deadline, best

def test_whole_installs_are_held_back_with_their_pictures():
    assert SPLIT.by == "install and picture" and len(SPLIT.train) + len(SPLIT.valid) == len(SAMPLES)
    train, valid = SAMPLES.take(SPLIT.train), SAMPLES.take(SPLIT.valid)
    assert not set(train.installs) & set(valid.installs) and not set(train.shots) & set(valid.shots)
    assert 0.1 < len(valid) / len(SAMPLES) < 0.35
    assert np.array_equal(samples.split_samples(SAMPLES, 3).valid, samples.split_samples(SAMPLES, 3).valid)


def test_few_installs_are_split_by_picture_and_single_crops_stay():
    few = some_samples(3)
    few.shots = [f"{shot}-{i % 6}" for i, shot in enumerate(few.shots)]
    split = samples.split_samples(few)
    assert split.by == "picture" and not {few.shots[i] for i in split.train} & {few.shots[i] for i in split.valid}
    alone = SAMPLES.take(np.arange(12))
    assert samples.split_samples(alone).by == "nothing" and len(samples.split_samples(alone).train) == 12


def test_the_rate_ends_at_zero_when_the_time_does():
    now = [0.0]
    deadline = loop.Deadline(10, clock=lambda: now[0])
    for _ in range(8):
        now[0] += 1.05
        assert not deadline.over
        deadline.tick()
    now[0] = 9.45
    assert deadline.over  # another step would end after 10
    assert loop.rate_at(1.0) == 0 and loop.rate_at(0.15) == 1 and 0 < loop.rate_at(0) < 0.1


def test_mismatched_columns_are_refused():
    with pytest.raises(TrainingError, match="one of each per crop"): samples.Samples(SAMPLES.pictures, SAMPLES.names[:-1], SAMPLES.installs, SAMPLES.shots)


def test_wilson_contains_its_share():
    assert samples.wilson(0, 0) == (0.0, 1.0)
    low, high = samples.wilson(90, 100)
    assert 0.8 < low < 0.9 < high < 0.95


# ---- the embedder

def test_the_embedder_learns_and_repeats(embedder):
    again = embedding.train_embedder(SAMPLES, SPLIT, CLEAN, steps=60, width=8, progress=False)
    assert embedder.score == again.score > 0.5
    assert all(torch.equal(a, b) for a, b in zip(embedder.net.state_dict().values(), again.net.state_dict().values()))
    assert set(VIRTUAL_NAMES) < set(embedder.labels)


def test_what_is_published_loads_without_torch_and_knows_nothing_too(embedder, tmp_path):
    meta = gallery.publish_embedder(embedder, SAMPLES, SPLIT, CLEAN, tmp_path)
    code = f"""
import sys, numpy as np
from warp.match.model import IconModel
model = IconModel.load({str(tmp_path)!r})
print(len(model.gallery), model.embed(np.zeros((2, 64, 64, 3), np.uint8)).shape, 'torch' in sys.modules)"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert out.stdout.split() == ["14", "(2,", "256)", "False"], out.stderr
    assert meta["precision"] in ("int8", "fp32") and (meta["precision"] == "int8") == (meta["agreement"] >= gallery.MIN_AGREEMENT)
    model = IconModel.load(tmp_path)
    held = SAMPLES.take(SPLIT.valid)
    named = [m.alternatives[0][0] for m in model(held.pictures, [None] * len(held))]
    assert np.mean([a == b for a, b in zip(named, held.names)]) > 0.6
    assert {m["n"] for k, m in meta["metrics"].items() if k != "split"} == {len(held)}


def test_a_new_item_needs_a_picture_and_no_training(embedder):
    unseen = [*NAMES, "Zz New Console"], np.concatenate([CLEAN[1], art.square_icon(icon(77))[None]])
    wider = embedding.Embedder(**{**embedder.__dict__, "labels": [*embedder.labels, "Zz New Console"],
                              "head": embedding.CosineHead(256, len(embedder.labels) + 1)})
    with torch.no_grad(): wider.head.weight[:-1] = embedder.head.weight
    assert "Zz New Console" in gallery.build_gallery(wider, SAMPLES, SPLIT, unseen).items


@pytest.mark.parametrize("crops, clean", [(SAMPLES, ([], np.empty((0, 64, 64, 4), np.uint8))), (SAMPLES.take(np.arange(0)), CLEAN)])
def test_crops_alone_or_icons_alone_are_enough(crops, clean, tmp_path):
    split = samples.split_samples(crops)
    trained = embedding.train_embedder(crops, split, clean, steps=4, width=4, progress=False)
    gallery.publish_embedder(trained, crops, split, clean, tmp_path)
    assert len(IconModel.load(tmp_path).gallery) == 14


def test_nothing_at_all_is_an_error():
    nothing = SAMPLES.take(np.arange(0))
    with pytest.raises(TrainingError, match="neither crops nor clean icons"):
        embedding.train_embedder(nothing, samples.split_samples(nothing), ([], np.empty((0, 64, 64, 4), np.uint8)), steps=1, progress=False)


def test_a_warm_start_carries_rows_by_name(embedder, tmp_path):
    embedding.save_embedder(embedder.net, embedder.head, embedder.labels, tmp_path / "e.safetensors")
    previous = embedding.load_embedder(tmp_path / "e.safetensors")
    lesson, carried = embedding.prepare_embedder(SAMPLES, SPLIT, (NAMES[:6] + ["Aaa First"], np.concatenate([CLEAN[1][:6], CLEAN[1][:1]])), previous=previous)
    assert carried == len(embedder.labels) and lesson.labels[0] == "Aaa First"
    assert torch.equal(lesson.head.weight[lesson.labels.index(NAMES[7])], embedder.head.weight[embedder.labels.index(NAMES[7])])
    (tmp_path / "e.safetensors").write_bytes(b"torn")
    assert embedding.load_embedder(tmp_path / "e.safetensors") is None and embedding.load_embedder(None) is None


def test_a_real_interrupt_keeps_the_best_state():
    def press(progress, score):
        if progress >= 0.5: os.kill(os.getpid(), signal.SIGINT) if os.name != "nt" else signal.raise_signal(signal.SIGINT)
    assert threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try: stopped = embedding.train_embedder(SAMPLES, SPLIT, CLEAN, steps=40, width=4, progress=False, on_check=press)
    finally: signal.signal(signal.SIGINT, before)
    assert stopped.interrupted and 12 <= stopped.steps < 40


def test_an_interrupt_before_any_validation_leaves_nothing(monkeypatch):
    def press(self): raise KeyboardInterrupt
    monkeypatch.setattr(loop.Course, "step", press)
    with pytest.raises(TrainingError, match="before its first validation"): embedding.train_embedder(SAMPLES, SPLIT, CLEAN, steps=4, width=4, progress=False)


TOY = """
import hashlib, json, os, sys
from warp.train.embedder import train_embedder
from warp.train.samples import split_samples, toy_world
crops, clean = toy_world()
checks = []
def note(progress, score):
    checks.append(progress)
    if len(checks) == int(os.environ.get("DIES_AT", 0)): os.kill(os.getpid(), 9)
trained = train_embedder(crops, split_samples(crops, 1), clean, steps=12, width=4, progress=False, on_check=note, checkpoint=sys.argv[1] if sys.argv[1:] else None)
state = b"".join(v.contiguous().numpy().tobytes() for v in [*trained.net.state_dict().values(), *trained.head.state_dict().values()])
said = json.dumps({"digest": hashlib.sha256(state).hexdigest(), "score": trained.score, "steps": trained.steps, "checks": checks, "rank": os.environ.get("RANK")})
sys.stdout.write(said + "\\n")  # in one piece: two processes share the pipe, and `print` writes the end of the line by itself
"""


def toy(tmp_path, *command, **more):
    (tmp_path / "toy.py").write_text(TOY.replace("sys.argv[1] if sys.argv[1:]", "__import__('pathlib').Path(sys.argv[1]) if sys.argv[1:]"), encoding="utf-8")
    env = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)} | more
    done = subprocess.run([sys.executable, *command, str(tmp_path / "toy.py"), *([str(tmp_path / "toy.pt")] if more else [])], capture_output=True, text=True, env=env, cwd=tmp_path)
    return done, [json.loads(line[line.index("{"):]) for line in done.stdout.splitlines() if "{" in line]


@pytest.mark.skipif(os.name == "nt", reason="a process cannot kill itself so on Windows")
def test_a_killed_run_goes_on_as_if_nothing_had_happened(tmp_path):
    done, _ = toy(tmp_path, DIES_AT="3")
    assert done.returncode == -9 and (tmp_path / "toy.pt").is_file(), done.stderr
    _, [again] = toy(tmp_path, DIES_AT="0")
    _, [whole] = toy(tmp_path)
    assert again["digest"] == whole["digest"] and len(again["checks"]) < len(whole["checks"]), "to the bit, and not from the start"
    assert not (tmp_path / "toy.pt").exists()


@pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch has no processes that learn together")
def test_two_processes_learn_one_network(tmp_path):
    done, said = toy(tmp_path, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    assert done.returncode == 0, done.stderr[-3000:]
    assert sorted(one["rank"] for one in said) == ["0", "1"] and len({one["digest"] for one in said}) == 1
    assert {one["steps"] for one in said} == {12} and len({tuple(one["checks"]) for one in said}) == 1
    _, [alone] = toy(tmp_path)
    assert alone["digest"] != said[0]["digest"], "the second has added what it learnt"


def test_a_checkpoint_of_another_network_or_a_torn_one_is_passed_over(tmp_path):
    def learn(width, checkpoint=tmp_path / "c.pt", **more): return embedding.train_embedder(SAMPLES, SPLIT, CLEAN, steps=4, width=width, progress=False, checkpoint=checkpoint, **more)
    def die(progress, score):
        if progress >= 0.8: raise OSError("no power")
    with pytest.raises(OSError, match="no power"): learn(4, on_check=die)
    assert (tmp_path / "c.pt").is_file()
    assert learn(6).score == learn(6, None).score
    (tmp_path / "c.pt").write_bytes(b"torn")
    assert learn(4).score == learn(4, None).score


def test_fp32_says_what_torch_says_and_replaces_an_int8_that_disagrees(embedder, tmp_path, monkeypatch):
    monkeypatch.setattr(gallery, "MIN_AGREEMENT", 1.01)
    meta = gallery.publish_embedder(embedder, SAMPLES, SPLIT, CLEAN, tmp_path)
    assert meta["precision"] == "fp32"
    pictures = SAMPLES.pictures[:40]
    theirs, ours = IconModel.load(tmp_path).embed(pictures), embedding.embed_pictures(embedder.net, art.as_tensor(pictures)).numpy()
    assert np.abs(theirs - ours).max() < 1e-3


# ---- the classifier of older clients

def test_hard_negatives_are_capped_and_forgiven():
    chances = classifier.HardNegatives(2)
    wrong, right = torch.tensor([[9.0, 0.0]]), torch.tensor([1])
    for _ in range(9): chances.record(torch.tensor([0]), wrong, right)
    assert chances.weights.tolist() == [3.0, 1.0]
    chances.record(torch.tensor([0]), wrong, torch.tensor([0]))
    assert chances.weights.tolist() == [2.0, 1.0]


def test_a_class_weight_does_not_bend_the_focal_term():
    logits, target = torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.tensor([0, 1])
    same = classifier.focal_loss(logits, target, torch.tensor([5.0, 5.0]))
    assert same == pytest.approx(classifier.focal_loss(logits, target, torch.ones(2)).item(), rel=1e-6)
    assert classifier.class_weights(torch.tensor([0, 0, 0, 1]), 3).tolist() == pytest.approx([0.5, 1.5, 0.0])


def test_plans_fit_their_time():
    for seconds in (5, 30, 300, 1600):
        plan = classifier.plan_epochs(seconds, 0.004, 2000, 400, 100)
        cost = (plan.epochs * (plan.draws + 400 / 3) + plan.finish * classifier.COST_AT_224 + 100 * classifier.COST_AT_224 / 3) * 0.004
        assert plan.epochs >= 1 and cost <= max(seconds * 1.01, 3), (plan, cost)


def test_the_classifier_is_what_older_clients_load(tmp_path):
    from torchvision.models import efficientnet_b0
    trained = classifier.train_classifier(SAMPLES, SPLIT, CLEAN, plan=classifier.Plan(1, 64, 16), progress=False)
    classifier.publish_classifier(trained, tmp_path)
    labels = json.loads((tmp_path / "label_map.json").read_text(encoding="utf-8"))
    assert [labels[str(i)] for i in range(len(labels))] == sorted(NAMES)
    assert json.loads((tmp_path / "icon_classifier_meta.json").read_text(encoding="utf-8")) == {"n_classes": 12, "input_size": 224}
    net = efficientnet_b0(weights=None)
    net.classifier[1] = torch.nn.Linear(1280, 12)
    net.load_state_dict(torch.load(tmp_path / "icon_classifier.pt", weights_only=True), strict=True)
    previous = classifier.load_classifier(tmp_path)
    fewer = SAMPLES.take(np.array([i for i, name in enumerate(SAMPLES.names) if name != NAMES[0]]))
    fresh = classifier.new_classifier(11)
    assert classifier.carry_classifier(previous, fresh, NAMES[1:]) == 11
    assert torch.equal(fresh.classifier[1].weight[0], previous[0]["classifier.1.weight"][1])
    assert classifier.load_classifier(tmp_path / "nowhere") is None and len(fewer) < len(SAMPLES)
    (tmp_path / "icon_classifier.pt").write_bytes(b"PK")
    with pytest.raises(ModelError, match="no state dict"): classifier.load_classifier(tmp_path)


def test_older_clients_get_probabilities_that_mean_something():
    "A focal loss leaves a network too shy for a client that believes 0.7; the temperature is inside its last layer, and changes no answer."
    rng = np.random.default_rng(0)
    truth = torch.from_numpy(rng.integers(0, 5, 400))
    shy = torch.from_numpy(rng.normal(0, 0.2, (400, 5))).float()
    shy[torch.arange(400), truth] += 0.8
    temperature = gallery.fit_temperature(shy, truth)
    def promise(logits):
        score, said = logits.softmax(1).max(1)
        return (score > 0.7).float().mean().item(), gallery.reliability(score.numpy(), (said == truth).numpy())[1]
    (before, off), (after, less) = promise(shy), promise(shy / temperature)
    assert before < 0.1 and after > 0.8 and less < 0.05 < off, (before, after, off, less)
    assert gallery.fit_temperature(shy[:19], truth[:19]) == 1.0
    lesson, _, _ = classifier.prepare_classifier(SAMPLES, SPLIT, CLEAN, 0, 0.0, None)
    logits = lesson.said(lesson.held)
    temperature = classifier._calibrate(lesson, logits)
    assert torch.allclose(lesson.said(lesson.held) * temperature, logits, atol=1e-4)


def test_weights_that_cannot_be_had_are_no_crash(monkeypatch):
    import timm
    monkeypatch.setattr(timm, "create_model", lambda *a, **o: (_ for _ in ()).throw(OSError("no route to host")))
    assert classifier.pretrained_backbone() is None


def test_no_time_left_is_no_end_of_the_hour():
    "What the other networks have learnt is published, and this one is judged as it is."
    trained = classifier.train_classifier(SAMPLES, SPLIT, CLEAN, seconds=0.0, judge_most=8, progress=False)
    assert (trained.epochs, trained.judged, trained.interrupted) == (0, 8, False) and trained.score < 0.5


def test_one_name_cannot_be_classified():
    one = SAMPLES.take(np.array([i for i, name in enumerate(SAMPLES.names) if name == NAMES[0]]))
    with pytest.raises(TrainingError, match="at least two"): classifier.train_classifier(one, samples.split_samples(one), plan=classifier.Plan(1, 8, 0), progress=False)


# ---- screens

def screen(kind, i):
    rng = np.random.default_rng([i, len(kind)])
    img = Image.fromarray(rng.integers(0, 120, (4, 6, 3), dtype=np.uint8)).resize((224, 126))
    w, h = {"SPACE_EQ": (60, 90), "TRAITS": (130, 40)}[kind]
    ImageDraw.Draw(img).rectangle((9, 9, 9 + w, 9 + h), fill="#10161f", outline="#5a6b80")
    return screen_input(img)


def test_thin_screen_types_are_dropped_and_too_little_is_an_error():
    assert screens.drop_thin(["TRAITS"] * 5 + ["BOFFS"] * 6 + ["SPACE_EQ"] * 4) == (["BOFFS", "TRAITS"], {"SPACE_EQ": 4})
    with pytest.raises(TrainingError, match="at least 7"): screens.drop_thin(["TRAITS"] * 6)
    with pytest.raises(TrainingError, match="two types"): screens.drop_thin(["TRAITS"] * 6 + ["BOFFS"] * 4)
    held = screens.split_types(np.repeat([0, 1], [5, 30]))
    assert held[:5].sum() == 2 and held[5:].sum() == 6


def test_screen_models_train_export_and_start_warm(tmp_path):
    types = ["SPACE_EQ", "TRAITS"] * 6
    models = screens.train_screens(np.stack([screen(kind, i) for i, kind in enumerate(types)]), types, steps=3, progress=False)
    record = screens.publish_screens(models, tmp_path)
    assert record["types"] == ["SPACE_EQ", "TRAITS"] and record["n_samples"] == 12 and record["val_acc"] == max(record["dense_val_acc"], record["mobilenet_val_acc"])
    fresh = screens.new_screen_net(3)
    assert screens.carry_screens(screens.load_screens(tmp_path), fresh, ["BOFFS", "SPACE_EQ", "TRAITS"])
    assert torch.equal(fresh.classifier[3].weight[2], models.mobile.net.classifier[3].weight[1])
    assert torch.equal(fresh.classifier[0].weight, models.mobile.net.classifier[0].weight)  # only the last layer is new
    (tmp_path / "screen_classifier_labels.json").write_text('{"0": "TRAITS"}', encoding="utf-8")
    assert screens.load_screens(tmp_path) is None


# ---- the job

def put(hub, config, player, names=NAMES, day=20, screen_type=None):
    top, crops = f"staging/player-{player}", [make_crop(crop(i, player)) for i in range(len(names))]
    lines = "".join(json.dumps(Vote(c.sha256, "", name, "Tactical Consoles", f"2026-11-{day}T10:{i:02}:00Z", screenshot16=f"{player:016x}").to_json()) + "\n"
                    for i, (c, name) in enumerate(zip(crops, names))).encode()
    changes = [Add(f"{top}/crops/{c.sha256}.png", c.png) for c in crops] + [Add(f"{top}/annotations/{hashlib.sha256(lines).hexdigest()[:32]}.jsonl", lines)]
    for i in range(3 if screen_type else 0):
        for kind in ("SPACE_EQ", "TRAITS"):
            png = make_crop(Image.fromarray(screen(kind, 10 * player + i))).png
            changes.append(Add(f"{top}/screen_types/{kind}/{hashlib.sha256(png).hexdigest()}.png", png))
    hub.commit(config.data_repo, changes, "sync")


def release(hub, config, out): hub.commit(config.delivery_repo, [Add(f"models/{p.name}", p) for p in out.iterdir()], "release")


@pytest.fixture
def world(tmp_path):
    hub, config = MemoryHub(), Config(tmp_path / "home", "memory")
    for player in range(5): put(hub, config, player, screen_type=True)
    (tmp_path / "images").mkdir()
    for i, name in enumerate(NAMES): icon(i).save(tmp_path / "images" / f"{quote_plus(name)}.png")
    return hub, config, tmp_path


def run(world, out="out", **options): return job.train(world[0], world[1], world[2] / out, images=world[2] / "images", **{"steps": 3, "progress": False} | options)


def test_a_run_leaves_everything_that_a_release_needs(world):
    from warp.release.manifest import EVERYBODY, REQUIRED, SCREENS, TRAINER_ONLY
    report = run(world)
    there = {p.name for p in (world[2] / "out").iterdir()}
    assert there == {*REQUIRED, *SCREENS, *TRAINER_ONLY, *EVERYBODY, "knowledge.json", "run.json", "judged.json", "canary.npz"}
    record = json.loads((world[2] / "out" / "run.json").read_text(encoding="utf-8"))
    assert record["n_samples"] == 60 and record["n_users"] == 5 and record["n_classes"] == 12 and record["screens"]["n_samples"] == 30
    assert {"trained_at", "seed", "val_acc", "embedder", "data_revision", "seconds", "warnings"} <= set(record) and record["warnings"] == []
    assert record["data_revision"] == world[0].head(world[1].data_repo)
    assert "classifier" in str(report) and "| embedder |" in report._repr_markdown_()


def test_unchanged_few_and_forced(world):
    hub, config, folder = world
    run(world)
    release(hub, config, folder / "out")
    assert "nothing has changed" in run(world, "two").skipped
    put(hub, config, 4, [NAMES[1], *NAMES[1:]], day=21)  # one label corrected: the crops are the same
    assert run(world, "two").skipped.startswith("1 crops are new, relabelled or gone")
    assert not (folder / "two").exists()
    again = run(world, "two", force=True)
    assert not again.skipped and again.run["embedder"]["warm_names"] == 14 and again.run["classifier"]["warm_rows"] == 12 and again.run["screens"]["warm"]
    assert not run(world, "three", min_new_crops=1).skipped


def test_an_empty_hub_is_a_sentence(tmp_path):
    assert "nobody has confirmed" in job.train(MemoryHub(), Config(tmp_path, "memory"), tmp_path / "out", progress=False).skipped
    assert "nobody has confirmed" in job.train(MemoryHub(), Config(tmp_path, "memory"), tmp_path / "out", progress=False, force=True).skipped


@pytest.mark.parametrize("late", [False, True], ids=["missing", "late"])
def test_missing_crops_stop_the_run(world, monkeypatch, late):
    hub, config, folder = world
    real = hub.fetch
    def forgetful(repo, paths, into, *args, **options):
        wanted = [p for p in paths if "/crops/" in p]
        found = real(repo, [p for p in paths if p not in wanted[:4]], into, *args, **options)
        if late and wanted: raise FetchError("4 files did not come", found, dict.fromkeys(wanted[:4], "too slow"))
        return found._replace(missing=[*found.missing, *wanted[:4]])
    monkeypatch.setattr(hub, "fetch", forgetful)
    with pytest.raises(TrainingError, match="4 of 60 crops did not arrive"): run(world)
    assert not (folder / "out" / "run.json").exists()


def test_a_merge_changes_nothing_for_the_trainer_but_the_number_of_requests(world, monkeypatch):
    from warp.knowledge.curated import read_votes
    from warp.knowledge.merge import merge
    from warp.knowledge.staging import screen_winners
    (hub, config, folder), asked, real = world, [], MemoryHub.fetch
    monkeypatch.setattr(hub, "fetch", lambda repo, paths, *args, **options: asked.append(sorted(paths)) or real(hub, repo, paths, *args, **options))
    def gathered(cache):
        winners, asked[:] = read_votes(hub, config.data_repo).decide(), []
        assert job.fetch_crops(hub, config.data_repo, winners, cache) == ([], {})
        pictures, kept, bad = job.read_crops(cache, winners)
        screens, n = screen_winners(hub, config.data_repo), sum(map(len, asked))
        assert not bad and job.fetch_crops(hub, config.data_repo, screens, cache) == ([], {})
        return pictures.tobytes(), job.label_digest({w.crop_sha256: w.name for w in kept}), len(screens), n, sum(map(len, asked)) - n
    staged = gathered(folder / "staged")
    assert merge(hub, config, apply=True).commits and not [e for e in hub.list(config.data_repo, "staging/player-0") if e.path.endswith("crops")]
    packed = gathered(folder / "packed")
    assert staged[:3] == packed[:3] and staged[3:] == (60, 30) and packed[3:] == (1, 1)


def test_a_damaged_crop_and_unknown_names_are_left_out_and_said(world):
    hub, config, folder = world
    paths = [e.path for e in hub.list(config.data_repo, "staging/player-0/crops")]
    hub.commit(config.data_repo, [Add(paths[0], b"torn")], "damage")
    put(hub, config, 7, [f"No Such Console {i}" for i in range(3)])
    record = run(world).run
    assert record["n_samples"] == 59 and record["left_out"]["unknown_names"] == 3 and "left out" in record["warnings"][0]


def test_too_few_screens_are_a_warning_and_icons_still_go_out(world):
    hub, config, folder = world
    hub.commit(config.data_repo, [Delete(e.path) for p in range(1, 5) for kind in ("SPACE_EQ", "TRAITS") for e in hub.list(config.data_repo, f"staging/player-{p}/screen_types/{kind}")], "fewer")
    report = run(world)
    assert report.run["screens"] is None and "at least 7" in report.warnings[0]
    assert not (folder / "out" / "screen_classifier.pt").exists() and (folder / "out" / "icon_classifier.pt").exists()


def test_ctrl_c_in_the_job_keeps_a_publishable_set(world, monkeypatch):
    real, checks = loop.Best.offer, []
    def press(self, score):
        kept = real(self, score)
        checks.append(score)
        if len(checks) == 1: raise KeyboardInterrupt
        return kept
    monkeypatch.setattr(loop.Best, "offer", press)
    report = run(world, steps=6)
    assert report.interrupted and report.run["interrupted"] and report.run["embedder"]["interrupted"]
    assert len(IconModel.load(world[2] / "out").gallery) == 14 and (world[2] / "out" / "icon_classifier.pt").exists()


def test_the_budget_is_shared():
    assert job.shares(50 * 60) == (900.0, 480.0)
    for budget in (60, 150, 600): assert sum(job.shares(budget)) < 0.8 * budget


def test_the_manifest_notices_corrections():
    labels = {f"{i:064x}": NAMES[i % 5] for i in range(20)}
    manifest = job.training_manifest(labels)
    assert job.changes_since(manifest, labels) == 0 and manifest["count"] == 20
    first = next(iter(labels))
    assert job.changes_since(manifest, labels | {first: "Other"}) == 1
    assert job.changes_since(manifest, {k: v for k, v in labels.items() if k != first}) == 1
    assert job.changes_since({"crop_shas": list(labels)}, labels) == 0  # a manifest of older trainers


def test_the_training_notebook_has_its_parameters():
    cells = json.loads((ROOT / "nbs/runs/train.ipynb").read_text(encoding="utf-8"))["cells"]
    assert cells[0]["cell_type"] == "raw" and "skip_exec: true" in "".join(cells[0]["source"])
    tagged = [c for c in cells if "parameters" in c["metadata"].get("tags", [])]
    assert len(tagged) == 1
    assert {line.split(" = ")[0] for line in "".join(tagged[0]["source"]).splitlines()} == {"hub", "out", "images", "budget_minutes", "until", "min_new_crops", "force", "parts", "trust", "seed", "steps", "publish"}
