"""The study: trials of one dataset, kept on disk while they are made, so that a killed process loses one at most.

A trial that was running when its process died is given back: it is marked as failed and the same hyperparameters are
tried again. What Optuna draws next depends on the seed and on the trials that are done, so a study that was interrupted
comes to the same trials as one that was not.
"""

import json
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vae_pipeline.addresses import shown
from vae_pipeline.errors import SettingError, StorageError
from vae_pipeline.experiments.space import Space, default_of, distributions, space_version
from vae_pipeline.processes import is_gone, this_process
from vae_pipeline.records import Dataset
from vae_pipeline.settings import Settings
from vae_pipeline.storage import fingerprint, lock_file, told

if TYPE_CHECKING:
    import optuna

__all__ = [
    "GIVEN_BACK",
    "add_seconds",
    "ask",
    "begun",
    "done",
    "give_back",
    "only_command",
    "open_storage",
    "open_study",
    "seconds_spent",
    "storage_address",
    "study_name",
]

GIVEN_BACK = "given_back"
"""Set on a trial that did not come to its end and is tried again."""

_OWNER = "owner"
_RETRY_OF = "retry_of"
_SECONDS = "seconds:"
_STARTUP = 8
"""Trials drawn at random before the sampler models anything."""


def study_name(dataset: Dataset) -> str:
    """The name of the dataset's study."""
    return f"{dataset.line}-{dataset.name}"


def storage_address(settings: Settings, name: str) -> str:
    """The database of ``VAE_PIPELINE_OPTUNA_STORAGE``, or the study's journal file."""
    return settings.optuna_storage or str(settings.home / "tuning" / f"{name}.journal")


def open_storage(address: str) -> "optuna.storages.BaseStorage":
    """The database or journal file of this address.

    Raises:
        StorageError: it cannot be used; the message names it.
    """
    import optuna
    from optuna.storages import JournalStorage, RDBStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.filterwarnings("ignore", module="optuna")
    if "://" in address:
        with _database_told(address):
            return RDBStorage(address)
    path = Path(address)
    with told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            return JournalStorage(JournalFileBackend(address))
        except (ValueError, KeyError) as error:  # a line that is no entry
            msg = f"{path}: no journal of a study ({error}); remove the file to begin anew"
            raise StorageError(msg) from error


def _mend(journal: Path) -> None:
    """Cut off the entry that a full disk left unfinished: what is appended behind it could not be read."""
    if not journal.is_file():  # none yet, or a database
        return
    content = journal.read_bytes()
    if content and not content.endswith(b"\n"):
        with journal.open("r+b") as file:
            file.truncate(content.rfind(b"\n") + 1)


@contextmanager
def _database_told(address: str) -> Iterator[None]:
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (SQLAlchemyError, ImportError, ValueError) as error:
        reason = str(error).splitlines()[0]
        msg = f"{address}: cannot keep the study ({reason}); check VAE_PIPELINE_OPTUNA_STORAGE"
        raise StorageError(shown(msg)) from error


@contextmanager
def only_command(settings: Settings, name: str) -> Iterator[None]:
    """Refuse a second command on the same study of this home while one is at work; its workers are its own.

    Raises:
        SettingError: one is at work.
    """
    with lock_file(settings.home / "tuning" / f"{name}.lock") as alone:
        if not alone:
            msg = f"the study {name} is being worked on by another command of this home; wait for it or stop it"
            raise SettingError(msg)
        yield


def open_study(
    settings: Settings, dataset: Dataset, data_version: str, space: Space, *, fresh: bool = False
) -> "optuna.Study":
    """The dataset's study, begun where there is none.

    Args:
        settings: where it is kept.
        dataset: names it; what the catalogue trains with is trial 0.
        data_version: of the features.
        space: where is searched.
        fresh: forget the trials there are.

    Raises:
        SettingError: it was made with another search space, on other features, or around other fixed values.
        StorageError: it cannot be kept.
    """
    import optuna

    name, address = study_name(dataset), storage_address(settings, study_name(dataset))
    _mend(Path(address))
    storage = open_storage(address)
    if fresh and name in optuna.get_all_study_names(storage):
        optuna.delete_study(study_name=name, storage=storage)
    study = optuna.create_study(study_name=name, storage=storage, direction="maximize", load_if_exists=True)
    about = {
        "features": data_version,
        "space": {key: value.model_dump(mode="json") for key, value in space.items()},
        "training": dataset.training.model_dump(mode="json"),
        "calibration": dataset.calibration.model_dump(mode="json"),
    }
    for key, value in about.items():
        if key not in study.user_attrs:
            study.set_user_attr(key, value)
    _require_same(study, about, address)
    if not study.get_trials(deepcopy=False):
        study.enqueue_trial(default_of(dataset, space), user_attrs={"default": True})
    return study


