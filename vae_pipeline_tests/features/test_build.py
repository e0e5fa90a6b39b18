import json
import tracemalloc

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vae_pipeline.errors import DataError
from vae_pipeline.features.build import build
from vae_pipeline.features.feature_set import FeatureSet
from vae_pipeline.features.signal import statistic_names
from vae_pipeline.records import Columns, Labels, Part, Split, Window
from vae_pipeline_tests.builders.raw import write_raw

PARTS: tuple[Part, ...] = ("fit", "calibrate", "test")


def made(tmp_path, **options):
    dataset = write_raw(tmp_path / "raw", **options)
    return (dataset, *rebuilt(tmp_path, dataset))


def rebuilt(tmp_path, dataset):
    folder = tmp_path / "features"
    folder.mkdir(exist_ok=True)
    facts = build(dataset, tmp_path / "raw", folder)
    return facts, FeatureSet.open(folder)


def rewrite(tmp_path, file, change):
    path = tmp_path / "raw" / file
    table = pq.read_table(path)
    pq.write_table(change(table), path)


def with_column(table: pa.Table, name: str, values: object) -> pa.Table:
    return table.set_column(table.schema.get_field_index(name), name, pa.array(values))


def test_facts_and_files(tmp_path):
    dataset, facts, features = made(tmp_path, regimes=3)
    assert {file.name for file in (tmp_path / "features").iterdir()} == {
        "rows.npy",
        "rows.npz",
        "features.json",
        "scaling.npz",
        "settings.npy",
        "statistics.parquet",
    }
    tables = [pq.read_table(tmp_path / "raw" / f"{name}.parquet") for name in ("train", "test")]
    assert facts["rows"] == sum(table.num_rows for table in tables) == len(features.rows)
    assert facts["units"] == 10
    assert (facts["fit_units"], facts["calibrate_units"], facts["test_units"]) == (4, 2, 4)
    assert facts["regimes"] == 3
    assert facts["short_units"] == facts["constant_sensors"] == []
    assert facts["filled_values"] == 0
    assert facts["anomalous_windows"] == sum(facts[f"{part}_anomalous_windows"] for part in PARTS)
    for part in PARTS:
        assert facts[f"{part}_windows"] == len(features.windows(part)) > 0
    assert facts["healthy_fit_windows"] == len(features.windows("fit", healthy_only=True)) > 0
    assert features.sensors == dataset.columns.sensors
    assert (features.length, features.stride) == (20, 1)
    json.dumps(facts)


def test_windows_know_their_labels_times_units_and_ages(tmp_path):
    dataset, _, features = made(tmp_path)
    for part in PARTS:
        file = "test" if part == "test" else "train"
        table = pq.read_table(tmp_path / "raw" / f"{file}.parquet").to_pydict()
        life_of = dict(zip(zip(table["unit"], table["time"], strict=True), table["remaining_life"], strict=True))
        windows = features.windows(part)
        names = np.array(features.unit_names)[features.units(windows)]
        life = [life_of[key] for key in zip(names, features.times(windows).astype(int), strict=True)]
        np.testing.assert_allclose(features.remaining_life(windows), life)
        np.testing.assert_array_equal(features.labels(windows), np.array(life) < dataset.labels.anomalous_below)
        np.testing.assert_array_equal(features.age(windows), features.times(windows) - 1)
        assert features.age(windows).min() == features.length - 1
    healthy = features.windows("fit", healthy_only=True)
    assert features.remaining_life(healthy).min() == dataset.labels.healthy_from
    assert len(features.windows("test", healthy_only=True)) == 0


