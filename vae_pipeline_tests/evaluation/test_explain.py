"""Reports of anomalies: names are shown as text, pages need nothing but themselves, no label is read."""

import json
from dataclasses import replace

import numpy as np
import pytest

from vae_pipeline.errors import SettingError
from vae_pipeline.evaluation.explain import Reported, explain_test_part, frequent, write_report
from vae_pipeline.evaluation.explanation_figures import image_figure, window_figure
from vae_pipeline.evaluation.explanation_page import explanation_page, summary_page
from vae_pipeline.explanation.explanation import Attribution, Explanation, Region, SensorEvidence
from vae_pipeline.features.signal import statistic_names
from vae_pipeline.records import Explaining
from vae_pipeline_tests.detector.examples import made

NASTY = "<script>alert('$x_{')</script>\"&"
PNG = b"\x89PNG\r\n\x1a\n"


def explanation(*sensors, **fields):
    shares = {"evidence": 1.0, "share": 0.5, "change": 1.0, "residual": -2.0, "level": 3.0}
    course = {"profile": (0.0, 2.0), "readings": (0.0, 3.0), "expected": (0.0, 0.0), "start": 1, "end": 1}
    given = {"detector": "timeseries-x", "medium": "table", "name": "a", "score": 2.0, "threshold": 1.0, "alarm": True}
    found = tuple(SensorEvidence(name=name, **shares, **course) for name in sensors)
    return Explanation(**{**given, "sensors": found, **fields})


def test_every_name_on_a_page_is_text():
    nasty = explanation(
        NASTY,
        name=NASTY,
        unit=NASTY,
        time=NASTY,
        attribution=(Attribution(name=NASTY, value=1.0),),
        attribution_by=NASTY,
    )
    for page in (
        explanation_page(nasty, window_figure(nasty)),
        summary_page(NASTY, NASTY, [(nasty, f"{NASTY}.html")], [(NASTY, 1, 0.5)]),
    ):
        assert "<script>" not in page
        assert page.count("&lt;script&gt;") > 2


def test_a_page_needs_nothing_but_itself():
    page = explanation_page(explanation("flow"), PNG)
    assert "data:image/png;base64," in page
    assert "http" not in page
    assert "link" not in page


def test_a_page_says_the_decision_and_when():
    page = explanation_page(explanation("flow", start=4, end=9), PNG)
    assert "<strong>alarm</strong>: score 2.000, threshold 1.000" in page
    assert "It stands out from row 5 to 10." in page
    assert "no alarm" in explanation_page(explanation("flow", alarm=False), PNG)


def test_the_sensor_that_was_first_most_often_leads():
    found = frequent([explanation("a", "b"), explanation("b", "a"), explanation("b", "a")])
    assert [(each.name, each.first) for each in found] == [("b", 2), ("a", 1)]
    assert found[0].share == pytest.approx(0.5)


def test_of_images_the_number_of_regions_is_told():
    region = Region(left=0, top=0, width=1, height=1, area=1, peak=1.0, mass=1.0, share=1.0)
    found = frequent([explanation(medium="image", regions=(region,) * count) for count in (1, 2, 2)])
    assert [(each.name, each.first) for each in found] == [("2 regions", 2), ("1 region", 1)]


def test_figures_are_pictures_with_and_without_their_parts():
    image = np.zeros((8, 8, 3), np.uint8)
    score_map = np.ones((12, 10), np.float32)
    regions = np.pad(np.ones((2, 2), np.int32), ((0, 10), (0, 8)))
    for picture in (
        window_figure(explanation("flow", NASTY)),
        window_figure(explanation()),
        image_figure(image, score_map, regions, 0.5, None),
        image_figure(image, score_map, np.zeros_like(regions), 2.0, np.ones((8, 8))),
    ):
        assert picture.startswith(PNG)


def test_a_report_is_a_record_a_page_and_a_picture(tmp_path):
    one = explanation("flow")
    write_report(tmp_path, "07", Reported(one, PNG))
    assert {path.name for path in tmp_path.iterdir()} == {"07.json", "07.html", "07.png"}
    assert Explanation.model_validate_json((tmp_path / "07.json").read_text()) == one


def written(example, folder, features, trained):
    (folder / "calibrated").mkdir(parents=True)
    example.detector.save(folder / "calibrated/detector")
    summary = explain_test_part(example.dataset, features, trained, folder / "calibrated", folder / "out")
    return summary, folder / "out"


def lowered(detector, monkeypatch):
    """The detector with a threshold that everything exceeds."""
    threshold = detector.description.threshold.model_copy(update={"value": -1e6})
    monkeypatch.setattr(detector, "description", detector.description.model_copy(update={"threshold": threshold}))


def assert_reports(summary, folder):
    assert len(summary.explained) == min(summary.alarms, Explaining().most) > 0
    for number, name in enumerate(summary.explained, start=1):
        content = json.loads((folder / f"{number:02d}.json").read_text())
        assert content["name"] == name
        assert content["attribution"]
        assert f"{number:02d}.html" in (folder / "index.html").read_text()
        assert (folder / f"{number:02d}.png").read_bytes().startswith(PNG)


def test_the_highest_alarms_of_a_table_are_explained_spread_over_units(tmp_path, monkeypatch):
    example = made(tmp_path)
    lowered(example.detector, monkeypatch)
    summary, folder = written(example, tmp_path, tmp_path / "features", example.network.parent)
    assert_reports(summary, folder)
    units = [json.loads((folder / f"{n:02d}.json").read_text())["unit"] for n in range(1, len(summary.explained) + 1)]
    windows = example.features.windows("test")
    present = len(np.unique(example.features.units(windows)))
    assert len(set(units)) == min(present, len(units))


def test_without_an_alarm_the_summary_says_so(tmp_path, monkeypatch):
    example = made(tmp_path)
    threshold = example.detector.description.threshold.model_copy(update={"value": 1e9})
    description = example.detector.description.model_copy(update={"threshold": threshold})
    monkeypatch.setattr(example.detector, "description", description)
    summary, folder = written(example, tmp_path, tmp_path / "features", example.network.parent)
    assert (summary.alarms, summary.explained) == (0, ())
    assert "No alarm among" in (folder / "index.html").read_text()


def test_images_and_clips_are_explained_by_the_same_call(image_example, sound_example, tmp_path, monkeypatch):
    for example, features in (
        (image_example, image_example.images.folder),
        (sound_example, sound_example.features.folder),
    ):
        lowered(example.detector, monkeypatch)
        folder = tmp_path / example.dataset.medium
        assert_reports(*written(example, folder, features, example.network.parent))


def test_by_shap_statistics_of_sensors_are_named_and_fidelity_is_told(tmp_path, monkeypatch):
    example = made(tmp_path)
    lowered(example.detector, monkeypatch)
    example = replace(
        example, dataset=example.dataset.model_copy(update={"explanation": Explaining(attribution="shap")})
    )
    summary, folder = written(example, tmp_path, tmp_path / "features", example.network.parent)
    assert_reports(summary, folder)
    content = json.loads((folder / "01.json").read_text())
    assert "R²" in content["attribution_by"]
    named = {part["name"] for part in content["attribution"]}
    assert named - {"other statistics"} <= set(statistic_names(example.features.sensors))


def test_shap_of_images_is_refused_before_anything_is_written(image_example, tmp_path):
    asked = image_example.dataset.model_copy(update={"explanation": Explaining(attribution="shap")})
    with pytest.raises(SettingError, match="is image"):
        written(replace(image_example, dataset=asked), tmp_path, image_example.images.folder, tmp_path)
    assert not (tmp_path / "out").exists()
