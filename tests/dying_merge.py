"""A made hub with everything that staging may hold, and merges of it that kill themselves. Run by test_merge; has no tests of its own.

    python tests/dying_merge.py HUB OUT MOST STEP [STEP ...]

For each step it copies HUB to OUT/<step>, starts a merge there in a process of its own that dies with signal 9 just before its STEP-th change to that folder, and then merges again in
peace. It prints a line a step: how the first one ended, `killed` or `through`, and the digest of all files of both repositories afterwards. It forks, so it needs a POSIX system.
"""
import hashlib
import json
import os
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from dying import copies, die_at
from warp.config import Config
from warp.data.crops import make_crop
from warp.hub import Add, FolderHub, Hub
from warp.knowledge.ledger import Decision, add_decisions
from warp.knowledge.overrides import contribute, contribution
from warp.knowledge.vocabulary import Vocabulary
from warp.knowledge.votes import crop_path
from warp.records import Vote

DATA, DELIVERY = Config.data_repo, Config.delivery_repo
NAMES = sorted(Vocabulary.load().names("Science Consoles"))[:8]


def picture(i: int, size: tuple[int, int] = (64, 64)):
    return make_crop(Image.fromarray(np.random.default_rng(i).integers(0, 255, (*size, 3)).astype(np.uint8)))


CROPS = [picture(i) for i in range(24)]


def vote(who: str, i: int, name: str = "", at: str = "18T20:00:00Z", **more) -> Vote:
    return Vote(more.pop("sha", CROPS[i].sha256), who, name or NAMES[i % 8], more.pop("slot", "Science Consoles"), f"2026-11-{at}", **more)


def lines_of(votes: list[Vote]) -> bytes: return "".join(json.dumps(v.to_json(), ensure_ascii=False) + "\n" for v in votes).encode()


def send(hub: Hub, votes: list[Vote], more: bytes = b"", pictures: dict[str, bytes] | None = None) -> None:
    "What one player's app commits in one go."
    who, data = votes[0].install_id, lines_of(votes) + more
    known = {c.sha256: c.png for c in CROPS} | (pictures or {})
    files = [Add(crop_path(who, v.crop_sha256), known[v.crop_sha256]) for v in votes if not v.withdrawn and v.crop_sha256 in known]
    hub.commit(DATA, [*files, Add(f"staging/{who}/annotations/{hashlib.sha256(data).hexdigest()[:32]}.jsonl", data)], "a sync")


def fill(hub: Hub) -> None:
    "Players who agree, who do not, who take back, who are of an older version, who lie about pictures; screens, grids and contributions."
    for who in ("ann", "ben"): send(hub, [vote(who, i) for i in range(12)])
    send(hub, [vote("cat", 0, NAMES[5]), vote("cat", 12), vote("cat", 13)], b'{"crop_sha256": "torn\nnot even JSON \xff\n')
    send(hub, [vote("cat", 13, at="19T20:00:00Z", withdrawn=True)])
    send(hub, [vote("dan", 14, "My Favourite"), vote("dan", 15, slot="Ship Type", name="Support Cruiser", ml_name="Supp0rt Cruiser")])
    old = CROPS[16].sha256[:32]
    lines = [{"crop_sha256": old, "name": NAMES[0], "slot": "Science Console", "date": "2026-03-01"}, {"crop_sha256": CROPS[17].sha256, "name": NAMES[1], "slot": "Science Console", "date": "2026-03-01"},
             {"crop_sha256": CROPS[17].sha256, "name": NAMES[2], "slot": "Science Console", "date": "2026-03-01"}]
    hub.commit(DATA, [Add("staging/old/annotations.jsonl", "".join(json.dumps(x) + "\n" for x in lines).encode()), Add(crop_path("old", old), CROPS[16].png), Add(crop_path("old", CROPS[17].sha256), CROPS[17].png),
                      Add("staging/old/anchors_grid_00112233.json", b"{}")], "an older client")
    send(hub, [vote("eve", 18), vote("eve", 19), vote("eve", 20)], pictures={CROPS[18].sha256: CROPS[0].png, CROPS[19].sha256: b"GIF89a" + b"\0" * 90})
    send(hub, [vote("fay", 18), vote("fay", 21)])
    screens = [picture(90 + i, (126, 224)) for i in range(4)]
    place = lambda who, kind, i: f"staging/{who}/screen_types/{kind}/{screens[i].sha256}.png"
    hub.commit(DATA, [Add(place("ann", "SPACE_EQ", 0), screens[0].png), Add(place("ben", "SPACE_EQ", 0), screens[0].png), Add(place("cat", "TRAITS", 0), screens[0].png),
                      Add(place("ben", "BOFFS", 1), screens[1].png), Add(place("eve", "BOFFS", 2), b"no picture"), Add("staging/eve/screen_types/NOTHING/a.png", b"x")], "screens")
    add_decisions(hub, DATA, [Decision("2026-11-19T00:00:00Z", "deny", CROPS[11].sha256, why="blurred"), Decision("2026-11-19T00:00:00Z", "relabel", CROPS[10].sha256, name=NAMES[7], why="seen in the game")])
    for who in ("ann", "ben"): contribute(hub, DELIVERY, contribution(who, CROPS[3].png, NAMES[3], timestamp="2026-11-18T20:00:00Z"), CROPS[3].png)


def digest(hub: FolderHub) -> str:
    "Of every file of both repositories, by path."
    files = sorted((p.relative_to(hub.root).as_posix(), hashlib.sha256(p.read_bytes()).hexdigest()) for p in (hub.root / "datasets").rglob("*") if p.is_file())
    return hashlib.sha256(json.dumps(files).encode()).hexdigest()


def merged(root: Path, most: int) -> FolderHub:
    from warp.knowledge.merge import merge
    hub = FolderHub(root)
    hub.head(DATA), hub.head(DELIVERY)  # what an interrupted commit left is settled by whoever comes next
    merge(hub, Config(root.parent / "home", str(root)), apply=True, most=most)
    return hub


def in_a_process(act) -> int:
    child = os.fork()
    if child == 0:
        try:
            act()
            os._exit(0)
        finally: os._exit(1)
    return os.waitpid(child, 0)[1]


def main(hub: str, out: str, most: str, *steps: str) -> None:
    Path(out, "none").mkdir(parents=True, exist_ok=True)
    import duckdb  # noqa: F401  # once, before forking
    import warp.knowledge.merge  # noqa: F401
    for step in map(int, steps):
        root, _ = copies(Path(hub), Path(out, "none"), Path(out), step)

        def dies() -> None:
            die_at(step, root)  # noqa: B023
            merged(root, int(most))  # noqa: B023
        first = in_a_process(dies)
        assert in_a_process(lambda: merged(root, int(most))) == 0, f"step {step}: the second merge failed"  # noqa: B023
        print("killed" if first else "through", digest(FolderHub(root)), flush=True)


if __name__ == "__main__": main(*sys.argv[1:])
