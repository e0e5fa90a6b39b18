"""A packed model that answers: bodies to samples, samples to scores and explanations."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np

from vae_pipeline.calibration.thresholds.threshold import Threshold
from vae_pipeline.detector.detector import Detector, Judged
from vae_pipeline.detector.packed import DETECTOR, EXAMPLE, PackedModel, read_packed
from vae_pipeline.errors import CalibrationError, DetectorError
from vae_pipeline.explanation.explanation import Explanation
from vae_pipeline.serving.asked import Asked
from vae_pipeline.serving.batching import Chunk
from vae_pipeline.serving.body import Body
from vae_pipeline.serving.refused import Refused
from vae_pipeline.serving.settings import ServiceSettings

__all__ = ["TOLERANCE", "Samples", "Served"]

P = TypeVar("P")

TOLERANCE = 1e-5
"""Between a score of the service and that of evaluation."""

_CLASSES: dict[str, tuple[str, str]] = {
    "table": ("served_windows", "ServedWindows"),
    "sound": ("served_clips", "ServedClips"),
    "image": ("served_images", "ServedImages"),
    "pair": ("served_pairs", "ServedPairs"),
}
"""Module and class of each medium; a service of one medium loads no other."""


@dataclass(frozen=True)
class Samples(Generic[P]):
    """What is scored of a request.

    Attributes:
        chunks: as the model takes them.
        names: what each sample is called in the answer, and in the log where it has a ``name``.
        inputs: mean of each input of each sample, shape (n, inputs), in the units they came in.
        notes: what was left out, in sentences.
    """

    chunks: Sequence[Chunk[P]]
    names: Sequence[dict[str, Any]]
    inputs: np.ndarray
    notes: tuple[str, ...] = ()


class Served(ABC, Generic[P]):
    """A packed model; each medium has its own class, which `open` gives.

    Attributes:
        packed: what was packed.
        detector: that answers.
        settings: the limits.
        folder: where it lies.
    """

    READS: tuple[str, ...] = ()
    AT_ONCE: tuple[str, ...] = ()
    """Content types of which a small body becomes samples in well under a millisecond."""
    LARGEST: int = 4
    """Samples of a batch: more of these take as many times longer, and whoever came first waits for all."""

    def __init__(self, packed: PackedModel, detector: Any, settings: ServiceSettings, folder: Path) -> None:
        self.packed, self.detector, self.settings, self.folder = packed, detector, settings, folder

    @staticmethod
    def open(folder: Path, settings: ServiceSettings) -> "Served[Any]":
        """The packed model a folder holds.

        Raises:
            DetectorError: a file is missing or not of its form; the message names it.
        """
        packed = read_packed(folder)
        module, name = _CLASSES[packed.medium]
        kind: type[Served[Any]] = getattr(import_module(f"vae_pipeline.serving.{module}"), name)
        return kind(packed, Detector.load(folder / DETECTOR), settings, folder)

    @abstractmethod
    def samples(self, body: Body, asked: Asked) -> Samples[P]:
        """What a body holds, ready to be scored; runs in a thread of its own.

        Raises:
            Refused: it cannot be read or is not what the model reads.
        """

    @abstractmethod
    def judged(self, payloads: Sequence[P]) -> list[Judged]:
        """Scores and latents of several chunks, scored together."""

    @abstractmethod
    def explained(self, body: Body, asked: Asked) -> Iterator[Explanation]:
        """Why the samples of a body have their scores, one after the other, each made when it is asked for.

        Raises:
            Refused, VaePipelineError: it cannot be read or is not what the model reads.
        """

    def require_type(self, body: Body) -> None:
        """Refuse a content type that the model does not read."""
        if body.content_type not in self.READS:
            got = body.content_type or "nothing"
            msg = f"Content-Type: {self.packed.name} reads {', '.join(self.READS)}; got {got}"
            raise Refused(415, msg, "Content-Type")

    def require_few(self, count: int, what: str) -> None:
        """Refuse a request without samples, or with more than are allowed."""
        if count == 0:
            msg = f"{what}: there are none; send at least one"
            raise Refused(422, msg, what)
        if count > self.settings.max_samples:
            msg = f"{what}: {count:,} are more than the {self.settings.max_samples:,} allowed; send fewer at once"
            raise Refused(413, msg, what)

    def threshold(self, value: float | None, false_alarm_rate: float | None) -> Threshold:
        """The model's own threshold, or the one a request asks for.

        Raises:
            Refused: both are given, or a value is not allowed.
        """
        own = self.detector.description.threshold
        if value is not None and false_alarm_rate is not None:
            msg = "threshold: give either a threshold or a false_alarm_rate, not both"
            raise Refused(422, msg, "threshold")
        if value is not None:
            stated = {"value": value, "method": "stated", "guarantee": "Stated by the request."}
            return own.model_copy(update={**stated, "false_alarm_rate": None, "parameters": {}, "warnings": ()})
        if false_alarm_rate is None:
            return own
        from vae_pipeline.calibration.thresholds.quantiles import conformal

        try:
            return conformal(self.detector.reference["scores"], false_alarm_rate)
        except CalibrationError as error:
            msg = f"false_alarm_rate: {error}"
            raise Refused(422, msg, "false_alarm_rate") from error

    def warm(self) -> None:
        """Score the example, so that the first request finds everything loaded.

        Raises:
            DetectorError: its scores are not those of evaluation; what was fitted elsewhere would not be served here.
        """
        example = self.packed.example
        if example is None:
            return
        content = (self.folder / EXAMPLE / example.file).read_bytes()
        samples = self.samples(Body(example.content_type, content), Asked(gaps=True))
        found = Judged.joined(self.judged([chunk.payload for chunk in samples.chunks])).score
        if found.shape != (len(example.scores),) or not np.allclose(found, example.scores, rtol=0.0, atol=TOLERANCE):
            said = f"scores of its example are {found.tolist()}, not {list(example.scores)}"
            msg = f"{self.packed.name}: {said}; pack it again"
            raise DetectorError(msg)
