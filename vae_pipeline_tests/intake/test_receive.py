"""A batch ends in the next version or in quarantine, whole, whatever happens on the way."""

import json
import os
import zipfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from vae_pipeline.connectors.pull import Names, pull
from vae_pipeline.errors import StorageError
from vae_pipeline.intake import judge as judging
from vae_pipeline.intake import receive as receiving
from vae_pipeline.intake.arrive import arrivals
from vae_pipeline.intake.receive import receive
from vae_pipeline.intake.screen import Sample
from vae_pipeline.sources.batch_facts import FACTS_KEY
from vae_pipeline.sources.batches import find_batch, newest_version
from vae_pipeline.sources.load import read_table
from vae_pipeline.storage import Storage
from vae_pipeline.storage.local_root import LocalRoot
from vae_pipeline_tests.builders.batches import SENSORS, plant, plant_of, pumps
from vae_pipeline_tests.builders.cmapss import entry, write_cmapss, zip_folder
from vae_pipeline_tests.builders.pictures import write_pictures
from vae_pipeline_tests.builders.recordings import write_recordings
from vae_pipeline_tests.connectors.stand_ins import Listed, config_of


@pytest.fixture
def made(tmp_path):
    return plant(tmp_path)


@pytest.fixture
def raw(made, tmp_path):
    return made.raw(tmp_path / "raw")


def take(made, raw, name="week.csv", **more):
    given = {"storage": made.storage, "incoming": made.incoming, "scratch": made.settings.home / "cache/intake"}
    return receive(made.dataset, name, raw=raw, **given, **more)


def left(made):
    return sorted(path.name for path in made.door.iterdir())


def quarantined(made):
    return sorted(Path(made.settings.storage_root, "quarantine").rglob("report.json"))


class TestAccepted:
    def test_a_batch_is_in_the_next_version_and_gone_from_incoming(self, made, raw, tmp_path):
        made.drop(pumps(5, 40, seed=9))
        found = take(made, raw)
        assert (found.accepted, found.version, found.rows) == (True, 2, 200)
        assert found.reason == "week.csv: fit to use; labels were not tested: the dataset has no champion yet"
        assert left(made) == []
        assert newest_version(made.storage, made.dataset).batches == (found.batch,)
        again = made.raw(tmp_path / "again")
        assert {f"{found.batch[:8]}:p{number}" for number in range(5)} <= set(
            pd.concat([read_table(again, part) for part in ("train", "test")])["unit"]
        )

    def test_its_report_says_what_was_found_and_that_labels_were_not_tested(self, made, raw):
        made.drop(pumps(5, 40, seed=9))
        found = take(made, raw)
        folder = made.storage.folder(found.report.removesuffix("/report.html"))
        assert "labels were not tested: the dataset has no champion yet" in (folder / "report.html").read_text()
        assert json.loads((folder / "report.json").read_text())["labelled"] == "not labelled: taken as normal"
        assert (folder / "expectations.html").exists()

    def test_parquet_does_as_well(self, made, raw):
        made.drop(pumps(5, 40, seed=9), "week.parquet")
        assert take(made, raw, "week.parquet").accepted

    def test_a_key_comes_along_as_it_is_written_where_a_batch_has_one(self, tmp_path):
        made = plant(tmp_path)
        data = Path(made.dataset.folder)
        for part in ("train", "test"):
            table = pd.read_csv(data / f"{part}.csv")
            table.assign(part=[f"P-{row:04d}" for row in range(len(table))]).to_csv(data / f"{part}.csv", index=False)
        columns = made.dataset.columns.model_copy(update={"key": "part"})
        made = plant_of(made.dataset.model_copy(update={"columns": columns}), tmp_path)
        raw = made.raw(tmp_path / "raw")
        made.drop(pumps(5, 40, seed=9).assign(part=[f"{row:06d}" for row in range(200)]), "keyed.csv")
        made.drop(pumps(5, 40, seed=10), "plain.csv")
        for name in ("keyed.csv", "plain.csv"):
            assert take(made, raw, name).accepted
        again = made.raw(tmp_path / "again")
        keys = pd.concat([read_table(again, part) for part in ("train", "test")])["key"]
        assert set(keys.dropna()) == {f"P-{row:04d}" for row in range(8 * 120)} | {f"{row:06d}" for row in range(200)}
        assert keys.isna().sum() == 200

    def test_the_same_content_twice_is_one_batch(self, made, raw):
        made.drop(pumps(5, 40, seed=9))
        first = take(made, raw)
        made.drop(pumps(5, 40, seed=9), "copy.csv")
        second = take(made, raw, "copy.csv")
        assert (second.outcome, second.version, second.batch) == ("known", 2, first.batch)
        assert second.reason == "copy.csv: the same content as week.csv, which version 2 holds: not added again"
        assert left(made) == []

    def test_a_drifted_batch_is_of_the_dataset(self, made, raw):
        frame = pumps(5, 40, seed=9)
        made.drop(frame.assign(flow=frame["flow"] + 2.0))
        assert take(made, raw).accepted

    def test_the_markers_go_with_the_batch(self, made, raw):
        made.drop(pumps(5, 40, seed=9))
        (made.door / "week.csv.done").touch()
        take(made, raw)
        assert left(made) == []

    @pytest.mark.services
    def test_on_a_remote_root_too(self, made, raw, tmp_path, remote_root):
        storage = Storage(f"{remote_root}/storage", tmp_path / "cache")
        incoming = Storage(f"{remote_root}/incoming", tmp_path / "cache")
        incoming.write_text("timeseries/pumps/week.csv", pumps(5, 40, seed=9).to_csv(index=False))
        scratch = tmp_path / "scratch"
        found = receive(made.dataset, "week.csv", storage=storage, incoming=incoming, raw=raw, scratch=scratch)
        assert found.accepted
        assert newest_version(storage, made.dataset).batches == (found.batch,)
        assert incoming.files() == []


