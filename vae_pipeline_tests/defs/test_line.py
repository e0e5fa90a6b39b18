"""A whole line on a few generated engines: what a first run leaves, and what every later one may change."""

import json
from pathlib import Path

import pytest

from vae_pipeline.artifacts import CHAIN
from vae_pipeline.defs.execute import PipelineFailedError
from vae_pipeline_tests.defs.conftest import new_home

NAME = "timeseries-tiny"
STAGES = list(CHAIN)


def reused(found):
    return {stage: values.get("reused") for stage, values in found.items()}


@pytest.fixture(scope="module")
def again(trained_home):
    """The same run once more, and the number of MLflow runs and versions before and after."""
    before = len(trained_home.mlflow_runs()), len(trained_home.shelf().entries())
    found = trained_home.run()
    told = list(trained_home.told)
    return found, told, before, (len(trained_home.mlflow_runs()), len(trained_home.shelf().entries()))


@pytest.fixture(scope="module")
def changed(trained_home, again):
    """A run with another hyperparameter."""
    return trained_home.run(trained={"epochs": 1, "latent": 3})


@pytest.mark.slow
@pytest.mark.services
class TestTheFirstRun:
    def test_does_every_stage_in_order(self, trained_home):
        assert [stage for stage, text in trained_home.first_told if text == "done"] == STAGES
        assert list(trained_home.first) == STAGES
        assert not any(trained_home.first[stage]["reused"] for stage in STAGES if stage != "promoted")

    def test_tells_every_epoch(self, trained_home):
        epochs = [text for stage, text in trained_home.first_told if stage == "trained" and text.startswith("epoch ")]
        assert [text.split(":")[0] for text in epochs] == ["epoch 1/2", "epoch 2/2"]

    def test_leaves_folders_that_say_what_is_in_them(self, trained_home):
        needed = {
            "raw": {"train.parquet", "test.parquet", "source.json"},
            "validated": {"verdict.json", "report.html"},
            "features": {"rows.npy", "features.json"},
            "trained": {"model.onnx", "decoder.onnx", "weights.npz", "network.json", "history.json", "training.json"},
            "calibrated": {"detector", "report.json"},
            "evaluated": {"card.md", "evaluation.json", "scores.npz", "figures"},
            "explained": {"index.html", "summary.json"},
        }
        for stage, names in needed.items():
            folder = Path(trained_home.first[stage]["folder"])
            assert names | {"manifest.json"} <= {path.name for path in folder.iterdir()}
            assert json.loads((folder / "manifest.json").read_text())["stage"] == stage

    def test_ends_every_mlflow_run(self, trained_home):
        runs = trained_home.mlflow_runs()
        assert {run.info.status for run in runs} == {"FINISHED"}
        assert {"tiny trained", "tiny registered"} <= {run.info.run_name for run in runs}
        trained = next(run for run in runs if run.info.run_name == "tiny trained")
        assert trained.data.params["latent"] == "2"
        assert trained.data.tags["dagster/partition"] == "tiny"
        assert trained.data.tags["dagster/asset_key"] == "timeseries/trained"

    def test_registers_what_it_evaluated(self, trained_home):
        entry = trained_home.shelf().version(NAME, 1)
        assert (entry.line, entry.dataset) == ("timeseries", "tiny")
        evaluation = Path(trained_home.first["evaluated"]["folder"]) / "evaluation.json"
        assert entry.metrics["test_pr_auc"] == json.loads(evaluation.read_text())["metrics"]["pr_auc"]
        assert entry.evaluation_version == json.loads((evaluation.parent / "manifest.json").read_text())["data_version"]

    def test_decides_and_says_why(self, trained_home):
        promoted = trained_home.first["promoted"]
        assert promoted["challenger"] == 1
        assert promoted["promoted"]
        assert promoted["champion"] == 1
        assert promoted["reason"]

    def test_judges_the_raw_tables(self, trained_home):
        assert trained_home.first["validated"]["critical_failures"] == 0
        assert trained_home.first["validated"]["statements"] > 10


@pytest.mark.slow
@pytest.mark.services
class TestTheSameRunAgain:
    def test_makes_nothing_anew(self, again, trained_home):
        found, told, _, _ = again
        assert {stage for stage, value in reused(found).items() if not value} <= {"promoted"}
        assert {stage for stage, text in told if text == "unchanged"} >= set(STAGES) - {"promoted"}
        for stage in STAGES[:7]:
            assert found[stage]["folder"] == trained_home.first[stage]["folder"]

    def test_adds_no_mlflow_run_and_no_version(self, again):
        assert again[2] == again[3]

    def test_leaves_the_champion(self, again):
        assert again[0]["promoted"]["champion"] == 1
        assert again[0]["promoted"]["reason"] == "version 1 is champion already"


