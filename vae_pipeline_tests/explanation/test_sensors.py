import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vae_pipeline.calibration.faults import FAULTS, inject
from vae_pipeline.calibration.scorers import Observation
from vae_pipeline.errors import CalibrationError
from vae_pipeline.explanation.sensors import NormalSensors, course, measured, ranked, span

NAMES = ("pressure", "flow", "speed", "load", "torque")
LATE = 8


def observed(windows):
    """What a network that knows the mean alone makes of them."""
    return Observation(windows, np.zeros_like(windows), np.zeros((len(windows), 2), np.float32))


def healthy(n, seed=0):
    return np.random.default_rng(seed).standard_normal((n, len(NAMES), 40)).astype(np.float32)


@pytest.fixture(scope="module")
def normal():
    return NormalSensors.of_windows([observed(healthy(400))], LATE)


@pytest.mark.parametrize("kind", FAULTS)
@given(seed=st.integers(0, 10_000))
def test_a_fault_in_one_sensor_puts_it_first(normal, kind, seed):
    sensor = seed % len(NAMES)
    batch = observed(inject(healthy(1, seed), kind, np.array([sensor]), 12.0, seed=seed))
    first, *others = ranked(NAMES, measured(batch, LATE)[0], normal)
    assert first.name == NAMES[sensor]
    assert first.evidence > 1 > max(other.evidence for other in others)


@given(offset=st.floats(-15, 15).filter(lambda value: abs(value) > 8))
def test_a_sensor_that_stood_elsewhere_throughout_is_first_without_any_change(normal, offset):
    windows = np.zeros((1, len(NAMES), 40), np.float32)
    windows[0, 3] = offset
    first = ranked(NAMES, measured(observed(windows), LATE)[0], normal)[0]
    assert first.name == "load"
    assert np.sign(first.level) == np.sign(offset)
    assert first.evidence < 0.5


def test_shares_add_up_and_fall(normal):
    found = ranked(NAMES, measured(observed(healthy(1, 5)), LATE)[0], normal)
    assert sum(sensor.share for sensor in found) == pytest.approx(1.0)
    assert [sensor.evidence for sensor in found] == sorted((sensor.evidence for sensor in found), reverse=True)
    assert {sensor.name for sensor in found} == set(NAMES)


def test_one_normal_window_in_a_hundred_exceeds_1(normal):
    values = np.abs(normal.standardised(measured(observed(healthy(4000, 1)), LATE)))
    assert (values > 1).mean() == pytest.approx(0.01, abs=0.004)


def test_a_sensor_that_never_moved_is_judged_by_the_floor():
    still = np.zeros((50, 2, 20), np.float32)
    normal = NormalSensors.of_windows([observed(still)], 4)
    assert np.isfinite(normal.evidence(normal.standardised(measured(observed(still + 3.0), 4)))).all()


def test_units_are_averaged_before_they_are_compared():
    units = np.repeat(np.arange(40), 5)
    windows = healthy(200)
    batches = [(observed(windows[:70]), units[:70]), (observed(windows[70:]), units[70:])]
    means = measured(observed(windows), LATE).reshape(40, 5, 3, len(NAMES)).mean(1)
    np.testing.assert_allclose(NormalSensors.of_units(batches, LATE).centre, np.median(means, 0), atol=1e-6)


def test_statistics_survive_as_arrays(normal):
    again = NormalSensors.from_arrays(normal.to_arrays())
    values = measured(observed(healthy(3)), LATE)
    np.testing.assert_array_equal(again.standardised(values), normal.standardised(values))


@pytest.mark.parametrize("fit", [NormalSensors.of_windows, NormalSensors.of_units])
def test_without_a_normal_sample_there_are_no_statistics(fit):
    with pytest.raises(CalibrationError, match=r"need a normal calibration sample; raise split\.calibrate"):
        fit([], LATE)


@given(first=st.integers(0, 39), last=st.integers(0, 39))
def test_the_span_is_where_the_profile_stands_out(first, last):
    first, last = min(first, last), max(first, last)
    profile = np.zeros(40)
    profile[first : last + 1] = -9.0
    start, end = span(profile)
    # a row's neighbours within a tenth of the window are averaged with it
    assert abs(start - first) <= 4
    assert abs(end - last) <= 4
    assert start <= end


def test_a_quiet_profile_has_no_span():
    assert span(np.full(30, 0.9)) is None


def test_the_higher_of_two_runs_is_told():
    profile = np.zeros(40)
    profile[5:10], profile[25:30] = 3.0, 5.0
    start, end = span(profile)
    assert 20 <= start <= 25
    assert 29 <= end <= 33


def test_the_course_is_that_of_the_named_sensor(normal):
    batch = observed(inject(healthy(1), "stuck", np.array([2]), 12.0))
    found = course(
        ranked(NAMES, measured(batch, LATE)[0], normal), NAMES, batch.windows[0], batch.reconstruction[0], normal.row
    )
    assert found[0].name == "speed"
    np.testing.assert_allclose(found[0].readings, batch.windows[0, 2], rtol=1e-3)
    assert found[0].start == pytest.approx(20, abs=2)
    assert found[0].end == 39
