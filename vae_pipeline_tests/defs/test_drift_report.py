"""The drift report as an asset with its check, and the schedule that asks for yesterday's.

A day is new to the schedule at every tick, so there is none with nothing new: a day without predictions is judged too,
and its report says so. A daemon that is killed before it launches a run evaluates the tick again: that is the second
tick of a day.
"""

import datetime as dt

import dagster as dg
import numpy as np
import pytest

from vae_pipeline.definitions import defs
from vae_pipeline.defs.execute import PipelineFailedError
from vae_pipeline.defs.resources import MlflowResource
from vae_pipeline.drift import daily, report
from vae_pipeline.errors import RegistryError
from vae_pipeline.registry.shelf import Shelf
from vae_pipeline.settings import load_settings
from vae_pipeline.storage import open_storage
from vae_pipeline_tests.drift.days import answered, keep

TICK = dt.datetime(2026, 3, 2, 2, 30, tzinfo=dt.UTC)


class TestSchedule:
    @pytest.fixture(autouse=True)
    def entered(self, trained_home):
        with trained_home.entered():
            yield

    def tick(self, when=TICK):
        repository = defs().get_repository_def()
        schedule = repository.get_schedule_def("timeseries_drift_daily")
        with (
            dg.instance_for_test() as instance,
            dg.build_schedule_context(
                instance=instance,
                scheduled_execution_time=when,
                repository_def=repository,
                resources={"mlflow": MlflowResource()},
            ) as context,
        ):
            return schedule.evaluate_tick(context)

    def test_every_dataset_with_a_champion_has_yesterday_judged(self):
        (request,) = self.tick().run_requests
        assert (request.run_key, request.partition_key) == ("drift-2026-03-01-tiny", "tiny")
        assert request.run_config["ops"]["timeseries__drift_report"]["config"] == {"day": "2026-03-01"}

    def test_the_next_day_is_asked_for_by_the_next_tick(self):
        (request,) = self.tick(TICK + dt.timedelta(days=1)).run_requests
        assert request.run_config["ops"]["timeseries__drift_report"]["config"] == {"day": "2026-03-02"}

    def test_a_daemon_killed_before_the_launch_asks_for_the_same_run(self):
        assert self.tick().run_requests[0].run_key == self.tick().run_requests[0].run_key

    def test_a_second_tick_of_a_day_asks_for_the_same_run(self):
        keys = [self.tick(when).run_requests[0].run_key for when in (TICK, TICK + dt.timedelta(hours=3))]
        assert keys[0] == keys[1]
        assert self.tick(TICK + dt.timedelta(days=1)).run_requests[0].run_key != keys[0]

    def test_a_dataset_that_has_a_champion_by_the_second_tick_of_a_day_is_the_only_one_added(self, monkeypatch):
        before = {request.run_key for request in self.tick().run_requests}
        champions = Shelf.champions
        more = {"name": "timeseries-impossible", "dataset": "impossible"}
        monkeypatch.setattr(
            Shelf, "champions", lambda *given: [*champions(*given), champions(*given)[0].model_copy(update=more)]
        )
        after = {request.run_key for request in self.tick().run_requests}
        assert after - before == {"drift-2026-03-01-impossible"}
        assert before < after

    def test_without_a_champion_the_tick_is_skipped_with_the_reason(self, monkeypatch):
        monkeypatch.setattr(Shelf, "champions", lambda *_: [])
        found = self.tick()
        assert found.run_requests == []
        assert found.skip_message == "timeseries has no champion yet: run the line first"

    def test_a_dataset_that_left_the_catalogue_is_not_judged(self, monkeypatch):
        champions = Shelf.champions
        gone = {"name": "timeseries-sold", "dataset": "sold"}
        monkeypatch.setattr(
            Shelf, "champions", lambda *given: [each.model_copy(update=gone) for each in champions(*given)]
        )
        assert self.tick().run_requests == []

    def test_a_registry_that_cannot_be_reached_is_said(self, monkeypatch):
        def unreachable(*_):
            msg = "http://mlflow:5000: does not answer"
            raise RegistryError(msg)

        monkeypatch.setattr(Shelf, "champions", unreachable)
        assert "does not answer" in self.tick().skip_message


class TestAsset:
    @pytest.fixture(autouse=True)
    def without_evidently(self, monkeypatch):
        """Its pages are tested in the room."""

        class Page:
            def save_html(self, file):
                with open(file, "w") as opened:  # noqa: PTH123 - as Evidently does
                    opened.write("<html>")

            def json(self):
                return "{}"

            dumps = json

        monkeypatch.setattr(report, "snapshot_of", lambda _: Page())

    def judge(self, home, day):
        return home.run(job="timeseries_drift", drift_report={"day": day})["drift_report"]

    def test_a_day_that_moved_is_a_warning_and_no_failure(self, trained_home):
        with trained_home.entered():
            storage = open_storage(load_settings())
            champion = trained_home.shelf().champion("timeseries-tiny")
            random = np.random.default_rng(0)
            one = answered(
                50.0 + random.normal(size=200),
                names=[f"engine {number % 20}, row {number}" for number in range(200)],
                version=champion.version,
                latent=50.0 + random.normal(size=(200, 2)),
            )
            keep(storage, one)
        found = self.judge(trained_home, "2026-03-01")
        with trained_home.entered():
            drift = daily.judgement(storage, "timeseries", "tiny", "2026-03-01")
        assert drift is not None
        assert found["verdict"] == drift.verdict
        assert (found["samples"], found["day"], found["version"]) == (200, "2026-03-01", champion.version)
        assert found["drifted"] is drift.drifted
        assert "picture" in found
        assert (trained_home.folder / "storage" / found["report"] / report.RECORD).exists()

    def test_a_day_without_predictions_is_too_few(self, trained_home):
        found = self.judge(trained_home, "2020-01-01")
        assert (found["verdict"], found["drifted"], found["samples"]) == ("too_few", False, 0)

    def test_a_day_that_is_none_is_refused_in_one_sentence(self, trained_home):
        with pytest.raises(PipelineFailedError, match="write dates as 2026-03-01"):
            self.judge(trained_home, "yesterday")
