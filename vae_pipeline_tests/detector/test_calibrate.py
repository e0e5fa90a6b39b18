from dataclasses import replace

import numpy as np
import pytest

from vae_pipeline.detector import window_calibration
from vae_pipeline.detector.report import FormFigure
from vae_pipeline.detector.window_calibration import (
    DEFAULT_FORM,
    FORMS,
    REFERENCE_SIZE,
    UNLABELLED_FORM,
    calibrate_windows,
    chosen_form,
)
from vae_pipeline.errors import CalibrationError
from vae_pipeline.records import Calibration
from vae_pipeline_tests.detector.examples import made


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    return made(tmp_path_factory.mktemp("labelled"))


@pytest.fixture(scope="module")
def unlabelled(tmp_path_factory):
    return made(tmp_path_factory.mktemp("unlabelled"), labels=None)


def with_settings(example, **settings):
    dataset = example.dataset.model_copy(update={"calibration": Calibration(**settings)})
    return calibrate_windows(dataset, "0a1b", example.features, example.network)


def calibration_scores(example, detector):
    windows = example.features.windows("calibrate")
    return detector.score_scaled(windows).score, example.features.labels(windows)


def test_with_labels_forms_are_compared_by_them_and_f1_sets_the_threshold(labelled):
    _, labels = calibration_scores(labelled, labelled.detector)
    assert labelled.report.criterion == "labels"
    assert labelled.detector.description.threshold.method == "best_f1"
    assert labelled.report.samples == len(labels)
    assert labelled.report.anomalous_samples == (labels == 1).sum() > 0
    assert labelled.report.normal_samples == (labels != 1).sum()


def test_without_labels_forms_are_compared_by_synthetic_faults(unlabelled):
    assert unlabelled.report.criterion == "synthetic faults"
    assert unlabelled.detector.description.threshold.method == "conformal"
    assert unlabelled.report.anomalous_samples == 0
    best = max(figure.roc_auc for figure in unlabelled.report.forms)
    assert best > 0.7


def test_every_form_is_compared(labelled, unlabelled):
    for example in (labelled, unlabelled):
        assert tuple(figure.form for figure in example.report.forms) == FORMS
        assert all(0 <= figure.pr_auc <= 1 for figure in example.report.forms)
        assert all(0 <= figure.roc_auc <= 1 for figure in example.report.forms)


def figures(**pr_auc: float) -> tuple[FormFigure, ...]:
    """A comparison in which the default form reaches .80 and the others what is stated, .50 if nothing is."""
    reached = {"error+level+latent": 0.80, **{name.replace("_and_", "+"): value for name, value in pr_auc.items()}}
    return tuple(FormFigure(form=form, roc_auc=0.9, pr_auc=reached.get("+".join(form), 0.5)) for form in FORMS)


def test_without_labels_all_parts_are_summed_whatever_synthetic_faults_say():
    assert chosen_form("synthetic faults", figures(level=0.99)) == UNLABELLED_FORM


def test_labels_must_put_another_form_clearly_above_the_default():
    assert chosen_form("labels", figures(error=0.81)) == DEFAULT_FORM
    assert chosen_form("labels", figures(error=0.83)) == ("error",)
    assert chosen_form("labels", figures(error=0.83, error_and_level=0.85)) == ("error", "level")


def test_a_stated_form_is_kept(labelled):
    stated = labelled.dataset.calibration.model_copy(update={"score": ("level",)})
    dataset = labelled.dataset.model_copy(update={"calibration": stated})
    detector, _ = calibrate_windows(dataset, "0a1b", labelled.features, labelled.network)
    assert detector.description.form == ("level",)


def test_windows_labelled_anomalous_never_stand_for_normal_ones(labelled, monkeypatch):
    """Also where no row is labelled normal, so that synthetic faults are the criterion."""
    hidden = np.where(labelled.features.row_label == 0, -1, labelled.features.row_label)
    features = replace(labelled.features, row_label=hidden)
    negatives = set()
    monkeypatch.setattr(window_calibration, "roc_auc", lambda _, positive: negatives.add(int((~positive).sum())) or 0.5)
    _, report = calibrate_windows(labelled.dataset, "0a1b", features, labelled.network)
    assert report.criterion == "synthetic faults"
    assert report.anomalous_samples == labelled.report.anomalous_samples > 0
    assert negatives == {report.normal_samples}


def test_normal_scores_are_standard_in_every_part(labelled):
    windows = labelled.features.windows("calibrate")
    normal = windows.subset(labelled.features.labels(windows) != 1)
    scorer = labelled.detector.scorer
    parts = np.concatenate([scorer.parts(batch) for batch in labelled.detector.session.batches(normal)])
    np.testing.assert_allclose((parts - scorer.part_mean).mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(parts.std(0), scorer.part_deviation, rtol=1e-6)


@pytest.mark.parametrize("method", ["percentile", "mad", "gaussian", "peaks_over_threshold", "conformal", "best_f1"])
def test_the_asked_threshold_is_used(labelled, method):
    detector, _ = with_settings(labelled, threshold=method, false_alarm_rate=0.05)
    threshold = detector.description.threshold
    assert threshold.method == method or threshold.warnings
    scores, labels = calibration_scores(labelled, detector)
    if method != "best_f1":
        assert detector.decide(scores[labels != 1]).mean() < 0.15
    assert np.array_equal(detector.decide(scores), scores > threshold.value)


def test_the_asked_form_and_reach_are_used(labelled):
    detector, _ = with_settings(labelled, score=("latent",), late=3)
    assert detector.description.form == detector.scorer.form == ("latent",)
    assert detector.description.late == detector.scorer.late == 3


def test_a_fifth_of_the_window_is_averaged_and_never_more_than_all_of_it(labelled):
    assert labelled.detector.description.late == 4
    assert with_settings(labelled, late=4000)[0].description.late == 20


def test_the_reference_is_a_bounded_sample_of_normal_scores(unlabelled):
    reference = unlabelled.detector.reference
    assert len(reference["scores"]) == min(REFERENCE_SIZE, unlabelled.report.normal_samples)
    assert len(reference["latents"]) == len(reference["scores"])
    scores, _ = calibration_scores(unlabelled, unlabelled.detector)
    assert np.isin(reference["scores"].round(6), scores.round(6)).all()


def test_the_same_input_gives_the_same_detector(labelled):
    again, report = calibrate_windows(labelled.dataset, "0a1b", labelled.features, labelled.network)
    assert again.description == labelled.detector.description
    assert report == labelled.report


def test_f1_without_both_labels_is_refused(unlabelled):
    with pytest.raises(CalibrationError):
        with_settings(unlabelled, threshold="best_f1")
