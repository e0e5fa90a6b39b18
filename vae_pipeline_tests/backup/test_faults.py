"""What is damaged, cut short, changed meanwhile or in the way: nothing half done, and one sentence."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from vae_pipeline.backup import make
from vae_pipeline.backup.make import back_up
from vae_pipeline.backup.record import read_back_up
from vae_pipeline.backup.restore import restore
from vae_pipeline.errors import BackUpError, SettingError
from vae_pipeline.registry.shelf import Shelf
from vae_pipeline.registry.tracking import Tracker
from vae_pipeline.settings import Settings
from vae_pipeline.storage import open_storage

KEY = "timeseries/tiny/raw/0a1b"


def register(settings: Settings, evaluation: str) -> None:
    """A version of a model that holds one file."""
    folder = settings.home / "detectors" / evaluation / "detector"
    folder.mkdir(parents=True)
    (folder / "detector.json").write_text(evaluation)
    tracker = Tracker(settings)
    tags = {"line": "timeseries", "dataset": "tiny", "evaluation_version": evaluation}
    with tracker.run("timeseries", "tiny registered", {}) as run:
        Shelf(tracker).register(run, "timeseries-tiny", folder, beside={}, tags=tags, metrics={})


def detector(settings: Settings, version: int) -> str:
    return (Shelf(Tracker(settings)).detector_folder("timeseries-tiny", version) / "detector.json").read_text()


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """Settings of a home with a registered version and a stage's folder."""
    settings = Settings(home=tmp_path_factory.mktemp("filled"))
    with open_storage(settings).new_folder(KEY, {"facts": {}}) as folder:
        (folder / "rows.npy").write_bytes(bytes(range(256)) * 100)
    register(settings, "one")
    return settings


@pytest.fixture(scope="module")
def made(filled, tmp_path_factory):
    return back_up(filled, tmp_path_factory.mktemp("back_ups"))[0]


@pytest.fixture
def copied(made, tmp_path):
    """A back-up to be damaged."""
    return shutil.copytree(made, tmp_path / made.name)


@pytest.fixture
def empty(tmp_path):
    return Settings(home=tmp_path / "empty")


def refused(settings: Settings, folder: Path) -> str:
    with pytest.raises(BackUpError) as caught:
        restore(settings, folder)
    return str(caught.value)


