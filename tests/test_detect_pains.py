"""What went wrong in an earlier detector's line, by its own later audit, and what keeps it from happening here: one entry a pain, 1 to 24.

Each entry says what happened there and names the tests that would fail if it happened here.
"""
import ast
from pathlib import Path
from typing import NamedTuple

import pytest
from test_lessons import names_in

HERE = Path(__file__).parent
LINE = [*sorted((HERE.parent / "warp/detect").glob("*.py")), HERE.parent / "warp/match/detector.py"]


class Pain(NamedTuple):
    what: str  # happened there
    tests: tuple[str, ...]  # file::test, in this folder
    because: str = ""  # what the tests do not show


PAINS = {
    1: Pain("frames that build on the one before were read alone: sheep with holes, up to 31 % of their pixels gone", ("test_detect_sld.py::test_pain_1_delta_frames_keep_every_pixel", "test_detect_sld.py::test_any_row_of_frames_comes_back")),
    2: Pain("patterns for file names caught a warrior as a ram and a cart as a relic", ("test_detect_scenes.py::test_pain_2_a_pattern_catches_what_it_means_and_no_more", "test_detect_scenes.py::test_pain_2_there_is_a_contact_sheet_for_every_class")),
    3: Pain("a wrong default folder of sprites gave sheep the label of stables, silently",
            ("test_detect_scenes.py::test_pain_3_a_sprite_says_whose_it_is_and_scenes_remember_which_they_used", "test_detect_labels.py::test_pain_3_a_picture_that_was_exchanged_is_noticed")),
    4: Pain("relative paths went to the package's folder, and new pictures were mixed with last month's",
            ("test_detect_scenes.py::test_pain_4_folders_are_absolute_and_told", "test_detect_labels.py::test_pain_4_sets_are_never_mixed_and_stale_files_are_told",
             "test_detector_data.py::test_the_dataset_file_names_an_absolute_folder_and_nothing_stale_is_mixed_in")),
    5: Pain("a class more meant entries in two files, and in three lists that were kept in step by hand", ("test_detect_scenes.py::test_pain_5_a_class_more_is_one_entry_more",)),
    6: Pain("made things were two to three times as large as real ones", ("test_detect_scenes.py::test_pain_6_one_zoom_holds_for_a_whole_scene", "test_detect_labels.py::test_pain_6_things_of_another_size_are_told",
                                                                         "test_detector_measure.py::test_sizes_of_real_and_synthetic_things_are_laid_side_by_side")),
    7: Pain("what is hidden was reckoned by adding rectangles, and only of things in front by class", ("test_detect_scenes.py::test_pain_7_what_is_seen_is_counted_in_pixels",)),
    8: Pain("boxes were as large as the sprite's file, transparent margin included", ("test_detect_scenes.py::test_pain_8_boxes_are_as_large_as_what_is_drawn",)),
    9: Pain("real screenshots with units on them, unlabelled, were used as ground", ("test_detect_scenes.py::test_pain_9_pictures_that_nobody_declared_clean_are_no_background",)),
    10: Pain("pictures with nothing on them were dropped at import and again at the merge", ("test_detect_labels.py::test_pain_10_pictures_with_nothing_on_them_are_kept",
             "test_detect_scenes.py::test_pain_10_empty_scenes_are_made_and_known_to_be_empty", "test_detector_data.py::test_verified_empty_pictures_stay_and_unlabelled_ones_do_not")),
    11: Pain("pictures were split one by one, so training had seen the sessions it was judged on", ("test_detect_labels.py::test_pain_11_pictures_of_one_session_know_that_they_belong_together",
             "test_detector_data.py::test_splits_share_no_session_and_are_made_before_oversampling", "test_detector_data.py::test_near_duplicates_of_two_sessions_are_not_split")),
    12: Pain("thresholds were tuned on the set that was reported, some of them on six boxes",
             ("test_detector_measure.py::test_thresholds_are_refused_on_the_pictures_that_chose_them", "test_detector_measure.py::test_a_class_of_a_few_boxes_gets_no_threshold_and_is_called_unqualified")),
    13: Pain("the figure on the first page was an average over 95 % made pictures", ("test_detector_measure.py::test_real_pictures_make_the_headline_and_synthetic_ones_stay_apart",)),
    14: Pain("pictures that have nothing to do with each other were measured through a tracker that smooths boxes from one to the next", ("test_detector_inference.py::test_nothing_is_remembered_between_pictures",)),
    15: Pain("trained at one size and asked at another, whole or in tiles: F1 fell from .42 to .04", ("test_detector_inference.py::test_another_size_than_the_trained_one_is_an_error",
             "test_detector_data.py::test_tiles_are_refused_at_another_scale_than_the_trained_one")),
    16: Pain("answers of the model before last were taken from a cache, and crowded pictures counted as doubtful", ("test_detector_data.py::test_what_a_model_found_is_kept_by_model_and_bytes",
             "test_detector_data.py::test_doubt_does_not_grow_with_the_number_of_boxes", "test_detector_data.py::test_one_scene_is_not_chosen_twenty_times")),
    17: Pain("a labelling tool's export left out polygons, masks and turned boxes", ("test_detect_labels.py::test_pain_17_every_shape_becomes_a_box_and_the_count_balances", "test_detect_labels.py::test_a_turned_box_holds_all_its_corners")),
    18: Pain("the score of a proposal was lost on its way through the labelling tool", ("test_detect_labels.py::test_pain_18_a_guess_keeps_its_score_on_the_way_through_a_labelling_tool",
             "test_detector_data.py::test_proposals_keep_score_and_source_and_are_not_reviewed")),
    19: Pain("thresholds came from a grid of twelve values, the lowest among equals", ("test_detector_measure.py::test_the_threshold_is_the_best_there_is_and_the_higher_among_equals",)),
    20: Pain("where the model's file was missing, made-up boxes came instead", ("test_detector_inference.py::test_a_missing_model_is_an_error_that_names_every_place_tried", "test_detector_inference.py::test_the_substitute_comes_only_when_asked_for")),
    21: Pain("every failure was caught, logged as a warning, and the work went on without the picture", ("test_detect_pains.py::test_pain_21_nothing_catches_every_error", "test_detect_scenes.py::test_pain_21_a_torn_file_is_told_by_its_name")),
    22: Pain("a torn archive was trained on, 1,413 of 2,587 pictures, from a folder named with a dot",
             ("test_detect_pains.py::test_pain_22_a_torn_parcel_is_not_trained_on", "test_detector_data.py::test_the_dataset_file_names_an_absolute_folder_and_nothing_stale_is_mixed_in")),
    23: Pain("a gain was put down to water scenes, and 187 real pictures had been added in the same step",
             ("test_detector_line.py::test_what_typing_effects_and_real_pictures_are_worth", "test_detect_scenes.py::test_pain_23_scene_types_gate_classes_and_effects"),
             "the first changes one thing at a time, runs in `make test-long`, and its table is in dev/LOG.md"),
    24: Pain("pictures were mirrored and turned, words and icons too", ("test_detect_scenes.py::test_pain_24_nothing_is_mirrored_or_turned", "test_detector_line.py::test_pieces_keep_boxes_where_they_are_and_mirror_only_when_told")),
}


