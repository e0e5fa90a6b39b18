"""Fitting on a few drawn pictures that a small network learns within seconds."""

import json
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vae_pipeline.errors import TrainingError
from vae_pipeline.models.course import moving_average
from vae_pipeline.models.fit import load_network
from vae_pipeline.models.vision.examples import ImageExamples
from vae_pipeline.models.vision.fit import fit
from vae_pipeline.models.vision.module import VisionModule
from vae_pipeline.models.vision.network import ImageShape, VisionVAE
from vae_pipeline.records import ImageTraining
from vae_pipeline_tests.builders.pictures import picture

SMALL = ImageTraining(
    width=4, latent=4, epochs=3, batch_size=8, images_per_epoch=64, learning_rate=1e-2, warmup_share=0.0, workers=0
)
INDEX, STEERING = np.arange(8), np.arange(8, 12)


@pytest.fixture(scope="module")
def pixels():
    random = np.random.default_rng(0)
    return np.stack([picture(random, 32)[0] for _ in range(12)])


@pytest.fixture(scope="module")
def fitted(pixels, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fitted")
    told, shown = [], []
    result = fit(
        pixels,
        INDEX,
        STEERING,
        SMALL,
        folder,
        report=lambda epoch, metrics: told.append((epoch, metrics)),
        show=lambda epoch, images: shown.append((epoch, images)),
    )
    return folder, result, told, shown


def weights_of(folder):
    return {name: value.detach().numpy() for name, value in load_network(folder, VisionVAE).state_dict().items()}


def test_the_loss_falls_on_an_easy_set(fitted):
    _, result, told, _ = fitted
    losses = [metrics["validation_loss"] for _, metrics in told]
    assert losses[-1] < 0.9 * losses[0]
    assert result.validation_loss == min(losses)
    assert result.best_epoch == int(np.argmin(losses))
    assert told[-1][1]["train_loss"] < told[0][1]["train_loss"]


def test_every_epoch_is_told_and_kept_with_the_heads_loss(fitted):
    folder, result, told, _ = fitted
    history = json.loads((folder / "history.json").read_text())
    assert [metrics for _, metrics in told] == history
    assert [epoch for epoch, _ in told] == list(range(result.epochs)) == list(range(3))
    needed = {"validation_reconstruction", "validation_kl", "validation_segmentation", "kl_dimension_03"}
    assert needed | {"train_loss", "validation_loss", "active_units", "beta", "learning_rate"} <= set(history[0])
    values = 3 * 32**2
    for metrics in history:
        evidence = (metrics["validation_reconstruction"] + SMALL.beta * metrics["validation_kl"]) / values
        assert metrics["validation_loss"] == pytest.approx(evidence + metrics["validation_segmentation"], rel=1e-4)


def test_a_few_images_are_shown_after_every_epoch(fitted, pixels):
    shown = fitted[3]
    assert [epoch for epoch, _ in shown] == [0, 1, 2]
    for _, images in shown:
        assert images.inputs.shape == images.reconstructions.shape == (4, 32, 32, 3)
        assert images.inputs.dtype == images.reconstructions.dtype == np.uint8
        assert images.maps.shape == (4, 32, 32)
        assert 0.0 <= images.maps.min() <= images.maps.max() <= 1.0
    np.testing.assert_array_equal(shown[0][1].inputs[1::2], pixels[STEERING][1::2])
    assert not np.array_equal(shown[0][1].reconstructions, shown[2][1].reconstructions)


def test_the_result_counts_what_was_done(fitted):
    folder, result, _, _ = fitted
    assert result.samples == len(INDEX)
    assert result.parameters == sum(value.size for value in weights_of(folder).values())
    assert result.samples_per_second == pytest.approx(3 * 64 / result.seconds)
    assert load_network(folder, VisionVAE).shape == ImageShape(size=32, width=4, latent=4)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(pixels, tmp_path):
    short = SMALL.model_copy(update={"epochs": 1, "images_per_epoch": 16})
    for name, seed in (("first", 0), ("same", 0), ("other", 1)):
        fit(pixels, INDEX, STEERING, short.model_copy(update={"seed": seed}), tmp_path / name)
    first, same, other = (weights_of(tmp_path / name) for name in ("first", "same", "other"))
    assert all(np.array_equal(first[name], same[name]) for name in first)
    assert not all(np.array_equal(first[name], other[name]) for name in first)


def test_what_steers_and_is_kept_is_the_average_of_the_weights(fitted, pixels, tmp_path):
    for name, averaging in (("none", 0.0), ("some", SMALL.averaging)):
        fit(pixels, INDEX, STEERING, SMALL.model_copy(update={"averaging": averaging}), tmp_path / name)
    kept = weights_of(fitted[0])
    assert all((value == kept[name]).all() for name, value in weights_of(tmp_path / "some").items())
    assert any((value != kept[name]).any() for name, value in weights_of(tmp_path / "none").items())


def test_what_is_judged_after_an_epoch_is_what_would_be_kept(pixels, tmp_path):
    seen = []

    def judge(_epoch, network):
        seen.append({name: value.detach().numpy().copy() for name, value in network.state_dict().items()})

    result = fit(pixels, INDEX, STEERING, SMALL, tmp_path, judge=judge)
    kept = weights_of(tmp_path)
    assert all(np.array_equal(kept[name], value) for name, value in seen[result.best_epoch].items())


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=40), st.floats(0.01, 0.999))
def test_an_average_is_the_sum_of_all_values_weighed_by_what_later_ones_left_of_them(values, decay):
    step, average = moving_average(decay), torch.tensor(values[0], dtype=torch.float64)
    for count, value in enumerate(values[1:], start=1):
        average = step(average, torch.tensor(value, dtype=torch.float64), torch.tensor(count))
    kept = [min(decay, (1 + count) / (10 + count)) for count in range(len(values))]
    weights = [np.prod(kept[place + 1 :]) * (1 - kept[place] if place else 1.0) for place in range(len(values))]
    assert float(average) == pytest.approx(float(np.dot(weights, values)), abs=1e-9)


