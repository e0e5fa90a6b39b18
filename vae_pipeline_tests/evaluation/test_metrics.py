import time
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score, precision_score, recall_score, roc_auc_score

from vae_pipeline.errors import DataError
from vae_pipeline.evaluation.metrics import Scored, alarms, cannot, detection_metrics, intervals
from vae_pipeline_tests.evaluation.examples import engines, unlabelled

RANKED = {"roc_auc", "pr_auc", "precision", "recall", "f1", "best_f1", "f1_ratio", "vus_pr"}


def test_equals_sklearn():
    scored = engines(strength=1.5)
    found = detection_metrics(scored, 1.0)
    alarm = scored.score > 1.0
    assert found["roc_auc"] == pytest.approx(roc_auc_score(scored.label, scored.score))
    assert found["pr_auc"] == pytest.approx(average_precision_score(scored.label, scored.score))
    assert found["precision"] == pytest.approx(precision_score(scored.label, alarm))
    assert found["recall"] == pytest.approx(recall_score(scored.label, alarm))
    assert found["f1"] == pytest.approx(f1_score(scored.label, alarm))
    assert found["f1_ratio"] == pytest.approx(found["f1"] / found["best_f1"])
    assert found["true_positives"] + found["false_negatives"] == (scored.label == 1).sum()
    assert found["false_positives"] + found["true_negatives"] == (scored.label == 0).sum()
    assert found["false_alarms_per_1000"] == pytest.approx(1000 * alarm[scored.label == 0].mean())


def test_order_of_the_windows_does_not_matter():
    scored = engines()
    mixed = scored.take(np.random.default_rng(0).permutation(len(scored)))
    assert detection_metrics(mixed, 2.0) == pytest.approx(detection_metrics(scored, 2.0))


def test_unknown_labels_are_left_out_of_what_needs_labels():
    scored = engines()
    label = scored.label.copy()
    label[::3] = -1
    some = replace(scored, label=label)
    found, kept = detection_metrics(some, 2.0), detection_metrics(some.labelled, 2.0)
    assert {name: found[name] for name in RANKED} == pytest.approx({name: kept[name] for name in RANKED})
    assert found["windows"] == len(scored)


def test_random_scores_stay_near_chance():
    scored = engines(units=40, strength=0.0)
    found = detection_metrics(scored, 2.0)
    assert found["roc_auc"] == pytest.approx(0.5, abs=0.03)
    assert found["pr_auc"] == pytest.approx(scored.label.mean(), abs=0.03)
    assert found["roc_auc_low"] < 0.5 < found["roc_auc_high"]
    # point adjustment would lift this towards 1
    assert found["f1"] < 0.2


def test_false_alarms_count_healthy_windows_only():
    scored = engines()
    threshold = 1.0
    found = detection_metrics(scored, threshold, healthy_from=60, bootstrap=0)
    healthy = scored.remaining_life >= 60
    assert found["false_alarms_per_1000"] == pytest.approx(1000 * (scored.score[healthy] > threshold).mean())


@pytest.mark.parametrize("metric", ["roc_auc", "pr_auc", "f1"])
def test_intervals_cover_the_truth(metric):
    truth = detection_metrics(engines(units=600, seed=99, strength=1.0), 1.0, bootstrap=0, max_buffer=0)[metric]
    covered = 0
    for seed in range(40):
        found = intervals(engines(units=20, seed=seed, strength=1.0), 1.0, draws=200, seed=seed)
        covered += found[f"{metric}_low"] <= truth <= found[f"{metric}_high"]
    assert covered >= 33


def test_intervals_widen_when_a_unit_is_one_observation():
    """Windows that repeat their unit's value carry no more than one observation each."""
    scored = engines(units=30, strength=1.0)
    level = np.random.default_rng(0).normal(size=30)[scored.unit]
    loose, tight = scored.with_score(level + scored.label), scored
    widths = [found["roc_auc_high"] - found["roc_auc_low"] for found in (intervals(loose), intervals(tight))]
    assert widths[0] > 2 * widths[1]


def test_seed_fixes_the_intervals():
    scored = engines(strength=1.0)
    assert intervals(scored, 1.0, seed=1) == intervals(scored, 1.0, seed=1)
    assert intervals(scored, 1.0, seed=1) != intervals(scored, 1.0, seed=2)


def test_one_unit_gets_intervals_over_blocks_and_says_so():
    rng = np.random.default_rng(0)
    label = np.zeros(400, dtype=np.int8)
    label[50:90] = label[200:230] = label[300:340] = 1
    scored = Scored(
        rng.normal(size=400) + label,
        label,
        np.zeros(400, dtype=int),
        np.arange(400.0),
        np.full(400, np.nan, dtype=np.float32),
    )
    found = detection_metrics(scored, 1.0)
    assert found["roc_auc_low"] < found["roc_auc"] < found["roc_auc_high"]
    assert any("one labelled unit" in sentence for sentence in cannot(scored))
    assert "lead_time_share" not in found


@pytest.mark.parametrize(
    ("label", "left", "words"),
    [
        (-1, set(), "no window has a label"),
        (0, {"false_positives", "false_alarms_per_1000"}, "no window is labelled anomalous"),
        (1, {"true_positives"}, "no window is labelled normal"),
    ],
)
def test_what_labels_do_not_allow_is_left_out_with_a_sentence(label, left, words):
    scored = replace(engines(), label=np.full(len(engines()), label, dtype=np.int8))
    found = detection_metrics(scored, 1.0)
    assert not RANKED & set(found)
    assert left <= set(found)
    assert found["alarm_share"] == pytest.approx((scored.score > 1.0).mean())
    assert any(words in sentence for sentence in cannot(scored))


def test_everything_computable_needs_no_sentence():
    assert cannot(engines()) == []
    assert len(cannot(unlabelled(engines()))) == 2


def test_no_windows():
    empty = engines().take(np.zeros(0, dtype=int))
    assert detection_metrics(empty, 1.0) == {"windows": 0.0, "units": 0.0}
    assert cannot(empty) == ["Nothing can be computed: there are no windows."]


def test_lead_time_of_a_sharp_detector():
    scored = engines(strength=100.0, reach=20)
    found = detection_metrics(scored, 50.0)
    assert found["lead_time_share"] == 1.0
    assert found["lead_time_median"] == 19.0
    silent = detection_metrics(scored, 1000.0)
    assert silent["lead_time_share"] == 0.0
    assert "lead_time_median" not in silent


def test_a_score_on_the_threshold_does_not_alarm():
    scored = engines()
    assert not alarms(scored, float(scored.score.max())).any()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"score": np.array([1.0, np.nan])}, "score of window 1 is nan"),
        ({"label": np.array([0, 2], dtype=np.int8)}, "label of window 1 is 2"),
        ({"time": np.zeros(3)}, "time has shape"),
    ],
)
def test_unfit_windows_are_refused(change, words):
    good = engines().take(np.arange(2))
    with pytest.raises(DataError, match=words):
        replace(good, **change)


def test_is_fast_on_the_size_of_fd002():
    scored = engines(units=230, length=80, strength=1.0)
    start = time.perf_counter()
    detection_metrics(scored, 1.0)
    assert len(scored) > 20_000
    assert time.perf_counter() - start < 5
