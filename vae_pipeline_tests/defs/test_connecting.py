"""Connectors in Dagster: the job that pulls once, and its schedules in each situation.

A schedule looks at no source, so it has neither "partly new" nor "failing source": the run that it asks for has both.
"""

import datetime as dt
import subprocess
import sys

import dagster as dg
import pandas as pd
import pytest
import sqlalchemy

from vae_pipeline.defs.all_lines import all_lines
from vae_pipeline.defs.connecting import cron_of
from vae_pipeline.errors import SettingError
from vae_pipeline.settings import load_settings
from vae_pipeline_tests.connectors.test_connect import CATALOG

CONNECTORS = """
connectors:
  pumps-history:
    dataset: pumps
    source: {kind: sql, url: "sqlite:///{folder}/plant.db", table: readings, key: id, fetch: 2}
    columns: {unit: machine, time: at, clock: s, sensors: {flow: f1, pressure: p1}}
    batch: {rows: 4}
    every: 400
  elsewhere:
    dataset: pumps
    source: {kind: sql, url: "sqlite:////nowhere/plant.db", table: readings, key: id}
    columns: {unit: machine, time: at, clock: s, sensors: {flow: f1, pressure: p1}}
"""
TICK = dt.datetime(2026, 3, 1, 12, 0, tzinfo=dt.UTC)


class Plant:
    """A database that grows, and a home whose connectors read it."""

    def __init__(self, folder, home):
        self._engine = sqlalchemy.create_engine(f"sqlite:///{folder / 'plant.db'}")
        self.incoming = home / "storage/incoming/timeseries/pumps"

    def insert(self, numbers):
        rows = [{"id": n, "machine": "m1", "at": n, "f1": float(n), "p1": 0.5} for n in numbers]
        pd.DataFrame(rows).to_sql("readings", self._engine, index=False, if_exists="append")

    def batches(self):
        return [pd.read_parquet(file)["flow"].tolist() for file in sorted(self.incoming.glob("*.parquet"))]

    def close(self):
        self._engine.dispose()


@pytest.fixture
def plant(tmp_path, home, monkeypatch):
    (tmp_path / "connectors.yaml").write_text(CONNECTORS.replace("{folder}", str(tmp_path)))
    (tmp_path / "catalog.yaml").write_text(CATALOG)
    monkeypatch.setenv("VAE_PIPELINE_CATALOG", str(tmp_path / "catalog.yaml"))
    monkeypatch.setenv("VAE_PIPELINE_CONNECTORS", str(tmp_path / "connectors.yaml"))
    load_settings.cache_clear()
    made = Plant(tmp_path, home)
    made.insert(range(6))
    yield made
    made.close()


@pytest.fixture
def instance():
    with dg.instance_for_test() as instance:
        yield instance


def pulled(instance, connector="pumps-history"):
    """The run of the job for a connector."""
    job = all_lines().resolve_job_def("connect")
    return job.execute_in_process(instance=instance, partition_key=connector, raise_on_error=False)


def sentence(result):
    (event,) = [event for event in result.all_events if event.is_step_failure]
    return event.step_failure_data.user_failure_data.description


class TestJob:
    def test_it_pulls_once_in_bounded_batches(self, plant, instance):
        assert pulled(instance).success
        assert plant.batches() == [[0, 1, 2, 3], [4, 5]]

    @pytest.mark.usefixtures("plant")
    def test_the_run_tells_what_it_pulled(self, instance):
        (event,) = [event for event in pulled(instance).all_events if event.is_successful_output]
        told = {name: value.value for name, value in event.step_output_data.metadata.items()}
        assert {name: told[name] for name in ("batches", "rows", "received", "repeated", "refused")} == {
            "batches": 2,
            "rows": 6,
            "received": 6,
            "repeated": 0,
            "refused": 0,
        }

    def test_nothing_new_is_no_batch(self, plant, instance):
        pulled(instance)
        assert pulled(instance).success
        assert len(plant.batches()) == 2

    def test_of_what_is_partly_new_only_the_new_rows_come(self, plant, instance):
        pulled(instance)
        plant.insert(range(6, 9))
        pulled(instance)
        assert plant.batches()[2:] == [[6, 7, 8]]

    @pytest.mark.usefixtures("plant")
    def test_a_source_that_fails_is_told_in_one_sentence(self, instance):
        found = sentence(pulled(instance, "elsewhere"))
        assert found.startswith("table readings: the database does not answer or refuses")

    @pytest.mark.usefixtures("plant")
    def test_a_wrong_entry_fails_runs_and_not_the_code_location(self, instance, tmp_path):
        with (tmp_path / "connectors.yaml").open("a") as file:
            file.write("  wrong: {dataset: pumps, every: soon}\n")
        assert "connector 'wrong', source: Field required" in sentence(pulled(instance, "wrong"))

    def test_batches_arrive_where_new_data_are_looked_for(self, plant, instance, monkeypatch, tmp_path):
        monkeypatch.setenv("VAE_PIPELINE_INCOMING", str(tmp_path / "door"))
        load_settings.cache_clear()
        assert pulled(instance).success
        assert plant.batches() == []
        assert len(list((tmp_path / "door/timeseries/pumps").glob("*.parquet"))) == 2


