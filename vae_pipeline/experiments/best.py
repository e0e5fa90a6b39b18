"""What a study came to: its best hyperparameters beside the default's, and whether they are those to train with."""

from pathlib import Path
from typing import Any

from vae_pipeline.errors import StorageError
from vae_pipeline.experiments.space import space_of, space_version
from vae_pipeline.records import Dataset, Record

__all__ = ["Best", "TrialRow", "read_best"]


class TrialRow(Record):
    """A trial that came to its end.

    ``state`` is ``complete``, ``pruned`` or ``fail``; ``value`` and its two areas are those of complete trials.
    """

    number: int
    state: str
    value: float | None
    roc_auc: float | None = None
    pr_auc: float | None = None
    epochs: int = 0
    seconds: float = 0.0
    default: bool = False
    reason: str = ""
    parameters: dict[str, Any]


class Best(Record):
    """The best of a study's trials.

    Attributes:
        features: data version of the features it was found on.
        space: version of the search space.
        parameters: hyperparameters by name.
        value: their separation on calibration data.
        default_value: that of what the catalogue trains with; None where that trial failed.
        default: whether the catalogue's values are the best.
        criterion: what normal calibration samples were told from.
        trial: its number.
        trials: all trials that came to their end, in order.
        importance: share of the spread of values that each hyperparameter accounts for; empty with too few trials.
        seconds: of the commands that made them.
        within: what ended the search: ``trials`` or ``minutes``.
    """

    features: str
    space: str
    parameters: dict[str, Any]
    value: float
    default_value: float | None
    default: bool
    criterion: str
    trial: int
    trials: tuple[TrialRow, ...]
    importance: dict[str, float]
    seconds: float
    within: str

    def unfit_for(self, dataset: Dataset, features: str) -> str | None:
        """Why the parameters are not to be trained with; None where they are.

        Args:
            dataset: as the catalogue has it now.
            features: data version of the features to train on.
        """
        if self.features != features:
            return f"they were found on other features ({self.features}, now {features})"
        if self.space != space_version(space_of(dataset)):
            return "the search space is another one now"
        return None


def read_best(folder: Path) -> Best:
    """What `vae_pipeline.experiments.report.write_tuned` wrote.

    Raises:
        StorageError: the folder holds nothing of the kind.
    """
    try:
        return Best.model_validate_json((folder / "best.json").read_text())
    except (OSError, ValueError) as error:
        msg = f"{folder}: holds no result of tuning that can be read; run vae-pipeline tune again"
        raise StorageError(msg) from error
