"""The weekly schedule: every dataset that has a champion."""

import datetime as dt
from functools import cache
from types import SimpleNamespace

import dagster as dg
import pytest

from vae_pipeline.definitions import defs
from vae_pipeline.defs.resources import MlflowResource
from vae_pipeline.errors import RegistryError
from vae_pipeline.registry.shelf import Shelf

SUNDAY = dt.datetime(2026, 3, 1, 3, 0, tzinfo=dt.UTC)


@cache
def repository():
    return defs().get_repository_def()


def tick(instance, when=SUNDAY):
    schedule = repository().get_schedule_def("timeseries_retrain_weekly")
    with dg.build_schedule_context(
        instance=instance,
        scheduled_execution_time=when,
        repository_def=repository(),
        resources={"mlflow": MlflowResource()},
    ) as context:
        return schedule.evaluate_tick(context)


@pytest.fixture
def instance():
    with dg.instance_for_test() as instance:
        yield instance


@pytest.fixture
def has_champion(monkeypatch):
    """Gives a dataset a champion."""
    found = []
    monkeypatch.setattr(Shelf, "champions", lambda *_: [SimpleNamespace(dataset=name) for name in found])
    return found.append


@pytest.mark.usefixtures("has_champion")
def test_where_nothing_is_trained_the_tick_is_skipped_with_the_reason(instance):
    result = tick(instance)
    assert result.run_requests == []
    assert result.skip_message == "no dataset of timeseries has a champion yet: run the line first"


def test_every_trained_dataset_is_run_once_a_week(instance, has_champion):
    for name in ("FD003", "FD001"):
        has_champion(name)
    requests = tick(instance).run_requests
    assert [(request.run_key, request.partition_key) for request in requests] == [
        ("2026-03-01-FD001", "FD001"),
        ("2026-03-01-FD003", "FD003"),
    ]


def test_a_dataset_that_left_the_catalogue_is_not_run(instance, has_champion):
    has_champion("sold_machine")
    has_champion("FD002")
    assert [request.partition_key for request in tick(instance).run_requests] == ["FD002"]


def test_nothing_new_in_a_week_is_a_run_all_the_same(instance, has_champion):
    """The line itself makes nothing anew of what did not change."""
    has_champion("FD001")
    keys = [tick(instance, when).run_requests[0].run_key for when in (SUNDAY, SUNDAY + dt.timedelta(days=7))]
    assert len(set(keys)) == 2


def test_a_dataset_trained_between_two_ticks_of_a_week_is_the_only_one_added(instance, has_champion):
    has_champion("FD001")
    before = {request.run_key for request in tick(instance).run_requests}
    has_champion("FD002")
    after = {request.run_key for request in tick(instance).run_requests}
    assert after - before == {"2026-03-01-FD002"}
    assert before < after


def test_a_second_tick_of_a_week_asks_for_the_same_runs(instance, has_champion):
    has_champion("FD001")
    first = tick(instance).run_requests[0]
    tags = {"dagster/partition": "FD001", "dagster/run_key": first.run_key}
    instance.create_run_for_job(repository().get_job("timeseries"), tags=tags, status=dg.DagsterRunStatus.SUCCESS)
    assert tick(instance).run_requests[0].run_key == first.run_key


def test_a_daemon_that_was_killed_before_the_launch_asks_for_the_same_runs(instance, has_champion):
    has_champion("FD001")
    keys = [tick(instance).run_requests[0].run_key for _ in range(2)]
    assert keys[0] == keys[1]


def test_a_dataset_that_was_run_and_has_no_champion_is_not_run(instance, has_champion):
    has_champion("FD001")
    where = dg.AssetMaterialization(dg.AssetKey(["timeseries", "promoted"]), partition="FD002")
    instance.report_runless_asset_event(where)
    assert [request.partition_key for request in tick(instance).run_requests] == ["FD001"]


def test_a_registry_that_cannot_be_reached_is_said(instance, monkeypatch):
    def unreachable(*_):
        msg = "http://mlflow:5000: does not answer"
        raise RegistryError(msg)

    monkeypatch.setattr(Shelf, "champions", unreachable)
    found = tick(instance)
    assert found.run_requests == []
    assert found.skip_message == "the registry cannot be asked: http://mlflow:5000: does not answer"


def test_while_a_dataset_is_being_trained_no_other_run_of_it_begins(instance, has_champion):
    for name in ("FD001", "FD002"):
        has_champion(name)
    job = repository().get_job("timeseries")
    instance.create_run_for_job(job, tags={"dagster/partition": "FD001"}, status=dg.DagsterRunStatus.STARTED)
    assert [request.partition_key for request in tick(instance).run_requests] == ["FD002"]
    instance.create_run_for_job(job, tags={"dagster/partition": "FD002"}, status=dg.DagsterRunStatus.STARTED)
    assert tick(instance).skip_message == "every dataset of timeseries is being trained: FD001, FD002"
