"""Why windows of sensor readings have their scores."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from vae_pipeline.calibration.scorers import Observation
from vae_pipeline.detector.explained import Named, explained
from vae_pipeline.explanation.explanation import Explanation, LatentEvidence, SensorEvidence
from vae_pipeline.explanation.latents import explained_latents
from vae_pipeline.explanation.sensors import course, measured, ranked
from vae_pipeline.features.windows import Windows

if TYPE_CHECKING:
    from vae_pipeline.detector.windows import WindowDetector

__all__ = ["LATENTS", "explain_windows", "explained_sensors"]

LATENTS = 64
"""Latents that are moved at most."""


def explain_windows(detector: "WindowDetector", windows: Windows, named: Sequence[Named]) -> list[Explanation]:
    """Why each of some windows over scaled rows has its score.

    Args:
        detector: of windows.
        windows: over scaled rows.
        named: what each window is called.

    Raises:
        DetectorError: the detector was calibrated before it could explain.
    """
    found = []
    for place, called in enumerate(named):
        observation = detector.session.observe(windows.take(slice(place, place + 1)))
        score = float(detector.score_observation(observation)[0])
        sensors, latents = explained_sensors(detector, observation), _latents(detector, observation, score)
        found.append(explained(detector, called, score, sensors, latents=latents))
    return found


def explained_sensors(detector: "WindowDetector", observation: Observation) -> tuple[SensorEvidence, ...]:
    """What speaks against each sensor in the first window of an observation, the most first."""
    names, normal = detector.description.sensors, detector.normal_sensors
    sensors = ranked(names, measured(observation, detector.description.late)[0], normal)
    return course(sensors, names, observation.windows[0], observation.reconstruction[0], normal.row)


def _latents(detector: "WindowDetector", observation: Observation, score: float) -> tuple[LatentEvidence, ...]:
    decoder = detector.session.decoder
    if decoder is None:
        return ()

    def moved(latents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        same, there = np.repeat(observation.windows, len(latents), axis=0), decoder.decode(latents)
        return detector.score_observation(Observation(same, there, latents)), there

    return explained_latents(
        observation.latent[0],
        detector.normal_latents,
        score,
        observation.reconstruction[0],
        moved=moved,
        decoded=decoder.decode,
        most=LATENTS,
    )
