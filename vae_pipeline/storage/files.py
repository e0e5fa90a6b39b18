"""Local files and folders that appear whole or not at all, and refusals of the operating system as one sentence."""

import errno
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from vae_pipeline.errors import StorageError
from vae_pipeline.processes import is_gone, locked, this_process

__all__ = [
    "WORK",
    "flush",
    "flush_folder",
    "lock_file",
    "place_folder",
    "told",
    "work_folder",
    "write_bytes",
    "write_json",
]

WORK = ".work-"
"""What the names of work folders begin with."""

_FORGOTTEN_AFTER = 7 * 86400  # seconds; a run on another machine may take days


@contextmanager
def told(path: object, setting: str = "VAE_PIPELINE_HOME") -> Iterator[None]:
    """Turn the operating system's refusal into one sentence: the path, and what to do, such as with ``setting``."""
    try:
        yield
    except OSError as error:
        if _foreign(error, path):
            raise
        advice = {
            errno.ENOSPC: f"the disk is full: free space or set {setting} to another disk",
            errno.EDQUOT: f"the quota is used up: free space or set {setting} to another disk",
            errno.EROFS: f"the file system is read-only: set {setting} to a folder you can write",
            errno.EACCES: f"permission denied: set {setting} to a folder you can write",
            errno.EPERM: f"permission denied: set {setting} to a folder you can write",
            errno.ENOTDIR: f"a file stands where a folder is needed: set {setting} to a folder",
            errno.EEXIST: f"a file stands where a folder is needed: set {setting} to a folder",
        }.get(error.errno or 0, error.strerror or str(error))
        msg = f"{getattr(error, 'filename', None) or path}: {advice}"
        raise StorageError(msg) from error


def _foreign(error: OSError, path: object) -> bool:
    """Whether a block failed on a file elsewhere, such as a source it reads: no advice about storage helps there."""
    if not isinstance(error.filename, str):
        return False
    culprit, own = Path(error.filename).absolute(), Path(str(path)).absolute()
    return not (culprit.is_relative_to(own.parent) or own.is_relative_to(culprit))


@contextmanager
def lock_file(path: Path) -> Iterator[bool]:
    """Hold a lock file, made where there is none, while the block runs; False where another process holds it."""
    with told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    with locked(path, wait=False) as alone:
        yield alone


@contextmanager
def work_folder(parent: Path) -> Iterator[Path]:
    """A hidden folder in ``parent`` that is gone after the block; those that killed processes left go first."""
    parent.mkdir(parents=True, exist_ok=True)
    for left in parent.glob(f"{WORK}*"):
        if _forgotten(left):
            shutil.rmtree(left, ignore_errors=True)
    work = Path(tempfile.mkdtemp(dir=parent, prefix=f"{WORK}{this_process()}:"))
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def place_folder(work: Path, into: Path, stays: Callable[[Path], bool] = Path.is_dir) -> None:
    """Rename a finished work folder into place; one that another run put there first stays.

    A folder there of which ``stays`` says no is moved away and removed. It is asked again once the folder is moved:
    nobody can finish it any more then.
    """
    work.chmod(0o755)
    while not stays(into):
        try:
            os.rename(work, into)
        except OSError:
            if not into.is_dir():
                raise
        else:
            return
        with work_folder(into.parent) as aside:
            left = aside / into.name
            with suppress(FileNotFoundError):  # else: another run has moved it away
                os.rename(into, left)
            if stays(left):
                place_folder(left, into, stays)


def flush(path: Path) -> None:
    """Have the disk hold a file, or the names in a folder, before what stands on it is called finished."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def flush_folder(folder: Path) -> None:
    """Have the disk hold all files at any depth below a folder, and their names."""
    for here, _, names in os.walk(folder):
        for name in names:
            flush(Path(here, name))
        flush(Path(here))


def _forgotten(left: Path) -> bool:
    if is_gone(left.name.removeprefix(WORK).rpartition(":")[0]):
        return True
    try:
        return time.time() - left.stat().st_mtime > _FORGOTTEN_AFTER
    except FileNotFoundError:  # another run has cleared it away
        return False


def write_bytes(path: Path, content: bytes, setting: str = "VAE_PIPELINE_HOME") -> None:
    """Write a local file so that a reader sees the old content or the new, never a part.

    Raises:
        StorageError: the folder cannot be written or the disk is full; the message advises to change ``setting``.
    """
    with told(path, setting):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
                os.fchmod(file.fileno(), 0o644)  # mkstemp's 0600 would hide it from a service of another user
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file atomically; records are dumped as JSON, NaN is refused."""
    plain = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
    write_bytes(path, (json.dumps(plain, indent=2, sort_keys=True, allow_nan=False) + "\n").encode())
