"""The suite of image sets: what is asked of each image and its mask, how gravely, and how a failure is told."""

from typing import Any, ClassVar

import pandas as pd

from vae_pipeline.records import Dataset
from vae_pipeline.settings import image_side
from vae_pipeline.validation.files import (
    Fault,
    FileSuite,
    both_parts,
    copies,
    given,
    most_common,
    numbers,
    odd_labels,
    texts,
    told,
)
from vae_pipeline.validation.great import expectations as gxe
from vae_pipeline.validation.suites import Check, Part

__all__ = ["ImageSuite"]

CONVERTED = {
    "RGB": "it is taken as it is",
    "L": "its grey goes into all three channels",
    "1": "its black and white go into all three channels",
    "P": "its palette is turned into colours",
    "RGBA": "transparent pixels are laid on white",
    "LA": "its grey goes into all three channels and transparent pixels are laid on white",
    "PA": "its palette is turned into colours and transparent pixels are laid on white",
    "CMYK": "its inks are turned into colours",
    "I": "its 16 bits are brought to 8, full scale to full scale",
}
"""What ``sources.decoding`` does with a colour mode; ``I`` stands for all whose names begin with it."""


class ImageSuite(FileSuite):
    """Images and their masks; what cannot be read is told once and asked nothing else."""

    noun: ClassVar[str] = "images"
    columns: ClassVar[tuple[str, ...]] = (
        "unit",
        "file",
        "label",
        "defect",
        "mask",
        "width",
        "height",
        "mode",
        "mask_width",
        "mask_height",
        "sha256",
        "hash",
        "problem",
        "mask_problem",
    )
    fewest: ClassVar[int] = 6

    def __init__(self, dataset: Dataset) -> None:
        super().__init__(dataset)
        self.side = image_side(dataset.imaging.size)

    def faults(self, part: Part, table: pd.DataFrame) -> list[Fault]:
        """Where each image fails."""
        readable = ~given(table, "problem")
        faults = [
            Fault("images_are_readable", "critical", texts(table, "problem")),
            *self._form(table, readable),
            Fault("images_are_distinct", "warning", _copies(table)),
            Fault("labels_are_binary", "critical", odd_labels(table)),
            *_masks(table, readable),
        ]
        if part == "train":
            faults.append(
                Fault(
                    "training_images_are_normal",
                    "critical",
                    told(
                        table,
                        numbers(table, "label") == 1,
                        lambda row: f"{row['name']} shows a defect ({row['defect']}): move it to the test images",
                    ),
                )
            )
        elif self.train is not None:
            same = both_parts(self.train, table)
            faults.append(Fault("parts_are_apart", "critical", same))
            faults.append(Fault("parts_are_apart", "warning", _near(self.train, table, same)))
        return faults

    def ask(self, part: Part, table: pd.DataFrame) -> tuple[dict[str, pd.DataFrame], list[Check]]:
        """As for all files, and whether the test part holds both good images and defects."""
        frames, checks = super().ask(part, table)
        if part == "test":
            label = numbers(table, "label")
            for value, kind in ((0, "good images"), (1, "defect images")):
                frames[kind] = pd.DataFrame(table.loc[(label == value).to_numpy(), ["unit"]]).reset_index(drop=True)
                expectation = gxe().ExpectTableRowCountToBeBetween(min_value=1, severity="warning")
                sentence = f"the test part holds no {kind}: how well defects are told from good images stays unknown"
                checks.append(
                    Check("good_and_defect_are_present", kind, expectation, lambda _, sentence=sentence: sentence)
                )
        return frames, checks

    def expected(self, statement: str, part: Part) -> str:  # noqa: ARG002
        """What a statement asks of images."""
        own = {
            "images_are_large_enough": f"the shorter side of every image has {self.side} pixels, the size of training",
            "sizes_agree": f"all images have the size of most training images; they are scaled to {self.side} pixels",
            "modes_agree": "all images have the colour mode of most training images; others are converted",
            "parts_are_apart": (
                "no test image is a training image too (critical), nor looks almost like one (warning)"
            ),
            "training_images_are_normal": "no training image shows a defect",
            "good_and_defect_are_present": "the test part has good images and defects",
            "masks_match": "every mask can be read and has the size of its image",
            "defects_have_masks": (
                "every image of a defect has a mask (warning), unless none has (info); those without are left out of "
                "the figures of pixels"
            ),
        }
        return own.get(statement) or self.shared_text(statement)

    def _form(self, table: pd.DataFrame, readable: pd.Series) -> list[Fault]:
        """Size and colour mode."""
        width, height = numbers(table, "width"), numbers(table, "height")
        shorter = pd.concat([width, height], axis=1).min(axis=1)
        train = table if self.train is None else self.train
        seen = pd.DataFrame(train[~given(train, "problem")])
        size: Any = most_common(_sizes(seen))
        mode: Any = most_common(texts(seen, "mode"))
        sizes = pd.Series(_sizes(table), dtype=object)
        return [
            Fault(
                "images_are_large_enough",
                "warning",
                told(
                    table,
                    readable & (shorter < self.side),
                    lambda row: (
                        f"{row['name']} is {_size(row)} pixels, below the {self.side} of training: it is enlarged, "
                        f"which adds no detail"
                    ),
                ),
            ),
            Fault(
                "sizes_agree",
                "warning",
                told(
                    table,
                    readable & (sizes != size),
                    lambda row: (
                        f"{row['name']} is {_size(row)} pixels where most training images are {size}: both are scaled "
                        f"to {self.side} x {self.side}"
                    ),
                ),
            ),
            Fault(
                "modes_agree",
                "warning",
                told(
                    table,
                    readable & (table["mode"] != mode),
                    lambda row: (
                        f"{row['name']} has the colour mode {row['mode']} where most training images have {mode}: "
                        f"{_converted(row['mode'])}"
                    ),
                ),
            ),
        ]


