"""The whole chain on NASA C-MAPSS FD001 and MVTec AD bottle, from the archives to Bentos that answer."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from vae_pipeline.definitions import defs
from vae_pipeline.evaluation.result import read_scored
from vae_pipeline.features.feature_set import FeatureSet
from vae_pipeline.packing.deployment import Deployment, deployment_key
from vae_pipeline.settings import load_settings
from vae_pipeline.storage import open_storage
from vae_pipeline_tests.defs.conftest import Home

pytestmark = [pytest.mark.slow, pytest.mark.real_data, pytest.mark.services]


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
def real_home(data_mirror: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    home = Home(tmp_path_factory.mktemp("real"))
    home.catalog_file.write_text("datasets: {}\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VAE_PIPELINE_DATA_MIRROR", str(data_mirror))
        yield home


@pytest.fixture(scope="module")
def finished(real_home: Home) -> Finished:
    return Finished(real_home)


@pytest.fixture(scope="module")
def bottle(real_home: Home) -> dict[str, dict[str, Any]]:
    """Two epochs: enough for a detector that can be packed, far from one that is good."""
    return real_home.run("bottle", "vision", trained={"epochs": 2})


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


def test_bottles_are_judged_by_the_whole_picture_and_by_the_pixel(bottle):
    assert bottle["validated"]["critical_failures"] == 0
    assert 0.5 < bottle["evaluated"]["test_roc_auc"] <= 1.0


def test_the_bentos_of_both_lines_answer_as_evaluation_did(finished, bottle, real_home):
    with real_home.entered():
        for line, name in (("timeseries", "timeseries-FD001"), ("vision", "vision-bottle")):
            result = (
                defs()
                .resolve_job_def(f"{line}_bento")
                .execute_in_process(run_config={"ops": {f"{line}__bento": {"config": {"image": False}}}})
            )
            assert result.success
            record = Deployment.model_validate_json(open_storage(load_settings()).read_text(deployment_key(line)))
            assert record.smoke.differences[name] == pytest.approx(0.0, abs=1e-4)
