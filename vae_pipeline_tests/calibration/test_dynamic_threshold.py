"""The threshold that follows a stream."""

import json

import numpy as np
import pytest
from scipy import stats

from vae_pipeline.calibration.thresholds import DynamicThreshold, best_f1, conformal
from vae_pipeline.errors import CalibrationError, DataError


def started(seed=0, rate=0.01, n=2000, **options):
    scores = np.random.default_rng(seed).gamma(2.0, size=n)
    fixed = conformal(scores, rate)
    return DynamicThreshold.start(fixed, scores, **options), fixed


def alarms_of(dynamic, scores):
    return np.array([dynamic.update(score)[1] for score in scores.tolist()])


@pytest.mark.parametrize("rate", [0.05, 0.01])
@pytest.mark.parametrize("seed", range(3))
def test_stationary_stream(rate, seed):
    dynamic, _ = started(seed, rate)
    n = 10_000
    alarms = alarms_of(dynamic, np.random.default_rng(100 + seed).gamma(2.0, size=n)).sum()
    # binomial range of the stream, widened by the 95 % range of a rate learnt from 2000 scores
    low, high = stats.beta.ppf([0.025, 0.975], 2000 * rate, 2000 * (1 - rate))
    assert stats.binom.ppf(0.001, n, low) <= alarms <= stats.binom.ppf(0.999, n, high)


def test_the_rate_does_not_creep_up():
    dynamic, _ = started(0, 0.01)
    alarms = alarms_of(dynamic, np.random.default_rng(1).gamma(2.0, size=40_000)).reshape(4, -1).mean(axis=1)
    assert alarms.max() < 0.014
    assert alarms.min() > 0.007


def test_slow_drift():
    dynamic, fixed = started()
    stream = np.random.default_rng(1).gamma(2.0, size=20_000) + np.linspace(0.0, 8.0, 20_000)
    assert fixed.decide(stream).mean() > 0.3
    assert alarms_of(dynamic, stream).mean() < 0.02


def test_downward_drift_keeps_the_power():
    dynamic, fixed = started()
    stream = np.random.default_rng(1).gamma(2.0, size=20_000) - np.linspace(0.0, 8.0, 20_000)
    assert fixed.decide(stream[-5000:]).mean() < 0.001
    assert 0.004 < alarms_of(dynamic, stream)[-5000:].mean() < 0.02


def test_jump_alarms_and_is_not_learnt():
    dynamic, _ = started()
    generator = np.random.default_rng(1)
    alarms_of(dynamic, generator.gamma(2.0, size=1000))
    before = dynamic.value
    assert alarms_of(dynamic, generator.gamma(2.0, size=300) + 8.0).mean() > 0.9
    assert dynamic.value < before + 1.0
    assert alarms_of(dynamic, generator.gamma(2.0, size=2000)).mean() < 0.02


def test_max_shift_stops_slow_degradation_from_becoming_normal():
    free, _ = started()
    bound, _ = started(max_shift=1.0)
    stream = np.random.default_rng(1).gamma(2.0, size=20_000) + np.linspace(0.0, 8.0, 20_000)
    assert alarms_of(free, stream)[-1000:].mean() < 0.03
    assert alarms_of(bound, stream)[-1000:].mean() > 0.5
    assert bound.level <= bound.to_dict()["start_level"] + bound.to_dict()["spread"] + 1e-9


def test_starts_from_the_fixed_threshold():
    dynamic, fixed = started()
    value, alarm = dynamic.update(fixed.value + 1.0)
    assert value == pytest.approx(fixed.value)
    assert alarm
    assert (dynamic.seen, dynamic.alarms) == (1, 1)


def test_few_calibration_scores_use_their_mean():
    dynamic, _ = started(n=420, depth=300)
    assert alarms_of(dynamic, np.random.default_rng(1).gamma(2.0, size=5000)).mean() < 0.05


def test_state_survives_json_and_stays_bounded():
    dynamic, _ = started(depth=50, reservoir=100)
    generator = np.random.default_rng(1)
    alarms_of(dynamic, generator.gamma(2.0, size=5000))
    state = json.loads(json.dumps(dynamic.to_dict(), allow_nan=False))
    assert len(state["window"]) == 50
    assert len(state["excesses"]) == len(state["gaps"]) == 100
    again = DynamicThreshold.from_dict(state)
    rest = generator.gamma(2.0, size=3000)
    assert [dynamic.update(s) for s in rest] == [again.update(s) for s in rest]
    assert dynamic.to_dict() == again.to_dict()


def test_scores_that_are_not_finite():
    dynamic, _ = started()
    before = dynamic.to_dict()
    with pytest.raises(DataError, match="score 1 of the stream is nan"):
        dynamic.update(float("nan"))
    assert dynamic.to_dict() == before
    assert dynamic.update(float("inf"))[1]
    assert not dynamic.update(float("-inf"))[1]
    assert np.isfinite(dynamic.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"window": []}, "window"),
        ({"scale": -1.0}, "scale"),
        ({"gaps": [1]}, "gaps"),
        ({"unheard": 1}, "unheard"),
        ({"offset": float("nan")}, "offset"),
    ],
)
def test_broken_state(change, message):
    with pytest.raises(CalibrationError, match=message):
        DynamicThreshold.from_dict({**started()[0].to_dict(), **change})


def test_what_cannot_start():
    scores = np.random.default_rng(0).gamma(2.0, size=2000)
    fixed = conformal(scores, 0.01)
    labelled = best_f1(scores, np.arange(2000) % 2)
    with pytest.raises(CalibrationError, match="intends no rate"):
        DynamicThreshold.start(labelled, scores)
    assert DynamicThreshold.start(labelled, scores, false_alarm_rate=0.01).value == pytest.approx(labelled.value)
    with pytest.raises(CalibrationError, match="state a rate below"):
        DynamicThreshold.start(fixed, scores, false_alarm_rate=0.6)
    with pytest.raises(CalibrationError, match="depth is 1"):
        DynamicThreshold.start(fixed, scores, depth=1)
    with pytest.raises(CalibrationError, match="10 of 200 calibration scores are excesses"):
        DynamicThreshold.start(fixed, scores[:200])
    with pytest.raises(CalibrationError, match="excesses"):
        DynamicThreshold.start(fixed, np.ones(2000))
    with pytest.raises(CalibrationError, match="reservoir"):
        DynamicThreshold.start(fixed, scores, reservoir=3)
