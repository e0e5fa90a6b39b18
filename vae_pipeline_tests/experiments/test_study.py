"""A study outlives the processes that work on it, and refuses what cannot be compared with its trials."""

import optuna
import pytest
from optuna.trial import TrialState

from vae_pipeline.errors import SettingError, StorageError
from vae_pipeline.experiments.space import space_of
from vae_pipeline.experiments.study import ask, done, give_back, only_command, open_study
from vae_pipeline.settings import Settings
from vae_pipeline_tests.builders.tables import table_dataset

DATASET = table_dataset()
GONE = "a-host:1:1"


def opened(settings, dataset=DATASET, version="v1", **more):
    return open_study(settings, dataset, version, space_of(dataset), **more)


def asked(study, dataset=DATASET):
    return ask(study, dataset, space_of(dataset))


def test_the_first_trial_is_what_the_catalogue_trains_with(settings):
    study = opened(settings)
    trial = asked(study)
    assert trial.user_attrs["default"]
    assert {name: trial.params[name] for name in ("latent", "beta", "hidden")} == {
        "latent": 16,
        "beta": 0.1,
        "hidden": "[64, 128, 256]",
    }
    assert not asked(study).user_attrs.get("default")


def test_a_study_is_found_again(settings):
    study = opened(settings)
    study.tell(asked(study).number, 0.5)
    assert [trial.value for trial in done(opened(settings))] == [0.5]


def test_a_fresh_one_forgets(settings):
    study = opened(settings)
    study.tell(asked(study).number, 0.5)
    assert done(opened(settings, fresh=True)) == []


@pytest.mark.parametrize(
    ("fields", "version", "message"),
    [
        ({"tuning": {"space": {"beta": {"low": 0.1, "high": 2.0}}}}, "v1", r"another search space \(beta, hidden"),
        ({"training": {"epochs": 3}}, "v1", r"around other training values \(epochs\)"),
        ({"calibration": {"late": 3}}, "v1", r"other calibration settings \(late\)"),
        ({}, "v2", r"on other features \(v1, now v2\)"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_a_sentence_that_says_what_to_do(settings, fields, version, message):
    opened(settings)
    with pytest.raises(SettingError, match=message) as told:
        opened(settings, table_dataset(**fields), version)
    assert "--fresh" in str(told.value)
    assert opened(settings, table_dataset(**fields), version, fresh=True).user_attrs["features"] == version


def test_only_one_command_at_a_time_works_on_a_study(settings):
    with only_command(settings, "a"):
        with only_command(settings, "b"):
            pass
        with pytest.raises(SettingError, match="another command"), only_command(settings, "a"):
            pass
    with only_command(settings, "a"):
        pass


def running(settings, owner=None):
    """A study with the default done and a trial that runs; gives it with the trial's parameters."""
    study = opened(settings)
    study.tell(asked(study).number, 0.5)
    trial = asked(study)
    if owner:
        trial.set_user_attr("owner", owner)
    return study, trial.params


def test_a_trial_of_a_killed_process_is_tried_again_with_the_same_values(settings):
    study, parameters = running(settings)
    assert give_back(study) == 1
    assert len(done(study)) == 1
    again = asked(study)
    assert again.params == parameters
    assert again.number == 2


def test_a_trial_of_another_machine_goes_on(settings):
    study, _ = running(settings, owner=GONE)
    assert give_back(study) == 0
    assert study.trials[1].state == TrialState.RUNNING


@pytest.mark.parametrize("step", range(4))
def test_giving_back_may_itself_be_killed(settings, monkeypatch, step):
    """After any of its writes: the trial is tried again once, and counted never."""
    study, parameters = running(settings)
    storage = type(study._storage)
    left = [step]

    def mortal(name):
        original = getattr(storage, name)

        def write(self, *arguments, **more):
            if left[0] == 0:
                raise KeyboardInterrupt
            left[0] -= 1
            return original(self, *arguments, **more)

        return write

    with monkeypatch.context() as patch:
        for name in ("set_trial_user_attr", "create_new_trial", "set_trial_state_values"):
            patch.setattr(storage, name, mortal(name))
        try:
            give_back(study)
        except KeyboardInterrupt:
            assert step < 3
        else:
            assert step == 3
    study = opened(settings)
    give_back(study)
    states = [trial.state for trial in study.trials]
    assert states == [TrialState.COMPLETE, TrialState.FAIL, TrialState.WAITING]
    assert asked(study).params == parameters
    assert len(done(study)) == 1


def test_an_entry_that_a_full_disk_cut_off_is_dropped(settings):
    study = opened(settings)
    study.tell(asked(study).number, 0.5)
    (journal,) = (settings.home / "tuning").glob("*.journal")
    with journal.open("a") as file:
        file.write('{"op_code": 4, "work')
    study = opened(settings)
    assert len(done(study)) == 1
    study.tell(asked(study).number, 0.7)
    assert len(done(opened(settings))) == 2


def test_a_file_that_is_no_journal_is_named(settings):
    (settings.home / "tuning").mkdir(parents=True)
    (settings.home / "tuning" / "timeseries-pumps.journal").write_text("abc\ndef\n")
    with pytest.raises(StorageError, match=r"timeseries-pumps\.journal: no journal of a study"):
        opened(settings)


def test_a_database_keeps_studies_where_one_is_set(tmp_path):
    settings = Settings(home=tmp_path, optuna_storage=f"sqlite:///{tmp_path}/studies.db")
    study = opened(settings)
    study.tell(asked(study).number, 0.5)
    assert [trial.value for trial in done(opened(settings))] == [0.5]
    assert optuna.get_all_study_names(settings.optuna_storage) == ["timeseries-pumps"]
    assert not list(tmp_path.rglob("*.journal"))


def test_a_database_that_does_not_answer_is_named_without_its_password(tmp_path):
    address = "sqlite:////nowhere/at/all/user:secret@studies.db"
    with pytest.raises(StorageError, match="VAE_PIPELINE_OPTUNA_STORAGE") as told:
        opened(Settings(home=tmp_path, optuna_storage=address))
    assert "secret" not in str(told.value)