@pytest.mark.usefixtures("plant")
class TestSchedule:
    @pytest.fixture
    def tick(self, instance):
        def evaluate(when=TICK, connector="pumps_history"):
            repository = all_lines().get_repository_def()
            schedule = repository.get_schedule_def(f"connect_{connector}")
            with dg.build_schedule_context(
                instance=instance, scheduled_execution_time=when, repository_def=repository
            ) as context:
                return schedule.evaluate_tick(context)

        return evaluate

    def test_each_connector_has_one_that_is_off(self):
        schedules = {schedule.name: schedule for schedule in all_lines().get_repository_def().schedule_defs}
        mine = {name: schedule for name, schedule in schedules.items() if name.startswith("connect_")}
        assert {name: schedule.cron_schedule for name, schedule in mine.items()} == {
            "connect_elsewhere": "*/1 * * * *",
            "connect_pumps_history": "*/10 * * * *",
        }
        assert {schedule.default_status for schedule in mine.values()} == {dg.DefaultScheduleStatus.STOPPED}

    def test_the_first_tick_asks_for_a_run_of_its_connector(self, tick):
        (request,) = tick().run_requests
        assert request.partition_key == "pumps-history"

    def test_a_second_tick_of_the_same_moment_asks_for_the_same_run(self, tick, instance):
        (first,) = tick().run_requests
        tags = {"dagster/partition": "pumps-history", "dagster/run_key": first.run_key}
        job = all_lines().resolve_job_def("connect")
        instance.create_run_for_job(job, tags=tags, status=dg.DagsterRunStatus.SUCCESS)
        assert tick().run_requests[0].run_key == first.run_key

    def test_a_daemon_killed_before_the_launch_asks_for_the_same_run(self, tick):
        assert tick().run_requests[0].run_key == tick().run_requests[0].run_key

    def test_a_later_moment_is_another_run(self, tick):
        later = tick(TICK + dt.timedelta(minutes=10)).run_requests[0].run_key
        assert later != tick().run_requests[0].run_key

    @pytest.mark.parametrize(
        ("status", "asked"),
        [
            (dg.DagsterRunStatus.STARTED, 0),
            (dg.DagsterRunStatus.SUCCESS, 1),
            (dg.DagsterRunStatus.FAILURE, 1),
        ],
    )
    def test_while_a_pull_is_under_way_no_other_begins(self, tick, instance, status, asked):
        job = all_lines().resolve_job_def("connect")
        instance.create_run_for_job(job, tags={"dagster/partition": "pumps-history"}, status=status)
        assert len(tick().run_requests) == asked
        assert len(tick(connector="elsewhere").run_requests) == 1


@pytest.mark.parametrize(
    ("seconds", "cron"),
    [
        (1, "*/1 * * * *"),
        (60, "*/1 * * * *"),
        (61, "*/2 * * * *"),
        (1800, "*/30 * * * *"),
        (1801, "0 */1 * * *"),
        (5 * 3600, "0 */6 * * *"),
        (12 * 3600, "0 */12 * * *"),
        (7 * 86400, "0 0 * * *"),
    ],
)
def test_a_pause_is_the_next_longer_one_that_cron_can_say(seconds, cron):
    assert cron_of(seconds) == cron


@pytest.mark.usefixtures("plant")
def test_two_names_that_dagster_cannot_tell_apart_are_refused(tmp_path):
    text = (tmp_path / "connectors.yaml").read_text()
    (tmp_path / "connectors.yaml").write_text(text.replace("elsewhere", "pumps.history"))
    with pytest.raises(SettingError, match=r"'pumps-history' and 'pumps[.]history' are one name to Dagster"):
        all_lines()


@pytest.mark.usefixtures("plant")
def test_connectors_load_nothing_heavy_with_the_code_location(tmp_path):
    code = "import sys; from vae_pipeline.definitions import defs; defs().get_repository_def(); print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert not {"pandas", "httpx", "vae_pipeline.connectors.connect"} & set(ran.stdout.split())
