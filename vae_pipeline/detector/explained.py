"""What every explanation begins with: what is explained, its score and the decision."""

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from vae_pipeline.explanation.explanation import Explanation, SensorEvidence

if TYPE_CHECKING:
    from vae_pipeline.detector.detector import Detector

__all__ = ["Named", "explained"]


class Named(NamedTuple):
    """What an explained sample is called; see `Explanation`."""

    name: str
    unit: str | None = None
    time: str | None = None
    row: int | None = None


def explained(
    detector: "Detector", called: Named, score: float, sensors: tuple[SensorEvidence, ...] = (), **parts: Any
) -> Explanation:
    """The explanation of a sample of this score, with the further parts there are."""
    return Explanation(
        detector=detector.description.name,
        medium=detector.description.medium,
        **called._asdict(),
        score=score,
        threshold=detector.description.threshold.value,
        alarm=bool(detector.decide(np.array([score]))[0]),
        sensors=sensors,
        start=sensors[0].start if sensors else None,
        end=sensors[0].end if sensors else None,
        **parts,
    )
