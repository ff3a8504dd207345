"""What the OCR misread and people put right: one install one vote, and what may not be taught to everybody."""

import numpy as np
import pytest

from warp.knowledge.corrections import PRIVATE, apply_correction, build_corrections, judge_corrections, nearest_tier, tally_corrections
from warp.knowledge.vocabulary import Vocabulary
from warp.knowledge.votes import Lines
from warp.records import Vote


@pytest.fixture(scope="module")
def vocabulary():
    return Vocabulary.load()


def text_vote(who, read, name, slot="Ship Type", minute=0, **more):
    return Vote(more.pop("crop", read + who).encode().hex()[:64].ljust(64, "0"), who, name, slot, f"2026-11-20T10:{minute:02d}:00Z", ml_name=read, **more)


def test_corrections_one_install_one_vote(vocabulary):
    name, other = "Fleet Support Cruiser", "Support Cruiser"
    said = [text_vote("ann", "F1eet Support Cruiser", name, minute=m, crop=f"c{m}") for m in range(9)]
    said += [text_vote(w, "F1eet Support Cruiser", other) for w in ("ben", "cat")]
    assert build_corrections(said, vocabulary) == {"F1eet Support Cruiser": other}
    assert tally_corrections(said)[0].tally == {name: 1, other: 2}
    gone = [text_vote(w, "F1eet Support Cruiser", other, minute=30, withdrawn=True) for w in ("ben", "cat")]
    assert build_corrections([*said, *gone], vocabulary) == {"F1eet Support Cruiser": name}


@pytest.mark.parametrize(("read", "name", "slot"), [("T6-X2", "T1", "Ship Tier"), ("Support Cruiser", "T6", "Ship Tier"), ("T6-Xz", "T1", "Ship Tier"),
                                                    ("gibberish", "T6", "Ship Tier"),
                                                    ("Supp0rt Cruiser", "My Cruiser", "Ship Type"), ("Supp0rt Cruiser", "T6", "Ship Type"),
                                                    ("U.S.S. Support", "Support Cruiser", "Ship Type"),
                                                    ("Black Pearl", "Support Cruiser", "Ship Type"), ("", "Support Cruiser", "Ship Type")])
def test_corrections_that_must_not_be(vocabulary, read, name, slot):
    assert build_corrections([text_vote("ann", read, name, slot)], vocabulary) == {}


def test_corrections_of_tiers_and_their_use(vocabulary):
    table = build_corrections([text_vote("ann", "[T6-Xz]", "T6-X2", "Ship Tier"), text_vote("ann", "X", "Gravity Well", "Boff Science")], vocabulary)
    assert table == {"[T6-Xz]": "T6-X2"} and apply_correction(" [T6-Xz] ", table) == "T6-X2" and apply_correction("other", table) == "other"


def only(said, vocabulary):
    "Why the one correction in these votes is refused; empty if it is published."
    judged = judge_corrections(said, vocabulary)
    assert len(judged.published) + len(judged.refused) == 1
    return judged.refused[0][1] if judged.refused else ""


@pytest.mark.parametrize(("read", "name", "slot", "installs", "why"), [
    ("T6-X2", "T1", "Ship Tier", 9, "what was read is a name that exists"), ("[t6-x2]", "T1", "Ship Tier", 9, "what was read is a name that exists"),
    ("[T5]", "T6-X2", "Ship Tier", 9, "what was read is a name that exists"), ("T6-X21", "T1", "Ship Tier", 9, "demotes a reading that is nearest to T6-X2"),
    ("T5-Xz", "T6-X2", "Ship Tier", 9, "the reading is nearest to T5-X2"), ("Tier", "T6", "Ship Tier", 1, "may be a ship's own name"),
    ("Support Cruiser", "T6", "Ship Tier", 5, "exists"),
    ("Supp0rt Cruiser", "T6", "Ship Type", 5, "a Ship Tier given as Ship Type"), ("T6-Xl", "Support Cruiser", "Ship Tier", 5, "a Ship Type given as Ship Tier"),
    ("Supp0rt Cruiser", "Cruisr", "Ship Type", 5, "not a name that Ship Type can hold"), ("SUPPORT CRUISER", "Fleet Support Cruiser", "Ship Type", 5, "exists"),
    ("Supp0rt\u202e Cruiser", "Support Cruiser", "Ship Type", 2, "characters that no screen shows"),
    ("U.S.S. Cruiser", "Support Cruiser", "Ship Type", 5, "own name"),
    ("U.S.S. Cruiser", "Nonsense", "Ship Type", 5, "own name"), ("SUPPORT CRUISER", "Support Cruiser", "Ship Type", 1, ""),
    ("[T6-X2]", "T6-X2", "Ship Tier", 1, "")])
def test_every_refusal_says_why(vocabulary, read, name, slot, installs, why):
    told = only([text_vote(f"i{n}", read, name, slot) for n in range(installs)], vocabulary)
    assert why in told and bool(why) == bool(told)


