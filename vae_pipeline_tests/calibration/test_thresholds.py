"""The shared contract, the dispatch and the labelled method."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vae_pipeline.calibration.thresholds import METHODS, Threshold, best_f1, choose, conformal, describe, percentile
from vae_pipeline.calibration.thresholds.notes import NOTES
from vae_pipeline.errors import CalibrationError, DataError
from vae_pipeline.records import Calibration

UNSUPERVISED = [name for name in METHODS if name != "best_f1"]


@pytest.mark.parametrize("name", UNSUPERVISED)
class TestSharedContract:
    def test_no_scores(self, name):
        with pytest.raises(CalibrationError, match="no calibration scores"):
            METHODS[name]([], 0.01)

    def test_broken_scores_are_counted(self, name):
        with pytest.raises(CalibrationError, match="2 of 4 calibration scores are nan or infinite"):
            METHODS[name]([1.0, np.nan, np.inf, 2.0], 0.01)

    @pytest.mark.parametrize("rate", [0.0, 1.0, -0.1, float("nan")])
    def test_rate_out_of_range(self, name, rate):
        with pytest.raises(CalibrationError, match="false_alarm_rate"):
            METHODS[name](np.arange(50.0), rate)

    def test_one_score_per_window(self, name):
        with pytest.raises(CalibrationError, match="one score per window"):
            METHODS[name](np.ones((5, 2)), 0.01)

    @pytest.mark.parametrize("level", [0.0, 3.7, -2.0, 1e-30, 1e12])
    def test_constant_scores_do_not_alarm(self, name, level):
        scores = np.full(100, level, dtype=np.float32)
        threshold = METHODS[name](scores, 0.01)
        assert not threshold.decide(scores).any()
        assert threshold.value > float(scores[0])
        assert threshold.decide([float(scores[0]) + max(abs(level), 1.0) * 1e-6]).all()
        assert "equal" in threshold.warnings[0]

    def test_few_scores_warn(self, name):
        threshold = METHODS[name](np.arange(19.0) ** 2, 0.2)
        assert any("only 19 calibration scores" in warning for warning in threshold.warnings)
        assert threshold.n_scores == 19

    def test_one_score(self, name):
        assert METHODS[name]([2.0], 0.01).value > 2.0

    def test_heavy_ties_warn_and_hold_the_rate(self, name):
        scores = np.random.default_rng(0).integers(0, 6, size=1000).astype(float)
        threshold = METHODS[name](scores, 0.05)
        assert any("heavy ties" in warning for warning in threshold.warnings)
        assert threshold.decide(scores).mean() <= 0.05

    def test_written_and_read(self, name):
        threshold = METHODS[name](np.random.default_rng(0).gamma(2.0, size=1000), 0.01)
        assert Threshold.model_validate(json.loads(threshold.model_dump_json())) == threshold
        assert threshold.guarantee
        assert threshold.method == name
        assert threshold.false_alarm_rate == 0.01


def test_overflow_is_refused():
    with pytest.raises(CalibrationError, match="overflowed"), np.errstate(over="ignore", invalid="ignore"):
        METHODS["gaussian"](np.array([1e308, -1e308] * 20), 0.01)


def test_decide_compares_in_double_precision():
    value = float(np.float32(0.1)) - 1e-12
    threshold = Threshold(value=value, method="percentile", false_alarm_rate=0.1, guarantee="", n_scores=1)
    assert threshold.decide(np.float32([0.1])).tolist() == [True]
    assert threshold.decide([[value, np.inf]]).tolist() == [[False, True]]
    with pytest.raises(DataError, match="1 of 2 scores are nan"):
        threshold.decide([np.nan, 1.0])


class TestBestF1:
    @given(st.lists(st.tuples(st.integers(-5, 5), st.integers(0, 1)), min_size=2, max_size=30))
    def test_equals_brute_force(self, windows):
        scores, labels = np.array(windows, dtype=float).T
        if len(set(scores)) == 1 or len(set(labels)) == 1:
            return
        cuts = [scores.min() - 1, *np.unique(scores)]
        brute = [f1_of(scores > cut, labels) for cut in cuts]
        threshold = best_f1(scores, labels)
        assert threshold.parameters["f1"] == pytest.approx(max(brute))
        assert f1_of(threshold.decide(scores), labels) == pytest.approx(max(brute))
        # the highest of the best cuts, so fewest alarms
        fewest = min((scores > cut).sum() for cut, f1 in zip(cuts, brute, strict=True) if f1 > max(brute) - 1e-12)
        assert threshold.decide(scores).sum() == fewest

    def test_midpoint_and_parameters(self):
        threshold = best_f1([0.0, 1.0, 2.0, 4.0, 9.0], [0, 0, 0, 1, -1])
        assert threshold.value == 3.0
        assert threshold.parameters == {
            "f1": 1.0, "precision": 1.0, "recall": 1.0, "false_alarm_rate": 0.0, "anomalous": 1.0, "normal": 3.0,
        }  # fmt: skip
        assert threshold.false_alarm_rate is None
        assert threshold.n_scores == 4

    def test_neighbouring_floats(self):
        low = 1.0
        high = np.nextafter(low, 2.0)
        assert best_f1([low, high], [0, 1]).decide([low, high]).tolist() == [False, True]

    def test_useless_scores_are_named(self):
        threshold = best_f1(np.arange(10.0), [1] * 5 + [0] * 5)
        assert threshold.decide(np.arange(10.0)).all()
        assert "everything alarms" in threshold.warnings[0]

    @pytest.mark.parametrize("labels", [[0, 0, 0], [1, 1, -1], [-1, -1, -1]])
    def test_one_class(self, labels):
        with pytest.raises(CalibrationError, match="both classes"):
            best_f1([1.0, 2.0, 3.0], labels)

    def test_labels_that_do_not_fit(self):
        with pytest.raises(CalibrationError, match="one label per window"):
            best_f1([1.0, 2.0], [1])
        with pytest.raises(CalibrationError, match="label 2"):
            best_f1([1.0, 2.0], [0, 2])

    def test_constant_scores(self):
        assert not best_f1(np.ones(30), [0, 1] * 15).decide(np.ones(30)).any()


class TestChoose:
    scores = np.arange(200.0)

    def test_auto_with_both_labels(self):
        labels = np.r_[np.zeros(150, np.int8), np.ones(50, np.int8)]
        assert choose(self.scores, labels, Calibration()) == best_f1(self.scores, labels)

    @pytest.mark.parametrize("labels", [None, np.full(200, -1, np.int8), np.zeros(200, np.int8)])
    def test_auto_without(self, labels):
        assert choose(self.scores, labels, Calibration()) == conformal(self.scores, 0.01)

    def test_anomalous_windows_never_count_as_normal(self):
        labels = np.r_[np.full(150, -1, np.int8), np.ones(50, np.int8)]
        assert choose(self.scores, labels, Calibration()) == conformal(self.scores[:150], 0.01)
        assert choose(self.scores, labels, Calibration(threshold="percentile")) == percentile(self.scores[:150], 0.01)

    @pytest.mark.parametrize("name", UNSUPERVISED)
    def test_every_method_by_name(self, name):
        found = choose(self.scores, None, Calibration(threshold=name, false_alarm_rate=0.05))
        assert found == METHODS[name](self.scores, 0.05)

    def test_nothing_normal(self):
        with pytest.raises(CalibrationError, match="all 200 calibration windows are labelled anomalous"):
            choose(self.scores, np.ones(200, np.int8), Calibration())

    def test_best_f1_asked_for_without_labels(self):
        with pytest.raises(CalibrationError, match="both classes"):
            choose(self.scores, None, Calibration(threshold="best_f1"))


def test_every_method_is_described():
    assert set(NOTES) == {*METHODS, "dynamic"}
    assert describe().count("\n") == len(NOTES) + 1


def f1_of(alarms, labels):
    hits = (alarms & (labels == 1)).sum()
    return 2 * hits / (alarms.sum() + (labels == 1).sum())