def test_a_warm_start_begins_where_the_earlier_fit_ended(fitted, pixels, tmp_path):
    still = SMALL.model_copy(update={"epochs": 1, "learning_rate": 1e-12, "images_per_epoch": 8})
    result = fit(pixels, INDEX, STEERING, still, tmp_path, start=fitted[0])
    assert result.validation_loss == pytest.approx(fitted[1].validation_loss, rel=1e-3)


def test_a_warm_start_from_another_shape_is_refused(fitted, pixels, tmp_path):
    with pytest.raises(TrainingError, match="cannot start one of shape"):
        fit(pixels, INDEX, STEERING, SMALL.model_copy(update={"latent": 5}), tmp_path, start=fitted[0])


def test_without_a_head_there_is_no_segmentation_to_tell_of(pixels, tmp_path):
    plain = SMALL.model_copy(update={"head": False, "epochs": 1, "images_per_epoch": 8, "structure": 0.0})
    shown = []
    fit(pixels, INDEX, STEERING, plain, tmp_path, show=lambda _, images: shown.append(images))
    history = json.loads((tmp_path / "history.json").read_text())
    assert "validation_segmentation" not in history[0]
    assert shown[0].maps is None


@pytest.mark.parametrize(("index", "steering"), [([], [1]), ([1], [])])
def test_nothing_to_fit_on_is_an_error_that_counts_the_images(pixels, index, steering, tmp_path):
    message = f"nothing to fit on: {len(index)} fit and {len(steering)} validation images"
    with pytest.raises(TrainingError, match=message):
        fit(pixels, np.array(index, int), np.array(steering, int), SMALL, tmp_path)


def test_a_loss_that_is_not_finite_is_an_error_that_names_the_setting(pixels, tmp_path):
    wild = SMALL.model_copy(update={"learning_rate": 1e38, "gradient_clip": 1e30})
    with pytest.raises(TrainingError, match=r"not finite in epoch 0; lower training\.learning_rate"):
        fit(pixels, INDEX, STEERING, wild, tmp_path)
    assert not (tmp_path / "weights.npz").exists()


def test_the_head_reads_the_reconstruction_and_does_not_shape_it(pixels):
    network = VisionVAE(ImageShape(size=32, width=4, latent=4)).train()
    module = VisionModule(network, SMALL, steps=1)
    batch = ImageExamples(pixels, INDEX, SMALL, fixed=True).__getitems__([0, 1])
    module.training_terms(batch).more["segmentation"].sum().backward()
    moved = {name.split(".")[0] for name, value in network.named_parameters() if value.grad is not None}
    assert moved == {"head"}


def test_the_rate_rises_for_thirty_steps_and_falls_to_a_fiftieth():
    network = VisionVAE(ImageShape(size=32, width=4, latent=4))
    schedule = VisionModule(network, SMALL, steps=200).configure_optimizers()["lr_scheduler"]["scheduler"].lr_lambdas[0]
    rates = [schedule(step) for step in range(201)]
    assert rates[0] == pytest.approx(1 / 30, rel=0.01)
    assert np.argmax(rates) == 29
    assert all(later <= earlier for earlier, later in pairwise(rates[29:]))
    assert rates[-1] == pytest.approx(0.02)
    assert schedule(500) == pytest.approx(0.02)