class TestFromAConnector:
    """What its facts say of the labels goes on to wherever the version is read."""

    @pytest.fixture
    def name(self, made):
        rows = pumps(5, 40, seed=9).to_dict("records")
        config = config_of(
            columns={"unit": "pump", "time": "second", "sensors": list(SENSORS), "clock": "number"},
            labels={"rule": "limits", "limits": {"flow": [None, 42.5]}},
        )
        pull(Listed(rows, fetch=1000), made.storage, config, Names(unit="pump", time="second"), flush=True)
        (file,) = made.door.iterdir()
        return file.name

    def test_labels_by_a_rule_are_called_that_in_the_data_version(self, made, raw, tmp_path, name):
        found = take(made, raw, name)
        said = "by the rule limits (not the truth): normal is flow any to 42.5"
        assert (found.accepted, found.labelled) == (True, said)
        batch = find_batch(made.storage, made.dataset, found.batch)
        assert (batch.labelled, batch.facts.connector, batch.facts.labelled_by["rule"]) == (said, "pumps", "limits")
        again = made.raw(tmp_path / "again")
        (entry,) = json.loads((again / "source.json").read_text())["batches"]
        assert entry["labelled"] == said
        assert read_table(again, "train")["label"].max() == 1

    def test_facts_that_are_damaged_are_told(self, made, raw, name):
        table = pq.read_table(made.door / name)
        pq.write_table(table.replace_schema_metadata({FACTS_KEY: b"{"}), made.door / name)
        found = take(made, raw, name)
        assert found.outcome == "refused"
        assert found.reason.startswith(f"{name}: what the connector noted of the batch cannot be read")


