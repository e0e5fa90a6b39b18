"""Reports of a person's own files: what lies in the folder, what is printed, and what is refused in one sentence."""

import numpy as np
import pandas as pd
import pytest

from vae_pipeline.errors import DataError, DetectorError
from vae_pipeline.explain_files import explain_file
from vae_pipeline.explanation.explanation import Explanation
from vae_pipeline_tests.detector.examples import made


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    return made(tmp_path_factory.mktemp("explain_files"))


@pytest.fixture
def table(example, tmp_path):
    file = tmp_path / "new.csv"
    pd.read_parquet(example.raw / "test.parquet").to_csv(file, index=False)
    return file


def explained(example, file, **options):
    return explain_file(example.detector, example.dataset, file, **options)


def records(folder):
    return [Explanation.model_validate_json(path.read_text()) for path in sorted(folder.glob("*.json"))]


def test_the_highest_scores_of_a_table_are_explained(example, table):
    told = explained(example, table, top=2)
    found = records(table.with_name("new.csv.explained"))
    scores = example.detector.score_table(example.test_columns()).score
    assert len(found) == 2
    assert found[0].score == pytest.approx(scores.max(), abs=1e-4)
    for one in found:
        assert f"{one.name}: " in told
        assert f"1. {one.sensors[0].name}" in told
    assert len(list(table.with_name("new.csv.explained").glob("*.html"))) == 2


def test_a_row_can_be_asked_for(example, table, tmp_path):
    scores = example.detector.score_table(example.test_columns())
    explained(example, table, row=int(scores.row[3]) + 1, out=tmp_path / "out")
    (found,) = records(tmp_path / "out")
    assert found.score == pytest.approx(scores.score[3], abs=1e-4)


def test_some_sensors_can_be_asked_for_alone(example, table, tmp_path):
    wanted = example.detector.description.sensors[1]
    told = explained(example, table, sensors=[wanted], out=tmp_path / "out")
    (found,) = records(tmp_path / "out")
    assert [sensor.name for sensor in found.sensors] == [wanted]
    assert "  2. " not in told


def test_clips_and_images_are_explained_by_the_same_call(sound_example, image_example, tmp_path):
    clip = sound_example.file_of(sound_example.features.unit_names[0])
    assert "of the evidence" in explained(sound_example, clip, out=tmp_path / "clip")
    explained(image_example, image_example.files()[0], out=tmp_path / "image")
    assert [len(records(tmp_path / name)) for name in ("clip", "image")] == [1, 1]


def test_a_name_that_is_no_file_name_becomes_one(example, tmp_path):
    frame = pd.read_parquet(example.raw / "test.parquet").assign(unit="../../<a>/b")
    frame["time"] = np.arange(len(frame))
    frame.to_csv(tmp_path / "new.csv", index=False)
    explained(example, tmp_path / "new.csv", out=tmp_path / "out")
    (page,) = (tmp_path / "out").glob("*.html")
    assert page.parent == tmp_path / "out"
    assert "&lt;a&gt;" in page.read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sensors": ["sensor2"]}, "sensor 'sensor2': .* has none of that name; close to it are .*sensor_2"),
        ({"row": 1}, r"new\.csv: row 1: no window ends there"),
        ({"top": 0}, "--top 0: at least one"),
    ],
)
def test_what_cannot_be_explained_is_refused_in_one_sentence(example, table, options, message):
    with pytest.raises(DetectorError, match=message) as told:
        explained(example, table, **options)
    assert "\n" not in str(told.value)
    assert not table.with_name("new.csv.explained").exists()


def test_rows_and_sensors_are_refused_where_there_are_none(sound_example, image_example, tmp_path):
    with pytest.raises(DetectorError, match="--row 3: fans holds no tables; leave it out"):
        explained(sound_example, tmp_path, row=3)
    with pytest.raises(DetectorError, match="--sensors a: part holds images, which have no sensors; leave it out"):
        explained(image_example, tmp_path, sensors=["a"])


def test_a_folder_without_an_image_is_named(image_example, tmp_path):
    with pytest.raises(DataError, match="holds no image"):
        explained(image_example, tmp_path)


def test_a_table_without_a_whole_window_is_named(example, table, tmp_path):
    pd.read_csv(table).head(2).to_csv(tmp_path / "short.csv", index=False)
    with pytest.raises(DetectorError, match=r"short\.csv: no unit has the \d+ rows that a window needs"):
        explained(example, tmp_path / "short.csv")
