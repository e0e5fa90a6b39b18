"""The sensor that starts retraining: what each tick does, and that none does it twice."""

import datetime as dt

import dagster as dg
import pytest

from vae_pipeline.alerts.outbox import open_outbox
from vae_pipeline.catalog import dataset
from vae_pipeline.definitions import defs
from vae_pipeline.defs import retrain_sensor
from vae_pipeline.defs.resources import MlflowResource, StorageResource
from vae_pipeline.defs.retrain_sensor import RETRAINING
from vae_pipeline.drift.daily import ROOT
from vae_pipeline.drift.record import Drift
from vae_pipeline.errors import RegistryError, StorageError
from vae_pipeline.records import Artifact
from vae_pipeline.registry.shelf import Shelf
from vae_pipeline.settings import load_settings
from vae_pipeline.sources.batches import Batch, add_version, batch_key
from vae_pipeline.storage import Storage, open_storage

DAY = "2026-03-01"


def report(verdict="drift", day=DAY, version=1):
    return Drift(
        line="timeseries",
        dataset="tiny",
        version=version,
        day=day,
        until=day,
        verdict=verdict,
        reason="as the test has it",
        level=0.05,
        rows=500,
        alarms=5,
        alarm_share=0.01,
        reference_alarm_share=0.01,
        score_mean=0.0,
        score_sd=1.0,
        score_shift=0.0,
        judged=500,
        units=9,
        reference_judged=500,
        reference_units=9,
        other_versions=0,
        files=1,
        skipped_files=0,
    )


class World:
    """A storage with reports and batches beside the champion of the trained home."""

    def __init__(self, folder, monkeypatch):
        monkeypatch.setenv("VAE_PIPELINE_STORAGE", str(folder / "storage"))
        monkeypatch.setenv("VAE_PIPELINE_RETRAIN_COOLDOWN", "0")
        load_settings.cache_clear()
        champions, before = Shelf.champions, {"created": "2026-02-01T00:00:00+00:00"}
        long_ago = lambda *given: [each.model_copy(update=before) for each in champions(*given)]  # noqa: E731
        monkeypatch.setattr(Shelf, "champions", long_ago)
        self.storage = open_storage(load_settings())
        self.dataset = dataset("tiny", "timeseries", load_settings().catalog_files)

    def drifts(self, **given):
        made = report(**given)
        self.storage.write_text(f"{ROOT}/timeseries/tiny/{made.day}/drift.json", made.model_dump_json())

    def receives(self, identity, rows=1_000):
        facts = Batch(
            id=identity,
            name=f"{identity}.csv",
            sha256=identity * 8,
            line="timeseries",
            dataset="tiny",
            medium="table",
            rows=rows,
            units=3,
            span=None,
            labelled="",
            received=DAY,
            arrival=identity,
        )
        with self.storage.new_folder(batch_key(self.dataset, identity), {"facts": facts.model_dump(mode="json")}):
            pass
        add_version(self.storage, self.dataset, identity, "came")

    def registers(self, version, rows):
        """A challenger that was fitted on a version of the dataset, and lost."""
        facts = {"name": "timeseries-tiny", "version": 2, "dataset_version": version, "train_rows": rows}
        made = Artifact(key="-", data_version="timeseries-tiny:2", facts=facts)
        self.storage.write_text("artifacts/timeseries/registered/tiny.json", made.model_dump_json())

    def alerts(self):
        outbox = open_outbox(load_settings())
        return [kept.alert for kept in outbox.last(10)]


@pytest.fixture
def world(trained_home, tmp_path, monkeypatch):
    with trained_home.entered():
        yield World(tmp_path, monkeypatch)
    load_settings.cache_clear()


@pytest.fixture
def instance():
    with dg.instance_for_test() as instance:
        yield instance


@pytest.fixture
def tick(instance):
    def evaluate():
        repository = defs().get_repository_def()
        resources = {"mlflow": MlflowResource(), "storage": StorageResource()}
        with dg.build_sensor_context(instance=instance, repository_def=repository, resources=resources) as context:
            return repository.get_sensor_def("timeseries_retrain").evaluate_tick(context)

    return evaluate


