"""One process at a time, on whichever machine: for what a lock file of one machine cannot hold apart."""

import random
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from vae_pipeline.errors import StorageError
from vae_pipeline.processes import is_gone, this_process
from vae_pipeline.storage.storage import Storage

__all__ = ["claimed"]

_PAUSE_SECONDS = 0.5


@contextmanager
def claimed(storage: Storage, key: str, seconds: float = 60.0) -> Iterator[None]:
    """Hold a key while the block runs, which must be shorter than ``seconds``; waits for another that holds it.

    Each writes a file of its own below the key, and only then looks for others: of two that do so at once at least one
    sees the other, takes its file back and tries again. A file of a process that was killed is no claim any more where
    that is known, and elsewhere after ``seconds``.

    Raises:
        StorageError: the storage cannot be read or written, or others hold the key for ten times as long.
    """
    own, late = f"{key}/{uuid.uuid4().hex}", time.monotonic() + 10 * seconds
    try:
        while True:
            storage.write_text(own, this_process())
            if not _others(storage, key, own, seconds):
                break
            storage.remove(own)
            if time.monotonic() > late:
                msg = f"{storage.root / key}: held by another process for {10 * seconds:g} s; end it"
                raise StorageError(msg)
            time.sleep(random.uniform(0.1, 2) * _PAUSE_SECONDS)  # noqa: S311 - so that two do not go on in step
        yield
    finally:
        storage.remove(own)
        storage.remove_empty(key)


def _others(storage: Storage, key: str, own: str, seconds: float) -> bool:
    there = storage.files(key)
    # times are those of the storage, whose clock may not be that of this machine
    now = next((held.time for held in there if held.key == own), None)
    if now is None:
        return True
    for held in there:
        if held.key == own or held.key.rpartition("/")[2].startswith("."):
            continue
        try:
            owner = storage.read_text(held.key)
        except StorageError:
            if storage.has_text(held.key):
                raise
            continue  # it has let go meanwhile
        if is_gone(owner) or now - held.time > seconds:
            storage.remove(held.key)
        else:
            return True
    return False
