"""What stays in BentoML's store and what goes."""

import os

import pytest

from vae_pipeline.detector.packed import PACKED
from vae_pipeline.packing.prune import prune
from vae_pipeline.packing.smoke import INSTALLED, environment_folder
from vae_pipeline.packing.store import bentoml_home
from vae_pipeline.processes import locked
from vae_pipeline.settings import Settings


class Store:
    """A store with Bentos that carry models and pin packages."""

    def __init__(self, home):
        self.settings = Settings(home=home)
        self.home = bentoml_home(self.settings)

    def bento(self, name, age, models, pins="numpy==1"):
        folder = self.home / "bentos" / name
        (folder / "src").mkdir(parents=True)
        (folder / "src/models.txt").write_text("".join(f"{model}\n" for model in models))
        (folder / "src/requirements.txt").write_text(pins)
        for model in models:
            self.made(self.home / "models" / model.replace(":", "/"), PACKED)
        self.made(environment_folder(self.settings, folder), INSTALLED)
        os.utime(folder, (1e9 - age, 1e9 - age))
        return folder

    @staticmethod
    def made(folder, holding):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / holding).touch()

    def __call__(self, pattern):
        return {str(folder.relative_to(self.home)) for folder in self.home.glob(pattern)}


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.delenv("BENTOML_HOME", raising=False)
    return Store(tmp_path)


def test_the_newest_stay_with_what_they_carry(store):
    store.bento("vision/c", 0, ["vision-a:3", "vision-b:1"])
    store.bento("vision/b", 1, ["vision-a:2", "vision-b:1"])
    store.bento("vision/a", 2, ["vision-a:1", "vision-b:1"])
    assert prune(store.settings, "vision", 2) == ["vision:a"]
    assert store("bentos/*/*") == {"bentos/vision/b", "bentos/vision/c"}
    assert store("models/*/*") == {"models/vision-a/2", "models/vision-a/3", "models/vision-b/1"}


def test_other_lines_stay_as_they_are(store):
    for place in range(3):
        store.bento(f"timeseries/{place}", place, [f"timeseries-a:{place}"])
        store.bento(f"vision/{place}", place, [f"vision-a:{place}"])
    prune(store.settings, "vision", 1)
    assert len(store("bentos/timeseries/*")) == 3
    assert len(store("models/timeseries-a/*")) == 3
    assert store("bentos/vision/*") == {"bentos/vision/0"}


def test_an_environment_goes_when_no_bento_of_any_line_pins_it(store):
    store.bento("timeseries/a", 0, ["timeseries-a:1"], pins="numpy==1")
    store.bento("vision/c", 0, ["vision-a:1"], pins="numpy==3")
    store.bento("vision/b", 1, ["vision-a:1"], pins="numpy==2")
    store.bento("vision/a", 2, ["vision-a:1"], pins="numpy==1")
    assert len(store("environments/*")) == 3
    prune(store.settings, "vision", 1)
    assert len(store("environments/*")) == 2


def test_a_bento_that_is_served_stays_with_its_models(store):
    store.bento("vision/b", 0, ["vision-a:2"])
    served = store.bento("vision/a", 1, ["vision-a:1"])
    with locked(served, shared=True):
        assert prune(store.settings, "vision", 1) == []
        assert store("models/*/*") == {"models/vision-a/1", "models/vision-a/2"}
    assert prune(store.settings, "vision", 1) == ["vision:a"]
    assert store("models/*/*") == {"models/vision-a/2"}


def test_what_others_keep_in_the_same_store_stays(store):
    store.bento("vision/a", 0, ["vision-a:1"])
    store.made(store.home / "models/vision-resnet50/1", "model.yaml")
    store.made(store.home / "environments/mine", "pyvenv.cfg")
    store.made(store.home / "models/vision-a/0", PACKED)
    store.made(store.home / "environments/0a1b", INSTALLED)
    prune(store.settings, "vision", 1)
    assert store("models/*/*") == {"models/vision-a/1", "models/vision-resnet50/1"}
    assert "environments/mine" in store("environments/*")
    assert "environments/0a1b" not in store("environments/*")


def test_a_store_without_bentos_is_left(store):
    assert prune(store.settings, "vision", 1) == []
