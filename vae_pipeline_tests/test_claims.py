"""A key of a storage is held by one process at a time, whatever machine it runs on."""

import threading
import time

import pytest

from vae_pipeline.errors import StorageError
from vae_pipeline.storage import Storage, claimed, claims

pytestmark = pytest.mark.services
KEY = "promotions/timeseries-tiny"


@pytest.fixture
def storage(any_root, tmp_path, monkeypatch):
    monkeypatch.setattr(claims, "_PAUSE_SECONDS", 0.02)
    return Storage(any_root, tmp_path / "cache")


def test_one_at_a_time_holds_a_key(storage):
    at_work, most, done = 0, 0, []

    def work():
        nonlocal at_work, most
        with claimed(storage, KEY):
            at_work += 1
            most = max(most, at_work)
            time.sleep(0.02)
            at_work -= 1
            done.append(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most, len(done)) == (1, 4)
    assert storage.files() == []


def test_what_a_killed_process_left_is_no_claim(storage, monkeypatch):
    monkeypatch.setattr(claims, "is_gone", lambda owner: owner == "dead")
    storage.write_text(f"{KEY}/left", "dead")
    with claimed(storage, KEY):
        pass
    assert storage.files() == []


def test_what_another_machine_left_is_none_after_a_while(storage):
    storage.write_text(f"{KEY}/left", "elsewhere:1:2")
    begun = time.monotonic()
    with claimed(storage, KEY, seconds=1.5):  # stores tell times in whole seconds
        assert time.monotonic() - begun > 0.4


def test_one_that_is_held_for_long_is_told(storage, monkeypatch):
    monkeypatch.setattr(claims, "_others", lambda *_: True)
    with pytest.raises(StorageError, match="held by another process for 1 s; end it"), claimed(storage, KEY, 0.1):
        pass
    assert storage.files() == []