class TestRunToFailure:
    @pytest.fixture
    def made(self, tmp_path):
        write_cmapss(tmp_path / "data", train_lengths=(60, 70))
        labels, window = {"healthy_from": 40, "anomalous_below": 10}, {"length": 5}
        return plant_of(entry(folder="data", base=str(tmp_path), labels=labels, window=window), tmp_path)

    def drop(self, made, **more):
        random = np.random.default_rng(5)
        frame = pd.DataFrame({"unit": [1] * 50 + [2] * 55, "cycle": [*range(1, 51), *range(1, 56)]})
        for number in range(1, 4):
            frame[f"setting_{number}"] = random.normal(100, 1, 105)
        for number in range(1, 22):
            frame[f"sensor_{number}"] = random.normal(100, 1, 105)
        made.drop(frame.assign(**more))

    def lives(self, made, raw, tmp_path):
        found = take(made, raw)
        assert found.accepted, found.reason
        again = made.raw(tmp_path / "again")
        tables = pd.concat([read_table(again, part) for part in ("train", "test")])
        return tables[tables["unit"].str.startswith(found.batch[:8])]

    def test_units_are_whole_runs(self, made, raw, tmp_path):
        self.drop(made)
        rows = self.lives(made, raw, tmp_path)
        assert rows.groupby("unit")["remaining_life"].agg(["max", "min"]).to_numpy().tolist() == [[49, 0], [54, 0]]

    def test_unless_the_batch_states_their_remaining_life(self, made, raw, tmp_path):
        self.drop(made, remaining_life=200.0)
        assert set(self.lives(made, raw, tmp_path)["remaining_life"]) == {200.0}

    def test_or_labels_them(self, made, raw, tmp_path):
        self.drop(made, label=0)
        rows = self.lives(made, raw, tmp_path)
        assert rows["remaining_life"].isna().all()
        assert set(rows["label"]) == {0}

    def test_a_text_file_in_their_layout_is_read(self, made, raw, tmp_path):
        write_cmapss(tmp_path / "later", train_lengths=(45, 50))
        text = (tmp_path / "later/train_FD001.txt").read_text().replace("100.", "101.")
        (made.door / "train.txt").write_text(text)
        assert take(made, raw, "train.txt").rows == 95


REFUSED = [
    (lambda frame: frame.drop(columns="flow"), "the column 'flow' is missing; the file has pump, second, pressure"),
    (lambda frame: frame.assign(flow="n/k"), "line 2, column 'flow': 'n/k' is no number"),
    (lambda frame: frame.assign(flow=frame["flow"] * 9 + 400), "column flow: 100% of its values are far from all of"),
    (lambda frame: frame.assign(second=frame["second"] * 10), "column time: one row every 10, where this dataset has"),
    (
        lambda frame: frame.assign(second=pd.Timestamp("2026-01-01") + pd.to_timedelta(frame["second"], unit="s")),
        "column time holds a timestamp where this dataset has a number",
    ),
    (
        lambda frame: frame.assign(second=frame["second"].mask(frame.index == 7, 3.5)),
        "time_increases fails: unit p0, row 8, time 3.5: column time changes by -2.5 from the row before",
    ),
    (lambda frame: frame.iloc[:4], "units_are_long_enough fails: unit p0, from row 1: 4 rows, the window needs 10"),
    (lambda frame: frame.iloc[:0], "the file has no rows"),
]


