import hashlib
import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance

from vae_pipeline.errors import DataError
from vae_pipeline.features.pictures import decode_picture
from vae_pipeline.sources.copies import LIMIT, near_copies, perceptual_hash
from vae_pipeline.sources.pictures import INDEX, read_pictures
from vae_pipeline.sources.product_part import photograph_part
from vae_pipeline_tests.builders.pictures import picture, picture_dataset, save, write_pictures


def read(root, folder, kind="mvtec", *, linked=False, **fields):
    return read_pictures(picture_dataset(kind, **fields), root, folder, linked=linked)


def row(parts, unit):
    part = parts[unit.split("/")[0]]
    return part[part["unit"] == unit].iloc[0]


def assert_one_sentence(text, *parts):
    assert all(part in text for part in parts), text
    assert "\n" not in text
    assert "; " in text


def test_the_index_tells_each_image_of_the_layout(tmp_path):
    base = write_pictures(tmp_path / "raw", train=3, good=2, defects={"hole": 2, "stain": 1})
    parts = read(base, tmp_path / "out")
    assert {part: len(table) for part, table in parts.items()} == {"train": 3, "test": 5}
    for table in parts.values():
        assert table.dtypes.astype(str).to_dict() == INDEX
        assert table["unit"].tolist() == sorted(table["unit"])
        assert table[["problem", "mask_problem"]].isna().to_numpy().all()
    found = row(parts, "test/hole/001.png")
    content = (base / "test/hole/001.png").read_bytes()
    assert found["label"] == 1
    assert found["defect"] == "hole"
    assert found["file"] == "files/test/hole/001.png"
    assert found["mask"] == "files/ground_truth/hole/001_mask.png"
    assert found[["width", "height", "mask_width", "mask_height", "bytes"]].tolist() == [48] * 4 + [len(content)]
    assert (found["mode"], found["format"]) == ("RGB", "PNG")
    assert found["sha256"] == hashlib.sha256(content).hexdigest()
    assert found["hash"] == perceptual_hash(decode_picture(content, "", 10**6))
    good = row(parts, "test/good/000.png")
    assert (good["label"], good["defect"], good["mask"]) == (0, "good", None)


@pytest.mark.parametrize("linked", [False, True])
def test_images_and_masks_lie_beside_the_index(tmp_path, linked):
    base = write_pictures(tmp_path / "raw")
    parts = read(base, tmp_path / "out", linked=linked)
    named = [file for table in parts.values() for column in ("file", "mask") for file in table[column].dropna()]
    assert len(named) == 6 + 2 + 4 + 4
    for file in named:
        source = base / Path(file).relative_to("files")
        assert (tmp_path / "out" / file).read_bytes() == source.read_bytes()
        assert (tmp_path / "out" / file).samefile(source) is linked
    assert len([path for path in (tmp_path / "out").rglob("*") if path.is_file()]) == len(named)


def test_the_folder_with_the_datasets_name_is_chosen(tmp_path):
    write_pictures(tmp_path / "raw/all/bottle", train=2)
    write_pictures(tmp_path / "raw/all/cable", train=4)
    assert len(read(tmp_path / "raw", tmp_path / "a", name="cable")["train"]) == 4
    with pytest.raises(DataError) as error:
        read(tmp_path / "raw", tmp_path / "b", name="screw")
    assert_one_sentence(str(error.value), "all/bottle", "all/cable", "'screw'")
    shutil.rmtree(tmp_path / "raw/all/bottle")
    assert len(read(tmp_path / "raw", tmp_path / "c", name="screw")["train"]) == 4


