"""Poisoned inputs, each against the real readers and elections on a real hub: refused with a reason, tentative, or before a maintainer.

`pytest tests/test_poison.py -v` prints the list. Nearly all of it happened to a public system of this kind. *Refused*: a reader or a guard says why.
*Tentative*: it counts as one install's word and is told apart as that. *Review*: it is disputed, unknown or without evidence, and a maintainer sees it with
its votes."""

import base64
import json
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from warp.data.crops import cut_crop, make_crop, open_image
from warp.errors import WarpError
from warp.hub import Add, MemoryHub
from warp.intake import crops_parcel
from warp.knowledge.anchors import build_anchors, grid_of, usable_grids
from warp.knowledge.corrections import judge_corrections
from warp.knowledge.ledger import Decision, add_decisions, read_ledger
from warp.knowledge.overrides import contribute, contribution, contribution_files, merge_overrides, picture_phash, read_contributions
from warp.knowledge.staging import read_screens, read_staging, screen_winners
from warp.knowledge.trust import Trust, elect, everyone
from warp.knowledge.vocabulary import Vocabulary, propose_names
from warp.knowledge.votes import crop_path, explain
from warp.privacy import may_leave
from warp.records import Annotation, Box, Crop, Vote

DATA, DELIVERY = "sets-sto/sto-icon-dataset", "sets-sto/warp-knowledge"
VOCABULARY = Vocabulary.load()
LINE = json.dumps({"crop_sha256": "a" * 64, "name": "Gravity Well", "slot": "Boff Science", "date": "2026-11-18"})
LONG = "Console - Advanced Tactical - Vulnerability Locator"


class Ending(NamedTuple):
    "Where an input ended, and what a maintainer is told of it."
    kind: str  # refused, tentative, review or decided
    told: str


def picture(n: int) -> Crop:
    pixels = np.random.default_rng(n).integers(0, 255, (8, 6, 3), dtype=np.uint8)
    return make_crop(Image.fromarray(pixels).resize((64, 64)))


