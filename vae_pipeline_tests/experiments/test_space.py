"""The catalogue's own values are a point of every space, and a trial's values come back as they went in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vae_pipeline.catalog import catalog
from vae_pipeline.experiments.space import decoded, default_of, distributions, encoded, space_of, space_version
from vae_pipeline.records import SearchRange, Training
from vae_pipeline_tests.builders.tables import table_dataset


@pytest.mark.parametrize("name", ["FD001", "sample_turbofan", "fan_id_00", "bottle", "sample_product"])
def test_the_default_is_a_point_of_the_space(name):
    dataset = catalog()[name]
    space = space_of(dataset)
    known = distributions(dataset.training, space)
    default = default_of(dataset, space)
    assert set(default) == set(known)
    for parameter, value in default.items():
        assert known[parameter]._contains(known[parameter].to_internal_repr(value))


def test_what_is_trained_with_outside_the_range_widens_it():
    stated = {"beta": {"low": 0.5, "high": 1.0}, "hidden": {"choices": [[8], [16]]}, "latent": {"low": 2, "high": 4}}
    space = space_of(table_dataset(training={"beta": 3.0, "hidden": [32], "latent": 3}, tuning={"space": stated}))
    assert (space["beta"].low, space["beta"].high) == (0.5, 3.0)
    assert space["hidden"].choices == ((8,), (16,), (32,))
    assert (space["latent"].low, space["latent"].high) == (2, 4)


def test_a_range_in_factors_that_has_to_reach_zero_is_searched_evenly():
    stated = {"noise": {"low": 0.01, "high": 1.0, "log": True}}
    found = space_of(table_dataset(tuning={"space": stated}))["noise"]
    assert (found.low, found.log) == (0.0, False)


def test_another_space_has_another_version():
    first = space_of(table_dataset())
    assert space_version(first) == space_version(space_of(table_dataset()))
    wider = {**first, "beta": SearchRange(low=0.001, high=1.0, log=True)}
    assert space_version(wider) != space_version(first)


@given(st.lists(st.integers(1, 512), min_size=1, max_size=4), st.sampled_from(["cnn", "mlp"]), st.floats(0.001, 10.0))
def test_values_come_back_as_they_were(hidden, encoder, beta):
    space = {
        "hidden": SearchRange(choices=(tuple(hidden),)),
        "encoder": SearchRange(choices=(encoder,)),
        "beta": SearchRange(low=0.0, high=10.0),
    }
    kept = {"hidden": encoded(tuple(hidden)), "encoder": encoded(encoder), "beta": beta}
    training = Training.model_validate(decoded(kept, space))
    assert (training.hidden, training.encoder, training.beta) == (tuple(hidden), encoder, beta)