def _size(row: dict[str, Any], prefix: str = "") -> str:
    return f"{int(row[f'{prefix}width'])} x {int(row[f'{prefix}height'])}"


def _sizes(table: pd.DataFrame) -> list[str | None]:
    pairs = zip(numbers(table, "width"), numbers(table, "height"), strict=True)
    return [f"{int(width)} x {int(height)}" if width >= 0 and height >= 0 else None for width, height in pairs]


def _converted(mode: str) -> str:
    return CONVERTED.get("I" if mode.startswith("I") else mode, "its colours are converted")


def _copies(table: pd.DataFrame) -> list[str | None]:
    names = table["name"]
    return [
        f"{names[offset]} is the same file as {names[other]}: remove one of them" if other is not None else None
        for offset, other in enumerate(copies(table))
    ]


def _near(train: pd.DataFrame, test: pd.DataFrame, same: list[str | None]) -> list[str | None]:
    """Sentences where a test image looks almost like a training image whose bytes it has not."""
    from vae_pipeline.sources.pictures import near_copies

    sentences: list[str | None] = [None] * len(test)
    asked = [None if copy else code for code, copy in zip(texts(test, "hash"), same, strict=True)]
    for offset, other, distance in near_copies(texts(train, "hash"), asked):
        sentences[offset] = (
            f"{test['name'][offset]} looks almost like {train['name'][other]} of the training part ({distance} bits of "
            f"their perceptual hashes differ): remove one of them unless they are different pictures"
        )
    return sentences


def _masks(table: pd.DataFrame, readable: pd.Series) -> list[Fault]:
    """Masks that cannot be used, and defects without one."""
    masked = given(table, "mask")
    unreadable = given(table, "mask_problem")
    other = (numbers(table, "mask_width") != numbers(table, "width")) | (
        numbers(table, "mask_height") != numbers(table, "height")
    )
    unfit = told(
        table,
        readable & masked & ~unreadable & other,
        lambda row: (
            f"{row['name']} is {_size(row)} pixels but its mask {row['mask']} is {_size(row, 'mask_')}: replace the "
            f"mask"
        ),
    )
    missing = told(
        table,
        (numbers(table, "label") == 1) & ~masked & ~unreadable,
        lambda row: f"{row['name']} ({row['defect']}) has no mask: it is left out of the figures of pixels",
    )
    return [
        Fault(
            "masks_match",
            "critical",
            [one or two for one, two in zip(texts(table, "mask_problem"), unfit, strict=True)],
        ),
        Fault("defects_have_masks", "warning" if bool(masked.any()) else "info", missing),
    ]
