"The ledger: what is refused, which line holds, and that nothing is lost when several write."
import json
import random
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from warp.errors import ConflictError, HubError, InputError, PrivacyError, SlotError, VocabularyError
from warp.hfhub import HfHub
from warp.hub import Add, FolderHub, MemoryHub
from warp.knowledge.ledger import LEDGER_FILE, Decision, Ledger, add_decisions, checked_decision, parse_ledger, read_ledger
from warp.knowledge.vocabulary import Vocabulary

from loopback_hub import LoopbackHub

REPO = "sets-sto/sto-icon-dataset"
AT, SHA, OTHER, WHO = "2026-11-20T10:00:00Z", "5e" * 32, "0f" * 32, "3f1d0c52-77aa-4f5e-9d07-2f6a1c1f0b11"


def pin(sha: str = SHA, name: str = "Ablative Shell", **more: str) -> Decision:
    return Decision(more.pop("at", AT), more.pop("decision", "pin"), sha, name=name, why=more.pop("why", "looked at it"), **more)


def deny(sha: str = SHA) -> Decision: return Decision(AT, "deny", sha, why="blurred")


def line(**fields: object) -> bytes:
    return json.dumps({"at": AT, "crop_sha256": SHA, "decision": "deny", "why": "x"} | fields).encode()


# one decision

@pytest.mark.parametrize(("fields", "fault"), [
    ({"decision": "burn"}, "expected pin, deny or relabel"), ({"decision": ""}, "expected pin"), ({"crop_sha256": ""}, "crop_sha256 or install_id"),
    ({"install_id": WHO}, "not both"), ({"crop_sha256": "xyz"}, "hexadecimal"), ({"crop_sha256": "AB" * 32}, "hexadecimal"), ({"crop_sha256": "ab" * 20}, "hexadecimal"),
    ({"crop_sha256": "", "install_id": "../x"}, "no install id"), ({"crop_sha256": "", "install_id": "x" * 65}, "no install id"), ({"why": ""}, "says not why"), ({"why": "  "}, "says not why"),
    ({"name": "Kit"}, "a denied crop has no name"), ({"decision": "relabel"}, "needs the right name"), ({"decision": "pin", "name": "x" * 121}, "printable"),
    ({"decision": "pin", "name": "a\nb"}, "printable"), ({"at": "soon"}, "no time"), ({"crop_sha256": "", "install_id": WHO, "decision": "relabel"}, "denied or pinned"),
    ({"crop_sha256": "", "install_id": WHO, "decision": "pin", "name": "Kit"}, "denied or pinned")])
def test_faulty_decisions_are_refused_by_the_writer_and_by_the_reader(fields, fault):
    record = {"at": AT, "crop_sha256": SHA, "decision": "deny", "why": "x"} | fields
    with pytest.raises(InputError, match=fault): checked_decision(Decision(**record))
    ledger = parse_ledger(line(**fields) + b"\n" + line())
    assert [(r.path, r.line) for r in ledger.refused] == [(LEDGER_FILE, 1)] and fault in ledger.refused[0].why
    assert len(ledger) == 1 and ledger.of_crop(SHA).decision == "deny"


def test_names_are_checked_against_the_vocabulary():
    vocabulary = Vocabulary.load()
    for slot in ("", "Personal Space Traits"): assert checked_decision(pin(slot=slot), vocabulary).name == "Ablative Shell"
    assert checked_decision(pin(name="__empty__"), vocabulary) and checked_decision(pin(name="T6-X2", slot="Ship Tier"), vocabulary)
    for slot in ("", "Personal Space Traits"):
        with pytest.raises(VocabularyError, match="did you mean 'Ablative Shell'"): checked_decision(pin(name="ablative shell", slot=slot), vocabulary)
    with pytest.raises(VocabularyError, match="no slot can hold"): checked_decision(pin(name="qqqqqqqqqqq"), vocabulary)
    with pytest.raises(VocabularyError): checked_decision(pin(slot="Kit"), vocabulary)
    with pytest.raises(SlotError): checked_decision(pin(slot="Pockets"), vocabulary)
    with pytest.raises(PrivacyError): checked_decision(pin(slot="Ship Name"), vocabulary)
    assert checked_decision(deny(), vocabulary) == deny()