def test_scaled_on_healthy_fit_rows_only(tmp_path):
    _, _, features = made(tmp_path, regimes=3)
    fit = np.isin(features.row_unit, [i for i, s in enumerate(features.segments) if s.part == "fit"])
    rows = features.rows[fit & features.row_healthy]
    np.testing.assert_allclose(rows.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(rows.std(0), 1, atol=1e-3)
    before = (tmp_path / "features" / "scaling.npz").read_bytes()
    held_out = {segment.name for segment in features.segments if segment.part == "calibrate"}

    def spoil(table):
        mask = np.isin(np.array(table["unit"].to_pylist()), list(held_out))
        return with_column(table, "sensor_1", np.where(mask, 1e6, table["sensor_1"].to_numpy()))

    rewrite(tmp_path, "train.parquet", spoil)
    _, again = rebuilt(tmp_path, write_raw(tmp_path / "other", regimes=3))
    assert (tmp_path / "features" / "scaling.npz").read_bytes() == before
    assert np.abs(again.rows).max() == 20


def test_rows_are_sorted_by_unit_and_time(tmp_path):
    dataset, _, features = made(tmp_path)
    expected = np.array(features.rows)
    rng = np.random.default_rng(0)

    def shuffle(table):
        # the first row of each unit stays where it is, so that units keep their order of appearance
        order = np.arange(table.num_rows)
        first = np.unique(np.array(table["unit"].to_pylist()), return_index=True)[1]
        rest = np.setdiff1d(order, first)
        return table.take(pa.array(np.concatenate([first, rng.permutation(rest)])))

    rewrite(tmp_path, "train.parquet", shuffle)
    _, again = rebuilt(tmp_path, dataset)
    np.testing.assert_allclose(again.rows, expected, atol=1e-5)


def test_label_column(tmp_path):
    dataset, facts, features = made(tmp_path, labels="column")
    assert dataset.columns.label == "label"
    assert facts["test_anomalous_windows"] == 4 * 15
    for part in ("fit", "calibrate"):
        starts = features.windows(part, healthy_only=True).starts
        assert not any((features.row_label[start : start + 20] == 1).any() for start in starts)


def test_labelled_table_without_test_file_is_tested_on_anomalies_whatever_the_seed(tmp_path):
    dataset = write_raw(tmp_path / "raw", labels="column", test_units=0)
    for seed in range(4):
        facts, _ = rebuilt(tmp_path, dataset.model_copy(update={"split": Split(seed=seed)}))
        assert facts["test_anomalous_windows"] == facts["calibrate_anomalous_windows"] == 15


def test_unlabelled_table_without_test_file(tmp_path):
    _, facts, features = made(tmp_path, labels=None, test_units=0)
    assert facts["test_units"] == 1
    assert facts["healthy_fit_windows"] == facts["fit_windows"]
    assert len(features.windows("test", healthy_only=True)) == 0
    assert set(features.labels(features.windows("test"))) == {-1}
    assert np.isnan(features.remaining_life(features.windows("fit"))).all()


def test_one_unit_is_cut_by_time(tmp_path):
    _, facts, features = made(tmp_path, labels=None, train_units=1, test_units=0, cycles=400)
    assert [segment.part for segment in features.segments] == ["fit", "calibrate", "test"]
    assert facts["units"] == 1
    assert (features.row_unit == -1).sum() == 2 * 20
    calibrate = features.windows("calibrate")
    assert features.age(calibrate)[0] == features.segments[1].start + 19
    assert features.times(calibrate)[0] == features.segments[1].start + 20


def test_gaps_are_filled_and_counted(tmp_path):
    dataset = write_raw(tmp_path / "raw")

    def punch(table):
        values = table["sensor_2"].to_pylist()
        values[0] = values[30] = values[31] = None
        return with_column(table, "sensor_2", values)

    rewrite(tmp_path, "train.parquet", punch)
    facts, features = rebuilt(tmp_path, dataset)
    assert facts["filled_values"] == 3
    assert features.rows[0, 1] == 0
    assert features.rows[31, 1] == features.rows[30, 1] == features.rows[29, 1]
    assert np.isfinite(features.rows).all()


def test_short_units_and_constant_sensors_are_named(tmp_path):
    dataset = write_raw(tmp_path / "raw")
    rewrite(tmp_path, "test.parquet", lambda table: table.filter(keep_short(table)))
    rewrite(tmp_path, "train.parquet", lambda table: with_column(table, "sensor_3", np.full(table.num_rows, 0.3)))
    facts, features = rebuilt(tmp_path, dataset)
    assert facts["short_units"] == ["test_002"]
    assert facts["constant_sensors"] == ["sensor_3"]
    assert "test_002" in features.unit_names
    code = features.unit_names.index("test_002")
    assert code not in features.units(features.windows("test"))


def keep_short(table):
    names, time = np.array(table["unit"].to_pylist()), table["time"].to_numpy()
    return pa.array((names != "test_002") | (time < 15))


def test_timestamps_become_seconds(tmp_path):
    dataset = write_raw(tmp_path / "raw", labels=None)
    for file in ("train.parquet", "test.parquet"):
        rewrite(
            tmp_path,
            file,
            lambda table: with_column(table, "time", (table["time"].to_numpy() * 10**9).astype("datetime64[ns]")),
        )
    _, features = rebuilt(tmp_path, dataset)
    assert features.times(features.windows("fit"))[0] == 20


def test_source_names_are_preferred_within_the_asked_sensors(tmp_path):
    dataset = write_raw(tmp_path / "raw")
    (tmp_path / "raw" / "source.json").write_text(json.dumps({"sensors": ["sensor_4", "sensor_1", "sensor_2"]}))
    narrowed = dataset.model_copy(update={"columns": Columns(sensors=("sensor_1", "sensor_3", "sensor_4"))})
    _, features = rebuilt(tmp_path, narrowed)
    assert features.sensors == ("sensor_4", "sensor_1")
    open_ended = dataset.model_copy(update={"columns": Columns()})
    assert rebuilt(tmp_path, open_ended)[1].sensors == ("sensor_4", "sensor_1", "sensor_2")
    (tmp_path / "raw" / "source.json").unlink()
    with pytest.raises(DataError, match=r"columns\.sensors"):
        rebuilt(tmp_path, open_ended)


def test_stride_is_honoured(tmp_path):
    _, facts, _ = made(tmp_path, stride=5)
    dense, _ = rebuilt(tmp_path, write_raw(tmp_path / "raw", stride=1))
    assert facts["test_windows"] < dense["test_windows"] / 4


def test_statistics_are_bounded_and_named(tmp_path):
    _, _, features = made(tmp_path, train_units=40, sensors=2)
    table = pq.read_table(tmp_path / "features" / "statistics.parquet")
    assert table.schema.names == ["unit", "time", "part", "label", *statistic_names(features.sensors)]
    assert table.schema.field("sensor_1_mean").type == pa.float32()
    parts = table["part"].to_pylist()
    assert parts.count("fit") == min(4000, len(features.windows("fit", healthy_only=True)))
    assert parts.count("test") == len(features.windows("test"))
    test = features.windows("test")
    last = table.filter(pa.array([part == "test" for part in parts])).slice(len(test) - 1).to_pylist()[0]
    assert last["time"] == features.times(test)[-1]
    assert last["sensor_1_mean"] == pytest.approx(test.take(np.array([-1]))[0, 0].mean(), rel=1e-5, abs=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"window": Window(length=500)}, r"window\.length=500: the longest unit"),
        ({"window": Window(length=130)}, r"window\.length"),
        ({"labels": Labels(healthy_from=4000, anomalous_below=20)}, r"labels\.healthy_from"),
        ({"columns": Columns(sensors=("sensor_1", "oil")), "source": {}}, "no column 'oil'"),
    ],
)
def test_unfit_data_names_the_setting(tmp_path, changes, message):
    dataset = write_raw(tmp_path / "raw")
    if "source" in changes:
        (tmp_path / "raw" / "source.json").write_text(json.dumps(changes.pop("source")))
    with pytest.raises(DataError, match=message):
        rebuilt(tmp_path, dataset.model_copy(update=changes))


