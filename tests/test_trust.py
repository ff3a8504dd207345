"Trust: with no switch the rule itself, each switch against a plain oracle, maintainers' word, the made community, and the record that every run leaves."
import json
import math
import sys
from collections import Counter, defaultdict
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from warp.errors import InputError, MissingExtra
from warp.hub import Add, MemoryHub
from warp.knowledge.ledger import Decision, Ledger
from warp.knowledge.staging import read_staging
from warp.knowledge.trust import (AGREED, ALWAYS, PRIOR, PRIOR_VOTES, ROUNDS, Trust, _most, audit, contradicted, elect, everyone, leave_one_out, made_community, newcomers,
                                  reliability, weight)
from warp.knowledge.vocabulary import Vocabulary
from warp.knowledge.votes import Lines, crop_path, decide
from warp.records import Vote

REPO = "sets-sto/sto-icon-dataset"
ALL = Trust(slot_first=True, weigh=True, quarantine=True, max_share=0.3, newcomers=True)
NAMES, SLOTS = ("Ablative Shell", "Kit", "Tyken's Rift", "Gravity Well", "no such thing"), ("Kit", "Boff Science", "Personal Space Traits", "Ship Type")


def digits(i: int) -> str: return f"{i:032x}" * 2


def vote(who: str, i: int, name: str = "Kit", day: int = 10, slot: str = "Kit", **more) -> Vote:
    return Vote(digits(i), who, name, slot, more.pop("at", f"2026-11-{day:02}T10:00:00Z"), **more)


votes_of_all_kinds = st.lists(st.builds(lambda sha, who, name, slot, at, withdrawn, batch: Vote(digits(sha), who, name, slot, f"2026-11-{at:02}T10:00:00Z", withdrawn, "", "", batch),
                                        st.integers(0, 11), st.sampled_from("abcdefg"), st.sampled_from(NAMES), st.sampled_from(SLOTS), st.integers(1, 9), st.sampled_from([False] * 5 + [True]), st.sampled_from(["", "b1", "b2"])), max_size=90, unique_by=lambda v: (v.crop_sha256, v.install_id, v.confirmed_at, v.batch))


def lists(winners) -> list: return [list(winners), winners.texts, winners.unknown, winners.withheld, winners.without_file]


# the default is the rule

@settings(max_examples=12, deadline=None)  # each has dozens of crops
@given(votes_of_all_kinds, st.sampled_from([None, Vocabulary.load()]), st.integers(1, 3))
def test_without_switches_it_is_the_rule(votes, vocabulary, min_votes):
    rule, ours = decide(votes, vocabulary, min_votes), elect(votes, vocabulary, min_votes)
    assert lists(ours) == lists(rule) and ours.digest == rule.digest and ours.notes == []
    assert lists(elect(Lines.of(votes), vocabulary, min_votes)) == lists(rule)
    idle = Ledger((Decision("2026-11-20T10:00:00Z", "deny", digits(77), why="x"), Decision("2026-11-20T10:00:00Z", "pin", digits(78), name="Kit", why="x")))  # about crops that nobody voted on
    assert lists(elect(votes, vocabulary, min_votes, ledger=idle)) == lists(rule)


@settings(max_examples=6, deadline=None)
@given(votes_of_all_kinds, st.randoms(use_true_random=False))
def test_the_order_of_lines_changes_nothing(votes, random):
    given, shuffled = Lines.of(votes), Lines.of(random.sample(votes, len(votes)))
    one, other = elect(given, trust=ALL), elect(shuffled, trust=ALL)
    assert lists(one) == lists(other) and one.notes == other.notes
    assert audit(given, one, ALL).digest == audit(shuffled, other, ALL).digest


# each switch against an oracle

def standing_votes(votes) -> dict[str, list[Vote]]:
    "By crop; the plain way."
    latest = {}
    for v in sorted(votes, key=lambda v: (v.confirmed_at, v.batch)): latest[v.crop_sha256, v.install_id] = v
    found = defaultdict(list)
    for v in latest.values():
        if not v.withdrawn: found[v.crop_sha256].append(v)
    return found


def best(votes: list[Vote], weights: dict[str, int], what: str) -> str:
    by = defaultdict(list)
    for v in votes: by[getattr(v, what)].append(v)
    return min(by, key=lambda x: (-sum(weights[v.install_id] for v in by[x]), -len(by[x]), min(v.confirmed_at for v in by[x]), min(v.install_id for v in by[x]), x))


