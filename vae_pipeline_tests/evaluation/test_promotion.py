from dataclasses import replace

import numpy as np
import pytest

from vae_pipeline.errors import DataError
from vae_pipeline.evaluation.promotion import compare
from vae_pipeline_tests.evaluation.examples import engines, unlabelled

BASE = engines(units=30, strength=1.5)
STRONG = BASE.with_score(BASE.score + 1.5 * BASE.label)
NOISE = BASE.with_score(BASE.score + 0.7 * np.random.default_rng(5).normal(size=len(BASE)))
RANDOM = BASE.with_score(np.random.default_rng(6).normal(size=len(BASE)))


@pytest.mark.parametrize("metric", ["pr_auc", "roc_auc"])
@pytest.mark.parametrize(
    ("challenger", "champion", "promote", "words"),
    [
        (STRONG, BASE, True, "is better"),
        (BASE, BASE, True, "equal and fresher"),
        (NOISE, BASE, False, "is worse"),
        (BASE, STRONG, False, "is worse"),
        (BASE, NOISE, True, "is better"),
    ],
)
def test_decisions(metric, challenger, champion, promote, words):
    decision = compare(challenger, champion, metric=metric)
    assert decision.promote is promote
    assert words in decision.reason
    assert decision.metric == metric
    assert decision.low is not None
    assert decision.high is not None
    assert decision.difference is not None
    assert decision.low <= decision.difference <= decision.high
    assert f"{decision.challenger:.3f}" in decision.reason


def test_a_gain_that_may_be_chance_is_not_enough():
    rng = np.random.default_rng(0)
    few = engines(units=6, strength=1.0)
    tried = [few.with_score(few.score + 0.8 * rng.normal(size=len(few))) for _ in range(7)]
    decisions = [compare(a, b, draws=100) for a in tried for b in tried]
    chance = [decision for decision in decisions if "may be chance" in decision.reason]
    assert chance
    assert all(not decision.promote and decision.difference >= 0 for decision in chance)


def test_equal_models_tie():
    decision = compare(BASE, BASE)
    assert (decision.difference, decision.low, decision.high, decision.p_better) == (0, 0, 0, 0.5)


def test_an_equal_model_that_is_not_fresher_stays_challenger():
    decision = compare(BASE, BASE, fresher=False)
    assert not decision.promote
    assert "equal and not fresher" in decision.reason


def test_more_false_alarms_than_tolerated_block():
    held = compare(STRONG, BASE, challenger_threshold=0.0, champion_threshold=2.0)
    assert not held.promote
    assert "false alarms rise from" in held.reason
    assert compare(STRONG, BASE, challenger_threshold=2.0, champion_threshold=2.0).promote


def test_falling_roc_auc_blocks():
    # one anomalous window in three is lost at the very bottom, the others move to the very top
    score = BASE.score + 20.0 * BASE.label
    lost = np.flatnonzero(BASE.label == 1)[::3]
    score[lost] = -50.0
    decision = compare(BASE.with_score(score), BASE)
    assert decision.difference > 0
    assert not decision.promote
    assert "ROC-AUC falls" in decision.reason


@pytest.mark.parametrize(
    ("challenger", "promote", "words"),
    [
        (BASE, True, "above the floor"),
        (RANDOM, False, "does not lie above the floor"),
        (unlabelled(BASE), True, "by default"),
    ],
)
def test_first_champion(challenger, promote, words):
    decision = compare(challenger, None)
    assert decision.promote is promote
    assert words in decision.reason


@pytest.mark.parametrize("fresher", [True, False])
def test_without_labels_the_fresher_wins(fresher):
    decision = compare(unlabelled(STRONG), unlabelled(BASE), fresher=fresher)
    assert decision.promote is fresher
    assert "nothing could be compared" in decision.reason
    assert decision.difference is None


def test_the_order_of_the_windows_does_not_matter():
    mixed = STRONG.take(np.random.default_rng(0).permutation(len(STRONG)))
    assert compare(mixed, BASE) == compare(STRONG, BASE)


@pytest.mark.parametrize(
    ("champion", "words"),
    [
        (BASE.take(np.arange(50)), "50 windows"),
        (replace(BASE, label=1 - BASE.label), "label of window 0"),
        (replace(BASE, unit=BASE.unit + 1), "unit of window 0"),
    ],
)
def test_other_windows_are_refused(champion, words):
    with pytest.raises(DataError, match=words):
        compare(STRONG, champion)


def test_unknown_metric_is_refused():
    with pytest.raises(DataError, match="use pr_auc or roc_auc"):
        compare(BASE, BASE, metric="accuracy")
