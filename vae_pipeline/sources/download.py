"""Bring an archive to this machine: the official address first, then the mirror; never half, never unverified."""

import hashlib
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import Any

from vae_pipeline.errors import DownloadError, HashMismatchError
from vae_pipeline.records import Archive
from vae_pipeline.settings import Settings
from vae_pipeline.sources.mirror import LISTING, Mirror, NotDeliveredError, reason, shown
from vae_pipeline.storage import told, work_folder, write_json

__all__ = ["Fetched", "bring", "fetch", "noted", "sha256_of"]

TRIES = 3
CONNECT_SECONDS = 10.0
CONNECT_SECONDS_WITH_MIRROR = 3.0
READ_SECONDS = 60.0


@dataclass(frozen=True)
class Fetched:
    """An archive on this machine: where it lies, the sha256 of its bytes, the address they came from."""

    path: Path
    sha256: str
    origin: str


@dataclass(frozen=True)
class _Note:
    """The sidecar ``<name>.sha256``: what was verified once and need not be hashed again.

    ``file`` is the mirror's own path where a folder mirror holds the archive, and empty where it lies beside the note.
    """

    sha256: str
    size: int
    mtime_ns: int
    origin: str
    file: str
    from_mirror: bool


def fetch(archive: Archive, settings: Settings) -> Path:
    """The archive's path on this machine: ``<home>/downloads/<archive.path>``, or the folder mirror's own file.

    Raises:
        DownloadError: no address delivers it; the message lists each address with its reason.
        HashMismatchError: what was delivered is not what the catalogue or the mirror's SHA256SUMS states.
        StorageError: the home cannot be written or the disk is full.
    """
    return bring(archive, settings).path


def bring(archive: Archive, settings: Settings) -> Fetched:
    """As ``fetch``, with the sha256 and the address it came from."""
    target = _target(archive, settings)
    mirror = Mirror(settings.data_mirror) if settings.data_mirror else None
    finished = _finished(archive, target, mirror)
    if finished:
        return finished
    reasons = []
    if archive.url:
        try:
            return _official(archive, archive.url, target, single=mirror is not None)
        except NotDeliveredError as error:
            reasons.append(f"{shown(archive.url)} ({error})")
    if mirror:
        try:
            return _mirrored(archive, mirror, target)
        except NotDeliveredError as error:
            reasons.append(f"{shown(mirror.at(archive.path))} ({error})")
    tried = "tried " + ", ".join(reasons) if reasons else "the catalogue states no address"
    msg = (
        f"{archive.path}: no address delivered it, {tried}; "
        "set VAE_PIPELINE_DATA_MIRROR to a folder, http(s):// or s3:// address that holds it under this path"
    )
    raise DownloadError(msg)


def noted(archive: Archive, settings: Settings) -> str | None:
    """The sha256 of a finished download, without reaching for any address; None where there is none."""
    mirror = Mirror(settings.data_mirror) if settings.data_mirror else None
    finished = _finished(archive, _target(archive, settings), mirror)
    return finished.sha256 if finished else None


