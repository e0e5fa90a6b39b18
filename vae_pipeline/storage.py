"""Local or S3 roots; folders that appear whole or not at all.

A stage writes its files into a folder that nobody sees until it is finished: ``with storage.new_folder(key) as
folder``. On local disk the finished folder is renamed into place; on S3 the files are uploaded and ``MANIFEST`` last,
and a folder without it does not exist. Readers get a local path from ``storage.folder(key)``.
"""

import errno
import hashlib
import json
import math
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel
from upath import UPath

from vae_pipeline.errors import SettingError, StorageError
from vae_pipeline.processes import is_gone, locked, this_process
from vae_pipeline.settings import Settings

__all__ = [
    "MANIFEST",
    "Held",
    "Storage",
    "fingerprint",
    "lock_file",
    "open_incoming",
    "open_storage",
    "place_folder",
    "told",
    "work_folder",
    "write_bytes",
    "write_json",
]

MANIFEST = "manifest.json"
_WORK = ".work-"
_FORGOTTEN_AFTER = 7 * 86400  # seconds; a run on another machine may take days


def fingerprint(*parts: Any) -> str:
    """A short hash of JSON-like values, records among them; the same content gives the same text everywhere."""

    def plain(value: Any) -> Any:
        if isinstance(value, set | frozenset):  # their order differs from process to process
            return sorted(value, key=str)
        return value.model_dump(mode="json") if isinstance(value, BaseModel) else str(value)

    text = json.dumps(parts, sort_keys=True, default=plain, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


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
    for left in parent.glob(f"{_WORK}*"):
        if _forgotten(left):
            shutil.rmtree(left, ignore_errors=True)
    work = Path(tempfile.mkdtemp(dir=parent, prefix=f"{_WORK}{this_process()}:"))
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def place_folder(work: Path, into: Path) -> None:
    """Rename a finished work folder into place; one that another run put there first stays."""
    work.chmod(0o755)
    try:
        work.rename(into)
    except OSError:
        if not into.is_dir():
            raise


def _forgotten(left: Path) -> bool:
    if is_gone(left.name.removeprefix(_WORK).rpartition(":")[0]):
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


class Held(NamedTuple):
    """A file below a root.

    Attributes:
        key: where it lies.
        size: bytes.
        changed: a text that differs after every change; on a local disk the time in nanoseconds.
        time: when it was last changed, seconds since 1970; nan where the root does not say.
    """

    key: str
    size: int
    changed: str
    time: float


class Storage:
    """A root, local or ``s3://``, of folders under keys such as ``timeseries/FD001/raw/0a1b``."""

    def __init__(self, root: str, cache: Path, setting: str = "VAE_PIPELINE_HOME") -> None:
        """Use ``root``; ``cache`` (local) holds work in progress for S3 and copies of what was read from it.

        ``setting`` is the variable that chose the root; messages advise to change it.
        """
        self._setting = setting
        try:
            self.root = UPath(root)
            _ = self.root.fs  # imports the client
        except (ValueError, ImportError) as error:
            named = "VAE_PIPELINE_STORAGE" if setting == "VAE_PIPELINE_HOME" else setting
            msg = f"{named}={root!r} cannot be used: {error} (for s3:// install the extra 's3')"
            raise SettingError(msg) from error
        self._local = self.root.protocol in ("", "file", "local")
        self._cache = cache

    def exists(self, key: str) -> bool:
        """Whether a finished folder is kept under ``key``."""
        with self._reached():
            return (self.root / key / MANIFEST).exists()

    def folder(self, key: str) -> Path:
        """The local path of a finished folder; from S3 it is copied once into the cache.

        Raises:
            StorageError: nothing finished is kept there, or it cannot be read.
        """
        self._require(key)
        if self._local:
            return Path((self.root / key).path)
        copy = self._cache / key
        if not (copy / MANIFEST).exists():
            with told(copy), work_folder(copy.parent) as work:
                source = self.root / key
                with self._reached():
                    found = [file for file in source.rglob("*") if file.is_file()]
                for file in found:
                    with self._reached():
                        content = file.read_bytes()
                    target = work / file.relative_to(source).as_posix()
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(content)
                self._place(work, copy)
        return copy

    def manifest(self, key: str) -> dict[str, Any]:
        """What the stage wrote about its output.

        Raises:
            StorageError: nothing finished is kept there, or it cannot be read.
        """
        self._require(key)
        with self._reached():
            text = (self.root / key / MANIFEST).read_bytes()
        try:
            return json.loads(text)
        except ValueError as error:
            msg = f"{self.root / key / MANIFEST}: damaged ({error}); delete {self.root / key} and run again"
            raise StorageError(msg) from error

    @contextmanager
    def new_folder(self, key: str, manifest: dict[str, Any]) -> Iterator[Path]:
        """A work folder that is published under ``key`` when the block ends well, and removed when it does not.

        ``manifest`` may be filled inside the block; it is written last.

        Raises:
            StorageError: the root cannot be written or the disk is full.
        """
        target = Path((self.root / key).path) if self._local else self._cache / key
        setting = self._setting if self._local else "VAE_PIPELINE_HOME"
        with told(target, setting), work_folder(target.parent) as work:
            yield work
            write_json(work / MANIFEST, manifest)
            if not self._local:
                if self.exists(key):  # the first one stays, here as on a local disk
                    return
                for file in sorted(work.rglob("*"), key=lambda item: item == work / MANIFEST):
                    if file.is_file():
                        content = file.read_bytes()
                        with self._reached():
                            (self.root / key / file.relative_to(work).as_posix()).write_bytes(content)
            self._place(work, target)

    def write_text(self, key: str, text: str) -> None:
        """Write a small file under ``key``; a reader sees the old content or the new."""
        self.write_bytes(key, text.encode())

    def write_bytes(self, key: str, content: bytes) -> None:
        """Write a file under ``key``; a reader sees the old content or the new."""
        if self._local:
            write_bytes(Path((self.root / key).path), content, self._setting)
        else:
            with self._reached():
                (self.root / key).write_bytes(content)

    def read_text(self, key: str) -> str:
        """What `write_text` wrote.

        Raises:
            StorageError: nothing is kept there, or it cannot be read.
        """
        return self.read_bytes(key).decode()

    def has_text(self, key: str) -> bool:
        """Whether `write_text` wrote something under ``key``."""
        with self._reached():
            return (self.root / key).is_file()

    def read_bytes(self, key: str) -> bytes:
        """What `write_bytes` wrote.

        Raises:
            StorageError: nothing is kept there, or it cannot be read.
        """
        with self._reached():
            try:
                return (self.root / key).read_bytes()
            except FileNotFoundError as error:
                msg = f"{self.root / key}: nothing is kept there; materialize the stage that makes it"
                raise StorageError(msg) from error

    def move(self, key: str, into: str) -> None:
        """Move a file; on a local disk it lies at one place at any moment, on S3 for a moment at both."""
        if self._local:
            source, target = Path((self.root / key).path), Path((self.root / into).path)
            with told(target, self._setting):
                target.parent.mkdir(parents=True, exist_ok=True)
                os.replace(source, target)
        else:
            self.write_bytes(into, self.read_bytes(key))
            self.remove(key)

    def create_text(self, key: str, text: str) -> bool:
        """Write a file under ``key`` unless there is one; gives whether it was written.

        Of several that try at once one succeeds: locally by a link, on S3 by a conditional write.
        """
        try:
            with self._reached():
                if not self._local:
                    self.root.fs.pipe_file((self.root / key).path, text.encode(), mode="create")
                    return True
                target = Path((self.root / key).path)
                work = target.with_name(f".{target.name}.{os.getpid()}.{time.monotonic_ns()}")
                write_bytes(work, text.encode(), self._setting)
                try:
                    os.link(work, target)
                except FileExistsError:
                    return False
                finally:
                    work.unlink()
        except StorageError as error:
            if isinstance(error.__cause__, FileExistsError):
                return False
            raise
        return True

    def files(self, key: str = "") -> list[Held]:
        """All files at any depth below ``key``, by key; none where there is no such folder.

        Raises:
            StorageError: the root cannot be read.
        """
        with self._reached():
            return sorted(self._files_here(key) if self._local else self._files_there(key))

    def fetch(self, key: str, into: Path) -> None:
        """Copy the file under ``key`` to a local path; folders above it are made.

        Raises:
            StorageError: it is not there or cannot be read, or ``into`` cannot be written.
        """
        with told(into):
            into.parent.mkdir(parents=True, exist_ok=True)
            with self._reached(), (self.root / key).open("rb") as source, into.open("wb") as target:
                shutil.copyfileobj(source, target, 1 << 20)

    def remove(self, key: str) -> None:
        """Remove a file; one that is gone already is no error."""
        with self._reached():
            (self.root / key).unlink(missing_ok=True)

    def remove_empty(self, key: str) -> None:
        """Remove a folder of a local root and those in it that hold nothing; elsewhere there are no empty folders."""
        if self._local:
            for here, _, _ in sorted(os.walk((self.root / key).path), reverse=True):
                with suppress(OSError):
                    Path(here).rmdir()

    def _files_here(self, key: str) -> Iterator[Held]:
        root, start = Path(self.root.path), Path((self.root / key).path)

        def refuse(error: OSError) -> None:
            if not isinstance(error, FileNotFoundError):
                raise error

        for here, _, names in os.walk(start, onerror=refuse):
            for name in names:
                with suppress(FileNotFoundError):  # renamed or removed in this very moment
                    stat = Path(here, name).stat()
                    place = Path(here, name).relative_to(root).as_posix()
                    yield Held(place, stat.st_size, str(stat.st_mtime_ns), stat.st_mtime)

    def _files_there(self, key: str) -> Iterator[Held]:
        client = self.root.fs
        client.invalidate_cache()
        start = (self.root / key).path.rstrip("/")
        found: Any = client.find(start, detail=True)
        for path, about in found.items():
            when = about.get("LastModified") or about.get("modified") or about.get("created") or about.get("mtime")
            seconds = when.timestamp() if hasattr(when, "timestamp") else when
            place = path.strip("/").removeprefix(self.root.path.strip("/")).strip("/")
            changed = f"{about.get('ETag', '')}{when}"
            yield Held(place, int(about["size"]), changed, math.nan if seconds is None else float(seconds))

    def names(self, key: str) -> list[str]:
        """Names of the files and folders right below ``key``, sorted; none where nothing is kept there.

        Raises:
            StorageError: it cannot be read.
        """
        with self._reached():
            if not self._local:
                self.root.fs.invalidate_cache()  # others write too
            try:
                return sorted(item.name for item in (self.root / key).iterdir() if item.name)
            except (FileNotFoundError, NotADirectoryError):  # the second is what remote roots raise
                return []

    def _require(self, key: str) -> None:
        if not self.exists(key):
            msg = f"{self.root / key}: no finished output is kept there; materialize the stage that makes it"
            raise StorageError(msg)

    @contextmanager
    def _reached(self) -> Iterator[None]:
        """Turn what the root's client raises, each has classes of its own, into one sentence that names the root."""
        if self._local:
            with told(self.root.path, self._setting):
                yield
            return
        try:
            yield
        except Exception as error:
            reason = str(error) or type(error).__name__
            named = "VAE_PIPELINE_STORAGE" if self._setting == "VAE_PIPELINE_HOME" else self._setting
            msg = f"{self.root}: {reason}; check {named}, its credentials and the network"
            raise StorageError(msg) from error

    @staticmethod
    def _place(work: Path, target: Path) -> None:
        """Rename into place; a finished folder that another run put there first has the same content and stays."""
        if (target / MANIFEST).exists():
            return
        if target.exists():
            shutil.rmtree(target)
        work.chmod(0o755)
        try:
            os.rename(work, target)
        except OSError:
            if not (target / MANIFEST).exists():  # else: another run was faster by a moment
                raise


def open_storage(settings: Settings) -> Storage:
    """The storage that settings name."""
    setting = "VAE_PIPELINE_HOME" if settings.storage is None else "VAE_PIPELINE_STORAGE"
    return Storage(settings.storage_root, settings.home / "cache", setting)


def open_incoming(settings: Settings) -> Storage:
    """Where new data arrive, in folders ``<line>/<dataset>/``."""
    setting = "VAE_PIPELINE_HOME" if settings.storage is None else "VAE_PIPELINE_STORAGE"
    chosen = setting if settings.incoming is None else "VAE_PIPELINE_INCOMING"
    return Storage(settings.incoming_root, settings.home / "cache", chosen)
