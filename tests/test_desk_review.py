"""The review desk: what waits for a maintainer and in which order, what is kept and sent, and a person before it in a real JupyterLab.

How long the desk takes to open over 12,000 crops is measured by `pytest -s tests/test_desk_review.py -k twelve_thousand`; the figures stand under Limits in the notebook.
"""
import json
import os
import shutil
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from lab import Hand, Lab
from test_match_model import GALLERY, averager, describe
from warp.config import Config
from warp.data.crops import crop_sha256, make_crop
from warp.desk import review as module
from warp.desk.page import png_bytes
from warp.desk.review import (
    KINDS, MOST, UNLISTED, Choice, Outbox, Review, ReviewDesk, cases_of, closeness, decision_on, make_community, open_review, read_only, slots_in_dispute)
from warp.errors import ConflictError, HubError, InputError, StoreError
from warp.hub import Add, FolderHub, MemoryHub, open_hub
from warp.knowledge.curated import picture_file, read_votes
from warp.knowledge.ledger import LEDGER_FILE, Decision, Ledger, add_decisions, read_ledger
from warp.knowledge.merge import merge
from warp.knowledge.trust import elect
from warp.knowledge.vocabulary import Vocabulary
from warp.knowledge.votes import Lines, Winner, Winners, crop_path
from warp.match.model import IconModel, save_gallery
from warp.records import Crop, Vote

ROOT, REPO = Path(__file__).resolve().parent.parent, Config.data_repo
VOCABULARY = Vocabulary.load()
ONE, TWO, THREE, FOUR, FIVE, SIX = sorted(VOCABULARY.names("Deflector"))[:6]
BOTH = sorted(VOCABULARY.names("Fore Weapons") & VOCABULARY.names("Aft Weapons"))[0]


