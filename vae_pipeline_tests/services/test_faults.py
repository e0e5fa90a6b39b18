"""What an installation does when one of its servers fails: goes on, or stops with one sentence; nothing is torn.

Every test leaves the servers running.
"""

import subprocess
import threading

import pytest

from vae_pipeline.defs.execute import PipelineFailedError
from vae_pipeline.errors import StorageError
from vae_pipeline.storage import MANIFEST, Storage
from vae_pipeline_tests import grown_up
from vae_pipeline_tests.defs.conftest import new_home
from vae_pipeline_tests.services.proxy import Proxy

pytestmark = [pytest.mark.slow, pytest.mark.services]

NAME = "timeseries-tiny"
KEY = "timeseries/tiny/raw/0a1b"


@pytest.fixture(autouse=True)
def _needs_services(services):
    if services is None:
        pytest.skip("no servers: they are started by make test-services")


@pytest.fixture
def proxied(services, remote_root, monkeypatch):
    """Storage behind a proxy, on the real S3 server alone."""
    if not remote_root.startswith("s3://"):
        pytest.skip("a store in this process has no requests that could fail")
    from s3fs import S3FileSystem

    proxy = Proxy(services.s3.port)
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.address)
    # clients are kept by what they were made with, and the address is none of it
    S3FileSystem.clear_instance_cache()
    yield proxy, remote_root
    proxy.close()
    S3FileSystem.clear_instance_cache()


def keep(storage, text):
    with storage.new_folder(KEY, {"text": text}) as folder:
        for number in range(10):
            (folder / f"{number}.txt").write_text(f"{text} {number}" * 1000)


def read(storage):
    return sorted(path.read_text()[:7] for path in storage.folder(KEY).glob("*.txt"))


class TestObjectStore:
    @pytest.mark.parametrize("status", [500, 503])
    def test_that_fails_every_third_request_loses_nothing(self, proxied, tmp_path, status):
        proxy, root = proxied
        proxy.fault = lambda number, *_: status if number % 3 == 0 else None
        keep(Storage(root, tmp_path / "here"), "first")
        assert read(Storage(root, tmp_path / "there")) == [f"first {number}" for number in range(10)]
        assert proxy.refused > 5

    def test_that_breaks_off_during_an_upload_shows_nothing_of_it(self, proxied, tmp_path):
        proxy, root = proxied
        storage = Storage(root, tmp_path / "cache")
        puts = iter(range(1000))
        proxy.fault = lambda _, method, *_path: 500 if method == "PUT" and next(puts) >= 4 else None
        with pytest.raises(StorageError, match=r"^s3://.*check VAE_PIPELINE_STORAGE, its credentials and the network"):
            keep(storage, "first")
        proxy.fault = lambda *_: None
        assert not storage.exists(KEY)
        keep(storage, "again")
        assert read(storage) == [f"again {number}" for number in range(10)]

    def test_that_is_slow_is_waited_for(self, proxied, tmp_path):
        proxy, root = proxied

        def late(*_):
            threading.Event().wait(0.2)

        proxy.fault = late
        keep(Storage(root, tmp_path / "here"), "first")
        assert len(read(Storage(root, tmp_path / "there"))) == 10

    def test_an_answer_that_is_lost_leaves_one_folder_of_one_writer(self, proxied, tmp_path):
        """The manifest is written, the client never hears of it, asks again, and takes what lies there as its own."""
        proxy, root = proxied
        lost = iter([-500])
        proxy.fault = lambda _, method, path: next(lost, None) if method == "PUT" and MANIFEST in path else None
        keep(Storage(root, tmp_path / "here"), "first")
        assert proxy.refused == 1
        assert read(Storage(root, tmp_path / "here")) == [f"first {number}" for number in range(10)]
        assert read(Storage(root, tmp_path / "there")) == [f"first {number}" for number in range(10)]

    def test_that_is_not_there_is_told_in_one_sentence(self, proxied, tmp_path):
        proxy, root = proxied
        storage = Storage(root, tmp_path / "cache")
        proxy.close()
        with pytest.raises(StorageError, match=r"^s3://.*; check VAE_PIPELINE_STORAGE") as told:
            storage.exists(KEY)
        assert "\n" not in str(told.value)


