import datetime as dt

import dagster as dg
import pytest

from vae_pipeline.definitions import defs

SUNDAY = dt.datetime(2026, 3, 1, 3, 0, tzinfo=dt.UTC)


def tick(instance):
    repository = defs().get_repository_def()
    schedule = repository.get_schedule_def("timeseries_retrain_weekly")
    with dg.build_schedule_context(
        instance=instance, scheduled_execution_time=SUNDAY, repository_def=repository
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
