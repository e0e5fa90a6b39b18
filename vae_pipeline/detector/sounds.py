"""A detector of recordings: a clip becomes log-mel frames, and its score is that of its windows' average.

Its explanations name mel bands.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from vae_pipeline.calibration.clips import ClipScorer
from vae_pipeline.calibration.scorers import Observation, averaged
from vae_pipeline.detector.description import WindowDescription
from vae_pipeline.detector.detector import Judged, Progress, Scores
from vae_pipeline.detector.explained import Named
from vae_pipeline.detector.explained_clips import explain_clip
from vae_pipeline.detector.scaled import ScaledDetector
from vae_pipeline.detector.session import NetworkSession
from vae_pipeline.errors import DetectorError
from vae_pipeline.explanation.explanation import Explanation
from vae_pipeline.features.clips import decode_clip, read_clip
from vae_pipeline.features.log_mel import log_mel
from vae_pipeline.features.windows import Windows
from vae_pipeline.records import Sound

__all__ = ["Clip", "SoundDetector", "observed_units"]

Clip = Path | tuple[str, bytes]
"""A wav file, or a name with the content of one."""


class SoundDetector(ScaledDetector[ClipScorer]):
    """A calibrated detector of recordings; its sensors are mel bands."""

    @staticmethod
    def scorer_of(arrays: dict[str, np.ndarray], description: WindowDescription) -> ClipScorer:
        """The scorer of clips."""
        return ClipScorer.from_arrays(arrays, description.late, description.form)

    @property
    def sound(self) -> Sound:
        """How a recording becomes frames."""
        if self.description.sound is None:
            msg = f"{self.description.name}: detector.json says nothing of 'sound'; register the detector again"
            raise DetectorError(msg)
        return self.description.sound

    def score_clips(self, clips: Iterable[Clip], progress: Progress | None = None) -> Scores:
        """Scores of wav files, or of names with the content of wav files, one at a time.

        Raises:
            DataError: a clip cannot be read or has another rate; the message names it.
            DetectorError: a clip is shorter than a window.
        """
        values = []
        for clip in clips:
            values.append(self._score(*self._samples(clip)))
            if progress:
                progress(1)
        return self.scores(np.array(values, dtype=np.float64))

    def explain_clips(self, clips: Iterable[Clip]) -> list[Explanation]:
        """Why each of some wav files has its score: which mel bands, and when.

        Raises:
            DataError, DetectorError: as `score_clips` does.
        """
        found = []
        for clip in clips:
            name, samples = self._samples(clip)
            found.append(explain_clip(self, self.windows_of(name, samples), Named(Path(name).name, name)))
        return found

    def _samples(self, clip: Clip) -> tuple[str, np.ndarray]:
        """Name and samples of a clip."""
        if isinstance(clip, Path):
            return str(clip), read_clip(clip, self.sound)
        return clip[0], decode_clip(clip[1], clip[0], self.sound)

    def score_waves(self, waves: np.ndarray) -> Scores:
        """Scores of clips of equal length as samples, (n_clips, samples), full scale 1, at the detector's rate.

        Raises:
            DetectorError: the shape is another, a sample is not finite, or a clip is shorter than a window.
        """
        if waves.ndim != 2 or not np.isfinite(waves).all():
            msg = f"waves have shape {waves.shape}; {self.description.name} reads finite samples (n_clips, samples)"
            raise DetectorError(msg)
        values = [self._score(f"clip {number}", wave.astype(np.float32)) for number, wave in enumerate(waves)]
        return self.scores(np.array(values, dtype=np.float64))

    def score_units(self, windows: Windows, units: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The clips that scaled windows belong to, in rising order of their codes, and their scores.

        Args:
            windows: over scaled frames.
            units: code of each window's clip, shape (n_windows,).
        """
        codes, judged = self.judged(windows, units)
        return codes, judged.score

    def judged(self, windows: Windows, units: np.ndarray) -> tuple[np.ndarray, Judged]:
        """What `score_units` gives, with the latents of each clip."""
        codes, summary = averaged(observed_units(self.session, windows, units), self.scorer.late)
        return codes, Judged(self.scorer.combine(self.scorer.parts(summary)), summary.latent.astype(np.float32))

    def _score(self, name: str, samples: np.ndarray) -> float:
        windows = self.windows_of(name, samples)
        return float(self.score_units(windows, np.zeros(len(windows), dtype=np.int64))[1][0])

    def windows_of(self, name: str, samples: np.ndarray) -> Windows:
        """The windows of a clip's samples, over its scaled frames.

        Raises:
            DetectorError: the clip is shorter than a window; the message calls it ``name``.
        """
        levels = log_mel(samples, self.sound)
        length = self.description.window
        if len(levels) < length:
            msg = f"{name}: {len(levels)} frames are fewer than a window of {length}; give a longer recording"
            raise DetectorError(msg)
        rows = self.scaler.transform(levels, np.empty((len(levels), 0)))
        return Windows(rows, Windows.starts_of(0, len(rows), length, self.description.stride), length)


def observed_units(
    session: NetworkSession, windows: Windows, units: np.ndarray
) -> Iterator[tuple[Observation, np.ndarray]]:
    """Observations of all windows with the code of each one's unit."""
    done = 0
    for batch in session.batches(windows):
        yield batch, units[done : done + len(batch.windows)]
        done += len(batch.windows)
