"""Images in a file read like an array, and memory holds no more of them than was asked for."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vae_pipeline.features.stored_images import StoredImages, storing


def store_images(path, images, count, size):
    with storing(path, count, size) as store:
        for image in images:
            store(image)


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    path = tmp_path_factory.mktemp("stored") / "images.npy"
    images = np.random.default_rng(0).integers(0, 256, (7, 4, 4, 3), dtype=np.uint8)
    store_images(path, iter(images), len(images), 4)
    return path, images


def test_what_was_written_one_by_one_is_an_ordinary_npy_file(stored):
    path, images = stored
    np.testing.assert_array_equal(np.load(path), images)


@given(
    st.one_of(
        st.integers(-7, 6),
        st.slices(7),
        st.lists(st.integers(-7, 6), max_size=9).map(lambda places: np.array(places, dtype=np.int64)),
        st.lists(st.booleans(), min_size=7, max_size=7).map(np.array),
    )
)
def test_every_index_gives_what_the_array_gives(stored, index):
    path, images = stored
    np.testing.assert_array_equal(StoredImages(path)[index], images[index])


def test_it_knows_its_shape_and_what_it_gives_is_a_copy(stored):
    path, images = stored
    opened = StoredImages(path)
    assert (len(opened), opened.shape, opened.dtype) == (7, (7, 4, 4, 3), np.uint8)
    opened[0][:] = 0
    np.testing.assert_array_equal(opened[0], images[0])


def test_images_of_any_memory_layout_are_written_row_by_row(stored, tmp_path):
    _, images = stored
    store_images(tmp_path / "turned.npy", (np.asfortranarray(image) for image in images), 7, 4)
    np.testing.assert_array_equal(StoredImages(tmp_path / "turned.npy")[:], images)


@pytest.mark.parametrize("content", [b"", b"no array"])
def test_a_file_that_is_no_array_is_an_error(tmp_path, content):
    (tmp_path / "images.npy").write_bytes(content)
    with pytest.raises((ValueError, EOFError)):
        StoredImages(tmp_path / "images.npy")


def test_reading_all_images_leaves_none_of_them_mapped(tmp_path):
    size = 64
    image = np.full((size, size, 3), 7, dtype=np.uint8)
    store_images(tmp_path / "many.npy", (image for _ in range(200)), 200, size)
    opened = StoredImages(tmp_path / "many.npy")
    assert all((opened[[number]] == 7).all() for number in range(200))
    assert "many.npy" not in Path("/proc/self/maps").read_text()
