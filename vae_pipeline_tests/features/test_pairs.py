"""Pairs are drawn within their part and in groups, or joined by a key, and what cannot be joined is told."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vae_pipeline.errors import DataError
from vae_pipeline.features.pair_set import GROUPS, PairSet
from vae_pipeline.features.pairs import build_pairs
from vae_pipeline.records import TableFiles
from vae_pipeline.sources.table import read_table_files
from vae_pipeline_tests.detector.examples import made
from vae_pipeline_tests.detector.image_examples import made_images
from vae_pipeline_tests.detector.pair_examples import line_folders, pair_dataset


@pytest.fixture(scope="module")
def lines(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lines")
    return line_folders(made(folder / "table"), made_images(folder / "pictures"), folder / "calibrated")


def built(lines, folder, **fields):
    folder.mkdir()
    facts = build_pairs(pair_dataset(**fields), lines, folder)
    return facts, PairSet.open(folder)


@pytest.fixture(scope="module")
def drawn(lines, tmp_path_factory):
    return built(lines, tmp_path_factory.mktemp("drawn") / "features")


def test_test_pairs_are_as_many_of_each_group(drawn):
    facts, pairs = drawn
    assert [facts[f"test_{name}"] for name in GROUPS] == [12] * 4
    np.testing.assert_array_equal(np.bincount(pairs.paired("test").group), [12] * 4)
    np.testing.assert_array_equal(pairs.paired("test").label, [0] * 12 + [1] * 36)


def test_no_unit_and_no_image_stands_in_two_parts(drawn):
    _, pairs = drawn
    units = {part: set(pairs.paired(part).unit.tolist()) for part in ("fit", "calibrate", "test")}
    images = {part: set(pairs.paired(part).images.tolist()) for part in ("fit", "calibrate", "test")}
    for known in (units, images):
        assert not known["fit"] & known["calibrate"]
        assert not (known["fit"] | known["calibrate"]) & known["test"]


def test_pairs_to_fit_and_calibrate_on_are_normal(drawn):
    _, pairs = drawn
    for part in ("fit", "calibrate"):
        assert (pairs.paired(part).label != 1).all()


def test_the_same_seed_draws_the_same(lines, drawn, tmp_path):
    _, again = built(lines, tmp_path / "again")
    for part in ("fit", "calibrate", "test"):
        np.testing.assert_array_equal(again.starts[part], drawn[1].starts[part])
        np.testing.assert_array_equal(again.places[part], drawn[1].places[part])


def keyed(lines, folder, key="part_id", spoil=None):
    """The lines with a column that names an image of the row's own part, read as a user's table, and joined by it."""
    windows = lines["windows"]
    names = {part: [] for part in ("fit", "calibrate", "test")}
    about = json.loads((lines["images"].features / "images.json").read_text())["images"]
    for entry in about:
        names[entry["part"]].append(entry["name"].rsplit("/", 1)[-1].rsplit(".", 1)[0])
    raw = folder / "raw"
    raw.mkdir(parents=True)
    part_of = {
        segment["name"]: segment["part"]
        for segment in json.loads((windows.features / "features.json").read_text())["units"]
    }
    for file in windows.raw.glob("*.parquet"):
        table = pq.read_table(file)
        units = table["unit"].to_pylist()
        ids = [names[part_of[str(unit)]][row % len(names[part_of[str(unit)]])] for row, unit in enumerate(units)]
        table = table.append_column("part_id", pa.array(spoil(ids) if spoil else ids))
        table.to_pandas().to_csv(folder / f"{file.stem}.csv", index=False)
    columns = windows.dataset.columns.model_copy(update={"key": "part_id"})
    files = TableFiles(train="train.csv", test="test.csv")
    dataset = windows.dataset.model_copy(update={"columns": columns, "files": files})
    for part, table in read_table_files(dataset, folder)[0].items():
        table.to_parquet(raw / f"{part}.parquet", index=False)
    changed = {**lines, "windows": windows._replace(raw=raw, dataset=dataset)}
    return built(changed, folder / "features", key=key)


def renamed(lines, folder, name="id{}"):
    """The lines with images whose names, made of their numbers, tell them apart."""
    target = folder / "features"
    target.mkdir()
    for file in lines["images"].features.iterdir():
        if file.is_file() and file.name != "images.json":
            (target / file.name).hardlink_to(file)
    (target / "masks").mkdir()
    for file in (lines["images"].features / "masks").iterdir():
        (target / "masks" / file.name).hardlink_to(file)
    about = json.loads((lines["images"].features / "images.json").read_text())
    for number, entry in enumerate(about["images"]):
        entry["name"] = f"{entry['name'].rsplit('/', 1)[0]}/{name.format(number)}.png"
    (target / "images.json").write_text(json.dumps(about))
    return {**lines, "images": lines["images"]._replace(features=target)}


@pytest.fixture
def unique(lines, tmp_path_factory):
    return renamed(lines, tmp_path_factory.mktemp("unique"))


def test_a_key_joins_each_window_to_the_image_it_names(unique, tmp_path):
    facts, pairs = keyed(unique, tmp_path)
    assert pairs.keyed
    assert facts["protocol"] == "joined by part_id"
    names = pq.read_table(tmp_path / "raw/test.parquet")["key"].to_pylist()
    paired = pairs.paired("test")
    rows = pairs.windows.file_row[paired.windows.ends]
    assert len(paired)
    assert [names[row] for row in rows] == [pairs.images.names[place].split("/")[-1][:-4] for place in paired.images]


@pytest.mark.parametrize(
    ("name", "spelt"),
    [
        ("P-{:04d}", str),
        ("{:06d}", str),
        ("2026-01-31_12-{:02d}-05", lambda name: f"2026-01-31 {name[11:].replace('-', ':')}"),
    ],
)
def test_ids_with_letters_or_zeros_and_timestamps_are_keys_and_no_sensors(name, spelt, lines, tmp_path):
    facts, pairs = keyed(renamed(lines, tmp_path, name), tmp_path / "keyed", spoil=lambda ids: [*map(spelt, ids)])
    assert facts["fit_pairs"] == len(pairs.windows.windows("fit", healthy_only=True))
    assert facts["test_pairs"] == len(pairs.windows.windows("test"))
    assert "part_id" not in pairs.windows.sensors


def test_images_that_a_key_cannot_tell_apart_are_named(lines, tmp_path):
    with pytest.raises(DataError, match=r"tiny\+part: (\S+)/000\.png and (\S+)/000\.png are both called '000', which"):
        keyed(lines, tmp_path)


def test_no_shared_key_is_told_with_what_there_is(unique, tmp_path):
    with pytest.raises(DataError, match=r"no value of 'part_id' \(.*x.*\) is the name of an image \(id"):
        keyed(unique, tmp_path, spoil=lambda ids: [f"x{name}" for name in ids])


def test_an_unknown_key_is_told_with_the_columns_there_are(unique, tmp_path):
    with pytest.raises(DataError, match=r"pairs\.key 'serial' is no column of tiny; it has .*sensor_1"):
        keyed(unique, tmp_path, key="serial")


def test_pairs_that_straddle_parts_are_left_out_and_told(unique, tmp_path):
    about = json.loads((unique["images"].features / "images.json").read_text())["images"]
    fit = next(entry["name"] for entry in about if entry["part"] == "fit").split("/")[-1][:-4]
    with pytest.raises(DataError, match=r"0 pairs of the part 'calibrate', 20 are needed; .* in different parts"):
        keyed(unique, tmp_path, spoil=lambda ids: [fit] * len(ids))


def test_a_spoilt_folder_is_named(drawn, tmp_path):
    (tmp_path / "pairs.json").write_text("{}")
    with pytest.raises(DataError, match="no usable features folder of pairs"):
        PairSet.open(tmp_path)