@settings(max_examples=8, deadline=None)
@given(votes_of_all_kinds)
@pytest.mark.parametrize(("slot_first", "weigh"), [(True, False), (False, True), (True, True)])
def test_slot_first_and_weights_against_an_oracle(slot_first, weigh, votes):
    known, names = reliability(votes), len({v.name for v in votes})
    weights = {who: round(1000 * float(weight(f.r, names))) if weigh else 0 for who, f in known.items()}
    ours = everyone(elect(votes, trust=Trust(slot_first=slot_first, weigh=weigh)))
    standing = standing_votes(votes)
    assert ours.keys() == standing.keys()
    for sha, some in standing.items():
        place = best(some, weights, "slot")
        heard = [v for v in some if not slot_first or v.slot == place]
        name = best(heard, weights, "name")
        w = ours[sha]
        assert w.name == name and (not slot_first or w.slot == place)
        assert set(w.voters) == {v.install_id for v in heard if v.name == name} and w.votes == len(w.voters)
        assert w.tally == Counter(v.name for v in some)


def slow_one_coin(votes) -> dict[str, float]:
    "The estimate with dictionaries."
    names = max(2, len({v.name for v in votes}))
    crops = {sha: some for sha, some in standing_votes(votes).items() if len(some) > 1}
    r = {v.install_id: PRIOR for v in votes}
    for _ in range(ROUNDS):
        right, total = Counter(), Counter()
        for some in crops.values():
            score = defaultdict(float)
            for v in some: score[v.name] += max(0.0, math.log((x := min(max(r[v.install_id], 1e-6), 0.999)) * (names - 1) / (1 - x)))
            whole = sum(math.exp(s) for s in score.values()) + (names - len(score) if names > len(score) else 0)
            for v in some:
                right[v.install_id] += math.exp(score[v.name]) / whole
                total[v.install_id] += 1
        r = {who: (right[who] + PRIOR * PRIOR_VOTES) / (total[who] + PRIOR_VOTES) for who in r}
    return r


@settings(max_examples=25, deadline=None)
@given(votes_of_all_kinds.filter(lambda votes: len({v.name for v in votes}) > 1))
def test_reliability_against_an_oracle(votes):
    known, slow = reliability(votes), slow_one_coin(votes)
    assert known.keys() == slow.keys()
    for who, f in known.items(): assert f.r == pytest.approx(slow[who], abs=2e-6) and 0 <= f.r <= 1


def test_weights():
    assert weight(0.5, 2) == 0 and weight(0.1, 3) == 0 and weight(0.9, 11) == pytest.approx(math.log(90))
    assert weight(1.0, 100) == weight(0.999, 100) and weight(0.0, 100) == 0 and weight(0.9, 0) == weight(0.9, 2)
    assert reliability([]) == {} and reliability([vote("a", 1, withdrawn=True)])["a"] == (PRIOR, 0, False)


def joker(n: int) -> list[Vote]:
    "Four who agree on n crops, and one who does not."
    return [vote(who, i, "Kit") for i in range(n) for who in "abcd"] + [vote("z", i, "Gravity Well") for i in range(n)]


def test_quarantine_needs_twenty_overlaps_and_ends_by_itself_or_by_a_maintainer():
    assert not reliability(joker(19))["z"].quarantined and reliability(joker(20))["z"].quarantined
    more = joker(25) + [vote("z", 100, "Tyken's Rift")]
    quarantined = elect(more, trust=Trust(quarantine=True))
    assert digits(100) not in everyone(quarantined) and len(quarantined.notes) == 1 and "install z" in quarantined.notes[0] and "of 25 crops" in quarantined.notes[0]
    assert digits(100) in everyone(elect(more)) and digits(100) in everyone(elect(more, trust=Trust(weigh=True)))  # the switch is off
    spared = Ledger((Decision("2026-11-20T10:00:00Z", "pin", install_id="z", why="we talked"),))
    assert digits(100) in everyone(elect(more, trust=Trust(quarantine=True), ledger=spared))
    better = more + [vote("z", i, "Kit", day=12) for i in range(25)]
    assert digits(100) in everyone(elect(better, trust=Trust(quarantine=True))) and elect(better, trust=Trust(quarantine=True)).notes == []