class TestRefused:
    @pytest.mark.parametrize(("spoil", "reason"), REFUSED, ids=[reason[:30] for _, reason in REFUSED])
    def test_a_batch_that_does_not_belong_is_put_into_quarantine(self, made, raw, spoil, reason):
        file = made.drop(spoil(pumps(5, 40, seed=9)))
        content = file.read_bytes()
        found = take(made, raw)
        assert found.outcome == "refused"
        assert found.reason.startswith("week.csv")
        assert reason in found.reason
        assert "\n" not in found.reason
        assert str(made.settings.home) not in found.reason
        assert newest_version(made.storage, made.dataset).number == 1
        (report,) = quarantined(made)
        assert json.loads(report.read_text())["reason"] == found.reason
        assert (report.parent / "week.csv").read_bytes() == content
        assert (report.parent / "report.html").exists()
        assert left(made) == []

    def test_rows_that_are_there_already_are_not_taken_twice(self, made, raw):
        made.drop(pumps(5, 40, seed=9))
        assert take(made, raw).accepted
        made.drop(pd.concat([pumps(5, 40, seed=9), pumps(2, 40, seed=10, first=20)]), "both.csv")
        found = take(made, raw, "both.csv")  # the raw folder does not hold the first batch yet
        assert found.outcome == "refused"
        assert "200 of the batch's 280 rows are in the dataset already" in found.reason

    def test_a_file_of_another_form_is_told_what_a_batch_is(self, made, raw):
        (made.door / "notes.docx").write_text("-")
        found = take(made, raw, "notes.docx")
        assert found.reason == "notes.docx: no batch of pumps, which is a .csv or .parquet file; write it in that form"

    def test_a_person_who_drops_it_again_as_it_was_is_told_the_same(self, made, raw):
        frame = pumps(5, 40, seed=9).drop(columns="flow")
        os.utime(made.drop(frame), (1e9, 1e9))
        first = take(made, raw)
        os.utime(made.drop(frame), (1e9, 1e9))
        assert take(made, raw).reason == first.reason
        assert len(quarantined(made)) == 1


class TestPoison:
    """The champion's scores are given; that they are computed rightly is tested with real detectors."""

    class Champion:
        reference: ClassVar = {"scores": np.random.default_rng(0).normal(0, 1, 500)}

        class description:  # noqa: N801
            class threshold:  # noqa: N801
                value, false_alarm_rate = 2.5, 0.01

    @pytest.fixture
    def scores(self, monkeypatch):
        found = np.random.default_rng(1).normal(0, 0.5, 60)
        samples = [Sample(f"p{number // 12}", number, number + 9) for number in range(60)]
        monkeypatch.setattr(judging, "normal_samples", lambda *_: (found, samples))
        return found

    def test_anomalies_labelled_normal_are_found_and_named(self, made, raw, scores):
        scores[[3, 4, 5, 40, 41, 42]] = 8.0
        made.drop(pumps(5, 40, seed=9))
        found = take(made, raw, champion=self.Champion())
        assert found.outcome == "refused"
        assert "6 of its 60 supposedly normal samples stand out from the others" in found.reason
        assert "units p0, p3" in found.reason
        (report,) = quarantined(made)
        suspects = json.loads(report.read_text())["screening"]["suspects"]
        assert [suspect["unit"] for suspect in suspects] == ["p0", "p3"]
        assert "What stands out" in (report.parent / "report.html").read_text()

    def test_a_batch_that_drifted_as_a_whole_is_accepted_and_told(self, made, raw, scores):
        scores += 9.0
        made.drop(pumps(5, 40, seed=9))
        found = take(made, raw, champion=self.Champion())
        assert found.accepted
        assert "60 of its 60 supposedly normal samples score as high as at most 1.0% of normal data do" in found.reason
        assert "the batch has moved as a whole" in found.reason

    def test_a_person_may_vouch_for_the_labels(self, made, raw, scores):
        scores[[3, 4, 5, 40, 41, 42]] = 8.0
        made.drop(pumps(5, 40, seed=9))
        (made.door / "week.csv.trusted").touch()
        found = take(made, raw, champion=self.Champion())
        assert found.accepted
        assert "its labels are trusted, though 6 of its 60" in found.reason
        assert left(made) == []

    def test_also_after_it_was_refused(self, made, raw, scores):
        scores[[3, 4, 5, 40, 41, 42]] = 8.0
        for trusted in (False, True):
            os.utime(made.drop(pumps(5, 40, seed=9)), (1e9, 1e9))
            if trusted:
                (made.door / "week.csv.trusted").touch()
            assert take(made, raw, champion=self.Champion()).accepted == trusted

    def test_or_after_the_champion_is_another(self, made, raw, scores):
        scores[[3, 4, 5, 40, 41, 42]] = 8.0
        for champion in (self.Champion(), None):
            os.utime(made.drop(pumps(5, 40, seed=9)), (1e9, 1e9))
            assert take(made, raw, champion=champion).accepted == (champion is None)


