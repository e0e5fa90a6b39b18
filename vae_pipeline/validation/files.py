"""What sets of files have in common: one row a file, and for each statement the sentence where the file fails it.

Sentences are computed here, beside the index, and Great Expectations is asked that there be none: so its own pages
tell the same as the report.
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from vae_pipeline.records import Dataset
from vae_pipeline.validation.great import expectations as gxe
from vae_pipeline.validation.suites import Check, Part
from vae_pipeline.validation.verdict import Severity, Size

__all__ = [
    "Fault",
    "FileSuite",
    "both_parts",
    "copies",
    "given",
    "most_common",
    "numbers",
    "odd_labels",
    "texts",
    "told",
]

FEW = 30


@dataclass(frozen=True)
class Fault:
    """A statement about every file of a part.

    Attributes:
        statement: the named outcome it counts towards.
        severity: of a failure.
        sentences: for each file None, or the sentence that names it and says how it fails.
    """

    statement: str
    severity: Severity
    sentences: Sequence[str | None]


class FileSuite(ABC):
    """The suite of a set of files; the training part is what the test part is compared with.

    Attributes:
        noun: what the files are, in the plural.
        columns: the index's columns.
        fewest: normal files without which the features cannot be split.
        dataset: the catalogue entry.
        train: the index of the training part, once it was asked about.
    """

    noun: ClassVar[str]
    columns: ClassVar[tuple[str, ...]]
    fewest: ClassVar[int] = 4

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self.train: pd.DataFrame | None = None

    @abstractmethod
    def faults(self, part: Part, table: pd.DataFrame) -> list[Fault]:
        """Where each file fails; ``train`` is set, and both have a column ``name``, the unit with the file's suffix."""

    def readable(self, table: pd.DataFrame) -> pd.Series:
        """Whether a file counts as one that can be read, row by row."""
        return ~given(table, "problem")

    @abstractmethod
    def expected(self, statement: str, part: Part) -> str:
        """What a statement asks, in words for the report."""

    def schema(self, table: pd.DataFrame) -> list[Check]:
        """The index has its columns and at least one file."""
        columns, rows = gxe().ExpectTableColumnsToMatchSet, gxe().ExpectTableRowCountToBeBetween
        present = columns(column_set=list(self.columns), exact_match=False, severity="critical")
        missing = [name for name in self.columns if name not in table]
        return [
            Check(
                "columns_are_present",
                "table",
                present,
                lambda _: f"the index lacks {', '.join(missing)}: materialize the raw data again",
            ),
            Check(
                f"{self.noun}_are_present",
                "table",
                rows(min_value=1, severity="critical"),
                lambda _: f"the part holds no {self.noun}",
                noun=self.noun,
            ),
        ]

    def ask(self, part: Part, table: pd.DataFrame) -> tuple[dict[str, pd.DataFrame], list[Check]]:
        """One frame with the sentences of every file, and one of the normal files that can be read."""
        table = table.reset_index(drop=True).assign(name=_names(table))
        if part == "train":
            self.train = table
        frame = pd.DataFrame({"name": table["name"]})
        checks: list[Check] = []
        for fault in self.faults(part, table):
            column = f"{fault.statement} ({fault.severity})"
            frame[column] = pd.Series(list(fault.sentences), dtype=object)
            expectation = gxe().ExpectColumnValuesToBeNull(column=column, severity=fault.severity)
            checks.append(Check(fault.statement, self.noun, expectation, _tell(fault)))
        normal = pd.DataFrame(frame[((numbers(table, "label") != 1) & self.readable(table)).to_numpy()])
        checks += self._enough(part, len(normal))
        checks += self._published(part, len(table))
        return {self.noun: frame, f"normal {self.noun}": normal.reset_index(drop=True)}, checks

    def size(self, part: Part, table: pd.DataFrame) -> Size:
        """The files, which are the units."""
        return Size(part=part, rows=len(table), units=len(table), columns=len(table.columns), noun=self.noun)

    def _enough(self, part: Part, count: int) -> list[Check]:
        if part == "test":
            return []
        few = f"only {count} normal {self.noun} in {part}"
        sentences = {
            FEW: f"{few}: figures from fewer than {FEW} are coarse, so read them with their intervals",
            self.fewest: f"{few}: at least {self.fewest} are needed to fit and to calibrate, so add some",
        }
        severities: dict[int, Severity] = {FEW: "warning", self.fewest: "critical"}
        return [
            Check(
                f"{self.noun}_are_enough",
                f"normal {self.noun}",
                gxe().ExpectTableRowCountToBeBetween(min_value=fewest, severity=severities[fewest]),
                lambda _, fewest=fewest: sentences[fewest],
            )
            for fewest in (FEW, self.fewest)
        ]

    def _published(self, part: Part, count: int) -> list[Check]:
        published = self.dataset.published
        if published is None:
            return []
        stated = published.train_rows if part == "train" else published.test_rows
        expectation = gxe().ExpectTableRowCountToEqual(value=stated, severity="warning")
        sentence = f"{part} holds {count:,} {self.noun} where {stated:,} are published"
        return [Check("counts_are_as_published", self.noun, expectation, lambda _: sentence)]

    def shared_text(self, statement: str) -> str:
        """What the statements about any kind of file ask."""
        noun = self.noun
        return {
            "columns_are_present": "the index has all its columns",
            f"{noun}_are_present": f"the part holds {noun}",
            f"{noun}_are_readable": f"all {noun} can be read whole",
            f"{noun}_are_enough": (
                f"there are {FEW} normal {noun} to learn from (warning), at least {self.fewest} (critical)"
            ),
            f"{noun}_are_distinct": f"no two {noun} of a part are the same file",
            "labels_are_binary": "labels are 0, 1 or empty",
            "counts_are_as_published": f"there are as many {noun} as the authors publish; a reduced set is allowed",
        }[statement]


