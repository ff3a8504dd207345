"""The updater: whatever happens on the way, a working set stays in use."""

import errno
import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

from warp.config import Config, current_set, read_json, write_atomic, write_json
from warp.errors import HubError, LockedError, ModelError, NotFoundError, StoreError
from warp.hub import Add, FolderHub, MemoryHub
from warp.release.manifest import REQUIRED, SCREENS, check_labels, client_files, read_release, stamp, toy_set, verify
from warp.release.publish import publish
from warp.release.update import update

pytest.importorskip("torch")
ROOT = Path(__file__).parent.parent
ITEMS = [f"Item {i}" for i in range(5)]
NOW, DAY = 1_795_176_000.0, 86_400.0  # 2026-11-20 12:00 UTC
MODELS = "models/"


class Counted(FolderHub):
    "A folder hub that writes down what it is asked, and can be told to fail."
    def __init__(self, root): super().__init__(root); self.calls, self.fetched, self.on_fetch = [], [], None

    def head(self, repo): self.calls.append("head"); return super().head(repo)

    def read(self, repo, path, revision=None): self.calls.append(f"read {path}"); return super().read(repo, path, revision)

    def fetch(self, repo, paths, into, revision=None, progress=False):
        self.calls.append("fetch")
        self.fetched = [Path(p).name for p in paths]
        fetched = super().fetch(repo, paths, into, revision, progress)
        if self.on_fetch: self.on_fetch(into)
        return fetched


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    "Three trained sets; the first two share their screens' labels, the third knows other items."
    root = tmp_path_factory.mktemp("trained")
    return [toy_set(root / str(n), ITEMS, seed=n, trained_at=f"2026-11-{10 + n}T10:00:00Z") for n in (1, 2, 3)]


@pytest.fixture
def config(tmp_path):
    return Config(tmp_path / "home", str(tmp_path / "hub"))


@pytest.fixture
def hub(config, trained):
    "A hub with the first release."
    hub = Counted(config.hub)
    publish(hub, config, trained[0])
    hub.calls.clear()
    return hub


@pytest.fixture
def installed(config, hub):
    "A machine with the first release, a day before NOW."
    assert update(config, hub, now=NOW - 2 * DAY).changed
    hub.calls.clear()
    return config


def in_use(config):
    "The serial in use, after looking at every byte and letting the models answer."
    folder = current_set(config.models)
    release = read_release(folder)
    verify(folder, release, client_files(release))
    check_labels(folder)
    return release.serial


def on_hub(hub, config, name): return hub.folder(config.delivery_repo) / "models" / name


def touched(config): return {p: (p.stat().st_mtime_ns, p.stat().st_size) for p in config.home.rglob("*") if p.is_file()}


# The good days

def test_the_first_release_is_installed(config, hub):
    report = update(config, hub, now=NOW)
    assert report.changed and report.release.serial == in_use(config) == 1
    record = read_json(current_set(config.models) / "model_version.json")
    assert record["source"] == "community" and record["downloaded_at"] == "2026-11-20T12:00:00Z" and record["revision"] == hub.head(config.delivery_repo)
    assert {p.name for p in config.models.iterdir()} >= {*REQUIRED, *SCREENS, "model_version.json", "current", "model_version_remote_cache.json"}
    assert not list(config.models.glob("sets/*.part"))


def test_what_only_trainers_need_stays_on_the_hub(config, hub):
    update(config, hub, now=NOW)
    assert "training_manifest.json" not in hub.fetched and not list(config.models.rglob("training_manifest.json"))


def test_nothing_new_is_one_question_and_one_written_file(installed, hub):
    before = touched(installed)
    report = update(installed, hub, now=NOW)
    after = touched(installed)
    assert not report.changed and hub.calls == ["read models/model_version.json"]
    assert {p.name for p in after if before.get(p) != after[p]} - {".update.lock"} == {"model_version_remote_cache.json"}


def test_within_a_day_nobody_asks(installed, hub):
    before = touched(installed)
    assert "less than 24 hours" in update(installed, hub, now=NOW - 2 * DAY + 3600).reason and hub.calls == []
    assert {p for p, t in touched(installed).items() if before.get(p) != t and p.name != ".update.lock"} == set()
    assert update(installed, hub, now=NOW - 2 * DAY + 3600, every_h=0.5).reason.endswith("is installed") and hub.calls


