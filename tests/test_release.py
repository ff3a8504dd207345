"""What a release is, and its publication: wrong sets, gates, rivals, and processes that die at every step."""

import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from warp.config import Config, read_json, write_json
from warp.errors import ConflictError, GateError, HubError, ModelError, NotFoundError, TrainingError
from warp.hub import Add, FolderHub, MemoryHub
from warp.records import Release, parse_time
from warp.release.manifest import (REQUIRED, SCREENS, TOGETHER, check_labels, check_state_dicts, file_stamp, newer, output_width, parse_release,
                                   read_gallery, read_labels, read_release, require_files, stamp, toy_set, verify)
from warp.release.publish import build_release, gate, publish, read_run, restore, worse

pytest.importorskip("torch")
ITEMS = [f"Item {i}" for i in range(10)]
ROOT = Path(__file__).parent.parent


@pytest.fixture
def folder(tmp_path):
    return toy_set(tmp_path / "set", ITEMS)


@pytest.fixture
def config(tmp_path):
    return Config(tmp_path / "home", "memory")


def served_serial(hub, config):
    path = "models/model_version.json"
    return json.loads(hub.read(config.delivery_repo, path))["serial"] if hub.exists(config.delivery_repo, path) else None


# What a release is

def test_stamp_names_a_missing_file(folder):
    with pytest.raises(ModelError, match="nope.onnx cannot be read"): stamp(folder, ["nope.onnx"])


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: data + b"x", lambda data: b"?" + data[1:], lambda data: b""])
def test_verify_finds_every_damage(folder, damage):
    release = build_release(folder, None, read_run(folder))
    verify(folder, release)
    path = folder / "icon_gallery.npz"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ModelError, match=r"icon_gallery\.npz.*has \d+ bytes.*found \d+ bytes"): verify(folder, release)


def test_verify_refuses_what_has_no_digest(folder):
    with pytest.raises(ModelError, match="no digest for label_map.json"): verify(folder, Release("v", "2026-11-20", 1, 0, 1, 1), ["label_map.json"])


def wrong_gallery(folder, **arrays):
    np.savez(folder / "icon_gallery.npz", **{"names": np.array(ITEMS), "centroids": np.ones((len(ITEMS), 8), np.float16), **arrays})


