"""The Bento of a line: packed from the registry, asked its examples, followed by a sensor."""

import datetime as dt
import json
from contextlib import nullcontext
from functools import cache
from types import SimpleNamespace

import dagster as dg
import numpy as np
import pytest

from vae_pipeline.definitions import defs
from vae_pipeline.defs import under_way
from vae_pipeline.defs.resources import MlflowResource, StorageResource
from vae_pipeline.detector.packed import PackedModel, read_packed
from vae_pipeline.errors import PackingError, RegistryError, StorageError
from vae_pipeline.packing.deployment import Deployment, deployment_key
from vae_pipeline.packing.image import Image
from vae_pipeline.packing.pack import pack
from vae_pipeline.packing.smoke import SmokeTest
from vae_pipeline.registry.shelf import Shelf
from vae_pipeline.settings import load_settings
from vae_pipeline.storage import Storage, open_storage

NAME = "timeseries-tiny"


@cache
def repository():
    return defs().get_repository_def()


def tick(cursor=None, instance=None):
    sensor = repository().get_sensor_def("timeseries_champion_changed")
    given = {"mlflow": MlflowResource(), "storage": StorageResource()}
    with (
        nullcontext(instance) if instance else dg.instance_for_test() as held,
        dg.build_sensor_context(instance=held, cursor=cursor, repository_def=repository(), resources=given) as context,
    ):
        return sensor.evaluate_tick(context)


def deployed(*models):
    """The record of a Bento that carries these versions of `NAME`."""
    about = {"line": "timeseries", "dataset": "tiny", "medium": "table", "data_version": "-", "trained": "-"}
    carried = tuple(PackedModel(name=NAME, version=version, metrics={}, **about) for version in models)
    smoke = SmokeTest(environment="-", environment_megabytes=1, started=1, memory_megabytes=1, differences={})
    image = Image(name=None, engine=None, told="-")
    record = Deployment(tag="t:1", path="-", models=carried, at="-", smoke=smoke, image=image)
    open_storage(load_settings()).write_text(deployment_key("timeseries"), record.model_dump_json())


@pytest.mark.services
class TestChampionChanged:
    @pytest.fixture(autouse=True)
    def home(self, trained_home, tmp_path):
        with trained_home.entered(), pytest.MonkeyPatch.context() as patch:
            patch.setenv("VAE_PIPELINE_STORAGE", str(tmp_path / "storage"))
            load_settings.cache_clear()
            yield trained_home
        load_settings.cache_clear()

    def test_the_first_champions_are_packed(self):
        found = tick()
        assert len(found.run_requests) == 1
        assert json.loads(found.cursor)["champions"] == {NAME: 1}

    def test_the_same_champions_are_not_packed_again_and_the_tick_names_them(self):
        deployed(1)
        found = tick(tick().cursor)
        assert found.run_requests == []
        assert f"{NAME} version 1" in found.skip_message

    def test_a_second_tick_asks_for_the_same_run(self):
        first = tick()
        assert tick(first.cursor).run_requests[0].run_key == first.run_requests[0].run_key

    def test_others_that_were_deployed_are_no_reason_to_wait(self):
        deployed(7)
        assert len(tick().run_requests) == 1

    def test_champions_that_failed_to_pack_are_asked_for_again_ever_later(self, monkeypatch):
        job, ahead = repository().get_job("timeseries_bento"), dt.timedelta()
        clock = SimpleNamespace(now=lambda zone: dt.datetime.now(zone) + ahead, fromtimestamp=dt.datetime.fromtimestamp)
        monkeypatch.setattr(under_way, "dt", SimpleNamespace(datetime=clock, timedelta=dt.timedelta, UTC=dt.UTC))
        with dg.instance_for_test() as instance:
            found, keys = tick(instance=instance), set()
            for minutes in (2, 4):
                (request,) = found.run_requests
                keys.add(request.run_key)
                run = instance.create_run_for_job(job, tags={"dagster/run_key": request.run_key})
                assert f"run {run.run_id[:8]} is packing" in tick(found.cursor, instance).skip_message
                instance.report_run_failed(run)
                ahead = dt.timedelta(minutes=minutes - 1)
                assert f"not packed by run {run.run_id[:8]}" in tick(found.cursor, instance).skip_message
                ahead = dt.timedelta(minutes=minutes + 1)
                found = tick(found.cursor, instance)
            deployed(1)
            assert "are those that were packed" in tick(found.cursor, instance).skip_message
        assert len(keys) == 2

    def test_a_tick_that_was_not_launched_asks_for_the_same_run_again(self):
        assert tick().run_requests[0].run_key == tick().run_requests[0].run_key

    def test_a_champion_by_hand_and_back_are_two_requests(self, monkeypatch):
        first = tick()
        champions = Shelf.champions

        def others(shelf, line):
            return [entry.model_copy(update={"version": 7}) for entry in champions(shelf, line)]

        monkeypatch.setattr(Shelf, "champions", others)
        second = tick(first.cursor)
        monkeypatch.setattr(Shelf, "champions", champions)
        third = tick(second.cursor)
        keys = [found.run_requests[0].run_key for found in (first, second, third)]
        assert len(set(keys)) == 3

    def test_a_storage_that_cannot_be_reached_is_said(self, monkeypatch):
        def unreachable(*_):
            msg = "s3://bucket: does not answer"
            raise StorageError(msg)

        monkeypatch.setattr(Storage, "has_text", unreachable)
        assert tick().skip_message == "the latest deployment cannot be read: s3://bucket: does not answer"

    def test_one_more_dataset_is_a_change(self, monkeypatch):
        first = tick()
        champions = Shelf.champions

        def more(shelf, line):
            known = champions(shelf, line)
            return [*known, known[0].model_copy(update={"name": "timeseries-other", "dataset": "other"})]

        monkeypatch.setattr(Shelf, "champions", more)
        assert set(json.loads(tick(first.cursor).cursor)["champions"]) == {NAME, "timeseries-other"}

    def test_without_a_champion_it_waits(self, monkeypatch):
        monkeypatch.setattr(Shelf, "champions", lambda *_: [])
        assert tick().skip_message == "timeseries has no champion yet: run the line first"

    def test_a_registry_that_cannot_be_reached_is_said_and_tried_again(self, monkeypatch):
        first = tick()

        def unreachable(*_):
            msg = "http://mlflow:5000: does not answer"
            raise RegistryError(msg)

        monkeypatch.setattr(Shelf, "champions", unreachable)
        found = tick(first.cursor)
        assert found.run_requests == []
        assert "does not answer" in found.skip_message
        assert found.cursor in (None, first.cursor)


