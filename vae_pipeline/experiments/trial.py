"""One trial: train with some hyperparameters, look after every epoch whether it is worth going on, judge the result."""

import os
import signal
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from vae_pipeline.artifacts import folder_key
from vae_pipeline.errors import CalibrationError, TrainingError
from vae_pipeline.experiments.objective import Separation, separation
from vae_pipeline.experiments.probe import probe
from vae_pipeline.experiments.study import open_storage
from vae_pipeline.records import Dataset, Record
from vae_pipeline.settings import load_settings
from vae_pipeline.storage import open_storage as open_kept

__all__ = ["Outcome", "TrialJob", "begin_worker", "run_on_node", "run_trial"]

State = Literal["complete", "pruned", "failed", "stopped"]

_PRUNED_AGAINST = 5
"""Trials that must have come so far before one is pruned."""

_WARMUP_SHARE = 0.5
"""Of the epochs, in which no trial is pruned: before, what looks best is what learns fastest."""

_KEPT = 75.0
"""Per cent of trials that go on at an epoch: the order within one is not yet that at the end."""

EpochSeen = Callable[[int, float], None]
Stop = Callable[[], bool]


@dataclass(frozen=True)
class TrialJob:
    """All that a process needs to run a trial.

    Attributes:
        dataset: its ``training`` has the trial's hyperparameters.
        data_version: of the features.
        features: the features folder.
        storage: address of the study's storage.
        study: its name.
        trial_id: the trial's, within the storage.
        deadline: seconds since 1970 at which the time is over.
    """

    dataset: Dataset
    data_version: str
    features: Path
    storage: str
    study: str
    trial_id: int
    deadline: float


class Outcome(Record):
    """How a trial ended; ``stopped`` is one that ran out of time or was told to stop."""

    state: State
    seconds: float
    epochs: int
    separation: Separation | None = None
    reason: str = ""


class _StoppedError(Exception):
    """The trial is not to go on, and says nothing of its hyperparameters."""


class _PrunedError(Exception):
    """The trial does worse than others did at this epoch."""


def run_trial(job: TrialJob, seen: EpochSeen | None = None, stop: Stop | None = None) -> Outcome:
    """Train and judge; the study learns of every epoch, and of the end by whoever asked for the trial.

    Args:
        job: the trial.
        seen: called after every epoch with what it looks like.
        stop: asked after every epoch whether to end.
    """
    import optuna
    from optuna.pruners import PercentilePruner
    from optuna.samplers import RandomSampler

    from vae_pipeline.models.train import Told, train

    began, epochs = time.monotonic(), 0
    warmup = round(_WARMUP_SHARE * job.dataset.training.epochs)
    pruner = PercentilePruner(_KEPT, n_startup_trials=_PRUNED_AGAINST, n_warmup_steps=warmup)
    # the hyperparameters are drawn already: this sampler is never asked
    study = optuna.load_study(
        study_name=job.study, storage=open_storage(job.storage), sampler=RandomSampler(), pruner=pruner
    )
    trial = optuna.trial.Trial(study, job.trial_id)
    judged = probe(job.dataset, job.features)

    def judge(epoch: int, network: Any) -> None:
        nonlocal epochs
        epochs = epoch + 1
        value = judged(network)
        trial.report(value, epoch)
        if seen:
            seen(epoch, value)
        if (stop and stop()) or _orphaned():
            raise _StoppedError
        if epochs == job.dataset.training.epochs:  # what is left takes no longer than an epoch
            return
        if time.time() > job.deadline:
            raise _StoppedError
        if trial.should_prune():
            raise _PrunedError

    def ended(state: State, **more: Any) -> Outcome:
        return Outcome(state=state, seconds=time.monotonic() - began, epochs=epochs, **more)

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        try:
            train(job.dataset, job.features, folder, Told(judge=judge), folds=False)
            found = separation(job.dataset, job.data_version, job.features, folder / "model.onnx")
        except _StoppedError:
            return ended("stopped")
        except _PrunedError:
            return ended("pruned")
        except (TrainingError, CalibrationError) as error:
            return ended("failed", reason=str(error))
    return ended("complete", separation=found)


def run_on_node(job: TrialJob) -> Outcome:
    """`run_trial` on a machine that may lack the features folder; storage has it."""
    if job.features.is_dir():
        return run_trial(job)
    key = folder_key(job.dataset, "features", job.data_version)
    return run_trial(replace(job, features=open_kept(load_settings()).folder(key)))


_parent: int | None = None


def begin_worker(threads: int) -> None:
    """Prepare a process that runs trials: its share of the threads, and Ctrl-C is its parent's to answer."""
    global _parent  # noqa: PLW0603 - a process has one parent
    _parent = os.getppid()
    os.environ["VAE_PIPELINE_THREADS"] = str(threads)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _orphaned() -> bool:
    """Whether the process that this one works for was killed."""
    return _parent is not None and os.getppid() != _parent
