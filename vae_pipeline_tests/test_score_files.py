"""New files to a file of scores: tables, recordings, images and folders of them, each wrong input in one sentence."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from vae_pipeline.errors import DataError, DetectorError, StorageError
from vae_pipeline.features.pictures import decode_picture
from vae_pipeline.score_files import score_file
from vae_pipeline_tests.builders.pictures import save
from vae_pipeline_tests.builders.recordings import write_clip
from vae_pipeline_tests.detector.examples import made

PIXELS = 10**6


@pytest.fixture(scope="module")
def table_example(tmp_path_factory):
    return made(tmp_path_factory.mktemp("table"), sensors=2, labels=None, test_units=2, cycles=60)


@pytest.fixture
def images(image_example, tmp_path):
    """Some test images in a folder with others below it, beside a file that is no image."""
    files = [file for file in image_example.files() if "test" in file.parts][:4]
    folder = tmp_path / "new"
    for number, file in enumerate(files):
        target = folder / f"{'deeper/' * (number % 2)}{number}.PNG"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.read_bytes())
    (folder / "notes.txt").write_text("no image")
    return folder


@pytest.fixture
def clips(sound_example, tmp_path):
    folder = tmp_path / "clips"
    for name in ("normal/00000000", "abnormal/00000001"):
        target = folder / f"{name.replace('/', '_')}.wav"
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(sound_example.file_of(name).read_bytes())
    return folder


def scored(example, file, out=None, maps=None):
    sentence = score_file(example.detector, example.dataset, file, out, maps)
    target = out or file.with_name(f"{file.stem}.scores.csv")
    assert sentence.startswith(f"{target}: ")
    return (pd.read_parquet if target.suffix == ".parquet" else pd.read_csv)(target), sentence


def test_a_table_gets_a_row_for_each_window_with_its_unit_and_time(table_example, tmp_path):
    table = pd.read_parquet(table_example.raw / "test.parquet")
    table.to_csv(tmp_path / "new.csv", index=False)
    found, sentence = scored(table_example, tmp_path / "new.csv")
    expected = table_example.detector.score_table(table_example.test_columns())
    assert list(found) == ["unit", "time", "row", "score", "alarm", "threshold"]
    np.testing.assert_allclose(found["score"], expected.score, rtol=1e-6)
    np.testing.assert_array_equal(found["row"], expected.row + 1)
    np.testing.assert_array_equal(found["unit"], table["unit"].to_numpy()[expected.row])
    assert f"{len(found):,} windows, {int(expected.alarm.sum()):,} alarms" in sentence


def test_a_folder_of_clips_is_scored_in_order_of_their_names(sound_example, clips):
    found, sentence = scored(sound_example, clips)
    assert found["clip"].tolist() == ["abnormal_00000001.wav", "normal_00000000.wav"]
    expected = sound_example.detector.score_clips([clips / name for name in found["clip"]])
    np.testing.assert_allclose(found["score"], expected.score)
    assert found["alarm"].tolist() == expected.alarm.tolist()
    np.testing.assert_allclose(found["threshold"], sound_example.detector.description.threshold.value)
    assert "2 clips, " in sentence


def test_one_clip_is_scored_as_in_its_folder(sound_example, clips):
    together, _ = scored(sound_example, clips)
    alone, sentence = scored(sound_example, clips / "normal_00000000.wav")
    assert alone["clip"].tolist() == ["normal_00000000.wav"]
    assert alone["score"][0] == pytest.approx(together["score"][1])
    assert "1 clips, " in sentence


def test_a_folder_of_images_is_scored_at_any_depth(image_example, images, tmp_path):
    found, sentence = scored(image_example, images, tmp_path / "out.parquet")
    assert found["image"].tolist() == ["0.PNG", "2.PNG", "deeper/1.PNG", "deeper/3.PNG"]
    expected = list(image_example.detector.score_pictures([images / name for name in found["image"]]))
    np.testing.assert_allclose(found["score"], [image.score for image in expected])
    assert found["alarm"].tolist() == [image.alarm for image in expected]
    assert "4 images, " in sentence


def test_maps_are_pictures_of_the_images_own_size(image_example, images, tmp_path):
    wide = np.zeros((50, 70, 3), np.uint8) + np.arange(70, dtype=np.uint8)[:, None]
    save(images / "wide.png", wide)
    found, _ = scored(image_example, images, maps=tmp_path / "maps")
    written = sorted(path.relative_to(tmp_path / "maps").as_posix() for path in (tmp_path / "maps").rglob("*.png"))
    assert written == sorted(f"{name}.map.png" for name in found["image"])
    level = image_example.detector.description.map_level
    for name in found["image"]:
        [expected] = image_example.detector.score_pictures([images / name])
        with Image.open(tmp_path / "maps" / f"{name}.map.png") as picture:
            grey = np.array(picture)
        assert grey.shape == decode_picture(images / name, name, PIXELS).shape[:2]
        # what normal images hardly exceed is the middle grey
        np.testing.assert_array_equal(grey >= 128, expected.map >= level * (1 - 1e-6))


def test_one_image_has_its_map_under_its_own_name(image_example, images, tmp_path):
    found, _ = scored(image_example, images / "0.PNG", maps=tmp_path / "maps")
    assert found["image"].tolist() == ["0.PNG"]
    assert [path.name for path in (tmp_path / "maps").iterdir()] == ["0.PNG.map.png"]


def test_the_folder_one_stands_in_can_be_scored(image_example, images, monkeypatch):
    monkeypatch.chdir(images)
    sentence = score_file(image_example.detector, image_example.dataset, Path(), None, None)
    assert "4 images" in sentence
    assert (images.parent / "new.scores.csv").exists()


def assert_one_sentence(error, *parts):
    text = str(error.value)
    assert all(part in text for part in parts), text
    assert "\n" not in text


def test_maps_of_recordings_are_refused_before_anything_is_scored(sound_example, clips, tmp_path):
    with pytest.raises(DetectorError) as told:
        score_file(sound_example.detector, sound_example.dataset, clips, None, tmp_path / "maps")
    assert_one_sentence(told, "--maps", "fans holds no images; leave it out")
    assert not (tmp_path / "maps").exists()


def test_a_path_that_is_not_there_is_named(image_example, tmp_path):
    with pytest.raises(DataError) as told:
        score_file(image_example.detector, image_example.dataset, tmp_path / "none", None, None)
    assert_one_sentence(told, f"{tmp_path / 'none'}: there is no such file or folder")


def test_a_folder_without_the_right_files_says_which_those_are(image_example, sound_example, clips, images):
    with pytest.raises(DataError) as told:
        score_file(image_example.detector, image_example.dataset, clips, None, None)
    assert_one_sentence(told, f"{clips}: holds no image (", ".png", "; name a file or another folder")
    with pytest.raises(DataError) as told:
        score_file(sound_example.detector, sound_example.dataset, images, None, None)
    assert_one_sentence(told, f"{images}: holds no wav file (.wav)")


def test_a_file_of_another_kind_is_named(image_example, sound_example, tmp_path):
    note = tmp_path / "note.txt"
    note.write_text("neither")
    for example in (image_example, sound_example):
        with pytest.raises(DataError) as told:
            score_file(example.detector, example.dataset, note, None, None)
        assert_one_sentence(told, "note.txt")
    assert not (tmp_path / "note.scores.csv").exists()


def test_a_clip_of_another_rate_in_a_folder_is_named(sound_example, clips):
    write_clip(clips / "slow.wav", np.full(4000, 0.1), rate=8000)
    with pytest.raises(DataError) as told:
        score_file(sound_example.detector, sound_example.dataset, clips, None, None)
    assert_one_sentence(told, "slow.wav", "8000 samples a second where 16000 are expected")


def test_a_missing_column_names_file_and_column(table_example, tmp_path):
    pd.read_parquet(table_example.raw / "test.parquet").drop(columns="sensor_2").to_csv(tmp_path / "new.csv")
    with pytest.raises((DataError, DetectorError)) as told:
        score_file(table_example.detector, table_example.dataset, tmp_path / "new.csv", None, None)
    assert_one_sentence(told, "new.csv", "sensor_2")


def test_scores_that_cannot_be_written_name_the_file(image_example, images, tmp_path):
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(StorageError) as told:
        score_file(image_example.detector, image_example.dataset, images, tmp_path / "taken/out.csv", None)
    assert_one_sentence(told, "taken")


def test_a_detector_of_another_medium_than_the_dataset_is_refused(image_example, sound_example, clips):
    with pytest.raises(DetectorError) as told:
        score_file(image_example.detector, sound_example.dataset, clips, None, None)
    assert_one_sentence(told, "vision-part", "medium image", "fans is sound now; train it again")