def test_newcomers_wait_a_day_or_agree_ten_times():
    old = [vote("a", i) for i in range(30)]
    assert newcomers(old) == {"a"}  # on the very first day everybody is new
    fresh = [vote("n", i, day=15) for i in range(AGREED - 1)] + [vote("n", i, "Gravity Well", day=15) for i in range(AGREED - 1, 20)]
    assert newcomers(old + fresh) == {"n"}
    assert newcomers(old + fresh + [vote("n", 25, day=15)]) == set()
    assert newcomers(old + fresh + [vote("a", 99, day=16)]) == set()  # the day is over
    two = old + [vote(who, i, "Gravity Well", day=15) for who in "mn" for i in range(50, 70)]
    assert newcomers(two) == {"m", "n"}  # agreeing with each other is not agreeing with others
    waiting = elect(two, trust=Trust(newcomers=True))
    assert len(waiting) == 30 and len(waiting.notes) == 2 and len(elect(two)) == 50
    spared = Ledger((Decision("2026-11-20T10:00:00Z", "pin", install_id="m", why="known"),))
    assert len(elect(two, trust=Trust(newcomers=True), ledger=spared)) == 50


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(1, 400), min_size=1, max_size=12), st.floats(0.05, 1))
def test_the_cap_is_the_largest_that_keeps_the_share(counts, share):
    most = _most(counts, share)
    def fits(c): return c <= share * sum(min(n, c) for n in counts) + 1e-9
    assert most == max([ALWAYS, *(c for c in range(1, max(counts) + 1) if fits(c))])


@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=5), st.sampled_from([0.1, 0.34, 0.5, 1.0]))
def test_the_cap_keeps_rare_items_and_loses_nothing(counts, share):
    votes = [vote(f"p{k}", 1000 * k + i) for k, n in enumerate(counts) for i in range(n)]
    winners = elect(votes, trust=Trust(max_share=share))
    brought = Counter(w.voters[0] for w in winners)
    assert len(winners) + len(winners.withheld) == len(votes)
    for k, n in enumerate(counts): assert brought[f"p{k}"] >= min(n, ALWAYS) and (brought[f"p{k}"] <= max(ALWAYS, share * len(winners) + 1e-9))
    if share == 1: assert winners.notes == [] and not winners.withheld


def test_switches_are_checked():
    for share in (0, -1, 1.5):
        with pytest.raises(InputError, match="max_share"): Trust(max_share=share)
    assert Trust().switches == {} and Trust(max_share=0.5, weigh=True).switches == {"weigh": True, "max_share": 0.5}


# maintainers

def told(what: str, i: int = 0, **more: str) -> Decision: return Decision("2026-11-20T10:00:00Z", what, more.pop("sha", digits(i)), why="because", **more)


def test_a_pin_stands_whatever_the_votes_say():
    votes = [vote(who, 1, "Gravity Well", slot="Boff Science") for who in "abc"] + [vote("d", 1, "Kit", slot="Boff Science"), vote("e", 1, "Kit", slot="Boff Science", withdrawn=True), vote("a", 2)]
    rule = elect(votes)
    for what in ("pin", "relabel"):
        w = elect(votes, min_votes=2, ledger=Ledger((told(what, 1, name="Kit"),)))
        assert [(x.name, x.slot, x.votes, x.voters) for x in w] == [("Kit", "Boff Science", 1, ("d",))]
        assert list(w[0].tally.items()) == [("Kit", 1), ("Gravity Well", 3)] and [x.crop_sha256 for x in w.withheld] == [digits(2)]
    other = elect(votes, ledger=Ledger((told("pin", 1, name="Tyken's Rift", slot="Kit"),)))
    assert (other[1] if other[0].crop_sha256 == digits(2) else other[0]).slot == "Kit"
    w = everyone(other)[digits(1)]
    assert (w.votes, w.voters, w.tally) == (0, ("a", "b", "c", "d"), {"Tyken's Rift": 0, "Gravity Well": 3, "Kit": 1}) and "pinned" in other.notes[0]
    assert everyone(other)[digits(2)] == everyone(rule)[digits(2)]


