"""What is said of a day: ``drift.json``."""

from typing import Literal

from vae_pipeline.records import Line, Record

__all__ = ["Drift", "Family", "FamilyName", "Moved", "Statistic", "Verdict"]

FamilyName = Literal["scores", "latents", "features", "alarms"]
Verdict = Literal["drift", "no_drift", "too_few"]


class Statistic(Record):
    """One statistic of a day beside the reference.

    Attributes:
        value: of several dimensions the largest, and ``at`` names it.
        p_value: by permutation of whole units; of several dimensions adjusted for looking at the largest.
        drifted: whether this statistic alone would alarm at ``level``; the verdict goes by families.
    """

    family: FamilyName
    name: str
    value: float
    at: str | None = None
    p_value: float
    level: float
    drifted: bool


class Family(Record):
    """The statistics of one kind together; ``adjusted`` is by Holm over the families."""

    name: FamilyName
    p_value: float
    adjusted: float
    drifted: bool


class Moved(Record):
    """How far an input moved, in sds of the reference; ``p_value`` is adjusted for the number of inputs."""

    name: str
    shift: float
    p_value: float
    drifted: bool


class Drift(Record):
    """A day, or several, of one model's predictions beside the normal samples it was calibrated on.

    Attributes:
        day, until: first and last day, ISO dates in UTC.
        verdict: ``too_few`` where nothing can be said; ``reason`` says why in a sentence, as it does of the others.
        rows: predictions of this version that were read; counts, shares, means and sds are of all of them.
        judged, units: samples and units that were compared after thinning, and ``reference_*`` those beside them.
        reference_alarm_share: alarms among the reference, by the same threshold.
        score_shift: of the mean of all scores, in sds of the reference's.
        other_versions: rows of other versions of the model, which were left out.
        skipped: files that could not be read, each with the reason; at most twenty.
    """

    line: Line
    dataset: str
    version: int
    day: str
    until: str
    verdict: Verdict
    reason: str
    level: float
    rows: int
    alarms: int
    alarm_share: float | None
    reference_alarm_share: float
    score_mean: float | None
    score_sd: float | None
    score_shift: float | None
    judged: int
    units: int
    reference_judged: int
    reference_units: int
    other_versions: int
    files: int
    skipped_files: int
    skipped: tuple[str, ...] = ()
    families: tuple[Family, ...] = ()
    statistics: tuple[Statistic, ...] = ()
    features: tuple[Moved, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def drifted(self) -> bool:
        """Whether the verdict is drift."""
        return self.verdict == "drift"

    @property
    def p_value(self) -> float | None:
        """The smallest adjusted p-value of the families; None where nothing was compared."""
        return min((family.adjusted for family in self.families), default=None)
