import pytest

from vae_pipeline import artifacts
from vae_pipeline.artifacts import CHAIN, produce
from vae_pipeline.storage import Storage
from vae_pipeline_tests.builders.tables import table_dataset


@pytest.fixture
def storage(tmp_path):
    return Storage(str(tmp_path / "storage"), tmp_path / "cache")


def counted(calls):
    def work(folder):
        calls.append(folder)
        (folder / "made.txt").write_text("made")
        return {"rows": 3}

    return work


def test_the_same_inputs_are_worked_on_once(storage):
    calls = []
    first = produce(storage, table_dataset(), "raw", ("a", 1), counted(calls))
    second = produce(storage, table_dataset(), "raw", ("a", 1), counted(calls))
    assert len(calls) == 1
    assert (first.reused, second.reused) == (False, True)
    assert (first.key, first.data_version, first.facts) == (second.key, second.data_version, second.facts)
    assert first.facts == {"rows": 3}
    assert (storage.folder(first.key) / "made.txt").read_text() == "made"
    assert first.key == f"timeseries/pumps/raw/{first.data_version}"


@pytest.mark.parametrize("changed", [("raw", ("a", 2)), ("features", ("a", 1))])
def test_other_inputs_or_another_stage_are_worked_on_anew(storage, changed):
    first = produce(storage, table_dataset(), "raw", ("a", 1), counted([]))
    other = produce(storage, table_dataset(), *changed, counted([]))
    assert not other.reused
    assert other.data_version != first.data_version


def test_a_raised_code_version_makes_it_anew(storage, monkeypatch):
    produce(storage, table_dataset(), "raw", (), counted([]))
    monkeypatch.setitem(artifacts.STAGE_CODE_VERSIONS, "raw", "raised")
    assert not produce(storage, table_dataset(), "raw", (), counted([])).reused


def test_work_that_fails_leaves_nothing(storage, tmp_path):
    def work(folder):
        (folder / "half.txt").write_text("half")
        msg = "no"
        raise RuntimeError(msg)

    with pytest.raises(RuntimeError):
        produce(storage, table_dataset(), "raw", (), work)
    assert [path for path in (tmp_path / "storage").rglob("*") if path.is_file()] == []
    assert not produce(storage, table_dataset(), "raw", (), counted([])).reused


def test_stages_stand_in_the_order_of_the_line():
    assert list(CHAIN) == [
        "raw", "validated", "features", "trained", "calibrated", "evaluated", "explained", "registered", "promoted"
    ]  # fmt: skip


def test_of_two_writers_both_get_the_facts_of_the_first(storage):
    def late(folder):
        produce(storage, table_dataset(), "raw", (), counted([]))
        return {"rows": 4}

    assert produce(storage, table_dataset(), "raw", (), late).facts == {"rows": 3}
