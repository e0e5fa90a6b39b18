"""A report is made once, whole or not at all, and Evidently shows the same samples with method and threshold fixed."""

import json

import pytest

from vae_pipeline.drift import daily, report
from vae_pipeline.drift.day import Span
from vae_pipeline.storage import MANIFEST
from vae_pipeline_tests.drift.days import DAY, INPUTS, World, keep, opened

SPAN = Span(DAY, DAY)


@pytest.fixture
def case(packed_table, tmp_path, monkeypatch):
    """Storage with a day that drifted, and the detector that answered."""
    names = tuple(f"sensor {number}" for number in range(1, INPUTS + 1))
    monkeypatch.setattr("vae_pipeline.drift.judge.input_names", lambda _: names)
    monkeypatch.setattr("vae_pipeline.drift.judge.PERMUTATIONS", 99)
    world, storage = World(), opened(tmp_path)
    like = packed_table.detector
    keep(storage, world.day(like.description.dataset, shift=2.0), line=like.description.line)
    return storage, world.detector(like), world


def made(storage, detector):
    return daily.drift_report(storage, detector, 3, SPAN)


def test_a_report_holds_record_picture_and_evidentlys_pages(case):
    storage, detector, _ = case
    key, drift = made(storage, detector)
    folder = storage.folder(key)
    names = {report.RECORD, report.PICTURE, report.HTML, report.JSON, report.SNAPSHOT, MANIFEST}
    assert {path.name for path in folder.iterdir()} == names
    assert drift.verdict == "drift"
    assert json.loads((folder / report.RECORD).read_text())["verdict"] == "drift"
    assert (folder / report.PICTURE).read_bytes().startswith(b"\x89PNG")
    assert "<html" in (folder / report.HTML).read_text()[:2000].lower()
    assert daily.judgement(storage, drift.line, drift.dataset, SPAN.name) == drift

    metrics = json.loads((folder / report.JSON).read_text())["metrics"]
    drifts = [metric["config"] for metric in metrics if metric["config"]["type"].endswith("ValueDrift")]
    assert {(config["method"], config["threshold"]) for config in drifts} == {(report.METHOD, report.THRESHOLD)}
    assert {config["column"] for config in drifts} >= {"score", "latent 1", "sensor 1"}

    workspace = storage.folder(key).parent / "workspace"
    folders = [storage.folder(kept) for kept in daily.kept_reports(storage)]
    assert folders == [folder]
    assert [report.add_to_workspace(workspace, folders) for _ in range(2)] == [1, 0]


@pytest.fixture
def without_evidently(monkeypatch):
    """Its pages take seconds and say nothing of what is tested."""

    class Page:
        def save_html(self, file):
            with open(file, "w") as opened_file:  # noqa: PTH123 - as Evidently does
                opened_file.write("<html>")

        def json(self):
            return "{}"

        dumps = json

    monkeypatch.setattr(report, "snapshot_of", lambda _: Page())


@pytest.mark.usefixtures("without_evidently")
def test_the_same_day_is_reported_once_and_more_rows_make_another(case):
    storage, detector, world = case
    one, again = made(storage, detector), made(storage, detector)
    assert one == again
    keep(storage, world.day(detector.description.dataset, hour=13), "later", detector.description.line)
    other = made(storage, detector)
    assert other.key != one.key
    assert other.key.rpartition("/")[0] == one.key.rpartition("/")[0]
    assert daily.kept_reports(storage) == sorted([one.key, other.key])
    assert daily.judgement(storage, one.drift.line, one.drift.dataset, SPAN.name) == other.drift


def test_a_crash_half_way_leaves_no_report(case, monkeypatch):
    storage, detector, _ = case

    def crash(_):
        raise RuntimeError

    monkeypatch.setattr(report, "snapshot_of", crash)
    with pytest.raises(RuntimeError):
        made(storage, detector)
    assert daily.kept_reports(storage) == []
    assert daily.judgement(storage, detector.description.line, detector.description.dataset, SPAN.name) is None


def test_a_day_of_too_few_has_a_record_and_no_page(case):
    storage, detector, _ = case
    key, drift = daily.drift_report(storage, detector, 3, Span.of("2020-01-01"))
    assert drift.verdict == "too_few"
    assert {path.name for path in storage.folder(key).iterdir()} == {report.RECORD, report.PICTURE, MANIFEST}
    assert report.add_to_workspace(storage.folder(key).parent / "workspace", [storage.folder(key)]) == 0


@pytest.mark.usefixtures("without_evidently")
def test_a_record_of_another_version_of_the_package_says_nothing(case):
    storage, detector, _ = case
    _, drift = made(storage, detector)
    key = f"{daily.ROOT}/{drift.line}/{drift.dataset}/{SPAN.name}/{report.RECORD}"
    storage.write_text(key, '{"verdict": "maybe"}')
    assert daily.judgement(storage, drift.line, drift.dataset, SPAN.name) is None


def test_days_and_spans_are_listed_by_their_last_days(case):
    storage, _, _ = case
    names = ("2026-03-05", "2026-03-01_2026-03-07", "2026-03-07", "2026-03-06")
    for name in names:
        storage.write_text(f"{daily.ROOT}/timeseries/pumps/{name}/{report.RECORD}", "{}")
    assert daily.judged(storage, "timeseries", "pumps") == [
        "2026-03-07",
        "2026-03-01_2026-03-07",
        "2026-03-06",
        "2026-03-05",
    ]
