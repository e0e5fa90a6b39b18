"""Images are split as they came, kept at one size, and their masks travel with them."""

import json
import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vae_pipeline.errors import DataError
from vae_pipeline.features.build import build
from vae_pipeline.features.image_set import ImageSet
from vae_pipeline.features.images import FEWEST, FEWEST_TO_CALIBRATE, split_images
from vae_pipeline.features.pictures import decode_picture, resized
from vae_pipeline.settings import Settings
from vae_pipeline.sources.load import load
from vae_pipeline_tests.builders.indexes import image_dataset
from vae_pipeline_tests.builders.pictures import picture, picture_dataset, save, write_pictures


@given(
    st.lists(st.sampled_from([-1, 0, 1]), min_size=4, max_size=60),
    st.floats(0.05, 0.95),
    st.integers(0, 100),
    st.integers(0, 20),
)
@settings(max_examples=80)
def test_each_image_has_one_part_and_anomalous_ones_are_only_tested(labels, calibrate, seed, tested):
    for_test = [False] * (len(labels) - tested) + [True] * min(tested, len(labels))
    dataset = image_dataset(split={"calibrate": calibrate, "seed": seed})
    normal = sum(label != 1 and not test for label, test in zip(labels, for_test, strict=True))
    left = normal if any(for_test) else normal - round(0.2 * normal)
    if left < FEWEST:
        with pytest.raises(DataError, match=f"caps: {left} normal images are left.*{FEWEST} are needed; add some"):
            split_images(labels, for_test, dataset)
        return
    parts = split_images(labels, for_test, dataset)
    assert len(parts) == len(labels)
    for part, label, test in zip(parts, labels, for_test, strict=True):
        assert part == "test" or (label != 1 and not test)
    assert parts.count("fit") >= 2
    assert parts.count("calibrate") >= FEWEST_TO_CALIBRATE
    assert parts.count("fit") + parts.count("calibrate") == left
    assert parts == split_images(labels, for_test, dataset)


def test_another_seed_draws_another_split():
    drawn = {tuple(split_images([0] * 30, [False] * 30, image_dataset(split={"seed": seed}))) for seed in range(3)}
    assert len(drawn) == 3


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    pictures = write_pictures(folder / "pictures", train=10, good=2, defects={"hole": 2, "stain": 1}, size=48)
    random = np.random.default_rng(7)
    save(pictures / "test/good/wide.png", picture(random, 40)[0][:36])  # of another shape
    dataset = picture_dataset(folder=str(pictures))
    load(dataset, Settings(home=folder / "home"), folder / "raw")
    (folder / "features").mkdir()
    facts = build(dataset, folder / "raw", folder / "features")
    return dataset, folder / "raw", ImageSet.open(folder / "features"), facts


def test_every_kept_image_is_its_file_decoded_and_resized(built):
    dataset, raw, kept, _ = built
    assert kept.pixels.dtype == np.uint8
    assert kept.pixels.shape == (len(kept.names), 32, 32, 3)
    assert kept.size == 32
    for place, name in enumerate(kept.names):
        [file] = (raw / "files").glob(f"{name.rsplit('.', 1)[0]}*")
        decoded = decode_picture(file, name, dataset.imaging.max_pixels)
        np.testing.assert_array_equal(kept.pixels[place], resized(decoded, 32))
        assert tuple(kept.shapes[place]) == decoded.shape[:2]


def test_facts_count_what_is_there(built):
    _, _, kept, facts = built
    counted = {f"{part}_images": len(kept.index(part)) for part in ("fit", "calibrate", "test")}
    assert facts == {"images": 16, "size": 32, "masks": 3, "anomalous_images": 3, **counted}
    assert kept.registration is None
    assert set(kept.placements) == {None}
    assert counted == {"fit_images": 6, "calibrate_images": 4, "test_images": 6}


def test_defects_and_labels_are_those_of_the_folders(built):
    _, _, kept, _ = built
    test = kept.index("test")
    assert [kept.defects[place] for place in test] == ["good"] * 3 + ["hole"] * 2 + ["stain"]
    assert kept.label[test].tolist() == [0, 0, 0, 1, 1, 1]
    assert (kept.label[kept.index("fit")] == 0).all()


def test_masks_are_copied_and_good_images_are_known_to_have_none(built):
    _, raw, kept, _ = built
    for place in kept.index("test"):
        mask = kept.mask(int(place))
        assert mask is not None
        assert mask.shape == tuple(kept.shapes[place])
        assert mask.any() == (kept.label[place] == 1)
    copied = sorted(path.read_bytes() for path in (kept.folder / "masks").iterdir())
    assert copied == sorted(path.read_bytes() for path in raw.rglob("*_mask.png"))