class Place:
    "One hub. `vote` and `raw` put files there as an install does, past every check of ours; the rest looks at what becomes of them."

    def __init__(self):
        self.hub = MemoryHub()

    def raw(self, path: str, data: bytes | str) -> None:
        self.hub.commit(DATA, [Add(path, data if isinstance(data, bytes) else data.encode("utf-8"))], "raw")

    def vote(self, who: str, name: str, slot: str = "Boff Science", crop: Crop | None = None, at: str = "2026-11-18T10:00:00Z", file: bool = True,
             **more) -> str:
        "One line in a file of its own, and the crop; returns the crop's sha256."
        crop = crop or picture(1)
        line = json.dumps({"crop_sha256": crop.sha256, "name": name, "slot": slot, "date": str(at)[:10], "confirmed_at": at} | more, ensure_ascii=False)
        batch = f"{sum(1 for e in self.hub.list(DATA, f'staging/{who}/annotations')):032x}"
        adds = [Add(crop_path(who, crop.sha256), crop.png)] if file else []
        self.hub.commit(DATA, [*adds, Add(f"staging/{who}/annotations/{batch}.jsonl", line.encode("utf-8", "surrogatepass") + b"\n")], "vote")
        return crop.sha256

    def say(self, who: str, n: int, name: str, at: str = "2026-11-18T10:00:00Z", **record) -> str:
        "A contribution as an install writes it; returns the hash of its picture."
        made = replace(contribution(who, picture(n).png, "Gravity Well", timestamp=at, vocabulary=VOCABULARY), item_name=name)
        stored = json.dumps(asdict(made) | record, ensure_ascii=False).encode()
        key = f"contributions/2026-11-18/{who}-{n}-{len(self.hub.list(DELIVERY, 'contributions/2026-11-18'))}"
        self.hub.commit(DELIVERY, [Add(f"{key}.json", stored), Add(f"{key}.png", picture(n).png)], "said")
        return made.phash

    @property
    def votes(self) -> list[Vote]: return read_staging(self.hub, DATA).votes

    def crop(self, sha: str, **how) -> Ending:
        "What an election makes of a crop."
        staging = read_staging(self.hub, DATA)
        winners = elect(staging, VOCABULARY, how.pop("min_votes", 1), ledger=read_ledger(self.hub, DATA), **how)
        found, notes = everyone(winners).get(sha), [n for n in winners.notes if sha in n]
        if notes and not found: return Ending("refused", notes[0])
        if not found:
            last = [f"{state}: {v.name}" for v, state in explain(staging.votes, sha).rows[-1:]] if not staging.refused else []
            return Ending("refused", "; ".join([r.why for r in staging.refused] + last))
        tally = ", ".join(f"{name} {n}" for name, n in found.tally.items())
        if found in winners.unknown:
            row, = propose_names([found], VOCABULARY)
            return Ending("review", f"unknown: {tally}; {row.accident} -> {row.proposal}")
        for why in ("withheld", "without_file"):
            if found in getattr(winners, why): return Ending("review", f"{why}: {tally}")
        if found.disputed: return Ending("review", f"disputed: {tally}")
        return Ending("tentative" if found.votes == 1 else "decided", f"{found.slot}: {tally}" + (f"; {notes[0]}" if notes else ""))

    def line(self) -> Ending:
        "What the reader says of the only line here."
        staging = read_staging(self.hub, DATA)
        assert not staging.votes or not staging.refused
        return Ending("refused", staging.refused[0].why) if staging.refused else Ending("decided", f"{len(staging.votes)} votes")

    def hash(self, phash: str) -> Ending:
        "What the merge of contributions makes of a hash."
        refused, merged = read_contributions(self.hub, DELIVERY).refused, merge_overrides(self.hub, DELIVERY, VOCABULARY)
        if phash not in merged["votes"]: return Ending("refused", "; ".join(why for _, why in refused) or "taken back")
        tally = ", ".join(f"{name} {n}" for name, n in merged["votes"][phash].items())
        if len(merged["votes"][phash]) > 1: return Ending("review", f"several names: {tally}")
        return Ending("tentative" if phash in merged["tentative"] else "decided", tally)

    def reading(self, read: str) -> Ending:
        "What the corrections make of a reading."
        judged = judge_corrections(self.votes, VOCABULARY)
        for c, why in judged.refused:
            if c.read == read: return Ending("refused", why)
        made = next((c for c in judged.published if c.read == read), None)
        if made is None: return Ending("refused", "; ".join(r.why for r in read_staging(self.hub, DATA).refused))
        return Ending("tentative" if made in judged.tentative else "decided", f"{made.name} {made.votes}")


class Case(NamedTuple):
    "One poisoned input."
    what: str
    ends: str  # where it must end
    told: str  # part of what must be told
    run: Callable[[Place], Ending]


CASES: list[Case] = []


def poison(what: str, ends: str, told: str) -> Callable:
    def add(run: Callable[[Place], Ending]) -> Callable:
        CASES.append(Case(what, ends, told, run))
        return run
    return add


# votes on crops

@poison("one install confirms one crop 27 times under a wrong name, two others once under the right one", "review", "disputed: Gravity Well 2, Tyken's Rift 1")
def _(place):
    for minute in range(27): sha = place.vote("loud", "Tyken's Rift", at=f"2026-11-18T10:{minute:02d}:00Z")
    for who in ("ann", "ben"): place.vote(who, "Gravity Well", at="2026-11-19T10:00:00Z")
    return place.crop(sha)


@poison("the same line comes in two batches and in the compacted file as well", "tentative", "Boff Science: Gravity Well 1")
def _(place):
    sha = place.vote("ann", "Gravity Well")
    place.vote("ann", "Gravity Well")
    place.raw("staging/ann/annotations.jsonl", json.dumps({"crop_sha256": sha, "name": "Gravity Well", "slot": "Boff Science", "date": "2026-11-18"}))
    return place.crop(sha)


@poison("a retracted label comes again in a later batch with its old time", "refused", "withdrawn: Tyken's Rift")
def _(place):
    place.vote("ann", "Tyken's Rift", at="2026-11-18T10:00:00Z")
    sha = place.vote("ann", "Tyken's Rift", at="2026-11-19T10:00:00Z", withdrawn=True)
    place.vote("ann", "Tyken's Rift", at="2026-11-18T10:00:00Z")
    return place.crop(sha)


