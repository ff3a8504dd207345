"Who may be published: the canary, the split it comes from, the time a run has, and a training of one's own."
import argparse
import time
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from hypothesis import given, settings
from hypothesis import strategies as st

from warp.cli import minutes
from warp.config import Config
from warp.errors import GateError, InputError
from warp.hub import MemoryHub
from warp.release.manifest import toy_set
from warp.release.publish import Verdict, ask_gate, gate, publish, read_run
from warp.train import job
from warp.train.canary import Canary, Comparison, chance_of, fair_rows, hold_back, save_canary
from warp.train.samples import Samples

ITEMS = ["Ablative Shell", "Deuterium Tank", "Phaser Array", "Quantum Torpedo Launcher", "__empty__"]


def samples_of(rows: list[tuple[str, str, str]]) -> tuple[Samples, list[str]]:
    "Rows of (name, install, picture)."
    return Samples(np.zeros((len(rows), 1, 1, 3), np.uint8), *(list(column) for column in zip(*rows))), [f"{i:064x}" for i in range(len(rows))]


communities = st.lists(st.tuples(st.integers(0, 12).map("item {}".format), st.integers(0, 7).map("install {}".format), st.integers(0, 3)), min_size=30, max_size=160).map(
    lambda rows: [(name, install, f"{install} {shot}") for name, install, shot in rows])


# ---- what is held back

@given(communities, st.integers(0, 3), st.floats(0.3, 0.9))
@settings(max_examples=30, deadline=None)
def test_held_back_once_is_held_back_for_ever(rows, seed, then):
    first = rows[:max(20, int(then * len(rows)))]
    before, shas = samples_of(first)
    split = hold_back(before, shas, seed)
    again = hold_back(before, shas, seed)
    assert (split.train.tolist(), split.valid.tolist(), split.by) == (again.train.tolist(), again.valid.tolist(), again.by), "the same seed gives the same split"
    held, learnt = {shas[i] for i in split.valid}, {shas[i] for i in split.train}
    after, shas = samples_of(rows)
    later = hold_back(after, shas, seed, held, learnt)
    assert sorted([*later.train, *later.valid]) == list(range(len(rows)))
    assert not learnt & {shas[i] for i in later.valid}, "nothing is judged by what a network has learnt"
    assert held <= {shas[i] for i in later.valid}, "what was held back stays so, for whoever has learnt keeps on having others of that name"
    if split.by == "install and picture": assert not {before.installs[i] for i in split.valid} & {before.installs[i] for i in split.train} - _given_back(before, split)


def _given_back(samples: Samples, split) -> set[str]:
    "Installs of rows that went back to training because their name had no other."
    held = {samples.names[i] for i in split.valid}
    return {samples.installs[i] for i in split.train if samples.names[i] not in held}


@given(communities, st.integers(0, 3))
@settings(max_examples=30, deadline=None)
def test_a_name_seen_once_is_for_training(rows, seed):
    samples, shas = samples_of(rows)
    split = hold_back(samples, shas, seed)
    assert set(samples.names) == {samples.names[i] for i in split.train}
    shots = {samples.shots[i] for i in split.valid}
    mixed = [i for i in split.train if samples.shots[i] in shots]
    assert all(samples.names[i] not in {samples.names[j] for j in split.valid} for i in mixed), "a picture stands on both sides only for names that have no other crop"


def test_a_fifth_is_held_back_and_not_more_than_two_thousand():
    many, shas = samples_of([(f"item {i % 900}", f"install {i % 400}", f"shot {i % 1600}") for i in range(20_000)])
    split = hold_back(many, shas)
    assert split.by == "install and picture" and 1900 <= len(split.valid) <= 3000
    few, shas = samples_of([(f"item {i % 9}", f"install {i % 3}", f"shot {i % 30}") for i in range(300)])
    split = hold_back(few, shas)
    assert split.by == "picture" and 45 <= len(split.valid) <= 90


# ---- the canary

def test_chance_is_that_of_a_coin():
    assert chance_of(0, 0) == 1 and chance_of(5, 0) == 1 / 32 and chance_of(0, 9) == 1
    throws = np.random.default_rng(1).binomial(16, 0.5, 40_000)
    assert abs(chance_of(12, 4) - (throws >= 12).mean()) < 0.004
    assert chance_of(np.int64(1500), np.int64(400)) < 1e-9, "whole numbers of any size"


def test_only_what_neither_has_learnt_is_fair():
    held = Canary(list("abcd"), ["x", "x", "y", "z"], ["Shield"] * 4, np.zeros((4, 64, 64, 3), np.uint8))
    assert fair_rows(held, held_by_served={"a"}, learnt_by_served={"a", "b"}, known={"x", "y"}) == [0, 2]


