"""Attribution of the score to the statistics of a window, by Shapley values.

The score reads the window, not its statistics, so trees are fitted that follow it from them; what SHAP says is said of
these trees, and holds for the score as far as they follow it (`FeatureTable.fidelity`). S. Lundberg, S.-I. Lee, A
unified approach to interpreting model predictions, NeurIPS 2017; for trees S. Lundberg et al., Nature Machine
Intelligence 2020; computed by shap.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from vae_pipeline.detector.windows import WindowDetector
from vae_pipeline.errors import SettingError
from vae_pipeline.explanation.explanation import Attribution
from vae_pipeline.features.feature_set import FeatureSet
from vae_pipeline.features.signal import statistic_names, window_statistics
from vae_pipeline.features.windows import Windows

__all__ = ["FeatureTable"]

MOST = 4_000
"""Calibration windows at most that the trees are fitted on."""

HELD_OUT = 5
"""One unit in so many is kept to see how well the trees follow the score; of a single unit its last fifth."""

NAMED = 20
"""Statistics that are told of; the rest are one sum."""


@dataclass(frozen=True, eq=False)
class FeatureTable:
    """Shapley values of the score over the statistics of windows.

    Attributes:
        names: of the statistics, as `statistic_names` gives them.
        explainer: shap's, of the trees.
        fidelity: R² of the trees against the score on calibration windows of units they were not fitted on.
    """

    names: tuple[str, ...]
    explainer: Any
    fidelity: float

    @staticmethod
    def fitted(detector: WindowDetector, features: FeatureSet) -> "FeatureTable":
        """Trees that follow a detector's score, fitted on calibration windows; no label is read.

        Raises:
            SettingError: shap is not installed.
        """
        try:
            import shap
        except ImportError as error:
            msg = "attribution: shap needs the package shap; install vae-pipeline[shap], or leave the setting out"
            raise SettingError(msg) from error
        from sklearn.ensemble import HistGradientBoostingRegressor

        windows = features.windows("calibrate").evenly(MOST)
        score, table = detector.score_scaled(windows).score, window_statistics(windows.take(slice(None)))
        held = _held_out(features.units(windows))

        def trees(rows: np.ndarray) -> Any:
            return HistGradientBoostingRegressor(random_state=0).fit(table[rows], score[rows])

        fidelity = float(trees(~held).score(table[held], score[held]))
        return FeatureTable(
            tuple(statistic_names(features.sensors)), shap.TreeExplainer(trees(np.ones(len(score), bool))), fidelity
        )

    @property
    def described(self) -> str:
        """How the attribution was made."""
        return f"SHAP of the window's statistics, through trees that follow the score (R² {self.fidelity:.2f})"

    def attributed(self, window: Windows) -> tuple[Attribution, ...]:
        """What each statistic of one window accounts for, largest first; what is left as ``other statistics``.

        The values add up to what the trees give for this window less their mean over calibration windows.
        """
        values = np.asarray(self.explainer.shap_values(window_statistics(window.take(slice(None)))))[0]
        order = np.argsort(-np.abs(values), kind="stable")
        named = tuple(Attribution(name=self.names[place], value=float(values[place])) for place in order[:NAMED])
        rest = float(values[order[NAMED:]].sum())
        return (*named, Attribution(name="other statistics", value=rest)) if len(order) > NAMED else named


def _held_out(units: np.ndarray) -> np.ndarray:
    """Which windows the trees are judged on, boolean, shape (n,)."""
    names = np.unique(units)
    if len(names) == 1:
        return np.arange(len(units)) >= len(units) * (HELD_OUT - 1) // HELD_OUT
    return np.isin(units, names[HELD_OUT // 2 :: HELD_OUT] if len(names) > HELD_OUT // 2 else names[:1])
