"""The unit that is registered and served: it scores, decides and explains.

One folder: ``model.onnx``, ``decoder.onnx``, ``detector.json``, ``arrays.npz``. Evaluation, batch scoring, the MLflow
model and the services all load it through `Detector.load`, so that their scores agree by construction. It needs numpy
and onnxruntime.
"""

import shutil
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vae_pipeline.detector.description import FORMAT, DetectorDescription, read_description
from vae_pipeline.detector.session import NetworkSession
from vae_pipeline.errors import DetectorError
from vae_pipeline.explanation.latents import NormalLatents
from vae_pipeline.storage import write_json

__all__ = ["Detector", "Judged", "Progress", "Scores", "named", "under"]

Progress = Callable[[int], object]
"""Called with the number of windows, clips or images just scored."""


@dataclass(frozen=True)
class Scores:
    """Scores of windows, clips or images in order.

    Attributes:
        score: shape (n,), float64; higher is more anomalous.
        alarm: boolean, shape (n,); whether the score exceeds the threshold.
    """

    score: np.ndarray
    alarm: np.ndarray


class Judged(NamedTuple):
    """Scores with where the samples lie among latents.

    Attributes:
        score: shape (n,), float64.
        latent: posterior means, shape (n, latent), float32; nan for a modality that was missing.
    """

    score: np.ndarray
    latent: np.ndarray

    @staticmethod
    def joined(parts: "Sequence[Judged]") -> "Judged":
        """One after the other."""
        if not parts:
            return Judged(np.zeros(0), np.zeros((0, 0), np.float32))
        return Judged(*(np.concatenate(each) for each in zip(*parts, strict=True)))

    def split(self, sizes: "Sequence[int]") -> "list[Judged]":
        """Parts of so many samples each, in order; `joined` puts them together again."""
        ends = np.cumsum(sizes)[:-1]
        return [Judged(*part) for part in zip(np.split(self.score, ends), np.split(self.latent, ends), strict=True)]


class Detector(ABC):
    """A calibrated detector; each medium has its own class, which `load` gives.

    Attributes:
        description: schema, form and threshold.
        session: the network.
        reference: scores, latents, inputs and units of normal calibration samples, what the world looked like when it
            was fitted; what was not kept yet when a detector was calibrated is missing.
    """

    def __init__(
        self, description: DetectorDescription, session: NetworkSession, reference: Mapping[str, np.ndarray]
    ) -> None:
        self.description = description
        self.session = session
        self.reference = dict(reference)

    @staticmethod
    def load(folder: Path) -> "Detector":
        """The detector a folder holds, of the class that its medium asks for.

        Raises:
            DetectorError: a file is missing or not of this format; the message names it.
        """
        path = folder / "detector.json"
        try:
            description = read_description(path.read_text())
            path = folder / "arrays.npz"
            with np.load(path, allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in stored.files}
            kind = _class_of(description)
            session = kind.session_of(folder / "model.onnx")
            detector = kind.assembled(description, session, arrays)
        except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
            msg = f"{path}: cannot be used as part of a detector: {error}"
            raise DetectorError(msg) from error
        if description.format != FORMAT:
            msg = f"{path}: format {description.format} is not {FORMAT}; register the detector again"
            raise DetectorError(msg)
        if not session.path.exists():
            msg = f"{session.path}: is missing"
            raise DetectorError(msg)
        return detector

    @staticmethod
    def session_of(path: Path) -> NetworkSession:
        """What runs the network of a detector of this class."""
        return NetworkSession(path)

    @classmethod
    @abstractmethod
    def assembled(cls, description: Any, session: NetworkSession, arrays: Mapping[str, np.ndarray]) -> "Detector":
        """The detector of what its folder holds; ``description`` is of the kind that the class declares."""

    @abstractmethod
    def fitted_arrays(self) -> dict[str, np.ndarray]:
        """What was fitted, by names that tell whose they are (``scorer.…``)."""

    def save(self, folder: Path) -> None:
        """Write the folder; the network's files are copied from where they are."""
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self.session.path, folder / "model.onnx")
        if self.session.decoder:
            shutil.copyfile(self.session.decoder.path, folder / "decoder.onnx")
        np.savez(
            folder / "arrays.npz",
            allow_pickle=False,
            **self.fitted_arrays(),
            **named("reference.", self.reference),
        )
        write_json(folder / "detector.json", self.description)

    @cached_property
    def normal_latents(self) -> NormalLatents:
        """Where latents of normal calibration samples lie."""
        return NormalLatents.fit(self.reference["latents"])

    def decide(self, scores: np.ndarray) -> np.ndarray:
        """Which scores are alarms, boolean, shape as given."""
        return self.description.threshold.decide(scores)

    def scores(self, values: np.ndarray) -> Scores:
        """Scores with their decisions."""
        return Scores(values, self.decide(values))


def named(prefix: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays with ``prefix`` before their names; `under` takes it off again."""
    return {f"{prefix}{name}": value for name, value in arrays.items()}


def under(prefix: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays whose names begin with ``prefix``, without it."""
    return {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}


_CLASSES: dict[str, tuple[str, str]] = {
    "table": ("windows", "WindowDetector"),
    "sound": ("sounds", "SoundDetector"),
    "image": ("images", "ImageDetector"),
    "pair": ("pairs", "PairDetector"),
}
"""Module and class of each medium; a service of one medium loads no other."""


def _class_of(description: DetectorDescription) -> type[Detector]:
    module, name = _CLASSES[description.medium]
    return getattr(import_module(f"vae_pipeline.detector.{module}"), name)
