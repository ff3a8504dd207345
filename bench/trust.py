"""What each trust switch is worth and what it costs: `python bench/trust.py [--votes 100000 1000000]`.

A made community whose truth is known: a few installs do most of the work, a few items make up most of the crops, five votes a crop on average. One in ten
installs is sloppy; 3 in 100, and then 20 in 100, are one person who gives every crop the same wrong name from all of them. The plain rule, every switch,
and the majority as pandas counts it, one after the other in the same run. Told are the share of right labels, who was shut out, and the seconds.
"""
import argparse
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from warp.knowledge.trust import QUARANTINE_FROM, Community, Trust, elect, everyone, made_community, reliability
from warp.knowledge.votes import Lines

LIMIT_S = 5.0  # for the reliability of everybody, from a million votes
SWITCHES = {"no switch, the rule": Trust(), "slot first": Trust(slot_first=True), "newcomers wait": Trust(newcomers=True),
            "at most a tenth of a class": Trust(max_share=0.1), "quarantine": Trust(quarantine=True), "weights": Trust(weigh=True),
            "everything": Trust(slot_first=True, weigh=True, quarantine=True, max_share=0.1, newcomers=True)}


def pandas_majority(made: Community) -> Callable[[], dict[str, str]]:
    "The rule as one writes it in pandas: of each install and crop the newest, then the most common name, the earlier on a tie."
    import pandas as pd
    fields = {"crop": "crop_sha256", "who": "install_id", "name": "name", "at": "confirmed_at"}
    frame = pd.DataFrame({short: [getattr(v, name) for v in made.votes] for short, name in fields.items()})

    def count() -> dict[str, str]:
        one = frame.sort_values("at", kind="stable").drop_duplicates(["crop", "who"], keep="last")
        tally = one.groupby(["crop", "name"]).agg(votes=("at", "size"), first=("at", "min")).reset_index()
        best = tally.sort_values(["crop", "votes", "first", "name"], ascending=[True, False, True, True]).drop_duplicates("crop")
        return dict(zip(best.crop, best.name))
    return count


def timed(act: Callable[[], Any]) -> tuple[Any, float, str]:
    "What it gives, its seconds, and both kinds of seconds as text."
    started, cpu = time.perf_counter(), time.process_time()
    given = act()
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    return given, seconds, f"{seconds:7.1f} s, {cpu:6.1f} s of CPU"


def measure(n_votes: int, liars: float) -> bool:
    "Prints one community's table; whether the limit was kept."
    made = made_community(1, n_votes, n_installs=max(200, n_votes // 200), n_names=3000, per_crop=5, liars=liars)
    lines, _, took = timed(lambda: Lines.of(made.votes))
    print(f"{n_votes:,} votes of {len(made.kinds):,} installs on {len(made.truth):,} crops, 3,000 names, {liars:.0%} liars, 10% sloppy (loaded in {took.strip()})")
    labels, _, took = timed(pandas_majority(made))
    right = sum(made.truth[sha] == name for sha, name in labels.items()) / len(labels)
    print(f"    {'majority in pandas':28} {right:8.4f} right {took}   {len(labels):8,} crops")
    for what, trust in SWITCHES.items():
        winners, _, took = timed(lambda trust=trust: elect(lines, trust=trust))
        right = made.accuracy(list(everyone(winners).values()))
        print(f"    {what:28} {right:8.4f} right {took}   {len(winners):8,} crops, {len(winners.withheld):,} withheld", flush=True)
        if not trust.switches: assert everyone(winners).keys() == labels.keys()
    figures, seconds, took = min((timed(lambda: reliability(lines)) for _ in range(3)), key=lambda run: run[1])
    seen, shut = (Counter(made.kinds[who] for who, f in figures.items() if is_so(f)) for is_so in (lambda f: f.overlaps >= QUARANTINE_FROM, lambda f: f.quarantined))
    words = ", ".join(f"{shut[kind]} of {seen[kind]} {kind}" for kind in ("honest", "sloppy", "liar"))
    print(f"    {'reliability of everybody':28} {'':14} {took}   in quarantine: {words}")
    assert not shut["honest"], "an honest install was shut out"
    return n_votes > 1_000_000 or seconds <= LIMIT_S


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--votes", type=int, nargs="+", default=[100_000, 1_000_000])
    kept = [measure(n, liars) for n in parser.parse_args().votes for liars in (0.03, 0.2)]
    print(f"reliability from up to 1,000,000 votes in at most {LIMIT_S:g} s: {'kept' if all(kept) else 'NOT kept'}")


if __name__ == "__main__": main()
