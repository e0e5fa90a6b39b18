"""The exported network of pairs in ONNX Runtime, and what each line's own calibration sees of it."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from vae_pipeline.calibration.maps import ImageObservation
from vae_pipeline.calibration.scorers import Observation
from vae_pipeline.detector.session import BATCH, NetworkSession
from vae_pipeline.features.windows import Windows

__all__ = ["PAIR_BATCH", "ImageView", "PairObservation", "PairSession", "WindowView"]

PAIR_BATCH = 16
"""Pairs a call: an image takes most of the time."""


SHARED = 64
"""Windows that are shown beside one and the same image while windows are calibrated."""


class PairObservation(NamedTuple):
    """What the network makes of a batch of pairs; a modality that was missing is None."""

    windows: Observation | None
    images: ImageObservation | None


class PairSession(NetworkSession):
    """Runs ``model.onnx`` of a network of pairs.

    Latents are told apart by whose they were when training began: those before ``split`` are the window's.
    """

    @property
    def window_shape(self) -> tuple[int, int]:
        """Channels and rows of a window."""
        _, channels, time = self._shape("windows")
        return channels, time

    @property
    def size(self) -> int:
        """Pixels on a side."""
        return self._shape("images")[1]

    def _shape(self, name: str) -> tuple[int, ...]:
        return next(tuple(given.shape) for given in self._session.get_inputs() if given.name == name)

    def observe_pairs(
        self,
        windows: np.ndarray | None,
        images: np.ndarray | None,
        split: int,
        *,
        pairs: np.ndarray | None = None,
        only: str | None = None,
    ) -> PairObservation:
        """Reconstructions, latents and segmentation of pairs.

        Args:
            windows: scaled, shape (n_windows, channels, time), float32; None where they are missing.
            images: uint8, shape (n_images, size, size, 3); None where they are missing.
            split: the first latent that was the image's.
            pairs: places of each pair's window and image, shape (n, 2), int64; the first with the first and so on
                when left out.
            only: ``windows`` or ``images``: what of the other would come out is not given.
        """
        there = [part is not None for part in (windows, images)]
        count = max(len(part) if part is not None else 0 for part in (windows, images))
        if pairs is None:  # one stand-in serves for all that are missing
            pairs = np.arange(count)[:, None] * np.array(there, dtype=np.int64)
        inputs = {
            "windows": np.zeros((1, *self.window_shape), dtype=np.float32) if windows is None else windows,
            "images": np.zeros((1, self.size, self.size, 3), dtype=np.uint8)
            if images is None
            else np.ascontiguousarray(images),
            "pairs": pairs,
            # windows are decoded in no time; of images one at least has to be
            "shown": np.arange(1 if images is None or only == "windows" else len(pairs)),
            "present": np.tile(np.array(there, dtype=np.float32), (len(pairs), 1)),
        }
        names = ["latent"]
        if windows is not None and only != "images":
            names.append("reconstructed_windows")
        if images is not None and only != "windows":
            names += ["reconstructed_images", *(["segmentation"] if self.has_head else [])]
        found = dict(zip(names, self._session.run(names, inputs), strict=True))
        latent = found["latent"]
        return PairObservation(
            Observation(windows[pairs[:, 0]], found["reconstructed_windows"], latent[:, :split])
            if windows is not None and "reconstructed_windows" in found
            else None,
            ImageObservation(
                images[pairs[:, 1]], found["reconstructed_images"], latent[:, split:], found.get("segmentation")
            )
            if images is not None and "reconstructed_images" in found
            else None,
        )


class WindowView(NetworkSession):
    """The network of pairs as a network of windows, whose partners are given images or missing."""

    def __init__(self, session: PairSession, split: int, partners: np.ndarray | None = None) -> None:
        """``partners``: normal images that windows are shown with in turn, uint8 (n, size, size, 3)."""
        super().__init__(session.path)
        self.pairs, self.split, self.partners = session, split, partners
        self._next = 0

    def observe(self, windows: np.ndarray) -> Observation:
        """Reconstruction and latents of scaled windows, shape (n, channels, time), float32."""
        pairs = np.zeros((len(windows), 2), dtype=np.int64)
        pairs[:, 0] = np.arange(len(windows))
        partner = None
        if self.partners is not None:
            partner = self.partners[[self._next % len(self.partners)]]
            self._next += 1
        found = self.pairs.observe_pairs(windows, partner, self.split, pairs=pairs, only="windows").windows
        assert found is not None  # noqa: S101 - windows were given
        return found

    def batches(self, windows: Windows) -> Iterator[Observation]:
        """Observations of all windows in order."""
        for batch in windows.batches(SHARED if self.partners is not None else BATCH):
            yield self.observe(batch)


class ImageView(NetworkSession):
    """The network of pairs as a network of images, whose partners are given windows or missing."""

    def __init__(self, session: PairSession, split: int, partners: np.ndarray | None = None) -> None:
        """``partners``: normal windows, scaled, that images are shown with in turn, shape (n, channels, time)."""
        super().__init__(session.path)
        self.pairs, self.split, self.partners = session, split, partners

    @property
    def has_head(self) -> bool:  # type: ignore[override]
        """Whether the network segments images."""
        return self.pairs.has_head

    def observe_images(self, images: np.ndarray) -> ImageObservation:
        """Reconstruction, latents and segmentation of images, uint8 (n, size, size, 3)."""
        partners = None
        if self.partners is not None:
            partners = self.partners[np.arange(len(images)) % len(self.partners)]
        found = self.pairs.observe_pairs(partners, images, self.split, only="images").images
        assert found is not None  # noqa: S101 - images were given
        return found
