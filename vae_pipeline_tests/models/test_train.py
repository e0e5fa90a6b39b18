"""What training asks of the network follows from how objects lie."""

import pytest

from vae_pipeline.features.registration import Registration
from vae_pipeline.models import train as training
from vae_pipeline.records import ImageTraining
from vae_pipeline_tests.builders.pictures import picture_dataset


@pytest.fixture
def asked(image_example, monkeypatch, tmp_path):
    """The rotation that the network of a dataset is trained with."""

    def rotation(pose, *, registered, **stated):
        fields = {name: getattr(image_example.images, name) for name in image_example.images.__dataclass_fields__}
        arrays = {"exemplar": None, "colours": None, "removed": 1.0}
        fields["registration"] = Registration.from_arrays(arrays) if registered else None
        images = type(image_example.images)(**fields)
        seen = []
        monkeypatch.setattr(training.ImageSet, "open", lambda _: images)
        monkeypatch.setattr(training, "_train_images", lambda _, chosen, *_rest: seen.append(chosen))
        training.train(picture_dataset(imaging={"size": 32, "pose": pose}, training=stated), tmp_path, tmp_path)
        assert isinstance(seen[0], ImageTraining)
        return seen[0].rotation

    return rotation


def test_only_objects_that_could_not_be_brought_to_one_turn_are_shown_at_every_turn(asked):
    assert asked("free", registered=False) == 180.0
    assert asked("free", registered=True) is None
    assert asked("aligned", registered=False) is None


def test_a_stated_rotation_wins(asked):
    assert asked("free", registered=False, rotation=7.0) == 7.0
