"""Sensors that tell people: at first, with nothing new, of what is new, once, whatever fails or is killed.

None of them asks for runs: to be killed between evaluation and launch is, for them, to be killed behind the outbox and
before the cursor is kept. Dagster calls `run_failure` with each failed run and never without one, so it has no tick
with nothing new, and Dagster's own records are all that it and `alert_events` read: where these fail there is no tick,
and the source that can fail is the outbox.
"""

import json

import dagster as dg
import pytest

from vae_pipeline.alerts.alert import Alert
from vae_pipeline.alerts.outbox import Outbox, open_outbox
from vae_pipeline.definitions import defs
from vae_pipeline.defs.alerting import tell_people
from vae_pipeline.defs.resources import StorageResource
from vae_pipeline.errors import StorageError
from vae_pipeline.settings import load_settings
from vae_pipeline_tests.alerts.builders import Webhook, alert
from vae_pipeline_tests.alerts.test_anomalies import write

SENSORS = ("alert_events", "alerts", "anomalies", "run_failure")


@pytest.fixture(scope="module")
def repository():
    return defs().get_repository_def()


@pytest.fixture
def instance():
    with dg.instance_for_test() as instance:
        yield instance


@pytest.fixture
def tick(repository, instance):
    def evaluate(name="alert_events", cursor=None):
        with dg.build_sensor_context(
            instance=instance, cursor=cursor, repository_def=repository, resources={"storage": StorageResource()}
        ) as context:
            return repository.get_sensor_def(name).evaluate_tick(context)

    return evaluate


def happened(instance, stage="drift_report", dataset="FD001", line="timeseries", failed=(), **facts):
    """A run that materializes a stage with these facts; critical checks that fail, by name."""
    checks = [dg.AssetCheckSpec(name, asset=[line, stage]) for name in failed]

    @dg.asset(key=[line, stage], partitions_def=dg.StaticPartitionsDefinition(["FD001", "FD002"]), check_specs=checks)
    def made():
        results = [dg.AssetCheckResult(check_name=name, passed=False) for name in failed]
        return dg.MaterializeResult(metadata=facts, check_results=results)

    return dg.materialize([made], instance=instance, partition_key=dataset).run_id


def full(*_, **__):
    """Of an outbox whose disk has no room."""
    msg = "outbox.db: the disk is full"
    raise StorageError(msg)


def texts():
    return [kept.alert.text for kept in open_outbox(load_settings()).last(99)]


def test_all_are_stopped_until_a_person_starts_them(repository):
    for name in SENSORS:
        assert repository.get_sensor_def(name).default_status == dg.DefaultSensorStatus.STOPPED


