import numpy as np
import pytest

from vae_pipeline.calibration.faults import FAULTS, inject


def windows(n=12, channels=4, time=20):
    return np.random.default_rng(0).standard_normal((n, channels, time)).astype(np.float32)


@pytest.mark.parametrize("kind", FAULTS)
@pytest.mark.parametrize("time", [1, 2, 7, 20])
def test_exactly_the_named_sensor_of_each_window_changes(kind, time):
    healthy = windows(time=time)
    sensor = np.arange(len(healthy)) % 4
    faulty = inject(healthy, kind, sensor, 3.0)
    changed = (faulty != healthy).any(2)
    assert np.array_equal(changed, np.arange(4) == sensor[:, None])
    assert faulty.shape == healthy.shape
    assert faulty.dtype == healthy.dtype


@pytest.mark.parametrize("kind", FAULTS)
def test_what_was_handed_over_stays(kind):
    healthy = windows()
    inject(healthy, kind, np.zeros(12, int), 3.0)
    assert np.array_equal(healthy, windows())


@pytest.mark.parametrize("kind", FAULTS)
def test_a_fault_comes_late_in_the_window(kind):
    change = inject(windows(), kind, np.zeros(12, int), 3.0) - windows()
    assert not change[:, :, :10].any()
    assert change[:, 0, -1].all()


def test_the_sizes_are_as_stated():
    healthy, sensor = np.zeros((8, 2, 20), np.float32), np.zeros(8, int)
    spike, drift, stuck = (inject(healthy, kind, sensor, 3.0)[:, 0] for kind in ("spike", "drift", "stuck"))
    assert np.array_equal(np.abs(spike[:, -2:]), np.full((8, 2), 3.0))
    assert not spike[:, :-2].any()
    np.testing.assert_allclose(np.abs(drift[:, 10:]), np.tile(np.linspace(0.3, 3.0, 10), (8, 1)), rtol=1e-6)
    assert np.array_equal(np.abs(stuck[:, 10:]), np.full((8, 10), 3.0))


def test_a_stuck_sensor_forgets_what_it_read():
    stuck = inject(windows(), "stuck", np.full(12, 2), 3.0)[:, 2, 10:]
    assert np.array_equal(stuck, np.broadcast_to(stuck[:, :1], stuck.shape))


def test_both_signs_occur_and_the_seed_decides():
    first, same, other = (inject(windows(), "spike", np.zeros(12, int), 3.0, seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(first, same)
    assert not np.array_equal(first, other)
    assert len(np.unique(np.sign((first - windows())[:, 0, -1]))) == 2
