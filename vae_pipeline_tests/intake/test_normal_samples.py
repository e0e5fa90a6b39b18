"""What passes for normal in a batch is scored by real detectors, and what is labelled anomalous is not."""

import shutil

import numpy as np
import pandas as pd
import pytest

from vae_pipeline.errors import DataError
from vae_pipeline.intake.screen import normal_samples
from vae_pipeline_tests.detector.examples import made


def batch_of(example, folder):
    """The example's own training part as a batch."""
    shutil.copytree(example.raw, folder)
    shutil.copyfile(folder / "train.parquet", folder / "batch.parquet")
    return folder, pd.read_parquet(folder / "batch.parquet")


def test_recordings_one_by_one(sound_example, tmp_path):
    folder, rows = batch_of(sound_example, tmp_path / "batch")
    normal = rows[rows["label"] == 0]
    scores, samples = normal_samples(sound_example.detector, sound_example.dataset, folder)
    assert [sample.unit for sample in samples] == normal["unit"].tolist()
    expected = sound_example.detector.score_clips([folder / name for name in normal["file"]]).score
    assert np.array_equal(scores, expected)
    assert len(scores) < len(rows)


def test_images_one_by_one_but_for_those_that_cannot_be_read(image_example, tmp_path):
    folder, rows = batch_of(image_example, tmp_path / "batch")
    rows.loc[0, "problem"] = "cut off"
    rows.loc[1, "label"] = 1
    rows.to_parquet(folder / "batch.parquet")
    scores, samples = normal_samples(image_example.detector, image_example.dataset, folder)
    assert [sample.unit for sample in samples] == rows["unit"].tolist()[2:]
    expected = image_example.detector.score_pictures([folder / name for name in rows["file"][2:]])
    assert np.allclose(scores, [image.score for image in expected])


def test_a_champion_of_another_medium_scores_nothing(sound_example, image_example, tmp_path):
    folder, _ = batch_of(image_example, tmp_path / "batch")
    with pytest.raises(DataError, match="is of medium sound, not image"):
        normal_samples(sound_example.detector, image_example.dataset, folder)


def test_windows_stay_inside_of_a_unit_whether_or_not_the_catalogue_states_one(tmp_path):
    example = made(tmp_path / "made")
    folder, rows = batch_of(example, tmp_path / "batch")
    expected = normal_samples(example.detector, example.dataset, folder)
    description = example.detector.description.model_copy(update={"unit_column": None, "time_column": None})
    example.detector.description = description
    scores, samples = normal_samples(example.detector, example.dataset, folder)
    assert {sample.unit for sample in samples} == set(rows["unit"])
    assert samples == expected[1]
    assert np.array_equal(scores, expected[0])