def test_many_writers_of_one_folder_leave_that_of_one(services, remote_root, tmp_path):
    """Twelve at once: all files are of the writer that the manifest names."""
    together = threading.Barrier(12)

    def write(number):
        storage = Storage(remote_root, tmp_path / f"cache{number}")
        together.wait()
        keep(storage, f"w{number:04}")

    threads = [threading.Thread(target=write, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    reader = Storage(remote_root, tmp_path / "reader")
    winner = reader.manifest(KEY)["text"]
    assert {text.split()[0] for text in read(reader)} == {winner}
    if remote_root.startswith("s3://"):
        assert len(reader.files(KEY)) == 11


def test_a_full_disk_of_the_worker_leaves_the_store_as_it_was(services, remote_root, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(small)], check=False).returncode:
        pytest.skip("this user may not mount a small disk")
    try:
        storage = Storage(remote_root, small / "cache")
        with pytest.raises(StorageError, match="the disk is full: free space or set VAE_PIPELINE_HOME"):
            keep(storage, "first")
        assert storage.files() == []
    finally:
        subprocess.run(["umount", str(small)], check=True)


@pytest.fixture(scope="module")
def home(services, tmp_path_factory):
    if services is None:
        return None
    made = new_home(tmp_path_factory.mktemp("faults"))
    made.run()
    return made


def when(home, stage, beginning, act):
    """Have ``act`` done once, when a stage tells a line that begins so."""
    waiting = [act]

    class Told(list):
        def append(self, item):
            super().append(item)
            if waiting and item[0] == stage and item[1].startswith(beginning):
                waiting.pop()()

    home.told = Told()


class TestDuringARun:
    def test_a_restart_of_the_database_is_survived(self, services, home):
        def restart():
            services.postgres.stop(kill=True)
            services.postgres.start()

        when(home, "trained", "epoch 1", restart)
        before = len(home.shelf().entries())
        found = home.run(trained={"seed": 11})
        assert found["registered"]["version"] == before + 1
        assert len(home.shelf().entries()) == before + 1

    def test_a_registry_that_goes_during_training_is_told_and_nothing_is_registered_in_part(self, home):
        server = grown_up.mlflow_of(home.folder)
        before = [(entry.version, entry.aliases) for entry in home.shelf().entries()]
        when(home, "trained", "epoch 1", lambda: server.stop(kill=True))
        try:
            with pytest.raises(PipelineFailedError, match="check MLFLOW_TRACKING_URI") as told:
                home.run(trained={"seed": 12})
            assert "\n" not in str(told.value)
        finally:
            server.start()
        assert [(entry.version, entry.aliases) for entry in home.shelf().entries()] == before
        home.told = []
        home.run(trained={"seed": 12})
        assert len(home.shelf().entries()) == len(before) + 1
        running = [run for run in home.mlflow_runs() if run.info.status == "RUNNING"]
        assert running == []

    def test_an_object_store_that_goes_is_told_and_the_run_goes_on_the_next_time(self, services, home):
        before = len(home.shelf().entries())
        when(home, "trained", "epoch 1", lambda: services.s3.stop(kill=True))
        try:
            # whoever asks the store first: a stage, or MLflow's server, which keeps artifacts there
            with pytest.raises(PipelineFailedError, match=r"check (VAE_PIPELINE_STORAGE|MLFLOW_TRACKING_URI)") as told:
                home.run(trained={"seed": 13})
            assert "\n" not in str(told.value)
        finally:
            services.s3.start()
        home.told = []
        home.run(trained={"seed": 13})
        assert len(home.shelf().entries()) == before + 1
