"""From the scores of a window and of an image to one score of the pair, whichever of the two are there.

Each score is first told as surprise, by normal calibration pairs; the two are put together (`FORMS`), and what comes
out is told as surprise again. So a score means the same, nats of surprise of a normal pair, when both are there and
when one is missing, and one threshold holds for all.

``sum`` is Fisher's (Statistical methods for research workers, 1925): evidence in both adds up. ``largest`` lets the
more surprising of the two speak alone, as suits anomalies that show in one of them (L. H. C. Tippett, 1931).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from vae_pipeline.calibration.surprise import Surprise

__all__ = ["FORMS", "PairScorer"]

FORMS = ("sum", "largest")
_SCALES = ("windows", "images", "both", "windows_alone", "images_alone")


@dataclass(frozen=True)
class PairScorer:
    """Scores of a window and of an image to a score of the pair.

    Attributes:
        form: one of `FORMS`.
        windows, images: surprise of either score where both are there.
        both: surprise of what they come to together.
        windows_alone, images_alone: surprise of either score where the other is missing.
    """

    form: str
    windows: Surprise
    images: Surprise
    both: Surprise
    windows_alone: Surprise
    images_alone: Surprise

    @staticmethod
    def fit(
        form: str, together: tuple[np.ndarray, np.ndarray], windows_alone: np.ndarray, images_alone: np.ndarray
    ) -> "PairScorer":
        """The scorer of normal calibration pairs.

        Args:
            form: one of `FORMS`.
            together: scores of the windows and of the images of normal pairs, each of shape (n,).
            windows_alone: scores of normal windows without an image.
            images_alone: scores of normal images without a window.

        Raises:
            CalibrationError: there are fewer than 20 of one of them.
        """
        windows, images = (Surprise.fit(scores) for scores in together)
        combined = _combined(form, windows(together[0]), images(together[1]))
        return PairScorer(
            form, windows, images, Surprise.fit(combined), Surprise.fit(windows_alone), Surprise.fit(images_alone)
        )

    def with_form(self, form: str, together: tuple[np.ndarray, np.ndarray]) -> "PairScorer":
        """The scorer with another form; ``together`` as in `fit`."""
        combined = _combined(form, self.windows(together[0]), self.images(together[1]))
        return replace(self, form=form, both=Surprise.fit(combined))

    def surprises(
        self, windows: np.ndarray | None, images: np.ndarray | None
    ) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Surprise of each modality's scores, by itself, shape (n,); None where it is missing."""
        if windows is not None and images is not None:
            return self.windows(windows), self.images(images)
        return (
            None if windows is None else self.windows_alone(windows),
            None if images is None else self.images_alone(images),
        )

    def combine(self, windows: np.ndarray | None, images: np.ndarray | None) -> np.ndarray:
        """The score of each pair in nats, shape (n,), from the scores of those modalities that are there.

        Raises:
            ValueError: neither is.
        """
        seen, shown = self.surprises(windows, images)
        if seen is not None and shown is not None:
            return self.both(_combined(self.form, seen, shown))
        alone = shown if seen is None else seen
        if alone is None:
            msg = "a pair has neither a window nor an image"
            raise ValueError(msg)
        return alone

    def to_arrays(self) -> dict[str, np.ndarray]:
        """All arrays by name, for an ``.npz`` file."""
        return {
            f"{scale}.{name}": values for scale in _SCALES for name, values in getattr(self, scale).to_arrays().items()
        }

    @staticmethod
    def from_arrays(arrays: Mapping[str, np.ndarray], form: str) -> "PairScorer":
        """The scorer that `to_arrays` wrote."""
        scales = (
            Surprise.from_arrays(
                {name.removeprefix(f"{scale}."): arrays[name] for name in arrays if name.startswith(f"{scale}.")}
            )
            for scale in _SCALES
        )
        return PairScorer(form, *scales)


def _combined(form: str, windows: np.ndarray, images: np.ndarray) -> np.ndarray:
    return windows + images if form == "sum" else np.maximum(windows, images)
