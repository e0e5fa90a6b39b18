"""What validation says of a dataset: outcomes of named statements, and the error when a blocking one fails."""

from typing import Literal

from vae_pipeline.errors import ValidationFailedError
from vae_pipeline.records import Dataset, Record

__all__ = ["Outcome", "Severity", "Size", "Verdict", "raise_if_failed"]

Severity = Literal["critical", "warning", "info"]


class Outcome(Record):
    """Whether one statement holds for one part.

    ``severity`` is that of the gravest failed expectation behind the statement; where all hold, the gravest it can
    have. ``example`` names unit, row, column and value of the first place where it fails; rows count from 1.
    """

    name: str
    part: Literal["train", "test"]
    severity: Severity
    success: bool
    expected: str
    observed: str
    example: str = ""


class Size(Record):
    """How much a part holds; ``noun`` says what its rows are."""

    part: Literal["train", "test"]
    rows: int
    units: int
    columns: int
    noun: str = "rows"


class Verdict(Record):
    """All outcomes of a dataset; ``success`` is false where a critical statement fails."""

    dataset: str
    success: bool
    expectations: tuple[Outcome, ...]
    sizes: tuple[Size, ...] = ()

    def failed(self, severity: Severity | None = None) -> tuple[Outcome, ...]:
        """The outcomes that do not hold, of one severity or of all."""
        return tuple(o for o in self.expectations if not o.success and severity in (None, o.severity))


def raise_if_failed(verdict: Verdict, dataset: Dataset) -> None:
    """Stop where a critical statement fails.

    Raises:
        ValidationFailedError: names the first three critical failures, each with its example.
    """
    if verdict.success:
        return
    failures = verdict.failed("critical")
    told = "; ".join(f"{o.name} fails in {o.part} ({o.example or o.observed})" for o in failures[:3])
    more = f"; and {len(failures) - 3} more" if len(failures) > 3 else ""
    msg = f"dataset {dataset.name!r} is not fit to use: {told}{more}; correct the data or its catalogue entry"
    raise ValidationFailedError(msg)
