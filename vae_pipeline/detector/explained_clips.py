"""Why recordings have their scores: which mel bands, and when in the clip."""

from typing import TYPE_CHECKING

import numpy as np

from vae_pipeline.calibration.scorers import Observation, Summary, late_weights, summarised
from vae_pipeline.detector.explained import Named, explained
from vae_pipeline.detector.explained_windows import LATENTS
from vae_pipeline.explanation.explanation import Explanation, LatentEvidence
from vae_pipeline.explanation.latents import explained_latents
from vae_pipeline.explanation.sensors import course, measured, ranked
from vae_pipeline.features.windows import Windows, evenly

if TYPE_CHECKING:
    from vae_pipeline.detector.sounds import SoundDetector

__all__ = ["explain_clip"]

MOVED_IN = 8
"""Windows, evenly over the clip, in which latents are moved: what this does to the average is estimated from them."""


def explain_clip(detector: "SoundDetector", windows: Windows, called: Named) -> Explanation:
    """Why a clip has its score.

    Args:
        detector: of recordings.
        windows: all of the clip, over its scaled frames.
        called: what the clip is called.

    Raises:
        DetectorError: the detector was calibrated before it could explain.
    """
    late = detector.description.late
    batches = list(detector.session.batches(windows))
    observed = Observation(*(np.concatenate(values) for values in zip(*batches, strict=True)))
    summary = Summary(*(np.asarray(values.mean(0, dtype=np.float64))[None] for values in summarised(observed, late)))
    score = float(detector.scorer.combine(detector.scorer.parts(summary))[0])
    names, normal = detector.description.sensors, detector.normal_sensors
    beside = np.arange(0, len(windows), max(1, windows.length // detector.description.stride))
    sensors = course(
        ranked(names, measured(observed, late).mean(0), normal),
        names,
        np.concatenate(list(observed.windows[beside]), axis=1),
        np.concatenate(list(observed.reconstruction[beside]), axis=1),
        normal.row,
    )
    return explained(detector, called, score, sensors, latents=_latents(detector, observed, summary, score))


def _latents(
    detector: "SoundDetector", observed: Observation, summary: Summary, score: float
) -> tuple[LatentEvidence, ...]:
    decoder = detector.session.decoder
    if decoder is None:
        return ()
    late = detector.description.late
    weights = late_weights(late)
    some = Observation(*(values[evenly(len(observed.windows), MOVED_IN)] for values in observed))
    before = summarised(some, late)
    average = summary.latent[0]

    def moved(latents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The clip's scores where every window has moved as its average latent has, and the mean reconstructions."""
        scores, outputs = [], []
        for latent in latents:
            places = np.flatnonzero(latent != average.astype(np.float32))
            there = some.latent.copy()
            there[:, places] = latent[places]
            output = decoder.decode(there)
            error = (some.reconstruction - output)[:, :, -late:] @ weights
            squared = np.square(some.windows - output).mean((1, 2)) - before.mean_error
            changed = Summary(
                summary.error + error.mean(0, dtype=np.float64),
                summary.level,
                latent[None].astype(np.float64),
                np.maximum(summary.mean_error + squared.mean(dtype=np.float64), 0.0),
            )
            scores.append(detector.scorer.combine(detector.scorer.parts(changed))[0])
            outputs.append(output.mean(0))
        return np.array(scores), np.stack(outputs)

    return explained_latents(
        average,
        detector.normal_latents,
        score,
        some.reconstruction.mean(0),
        moved=moved,
        decoded=decoder.decode,
        most=LATENTS,
    )
