import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import auc, roc_auc_score

from vae_pipeline.evaluation import figures
from vae_pipeline.evaluation.metrics import detection_metrics
from vae_pipeline.evaluation.ranking import Ranking
from vae_pipeline_tests.evaluation.examples import engines, unlabelled

SCORED = engines()
BASELINES = {
    name: SCORED.score + noise * np.random.default_rng(1).normal(size=len(SCORED))
    for name, noise in (("pca", 0.5), ("ecod", 1), ("age", 2), ("level", 3), ("z_score", 4))
}
RESULTS = {"VAE": detection_metrics(SCORED, 1.0, bootstrap=50)} | {
    name: detection_metrics(SCORED.with_score(score), 1.0, bootstrap=50) for name, score in BASELINES.items()
}
HISTORY = [{"train_loss": 9 - e / 3, "validation_loss": 9.5 - e / 3, "kl": e / 2, "active_units": e} for e in range(9)]
NONE = SCORED.take(np.zeros(0, dtype=int))
TIMESTAMPS = replace(unlabelled(SCORED), time=SCORED.time + 1.7e9)


def opened(data):
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    return Image.open(io.BytesIO(data)).convert("RGB")


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(lambda: figures.roc_figure(SCORED, BASELINES), id="roc"),
        pytest.param(lambda: figures.roc_figure(SCORED), id="roc alone"),
        pytest.param(lambda: figures.precision_recall_figure(SCORED, BASELINES), id="precision recall"),
        pytest.param(lambda: figures.histogram_figure(SCORED, 2.0), id="histogram"),
        pytest.param(lambda: figures.histogram_figure(unlabelled(SCORED), 2.0), id="histogram unlabelled"),
        pytest.param(lambda: figures.histogram_figure(SCORED.with_score(SCORED.score * 0), 0.0), id="constant scores"),
        pytest.param(lambda: figures.life_figure(SCORED, 2.0), id="life"),
        pytest.param(lambda: figures.life_figure(unlabelled(SCORED), 2.0, time_unit="second"), id="life unlabelled"),
        pytest.param(lambda: figures.life_figure(TIMESTAMPS, 2.0), id="life timestamps"),
        pytest.param(lambda: figures.life_figure(SCORED.take(np.arange(1)), 2.0), id="one window"),
        pytest.param(lambda: figures.comparison_figure(RESULTS), id="comparison"),
        pytest.param(lambda: figures.training_figure(HISTORY), id="training"),
        pytest.param(lambda: figures.training_figure([{"loss": 1.0}, {}, {"loss": 0.5}]), id="training gaps"),
    ],
)
def test_pictures_are_wide_and_show_something(data):
    picture = opened(data())
    assert picture.width == 900
    colours = picture.getcolors(maxcolors=900 * 2000)
    assert colours is not None
    assert len(colours) > 50
    ink = 1 - max(count for count, _ in colours) / (picture.width * picture.height)
    assert ink > 0.01


@pytest.mark.parametrize(
    "data",
    [
        lambda: figures.roc_figure(unlabelled(SCORED), BASELINES),
        lambda: figures.precision_recall_figure(unlabelled(SCORED), BASELINES),
        lambda: figures.histogram_figure(NONE, 1.0),
        lambda: figures.life_figure(NONE, 1.0),
        lambda: figures.comparison_figure({"VAE": {"windows": 3.0}}),
        lambda: figures.training_figure([]),
    ],
)
def test_what_cannot_be_drawn_is_said(data):
    assert opened(data()).width == 900


def test_units_with_anomalies_come_first():
    label = SCORED.label.copy()
    label[~np.isin(SCORED.unit, [3, 8])] = 0
    assert len(figures._chosen_units(SCORED, 6)) == 6
    assert {3, 8} <= set(figures._chosen_units(replace(SCORED, label=label), 3).tolist())


def test_curves_are_thinned_without_changing_shape():
    scored = engines(units=60, strength=1.0)
    x, y = figures._curve(Ranking.of(scored.score, scored.label), precision=False)
    assert len(x) <= 2 * figures.POINTS + 1
    assert auc(x, y) == pytest.approx(roc_auc_score(scored.label, scored.score), abs=1e-3)