@pytest.mark.parametrize("text", ['{"last_check": 9e12}', '{"last_check": "monday"}', '{"last_che', "[]", ""])
def test_a_strange_time_stamp_silences_nobody(installed, hub, text):
    (installed.models / "model_version_remote_cache.json").write_text(text, encoding="utf-8")
    update(installed, hub, now=NOW)
    assert hub.calls and read_json(installed.models / "model_version_remote_cache.json")["last_check"] == NOW


def test_the_next_release_fetches_only_what_changed(installed, hub, trained):
    publish(hub, installed, trained[1])
    report = update(installed, hub, now=NOW)
    assert report.changed and in_use(installed) == 2
    assert "icon_embedder.onnx" in hub.fetched and "label_map.json" not in hub.fetched
    assert (installed.models / "icon_classifier.pt").read_bytes() == (trained[1] / "icon_classifier.pt").read_bytes()
    assert read_json(installed.models / "model_version.json")["serial"] == 2


def test_two_sets_are_kept(installed, hub, trained):
    for n, folder in enumerate(trained[1:], 1):
        publish(hub, installed, folder)
        update(installed, hub, now=NOW + n * DAY)
    assert sorted(p.name for p in installed.models.glob("sets/*")) == ["2", "3"] and in_use(installed) == 3


def test_a_check_alone_installs_nothing(installed, hub, trained):
    publish(hub, installed, trained[1])
    before = touched(installed)
    report = update(installed, hub, check_only=True, now=NOW)
    assert not report.changed and report.offered.serial == 2 and report.release.serial == 1 and "takes the place of 1" in report.reason
    assert {p for p, t in touched(installed).items() if before.get(p) != t and p.name != ".update.lock"} == set()


def test_nothing_published_is_no_error(config):
    report = update(config, MemoryHub(), now=NOW)
    assert (report.changed, report.release, report.reason) == (False, None, "nothing is published yet")


def test_the_overrides_come_along(config, hub):
    record = {"knowledge": {"00ff00ff00ff00ff": "Item 1"}, "algorithm": "phash-dct-64", "votes": {"00ff00ff00ff00ff": {"Item 1": 2}},
              "updated_at": "2026-11-20T10:00:00Z", "entries": 1}
    hub.commit(config.delivery_repo, [Add("knowledge.json", json.dumps(record).encode())], "overrides")
    update(config, hub, now=NOW)
    assert read_json(config.knowledge / "knowledge_cache.json") == {k: record[k] for k in ("knowledge", "votes", "algorithm")} | {"fetched_at": NOW}


@pytest.mark.parametrize("torn", [b"{", b"[]", b"3"])
def test_torn_overrides_do_not_stop_an_update(config, hub, torn):
    write_json(config.knowledge / "knowledge_cache.json", {"knowledge": {}, "fetched_at": 1})
    hub.commit(config.delivery_repo, [Add("knowledge.json", torn)], "overrides")
    assert update(config, hub, now=NOW).changed and read_json(config.knowledge / "knowledge_cache.json")["fetched_at"] == 1


# Faults: each leaves the set in use, and the next attempt succeeds

def spoil_byte(data): return data[:30] + bytes([data[30] ^ 1]) + data[31:]


@pytest.mark.parametrize("name", ["icon_embedder.onnx", "icon_gallery.npz", "icon_classifier.pt", "label_map.json", "screen_classifier.onnx"])
@pytest.mark.parametrize("spoil", [spoil_byte, lambda data: data[:-7], lambda data: data + b"!", lambda data: b"", None],
                         ids=["flipped", "torn", "longer", "empty", "gone"])
def test_a_wrong_file_is_named_and_refused(installed, hub, trained, name, spoil):
    publish(hub, installed, trained[1])
    path = on_hub(hub, installed, name)
    whole = path.read_bytes()
    if name == "label_map.json": (current_set(installed.models) / name).write_bytes(whole + b" ")  # else it would not be fetched at all
    path.unlink() if spoil is None else path.write_bytes(spoil(whole))
    with pytest.raises(ModelError, match=name): update(installed, hub, now=NOW)
    path.write_bytes(whole)
    if name == "label_map.json": (current_set(installed.models) / name).write_bytes(whole)
    assert in_use(installed) == 1
    assert update(installed, hub, now=NOW + 2 * DAY).changed and in_use(installed) == 2


