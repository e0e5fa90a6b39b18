"""One detector, three ways in: whoever hands it readings gets the same score."""

import json
from copy import copy

import numpy as np
import pytest
import torch

from vae_pipeline.calibration.scorers import Observation
from vae_pipeline.detector.detector import Detector
from vae_pipeline.detector.session import BATCH, NetworkSession
from vae_pipeline.detector.times import sortable
from vae_pipeline.errors import DetectorError
from vae_pipeline.models.fit import load_network
from vae_pipeline.models.timeseries.network import TimeSeriesVAE
from vae_pipeline_tests.detector.examples import made

CLOSE = {"rtol": 0, "atol": 1e-5}


@pytest.fixture(scope="module", params=[1, 6], ids=["one regime", "six regimes"])
def example(request, tmp_path_factory):
    return made(tmp_path_factory.mktemp("detector"), regimes=request.param, cycles=180)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return made(tmp_path_factory.mktemp("plain"))


def raw_windows(example, columns, scores):
    """The windows that a table's scores belong to, in raw units."""
    inputs = np.stack([columns[name] for name in example.detector.description.inputs], axis=1)
    length = example.detector.description.window
    return np.stack([inputs[row - length + 1 : row + 1].T for row in scores.row])


def test_table_windows_and_scaled_rows_score_alike(example):
    columns, windows = example.test_columns(), example.features.windows("test")
    by_table = example.detector.score_table(columns)
    scaled = example.detector.score_scaled(windows)
    raw = example.detector.score_windows(raw_windows(example, columns, by_table))
    assert len(by_table.score) == len(windows) > 100
    np.testing.assert_allclose(by_table.score, scaled.score, **CLOSE)
    np.testing.assert_allclose(by_table.score, raw.score, **CLOSE)
    assert np.array_equal(by_table.alarm, scaled.alarm)
    assert np.array_equal(by_table.alarm, raw.alarm)
    assert by_table.short_units == ()


def test_rows_of_units_may_be_mixed(example):
    columns = example.test_columns()
    order = np.random.default_rng(0).permutation(len(columns["time"]))
    straight = example.detector.score_table(columns)
    mixed = example.detector.score_table({name: values[order] for name, values in columns.items()})
    found = dict(zip(order[mixed.row].tolist(), mixed.score.tolist(), strict=True))
    np.testing.assert_allclose([found[row] for row in straight.row.tolist()], straight.score, **CLOSE)


def test_units_are_scored_in_order_of_first_appearance(plain):
    columns = plain.test_columns()
    units = columns["unit"]
    backwards = np.concatenate([np.flatnonzero(units == name) for name in sorted(set(units.tolist()), reverse=True)])
    scores = plain.detector.score_table({name: values[backwards] for name, values in columns.items()})
    assert (np.diff(scores.row) > 0).all()


@pytest.mark.parametrize("gap", [np.nan, np.inf, -np.inf])
def test_a_gap_is_filled_by_the_last_known_value(example, gap):
    columns = example.test_columns()
    sensor = columns["sensor_2"].copy()
    filled = sensor.copy()
    sensor[40:43], filled[40:43] = gap, sensor[39]
    found = example.detector.score_table({**columns, "sensor_2": sensor})
    assert np.isfinite(found.score).all()
    if np.isnan(gap) and example.features.scaler.regimes == 1:
        expected = example.detector.score_table({**columns, "sensor_2": filled})
        np.testing.assert_allclose(found.score, expected.score, **CLOSE)
    inside = (found.row >= 42) & (found.row < 40 + example.features.length - 1)
    by_window = example.detector.score_windows(raw_windows(example, {**columns, "sensor_2": sensor}, found)[inside])
    np.testing.assert_allclose(by_window.score, found.score[inside], **CLOSE)


def test_a_sensor_that_is_missing_throughout_counts_as_normal(plain):
    columns = plain.test_columns()
    silent = plain.detector.score_table({**columns, "sensor_1": np.full(len(columns["time"]), np.nan)})
    assert np.isfinite(silent.score).all()


def test_a_unit_shorter_than_a_window_is_listed_and_not_scored(plain):
    columns = plain.test_columns()
    whole = plain.detector.score_table(columns)
    keep = (columns["unit"] != "test_002") | (columns["time"] < 5)
    scores = plain.detector.score_table({name: values[keep] for name, values in columns.items()})
    assert scores.short_units == ("test_002",)
    rows = np.flatnonzero(keep)[scores.row]
    assert np.array_equal(rows, whole.row[columns["unit"][whole.row] != "test_002"])