WRONG = {
    "gallery of another width": (lambda f: wrong_gallery(f, centroids=np.ones((len(ITEMS), 6), np.float16)), "not made in one run"),
    "names without rows": (lambda f: wrong_gallery(f, names=np.array(ITEMS[:3])), "one finite row"),
    "rows of NaN": (lambda f: wrong_gallery(f, centroids=np.full((len(ITEMS), 8), np.nan, np.float16)), "one finite row"),
    "objects in the gallery": (lambda f: wrong_gallery(f, names=np.array(ITEMS, dtype=object)), "is no gallery"),
    "a gap in the labels": (lambda f: write_json(f / "label_map.json", {"0": "a", "2": "b"}), "is no label map"),
    "two labels alike": (lambda f: write_json(f / "label_map.json", {"0": "a", "1": "a"}), "is no label map"),
    "labels as a list": (lambda f: write_json(f / "label_map.json", ITEMS), "is no label map"),
    "torn labels": (lambda f: (f / "label_map.json").write_text('{"0": "a', encoding="utf-8"), "is no label map"),
    "fewer labels than classes": (lambda f: write_json(f / "label_map.json", {"0": "a"}), "expected 1, found 10"),
    "an eighth screen type": (lambda f: write_json(f / "screen_classifier_labels.json", {str(i): f"T{i}" for i in range(8)}), "expected 7, found 8"),
    "no network at all": (lambda f: (f / "icon_embedder.onnx").write_bytes(b"<html>429</html>"), "does not load"),
    "weights without labels": (lambda f: (f / "label_map.json").unlink(), "needs label_map.json"),
    "screens without labels": (lambda f: (f / "screen_classifier_labels.json").unlink(), "without screen_classifier_labels.json"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_set_that_does_not_fit_is_refused(folder, what):
    spoil, message = WRONG[what]
    spoil(folder)
    with pytest.raises(ModelError, match=message): check_labels(folder)


def test_a_set_without_screens_fits(folder):
    for name in SCREENS: (folder / name).unlink()
    check_labels(folder)
    check_state_dicts(folder)


def test_groups_hold_required_or_optional_files_only():
    assert {n for group in TOGETHER for n in group} <= set(REQUIRED) | set(SCREENS) | {"detector.onnx", "detector_contract.json"}
    require_files(REQUIRED)


def test_output_width_is_read_from_the_network(folder):
    assert (output_width(folder / "icon_embedder.onnx"), output_width(folder / "screen_classifier.onnx")) == (8, 7)
    assert len(read_labels(folder / "label_map.json")) == len(read_gallery(folder / "icon_gallery.npz")[0]) == 10


def test_a_pickle_with_a_program_in_it_is_not_run(folder, tmp_path):
    import torch
    trap = tmp_path / "sprung"

    class Trap:
        def __reduce__(self): return open, (str(trap), "w")

    torch.save({"classifier.1.weight": Trap()}, folder / "icon_classifier.pt")
    with pytest.raises(ModelError, match="is no state dict"): check_state_dicts(folder)
    assert not trap.exists()


def test_heads_that_do_not_fit_their_labels_are_refused(folder):
    import torch
    torch.save({"classifier.1.weight": torch.zeros(11, 4)}, folder / "icon_classifier.pt")
    with pytest.raises(ModelError, match="expected 10, found 11"): check_state_dicts(folder)


ZERO = {"sha256": "0" * 64, "size": 1}


@pytest.mark.parametrize("crooked", [{"serial": "3"}, {"serial": -1}, {"serial": True}, {"serial": "../.."}, {"trained_at": "soon"}, {"trained_at": None},
                                     {"files": []}, {"files": {"a/b": ZERO}}, {"files": {"..": ZERO}}, {"files": {"a": ZERO | {"sha256": "00"}}},
                                     {"files": {"a": ZERO | {"size": -1}}}, {"files": {"a": {"size": 1}}}])
def test_crooked_descriptions_are_refused(folder, crooked):
    good = build_release(folder, None, read_run(folder)).to_json()
    with pytest.raises(ModelError, match="describes no release"): parse_release(good | crooked)


@pytest.mark.parametrize("record", [None, [], "x", 3, {}])
def test_other_json_is_no_release(record):
    with pytest.raises(ModelError, match="describes no release"): parse_release(record)


def test_a_description_of_the_seeds_is_read():
    old = {"version": "9f2c", "trained_at": "2026-03-23T14:00:00.123456+00:00Z", "n_classes": 604, "val_acc": 0.7412, "n_samples": 2231, "n_users": 4}
    release = parse_release(old)
    assert (release.serial, release.files, release.source) == (0, {}, "community")


def test_a_folder_without_a_release_has_none(tmp_path):
    assert read_release(tmp_path) is None
    (tmp_path / "model_version.json").write_text("{", encoding="utf-8")
    with pytest.raises(ModelError, match="is no JSON"): read_release(tmp_path)


def made(serial, day, source="community"): return Release("v", f"2026-11-{day:02d}T10:00:00Z", 5, 0.5, 100, 3, serial=serial, source=source)


@pytest.mark.parametrize(("remote", "local", "highest", "expected"), [
    (made(1, 1), None, 0, True), (made(3, 1), None, 5, False), (made(5, 1), None, 5, True),
    (made(4, 1), made(3, 9), 3, True), (made(3, 9), made(3, 1), 3, False), (made(2, 9), made(3, 1), 3, False), (made(4, 9), made(3, 1), 4, False),
    (made(0, 9), made(0, 1), 0, True), (made(0, 1), made(0, 9), 0, False), (made(0, 9), made(3, 1), 3, False), (made(1, 1), made(0, 9), 0, True),
    (made(4, 9), made(3, 8, "local"), 3, True), (made(4, 7), made(3, 8, "local"), 3, False), (made(3, 9), made(3, 8, "local"), 3, False),
    (made(4, 21), made(3, 29, "local"), 3, True), (made(4, 19), made(3, 29, "local"), 3, False)])
def test_which_release_is_newer(remote, local, highest, expected):
    assert newer(remote, local, parse_time("2026-11-20T12:00:00Z"), highest) is expected


def test_moments_are_compared_not_strings():
    early, late = (Release("v", t, 5, 0.5, 100, 3) for t in ("2026-11-20T10:00:00.5+00:00Z", "2026-11-20T10:00:01Z"))
    assert newer(late, early, parse_time("2026-11-21")) and not newer(early, late, parse_time("2026-11-21"))


# The gate

RUN = {"val_acc": 0.4, "epochs": 3, "embedder": {"val_acc": 0.95, "interval": [0.93, 0.97]}}
SERVED = Release("v", "2026-11-20T10:00:00Z", 10, 0.4, 100, 3, serial=3, embedder_val_acc=0.95, screen_val_acc=0.9)


@pytest.mark.parametrize(("change", "reason"), [
    ({"val_acc": None}, "no finished epoch"), ({"epochs": 0}, "no finished epoch"), ({"embedder": {"val_acc": None}}, "no finished epoch"),
    ({"n_wanted": 100, "n_missing": 3}, "3 of 100 wanted crops did not arrive"),
    ({"embedder": {"val_acc": 0.90, "interval": [0.88, 0.92]}}, "5.0 points less, of which chance explains 2.8"),
    ({"embedder": {"val_acc": 0.84}}, "more than 10 points less"),
    ({"screens": {"val_acc": 0.7}}, "the screen classifier reached 0.7000")])
def test_the_gate_closes(folder, change, reason):
    reasons = gate(RUN | change, folder, SERVED)
    assert len(reasons) == 1 and reason in reasons[0]


@pytest.mark.parametrize("change", [{}, {"n_wanted": 100, "n_missing": 2}, {"embedder": {"val_acc": 0.94, "interval": [0.92, 0.955]}}, {"embedder": None},
                                    {"screens": None}])
def test_the_gate_opens(folder, change):
    assert gate(RUN | change, folder, SERVED) == []


def test_the_first_release_needs_an_epoch_only(folder):
    assert gate(RUN | {"embedder": {"val_acc": 0.01}}, folder) == []


def test_lost_names_close_the_gate(folder, tmp_path):
    fewer, one_less = toy_set(tmp_path / "fewer", ITEMS[:8]), toy_set(tmp_path / "one", ITEMS[:9])
    assert gate(RUN, one_less, SERVED, folder) == []
    reasons = gate(RUN, fewer, SERVED, folder)
    assert len(reasons) == 2 and "keeps 8 of 10 served names" in reasons[0] and "Item 8, Item 9" in reasons[0]


def test_with_other_labels_only_the_outer_limit_counts(folder, tmp_path):
    more = toy_set(tmp_path / "more", [*ITEMS, "Item 10"])
    lower = RUN | {"embedder": {"val_acc": 0.90, "interval": [0.88, 0.92]}}
    assert gate(lower, more, SERVED, folder) == [] and len(gate(lower, folder, SERVED, folder)) == 1
    assert worse("it", {}, {"val_acc": 0.9}) is worse("it", {"val_acc": 0.9}, {}) is None


def test_the_served_interval_counts_too():
    new = {"val_acc": 0.98, "interval": [0.95, 0.99]}
    assert worse("it", new, {"val_acc": 1.0, "interval": [0.96, 1.0]}) is None  # a perfect score on few pictures is beaten by nobody, and need not be
    assert "2.0 points less" in worse("it", new, {"val_acc": 1.0, "interval": [0.999, 1.0]})


def test_a_hair_less_than_the_served_passes_by_its_recorded_interval(folder, config, tmp_path):
    hub = MemoryHub()
    write_json(folder / "run.json", read_json(folder / "run.json") | {"embedder": {"val_acc": 1.0, "interval": [0.93, 1.0]}})
    publish(hub, config, folder)
    second = toy_set(tmp_path / "second", ITEMS, seed=2, embedder={"val_acc": 0.95, "interval": [0.949, 0.951]})
    assert publish(hub, config, second).serial == 2


def test_our_own_loader_takes_the_toy_set(folder):
    from warp.match.model import IconModel
    assert IconModel.load(folder).embed(np.zeros((2, 64, 64, 3), np.uint8)).shape == (2, 8)


# Publishing

def test_a_release_has_all_its_files_and_counts_up(folder, config, tmp_path):
    hub = MemoryHub()
    (folder / "knowledge.json").write_text('{"knowledge": {}}', encoding="utf-8")
    first = publish(hub, config, folder)
    assert first.serial == 1 and first.version == file_stamp(folder / "icon_classifier.pt").sha256[:16] and first.n_classes == 10
    for name, expected in first.files.items():
        assert len(hub.read(config.delivery_repo, f"models/{name}")) == expected.size
    assert hub.exists(config.delivery_repo, "knowledge.json") and not hub.exists(config.delivery_repo, "models/run.json")
    second = publish(hub, config, toy_set(tmp_path / "second", ITEMS, seed=2))
    assert (second.serial, [r["serial"] for r in json.loads(hub.read(config.delivery_repo, "metrics.json"))]) == (2, [1, 2])


def test_asking_twice_publishes_once(folder, config):
    hub = MemoryHub()
    first = publish(hub, config, folder)
    head = hub.head(config.delivery_repo)
    assert publish(hub, config, folder) == first and hub.head(config.delivery_repo) == head


@pytest.mark.parametrize("tidy", [True, False], ids=["absent", "left by an earlier run"])
def test_what_was_not_trained_is_carried_over(tidy, folder, config, tmp_path):
    hub = MemoryHub()
    first = publish(hub, config, folder)
    second_set = toy_set(tmp_path / "second", ITEMS, seed=2, screens=None)
    if tidy:
        for name in SCREENS: (second_set / name).unlink()
    second = publish(hub, config, second_set)
    assert all(second.files[n] == first.files[n] for n in SCREENS) and second.screen_val_acc == 0.9
    hub.fetch(config.delivery_repo, [f"models/{n}" for n in second.files], tmp_path / "got")
    verify(tmp_path / "got" / "models", second)


def test_the_description_is_the_last_change(folder, config):
    class Watching(MemoryHub):
        def commit(self, repo, changes, message, parent=None):
            self.seen = [c.path for c in changes], parent
            return super().commit(repo, changes, message, parent)

    hub = Watching()
    publish(hub, config, folder)
    assert hub.seen[0][-1] == "models/model_version.json" and hub.seen[1] == ""


def test_a_worse_model_is_not_published(folder, config, tmp_path):
    hub = MemoryHub()
    publish(hub, config, folder)
    head = hub.head(config.delivery_repo)
    bad = toy_set(tmp_path / "bad", ITEMS, seed=2, embedder={"val_acc": 0.5, "interval": [0.4, 0.6]})
    with pytest.raises(GateError, match="release 1 stays.*0.5000"): publish(hub, config, bad)
    assert hub.head(config.delivery_repo) == head
    assert publish(hub, config, bad, force=True).serial == 2
    assert json.loads(hub.read(config.delivery_repo, "metrics.json"))[1]["overruled"]


def test_force_does_not_publish_what_is_no_model(folder, config):
    hub = MemoryHub()
    write_json(folder / "run.json", read_json(folder / "run.json") | {"epochs": 0})
    with pytest.raises(GateError, match="no finished epoch"): publish(hub, config, folder, force=True)
    (folder / "label_map.json").unlink()
    with pytest.raises(ModelError, match="label_map.json"): publish(hub, config, folder, force=True)
    (folder / "run.json").unlink()
    with pytest.raises(TrainingError, match="warp train"): publish(hub, config, folder, force=True)
    assert hub.head(config.delivery_repo) == ""


class Rivals(MemoryHub):
    "Somebody else commits just before each of our first `n` commits."
    def __init__(self, n): super().__init__(); self.n = n

    def commit(self, repo, changes, message, parent=None):
        if self.n:
            self.n -= 1
            super().commit(repo, changes[:1], "a rival", None)
        return super().commit(repo, changes, message, parent)


def test_a_rival_once_is_looked_at_again_twice_is_told(folder, config):
    assert publish(Rivals(1), config, folder).serial == 1
    with pytest.raises(ConflictError): publish(Rivals(2), config, folder)


def test_a_publication_that_dies_before_its_commit_changes_nothing(folder, config, tmp_path):
    class Dying(FolderHub):
        def commit(self, *args, **kwargs): raise KeyboardInterrupt

    publish(FolderHub(tmp_path / "hub"), config, folder)
    before = {p: p.read_bytes() for p in (tmp_path / "hub").rglob("*") if p.is_file()}
    with pytest.raises(KeyboardInterrupt): publish(Dying(tmp_path / "hub"), config, toy_set(tmp_path / "second", ITEMS, seed=2))
    assert {p: p.read_bytes() for p in (tmp_path / "hub").rglob("*") if p.is_file()} == before


def test_a_hub_that_answers_something_else_is_noticed(folder, config):
    class Forgetful(MemoryHub):
        def read(self, repo, path, revision=None): return b"{}"

    with pytest.raises(HubError, match="does not answer what was committed"): publish(Forgetful(), config, folder)


def test_torn_files_on_the_hub_stop_a_publication(folder, config, tmp_path):
    hub = FolderHub(tmp_path / "hub")
    publish(hub, config, folder)
    second = toy_set(tmp_path / "second", ITEMS, seed=2)
    for path, error in (("metrics.json", HubError), ("models/model_version.json", ModelError)):
        file = hub.folder(config.delivery_repo) / path
        whole = file.read_bytes()
        file.write_bytes(whole[:20])
        with pytest.raises(error, match="restore it"): publish(hub, config, second)
        file.write_bytes(whole)
    assert publish(hub, config, second).serial == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks at every step")
def test_a_publisher_killed_anywhere_leaves_a_whole_release(folder, config, tmp_path):
    hub = FolderHub(tmp_path / "hub")
    publish(hub, config, folder)
    toy_set(tmp_path / "home" / "trained", ITEMS, seed=2)
    (tmp_path / "out").mkdir()
    places = [str(tmp_path / name) for name in ("hub", "home", "out")]
    subprocess.run([sys.executable, str(ROOT / "tests" / "dying.py"), "publish", *places], check=True, env=os.environ | {"PYTHONPATH": str(ROOT)}, timeout=300)
    serials = []
    for step in sorted(tmp_path.glob("out/*"), key=lambda p: int(p.name)):
        left = FolderHub(step / "hub")
        head = left.head(config.delivery_repo)
        release = parse_release(json.loads(left.read(config.delivery_repo, "models/model_version.json", head)))
        left.fetch(config.delivery_repo, [f"models/{n}" for n in release.files], step / "got")
        verify(step / "got" / "models", release)
        serials.append(release.serial)
    assert serials == sorted(serials) and set(serials) == {1, 2} and len(serials) > 10
    assert publish(left, config, tmp_path / "home" / "trained").serial == 2


def test_toy_sets_are_made_alike(tmp_path):
    a, b, c = toy_set(tmp_path / "a", ITEMS, seed=1), toy_set(tmp_path / "b", ITEMS, seed=1), toy_set(tmp_path / "c", ITEMS, seed=2)
    assert stamp(a, REQUIRED) == stamp(b, REQUIRED) != stamp(c, REQUIRED)
    assert zipfile.is_zipfile(io.BytesIO((a / "icon_gallery.npz").read_bytes()))


# Taking one back

@pytest.fixture
def regretted(config, tmp_path):
    "A good release with screens, and one after it that somebody let through; the hub, and the revision of the good one."
    hub = MemoryHub()
    publish(hub, config, toy_set(tmp_path / "good", ITEMS, seed=1, trained_at="2025-01-01T10:00:00Z"))
    good = hub.head(config.delivery_repo)
    publish(hub, config, toy_set(tmp_path / "bad", ITEMS[:4], seed=2, trained_at="2025-01-01T11:00:00Z", embedder={"val_acc": 0.5, "interval": [0.4, 0.6]}), force=True)
    return hub, good


def test_a_release_taken_back_comes_again_as_the_newest(regretted, config):
    hub, good = regretted
    old, bad = (json.loads(hub.read(config.delivery_repo, "models/model_version.json", at)) for at in (good, None))
    again = restore(hub, config, good)
    assert (again.serial, again.version, again.n_classes, again.screen_val_acc) == (3, old["version"], 10, 0.9)
    assert {n: s.sha256 for n, s in again.files.items()} == {n: s["sha256"] for n, s in old["files"].items()}
    assert again.trained_at > bad["trained_at"] > old["trained_at"], "older clients compare these texts"
    for name, stamped in again.files.items(): assert len(hub.read(config.delivery_repo, f"models/{name}")) == stamped.size
    records = json.loads(hub.read(config.delivery_repo, "metrics.json"))
    assert [r["serial"] for r in records] == [1, 2, 3] and records[2]["restored"]["serial"] == 1 and records[2]["embedder"] == records[0]["embedder"]


def test_clients_follow_a_release_that_was_taken_back(regretted, config, tmp_path):
    from warp.release.update import update
    hub, good = regretted
    assert update(config, hub, server="", every_h=0, smoke=check_labels).release.serial == 2
    restore(hub, config, good)
    after = update(config, hub, server="", every_h=0, smoke=check_labels)
    assert (after.changed, after.release.serial, after.release.n_classes) == (True, 3, 10)


def test_carried_screens_are_restored_too(config, tmp_path):
    hub = MemoryHub()
    first = publish(hub, config, toy_set(tmp_path / "first", ITEMS, seed=1))
    publish(hub, config, toy_set(tmp_path / "second", ITEMS, seed=2, screens=None))
    carried = hub.head(config.delivery_repo)
    publish(hub, config, toy_set(tmp_path / "third", ITEMS, seed=3))
    again = restore(hub, config, carried)
    assert again.serial == 4 and all(again.files[n] == first.files[n] for n in SCREENS) and again.screen_val_acc == 0.9
    head = hub.head(config.delivery_repo)
    assert restore(hub, config, head) == again and hub.head(config.delivery_repo) == head, "what is served need not be published again"
    publish(hub, config, toy_set(tmp_path / "fourth", ITEMS, seed=4))
    assert restore(hub, config, head).files == again.files, "and once more, from what was restored"


def test_what_cannot_be_restored_is_a_sentence_and_changes_nothing(regretted, config, tmp_path):
    hub, good = regretted
    head = hub.head(config.delivery_repo)
    with pytest.raises(NotFoundError): restore(hub, config, "0" * 40)
    assert hub.head(config.delivery_repo) == head
    hub.commit(config.delivery_repo, [Add("models/label_map.json", b"{}")], "somebody's hand")
    damaged, third = hub.head(config.delivery_repo), toy_set(tmp_path / "third", ITEMS, seed=3)
    with pytest.raises(GateError, match="the served set is damaged"): publish(hub, config, third)
    publish(hub, config, third, force=True)
    with pytest.raises(ModelError, match="label_map.json"): restore(hub, config, damaged)
    hub.commit(config.delivery_repo, [Add("metrics.json", b"[]")], "and again")
    forgotten = hub.head(config.delivery_repo)
    publish(hub, config, toy_set(tmp_path / "fourth", ITEMS, seed=4), force=True)
    with pytest.raises(HubError, match="no record of release 3"): restore(hub, config, forgotten)
    assert restore(hub, config, good).serial == 5
