"""Tell a copy of an image, saved or scaled again, from another image of the same product."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from vae_pipeline.errors import DataError

__all__ = ["LIMIT", "near_copies", "perceptual_hash"]

LIMIT = 96
"""Bits of 2,304: up to here two images are copies.

Measured on the 292 images of MVTec AD bottle (384 px) and the 140 of the aligned `sample_product` (128 px). Copies:
saved as JPEG of quality 90 at most 32 bits from their original on bottles and 42 on the sample, of quality 75 54 and
70, of quality 50 72 and 116; scaled to a half 38 and 56, by 1.5 26 and 28; 20 % darker 36 and 34, 10 % brighter, which
clips a white ground, 108 (half of them up to 67) and 54. Different images: 124 at least on bottles (one bottle taken
twice; the next pair 240, in the median 439 to the nearest), 144 on the sample (in the median 170). The usual 256 bits
cannot do it where parts lie aligned: on the sample copies reach 8 bits there and different images begin at 2; with
1,024 bits it is 42 and 42.
"""

_SIDE = 48
_FINER = 2  # the picture is brought to twice as many pixels before its frequencies are taken
_BITS = _SIDE * _SIDE
_BLOCK = 1 << 21  # comparisons at once: some MiB an array


def perceptual_hash(picture: np.ndarray) -> str:
    """ImageHash's phash of uint8 (height, width, 3), 2,304 bits as 576 hexadecimal digits.

    A bit says whether one of the 48 x 48 lowest frequencies of the grey picture lies above their median (Zauner,
    Implementation and Benchmarking of Perceptual Image Hash Functions, 2010).
    """
    import imagehash

    return str(imagehash.phash(Image.fromarray(picture), hash_size=_SIDE, highfreq_factor=_FINER))


def near_copies(
    train_hashes: Sequence[str | None], test_hashes: Sequence[str | None], limit: int = LIMIT
) -> list[tuple[int, int, int]]:
    """Test images that are copies of training images: (test index, index of the nearest training image, bits between).

    In order of the test images; of equally near training images the first. An image without a hash has no copy.

    Raises:
        DataError: a hash is not one of `perceptual_hash`.
    """
    train, trained = _words(train_hashes)
    test, tested = _words(test_hashes)
    if not len(train):
        return []
    found = []
    rows = max(1, _BLOCK // len(train))
    for start in range(0, len(test), rows):
        part = test[start : start + rows]
        bits = np.zeros((len(part), len(train)), dtype=np.uint16)
        for word in range(part.shape[1]):
            bits += np.bitwise_count(part[:, word, None] ^ train[None, :, word])
        nearest = bits.argmin(axis=1)
        distance = bits[np.arange(len(part)), nearest]
        found += [
            (int(tested[start + offset]), int(trained[nearest[offset]]), int(distance[offset]))
            for offset in np.flatnonzero(distance <= limit)
        ]
    return found


def _words(hashes: Sequence[str | None]) -> tuple[np.ndarray, np.ndarray]:
    """The hashes there are, uint64 (n, 36), and their places in the sequence, int64 (n,)."""
    places = [place for place, text in enumerate(hashes) if text is not None]
    content = [hashes[place] or "" for place in places]
    odd = next((text for text in content if len(text) != _BITS // 4), None)
    try:
        if odd is not None:
            raise ValueError(odd)
        whole = b"".join(bytes.fromhex(text) for text in content)
    except ValueError as error:
        msg = f"hash {str(error)[:20]!r} is not one of {_BITS // 4} hexadecimal digits; materialize the raw data again"
        raise DataError(msg) from error
    return np.frombuffer(whole, dtype=np.uint64).reshape(-1, _BITS // 64), np.array(places, dtype=np.int64)