def test_other_forms_are_usable_too(tmp_path):
    base = write_pictures(tmp_path / "raw", train=1)
    pixels = picture(np.random.default_rng(9))[0]
    grey = pixels[..., 0]
    forms = {
        "deep.png": Image.fromarray(grey.astype(np.uint16) * 257),
        "palette.png": Image.fromarray(pixels).quantize(64),
        "alpha.png": Image.fromarray(np.dstack([pixels, np.full_like(grey, 255)])),
        "grey.png": Image.fromarray(grey),
        "UPPER.JPG": Image.fromarray(pixels),
        "scan.tiff": Image.fromarray(pixels),
    }
    for name, image in forms.items():
        image.save(base / "train/good" / name)
    train = read(base, tmp_path / "out")["train"].set_index("unit")
    assert train["problem"].isna().to_numpy().all()
    modes = {name: train.loc[f"train/good/{name}", "mode"] for name in forms}
    assert modes == {
        "deep.png": "I;16",
        "palette.png": "P",
        "alpha.png": "RGBA",
        "grey.png": "L",
        "UPPER.JPG": "RGB",
        "scan.tiff": "RGB",
    }
    assert train.loc["train/good/scan.tiff", "format"] == "TIFF"
    assert train.loc["train/good/deep.png", "hash"] == train.loc["train/good/grey.png", "hash"]


