"""Many files: each scored by itself, told in their order, a bad one by its name."""

import shutil
from contextlib import nullcontext
from pathlib import Path

import pandas as pd
import pytest

from vae_pipeline import cluster
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


@pytest.fixture
def days(image_example, tmp_path):
    """Two folders with pictures of the same names."""
    folders = [tmp_path / name for name in ("monday", "tuesday")]
    for folder, file in zip(folders, image_example.files(), strict=False):
        folder.mkdir()
        shutil.copy(file, folder / "000.png")
    return folders


@pytest.fixture
def score_images(image_example, monkeypatch, home):
    monkeypatch.setattr(module, "_detector", lambda *_: image_example.detector)

    def run(*files, maps):
        given = (image_example.dataset, files, None, maps, load_settings())
        return score_batch("m", 1, *given, lambda _: None, pytest.fail)

    return run


def test_maps_of_several_folders_lie_apart(score_images, days, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert score_images(*days, days[0] / "000.png", maps=Path("maps")) == 0
    written = sorted(path.relative_to(tmp_path / "maps").as_posix() for path in (tmp_path / "maps").rglob("*.png"))
    assert written == ["000.png.map.png", "monday/000.png.map.png", "tuesday/000.png.map.png"]


def test_a_place_of_maps_is_the_same_on_every_node(score_images, days, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = []
    monkeypatch.setattr(module, "_score", lambda *call: given.append(call[5]) or "")
    score_images(*days, maps=Path("maps"))
    assert given == [tmp_path / "maps" / day.name for day in days]


def test_maps_of_two_files_of_one_name_are_not_written_to_one_place(score_images, days, tmp_path):
    with pytest.raises(SettingError, match=r"^--maps: .*maps/000\.png; rename one, or leave --maps away"):
        score_images(*(day / "000.png" for day in days), maps=tmp_path / "maps")


def test_a_task_that_was_lost_is_named_by_its_file_and_the_others_are_told(score, tables, monkeypatch):
    exceptions = pytest.importorskip("ray.exceptions", reason="Ray is not installed: pip install 'vae-pipeline[ray]'")

    def ended(call):
        if call[3].name == "0.csv":
            msg = "killed for want of memory\nby its node"
            raise exceptions.OutOfMemoryError(msg)
        return "scored"

    monkeypatch.setattr(cluster, "connected", lambda _: nullcontext())
    monkeypatch.setattr(cluster, "task", lambda *_: lambda *call: call)
    monkeypatch.setattr(cluster, "ended", ended)
    monkeypatch.setenv("VAE_PIPELINE_EXECUTOR", "ray")
    load_settings.cache_clear()
    failed, told, warned = score(tables)
    assert (failed, told) == (1, ["scored"])
    assert warned == [f"{tables}/0.csv: lost on the cluster (killed for want of memory); run it again"]
