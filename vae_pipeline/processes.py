"""Which process began a piece of work, whether it still lives, and what it holds for itself."""

import contextlib
import fcntl
import os
import socket
from collections.abc import Iterator
from pathlib import Path

__all__ = ["OWNER_TAG", "is_gone", "locked", "this_process"]

OWNER_TAG = "vae_pipeline.owner"
"""The tag of MLflow and Dagster runs that names the process behind them."""


def this_process() -> str:
    """Host, pid and start of this process; the start tells it from a later one with the same pid."""
    return f"{socket.gethostname()}:{os.getpid()}:{_started(os.getpid())}"


def is_gone(owner: str) -> bool:
    """Whether the process that `this_process` described ran on this machine and is no more."""
    host, _, rest = owner.partition(":")
    pid, _, started = rest.partition(":")
    if host != socket.gethostname() or not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return _started(int(pid)) != started


@contextlib.contextmanager
def locked(path: Path, *, shared: bool = False, wait: bool = True) -> Iterator[bool]:
    """Hold a file or folder while the block runs; the end of the process lets go of it too.

    Args:
        path: must be there.
        shared: beside others that share it, instead of alone.
        wait: until those that are in the way let go.

    Yields:
        Whether it is held; False where others are in the way and ``wait`` is not set.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        how = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB)
        try:
            fcntl.flock(descriptor, how)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


def _started(pid: int) -> str:
    """The process's start in clock ticks since boot; empty where /proc is not there."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
