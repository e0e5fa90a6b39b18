"""The weekly schedule. It reads nothing but Dagster's own records: where these fail, Dagster makes no tick at all."""

import datetime as dt

import dagster as dg
import pytest

from vae_pipeline.definitions import defs

SUNDAY = dt.datetime(2026, 3, 1, 3, 0, tzinfo=dt.UTC)


def tick(instance, when=SUNDAY):
    repository = defs().get_repository_def()
    schedule = repository.get_schedule_def("timeseries_retrain_weekly")
    with dg.build_schedule_context(
        instance=instance, scheduled_execution_time=when, repository_def=repository
    ) as context:
        return schedule.evaluate_tick(context)


@pytest.fixture
def instance():
    with dg.instance_for_test() as instance:
        yield instance


def materialize(instance, partition):
    instance.report_runless_asset_event(
        dg.AssetMaterialization(dg.AssetKey(["timeseries", "promoted"]), partition=partition)
    )


def test_where_nothing_is_trained_the_tick_is_skipped_with_the_reason(instance):
    result = tick(instance)
    assert result.run_requests == []
    assert result.skip_message == "no dataset of timeseries has been trained yet: materialize one first"


def test_every_trained_dataset_is_run_once_a_week(instance):
    for name in ("FD003", "FD001"):
        materialize(instance, name)
    requests = tick(instance).run_requests
    assert [(request.run_key, request.partition_key) for request in requests] == [
        ("2026-03-01-FD001", "FD001"),
        ("2026-03-01-FD003", "FD003"),
    ]


def test_a_dataset_that_left_the_catalogue_is_not_run(instance):
    materialize(instance, "sold_machine")
    materialize(instance, "FD002")
    assert [request.partition_key for request in tick(instance).run_requests] == ["FD002"]


def test_nothing_new_in_a_week_is_a_run_all_the_same(instance):
    """The line itself makes nothing anew of what did not change."""
    materialize(instance, "FD001")
    keys = [tick(instance, when).run_requests[0].run_key for when in (SUNDAY, SUNDAY + dt.timedelta(days=7))]
    assert len(set(keys)) == 2


def test_a_dataset_trained_between_two_ticks_of_a_week_is_the_only_one_added(instance):
    materialize(instance, "FD001")
    before = {request.run_key for request in tick(instance).run_requests}
    materialize(instance, "FD002")
    after = {request.run_key for request in tick(instance).run_requests}
    assert after - before == {"2026-03-01-FD002"}
    assert before < after


def test_a_second_tick_of_a_week_asks_for_the_same_runs(instance):
    """So does the one of a daemon that was killed before it launched them."""
    materialize(instance, "FD001")
    keys = [tick(instance).run_requests[0].run_key for _ in range(2)]
    assert keys[0] == keys[1]


def test_while_a_dataset_is_being_trained_no_other_run_of_it_begins(instance):
    for name in ("FD001", "FD002"):
        materialize(instance, name)
    job = defs().get_repository_def().get_job("timeseries")
    instance.create_run_for_job(job, tags={"dagster/partition": "FD001"}, status=dg.DagsterRunStatus.STARTED)
    assert [request.partition_key for request in tick(instance).run_requests] == ["FD002"]
    instance.create_run_for_job(job, tags={"dagster/partition": "FD002"}, status=dg.DagsterRunStatus.STARTED)
    assert tick(instance).skip_message == "every dataset of timeseries is being trained: FD001, FD002"
