"""The sensor of new data and what it asks for: each situation of incoming, and the run from the file to the version."""

import datetime as dt
import json
import shutil
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import dagster as dg
import pandas as pd
import pytest

from vae_pipeline.catalog import dataset
from vae_pipeline.definitions import defs
from vae_pipeline.defs import under_way
from vae_pipeline.defs.resources import MlflowResource, StorageResource
from vae_pipeline.defs.stages.raw import bring_in
from vae_pipeline.defs.stages.received import ReceivedConfig, received_asset
from vae_pipeline.errors import RegistryError, StorageError
from vae_pipeline.intake import judge as judging
from vae_pipeline.registry.shelf import Shelf
from vae_pipeline.settings import load_settings
from vae_pipeline.sources.batches import versions
from vae_pipeline.sources.cmapss import SENSORS, SETTINGS
from vae_pipeline.sources.sample import generate
from vae_pipeline.storage import Storage, open_storage
from vae_pipeline_tests.defs.conftest import CATALOG, Home, new_home


@pytest.fixture
def door(tmp_path):
    """incoming/timeseries of a home whose catalogue has the dataset tiny."""
    home = new_home(tmp_path)
    with home.entered():
        folder = tmp_path / "storage/incoming/timeseries"
        (folder / "tiny").mkdir(parents=True)
        yield folder


class Clock(dt.datetime):
    """A clock that is ahead; runs begin and end by the true one."""

    ahead = dt.timedelta()

    @classmethod
    def now(cls, tz=None):
        return dt.datetime.now(tz) + cls.ahead

    @classmethod
    def is_ahead(cls, minutes):
        cls.ahead = dt.timedelta(minutes=minutes)


@pytest.fixture
def clock(monkeypatch):
    monkeypatch.setattr(under_way, "dt", SimpleNamespace(datetime=Clock, timedelta=dt.timedelta, UTC=dt.UTC))
    yield Clock
    Clock.ahead = dt.timedelta()


@pytest.fixture
def instance():
    with dg.instance_for_test() as found:
        yield found


@cache
def repository_of(catalog):
    return defs().get_repository_def()


def tick(instance, cursor=None):
    repository = repository_of(CATALOG)
    sensor = repository.get_sensor_def("timeseries_new_data")
    with dg.build_sensor_context(
        instance=instance, cursor=cursor, repository_def=repository, resources={"storage": StorageResource()}
    ) as context:
        return sensor.evaluate_tick(context)


def settled(instance):
    """A tick that saw what lies there, and the next one."""
    return tick(instance, tick(instance).cursor)


def put(door, name="tiny/a.csv", text="unit,cycle\n1,1\n"):
    file = door / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def begun(instance, request, status):
    """The run of a request, as the daemon records it."""
    job = repository_of(CATALOG).get_job("timeseries_intake")
    tags = {"dagster/run_key": request.run_key, "dagster/partition": request.partition_key}
    return instance.create_run_for_job(job, tags=tags, status=status)


