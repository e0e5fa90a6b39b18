import pandas as pd
import pytest

from vae_pipeline import settings
from vae_pipeline.errors import ValidationFailedError
from vae_pipeline.validation.statements import IMAGE
from vae_pipeline.validation.validate import validate
from vae_pipeline.validation.verdict import Outcome, Verdict, raise_if_failed
from vae_pipeline_tests.builders.indexes import image_dataset, image_hash, image_index, write_index

GOOD = "train/good/005.png"
DEFECT = "test/scratch/009.png"


def judged(folder, train, test=None, **fields) -> Verdict:
    return validate(image_dataset(**fields), write_index(folder / "raw", train, test), folder / "out")


def only_failure(verdict: Verdict) -> Outcome:
    (failure,) = verdict.failed()
    return failure


def put(row: int = 5, **values):
    def spoil(index: pd.DataFrame) -> pd.DataFrame:
        for column, value in values.items():
            index.loc[row, column] = value
        return index

    return spoil


UNREADABLE = {"width": pd.NA, "height": pd.NA, "mode": None, "hash": None}


def _mode(mode: str, sentence: str) -> tuple:
    told = f"{GOOD} has the colour mode {mode} where most training images have RGB: {sentence}"
    return {}, put(mode=mode), ("modes_agree", "warning", told)


TRAIN = {
    "a column is missing": (
        {},
        lambda index: index.drop(columns=["hash", "mode"]),
        ("columns_are_present", "critical", "the index lacks mode, hash: materialize the raw data again"),
    ),
    "no images": ({}, lambda index: index.iloc[:0], ("images_are_present", "critical", "the part holds no images")),
    "a broken file": (
        {},
        put(problem=f"{GOOD}: the file ends early; copy it again or remove it", **UNREADABLE),
        ("images_are_readable", "critical", f"{GOOD}: the file ends early; copy it again or remove it"),
    ),
    "few images": (
        {},
        lambda index: index.iloc[3:],
        (
            "images_are_enough",
            "warning",
            "only 29 normal images in train: figures from fewer than 30 are coarse, so read them with their intervals",
        ),
    ),
    "hardly any images": (
        {},
        lambda index: index.iloc[:5],
        (
            "images_are_enough",
            "critical",
            "only 5 normal images in train: at least 6 are needed to fit and to calibrate, so add some",
        ),
    ),
    "another size": (
        {"imaging": {"size": 64}},
        put(width=300, height=200),
        (
            "sizes_agree",
            "warning",
            f"{GOOD} is 300 x 200 pixels where most training images are 256 x 256: both are scaled to 64 x 64",
        ),
    ),
    "16 bits": _mode("I;16", "its 16 bits are brought to 8, full scale to full scale"),
    "a palette": _mode("P", "its palette is turned into colours"),
    "an alpha channel": _mode("RGBA", "transparent pixels are laid on white"),
    "grey": _mode("L", "its grey goes into all three channels"),
    "an image twice": (
        {},
        put(sha256="train 2"),
        ("images_are_distinct", "warning", f"{GOOD} is the same file as train/good/002.png: remove one of them"),
    ),
    "labels of three kinds": (
        {},
        put(label=2),
        ("labels_are_binary", "critical", f"{GOOD} has label 2: state 0, 1 or none"),
    ),
    "fewer images than published": (
        {"published": {"train_rows": 209, "test_rows": 83, "train_units": 209, "test_units": 83}},
        lambda index: index,
        ("counts_are_as_published", "warning", "train holds 32 images where 209 are published"),
    ),
}
TEST = {
    "a mask of another size": (
        put(9, mask_width=128),
        (
            "masks_match",
            "critical",
            f"{DEFECT} is 256 x 256 pixels but its mask ground_truth/scratch/009_mask.png is 128 x 256: "
            "replace the mask",
        ),
    ),
    "a mask that cannot be read": (
        put(9, mask_problem="009_mask.png: the file is empty", mask_width=pd.NA, mask_height=pd.NA),
        ("masks_match", "critical", "009_mask.png: the file is empty"),
    ),
    "a defect without mask": (
        put(9, mask=None, mask_width=pd.NA, mask_height=pd.NA),
        (
            "defects_have_masks",
            "warning",
            f"{DEFECT} (scratch) has no mask: it is left out of the figures of pixels",
        ),
    ),
    "no masks at all": (
        lambda index: index.assign(mask=None, mask_width=pd.NA, mask_height=pd.NA),
        (
            "defects_have_masks",
            "info",
            "test/scratch/006.png (scratch) has no mask: it is left out of the figures of pixels",
        ),
    ),
    "defects alone": (
        lambda index: index.iloc[6:],
        (
            "good_and_defect_are_present",
            "warning",
            "the test part holds no good images: how well defects are told from good images stays unknown",
        ),
    ),
    "good images alone": (
        lambda index: index.iloc[:6],
        (
            "good_and_defect_are_present",
            "warning",
            "the test part holds no defect images: how well defects are told from good images stays unknown",
        ),
    ),
    "a training image": (
        put(9, sha256="train 7", hash=image_hash("train 7")),
        (
            "parts_are_apart",
            "critical",
            f"{DEFECT} is the same file as train/good/007.png of the training part: remove one of them",
        ),
    ),
}


@pytest.mark.parametrize("case", TRAIN)
def test_bad_training_images_fail_one_statement(case, tmp_path):
    fields, spoil, (name, severity, sentence) = TRAIN[case]

    verdict = judged(tmp_path, spoil(image_index()), **fields)

    failure = only_failure(verdict)
    assert (failure.name, failure.severity, failure.part) == (name, severity, "train")
    assert failure.example == sentence
    assert verdict.success == (severity != "critical")
    if severity == "critical":
        with pytest.raises(ValidationFailedError, match=f"'caps' is not fit to use: {name} fails in train"):
            raise_if_failed(verdict, image_dataset())


