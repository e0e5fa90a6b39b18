"""Where in an image: connected regions of its map above a level."""

from typing import cast

import numpy as np
from scipy import ndimage

from vae_pipeline.explanation.explanation import Region

__all__ = ["MOST", "found_regions"]

MOST = 10
"""Regions that are told."""

_CORNERS_TOO = np.ones((3, 3), dtype=np.int8)


def found_regions(score_map: np.ndarray, level: float) -> tuple[tuple[Region, ...], np.ndarray]:
    """Regions of pixels above ``level``, connected over edges and corners, the one of largest mass first.

    Mass, the sum of a region's map, ranks a small spot far above the level beside a wide one just over it.

    Args:
        score_map: the higher the more anomalous, shape (height, width).
        level: what normal images stay below, above 0.

    Returns:
        At most `MOST` regions, and for every pixel the rank of its region from 1, 0 where there is none, int32
        (height, width).
    """
    labels = np.zeros(score_map.shape, dtype=np.int32)
    count = cast("int", ndimage.label(score_map > level, structure=_CORNERS_TOO, output=labels))
    if not count:
        return (), labels
    index = np.arange(1, count + 1)
    relative = score_map / level
    mass = np.atleast_1d(ndimage.sum_labels(relative, labels, index))
    order = np.argsort(-mass, kind="stable")[:MOST]
    boxes = ndimage.find_objects(labels)
    whole = float(mass.sum())
    ranks = np.zeros(count + 1, dtype=np.int32)
    regions = []
    for rank, place in enumerate(order.tolist(), start=1):
        ranks[place + 1] = rank
        rows, columns = boxes[place]
        mine = labels[rows, columns] == place + 1
        regions.append(
            Region(
                left=columns.start,
                top=rows.start,
                width=columns.stop - columns.start,
                height=rows.stop - rows.start,
                area=int(mine.sum()),
                peak=float(relative[rows, columns][mine].max()),
                mass=float(mass[place]),
                share=float(mass[place]) / whole,
            )
        )
    return tuple(regions), ranks[labels]