class TestTicks:
    @pytest.mark.usefixtures("door")
    def test_first_tick_with_nothing(self, instance):
        found = tick(instance)
        assert (found.run_requests, found.skip_message) == ([], "nothing lies in incoming/timeseries")

    def test_the_first_tick_over_a_file_waits_for_it_to_be_whole(self, door, instance):
        put(door)
        found = tick(instance)
        assert found.run_requests == []
        assert found.skip_message == (
            "tiny/a.csv: seen for the first time, taken when it stays the same for one more look, or a.csv.done lies "
            "beside it"
        )

    def test_a_file_that_stayed_the_same_is_asked_for(self, door, instance):
        put(door)
        (request,) = settled(instance).run_requests
        assert request.partition_key == "tiny"
        assert list(request.run_config["ops"]["timeseries__received"]["config"]["looks"]) == ["a.csv"]

    def test_a_marked_file_is_asked_for_at_once(self, door, instance):
        put(door)
        put(door, "tiny/a.csv.done", "")
        assert len(tick(instance).run_requests) == 1

    def test_a_half_uploaded_file_is_not(self, door, instance):
        put(door, text="unit,cy")
        first = tick(instance)
        put(door, text="unit,cycle\n1,1\n2,")
        second = tick(instance, first.cursor)
        assert second.run_requests == []
        assert "has changed since the last look" in second.skip_message
        put(door, "tiny/b.csv.part")
        assert len(tick(instance, second.cursor).run_requests) == 1

    def test_a_folder_in_which_files_are_still_written_is_told(self, door, instance):
        put(door, "tiny/clips/1.wav")
        put(door, "tiny/clips/2.wav.part")
        found = settled(instance)
        assert found.run_requests == []
        assert "still being written" in found.skip_message

    def test_a_second_tick_over_the_same_files_asks_for_the_same_run(self, door, instance):
        put(door)
        first = settled(instance)
        second = tick(instance, first.cursor)
        assert [each.run_key for each in second.run_requests] == [each.run_key for each in first.run_requests]

    def test_a_daemon_killed_before_the_launch_asks_for_the_same_run_again(self, door, instance):
        put(door)
        cursor = tick(instance).cursor
        keys = [tick(instance, cursor).run_requests[0].run_key for _ in range(2)]
        assert keys[0] == keys[1]

    def test_while_the_run_goes_on_nothing_is_asked_for(self, door, instance):
        put(door)
        first = settled(instance)
        run = begun(instance, first.run_requests[0], dg.DagsterRunStatus.STARTED)
        second = tick(instance, first.cursor)
        assert second.run_requests == []
        assert f"run {run.run_id[:8]} is receiving a.csv" in second.skip_message

    def test_while_a_run_of_the_dataset_goes_on_further_files_wait_for_it(self, door, instance):
        put(door)
        first = settled(instance)
        run = begun(instance, first.run_requests[0], dg.DagsterRunStatus.STARTED)
        put(door, "tiny/b.csv")
        put(door, "sample_turbofan/c.csv")
        found = tick(instance, tick(instance, first.cursor).cursor)
        assert [each.partition_key for each in found.run_requests] == ["sample_turbofan"]
        instance.report_run_canceled(run)
        assert len(tick(instance, found.cursor).run_requests) == 2

    def test_what_a_failed_run_left_is_tried_again_ever_later(self, door, instance, clock):
        put(door)
        found, keys = settled(instance), []
        for minutes in (2, 4, 8, 16, 32, 60, 60):
            keys.append(found.run_requests[0].run_key)
            begun(instance, found.run_requests[0], dg.DagsterRunStatus.FAILURE)
            clock.is_ahead(minutes - 1)
            found = tick(instance, found.cursor)
            assert found.run_requests == []
            assert f"a.csv still there after {len(keys)} runs" in found.skip_message
            clock.is_ahead(minutes + 1)
            found = tick(instance, found.cursor)
        assert len(set(keys)) == 7
        put(door, text="unit,cycle\n1,1\n1,2\n")
        assert len(tick(instance, tick(instance, found.cursor).cursor).run_requests) == 1

    def test_a_new_file_beside_one_that_is_known_is_a_request_of_its_own(self, door, instance):
        put(door)
        first = settled(instance)
        put(door, "tiny/b.csv")
        second = tick(instance, first.cursor)
        third = tick(instance, second.cursor)
        assert second.run_requests[0].run_key == first.run_requests[0].run_key
        assert third.run_requests[0].run_key != first.run_requests[0].run_key
        assert set(third.run_requests[0].run_config["ops"]["timeseries__received"]["config"]["looks"]) == {
            "a.csv",
            "b.csv",
        }

    def test_each_dataset_has_a_run_of_its_own(self, door, instance):
        put(door)
        put(door, "sample_turbofan/a.csv")
        assert [each.partition_key for each in settled(instance).run_requests] == ["sample_turbofan", "tiny"]

    def test_when_all_was_received_nothing_is_left_to_say(self, door, instance):
        file = put(door)
        first = settled(instance)
        file.unlink()
        found = tick(instance, first.cursor)
        assert found.skip_message == "nothing lies in incoming/timeseries"
        assert json.loads(found.cursor) == {"looks": {}, "asked": {}}

    def test_a_file_that_is_renamed_counts_as_new(self, door, instance):
        file = put(door)
        first = tick(instance)
        file.rename(door / "tiny/b.csv")
        assert "tiny/b.csv: seen for the first time" in tick(instance, first.cursor).skip_message

    def test_a_folder_of_no_dataset_is_told_and_left(self, door, instance):
        put(door, "tinny/a.csv")
        found = settled(instance)
        assert found.run_requests == []
        assert found.skip_message == ("tinny/a.csv: the catalogue has no dataset 'tinny'; correct the folder's name")

    def test_storage_that_cannot_be_reached_is_told_and_the_cursor_stays(self, door, instance, monkeypatch):
        put(door)
        first = tick(instance)

        def unreachable(*_):
            msg = "s3://bucket: does not answer; check VAE_PIPELINE_STORAGE, its credentials and the network"
            raise StorageError(msg)

        with monkeypatch.context() as patch:
            patch.setattr(Storage, "files", unreachable)
            found = tick(instance, first.cursor)
        assert found.run_requests == []
        assert "incoming cannot be read: s3://bucket: does not answer" in found.skip_message
        assert found.cursor in (None, first.cursor)
        assert len(tick(instance, first.cursor).run_requests) == 1

    @pytest.mark.usefixtures("door")
    def test_a_place_of_its_own_is_watched(self, instance, tmp_path, monkeypatch):
        monkeypatch.setenv("VAE_PIPELINE_INCOMING", str(tmp_path / "ftp"))
        load_settings.cache_clear()
        put(tmp_path / "ftp/timeseries")
        assert len(settled(instance).run_requests) == 1


