import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

import pytest

from vae_pipeline.catalog import catalog
from vae_pipeline.cli import main
from vae_pipeline.settings import load_settings
from vae_pipeline_tests.endurance.plant import write_plant

VARIABLES = ("VAE_PIPELINE_", "MLFLOW_", "DAGSTER_HOME", "AWS_")


@dataclass(frozen=True)
class Place:
    """A plant, a pristine copy of it, and the home of its owner."""

    root: Path

    @property
    def plant(self) -> Path:
        return self.root / "plant"

    @property
    def home(self) -> Path:
        return self.root / "home"

    def repair(self) -> None:
        """The plant as it was, times of change included."""
        shutil.rmtree(self.plant, ignore_errors=True)
        shutil.copytree(self.root / "good", self.plant)

    def environment(self, **more: str) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(VARIABLES)}
        own = {"VAE_PIPELINE_HOME": str(self.home), "VAE_PIPELINE_CATALOG": str(self.plant / "plant.yaml")}
        return {**kept, **own, **{name: value.format(plant=self.plant) for name, value in more.items()}}

    def run(self, *arguments: str, line: str = "timeseries", **environment: str) -> int:
        """The command in this process; the exit status."""
        with pytest.MonkeyPatch.context() as patch:
            for name in [name for name in os.environ if name.startswith(VARIABLES)]:
                patch.delenv(name)
            for name, value in self.environment(**environment).items():
                patch.setenv(name, value)
            patch.setenv("DAGSTER_HOME", "")  # so that what the run sets is taken back
            patch.delenv("DAGSTER_HOME")
            load_settings.cache_clear()
            catalog.cache_clear()
            return main(["run", line, *arguments])

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """The command as a process group of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "vae_pipeline.cli", "run", "timeseries", *arguments],
            env=self.environment(**environment),
            cwd=self.root,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def left(self) -> list[str]:
        """Hidden files and folders: what an unfinished write leaves."""
        return [str(path) for path in self.home.rglob(".*")]

    def asked(self, database: str, question: str) -> list[tuple]:
        file = self.home / database
        if not file.exists():
            return []
        with sqlite3.connect(file) as connection:
            return connection.execute(question).fetchall()

    def mlflow_states(self) -> list[str]:
        return [state for (state,) in self.asked("mlflow.db", "select status from runs")]

    def dagster_states(self) -> list[str]:
        return [state for (state,) in self.asked("dagster/history/runs.db", "select status from runs")]

    def versions(self) -> list[int]:
        return [number for (number,) in self.asked("mlflow.db", "select version from model_versions")]

    def champion(self) -> list[tuple]:
        return self.asked("mlflow.db", "select name, alias, version from registered_model_aliases")


def new_place(parent: Path | None, write: Callable[[Path], object] = write_plant) -> Place:
    shared = Path("/dev/shm")  # noqa: S108 - in memory: the databases sync after each event
    root = Path(mkdtemp(dir=shared if shared.is_dir() and os.access(shared, os.W_OK) else parent))
    place = Place(root)
    write(root / "good")
    place.repair()
    return place


@pytest.fixture
def place() -> Iterator[Place]:
    """A plant without a champion."""
    place = new_place(None)
    yield place
    shutil.rmtree(place.root, ignore_errors=True)


@pytest.fixture(scope="session")
def trained() -> Iterator[Place]:
    """A plant whose pumps have a champion."""
    place = new_place(None)
    assert place.run("pumps") == 0
    yield place
    shutil.rmtree(place.root, ignore_errors=True)
