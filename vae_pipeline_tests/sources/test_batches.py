"""Batches and versions are written once; what a dataset reads is its own data and the batches of one version."""

import json
from concurrent.futures import ThreadPoolExecutor

import pandas as pd
import pytest

from vae_pipeline.catalog import dataset
from vae_pipeline.errors import StorageError
from vae_pipeline.sources.batches import (
    Batch,
    Version,
    add_version,
    batch_key,
    find_batch,
    newest_version,
    versions,
)
from vae_pipeline.sources.load import load, read_table, source_version
from vae_pipeline.storage import Storage
from vae_pipeline_tests.builders.batches import plant, pumps


def keep(made, identity, frame):
    """A batch in storage as `receive` keeps it."""
    rows = frame.rename(columns={"pump": "unit", "second": "time"})
    about = Batch(
        id=identity,
        name=f"{identity}.csv",
        sha256=identity * 4,
        line=made.dataset.line,
        dataset=made.dataset.name,
        medium="table",
        rows=len(rows),
        units=rows["unit"].nunique(),
        span=None,
        labelled="-",
        received="2026-01-01",
        arrival="-",
    )
    with made.storage.new_folder(batch_key(made.dataset, identity), {"facts": about.model_dump(mode="json")}) as folder:
        rows.to_parquet(folder / "batch.parquet", index=False)
    return about


FIRST, SECOND = "a" * 16, "b" * 16


@pytest.fixture
def made(tmp_path):
    return plant(tmp_path)


def test_a_dataset_without_batches_is_version_1(made):
    assert newest_version(made.storage, made.dataset) == Version()
    assert versions(made.storage, made.dataset) == [Version()]


def test_a_dataset_without_batches_keeps_the_data_version_it_always_had(settings):
    sample = dataset("sample_turbofan", "timeseries")
    assert source_version(sample, settings) == "633f353196e697ef"


def test_each_batch_makes_a_version_that_holds_those_before(made):
    assert add_version(made.storage, made.dataset, FIRST, "one").number == 2
    assert add_version(made.storage, made.dataset, SECOND, "two").batches == (FIRST, SECOND)
    assert [version.batches for version in versions(made.storage, made.dataset)] == [(), (FIRST,), (FIRST, SECOND)]


def test_a_batch_is_in_no_two_versions_of_its_own(made):
    first = add_version(made.storage, made.dataset, FIRST, "one")
    add_version(made.storage, made.dataset, SECOND, "two")
    assert add_version(made.storage, made.dataset, FIRST, "again") == first
    assert newest_version(made.storage, made.dataset).number == 3


def test_batches_added_at_once_get_versions_of_their_own(made):
    ids = [f"{number:016x}" for number in range(12)]
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda each: add_version(made.storage, made.dataset, each, "-"), ids))
    assert sorted(version.number for version in found) == list(range(2, 14))
    assert set(newest_version(made.storage, made.dataset).batches) == set(ids)


@pytest.mark.services
def test_on_a_remote_root_a_number_is_given_out_once_too(made, tmp_path, remote_root):
    remote = Storage(remote_root, tmp_path / "cache")
    assert remote.create_text("a.json", "first")
    assert not remote.create_text("a.json", "second")
    assert remote.read_text("a.json") == "first"
    assert add_version(remote, made.dataset, FIRST, "one").number == 2
    assert add_version(remote, made.dataset, SECOND, "two").number == 3


def test_a_damaged_listing_is_named(made):
    add_version(made.storage, made.dataset, FIRST, "one")
    made.storage.write_text("versions/timeseries/pumps/000002.json", "{}{")
    with pytest.raises(StorageError, match=r"000002\.json: no listing of a version; restore the file"):
        newest_version(made.storage, made.dataset)


def test_a_version_whose_batch_is_gone_is_refused(made, tmp_path):
    add_version(made.storage, made.dataset, FIRST, "one")
    with pytest.raises(StorageError, match=f"{FIRST}: is missing, and version 2 holds this batch"):
        load(made.dataset, made.settings, tmp_path / "raw")


class TestReading:
    def test_units_of_batches_are_named_after_them_and_collide_with_none(self, made, tmp_path):
        keep(made, FIRST, pumps(5, 30, seed=9))
        keep(made, SECOND, pumps(5, 30, seed=10))
        for batch in (FIRST, SECOND):
            add_version(made.storage, made.dataset, batch, "-")
        source = load(made.dataset, made.settings, tmp_path / "raw")
        parts = [read_table(tmp_path / "raw", part) for part in ("train", "test")]
        units = [set(table["unit"]) for table in parts]
        assert {"p0", "aaaaaaaa:p0", "bbbbbbbb:p0"} <= units[0] | units[1]
        assert not units[0] & units[1]
        assert len(units[0] | units[1]) == 12 + 5 + 5
        assert sum(map(len, parts)) == 12 * 120 + 2 * 5 * 30
        assert (source["dataset_version"], [each["mark"] for each in source["batches"]]) == (2 + 1, ["a" * 8, "b" * 8])
        assert json.loads((tmp_path / "raw/source.json").read_text())["batches"][0]["name"] == f"{FIRST}.csv"

    def test_a_share_of_every_batch_goes_to_the_test_part(self, made, tmp_path):
        keep(made, FIRST, pumps(10, 12, seed=9))
        add_version(made.storage, made.dataset, FIRST, "-")
        load(made.dataset, made.settings, tmp_path / "raw")
        test = read_table(tmp_path / "raw", "test")
        assert test.loc[test["unit"].str.startswith("aaaaaaaa:"), "unit"].nunique() == 2

    def test_without_a_test_part_all_of_a_batch_is_in_the_training_part(self, tmp_path):
        made = plant(tmp_path, tested=False)
        keep(made, FIRST, pumps(10, 12, seed=9))
        add_version(made.storage, made.dataset, FIRST, "-")
        source = load(made.dataset, made.settings, tmp_path / "raw")
        assert source["parts"] == {"train": {"rows": 8 * 120 + 10 * 12, "units": 18}}

    def test_an_older_version_can_still_be_read_and_is_the_same(self, made, tmp_path):
        before = source_version(made.dataset, made.settings)
        first = load(made.dataset, made.settings, tmp_path / "before")
        keep(made, FIRST, pumps(5, 30, seed=9))
        add_version(made.storage, made.dataset, FIRST, "-")
        assert source_version(made.dataset, made.settings) != before
        assert source_version(made.dataset, made.settings, Version()) == before
        assert load(made.dataset, made.settings, tmp_path / "again", Version()) == first
        for part in ("train", "test"):
            pd.testing.assert_frame_equal(read_table(tmp_path / "again", part), read_table(tmp_path / "before", part))

    def test_labels_that_a_batch_brings_are_unknown_elsewhere(self, made, tmp_path):
        frame = pumps(5, 30, seed=9)
        frame["label"] = pd.array([1] * 3 + [0] * 147, dtype="Int8")
        keep(made, FIRST, frame)
        add_version(made.storage, made.dataset, FIRST, "-")
        load(made.dataset, made.settings, tmp_path / "raw")
        found = pd.concat([read_table(tmp_path / "raw", part) for part in ("train", "test")])
        later = found["unit"].str.startswith("aaaaaaaa:")
        assert found.loc[~later, "label"].isna().all()
        assert found.loc[later, "label"].sum() == 3

    def test_what_is_kept_of_a_batch_is_read_back(self, made):
        about = keep(made, FIRST, pumps(5, 30, seed=9))
        assert find_batch(made.storage, made.dataset, FIRST) == about
        assert find_batch(made.storage, made.dataset, SECOND) is None
