"""Folders and files under keys such as ``timeseries/FD001/raw/0a1b``, on a local disk or in an object store.

A stage writes its files into a folder that nobody sees until it is finished: ``with storage.new_folder(key) as
folder``. Readers get a local path from ``storage.folder(key)``. A folder without ``MANIFEST`` does not exist.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from upath import UPath

from vae_pipeline.errors import SettingError, StorageError
from vae_pipeline.settings import Settings
from vae_pipeline.storage.files import told, work_folder, write_json
from vae_pipeline.storage.local_root import LocalRoot
from vae_pipeline.storage.remote_root import FILES, RemoteRoot
from vae_pipeline.storage.root import MANIFEST, Held, Root

__all__ = ["Storage", "open_incoming", "open_storage"]

# a store that answers 500, 503 or not at all is asked again, five times in about 20 s
_OPTIONS: dict[str, dict[str, Any]] = {
    "s3": {
        "config_kwargs": {
            "connect_timeout": 5,
            "read_timeout": 60,
            "retries": {"mode": "standard", "total_max_attempts": 5},
        }
    }
}


class Storage:
    """A root, local or ``s3://``, of files and of folders that appear whole or not at all."""

    def __init__(self, root: str, cache: Path, setting: str = "VAE_PIPELINE_HOME") -> None:
        """Use ``root``; ``cache`` (local) holds work in progress for S3 and copies of what was read from it.

        ``setting`` is the variable that chose the root; messages advise to change it.

        Raises:
            SettingError: the address is of no kind that is known, or its client is not installed.
        """
        self._setting = setting
        try:
            protocol = root.partition("://")[0] if "://" in root else ""
            # what others wrote a moment ago is to be seen
            options = {"use_listings_cache": False, **_OPTIONS.get(protocol, {})} if protocol else {}
            self.root = UPath(root, **options)
            _ = self.root.fs  # imports the client
        except (ValueError, ImportError) as error:
            named = "VAE_PIPELINE_STORAGE" if setting == "VAE_PIPELINE_HOME" else setting
            msg = f"{named}={root!r} cannot be used: {error} (for s3:// install the extra 's3')"
            raise SettingError(msg) from error
        local = self.root.protocol in ("", "file", "local")
        self._kept: Root = LocalRoot(Path(self.root.path), setting) if local else RemoteRoot(self.root, cache, setting)
        self._made_at = setting if local else "VAE_PIPELINE_HOME"

    def exists(self, key: str) -> bool:
        """Whether a finished folder is kept under ``key``."""
        return self._kept.has(f"{key}/{MANIFEST}")

    def folder(self, key: str) -> Path:
        """The local path of a finished folder; from S3 it is copied once into the cache.

        Raises:
            StorageError: nothing finished is kept there, or it cannot be read.
        """
        self._require(key)
        return self._kept.folder(key)

    def manifest(self, key: str) -> dict[str, Any]:
        """What the stage wrote about its output.

        Raises:
            StorageError: nothing finished is kept there, or it cannot be read.
        """
        self._require(key)
        try:
            found = json.loads(self._kept.read(f"{key}/{MANIFEST}"))
        except ValueError as error:
            msg = f"{self.root / key / MANIFEST}: damaged ({error}); delete {self.root / key} and run again"
            raise StorageError(msg) from error
        found.pop(FILES, None)
        return found

    @contextmanager
    def new_folder(self, key: str, manifest: dict[str, Any]) -> Iterator[Path]:
        """A work folder that is published under ``key`` when the block ends well, and removed when it does not.

        ``manifest`` may be filled inside the block; it is written last. A folder that is there already stays.

        Raises:
            StorageError: the root cannot be written or the disk is full.
        """
        place = self._kept.workplace(key)
        with told(place, self._made_at), work_folder(place.parent) as work:
            yield work
            write_json(work / MANIFEST, manifest)
            self._kept.publish(work, key)

    def write_text(self, key: str, text: str) -> None:
        """Write a small file under ``key``; a reader sees the old content or the new."""
        self._kept.write(key, text.encode())

    def write_bytes(self, key: str, content: bytes) -> None:
        """Write a file under ``key``; a reader sees the old content or the new."""
        self._kept.write(key, content)

    def create_text(self, key: str, text: str) -> bool:
        """Write a file under ``key`` unless there is one; gives whether it was written.

        Of several that try at once one succeeds: locally by a link, on S3 by a conditional write.
        """
        return self._kept.create(key, text.encode())

    def read_text(self, key: str) -> str:
        """What `write_text` wrote.

        Raises:
            StorageError: nothing is kept there, or it cannot be read.
        """
        return self.read_bytes(key).decode()

    def read_bytes(self, key: str) -> bytes:
        """What `write_bytes` wrote.

        Raises:
            StorageError: nothing is kept there, or it cannot be read.
        """
        with self._there(key):
            return self._kept.read(key)

    def has_text(self, key: str) -> bool:
        """Whether `write_text` wrote something under ``key``."""
        return self._kept.has(key)

    def move(self, key: str, into: str) -> None:
        """Move a file; on a local disk it lies at one place at any moment, on S3 for a moment at both."""
        with self._there(key):
            self._kept.move(key, into)

    def fetch(self, key: str, into: Path) -> None:
        """Copy the file under ``key`` to a local path; folders above it are made.

        Raises:
            StorageError: it is not there or cannot be read, or ``into`` cannot be written.
        """
        with self._there(key):
            self._kept.fetch(key, into)

    def store(self, file: Path, key: str) -> None:
        """Copy a local file to ``key``, in parts where it is large; a reader sees the old content or the new.

        Raises:
            StorageError: the root cannot be written.
        """
        self._kept.store(file, key)

    def remove(self, key: str) -> None:
        """Remove a file; one that is gone already is no error."""
        self._kept.remove(key)

    def remove_empty(self, key: str) -> None:
        """Remove a folder of a local root and those in it that hold nothing; elsewhere there are no empty folders."""
        self._kept.remove_empty(key)

    def files(self, key: str = "") -> list[Held]:
        """All files at any depth below ``key``, by key; none where there is no such folder.

        Raises:
            StorageError: the root cannot be read.
        """
        return sorted(self._kept.files(key))

    def names(self, key: str) -> list[str]:
        """Names of the files and folders right below ``key``, sorted; none where nothing is kept there.

        Raises:
            StorageError: it cannot be read.
        """
        return sorted(self._kept.names(key))

    def _require(self, key: str) -> None:
        if not self.exists(key):
            msg = f"{self.root / key}: no finished output is kept there; materialize the stage that makes it"
            raise StorageError(msg)

    @contextmanager
    def _there(self, key: str) -> Iterator[None]:
        try:
            yield
        except (FileNotFoundError, StorageError) as error:
            if not isinstance(error, FileNotFoundError) and not isinstance(error.__cause__, FileNotFoundError):
                raise
            msg = f"{self.root / key}: nothing is kept there; materialize the stage that makes it"
            raise StorageError(msg) from error


def open_storage(settings: Settings) -> Storage:
    """The storage that settings name."""
    setting = "VAE_PIPELINE_HOME" if settings.storage is None else "VAE_PIPELINE_STORAGE"
    return Storage(settings.storage_root, settings.home / "cache", setting)


def open_incoming(settings: Settings) -> Storage:
    """Where new data arrive, in folders ``<line>/<dataset>/``."""
    setting = "VAE_PIPELINE_HOME" if settings.storage is None else "VAE_PIPELINE_STORAGE"
    chosen = setting if settings.incoming is None else "VAE_PIPELINE_INCOMING"
    return Storage(settings.incoming_root, settings.home / "cache", chosen)
