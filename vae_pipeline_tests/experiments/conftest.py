"""Features of a few generated engines, and trials that are over in no time."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from vae_pipeline.catalog import read_catalog
from vae_pipeline.experiments import workers
from vae_pipeline.experiments.objective import Separation
from vae_pipeline.experiments.trial import Outcome
from vae_pipeline.features.build import build
from vae_pipeline.records import Dataset, Tuning
from vae_pipeline.settings import Settings, load_settings
from vae_pipeline.sources.load import load
from vae_pipeline_tests.defs.conftest import CATALOG


@dataclass(frozen=True)
class Built:
    dataset: Dataset
    raw: Path
    features: Path


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tuned")
    dataset = read_catalog(folder / "catalog.yaml", CATALOG)["tiny"]
    for part in ("raw", "features"):
        (folder / part).mkdir()
    load(dataset, Settings(home=folder / "home"), folder / "raw")
    build(dataset, folder / "raw", folder / "features")
    return Built(dataset, folder / "raw", folder / "features")


@pytest.fixture
def settings(home):
    return load_settings()


@pytest.fixture
def instant(monkeypatch):
    """Trials whose value is how near beta is to 0.5, without a training; gives the list of those that ran.

    What stands in ``instant.endings`` for a place in that list happens there instead.
    """
    ran = Ran()

    def run(job, seen=None, stop=None):
        ran.append(job.dataset.training)
        ending = ran.endings.get(len(ran) - 1)
        if callable(ending):
            ending = ending()
        if isinstance(ending, str):
            return Outcome(state=ending, seconds=0.0, epochs=1, reason="the loss is not finite" * (ending == "failed"))
        value = 1.0 - abs(job.dataset.training.beta - 0.5)
        found = Separation(value=value, roc_auc=value, pr_auc=value, criterion="labels")
        return Outcome(state="complete", seconds=0.0, epochs=2, separation=found)

    monkeypatch.setattr(workers, "run_trial", run)
    return ran


class Ran(list):
    def __init__(self):
        super().__init__()
        self.endings = {}


def budgeted(dataset, **budget):
    """The dataset with another budget or space."""
    return dataset.model_copy(update={"tuning": Tuning.model_validate({**dataset.tuning.model_dump(), **budget})})