def test_times_become_z_and_an_empty_one_the_present():
    assert checked_decision(pin(at="2026-11-20T11:00:00.5+01:00")).at == AT
    assert checked_decision(pin(at="2026-11-20")).at == "2026-11-20T00:00:00Z"
    now = checked_decision(pin(at="")).at
    assert now.endswith("Z") and now > "2026"


# which line holds

def test_the_place_decides_and_not_the_time():
    data = b"\n".join(json.dumps(d.to_json()).encode() for d in (pin(at="2026-11-20T10:00:00Z"), deny(), pin(name="Kit", at="2020-01-01T00:00:00Z", decision="relabel")))
    ledger = parse_ledger(data)
    assert ledger.of_crop(SHA).name == "Kit" and ledger.of_crop(SHA).decision == "relabel" and len(ledger.crops) == 1


@pytest.mark.parametrize(("told", "asked"), [(SHA, SHA), (SHA[:32], SHA[:32]), (SHA[:32], SHA), (SHA, SHA[:32])])
def test_short_and_long_digits_name_one_crop(told, asked):
    ledger = Ledger((pin(OTHER), pin(told)))
    assert ledger.of_crop(asked).name == "Ablative Shell" and ledger.of_crop("77" * 32) is None
    assert Ledger((pin(told), deny(asked))).of_crop(told).decision == "deny"


def test_an_install_is_denied_and_taken_in_again():
    stop, back = (Decision(AT, what, install_id=WHO, why="x") for what in ("deny", "pin"))
    assert (Ledger((stop,)).denied_installs, Ledger((stop,)).trusted_installs) == ({WHO}, set())
    assert (Ledger((stop, back)).denied_installs, Ledger((stop, back)).trusted_installs) == (set(), {WHO})
    assert Ledger((stop, back, stop)).denied_installs == {WHO} and Ledger((stop,)).crops == []


def test_a_pin_without_a_name_hands_a_crop_back():
    assert Ledger((deny(), pin(name=""))).of_crop(SHA) is None
    assert Ledger((deny(), pin(name=""), deny())).of_crop(SHA).decision == "deny"


decisions = st.builds(lambda what, sha, name, slot, why: Decision(AT, what, sha, name="" if what == "deny" else name, slot="" if what == "deny" else slot, why=why),
                      st.sampled_from(["pin", "deny", "relabel"]), st.sampled_from([SHA, OTHER, SHA[:32], "77" * 32]), st.sampled_from(["Kit", "Ablative Shell", "Tyken's Rift", "Ünïcode"]),
                      st.sampled_from(["", "Kit", "Science Consoles"]), st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30).filter(str.strip))


@settings(max_examples=60, deadline=None)
@given(st.lists(decisions, max_size=12))
def test_what_is_written_is_read_again(some):
    hub = MemoryHub()
    add_decisions(hub, REPO, some)
    ledger = read_ledger(hub, REPO)
    assert ledger.decisions == tuple(dict.fromkeys(some)) and not ledger.refused
    for sha in {d.crop_sha256 for d in some}:
        last = [d for d in ledger.decisions if d.crop_sha256[:32] == sha[:32]][-1]
        assert ledger.of_crop(sha) == last
    assert parse_ledger(hub.read(REPO, LEDGER_FILE) if some else b"").digest == ledger.digest


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(st.binary(max_size=60), st.just(line()), st.recursive(st.none() | st.booleans() | st.floats() | st.text(), lambda inner: st.lists(inner, max_size=3)
       | st.dictionaries(st.sampled_from(["at", "crop_sha256", "decision", "why", "name", "slot", "x"]), inner, max_size=5), max_leaves=8).map(lambda x: json.dumps(x).encode())), max_size=8))
def test_no_bytes_make_reading_fail(lines):
    data = b"\n".join(lines)
    ledger = parse_ledger(data)
    assert len(ledger) + len(ledger.refused) == sum(bool(part.strip()) for part in data.split(b"\n"))
    assert all(r.why for r in ledger.refused) and ledger._repr_markdown_()