def test_no_pain_is_left_out(): assert list(PAINS) == list(range(1, 25))


@pytest.mark.parametrize("number", PAINS)
def test_a_pain_names_what_keeps_it_away(number):
    pain = PAINS[number]
    assert len(pain.what) > 30 and pain.tests
    for name in pain.tests:
        file, _, test = name.partition("::")
        assert (HERE / file).is_file() and test in names_in(HERE / file), f"pain {number} names {name}, which is not there: name what has taken its place"


def catches_all(handler: ast.ExceptHandler) -> bool:
    "Whether it catches what nobody foresaw, and does not raise it again."
    names = {node.id for node in ast.walk(handler.type) if isinstance(node, ast.Name)} if handler.type else {"BaseException"}
    return bool(names & {"Exception", "BaseException"}) and not any(isinstance(node, ast.Raise) for node in ast.walk(handler))


@pytest.mark.parametrize("file", LINE, ids=lambda p: p.stem)
def test_pain_21_nothing_catches_every_error(file):
    handlers = [node for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))) if isinstance(node, ast.ExceptHandler)]
    assert not [f"{file.name}:{h.lineno}" for h in handlers if catches_all(h)]
    assert catches_all(ast.parse("try: look()\nexcept Exception as e: log(e)").body[0].handlers[0])  # this is how it looked


def test_pain_22_a_torn_parcel_is_not_trained_on(tmp_path):
    "A parcel for a rented machine, with its archive cut short, and with one picture in it exchanged."
    import shutil
    import subprocess
    import tarfile

    from PIL import Image

    from warp.detect.labels import LabelBox, LabelledImage, new_set
    from warp.detect.merge import merge_sets
    from warp.detect.profile import load_profile
    from warp.detect.yolo import pack_for_pod
    from warp.records import Box
    if not shutil.which("bash") or not shutil.which("sha256sum"): pytest.skip("the script is for the rented machine's bash")
    images = []
    for i in range(12):
        Image.effect_noise((64, 36), 20 + i).convert("RGB").save(tmp_path / f"match{i}_1.png")
        images.append(LabelledImage(tmp_path / f"match{i}_1.png", (64, 36), (LabelBox("sheep", Box(4, 4, 20, 12)),), f"match{i}"))
    profile = load_profile("aoe2")
    merged = merge_sets([new_set(profile, images)], tmp_path / "merged")
    parcel = pack_for_pod(merged.folder, tmp_path / "parcel", profile)
    def check() -> subprocess.CompletedProcess: return subprocess.run(["bash", parcel / "run.sh", "check"], capture_output=True, text=True)
    assert check().returncode == 0, check().stderr
    packed = (parcel / "data.tar").read_bytes()
    shutil.rmtree(parcel / "data")
    (parcel / "data.tar").write_bytes(packed[:len(packed) // 2 // 512 * 512])  # torn between two files, as tar itself does not notice
    torn = check()
    assert torn.returncode and "FAILED" in torn.stdout + torn.stderr, torn.stdout + torn.stderr
    (parcel / "data.tar").write_bytes(packed)
    with tarfile.open(parcel / "data.tar") as tar: first = next(m for m in tar if m.name.endswith(".png"))
    (parcel / "data.tar").write_bytes(packed[:first.offset_data + 40] + b"?" + packed[first.offset_data + 41:])
    shutil.rmtree(parcel / "data")
    changed = check()
    assert changed.returncode and "FAILED" in changed.stdout + changed.stderr and "stop it" in changed.stdout + changed.stderr
