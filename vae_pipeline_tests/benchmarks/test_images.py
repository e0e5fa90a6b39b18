"""The parts of the measurements of images that can be wrong without a machine being slow."""

import hashlib

import numpy as np
import pytest

from benchmarks.images import main, scoring_table
from benchmarks.pictures import PIXELS, STEPS, files_to_score, image_entry, write_pictures
from vae_pipeline.features.image_set import ImageSet


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Thirty pictures, gone through the steps that need no network."""
    folder = tmp_path_factory.mktemp("pictures")
    write_pictures(folder / "pictures", 30)
    (folder / "dataset.json").write_text(image_entry(folder, 32).model_dump_json())
    for step in ("raw", "build"):
        STEPS[step](folder)
    return folder


def test_pictures_all_differ_and_a_fifth_is_to_test(place):
    files = sorted((place / "pictures").rglob("*.png"))
    counts = {part: len([file for file in files if part in str(file)]) for part in ("train/good", "test/good", "hole")}
    assert counts == {"train/good": 24, "test/good": 3, "hole": 3}
    assert len({hashlib.sha256(file.read_bytes()).digest() for file in files}) == 30


def test_the_steps_leave_all_images_at_the_asked_size(place):
    images = ImageSet.open(place / "features")
    assert images.pixels.shape == (30, 32, 32, 3)
    assert (images.shapes == PIXELS).all()
    assert len(images.index("test")) == 6
    assert [file.relative_to(place / "raw" / "files").as_posix() for file in files_to_score(place, images)] == [
        images.names[index] for index in images.index("test")
    ]
    assert all(file.is_file() for file in files_to_score(place, images))


def test_the_detector_and_onnx_runtime_see_the_same_images(image_example, monkeypatch):
    images, session = image_example.images, image_example.detector.session
    index = images.index("test")
    files = [image_example.files()[place] for place in index]
    seen = []
    observe = session.observe_images
    monkeypatch.setattr(session, "observe_images", lambda batch: seen.append(np.array(batch)) or observe(batch))
    table = scoring_table(image_example.detector, images, files, 1)
    assert [line.split(" | ")[0] for line in table.splitlines()[2:]] == [
        "| `score_pictures`: decoding, network, maps at full size",
        "| `score_images`: network, maps",
    ]
    # two calls, by two clocks, once warm and once timed, each beside ONNX Runtime alone
    assert len(seen) == 2 * 2 * 2 * 2
    for batch in seen:
        np.testing.assert_array_equal(batch, images.pixels[index])


def test_a_single_epoch_is_refused_as_it_is_not_counted(capsys):
    with pytest.raises(SystemExit):
        main(["--epochs", "1"])
    assert "2 at least" in capsys.readouterr().err