def test_a_pin_of_a_name_that_the_slot_does_not_know_is_shown_and_not_trained_on():
    votes = [vote("a", 1, "Gravity Well", slot="Boff Science")]
    winners = elect(votes, Vocabulary.load(), ledger=Ledger((told("pin", 1, name="Phaser Beam Array"),)))
    assert not winners and [w.name for w in winners.unknown] == ["Phaser Beam Array"]
    assert [w.name for w in elect(votes, Vocabulary.load(), ledger=Ledger((told("relabel", 1, name="Tyken's Rift"),)))] == ["Tyken's Rift"]


def test_old_and_new_digits_are_one_crop():
    sha, old = "ab" * 32, "cd" * 16
    votes = [replace(vote("a", 1), crop_sha256=sha), replace(vote("b", 1), crop_sha256=old)]
    assert not elect(votes, ledger=Ledger((told("deny", sha=sha[:32]), told("deny", sha=old * 2))))
    assert {w.name for w in elect(votes, ledger=Ledger((told("pin", sha=sha[:32], name="X"), told("pin", sha=old, name="X"))))} == {"X"}


def test_denial_and_its_end():
    votes = [vote("a", 1), vote("b", 2), vote("b", 1, "Gravity Well")]
    deny = Decision("2026-11-20T10:00:00Z", "deny", install_id="b", why="jokes")
    assert [w.crop_sha256 for w in elect(votes, ledger=Ledger((told("deny", 1),)))] == [digits(2)]
    assert [(w.crop_sha256, w.tally) for w in elect(votes, ledger=Ledger((deny,)))] == [(digits(1), {"Kit": 1})]
    assert elect(votes, ledger=Ledger((deny,))).notes == ["install b is not heard: jokes"]
    assert lists(elect(votes, ledger=Ledger((deny, replace(deny, decision="pin"))))) == lists(elect(votes))
    assert not elect(votes, ledger=Ledger((told("deny", 1), told("deny", 2))), trust=ALL)
    w = elect(votes, ledger=Ledger((deny, told("pin", 2, name="Kit"))))  # the picture was looked at, whoever sent it
    assert {x.crop_sha256 for x in w} == {digits(1), digits(2)}


def test_a_crop_that_all_voters_withdrew_does_not_come_back_by_a_pin():
    votes = [vote("a", 1), vote("a", 1, day=11, withdrawn=True)]
    winners = elect(votes, ledger=Ledger((told("pin", 1, name="Kit"),)))
    assert not everyone(winners) and winners.notes == ["no vote stands now on crops that a maintainer named: 1"]


def test_from_a_hub_every_source_exists():
    hub = MemoryHub()
    def lines(votes): return "".join(json.dumps(v.to_json()) + "\n" for v in votes).encode()
    votes = {who: [vote(who, i, "Kit" if who != "liar" else "Ablative Shell", day=10 + i % 3) for i in range(30)] for who in ("ann", "ben", "cat", "liar")}
    hub.commit(REPO, [Add(f"staging/{who}/annotations/{who}.jsonl", lines(some) + b'{"torn') for who, some in votes.items()]
               + [Add(crop_path(who, digits(i)), b"png") for who in ("ben", "liar") for i in range(30)], "evening")
    staging, book = read_staging(hub, REPO), Ledger((told("pin", 3, name="Ablative Shell"), told("deny", 4)))
    assert lists(elect(staging)) == lists(decide(staging)) and len(staging.refused) == 4
    for trust in (Trust(), ALL):
        winners = elect(staging, trust=trust, ledger=book)
        assert everyone(winners).keys() == {digits(i) for i in range(30)} - {digits(4)}
        assert {w.source for w in winners if w.crop_sha256 != digits(3)} <= {crop_path("ben", digits(i)) for i in range(30)}
        assert everyone(winners)[digits(3)].source in (crop_path("liar", digits(3)), crop_path("ben", digits(3)))
        record = audit(staging, winners, trust, book)
        assert record.record["input"]["revision"] == hub.head(REPO) and record.record["refused"][0]["count"] == 4
    assert any("liar is not heard: in quarantine" in note for note in winners.notes)


# a second opinion