def test_a_spoilt_release_is_not_fetched_at_every_start(installed, hub, trained):
    publish(hub, installed, trained[1])
    on_hub(hub, installed, "icon_gallery.npz").write_bytes(b"spoilt")
    with pytest.raises(ModelError): update(installed, hub, now=NOW)
    hub.calls.clear()
    assert not update(installed, hub, now=NOW + 600).changed and hub.calls == []


def republish(hub, config, change):
    "Changes the description on the hub, as a broken or hostile publisher could."
    path = on_hub(hub, config, "model_version.json")
    path.write_text(json.dumps(change(json.loads(path.read_text(encoding="utf-8")))), encoding="utf-8")


def without(name):
    def change(record): record["files"].pop(name); return record
    return change


@pytest.mark.parametrize("name", ["label_map.json", "icon_gallery.npz", "icon_embedder.onnx", "screen_classifier_labels.json"])
def test_half_a_set_is_refused_before_anything_is_fetched(installed, hub, trained, name):
    publish(hub, installed, trained[1])
    republish(hub, installed, without(name))
    hub.calls.clear()
    with pytest.raises(ModelError, match=name): update(installed, hub, now=NOW)
    assert "fetch" not in hub.calls and in_use(installed) == 1


@pytest.mark.parametrize("change", [lambda r: r | {"serial": "../../../x"}, lambda r: r | {"files": {"../../x": {"sha256": "0" * 64, "size": 1}}},
                                    lambda r: [r], lambda r: {}], ids=["serial", "file name", "list", "nothing"])
def test_a_hostile_description_is_refused(installed, hub, trained, change):
    publish(hub, installed, trained[1])
    republish(hub, installed, change)
    with pytest.raises(ModelError, match="describes no release"): update(installed, hub, now=NOW)
    assert in_use(installed) == 1


def test_a_torn_description_is_refused(installed, hub):
    on_hub(hub, installed, "model_version.json").write_text('{"serial": 2', encoding="utf-8")
    with pytest.raises(ModelError, match="is no JSON"): update(installed, hub, now=NOW)
    assert in_use(installed) == 1


def test_unknown_files_of_a_later_release_are_left_alone(installed, hub, trained):
    publish(hub, installed, trained[1])
    republish(hub, installed, lambda r: r | {"files": r["files"] | {"voice.onnx": {"sha256": "0" * 64, "size": 10**12}}})
    assert update(installed, hub, now=NOW).changed and "voice.onnx" not in hub.fetched


def test_flawless_digests_of_parts_that_do_not_fit_are_refused(installed, hub, trained, tmp_path):
    mixed = shutil.copytree(trained[1], tmp_path / "mixed")
    write_json(mixed / "screen_classifier_labels.json", {str(i): f"T{i}" for i in range(8)})
    publish(hub, installed, trained[1])
    stamps = {n: s._asdict() for n, s in stamp(mixed, ["screen_classifier_labels.json"]).items()}
    shutil.copy(mixed / "screen_classifier_labels.json", on_hub(hub, installed, "screen_classifier_labels.json"))
    republish(hub, installed, lambda r: r | {"files": r["files"] | stamps})
    with pytest.raises(ModelError, match="not made in one run"): update(installed, hub, now=NOW)
    assert in_use(installed) == 1


def test_a_set_that_does_not_load_is_refused(installed, hub, trained):
    def smoke(folder): raise ModelError("it smokes")

    publish(hub, installed, trained[1])
    with pytest.raises(ModelError, match="it smokes"): update(installed, hub, now=NOW, smoke=smoke)
    assert in_use(installed) == 1
    hub.fetched = []
    assert update(installed, hub, now=NOW + 2 * DAY).changed and hub.fetched == ["knowledge.json"]  # the good bytes were kept


def test_a_full_disk_is_told_and_gets_its_room_back(installed, hub, trained):
    def full(into): raise OSError(errno.ENOSPC, "No space left on device")

    publish(hub, installed, trained[1])
    hub.on_fetch = full
    with pytest.raises(StoreError, match="No space left on device.*check the disk"): update(installed, hub, now=NOW)
    assert in_use(installed) == 1 and not list(installed.models.glob("sets/*.part"))
    hub.on_fetch = None
    assert update(installed, hub, now=NOW).changed  # no day's wait: the time was not noted


