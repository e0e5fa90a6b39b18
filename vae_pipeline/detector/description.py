"""What ``detector.json`` says of a detector."""

import json
from typing import ClassVar

from pydantic import field_validator

from vae_pipeline.calibration.thresholds.threshold import Threshold
from vae_pipeline.records import Imaging, Line, Medium, Record, Sound

__all__ = [
    "FORMAT",
    "DetectorDescription",
    "ImageDescription",
    "PairDescription",
    "WindowDescription",
    "read_description",
]

FORMAT = 1
"""Raised when a detector folder is no longer readable by older code."""


class DetectorDescription(Record):
    """What every detector says of itself: whose it is, the form of its score, its decision."""

    MEDIA: ClassVar[tuple[Medium, ...]] = ()

    format: int = FORMAT
    medium: Medium
    line: Line
    dataset: str
    data_version: str
    form: tuple[str, ...]
    threshold: Threshold

    @field_validator("medium")
    @classmethod
    def _described_here(cls, medium: Medium) -> Medium:
        if medium not in cls.MEDIA:
            msg = f"{cls.__name__} is not of medium {medium}"
            raise ValueError(msg)
        return medium

    @property
    def name(self) -> str:
        """The name of the registered model."""
        return f"{self.line}-{self.dataset}"


class WindowDescription(DetectorDescription):
    """Schema of a detector of windows.

    ``inputs`` are the columns it reads, sensors first and then, where operating regimes matter, settings; windows
    handed to it have this order of channels, in the units of the raw data. Of recordings the sensors are mel bands and
    ``sound`` says how they come about.
    """

    MEDIA: ClassVar[tuple[Medium, ...]] = ("table", "sound")

    medium: Medium = "table"
    sensors: tuple[str, ...]
    settings: tuple[str, ...]
    unit_column: str | None = None
    time_column: str | None = None
    window: int
    stride: int = 1
    late: int
    sound: Sound | None = None

    @property
    def inputs(self) -> tuple[str, ...]:
        """Columns of a table, or channels of a window, in order."""
        return (*self.sensors, *self.settings)

    @property
    def unit_names(self) -> tuple[str, ...]:
        """What a table may call its column of units, first choice first; none where the role is not stated."""
        return () if self.unit_column is None else (self.unit_column, "unit")

    @property
    def time_names(self) -> tuple[str, ...]:
        """What a table may call its column of times, likewise."""
        return () if self.time_column is None else (self.time_column, "time")


class ImageDescription(DetectorDescription):
    """Schema of a detector of images: the size it works at and how maps become a score.

    ``map_level`` is what the highest pixels of the map of a normal image exceed as often as its score the threshold's
    intended rate: where a map lies above it, something is wrong there.
    """

    MEDIA: ClassVar[tuple[Medium, ...]] = ("image",)

    medium: Medium = "image"
    size: int
    imaging: Imaging
    placements: tuple[str, ...]
    smoothing: float
    top: float
    map_level: float


class PairDescription(DetectorDescription):
    """Schema of a detector of pairs: those of its windows and its images, and how their scores become one.

    ``split`` is the first latent that was the image's when training began; the thresholds of ``windows`` and
    ``images`` are those of each modality's own score beside a normal partner.
    """

    MEDIA: ClassVar[tuple[Medium, ...]] = ("pair",)

    medium: Medium = "pair"
    windows: WindowDescription
    images: ImageDescription
    split: int


def read_description(text: str) -> DetectorDescription:
    """The description of the right class from the text of ``detector.json``.

    Raises:
        ValueError: it is none.
    """
    content = json.loads(text)
    medium = content.get("medium") if isinstance(content, dict) else None
    kinds: dict[object, type[DetectorDescription]] = {"image": ImageDescription, "pair": PairDescription}
    return kinds.get(medium, WindowDescription).model_validate_json(text)
