import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from vae_pipeline.errors import DataError
from vae_pipeline.features.pictures import MIN_SIDE, Header, decode_mask, decode_picture, read_header, resized
from vae_pipeline_tests.builders.pictures import picture, save

LIMIT = 1_000_000
COLOURS = picture(np.random.default_rng(3), 40)[0][:24]
GREY = COLOURS[..., 0]


def saved(image, form="PNG", **options):
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def decoded(content):
    return decode_picture(content, "part.png", LIMIT)


def png_of_size(width, height):
    """A whole PNG by its header, with the pixels of none."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def assert_one_sentence(error, *parts):
    text = str(error.value)
    assert all(part in text for part in parts), text
    assert "\n" not in text
    assert "; " in text  # what to do


@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF", "WEBP"])
def test_colours_come_out_as_they_were_saved(form):
    options = {"lossless": True} if form == "WEBP" else {}
    found = decoded(saved(Image.fromarray(COLOURS), form, **options))
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, COLOURS)


def test_a_jpeg_comes_out_as_nearly_as_it_was_saved():
    found = decoded(saved(Image.fromarray(COLOURS), "JPEG", quality=98, subsampling=0))
    assert np.abs(found.astype(int) - COLOURS).mean() < 3


def test_a_grey_image_has_three_equal_channels():
    np.testing.assert_array_equal(decoded(saved(Image.fromarray(GREY))), np.repeat(GREY[:, :, None], 3, axis=2))


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_to_eight(form):
    deep = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    found = decoded(saved(Image.fromarray(deep), form))
    np.testing.assert_array_equal(found[..., 1], np.round(deep / 257.0).astype(np.uint8))
    assert found[0, 0, 0] == 0
    assert found[-1, -1, 0] == 255


def test_a_palette_is_looked_up():
    image = Image.fromarray(COLOURS).quantize(200)
    np.testing.assert_array_equal(decoded(saved(image)), np.asarray(image.convert("RGB")))


def test_a_transparent_palette_entry_is_white():
    indices = np.zeros((20, 20), dtype=np.uint8)
    indices[5:] = 1
    image = Image.fromarray(indices)
    image = image.convert("L").convert("P")
    image.putdata(indices.ravel())
    image.putpalette([10, 20, 30, 40, 50, 60])
    found = decoded(saved(image, transparency=0))
    assert (found[:5] == 255).all()
    assert (found[5:] == [40, 50, 60]).all()


def test_transparency_is_laid_on_white_and_opaque_pixels_stay():
    alpha = np.full(GREY.shape, 255, dtype=np.uint8)
    alpha[:4], alpha[4:8] = 0, 100
    found = decoded(saved(Image.fromarray(np.dstack([COLOURS, alpha]))))
    np.testing.assert_array_equal(found[8:], COLOURS[8:])
    assert (found[:4] == 255).all()
    wanted = (COLOURS[4:8] * 100.0 + 255.0 * 155.0) / 255.0
    assert np.abs(found[4:8] - wanted).max() <= 1.0


def test_grey_with_transparency_is_laid_on_white():
    alpha = np.full(GREY.shape, 255, dtype=np.uint8)
    alpha[:4] = 0
    found = decoded(saved(Image.merge("LA", (Image.fromarray(GREY), Image.fromarray(alpha)))))
    np.testing.assert_array_equal(found[4:, :, 2], GREY[4:])
    assert (found[:4] == 255).all()


def test_one_bit_is_black_and_white():
    found = decoded(saved(Image.fromarray(GREY > 100)))
    np.testing.assert_array_equal(found[..., 0], np.where(GREY > 100, 255, 0))


def test_print_colours_become_screen_colours():
    image = Image.fromarray(COLOURS).convert("CMYK")
    np.testing.assert_array_equal(decoded(saved(image, "TIFF")), np.asarray(image.convert("RGB")))
    assert np.abs(decoded(saved(image, "JPEG", quality=98)).astype(int) - np.asarray(image.convert("RGB"))).mean() < 4


@pytest.mark.parametrize("form", ["JPEG", "TIFF", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_picture_stands_upright(tmp_path, form, orientation):
    block = np.zeros((40, 64, 3), dtype=np.uint8)
    block[:16, :24] = 255  # top left as the sensor saw it
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = saved(Image.fromarray(block), form, exif=exif)
    found = decoded(content)
    wanted = np.rot90(block, {1: 0, 3: 2, 6: -1, 8: 1}[orientation])
    assert found.shape == wanted.shape
    assert np.abs(found.astype(int) - wanted).mean() < 8
    file = tmp_path / "turned"
    file.write_bytes(content)
    assert read_header(file) == Header(wanted.shape[1], wanted.shape[0], "RGB", form)


def test_the_header_tells_size_and_form(tmp_path):
    file = save(tmp_path / "deep.png", np.zeros((20, 30), dtype=np.uint16))
    assert read_header(file) == Header(30, 20, "I;16", "PNG")


def test_a_file_is_decoded_like_its_content(tmp_path):
    file = save(tmp_path / "part.png", COLOURS)
    np.testing.assert_array_equal(decode_picture(file, "part.png", LIMIT), decoded(file.read_bytes()))


@pytest.mark.parametrize("form", ["PNG", "JPEG", "BMP", "TIFF", "WEBP"])
def test_a_file_that_was_cut_off_is_refused(form):
    content = saved(Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)), form)
    with pytest.raises(DataError) as error:
        decoded(content[: len(content) // 2])
    assert_one_sentence(error, "part.png")


def test_a_large_image_is_refused_by_its_header():
    content = png_of_size(20_000, 20_000)  # Pillow's own limit would raise here
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(DataError) as error:
            decode_picture(content, "huge.png", 50_000_000)
    assert_one_sentence(error, "huge.png", "20000 x 20000", "imaging.max_pixels = 50000000")


def test_the_stated_limit_holds_beyond_pillows_own():
    content = png_of_size(20_000, 20_000)
    with pytest.raises(DataError, match="cut off"):  # it is tried, as the limit allows it
        decode_picture(content, "huge.png", 500_000_000)


def test_the_limit_itself_is_allowed():
    content = saved(Image.fromarray(COLOURS))
    assert decode_picture(content, "a.png", COLOURS.shape[0] * COLOURS.shape[1]).shape == COLOURS.shape
    with pytest.raises(DataError, match="40 x 24"):
        decode_picture(content, "a.png", COLOURS.shape[0] * COLOURS.shape[1] - 1)


@pytest.mark.parametrize("shape", [(1, 1), (MIN_SIDE - 1, 100), (100, MIN_SIDE - 1)])
def test_a_tiny_image_is_refused(shape):
    with pytest.raises(DataError) as error:
        decoded(saved(Image.fromarray(np.zeros(shape, dtype=np.uint8))))
    assert_one_sentence(error, "part.png", f"{shape[1]} x {shape[0]}")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is empty"),
        (b"hello, I am a text", "is no PNG"),
        (saved(Image.fromarray(GREY), "GIF"), "is no PNG"),
        (b"\x89PNG\r\n\x1a\n", "cut off or damaged"),
        (b"\xff\xd8\xff\xe0", "cut off or damaged"),
        (b"BM", "cut off or damaged"),
        (b"II\x2a\x00", "cut off or damaged"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "cut off or damaged"),
        (saved(Image.fromarray(GREY.astype(np.float32)), "TIFF"), "floats"),
        (saved(Image.fromarray(GREY.astype(np.int32) * 1_000_000), "TIFF"), "32 bits"),
    ],
)
def test_what_is_no_image_is_refused(content, told):
    with pytest.raises(DataError) as error:
        decoded(content)
    assert_one_sentence(error, "part.png", told)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(DataError) as error:
        decode_picture(tmp_path / "gone.png", "gone.png", LIMIT)
    assert_one_sentence(error, "gone.png", "No such file")


CONTENTS = [
    saved(Image.fromarray(COLOURS), "PNG"),
    saved(Image.fromarray(COLOURS), "JPEG"),
    saved(Image.fromarray(COLOURS), "BMP"),
    saved(Image.fromarray(COLOURS), "TIFF", compression="tiff_deflate"),
    saved(Image.fromarray(COLOURS), "WEBP"),
    saved(Image.fromarray(COLOURS).quantize(16), "PNG", transparency=3),
]


@given(st.sampled_from(CONTENTS), st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), min_size=1, max_size=6))
@settings(max_examples=300, deadline=None)
@pytest.mark.filterwarnings("ignore")
def test_damage_gives_a_picture_or_one_sentence(content, changes):
    broken = bytearray(content)
    for where, value in changes:
        broken[int(where * len(broken))] = value
    try:
        found = decoded(bytes(broken))
    except DataError as error:
        assert str(error).startswith("part.png: ")  # noqa: PT017
    else:
        assert found.dtype == np.uint8
        assert found.ndim == 3
        assert found.shape[2] == 3


def test_resizing_averages_what_is_finer_than_a_pixel():
    stripes = np.zeros((256, 256, 3), dtype=np.uint8)
    stripes[:, ::2] = 200
    small = resized(stripes, 32)
    assert small.shape == (32, 32, 3)
    assert small.dtype == np.uint8
    assert np.abs(small[2:-2, 2:-2].astype(int) - 100).max() <= 2


@given(st.integers(16, 200), st.integers(16, 200), st.sampled_from([16, 32, 64]))
@settings(max_examples=40, deadline=None)
def test_resizing_keeps_a_ramp_where_it_is(height, width, size):
    row, column = np.mgrid[:height, :width]
    ramp = np.dstack([row / height * 200, column / width * 200, np.full((height, width), 77)]).astype(np.uint8)
    small = resized(ramp, size)
    assert small.shape == (size, size, 3)
    wanted = np.arange(size) / size * 200  # the value at a new pixel's edge; its middle is half a step on
    step = 200 / min(height, width, size)
    assert np.abs(small[size // 2, :, 1] - wanted).max() < step + 2
    assert np.abs(small[:, size // 2, 0] - wanted).max() < step + 2
    assert np.abs(small[..., 2].astype(int) - 77).max() <= 1


def test_resizing_to_the_same_size_changes_nothing():
    square = COLOURS[:24, :24]
    same = resized(square, 24)
    np.testing.assert_array_equal(same, square)
    assert not np.shares_memory(same, square)


@pytest.mark.parametrize("marked", [1, 128, 255])
def test_a_mask_marks_what_is_not_zero(tmp_path, marked):
    mask = np.zeros((20, 30), dtype=bool)
    mask[3:7, 8:20] = True
    grey = np.where(mask, marked, 0).astype(np.uint8)
    forms = {
        "grey.png": Image.fromarray(grey),
        "grey.bmp": Image.fromarray(grey),
        "bits.png": Image.fromarray(mask),
        "deep.tiff": Image.fromarray(grey.astype(np.uint16)),
        "colour.png": Image.fromarray(np.dstack([grey, grey * 0, grey * 0])),
        "opaque.png": Image.fromarray(np.dstack([grey, grey, grey, grey * 0 + 255])),
        "clear.png": Image.fromarray(np.dstack([grey * 0 + 9, grey, grey, grey])),
        "palette.png": Image.fromarray(grey).convert("P"),
    }
    for name, image in forms.items():
        image.save(tmp_path / name)
        found = decode_mask(tmp_path / name, LIMIT)
        assert found.dtype == bool
        np.testing.assert_array_equal(found, mask, err_msg=name)


def test_a_mask_saved_as_jpeg_keeps_its_edges(tmp_path):
    mask = np.zeros((64, 64), dtype=bool)
    mask[11:38, 20:45] = True
    save(tmp_path / "mask.jpg", np.where(mask, 255, 0).astype(np.uint8))
    np.testing.assert_array_equal(decode_mask(tmp_path / "mask.jpg", LIMIT), mask)


def test_an_unfit_mask_is_refused(tmp_path):
    file = tmp_path / "mask.png"
    file.write_bytes(png_of_size(20_000, 20_000))
    with pytest.raises(DataError, match=r"mask\.png.*max_pixels"):
        decode_mask(file, LIMIT)
    file.write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"truth/000_mask\.png: is no PNG"):
        decode_mask(file, LIMIT, "truth/000_mask.png")