def test_too_little_room_is_told_before_fetching(installed, hub, trained, monkeypatch):
    publish(hub, installed, trained[1])
    hub.calls.clear()
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 5, 1000))
    with pytest.raises(StoreError, match="1,000 bytes free, release 2 needs"): update(installed, hub, now=NOW)
    assert "fetch" not in hub.calls and in_use(installed) == 1


def test_a_network_fault_is_raised_and_leaves_no_time_stamp(installed, hub, trained):
    def cut(into): raise HubError("connection reset")

    publish(hub, installed, trained[1])
    hub.on_fetch = cut
    with pytest.raises(HubError, match="connection reset"): update(installed, hub, now=NOW)
    hub.on_fetch = None
    assert in_use(installed) == 1 and update(installed, hub, now=NOW + 60).changed


def test_a_download_that_was_cut_off_is_taken_up_again(installed, hub, trained):
    def half(into):
        for name in ("icon_gallery.npz", "label_map.json"): (into / "models" / name).unlink(missing_ok=True)
        raise HubError("connection reset")

    publish(hub, installed, trained[1])
    hub.on_fetch = half
    with pytest.raises(HubError): update(installed, hub, now=NOW)
    hub.on_fetch = None
    update(installed, hub, now=NOW + 60)
    assert sorted(hub.fetched) == ["icon_gallery.npz", "knowledge.json"] and in_use(installed) == 2


def test_a_hub_that_moves_on_meanwhile_is_read_again(installed, hub, trained):
    def moves(into):
        if moving: hub.commit(installed.delivery_repo, [Add("README.md", moving.pop())], "a card")

    moving = [b"1"]
    publish(hub, installed, trained[1])
    real = FolderHub.fetch
    hub.fetch = lambda repo, paths, into, revision=None, progress=False: (moves(into), real(hub, repo, paths, into, revision, progress))[1]
    assert update(installed, hub, now=NOW).changed and in_use(installed) == 2
    publish(hub, installed, trained[2])
    moving = [b"2", b"3"]
    with pytest.raises(NotFoundError, match="no longer at"): update(installed, hub, now=NOW + 2 * DAY)
    assert in_use(installed) == 2


def test_two_updaters_do_not_meet(installed, hub):
    with FileLock(installed.models / ".update.lock"), pytest.raises(LockedError, match="another process is updating"): update(installed, hub, now=NOW)


def test_a_home_that_cannot_be_made_is_told(tmp_path, hub):
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(StoreError, match="cannot be written"): update(Config(tmp_path / "file", "x"), hub, now=NOW)


# Holes and losses on this machine

def test_missing_screens_do_not_wait_for_tomorrow(installed, hub):
    for name in SCREENS: (current_set(installed.models) / name).unlink()
    report = update(installed, hub, now=NOW - 2 * DAY + 60)
    assert report.changed and "damaged here" in report.reason and in_use(installed) == 1 and (current_set(installed.models) / SCREENS[0]).exists()
    assert set(hub.fetched) == {*SCREENS, "knowledge.json"}


def test_a_young_community_is_asked_for_screens_at_every_start(config, hub, trained, tmp_path):
    young = shutil.copytree(trained[1], tmp_path / "young")
    for name in SCREENS: (young / name).unlink()
    write_json(young / "run.json", read_json(young / "run.json") | {"screens": None})
    hub = Counted(tmp_path / "younghub")
    publish(hub, config, young)
    update(config, hub, now=NOW)
    publish(hub, config, trained[2])
    assert update(config, hub, now=NOW + 60).changed and in_use(config) == 2


def test_a_damaged_set_is_replaced_not_patched(installed, hub):
    folder = current_set(installed.models)
    path = folder / "icon_embedder.onnx"
    path.write_bytes(spoil_byte(path.read_bytes()))
    assert not update(installed, hub, now=NOW).changed  # the same size: not looked at every day
    report = update(installed, hub, now=NOW, force=True)
    assert report.changed and current_set(installed.models).name == "1-2" and in_use(installed) == 1
    assert not update(installed, hub, now=NOW, force=True).changed
    assert [p.name for p in installed.models.glob("sets/*")] == ["1-2"]