def _names(table: pd.DataFrame) -> list[str]:
    """What messages call the files: units, with the suffix that a clip's unit lacks."""
    suffixes = [PurePosixPath(file or "").suffix for file in texts(table, "file")]
    units = [str(unit) for unit in table["unit"]]
    return [unit if unit.endswith(suffix) else unit + suffix for unit, suffix in zip(units, suffixes, strict=True)]


def _tell(fault: Fault) -> Callable[[int], str]:
    return lambda offset: fault.sentences[offset] or ""


def told(table: pd.DataFrame, failing: pd.Series, sentence: Callable[[dict[str, Any]], str]) -> list[str | None]:
    """None for each row, the sentence where it fails; a missing answer counts as no failure."""
    found: list[str | None] = [None] * len(table)
    for offset in np.flatnonzero(failing.fillna(False).to_numpy(dtype=bool)):
        found[offset] = sentence(table.iloc[offset].to_dict())
    return found


def given(table: pd.DataFrame, column: str) -> pd.Series:
    """Whether a column holds something, row by row."""
    return pd.Series(table[column]).notna()


def numbers(table: pd.DataFrame, column: str) -> pd.Series:
    """A column as float64, NaN where it holds no number."""
    return pd.Series(pd.to_numeric(table[column], errors="coerce")).astype("float64")


def texts(table: pd.DataFrame, column: str) -> list[str | None]:
    """A column of texts, None where there is none."""
    return [None if pd.isna(value) else str(value) for value in table[column]]


def most_common(values: Sequence[Hashable]) -> Hashable:
    """The value seen most often, the first of several; None where there is none."""
    counts = Counter(value for value in values if value is not None)
    return max(counts, key=lambda value: counts[value], default=None)


def odd_labels(table: pd.DataFrame) -> list[str | None]:
    """Sentences where a label is neither 0 nor 1 nor empty."""
    odd = given(table, "label") & ~numbers(table, "label").isin([0, 1])
    return told(table, odd, lambda row: f"{row['name']} has label {row['label']}: state 0, 1 or none")


def copies(table: pd.DataFrame) -> list[int | None]:
    """For each file the offset of the first file before it with the same bytes, None where there is none."""
    first: dict[str, int] = {}
    return [
        None if digest is None or first.setdefault(digest, offset) == offset else first[digest]
        for offset, digest in enumerate(texts(table, "sha256"))
    ]


def both_parts(train: pd.DataFrame, test: pd.DataFrame) -> list[str | None]:
    """Sentences where a test file has the same bytes as a training file."""
    # the first of equal ones is named
    names = dict(zip(reversed(texts(train, "sha256")), reversed(texts(train, "name")), strict=True))
    same = [digest is not None and digest in names for digest in texts(test, "sha256")]
    return told(
        test,
        pd.Series(same),
        lambda row: (
            f"{row['name']} is the same file as {names[row['sha256']]} of the training part: remove one of them"
        ),
    )
