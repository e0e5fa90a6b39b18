"""Tuning: trial after trial within a budget of trials and minutes, kept in a study that can be gone on with."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vae_pipeline.errors import TrainingError
from vae_pipeline.experiments.best import Best, TrialRow
from vae_pipeline.experiments.space import Space, decoded, space_of, space_version
from vae_pipeline.experiments.study import (
    add_seconds,
    ask,
    begun,
    done,
    give_back,
    only_command,
    open_study,
    seconds_spent,
    storage_address,
    study_name,
)
from vae_pipeline.experiments.trial import Outcome, TrialJob
from vae_pipeline.experiments.workers import Workers, workers_of
from vae_pipeline.processes import this_process
from vae_pipeline.records import Dataset
from vae_pipeline.settings import Settings

if TYPE_CHECKING:
    import optuna

__all__ = ["tune"]

Tell = Callable[[str], object]

_ENOUGH = 4
"""Complete trials from which their hyperparameters are compared."""


def tune(
    dataset: Dataset, data_version: str, features: Path, settings: Settings, tell: Tell = str, *, fresh: bool = False
) -> Best:
    """Go on with the dataset's study until a budget of ``dataset.tuning`` is used up; give its best trial.

    Args:
        dataset: ``tuning`` has space and budget, ``training`` the default and all that is not searched.
        data_version: of the features.
        features: the features folder.
        settings: where the study is kept.
        tell: called with a line for every trial.
        fresh: forget the trials there are.

    Raises:
        SettingError: the study was made with another space or on other features, or another command works on it.
        StorageError: the study cannot be kept.
        TrainingError: no trial came to an end within the budget.
    """
    name = study_name(dataset)
    with only_command(settings, name):
        space = space_of(dataset)
        study = open_study(settings, dataset, data_version, space, fresh=fresh)
        if left := give_back(study):
            tell(f"{left} trial{'s' if left > 1 else ''} of a killed process: tried again")
        search = _Search(dataset, data_version, features, settings, study, space, tell)
        if begun(study):
            spent = seconds_spent(study) / 60.0
            tell(f"going on after {len(done(study))} of {dataset.tuning.trials} trials and {spent:.1f} minutes")
        search.run()
        return search.best()


@dataclass(frozen=True)
class _Search:
    """A study being worked on by one command."""

    dataset: Dataset
    data_version: str
    features: Path
    settings: Settings
    study: "optuna.Study"
    space: Space
    tell: Tell

    def run(self) -> None:
        """Try until the budget is used up."""
        began, before = time.monotonic(), seconds_spent(self.study, this_process())
        left = self.dataset.tuning.minutes * 60.0 - seconds_spent(self.study)
        deadline = time.time() + left
        count = min(self.dataset.tuning.workers, max(1, self.dataset.tuning.trials - begun(self.study)))
        try:
            with workers_of(count, self._seen) as workers:
                while True:
                    self._start(workers, deadline)
                    if not workers.running:
                        break
                    for number, outcome in workers.ended():
                        self._end(number, outcome)
                    add_seconds(self.study, began, before)
        finally:
            add_seconds(self.study, began, before)
            give_back(self.study)

    def _start(self, workers: Workers, deadline: float) -> None:
        """Fill the workers as far as the budget goes."""
        budget = self.dataset.tuning.trials
        while len(workers.running) < workers.count and begun(self.study) < budget and time.time() < deadline:
            trial = ask(self.study, self.dataset, self.space)
            values = {**self.dataset.training.model_dump(), **decoded(trial.params, self.space)}
            job = TrialJob(
                dataset=self.dataset.model_copy(
                    update={"training": type(self.dataset.training).model_validate(values)}
                ),
                data_version=self.data_version,
                features=self.features,
                storage=storage_address(self.settings, self.study.study_name),
                study=self.study.study_name,
                trial_id=trial._trial_id,
                deadline=deadline,
            )
            workers.start(trial.number, job)

    def _end(self, number: int, outcome: Outcome) -> None:
        import optuna
        from optuna.trial import TrialState

        if outcome.state == "stopped":
            give_back(self.study, number)
            self.tell(f"trial {number} stopped in epoch {outcome.epochs}: the time is over")
            return
        frozen = self.study.get_trials(deepcopy=False)[number]
        trial = optuna.trial.Trial(self.study, frozen._trial_id)
        for key, value in {
            "epochs": outcome.epochs,
            "seconds": outcome.seconds,
            "reason": outcome.reason,
            "separation": outcome.separation.model_dump() if outcome.separation else None,
        }.items():
            trial.set_user_attr(key, value)
        if outcome.separation:
            self.study.tell(number, outcome.separation.value)
        else:
            self.study.tell(number, state=TrialState.PRUNED if outcome.state == "pruned" else TrialState.FAIL)
        self.tell(self._told(number, outcome))

    def _told(self, number: int, outcome: Outcome) -> str:
        shown = ", ".join(f"{key} {_short(value)}" for key, value in self._parameters(number).items())
        ending = {
            "pruned": f"pruned after epoch {outcome.epochs}",
            "failed": f"failed: {outcome.reason}",
            "complete": f"{outcome.separation.value:.4f}" if outcome.separation else "",
        }[outcome.state]
        total = f"{len(done(self.study))}/{self.dataset.tuning.trials}"
        return f"trial {number} ({total}): {ending} in {outcome.seconds:.0f} s with {shown}"

    def _seen(self, number: int) -> Callable[[int, float], None]:
        epochs = self.dataset.training.epochs

        def seen(epoch: int, value: float) -> None:
            if (epoch + 1) % max(1, epochs // 2) == 0:
                self.tell(f"trial {number}, epoch {epoch + 1}/{epochs}: separation about {value:.3f}")

        return seen

    def _parameters(self, number: int) -> dict[str, Any]:
        return decoded(self.study.get_trials(deepcopy=False)[number].params, self.space)

    def best(self) -> Best:
        """The best complete trial; of equals the earliest."""
        rows = tuple(self._row(trial) for trial in done(self.study))
        complete = [row for row in rows if row.value is not None]
        if not complete:
            reasons = {row.reason for row in rows if row.reason}
            why = f" ({'; '.join(sorted(reasons))})" if reasons else ""
            msg = (
                f"tuning {self.study.study_name}: no trial came to its end within {self.dataset.tuning.trials} trials "
                f"and {self.dataset.tuning.minutes:g} minutes{why}; raise the budget with --minutes or --trials"
            )
            raise TrainingError(msg)
        best = max(complete, key=lambda row: (row.value or 0.0, -row.number))
        kept = self.study.get_trials(deepcopy=False)[best.number].user_attrs["separation"]
        return Best(
            features=self.data_version,
            space=space_version(self.space),
            parameters=best.parameters,
            value=float(best.value or 0.0),
            default_value=next((row.value for row in complete if row.default), None),
            default=best.default,
            criterion=kept["criterion"],
            trial=best.number,
            trials=rows,
            importance=_importance(self.study, len(complete)),
            seconds=seconds_spent(self.study),
            within="trials" if len(rows) >= self.dataset.tuning.trials else "minutes",
        )

    def _row(self, trial: "optuna.trial.FrozenTrial") -> TrialRow:
        kept = trial.user_attrs
        found = kept.get("separation") or {}
        return TrialRow(
            number=trial.number,
            state=trial.state.name.lower(),
            value=trial.value if found else None,
            roc_auc=found.get("roc_auc"),
            pr_auc=found.get("pr_auc"),
            epochs=kept.get("epochs", 0),
            seconds=kept.get("seconds", 0.0),
            default=bool(kept.get("default")),
            reason=kept.get("reason", ""),
            parameters=decoded(trial.params, self.space),
        )


def _importance(study: "optuna.Study", complete: int) -> dict[str, float]:
    """How much of the spread of values each hyperparameter accounts for; empty where trials do not tell."""
    from optuna.importance import get_param_importances

    if complete < _ENOUGH:
        return {}
    try:
        return get_param_importances(study)
    except (RuntimeError, ValueError):  # all trials alike
        return {}


def _short(value: Any) -> str:
    if isinstance(value, list):
        return "-".join(str(item) for item in value)
    return f"{value:.3g}" if isinstance(value, float) else str(value)
