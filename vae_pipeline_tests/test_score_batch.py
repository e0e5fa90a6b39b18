"""Many files: each scored by itself, told in their order, a bad one by its name."""

import pandas as pd
import pytest

from vae_pipeline import score_batch as module
from vae_pipeline.errors import SettingError
from vae_pipeline.score_batch import score_batch
from vae_pipeline.score_files import score_file
from vae_pipeline.settings import load_settings
from vae_pipeline_tests.detector.examples import made


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    return made(tmp_path_factory.mktemp("table"), sensors=2, labels=None, test_units=2, cycles=60)


@pytest.fixture
def tables(example, tmp_path):
    table = pd.read_parquet(example.raw / "test.parquet")
    folder = tmp_path / "new"
    folder.mkdir()
    for number, (_, unit) in enumerate(table.groupby("unit")):
        unit.to_csv(folder / f"{number}.csv", index=False)
    return folder


@pytest.fixture
def score(example, monkeypatch, home):
    """Score files; gives the number of failures, what was told and what was warned of."""
    monkeypatch.setattr(module, "_detector", lambda *_: example.detector)

    def run(*files, out=None):
        told, warned = [], []
        failed = score_batch("m", 1, example.dataset, files, out, None, load_settings(), told.append, warned.append)
        return failed, told, warned

    return run


def test_a_folder_of_tables_is_scored_table_by_table(score, tables, example, tmp_path):
    failed, told, _ = score(tables, out=tmp_path / "scores")
    assert failed == 0
    assert [sentence.partition(":")[0] for sentence in told] == [f"{tmp_path}/scores/{n}.scores.csv" for n in (0, 1)]
    score_file(example.detector, example.dataset, tables / "0.csv", tmp_path / "alone.csv", None)
    assert (tmp_path / "scores/0.scores.csv").read_text() == (tmp_path / "alone.csv").read_text()


def test_scores_that_lie_beside_are_not_scored_themselves(score, tables):
    assert len(score(tables)[1]) == 2
    assert len(score(tables)[1]) == 2


def test_a_bad_file_is_named_and_the_others_are_scored(score, tables):
    (tables / "0.csv").write_text("nothing\n1\n")
    failed, told, warned = score(tables / "1.csv", tables / "0.csv", tables / "none.csv")
    assert failed == 2
    assert [sentence.partition(":")[0] for sentence in told] == [str(tables / "1.scores.csv")]
    assert [str(tables / name) in sentence for name, sentence in zip(("0.csv", "none.csv"), warned, strict=True)] == [
        True,
        True,
    ]


def test_two_files_of_one_name_are_not_written_to_one_place(score, tables, tmp_path):
    other = tmp_path / "other" / "0.csv"
    other.parent.mkdir()
    other.write_bytes((tables / "0.csv").read_bytes())
    with pytest.raises(SettingError, match=r"--out: .*0\.scores\.csv; rename one"):
        score(tables / "0.csv", other, out=tmp_path / "scores")
