"""An object store: S3 and whatever else fsspec speaks.

A store has no folders and no rename. The files of a folder are uploaded below a name that nobody else has, then the
manifest, which holds that name, is written on the condition that there is none: of several writers one is first, and
no reader sees files of two.
"""

import json
import math
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from upath import UPath

from vae_pipeline.addresses import shown
from vae_pipeline.errors import StorageError
from vae_pipeline.storage.files import flush_folder, place_folder, told, work_folder
from vae_pipeline.storage.root import MANIFEST, Held, Root

__all__ = ["FILES", "RemoteRoot"]

FILES = "_files"
"""The manifest's entry that names where the folder's files lie, below the folder."""


class RemoteRoot(Root):
    """Everything below an address; ``setting`` is the variable that chose it, ``cache`` holds copies of folders."""

    def __init__(self, address: UPath, cache: Path, setting: str) -> None:
        self._client, self._path = address.fs, address.path.rstrip("/")
        self._address, self._cache, self._setting = address, cache, setting

    def has(self, key: str) -> bool:
        with self._reached():
            try:
                # isfile would take a store that does not answer for one that has no such file
                return self._client.info(self._at(key))["type"] == "file"
            except FileNotFoundError:
                return False

    def read(self, key: str) -> bytes:
        with self._reached():
            content: Any = self._client.cat_file(self._at(key))
            return content

    def write(self, key: str, content: bytes) -> None:
        with self._reached():
            self._client.pipe_file(self._at(key), content)

    def create(self, key: str, content: bytes) -> bool:
        try:
            with self._reached():
                self._client.pipe_file(self._at(key), content, mode="create")
        except StorageError as error:
            if _is_there_already(error):
                return False
            raise
        return True

    def move(self, key: str, into: str) -> None:
        """Copy inside the store, then remove: for a moment the file lies at both places."""
        with self._reached():
            self._client.cp_file(self._at(key), self._at(into))
            self._client.rm_file(self._at(key))

    def remove(self, key: str) -> None:
        with self._reached(), suppress(FileNotFoundError):
            self._client.rm_file(self._at(key))

    def remove_empty(self, key: str) -> None:
        """Nothing: there are no empty folders."""

    def files(self, key: str) -> Iterator[Held]:
        with self._reached():
            found: Any = self._client.find(self._at(key), detail=True)
        start = len(self._path.strip("/"))
        for path, about in found.items():
            when = about.get("LastModified") or about.get("modified") or about.get("created") or about.get("mtime")
            seconds = when.timestamp() if hasattr(when, "timestamp") else when
            if about["type"] != "file":  # some stores list a folder that was emptied
                continue
            changed = f"{about.get('ETag', '')}{when}"
            place = path.strip("/")[start:].strip("/")
            yield Held(place, int(about["size"]), changed, math.nan if seconds is None else float(seconds))

    def names(self, key: str) -> list[str]:
        with self._reached():
            try:
                listed: list[str] = self._client.ls(self._at(key), detail=False)
            except (FileNotFoundError, NotADirectoryError):
                return []
        return [name for name in (path.rstrip("/").rpartition("/")[2] for path in listed) if name]

    def fetch(self, key: str, into: Path) -> None:
        with told(into):
            into.parent.mkdir(parents=True, exist_ok=True)
            with self._reached():
                self._client.get_file(self._at(key), str(into))

    def store(self, file: Path, key: str) -> None:
        with self._reached():
            self._client.put_file(str(file), self._at(key))

    def folder(self, key: str) -> Path:
        copy, content = self._cache / key, self.read(f"{key}/{MANIFEST}")
        if not _is_of(copy, content):
            manifest = json.loads(content)
            start = f"{key}/{manifest[FILES]}" if FILES in manifest else key
            with told(copy), work_folder(copy.parent) as work:
                for held in self.files(start):
                    self.fetch(held.key, work / held.key.removeprefix(f"{start}/"))
                (work / MANIFEST).write_bytes(content)
                self._keep_copy(work, copy, content)
        return copy

    def workplace(self, key: str) -> Path:
        return self._cache / key

    def publish(self, work: Path, key: str) -> None:
        if self.has(f"{key}/{MANIFEST}"):  # spares the upload
            return
        own = f"{FILES}-{uuid.uuid4().hex}"
        manifest = json.loads((work / MANIFEST).read_bytes())
        sent = []
        for file in sorted(work.rglob("*")):
            if file.is_file() and file != work / MANIFEST:
                sent.append(f"{key}/{own}/{file.relative_to(work).as_posix()}")
                with self._reached():
                    self._client.put_file(str(file), self._at(sent[-1]))
        content = json.dumps({**manifest, FILES: own}, indent=2, sort_keys=True, allow_nan=False).encode()
        # a client that asks again after it heard no answer may be refused for what it wrote itself
        if self.create(f"{key}/{MANIFEST}", content) or self.read(f"{key}/{MANIFEST}") == content:
            (work / MANIFEST).write_bytes(content)
            with told(self._cache / key):
                self._keep_copy(work, self._cache / key, content)
        else:
            for name in sent:
                self.remove(name)

    def _keep_copy(self, work: Path, copy: Path, content: bytes) -> None:
        flush_folder(work)
        place_folder(work, copy, lambda folder: _is_of(folder, content))

    def _at(self, key: str) -> str:
        return f"{self._path}/{key}".rstrip("/")

    @contextmanager
    def _reached(self) -> Iterator[None]:
        """Turn what the store's client raises, each has classes of its own, into one sentence that names the root."""
        try:
            yield
        except FileNotFoundError:
            raise
        except Exception as error:
            reason = str(error) or type(error).__name__
            named = "VAE_PIPELINE_STORAGE" if self._setting == "VAE_PIPELINE_HOME" else self._setting
            msg = f"{self._address}: {reason}; check {named}, its credentials and the network"
            raise StorageError(shown(msg)) from error


def _is_of(copy: Path, manifest: bytes) -> bool:
    """Whether a copy is of the folder that has this manifest, not of one in another store or that was deleted."""
    try:
        return (copy / MANIFEST).read_bytes() == manifest
    except FileNotFoundError:
        return False


def _is_there_already(error: BaseException | None) -> bool:
    """Whether a conditional write was refused since there is such a file; clients say it in several ways."""
    while error is not None:
        response = getattr(error, "response", None)
        code = response.get("Error", {}).get("Code") if isinstance(response, dict) else None
        if isinstance(error, FileExistsError) or code in ("PreconditionFailed", "ConditionalRequestConflict"):
            return True
        error = error.__cause__
    return False