class TestEvents:
    def test_the_first_tick_begins_with_what_happens_from_now_on(self, tick, instance):
        happened(instance, drifted=True)
        found = tick()
        assert "from now on" in found.skip_message
        assert found.run_requests == []
        assert "0 new events" in tick(cursor=found.cursor).skip_message
        assert texts() == []

    def test_nothing_new_is_said(self, tick):
        assert tick(cursor=tick().cursor).skip_message == "0 new events: nothing to tell"

    def test_what_is_new_is_told_in_order_with_dataset_and_failed_statements(self, tick, instance):
        first = tick()
        happened(instance, "validated", "FD002", failed=["rows_are_complete"], critical_failures=1)
        happened(instance, "drift_report", drifted=True, day="2026-03-01")
        happened(instance, "promoted", promoted=True, champion=2, before=1, reason="better")
        found = tick(cursor=first.cursor)
        assert "3 new events" in found.skip_message
        validation, drift, promotion = texts()
        assert "timeseries/FD002" in validation
        assert "rows_are_complete" in validation
        assert drift == "timeseries/FD001 drifts on 2026-03-01."
        assert promotion.startswith("Version 2 is champion of timeseries/FD001")

    def test_of_what_is_partly_new_the_new_is_told(self, tick, instance):
        first = tick()
        happened(instance, drifted=True, day="2026-03-01")
        second = tick(cursor=first.cursor)
        happened(instance, "drift_report", "FD002", drifted=True, day="2026-03-01")
        assert "1 new events" in tick(cursor=second.cursor).skip_message
        assert texts() == ["timeseries/FD001 drifts on 2026-03-01.", "timeseries/FD002 drifts on 2026-03-01."]

    def test_a_second_tick_over_the_same_events_tells_nothing(self, tick, instance):
        first = tick()
        happened(instance, drifted=True)
        second = tick(cursor=first.cursor)
        tick(cursor=second.cursor)
        assert len(texts()) == 1

    def test_a_daemon_that_is_killed_before_the_cursor_is_kept_tells_nothing_twice(self, tick, instance):
        first = tick()
        for drifted in (True, False, True):
            happened(instance, drifted=drifted)
        tick(cursor=first.cursor)
        again = tick(cursor=first.cursor)
        assert "nothing to tell" in again.skip_message
        assert len(texts()) == 3

    def test_a_backfilled_day_ends_no_alarm_of_a_later_one(self, tick, instance):
        first = tick()
        for day, drifted in (("2026-03-05", True), ("2026-03-02", False)):
            happened(instance, drifted=drifted, samples=500, day=day, until=day)
        second = tick(cursor=first.cursor)
        assert texts() == ["timeseries/FD001 drifts on 2026-03-05, of 500 samples."]
        happened(instance, drifted=False, samples=500, day="2026-03-06", until="2026-03-06")
        tick(cursor=second.cursor)
        assert texts()[1:] == ["Drift of timeseries/FD001 is over on 2026-03-06, of 500 samples."]

    def test_the_log_of_a_run_is_read_once_and_only_where_checks_matter(self, tick, instance, monkeypatch):
        first = tick()
        happened(instance, "promoted", promoted=False, challenger=2)
        judged = happened(instance, "validated", failed=["rows_are_complete"], critical_failures=1)
        read, all_logs = [], dg.DagsterInstance.all_logs

        def counted(asked, run, *given, **more):
            read.append(run)
            return all_logs(asked, run, *given, **more)

        monkeypatch.setattr(dg.DagsterInstance, "all_logs", counted)
        tick(cursor=first.cursor)
        assert read == [judged]

    def test_an_outbox_that_cannot_be_written_makes_it_read_the_events_again(self, tick, instance, monkeypatch):
        first = tick()
        happened(instance, drifted=True)
        with monkeypatch.context() as patch:
            patch.setattr(Outbox, "add", full)
            found = tick(cursor=first.cursor)
        assert "the disk is full" in found.skip_message
        assert found.cursor in (None, first.cursor)
        tick(cursor=first.cursor)
        assert len(texts()) == 1

    def test_a_stage_that_is_new_to_the_cursor_begins_at_its_end(self, tick, instance):
        first = tick()
        happened(instance, drifted=True)
        cursor = json.loads(first.cursor)
        del cursor["timeseries/drift_report"]
        happened(instance, "promoted", promoted=True, champion=2, reason="better")
        tick(cursor=json.dumps(cursor))
        assert len(texts()) == 1


