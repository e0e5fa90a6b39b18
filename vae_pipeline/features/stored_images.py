"""Images kept at training size in one file, and read from it as they are asked for."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["Pixels", "StoredImages", "storing"]


class StoredImages:
    """Images of an ``.npy`` file, indexed as an array is; memory holds no more of them than was asked for last.

    The file is mapped for each request alone: a mapping that stays counts every page ever touched as the process's.

    Attributes:
        path: the file.
        shape: (n_images, size, size, 3).
        dtype: uint8.
    """

    def __init__(self, path: Path) -> None:
        """Look at the file's header.

        Raises:
            OSError, ValueError, EOFError: it is missing, or no ``.npy`` file.
        """
        self.path = path
        mapped = self._mapped()
        self.shape, self.dtype = mapped.shape, mapped.dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> np.ndarray:
        return np.array(self._mapped()[index])

    def _mapped(self) -> np.ndarray:
        return np.load(self.path, mmap_mode="r", allow_pickle=False)


Pixels = np.ndarray | StoredImages
"""Images, uint8 (n_images, size, size, 3), in memory or in a file."""


@contextmanager
def storing(path: Path, count: int, size: int) -> Iterator[Callable[[np.ndarray], object]]:
    """What puts ``count`` images, uint8 (size, size, 3), into an ``.npy`` file, called with one after the other."""
    with path.open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (count, size, size, 3)}
        np.lib.format.write_array_header_1_0(file, header)
        yield lambda image: file.write(np.ascontiguousarray(image, dtype=np.uint8).data)
