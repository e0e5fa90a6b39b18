"""What is said of one anomaly; a record that can be written as JSON.

Every part but score and decision may be empty: images have no sensors, tables no regions, and a detector whose folder
holds no decoder says nothing of latents.
"""

from vae_pipeline.records import Medium, Record

__all__ = ["Attribution", "Explanation", "LatentEvidence", "ModalityEvidence", "Region", "SensorEvidence"]


class SensorEvidence(Record):
    """What speaks against one sensor, or mel band.

    ``change``, ``residual`` and ``level`` are in units of what a normal sample exceeds once in a hundred times, the
    last two with their sign; `vae_pipeline.explanation.sensors` says how they become ``evidence``. ``share`` is of the
    evidence of all sensors. The first sensors also have a course over the window: ``profile`` is each row's residual,
    in units of what that of a normal row exceeds once in a hundred times, and ``readings`` and ``expected`` (the
    reconstruction) are in healthy standard deviations. ``start`` and ``end`` are the first and last row of the run of
    rows around the highest that stand out, counted from 0; None where none does.
    """

    name: str
    evidence: float
    share: float
    change: float
    residual: float
    level: float
    start: int | None = None
    end: int | None = None
    profile: tuple[float, ...] = ()
    readings: tuple[float, ...] = ()
    expected: tuple[float, ...] = ()


class Region(Record):
    """Connected pixels of the map that stand out; box and ``area`` in pixels of the image as it came.

    ``peak`` and ``mass`` are the highest value and the sum of the map, in units of its level; ``share`` is of the mass
    of all regions.
    """

    left: int
    top: int
    width: int
    height: int
    area: int
    peak: float
    mass: float
    share: float


class LatentEvidence(Record):
    """What one latent dimension does.

    ``change`` is what the score becomes when the latent is moved from ``value`` to ``normal``, the median of normal
    calibration samples, less the score: below 0 the latent carries a part of the anomaly. ``jacobian`` is the norm of
    the reconstruction's derivative by the latent.
    """

    dimension: int
    value: float
    normal: float
    change: float
    jacobian: float


class ModalityEvidence(Record):
    """How surprising one side of a pair is by itself, in nats, and its share of the surprise of both."""

    name: str
    surprise: float
    share: float


class Attribution(Record):
    """The part of the score's difference from that of a normal sample which an input accounts for, with its sign."""

    name: str
    value: float


class Explanation(Record):
    """Why one window, clip or image has its score.

    ``name`` says which it is: a file, or unit and row. ``row`` is the window's last row in its table, from 1 as
    `score_files` counts. ``start`` and ``end`` are those of the first sensor. ``attribution`` is what integrated
    gradients or SHAP give, where they were asked for: they need more than the detector.
    """

    detector: str
    medium: Medium
    name: str
    unit: str | None = None
    time: str | None = None
    row: int | None = None
    score: float
    threshold: float
    alarm: bool
    sensors: tuple[SensorEvidence, ...] = ()
    start: int | None = None
    end: int | None = None
    regions: tuple[Region, ...] = ()
    modalities: tuple[ModalityEvidence, ...] = ()
    latents: tuple[LatentEvidence, ...] = ()
    attribution: tuple[Attribution, ...] = ()
    attribution_by: str | None = None

    @property
    def headline(self) -> str:
        """What stands out most, in a few words; of a pair what does in the more surprising side of it."""
        leading = max(self.modalities, key=lambda side: side.surprise).name if self.modalities else None
        if self.sensors and not (self.regions and leading == "image"):
            return f"{self.sensors[0].name} ({self.sensors[0].share:.0%} of the evidence)"
        if self.regions:
            first = self.regions[0]
            return f"{first.width} × {first.height} pixels at ({first.left}, {first.top})"
        return "nothing stands out"
