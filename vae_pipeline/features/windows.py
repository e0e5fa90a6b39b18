"""Windows as views over rows: nothing is copied before a batch is asked for."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

__all__ = ["Windows", "evenly"]


def evenly(count: int, most: int) -> np.ndarray:
    """At most ``most`` of ``count`` places, evenly spaced, shape (places,), int64."""
    return np.linspace(0, count - 1, min(most, count)).astype(np.int64)


@dataclass(frozen=True, eq=False)
class Windows:
    """An index of windows over a rows array.

    Attributes:
        rows: scaled rows, shape (n_rows, channels), float32, possibly memory-mapped.
        starts: offset of each window's first row, shape (n_windows,), int64.
        length: rows in a window.

    A unit of N rows gives ``(N - length) // stride + 1`` windows, none when N < length; windows never cross units.
    """

    rows: np.ndarray
    starts: np.ndarray
    length: int

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def channels(self) -> int:
        """Number of sensors."""
        return self.rows.shape[1]

    @property
    def ends(self) -> np.ndarray:
        """Offset of each window's last row, shape (n_windows,)."""
        return self.starts + (self.length - 1)

    @staticmethod
    def starts_of(start: int, stop: int, length: int, stride: int = 1) -> np.ndarray:
        """Offsets of the windows of one unit whose rows are ``rows[start:stop]``."""
        return np.arange(start, stop - length + 1, stride, dtype=np.int64)

    def take(self, index: np.ndarray | slice) -> np.ndarray:
        """The windows at ``index``, shape (n, channels, length), float32, a copy."""
        starts = self.starts[index]
        if len(starts) == 0:  # rows may be fewer than one window, of which no view can be made
            return np.empty((0, self.channels, self.length), dtype=np.float32)
        view = sliding_window_view(self.rows, self.length, axis=0)
        return np.ascontiguousarray(view[starts], dtype=np.float32)

    def subset(self, index: np.ndarray | slice) -> "Windows":
        """The index restricted to some windows; ``index`` is boolean or integer."""
        return Windows(self.rows, self.starts[index], self.length)

    def evenly(self, most: int) -> "Windows":
        """At most ``most`` windows, evenly spaced over all of them."""
        if len(self) <= most:
            return self
        return self.subset(evenly(len(self), most))

    def batches(self, size: int = 1024) -> Iterator[np.ndarray]:
        """All windows in order, in arrays of shape (at most ``size``, channels, length)."""
        for first in range(0, len(self), size):
            yield self.take(slice(first, first + size))