class TestWhileRead:
    def test_a_file_that_is_gone_is_told(self, made, raw):
        found = take(made, raw)
        assert (found.outcome, found.version) == ("waiting", 1)
        assert found.reason == "week.csv: is no longer there: renamed or removed before it was read"

    @pytest.mark.parametrize("act", [Path.unlink, lambda file: file.rename(file.with_name("renamed.csv"))])
    def test_a_file_that_goes_while_it_is_read_is_told_and_nothing_is_taken(self, made, raw, monkeypatch, act):
        file = made.drop(pumps(5, 40, seed=9))
        fetch = Storage.fetch

        def meddled(storage, key, into):
            act(file)
            fetch(storage, key, into)

        monkeypatch.setattr(Storage, "fetch", meddled)
        found = take(made, raw)
        assert found.outcome == "waiting"
        assert "changed, renamed or removed while it was read" in found.reason
        assert newest_version(made.storage, made.dataset).number == 1
        assert quarantined(made) == []

    def test_a_file_that_grows_while_it_is_read_waits(self, made, raw, monkeypatch):
        file = made.drop(pumps(5, 40, seed=9))
        fetch = Storage.fetch

        def meddled(storage, key, into):
            fetch(storage, key, into)
            file.write_text(file.read_text() + "p9,0,1,2,3\n")

        monkeypatch.setattr(Storage, "fetch", meddled)
        assert take(made, raw).outcome == "waiting"
        assert left(made) == ["week.csv"]

    def test_a_file_that_is_replaced_while_it_is_judged_stays(self, made, raw, monkeypatch):
        made.drop(pumps(5, 40, seed=9))
        judge = receiving.judge

        def meddled(*given, **more):
            made.drop(pumps(6, 40, seed=10))
            return judge(*given, **more)

        monkeypatch.setattr(receiving, "judge", meddled)
        (made.door / "week.csv.done").touch()
        first = take(made, raw)
        assert first.accepted
        assert left(made) == ["week.csv"]  # without the marker, which was not its own
        monkeypatch.setattr(receiving, "judge", judge)
        second = take(made, raw)
        assert (second.accepted, second.version, second.rows) == (True, 3, 240)


class TestTwoRuns:
    def test_what_another_run_accepted_meanwhile_is_judged_beside(self, made, raw, monkeypatch):
        made.drop(pumps(5, 40, seed=9), "a.csv")
        made.drop(pumps(5, 40, seed=9), "b.parquet")
        judge = receiving.judge

        def other(*given, **more):
            monkeypatch.setattr(receiving, "judge", judge)
            assert take(made, raw, "a.csv").accepted
            return judge(*given, **more)

        monkeypatch.setattr(receiving, "judge", other)
        found = take(made, raw, "b.parquet")
        assert (found.outcome, found.version) == ("refused", 2)
        assert "rows are in the dataset already" in found.reason

    def test_also_in_the_moment_before_the_version_is_made(self, made, raw, monkeypatch):
        made.drop(pumps(5, 40, seed=9), "a.csv")
        made.drop(pumps(5, 40, seed=9), "b.parquet")
        publish = LocalRoot.publish

        def other(root, work, key):
            monkeypatch.setattr(LocalRoot, "publish", publish)
            assert take(made, raw, "a.csv").accepted
            publish(root, work, key)

        monkeypatch.setattr(LocalRoot, "publish", other)
        assert take(made, raw, "b.parquet").outcome == "refused"
        assert newest_version(made.storage, made.dataset).number == 2


@contextmanager
def dying(monkeypatch, after, *acts):
    """The process is stopped at the first of these acts of the storage behind ``after`` of them."""
    count = 0

    def counted(act):
        def one(*given, **more):
            nonlocal count
            count += 1
            if count > after:
                raise KeyboardInterrupt
            return act(*given, **more)

        return one

    with monkeypatch.context() as patch:
        for name in acts:
            patch.setattr(LocalRoot, name, counted(getattr(LocalRoot, name)))
        yield