def test_without_unit_and_time_a_table_is_one_unit_in_order(plain):
    columns = plain.test_columns()
    first = columns["unit"] == "test_001"
    alone = {name: values[first] for name, values in columns.items() if name.startswith("sensor")}
    expected = plain.detector.score_table({name: values[first] for name, values in columns.items()})
    np.testing.assert_allclose(plain.detector.score_table(alone).score, expected.score, **CLOSE)


@pytest.mark.parametrize("role", ["unit", "time"])
def test_a_column_named_like_a_role_that_is_not_stated_changes_nothing(plain, role):
    columns = plain.test_columns()
    first = {name: values[columns["unit"] == "test_001"] for name, values in columns.items()}
    detector = copy(plain.detector)
    detector.description = detector.description.model_copy(update={"unit_column": None, "time_column": None})
    expected = plain.detector.score_table(first)
    found = detector.score_table({**first, role: first["time"] * 7 % 11})
    np.testing.assert_allclose(found.score, expected.score, **CLOSE)
    assert np.array_equal(found.row, expected.row)


def test_units_given_beside_a_table_stand_for_its_own_columns(plain):
    columns = plain.test_columns()
    expected = plain.detector.score_table(columns)
    codes = np.unique(columns["unit"], return_inverse=True)[1]
    spoilt = {**columns, "unit": columns["unit"][::-1], "time": columns["time"] * 7 % 11}
    found = plain.detector.score_table(spoilt, unit=codes)
    np.testing.assert_allclose(found.score, expected.score, **CLOSE)
    assert np.array_equal(found.row, expected.row)


def test_times_written_as_text_count_as_numbers(plain):
    columns = plain.test_columns()
    expected = plain.detector.score_table(columns)
    for text in (columns["time"].astype(str), columns["time"].astype(str).astype(object)):
        found = plain.detector.score_table({**columns, "time": text})
        assert np.array_equal(found.row, expected.row)


def test_times_may_be_dates(plain):
    columns = plain.test_columns()
    dates = np.datetime64("2024-01-01", "ns") + columns["time"].astype("timedelta64[s]")
    expected = plain.detector.score_table(columns)
    for given in (dates, dates.astype(str), dates.astype(object)):
        assert np.array_equal(plain.detector.score_table({**columns, "time": given}).row, expected.row)


def test_times_of_several_zones_are_one_clock(plain):
    columns = plain.test_columns()
    moments = np.datetime64("2024-01-01", "s") + columns["time"].astype("timedelta64[s]")
    zones = np.arange(len(moments)) % 3
    local = moments + zones.astype("timedelta64[h]")
    texts = np.array([f"{time}+0{zone}:00" for time, zone in zip(local, zones, strict=True)])
    expected = plain.detector.score_table(columns)
    assert np.array_equal(plain.detector.score_table({**columns, "time": texts}).row, expected.row)


@pytest.mark.parametrize(
    ("texts", "order"),
    [
        (["2024-01-01 00:00:00.5", "2024-01-01", "2024-01-01T00:00:00.25"], [1, 2, 0]),
        (["", "10", "9"], [2, 1, 0]),
        (["2024-01-02", "", "2024-01-01"], [2, 0, 1]),
        (["2024-01-01T10:00:00+02:00", "2024-01-01 09:00:00Z"], [0, 1]),
    ],
)
def test_text_is_read_as_times(texts, order):
    for kind in (object, str, "S"):
        assert np.argsort(sortable(np.array(texts, dtype=kind), "time"), kind="stable").tolist() == order


@pytest.mark.parametrize(
    ("texts", "told"),
    [
        (["31.01.2024 10:00", "01.02.2024 10:00"], "row 1: '31.01.2024 10:00' is no time that can be sorted"),
        (["2024-01-01", "17"], "row 2: '17' is no time that can be sorted"),
        (["2024-01-01 00:00", "2024-01-01T00:00Z"], "row 2: '2024-01-01T00:00Z' has a zone, which rows before it lack"),
        (["0001-01-01T00:00+14:00"], r"row 1: '0001-01-01T00:00\+14:00' is no time that can be sorted"),
    ],
)
def test_text_that_is_no_time_is_not_sorted(texts, told):
    with pytest.raises(DetectorError, match=f"column 'time', {told}"):
        sortable(np.array(texts), "time")