def test_one_install_needs_likeness_and_two_do_not(vocabulary):
    far = ("Escort Carr1er Retrofit", "Support Cruiser")
    assert only([text_vote("ann", *far)], vocabulary) == "one install alone, and the reading is nothing like the name"
    assert only([text_vote("ann", *far), text_vote("ben", *far)], vocabulary) == ""
    near = judge_corrections([text_vote("ann", "Supp0rt Cru1ser", "Support Cruiser")], vocabulary)
    assert near.table == {"Supp0rt Cru1ser": "Support Cruiser"} and [c.read for c in near.tentative] == ["Supp0rt Cru1ser"]
    assert judge_corrections([text_vote(w, "Supp0rt Cru1ser", "Support Cruiser") for w in ("ann", "ben")], vocabulary).tentative == []


def test_a_private_reading_is_shown_to_nobody(vocabulary):
    judged = judge_corrections([text_vote("ann", "U.S.S. Secret", "Support Cruiser"), text_vote("ann", "Grandma's Rowboat", "Support Cruiser")], vocabulary)
    assert [why for _, why in judged.refused] == [PRIVATE] * 2 and "Secret" not in judged._repr_markdown_() and "Rowboat" not in judged._repr_markdown_()


def test_one_picture_under_two_text_slots_is_no_vote(vocabulary):
    both = [text_vote("ann", "Supp0rt Cruiser", "Support Cruiser", crop="one"), text_vote("ann", "[T6-Xz]", "T6-X2", "Ship Tier", crop="one", minute=1)]
    judged = judge_corrections(both, vocabulary)
    assert judged.table == {} and [why for _, why in judged.refused] == ["one install gave this picture two slots"]
    between = text_vote("ann", "Supp0rt Cruiser", "Support Cruiser", crop="one", withdrawn=True)  # taken back first: no contradiction
    assert judge_corrections([both[0], between, both[1]], vocabulary).table == {"[T6-Xz]": "T6-X2"}
    moved = [both[1], text_vote("ann", "x", "Gravity Well", "Boff Science", crop="one", minute=5)]  # it was an icon after all
    assert judge_corrections(moved, vocabulary) == ([], [])


def test_the_slot_is_that_of_the_winners_voters(vocabulary):
    said = [text_vote("ann", "[T6-Xz]", "T6-X2", "Ship Type"), *(text_vote(w, "[T6-Xz]", "T6-X2", "Ship Tier", minute=1) for w in ("ben", "cat"))]
    assert [c.slot for c in tally_corrections(said)] == ["Ship Tier"] and build_corrections(said, vocabulary) == {"[T6-Xz]": "T6-X2"}


def oracle(votes):
    "One install, one vote, most votes, earliest, smallest install, alphabet: in plain loops."
    newest = {}
    for n, v in enumerate(votes):
        key = (v.confirmed_at, v.batch, n)
        if newest.get((v.crop_sha256, v.install_id), ((),))[0] < key: newest[v.crop_sha256, v.install_id] = (key, v)
    words = {}
    for _, v in newest.values():
        key = (v.confirmed_at, v.batch, v.crop_sha256)
        if not v.withdrawn and words.get((v.ml_name, v.install_id), ((),))[0] < key: words[v.ml_name, v.install_id] = (key, v)
    tally = {}
    for _, v in words.values(): tally.setdefault(v.ml_name, {}).setdefault(v.name, []).append((v.confirmed_at, v.install_id))
    best = {read: min(names, key=lambda n: (-len(names[n]), min(t for t, _ in names[n]), min(w for _, w in names[n]), n)) for read, names in tally.items()}
    return {read: (name, len(tally[read][name])) for read, name in best.items() if name != read}


@pytest.mark.parametrize("seed", range(6))
def test_the_tally_agrees_with_plain_loops_in_any_order(seed):
    rng = np.random.default_rng(seed)
    def one(n):
        crop, who, read, name, minute = (int(rng.integers(k)) for k in (12, 6, 4, 4, 20))
        return Vote(f"{crop:064x}", f"i{who}", f"n{name}", "Ship Type", f"2026-11-20T10:{minute:02d}:00Z", bool(rng.random() < 0.2), ml_name=f"n{read}",
                    batch=f"b{n:03d}")
    votes = [one(n) for n in range(150)]
    found = tally_corrections(votes)
    assert {c.read: (c.name, c.votes) for c in found} == oracle(votes)
    assert tally_corrections([votes[i] for i in rng.permutation(len(votes))]) == found == tally_corrections(Lines.of(votes))


def test_higher_tiers_win_ties(vocabulary):
    tiers = sorted(vocabulary.names("Ship Tier"))
    assert nearest_tier("T8-X2", tiers) == "T6-X2" and nearest_tier("", tiers) == "T6" and nearest_tier("Unknown", tiers) is None
