"""What detectors of rows share, be they readings or frames: a scaling before the network, a score behind it."""

import difflib
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, Generic, Self, TypeVar

import numpy as np

from vae_pipeline.calibration.clips import ClipScorer
from vae_pipeline.calibration.scorers import WindowScorer
from vae_pipeline.detector.description import WindowDescription
from vae_pipeline.detector.detector import Detector, named, under
from vae_pipeline.detector.session import NetworkSession
from vae_pipeline.errors import DetectorError
from vae_pipeline.explanation.sensors import NormalSensors
from vae_pipeline.features.scaling import RegimeScaler

__all__ = ["ScaledDetector"]

S = TypeVar("S", WindowScorer, ClipScorer)


class ScaledDetector(Detector, Generic[S]):
    """A detector of rows.

    Attributes:
        description: schema, form and threshold.
        scaler: raw rows to scaled rows.
        scorer: what the network makes of them to scores.
        session: the network.
        reference: scores, latents, inputs and units of normal calibration samples, what the world looked like when it
            was fitted; what was not kept yet when a detector was calibrated is missing.
        sensors: what sensors do on normal calibration samples; None where it was calibrated before that was kept.
    """

    description: WindowDescription

    def __init__(
        self,
        description: WindowDescription,
        scaler: RegimeScaler,
        scorer: S,
        session: NetworkSession,
        reference: Mapping[str, np.ndarray],
        sensors: NormalSensors | None = None,
    ) -> None:
        super().__init__(description, session, reference)
        self.scaler = scaler
        self.scorer = scorer
        self.sensors = sensors

    @staticmethod
    @abstractmethod
    def scorer_of(arrays: dict[str, np.ndarray], description: WindowDescription) -> S:
        """The scorer that its arrays describe."""

    @classmethod
    def assembled(cls, description: Any, session: NetworkSession, arrays: Mapping[str, np.ndarray]) -> Self:
        """The detector of what its folder holds."""
        scaler = RegimeScaler.from_arrays(under("scaler.", arrays))
        scorer = cls.scorer_of(under("scorer.", arrays), description)
        known = under("sensors.", arrays)
        sensors = NormalSensors.from_arrays(known) if known else None
        return cls(description, scaler, scorer, session, under("reference.", arrays), sensors)

    def fitted_arrays(self) -> dict[str, np.ndarray]:
        """Scaling, score and what sensors normally do."""
        return {
            **named("scaler.", self.scaler.to_arrays()),
            **named("scorer.", self.scorer.to_arrays()),
            **named("sensors.", self.sensors.to_arrays() if self.sensors else {}),
        }

    @property
    def normal_sensors(self) -> NormalSensors:
        """What sensors do on normal calibration samples.

        Raises:
            DetectorError: the detector was calibrated before that was kept.
        """
        if self.sensors is None:
            msg = f"{self.description.name}: was calibrated before detectors explained; run the line again"
            raise DetectorError(msg)
        return self.sensors

    def require_sensors(self, names: Iterable[str]) -> None:
        """Refuse the name of a sensor that there is not.

        Raises:
            DetectorError: the message lists close names.
        """
        known = self.description.sensors
        for name in names:
            if name not in known:
                close = difflib.get_close_matches(name, known, n=5, cutoff=0.5)
                hint = f"close to it are {', '.join(close)}" if close else f"there are {', '.join(known[:10])}"
                more = f" and {len(known) - 10} more" if not close and len(known) > 10 else ""
                msg = f"sensor {name!r}: {self.description.name} has none of that name; {hint}{more}"
                raise DetectorError(msg)
