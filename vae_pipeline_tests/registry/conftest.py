import pytest

from vae_pipeline.registry.tracking import Tracker
from vae_pipeline.settings import Settings


@pytest.fixture(scope="session")
def tracker(tmp_path_factory):
    """One for all: a new database takes seconds."""
    return Tracker(Settings(home=tmp_path_factory.mktemp("registry")))