@poison("a relabelled crop keeps its sha256, and the old label is still there", "tentative", "Boff Science: Gravity Well 1")
def _(place):
    place.vote("ann", "Tyken's Rift", at="2026-11-18T10:00:00Z")
    return place.crop(place.vote("ann", "Gravity Well", at="2026-11-19T10:00:00Z"))


@poison("name and slot come from different people: most call it a ship type, most of these in the tier's slot", "review",
        "unknown: Support Cruiser 3, T6 2; belongs in Ship Type")
def _(place):
    place.vote("ann", "Support Cruiser", "Ship Type")
    for who in ("ben", "cat"): sha = place.vote(who, "Support Cruiser", "Ship Tier")
    for who in ("dan", "eve"): place.vote(who, "T6", "Ship Tier")
    return place.crop(sha)


@poison("the winner's file is gone; only the outvoted one's folder still has the crop", "review", "without_file: Gravity Well 2, Tyken's Rift 1")
def _(place):
    for who in ("ann", "ben"): place.vote(who, "Gravity Well", file=False)
    return place.crop(place.vote("cat", "Tyken's Rift"))


@poison("a tie, where the later voter has the smaller install id", "review", "disputed: Gravity Well 1, Tyken's Rift 1")
def _(place):
    place.vote("zoe", "Gravity Well", at="2026-11-18T10:00:00Z")
    return place.crop(place.vote("aaa", "Tyken's Rift", at="2026-11-18T10:00:01Z"))


@poison("two voters disagree and two votes are asked for: voters are not votes", "review", "withheld")
def _(place):
    place.vote("ann", "Gravity Well")
    return place.crop(place.vote("ben", "Tyken's Rift"), min_votes=2)


@poison("a pair of accounts that always agree outvotes everybody, and nobody looks at trust", "review", "disputed: Tyken's Rift 2, Gravity Well 1")
def _(place):
    for who in ("liz", "lou"): sha = place.vote(who, "Tyken's Rift")
    place.vote("ann", "Gravity Well")
    return place.crop(sha)


@poison("the same pair, with quarantine on: their figures are known from 24 other crops", "tentative", "Boff Science: Gravity Well 1")
def _(place):
    for n in range(100, 124):
        for who in ("ann", "ben", "cat", "dan"): place.vote(who, "Gravity Well", crop=picture(n), file=False)
        for who in ("liz", "lou"): place.vote(who, "Tyken's Rift", crop=picture(n), file=False)
    for who in ("liz", "lou"): sha = place.vote(who, "Tyken's Rift")
    place.vote("ann", "Gravity Well")
    return place.crop(sha, trust=Trust(quarantine=True))


@poison("a rejected crop comes back with the next upload of somebody else", "refused", "is denied: shows a chat window")
def _(place):
    sha = place.vote("ann", "Gravity Well")
    add_decisions(place.hub, DATA, [Decision("2026-11-18T12:00:00Z", "deny", sha, why="shows a chat window")], VOCABULARY)
    for who in ("ben", "cat"): place.vote(who, "Gravity Well", at="2026-11-19T10:00:00Z")
    return place.crop(sha)


@poison("an install that was denied goes on voting", "tentative", "Boff Science: Gravity Well 1")
def _(place):
    add_decisions(place.hub, DATA, [Decision("2026-11-18T12:00:00Z", "deny", install_id="troll", why="votes by script")])
    place.vote("troll", "Tyken's Rift", at="2026-11-01T10:00:00Z")
    sha = place.vote("ann", "Gravity Well")
    notes = elect(read_staging(place.hub, DATA), VOCABULARY, ledger=read_ledger(place.hub, DATA)).notes
    assert notes == ["install troll is not heard: votes by script"]
    return place.crop(sha)


