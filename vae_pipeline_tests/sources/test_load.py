import json
import os

import numpy as np
import pytest

from vae_pipeline.catalog import dataset, read_catalog
from vae_pipeline.errors import CatalogError, DataError
from vae_pipeline.settings import Settings
from vae_pipeline.sources.load import load, read_table, source_version
from vae_pipeline_tests.builders.cmapss import REPOSITORY, entry, sha256, write_cmapss, zip_folder


def sample(**generator):
    base = dataset("sample_turbofan", "timeseries")
    return base.model_copy(update={"generator": {**base.generator, **generator}})


def test_sample_is_complete_and_repeatable(tmp_path, settings):
    source = load(sample(), settings, tmp_path / "a")
    assert source["parts"]["train"]["units"] == 80
    assert source["parts"]["test"]["units"] == 50
    assert source["origin"].startswith("generated")
    again = load(sample(), Settings(home=tmp_path / "other"), tmp_path / "b")
    assert again["sha256"] == source["sha256"]
    assert load(sample(seed=8), settings, tmp_path / "c")["sha256"] != source["sha256"]


def test_sample_looks_like_the_real_one(tmp_path, settings):
    load(sample(), settings, tmp_path / "a")
    train, test = read_table(tmp_path / "a", "train"), read_table(tmp_path / "a", "test")
    lives = train.groupby("unit")["time"].max()
    assert lives.between(130, 330).all()
    assert (train.groupby("unit")["remaining_life"].min() == 0).all()
    assert (test.groupby("unit")["remaining_life"].min() < 30).mean() > 0.25
    regime = train["setting_1"].round().astype(int)
    assert sorted(regime.unique()) == [0, 10, 20, 25, 35, 42]
    spread = train.groupby(regime)[[f"sensor_{n}" for n in range(1, 22)]].std()
    assert [name for name in spread if spread[name].max() == 0] == [f"sensor_{n}" for n in (1, 5, 16, 18, 19)]
    # worn engines have moved away from healthy ones, by more than the noise but not by much more
    for column in ("sensor_4", "sensor_11"):
        shift = train[train.remaining_life < 10].groupby(regime)[column].mean()
        shift -= train[train.remaining_life > 150].groupby(regime)[column].mean()
        assert np.abs(shift / spread[column]).between(0.4, 4).all()


@pytest.mark.parametrize("generator", [{"seed": -1}, {"train_units": 0}, {"units": 3}])
def test_unfit_generator(tmp_path, settings, generator):
    with pytest.raises(CatalogError, match=f"generator.{next(iter(generator))}"):
        load(sample(**generator), settings, tmp_path / "a")


def test_cmapss_from_a_folder(tmp_path, settings):
    write_cmapss(tmp_path / "raw")
    source = load(entry(folder="raw", base=str(tmp_path)), settings, tmp_path / "out")
    assert source == json.loads((tmp_path / "out/source.json").read_text())
    assert source["parts"] == {"train": {"rows": 70, "units": 2}, "test": {"rows": 60, "units": 3}}
    assert len(source["sensors"]) == 21
    assert source["settings"] == ["setting_1", "setting_2", "setting_3"]
    train = read_table(tmp_path / "out", "train")
    assert train["time"].dtype == np.int64
    assert train["unit"][0] == "1"


def test_archive_hash_is_in_the_source(tmp_path, home):
    path = zip_folder(write_cmapss(tmp_path / "raw"), tmp_path / "mirror/sets/a.zip")
    mirrored = Settings(home=home, data_mirror=str(tmp_path / "mirror"))
    source = load(entry(archive={"path": "sets/a.zip"}), mirrored, tmp_path / "out")
    assert (source["sha256"], source["origin"]) == (sha256(path), str(path))


def test_table_from_the_catalogue_form(tmp_path, settings):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/a.csv").write_text("t,p,fault,note\n2024-01-01,1,0,x\n2024-01-02,2,,y\n")
    (tmp_path / "own.yaml").write_text(
        "datasets:\n  own:\n    line: timeseries\n    kind: table\n    title: t\n    licence: l\n"
        "    files: {train: data/*.csv}\n    columns: {time: t, label: fault}\n"
    )
    own = read_catalog(tmp_path / "own.yaml")["own"]
    source = load(own, settings, tmp_path / "out")
    assert (source["sensors"], source["left_out"]) == (["p"], ["note"])
    table = read_table(tmp_path / "out", "train")
    assert table["label"].isna().tolist() == [False, True]
    assert table["time"].dtype == "datetime64[ns]"
    with pytest.raises(DataError, match=r"test\.parquet"):
        read_table(tmp_path / "out", "test")
    (tmp_path / "out/train.parquet").write_bytes(b"no")
    with pytest.raises(DataError, match="materialize the raw data again"):
        read_table(tmp_path / "out", "train")


