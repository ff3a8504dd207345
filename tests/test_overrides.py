"""knowledge.json: what players put right, by the picture's hash."""

import json
from collections import Counter, defaultdict
from dataclasses import asdict, replace

import numpy as np
import pytest
from PIL import Image

from warp.data.crops import crop_phash, make_crop, open_image
from warp.errors import ImageError, InputError, VocabularyError
from warp.hub import Add, FolderHub, MemoryHub
from warp.knowledge.overrides import ALGORITHM, HASH, contribute, contribution, contribution_files, merge_overrides, read_contributions, tally_overrides
from warp.knowledge.vocabulary import Vocabulary

DELIVERY = "sets-sto/warp-knowledge"


@pytest.fixture(scope="module")
def vocabulary():
    return Vocabulary.load()


def picture(seed):
    rng = np.random.default_rng(seed)
    return make_crop(Image.fromarray(rng.integers(0, 255, (8, 6, 3), dtype=np.uint8)).resize((64, 64))).png


def test_contribution_recomputes_the_hash_and_leaves_no_address(vocabulary):
    hub = MemoryHub()
    words = ("ann", picture(1), "Gravity Well", "Tyken's Rift")
    said = contribute(hub, DELIVERY, contribution(*words, client_phash="0" * 16, timestamp="2026-11-20T10:00:00Z", vocabulary=vocabulary), picture(1))
    record = json.loads(hub.read(DELIVERY, f"contributions/2026-11-20/{said.contribution_id}.json"))
    assert record["phash"] == crop_phash(open_image(picture(1))) and record["client_phash"] == "0" * 16 and "ip_hash" not in record
    assert {"contribution_id", "install_id", "phash", "item_name", "wrong_name", "confirmed", "warp_version", "timestamp"} <= set(record)
    again = contribute(hub, DELIVERY, contribution(*words, timestamp="2026-11-20T10:00:00Z", vocabulary=vocabulary), picture(1))
    assert again.contribution_id == said.contribution_id and len(hub.list(DELIVERY, "contributions/2026-11-20")) == 2


@pytest.mark.parametrize(("png", "name", "error"), [(b"", "Gravity Well", ImageError), (b"x" * 150_001, "Gravity Well", ImageError),
                                                    (picture(1)[:900], "Gravity Well", ImageError),
                                                    (make_crop(Image.new("RGB", (64, 64), "#222")).png, "Gravity Well", ImageError),
                                                    (picture(1), "Test Item Name", VocabularyError),
                                                    (picture(1), "__boff_x", VocabularyError), (picture(1), "", VocabularyError)])
def test_contributions_refused_at_the_door(png, name, error):
    with pytest.raises(error): contribution("ann", png, name)


def test_record_and_picture_belong_together(vocabulary):
    hub, said = MemoryHub(), contribution("ann", picture(1), "Gravity Well", vocabulary=vocabulary)
    with pytest.raises(InputError, match="hand over the crop"): contribute(hub, DELIVERY, said, picture(2))
    assert hub.head(DELIVERY) == "" and [a.path.rpartition(".")[2] for a in contribution_files(said, picture(1))] == ["json", "png"]


@pytest.mark.parametrize("seed", range(6))
def test_overrides_agree_with_plain_python_in_any_order(seed, vocabulary):
    rng, names = np.random.default_rng(seed), [*sorted(vocabulary.icon_names)[:3], "__empty__", "Test Item Name"]
    base = [contribution("ann", picture(n), names[0], timestamp="2026-11-20T10:00:00Z", vocabulary=vocabulary) for n in range(4)]
    records = []
    for n in range(120):
        c = base[int(rng.integers(4))]
        records.append(replace(c, contribution_id=f"{n:016x}", install_id=f"i{rng.integers(6)}", item_name=names[int(rng.integers(5))],
                               timestamp=f"2026-11-20T10:{rng.integers(60):02d}:00Z"))
    latest = {}
    for c in sorted(records, key=lambda c: (c.timestamp, c.contribution_id)):
        if c.item_name != "Test Item Name": latest[c.phash, c.install_id] = c
    expected = defaultdict(Counter)
    for (phash, _), c in latest.items():
        if c.item_name != "__empty__": expected[phash][c.item_name] += 1
    merged = tally_overrides([records[i] for i in rng.permutation(120)], vocabulary)
    assert merged == tally_overrides(records, vocabulary) and merged["votes"] == expected
    assert all(merged["votes"][p][n] == max(merged["votes"][p].values()) for p, n in merged["knowledge"].items()) and merged["entries"] == len(expected)
    assert merged["tentative"] == sorted(p for p, tally in expected.items() if sum(tally.values()) == 1)