@pytest.fixture(scope="module")
def packed(trained_home):
    shelf = trained_home.shelf()
    with trained_home.entered():
        return pack(load_settings(), shelf, "timeseries")


@pytest.mark.services
class TestBento:
    def test_it_carries_the_champion_with_its_example(self, packed):
        (model,) = packed.models
        assert (model.name, model.version, model.medium) == (NAME, 1, "table")
        folder = next((packed.path.parents[2] / "models" / NAME).glob("1-*"))
        assert read_packed(folder) == model
        example = model.example
        assert example is not None
        assert (folder / "example" / example.file).read_text().startswith("unit,cycle,sensor_2")
        assert len(example.scores) == 5
        assert "test_pr_auc" in model.metrics

    def test_what_is_packed_twice_is_one_bento(self, packed, trained_home):
        with trained_home.entered():
            again = pack(load_settings(), trained_home.shelf(), "timeseries")
        assert (again.tag, again.new) == (packed.tag, False)

    def test_other_models_are_another_bento_and_the_old_one_stays(self, packed, trained_home, monkeypatch):
        champions = Shelf.champions

        def others(shelf, line):
            changed = {"evaluation_version": "another"}
            return [entry.model_copy(update=changed) for entry in champions(shelf, line)]

        shelf = trained_home.shelf()
        monkeypatch.setattr(Shelf, "champions", others)
        with trained_home.entered():
            other = pack(load_settings(), shelf, "timeseries")
        assert other.tag != packed.tag
        assert packed.path.is_dir()

    def test_its_source_is_what_a_service_loads(self, packed):
        rooms = {path.name for path in (packed.path / "src/vae_pipeline").iterdir() if path.is_dir()}
        assert not rooms & {"defs", "models", "registry", "evaluation", "experiments", "validation", "packing"}
        assert "torch" not in (packed.path / "env/python/requirements.txt").read_text()

    def test_its_image_starts_from_the_base_that_is_set_as_another_user(self, trained_home, packed):
        with trained_home.entered():
            settings = load_settings().model_copy(update={"base_image": "registry.plant/python:3.11"})
            other = pack(settings, trained_home.shelf(), "timeseries")
        dockerfile = (other.path / "env/docker/Dockerfile").read_text()
        assert other.tag != packed.tag
        assert "FROM registry.plant/python:3.11" in dockerfile
        assert "USER bentoml" in dockerfile
        assert "FROM python:3.11-slim" in (packed.path / "env/docker/Dockerfile").read_text()
        assert "apt-get" not in dockerfile

    def test_a_line_without_champion_is_refused_with_what_to_do(self, trained_home):
        with trained_home.entered(), pytest.raises(PackingError, match="vae-pipeline run vision"):
            pack(load_settings(), trained_home.shelf(), "vision")

    @pytest.mark.slow
    def test_the_asset_deploys_what_answers_as_evaluation_did(self, packed, trained_home):
        with trained_home.entered():
            definitions = defs()
            result = definitions.resolve_job_def("timeseries_bento").execute_in_process(
                run_config={"ops": {"timeseries__bento": {"config": {"image": False}}}}
            )
            assert result.success
            storage = open_storage(load_settings())
            record = Deployment.model_validate_json(storage.read_text(deployment_key("timeseries")))
            assert storage.read_text(deployment_key("timeseries", record.tag))
        assert record.tag == packed.tag
        assert record.smoke.differences[NAME] == pytest.approx(0.0, abs=1e-5)
        assert np.isfinite([record.smoke.started, record.smoke.memory_megabytes]).all()
        assert record.image.told == "no image was asked for"
