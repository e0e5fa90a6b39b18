"""Which latents: what the score does when a latent is moved to where it normally is, and what it does to the output."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from vae_pipeline.errors import CalibrationError
from vae_pipeline.explanation.explanation import LatentEvidence

__all__ = ["NormalLatents", "explained_latents"]

_STEP = 0.01
"""Of the finite difference, in units of a latent's spread."""

_RARE = 0.99
_LEAST = 1e-3


@dataclass(frozen=True)
class NormalLatents:
    """Where latents of normal calibration samples lie.

    Attributes:
        median: shape (latent,).
        spread: distance from it that one sample in a hundred exceeds, same shape.
    """

    median: np.ndarray
    spread: np.ndarray

    @staticmethod
    def fit(latents: np.ndarray) -> "NormalLatents":
        """Statistics of latents, shape (n, latent).

        Raises:
            CalibrationError: there are none.
        """
        if not len(latents):
            msg = "explanations need a normal calibration sample; raise split.calibrate"
            raise CalibrationError(msg)
        median = np.median(latents, axis=0)
        spread = np.quantile(np.abs(latents - median), _RARE, axis=0)
        return NormalLatents(median, np.maximum(spread, _LEAST))

    def farthest(self, latent: np.ndarray, most: int) -> np.ndarray:
        """The ``most`` dimensions that lie farthest from normal for their spread, in that order."""
        return np.argsort(-np.abs(latent - self.median) / self.spread, kind="stable")[:most]


def explained_latents(
    latent: np.ndarray,
    normal: NormalLatents,
    score: float,
    output: np.ndarray,
    *,
    moved: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]],
    decoded: Callable[[np.ndarray], np.ndarray] | None,
    most: int,
) -> tuple[LatentEvidence, ...]:
    """Latents of one sample, the one whose moving lowers the score most first.

    Args:
        latent: of the sample, shape (latent,).
        normal: statistics of normal samples.
        score: of the sample.
        output: its reconstruction, shape (...).
        moved: scores (k,) and reconstructions (k, ...) of the sample with other latents, shape (k, latent).
        decoded: reconstructions of latents, (k, latent) to (k, ...), for the derivative at the sample by a small step;
            without it the derivative is the mean one on the way to normal, which takes no further decoding.
        most: dimensions that are moved, those farthest from normal.
    """
    chosen = normal.farthest(latent, most)
    places = np.arange(len(chosen))
    start = np.repeat(latent[None].astype(np.float32), len(chosen), axis=0)
    ended = start.copy()
    ended[places, chosen] = normal.median[chosen]
    scores, outputs = moved(ended)
    changes = scores - score
    if decoded:
        ended = start.copy()
        ended[places, chosen] += _STEP * normal.spread[chosen]
        output, *outputs = decoded(np.concatenate([start[:1], ended]))
    steps = np.abs(ended[places, chosen] - start[places, chosen]).astype(np.float64)
    differences = (np.stack(list(outputs)) - output).reshape(len(chosen), -1).astype(np.float64)
    norms = np.linalg.norm(differences, axis=1) / np.maximum(steps, np.finfo(np.float32).tiny)
    return tuple(
        LatentEvidence(
            dimension=int(chosen[place]),
            value=float(latent[chosen[place]]),
            normal=float(normal.median[chosen[place]]),
            change=float(changes[place]),
            jacobian=float(norms[place]),
        )
        for place in np.argsort(changes, kind="stable").tolist()
    )
