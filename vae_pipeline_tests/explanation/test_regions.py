from collections import deque

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from vae_pipeline.explanation.regions import MOST, found_regions


def slow_regions(marked):
    """Pixel sets connected over edges and corners, found by walking."""
    left = {(int(row), int(column)) for row, column in zip(*np.nonzero(marked), strict=True)}
    found = []
    while left:
        start = left.pop()
        region, queue = {start}, deque([start])
        while queue:
            row, column = queue.popleft()
            for near in [(row + i, column + j) for i in (-1, 0, 1) for j in (-1, 0, 1)]:
                if near in left:
                    left.remove(near)
                    region.add(near)
                    queue.append(near)
        found.append(region)
    return found


@given(arrays(np.float32, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.sampled_from([0.0, 1.0, 3.0])))
def test_regions_are_those_of_a_slow_walk(score_map):
    regions, ranks = found_regions(score_map, 0.5)
    expected = sorted(slow_regions(score_map > 0.5), key=lambda pixels: -sum(score_map[pixel] for pixel in pixels))
    assert len(regions) == min(len(expected), MOST)
    masses = [2 * sum(float(score_map[pixel]) for pixel in pixels) for pixels in expected]
    np.testing.assert_allclose([region.mass for region in regions], masses[:MOST], rtol=1e-6)
    for rank, region in enumerate(regions, start=1):
        mine = {(int(row), int(column)) for row, column in zip(*np.nonzero(ranks == rank), strict=True)}
        assert mine in expected
        rows, columns = zip(*mine, strict=True)
        assert (region.top, region.left) == (min(rows), min(columns))
        assert (region.height, region.width) == (max(rows) - min(rows) + 1, max(columns) - min(columns) + 1)
        assert region.area == len(mine)
        assert region.peak == 2 * max(score_map[pixel] for pixel in mine)


def test_a_map_below_the_level_has_no_region():
    regions, ranks = found_regions(np.full((4, 5), 0.5, np.float32), 0.5)
    assert regions == ()
    assert not ranks.any()
    assert ranks.shape == (4, 5)


def test_shares_are_of_all_regions():
    score_map = np.zeros((5, 9), np.float32)
    score_map[1:3, 1:3], score_map[1, 7] = 2.0, 8.0
    regions, _ = found_regions(score_map, 1.0)
    assert [region.share for region in regions] == [0.5, 0.5]
    assert sorted(region.area for region in regions) == [1, 4]
