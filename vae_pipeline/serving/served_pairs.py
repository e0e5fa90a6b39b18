"""Pairs of a window and an image, either of which may be missing."""

from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from vae_pipeline.detector.detector import Judged
from vae_pipeline.detector.pairs import PairDetector
from vae_pipeline.explanation.explanation import Explanation
from vae_pipeline.features.inputs import colour_means
from vae_pipeline.serving.asked import Asked
from vae_pipeline.serving.batching import Chunk
from vae_pipeline.serving.bodies import MOST_COLUMNS, array
from vae_pipeline.serving.body import JSON, MULTIPART, Body
from vae_pipeline.serving.refused import Refused
from vae_pipeline.serving.schemas import PAIRS, WINDOW, from_json
from vae_pipeline.serving.served import Samples, Served
from vae_pipeline.serving.served_images import decoded, require_pixels, said_pixels
from vae_pipeline.serving.served_windows import windows_of

__all__ = ["ServedPairs"]

_NPY = b"\x93NUMPY"


class _Given(NamedTuple):
    """A pair as it came: its window, shape (channels, time), in raw units; its image's name and file, not decoded."""

    window: np.ndarray | None
    image: tuple[str, bytes] | None


class ServedPairs(Served[tuple[np.ndarray | None, np.ndarray | None]]):
    """A model of pairs; a chunk is one pair: the scaled window (channels, time) and the ready image."""

    READS = (JSON, MULTIPART)
    detector: PairDetector

    def samples(self, body: Body, asked: Asked) -> Samples[tuple[np.ndarray | None, np.ndarray | None]]:
        """The pairs of a body."""
        given = self._given(body)
        chunks, inputs = [], []
        channels = len(self.detector.description.windows.inputs)
        for pair in given:
            window = image = None
            means, colours = np.full(channels, np.nan), np.full(3, np.nan)
            if pair.window is not None:
                window = self.detector.windows.scaled_windows(pair.window[None]).take(slice(None))[0]
                means = pair.window.mean(axis=1)
            if pair.image is not None:
                image = self.detector.images.ready(decoded(self.detector.images, *pair.image, self.settings))[0]
                colours = colour_means(image)
            chunks.append(Chunk((window, image), 1))
            inputs.append(np.concatenate([means, colours]))
        return Samples(chunks, [{"name": f"pair {place}"} for place in range(1, len(given) + 1)], np.stack(inputs))

    def judged(self, payloads: Sequence[tuple[np.ndarray | None, np.ndarray | None]]) -> list[Judged]:
        """Scores and latents of pairs, those with the same missing sides together."""
        found: dict[int, Judged] = {}
        kinds: dict[tuple[bool, bool], list[int]] = {}
        for place, (window, image) in enumerate(payloads):
            kinds.setdefault((window is None, image is None), []).append(place)
        for (no_window, no_image), places in kinds.items():
            windows, images = ([payloads[place][side] for place in places] for side in (0, 1))
            judged = self.detector.judged(
                None if no_window else np.array(windows), None if no_image else np.array(images)
            )
            found |= zip(places, judged.split([1] * len(places)), strict=True)
        return [found[place] for place in range(len(payloads))]

    def explained(self, body: Body, asked: Asked) -> Iterator[Explanation]:
        """Why pairs have their scores, with the share of each side."""
        for place, pair in enumerate(self._given(body, asked.top), start=1):
            yield from self.detector.explain_pairs(
                None if pair.window is None else pair.window[None],
                None if pair.image is None else [decoded(self.detector.images, *pair.image, self.settings)],
                [f"pair {place}"],
            )

    def _given(self, body: Body, top: int | None = None) -> list[_Given]:
        """The first ``top`` pairs, or all."""
        self.require_type(body)
        found = self._of_json(body.content, top) if body.content_type == JSON else [self._of_form(body)]
        files = [pair.image for pair in found if pair.image is not None]
        images = self.detector.images
        require_pixels(images, said_pixels(images, files, self.settings), "pairs", self.settings)
        return found

    def _of_json(self, content: bytes, top: int | None) -> list[_Given]:
        pairs = from_json(PAIRS, content, names=2 * self.settings.max_samples + MOST_COLUMNS).pairs
        self.require_few(len(pairs), "pairs")
        windows = [self._window(f"pairs.{place}", pair.window, pair.image) for place, pair in enumerate(pairs)]
        return [
            _Given(window, None if pair.image is None else _decoded(pair.image, f"pairs.{place}.image"))
            for place, (window, pair) in enumerate(zip(windows[:top], pairs, strict=False))
        ]

    def _of_form(self, body: Body) -> _Given:
        parts = {field: content for field, _, content in body.files}
        unknown = set(parts) - {"window", "image"}
        if unknown or len(parts) < len(body.files) or not parts:
            msg = "form: a pair has the parts window (npy or JSON, [channel][time]) and image, each at most once"
            raise Refused(422, msg, min(unknown, default="form"))
        window = None
        if "window" in parts:
            if parts["window"].startswith(_NPY):
                window = array(parts["window"], field="window", most=self.settings.max_body // 4)
            else:
                window = from_json(WINDOW, parts["window"], names=MOST_COLUMNS, within="window")
        image = parts.get("image")
        return _Given(self._window("pair", window, image), None if image is None else ("pair.image", image))

    def _window(self, field: str, window: object, image: object) -> np.ndarray | None:
        """The window of a pair, shape (channels, time), if it has one."""
        if window is None and image is None:
            msg = f"{field}: has neither a window nor an image; send at least one of them"
            raise Refused(422, msg, field)
        if window is None:
            return None
        try:
            return windows_of(
                [window] if isinstance(window, list) else np.asarray(window)[None], self.detector.windows
            )[0]
        except Refused as error:
            raise Refused(error.status, f"{field}: {error.message}", f"{field}.window") from error


def _decoded(text: str, field: str) -> tuple[str, bytes]:
    """What an image is called and its file."""
    try:
        return field, b64decode(text, validate=True)
    except (Base64Error, ValueError) as error:
        msg = f"{field}: is no base64 ({error}); encode the image file"
        raise Refused(422, msg, field) from error
