import pytest

from vae_pipeline.evaluation.card import model_card
from vae_pipeline.evaluation.metrics import cannot, detection_metrics
from vae_pipeline_tests.evaluation.examples import engines, unlabelled

SCORED = engines(strength=2.0)
STRONGER = engines(strength=4.0)
WEAKER = engines(strength=0.5)


def card(metrics, baselines, **more):
    return model_card(
        name="timeseries-FD001 version 3",
        description="A variational autoencoder that watches turbofan engines.",
        data={"title": "C-MAPSS FD001", "licence": "public domain", "citation": "Saxena et al. 2008", "url": None},
        protocol={"split": "by engine", "normal": "remaining life of at least 125 cycles", "window": 50},
        metrics=metrics,
        baselines=baselines,
        threshold={"value": 1.25, "method": "conformal", "guarantee": "at most 1 % false alarms on exchangeable data"},
        model={"latent": 16, "parameters": 123456},
        **more,
    )


def measured(scored):
    return detection_metrics(scored, 1.0, bootstrap=50)


def test_a_losing_vae_is_said_to_lose():
    text = card(measured(SCORED), {"ecod": measured(STRONGER), "pca": measured(WEAKER)})
    assert "**The VAE does not win on this data**: 1 baseline reaches" in text
    rows = [line for line in text.splitlines() if line.startswith(("| ecod", "| **VAE", "| pca"))]
    assert [row.split()[1] for row in rows] == ["ecod", "**VAE", "pca"]


def test_a_tie_is_no_win():
    text = card(measured(SCORED), {"ecod": measured(SCORED), "pca": measured(STRONGER)})
    assert "2 baselines reach" in text


def test_a_winning_vae_is_said_to_win_with_its_doubt():
    text = card(measured(STRONGER), {"pca": measured(WEAKER)})
    assert "The VAE has the highest PR-AUC" in text
    assert "does not win" not in text
    near = {"pr_auc": 0.72, "pr_auc_low": 0.6, "pr_auc_high": 0.8}
    assert "the order may change" in card(near, {"pca": {"pr_auc": 0.7}})


def test_holds_data_protocol_threshold_and_limits():
    text = card(measured(SCORED), {"pca": measured(WEAKER)})
    for words in (
        "**Licence**: public domain",
        "Saxena et al. 2008",
        "by engine",
        "at most 1 % false alarms",
        "123,456",
    ):
        assert words in text
    assert "## Intended use" in text
    assert "## Limits" in text
    assert "Url" not in text
    assert "What could not be computed" not in text
    interval = f"{measured(SCORED)['roc_auc_low']:.3f} to {measured(SCORED)['roc_auc_high']:.3f}"
    assert interval in text


@pytest.mark.parametrize("noun", ["windows", "images"])
def test_samples_are_called_what_they_are(noun):
    text = card(detection_metrics(SCORED, 1.0, bootstrap=0, noun=noun), {})
    for words in (
        f"| Test {noun} | {len(SCORED):,} |",
        f"| Share of {noun} that alarm |",
        f"per 1,000 healthy {noun} |",
    ):
        assert words in text
    assert ("VUS-PR" in text) == (noun == "windows")


def test_groups_have_a_table_of_their_own():
    text = card(measured(SCORED), {}, groups={"scratch": {"roc_auc": 0.75}, "spot": {"roc_auc": 1.0, "pr_auc": 0.5}})
    assert "| group | ROC-AUC | PR-AUC (average precision) |" in text
    assert "| scratch | 0.750 | – |\n| spot | 1.000 | 0.500 |" in text


def test_without_labels_it_says_what_is_missing():
    scored = unlabelled(SCORED)
    text = card(measured(scored), {"pca": measured(scored)}, cannot=cannot(scored))
    assert "nothing can be ranked" in text
    assert "no window has a label" in text
    assert "ROC-AUC |" not in text


@pytest.mark.parametrize("description", ["mean |z|", "plain"])
def test_tables_are_whole(description):
    text = card(measured(SCORED), {"z": measured(WEAKER)}, baseline_descriptions={"z": description})
    table = [line.replace("\\|", "") for line in text.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in table} == {4, 8}