def sha256_of(path: Path) -> str:
    """The sha256 of a file as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _target(archive: Archive, settings: Settings) -> Path:
    path = PurePosixPath(archive.path)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        msg = f"archive path {archive.path!r} must be relative and without '..' to be downloaded; correct the catalogue"
        raise DownloadError(msg)
    return settings.home / "downloads" / path


def _note_path(target: Path) -> Path:
    return target.with_name(f"{target.name}.sha256")


def _finished(archive: Archive, target: Path, mirror: Mirror | None) -> Fetched | None:
    """What an earlier call verified, if the file is still as it was then and still the one the catalogue states."""
    note = _read_note(target) or _note_of_own(archive, target)
    if note is None:
        return None
    if archive.sha256 and not note.from_mirror and note.sha256 != archive.sha256:
        return None  # the catalogue has moved on to another version
    path = Path(note.file) if note.file else target
    if not path.is_file() or path.stat().st_size != note.size:
        return None
    if note.file:  # a mirror's own file counts while it is untouched and the mirror still the one in use
        in_use = mirror is not None and mirror.folder is not None and note.file == mirror.at(archive.path)
        if not in_use or path.stat().st_mtime_ns != note.mtime_ns:
            return None
    return Fetched(path, note.sha256, note.origin)


def _note_of_own(archive: Archive, target: Path) -> _Note | None:
    """A file put there by hand is as good as a download when it is the official one."""
    if not archive.sha256 or not target.is_file() or sha256_of(target) != archive.sha256:
        return None
    _keep(target, target, archive.sha256, "put there by hand", from_mirror=False)
    return _read_note(target)


def _read_note(target: Path) -> _Note | None:
    try:
        return _Note(**json.loads(_note_path(target).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _keep(target: Path, path: Path, sha256: str, origin: str, *, from_mirror: bool) -> Fetched:
    stat = path.stat()
    file = "" if path == target else str(path)
    write_json(
        _note_path(target), asdict(_Note(sha256, stat.st_size, stat.st_mtime_ns, shown(origin), file, from_mirror))
    )
    return Fetched(path, sha256, shown(origin))


def _official(archive: Archive, url: str, target: Path, *, single: bool) -> Fetched:
    tries, connect = (1, CONNECT_SECONDS_WITH_MIRROR) if single else (TRIES, CONNECT_SECONDS)
    with _temporary(target) as temporary:
        _download(url, temporary, tries, connect)
        found = _verified(temporary, url, archive.sha256, "the catalogue", archive.md5)
        os.replace(temporary, target)
        return _keep(target, target, found, url, from_mirror=False)


def _mirrored(archive: Archive, mirror: Mirror, target: Path) -> Fetched:
    origin = mirror.at(archive.path)
    if mirror.folder:
        path = Path(origin)
        try:
            if not path.is_file():
                msg = "no such file" if mirror.folder.is_dir() else "the folder does not exist"
                raise NotDeliveredError(msg)
            found = _verified(path, origin, *_expected(archive, mirror), archive.md5)
        except OSError as error:
            raise NotDeliveredError(reason(error)) from error
        # big archives are not copied: the mirror's own file is used, and a note spares hashing it again
        return _keep(target, path, found, origin, from_mirror=True)
    expected = _expected(archive, mirror)
    with _temporary(target) as temporary:
        if mirror.http:
            _download(origin, temporary, TRIES, CONNECT_SECONDS)
        else:
            with temporary.open("wb") as file:
                for chunk in mirror.chunks(archive.path):
                    file.write(chunk)
        found = _verified(temporary, origin, *expected, archive.md5)
        os.replace(temporary, target)
        return _keep(target, target, found, origin, from_mirror=True)


def _expected(archive: Archive, mirror: Mirror) -> tuple[str | None, str]:
    """The sha256 a mirror's file must have, and who says so: a mirror may pack the same content differently."""
    listed = mirror.listed(archive.path)
    return (listed, f"the mirror's {LISTING}") if listed else (archive.sha256, "the catalogue")


def _verified(path: Path, origin: str, expected: str | None, said_by: str, md5: str | None) -> str:
    """The file's sha256; where nobody states the one it must have, the catalogue's md5 counts."""
    if md5 and not expected:
        _require_md5(path, origin, md5)
    found = sha256_of(path)
    if expected and found != expected:
        msg = (
            f"{shown(origin)}: the sha256 is {found}, but {said_by} states {expected}; nothing of it was kept, so "
            f"fetch again, or check the file (a mirror that packs it differently lists its own hash in {LISTING})"
        )
        raise HashMismatchError(msg)
    return found


def _require_md5(path: Path, origin: str, expected: str) -> None:
    """MD5 tells a broken download from a whole one; the sha256 that is noted tells whether it changed since."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if found != expected:
        msg = (
            f"{shown(origin)}: the md5 is {found}, but the catalogue states {expected}; nothing of it was kept, so "
            f"fetch again, or check the file (a mirror that packs it differently lists its own sha256 in {LISTING})"
        )
        raise HashMismatchError(msg)


@contextmanager
def _temporary(target: Path) -> Iterator[Path]:
    """A path on the target's own disk that is gone after the block; OS refusals are told as StorageError."""
    with told(target), work_folder(target.parent) as folder:
        yield folder / target.name


def _download(url: str, temporary: Path, tries: int, connect: float) -> None:
    import pooch
    import requests

    pooch.get_logger().setLevel("WARNING")
    bar: Any = sys.stderr.isatty() and find_spec("tqdm") is not None
    downloader: Any = pooch.HTTPDownloader(progressbar=bar, chunk_size=1 << 20, timeout=(connect, READ_SECONDS))
    manager = pooch.create(
        path=temporary.parent,
        base_url="",
        registry={temporary.name: None},
        urls={temporary.name: url},
        retry_if_failed=tries - 1,
    )
    try:
        manager.fetch(temporary.name, downloader=downloader)
    except requests.RequestException as error:  # before the OSErrors of the disk: requests' own are OSErrors too
        raise NotDeliveredError(reason(error)) from error