def begun(instance, request, status=dg.DagsterRunStatus.SUCCESS):
    """What the daemon does with a request."""
    job = defs().get_repository_def().get_job("timeseries")
    tags = {**request.tags, "dagster/partition": request.partition_key, "dagster/run_key": request.run_key}
    return instance.create_run_for_job(job, tags=tags, status=status)


class TestWaits:
    @pytest.mark.usefixtures("world")
    def test_a_first_tick_with_nothing_new_says_so(self, tick):
        found = tick()
        assert not found.run_requests
        assert found.skip_message == "tiny: wait: no drift and no new data"

    @pytest.mark.usefixtures("world")
    def test_a_line_without_champion_waits(self, tick, monkeypatch):
        monkeypatch.setattr(Shelf, "champions", lambda *_: [])
        assert "has no champion yet" in tick().skip_message

    @pytest.mark.usefixtures("world")
    def test_a_registry_that_fails_decides_nothing(self, tick, monkeypatch):
        def unreachable(*_):
            msg = "http://mlflow:5000: does not answer"
            raise RegistryError(msg)

        monkeypatch.setattr(Shelf, "champions", unreachable)
        assert tick().skip_message == "nothing is decided: http://mlflow:5000: does not answer"

    def test_a_storage_that_fails_decides_nothing(self, world, tick, monkeypatch):
        world.receives("aaaaaaaa")

        def unreachable(*_):
            msg = "s3://bucket: does not answer"
            raise StorageError(msg)

        with monkeypatch.context() as patch:
            patch.setattr(Storage, "names", unreachable)
            found = tick()
        assert not found.run_requests
        assert found.skip_message == "nothing is decided: s3://bucket: does not answer"
        assert len(tick().run_requests) == 1

    @pytest.mark.usefixtures("world")
    def test_a_champion_that_left_the_catalogue_is_told(self, tick, monkeypatch):
        champions, other = Shelf.champions, {"dataset": "gone"}
        gone = lambda *given: [each.model_copy(update=other) for each in champions(*given)]  # noqa: E731
        monkeypatch.setattr(Shelf, "champions", gone)
        assert tick().skip_message == "gone: is no longer in the catalogue"

    @pytest.mark.parametrize("given", [{"verdict": "no_drift"}, {"verdict": "too_few"}, {"version": 7}])
    def test_reports_that_say_nothing_of_this_champion_start_nothing(self, world, tick, given):
        world.drifts(**given)
        assert "no drift and no new data" in tick().skip_message

    def test_reports_of_days_before_the_champion_are_not_read(self, world, tick, monkeypatch):
        for day in range(1, 29):
            world.drifts(day=f"2026-01-{day:02d}", version=7)
        world.drifts(version=7)
        read, asked = Storage.read_text, []
        monkeypatch.setattr(Storage, "read_text", lambda kept, key: asked.append(key) or read(kept, key))
        assert "no drift and no new data" in tick().skip_message
        assert [key for key in asked if key.endswith("drift.json")] == [f"{ROOT}/timeseries/tiny/{DAY}/drift.json"]

    def test_of_versions_only_the_newest_and_the_one_that_was_learnt_from_are_read(self, world, tick, monkeypatch):
        for number in range(5):
            world.receives(f"{number:08d}")
        world.registers(4, rows=10)
        read, asked = Storage.read_text, []
        monkeypatch.setattr(Storage, "read_text", lambda kept, key: asked.append(key) or read(kept, key))
        (request,) = tick().run_requests
        assert request.tags[RETRAINING] == "2,000 new samples"
        assert sorted({key[-11:] for key in asked if key.startswith("versions/")}) == ["000004.json", "000006.json"]

    def test_a_later_day_without_drift_ends_it(self, world, tick):
        world.drifts()
        world.drifts(day="2026-03-02", verdict="no_drift")
        assert "no drift" in tick().skip_message

    def test_too_few_to_say_leaves_what_was_said_before(self, world, tick):
        world.drifts()
        world.drifts(day="2026-03-02", verdict="too_few")
        assert "drift on 2026-03-01" in tick().skip_message


