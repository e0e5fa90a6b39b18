"""A detector answers "why" by itself, in records that survive as JSON; its score is the one it always gives."""

import numpy as np
import pytest

from vae_pipeline.calibration.faults import inject
from vae_pipeline.detector.detector import Detector
from vae_pipeline.detector.images import full_size
from vae_pipeline.errors import DetectorError
from vae_pipeline.explanation.explanation import Explanation
from vae_pipeline.features.pictures import decode_picture
from vae_pipeline.features.windows import Windows
from vae_pipeline_tests.detector.examples import made


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    return made(tmp_path_factory.mktemp("explain"))


def without_decoder(detector, folder):
    detector.save(folder)
    (folder / "decoder.onnx").unlink()
    return Detector.load(folder)


def assert_survives(explanation):
    assert Explanation.model_validate_json(explanation.model_dump_json()) == explanation


def test_a_row_of_a_table_is_explained_with_the_score_of_that_row(example):
    columns, scores = example.test_columns(), example.detector.score_table(example.test_columns())
    row = int(scores.row[7])
    (found,) = example.detector.explain_table(columns, [row])
    assert found.score == pytest.approx(scores.score[7], abs=1e-5)
    assert found.alarm == bool(scores.alarm[7])
    assert (found.unit, found.row) == (str(columns["unit"][row]), row + 1)
    assert found.time == str(columns["time"][row])
    assert {sensor.name for sensor in found.sensors} == set(example.detector.description.sensors)
    assert {latent.dimension for latent in found.latents} == {0, 1, 2}
    assert_survives(found)


def test_without_a_row_the_highest_scores_are_explained(example):
    scores = example.detector.score_table(example.test_columns())
    first, second = example.detector.explain_table(example.test_columns(), top=2)
    assert first.score == pytest.approx(scores.score.max(), abs=1e-5)
    assert second.unit != first.unit


@pytest.mark.parametrize("row", [0, 10**6, -1])
def test_a_row_that_ends_no_window_is_refused_in_one_sentence(example, row):
    with pytest.raises(DetectorError, match=f"row {row + 1}: no window ends there; the table has ") as told:
        example.detector.explain_table(example.test_columns(), [row])
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("sensor", range(3))
def test_a_fault_injected_into_a_sensor_is_found_there_and_then(example, sensor):
    clean = example.features.windows("calibrate").take(slice(0, 1))
    faulty = inject(clean, "stuck", np.array([sensor]), 15.0)
    windows = Windows(np.ascontiguousarray(faulty[0].T), np.zeros(1, np.int64), faulty.shape[2])
    from vae_pipeline.detector.explained import Named

    (found,) = example.detector.explain_scaled(windows, [Named("made")])
    assert found.sensors[0].name == example.detector.description.sensors[sensor]
    assert found.start >= faulty.shape[2] // 2 - 2
    assert found.end == faulty.shape[2] - 1


def test_windows_in_raw_units_are_explained_as_they_are_scored(example):
    columns = example.test_columns()
    length = example.detector.description.window
    window = np.stack([columns[name][:length] for name in example.detector.description.inputs])[None]
    (found,) = example.detector.explain_windows(window, ["mine"])
    assert found.name == "mine"
    assert found.score == pytest.approx(example.detector.score_windows(window).score[0], abs=1e-5)


def test_moving_a_latent_to_normal_changes_the_score_by_what_is_told(example):
    """Said of the network as torch runs it."""
    import torch

    from vae_pipeline.calibration.scorers import Observation
    from vae_pipeline.models.fit import load_network
    from vae_pipeline.models.timeseries.network import TimeSeriesVAE

    network = load_network(example.network.parent, TimeSeriesVAE)
    (found,) = example.detector.explain_table(example.test_columns())
    table = example.detector.table_windows(example.test_columns())
    window = table.windows.take(np.array([table.window_of(found.row - 1)]))
    latent = example.detector.session.observe(window).latent
    for each in found.latents:
        moved = latent.copy()
        moved[0, each.dimension] = each.normal
        with torch.no_grad():
            there = network.decode(torch.from_numpy(moved)).numpy()
        score = example.detector.score_observation(Observation(window, there, moved))[0]
        assert each.change == pytest.approx(score - found.score, abs=1e-4)


def test_a_detector_without_a_decoder_loads_and_says_nothing_of_latents(example, tmp_path):
    old = without_decoder(example.detector, tmp_path / "old")
    (found,) = old.explain_table(example.test_columns())
    (whole,) = example.detector.explain_table(example.test_columns())
    assert found == whole.model_copy(update={"latents": ()})
    assert whole.latents


def test_a_detector_without_statistics_of_sensors_scores_and_says_what_to_do(example, tmp_path):
    example.detector.save(tmp_path / "old")
    with np.load(tmp_path / "old/arrays.npz") as arrays:
        kept = {name: arrays[name] for name in arrays.files if not name.startswith("sensors.")}
    np.savez(tmp_path / "old/arrays.npz", **kept)
    old = Detector.load(tmp_path / "old")
    assert len(old.score_table(example.test_columns()).score)
    with pytest.raises(DetectorError, match="was calibrated before detectors explained; run the line again"):
        old.explain_table(example.test_columns())


def test_an_unknown_sensor_is_refused_with_names_close_to_it(example):
    with pytest.raises(DetectorError, match=r"sensor 'sensor2': .* has none of that name; close to it are .*sensor_2"):
        example.detector.require_sensors(["sensor2"])
    with pytest.raises(DetectorError, match=r"there are "):
        example.detector.require_sensors(["qqq"])
    example.detector.require_sensors(example.detector.description.sensors)


def test_a_clip_is_explained_with_its_score_by_mel_bands(sound_example, tmp_path):
    unit = sound_example.features.unit_names[0]
    file = sound_example.file_of(unit)
    (found,) = sound_example.detector.explain_clips([file])
    assert found.score == pytest.approx(sound_example.detector.score_clips([file]).score[0], abs=1e-6)
    assert {sensor.name for sensor in found.sensors} == set(sound_example.detector.description.sensors)
    assert {latent.dimension for latent in found.latents} == {0, 1, 2}
    assert_survives(found)
    (bytes_alike,) = sound_example.detector.explain_clips([(str(file), file.read_bytes())])
    assert bytes_alike == found
    (old,) = without_decoder(sound_example.detector, tmp_path / "old").explain_clips([file])
    assert old == found.model_copy(update={"latents": ()})


def test_an_image_is_explained_with_its_score_by_regions_at_its_own_size(image_example, tmp_path):
    detector, files = image_example.detector, image_example.files()
    for image, scored, file in zip(
        detector.explain_pictures(files), detector.score_pictures(files), files, strict=True
    ):
        found = image.explanation
        assert found.score == pytest.approx(scored.score, abs=1e-4)
        assert found.alarm == scored.alarm
        assert image.map.shape == decode_picture(file, file.name, 10**6).shape[:2]
        np.testing.assert_allclose(image.map, scored.map, atol=1e-3)
        assert sum(region.area for region in found.regions) == (image.regions > 0).sum()
        assert_survives(found)
    assert len(found.latents) == 3
    old = without_decoder(detector, tmp_path / "old")
    assert next(iter(old.explain_pictures(files[:1]))).explanation.latents == ()


def test_full_size_keeps_a_map_that_fits():
    score_map = np.random.default_rng(0).random((4, 6)).astype(np.float32)
    np.testing.assert_array_equal(full_size(score_map, (4, 6)), score_map)