def engines(seed, units=10):
    """Further engines of the sample, as a table; the tiny dataset reads four of the sensors."""
    entry = dataset("sample_turbofan", "timeseries")
    entry = entry.model_copy(update={"generator": {"train_units": units, "test_units": 1, "seed": seed}})
    folder = generate(entry, Path("generated").resolve() / str(seed))
    table = pd.read_csv(folder / "train_sample_turbofan.txt", sep=r"\s+", header=None)
    table.columns = ["unit", "cycle", *SETTINGS, *SENSORS]
    return table


def unreachable(kind):
    def asked(*_, **__):
        msg = "http://plant:5000: does not answer; check the network"
        raise kind(msg)

    return asked


class TestUnreachable:
    """What the run of the intake needs does not answer: told in a sentence, and the batch stays where it is."""

    def receive(self, instance):
        context = dg.build_asset_context(partition_key="tiny", instance=instance)
        given = {"storage": StorageResource(), "mlflow": MlflowResource()}
        return received_asset("timeseries")(context, ReceivedConfig(), **given)

    @pytest.mark.parametrize(
        ("place", "method", "kind"),
        [(Shelf, "find_champion", RegistryError), (Storage, "new_folder", StorageError)],
    )
    def test_the_batch_is_taken_when_it_answers_again(self, door, instance, monkeypatch, place, method, kind):
        monkeypatch.chdir(door.parents[2])
        bring_in(
            dataset("tiny", "timeseries", load_settings().catalog_files), load_settings(), StorageResource().open()
        )
        engines(21).to_csv(door / "tiny/good.csv", index=False)
        (door / "tiny/good.csv.done").touch()
        with monkeypatch.context() as patch:
            patch.setattr(place, method, unreachable(kind))
            with pytest.raises(dg.Failure) as told:
                self.receive(instance)
        assert told.value.description == "http://plant:5000: does not answer; check the network"
        assert sorted(file.name for file in (door / "tiny").iterdir()) == ["good.csv", "good.csv.done"]
        assert self.receive(instance).metadata["accepted"] == 1
        assert list((door / "tiny").iterdir()) == []

    def test_a_batch_that_cannot_be_received_holds_up_none_behind_it(self, door, instance, monkeypatch):
        monkeypatch.chdir(door.parents[2])
        bring_in(
            dataset("tiny", "timeseries", load_settings().catalog_files), load_settings(), StorageResource().open()
        )
        for name, first in (("bad", 21), ("good", 41)):
            engines(first).to_csv(door / f"tiny/{name}.csv", index=False)
            (door / f"tiny/{name}.csv.done").touch()
        read = judging.read_batch

        def fails(dataset, arrived, *given):
            if arrived.name == "bad.csv":
                raise ZeroDivisionError
            return read(dataset, arrived, *given)

        monkeypatch.setattr(judging, "read_batch", fails)
        assert self.receive(instance).metadata["accepted"] == 1
        assert sorted(file.name for file in (door / "tiny").iterdir()) == ["bad.csv", "bad.csv.done"]
        with pytest.raises(ZeroDivisionError):
            self.receive(instance)