def test_of_a_defect_without_a_mask_nothing_is_known(tmp_path):
    pictures = write_pictures(tmp_path / "pictures", train=6, good=1, defects={"hole": 1}, masks=False)
    dataset = picture_dataset(folder=str(pictures))
    load(dataset, Settings(home=tmp_path / "home"), tmp_path / "raw")
    (tmp_path / "features").mkdir()
    build(dataset, tmp_path / "raw", tmp_path / "features")
    kept = ImageSet.open(tmp_path / "features")
    anomalous = int(np.flatnonzero(kept.label == 1)[0])
    assert kept.mask(anomalous) is None
    assert not (tmp_path / "features/masks").exists()


def test_a_raw_folder_without_an_index_is_named(tmp_path):
    with pytest.raises(DataError, match="holds no index of images; materialize the raw data again"):
        build(picture_dataset(), tmp_path, tmp_path)


@pytest.mark.parametrize("harm", ["no pixels", "no list", "no part", "no image", "no registration"])
def test_a_spoilt_features_folder_is_named(built, tmp_path, harm):
    shutil.copytree(built[2].folder, tmp_path / "features")
    file = tmp_path / "features/images.json"
    if harm == "no pixels":
        (tmp_path / "features/images.npy").unlink()
    elif harm == "no list":
        file.write_text("[]")
    elif harm == "no part":
        about = json.loads(file.read_text())
        del about["images"][0]["part"]
        file.write_text(json.dumps(about))
    elif harm == "no registration":
        about = json.loads(file.read_text())
        file.write_text(json.dumps({**about, "registered": True}))
    else:
        (tmp_path / "features/images.npy").write_bytes(b"")
    with pytest.raises(DataError, match="no usable features folder of images") as told:
        ImageSet.open(tmp_path / "features")
    assert "\n" not in str(told.value)


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    folder = tmp_path_factory.mktemp("straight")
    pictures = write_pictures(folder / "pictures", train=12, good=2, defects={"hole": 4}, size=64, turned=True)
    dataset = picture_dataset(folder=str(pictures), imaging={"size": 64, "pose": "free"})
    load(dataset, Settings(home=folder / "home"), folder / "raw")
    (folder / "features").mkdir()
    facts = build(dataset, folder / "raw", folder / "features")
    return dataset, folder / "raw", ImageSet.open(folder / "features"), facts


def test_objects_that_lie_anyhow_are_stored_at_one_turn(straight):
    dataset, raw, kept, facts = straight
    assert facts["registered"]
    assert facts["removed_by_registration"] > 0.5
    normal = np.flatnonzero(kept.label == 0)
    came = np.stack(
        [
            decode_picture(next((raw / "files").glob(f"{kept.names[place][:-4]}*")), "", dataset.imaging.max_pixels)
            for place in normal
        ]
    )
    assert kept.pixels[normal].var(0).mean() < 0.5 * came.var(0).mean()


def test_a_mask_and_a_map_of_it_lie_on_the_stored_and_on_the_raw_image(straight):
    _, _, kept, _ = straight
    for place in np.flatnonzero(kept.label == 1):
        mask, stored = kept.mask(place), kept.stored_mask(place)
        assert (kept.pixels[place][stored] < 60).mean() > 0.8  # what is marked is the black square
        back = kept.lying(place, stored.astype(np.float32)) > 0.5
        assert (back & mask).sum() / (back | mask).sum() > 0.7


def test_surfaces_that_are_said_to_lie_anyhow_stay_as_they_are(tmp_path):
    random = np.random.default_rng(0)
    for number in range(10):
        save(tmp_path / f"pictures/{number}.png", random.integers(0, 256, (40, 40, 3)).astype(np.uint8))
    dataset = picture_dataset(kind="images", folder=str(tmp_path / "pictures"), imaging={"size": 32, "pose": "free"})
    load(dataset, Settings(home=tmp_path / "home"), tmp_path / "raw")
    (tmp_path / "features").mkdir()
    facts = build(dataset, tmp_path / "raw", tmp_path / "features")
    assert not facts["registered"]
    assert ImageSet.open(tmp_path / "features").registration is None


def test_images_of_batches_move_none_that_were_there():
    labels, for_test, dataset = [0] * 20, [False] * 20, image_dataset()
    names = [f"aaaaaaaa:{number}" for number in range(10)]
    before = split_images(labels, for_test, dataset)
    after = split_images(
        [*labels, *[0] * 10, 1], [*for_test, *[False] * 10, True], dataset, [*[None] * 20, *names, "aaaaaaaa:x"]
    )
    assert after[:20] == before
    assert set(after[20:30]) == {"fit", "calibrate", "test"}
    assert after[30] == "test"