def test_a_lost_pointer_is_found_again_without_the_hub(installed):
    (installed.models / "current").unlink()
    with pytest.raises(HubError): update(installed, Unreachable(), now=NOW)
    assert in_use(installed) == 1


@pytest.mark.parametrize("name", ["model_version.json", "current"])
def test_a_torn_description_or_pointer_is_repaired(installed, hub, name):
    path = (current_set(installed.models) if name == "model_version.json" else installed.models) / name
    path.write_text("{", encoding="utf-8")
    update(installed, hub, now=NOW)
    assert in_use(installed) == 1


class Unreachable(MemoryHub):
    def read(self, *args): raise HubError("unreachable")


# Back, and lower

def test_rollback_and_what_follows(installed, hub, trained):
    publish(hub, installed, trained[1])
    update(installed, hub, now=NOW)
    report = update(installed, Unreachable(), rollback=True, now=NOW)
    assert report.changed and in_use(installed) == 1 and read_json(installed.models / "model_version.json")["serial"] == 1
    assert "left by a rollback" in update(installed, hub, now=NOW + 2 * DAY).reason and in_use(installed) == 1
    with pytest.raises(ModelError, match="nothing to go back to"): update(installed, hub, rollback=True)
    publish(hub, installed, trained[2])
    assert update(installed, hub, now=NOW + 4 * DAY).changed and in_use(installed) == 3
    update(installed, hub, rollback=True)
    assert in_use(installed) == 1  # the one that was in use before, not the one that was left


def test_force_takes_up_what_a_rollback_left(installed, hub, trained):
    publish(hub, installed, trained[1])
    update(installed, hub, now=NOW)
    update(installed, hub, rollback=True, now=NOW)
    hub.fetched = []
    assert update(installed, hub, force=True, now=NOW).changed and in_use(installed) == 2 and hub.fetched == []


def test_rollback_skips_a_damaged_set(installed, hub, trained):
    publish(hub, installed, trained[1])
    update(installed, hub, now=NOW)
    (installed.models / "sets" / "1" / "icon_gallery.npz").write_bytes(b"spoilt")
    with pytest.raises(ModelError, match="no sound set older than 2"): update(installed, hub, rollback=True)
    assert in_use(installed) == 2


@pytest.mark.parametrize("force", [False, True])
def test_a_lower_serial_is_refused(installed, hub, trained, force):
    publish(hub, installed, trained[1])
    update(installed, hub, now=NOW)
    older = Counted(Path(installed.hub).with_name("older"))
    publish(older, installed, trained[0])
    report = update(installed, older, now=NOW + 2 * DAY, force=force)
    assert not report.changed and "a lower one is refused" in report.reason and in_use(installed) == 2


def test_another_release_of_the_same_number_needs_force(installed, trained, tmp_path):
    other = Counted(tmp_path / "other")
    publish(other, installed, trained[2])
    assert not update(installed, other, now=NOW).changed
    assert update(installed, other, now=NOW, force=True).changed and current_set(installed.models).name == "1-2"
    assert read_release(current_set(installed.models)).trained_at == "2026-11-13T10:00:00Z"


# A set trained here

def train_here(config, trained_at):
    "Turns the set in use into one trained on this machine."
    path = current_set(config.models) / "model_version.json"
    write_json(path, read_json(path) | {"source": "local", "trained_at": trained_at})


@pytest.mark.parametrize(("trained_at", "changed"), [("2026-11-11T10:00:00Z", True), ("2026-11-12T10:00:00Z", False), ("2026-11-19T10:00:00Z", False)])
def test_a_local_set_stays_until_a_later_one_is_published(installed, hub, trained, trained_at, changed):
    train_here(installed, trained_at)
    publish(hub, installed, trained[1])  # trained on the 12th
    report = update(installed, hub, now=NOW)
    assert report.changed is changed
    if not changed: assert "the set trained here" in report.reason and update(installed, hub, now=NOW, force=True).changed