def test_an_unusable_image_is_told_and_the_others_are_read(tmp_path):
    base = write_pictures(tmp_path / "raw")
    whole = (base / "train/good/000.png").read_bytes()
    (base / "train/good/000.png").write_bytes(whole[: len(whole) // 2])
    (base / "train/good/001.png").write_bytes(b"")
    (base / "train/good/002.png").write_text("no image")
    save(base / "test/hole/000.png", np.zeros((1, 1, 3), dtype=np.uint8))
    save(base / "test/good/000.png", np.zeros((60, 60, 3), dtype=np.uint8))
    parts = read(base, tmp_path / "out", imaging={"max_pixels": 3000})
    told = {
        "train/good/000.png": "cut off or damaged",
        "train/good/001.png": "is empty",
        "train/good/002.png": "is no PNG",
        "test/hole/000.png": "1 x 1",
        "test/good/000.png": "60 x 60",
    }
    for unit, text in told.items():
        found = row(parts, unit)
        assert_one_sentence(found["problem"], unit, text)
        assert found["hash"] is None
        assert (tmp_path / "out" / found["file"]).is_file()
    assert sum(table["problem"].notna().sum() for table in parts.values()) == len(told)
    assert row(parts, "train/good/000.png")["width"] == 48  # as the header says
    assert row(parts, "train/good/002.png").isna()["width"]


def test_an_unfit_mask_is_told(tmp_path):
    base = write_pictures(tmp_path / "raw", defects={"hole": 4})
    truth = base / "ground_truth/hole"
    save(truth / "000_mask.png", np.full((20, 30), 255, dtype=np.uint8))
    save(truth / "001_mask.png", np.zeros((48, 48), dtype=np.uint8))
    (truth / "002_mask.png").write_bytes(b"no mask")
    (truth / "003_mask.png").unlink()
    parts = read(base, tmp_path / "out")
    assert_one_sentence(
        row(parts, "test/hole/000.png")["mask_problem"], "hole/000_mask.png", "30 x 20", "test/hole/000.png", "48 x 48"
    )
    assert_one_sentence(row(parts, "test/hole/001.png")["mask_problem"], "hole/001_mask.png", "marks no pixel")
    assert_one_sentence(row(parts, "test/hole/002.png")["mask_problem"], "hole/002_mask.png", "is no PNG")
    assert_one_sentence(row(parts, "test/hole/003.png")["mask_problem"], "test/hole/003.png", "no mask")
    assert parts["test"]["problem"].isna().to_numpy().all()


def test_a_users_masks_are_optional_and_may_have_the_images_name(tmp_path):
    base = write_pictures(tmp_path / "raw", defects={"hole": 3})
    truth = base / "ground_truth/hole"
    Image.open(truth / "000_mask.png").save(truth / "000.bmp")
    (truth / "000_mask.png").unlink()
    (truth / "001_mask.png").unlink()
    test = read(base, tmp_path / "out", "images")["test"].set_index("unit")
    assert test["mask_problem"].isna().to_numpy().all()
    assert test.loc["test/hole/000.png", "mask"] == "files/ground_truth/hole/000.bmp"
    assert test.loc["test/hole/001.png", "mask"] is None
    assert test.loc["test/hole/002.png", "mask"] == "files/ground_truth/hole/002_mask.png"


def test_a_users_images_may_be_good_ones_alone(tmp_path):
    base = write_pictures(tmp_path / "raw", train=3, good=0, defects={})
    parts = read(base, tmp_path / "a", "images")
    assert list(parts) == ["train"]
    shutil.move(base / "train/good", tmp_path / "archive/inner/good")
    parts = read(tmp_path / "archive", tmp_path / "b", "images")
    assert parts["train"]["unit"].tolist() == ["good/000.png", "good/001.png", "good/002.png"]
    (tmp_path / "archive/inner/good/notes.txt").write_text("passed over")
    shutil.move(tmp_path / "archive/inner/good", tmp_path / "loose/inner")
    parts = read(tmp_path / "loose", tmp_path / "c", "images")
    assert list(parts) == ["train"]
    assert parts["train"]["unit"].tolist() == ["000.png", "001.png", "002.png"]
    assert parts["train"]["defect"].tolist() == ["good"] * 3
    assert parts["train"]["label"].tolist() == [0] * 3


def empty_train(base):
    for path in (base / "train/good").iterdir():
        path.unlink()
    return base / "train/good"


def empty_class(base):
    (base / "test/crack").mkdir()
    return base / "test/crack"


def empty_test(base):
    shutil.rmtree(base / "test")
    (base / "test").mkdir()
    return base / "test"


def unknown_suffix(base):
    (base / "test/crack").mkdir()
    (base / "test/crack/000.gif").write_bytes(b"GIF89a")
    return base / "test/crack"


def loose_image(base):
    return save(base / "test/000.png", np.zeros((20, 20), dtype=np.uint8))


def bad_to_learn(base):
    return save(base / "train/bad/000.png", np.zeros((20, 20), dtype=np.uint8)).parent


def stray_mask(base):
    return save(base / "ground_truth/hole/007_mask.png", np.zeros((20, 20), dtype=np.uint8))


@pytest.mark.parametrize("kind", ["mvtec", "images"])
@pytest.mark.parametrize(
    "spoil", [empty_train, empty_class, empty_test, unknown_suffix, loose_image, bad_to_learn, stray_mask]
)
def test_a_layout_with_gaps_is_refused(tmp_path, kind, spoil):
    culprit = spoil(write_pictures(tmp_path / "raw"))
    with pytest.raises(DataError) as error:
        read(tmp_path / "raw", tmp_path / "out", kind)
    text = str(error.value)
    assert text.startswith(f"{culprit}: ")
    assert "remove it" in text or "; " in text
    assert not (tmp_path / "out").exists()


def test_a_folder_without_images_is_refused(tmp_path):
    (tmp_path / "raw").mkdir()
    with pytest.raises(DataError, match="no folder train/good"):
        read(tmp_path / "raw", tmp_path / "out")
    with pytest.raises(DataError, match="holds no image"):
        read(tmp_path / "raw", tmp_path / "out", "images")


def test_images_beside_the_good_ones_are_refused(tmp_path):
    pixels = picture(np.random.default_rng(0))[0]
    save(tmp_path / "raw/good/0.png", pixels)
    bad = save(tmp_path / "raw/bad/0.png", pixels)
    with pytest.raises(DataError, match="lies beside the folder 'good'"):
        read(tmp_path / "raw", tmp_path / "out", "images")
    (tmp_path / "raw/good").rename(tmp_path / "raw/fine")
    with pytest.raises(DataError, match="several folders"):
        read(tmp_path / "raw", tmp_path / "out", "images")
    bad.rename(tmp_path / "raw/0.png")
    with pytest.raises(DataError, match="holds images beside those in"):
        read(tmp_path / "raw", tmp_path / "out", "images")


def test_hidden_files_and_links_back_up_are_passed_over(tmp_path):
    base = write_pictures(tmp_path / "raw", train=2)
    (base / "train/good/._000.png").write_bytes(b"left by a Mac")
    (base / "train/good/up").symlink_to(base)
    parts = read(base, tmp_path / "out")
    assert parts["train"]["unit"].tolist() == ["train/good/000.png", "train/good/001.png"]


def test_a_name_that_is_no_text_is_refused(tmp_path):
    base = write_pictures(tmp_path / "raw", train=2)
    odd = (base / "train/good/000.png").rename(base / "train/good/\udcff.png")
    with pytest.raises(DataError, match="no valid UTF-8"):
        read(base, tmp_path / "out")
    assert odd.exists()


def jpeg(image, quality):
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


@pytest.mark.parametrize(
    "copied",
    [
        lambda image: image,
        lambda image: jpeg(image, 75),
        lambda image: image.resize((image.width // 2, image.height // 2), Image.Resampling.BICUBIC),
        lambda image: image.resize((image.width * 2, image.height * 2), Image.Resampling.BICUBIC),
        lambda image: ImageEnhance.Brightness(image).enhance(0.9),
    ],
)
def test_a_copy_is_told_from_another_image_of_the_same_product(copied):
    rng = np.random.default_rng(5)
    parts = [photograph_part(rng, rng, 128, None, free=False)[0] for _ in range(11)]
    train, test = parts[:6], parts[6:]
    test.insert(3, np.asarray(copied(Image.fromarray(train[4]))))
    found = near_copies([perceptual_hash(image) for image in train], [perceptual_hash(image) for image in test])
    assert [pair[:2] for pair in found] == [(3, 4)]


hashes = st.lists(st.one_of(st.none(), st.binary(min_size=288, max_size=288).map(bytes.hex)), max_size=5)


@given(hashes, hashes, st.integers(0, 1500), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_near_copies_are_those_of_a_slow_count(train, test, limit, random):
    test = test + [text for text in train if random.random() < 0.3]
    wanted = []
    for index, text in enumerate(test):
        distances = [
            (bin(int(text, 16) ^ int(other, 16)).count("1"), at)
            for at, other in enumerate(train)
            if text is not None and other is not None
        ]
        if distances and min(distances)[0] <= limit:
            distance, at = min(distances)
            wanted.append((index, at, distance))
    assert near_copies(train, test, limit) == wanted


def test_a_hash_of_another_kind_is_refused():
    good = "0" * 576
    assert near_copies([good], [good]) == [(0, 0, 0)]
    for odd in ("abc", "g" * 576):
        with pytest.raises(DataError, match="hexadecimal"):
            near_copies([good], [odd])


@pytest.mark.real_data
def test_no_two_bottles_are_taken_for_copies(real_data, tmp_path):
    shutil.unpack_archive(Path(real_data, "mvtec/bottle.tar.xz"), tmp_path, filter="data")
    parts = read(tmp_path, tmp_path / "out", name="bottle", linked=True)
    assert {part: len(table) for part, table in parts.items()} == {"train": 209, "test": 83}
    assert parts["test"]["mask"].notna().sum() == 63
    for table in parts.values():
        assert table[["problem", "mask_problem"]].isna().to_numpy().all()
        assert near_copies(table["hash"].tolist()[1::2], table["hash"].tolist()[::2]) == []
    train = parts["train"]
    copy = jpeg(Image.open(tmp_path / "out" / train.loc[7, "file"]), 75)
    tests = [*parts["test"]["hash"], perceptual_hash(np.asarray(copy))]
    found = near_copies(train["hash"].tolist(), tests)
    assert [pair[:2] for pair in found] == [(83, 7)]
    assert found[0][2] <= LIMIT