@poison("a crop that a maintainer relabelled is voted back by five installs", "review", "disputed: Gravity Well 0, Tyken's Rift 6")
def _(place):
    sha = place.vote("ann", "Tyken's Rift")
    add_decisions(place.hub, DATA, [Decision("2026-11-18T12:00:00Z", "relabel", sha, name="Gravity Well", slot="Boff Science", why="it is the other one")],
                  VOCABULARY)
    for n in range(5): place.vote(f"i{n}", "Tyken's Rift")
    assert elect(read_staging(place.hub, DATA), VOCABULARY, ledger=read_ledger(place.hub, DATA))[0].name == "Gravity Well"
    return place.crop(sha)


# names

@poison("a free-text name with five votes", "review", "unknown: Grandma's Secret Sauce 5; on no list")
def _(place):
    for n in range(5): sha = place.vote(f"i{n}", "Grandma's Secret Sauce")
    return place.crop(sha)


@poison("a name cut at forty characters by a program that kept names in file names", "review", "cut at 40 characters, and 2 names fit")
def _(place): return place.crop(place.vote("ann", LONG[:40].strip(), "Tactical Consoles"))


@poison("a name that differs in capitals alone", "review", f"other capitals or spaces -> {LONG}")
def _(place): return place.crop(place.vote("ann", LONG.lower(), "Tactical Consoles"))


@poison("a picture's name with a wiki's qualifier", "review", "a qualifier in brackets -> Gravity Well")
def _(place): return place.crop(place.vote("ann", "Gravity Well (23c)"))


@poison("a name with its mark and modifiers", "review", f"a mark or modifiers left on -> {LONG}")
def _(place): return place.crop(place.vote("ann", f"{LONG} Mk XV [CtrlX] [Dmg]", "Tactical Consoles"))


@poison("an item's name in a text slot", "review", "unknown: Gravity Well 1; belongs in Boff Science")
def _(place): return place.crop(place.vote("ann", "Gravity Well", "Ship Tier"))


@poison("a fore-only weapon in an aft slot", "review", "belongs in Fore Weapons")
def _(place):
    name = sorted(VOCABULARY.names("Fore Weapons") - VOCABULARY.names("Aft Weapons"))[0]
    return place.crop(place.vote("ann", name, "Aft Weapons"))


@poison("letters of another alphabet that look like these", "review", "letters of another alphabet -> Gravity Well")
def _(place): return place.crop(place.vote("ann", "Gr\u0430vity W\u0435ll"))


@poison("a name in another script", "review", "on no list")
def _(place):
    return place.crop(place.vote("ann", "Гравитационный колодец"))


@poison("a name with a zero-width space", "refused", "printable characters")
def _(place): return place.crop(place.vote("ann", "Gravity\u200b Well"))


@poison("a name that turns the writing direction round", "refused", "printable characters")
def _(place): return place.crop(place.vote("ann", "\u202eGravity Well"))


@poison("control characters and line ends in a name", "refused", "printable characters")
def _(place): return place.crop(place.vote("ann", "Gravity\nWell\x1b[2J"))


@poison("a developer's test label among the votes", "refused", "kept for tests")
def _(place): return place.crop(place.vote("smoke-test", "Test Item Name"))


@poison("an internal name with underscores", "refused", "kept for tests and programs")
def _(place): return place.crop(place.vote("ann", "__boff_tactical"))


@poison("a program's guess that nobody confirmed", "refused", "not confirmed by a person")
def _(place):
    guess = Annotation("a1", "Boff Science", Box(0, 0, 29, 37), "candidate", "__empty__", crop_sha256=picture(1).sha256, ml_score=0.99)
    return Ending("refused" if may_leave(guess) else "decided", may_leave(guess))


# private text

@poison("a ship's name as Ship Type", "refused", "may be a ship's own name")
def _(place):
    ending = place.crop(place.vote("ann", "Grandma's Revenge", "Ship Type"))
    assert "Grandma" not in ending.told
    return ending


@poison("a ship's name with its registry, bruised by OCR, as what was read", "refused", "begins like a ship's own name")
def _(place):
    ending = place.crop(place.vote("ann", "Support Cruiser", "Ship Type", ml_name="U.5.S. Secret"))
    assert "Secret" not in ending.told and place.votes == []
    return ending


