import io

import numpy as np
import pytest
from PIL import Image

from vae_pipeline.errors import DataError
from vae_pipeline.evaluation import image_figures, style
from vae_pipeline.evaluation.image_figures import (
    Case,
    cases_figure,
    reconstructions_figure,
    score_by_defect_figure,
)

SCORES = np.random.default_rng(0).gamma(4, size=60)
DEFECTS = ["good"] * 20 + ["scratch"] * 20 + ["missing_part"] * 20
BLUE = (0x56, 0xC8, 0xFF)
ORANGE = (0xD5, 0x5E, 0x00)


def case(*, strength=1.0, mask=True, size=64, caption="scratch/003.png  score 4.1"):
    """A spot of a map's values in the middle; image and reconstruction are even greys."""
    image = np.full((size, size, 3), 100, dtype=np.uint8)
    score_map = np.zeros((size // 2, size // 2), dtype=np.float32)
    score_map[10:20, 10:20] = strength
    drawn = np.zeros((size * 2, size * 2), dtype=bool)
    drawn[40:80, 40:80] = True
    return Case(image, image / 255.0, score_map, drawn if mask else None, caption)


def opened(data):
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)


def near(picture, colour, within=30):
    return (np.abs(picture - colour).max(axis=2) <= within).sum()


def cell(picture, row, column, columns=4, rows=1):
    """The inside of one of a contact sheet's squares, whose places the sheet states in inches."""
    figure, axes = image_figures._sheet(
        rows,
        columns,
        step=image_figures.CELL + image_figures.GAP + image_figures.CAPTION,
        above=0.35 + image_figures.CAPTION,
        below=0.85,
    )
    assert picture.shape[:2] == pytest.approx(figure.get_size_inches()[::-1] * style.DPI, abs=1)
    box = axes[row * columns + column].get_position()
    height, width = picture.shape[:2]
    top, bottom = round((1 - box.y1) * height), round((1 - box.y0) * height)
    return picture[top + 3 : bottom - 3, round(box.x0 * width) + 3 : round(box.x1 * width) - 3]


def test_a_case_shows_original_reconstruction_map_and_mask():
    picture = opened(cases_figure([case()], "Cases", threshold=0.5))
    original, rebuilt, heat, mask = (cell(picture, 0, i) for i in range(4))
    assert np.abs(original - 100).max() <= 1
    assert np.abs(rebuilt - 100).max() <= 1
    assert near(heat, BLUE) > 20
    assert near(original, BLUE) == 0
    # the spot lies a third to two thirds down; what lies outside is the darkened original
    side = len(heat)
    assert heat[side // 2, side // 2].max() > 150
    assert np.abs(heat[side // 8, side // 8] - 55).max() <= 2
    inside, outside = mask[side // 2, side // 2], mask[side // 8, side // 8]
    assert inside[0] > 2 * inside[2]
    assert np.abs(outside - 55).max() <= 2


def test_one_colour_scale_holds_for_all_rows():
    picture = opened(cases_figure([case(strength=10.0), case(strength=1.0)], "Cases"))
    strong, weak = (cell(picture, row, 2, rows=2) for row in (0, 1))
    middle = len(strong) // 2
    assert strong[middle, middle].sum() > 1.5 * weak[middle, middle].sum()
    alone = cell(opened(cases_figure([case(strength=1.0)], "Cases")), 0, 2)
    assert np.abs(alone[middle, middle] - strong[middle, middle]).max() <= 2


def test_without_a_threshold_no_line_is_drawn():
    assert near(opened(cases_figure([case()], "Cases")), BLUE) == 0


def test_without_any_mask_the_column_is_left_out():
    masked, bare = (opened(cases_figure([case(mask=mask)] * 2, "Cases")) for mask in (True, False))
    assert bare.shape[1] < 0.8 * masked.shape[1]
    mixed = opened(cases_figure([case(), case(mask=False)], "Cases"))
    assert mixed.shape == masked.shape
    without = cell(mixed, 1, 3, rows=2)
    assert near(without, (255, 255, 255)) > 20  # words that say so
    assert near(cell(mixed, 0, 3, rows=2), (255, 255, 255)) == 0


def test_a_long_caption_changes_no_column():
    short, long = (opened(cases_figure([case(caption=text)], "Cases")) for text in ("x", "long " * 40))
    assert short.shape == long.shape
    assert (cell(short, 0, 1) == cell(long, 0, 1)).all()


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param([case()._replace(score_map=np.full((32, 32), 0.25))], id="constant map"),
        pytest.param([case()._replace(score_map=np.ones((1, 1)))], id="one pixel"),
        pytest.param([case(size=1100)], id="large"),
        pytest.param([case()._replace(image=np.zeros((64, 64), dtype=np.uint8))], id="greyscale"),
        pytest.param([case()._replace(reconstruction=np.full((8, 8, 3), 1.4))], id="reconstruction beyond white"),
        pytest.param([tuple(case(mask=False))] * 7, id="tuples"),
    ],
)
@pytest.mark.parametrize("threshold", [None, 0.25, 99.0])
def test_odd_cases_are_drawn(rows, threshold):
    assert len(np.unique(opened(cases_figure(rows, "Cases", threshold=threshold)))) > 20


@pytest.mark.parametrize(("count", "rows"), [(1, 2), (8, 2), (12, 4)])
def test_reconstructions_stand_below_their_originals(count, rows):
    dark, light = np.full((32, 32, 3), 40, dtype=np.uint8), np.full((32, 32, 3), 0.8)
    picture = opened(reconstructions_figure([(dark, light)] * count, "Epoch 3"))
    found = near(picture, (40, 40, 40), 1), near(picture, (204, 204, 204), 1)
    area = (image_figures.SMALL * style.DPI) ** 2
    assert found == pytest.approx((count * area, count * area), rel=0.06)
    assert near(picture[: len(picture) // rows], (204, 204, 204), 1) < 0.15 * area * min(count, 8)


def test_scores_by_defect_show_both_colours_and_every_kind():
    picture = opened(score_by_defect_figure(SCORES, DEFECTS, 6.0))
    assert picture.shape[1] == 900
    assert near(picture, ORANGE) > 50
    assert near(picture, (0, 0x72, 0xB2)) > 50
    fewer = opened(score_by_defect_figure(SCORES[:40], DEFECTS[:40], 6.0))
    assert len(fewer) < len(picture)


@pytest.mark.parametrize(
    ("scores", "defects", "threshold"),
    [
        pytest.param(SCORES - 5, DEFECTS, 0.0, id="negative"),
        pytest.param(np.exp(SCORES), DEFECTS, 20.0, id="wide"),
        pytest.param(np.ones(3), ["", "", "hole"], 1.0, id="equal"),
        pytest.param(np.arange(1000.0), [""] * 1000, 990.0, id="many"),
        pytest.param(np.ones(1), ["hole"], 0.5, id="one"),
    ],
)
def test_scores_of_any_kind_are_drawn(scores, defects, threshold):
    assert len(np.unique(opened(score_by_defect_figure(scores, defects, threshold)))) > 20


def test_nothing_to_draw_is_said():
    for data in (cases_figure([], "Cases"), reconstructions_figure([]), score_by_defect_figure(np.zeros(0), [], 1.0)):
        assert opened(data).shape[1] == 900


def test_scores_without_their_defects_are_refused():
    with pytest.raises(DataError, match="60 scores but 3 defects"):
        score_by_defect_figure(SCORES, DEFECTS[:3], 1.0)
