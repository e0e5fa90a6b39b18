"""The reference of a detector holds what its service would have logged of the same samples."""

import numpy as np
import pytest

from vae_pipeline.detector.detector import Detector
from vae_pipeline.drift.judge import input_names
from vae_pipeline.drift.samples import reference_of
from vae_pipeline.features.feature_set import FeatureSet
from vae_pipeline.features.image_set import ImageSet
from vae_pipeline.features.inputs import window_means
from vae_pipeline.serving.asked import Asked
from vae_pipeline.serving.body import Body
from vae_pipeline_tests.detector.examples import columns_of, made


@pytest.mark.parametrize("regimes", [1, 3])
def test_inputs_of_windows_are_those_that_the_service_logs(tmp_path, regimes):
    """Of a table of raw readings: sensors, and where regimes matter settings, each as they came."""
    example = made(tmp_path, regimes=regimes)
    columns, detector = columns_of(example.raw / "test.parquet"), example.detector
    table = detector.table_windows(columns)
    served = np.stack(
        [
            window_means(np.asarray(columns[name])[table.row], table.windows.starts, table.windows.length)
            for name in detector.description.inputs
        ],
        axis=1,
    )
    windows = example.features.windows("test")
    kept = example.features.inputs(windows)
    assert len(kept) == len(served)
    np.testing.assert_allclose(np.sort(kept, axis=0), np.sort(served, axis=0), rtol=1e-4, atol=1e-3)


def test_features_made_before_settings_were_kept_have_no_inputs(tmp_path):
    example = made(tmp_path, regimes=3)
    (example.features.folder / "settings.npy").unlink()
    opened = type(example.features).open(example.features.folder)
    assert opened.inputs(opened.windows("test")) is None


def kept_alike(packed):
    kept = Detector.load(packed.folder / "detector").reference
    assert {"scores", "latents", "inputs", "units"} <= set(kept)
    assert len({len(kept[name]) for name in ("scores", "latents", "inputs", "units")}) == 1
    assert np.isfinite(kept["inputs"]).all()
    assert kept["inputs"].shape[1] == len(input_names(packed.detector))
    given = packed.served().samples(Body(packed.model.example.content_type, packed.example), Asked(gaps=True)).inputs
    assert given.shape[1] == kept["inputs"].shape[1]


def test_every_medium_keeps_scores_latents_inputs_and_units(packed_table, packed_sound, packed_image):
    for packed in (packed_table, packed_sound, packed_image):
        kept_alike(packed)


@pytest.mark.slow
def test_pairs_keep_them_too(packed_pair):
    kept_alike(packed_pair)


def test_means_of_colours_and_bands_are_those_of_the_calibration_samples(packed_sound, packed_image):
    images, frames = ImageSet.open(packed_image.features), FeatureSet.open(packed_sound.features)
    calibrate = images.index("calibrate")
    expected = np.stack([images.pixels[place].mean(axis=(0, 1)) for place in calibrate.tolist()])
    assert_rows_among(packed_image.detector.reference["inputs"], expected)
    scaler = packed_sound.detector.scaler
    clips = [frames.rows[each.start : each.stop].mean(axis=0) for each in frames.segments if each.part != "test"]
    assert_rows_among(packed_sound.detector.reference["inputs"], np.stack(clips) * scaler.sd[0] + scaler.mean[0])


def assert_rows_among(found, rows):
    for row in found:
        assert np.isclose(rows, row, rtol=1e-5).all(axis=1).any()


def test_a_detector_of_before_still_has_a_reference(packed_table, tmp_path):
    packed_table.detector.save(tmp_path)
    with np.load(tmp_path / "arrays.npz") as stored:
        arrays = {name: stored[name] for name in stored.files if name not in ("reference.inputs", "reference.units")}
    np.savez(tmp_path / "arrays.npz", allow_pickle=False, **arrays)
    found = reference_of(Detector.load(tmp_path))
    assert found.inputs is None
    assert found.unit_count == len(found)