@poison("an annotation of Ship Name with its text", "refused", "Ship Name has a position and no crop")
def _(place): return place.crop(place.vote("ann", "U.S.S. Secret", "Ship Name"))


@poison("the server is sent a ship's name as a ship's type", "refused", "ship's own name")
def _(place):
    item = {"slot": "Ship Type", "name": "I.K.S. Secret", "crop_png_b64": base64.b64encode(picture(1).png).decode(), "ml_name": ""}
    parcel = crops_parcel("7d1f0c3e-2b5a-4c8d-9e6f-001122334455", [item], VOCABULARY, "2026-11-20T10:00:00Z")
    assert parcel.accepted == 0 and "Secret" not in parcel.reasons[0]
    return Ending("refused", parcel.reasons[0])


# OCR corrections

@poison("nine installs teach that T6-X2 is T1", "refused", "what was read is a name that exists")
def _(place):
    for n in range(9): place.vote(f"i{n}", "T1", "Ship Tier", crop=picture(n), ml_name="[T6-X2]")
    return place.reading("[T6-X2]")


@poison("nine installs demote a bruised T6-X2", "refused", "demotes a reading that is nearest to T6-X2")
def _(place):
    for n in range(9): place.vote(f"i{n}", "T1", "Ship Tier", crop=picture(n), ml_name="T6-X21")
    return place.reading("T6-X21")


@poison("a ship type is taught as a tier", "refused", "a Ship Type given as Ship Tier")
def _(place):
    for who in ("ann", "ben"): place.vote(who, "Support Cruiser", "Ship Tier", ml_name="[T6-Xl]")
    return place.reading("[T6-Xl]")


@poison("one picture under two text slots, because a client gave the tier the box of the type", "refused", "gave this picture two slots")
def _(place):
    place.vote("ann", "Support Cruiser", "Ship Type", ml_name="Supp0rt Cruiser")
    place.vote("ann", "T6", "Ship Tier", ml_name="Supp0rt Cruiser")
    return place.reading("Supp0rt Cruiser")


@poison("one install alone teaches a reading that is nothing like the name", "refused", "one install alone")
def _(place):
    place.vote("ann", "Support Cruiser", "Ship Type", ml_name="Escort Carr1er Retrofit")
    return place.reading("Escort Carr1er Retrofit")


@poison("one install alone corrects a bruised reading", "tentative", "Support Cruiser 1")
def _(place):
    place.vote("ann", "Support Cruiser", "Ship Type", ml_name="Supp0rt Cru1ser")
    return place.reading("Supp0rt Cru1ser")


# hashes

@poison("one install contributes one hash 27 times", "tentative", "Gravity Well 1")
def _(place):
    for minute in range(27): phash = place.say("loud", 1, "Gravity Well", at=f"2026-11-18T10:{minute:02d}:00Z")
    return place.hash(phash)


@poison("an install notices that the slot was empty: its vote for a virtual name takes its word back", "tentative", "Gravity Well 1")
def _(place):
    place.say("ann", 1, "Tyken's Rift", at="2026-11-17T10:00:00Z")
    place.say("ben", 1, "Gravity Well")
    return place.hash(place.say("ann", 1, "__empty__", at="2026-11-19T10:00:00Z"))


@poison("a client names a hash that is not its picture's", "tentative", "Gravity Well 1")
def _(place):
    phash = place.say("liar", 1, "Gravity Well", phash="f" * 16)
    assert "f" * 16 not in merge_overrides(place.hub, DELIVERY, VOCABULARY)["votes"]
    return place.hash(phash)


@poison("a client hands over another picture than the one it named", "refused", "hand over the crop")
def _(place):
    try: contribute(place.hub, DELIVERY, contribution("ann", picture(1).png, "Gravity Well", vocabulary=VOCABULARY), picture(2).png)
    except WarpError as e: return Ending("refused", str(e))