class TestADamagedBackUp:
    @pytest.mark.parametrize("name", ["registry.db", f"storage/{KEY}/rows.npy", f"storage/{KEY}/manifest.json"])
    def test_is_refused_by_the_name_of_the_file(self, copied, empty, name):
        content = bytearray((copied / name).read_bytes())
        content[len(content) // 2] ^= 1
        (copied / name).write_bytes(content)
        assert f"{copied / name}: not what was backed up" in refused(empty, copied)
        assert not empty.home.exists()

    def test_that_lacks_a_file_is_refused_by_its_name(self, copied, empty):
        (copied / "storage" / KEY / "rows.npy").unlink()
        assert f"{copied / 'storage' / KEY / 'rows.npy'}: No such file" in refused(empty, copied)
        assert not empty.home.exists()

    def test_with_a_cut_off_record_is_refused(self, copied, empty):
        record = copied / "backup.json"
        record.write_bytes(record.read_bytes()[:-100])
        assert f"{record}: damaged" in refused(empty, copied)

    def test_that_names_files_outside_of_itself_is_refused(self, copied, empty):
        record = copied / "backup.json"
        record.write_text(record.read_text().replace(f"storage/{KEY}/rows.npy", "storage/../../rows.npy"))
        assert "leaves the folder" in refused(empty, copied)

    def test_that_is_none_is_refused(self, empty, tmp_path):
        assert "name a back-up" in refused(empty, tmp_path)

    def test_of_an_unknown_mlflow_names_both_revisions(self, copied, empty):
        import sqlite3

        from vae_pipeline.backup.database import latest_revision
        from vae_pipeline.backup.files import hashed

        with sqlite3.connect(copied / "registry.db") as rows:
            rows.execute("update alembic_version set version_num = 'ffffffffffff'")
        rows.close()
        found = read_back_up(copied)
        files = {**found.files, "registry.db": hashed(copied / "registry.db")}
        (copied / "backup.json").write_text(found.model_copy(update={"files": files}).model_dump_json())
        told = refused(empty, copied)
        assert "ffffffffffff" in told
        assert latest_revision() in told
        assert not (empty.home / "storage").exists()


class TestWhatIsInTheWay:
    def test_a_registry_that_holds_something_is_named(self, filled, made):
        assert f"{filled.home}/mlflow.db: holds something already" in refused(filled, made)

    def test_a_storage_that_holds_something_is_named(self, empty, made):
        open_storage(empty).write_text("artifacts/mine.json", "{}")
        assert f"{empty.home}/storage: holds something already (artifacts/mine.json)" in refused(empty, made)
        assert not (empty.home / "mlflow.db").exists()

    def test_an_empty_registry_is_not(self, empty, made):
        _ = Tracker(empty).client
        restore(empty, made)
        assert detector(empty, 1) == "one"

    def test_a_back_up_into_what_is_backed_up_is_refused(self, filled):
        with pytest.raises(BackUpError, match="name a folder elsewhere"):
            back_up(filled, filled.home / "storage" / "back_ups")

    def test_a_server_without_its_database_is_told_what_to_give(self, tmp_path):
        settings = Settings(home=tmp_path, MLFLOW_TRACKING_URI="http://127.0.0.1:1")
        with pytest.raises(SettingError, match="--database"):
            back_up(settings, tmp_path / "back_ups")

    def test_a_home_without_a_registry_is_told_so(self, empty, tmp_path):
        with pytest.raises(BackUpError, match="there is no registry yet"):
            back_up(empty, tmp_path / "back_ups")


KILLED = """
import os, signal, sys
from pathlib import Path
from vae_pipeline.backup import make
from vae_pipeline.settings import load_settings

make._counted = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
make.back_up(load_settings(), Path(sys.argv[1]))
"""


class TestAVersionWithoutFiles:
    def test_makes_no_back_up_and_is_named(self, made, empty, tmp_path):
        restore(empty, made)
        for file in empty.home.glob("storage/mlflow/**/MLmodel"):
            file.unlink()
        with pytest.raises(BackUpError, match="of timeseries-tiny version 1; name the place"):
            back_up(empty, tmp_path / "back_ups")
        assert list((tmp_path / "back_ups").iterdir()) == []


class TestCutShort:
    def test_a_killed_back_up_is_not_seen_and_the_next_clears_it_away(self, filled, tmp_path, monkeypatch):
        monkeypatch.setenv("VAE_PIPELINE_HOME", str(filled.home))
        killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False)
        assert killed.returncode == -9
        (left,) = tmp_path.iterdir()
        assert left.name.startswith(".work-")
        assert (left / "storage" / KEY / "rows.npy").exists()
        target, _ = back_up(filled, tmp_path)
        assert list(tmp_path.iterdir()) == [target]

    def test_a_restore_cut_short_registers_nothing_and_can_be_done_again(self, empty, made, monkeypatch):
        def stop(*_: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr("vae_pipeline.backup.restore.copy_in", stop)
            with pytest.raises(KeyboardInterrupt):
                restore(empty, made)
        assert Shelf(Tracker(empty)).entries() == []
        restore(empty, made)
        assert detector(empty, 1) == "one"


class TestOthersAtWork:
    def test_every_version_in_a_back_up_has_its_files(self, made, empty, tmp_path, monkeypatch):
        """A version is registered after every step; in another order of steps one would lack its files."""
        restore(empty, made)
        written = []

        def and_register(step):
            def both(*arguments):
                found = step(*arguments)
                written.append(step)
                register(empty, f"{len(written)}")
                return found

            return both

        for name in ("copy_out", "copy_files_out"):
            monkeypatch.setattr(make, name, and_register(getattr(make, name)))
        target, record = back_up(empty, tmp_path / "back_ups")
        assert len(written) == 3
        assert record.counts.versions == 1
        other = Settings(home=tmp_path / "other")
        restore(other, target)
        assert [entry.version for entry in Shelf(Tracker(other)).entries()] == [1]
        assert detector(other, 1) == "one"

    def test_what_is_moved_meanwhile_is_at_its_new_place(self, filled, tmp_path, monkeypatch):
        from vae_pipeline.backup import files

        storage = open_storage(filled)
        storage.write_text("incoming/batch.csv", "rows")
        listed = files.finished

        def then_moved(which):
            found = listed(which)
            if storage.has_text("incoming/batch.csv"):
                storage.move("incoming/batch.csv", "batches/1.csv")
            return found

        monkeypatch.setattr(files, "finished", then_moved)
        target, _ = back_up(filled, tmp_path)
        assert [path.name for path in (target / "storage" / "batches").iterdir()] == ["1.csv"]
        assert not (target / "storage" / "incoming" / "batch.csv").exists()
        storage.remove("batches/1.csv")

    def test_the_password_of_a_database_is_in_no_record(self):
        from vae_pipeline.backup.database import shown

        assert shown("postgresql://user:secret@host/mlflow") == "postgresql://user:***@host/mlflow"