def test_leave_one_out_against_the_plain_way():
    rng = np.random.default_rng(3)
    seen, labels = rng.normal(size=(60, 8)), [f"n{i}" for i in rng.integers(0, 9, 60)]
    labels[0] = "alone"
    given, names = leave_one_out(seen, labels, temperature=0.1)
    assert names == sorted(set(labels))
    unit = seen / np.linalg.norm(seen, axis=1, keepdims=True)
    for i in range(60):
        if Counter(labels)[labels[i]] == 1:
            assert np.allclose(given[i], 1 / len(names))
            continue
        means = [sum(unit[j] for j in range(60) if labels[j] == name and j != i) for name in names]
        near = np.array([unit[i] @ m / np.linalg.norm(m) for m in means]) / 0.1
        assert np.allclose(given[i], np.exp(near - near.max()) / np.exp(near - near.max()).sum(), atol=1e-5)
    assert np.allclose(given.sum(1), 1, atol=1e-5)


def test_blocks_change_nothing():
    rng = np.random.default_rng(4)
    seen, labels = rng.normal(size=(2500, 4)), [f"n{i}" for i in rng.integers(0, 5, 2500)]
    order = rng.permutation(2500)
    assert np.allclose(leave_one_out(seen, labels)[0][order], leave_one_out(seen[order], [labels[i] for i in order])[0], atol=1e-5)


def items(n: int = 1200, k: int = 60, wrong: int = 40, seed: int = 0):
    rng = np.random.default_rng(seed)
    icons, true = rng.normal(size=(k, 48)), np.concatenate([np.arange(k), rng.choice(k, n - k, p=(p := 1 / np.arange(1, k + 1)) / p.sum())])
    labels, bad = [f"item {i:03}" for i in true], rng.choice(n, wrong, replace=False)
    for i in bad: labels[i] = f"item {(true[i] + 7) % k:03}"
    return icons[true] + 0.4 * rng.normal(size=(n, 48)), labels, true, set(bad.tolist())


@pytest.mark.parametrize("seed", range(3))
def test_wrong_labels_are_listed_and_right_ones_left_alone(seed):
    seen, labels, true, bad = items(seed=seed)
    found = contradicted(labels, *leave_one_out(seen, labels))
    assert {i for i, _, _ in found} <= bad and len(found) >= 0.6 * len(bad)
    assert all(name == f"item {true[i]:03}" and p >= 0.8 for i, name, p in found)
    assert [p for _, _, p in found] == sorted((p for _, _, p in found), reverse=True)


def test_opinions_may_lie_in_a_file(tmp_path):
    seen, labels, _, _ = items()
    opinions, names = leave_one_out(seen, labels)
    np.save(tmp_path / "opinions.npy", opinions)
    assert contradicted(labels, np.load(tmp_path / "opinions.npy", mmap_mode="r"), names) == contradicted(labels, opinions, names)


def test_a_label_without_a_column_has_no_opinion():
    seen, labels, _, _ = items()
    opinions, names = leave_one_out(seen, labels)
    strange = ["unheard of", *labels[1:]]
    assert 0 not in {i for i, _, _ in contradicted(strange, opinions, names)}
    assert contradicted(["x"], np.ones((1, 2)) / 2, ["a", "b"]) == [] == contradicted([], np.empty((0, 2)), ["a", "b"])
    with pytest.raises(InputError, match="expected \\(3, 60\\)"): contradicted(labels[:3], opinions, names)


def test_cleanlab_is_asked_for_by_name(monkeypatch):
    monkeypatch.setitem(sys.modules, "cleanlab.experimental.label_issues_batched", None)
    with pytest.raises(MissingExtra, match="sets-warp\\[train\\]"): contradicted(["a"], np.ones((1, 2)) / 2, ["a", "b"])


# the made community

def shut_out(made, lines: Lines) -> Counter: return Counter(made.kinds[who] for who, f in reliability(lines).items() if f.quarantined)


@pytest.mark.parametrize("liars", [0.0, 0.03, 0.2])
@pytest.mark.parametrize("seed", range(6))
def test_nobody_honest_is_shut_out(seed, liars):
    made = made_community(seed, n_votes=6000, n_installs=100, n_names=600, per_crop=(1.3, 3.0, 5.0)[seed % 3], liars=liars)
    shut = shut_out(made, Lines.of(made.votes))
    assert set(shut) <= {"liar"}
    if liars: assert shut["liar"]
    if liars == 0.03: assert shut["liar"] == sum(made.kinds[who] == "liar" and f.overlaps >= 20 for who, f in reliability(made.votes).items())


