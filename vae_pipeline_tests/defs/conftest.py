"""One line trained once on a few generated engines, with a catalogue file of its own; tests share what it left."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from vae_pipeline.catalog import catalog
from vae_pipeline.records import Line
from vae_pipeline.settings import load_settings
from vae_pipeline_tests import grown_up

CATALOG = """
datasets:
  tiny: &tiny
    line: timeseries
    kind: sample_turbofan
    title: a few generated engines
    licence: generated
    columns:
      unit: unit
      time: cycle
      settings: [setting_1, setting_2, setting_3]
      sensors: [sensor_2, sensor_4, sensor_7, sensor_11]
    labels: {healthy_from: 90, anomalous_below: 30}
    window: {length: 20, stride: 1}
    regimes: 6
    generator: {train_units: 8, test_units: 8, seed: 3}
    training: {encoder: mlp, hidden: [16], latent: 2, epochs: 2, max_windows_per_epoch: 400, learning_rate: 0.01}
  impossible:
    <<: *tiny
    title: stated limits that no reading keeps
    ranges: {sensor_2: [0.0, 1.0]}
"""

MEDIA = """
datasets:
  product:
    line: vision
    kind: sample_product
    title: a few generated parts
    licence: generated
    generator: {train: 14, test_good: 4, test_defect: 2, size: 64, variant: 0, seed: 3}
    imaging: {size: 64}
    training: {width: 4, latent: 4, epochs: 1, images_per_epoch: 16, workers: 0}
  machine:
    line: timeseries
    kind: sample_machine_sound
    title: a few generated recordings
    licence: generated
    generator: {normal: 8, abnormal: 4, seconds: 1, seed: 3}
    sound: {bands: 16}
    window: {length: 8, stride: 4}
    split: {folds: 2}
    training: {encoder: mlp, hidden: [16], latent: 2, epochs: 1}
"""


@dataclass
class Home:
    """A home, its catalogue and everything that was told of its runs."""

    folder: Path
    told: list[tuple[str, str]] = field(default_factory=list)

    @contextmanager
    def entered(self) -> Iterator[None]:
        """The environment of a process that works in this home."""
        with pytest.MonkeyPatch.context() as patch:
            # set, then removed: what the code under test writes there is undone as well
            for name in ("DAGSTER_HOME", "MLFLOW_TRACKING_URI"):
                patch.setenv(name, "")
                patch.delenv(name)
            for name, value in self.environment().items():
                patch.setenv(name, value)
            load_settings.cache_clear()
            catalog.cache_clear()
            try:
                yield
            finally:
                os.environ.pop("DAGSTER_HOME", None)
        load_settings.cache_clear()
        catalog.cache_clear()

    def environment(self) -> dict[str, str]:
        """The variables that are set."""
        own = {"VAE_PIPELINE_HOME": str(self.folder), "VAE_PIPELINE_CATALOG": str(self.catalog_file)}
        return own | grown_up.variables(self.folder)

    @property
    def catalog_file(self) -> Path:
        return self.folder / "catalog.yaml"

    def run(
        self, dataset: str = "tiny", line: Line = "timeseries", job: str | None = None, **stages: dict[str, Any]
    ) -> dict[str, dict[str, Any]]:
        """Run a line, or another of its jobs, for a dataset; further keywords are the config of stages."""
        from vae_pipeline.defs.execute import open_instance, run_partition

        self.told.clear()
        with self.entered():
            config = {stage: {"config": values} for stage, values in stages.items()}
            instance = open_instance(load_settings())
            tell = lambda stage, text: self.told.append((stage, text))  # noqa: E731
            return run_partition(line, dataset, config, instance, tell, job)

    def shelf(self):
        from vae_pipeline.registry.shelf import Shelf
        from vae_pipeline.registry.tracking import Tracker

        with self.entered():
            return Shelf(Tracker(load_settings()))

    def mlflow_runs(self, line: Line = "timeseries") -> list[Any]:
        client = self.shelf().tracker.client
        experiment = client.get_experiment_by_name(line)
        return list(client.search_runs([experiment.experiment_id]))


def new_home(folder: Path, entries: str = CATALOG, kind: type[Home] = Home) -> Any:
    home = kind(folder)
    home.catalog_file.write_text(entries)
    return home


@pytest.fixture(scope="session")
def trained_home(tmp_path_factory):
    """A home with one trained partition, and what the first run found and told."""
    home = new_home(tmp_path_factory.mktemp("trained_home"))
    home.first = home.run()  # type: ignore[attr-defined]
    home.first_told = list(home.told)  # type: ignore[attr-defined]
    return home