def test_deep_and_long_lines_are_refused():
    ledger = parse_ledger(b"[" * 3000 + b"\n" + line(why="x" * 5000) + b"\n" + line())
    assert [r.line for r in ledger.refused] == [1, 2] and len(ledger) == 1


# writing

def test_what_cannot_be_read_is_kept_and_a_torn_end_closed():
    hub, before = MemoryHub(), line() + b"\n{\"new\": \"form\"}\n" + line()[:30]
    hub.commit(REPO, [Add(LEDGER_FILE, before)], "others")
    add_decisions(hub, REPO, [pin(OTHER)])
    data, ledger = hub.read(REPO, LEDGER_FILE), read_ledger(hub, REPO)
    assert data.startswith(before + b"\n") and len(ledger.refused) == 2
    assert ledger.of_crop(SHA).decision == "deny" and ledger.of_crop(OTHER).decision == "pin"


def test_a_line_that_is_there_is_not_written_again():
    hub = MemoryHub()
    add_decisions(hub, REPO, [pin(), pin(), deny(OTHER)])
    head = hub.head(REPO)
    add_decisions(hub, REPO, [deny(OTHER), pin()])
    add_decisions(hub, REPO, [])
    assert hub.head(REPO) == head and len(read_ledger(hub, REPO)) == 2


def test_a_faulty_line_stops_its_whole_batch():
    hub = MemoryHub()
    with pytest.raises(InputError): add_decisions(hub, REPO, [pin(), pin(why="")])
    assert hub.head(REPO) == ""


def write_from_many_desks(hub) -> None:
    def desk(n: int) -> None:
        for i in range(6): add_decisions(hub, REPO, [pin(f"{n:032x}{i:032x}", why=f"desk {n}, crop {i}"), deny(f"{n:032x}{i + 100:032x}")])

    with ThreadPoolExecutor(6) as desks: list(desks.map(desk, range(6)))
    ledger = read_ledger(hub, REPO)
    assert len(ledger) == 6 * 6 * 2 and not ledger.refused
    assert all([d.why for d in ledger.decisions if d.why.startswith(f"desk {n},")] == [f"desk {n}, crop {i}" for i in range(6)] for n in range(6))  # each desk's in its order


@pytest.fixture
def no_pauses(monkeypatch): monkeypatch.setattr(random, "random", lambda: 0.05)


def test_many_desks_at_once_lose_nothing_in_memory(no_pauses): write_from_many_desks(MemoryHub())


def test_many_desks_at_once_lose_nothing_in_a_folder(no_pauses, tmp_path): write_from_many_desks(FolderHub(tmp_path))


def test_two_desks_on_the_public_hubs_protocol(no_pauses):
    with LoopbackHub() as there:
        there.create(REPO, {"README.md": b"a data repository"})
        hubs = [HfHub(endpoint=there.url, token="hf_secret") for _ in range(2)]
        with ThreadPoolExecutor(2) as desks:
            list(desks.map(lambda n: [add_decisions(hubs[n], REPO, [pin(f"{n:032x}{i:032x}")]) for i in range(3)], range(2)))
        assert len(read_ledger(hubs[0], REPO)) == 6


class Restless(MemoryHub):
    "A hub on which somebody else is always faster."

    def commit(self, repo, changes, message, parent=None):
        super().commit(repo, [Add("README.md", str(random.random()).encode())], "again")
        return super().commit(repo, changes, message, parent)


def test_a_hub_that_never_rests_is_told(monkeypatch):
    monkeypatch.setattr("warp.knowledge.ledger.time.sleep", lambda seconds: None)
    with pytest.raises(ConflictError): add_decisions(Restless(), REPO, [pin()])


def test_a_hub_that_is_down_is_not_an_empty_ledger():
    class Down(MemoryHub):
        def read(self, repo, path, revision=None): raise HubError("no answer")

    with pytest.raises(HubError, match="no answer"): read_ledger(Down(), REPO)
    with pytest.raises(HubError, match="no answer"): add_decisions(Down(), REPO, [pin()])