def test_a_local_clock_that_ran_ahead_pins_nobody(installed, hub, trained, tmp_path):
    train_here(installed, "2036-01-01T00:00:00Z")
    publish(hub, installed, trained[1])
    assert not update(installed, hub, now=NOW).changed  # counts as trained now
    assert read_release(current_set(installed.models)).trained_at == "2026-11-20T12:00:00Z"
    later = shutil.copytree(trained[2], tmp_path / "later")
    write_json(later / "run.json", read_json(later / "run.json") | {"trained_at": "2026-11-21T10:00:00Z"})
    publish(hub, installed, later)
    assert update(installed, hub, now=NOW + 2 * DAY).changed


# Older tools

def test_an_interrupted_flat_copy_is_finished(installed, hub):
    (installed.models / "model_version.json").unlink()
    (installed.models / "label_map.json").write_text("old", encoding="utf-8")
    update(installed, hub, now=NOW - 2 * DAY + 60)
    assert hub.calls == [] and (installed.models / "label_map.json").read_bytes() == (current_set(installed.models) / "label_map.json").read_bytes()


def test_a_flat_file_that_is_held_open_does_not_stop_an_update(installed, hub, trained, monkeypatch):
    def held(path, content):
        if path.parent == installed.models and path.name in REQUIRED: raise StoreError("in use")
        write_atomic(path, content)

    publish(hub, installed, trained[1])
    monkeypatch.setattr("warp.release.update.write_atomic", held)
    assert update(installed, hub, now=NOW).changed and in_use(installed) == 2
    monkeypatch.undo()
    update(installed, hub, now=NOW + 60)
    assert read_json(installed.models / "model_version.json")["serial"] == 2


# Death

def dying(act, tmp_path, step=""):
    places = [str(tmp_path / name) for name in ("hub", "home", "out")]
    command = [sys.executable, str(ROOT / "tests" / "dying.py"), act, *places, *([str(step)] if step else [])]
    return subprocess.run(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, timeout=300).returncode


def look_after_death(step, hub, allowed):
    "The serial in use as the dead process left it, and (after every third death, to save time) that the next update mends everything."
    config = Config(step / "home", "x")
    serial = in_use(config)
    assert serial in allowed
    if int(step.name) % 3: return serial
    update(config, hub, now=NOW, every_h=0)
    assert in_use(config) == max(allowed) and read_json(config.models / "model_version.json")["serial"] == max(allowed)
    assert not [p for p in config.models.glob("sets/*") if p.name.endswith(".part") and max(allowed) != serial]
    return serial


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks at every step")
def test_an_update_killed_anywhere_leaves_a_working_set(installed, hub, trained, tmp_path):
    publish(hub, installed, trained[1])
    assert dying("update", tmp_path) == 0
    steps = sorted((tmp_path / "out").iterdir(), key=lambda p: int(p.name))
    serials = [look_after_death(step, hub, {1, 2}) for step in steps]
    assert serials == sorted(serials) and set(serials) == {1, 2} and len(serials) > 60


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks at every step")
def test_a_disk_that_is_full_from_any_write_on_leaves_a_working_set(installed, hub, trained, tmp_path):
    "Whatever is raised is ours, the models in use load, and with room again the next update brings the rest."
    publish(hub, installed, trained[1])
    assert dying("full", tmp_path) == 0
    steps = sorted((tmp_path / "out").iterdir(), key=lambda p: int(p.name))
    serials = [look_after_death(step, hub, {1, 2}) for step in steps]
    assert serials == sorted(serials) and set(serials) == {1, 2} and len(serials) > 25


REALLY_FULL = """
import os, resource, sys
from pathlib import Path
from warp.config import Config, current_set
from warp.errors import StoreError
from warp.hub import FolderHub
from warp.release.manifest import check_labels, client_files, read_release, verify
from warp.release.update import update
home, hub, how, *sizes = sys.argv[1:]
config, no_limit = Config(Path(home), hub), resource.RLIM_INFINITY

class Shrinking(FolderHub):
    "Takes all but so many bytes of the home's disk, once the updater has seen that there is room."
    def fetch(self, *what, **more):
        with open(config.home / "filler", "wb") as filler:
            disk = os.statvfs(home)
            os.posix_fallocate(filler.fileno(), 0, max(1, disk.f_bavail * disk.f_frsize - size))
        return super().fetch(*what, **more)

for size in map(int, sizes):
    if how == "files": resource.setrlimit(resource.RLIMIT_FSIZE, (size, no_limit))
    try: said = str(update(config, Shrinking(hub) if how == "disk" else FolderHub(hub), now=1_795_176_000.0).release.serial)
    except StoreError as e: said = f"{e}"
    resource.setrlimit(resource.RLIMIT_FSIZE, (no_limit, no_limit))
    (config.home / "filler").unlink(missing_ok=True)
    folder = current_set(config.models)
    release = read_release(folder)
    verify(folder, release, client_files(release))
    check_labels(folder)
    print(release.serial, len(list(config.models.glob("sets/*.part"))), said, sep="|")
"""