def crop(number: int) -> Crop:
    img = Image.new("RGB", (64, 64), (number % 256, number // 256 % 256, 90))
    ImageDraw.Draw(img).text((8, 20), str(number), fill="white")
    return make_crop(img)


def says(number: int, who: int, name: str, slot: str = "Deflector", at: int = 1, **more) -> Vote:
    return Vote(crop(number).sha256, f"{who:08x}-0000", name, slot, f"2026-11-{at:02}T20:00:00Z", **more)


def fill(hub, votes: list[Vote]) -> None:
    "Votes and their crops, as installs would have sent them."
    lines, pictures = {}, {v.crop_sha256: crop(n).png for n in range(40) for v in votes if v.crop_sha256 == crop(n).sha256}
    for v in votes: lines.setdefault(v.install_id, []).append(json.dumps(v.to_json()) + "\n")
    hub.commit(REPO, [Add(crop_path(v.install_id, v.crop_sha256), pictures[v.crop_sha256]) for v in votes if not v.withdrawn]
               + [Add(f"staging/{who}/annotations/{'b' * 32}.jsonl", "".join(some).encode()) for who, some in lines.items()], "votes")


def sit(home: Path, hub, **more) -> ReviewDesk:
    staging, ledger = read_votes(hub, REPO), read_ledger(hub, REPO)
    return ReviewDesk(Review(Config(home, "a hub"), hub, VOCABULARY, staging.lines, elect(staging, VOCABULARY, ledger=ledger), ledger), **more)


def waiting(votes: list[Vote], ledger: Ledger | None = None, doubts=None) -> list:
    lines, ledger = Lines.of(votes), ledger or Ledger()
    winners = elect(lines, VOCABULARY, ledger=ledger)
    return cases_of(winners, slots_in_dispute(lines, ledger.denied_installs), VOCABULARY, ledger, doubts)


def press(desk: ReviewDesk, *keys: str) -> None:
    "Keys of somebody who looks before he presses."
    for key in keys:
        if desk.case: desk.widget._handle_custom_msg({"type": "shown", "shown": desk.case.sha}, [])
        desk.page.press(key)


def tell(desk: ReviewDesk, kind: str, **more) -> None:
    desk.widget._handle_custom_msg({"type": "shown", "shown": desk.case.sha}, [])
    desk.widget._handle_custom_msg({"type": kind, "shown": desk.case.sha, **more}, [])


DISPUTES = [*[says(1, p, ONE if p < 4 else TWO, at=p) for p in (1, 2, 3, 4, 5)],  # 3 to 2
            *[says(2, p, ONE if p < 3 else TWO, at=p) for p in (1, 2, 3, 4)],  # 2 to 2
            *[says(3, p, ONE if p < 9 else TWO, at=p) for p in range(1, 10)],  # 8 to 1
            says(4, 1, ONE.upper()), says(5, 1, BOTH, "Fore Weapons"), says(5, 2, BOTH, "Aft Weapons", 2), says(5, 3, BOTH, "Aft Weapons", 3), says(6, 1, ONE), says(6, 2, ONE), says(7, 3, TWO)]


@pytest.fixture
def hub() -> MemoryHub:
    hub = MemoryHub()
    fill(hub, DISPUTES)
    return hub


@pytest.fixture
def desk(hub, tmp_path):
    desk = sit(tmp_path, hub)
    yield desk
    desk.settle()


# what waits


def test_the_closest_races_come_first_and_every_kind_in_its_turn():
    found = waiting(DISPUTES)
    assert [(c.kind, c.sha) for c in found] == [("disputed", crop(n).sha256) for n in (2, 1, 3)] + [("unknown", crop(4).sha256), ("slots", crop(5).sha256)]
    assert [c.leads for c in found] == [0, 0, 0, -1, 0] and found[4].winner.slot == "Aft Weapons"
    assert "3 to 2" in found[1].why and "8 to 1" in found[2].why and "2 to 1" in found[4].why


def test_closeness_orders_as_people_would():
    races = [(3, 3), (1, 1), (5, 4), (3, 2), (2, 1), (9, 1), (50, 1), (1,)]
    assert sorted(races, key=closeness, reverse=True) == races


def test_what_was_decided_does_not_come_again_and_denied_installs_have_no_say():
    pinned = Decision("2026-11-20T10:00:00Z", "pin", crop(2).sha256, name=ONE, why="seen")
    denied = Decision("2026-11-20T10:00:00Z", "deny", crop(3).sha256, why="half an icon")
    assert [c.sha for c in waiting(DISPUTES, Ledger((pinned, denied)))] == [crop(n).sha256 for n in (1, 4, 5)]
    liar = Decision("2026-11-20T10:00:00Z", "deny", install_id=f"{1:08x}-0000", why="jokes")
    assert [(c.kind, c.sha) for c in waiting([v for v in DISPUTES if v.crop_sha256 == crop(5).sha256], Ledger((liar,)))] == []


def test_withdrawn_and_replaced_words_make_no_dispute():
    votes = [says(8, 1, ONE), says(8, 2, TWO), says(8, 2, "", at=2, withdrawn=True), says(9, 1, ONE), says(9, 2, TWO, at=1), says(9, 2, ONE, at=2),
             says(10, 1, BOTH, "Fore Weapons"), says(10, 2, BOTH, "Aft Weapons"), says(10, 2, BOTH, "Fore Weapons", 2)]
    assert waiting(votes) == []


def test_there_is_a_card_for_each_digit_and_no_more():
    votes = [says(11, p, name) for p, name in enumerate((ONE, TWO, THREE, FOUR, FIVE, SIX))]
    case, = waiting(votes)
    assert len(case.choices) == MOST == 5 and "6 names" in case.why
    case, = waiting(votes, doubts={crop(11).sha256: (SIX, .97)})
    assert [c.name for c in case.choices][-1] == SIX and len(case.choices) == 5 and case.choices[-1].score == .97


def test_near_misses_stand_before_the_unknown_name_and_enter_takes_neither():
    case, = waiting([says(4, 1, ONE.upper())])
    assert case.choices[0].name == ONE and case.choices[-1].name == ONE.upper() and case.choices[-1].tag == UNLISTED and case.leads == -1
    odd, = waiting([says(4, 1, "Zzxq vrrt")])
    assert [c.name for c in odd.choices] == ["Zzxq vrrt"]


def test_near_misses_are_looked_for_when_they_are_shown(monkeypatch, hub, tmp_path):
    asked, suggest = [], Vocabulary.suggest
    monkeypatch.setattr(Vocabulary, "suggest", lambda self, slot, name: asked.append(name) or suggest(self, slot, name))
    fill(hub, [says(n, 20, f"Zzxq {n}") for n in range(20, 30)])
    desk = sit(tmp_path, hub)
    desk.settle()
    assert sum(c.kind == "unknown" for c in desk.cases) == 11 and len(set(asked)) <= 1 + module.AHEAD


def test_lines_of_text_can_be_disputed_too(tmp_path):
    hub, (one, two, *_) = MemoryHub(), sorted(VOCABULARY.names("Ship Type"))
    fill(hub, [says(1, 1, one, "Ship Type"), says(1, 2, two, "Ship Type")])
    desk = sit(tmp_path, hub)
    assert desk.case.kind == "disputed" and two in desk.widget.names and "__empty__" not in desk.widget.names and desk.widget.item["crop"]
    press(desk, "2")
    assert [(d.decision, d.name, d.slot) for d in desk.outbox.decisions.values()] == [("relabel", two, "Ship Type")]


def test_a_dispute_about_an_unknown_name_says_so():
    case, = waiting([says(4, 1, "Zzxq vrrt"), says(4, 2, "Zzxq vrrt"), says(4, 3, ONE), says(4, 4, "__empty__")])
    assert case.kind == "disputed" and [c.tag for c in case.choices] == [UNLISTED, "", ""] and case.leads == -1


def test_what_the_model_doubts_comes_second():
    found = waiting(DISPUTES, doubts={crop(6).sha256: (TWO, .99), crop(7).sha256: (ONE, .9), crop(1).sha256: (THREE, .8), crop(2).sha256: (TWO, .7)})
    assert Counter(c.kind for c in found) == {"disputed": 3, "contradicted": 2, "unknown": 1, "slots": 1}
    first, second = [c for c in found if c.kind == "contradicted"]
    assert (first.sha, [c.name for c in first.choices], first.leads) == (crop(6).sha256, [ONE, TWO], 0) and "99% sure" in first.why and second.sha == crop(7).sha256
    disputed = {c.sha: c for c in found}
    assert [(c.name, c.score) for c in disputed[crop(1).sha256].choices] == [(ONE, 0), (TWO, 0), (THREE, .8)]
    assert [(c.name, c.score) for c in disputed[crop(2).sha256].choices] == [(ONE, 0), (TWO, .7)]


def test_what_has_no_picture_cannot_be_looked_at(tmp_path):
    hub = MemoryHub()
    hub.commit(REPO, [Add(f"staging/{v.install_id}/annotations/{n:032x}.jsonl", json.dumps(v.to_json()).encode()) for n, v in enumerate(DISPUTES)], "no crops")
    desk = sit(tmp_path, hub)
    assert desk.cases == [] and desk.case is None and desk.widget.item["title"] == "There is no case."
    press(desk, "Enter", "1", "x", "Space", "Ctrl+z", "ArrowLeft", "ArrowRight", "Ctrl+Enter")
    assert "Traceback" not in desk.page.message


@pytest.mark.parametrize(("choice", "kind"), [(Choice(ONE, "Deflector", 3), "pin"), (Choice(TWO, "Deflector", 2), "relabel"), (Choice(ONE, "Aft Weapons"), "relabel"), (None, "deny")])
def test_agreeing_is_a_pin_and_overruling_a_relabel(choice, kind):
    winner = Winner("ab" * 32, ONE, "Deflector", 3, (), "", {ONE: 3, TWO: 2})
    made = decision_on(winner, choice)
    assert made.decision == kind and (made.name, made.slot) == ((choice.name, choice.slot) if choice else ("", ""))
    assert made.why == (f"looked at in review: {choice.votes} of 5 votes" if choice else "looked at in review: it shows nothing that can be named")
    assert decision_on(winner, choice, "  the rim is blue ").why == "the rim is blue"


# what is kept


def decided(number: int, name: str = ONE) -> Decision: return Decision("2026-11-20T10:00:00Z", "pin", crop(number).sha256, name=name, slot="Deflector", why="seen")


def test_unsent_decisions_survive_and_belong_to_one_hub(tmp_path):
    box = Outbox(tmp_path, "hub", REPO)
    box.change({decided(1).crop_sha256: decided(1)})
    box.change({decided(2).crop_sha256: decided(2)})
    box.change({decided(1).crop_sha256: decided(1, TWO)})
    assert [*Outbox(tmp_path, "hub", REPO).decisions.values()] == [decided(2), decided(1, TWO)]
    assert len(Outbox(tmp_path, "hub", "another/repository")) == len(Outbox(tmp_path, "hf://", REPO)) == 0
    box.change({decided(2).crop_sha256: None})
    assert [*Outbox(tmp_path, "hub", REPO).decisions] == [decided(1).crop_sha256]


def test_two_desks_share_the_file_and_forget_nothing(tmp_path):
    one, two = Outbox(tmp_path, "hub", REPO), Outbox(tmp_path, "hub", REPO)
    one.change({decided(1).crop_sha256: decided(1)})
    two.change({decided(2).crop_sha256: decided(2)})
    two.change({decided(1).crop_sha256: decided(1, TWO)})
    one.sent([decided(1)])
    assert [*Outbox(tmp_path, "hub", REPO).decisions.values()] == [decided(2), decided(1, TWO)], "what was decided anew meanwhile is not what was sent"


def test_a_full_disk_changes_nothing(desk, monkeypatch):
    press(desk, "Enter")
    def full(*_): raise StoreError("the disk is full: make room")
    monkeypatch.setattr(module, "write_atomic", full)
    here = desk.case.sha
    press(desk, "Enter")
    assert desk.page.message == "the disk is full: make room" and desk.case.sha == here and len(desk.outbox) == 1


def test_a_damaged_file_of_decisions_is_no_reason_not_to_open(hub, tmp_path):
    box = Outbox(tmp_path, "a hub", REPO)
    box.change({decided(1).crop_sha256: decided(1)})
    box.file.write_bytes(box.file.read_bytes() + b'{"at": "2026-11-20T10:0\n\xff')
    assert [*sit(tmp_path, hub).outbox.decisions.values()] == [decided(1)]


# at the desk


def test_a_key_decides_only_what_is_painted(desk):
    first, second = desk.cases[:2]
    desk.page.press("Enter")  # nothing is painted yet
    assert len(desk.outbox) == 0
    press(desk, "Enter")
    for key in ("Enter", "1", "x", "Space"): desk.page.press(key)  # a hand that is too fast
    desk.widget._handle_custom_msg({"type": "press", "key": "x", "shown": first.sha}, [])
    desk.widget._handle_custom_msg({"type": "name", "name": THREE, "shown": first.sha}, [])
    assert [*desk.outbox.decisions] == [first.sha] and desk.case.sha == second.sha


def test_pin_pick_type_deny_later_and_back(desk, hub):
    (two, one, three, unknown, slots), before = desk.cases, hub.head(REPO)
    press(desk, "Enter")
    press(desk, "2")
    tell(desk, "why", text="two halves")
    press(desk, "x")
    assert desk.case.sha == unknown.sha
    press(desk, "Enter")
    assert "in no vocabulary" in desk.page.message and "press the digit" in desk.page.message and desk.case.sha == unknown.sha
    press(desk, "5")
    assert "there is no card 5" in desk.page.message
    press(desk, "Space")
    assert desk.case.sha == slots.sha
    press(desk, "2")
    assert desk.case.sha == unknown.sha, "what was put off comes last"
    tell(desk, "name", name="Enterprise")
    assert "'Enterprise' is not a name" in desk.page.message and len(desk.outbox) == 4
    tell(desk, "name", name=SIX)
    assert [(d.decision, d.name, d.slot, d.why) for d in desk.outbox.decisions.values()] == [
        ("pin", two.winner.name, "Deflector", "looked at in review: 2 of 4 votes"), ("relabel", TWO, "Deflector", "looked at in review: 2 of 5 votes"), ("deny", "", "", "two halves"),
        ("relabel", BOTH, "Fore Weapons", "looked at in review: 1 of 3 votes"), ("relabel", SIX, "Deflector", "looked at in review: 0 of 1 votes")]
    assert desk.case is None and "5 decisions wait to be sent" in desk.widget.item["says"] and desk.widget.state["unsent"] == 5 and hub.head(REPO) == before
    for at in (unknown, slots, unknown, three, one, two):
        press(desk, "Ctrl+z")
        assert desk.case.sha == at.sha
    assert len(desk.outbox) == 0 and not desk.decisions.later
    press(desk, "Ctrl+z")
    assert desk.page.message == "There is nothing to take back."


def test_a_written_reason_is_for_one_crop(desk):
    tell(desk, "why", text="the rim is blue")
    press(desk, "Enter", "Enter")
    assert [d.why for d in desk.outbox.decisions.values()] == ["the rim is blue", "looked at in review: 3 of 5 votes"]


def test_one_looks_back_and_decides_anew(desk):
    press(desk, "Enter", "ArrowLeft")
    assert desk.case is desk.cases[0] and desk.widget.item["decided"].startswith("Pinned") and [c["taken"] for c in desk.widget.item["choices"]] == [True, False]
    press(desk, "2")
    assert [d.decision for d in desk.outbox.decisions.values()] == ["relabel"]
    press(desk, "Ctrl+z")
    assert [d.decision for d in desk.outbox.decisions.values()] == ["pin"]
    press(desk, "ArrowLeft", "ArrowLeft")
    assert desk.case is desk.cases[0]


def test_all_is_sent_in_one_commit_and_the_votes_follow(desk, hub, tmp_path):
    press(desk, "Enter", "2", "x")
    commits, commit = [], hub.commit
    hub.commit = lambda repo, changes, message, parent=None: commits.append(changes) or commit(repo, changes, message, parent)
    press(desk, "Ctrl+Enter")
    assert len(commits) == 1 and [c.path for c in commits[0]] == [LEDGER_FILE] and "3 decisions sent" in desk.page.message
    assert len(desk.outbox) == 0 and desk.widget.state["unsent"] == 0 and [d.decision for d in desk.ledger.decisions] == ["pin", "relabel", "deny"]
    press(desk, "Ctrl+Enter")
    assert len(commits) == 1 and desk.page.message == "There is nothing to send."
    press(desk, "Ctrl+z")
    assert "stands until you decide anew" in desk.page.message and len(desk.ledger) == 3
    winners = {w.crop_sha256: w.name for w in elect(read_votes(hub, REPO), VOCABULARY, ledger=read_ledger(hub, REPO))}
    assert winners[crop(1).sha256] == TWO and crop(3).sha256 not in winners
    assert [c.sha for c in sit(tmp_path, hub).cases] == [crop(4).sha256, crop(5).sha256]


def test_another_maintainer_at_the_same_moment(desk, hub):
    commit = hub.commit
    def late(repo, changes, message, parent=None):
        hub.commit = commit
        add_decisions(hub, repo, [Decision("", "deny", crop(7).sha256, why="Kim: nothing on it")])
        return commit(repo, changes, message, parent)
    hub.commit = late
    press(desk, "Enter", "Ctrl+Enter")
    assert [d.decision for d in read_ledger(hub, REPO).decisions] == ["deny", "pin"]


@pytest.mark.parametrize("error", [HubError("the hub refuses the token (403): put one that may do this into hub_token.txt"), ConflictError("somebody committed in between")])
def test_what_the_hub_does_not_take_is_not_lost(desk, hub, monkeypatch, error, tmp_path):
    def refuse(*_, **__): raise error
    monkeypatch.setattr(module, "add_decisions", refuse)
    press(desk, "Enter", "Ctrl+Enter")
    assert str(error) in desk.page.message and "1 decision not sent, and not lost" in desk.page.message and desk.page.messages.outputs[0]["name"] == "stderr"
    assert len(desk.outbox) == len(sit(tmp_path, hub).outbox) == 1 and desk.widget.state["unsent"] == 1


def test_a_desk_that_died_after_sending_finds_its_decisions_in_the_ledger(desk, hub, tmp_path):
    press(desk, "Enter", "2")
    add_decisions(hub, REPO, [*desk.outbox.decisions.values()])  # and the kernel dies before it can let go of them
    again = sit(tmp_path, hub)
    assert len(again.outbox) == 0 and len(again.cases) == 3


def test_after_a_restart_one_goes_on_and_takes_back(desk, hub, tmp_path):
    press(desk, "Enter", "2", "Space")
    again = sit(tmp_path, hub)
    assert len(again.outbox) == 2 and again.case is again.cases[2] and "2 decisions not sent" in again.page.progress.value
    press(again, "Ctrl+z")
    assert len(again.outbox) == 1 and again.case is again.cases[1]


def test_where_one_may_not_write_one_is_told(tmp_path, monkeypatch):
    config = Config(tmp_path, "hf://")
    assert "hub_token.txt" in read_only(MemoryHub(), config) and "HF_TOKEN" in read_only(MemoryHub(), config)
    monkeypatch.setenv("HF_TOKEN", "hf_" + "a" * 20)
    assert read_only(MemoryHub(), config) == ""
    folder = FolderHub(tmp_path / "hub")
    assert read_only(folder, Config(tmp_path, str(folder.root))) == read_only(MemoryHub(), Config(tmp_path, "memory")) == ""
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert "right to write" in read_only(folder, Config(tmp_path, str(folder.root))) and "WARP_HUB" in read_only(folder, Config(tmp_path, str(folder.root)))
    fill(folder, DISPUTES)
    desk = sit(tmp_path, folder)
    assert desk.widget.state["note"].startswith("You can look and decide") and desk.case
    press(desk, "Enter")
    assert len(desk.outbox) == 1


def test_an_error_of_ours_is_shown_too(desk, monkeypatch):
    monkeypatch.setattr(desk.outbox, "change", lambda *_: 1 / 0)
    press(desk, "Enter")
    assert "ZeroDivisionError" in desk.page.message


# pictures


def counted(hub) -> tuple:
    from warp.knowledge.curated import fetch_pictures
    asked: list[str] = []
    def bring(home):
        def act(winners):
            asked.extend(w.crop_sha256 for w in winners)
            return fetch_pictures(hub, REPO, winners, home / "cache/review")
        return act
    return asked, bring


def test_pictures_come_when_they_are_wanted_and_once(tmp_path):
    hub = MemoryHub()
    fill(hub, [says(n, p, (ONE, TWO)[p]) for n in range(30) for p in (0, 1)])
    asked, bring = counted(hub)
    desk = sit(tmp_path, hub, bring=bring(tmp_path))
    desk.settle()
    assert len(desk.cases) == 30 and len(asked) == 1 + module.AHEAD
    press(desk, "Enter")
    desk.settle()
    assert len(asked) == len(set(asked)) == 2 + module.AHEAD
    again = sit(tmp_path, hub, bring=bring(tmp_path))
    again.settle()
    assert len(asked) == 2 + module.AHEAD, "they stay on this machine"


def test_what_lies_packed_together_is_fetched_together(tmp_path):
    asked = []
    packed = [Winner(crop(n).sha256, ONE, "Deflector", 1, ("a",), "", {ONE: 1, TWO: 1}, f"data/crops/0000{n % 2}.parquet") for n in range(8)]
    def bring(some):
        asked.append({w.source for w in some})
        for w in some: module.write_atomic(picture_file(tmp_path / "cache/review", w.crop_sha256), crop(next(n for n in range(8) if crop(n).sha256 == w.crop_sha256)).png)
        return module.Brought([], {})
    desk = ReviewDesk(Review(Config(tmp_path, "hub"), MemoryHub(), VOCABULARY, Lines.of([says(n, p, (ONE, TWO)[p]) for n in range(8) for p in (0, 1)]), Winners(packed), Ledger()), bring=bring)
    desk.settle()
    press(desk, "Enter", "Enter", "Enter", "Enter")
    desk.settle()
    assert sorted(map(sorted, asked)) == [["data/crops/00000.parquet"], ["data/crops/00001.parquet"]]


def test_after_a_merge_the_same_crops_wait_and_their_pictures_come_out_of_the_packed_file(hub, tmp_path):
    before = [(c.kind, c.sha, c.choices) for c in sit(tmp_path, hub).cases]
    merge(hub, Config(tmp_path, "a hub"), VOCABULARY, apply=True)
    assert not hub.exists(REPO, crop_path("00000001-0000", crop(2).sha256)) and hub.list(REPO, "data/crops")
    desk = sit(tmp_path / "elsewhere", hub)
    desk.settle()
    assert [(c.kind, c.sha, c.choices) for c in desk.cases] == before and desk.widget.item["crop"].startswith("data:image/png")
    press(desk, "2", "Ctrl+Enter")
    desk.settle()
    assert {w.crop_sha256: w.name for w in elect(read_votes(hub, REPO), VOCABULARY, ledger=desk.ledger)}[before[0][1]] == TWO


def test_a_picture_that_does_not_come_or_is_none_is_told_on_the_card(hub, tmp_path):
    first = sit(tmp_path, hub).cases[0]
    for folder in {v.install_id for v in DISPUTES}:
        if hub.exists(REPO, crop_path(folder, first.sha)): hub.commit(REPO, [Add(crop_path(folder, first.sha), b"<svg onload='alert(1)'/>")], "somebody's joke")
    desk = sit(tmp_path / "other", hub)
    desk.settle()
    assert desk.widget.item["crop"] == "" and "does not come" in desk.widget.item["fault"]
    press(desk, "x")
    assert len(desk.outbox) == 1, "it can be denied for that"


def test_references_are_undisputed_and_another_crop(desk):
    item = desk.widget.item
    assert [c["name"] for c in item["choices"]] == [ONE, TWO] and [[says for _, says in c["pictures"]] for c in item["choices"]] == [["a crop, 2 votes"], ["a crop, 1 vote"]]
    assert item["crop"].startswith("data:image/png;base64,") and desk.pictures.example(ONE, crop(6).sha256) is None
    assert [c["who"] for c in item["choices"]] == [["00000001", "00000002"], ["00000003", "00000004"]] and len(item["ballot"]) == 4


def test_a_denied_install_is_shown_and_does_not_count(hub, tmp_path):
    add_decisions(hub, REPO, [Decision("", "deny", install_id=f"{4:08x}-0000", why="jokes")])
    desk = sit(tmp_path, hub)
    desk.settle()
    assert desk.case.sha == crop(2).sha256 and "2 to 1" in desk.case.why
    assert [(line["who"], line["state"]) for line in desk.widget.item["ballot"]][-1] == ("00000004", "denied") and desk.widget.item["choices"][1]["who"] == ["00000003"]


# the model


def install_model(home: Path) -> None:
    "A real network in a real set, if a simple one: it tells colours apart."
    pytest.importorskip("onnx")
    (folder := home / "models/sets/1").mkdir(parents=True)
    averager(folder / "icon_embedder.onnx")
    save_gallery(GALLERY, folder / "icon_gallery.npz")
    describe(folder)
    (folder / "model_version.json").write_text("{}", encoding="utf-8")
    (home / "models/current").write_text("1", encoding="utf-8")


def coloured(tmp_path: Path, wrong: int = 2) -> tuple[MemoryHub, list[str]]:
    "Three names of forty crops each, of one colour each; some crops of the first bear the second's name."
    hub, rng, changes, lines, lied = MemoryHub(), np.random.default_rng(3), [], [], []
    for k, name in enumerate((ONE, TWO, THREE)):
        for n in range(40):
            made = make_crop(Image.fromarray((240 * np.eye(3)[k] + rng.integers(-8, 9, (64, 64, 3))).clip(0, 255).astype(np.uint8)))
            said = TWO if k == 0 and n < wrong else name
            if said != name: lied.append(made.sha256)
            changes.append(Add(crop_path("ann", made.sha256), made.png))
            lines.append(json.dumps(Vote(made.sha256, "ann", said, "Deflector", "2026-11-20T20:00:00Z").to_json()) + "\n")
    hub.commit(REPO, [*changes, Add(f"staging/ann/annotations/{'c' * 32}.jsonl", "".join(lines).encode())], "colours")
    return hub, lied


def test_the_model_is_asked_on_request_and_its_doubts_join_the_queue(tmp_path):
    hub, lied = coloured(tmp_path)
    install_model(tmp_path)
    desk = sit(tmp_path, hub)
    assert desk.cases == [] and not list((tmp_path / "cache").rglob("*.png"))
    press(desk, "m")
    desk.settle()
    assert desk.widget.state["asking"] is None and "has looked at 120 crops" in desk.page.message
    assert {c.sha for c in desk.cases} == set(lied) and {c.kind for c in desk.cases} == {"contradicted"}
    assert desk.case.choices[1].name == ONE and desk.widget.item["choices"][1]["tag"] == "the model's suggestion" and desk.widget.state["kinds"][1] == {"kind": "contradicted", "open": 2, "of": 2}
    press(desk, "2", "Enter")
    desk.settle()
    assert [(d.decision, d.name) for d in desk.outbox.decisions.values()] == [("relabel", ONE), ("pin", TWO)] and desk.case is None


def test_asking_can_be_stopped_and_fails_with_a_sentence(tmp_path, monkeypatch, desk):
    press(desk, "m")
    assert "no model is installed" in desk.page.message and "warp update" in desk.page.message and desk.widget.state["asking"] is None
    hub, _ = coloured(tmp_path)
    install_model(tmp_path / "two")
    desk, embed = sit(tmp_path / "two", hub), IconModel.embed
    monkeypatch.setattr(IconModel, "embed", lambda self, crops: press(desk, "m") or embed(self, crops))  # somebody stops it while it looks
    press(desk, "m")
    desk.settle()
    assert desk.page.message == "The model is no longer asked." and desk.cases == [] and desk.widget.state["asking"] is None

    def broken(self, crops): raise HubError("the line is dead: try again")
    monkeypatch.setattr(IconModel, "embed", broken)
    press(desk, "m")
    desk.settle()
    assert desk.page.message == "the line is dead: try again" and desk.widget.state["asking"] is None


# the worlds


def test_the_made_community_is_the_same_every_time():
    one, two = MemoryHub(), MemoryHub()
    assert make_community(one, REPO) == make_community(two, REPO) > 60 and one.head(REPO) == two.head(REPO)
    found = waiting(read_votes(one, REPO).lines.votes())
    assert len(read_votes(one, REPO).installs) == 10 and read_votes(one, REPO).refused == []
    assert found == [] or {c.kind for c in found} <= set(KINDS)


def test_there_are_two_worlds(tmp_path):
    with pytest.raises(InputError, match="there is no world"): open_review("holiday", Config.load(home=tmp_path))
    desk = open_review(None, Config.load(home=tmp_path))
    assert desk.case is None and desk.cases == []


@pytest.mark.long
def test_twelve_thousand_crops_open_quickly(tmp_path):
    "The size that the community had: a folder hub with 12,000 crops of 200 installs and 15,000 lines, 600 crops disputed. Prints the seconds; nothing here depends on them."
    hub, rng, names = FolderHub(tmp_path / "hub"), np.random.default_rng(1), sorted(VOCABULARY.names("Deflector"))
    changes, said, data = [], {}, crop(1).png
    for n in range(12_000):
        for i in range(1 + (n % 4 == 0)):
            who = f"{int(rng.integers(200)):08x}-0000"
            name = names[n % 20 + (n % 10 == 0 and i)]
            said.setdefault(who, []).append(json.dumps(Vote(f"{n:064x}", who, name, "Deflector", f"2026-11-{1 + i:02}T20:00:00Z").to_json()) + "\n")
            changes.append((crop_path(who, f"{n:064x}"), data))
    changes += [(f"staging/{who}/annotations/{'d' * 32}.jsonl", "".join(lines).encode()) for who, lines in said.items()]
    for path, content in changes:  # put there by hand: nothing is measured here
        (file := hub.folder(REPO) / path).parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    config = Config(tmp_path / "home", str(hub.root))
    for what in ("first", "again"):
        start, worked = time.perf_counter(), time.process_time()
        desk = open_review(None, config, hub)
        print(f"{what}: {time.perf_counter() - start:.2f} s ({time.process_time() - worked:.2f} s of processor time) for {len(desk.review.winners):,} crops, {len(desk.cases):,} cases")
        desk.settle()
    times = []
    for _ in range(30):
        start, worked = time.perf_counter(), time.process_time()
        press(desk, "Enter")
        times.append((1000 * (time.perf_counter() - start), 1000 * (time.process_time() - worked)))
        desk.settle()
    wall, cpu = zip(*times)
    print(f"a key: median {np.median(wall):.0f} ms, 95 % within {np.percentile(wall, 95):.0f} ms; median {np.median(cpu):.0f} ms of processor time")
    assert len(desk.cases) > 500 and len(desk.outbox) == 30


# a browser


def test_names_are_text_and_only_what_is_painted_counts(browser_page):
    page, evil = browser_page, "<img src=x onerror=window.hit=1>"
    url = "data:image/png;base64," + __import__("base64").b64encode(png_bytes(Image.new("RGB", (64, 64), "red"))).decode()
    card = dict(key="1", name=evil, slot=evil, votes=3, share=1, score=.5, tag=evil, lead=True, taken=False, who=[evil], pictures=[[url, evil], ["javascript:alert(1)", evil]])
    item = dict(key="ab", kind="disputed", why=evil, crop=url, fault="", choices=[card], decided=evil, reason=evil, written="", where=[[evil, evil]], suggested=[[0, .5, evil]],
                ballot=[dict(at=evil, who=evil, name=evil, slot=evil, state="counts")])
    page.set_content("<div class='warp-desk' tabindex='0'><div id='host'></div></div>")
    page.add_style_tag(content=module.ReviewWidget._css)
    page.add_script_tag(content=module.ReviewWidget._esm.replace("export default { render };", "window.render = render;"), type="module")
    page.wait_for_function("() => window.render")
    page.evaluate("""state => { const on = {}; window.sent = [];
        window.model = {get: key => state[key], set: (key, value) => { state[key] = value; (on['change:' + key] ?? []).forEach(act => act()) }, on: (event, act) => (on[event] ??= []).push(act), off() {}, send: m => sent.push(m)};
        render({model, el: document.getElementById('host')}) }""", {"item": item, "names": [evil], "state": {"kinds": [{"kind": "disputed", "open": 1, "of": 1}], "at": "disputed", "unsent": 2, "note": evil}})
    page.wait_for_selector(".warp-review[data-shown=ab]")
    assert page.evaluate("sent") == [{"type": "shown", "shown": "ab"}]
    page.locator(".wr-card").click()
    page.locator(".wr-chip[data-kind=disputed]").click()
    page.locator(".warp-desk").press("t")
    page.wait_for_selector(".warp-names-row")
    assert page.evaluate("sent.slice(1).filter(m => m.type != 'pictures')") == [{"type": "press", "key": "1", "shown": "ab"}, {"type": "kind", "kind": "disputed"}]
    page.keyboard.press("Escape")
    page.locator(".wr-deny").focus()
    page.keyboard.press("Enter")  # the button's own, and not the desk's
    assert page.evaluate("sent.at(-1)") == {"type": "press", "key": "x", "shown": "ab"} and page.evaluate("window.hit") is None and page.locator("img[src=x]").count() == 0
    assert page.locator(".wr-send").inner_text().startswith("Send 2 decisions") and page.locator(".wr-note").inner_text() == evil
    page.evaluate("model.set('state', {...model.get('state'), asking: [10, 40]})")
    assert page.locator(".wr-busy").get_attribute("aria-valuenow") == "25" and "10 of 40" in page.locator(".wr-busy").inner_text() and "Stop asking" in page.locator("[data-act=model]").inner_text()
    page.evaluate("() => model.set('item', {key: '', title: 'Every case is decided.', says: model.get('item').why})")
    page.wait_for_selector(".warp-review[data-shown=nothing] .wr-nothing >> visible=true")
    assert evil in page.locator(".wr-nothing").inner_text() and not page.locator(".wr-body").is_visible()
    small = page.evaluate("[...document.querySelectorAll('.warp-review button, .warp-review input')].filter(e => e.offsetHeight && e.offsetHeight < 44).map(e => e.className)")
    assert small == []


class Sitter(Hand):
    "A maintainer, who looks before going on."

    def look(self, *sha: str) -> str:
        "Waits until the crop is painted and Python knows of it; its sha256, or `nothing`."
        self.page.wait_for_function("wanted => { const at = document.querySelector('.warp-desk:not([data-old]) .warp-review')?.dataset.shown; return at && (!wanted || at === wanted) }",
                                    arg=sha[0] if sha else None)
        return self.page.locator(".warp-desk:not([data-old]) .warp-review").get_attribute("data-shown")

    def leave(self, sha: str) -> str:
        "Waits until another crop is painted."
        self.page.wait_for_function("left => { const at = document.querySelector('.warp-review')?.dataset.shown; return at && at !== left }", arg=sha)
        return self.look()

    def unsent(self, n: int) -> None: self.page.wait_for_selector(f".warp-review[data-unsent='{n}']")
    def says(self, text: str) -> None: self.page.wait_for_selector(f".warp-messages >> text={text}")


def test_an_evening_of_a_maintainer(browser_page, tmp_path, pictures_out):
    notebooks, page, elsewhere, wrong = tmp_path / "nb", browser_page, [], []
    notebooks.mkdir()
    shutil.copy(ROOT / "nbs/desks/review_votes.ipynb", notebooks)
    with Lab(tmp_path, notebooks) as lab:
        page.on("request", lambda r: None if r.url.startswith((lab.url, "data:", "blob:")) else elsewhere.append(r.url))
        page.on("pageerror", lambda e: wrong.append(str(e)))
        hand = Sitter(page, lab, "review_votes.ipynb")
        hand.run(0, until=".warp-review[data-shown]")
        first = hand.look()
        page.locator(".warp-desk").scroll_into_view_if_needed()
        keep = lambda state: page.screenshot(path=pictures_out / f"review-{state}.png")
        keep("1-opened")
        # pinned, another card, denied with a reason
        hand.press("Enter")
        hand.unsent(1)
        second = hand.leave(first)
        hand.press("2")
        hand.unsent(2)
        third = hand.leave(second)
        hand.press("w")
        hand.cursor_in("input, textarea")
        page.keyboard.type("two halves of two icons")
        hand.press("Enter")  # ends the writing, and decides nothing
        page.wait_for_function("document.activeElement.classList.contains('warp-desk')")
        hand.press("x")
        hand.says("Denied")
        fourth = hand.leave(third)
        # a name is typed
        slot = page.locator(".wr-where .wr-told").first.inner_text()
        lead = page.locator(".wr-card").first.get_attribute("data-name")
        typed = next(n for n in sorted(VOCABULARY.names(slot), key=len, reverse=True) if n != lead)
        hand.press("t")
        hand.cursor_in(".warp-names-input")
        page.keyboard.type(typed)
        page.wait_for_selector(f".warp-names-row.warp-names-active[data-name={json.dumps(typed)}]")
        keep("2-typing")
        hand.press("Enter")
        hand.says("Relabelled")
        fifth = hand.leave(fourth)
        hand.unsent(4)
        # later, with the mouse; taken back
        page.locator(".wr-later").click()
        sixth = hand.leave(fifth)
        hand.press("Control+z")
        hand.look(fifth)
        page.locator(".wr-card").nth(1).click()
        hand.unsent(5)
        hand.look(sixth)
        hand.press("Control+z")
        hand.look(fifth)
        hand.unsent(4)
        keep("3-taken-back")
        page.set_viewport_size(dict(width=640, height=1500))
        page.locator(".wr-ballot").scroll_into_view_if_needed()
        keep("4-narrow")
        page.set_viewport_size(dict(width=1600, height=1500))
        hub = open_hub(str(tmp_path / "warp/practice/hub"))
        assert read_ledger(hub, REPO) == Ledger(), "nothing is sent before somebody sends it"
        # the kernel dies, and nothing is lost
        hand.restart_kernel()
        hand.run(0, until=".warp-desk:not([data-old]) .warp-review[data-unsent='4'][data-shown]")
        hand.look(fifth)
        page.locator(".warp-desk").scroll_into_view_if_needed()
        keep("5-restarted")
        page.locator(".wr-chip[data-kind=unknown]").click()
        unknown = hand.leave(fifth)
        hand.press("Enter")
        hand.says("press the digit of what it is")
        hand.press("1")
        hand.unsent(5)
        hand.leave(unknown)
        hand.press("Control+Enter")
        hand.says("5 decisions sent")
        hand.unsent(0)
        keep("6-sent")
        hand.press("?")
        page.wait_for_selector(".warp-keys-sheet >> visible=true")
        keep("7-keys")
    decisions = read_ledger(hub, REPO).decisions
    assert [(d.decision, d.crop_sha256) for d in decisions[:4]] == [("pin", first), ("relabel", second), ("deny", third), ("relabel", fourth)] and decisions[4].crop_sha256 == unknown
    assert decisions[2].why == "two halves of two icons" and decisions[0].why.startswith("looked at in review: ") and decisions[3].name == typed
    staging = read_votes(hub, REPO)
    before, after = (elect(staging, VOCABULARY, ledger=ledger) for ledger in (Ledger(), read_ledger(hub, REPO)))
    was, now = ({w.crop_sha256: w.name for w in (*some, *some.unknown)} for some in (before, after))
    assert now[first] == was[first] and now[second] == decisions[1].name != was[second] and third in was and third not in now and now[fourth] == typed
    assert unknown in {w.crop_sha256 for w in before.unknown} and unknown in {w.crop_sha256 for w in after}
    assert crop_sha256(Image.open(tmp_path / f"warp/practice/cache/review/{first[:2]}/{first}.png")) == first
    assert not elsewhere and not wrong, (elsewhere, wrong)