class TestCrash:
    """Stopped at any write, and done again: in one place, in one version."""

    @pytest.mark.parametrize("good", [True, False])
    @pytest.mark.parametrize("after", range(8))
    def test_doing_it_again_finishes_it(self, made, raw, monkeypatch, good, after):
        frame = pumps(5, 40, seed=9)
        made.drop(frame if good else frame.drop(columns="flow"))
        (made.door / "week.csv.done").touch()
        with dying(monkeypatch, after, "publish", "create", "remove"):
            try:
                take(made, raw)
            except KeyboardInterrupt:
                stopped = True
            else:
                stopped = False
        again = take(made, raw)
        if stopped and again.outcome != "waiting":
            assert again.outcome == ("accepted" if good else "refused")
        assert left(made) == []
        assert newest_version(made.storage, made.dataset).number == (2 if good else 1)
        assert len(quarantined(made)) == (0 if good else 1)

    @pytest.mark.parametrize("after", range(12))
    def test_of_a_folder_no_part_is_taken_for_a_batch(self, tmp_path, monkeypatch, after):
        images = plant_of_images(tmp_path)
        raw = images.raw(tmp_path / "raw")
        write_pictures(images.door / "night", seed=5, good=0, defects={})
        with dying(monkeypatch, after, "publish", "create", "write", "remove"), suppress(KeyboardInterrupt):
            take(images, raw, "night")
        (there,) = arrivals(images.incoming, "vision") or [None]
        if there is not None:
            found = take(images, raw, "night")
            assert (found.outcome, found.rows) == ("accepted", 6)
        assert left(images) == []
        (batch,) = newest_version(images.storage, images.dataset).batches
        assert find_batch(images.storage, images.dataset, batch).rows == 6
        assert not Path(images.settings.storage_root, "quarantine").exists()

    def test_what_comes_under_the_name_of_a_folder_that_was_being_removed_is_a_batch_of_its_own(
        self, tmp_path, monkeypatch
    ):
        images = plant_of_images(tmp_path)
        raw = images.raw(tmp_path / "raw")
        write_pictures(images.door / "night", seed=5, good=0, defects={})
        with monkeypatch.context() as patch:
            patch.setattr(LocalRoot, "remove", interrupted)
            with pytest.raises(KeyboardInterrupt):
                take(images, raw, "night")
        write_pictures(images.door / "night", seed=6, good=0, defects={})
        assert take(images, raw, "night").version == 2
        (there,) = arrivals(images.incoming, "vision")
        assert (there.taken, len(there.files)) == (False, 6)
        assert take(images, raw, "night").version == 3

    def test_where_storage_cannot_be_written_the_batch_stays(self, made, raw, monkeypatch):
        made.drop(pumps(5, 40, seed=9))

        def full(*_):
            msg = "the disk is full"
            raise StorageError(msg)

        monkeypatch.setattr(Storage, "create_text", full)
        with pytest.raises(StorageError, match="the disk is full"):
            take(made, raw)
        assert left(made) == ["week.csv"]


def interrupted(*_):
    raise KeyboardInterrupt


def plant_of_images(folder):
    write_pictures(folder / "data")
    fields = {"name": "discs", "line": "vision", "kind": "images", "title": "t", "licence": "none"}
    return plant_of(entry(**fields, folder=str(folder / "data"), imaging={"size": 32}), folder)


