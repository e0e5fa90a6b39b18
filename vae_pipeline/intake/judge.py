"""A batch against its dataset: does it belong there, is it fit to use, is it new, are its labels to be believed."""

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pyarrow.parquet as pq

from vae_pipeline.errors import DataError, DetectorError, SourceError
from vae_pipeline.intake.foreign import foreign, known_already
from vae_pipeline.intake.screen import FEWEST, Screening, normal_samples, screened
from vae_pipeline.records import Dataset, Record
from vae_pipeline.sources.batch_facts import BatchFacts
from vae_pipeline.sources.batch_files import read_batch
from vae_pipeline.sources.batches import ROWS
from vae_pipeline.validation.validate import validate
from vae_pipeline.validation.verdict import Outcome

if TYPE_CHECKING:
    from vae_pipeline.detector.detector import Detector

__all__ = ["Judgement", "judge"]


class Judgement(Record):
    """What was found of a batch.

    ``reason`` says in a sentence why it is refused, or how it was found fit. ``screening`` is None where the labels
    could not be tested, and ``screened`` says how that came out, or why not. ``facts`` are what a connector noted.
    """

    accepted: bool
    reason: str
    rows: int = 0
    units: int = 0
    span: tuple[str, str] | None = None
    labelled: str = ""
    facts: BatchFacts | None = None
    outcomes: tuple[Outcome, ...] = ()
    screening: Screening | None = None
    screened: str = "not tested: the batch was refused before"


def judge(
    dataset: Dataset,
    arrived: Path,
    raw: Path,
    folder: Path,
    work: Path,
    *,
    others: Sequence[Path] = (),
    champion: "Detector | None" = None,
    without: str = "the dataset has no champion yet",
    trusted: bool = False,
) -> Judgement:
    """Read what arrived into ``folder`` as a batch and judge it; a refusal is an outcome, not an error.

    In this order: it can be read in the dataset's roles; it is of this dataset (`foreign`); the suites of
    `validation/` hold, as for a test part beside the dataset's own training part; the dataset does not have it already;
    nothing in it that passes for normal stands out to the champion (`screened`).

    Args:
        dataset: where it was put.
        arrived: a private copy of the file or folder.
        raw: the dataset's own raw folder.
        folder: receives ``batch.parquet``, ``files/``, and ``expectations.html``.
        work: for what is needed on the way.
        others: folders of batches that ``raw`` does not hold yet.
        champion: the detector that screens.
        without: why there is none, where there is none.
        trusted: a person vouches for the labels: what stands out is told, and no reason to refuse.
    """
    try:
        found = read_batch(dataset, arrived, raw, work, folder)
    except (DataError, SourceError) as error:
        return Judgement(accepted=False, reason=str(error).replace(f"{arrived.parent}{os.sep}", ""))
    rows = pd.read_parquet(folder / ROWS)
    about = {"rows": len(rows), "units": int(rows["unit"].nunique()), "span": _span(rows), **found._asdict()}

    def refused(reason: str, **more: object) -> Judgement:
        return Judgement(accepted=False, reason=f"{arrived.name}: {reason}", **about, **more)  # pyright: ignore[reportArgumentType]

    if dataset.medium == "table" and (stranger := foreign(rows, raw)):
        return refused(stranger)
    outcomes = _outcomes(dataset, raw, folder, work)
    failed = [outcome for outcome in outcomes if outcome.severity == "critical" and not outcome.success]
    if failed:
        also = f"; so does {', '.join(outcome.name for outcome in failed[1:])}" if len(failed) > 1 else ""
        first = failed[0]
        return refused(f"{first.name} fails: {first.example or first.observed}{also}", outcomes=outcomes)
    if old := _old(dataset, rows, raw, others):
        return refused(old, outcomes=outcomes)
    screening, told = _screening(dataset, folder, champion, without)
    tested = {"outcomes": outcomes, "screening": screening, "screened": told}
    if screening and screening.poisoned and not trusted:
        return refused(f"anomalies among what is labelled normal: {screening.told}", **tested)
    told = f"its labels are trusted, though {told}" if screening and screening.poisoned else told
    noted = sum(not outcome.success for outcome in outcomes)
    fit = f"fit to use, with {noted} warning{'s' * (noted != 1)}" if noted else "fit to use"
    return Judgement(accepted=True, reason=f"{arrived.name}: {fit}; {told}", **about, **tested)  # pyright: ignore[reportArgumentType]


def _span(rows: pd.DataFrame) -> tuple[str, str] | None:
    return (str(rows["time"].min()), str(rows["time"].max())) if "time" in rows and len(rows) else None


def _outcomes(dataset: Dataset, raw: Path, folder: Path, work: Path) -> tuple[Outcome, ...]:
    """The suites' outcomes about the batch, which stands in for the test part."""
    beside, pages = work / "beside", work / "pages"
    beside.mkdir()
    pages.mkdir()
    for name in ("train.parquet", "source.json"):
        (beside / name).symlink_to(raw / name)
    (beside / "test.parquet").symlink_to(folder / ROWS)
    # published counts are those of the dataset's own parts
    verdict = validate(dataset.model_copy(update={"published": None}), beside, pages)
    outcomes = tuple(outcome for outcome in verdict.expectations if outcome.part == "test")
    if not outcomes:
        first = next(outcome for outcome in verdict.expectations if not outcome.success)
        msg = f"dataset {dataset.name!r}: its own data do not hold ({first.name}); materialize the raw data again"
        raise DataError(msg)
    (pages / "test.html").rename(folder / "expectations.html")
    return outcomes


def _old(dataset: Dataset, rows: pd.DataFrame, raw: Path, others: Sequence[Path]) -> str | None:
    files = [raw / f"{part}.parquet" for part in ("train", "test")]
    if dataset.medium == "table":
        compared = ["time", *json.loads((raw / "source.json").read_text())["sensors"]]
    else:
        compared = ["sha256"]
    return known_already(rows, _pieces([*files, *(other / ROWS for other in others)], compared), compared)


def _pieces(files: Sequence[Path], columns: list[str]) -> Iterator[pd.DataFrame]:
    """Columns of the files that are there, 65,536 rows at a time."""
    for file in files:
        if file.exists():
            with pq.ParquetFile(file) as opened:
                for batch in opened.iter_batches(columns=columns):
                    yield batch.to_pandas()


def _screening(
    dataset: Dataset, folder: Path, champion: "Detector | None", without: str
) -> tuple[Screening | None, str]:
    if champion is None:
        return None, f"labels were not tested: {without}"
    try:
        scores, samples = normal_samples(champion, dataset, folder)
    except (DetectorError, DataError) as error:
        return None, f"labels were not tested: the champion cannot score the batch ({error})"
    found = screened(scores, samples, champion.reference["scores"], champion.description.threshold.value)
    if found is None:
        return None, f"labels were not tested: {len(scores)} samples pass for normal, {FEWEST} are needed"
    return found, found.told
