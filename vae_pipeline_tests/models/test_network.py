import pytest
import torch

from vae_pipeline.models.components import halved_lengths
from vae_pipeline.models.timeseries.network import NetworkShape, TimeSeriesVAE
from vae_pipeline.records import Training

ENCODERS = ("cnn", "transformer", "lstm", "mlp")
LENGTHS = (1, 2, 7, 50)


def network(encoder="cnn", channels=3, length=7, hidden=(8, 12), latent=2):
    torch.manual_seed(0)
    return TimeSeriesVAE(
        NetworkShape(channels=channels, length=length, encoder=encoder, hidden=hidden, latent=latent)
    ).eval()


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("channels", [1, 2, 5])
def test_reconstruction_has_the_shape_of_the_windows(encoder, length, channels):
    windows = torch.randn(3, channels, length)
    reconstruction, posterior = network(encoder, channels, length)(windows)
    assert reconstruction.shape == windows.shape
    assert posterior.mean.shape == posterior.log_variance.shape == (3, 2)
    assert posterior.sample().shape == (3, 2)


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("hidden", [(7,), (6, 10, 14)])
def test_any_hidden_widths_will_do(encoder, hidden):
    windows = torch.randn(2, 3, 9)
    assert network(encoder, length=9, hidden=hidden)(windows)[0].shape == windows.shape


@pytest.mark.parametrize("encoder", ENCODERS)
def test_evaluation_is_deterministic_and_training_draws(encoder):
    vae, windows = network(encoder), torch.randn(4, 3, 7)
    torch.testing.assert_close(vae(windows)[0], vae(windows)[0], rtol=0, atol=0)
    vae.train()
    assert not torch.equal(vae(windows)[0], vae(windows)[0])


@pytest.mark.parametrize("encoder", ENCODERS)
def test_a_window_is_judged_alone_whatever_its_batch(encoder):
    vae, windows = network(encoder), torch.randn(6, 3, 7)
    alone = torch.cat([vae(windows[i : i + 1])[0] for i in range(6)])
    torch.testing.assert_close(vae(windows)[0], alone, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("hidden", [(1,), (2, 1), (8, 8), (5, 11)])
@pytest.mark.parametrize("length", [1, 2])
def test_narrow_networks_see_short_windows(hidden, length):
    vae, windows = network(length=length, hidden=hidden), torch.randn(1, 3, length)
    assert not torch.equal(vae.encode(windows).mean, vae.encode(-windows).mean)


def test_log_variance_is_bounded_so_that_its_exponential_cannot_overflow():
    vae = network("mlp")
    log_variance = vae.encode(1e8 * torch.randn(4, 3, 7)).log_variance
    assert log_variance.abs().max() <= 10


def test_a_dense_network_for_single_readings_of_four_sensors_has_about_5000_parameters():
    vae = network("mlp", channels=4, length=1, hidden=(64, 32), latent=2)
    assert sum(parameter.numel() for parameter in vae.parameters()) == pytest.approx(5000, rel=0.1)


def test_shape_comes_from_the_hyperparameters_and_the_data():
    shape = NetworkShape.of(Training(encoder="lstm", hidden=(4,), latent=3), channels=5, length=6)
    assert shape == NetworkShape(channels=5, length=6, encoder="lstm", hidden=(4,), latent=3)


@pytest.mark.parametrize(("length", "expected"), [(1, [1, 1, 1]), (2, [2, 1, 1]), (7, [7, 4, 2]), (50, [50, 25, 13])])
def test_halving_rounds_up(length, expected):
    assert halved_lengths(length, 2) == expected