def test_one_short_unit_is_refused(tmp_path):
    dataset = write_raw(tmp_path / "raw", labels=None, train_units=1, test_units=0, cycles=50)
    with pytest.raises(DataError, match="no calibrate window"):
        rebuilt(tmp_path, dataset)


def test_all_constant_text_and_broken_files_are_refused(tmp_path):
    dataset = write_raw(tmp_path / "raw", sensors=1)
    rewrite(tmp_path, "train.parquet", lambda table: with_column(table, "sensor_1", np.ones(table.num_rows)))
    with pytest.raises(DataError, match="every sensor is constant"):
        rebuilt(tmp_path, dataset)
    rewrite(tmp_path, "train.parquet", lambda table: with_column(table, "sensor_1", ["high"] * table.num_rows))
    with pytest.raises(DataError, match="'sensor_1' holds no numbers"):
        rebuilt(tmp_path, dataset)
    (tmp_path / "raw" / "train.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"train\.parquet: cannot be read"):
        rebuilt(tmp_path, dataset)


def test_empty_times_and_missing_files_are_refused(tmp_path):
    dataset = write_raw(tmp_path / "raw")
    rewrite(tmp_path, "train.parquet", lambda table: with_column(table, "time", [None] + [1] * (table.num_rows - 1)))
    with pytest.raises(DataError, match="'time' is empty in 1 rows"):
        rebuilt(tmp_path, dataset)
    (tmp_path / "raw" / "train.parquet").unlink()
    with pytest.raises(DataError, match=r"train\.parquet: cannot be read"):
        rebuilt(tmp_path, dataset)


def test_missing_folder_is_named(tmp_path):
    with pytest.raises(DataError, match="no usable features folder"):
        FeatureSet.open(tmp_path / "nothing")


def test_reading_batches_stays_flat_with_more_units(tmp_path):
    def peak(units):
        folder = tmp_path / str(units)
        dataset = write_raw(folder / "raw", train_units=units, sensors=2)
        (folder / "features").mkdir()
        build(dataset, folder / "raw", folder / "features")
        windows = FeatureSet.open(folder / "features").windows("fit")
        tracemalloc.start()
        for batch in windows.batches(64):
            assert len(batch)
        _, highest = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return highest

    every_window = 68 * 120 * 2 * 20 * 4
    assert peak(100) < peak(3) + every_window / 10
