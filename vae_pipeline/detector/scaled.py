"""What detectors of rows share, be they readings or frames: a scaling before the network, a score behind it."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, Generic, Self, TypeVar

import numpy as np

from vae_pipeline.calibration.clips import ClipScorer
from vae_pipeline.calibration.scorers import WindowScorer
from vae_pipeline.detector.description import WindowDescription
from vae_pipeline.detector.detector import Detector, named, under
from vae_pipeline.detector.session import NetworkSession
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
        reference: scores and latents of normal calibration samples, what the world looked like when it was fitted.
    """

    description: WindowDescription

    def __init__(
        self,
        description: WindowDescription,
        scaler: RegimeScaler,
        scorer: S,
        session: NetworkSession,
        reference: Mapping[str, np.ndarray],
    ) -> None:
        super().__init__(description, session, reference)
        self.scaler = scaler
        self.scorer = scorer

    @staticmethod
    @abstractmethod
    def scorer_of(arrays: dict[str, np.ndarray], description: WindowDescription) -> S:
        """The scorer that its arrays describe."""

    @classmethod
    def assembled(cls, description: Any, session: NetworkSession, arrays: Mapping[str, np.ndarray]) -> Self:
        """The detector of what its folder holds."""
        scaler = RegimeScaler.from_arrays(under("scaler.", arrays))
        scorer = cls.scorer_of(under("scorer.", arrays), description)
        return cls(description, scaler, scorer, session, under("reference.", arrays))

    def fitted_arrays(self) -> dict[str, np.ndarray]:
        """Scaling and score."""
        return {**named("scaler.", self.scaler.to_arrays()), **named("scorer.", self.scorer.to_arrays())}