def test_progress_counts_every_window_over_several_batches(plain):
    columns = plain.test_columns()
    columns = {name: np.concatenate([values, values]) for name, values in columns.items()}
    columns["unit"] = np.repeat(["first", "second"], len(columns["time"]) // 2)
    told = []
    scores = plain.detector.score_table(columns, told.append)
    assert sum(told) == len(scores.score) > BATCH
    assert max(told) == BATCH


def test_no_rows_give_no_scores(plain):
    empty = {name: values[:0] for name, values in plain.test_columns().items()}
    assert len(plain.detector.score_table(empty).score) == 0
    n_inputs, length = len(plain.detector.description.inputs), plain.detector.description.window
    assert len(plain.detector.score_windows(np.empty((0, n_inputs, length))).score) == 0


def test_a_missing_column_is_named_with_those_that_are_read(plain):
    columns = plain.test_columns()
    del columns["sensor_3"]
    with pytest.raises(DetectorError, match="column 'sensor_3' is missing; timeseries-tiny reads sensor_1, sensor_2"):
        plain.detector.score_table(columns)
    with pytest.raises(DetectorError, match="column 'sensor_1' is missing"):
        plain.detector.score_table({})


def test_a_text_column_is_named(plain):
    columns = plain.test_columns()
    columns["sensor_2"] = np.full(len(columns["time"]), "high")
    with pytest.raises(DetectorError, match="column 'sensor_2' is not numeric"):
        plain.detector.score_table(columns)


@pytest.mark.parametrize("shape", [(5, 4, 19), (5, 3, 20), (4, 20), (5, 20, 4)])
def test_windows_of_another_shape_are_refused_with_the_right_one(plain, shape):
    with pytest.raises(DetectorError, match=r"not \(n, 4, 20\) with channels sensor_1, sensor_2, sensor_3, sensor_4"):
        plain.detector.score_windows(np.zeros(shape))


def test_extreme_and_constant_readings_have_finite_scores(plain):
    shape = (3, 4, 20)
    for value in (0.0, 1e300, -1e300, np.inf, np.nan):
        assert np.isfinite(plain.detector.score_windows(np.full(shape, value)).score).all()


def test_a_saved_detector_is_the_same_detector(example, tmp_path):
    columns = example.test_columns()
    example.detector.save(tmp_path / "saved")
    assert {path.name for path in (tmp_path / "saved").iterdir()} == {
        "model.onnx",
        "decoder.onnx",
        "detector.json",
        "arrays.npz",
    }
    again = Detector.load(tmp_path / "saved")
    assert again.description == example.detector.description
    expected, found = example.detector.score_table(columns), again.score_table(columns)
    assert np.array_equal(found.score, expected.score)
    assert np.array_equal(found.alarm, expected.alarm)
    assert set(again.reference) == {"scores", "latents", "inputs", "units"}
    assert np.array_equal(again.reference["scores"], example.detector.reference["scores"])


@pytest.mark.parametrize("name", ["model.onnx", "detector.json", "arrays.npz"])
@pytest.mark.parametrize("harm", ["missing", "torn", "empty"])
def test_a_spoilt_file_is_named(plain, tmp_path, name, harm):
    plain.detector.save(tmp_path)
    file = tmp_path / name
    content = file.read_bytes()
    file.unlink()
    if harm != "missing":
        file.write_bytes(content[: len(content) // 2] if harm == "torn" else b"")
    with pytest.raises(DetectorError, match=name):
        Detector.load(tmp_path).score_windows(np.zeros((1, 4, 20)))


def test_another_format_asks_for_a_new_registration(plain, tmp_path):
    plain.detector.save(tmp_path)
    file = tmp_path / "detector.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "format": 99}))
    with pytest.raises(DetectorError, match="format 99 is not 1; register the detector again"):
        Detector.load(tmp_path)


def test_torch_and_onnx_decide_alike(example):
    network = load_network(example.network.parent, TimeSeriesVAE)
    windows = example.features.windows("test").take(slice(None))
    with torch.no_grad():
        reconstruction, posterior = network(torch.from_numpy(windows))
    by_torch = example.detector.score_observation(Observation(windows, reconstruction.numpy(), posterior.mean.numpy()))
    by_onnx = example.detector.score_observation(NetworkSession(example.network).observe(windows))
    np.testing.assert_allclose(by_torch, by_onnx, rtol=0, atol=1e-4)
    clear = np.abs(by_onnx - example.detector.description.threshold.value) > 1e-4
    assert clear.mean() > 0.99
    assert np.array_equal(example.detector.decide(by_torch)[clear], example.detector.decide(by_onnx)[clear])


def test_settings_are_read_only_where_regimes_matter(example):
    description = example.detector.description
    several = example.features.scaler.regimes > 1
    assert description.settings == (("setting_1", "setting_2") if several else ())
    assert description.inputs == (*description.sensors, *description.settings)
    assert description.name == "timeseries-tiny"
