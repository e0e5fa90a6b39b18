"""Which process began a piece of work, and whether it still lives."""

import os
import socket
from pathlib import Path

__all__ = ["OWNER_TAG", "is_gone", "this_process"]

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


def _started(pid: int) -> str:
    """The process's start in clock ticks since boot; empty where /proc is not there."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
