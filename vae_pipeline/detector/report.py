"""What calibration saw and chose."""

import numpy as np

from vae_pipeline.records import Record

__all__ = ["CalibrationReport", "FormFigure"]


class FormFigure(Record):
    """How well a form of the score separates on calibration samples.

    ``placement`` and ``pixel_roc_auc`` are known of images alone.
    """

    form: tuple[str, ...]
    roc_auc: float
    pr_auc: float
    placement: str | None = None
    pixel_roc_auc: float | None = None

    @property
    def both(self) -> float:
        """The mean of the ROC-AUC of images and that of pixels; that of samples where there are no pixels."""
        return self.roc_auc if self.pixel_roc_auc is None else (self.roc_auc + self.pixel_roc_auc) / 2

    @property
    def name(self) -> str:
        """The parts that are summed, and how they are placed."""
        return " + ".join(self.form) + (f" by {self.placement}" if self.placement else "")


class CalibrationReport(Record):
    """What calibration saw and chose.

    ``criterion`` says against what the forms were compared: ``labels`` of calibration units, ``synthetic faults``
    injected into their normal windows, or ``synthetic anomalies`` in normal images. ``samples`` are windows, clips or
    images, as ``noun`` says.
    """

    noun: str = "windows"
    samples: int
    normal_samples: int
    anomalous_samples: int
    criterion: str
    forms: tuple[FormFigure, ...]

    @staticmethod
    def of(normal: np.ndarray, criterion: str, forms: tuple[FormFigure, ...], noun: str) -> "CalibrationReport":
        """The report on samples of which ``normal``, boolean (n,), says which are."""
        count = int(normal.sum())
        return CalibrationReport(
            noun=noun,
            samples=len(normal),
            normal_samples=count,
            anomalous_samples=len(normal) - count,
            criterion=criterion,
            forms=forms,
        )