class TestRunFailure:
    def failing(self, error):
        @dg.op
        def breaks():
            raise error

        @dg.job(tags={"dagster/partition": "FD001"})
        def timeseries():
            breaks()

        return timeseries

    def blocked(self):
        check = dg.AssetCheckSpec("rows_are_complete", asset="validated", blocking=True)

        @dg.asset(check_specs=[check])
        def validated():
            return dg.MaterializeResult(check_results=[dg.AssetCheckResult(passed=False)])

        return dg.Definitions(assets=[validated]).resolve_implicit_global_asset_job_def()

    def evaluated(self, repository, instance, job):
        return self.heard(repository, instance, job.execute_in_process(instance=instance, raise_on_error=False))

    def heard(self, repository, instance, result):
        context = dg.build_run_status_sensor_context(
            sensor_name="run_failure",
            dagster_instance=instance,
            dagster_run=result.dagster_run,
            dagster_event=result.get_run_failure_event(),
            repository_def=repository,
        ).for_run_failure()
        return repository.get_sensor_def("run_failure")(context)

    def test_is_told_with_its_sentence_and_once(self, repository, instance, monkeypatch):
        monkeypatch.setenv("VAE_PIPELINE_UI_ADDRESS", "http://ui:3000/")
        load_settings.cache_clear()
        self.evaluated(repository, instance, self.failing(dg.Failure("plant.zip: there is no such file")))
        (kept,) = open_outbox(load_settings()).last(9)
        assert kept.alert.text.endswith("of timeseries/FD001 failed in step breaks: plant.zip: there is no such file")
        assert kept.alert.link.startswith("http://ui:3000/runs/")
        self.evaluated(repository, instance, self.failing(dg.Failure("plant.zip: there is no such file")))
        assert open_outbox(load_settings()).last(9)[0].repeats == 1

    def test_the_same_run_heard_of_again_is_told_once(self, repository, instance):
        result = self.failing(dg.Failure("broken")).execute_in_process(instance=instance, raise_on_error=False)
        for _ in range(2):
            self.heard(repository, instance, result)
        (kept,) = open_outbox(load_settings()).last(9)
        assert kept.repeats == 0

    def test_a_daemon_killed_before_the_outbox_is_written_tells_at_the_next_tick(
        self, repository, instance, monkeypatch
    ):
        class KilledError(BaseException):
            pass

        def dies(*_, **__):
            raise KilledError

        result = self.failing(dg.Failure("broken")).execute_in_process(instance=instance, raise_on_error=False)
        with monkeypatch.context() as patch:
            patch.setattr(Outbox, "add", dies)
            with pytest.raises(KilledError):
                self.heard(repository, instance, result)
        self.heard(repository, instance, result)
        assert len(texts()) == 1

    def test_another_failure_is_told_as_well(self, repository, instance):
        for sentence in ("broken", "torn"):
            self.evaluated(repository, instance, self.failing(dg.Failure(sentence)))
        assert len(texts()) == 2

    def test_of_several_runs_each_new_one_is_told(self, repository, instance):
        for sentence in ("broken", "broken", "torn"):
            self.evaluated(repository, instance, self.failing(dg.Failure(sentence)))
        assert [text.rpartition(": ")[2] for text in texts()] == ["broken", "torn"]

    def test_an_outbox_that_cannot_be_written_fails_the_tick_so_that_dagster_asks_again(
        self, repository, instance, monkeypatch
    ):
        result = self.failing(dg.Failure("broken")).execute_in_process(instance=instance, raise_on_error=False)
        with monkeypatch.context() as patch:
            patch.setattr(Outbox, "add", full)
            with pytest.raises(StorageError, match="the disk is full"):
                self.heard(repository, instance, result)
        self.heard(repository, instance, result)
        assert len(texts()) == 1

    def test_of_an_error_nobody_meant_is_told_by_its_message(self, repository, instance):
        self.evaluated(repository, instance, self.failing(ValueError("not a number")))
        assert texts()[0].endswith("failed in step breaks: ValueError: not a number")

    def test_of_a_blocking_check_is_left_to_the_event_that_tells_of_it(self, repository, instance):
        found = self.evaluated(repository, instance, self.blocked())
        assert "alert_events tells of it" in found.skip_message
        assert texts() == []


class TestAnomalies:
    def test_are_told_once_by_dataset(self, tick):
        assert tick("anomalies").skip_message == "no new predictions"
        write(StorageResource().open(), [2.0] * 3)
        assert "3 alarms of timeseries/FD001" in tick("anomalies").skip_message
        assert tick("anomalies").skip_message == "no new predictions"
        assert len(texts()) == 1

    def test_without_new_predictions_that_is_said(self, tick):
        assert tick("anomalies").skip_message == "no new predictions"

    def test_what_came_since_is_told(self, tick):
        tick("anomalies")
        write(StorageResource().open(), [2.0] * 3)
        assert "3 alarms of timeseries/FD001" in tick("anomalies").skip_message

    def test_the_first_tick_tells_of_what_lies_there(self, tick):
        write(StorageResource().open(), [2.0] * 3)
        assert "3 alarms of timeseries/FD001" in tick("anomalies").skip_message

    def test_of_what_is_partly_new_the_new_is_told(self, tick):
        storage = StorageResource().open()
        write(storage, [2.0] * 3)
        tick("anomalies")
        write(storage, [2.0] * 4, dataset="FD002")
        assert tick("anomalies").skip_message.startswith("timeseries/FD002: 4 alarms")
        assert len(texts()) == 2

    def test_a_daemon_killed_before_the_outbox_is_written_tells_at_the_next_tick(self, tick, monkeypatch):
        class KilledError(BaseException):
            pass

        def dies(*_, **__):
            raise KilledError

        write(StorageResource().open(), [2.0] * 3)
        with monkeypatch.context() as patch:
            patch.setattr(Outbox, "add", dies)
            with pytest.raises(KilledError):
                tick("anomalies")
        assert texts() == []
        assert "3 alarms" in tick("anomalies").skip_message
        assert len(texts()) == 1

    def test_a_storage_that_fails_is_said(self, tick, monkeypatch):
        def unreachable(*_):
            msg = "s3://bucket: does not answer"
            raise StorageError(msg)

        monkeypatch.setattr("vae_pipeline.storage.Storage.names", unreachable)
        assert "does not answer" in tick("anomalies").skip_message