def test_merge_refuses_what_cannot_be_believed(tmp_path, vocabulary):
    hub = FolderHub(tmp_path)
    said = contribute(hub, DELIVERY, contribution("ann", picture(1), "Gravity Well", timestamp="2026-11-20T10:00:00Z"), picture(1))
    good = json.loads(hub.read(DELIVERY, f"{said.folder}/{said.contribution_id}.json"))
    odd = {"lies": good | {"phash": "f" * 16, "install_id": "ben"}, "unconfirmed": good | {"confirmed": False, "install_id": "cat"},
           "when": good | {"timestamp": "soon"},
           "who": good | {"install_id": "../x"}, "lacks": {k: v for k, v in good.items() if k != "item_name"}, "list": [1],
           "test": good | {"item_name": "Test Item Name"}, "when2": good | {"timestamp": "9999-12-31T23:59:59Z"},
           "when3": good | {"timestamp": "1969-12-31T23:59:59Z"},
           "name": good | {"item_name": ["Gravity Well"]}, "old": good | {"install_id": "old", "ip_hash": "12345678"}}
    adds = [Add(f"contributions/2026-11-19/{k}.json", json.dumps(v).encode()) for k, v in odd.items()]
    adds += [Add(f"contributions/2026-11-19/{k}.png", picture(1)) for k in odd]
    hub.commit(DELIVERY, [*adds, Add("contributions/2026-11-19/torn.json", b'{"a'), Add("contributions/2026-11-19/torn.png", picture(1)),
                          Add("contributions/README.md", b"x")], "odd")
    read = read_contributions(hub, DELIVERY)
    assert {c.install_id for c in read.records} == {"ann", "ben", "old"} and {c.phash for c in read.records} == {said.phash}
    assert len(read.refused) == 10 and all(why for _, why in read.refused)
    assert merge_overrides(hub, DELIVERY, vocabulary) == {"knowledge": {said.phash: "Gravity Well"}, "hash": HASH, "algorithm": ALGORITHM,
                                                          "votes": {said.phash: {"Gravity Well": 3}},
                                                          "tentative": [], "updated_at": "2026-11-20T10:00:00Z", "entries": 1}


def words(vocabulary, *said):
    "Contributions on pictures 1 and 2: (install, picture, name, day)."
    return [contribution(who, picture(n), name, timestamp=f"2026-11-{day}T10:00:00Z", vocabulary=vocabulary) for who, n, name, day in said]


def test_since_forgets_no_vote_and_changes_only_what_was_spoken_of(vocabulary):
    old = words(vocabulary, ("ann", 1, "Gravity Well", 10), ("ben", 1, "Gravity Well", 10), ("ann", 2, "Feedback Pulse", 10))
    published = tally_overrides(old, vocabulary)
    new = [*old, *words(vocabulary, ("cat", 1, "Tyken's Rift", 20), ("dan", 2, "Tyken's Rift", 12), ("eve", 2, "Tyken's Rift", 12))]
    one, two = (contribution("x", picture(n), "Gravity Well", vocabulary=vocabulary).phash for n in (1, 2))
    merged = tally_overrides(new, vocabulary, since="2026-11-20", published=published)
    assert merged["knowledge"] == {one: "Gravity Well", two: "Feedback Pulse"}
    assert merged["votes"][one] == {"Gravity Well": 2, "Tyken's Rift": 1}  # the old votes count
    assert tally_overrides(new, vocabulary)["knowledge"][two] == "Tyken's Rift"
    taken_back = [*new, *words(vocabulary, *((w, 2, "__empty__", 13) for w in ("ann", "dan", "eve")))]
    assert set(tally_overrides(taken_back, vocabulary, since="2026-11-20", published=published)["knowledge"]) == {one}  # nobody stands behind it any more
    forged = published | {"knowledge": published["knowledge"] | {two: "Test Item Name", "f" * 16: "Gravity Well"}}
    assert tally_overrides(new, vocabulary, since="2026-11-20", published=forged)["knowledge"] == {one: "Gravity Well"}


def test_since_reads_the_published_file_from_the_hub(vocabulary):
    hub = MemoryHub()
    for said, n in zip(words(vocabulary, ("ann", 1, "Gravity Well", 10), ("ben", 2, "Feedback Pulse", 20)), (1, 2)): contribute(hub, DELIVERY, said, picture(n))
    assert len(merge_overrides(hub, DELIVERY, vocabulary, since="2026-11-15")["knowledge"]) == 1  # nothing was published yet
    hub.commit(DELIVERY, [Add("knowledge.json", json.dumps(merge_overrides(hub, DELIVERY, vocabulary)).encode())], "merge")
    assert len(merge_overrides(hub, DELIVERY, vocabulary, since="2026-11-15")["knowledge"]) == 2


def test_min_counts_the_winners_votes(vocabulary):
    said = words(vocabulary, ("ann", 1, "Gravity Well", 10), ("ben", 1, "Feedback Pulse", 11), ("cat", 1, "Tyken's Rift", 12))
    assert tally_overrides(said, vocabulary, min_votes=2)["knowledge"] == {} and len(tally_overrides(said, vocabulary)["knowledge"]) == 1


def test_ties_go_to_the_earliest_then_to_the_smallest_install(vocabulary):
    said = words(vocabulary, ("zoe", 1, "Tyken's Rift", 10), ("ann", 1, "Gravity Well", 11))
    assert list(tally_overrides(said, vocabulary)["knowledge"].values()) == ["Tyken's Rift"]
    assert list(tally_overrides([replace(c, timestamp="2026-11-10T10:00:00Z") for c in said], vocabulary)["knowledge"].values()) == ["Gravity Well"]


def test_the_record_on_the_hub_has_the_fields_of_the_seeds(vocabulary):
    assert {"contribution_id", "install_id", "phash", "item_name", "wrong_name", "confirmed", "warp_version",
            "timestamp"} <= set(asdict(words(vocabulary, ("ann", 1, "Gravity Well", 10))[0]))


def test_a_denied_install_has_no_word_and_is_heard_again_without_the_denial(vocabulary):
    said = words(vocabulary, ("troll", 1, "Tyken's Rift", 10), ("ann", 1, "Gravity Well", 11), ("troll", 2, "Tyken's Rift", 12))
    assert tally_overrides(said, vocabulary, denied={"troll"}) == tally_overrides([said[1]], vocabulary) and len(tally_overrides(said, vocabulary)["votes"]) == 2