def comparison(lost: int, won: int, n: int = 400, right: int = 380) -> Comparison:
    names = tuple(map(str, range(n)))
    return Comparison("the embedder", names, tuple("" if i < lost or i >= right + won else name for i, name in enumerate(names)), tuple(name if i < right else "" for i, name in enumerate(names)))


def test_the_canary_decides(tmp_path):
    folder = toy_set(tmp_path / "one", ITEMS, 1)
    hub, config = MemoryHub(), Config(tmp_path / "home", "memory")
    served, run = publish(hub, config, folder), read_run(folder)
    flattered = run | {"embedder": {"val_acc": 0.2, "interval": [0.1, 0.3]}}  # what a run says of itself no longer matters
    assert gate(flattered, folder, served, folder, run, [comparison(3, 3)]) == [] != gate(flattered, folder, served, folder, run)
    [reason] = gate(run, folder, served, folder, run, [comparison(14, 4), comparison(1, 0)])
    assert "names 370 of 400 canary crops where the served one names 380: it loses 14 and gains 4, which is chance 1.5% of the time" in reason
    assert "more than 10 points less" in gate(run, folder, served, folder, run, [comparison(60, 5)])[0]


def test_a_verdict_of_another_day_is_asked_again(tmp_path):
    hub, config = MemoryHub(), Config(tmp_path / "home", "memory")
    first, second = (toy_set(tmp_path / name, ITEMS, seed) for seed, name in enumerate(("one", "two")))
    publish(hub, config, first)
    verdict = ask_gate(hub, config, second)
    assert verdict.reasons == [] and verdict.served.serial == 1 and "the gate is open" in verdict._repr_markdown_()
    shut = replace(verdict, reasons=["somebody was worse"])
    with pytest.raises(GateError, match="somebody was worse"): publish(hub, config, second, verdict=shut)
    assert publish(hub, config, second, verdict=Verdict("another day", None, ["somebody was worse"])).serial == 2, "it does not hold for this state of the hub"


def test_a_damaged_canary_is_a_reason_and_no_traceback(tmp_path):
    hub, config = MemoryHub(), Config(tmp_path / "home", "memory")
    first, second = (toy_set(tmp_path / name, ITEMS, seed) for seed, name in enumerate(("one", "two")))
    publish(hub, config, first)
    save_canary(Canary([f"{i:064x}" for i in range(40)], ITEMS[:4] * 10, ["Devices"] * 40, np.zeros((40, 64, 64, 3), np.uint8)), second)
    verdict = ask_gate(hub, config, second)  # a toy's classifier is no EfficientNet-B0
    assert any("the canary could not be asked" in reason and "icon_classifier.pt" in reason for reason in verdict.reasons)


def test_a_collapsed_gallery_is_no_model(tmp_path):
    folder = toy_set(tmp_path / "one", [f"Item {i}" for i in range(40)], 1)
    assert gate(read_run(folder), folder) == []
    with np.load(folder / "icon_gallery.npz") as z: parts = dict(z)
    parts["centroids"] = (np.ones_like(parts["centroids"]) + 0.02 * parts["centroids"]).astype(np.float16)
    np.savez(folder / "icon_gallery.npz", **parts)
    [reason] = gate(read_run(folder), folder)
    assert "collapsed" in reason and "0.9" in reason


# ---- time

def test_no_network_starves():
    for budget in (60, 600, 3000, 7200):
        embedder, screens = job.shares(budget)
        assert embedder <= 900 and screens <= 480 and budget - embedder - screens >= 0.2 * budget


def test_nothing_is_trained_past_the_runners_time(tmp_path):
    def hour(**options): return job.open_hour(MemoryHub(), Config(tmp_path, "memory"), tmp_path / "out", progress=False, **options)
    assert hour(budget_minutes=50).budget_s == 3000
    late = hour(budget_minutes=50, until=time.time() + 600)
    assert 590 < late.budget_s <= 600 and 540 < late.left < 570, "something is kept for the gate"
    assert hour(budget_minutes=50, until=time.time() - 5).left == 1.0


@pytest.mark.parametrize("text, expected", [("50m", 50), ("90s", 1.5), ("1.5h", 90), ("8", 8)])
def test_times_as_people_write_them(text, expected): assert minutes(text) == expected


@pytest.mark.parametrize("text", ["soon", "", "-5m", "0", "5d"])
def test_no_times(text):
    with pytest.raises(argparse.ArgumentTypeError, match="write 50m, 90s or 1.5h"): minutes(text)


