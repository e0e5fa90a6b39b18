"""What a place that holds files under keys can do."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

__all__ = ["MANIFEST", "Held", "Root"]

MANIFEST = "manifest.json"


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
    time: float = math.nan


class Root(ABC):
    """Files under keys; every method raises `StorageError` with one sentence where the place refuses."""

    @abstractmethod
    def has(self, key: str) -> bool:
        """Whether a file is there."""

    @abstractmethod
    def read(self, key: str) -> bytes:
        """The content of a file."""

    @abstractmethod
    def write(self, key: str, content: bytes) -> None:
        """Write or replace a file; a reader sees the old content or the new."""

    @abstractmethod
    def create(self, key: str, content: bytes) -> bool:
        """Write a file unless there is one; of several that try at once one is told True."""

    @abstractmethod
    def move(self, key: str, into: str) -> None:
        """Move a file."""

    @abstractmethod
    def remove(self, key: str) -> None:
        """Remove a file; one that is gone already is no error."""

    @abstractmethod
    def remove_empty(self, key: str) -> None:
        """Remove a folder and those in it that hold nothing."""

    @abstractmethod
    def files(self, key: str) -> Iterator[Held]:
        """All files at any depth below a key."""

    @abstractmethod
    def names(self, key: str) -> list[str]:
        """Names of what lies right below a key."""

    @abstractmethod
    def fetch(self, key: str, into: Path) -> None:
        """Copy a file to a local path; folders above it are made."""

    @abstractmethod
    def store(self, file: Path, key: str) -> None:
        """Copy a local file to a key, in parts where it is large; a reader sees the old content or the new."""

    @abstractmethod
    def folder(self, key: str) -> Path:
        """The local path of a finished folder that `has` a manifest."""

    @abstractmethod
    def workplace(self, key: str) -> Path:
        """The local path where a folder that will be published under ``key`` may be made beside."""

    @abstractmethod
    def publish(self, work: Path, key: str) -> None:
        """Make a finished local folder, manifest and all, the one under ``key``; one that is there stays."""
