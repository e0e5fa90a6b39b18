"""Budgets hold, what was done counts, and the test part decides nothing."""

import shutil
import time

import numpy as np
import pytest

from vae_pipeline.errors import TrainingError
from vae_pipeline.experiments.best import read_best
from vae_pipeline.experiments.report import write_tuned
from vae_pipeline.experiments.tune import tune
from vae_pipeline_tests.builders.tables import table_dataset
from vae_pipeline_tests.experiments.conftest import budgeted

PUMPS = table_dataset()


def tuned(dataset, settings, tmp_path, told=None, **more):
    return tune(dataset, "v1", tmp_path, settings, (told if told is not None else []).append, **more)


def test_the_best_is_found_and_the_default_beside_it(settings, instant, tmp_path):
    best = tuned(budgeted(PUMPS, trials=12), settings, tmp_path)
    assert instant[0].beta == PUMPS.training.beta
    assert len(best.trials) == len(instant) == 12
    values = [1.0 - abs(training.beta - 0.5) for training in instant]
    assert best.value == max(values)
    assert best.parameters["beta"] == instant[int(np.argmax(values))].beta
    assert best.default_value == pytest.approx(0.6)
    assert set(best.importance) == set(best.parameters)
    assert best.within == "trials"


def test_going_on_keeps_what_was_done_and_changes_nothing(settings, instant, tmp_path):
    """Killed at every trial in turn: the same trials as of a search that was left alone."""

    def killed():
        raise KeyboardInterrupt

    whole = tuned(budgeted(PUMPS, trials=10), settings, tmp_path)
    told = []
    for number in range(10):
        instant.endings[len(instant)] = killed
        with pytest.raises(KeyboardInterrupt):
            tuned(budgeted(PUMPS, trials=number + 1), settings, tmp_path, told, fresh=number == 0)
        interrupted = tuned(budgeted(PUMPS, trials=number + 1), settings, tmp_path, told)
    assert [row.parameters for row in interrupted.trials] == [row.parameters for row in whole.trials]
    assert [row.value for row in interrupted.trials] == [row.value for row in whole.trials]
    assert interrupted.default_value == whole.default_value
    assert [text for text in told if text.startswith("going on after 9 of 10 trials")]


def test_a_budget_that_is_used_up_makes_nothing(settings, instant, tmp_path):
    first = tuned(budgeted(PUMPS, trials=3), settings, tmp_path)
    again = tuned(budgeted(PUMPS, trials=3), settings, tmp_path)
    assert len(instant) == 3
    assert again.trials == first.trials


def test_when_the_minutes_are_over_no_trial_begins_and_the_one_cut_off_is_tried_again(settings, instant, tmp_path):
    def slow():
        time.sleep(1.0)
        return "stopped"

    instant.endings[1] = slow
    best = tuned(budgeted(PUMPS, trials=4, minutes=0.015), settings, tmp_path)
    assert (best.within, len(best.trials), len(instant)) == ("minutes", 1, 2)
    assert tuned(budgeted(PUMPS, trials=4, minutes=0.015), settings, tmp_path).trials == best.trials
    assert len(instant) == 2
    longer = tuned(budgeted(PUMPS, trials=4, minutes=5.0), settings, tmp_path)
    assert len(longer.trials) == 4
    assert instant[2] == instant[1]


def test_trials_that_fail_or_are_pruned_count_and_are_told(settings, instant, tmp_path):
    instant.endings |= {1: "pruned", 2: "failed"}
    told = []
    best = tuned(budgeted(PUMPS, trials=4), settings, tmp_path, told)
    assert [row.state for row in best.trials] == ["complete", "pruned", "fail", "complete"]
    assert [text for text in told if "pruned after epoch 1" in text]
    assert [text for text in told if "failed: the loss is not finite" in text]


def test_without_a_complete_trial_the_reason_is_told(settings, instant, tmp_path):
    instant.endings |= {0: "failed", 1: "failed"}
    with pytest.raises(TrainingError, match=r"no trial came to its end .*the loss is not finite.*--minutes"):
        tuned(budgeted(PUMPS, trials=2), settings, tmp_path)


def test_a_result_is_read_as_it_was_written(settings, instant, tmp_path):
    instant.endings[3] = "pruned"
    best = tuned(budgeted(PUMPS, trials=6), settings, tmp_path)
    write_tuned(best, tmp_path)
    assert read_best(tmp_path) == best
    lines = (tmp_path / "trials.csv").read_text().splitlines()
    assert len(lines) == 7
    assert lines[0].endswith("reason,beta,hidden,latent,learning_rate,noise")
    for name in ("history", "importance"):
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_nothing_of_the_test_part_is_read(built, settings, tmp_path):
    """Other test readings, labels and lives: the same trials, values and best to the last digit."""
    dataset = budgeted(built.dataset, trials=3, seed=1)
    found = tune(dataset, "v1", built.features, settings)
    other = tmp_path / "features"
    shutil.copytree(built.features, other)
    _spoil_test_part(other)
    spoilt = tune(dataset, "v1", other, settings, fresh=True)
    assert _without_time(spoilt) == _without_time(found)
    assert len({row.value for row in found.trials if row.value is not None}) > 1


def _without_time(best):
    rows = [row.model_dump(exclude={"seconds"}) for row in best.trials]
    return rows, best.model_dump(exclude={"seconds", "trials"})


def _spoil_test_part(features):
    from vae_pipeline.features.feature_set import FeatureSet

    opened = FeatureSet.open(features)
    test = np.zeros(len(opened.rows), dtype=bool)
    for segment in opened.segments:
        if segment.part == "test":
            test[segment.start : segment.stop] = True
    assert test.any()
    rows = np.array(opened.rows)
    rows[test] = np.random.default_rng(0).normal(5.0, 9.0, rows[test].shape)
    np.save(features / "rows.npy", rows)
    with np.load(features / "rows.npz") as kept:
        arrays = dict(kept)
    arrays["label"][test] = 1 - np.clip(arrays["label"][test], 0, 1)
    arrays["remaining_life"][test] = 1.0
    arrays["healthy"][test] = True
    np.savez(features / "rows.npz", **arrays)


@pytest.mark.slow
def test_workers_share_a_study(built, settings):
    told = []
    best = tune(budgeted(built.dataset, trials=4, workers=2), "v1", built.features, settings, told.append)
    assert len(best.trials) == 4
    assert best.trials[0].default
    assert len([text for text in told if text.startswith("trial ")]) == 4