def _require_same(study: "optuna.Study", about: dict[str, Any], address: str) -> None:
    """Trials are compared with each other: all that they share must be the same."""
    begin = "or begin anew with --fresh"
    kept, asked = study.user_attrs, json.loads(json.dumps(about))
    for key, what, advice in (
        ("space", "with another search space", "state it in the catalogue's tuning.space again"),
        ("training", "around other training values", "state them in the catalogue's training again"),
        ("calibration", "with other calibration settings", "state them in the catalogue again"),
    ):
        names = sorted(set(kept[key]) | set(asked[key]))
        differing = [name for name in names if kept[key].get(name) != asked[key].get(name)]
        if differing:
            msg = f"{address}: the study {study.study_name} was made {what} ({', '.join(differing)}): {advice}, {begin}"
            raise SettingError(msg)
    if kept["features"] != asked["features"]:
        msg = (
            f"{address}: the study {study.study_name} was made on other features ({kept['features']}, now "
            f"{asked['features']}): bring those back, {begin}"
        )
        raise SettingError(msg)


def ask(study: "optuna.Study", dataset: Dataset, space: Space) -> "optuna.trial.Trial":
    """The next trial, owned by this process; one that was given back comes first."""
    from optuna.samplers import TPESampler

    seed = int(fingerprint(dataset.tuning.seed, space_version(space), begun(study)), 16) % 2**32
    study.sampler = TPESampler(seed=seed, n_startup_trials=_STARTUP)
    trial = study.ask(distributions(dataset.training, space))
    trial.set_user_attr(_OWNER, this_process())
    return trial


def begun(study: "optuna.Study") -> int:
    """Trials that are done or running."""
    from optuna.trial import TrialState

    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    return len(done(study)) + len(running)


def done(study: "optuna.Study") -> "list[optuna.trial.FrozenTrial]":
    """Trials that came to an end, whatever it was; not those given back."""
    from optuna.trial import TrialState

    ended = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL))
    return [trial for trial in ended if GIVEN_BACK not in trial.user_attrs]


def give_back(study: "optuna.Study", number: int | None = None) -> int:
    """Have trials tried again that will not come to an end; tells how many.

    It may be killed after any of its steps and called again.

    Args:
        study: the opened study.
        number: of the trial; all that a process of this machine left running when left out.
    """
    from optuna.trial import Trial, TrialState

    every = study.get_trials(deepcopy=False)
    retried = {trial.user_attrs.get(_RETRY_OF) for trial in every}
    left = [
        trial
        for trial in every
        if trial.state == TrialState.RUNNING
        and (_left(trial.user_attrs.get(_OWNER)) if number is None else trial.number == number)
    ]
    for trial in left:
        Trial(study, trial._trial_id).set_user_attr(GIVEN_BACK, True)
        if trial.number not in retried:
            default = {"default": True} if trial.user_attrs.get("default") else {}
            study.enqueue_trial(trial.params, user_attrs={_RETRY_OF: trial.number, **default})
        study.tell(trial.number, state=TrialState.FAIL)
    return len(left)


def _left(owner: str | None) -> bool:
    """Whether a running trial's process is no more; one without an owner was killed while it was drawn."""
    return owner is None or is_gone(owner) or owner == this_process()


def add_seconds(study: "optuna.Study", began: float, before: float) -> None:
    """Note the time of this command since ``began``, on top of the seconds of earlier ones of this process."""
    study.set_user_attr(f"{_SECONDS}{this_process()}", before + time.monotonic() - began)


def seconds_spent(study: "optuna.Study", owner: str | None = None) -> float:
    """Seconds of all commands that worked on the study, or of those of one process."""
    keys = [f"{_SECONDS}{owner}"] if owner else [key for key in study.user_attrs if key.startswith(_SECONDS)]
    return sum(float(study.user_attrs.get(key, 0.0)) for key in keys)
