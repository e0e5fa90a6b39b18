"""A training over two processes of this machine's processor, as over two GPUs."""

import numpy as np
import pytest

from vae_pipeline.errors import TrainingError
from vae_pipeline.features.feature_set import FeatureSet
from vae_pipeline.models.fit import load_network
from vae_pipeline.models.ranks import is_spread
from vae_pipeline.models.timeseries.network import TimeSeriesVAE
from vae_pipeline.models.train import Told, train
from vae_pipeline.settings import Settings, load_settings
from vae_pipeline_tests.experiments.conftest import built  # noqa: F401 - a fixture


@pytest.fixture
def two_processes(monkeypatch):
    for name, value in {"DEVICES": "2", "STRATEGY": "ddp", "THREADS": "1"}.items():
        monkeypatch.setenv(f"VAE_PIPELINE_{name}", value)
    load_settings.cache_clear()


def test_one_device_and_lightnings_own_choice_need_no_further_process(tmp_path):
    assert not is_spread(Settings(home=tmp_path))
    assert is_spread(Settings(home=tmp_path, devices=2))
    assert is_spread(Settings(home=tmp_path, strategy="ddp"))


@pytest.mark.slow
def test_a_training_over_two_processes_gives_a_network_that_reconstructs(built, two_processes, tmp_path):  # noqa: F811
    import torch

    epochs = []
    fitted = train(built.dataset, built.features, tmp_path, Told(report=lambda epoch, _: epochs.append(epoch)))
    assert epochs == list(range(fitted.epochs)) == [0, 1]
    assert (tmp_path / "model.onnx").is_file()
    features = FeatureSet.open(built.features)
    windows = torch.from_numpy(np.stack(list(features.windows("fit", healthy_only=True).take(range(32)))))
    network = load_network(tmp_path, TimeSeriesVAE)
    assert torch.isfinite(network(windows)[0]).all()


@pytest.mark.slow
def test_what_ends_the_processes_is_told_in_a_sentence(built, two_processes, tmp_path):  # noqa: F811
    with pytest.raises(TrainingError, match=r"several devices ended early: .*holds no network"):
        train(built.dataset, built.features, tmp_path, start=tmp_path / "nothing")
