"""The example beside a model: sent as it is, it gets the scores that evaluation wrote."""

import csv
import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vae_pipeline.detector.detector import Judged
from vae_pipeline.detector.packed import EXAMPLE, read_example
from vae_pipeline.evaluation.example import WINDOWS, write_example
from vae_pipeline.evaluation.result import read_scored
from vae_pipeline.features.feature_set import FeatureSet
from vae_pipeline.serving.asked import Asked
from vae_pipeline.serving.body import Body
from vae_pipeline_tests.detector.examples import made
from vae_pipeline_tests.detector.sound_examples import made_sounds
from vae_pipeline_tests.serving.packed import pack_sound, pack_table, scored

CLOSE = {"rtol": 1e-6, "atol": 1e-6}


@pytest.fixture(params=["table", "sound", "image", "pair"])
def packed(request):
    return request.getfixturevalue(f"packed_{request.param}")


def answered(packed, folder=None):
    """Scores of the example, sent to a service, and those that it says."""
    folder = folder or packed.folder / EXAMPLE
    example = read_example(folder)
    served = packed.served()
    samples = served.samples(Body(example.content_type, (folder / example.file).read_bytes()), Asked())
    return Judged.joined(served.judged([chunk.payload for chunk in samples.chunks])).score, example.scores


def written(packed, folder, *, raw=None, evaluation=None, detector=None, features=None):
    """Write an example anew, of something else."""
    write_example(
        packed.dataset,
        features or packed.features,
        raw=raw or packed.raw,
        evaluation=evaluation or packed.evaluation,
        detector=detector or packed.detector,
        folder=folder,
    )
    return folder


def test_the_example_gets_the_scores_it_says(packed):
    found, stated = answered(packed)
    np.testing.assert_allclose(found, stated, **CLOSE)


def test_the_example_is_the_highest_score_of_the_test_part(packed):
    best = read_scored(packed.evaluation)[0].score.max()
    assert packed.model.example.scores[-1] == best
    assert len(packed.model.example.scores) == (WINDOWS if packed.dataset.medium == "table" else 1)


def test_it_goes_with_what_evaluation_wrote_whatever_the_detector_says(packed, tmp_path):
    """A detector that scores otherwise shows by its example."""
    own, rows = read_scored(packed.evaluation)
    evaluation = scored(tmp_path / "evaluation", own.score + 1.0, rows)
    found, stated = answered(packed, written(packed, tmp_path / "example", evaluation=evaluation))
    np.testing.assert_allclose(found + 1.0, stated, **CLOSE)


def rows_of(folder):
    return list(csv.DictReader(io.StringIO((folder / "rows.csv").read_text())))


def test_a_table_is_told_in_its_own_columns(packed_table):
    description = packed_table.detector.description
    rows = rows_of(packed_table.folder / EXAMPLE)
    assert list(rows[0]) == [description.unit_column, description.time_column, *description.inputs]
    assert len(rows) == description.window + WINDOWS - 1
    (unit,) = {row[description.unit_column] for row in rows}
    raw = {
        row["time"]: row for row in pq.read_table(packed_table.raw / "test.parquet").to_pylist() if row["unit"] == unit
    }
    for row in rows:
        source = raw[int(row[description.time_column])]
        assert all(float(row[name]) == source[name] for name in description.inputs)


def broken(packed, folder, unit, time):
    """The raw folder with a gap in one sensor of one row."""
    content = pq.read_table(packed.raw / "test.parquet").to_pydict()
    (place,) = (n for n, each in enumerate(zip(content["unit"], content["time"], strict=True)) if each == (unit, time))
    content["sensor_2"][place] = float("nan")
    folder.mkdir()
    pq.write_table(pa.table(content), folder / "test.parquet")
    (folder / "source.json").write_text((packed.raw / "source.json").read_text())
    return folder


@pytest.mark.parametrize("place", [0, 3, -1])
def test_a_gap_in_the_rows_of_the_highest_window_has_another_chosen(packed_table, tmp_path, place):
    first = rows_of(packed_table.folder / EXAMPLE)
    gap = (first[place]["unit"], int(first[place]["time"]))
    raw = broken(packed_table, tmp_path / "raw", *gap)
    folder = written(packed_table, tmp_path / "example", raw=raw)
    rows = rows_of(folder)
    assert gap not in {(row["unit"], int(row["time"])) for row in rows}
    found, stated = answered(packed_table, folder)
    np.testing.assert_allclose(found, stated, **CLOSE)
    assert stated[-1] < packed_table.model.example.scores[-1]


def test_a_unit_with_too_few_rows_before_its_highest_window_has_another_chosen(packed_table, tmp_path):
    own, ends = read_scored(packed_table.evaluation)
    first = int(np.argmin(ends))
    score = own.score.copy()
    score[first] = 1e6
    folder = written(packed_table, tmp_path / "example", evaluation=scored(tmp_path / "evaluation", score, ends))
    assert read_example(folder).scores[-1] == own.score.max()


def test_without_a_window_that_can_be_sent_there_is_no_example(tmp_path):
    """Every other row ends a window: no five follow each other."""
    packed = pack_table(tmp_path, made(tmp_path / "made", stride=2))
    assert packed.model.example is None
    assert not (packed.folder / EXAMPLE).exists()
    packed.served().warm()


def test_where_folds_were_scored_the_score_is_the_detectors_own(sound_example, tmp_path):
    example = made_sounds(tmp_path / "made", sound_example.network, folds=2)
    units = FeatureSet.open(example.features.folder).unit_names
    scores = np.linspace(0.0, 1e6, len(units))  # of other detectors
    packed = pack_sound(tmp_path / "one", sound_example)
    evaluation = scored(tmp_path / "evaluation", scores, np.arange(len(units)))
    folder = written(
        packed,
        tmp_path / "example",
        raw=example.raw,
        evaluation=evaluation,
        features=example.features.folder,
    )
    expected = packed.detector.score_clips([example.file_of(units[-1])]).score
    np.testing.assert_allclose(read_example(folder).scores, expected, **CLOSE)


def test_pictures_that_no_service_reads_are_no_example(packed_image, tmp_path):
    raw = tmp_path / "raw"
    raw.mkdir()
    index = pq.read_table(packed_image.raw / "test.parquet").to_pydict()
    index["file"] = [file.rsplit(".", 1)[0] + ".tiff" for file in index["file"]]
    pq.write_table(pa.table(index), raw / "test.parquet")
    assert not written(packed_image, tmp_path / "example", raw=raw).exists()