def test_version_of_local_files(tmp_path, settings):
    write_cmapss(tmp_path / "raw")
    own = entry(folder="raw", base=str(tmp_path))
    first = source_version(own, settings)
    assert source_version(own, settings) == first
    os.utime(tmp_path / "raw/RUL_FD001.txt", ns=(1, 1))
    assert source_version(own, settings) != first


def test_version_of_a_table(tmp_path, settings):
    (tmp_path / "a.csv").write_text("p\n1\n")
    own = entry(kind="table", base=str(tmp_path), files={"train": "*.csv"})
    first = source_version(own, settings)
    (tmp_path / "b.csv").write_text("p\n1\n")
    assert source_version(own, settings) != first
    more = own.model_copy(update={"regimes": 3, "title": "another"})
    assert source_version(more, settings) == source_version(own, settings)


def test_version_of_an_archive_does_not_change_by_downloading(tmp_path, site, settings, home):
    path = zip_folder(write_cmapss(tmp_path / "raw"), site.folder / "sets/a.zip")
    plain = {"path": "sets/a.zip", "url": f"{site.address}/sets/a.zip", "sha256": sha256(path)}
    (site.folder / "SHA256SUMS").write_text(f"{sha256(path)}  sets/a.zip\n")
    cases = [
        (entry(archive=plain), settings),
        (
            entry(archive={**plain, "sha256": "1" * 64, "url": None}),
            Settings(home=home / "2", data_mirror=site.address),
        ),
        (entry(archive={"path": "sets/a.zip"}), Settings(home=home / "3", data_mirror=site.address)),
        (entry(archive={"path": "sets/a.zip"}), Settings(home=home / "4", data_mirror=str(site.folder))),
        (entry(archive={"path": "sets/a.zip"}, base=str(site.folder)), Settings(home=home / "5")),
    ]
    versions = []
    for number, (one, used) in enumerate(cases):
        versions.append(source_version(one, used))
        load(one, used, tmp_path / f"out{number}")
        assert source_version(one, used) == versions[-1]
    zip_folder(write_cmapss(tmp_path / "raw", train_lengths=(3,)), path)
    changed = [source_version(*case) != version for case, version in zip(cases, versions, strict=True)]
    # a folder and a file beside the catalogue are looked at; the others have stated what they hold
    assert changed == [False, False, False, True, True]


def test_version_with_the_mirror_gone(site, home):
    (site.folder / "SHA256SUMS").write_text(f"{'3' * 64}  a.zip\n")
    settings = Settings(home=home, data_mirror=site.address)
    assert source_version(entry(archive={"path": "a.zip"}), settings)
    site.close()
    assert source_version(entry(archive={"path": "a.zip"}), settings)


def test_version_of_a_sample(settings):
    assert source_version(sample(), settings) != source_version(sample(seed=8), settings)


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["FD001", "FD002"])
def test_real_cmapss(tmp_path, home, real_data, name):
    real = dataset(name, "timeseries")
    # the official address is left out: tests reach for no network
    real = real.model_copy(update={"archive": real.archive.model_copy(update={"url": None})})
    parts = load(real, Settings(home=home, data_mirror=real_data), tmp_path / "out")["parts"]
    published = real.published
    assert parts["train"] == {"rows": published.train_rows, "units": published.train_units}
    assert parts["test"] == {"rows": published.test_rows, "units": published.test_units}


@pytest.mark.real_data
def test_real_server_machine(tmp_path, home, real_data):
    smd = read_catalog(REPOSITORY / "docs/examples/smd.yaml")
    source = load(smd["smd_machine_1_6"], Settings(home=home, data_mirror=real_data), tmp_path / "out")
    assert len(source["sensors"]) == 38
    assert source["parts"] == {"train": {"rows": 23688, "units": 1}, "test": {"rows": 23689, "units": 1}}
    test = read_table(tmp_path / "out", "test")
    assert set(test["label"].unique()) == {0, 1}
    assert smd.keys() == {"smd_machine_1_6", "smd_machine_3_4"}
