"""Fitting on waves that a small network learns within seconds."""

import json

import numpy as np
import pytest
import torch

from vae_pipeline.errors import TrainingError
from vae_pipeline.features.windows import Windows
from vae_pipeline.models.fit import load_network, save_network
from vae_pipeline.models.timeseries.fit import fit
from vae_pipeline.models.timeseries.module import TimeSeriesModule
from vae_pipeline.models.timeseries.network import NetworkShape, TimeSeriesVAE
from vae_pipeline.records import Training

SMALL = Training(encoder="mlp", hidden=(16,), latent=2, epochs=4, batch_size=32, learning_rate=1e-2, beta=0.01)


def waves(rows=200, seed=0, channels=2, length=10):
    random = np.random.default_rng(seed)
    time = np.arange(rows)[:, None] / 8 + np.arange(channels)
    values = np.sin(time) + 0.05 * random.standard_normal((rows, channels))
    return Windows(values.astype(np.float32), Windows.starts_of(0, rows, length), length)


def weights_of(folder):
    return {name: value.detach().numpy() for name, value in load_network(folder, TimeSeriesVAE).state_dict().items()}


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fitted")
    told = []
    result = fit(waves(), waves(seed=1), SMALL, folder, report=lambda epoch, metrics: told.append((epoch, metrics)))
    return folder, result, told


def test_the_loss_falls_on_an_easy_set(fitted):
    _, result, told = fitted
    losses = [metrics["validation_loss"] for _, metrics in told]
    assert min(losses) < 0.7 * losses[0]
    assert result.validation_loss == min(losses)
    assert result.best_epoch == int(np.argmin(losses))
    assert told[-1][1]["train_loss"] < told[0][1]["train_loss"]


def test_every_epoch_is_told_and_kept(fitted):
    folder, result, told = fitted
    history = json.loads((folder / "history.json").read_text())
    assert [metrics for _, metrics in told] == history
    assert [epoch for epoch, _ in told] == list(range(result.epochs)) == list(range(4))
    needed = {"validation_reconstruction", "validation_kl", "kl_dimension_00", "kl_dimension_01", "active_units"}
    assert needed | {"train_loss", "validation_loss", "beta", "learning_rate"} <= set(history[0])
    for metrics in history:
        summed = metrics["validation_reconstruction"] + SMALL.beta * metrics["validation_kl"]
        assert metrics["validation_loss"] == pytest.approx(summed, rel=1e-5)
        assert metrics["kl_dimension_00"] + metrics["kl_dimension_01"] == pytest.approx(metrics["validation_kl"])


def test_the_result_counts_what_was_done(fitted):
    folder, result, _ = fitted
    assert result.samples == len(waves())
    assert result.parameters == sum(value.size for value in weights_of(folder).values())
    assert 0 <= result.active_units <= 2
    assert result.samples_per_second == pytest.approx(4 * len(waves()) / result.seconds)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(fitted, tmp_path):
    for name, seed in (("same", 0), ("other", 1)):
        fit(waves(), waves(seed=1), SMALL.model_copy(update={"seed": seed}), tmp_path / name)
    first, same, other = (weights_of(folder) for folder in (fitted[0], tmp_path / "same", tmp_path / "other"))
    assert all(np.array_equal(first[name], same[name]) for name in first)
    assert not all(np.array_equal(first[name], other[name]) for name in first)


def test_fitting_stops_when_nothing_improves(tmp_path):
    stuck = SMALL.model_copy(update={"epochs": 30, "patience": 2, "learning_rate": 1e-12})
    result = fit(waves(60), waves(60, seed=1), stuck, tmp_path)
    assert result.epochs == 3


def test_the_best_epoch_is_kept_and_not_the_last(tmp_path):
    wild = SMALL.model_copy(update={"epochs": 6, "patience": 6, "learning_rate": 0.3})
    result = fit(waves(), waves(seed=1), wild, tmp_path)
    module = TimeSeriesModule(load_network(tmp_path, TimeSeriesVAE), wild)
    module.validation_step(torch.from_numpy(waves(seed=1).take(slice(None))), 0)
    terms = module._validation[0]
    loss = (terms.error + wild.beta * terms.divergence.sum(1)).mean().item()
    assert loss == pytest.approx(result.validation_loss, rel=1e-4)


