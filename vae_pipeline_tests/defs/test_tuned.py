"""A search on demand, and the line's next run that trains with what it found."""

from pathlib import Path

import pytest

from vae_pipeline.artifacts import CHAIN
from vae_pipeline.experiments.best import read_best
from vae_pipeline_tests.defs.conftest import new_home

SPACE = "    tuning: {space: {learning_rate: {low: 0.02, high: 0.05}}}\n"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    from vae_pipeline_tests.defs.conftest import CATALOG

    return new_home(tmp_path_factory.mktemp("tuned"), CATALOG.replace("  impossible:", f"{SPACE}  impossible:"))


@pytest.fixture(scope="module")
def tuned(home):
    return home.run(job="timeseries_tune", tuned={"trials": 2})


@pytest.fixture(scope="module")
def trained(home, tuned):
    return home.run()


@pytest.mark.slow
class TestTuning:
    def test_needs_no_trained_network_and_registers_nothing(self, tuned):
        assert list(tuned) == ["raw", "validated", "features", "tuned"]

    def test_leaves_the_best_the_trials_and_two_pictures(self, tuned):
        folder = Path(tuned["tuned"]["folder"])
        assert {"best.json", "trials.csv", "history.png", "importance.png"} <= {path.name for path in folder.iterdir()}
        best = read_best(folder)
        assert (len(best.trials), best.within, best.criterion) == (2, "trials", "labels")
        assert tuned["tuned"]["best"] == best.value >= best.default_value
        assert tuned["tuned"]["history"].startswith("![history](data:image/png")
        assert tuned["tuned"]["all trials"].count("\n") == 3

    def test_again_makes_nothing_anew(self, home, tuned):
        again = home.run(job="timeseries_tune", tuned={"trials": 2})["tuned"]
        assert again["reused"]
        assert again["folder"] == tuned["tuned"]["folder"]


@pytest.mark.slow
class TestTheNextRun:
    def test_trains_with_the_best_where_it_beats_the_default(self, trained, tuned):
        best = read_best(Path(tuned["tuned"]["folder"]))
        assert not best.default  # a learning rate that shows in two epochs was asked for
        training = (Path(trained["trained"]["folder"]) / "training.json").read_text()
        assert str(best.parameters["learning_rate"]) in training
        assert trained["trained"]["tuned"].startswith("learning_rate = 0.0")

    def test_says_so_on_the_card(self, trained):
        card = (Path(trained["evaluated"]["folder"]) / "card.md").read_text()
        assert f"tuned: {trained['trained']['tuned']}" in card

    def test_is_the_ordinary_chain(self, trained, home):
        assert list(trained) == list(CHAIN)
        assert home.run()["trained"]["reused"]

    def test_listens_to_the_launchpad_first(self, home, trained):
        found = home.run(trained={"learning_rate": 0.01})
        assert "tuned" not in found["trained"]
        assert found["trained"]["folder"] != trained["trained"]["folder"]
