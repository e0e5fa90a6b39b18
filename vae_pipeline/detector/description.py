"""What ``detector.json`` says of a detector."""

from vae_pipeline.calibration.thresholds import Threshold
from vae_pipeline.records import Line, Record

__all__ = ["FORMAT", "DetectorDescription"]

FORMAT = 1
"""Raised when a detector folder is no longer readable by older code."""


class DetectorDescription(Record):
    """Schema, score form and decision of a detector.

    ``inputs`` are the columns it reads, sensors first and then, where operating regimes matter, settings; windows
    handed to it have this order of channels, in the units of the raw data.
    """

    format: int = FORMAT
    line: Line
    dataset: str
    data_version: str
    sensors: tuple[str, ...]
    settings: tuple[str, ...]
    unit_column: str | None = None
    time_column: str | None = None
    window: int
    late: int
    form: tuple[str, ...]
    threshold: Threshold

    @property
    def inputs(self) -> tuple[str, ...]:
        """Columns of a table, or channels of a window, in order."""
        return (*self.sensors, *self.settings)

    @property
    def name(self) -> str:
        """The name of the registered model."""
        return f"{self.line}-{self.dataset}"
