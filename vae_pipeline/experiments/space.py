"""Where tuning looks: a range or choices for each hyperparameter, the catalogue's own value always among them."""

import json
from typing import TYPE_CHECKING, Any

from vae_pipeline.records import Dataset, Optimisation, SearchRange
from vae_pipeline.storage import fingerprint

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

__all__ = ["SPACES", "Space", "decoded", "default_of", "distributions", "encoded", "space_of", "space_version"]

Space = dict[str, SearchRange]
"""Range of each hyperparameter by its name."""

SPACES: dict[str, Space] = {
    "timeseries": {
        "latent": SearchRange(low=8, high=48, log=True),
        "beta": SearchRange(low=0.01, high=0.5, log=True),
        "hidden": SearchRange(choices=((32, 64, 128), (64, 128, 256))),
        "learning_rate": SearchRange(low=5e-4, high=4e-3, log=True),
        "noise": SearchRange(low=0.0, high=0.4),
    },
    "vision": {
        "latent": SearchRange(low=16, high=128, log=True),
        "beta": SearchRange(low=0.1, high=10.0, log=True),
        "learning_rate": SearchRange(low=3e-4, high=3e-3, log=True),
        "pixel_noise": SearchRange(low=0.02, high=0.2, log=True),
        "structure": SearchRange(low=0.0, high=8.0),
        "anomalous_share": SearchRange(low=0.3, high=0.9),
    },
}
"""Where each line looks when the catalogue does not say."""


def space_of(dataset: Dataset) -> Space:
    """The dataset's search space, each range widened and each list lengthened by what the catalogue trains with now.

    So the default is a point of the space, and trial 0 can be it.
    """
    stated = dataset.tuning.space
    found = SPACES[dataset.line] if stated is None else stated
    return {name: _with(searched, getattr(dataset.training, name)) for name, searched in sorted(found.items())}


def _with(searched: SearchRange, value: Any) -> SearchRange:
    if searched.choices is not None:
        known = [encoded(choice) for choice in searched.choices]
        more = () if encoded(value) in known else (value,)
        return searched.model_copy(update={"choices": (*searched.choices, *more)})
    if value is None:  # decided from the data where it is left out: no point of a range
        return searched
    low, high = min(searched.low, value), max(searched.high, value)  # type: ignore[type-var]
    return searched.model_copy(update={"low": low, "high": high, "log": searched.log and low > 0})


def space_version(space: Space) -> str:
    """A short hash of the space."""
    return fingerprint(space)


def default_of(dataset: Dataset, space: Space) -> dict[str, Any]:
    """What the catalogue trains with, as Optuna keeps it; a value that is decided from the data is left out."""
    found = {name: getattr(dataset.training, name) for name in space}
    return {
        name: value if space[name].choices is None else encoded(value)
        for name, value in found.items()
        if value is not None or space[name].choices is not None
    }


def distributions(training: Optimisation, space: Space) -> "dict[str, BaseDistribution]":
    """The space as Optuna states it; choices are JSON texts, since it keeps no lists."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    found: dict[str, BaseDistribution] = {}
    for name, searched in space.items():
        if searched.choices is not None:
            found[name] = CategoricalDistribution([encoded(choice) for choice in searched.choices])
        elif type(training).model_fields[name].annotation is int:
            found[name] = IntDistribution(int(searched.low or 0), int(searched.high or 0), log=searched.log)
        else:
            found[name] = FloatDistribution(float(searched.low or 0), float(searched.high or 0), log=searched.log)
    return found


def encoded(choice: Any) -> str:
    """A choice as JSON text."""
    return json.dumps(choice)


def decoded(parameters: dict[str, Any], space: Space) -> dict[str, Any]:
    """Hyperparameters of what Optuna keeps of a trial."""
    return {name: json.loads(value) if space[name].choices is not None else value for name, value in parameters.items()}