@pytest.mark.parametrize("seed", range(2))
def test_no_switch_makes_it_worse_and_most_make_it_better(seed):
    made = made_community(seed, n_votes=9000, n_installs=120, n_names=700)
    lines = Lines.of(made.votes)
    switches = {"rule": Trust(), "slot": Trust(slot_first=True), "weights": Trust(weigh=True), "quarantine": Trust(quarantine=True), "newcomers": Trust(newcomers=True),
                "share": Trust(max_share=0.1), "all": ALL}
    right = {name: made.accuracy(elect(lines, trust=trust)) for name, trust in switches.items()}
    assert min(right.values()) >= right["rule"] - 0.002
    assert right["weights"] > right["rule"] < right["quarantine"] and right["all"] > right["rule"] + 0.005


@pytest.mark.parametrize("seed", range(2))
def test_a_fifth_of_liars(seed):
    made = made_community(seed, n_votes=8000, n_installs=120, n_names=700, per_crop=5, liars=0.2)
    lines = Lines.of(made.votes)
    assert set(shut_out(made, lines)) == {"liar"}
    assert made.accuracy(elect(lines, trust=Trust(weigh=True))) > made.accuracy(elect(lines)) + 0.02


def test_the_made_community_is_what_it_says():
    made, again = made_community(7), made_community(7)
    assert made == again and made.votes != made_community(8).votes and len(made.votes) == 20_000
    kinds = Counter(made.kinds.values())
    assert (kinds["liar"], kinds["sloppy"], kinds["honest"]) == (6, 20, 174)
    busy = Counter(v.install_id for v in made.votes).most_common()
    assert sum(n for _, n in busy[:20]) > 0.4 * len(made.votes)  # a few do most of it


# the record

def test_two_runs_leave_one_record(tmp_path):
    made = made_community(2, n_votes=4000, n_installs=60, n_names=300)
    runs = []
    for votes in (made.votes, made.votes[::-1]):
        report = audit(votes, elect(votes, trust=ALL), ALL)
        report.write(tmp_path / "audit.json")
        runs.append((tmp_path / "audit.json").read_bytes())
    assert runs[0] == runs[1] and json.loads(runs[0])["digest"] == report.digest
    assert audit(made.votes, elect(made.votes)).digest != report.digest and report.digest in report._repr_markdown_()


def test_the_record_counts_right():
    votes = [vote(who, 1) for who in "abc"] + [vote("a", 2), vote("b", 2, "Gravity Well", day=11)] + [vote("a", 3), vote("b", 3), vote("c", 3, "Gravity Well")] + [vote("a", 4)]
    book = Ledger((told("relabel", 3, name="Gravity Well"),))
    r = audit(votes, elect(votes, ledger=book), ledger=book).record
    assert r["input"]["lines"] == 9 and r["input"]["installs"] == 3 and r["result"]["icons"] == 4 and r["result"]["disputed"] == 2
    assert r["won_by"] == {"unanimously": 1, "with one vote": 1, "in a tie": 1, "against the number": 1}
    assert r["outvoted"] == [{"install": "b", "outvoted": 2, "votes": 3}, {"install": "a", "outvoted": 1, "votes": 4}]
    assert r["overruled"] == {"count": 1, "first": [{"crop": digits(3), "rule": "Kit", "now": "Gravity Well"}]}
    assert [d["crop"] for d in r["disputes"]] == [digits(3), digits(2)]
    assert audit([], elect([])).record["won_by"] == {} and audit([], elect([]))._repr_markdown_()


def test_two_names_of_one_picture_are_no_dispute():
    class Alike(Vocabulary):
        def same_picture(self, name): return frozenset({"Kit", "Gravity Well"}) if name in ("Kit", "Gravity Well") else frozenset([name])

    alike, plain = Alike({}, {}), [vote("a", 1), vote("b", 1, "Gravity Well"), vote("a", 2), vote("b", 2, "Tyken's Rift")]
    winners = elect(plain)
    one, other = audit(plain, winners, vocabulary=alike).record["result"], audit(plain, winners).record["result"]
    assert (one["disputed"], one["same_picture"]) == (1, 1) and (other["disputed"], other["same_picture"]) == (2, 0)
