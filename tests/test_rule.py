"""The vote, as a property: whatever order, copies, older words and clocks the files come with, ten lines of Python say the same as the SQL."""

import json
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from warp.hub import Add, MemoryHub
from warp.knowledge.staging import read_staging
from warp.knowledge.votes import Winners, decide
from warp.records import Vote

REPO = "sets-sto/sto-icon-dataset"
START = datetime(2026, 11, 20, 10, tzinfo=timezone.utc)
SLOTS = ("Kit", "Weapons", "Boff Science", "Ship Tier")
few = settings(max_examples=10, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


def moment(minutes: int) -> str: return (START + timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ")


fewer = settings(few, max_examples=6)  # where every example is a hub of its own


def vote(crop: int, who: str, name: str, slot: str, minute: int, withdrawn: bool, batch: int) -> Vote:
    return Vote(f"{crop:064x}", who, name, slot, moment(minute), withdrawn, batch=f"{batch:032x}")


# few crops, installs, names and minutes, so that ties, changed minds and contradictions are the usual thing;
# of one install's words on one crop no two have the same time and file
said = st.lists(st.builds(vote, st.integers(0, 3), st.sampled_from("abcde"), st.sampled_from(["North", "South", "East"]), st.sampled_from(SLOTS),
                          st.integers(0, 6),
                          st.sampled_from([False, False, False, True]), st.integers(1, 4)),
                max_size=40, unique_by=lambda v: (v.crop_sha256, v.install_id, v.confirmed_at, v.batch))


def oracle(votes: list[Vote]) -> dict[str, tuple[str, int]]:
    "crop -> (name, votes): the rule in ten lines."
    newest: dict[tuple[str, str], Vote] = {}
    for v in sorted(votes, key=lambda v: (v.confirmed_at, v.batch)): newest[v.crop_sha256, v.install_id] = v
    winners = {}
    for crop in {v.crop_sha256 for v in votes}:
        backers: dict[str, list[Vote]] = {}
        for v in newest.values():
            if v.crop_sha256 == crop and not v.withdrawn: backers.setdefault(v.name, []).append(v)
        if backers: name = min(backers, key=lambda n: (-len(backers[n]), min(v.confirmed_at for v in backers[n]), min(v.install_id for v in backers[n]), n))
        if backers: winners[crop] = (name, len(backers[name]))
    return winners


def outcome(winners: Winners) -> list:
    "Everything that a result says of every crop."
    return sorted(((w.crop_sha256, w.name, w.slot, w.votes, w.voters, w.first, w.tally) for w in (*winners, *winners.texts)), key=lambda w: w[0])


def on_a_hub(votes: list[Vote], times=lambda v: v.confirmed_at) -> MemoryHub:
    "The votes as files of their installs, in the order given."
    hub, files = MemoryHub(), {}
    for v in votes: files.setdefault(f"staging/{v.install_id}/annotations/{v.batch}.jsonl", []).append(v.to_json() | {"confirmed_at": times(v)})
    for path, lines in files.items(): hub.commit(REPO, [Add(path, "".join(json.dumps(line) + "\n" for line in lines).encode())], "lines")
    return hub


def read(votes: list[Vote], **how) -> list:
    staging = read_staging(on_a_hub(votes, **how), REPO)
    assert not staging.refused
    return outcome(decide(staging.votes))


@few
@given(said)
def test_the_rule_is_the_oracles(votes):
    found = decide(votes)
    assert {w.crop_sha256: (w.name, w.votes) for w in (*found, *found.texts)} == oracle(votes)


@pytest.mark.long
@settings(few, max_examples=1000)
@given(said)
def test_the_rule_is_the_oracles_a_thousand_times(votes):
    found = decide(votes)
    assert {w.crop_sha256: (w.name, w.votes) for w in (*found, *found.texts)} == oracle(votes)


@fewer
@given(said, st.randoms(use_true_random=False))
def test_the_order_of_files_and_lines_changes_nothing(votes, random):
    assert read(random.sample(votes, len(votes))) == read(votes) == outcome(decide(votes))


@fewer
@given(said, st.data())
def test_copies_change_nothing(votes, data):
    copies = data.draw(st.lists(st.sampled_from(votes))) if votes else []
    again = [replace(v, batch=f"{0:032x}") for v in dict.fromkeys(copies)]  # sent again: in another file, the name of which does not count more
    assert read(votes + again) == read(votes) and outcome(decide(votes + copies)) == outcome(decide(votes))


@few
@given(said, st.data())
def test_an_older_word_changes_nothing(votes, data):
    def before(n: int, v: Vote) -> Vote:
        return replace(v, name=data.draw(st.sampled_from(["North", "West"])), withdrawn=data.draw(st.booleans()), confirmed_at=moment(-1 - n))
    older = [before(n, v) for n, v in enumerate(votes)]
    assert outcome(decide(older + votes)) == outcome(decide(votes)) == outcome(decide(votes + older))


@few
@given(said, st.sampled_from("abcde"))
def test_a_withdrawal_is_as_if_nothing_had_been_said(votes, who):
    gone = [replace(v, withdrawn=True, confirmed_at=moment(60)) for v in votes if v.install_id == who]
    assert outcome(decide(votes + gone)) == outcome(decide([v for v in votes if v.install_id != who]))


@few
@given(said, st.sampled_from("abcde"))
def test_a_changed_mind_counts_once_and_from_then_on(votes, who):
    crops = {v.crop_sha256 for v in votes}
    changed = votes + [Vote(crop, who, "West", "Kit", moment(30), batch="f" * 32) for crop in crops]
    result = decide(changed)
    found = {w.crop_sha256: w for w in (*result, *result.texts)}
    assert all(found[crop].tally["West"] == 1 for crop in crops)
    assert all(w.name != "West" or w.votes == 1 and w.first == moment(30) for w in found.values())


@fewer
@given(said, st.sampled_from(["Z", "+00:00", "+02:00", "-05:30", "frac"]))
def test_one_moment_in_other_words_changes_nothing(votes, form):
    def written(v: Vote) -> str:
        at = datetime.fromisoformat(v.confirmed_at.replace("Z", "+00:00"))
        if form in ("Z", "frac"): return v.confirmed_at if form == "Z" else v.confirmed_at.replace("Z", ".250000+00:00Z")  # older tools wrote that
        sign, hours, minutes = (-1 if form[0] == "-" else 1), int(form[1:3]), int(form[4:])
        return at.astimezone(timezone(sign * timedelta(hours=hours, minutes=minutes))).isoformat()
    assert read(votes, times=written) == read(votes)


@few
@given(said, st.sampled_from("abcde"), st.integers(-100, 100))
def test_a_wrong_clock_decides_no_majority(votes, who, minutes):
    "A clock that is wrong by a constant leaves every name that has more votes than any other; only ties may turn."
    def late(v: Vote) -> Vote:
        at = START + timedelta(minutes=minutes) + (datetime.fromisoformat(v.confirmed_at.replace("Z", "+00:00")) - START)
        return replace(v, confirmed_at=at.strftime("%Y-%m-%dT%H:%M:%SZ")) if v.install_id == who else v
    before, after = (decide(some) for some in (votes, [late(v) for v in votes]))
    turned = {w.crop_sha256: (w.name, w.tally) for w in (*after, *after.texts)}
    for w in (*before, *before.texts):
        assert turned[w.crop_sha256][1] == w.tally
        if list(w.tally.values()).count(w.votes) == 1: assert turned[w.crop_sha256][0] == w.name


@pytest.mark.parametrize("votes", [[], [vote(0, "a", "North", "Kit", 0, True, 1)]])
def test_nothing_said_is_nothing_decided(votes):
    assert outcome(decide(votes)) == [] and oracle(votes) == {}