def test_mistyped_parameters_are_named():
    cells = ["", 'hub = ""\nforce = False  # so', "# Parameters\nforce = True\n"]
    job.check_parameters(cells)
    job.check_parameters(["", "anything = 1"])  # run by hand
    with pytest.raises(InputError, match="forse cannot be set here: expected some of hub, force"): job.check_parameters([*cells[:2], "# Parameters\nforse = True\n"])


# ---- training

def test_a_backbone_that_is_let_go_learns():
    from warp.train.classifier import Plan, _learn, prepare_classifier
    from warp.train.loop import Deadline
    from warp.train.samples import Split
    rng = np.random.default_rng(1)
    samples = Samples(rng.integers(0, 255, (8, 64, 64, 3), dtype=np.uint8), ["A", "B"] * 4, ["x"] * 8, [str(i) for i in range(8)])
    lesson, _, _ = prepare_classifier(samples, Split(np.arange(8), np.arange(0), "nothing"), ([], np.empty((0, 64, 64, 4), np.uint8)), 0, 0.0, None)
    lesson.size = 8
    stem = next(lesson.net.features.parameters())
    head, seen = lesson.net.classifier[1].weight, [stem.detach().clone()]
    heads = [head.detach().clone()]
    def note(progress: float, score: float) -> None:
        seen.append(stem.detach().clone())
        heads.append(head.detach().clone())
    _learn(lesson, Plan(2, 8, 0), Deadline(600), 1e-2, True, 5, False, note)
    assert torch.equal(seen[0], seen[1]) and not torch.equal(heads[0], heads[1]), "the backbone was held still while the head learnt"
    assert not torch.equal(seen[1], seen[-1]), "the optimiser was built anew"


def test_one_page_for_what_came_in_and_what_became_of_it():
    from warp.train.report import Judged, describe
    rng = np.random.default_rng(2)
    pictures = rng.integers(0, 255, (12, 64, 64, 3), dtype=np.uint8)
    pictures[6] = pictures[0]
    samples = Samples(pictures, ["A", "B"] * 5 + ["C", "__empty__"], [f"i{i % 6}" for i in range(12)], [f"s{i}" for i in range(12)])
    samples.names[6] = "B"
    split = job.Split(np.arange(6), np.arange(6, 12), "picture")
    data = describe(samples, split, ["Shield"] * 12)
    assert [(t.held, t.learnt, t.apart) for t in data.twins] == [(6, 0, 0)] and len(data.conflicts) == 1 and data.conflict_sheet().height > 60
    assert data.record() | {"slots": 0} == {"crops": 12, "names": 4, "single": 2, "largest": 6, "installs": 6, "screenshots": 12, "slots": 0, "virtual": 1, "learnt": 6, "held": 6,
                                            "by": "picture", "twins": 1, "conflicts": 1}
    judged = Judged(samples.pictures[6:], samples.names[6:], ["B", "B", "A", "", "C", "A"], ["Shield"] * 5 + ["Engines"], np.arange(6) == 0)
    assert judged.per_slot == {"Engines": (0, 1), "Shield": (4, 5)} and judged.per_name["B"] == (2, 3)
    assert judged.confusions[0][:3] == ("B", "", 1) and judged.record()["without_twins"]["n"] == 5 and judged.sheet().width > 200


def test_own_crops_are_icons_with_names_that_exist(tmp_path):
    from PIL import Image

    from warp.data.store import Store
    from warp.knowledge.vocabulary import Vocabulary
    from warp.records import Box
    from warp.release.local import own_crops
    vocabulary, rng = Vocabulary.load(), np.random.default_rng(3)
    name = sorted(vocabulary.names("Shield"))[0]
    with Store(tmp_path / "data") as store:  # no vocabulary: as an older program wrote it
        Image.fromarray(rng.integers(0, 255, (400, 600, 3), dtype=np.uint8)).save(tmp_path / "a.png")
        shot = store.add(tmp_path / "a.png")
        store.set_screen_type(shot, "SPACE_EQ")
        store.confirm(shot, Box(10, 10, 40, 50), "Shield", name)
        store.confirm(shot, Box(100, 10, 40, 50), "Devices", "No Such Thing")
        store.confirm(shot, Box(10, 100, 200, 20), "Ship Type", "Fleet Support Cruiser")
        lost = store.confirm(shot, Box(200, 10, 40, 50), "Engines", sorted(vocabulary.names("Engines"))[0])
        store.crop_file(lost.crop_sha256).unlink()
        own = own_crops(store, vocabulary)
    assert (own.samples.names, own.slots, own.samples.shots) == ([name], ["Shield"], [shot])


