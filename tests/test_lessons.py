"""What went wrong in this field's training and what keeps it from happening here: one entry a failure.

The numbers are those of the list of failures that this project began with, 59 to 84. Each entry says what happened elsewhere and names the tests that would fail if it happened here, or says why it cannot.
"""
import ast
from pathlib import Path
from typing import NamedTuple

import pytest

HERE = Path(__file__).parent


class Lesson(NamedTuple):
    what: str  # happened elsewhere
    tests: tuple[str, ...] = ()  # file::test, in this folder
    because: str = ""  # why it cannot happen here, or what the tests do not show


LESSONS = {
    59: Lesson("the head was thrown away at every warm start and three thousand rows were learnt again each hour", ("test_train.py::test_a_warm_start_carries_rows_by_name",)),
    60: Lesson("a cosine planned over 30 epochs where 3 fit never fell", ("test_train.py::test_the_rate_ends_at_zero_when_the_time_does",)),
    61: Lesson("the deadline was looked at before an epoch only, and the job was killed in it", ("test_train.py::test_plans_fit_their_time", "test_gate.py::test_nothing_is_trained_past_the_runners_time")),
    62: Lesson("the icon model ate the hour and the screen model never trained", ("test_train.py::test_the_budget_is_shared", "test_gate.py::test_no_network_starves")),
    63: Lesson("whatever was trained was published", ("test_hourly.py::test_a_worse_model_is_refused_and_the_page_says_so", "test_release.py::test_lost_names_close_the_gate", "test_gate.py::test_the_canary_decides")),
    64: Lesson("a collapsed embedder, all points in one place, was published", ("test_gate.py::test_a_collapsed_gallery_is_no_model",)),
    65: Lesson("single-crop classes fell to validation, where nothing could be right", ("test_gate.py::test_a_name_seen_once_is_for_training", "test_gate.py::test_held_back_once_is_held_back_for_ever")),
    66: Lesson("scores that meant nothing: 0.39 on average at 93 % right, and a threshold of 0.70", ("test_match_model.py::test_scores_are_shares_and_thresholds_silence",),
               "temperature and thresholds are fitted to held-back crops at every training and travel in icon_embedder_meta.json"),
    67: Lesson("ground collages were named right 18 times in 100 with a handful of samples", ("test_train.py::test_thin_screen_types_are_dropped_and_too_little_is_an_error",)),
    68: Lesson("a screen model with eight rows met clients that assumed seven, silently", ("test_release.py::test_heads_that_do_not_fit_their_labels_are_refused", "test_older_clients.py::test_an_eighth_kind_of_screen_does_not_become_an_eighth_row")),
    69: Lesson("clients fed other colours than training for weeks", ("test_older_clients.py::test_the_icon_weights_open_strictly_and_answer_as_ours_do", "test_match_model.py::test_screens_are_framed_alike_at_training_and_reading"),
               "the pre-processing of our own models is inside the published network"),
    70: Lesson("a device object that is always true chose a GPU that was not there", because="no condition of ours looks at a device: the loop takes the one that its library found, and every test trains on a processor"),
    71: Lesson("torch and numpy that did not go together failed at run time", because="settings.ini asks for torch>=2.14 with numpy>=2, and the hosted checks install what a stranger would get and train with it, on two systems and two Pythons"),
    72: Lesson("a second pass over the data for hard examples doubled the time", ("test_train.py::test_hard_negatives_are_capped_and_forgiven",), "they are taken from the epoch's own answers"),
    73: Lesson("empty slots snapped to a real ability at 0.93", ("test_train.py::test_empty_slots_come_in_both_kinds", "test_match.py::test_nothing_virtual_is_ever_named")),
    74: Lesson("loading screens became trait panels, for there was no way to decline", ("test_screens.py::test_below_one_half_there_is_no_name",)),
    75: Lesson("a horizontal flip was thought harmless for icons with a direction", because="the classifier's `flip` is 0 by default, and dev/LOG.md has what the switch costs"),
    76: Lesson("split, cap and sampler had no seed, so no two runs could be compared", ("test_train.py::test_the_embedder_learns_and_repeats", "test_gate.py::test_held_back_once_is_held_back_for_ever")),
    77: Lesson("the number of classes was counted in the votes, not in what was trained", ("test_older_clients.py::test_the_description_has_the_seeds_fields_and_times",)),
    78: Lesson("an emptied set of corrections was never published, so a bad one stayed", ("test_train.py::test_a_run_leaves_everything_that_a_release_needs",), "both files are required of every release"),
    79: Lesson("the scheduler went on driving the old optimiser after the backbone was let go", ("test_gate.py::test_a_backbone_that_is_let_go_learns",)),
    80: Lesson("open matchers kept the old model", ("test_match.py::test_a_new_model_is_taken_up_at_the_next_match",)),
    81: Lesson("a warm start threw away a hidden layer with the head", ("test_train.py::test_screen_models_train_export_and_start_warm",)),
    82: Lesson("a run without an epoch published a random head with an accuracy of 0.0", ("test_train.py::test_an_interrupt_before_any_validation_leaves_nothing", "test_release.py::test_force_does_not_publish_what_is_no_model")),
    83: Lesson("file by file, new weights met old labels", ("test_update.py::test_an_update_killed_anywhere_leaves_a_working_set", "test_match_model.py::test_files_of_two_trainings_do_not")),
    84: Lesson("times were compared as strings in two formats", ("test_release.py::test_moments_are_compared_not_strings",)),
}


def tests_of(file: Path) -> set[str]:
    "Names of the test functions in a file."
    return {node.name for node in ast.parse(file.read_text(encoding="utf-8")).body if isinstance(node, ast.FunctionDef)}


def test_no_failure_is_left_out(): assert list(LESSONS) == list(range(59, 85))


@pytest.mark.parametrize("number", LESSONS)
def test_a_lesson_names_what_keeps_it(number):
    lesson = LESSONS[number]
    assert len(lesson.what) > 30 and (lesson.tests or len(lesson.because) > 60)
    for name in lesson.tests:
        file, _, test = name.partition("::")
        assert (HERE / file).is_file() and test in tests_of(HERE / file), f"lesson {number} names {name}, which is not there: name what has taken its place"
