"What is measured is what is there: COCO's own matcher agrees, and the ways of flattering oneself are closed."
import contextlib
import io
import json

import numpy as np
import pytest

from warp.detect.measure import (FEW, Case, average_precision, best_threshold, choose_thresholds, errors_of, figures, report, rows_of, sizes_of,
                                 sync_thresholds, tally)
from warp.errors import InputError

CLASSES = ("scout", "knight", "camel", "wonder")


def made(seed: int, pictures: int = 30, crowds: bool = False, real: bool = True, groups: int = 8) -> list[Case]:
    "Boxes, most of them found, some twice, some of another class, some made up; scores with ties."
    rng, cases = np.random.default_rng(seed), []
    for i in range(pictures):
        n = int(rng.integers(0, 25))
        at, size, kind = rng.uniform(0, 300, (n, 2)), rng.uniform(8, 60, (n, 2)), rng.integers(0, 3, n)
        boxes = np.column_stack([at, at + size, kind])
        seen = boxes[rng.random(n) < .85]
        seen = np.vstack([seen, seen[:len(seen) // 3]])  # twice
        seen[:, :4] += rng.normal(0, 4, (len(seen), 4))
        ghosts = rng.uniform(0, 300, (int(rng.poisson(4)), 2))
        seen = np.vstack([seen, np.column_stack([ghosts, ghosts + 25, rng.integers(0, 3, len(ghosts))])])
        seen[:, 2:4] = np.maximum(seen[:, 2:4], seen[:, :2] + 1)
        rows = np.column_stack([seen[:, :4], np.round(rng.random(len(seen)), 2), seen[:, 4]])
        crowd = np.array([[0, 0, 90, 90, 0.]]) if crowds and i % 3 == 0 else np.empty((0, 5))
        cases.append(Case(f"{seed}_{i}.png", boxes, rows[np.argsort(-rows[:, 4], kind="stable")], f"session {i % groups}", real, ignored=crowd))
    return cases


def coco(cases: list[Case]):
    "pycocotools' judgement at an overlap of one half, and its precision by class."
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval
    def xywh(r): return [float(r[0]), float(r[1]), float(r[2] - r[0]), float(r[3] - r[1])]
    def note(i, r, crowd): return {"image_id": i, "category_id": int(r[4]) + 1, "bbox": xywh(r), "area": (r[2] - r[0]) * (r[3] - r[1]), "iscrowd": crowd}
    notes = [note(i, r, 0) for i, c in enumerate(cases) for r in c.truth] + [note(i, r, 1) for i, c in enumerate(cases) for r in c.ignored]
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {"images": [{"id": i} for i in range(len(cases))], "annotations": [n | {"id": k + 1} for k, n in enumerate(notes)], "categories": [{"id": k + 1} for k in range(3)]}
        truth.createIndex()
        found = truth.loadRes([{"image_id": i, "category_id": int(r[5]) + 1, "bbox": xywh(r), "score": float(r[4])} for i, c in enumerate(cases) for r in c.found])
        judge = COCOeval(truth, found, "bbox")
        judge.params.iouThrs, judge.params.areaRng, judge.params.areaRngLbl, judge.params.maxDets = np.array([.5]), [[0, 1e10]], ["all"], [300]
        judge.evaluate()
        judge.accumulate()
    return judge


@pytest.mark.parametrize("crowds", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_the_matcher_agrees_with_pycocotools(seed, crowds):
    cases = made(seed, crowds=crowds)
    judge, t = coco(cases), tally(cases)
    theirs = {k: [0, 0] for k in range(3)}
    for e in filter(None, judge.evalImgs):
        right, ignored = e["dtMatches"][0] > 0, e["dtIgnore"][0].astype(bool)
        theirs[e["category_id"] - 1][0] += int((right & ~ignored).sum())
        theirs[e["category_id"] - 1][1] += int((~right & ~ignored).sum())
    assert {k: [int((t.right & (t.kind == k)).sum()), int((~t.right & (t.kind == k)).sum())] for k in range(3)} == theirs
    precision = judge.eval["precision"][0, :, :, 0, 0].mean(0)
    ours = [average_precision(t.score[t.kind == k], t.right[t.kind == k], int((t.true_kind == k).sum())) for k in range(3)]
    np.testing.assert_allclose(ours, precision, atol=0.004)  # equal scores of two pictures stand in another order


def test_real_pictures_make_the_headline_and_synthetic_ones_stay_apart():  # pain 13
    real, synthetic = made(1), [c for c in made(2, real=False) for _ in range(19)]
    told = report([*real, *synthetic], CLASSES, choose_thresholds(made(3), CLASSES))
    assert told.real.pictures == 30 and told.synthetic.pictures == 570
    alone = report(real, CLASSES, told.thresholds)
    assert alone.real == told.real and f"{told.real.micro.f1:.3f}" in told.headline
    assert "no real picture" in report(synthetic, CLASSES, told.thresholds).headline


def test_thresholds_are_refused_on_the_pictures_that_chose_them():  # pain 12
    dev = made(4)
    chosen = choose_thresholds(dev, CLASSES)
    with pytest.raises(InputError, match="chose the thresholds"): report([*made(5), dev[3]], CLASSES, chosen)


def test_a_class_of_a_few_boxes_gets_no_threshold_and_is_called_unqualified():  # pain 12
    cases = made(6)
    few = Case("few.png", rows_of([(5, 5, 20, 20)] * 6, [3] * 6), np.array([[5, 5, 25, 25, .9, 3]]), "session 1")
    chosen = choose_thresholds([*cases, few], CLASSES)
    assert "wonder" not in chosen.of_class and chosen.to_json()["unqualified"] == {"wonder": 6} and FEW > 6
    assert chosen.least(CLASSES)[3] == chosen.default


def test_the_threshold_is_the_best_there_is_and_the_higher_among_equals():  # pain 19
    rng = np.random.default_rng(8)
    for _ in range(200):
        n = int(rng.integers(1, 30))
        score, right, missed = np.round(rng.random(n), 1), rng.random(n) < .6, int(rng.integers(0, 6))
        if not right.any(): continue
        support = int(right.sum()) + missed
        f1 = {s: 2 * right[score >= s].sum() / ((score >= s).sum() + support) for s in score}
        best = max(f1.values())
        threshold, value = best_threshold(score, right, support)
        assert value == pytest.approx(best) and threshold == pytest.approx(max(s for s, v in f1.items() if v == pytest.approx(best)), abs=1e-3)


def test_a_class_that_is_nowhere_has_no_recall():  # a trap of part G
    part = report(made(1), CLASSES, choose_thresholds(made(3), CLASSES)).real
    assert part.per_class["wonder"].recall is None and part.per_class["wonder"].ap50 is None
    assert part.micro.ap50 == pytest.approx(np.mean([part.per_class[name].ap50 for name in CLASSES[:3]]))


def test_the_interval_is_over_sessions_and_says_when_there_are_too_few():
    chosen = choose_thresholds(made(3), CLASSES)
    assert report(made(1, groups=4), CLASSES, chosen).real.interval is None
    twice = [Case(f"{k}{c.file}", c.truth, c.found, c.group) for c in made(1) for k in "ab"]  # each picture twice teaches nothing
    once, doubled = (report(cases, CLASSES, chosen).real.interval for cases in (made(1), twice))
    assert once == doubled and once[0] < once[1]


def test_sizes_of_real_and_synthetic_things_are_laid_side_by_side():  # pain 6
    small = Case("r", rows_of([(0, 0, 15, 12)] * 3, [0] * 3), np.empty((0, 6)), real=True, scale=.5)
    large = Case("s", rows_of([(0, 0, 39, 27)] * 3, [0] * 3), np.empty((0, 6)), real=False, scale=.5)
    assert sizes_of([small, large], CLASSES)["scout"] == (pytest.approx(6.7, abs=.1), pytest.approx(16.2, abs=.1))


def test_bands_and_errors_add_up():
    cases = made(1)
    told = report(cases, CLASSES, choose_thresholds(made(3), CLASSES)).real
    assert sum(f.support for f in told.bands.values()) == told.micro.support == sum(len(c.truth) for c in cases)
    least = choose_thresholds(made(3), CLASSES).least(CLASSES)
    whole = figures(tally(cases), least)
    assert sum(errors_of(c, least) for c in cases) == whole.made_up + whole.missed
    said = sum(n for (_, b), n in told.confusion.items() if b != "(nothing)")
    assert said == whole.right + whole.made_up


def test_sync_shows_first_writes_on_request_and_keeps_other_classes(tmp_path):
    summary = report(made(1), CLASSES, choose_thresholds(made(3), CLASSES)).to_json()
    json.dumps(summary)
    contract = tmp_path / "sto_detector_v1_contract.json"
    contract.write_text(json.dumps({"postprocessing": {"default_confidence": .35, "class_confidence": {"wonder": .5}, "nms_iou": .5}}), encoding="utf-8")
    before = contract.read_bytes()
    assert "+" in sync_thresholds(summary, contract) and contract.read_bytes() == before
    sync_thresholds(summary, contract, write=True)
    post = json.loads(contract.read_text(encoding="utf-8"))["postprocessing"]
    assert post["class_confidence"]["wonder"] == .5 and post["class_confidence"]["scout"] == summary["recommended_thresholds"]["scout"]["threshold"]
    assert sync_thresholds(summary, contract) == ""
    (tmp_path / "none.py").write_text("x = 1\n", encoding="utf-8")
    with pytest.raises(InputError, match="has no lines"): sync_thresholds(summary, tmp_path / "none.py")
