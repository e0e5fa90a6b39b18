import tracemalloc

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vae_pipeline.features.windows import Windows


@given(st.lists(st.integers(0, 30), min_size=1, max_size=5), st.integers(1, 10), st.integers(1, 7))
def test_windows_match_a_loop(sizes, length, stride):
    rows = np.arange(sum(sizes) * 2, dtype=np.float32).reshape(-1, 2)
    expected, starts, first = [], [], 0
    for size in sizes:
        found = Windows.starts_of(first, first + size, length, stride)
        assert len(found) == max(0, (size - length) // stride + 1)
        starts.append(found)
        offset = first
        while offset + length <= first + size:
            expected.append(rows[offset : offset + length].T)
            offset += stride
        first += size
    windows = Windows(rows, np.concatenate(starts), length)
    taken = windows.take(slice(None))
    assert taken.shape == (len(expected), 2, length)
    assert taken.flags.c_contiguous
    if expected:
        np.testing.assert_array_equal(taken, np.stack(expected))
        np.testing.assert_array_equal(rows[windows.ends], taken[:, :, -1])
        np.testing.assert_array_equal(np.concatenate(list(windows.batches(3))), taken)
        np.testing.assert_array_equal(windows.take(np.array([-1, 0])), taken[[-1, 0]])
        keep = np.arange(len(windows)) % 2 == 0
        np.testing.assert_array_equal(windows.subset(keep).take(slice(None)), taken[keep])


def test_evenly_takes_first_and_last_without_repeats():
    windows = Windows(np.zeros((100, 1), np.float32), np.arange(91), 10)
    some = windows.evenly(7)
    assert len(set(some.starts)) == 7
    assert (some.starts[0], some.starts[-1]) == (0, 90)
    assert windows.evenly(91) is windows


def peak_of_reading(tmp_path, units: int, length: int = 50, rows: int = 200) -> int:
    file = tmp_path / f"{units}.npy"
    target = np.lib.format.open_memmap(file, mode="w+", dtype=np.float32, shape=(units * rows, 3))
    target[:] = 1
    target.flush()
    stored = np.load(file, mmap_mode="r")
    starts = np.concatenate([Windows.starts_of(u * rows, (u + 1) * rows, length, 25) for u in range(units)])
    windows = Windows(stored, starts, length)
    tracemalloc.start()
    for batch in windows.batches(14):
        assert batch.shape == (14, 3, length)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak


def test_reading_a_hundred_times_the_units_takes_no_more_memory(tmp_path):
    few, many = peak_of_reading(tmp_path, 4), peak_of_reading(tmp_path, 400)
    every_window = 400 * 7 * 3 * 50 * 4
    assert many < few + every_window / 10
