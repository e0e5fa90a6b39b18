"""A trained home, a back-up of it and an embedded home made from that."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vae_pipeline.backup.make import back_up
from vae_pipeline.backup.restore import restore
from vae_pipeline.settings import load_settings
from vae_pipeline_tests import grown_up
from vae_pipeline_tests.defs.conftest import CATALOG, Home, trained_home  # noqa: F401 - a fixture

NAME = "timeseries-tiny"


class EmbeddedHome(Home):
    """A home kept in files and SQLite also with ``--services``."""

    @contextmanager
    def entered(self) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(grown_up, "services", None)
            with super().entered():
                yield


def embedded_home(folder: Path) -> EmbeddedHome:
    home = EmbeddedHome(folder)
    home.catalog_file.write_text(CATALOG)
    return home


def back_up_of(home: Home, folder: Path) -> Path:
    with home.entered():
        return back_up(load_settings(), folder)[0]


def restore_into(home: Home, made: Path) -> Any:
    with home.entered():
        return restore(load_settings(), made)


def champion_scores(home: Home) -> Any:
    """What the champion says of always the same windows, loaded from the registry by its alias."""
    import mlflow

    windows = np.random.default_rng(7).normal(size=(16, 7, 20)).astype(np.float32)
    with home.entered():
        _ = home.shelf().tracker.client
        return mlflow.pyfunc.load_model(f"models:/{NAME}@champion").predict(windows)["score"].to_numpy()


@pytest.fixture(scope="session")
def made(trained_home, tmp_path_factory) -> Path:  # noqa: F811
    """A back-up of the trained home."""
    return back_up_of(trained_home, tmp_path_factory.mktemp("back_ups"))


@pytest.fixture(scope="session")
def restored(made, tmp_path_factory) -> EmbeddedHome:
    """An embedded home that the back-up was restored into."""
    home = embedded_home(tmp_path_factory.mktemp("restored"))
    restore_into(home, made)
    return home


__all__ = ["back_up_of", "champion_scores", "embedded_home", "restore_into"]
