"""The exported network is the network: whatever runs ONNX sees what was fitted."""

import numpy as np
import pytest
import torch

from vae_pipeline.detector.session import NetworkSession
from vae_pipeline.models.export import export_onnx
from vae_pipeline.models.timeseries.network import NetworkShape, TimeSeriesVAE

ENCODERS = ("cnn", "transformer", "lstm", "mlp")


def parity(encoder, length, folder, channels=3, sizes=(1, 2, 513)):
    torch.manual_seed(1)
    network = TimeSeriesVAE(NetworkShape(channels=channels, length=length, encoder=encoder, hidden=(8, 12), latent=4))
    export_onnx(network, folder / "model.onnx")
    session = NetworkSession(folder / "model.onnx")
    for size in sizes:
        windows = torch.randn(size, channels, length)
        observed = session.observe(windows.numpy())
        with torch.no_grad():
            reconstruction, posterior = network.eval()(windows)
        np.testing.assert_allclose(observed.reconstruction, reconstruction.numpy(), rtol=0, atol=1e-5)
        np.testing.assert_allclose(observed.latent, posterior.mean.numpy(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_onnx_equals_torch_for_any_batch(encoder, tmp_path):
    parity(encoder, 7, tmp_path)


@pytest.mark.parametrize("length", [1, 2, 50])
def test_upsampling_to_odd_and_tiny_lengths_is_the_same(length, tmp_path):
    parity("cnn", length, tmp_path, channels=1, sizes=(1, 3))


def test_a_single_reading_will_do(tmp_path):
    parity("mlp", 1, tmp_path, channels=4)


def test_the_file_stands_alone_and_nothing_is_printed(tmp_path, capfd):
    parity("mlp", 2, tmp_path, sizes=(1,))
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    assert capfd.readouterr().out == ""