def test_an_epoch_sees_at_most_the_stated_number_of_windows(tmp_path):
    short = SMALL.model_copy(update={"epochs": 1, "max_windows_per_epoch": 40})
    result = fit(waves(), waves(seed=1), short, tmp_path)
    assert result.samples_per_second * result.seconds == pytest.approx(40)


@pytest.mark.parametrize(("rows", "steering"), [(5, 50), (50, 5)])
def test_nothing_to_fit_on_is_an_error_that_counts_the_windows(rows, steering, tmp_path):
    with pytest.raises(TrainingError, match="nothing to fit on: "):
        fit(waves(rows), waves(steering), SMALL, tmp_path)


def test_a_loss_that_is_not_finite_is_an_error_that_names_the_setting(tmp_path):
    broken = waves(60)
    broken.rows[20] = np.nan
    with pytest.raises(TrainingError, match=r"not finite in epoch 0; lower training\.learning_rate"):
        fit(broken, waves(60), SMALL, tmp_path)
    assert not (tmp_path / "weights.npz").exists()


def test_augmented_fitting_runs(tmp_path):
    stirred = SMALL.model_copy(update={"epochs": 1, "noise": 0.1, "magnitude": 0.1, "time_warp": 0.3, "error": "mae"})
    assert fit(waves(60), waves(60), stirred, tmp_path).epochs == 1


def test_a_warm_start_begins_where_the_earlier_fit_ended(fitted, tmp_path):
    still = SMALL.model_copy(update={"epochs": 1, "learning_rate": 1e-12})
    result = fit(waves(), waves(seed=1), still, tmp_path, start=fitted[0])
    assert result.validation_loss == pytest.approx(fitted[1].validation_loss, rel=1e-3)


def test_a_warm_start_from_another_shape_is_refused(fitted, tmp_path):
    with pytest.raises(TrainingError, match="cannot start one of shape"):
        fit(waves(channels=3), waves(channels=3), SMALL, tmp_path, start=fitted[0])


def test_weights_survive_the_disk(tmp_path):
    shape = NetworkShape(channels=2, length=10, encoder="cnn", hidden=(8, 4), latent=3)
    network = TimeSeriesVAE(shape).eval()
    save_network(network, tmp_path)
    windows = torch.randn(5, 2, 10)
    again = load_network(tmp_path, TimeSeriesVAE)
    assert again.shape == shape
    assert torch.equal(again(windows)[0], network(windows)[0])


@pytest.mark.parametrize("spoilt", ["missing", "torn", "foreign", "no_shape"])
def test_a_folder_without_a_usable_network_is_named(tmp_path, spoilt):
    save_network(TimeSeriesVAE(NetworkShape(channels=2, length=10, encoder="mlp", hidden=(4,), latent=2)), tmp_path)
    weights = tmp_path / "weights.npz"
    if spoilt == "missing":
        weights.unlink()
    elif spoilt == "torn":
        weights.write_bytes(weights.read_bytes()[:300])
    elif spoilt == "foreign":
        np.savez(weights, other=np.zeros(3))
    else:
        (tmp_path / "network.json").write_text("{}")
    with pytest.raises(TrainingError, match="holds no network that can be loaded") as told:
        load_network(tmp_path, TimeSeriesVAE)
    assert str(tmp_path) in str(told.value)


def test_beta_rises_over_the_warm_up_and_stays():
    network = TimeSeriesVAE(NetworkShape(channels=1, length=1, encoder="mlp", hidden=(2,)))
    module = TimeSeriesModule(network, Training(beta=0.5, epochs=10, warmup_share=0.4))
    module.trainer = type("Trainer", (), {"current_epoch": 0})()
    betas = []
    for epoch in range(6):
        module.trainer.current_epoch = epoch
        betas.append(module.beta)
    np.testing.assert_allclose(betas, [0.125, 0.25, 0.375, 0.5, 0.5, 0.5])