@pytest.fixture(scope="module")
def received(trained_home, tmp_path_factory):
    """A trained home with a good batch and a poisoned one received, and the line run again."""
    folder = tmp_path_factory.mktemp("received")
    shutil.copytree(trained_home.folder, folder, dirs_exist_ok=True)
    home = Home(folder)
    with pytest.MonkeyPatch.context() as patch, home.entered():
        patch.chdir(folder)
        door = folder / "storage/incoming/timeseries/tiny"
        door.mkdir(parents=True)
        engines(21).to_csv(door / "good.csv", index=False)
        poisoned = engines(22, 40)
        faulty = poisoned["unit"] % 10 == 0
        for sensor in ("sensor_2", "sensor_4", "sensor_7", "sensor_11"):
            regimes = poisoned.groupby(poisoned["setting_1"].round())[sensor].transform("std")
            poisoned.loc[faulty, sensor] += 6.0 * regimes[faulty]
        poisoned.to_csv(door / "poisoned.csv", index=False)
        for name in ("good.csv", "poisoned.csv"):
            (door / f"{name}.done").touch()
    home.intake = home.run(job="timeseries_intake")["received"]  # type: ignore[attr-defined]
    home.again = home.run()  # type: ignore[attr-defined]
    return home


@pytest.mark.slow
class TestRun:
    def test_the_materialization_says_what_became_of_each(self, received):
        told = received.intake
        assert {name: told[name] for name in ("accepted", "refused", "known", "waiting", "version")} == {
            "accepted": 1,
            "refused": 1,
            "known": 0,
            "waiting": 0,
            "version": 2,
        }
        assert told["rows"] > 1000
        assert "[report](file://" in told["batches"]

    def test_the_champion_finds_the_poisoned_engines(self, received):
        (report,) = Path(received.folder, "storage/quarantine/timeseries/tiny").rglob("report.json")
        found = json.loads(report.read_text())
        assert "stand out from the others" in found["reason"]
        assert {suspect["unit"] for suspect in found["screening"]["suspects"]} <= {"10", "20", "30", "40"}

    def test_the_next_run_is_made_of_more_engines_and_the_registered_version_says_so(self, received):
        again = received.again
        assert again["raw"]["dataset_version"] == 2
        assert not again["raw"]["reused"]
        for stage in ("raw", "registered"):
            assert again[stage]["batches_labelled"] == "1 by cycles to each unit's last row"
        assert again["registered"]["train_rows"] == again["raw"]["train_rows"]
        assert again["features"]["units"] == 8 + 8 + 10
        assert again["features"]["test_units"] == 8 + 2
        entries = received.shelf().entries("timeseries-tiny")
        assert entries[0].dataset_version == "2"
        assert {entry.dataset_version for entry in entries[1:]} == {"1"}

    def test_known_engines_stay_in_their_parts(self, received):
        with received.entered():
            segments = [
                {unit["name"]: unit["part"] for unit in json.loads(file.read_text())["units"]}
                for file in sorted(
                    Path(received.folder, "storage/timeseries/tiny/features").glob("*/features.json"),
                    key=lambda file: file.stat().st_mtime_ns,
                )
            ]
        before, after = segments
        assert before.items() <= after.items()
        assert len(after) == len(before) + 10

    def test_receiving_again_with_nothing_there_changes_nothing(self, received):
        found = received.run(job="timeseries_intake")["received"]
        assert (found["accepted"], found["version"]) == (0, 2)
        with received.entered():
            settings = load_settings()
            entry = dataset("tiny", "timeseries", settings.catalog_files)
            assert len(versions(open_storage(settings), entry)) == 2
