"""The MLflow model, logged from this file: ``mlflow.pyfunc.load_model(...).predict(table or windows)``."""

from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel

from vae_pipeline.detector.detector import Detector
from vae_pipeline.detector.images import ImageDetector
from vae_pipeline.detector.pairs import PairDetector
from vae_pipeline.detector.sounds import SoundDetector
from vae_pipeline.detector.windows import WindowDetector


class DetectorModel(PythonModel):
    """A detector folder as a pyfunc."""

    def load_context(self, context: Any) -> None:
        """Load the detector folder, an artifact of the model."""
        self.detector = cast(
            "WindowDetector | SoundDetector | ImageDetector | PairDetector",
            Detector.load(Path(context.artifacts["detector"])),
        )

    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def,override]  # noqa: ANN001, ANN201
        """Scores and alarms, a DataFrame; without type hints, since MLflow would enforce them on every input.

        Args:
            context: not used; the detector is loaded already.
            model_input: a raw table (one row a reading; unit and time columns where there are several units), or
                windows of shape (n_windows, channels, time) in raw units with channels as in
                ``detector.description.inputs``; best float64, since float32 loses digits before scaling. For recordings
                samples of shape (n_clips, samples) at the dataset's rate, for images uint8 (n, height, width, 3). For
                pairs a mapping with ``windows`` and ``images`` of these forms, either of which may be left out.
            params: ``threshold`` replaces the calibrated one.

        Returns:
            Columns ``score``, ``alarm`` and ``threshold``, one row a window, clip or image; for a table the index
            names the row that ends the window.
        """
        if isinstance(self.detector, ImageDetector):
            scores = self.detector.score_arrays(np.asarray(model_input))
            index = pd.RangeIndex(len(scores.score))
        elif isinstance(self.detector, PairDetector):
            given = {name: np.asarray(values) for name, values in dict(model_input).items() if values is not None}
            scores = self.detector.score_pairs(given.get("windows"), given.get("images"))
            index = pd.RangeIndex(len(scores.score))
        elif isinstance(self.detector, SoundDetector):
            scores = self.detector.score_waves(np.atleast_2d(np.asarray(model_input)))
            index = pd.RangeIndex(len(scores.score))
        elif isinstance(model_input, pd.DataFrame):
            scores = self.detector.score_table({str(name): model_input[name].to_numpy() for name in model_input})
            index = model_input.index[scores.row]
        else:
            scores = self.detector.score_windows(np.asarray(model_input))
            index = pd.RangeIndex(len(scores.score))
        asked = (params or {}).get("threshold")
        threshold = float(self.detector.description.threshold.value if asked is None else asked)
        return pd.DataFrame(
            {"score": scores.score, "alarm": scores.score > threshold, "threshold": threshold}, index=index
        )


set_model(DetectorModel())