def on_a_small_disk(at: Path, home: Path) -> list[str]:
    "The beginning of a command that has a copy of a home on a file system of 32 MB, which it alone sees; empty where nobody may mount one."
    at.mkdir()
    for begin in (["unshare", "-m"], ["unshare", "-Urm"]) if shutil.which("unshare") else ():
        mounted = [*begin, "sh", "-c", f'mount -t tmpfs -o size=32m tmpfs {at} && cp -r {home} {at} && exec "$@"', "sh"]
        if not subprocess.run([*mounted, "true"], capture_output=True).returncode: return mounted
    return []


@pytest.mark.skipif(os.name == "nt", reason="limits and mounts of POSIX")
@pytest.mark.parametrize("how", ["disk", "files"])
def test_a_disk_that_really_takes_no_more_leaves_a_working_set(installed, hub, trained, tmp_path, how):
    "A file system that the kernel finds full in the middle; and, for machines where none may be mounted, a size that no file may exceed."
    publish(hub, installed, trained[1])
    begin, home = on_a_small_disk(tmp_path / "small", installed.home) if how == "disk" else [], installed.home
    if how == "disk" and not begin: pytest.skip("nobody may mount a file system on this machine")
    if how == "disk": home = tmp_path / "small" / installed.home.name
    largest = max(p.stat().st_size for p in trained[1].iterdir())
    sizes = (0, 4096, largest // 2, largest) if how == "disk" else (1, 100, largest // 2, largest - 1)
    done = subprocess.run([*begin, sys.executable, "-c", REALLY_FULL, home, hub.root, how, *map(str, (*sizes, 1 << 24))], capture_output=True, text=True,
                          encoding="utf-8", cwd=ROOT, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    said = [line.split("|") for line in done.stdout.splitlines()]
    assert [(serial, rubbish) for serial, rubbish, _ in said] == [("1", "0")] * 4 + [("2", "0")] and said[-1][2] == "2"
    assert all(("No space left" if how == "disk" else "File too large") in why and "the set in use stays" in why for *_, why in said[:-1]), said


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks at every step")
def test_a_rollback_killed_anywhere_leaves_a_working_set(installed, hub, trained, tmp_path):
    publish(hub, installed, trained[1])
    update(installed, hub, now=NOW)
    assert dying("rollback", tmp_path) == 0
    for step in (tmp_path / "out").iterdir():
        config = Config(step / "home", "x")
        assert in_use(config) in (1, 2)
        update(config, hub, now=NOW, every_h=0)
        assert read_json(config.models / "model_version.json")["serial"] == in_use(config)


def test_processes_killed_at_random_steps_leave_a_working_set(installed, hub, trained, tmp_path):
    publish(hub, installed, trained[1])
    (tmp_path / "out").mkdir()
    for step in random.Random(7).sample(range(3, 70, 3), 4):
        assert dying("update", tmp_path, step) != 0
        look_after_death(tmp_path / "out" / str(step), hub, {1, 2})


def test_the_updater_needs_no_torch(installed, hub, trained, tmp_path):
    publish(hub, installed, trained[1])
    code = ("import sys; sys.modules['torch'] = sys.modules['fastapi'] = sys.modules['duckdb'] = None\n"
            "from warp.config import Config, current_set; from warp.hub import FolderHub; from warp.release.update import update\n"
            f"config = Config(__import__('pathlib').Path({str(installed.home)!r}), '')\n"
            f"assert update(config, FolderHub({installed.hub!r}), now={NOW}).release.serial == 2")
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, timeout=120)