class TestAlerts:
    def test_drift_without_new_data_is_told_once(self, world, tick):
        world.drifts(day="2026-04-01")
        before = len(world.alerts())
        for _ in range(2):
            assert "no new data to learn from" in tick().skip_message
        told = world.alerts()
        assert len(told) == before + 1
        assert any("2026-04-01" in alert.text and "put them into incoming" in alert.text for alert in told)

    def test_what_a_challenger_that_lost_was_fitted_on_is_nothing_new(self, world, tick):
        world.receives("aaaaaaaa")
        world.registers(2, rows=1_800)
        for day in ("2026-03-01", "2026-03-02"):
            world.drifts(day=day)
            assert f"alert: drift on {day}, but no new data to learn from" in tick().skip_message
        world.receives("bbbbbbbb", rows=30)
        assert "alert: drift on 2026-03-02, but 30 new samples of 36 that are worth" in tick().skip_message


class TestRetrains:
    def test_new_data_start_a_run_of_the_dataset(self, world, tick):
        world.receives("aaaaaaaa")
        (request,) = tick().run_requests
        assert request.partition_key == "tiny"
        assert request.tags[RETRAINING] == "1,000 new samples"

    def test_drift_and_little_new_data_do_too(self, world, tick, monkeypatch):
        monkeypatch.setenv("VAE_PIPELINE_RETRAIN_FEWEST_NEW", "1000")
        world.receives("aaaaaaaa", rows=100)
        world.drifts()
        (request,) = tick().run_requests
        assert request.tags[RETRAINING] == "drift on 2026-03-01 and 100 new samples"

    def test_a_warm_start_is_asked_for_where_it_is_set(self, world, tick, monkeypatch):
        monkeypatch.setenv("VAE_PIPELINE_RETRAIN_WARM_START", "true")
        world.receives("aaaaaaaa")
        (request,) = tick().run_requests
        assert request.run_config["ops"]["timeseries__trained"]["config"] == {"warm_start": True}

    def test_a_tick_whose_run_was_not_launched_asks_for_the_same_run(self, world, tick):
        world.receives("aaaaaaaa")
        world.drifts()
        assert tick().run_requests[0].run_key == tick().run_requests[0].run_key

    def test_a_second_tick_over_the_same_evidence_starts_nothing(self, world, tick, instance):
        world.receives("aaaaaaaa")
        begun(instance, tick().run_requests[0])
        found = tick()
        assert not found.run_requests
        assert "retrained on this evidence (success)" in found.skip_message

    def test_while_it_runs_nothing_else_starts(self, world, tick, instance):
        world.receives("aaaaaaaa")
        begun(instance, tick().run_requests[0], dg.DagsterRunStatus.STARTED)
        world.receives("bbbbbbbb")
        assert "a retraining is under way" in tick().skip_message

    def test_also_when_that_was_longer_ago_than_a_week(self, world, tick, instance, monkeypatch):
        world.receives("aaaaaaaa")
        begun(instance, tick().run_requests[0])
        monkeypatch.setattr(retrain_sensor, "_WEEK", -dt.timedelta(days=1))
        assert "retrained on this evidence (success)" in tick().skip_message

    @pytest.mark.parametrize("tags", [{}, {"dagster/schedule_name": "timeseries_retrain_weekly"}])
    def test_a_run_that_others_began_counts_too(self, world, tick, instance, monkeypatch, tags):
        monkeypatch.setenv("VAE_PIPELINE_RETRAIN_COOLDOWN", "24")
        job = defs().get_repository_def().get_job("timeseries")
        instance.create_run_for_job(job, tags={**tags, "dagster/partition": "tiny"}, status=dg.DagsterRunStatus.SUCCESS)
        world.receives("aaaaaaaa")
        assert "the last retraining began less than 24 hours ago" in tick().skip_message

    def test_more_new_data_after_it_are_other_evidence(self, world, tick, instance):
        world.receives("aaaaaaaa")
        first = tick().run_requests[0]
        begun(instance, first, dg.DagsterRunStatus.FAILURE)
        assert not tick().run_requests
        world.receives("bbbbbbbb")
        (second,) = tick().run_requests
        assert second.run_key != first.run_key
        assert second.tags[RETRAINING] == "2,000 new samples"

    def test_the_budget_of_the_week_holds(self, world, tick, instance, monkeypatch):
        monkeypatch.setenv("VAE_PIPELINE_RETRAIN_WEEKLY", "1")
        world.receives("aaaaaaaa")
        begun(instance, tick().run_requests[0])
        world.receives("bbbbbbbb")
        assert "1 retrainings in seven days" in tick().skip_message
