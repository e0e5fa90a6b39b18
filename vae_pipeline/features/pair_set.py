"""A features folder of pairs, opened: windows and images of a part that belong together, and what is known of each."""

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vae_pipeline.errors import DataError
from vae_pipeline.features.feature_set import FeatureSet
from vae_pipeline.features.image_set import ImageSet
from vae_pipeline.features.stored_images import Pixels
from vae_pipeline.features.windows import Windows
from vae_pipeline.records import Dataset, Part

__all__ = ["GROUPS", "PairSet", "Paired"]

GROUPS = ("none", "window", "image", "both")
"""What is anomalous in a pair, in the order of 1 for the window plus 2 for the image."""


@dataclass(frozen=True, eq=False)
class Paired:
    """Pairs, one window and one image each.

    Attributes:
        windows: of each pair.
        images: places of each pair's image in ``pixels``, shape (n,), int64.
        pixels: uint8, shape (n_images, size, size, 3).
        window_label, image_label: 1 anomalous, 0 normal, -1 unknown, shape (n,), int8.
        unit: code of the window's unit, shape (n,), int32.
    """

    windows: Windows
    images: np.ndarray
    pixels: Pixels
    window_label: np.ndarray
    image_label: np.ndarray
    unit: np.ndarray

    def __len__(self) -> int:
        return len(self.images)

    @property
    def label(self) -> np.ndarray:
        """1 where either is anomalous, 0 where both are normal, -1 where that is not known, shape (n,), int8."""
        either = (self.window_label == 1) | (self.image_label == 1)
        neither = (self.window_label == 0) & (self.image_label == 0)
        return np.where(either, 1, np.where(neither, 0, -1)).astype(np.int8)

    @property
    def group(self) -> np.ndarray:
        """What is anomalous, an index into `GROUPS`, shape (n,); where a label is unknown it counts as normal."""
        return (self.window_label == 1).astype(np.int64) + 2 * (self.image_label == 1)

    def subset(self, index: np.ndarray) -> "Paired":
        """Some of the pairs."""
        return Paired(
            self.windows.subset(index),
            self.images[index],
            self.pixels,
            self.window_label[index],
            self.image_label[index],
            self.unit[index],
        )


@dataclass(frozen=True, eq=False)
class PairSet:
    """Pairs of all parts, with the features, networks and detectors of the two lines they come from.

    Attributes:
        folder: where it was opened.
        windows: features of the line timeseries.
        images: features of the line vision.
        datasets: the catalogue's entries of both, by ``windows`` and ``images``.
        starts: first row of each pair's window, by part, shape (n,), int64.
        places: of each pair's image, by part, shape (n,), int64.
        keyed: whether pairs are stated by a key, rather than drawn.
    """

    folder: Path
    windows: FeatureSet
    images: ImageSet
    datasets: dict[str, Dataset]
    starts: dict[str, np.ndarray]
    places: dict[str, np.ndarray]
    keyed: bool

    @classmethod
    def open(cls, folder: Path) -> "PairSet":
        """Open what `build_pairs` wrote.

        Raises:
            DataError: a file is missing or cannot be read; the message names it.
        """
        try:
            about = json.loads((folder / "pairs.json").read_text())
            with np.load(folder / "pairs.npz", allow_pickle=False) as arrays:
                starts, places = (
                    {part: arrays[f"{part}.{name}"] for part in ("fit", "calibrate", "test")}
                    for name in ("start", "image")
                )
            datasets = {name: Dataset.model_validate(entry) for name, entry in about["datasets"].items()}
            keyed = bool(about["keyed"])
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            msg = f"{folder}: no usable features folder of pairs ({error}); materialize the features again"
            raise DataError(msg) from error
        return cls(
            folder=folder,
            windows=FeatureSet.open(folder / "windows"),
            images=ImageSet.open(folder / "images"),
            datasets=datasets,
            starts=starts,
            places=places,
            keyed=keyed,
        )

    def paired(self, part: Part) -> Paired:
        """The pairs of a part, in order."""
        windows = Windows(self.windows.rows, self.starts[part], self.windows.length)
        places = self.places[part]
        return Paired(
            windows,
            places,
            self.images.pixels,
            self.windows.labels(windows),
            self.images.label[places],
            self.windows.units(windows),
        )

    def network(self, modality: str) -> Path:
        """Folder of the network of a line, ``windows`` or ``images``: weights, shape and training parameters."""
        return self.folder / "networks" / modality

    def detector(self, modality: str) -> Path:
        """Folder of the detector of a line."""
        return self.folder / "detectors" / modality
