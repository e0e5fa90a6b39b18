"""Every unit is held out once, as a whole, and nothing of it reaches what judges it."""

import json

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vae_pipeline.errors import DataError
from vae_pipeline.experiments.cross_validate import Fold, cross_validate, read_folds, write_folds
from vae_pipeline.experiments.folds import cut, development_units, write_fold
from vae_pipeline.features.build import build
from vae_pipeline.features.feature_set import FeatureSet
from vae_pipeline.features.image_set import ImageSet
from vae_pipeline_tests.builders.tables import canonical_table, table_dataset, write_raw


@given(st.integers(2, 40), st.integers(2, 40), st.integers(0, 5))
def test_each_unit_stands_in_one_fold_and_folds_differ_by_one_unit_at_most(units, count, seed):
    names = [str(number) for number in range(units)]
    if count > units:
        with pytest.raises(DataError, match=f"{count} folds need as many units, but {units} fit or calibrate"):
            cut(names, count, seed, "pumps")
        return
    folds = cut(names, count, seed, "pumps")
    assert sorted(name for fold in folds for name in fold) == sorted(names)
    assert max(map(len, folds)) - min(map(len, folds)) <= 1
    assert folds == cut(list(reversed(names)), count, seed, "pumps")


def test_one_fold_is_refused():
    with pytest.raises(DataError, match="1 folds: at least 2 are needed"):
        cut(["1", "2"], 1, 0, "pumps")


@pytest.fixture
def table(tmp_path):
    """Eight pumps of which some test, unequal in level, as raw and features folder."""
    raw = write_raw(tmp_path / "raw", canonical_table(units=8))
    dataset = table_dataset()
    (tmp_path / "features").mkdir()
    build(dataset, raw, tmp_path / "features")
    return dataset, raw, tmp_path / "features"


def test_units_that_test_are_in_no_fold(table):
    dataset, raw, features = table
    opened = FeatureSet.open(features)
    tested = {segment.name for segment in opened.segments if segment.part == "test"}
    units = development_units(dataset, raw, features)
    assert tested
    assert set(units) == {str(number) for number in range(1, 9)} - tested


def test_test_units_of_a_file_of_their_own_may_share_names(tmp_path):
    raw = write_raw(tmp_path / "raw", canonical_table(units=5), canonical_table(units=7, seed=1))
    (tmp_path / "features").mkdir()
    build(table_dataset(), raw, tmp_path / "features")
    assert development_units(table_dataset(), raw, tmp_path / "features") == ["1", "2", "3", "4", "5"]


def test_a_fold_of_a_table_has_the_rest_to_fit_on_and_its_own_scaling(table, tmp_path):
    dataset, raw, features = table
    units = development_units(dataset, raw, features)
    changed = pd.read_parquet(raw / "train.parquet")
    means = []
    for shift in (0.0, 1000.0):  # of the units held out: nothing fitted may notice
        folder = tmp_path / f"fold_{shift:.0f}"
        (folder / "raw").mkdir(parents=True)
        (folder / "features").mkdir()
        held = changed["unit"].isin(units[:2])
        moved = changed.copy()
        moved.loc[held, "sensor_1"] += shift
        own = write_raw(folder / "own", moved)
        write_fold(dataset, own, folder / "raw", units, units[:2])
        build(dataset, folder / "raw", folder / "features")
        opened = FeatureSet.open(folder / "features")
        parts = {part: {s.name for s in opened.segments if s.part == part} for part in ("fit", "calibrate", "test")}
        assert parts["test"] == set(units[:2])
        assert parts["fit"] | parts["calibrate"] == set(units[2:])
        assert parts["fit"]
        assert parts["calibrate"]
        means.append(opened.scaler.mean.tolist())
    assert means[0] == means[1]


def test_units_cut_by_time_cannot_be_held_out(tmp_path):
    raw = write_raw(tmp_path / "raw", canonical_table(units=1, rows=120))
    (tmp_path / "features").mkdir()
    build(table_dataset(), raw, tmp_path / "features")
    with pytest.raises(DataError, match="cut by time"):
        development_units(table_dataset(), raw, tmp_path / "features")


def test_a_fold_of_images_tests_normal_ones_held_out_and_all_anomalous_ones(image_example, tmp_path):
    example = image_example
    units = development_units(example.dataset, example.raw, example.images.folder)
    assert len(units) == 16
    (tmp_path / "raw").mkdir()
    (tmp_path / "features").mkdir()
    write_fold(example.dataset, example.raw, tmp_path / "raw", units, units[:4])
    build(example.dataset, tmp_path / "raw", tmp_path / "features")
    images = ImageSet.open(tmp_path / "features")
    test = images.index("test")
    tested = {images.names[place]: int(images.label[place]) for place in test}
    assert {name for name, label in tested.items() if label == 0} == set(units[:4])
    assert sum(tested.values()) == int((example.images.label == 1).sum()) > 0
    assert all(images.mask(place) is not None for place in test)
    rest = {images.names[place] for part in ("fit", "calibrate") for place in images.index(part)}
    assert rest == set(units[4:])


def test_a_fold_of_recordings_tests_normal_ones_held_out_and_all_abnormal_ones(sound_example, tmp_path):
    example = sound_example
    units = development_units(example.dataset, example.raw, example.features.folder)
    (tmp_path / "raw").mkdir()
    (tmp_path / "features").mkdir()
    write_fold(example.dataset, example.raw, tmp_path / "raw", units, units[:2])
    build(example.dataset, tmp_path / "raw", tmp_path / "features")
    opened = FeatureSet.open(tmp_path / "features")
    parts = {part: [s for s in opened.segments if s.part == part] for part in ("fit", "calibrate", "test")}
    normal = {s.name for s in parts["test"] if opened.row_label[s.start] == 0}
    assert normal == set(units[:2])
    assert len(parts["test"]) - len(normal) == 4
    assert {s.name for s in parts["fit"] + parts["calibrate"]} == set(units[2:])


@pytest.mark.slow
def test_the_mean_and_the_spread_are_those_of_the_folds(built, tmp_path):
    told = []
    found = cross_validate(built.dataset, "v1", built.raw, built.features, 2, told.append)
    assert len(told) == len(found.folds) == 2
    held = [name for fold in found.folds for name in fold.held_out]
    assert sorted(held) == development_units(built.dataset, built.raw, built.features)
    first, second = (fold.metrics["roc_auc"] for fold in found.folds)
    assert found.mean["roc_auc"] == pytest.approx((first + second) / 2)
    assert found.spread["roc_auc"] == pytest.approx(abs(first - second) / 2**0.5)
    assert first != second
    write_folds(found, tmp_path)
    assert read_folds(tmp_path) == found
    lines = (tmp_path / "folds.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["fold", "1", "2", "mean", "spread"]
    assert json.loads((tmp_path / "folds.json").read_text())["scored"] == "the units held out alone"
    assert isinstance(found.folds[0], Fold)