@pytest.mark.slow
@pytest.mark.services
class TestAnotherHyperparameter:
    def test_trains_anew_on_the_same_features(self, changed):
        expected = dict.fromkeys(("raw", "validated", "features"), True)
        expected |= dict.fromkeys(("trained", "calibrated", "evaluated", "explained", "registered"), False)
        assert {stage: reused(changed)[stage] for stage in expected} == expected
        assert changed["trained"]["epochs"] == 1

    def test_gives_a_new_version_with_the_decision_on_it(self, changed, trained_home):
        assert changed["registered"]["version"] == 2
        shelf = trained_home.shelf()
        assert [entry.version for entry in shelf.entries(NAME)] == [2, 1]
        decision = shelf.tracker.client.get_model_version(NAME, "2").tags["decision"]
        assert decision == changed["promoted"]["reason"]
        assert "PR-AUC" in decision
        champion = 2 if changed["promoted"]["promoted"] else 1
        assert shelf.champion(NAME).version == champion == changed["promoted"]["champion"]

    def test_is_what_the_card_speaks_of(self, changed, trained_home):
        cards = [Path(found["evaluated"]["folder"], "card.md").read_text() for found in (trained_home.first, changed)]
        latent = [next(line for line in card.splitlines() if "Latent dimensions" in line) for card in cards]
        assert "2" in latent[0]
        assert "3" in latent[1]


@pytest.mark.slow
def test_a_warm_start_begins_where_the_champion_ended(tmp_path):
    home = new_home(tmp_path)
    cold = home.run()
    warm = home.run(trained={"warm_start": True})
    assert warm["trained"]["begun_with"] == f"{NAME} version 1"
    assert warm["registered"]["version"] == 2
    first_epochs = [
        json.loads(Path(found["trained"]["folder"], "history.json").read_text())[0]["validation_loss"]
        for found in (cold, warm)
    ]
    assert first_epochs[1] < first_epochs[0]
    assert home.run()["trained"]["reused"]  # without it, nothing changed


@pytest.mark.slow
def test_the_same_seed_gives_the_same_metrics_in_another_home(trained_home, tmp_path):
    elsewhere = new_home(tmp_path)
    found = elsewhere.run()
    for stage in ("raw", "features", "trained", "calibrated", "evaluated"):
        assert Path(found[stage]["folder"]).name == Path(trained_home.first[stage]["folder"]).name
        assert str(tmp_path) in found[stage]["folder"]
    metrics = [
        json.loads((Path(run["evaluated"]["folder"]) / "evaluation.json").read_text())["metrics"]
        for run in (found, trained_home.first)
    ]
    assert metrics[0] == metrics[1]
    assert found["calibrated"]["threshold"] == trained_home.first["calibrated"]["threshold"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"trained": {"epochs": 0}}, "config epochs: .*greater than or equal to 1"),
        ({"trained": {"encoder": "gru"}}, "config encoder: .*'cnn'.*got 'gru'"),
        ({"trained": {"hidden": ["wide"]}}, "hidden"),
        ({"trained": {"epochs": "many"}}, "epochs"),
        ({"trained": {"depth": 3}}, "depth"),
        ({"calibrated": {"score": ["luck"]}}, "config score"),
        ({"calibrated": {"false_alarm_rate": 2.0}}, "config false_alarm_rate: .*less than 1"),
    ],
)
def test_a_setting_that_cannot_be_used_is_said_in_one_sentence(trained_home, config, message):
    with pytest.raises(PipelineFailedError, match=message) as told:
        trained_home.run(**config)
    assert "\n" not in str(told.value)


@pytest.mark.slow
def test_an_unfit_table_blocks_what_comes_after_and_leaves_the_champion(trained_home):
    before = [(entry.name, entry.version, entry.aliases) for entry in trained_home.shelf().entries()]
    with pytest.raises(PipelineFailedError) as failure:
        trained_home.run("impossible")
    assert "values_are_in_range" in str(failure.value)
    assert "\n" not in str(failure.value)
    assert {stage for stage, text in trained_home.told if text in ("done", "unchanged")} == {"raw", "validated"}
    assert any("values_are_in_range fails in" in text for _, text in trained_home.told)
    assert [(entry.name, entry.version, entry.aliases) for entry in trained_home.shelf().entries()] == before


@pytest.mark.slow
def test_an_error_of_ours_fails_the_run_and_ends_its_mlflow_run(trained_home, monkeypatch):
    from vae_pipeline.errors import TrainingError
    from vae_pipeline.models import train as train_module

    def refuse(*_, **__):
        msg = "nothing to fit on: 0 fit and 0 validation windows"
        raise TrainingError(msg)

    monkeypatch.setattr(train_module, "train", refuse)
    with pytest.raises(PipelineFailedError, match=r"^nothing to fit on: 0 fit and 0 validation windows$"):
        trained_home.run(trained={"seed": 99})
    newest = max(trained_home.mlflow_runs(), key=lambda run: run.info.start_time)
    assert newest.info.status == "FAILED"
    assert {run.info.status for run in trained_home.mlflow_runs()} == {"FINISHED", "FAILED"}
