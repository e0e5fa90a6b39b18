"""Does a batch hold anomalies that pass for normal? Its champion's scores tell, and tell drift from poison.

A genuinely drifted batch alarms too, so alarms alone prove nothing. What tells the two apart is the batch's own
majority: drift moves it, poison is a minority that stands out from it. A sample stands out where its score lies above a
level ``t`` and above the same height over the batch's own majority: with ``m`` the median and ``d`` the median absolute
deviation of scores, above ``max(t, m_batch + d_batch (t - m_reference) / d_reference)``. The level is the champion's
threshold, or the score that 1 % of normal calibration samples exceed where more exceed the threshold. How many stand
out is compared with that 1 % by a one-sided binomial test.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
import pandas as pd
from scipy import stats

from vae_pipeline.errors import DataError
from vae_pipeline.features.labels import row_labels, whole_windows
from vae_pipeline.records import Dataset, Record
from vae_pipeline.sources.batches import ROWS

if TYPE_CHECKING:
    from vae_pipeline.detector.detector import Detector
    from vae_pipeline.detector.images import ImageDetector
    from vae_pipeline.detector.sounds import SoundDetector
    from vae_pipeline.detector.windows import WindowDetector

__all__ = ["FEWEST", "LEVEL", "Screening", "Suspect", "normal_samples", "screened"]

LEVEL = 0.01
"""Of the test: what one in a hundred batches without anomalies is expected to exceed at most."""

FEWEST = 10
"""Samples without which a batch has no majority to speak of."""

_RATE = 0.01


class Sample(NamedTuple):
    """A window, clip or image that passes for normal.

    Attributes:
        unit: of the batch.
        first: first row of a window in the batch's table, from 1; 0 of a file.
        last: last row.
    """

    unit: str
    first: int
    last: int


class Suspect(Record):
    """Samples of one unit that stand out; rows count from 1, and are 0 of a file."""

    unit: str
    first: int
    last: int
    samples: int
    score: float


class Screening(Record):
    """What the champion's scores say of a batch.

    ``expected`` is the share of normal samples above ``level`` at most, ``above`` how many of the batch are, and
    ``standing_out`` how many lie above ``bar``, which follows the batch's majority; ``p_value`` is that of so many.
    ``moved`` is by how many of the reference's median absolute deviations the batch's median score lies above the
    reference's.
    """

    samples: int
    level: float
    bar: float
    expected: float
    above: int
    standing_out: int
    moved: float
    p_value: float
    poisoned: bool
    drifted: bool
    suspects: tuple[Suspect, ...] = ()

    @property
    def told(self) -> str:
        """The finding in a sentence."""
        count = f"{self.above:,} of its {self.samples:,} supposedly normal samples"
        share = f"{count} score as high as at most {self.expected:.1%} of normal data do"
        if self.poisoned:
            units = list(dict.fromkeys(suspect.unit for suspect in self.suspects))
            more = f" and {len(units) - 5} more" if len(units) > 5 else ""
            return (
                f"{self.standing_out:,} of its {self.samples:,} supposedly normal samples stand out from the others "
                f"where at most {self.expected:.1%} may (p = {self.p_value:.1g}): units {', '.join(units[:5])}{more}"
            )
        if self.drifted:
            return f"{share}, but they do not stand out from the others: the batch has moved as a whole"
        return f"{share}, which is what chance allows"


def screened(
    scores: np.ndarray, samples: Sequence[Sample], reference: np.ndarray, threshold: float
) -> Screening | None:
    """Whether some samples stand out from the batch's majority; None of fewer than ``FEWEST`` samples.

    Args:
        scores: of samples that pass for normal, shape (n,); hardly overlapping ones, as each counts as one draw.
        samples: what they are.
        reference: scores of normal calibration samples.
        threshold: the champion's.
    """
    if len(scores) < FEWEST:
        return None
    normal, spread = _majority(reference)
    here, width = _majority(scores)
    level = max(threshold, float(np.quantile(reference, 1.0 - _RATE, method="higher")))
    bar = max(level, here + width * (level - normal) / spread)
    out = np.flatnonzero(scores > bar)
    above = int(np.sum(scores > level))
    p_value = _at_least(len(out), len(scores), _RATE)
    poisoned = p_value < LEVEL
    return Screening(
        samples=len(scores),
        level=level,
        bar=float(bar),
        expected=_RATE,
        above=above,
        standing_out=len(out),
        moved=float((here - normal) / spread),
        p_value=p_value,
        poisoned=poisoned,
        drifted=not poisoned and _at_least(above, len(scores), _RATE) < LEVEL,
        suspects=_suspects(scores, samples, out) if poisoned else (),
    )


def normal_samples(detector: "Detector", dataset: Dataset, folder: Path) -> tuple[np.ndarray, list[Sample]]:
    """Scores of what a model would be fitted on, shape (n,), and what it is.

    Of tables: windows all of whose rows are healthy by the dataset's rule, one every half window of a unit.

    Raises:
        DataError: the champion is of another medium; the batch cannot be read.
        DetectorError: the champion reads a column that the batch lacks.
    """
    if detector.description.medium != dataset.medium:
        msg = f"{detector.description.name}: is of medium {detector.description.medium}, not {dataset.medium}"
        raise DataError(msg)
    rows = pd.read_parquet(folder / ROWS)
    if dataset.medium == "table":
        return _windows(cast("WindowDetector", detector), dataset, rows)
    normal = rows[(rows["label"] != 1).fillna(True) & rows["problem"].isna()]
    files = [folder / str(name) for name in normal["file"]]
    found = [Sample(str(unit), 0, 0) for unit in normal["unit"]]
    if not files:
        return np.zeros(0), found
    if dataset.medium == "sound":
        return cast("SoundDetector", detector).score_clips(files).score, found
    scored = cast("ImageDetector", detector).score_pictures(files)
    return np.array([image.score for image in scored]), found


def _windows(detector: "WindowDetector", dataset: Dataset, rows: pd.DataFrame) -> tuple[np.ndarray, list[Sample]]:
    columns = {name: rows[name].to_numpy() for name in detector.description.inputs if name in rows}
    table = detector.table_windows(columns, rows["unit"].to_numpy())
    life = rows["remaining_life"].to_numpy(np.float64) if "remaining_life" in rows else None
    label = rows["label"].fillna(-1).to_numpy(np.int8) if "label" in rows else None
    _, healthy = row_labels(dataset.labels, rows=len(rows), training=True, remaining_life=life, label=label)
    windows = table.windows
    fitted = np.flatnonzero(whole_windows(healthy[table.row], windows.starts, windows.length))
    units = table.unit[windows.ends[fitted]]
    step = max(1, windows.length // 2)
    chosen: list[int] = []
    for unit in np.unique(units):
        starts = windows.starts[fitted[units == unit]]
        apart = -step
        for place, start in zip(fitted[units == unit], starts, strict=True):
            if start - apart >= step:
                chosen.append(int(place))
                apart = int(start)
    few = windows.subset(np.array(chosen, dtype=np.int64))
    samples = [
        Sample(table.unit_names[table.unit[start]], int(table.row[start]) + 1, int(table.row[end]) + 1)
        for start, end in zip(few.starts, few.ends, strict=True)
    ]
    return detector.judged(few).score, samples


def _majority(scores: np.ndarray) -> tuple[float, float]:
    """Median and median absolute deviation, which is above 0."""
    middle = float(np.median(scores))
    return middle, max(float(np.median(np.abs(scores - middle))), 1e-9 * max(1.0, abs(middle)))


def _at_least(count: int, of: int, share: float) -> float:
    """The probability of so many or more, each with probability ``share``."""
    return float(stats.binom.sf(count - 1, of, share))


def _suspects(scores: np.ndarray, samples: Sequence[Sample], out: np.ndarray) -> tuple[Suspect, ...]:
    """Per unit, highest score first."""
    of: dict[str, list[int]] = {}
    for place in out:
        of.setdefault(samples[place].unit, []).append(int(place))
    found = [
        Suspect(
            unit=unit,
            first=min(samples[place].first for place in places),
            last=max(samples[place].last for place in places),
            samples=len(places),
            score=float(max(scores[place] for place in places)),
        )
        for unit, places in of.items()
    ]
    return tuple(sorted(found, key=lambda suspect: -suspect.score))
