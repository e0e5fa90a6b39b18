"""A features folder of images, opened: pixels at training size, parts, labels, masks."""

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vae_pipeline.errors import DataError
from vae_pipeline.features.pictures import decode_mask, resized
from vae_pipeline.features.registration import Placement, Registration, restored, straightened
from vae_pipeline.features.stored_images import Pixels, StoredImages
from vae_pipeline.records import Part

__all__ = ["ImageSet"]


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images of all parts; pixels stay on disk until they are read.

    Attributes:
        folder: where it was opened.
        pixels: uint8, shape (n_images, size, size, 3).
        names: of the images, as in the raw folder.
        part: ``fit``, ``calibrate`` or ``test``, shape (n_images,).
        label: 1 anomalous, 0 normal, -1 unknown, shape (n_images,), int8.
        defects: type of defect, ``good`` where there is none.
        shapes: height and width of each image as it came, shape (n_images, 2).
        masks: file of each image's mask in ``folder``, None where there is none.
        placements: how the object lay in each image before it was straightened, None where it was left as it came.
        registration: what straightened them, None where they were left as they came.
        max_pixels: larger masks are refused.
    """

    folder: Path
    pixels: Pixels
    names: tuple[str, ...]
    part: np.ndarray
    label: np.ndarray
    defects: tuple[str, ...]
    shapes: np.ndarray
    masks: tuple[str | None, ...]
    placements: tuple[Placement | None, ...]
    registration: Registration | None
    max_pixels: int

    @classmethod
    def open(cls, folder: Path) -> "ImageSet":
        """Open what `build` wrote.

        Raises:
            DataError: a file is missing or cannot be read; the message names it.
        """
        try:
            about = json.loads((folder / "images.json").read_text())
            entries = about["images"]
            return cls(
                folder=folder,
                pixels=StoredImages(folder / "images.npy"),
                names=tuple(entry["name"] for entry in entries),
                part=np.array([entry["part"] for entry in entries]),
                label=np.array([entry["label"] for entry in entries], dtype=np.int8),
                defects=tuple(entry["defect"] for entry in entries),
                shapes=np.array([entry["shape"] for entry in entries], dtype=np.int64).reshape(-1, 2),
                masks=tuple(entry["mask"] for entry in entries),
                placements=tuple(Placement(*entry["placement"]) if "placement" in entry else None for entry in entries),
                registration=_registration(folder) if about["registered"] else None,
                max_pixels=about["max_pixels"],
            )
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            msg = f"{folder}: no usable features folder of images ({error}); materialize the features again"
            raise DataError(msg) from error

    @property
    def size(self) -> int:
        """Pixels on a side."""
        return self.pixels.shape[1]

    def index(self, part: Part) -> np.ndarray:
        """The images of a part, in order, shape (n,), int64."""
        return np.flatnonzero(self.part == part)

    def lying(self, image: int, score_map: np.ndarray) -> np.ndarray:
        """A map of the stored image, (size, size), as it lies on the image that came."""
        return restored(score_map, self.placements[image])

    def as_it_came(self, image: int) -> np.ndarray:
        """A stored image as its object lay, uint8 (size, size, 3)."""
        pixels = self.pixels[image]
        return np.stack([self.lying(image, pixels[:, :, colour]) for colour in range(3)], axis=2).astype(np.uint8)

    def stored_mask(self, image: int) -> np.ndarray | None:
        """The mask as it lies on the stored image, boolean (size, size); None where it is not known."""
        mask, placement = self.mask(image), self.placements[image]
        if mask is None or placement is None:
            return mask
        small = resized(np.repeat(mask[:, :, None], 3, 2).astype(np.uint8) * 255, self.size)
        return straightened(small, placement)[:, :, 0] > 127

    def mask(self, image: int) -> np.ndarray | None:
        """Where an image is anomalous, boolean (height, width) at its own size; None where that is not known."""
        file = self.masks[image]
        if file is not None:
            return decode_mask(self.folder / file, self.max_pixels)
        if self.label[image] == 0:
            return np.zeros(tuple(self.shapes[image]), dtype=bool)
        return None


def _registration(folder: Path) -> Registration:
    with np.load(folder / "registration.npz", allow_pickle=False) as arrays:
        return Registration.from_arrays(dict(arrays))