class TestDelivery:
    @pytest.fixture
    def webhook(self, monkeypatch):
        with Webhook().running() as webhook:
            monkeypatch.setenv("VAE_PIPELINE_ALERTS", webhook.address)
            load_settings.cache_clear()
            yield webhook

    def test_the_first_tick_delivers_what_waited_for_it(self, tick, webhook):
        open_outbox(load_settings()).add([alert()])
        assert tick("alerts").skip_message == "JSON took 'timeseries/FD001: drift'"
        assert len(webhook.got) == 1

    @pytest.mark.usefixtures("webhook")
    def test_where_nothing_waits_that_is_said(self, tick):
        assert tick("alerts").skip_message == "nothing waits"

    def test_a_second_tick_delivers_nothing_again(self, tick, webhook):
        open_outbox(load_settings()).add([alert()])
        tick("alerts")
        assert tick("alerts").skip_message == "nothing waits"
        assert len(webhook.got) == 1

    def test_what_waits_is_delivered_and_said(self, tick, monkeypatch):
        with Webhook().running() as webhook:
            monkeypatch.setenv("VAE_PIPELINE_ALERTS", webhook.address)
            load_settings.cache_clear()
            assert tick("alerts").skip_message == "nothing waits"
            open_outbox(load_settings()).add([alert()])
            assert tick("alerts").skip_message == "JSON took 'timeseries/FD001: drift'"
            assert tick("alerts").skip_message == "nothing waits"
        assert len(webhook.got) == 1

    def test_of_what_is_partly_new_the_new_is_delivered(self, tick, monkeypatch):
        with Webhook().running() as webhook:
            monkeypatch.setenv("VAE_PIPELINE_ALERTS", webhook.address)
            load_settings.cache_clear()
            for dataset in ("FD001", "FD002"):
                open_outbox(load_settings()).add([alert(dataset, subject=f"timeseries/{dataset}")])
                tick("alerts")
        assert webhook.titles == ["timeseries/FD001: drift", "timeseries/FD002: drift"]

    def test_a_channel_that_fails_is_said_and_what_it_did_not_take_waits(self, tick, monkeypatch):
        monkeypatch.setenv("VAE_PIPELINE_ALERTS", Webhook().address)  # nobody listens there
        load_settings.cache_clear()
        open_outbox(load_settings()).add([alert()])
        assert "JSON" in tick("alerts").skip_message
        (channel,) = open_outbox(load_settings()).channels().values()
        assert (channel.waiting, channel.delivered) == (1, 0)

    def test_without_a_channel_it_says_how_to_set_one(self, tick):
        assert "set VAE_PIPELINE_ALERTS" in tick("alerts").skip_message

    def test_a_file_of_addresses_that_is_not_there_is_said(self, tick, monkeypatch, tmp_path):
        monkeypatch.setenv("VAE_PIPELINE_ALERTS_FILE", str(tmp_path / "none"))
        load_settings.cache_clear()
        assert "check VAE_PIPELINE_ALERTS_FILE" in tick("alerts").skip_message


def test_any_asset_can_tell_people():
    @dg.asset
    def told(context: dg.AssetExecutionContext) -> None:
        tell_people(context, Alert.model_validate({**alert().model_dump(), "text": "look here"}))

    assert dg.materialize([told], instance=dg.DagsterInstance.ephemeral()).success
    assert texts() == ["look here"]
