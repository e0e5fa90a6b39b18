"""A folder of this machine."""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from vae_pipeline.storage.files import flush, flush_folder, place_folder, told, write_bytes
from vae_pipeline.storage.root import MANIFEST, Held, Root

__all__ = ["LocalRoot"]


class LocalRoot(Root):
    """A folder; ``setting`` is the variable that chose it, which messages advise to change."""

    def __init__(self, path: Path, setting: str) -> None:
        self.path, self._setting = path, setting

    def has(self, key: str) -> bool:
        with told(self.path, self._setting):
            return (self.path / key).is_file()

    def read(self, key: str) -> bytes:
        with told(self.path, self._setting):
            return (self.path / key).read_bytes()

    def write(self, key: str, content: bytes) -> None:
        write_bytes(self.path / key, content, self._setting)

    def create(self, key: str, content: bytes) -> bool:
        target = self.path / key
        work = target.with_name(f".{target.name}.{os.getpid()}.{time.monotonic_ns()}")
        write_bytes(work, content, self._setting)
        with told(self.path, self._setting):
            try:
                os.link(work, target)
            except FileExistsError:
                return False
            finally:
                work.unlink()
        return True

    def move(self, key: str, into: str) -> None:
        target = self.path / into
        with told(target, self._setting):
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(self.path / key, target)

    def remove(self, key: str) -> None:
        with told(self.path, self._setting):
            (self.path / key).unlink(missing_ok=True)

    def remove_empty(self, key: str) -> None:
        for here, _, _ in sorted(os.walk(self.path / key), reverse=True):
            with suppress(OSError):
                Path(here).rmdir()

    def files(self, key: str) -> Iterator[Held]:
        def refuse(error: OSError) -> None:
            if not isinstance(error, FileNotFoundError):
                raise error

        with told(self.path, self._setting):
            for here, _, names in os.walk(self.path / key, onerror=refuse):
                for name in names:
                    with suppress(FileNotFoundError):  # renamed or removed in this very moment
                        stat = Path(here, name).stat()
                        place = Path(here, name).relative_to(self.path).as_posix()
                        yield Held(place, stat.st_size, str(stat.st_mtime_ns), stat.st_mtime)

    def names(self, key: str) -> list[str]:
        with told(self.path, self._setting):
            try:
                return [path.name for path in (self.path / key).iterdir()]
            except (FileNotFoundError, NotADirectoryError):
                return []

    def fetch(self, key: str, into: Path) -> None:
        with told(into):
            into.parent.mkdir(parents=True, exist_ok=True)
            with told(self.path, self._setting):
                shutil.copyfile(self.path / key, into)

    def store(self, file: Path, key: str) -> None:
        target = self.path / key
        aside = target.with_name(f".{target.name}.{os.getpid()}.{time.monotonic_ns()}")
        with told(target, self._setting):
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                shutil.copyfile(file, aside)
                os.replace(aside, target)
            finally:
                aside.unlink(missing_ok=True)

    def folder(self, key: str) -> Path:
        return self.path / key

    def workplace(self, key: str) -> Path:
        return self.path / key

    def publish(self, work: Path, key: str) -> None:
        target = self.path / key
        flush_folder(work)  # else a power cut may leave a folder that counts as finished, with empty files
        place_folder(work, target, lambda folder: (folder / MANIFEST).exists())
        flush(target.parent)
