from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vae_pipeline.errors import DataError
from vae_pipeline.features.splits import (
    added_later,
    batch_marks,
    split_added,
    split_rows,
    split_table,
    split_units,
)
from vae_pipeline.features.windows import Windows
from vae_pipeline.records import Split

splits = st.builds(Split, calibrate=st.floats(0.05, 0.95), test=st.floats(0.05, 0.95), seed=st.integers(0, 1000))


@given(st.integers(3, 60), splits, st.booleans())
def test_units_every_part_has_one_and_the_seed_decides(count, split, has_test):
    names = [str(number) for number in range(count)]
    parts = split_units(names, split, has_test)
    assert set(parts) == set(names)
    assert set(parts.values()) == ({"fit", "calibrate"} if has_test else {"fit", "calibrate", "test"})
    assert parts == split_units(names[::-1], split, has_test)


def test_shares_are_honoured_and_seeds_differ():
    names = [str(number) for number in range(100)]
    parts = list(split_units(names, Split(calibrate=0.3, test=0.2), False).values())
    assert [parts.count(part) for part in ("fit", "calibrate", "test")] == [56, 24, 20]
    assert split_units(names, Split(seed=1), True) != split_units(names, Split(seed=2), True)


@given(st.integers(3, 40), splits, st.booleans(), st.data())
def test_test_and_then_calibrate_get_units_with_anomalies_and_fit_keeps_one_without(count, split, has_test, data):
    names = [str(number) for number in range(count)]
    marked = data.draw(st.sets(st.sampled_from(names)))
    parts = split_units(names, split, has_test, marked)
    plain = split_units(names, split, has_test)
    for part in ("fit", "calibrate", "test"):
        assert list(parts.values()).count(part) == list(plain.values()).count(part)
    if len(marked) in (0, count):
        assert parts == plain
        return
    found = [parts[name] for name in sorted(marked)]
    wanted = ["calibrate"] if has_test else ["test", "calibrate"]
    assert set(wanted[: len(marked)]) <= set(found)
    left = [part for name, part in parts.items() if name not in marked]
    assert "fit" in left
    if not has_test and list(parts.values()).count("test") > 1 and len(left) > 1:
        assert "test" in left


def test_with_two_faulty_units_of_ten_every_seed_tests_one_and_calibrates_with_the_other():
    units = [(str(number), 50 * number, 50 * (number + 1)) for number in range(10)]
    for seed in range(20):
        segments = split_table(units, Split(seed=seed), False, 10, anomalous={"3", "7"})
        part = {segment.name: segment.part for segment in segments}
        assert {part["3"], part["7"]} == {"test", "calibrate"}


def test_too_few_units_are_refused():
    with pytest.raises(DataError, match="cannot give 3 parts"):
        split_units(["a", "b"], Split(), False)


@given(st.integers(0, 400), splits, st.booleans(), st.integers(1, 30))
def test_rows_blocks_are_apart_and_hold_a_window(rows, split, has_test, length):
    blocks = split_rows(rows, split, has_test, length)
    assert blocks[0][1] == 0
    assert blocks[-1][2] == rows
    if len(blocks) > 1:
        assert [part for part, _, _ in blocks] == ["fit", "calibrate", "test"][: 2 if has_test else 3]
        assert all(stop - start >= length for _, start, stop in blocks)
    for (_, _, stop), (_, start, _) in pairwise(blocks):
        assert start - stop == length


@given(st.lists(st.integers(1, 120), min_size=1, max_size=8), splits, st.booleans(), st.integers(1, 12))
def test_windows_of_different_parts_share_no_row(sizes, split, has_test, length):
    stops = np.cumsum(sizes)
    units = [
        (f"u{index}", int(stop - size), int(stop)) for index, (size, stop) in enumerate(zip(sizes, stops, strict=True))
    ]
    segments = split_table(units, split, has_test, length)
    owner = np.full(stops[-1], "", dtype=object)
    for segment in segments:
        for start in Windows.starts_of(segment.start, segment.stop, length):
            covered = owner[start : start + length]
            assert set(covered) <= {"", segment.part}
            owner[start : start + length] = segment.part
    assert segments == split_table(units, split, has_test, length)
    for segment in segments:
        _, start, stop = next(unit for unit in units if unit[0] == segment.name)
        assert start == segment.first
        assert start <= segment.start <= segment.stop <= stop
    # one unit on two sides only when it was cut by time
    long = sum(size >= length for size in sizes)
    if long >= 3:
        assert len(segments) == len(units)


def test_short_units_are_not_drawn():
    units = [("a", 0, 50), ("b", 50, 100), ("c", 100, 150), ("d", 150, 155)]
    for seed in range(5):
        segments = split_table(units, Split(seed=seed), False, 10)
        assert {segment.part for segment in segments[:3]} == {"fit", "calibrate", "test"}
        assert segments[3].part == "fit"


batches = st.dictionaries(st.sampled_from(["aaaaaaaa", "bbbbbbbb", "cccccccc"]), st.integers(1, 30), min_size=1)


def added(sizes):
    return [f"{mark}:{number}" for mark, size in sizes.items() for number in range(size)]


class TestBatches:
    @given(batches, splits, st.booleans())
    def test_a_batch_is_drawn_without_regard_to_the_others(self, sizes, split, has_test):
        together = split_added(added(sizes), split, has_test)
        for mark, size in sizes.items():
            alone = split_added(added({mark: size}), split, has_test)
            assert alone == {name: part for name, part in together.items() if name.startswith(mark)}

    @given(st.integers(2, 200), splits)
    def test_the_shares_are_those_that_are_stated(self, size, split):
        parts = list(split_added(added({"aaaaaaaa": size}), split, False).values())
        assert abs(parts.count("test") - split.test * size) <= 0.5 + 1e-9
        assert abs(parts.count("calibrate") - split.calibrate * (1 - split.test) * size) <= 1 + 1e-9

    @given(st.integers(1, 30), splits)
    def test_with_a_test_part_of_its_own_none_tests(self, size, split):
        assert "test" not in split_added(added({"aaaaaaaa": size}), split, True).values()

    @given(st.lists(st.integers(1, 120), min_size=1, max_size=8), batches, splits, st.booleans())
    def test_a_new_batch_moves_no_unit_that_was_there(self, sizes, later, split, has_test):
        own, start = [], 0
        for number, size in enumerate(sizes):
            own.append((str(number), start, start + size))
            start += size
        more = [(name, start + 20 * place, start + 20 * (place + 1)) for place, name in enumerate(added(later))]
        before = split_table(own, split, has_test, 10)
        after = split_table([*own, *more], split, has_test, 10, set(later))
        assert after[: len(before)] == before
        assert {segment.name for segment in after[len(before) :]} == set(added(later))

    def test_marks_are_those_that_the_source_lists(self, tmp_path):
        assert batch_marks(tmp_path) == frozenset()
        (tmp_path / "source.json").write_text('{"batches": [{"mark": "aaaaaaaa"}]}')
        assert batch_marks(tmp_path) == {"aaaaaaaa"}
        assert added_later("aaaaaaaa:3", {"aaaaaaaa"})
        assert not added_later("aaaaaaab:3", {"aaaaaaaa"})
        (tmp_path / "source.json").write_text("{")
        with pytest.raises(DataError, match="no valid JSON"):
            batch_marks(tmp_path)
