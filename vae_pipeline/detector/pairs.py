"""A detector of pairs of a window and an image, either of which may be missing."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from vae_pipeline.calibration.fusion import PairScorer
from vae_pipeline.detector.description import PairDescription
from vae_pipeline.detector.detector import Detector, Judged, Progress, Scores, named, under
from vae_pipeline.detector.explained import Named
from vae_pipeline.detector.explained_pairs import explain_pair
from vae_pipeline.detector.images import ImageDetector
from vae_pipeline.detector.pair_session import PAIR_BATCH, ImageView, PairObservation, PairSession, WindowView
from vae_pipeline.detector.session import NetworkSession
from vae_pipeline.detector.windows import WindowDetector
from vae_pipeline.errors import DetectorError
from vae_pipeline.explanation.explanation import Explanation
from vae_pipeline.features.pair_set import Paired

__all__ = ["PairDetector", "PairScores"]


@dataclass(frozen=True)
class PairScores(Scores):
    """Scores of pairs, in nats of surprise.

    Attributes:
        windows: surprise of the window by itself, shape (n,); nan where it was missing.
        images: surprise of the image by itself, shape (n,); nan where it was missing.
    """

    windows: np.ndarray
    images: np.ndarray


class PairDetector(Detector):
    """A calibrated detector of pairs.

    Attributes:
        windows: scores windows as the network of pairs gives them back; it scales them and names their sensors.
        images: the same for images.
        scorer: both scores to one.
    """

    description: PairDescription
    session: PairSession

    def __init__(
        self,
        description: PairDescription,
        windows: WindowDetector,
        images: ImageDetector,
        scorer: PairScorer,
        session: PairSession,
        reference: Mapping[str, np.ndarray],
    ) -> None:
        super().__init__(description, session, reference)
        self.windows, self.images, self.scorer = windows, images, scorer

    @staticmethod
    def session_of(path: Path) -> NetworkSession:
        """What runs the network of pairs."""
        return PairSession(path)

    @classmethod
    def assembled(
        cls, description: PairDescription, session: NetworkSession, arrays: Mapping[str, np.ndarray]
    ) -> "PairDetector":
        """The detector of what its folder holds."""
        pairs = cast("PairSession", session)
        return cls(
            description,
            WindowDetector.assembled(
                description.windows, WindowView(pairs, description.split), under("windows.", arrays)
            ),
            ImageDetector.assembled(description.images, ImageView(pairs, description.split), under("images.", arrays)),
            PairScorer.from_arrays(under("pairs.", arrays), description.form[0]),
            pairs,
            under("reference.", arrays),
        )

    def fitted_arrays(self) -> dict[str, np.ndarray]:
        """Those of both modalities and of the score that puts them together."""
        found: dict[str, np.ndarray] = named("pairs.", self.scorer.to_arrays())
        for name, detector in (("windows.", self.windows), ("images.", self.images)):
            found |= named(name, {**detector.fitted_arrays(), **named("reference.", detector.reference)})
        return found

    def modality_scores(
        self, windows: np.ndarray | None, images: np.ndarray | None
    ) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Scores of each modality of one batch, as the network of pairs gives them back, each of shape (n,).

        Args:
            windows: scaled, shape (n, channels, time), float32; None where they are missing.
            images: as `ImageDetector.ready` gives them; None where they are missing.
        """
        return self._sides(self.session.observe_pairs(windows, images, self.description.split))

    def _sides(self, found: PairObservation) -> tuple[np.ndarray | None, np.ndarray | None]:
        return (
            None if found.windows is None else self.windows.score_observation(found.windows),
            None if found.images is None else self.images.score_observation(found.images),
        )

    def judged(self, windows: np.ndarray | None, images: np.ndarray | None) -> Judged:
        """Scores and latents of one batch, shapes as in `modality_scores`, all of one kind of pair."""
        found = self.session.observe_pairs(windows, images, self.description.split)
        score = self.scorer.combine(*self._sides(found))
        latent = [
            np.full((len(score), detector.reference["latents"].shape[1]), np.nan, np.float32)
            if side is None
            else side.latent
            for side, detector in ((found.windows, self.windows), (found.images, self.images))
        ]
        return Judged(score, np.concatenate(latent, axis=1))

    def score_scaled(
        self, windows: np.ndarray | None, images: np.ndarray | None, progress: Progress | None = None
    ) -> PairScores:
        """Scores of scaled windows and ready images, shape as in `modality_scores`, all of one kind of pair."""
        count = max(len(part) if part is not None else 0 for part in (windows, images))
        batches = (
            (None if windows is None else windows[some], None if images is None else images[some])
            for some in _batches(np.arange(count))
        )
        return self._scores(self._judged(batches, progress))

    def score_paired(self, paired: Paired, progress: Progress | None = None) -> PairScores:
        """Scores of the pairs of a part; images are read batch by batch."""
        batches = (
            (paired.windows.take(some), paired.pixels[paired.images[some]]) for some in _batches(np.arange(len(paired)))
        )
        return self._scores(self._judged(batches, progress))

    def _judged(
        self, batches: Iterable[tuple[np.ndarray | None, np.ndarray | None]], progress: Progress | None
    ) -> np.ndarray:
        """Scores and surprises by themselves of windows and of images, nan where missing, shape (3, n)."""
        found = [np.zeros((3, 0))]
        for windows, images in batches:
            seen, shown = self.modality_scores(windows, images)
            score = self.scorer.combine(seen, shown)
            missing = np.full(len(score), np.nan)
            sides = (missing if part is None else part for part in self.scorer.surprises(seen, shown))
            found.append(np.stack([score, *sides]))
            if progress:
                progress(len(score))
        return np.concatenate(found, axis=1)

    def _scores(self, judged: np.ndarray) -> PairScores:
        return PairScores(judged[0], self.decide(judged[0]), judged[1], judged[2])

    def score_pairs(
        self,
        windows: np.ndarray | None,
        images: Sequence[np.ndarray | None] | np.ndarray | None,
        progress: Progress | None = None,
    ) -> PairScores:
        """Scores of pairs in raw units; a pair whose window or image is missing is scored by the other.

        Args:
            windows: shape (n, channels, time) in raw units, channels as in ``description.windows.inputs``; a window
                that is nan throughout is missing. None where all are.
            images: uint8 (n, height, width, 3), or a sequence of such of any size with None where one is missing.
                None where all are.
            progress: called with the number of pairs just scored.

        Raises:
            DetectorError: there are not as many windows as images, a pair has neither, or a shape is another.
        """
        seen, shown = self._there(windows, images)
        count = len(seen)
        found = np.full((3, count), np.nan)
        for has_window, has_image in ((True, True), (True, False), (False, True)):
            mine = np.flatnonzero((seen == has_window) & (shown == has_image))
            batches = (
                (self._scaled(windows, some) if has_window else None, self._ready(images, some) if has_image else None)
                for some in _batches(mine)
            )
            found[:, mine] = self._judged(batches, progress)
        return self._scores(found)

    def _there(self, windows: np.ndarray | None, images: Any) -> tuple[np.ndarray, np.ndarray]:
        """Whether each pair has a window and an image, boolean (n,) each."""
        counts = {len(part) for part in (windows, images) if part is not None}
        if len(counts) != 1:
            numbers = [0 if part is None else len(part) for part in (windows, images)]
            msg = (
                f"{self.description.name}: {numbers[0]} windows and {numbers[1]} images are no pairs; give as many of "
                "each, and mark what is missing"
            )
            raise DetectorError(msg)
        count = counts.pop()
        seen = np.asarray(np.zeros(count, bool) if windows is None else ~np.isnan(windows).all((1, 2)))
        shown = np.array([images is not None and images[place] is not None for place in range(count)], dtype=bool)
        if not (seen | shown).all():
            pair = int(np.flatnonzero(~(seen | shown))[0])
            msg = f"{self.description.name}: pair {pair} has neither a window nor an image; leave it out"
            raise DetectorError(msg)
        return seen, shown

    def explain_pairs(
        self,
        windows: np.ndarray | None,
        images: Sequence[np.ndarray | None] | np.ndarray | None,
        names: Sequence[str] | None = None,
    ) -> list[Explanation]:
        """Why each of some pairs in raw units has its score; shapes as `score_pairs` takes them.

        Raises:
            DetectorError: what `score_pairs` raises.
        """
        seen, shown = self._there(windows, images)
        found = []
        for place in range(len(seen)):
            picture = None
            if shown[place]:
                came = np.asarray(images[place])  # type: ignore[index]
                picture = (*self.images.ready(came), (came.shape[0], came.shape[1]))
            window = self._scaled(windows, np.array([place]))[0] if seen[place] else None
            called = Named(names[place] if names else f"pair {place + 1}")
            found.append(explain_pair(self, window, picture, called)[0])
        return found

    def _scaled(self, windows: Any, mine: np.ndarray) -> np.ndarray:
        return self.windows.scaled_windows(windows[mine]).take(slice(None))

    def _ready(self, images: Any, mine: np.ndarray) -> np.ndarray:
        return np.stack([self.images.ready(np.asarray(images[place]))[0] for place in mine.tolist()])


def _batches(places: np.ndarray) -> Iterator[np.ndarray]:
    for first in range(0, len(places), PAIR_BATCH):
        yield places[first : first + PAIR_BATCH]
