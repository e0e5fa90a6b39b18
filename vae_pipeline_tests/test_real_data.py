"""The main job on NASA C-MAPSS FD001, and the registered model on the raw data it was evaluated on."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from vae_pipeline.evaluation.result import read_scored
from vae_pipeline.features.feature_set import FeatureSet
from vae_pipeline_tests.defs.conftest import Home

pytestmark = [pytest.mark.slow, pytest.mark.real_data]


class Finished:
    """FD001, run once: folders of its stages, metrics and the champion as MLflow loads it."""

    def __init__(self, home: Home) -> None:
        import mlflow

        found = home.run("FD001")
        self.metrics = home.shelf().champion("timeseries-FD001").metrics
        self.scored, rows = read_scored(Path(found["evaluated"]["folder"]))
        features = FeatureSet.open(Path(found["features"]["folder"]))
        self.row_in_file = features.file_row[rows]
        self.table = pd.read_parquet(Path(found["raw"]["folder"]) / "test.parquet")
        with home.entered():
            _ = home.shelf().tracker.client
            self.model = mlflow.pyfunc.load_model("models:/timeseries-FD001@champion")
        self.sensors = list(features.sensors)


@pytest.fixture(scope="module")
def finished(data_mirror: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    home = Home(tmp_path_factory.mktemp("real"))
    home.catalog_file.write_text("datasets: {}\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VAE_PIPELINE_DATA_MIRROR", str(data_mirror))
        return Finished(home)


def test_failing_engines_are_ranked_above_healthy_ones(finished):
    assert finished.metrics["test_roc_auc"] >= 0.990
    assert finished.metrics["test_pr_auc"] >= 0.77


def test_no_baseline_of_the_same_run_is_better(finished):
    baselines = {name: value for name, value in finished.metrics.items() if name.endswith("_test_pr_auc")}
    assert len(baselines) == 9
    assert finished.metrics["test_pr_auc"] > max(baselines.values())


def test_the_calibrated_threshold_is_nearly_the_best_one(finished):
    assert finished.metrics["test_f1"] >= 0.9 * finished.metrics["test_best_f1"]


def test_the_registered_model_scores_the_raw_table_as_evaluation_did(finished):
    predicted = finished.model.predict(finished.table)
    expected = pd.Series(finished.scored.score, index=finished.row_in_file)
    assert set(predicted.index) == set(expected.index)
    np.testing.assert_allclose(predicted["score"], expected.loc[predicted.index], atol=1e-5)


def test_the_registered_model_scores_windows_as_evaluation_did(finished):
    """Windows are cut here from the raw table, with channels in the order of the sensors."""
    values = finished.table[finished.sensors].to_numpy(np.float64)
    chosen = np.arange(0, len(finished.row_in_file), 37)
    windows = sliding_window_view(values, 50, axis=0)[finished.row_in_file[chosen] - 49]
    predicted = finished.model.predict(windows)
    np.testing.assert_allclose(predicted["score"], finished.scored.score[chosen], atol=1e-5)
