import hashlib

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from sklearn.metrics import roc_auc_score

from vae_pipeline.errors import CatalogError
from vae_pipeline.sources.pictures import read_pictures
from vae_pipeline.sources.product_cloth import DEFECTS as CLOTH_DEFECTS
from vae_pipeline.sources.product_cloth import photograph_cloth
from vae_pipeline.sources.product_part import DEFECTS as PART_DEFECTS
from vae_pipeline.sources.product_part import photograph_part
from vae_pipeline.sources.sample_product import generate
from vae_pipeline_tests.builders.pictures import picture_dataset

SMALL = {"train": 2, "test_good": 1, "test_defect": 1, "size": 48, "variant": 0, "seed": 7}


def sample(**stated):
    return picture_dataset("sample_product", "sample_product", generator={**SMALL, **stated})


def digests(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def photograph(variant, number, defect, size=96):
    scene, flaw = np.random.default_rng((1, number)), np.random.default_rng((2, number))
    if variant == 2:
        return photograph_cloth(scene, flaw, size, defect)
    return photograph_part(scene, flaw, size, defect, free=variant == 1)


@pytest.mark.parametrize("variant", [0, 1, 2])
def test_the_sample_has_the_real_layout_and_no_problem(tmp_path, variant):
    dataset = sample(variant=variant)
    root = generate(dataset, tmp_path / "sample")
    assert root == tmp_path / "sample"
    parts = read_pictures(dataset, root, tmp_path / "raw", linked=True)
    defects = CLOTH_DEFECTS if variant == 2 else PART_DEFECTS
    assert parts["train"]["unit"].tolist() == ["train/good/000.png", "train/good/001.png"]
    assert sorted(parts["test"]["defect"]) == sorted(["good", *defects])
    assert (parts["test"]["mask"].notna() == (parts["test"]["label"] == 1)).all()
    for table in parts.values():
        assert table[["problem", "mask_problem"]].isna().to_numpy().all()
        assert (table["width"] == 48).all()


def test_the_same_seed_gives_the_same_bytes_and_another_gives_others(tmp_path):
    first = digests(generate(sample(), tmp_path / "a"))
    assert digests(generate(sample(), tmp_path / "b")) == first
    other = digests(generate(sample(seed=8), tmp_path / "c"))
    assert other.keys() == first.keys()
    assert all(other[name] != first[name] for name in first if not name.startswith("sample_product/ground_truth"))
    more = digests(generate(sample(train=3, test_defect=2), tmp_path / "d"))
    assert {name: more[name] for name in first} == first


def test_a_sample_that_is_there_is_left_as_it_is(tmp_path):
    (tmp_path / "sample").mkdir()
    assert generate(sample(), tmp_path / "sample") == tmp_path / "sample"
    assert list((tmp_path / "sample").iterdir()) == []


def test_a_sample_that_was_broken_off_leaves_nothing(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(KeyboardInterrupt):
        generate(sample(), tmp_path / "sample")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("stated", [{"size": 16}, {"variant": 3}, {"seed": -1}, {"train": 0}, {"images": 3}])
def test_an_unfit_generator_is_refused(tmp_path, stated):
    with pytest.raises(CatalogError, match=f"generator.{next(iter(stated))} is missing or unfit; state train"):
        generate(sample(**stated), tmp_path / "sample")


@pytest.mark.parametrize(
    ("variant", "defect"), [(v, d) for v in (0, 1) for d in PART_DEFECTS] + [(2, d) for d in CLOTH_DEFECTS]
)
def test_a_mask_holds_the_defect_and_nothing_else(variant, defect):
    for number in range(6):
        clean, nothing = photograph(variant, number, None)
        spoilt, mask = photograph(variant, number, defect)
        assert not nothing.any()
        assert 3 <= mask.sum() <= 0.1 * mask.size
        change = np.abs(spoilt.astype(int) - clean).mean(axis=2)
        near = np.asarray(ndimage.binary_dilation(mask, iterations=2), dtype=bool)  # the focus spreads it
        assert change[mask].mean() > 3
        assert change[~near].mean() < 0.25  # its shadow, at most
        assert change[~near].mean() < 0.05 * change[mask].mean()


def test_an_incomplete_generator_is_refused(tmp_path):
    stated = {key: value for key, value in SMALL.items() if key != "variant"}
    with pytest.raises(CatalogError, match=r"generator\.variant is missing"):
        generate(picture_dataset("sample_product", generator=stated), tmp_path / "sample")


def test_an_aligned_part_stays_in_place_and_a_free_one_does_not():
    spread = {}
    for variant in (0, 1):
        pictures = np.array([photograph(variant, number, None, 64)[0] for number in range(12)]).mean(axis=-1)
        spread[variant] = pictures.std(axis=0).mean()
    assert spread[1] > 2 * spread[0]


def test_a_plain_error_does_not_solve_the_sample():
    train = np.array([photograph(0, number, None, 64)[0] for number in range(20)]).astype(float)
    good = np.array([photograph(0, 100 + number, None, 64)[0] for number in range(10)])
    bad = np.array([photograph(0, 200 + number, PART_DEFECTS[number % 4], 64)[0] for number in range(20)])
    scores = np.abs((np.concatenate([good, bad]) - train.mean(axis=0)) / (train.std(axis=0) + 2.0)).mean(axis=(1, 2, 3))
    assert 0.2 < roc_auc_score([0] * 10 + [1] * 20, scores) < 0.85
