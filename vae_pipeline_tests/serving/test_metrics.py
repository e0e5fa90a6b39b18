"""What is counted of an answer is what was answered."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from vae_pipeline.serving.metrics import ManyHistogram

BOUNDS = (-10, -1, 0, 1.5, 20)


def told(histogram):
    (family,) = histogram.collect()
    return {(each.name, each.labels.get("le")): each.value for each in family.samples if "created" not in each.name}


@given(st.lists(st.sampled_from(BOUNDS) | st.floats(-1e3, 1e3), max_size=30))
def test_numbers_at_once_are_counted_as_one_by_one(values):
    one, many = (ManyHistogram("a", "b", ("m",), buckets=BOUNDS, registry=CollectorRegistry()) for _ in range(2))
    for value in values:
        one.labels("x").observe(value)
    many.labels("x").observe_all(np.array(values, dtype=np.float64))
    one.labels("x"), many.labels("x")
    assert told(many) == pytest.approx(told(one))