@poison("two items share a hash", "review", "several names: Gravity Well 1, Tyken's Rift 1")
def _(place):
    colour = open_image(picture(3).png)
    grey = make_crop(colour.convert("L").convert("RGB"))
    assert picture_phash(grey.png) == picture_phash(picture(3).png) and grey.sha256 != picture(3).sha256
    said = [contribution(who, png, name, timestamp=at, vocabulary=VOCABULARY) for who, png, name, at in
            (("ann", picture(3).png, "Gravity Well", "2026-11-17T10:00:00Z"), ("ben", grey.png, "Tyken's Rift", "2026-11-18T10:00:00Z"))]
    for c, png in zip(said, (picture(3).png, grey.png)): place.hub.commit(DELIVERY, contribution_files(c, png), "said")
    return place.hash(said[0].phash)


@poison("a blank icon is said to be an item", "refused", "almost uniform")
def _(place):
    blank = cut_crop(Image.new("RGB", (64, 64), "#101010"), Box(0, 0, 64, 64))
    said = replace(contribution("ann", picture(1).png, "Gravity Well", vocabulary=VOCABULARY), phash=picture_phash(make_crop(blank).png))
    place.hub.commit(DELIVERY, contribution_files(said, make_crop(blank).png), "said")
    return place.hash(said.phash)


@poison("the server's smoke test contributes its made item", "refused", "kept for tests")
def _(place): return place.hash(place.say("smoke", 1, "Test Item Name"))


@poison("a contribution that a program accepted by itself", "refused", "not confirmed by a person")
def _(place): return place.hash(place.say("ann", 1, "Gravity Well", confirmed=False))


@poison("a contribution of the year 9999, to be the newest for ever", "refused", "no player's clock")
def _(place): return place.hash(place.say("ann", 1, "Gravity Well", timestamp="9999-12-31T23:59:59Z"))


@poison("a denied install goes on contributing", "refused", "contributes by script")
def _(place):
    phash = place.say("troll", 1, "Tyken's Rift")
    add_decisions(place.hub, DATA, [Decision("2026-11-18T12:00:00Z", "deny", install_id="troll", why="contributes by script")])
    ledger = read_ledger(place.hub, DATA)
    assert phash not in merge_overrides(place.hub, DELIVERY, VOCABULARY, denied=ledger.denied_installs)["votes"]
    return Ending("refused", ledger.standing["install troll"].why)


# times

@poison("a vote of the year 9999, to be the newest for ever", "refused", "no player's clock")
def _(place): return place.crop(place.vote("ann", "Tyken's Rift", at="9999-12-31T23:59:59Z"))


@poison("a vote from before 1970, to win every tie", "tentative", "Gravity Well 1")
def _(place):
    sha = place.vote("ann", "Gravity Well")
    place.vote("liar", "Tyken's Rift", at="1969-12-31T23:59:59Z")
    assert "no player's clock" in read_staging(place.hub, DATA).refused[0].why
    return place.crop(sha)


@poison("a time as a number of seconds", "refused", "1763460000")
def _(place): return place.crop(place.vote("ann", "Gravity Well", at=1763460000))


# files

@poison("a line that a killed writer left half", "refused", "no JSON")
def _(place):
    place.raw("staging/ann/annotations/00.jsonl", '{"crop_sha256": "abc", "na')
    return place.line()


@poison("a file in UTF-16", "refused", "codec")
def _(place):
    place.raw("staging/ann/annotations/00.jsonl", LINE.encode("utf-16"))
    return place.line()


@poison("a line of a megabyte", "refused", "longer than 4,000 bytes")
def _(place):
    place.raw("staging/ann/annotations/00.jsonl", json.dumps({"crop_sha256": "a" * 64, "name": "x" * 1_000_000, "slot": "Kit", "date": "2026-11-18"}))
    return place.line()


@poison("a line with the same key twice", "tentative", "Boff Science: Gravity Well 1")
def _(place):
    sha = place.vote("ann", "Gravity Well")
    place.raw("staging/ann/annotations/" + "0" * 32 + ".jsonl",
              '{"crop_sha256": "%s", "name": "Tyken\'s Rift", "name": "Gravity Well", "slot": "Boff Science", "date": "2026-11-18"}' % sha)
    return place.crop(sha)


@poison("an older client's digest of 32 digits", "tentative", "Gravity Well 1")
def _(place): return place.crop(place.vote("ann", "Gravity Well", crop=Crop(picture(1).sha256[:32], picture(1).png)))


