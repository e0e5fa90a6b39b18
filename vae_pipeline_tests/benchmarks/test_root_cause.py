import numpy as np
import pytest

from benchmarks.root_cause import Hits, Segment, fault_rows, hits_of, overlap, read_segments
from vae_pipeline.calibration.faults import FAULTS
from vae_pipeline_tests.detector.examples import made


def test_hits_count_those_among_the_first():
    assert hits_of([4, 1, 2, 0, 3], frozenset({1, 2})) == Hits(0.0, 1.0, 0.5, 1.0)
    assert hits_of([0, 1, 2, 3], frozenset({0})) == Hits(1.0, 1.0, 1.0, 1.0)
    assert hits_of([0, 1, 2, 3], frozenset({3})) == Hits(0.0, 0.0, 0.0, 0.0)


def test_segments_count_sensors_from_1_and_leave_the_last_row_out():
    assert read_segments("3-5:1,3\n9-12:2\n") == [Segment(3, 5, frozenset({0, 2})), Segment(9, 12, frozenset({1}))]


def test_overlap_is_intersection_over_union():
    one, other = np.zeros((4, 4), bool), np.zeros((4, 4), bool)
    assert overlap(one, other) == 0.0
    one[:2], other[1:3] = True, True
    assert overlap(one, other) == pytest.approx(4 / 12)


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    return made(tmp_path_factory.mktemp("root_cause"), cycles=180)


def test_every_kind_and_size_of_fault_has_a_row(example):
    rows = fault_rows(example.detector, example.features)
    assert [row[0] for row in rows[::3]] == list(FAULTS)
    assert len(rows) == 3 * len(FAULTS)
    # twelve standard deviations are named, detected or not
    assert all(float(row[5].rstrip("%")) >= 80 for row in rows[2::3])