class TestFiles:
    @pytest.fixture
    def images(self, tmp_path):
        return plant_of_images(tmp_path)

    @pytest.fixture
    def sounds(self, tmp_path):
        write_recordings(tmp_path / "data")
        fields = {"name": "hum", "line": "timeseries", "kind": "recordings", "title": "t", "licence": "none"}
        return plant_of(
            entry(**fields, folder=str(tmp_path / "data"), sound={"bands": 8}, window={"length": 4}), tmp_path
        )

    def test_a_folder_of_images_is_a_batch_with_its_defects_in_the_test_part(self, images, tmp_path):
        raw = images.raw(tmp_path / "raw")
        write_pictures(images.door / "night", seed=5, defects={"hole": 2})
        found = take(images, raw, "night")
        assert found.accepted, found.reason
        assert (found.rows, left(images)) == (10, [])
        again = images.raw(tmp_path / "again")
        test = read_table(again, "test")
        added = test[test["unit"].str.startswith(found.batch[:8])]
        assert sorted(added["defect"]) == ["good", "good", "hole", "hole"]
        train = read_table(again, "train")
        assert set(train["label"]) == {0}
        assert train["unit"].str.startswith(found.batch[:8]).sum() == 6
        for name in [*added["file"], *added["mask"].dropna(), *train["file"]]:
            assert (again / name).is_file(), name

    def test_images_alone_in_a_zip_are_good_ones(self, images, tmp_path):
        raw = images.raw(tmp_path / "raw")
        made = write_pictures(tmp_path / "more", seed=5, good=0, defects={})
        zip_folder(made / "train" / "good", images.door / "more.zip")
        found = take(images, raw, "more.zip")
        assert (found.accepted, found.rows) == (True, 6), found.reason

    def test_an_image_that_the_dataset_has_is_not_taken_twice(self, images, tmp_path):
        raw = images.raw(tmp_path / "raw")
        write_pictures(images.door / "same", good=0, defects={})
        found = take(images, raw, "same")
        assert found.outcome == "refused"
        assert "is the same file as" in found.reason

    def test_a_zip_that_is_cut_off_is_put_into_quarantine(self, images, tmp_path):
        raw = images.raw(tmp_path / "raw")
        whole = zip_folder(write_pictures(tmp_path / "more", seed=5), images.door / "more.zip")
        whole.write_bytes(whole.read_bytes()[:-200])
        found = take(images, raw, "more.zip")
        assert found.outcome == "refused"
        assert found.reason.startswith("more.zip: damaged or cut off")

    def test_a_zip_that_leaves_its_folder_is_refused(self, images, tmp_path):
        raw = images.raw(tmp_path / "raw")
        with zipfile.ZipFile(images.door / "bad.zip", "w") as file:
            file.writestr("../../outside.png", b"-")
        assert "its path leaves the folder" in take(images, raw, "bad.zip").reason

    def test_recordings_are_a_batch_by_their_folders(self, sounds, tmp_path):
        raw = sounds.raw(tmp_path / "raw")
        write_recordings(sounds.door / "monday", normal=5, abnormal=2, seed=5)
        found = take(sounds, raw, "monday")
        assert found.accepted, found.reason
        again = sounds.raw(tmp_path / "again")
        train = read_table(again, "train")
        assert len(train) == 12 + 7
        assert train["label"].sum() == 4 + 2
        assert all((again / name).is_file() for name in train["file"])

    def test_recordings_at_another_rate_are_of_another_dataset(self, sounds, tmp_path):
        raw = sounds.raw(tmp_path / "raw")
        write_recordings(sounds.door / "slow", normal=5, abnormal=2, seed=5, rate=8000)
        found = take(sounds, raw, "slow")
        assert found.outcome == "refused"
        assert found.reason.startswith("slow: rates_agree fails")
        (report,) = quarantined(sounds)
        assert len(list((report.parent / "slow").rglob("*.wav"))) == 7

    def test_one_wav_alone_is_told_what_a_batch_is(self, sounds, tmp_path):
        raw = sounds.raw(tmp_path / "raw")
        source = write_recordings(tmp_path / "one", normal=1, abnormal=0) / "normal/00000000.wav"
        source.rename(sounds.door / "one.wav")
        assert "which is a folder of recordings, or a .zip of one" in take(sounds, raw, "one.wav").reason
