"""What to train with: what the launchpad sets, then what tuning found, then what the catalogue has."""

from typing import Any, NamedTuple

import dagster as dg

from vae_pipeline.defs.artifact_io import newest
from vae_pipeline.defs.config import overridden
from vae_pipeline.experiments.best import Best, read_best
from vae_pipeline.records import Artifact, Dataset, FusionTraining, ImageTraining, Training
from vae_pipeline.storage import Storage

__all__ = ["Chosen", "chosen_training"]


class Chosen(NamedTuple):
    """Training parameters; names of those that come from tuning, and a sentence on them; empty where none does.

    ``passed_over`` says why a result of tuning is not used, where there is one.
    """

    training: Training | ImageTraining | FusionTraining
    names: tuple[str, ...] = ()
    tuned: str = ""
    passed_over: str = ""


def chosen_training(dataset: Dataset, config: dg.Config, features: Artifact, storage: Storage) -> Chosen:
    """The parameters to train with.

    The best of the newest tuning counts where it was found on these features within the search space of now.

    Raises:
        SettingError: a value of the launchpad is not allowed.
        StorageError: the result of tuning cannot be read.
    """
    stated = overridden(dataset.training, config)
    tuned = newest(storage, dataset, "tuned")
    if tuned is None:
        return Chosen(stated)
    best = read_best(storage.folder(tuned.key))
    if reason := best.unfit_for(dataset, features.data_version):
        return Chosen(stated, passed_over=f"what tuning found is not used: {reason}; tune again")
    given = {name for name, value in config.model_dump().items() if value is not None}
    own = dataset.training.model_dump(mode="json")
    found = {name: value for name, value in best.parameters.items() if name not in given and value != own[name]}
    if not found:
        return Chosen(stated)
    training = type(stated).model_validate({**stated.model_dump(), **found})
    return Chosen(training, tuple(sorted(found)), _sentence(best, found))


def _sentence(best: Best, found: dict[str, Any]) -> str:
    values = ", ".join(f"{name} = {_short(value)}" for name, value in found.items())
    default = "failed" if best.default_value is None else f"{best.default_value:.4f}"
    return (
        f"{values} from trial {best.trial} of {len(best.trials)}: separation on calibration data {best.value:.4f}, "
        f"of the catalogue's values {default}"
    )


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