@pytest.mark.parametrize("case", TEST)
def test_bad_test_images_fail_one_statement(case, tmp_path):
    spoil, (name, severity, sentence) = TEST[case]

    failure = only_failure(judged(tmp_path, image_index(), spoil(image_index("test", 6, 6))))

    assert (failure.name, failure.severity, failure.part) == (name, severity, "test")
    assert failure.example == sentence


def test_every_statement_has_a_bad_case():
    elsewhere = {"images_are_large_enough", "training_images_are_normal"}
    told = {name for _, _, (name, _, _) in TRAIN.values()} | {name for _, (name, _, _) in TEST.values()}
    assert told | elsewhere == set(IMAGE)


@pytest.mark.parametrize(("side", "size", "trained"), [(127, None, 128), (255, 256, 256), (16, 32, 32)])
def test_image_smaller_than_the_size_of_training_is_told(side, size, trained, tmp_path):
    index = put(width=side)(image_index().assign(width=trained, height=trained))

    (outcome,) = judged(tmp_path, index, imaging={"size": size}).failed()[:1]

    assert (outcome.name, outcome.severity) == ("images_are_large_enough", "warning")
    assert outcome.observed == "1 of 32 images"
    assert outcome.example == (
        f"{GOOD} is {side} x {trained} pixels, below the {trained} of training: it is enlarged, which adds no detail"
    )


@pytest.mark.parametrize(("gpu", "trained"), [(False, 128), (True, 256)])
def test_where_no_size_is_stated_images_are_judged_at_that_of_training(gpu, trained, tmp_path, monkeypatch):
    monkeypatch.setattr(settings, "has_gpu", lambda: gpu)

    (outcome,) = judged(tmp_path, put(width=trained - 1)(image_index().assign(width=trained, height=trained))).failed()[
        :1
    ]

    assert outcome.name == "images_are_large_enough"
    assert f"below the {trained} of training" in outcome.example


def test_defects_in_training_block(tmp_path):
    verdict = judged(tmp_path, image_index(defects=1))

    failure = only_failure(verdict)
    assert (failure.name, failure.severity) == ("training_images_are_normal", "critical")
    assert failure.example == "train/scratch/032.png shows a defect (scratch): move it to the test images"


def test_good_images_hold_every_statement(tmp_path):
    published = {"train_rows": 32, "test_rows": 12, "train_units": 32, "test_units": 12}

    verdict = judged(tmp_path, image_index(), image_index("test", 6, 6), published=published)

    assert verdict.failed() == ()
    assert {outcome.name for outcome in verdict.expectations} == set(IMAGE)
    page = (tmp_path / "out" / "report.html").read_text()
    assert "train: 32 images (<a" in page
    assert "every statement holds" in page
    observed = {(outcome.name, outcome.part): outcome.observed for outcome in verdict.expectations}
    assert observed["images_are_present", "test"] == "12 images"
    assert observed["modes_agree", "train"] == "all 32 images"
    assert observed["good_and_defect_are_present", "test"] == "6 good images"


def test_good_images_alone_hold_every_statement(tmp_path):
    assert judged(tmp_path, image_index()).failed() == ()


def test_image_that_looks_like_a_training_image_is_a_warning(tmp_path):
    train = put(0, hash=None)(image_index())
    near = f"{int(image_hash('train 3'), 16) ^ 0b10011:0256x}"
    test = put(9, hash=near)(put(1, hash=None)(image_index("test", 6, 6)))

    failure = only_failure(judged(tmp_path, train, test))

    assert (failure.name, failure.severity, failure.part) == ("parts_are_apart", "warning", "test")
    assert failure.observed == "1 of 12 images"
    assert failure.example == (
        f"{DEFECT} looks almost like train/good/003.png of the training part (3 bits of their perceptual hashes "
        "differ): remove one of them unless they are different pictures"
    )


def test_test_images_are_held_to_the_form_of_training_images(tmp_path):
    test = image_index("test", 6, 6).assign(mode="L", width=512, height=512, mask_height=512, mask_width=512)
    test.loc[:5, ["mask_height", "mask_width"]] = pd.NA

    verdict = judged(tmp_path, image_index(), test)

    assert [(o.name, o.part, o.observed) for o in verdict.failed()] == [
        ("sizes_agree", "test", "12 of 12 images"),
        ("modes_agree", "test", "12 of 12 images"),
    ]


def test_colour_among_grey_images_is_taken_as_it_is(tmp_path):
    failure = only_failure(judged(tmp_path, put(mode="RGB")(image_index().assign(mode="L"))))

    assert failure.example == (
        f"{GOOD} has the colour mode RGB where most training images have L: it is taken as it is"
    )


def test_nothing_that_can_be_read_still_tells_why(tmp_path):
    index = image_index()
    for row in range(len(index)):
        index = put(row, problem=f"{index['unit'].iloc[row]}: is no image", **UNREADABLE)(index)

    verdict = judged(tmp_path, index)

    assert [outcome.name for outcome in verdict.failed()] == ["images_are_readable", "images_are_enough"]


def test_names_are_escaped_on_every_page(tmp_path):
    judged(tmp_path, put(unit="train/good/<script>x</script>.png", width=300)(image_index()))

    assert "&lt;script&gt;x" in (tmp_path / "out" / "report.html").read_text()
    page = (tmp_path / "out" / "train.html").read_text()
    assert "<script>x" not in page
    assert "&lt;script&gt;x" in page