@poison("a digest that is a path", "refused", "hexadecimal digits")
def _(place): return place.crop(place.vote("ann", "Gravity Well", crop=Crop("../../config/labels", b""), file=False))


@poison("an install folder whose name is no id", "refused", "not an install's folder")
def _(place):
    for who in ("a b", "x" * 65, "caf\u00e9"): place.raw(f"staging/{who}/annotations/00.jsonl", LINE)
    assert len(read_staging(place.hub, DATA).refused) == 3
    return place.line()


@poison("an install folder that leads out of staging", "refused", "..")
def _(place):
    try: place.raw("staging/../data/decisions.jsonl", b"{}")
    except WarpError as e: return Ending("refused", str(e))


@poison("an install's folder inside another one's", "refused", "never read")
def _(place):
    place.raw("staging/ann/ben/annotations/00.jsonl", LINE)
    return Ending("refused", "never read") if place.votes == [] else Ending("decided", "read")


@poison("a decision in the ledger that is none", "refused", "expected pin, deny or relabel")
def _(place):
    line = {"at": "2026-11-18T10:00:00Z", "crop_sha256": "a" * 64, "decision": "promote", "name": "Tyken's Rift", "why": "because"}
    place.raw("data/decisions.jsonl", json.dumps(line))
    return Ending("refused", read_ledger(place.hub, DATA).refused[0].why)


# screens

@poison("one install files one screenshot under two types", "refused", "filed under BOFFS and TRAITS by one install")
def _(place):
    for kind in ("TRAITS", "BOFFS"): place.raw(f"staging/ann/screen_types/{kind}/{'a' * 64}.png", b"x")
    assert screen_winners(place.hub, DATA) == []
    return Ending("refused", read_screens(place.hub, DATA).refused[0].why)


@poison("a screenshot of a type that does not exist", "refused", "no screen type")
def _(place):
    place.raw(f"staging/ann/screen_types/HOLIDAYS/{'a' * 64}.png", b"x")
    return Ending("refused", read_screens(place.hub, DATA).refused[0].why)


# layouts

def grid(**change) -> dict:
    places = [(slot, i, row) for row, (slot, n) in enumerate((("Devices", 4), ("Deflector", 1), ("Shield", 1))) for i in range(n)]
    notes = [{"slot": slot, "slot_index": i, "state": "confirmed", "bbox": [100 + 58 * i, 100 + 72 * row, 46, 56]} for slot, i, row in places]
    made = grid_of({"width": 1920, "height": 1080, "screen_type": "SPACE_EQ", "annotations": notes})
    made["slots"]["Devices"] |= change
    return made


@poison("one install sends two hundred layouts", "tentative", "1 contributors")
def _(place):
    entry = build_anchors({"loud": [grid(x0_rel=0.1 + n / 1000) for n in range(200)]})["entries"][0]
    return Ending("tentative" if entry["tentative"] else "decided", f"{entry['n_contributors']} contributors")


@poison("a layout with NaN for a place", "refused", "from 0 to 1")
def _(place): return Ending("refused", usable_grids({"ann": [json.loads(json.dumps(grid(x0_rel=float("nan"))))]})[1][0][1])


@poison("a layout on a screen without height", "refused", "1920x0")
def _(place): return Ending("refused", usable_grids({"ann": [grid() | {"resolution": "1920x000"}]})[1][0][1])


@poison("a layout with more icons than any build has", "refused", "counts that a build can have")
def _(place): return Ending("refused", usable_grids({"ann": [grid(count=10 ** 9)]})[1][0][1])


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{CASES.index(c) + 1:02d} {c.what} -> {c.ends}")
def test_every_poisoned_input_ends_where_it_should(case):
    ending = case.run(Place())
    assert ending.kind == case.ends and case.told in ending.told, ending


def test_there_are_forty_and_none_simply_wins():
    assert len({case.what for case in CASES}) == len(CASES) >= 40
    assert {case.ends for case in CASES} == {"refused", "tentative", "review"} and all(case.told for case in CASES)
