"""Unpack zip and tar archives without trusting them, and find the folder that holds a dataset's raw files."""

import fnmatch
import gzip
import lzma
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from vae_pipeline.errors import ArchiveError, CatalogError, HashMismatchError, SourceError, StorageError
from vae_pipeline.records import Archive, Dataset
from vae_pipeline.settings import Settings
from vae_pipeline.sources.download import Fetched, bring, sha256_of
from vae_pipeline.storage import fingerprint, place_folder, told, work_folder

__all__ = ["archive_of", "archives_of", "extract", "extracted", "fetched_archive", "local_archive", "open_inner"]

MAX_MEMBERS = 1_000_000
_CHUNK = 1 << 20
_BLOCK = 512  # bytes of a tar block
_MOST_HEADER = 1 << 16  # bytes of a header that tells more than a block holds, such as a long name
_LONG_HEADERS = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)
_DAMAGED = (
    zipfile.BadZipFile,
    tarfile.TarError,
    lzma.LZMAError,
    zlib.error,
    gzip.BadGzipFile,
    EOFError,
    NotImplementedError,  # a compression this Python lacks
    UnicodeDecodeError,
    RecursionError,  # headers upon headers in a tar
)


def extract(archive: Path, into: Path, max_bytes: int, members: Sequence[str] | None = None) -> Path:
    """Unpack a zip or tar (plain, gz, bz2, xz) into the folder ``into``, which appears whole or not at all.

    A folder that is already there is left as it is. ``members`` are patterns (``fan/id_00/*``) of what to unpack.

    Raises:
        ArchiveError: a member has an absolute path or ``..``, is a link or device, is given twice or encrypted, or its
            header is beyond all measure; more than ``max_bytes`` come out; the archive is damaged or cut off. The
            message names archive and member.
        StorageError: the folder cannot be written or the disk is full.
    """
    if into.is_dir():
        return into
    with _work_folder(into) as work, _damage_told(archive):
        writer = _Writer(archive, work, max_bytes, members)
        if _is_zip(archive):
            _unzip(archive, writer)
        else:
            _untar(archive, writer)
        place_folder(work, into)
    return into


def open_inner(archive: Path, inner: str, work: Path, max_bytes: int) -> Path:
    """The zip inside a zip whose base name is ``inner``, unpacked into ``work``; the archive itself if it has none.

    A mirror may hold the inner zip directly.

    Raises:
        ArchiveError: as ``extract``.
    """
    with _damage_told(archive):
        if not _is_zip(archive):
            return archive
        with zipfile.ZipFile(archive) as outer:
            found = [item for item in outer.infolist() if item.filename.rsplit("/", 1)[-1] == inner]
            if not found:
                return archive
            writer = _Writer(archive, work, max_bytes, None)
            with told(work), outer.open(found[0]) as source:
                return writer.write(source, inner)


def archives_of(dataset: Dataset) -> tuple[Archive, ...]:
    """The archives that hold the dataset, in the order they are tried."""
    return (dataset.archive, *dataset.alternatives) if dataset.archive else dataset.alternatives


def fetched_archive(dataset: Dataset, settings: Settings) -> tuple[Archive, Fetched]:
    """The first of the dataset's archives that can be had.

    Raises:
        SourceError: none can; the message is that of the first and names the others.
        HashMismatchError: one was delivered that is not what the catalogue states.
    """
    refusals: list[SourceError] = []
    archives = archives_of(dataset)
    for archive in archives:
        try:
            return archive, archive_of(archive, dataset, settings)
        except HashMismatchError:
            raise
        except SourceError as error:
            refusals.append(error)
    if len(refusals) == 1:
        raise refusals[0]
    others = "; ".join(str(error) for error in refusals[1:])
    msg = f"{refusals[0]}; nor could {others}"
    raise type(refusals[0])(msg)


def archive_of(archive: Archive, dataset: Dataset, settings: Settings) -> Fetched:
    """The dataset's archive on this machine: a file beside the catalogue if it states no url, else fetched.

    Raises:
        SourceError: nothing delivers it, or its hash is wrong.
    """
    local = local_archive(archive, dataset)
    if local is None:
        if archive.url is None and settings.data_mirror is None:
            msg = (
                f"{Path(dataset.base, archive.path)}: there is no such file; put the archive there, or set "
                "VAE_PIPELINE_DATA_MIRROR to a folder, http(s):// or s3:// address that holds it"
            )
            raise SourceError(msg)
        return bring(archive, settings)
    with told(local):
        found = sha256_of(local)
    if archive.sha256 and found != archive.sha256:
        msg = f"{local}: the sha256 is {found}, but the catalogue states {archive.sha256}; correct one of them"
        raise HashMismatchError(msg)
    return Fetched(local, found, str(local))


def local_archive(archive: Archive, dataset: Dataset) -> Path | None:
    """The archive as a file relative to the catalogue, if it states no url and the file is there."""
    path = Path(dataset.base, archive.path).expanduser()
    return path if archive.url is None and path.is_file() else None


def extracted(dataset: Dataset, settings: Settings) -> Path:
    """The folder with the dataset's raw files: the stated folder, its archive unpacked once, or the catalogue's own.

    Raises:
        SourceError: the folder is missing, or the archive cannot be fetched or unpacked.
        CatalogError: the entry states neither archive nor folder though its kind needs one.
    """
    if dataset.folder is not None:
        folder = Path(dataset.base, Path(dataset.folder).expanduser())
        if not folder.is_dir():
            msg = f"dataset {dataset.name!r}: the folder {folder} does not exist; correct 'folder' in the catalogue"
            raise SourceError(msg)
        return folder
    if dataset.archive is None:
        if dataset.files is None:
            msg = f"dataset {dataset.name!r}: the catalogue states no archive, folder or files; add one of them"
            raise CatalogError(msg)
        return Path(dataset.base)
    archive, fetched = fetched_archive(dataset, settings)
    stem = fetched.path.name.split(".")[0]
    identity = (fetched.sha256, archive.inner, *([dataset.members] if dataset.members else []))
    into = settings.home / "extracted" / f"{stem}-{fingerprint(*identity)}"
    if into.is_dir():
        return into
    members = dataset.members or None
    if archive.inner is None:
        return extract(fetched.path, into, archive.max_unpacked_bytes, members)
    with _work_folder(into) as work:
        inner = open_inner(fetched.path, archive.inner, work, archive.max_unpacked_bytes)
        return extract(inner, into, archive.max_unpacked_bytes, members)


class _Writer:
    """Writes members below a folder and counts the bytes that really come out, whatever the headers claim."""

    def __init__(self, archive: Path, work: Path, max_bytes: int, members: Sequence[str] | None) -> None:
        self._archive = archive
        self._work = work
        self._max_bytes = max_bytes
        self._members = members
        self._written = 0
        self._seen = 0

    def wanted(self, name: str) -> bool:
        self._seen += 1
        if self._seen > MAX_MEMBERS:
            raise self.refusal(name, f"the archive has more than {MAX_MEMBERS} members")
        return self._members is None or any(fnmatch.fnmatchcase(name, pattern) for pattern in self._members)

    def refusal(self, name: str, why: str) -> ArchiveError:
        return ArchiveError(
            f"{self._archive}: member {name!r} is refused because {why}; nothing was unpacked, check the archive"
        )

    def place(self, name: str) -> Path:
        """Where a member goes; its name is text from outside and must stay below the folder."""
        parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]
        if name.startswith(("/", "\\")) or re.match(r"^[A-Za-z]:[\\/]", name):
            raise self.refusal(name, "its path is absolute")
        if ".." in parts or "\0" in name:
            raise self.refusal(name, "its path leaves the folder")
        return self._work.joinpath(*parts)

    def folder(self, name: str) -> None:
        try:
            self.place(name).mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise self.refusal(name, "a file has the same path") from error

    def write(self, source: IO[bytes], name: str) -> Path:
        target = self.place(name)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            file = target.open("xb")
        except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
            raise self.refusal(name, "another member has the same path") from error
        with file:
            while chunk := source.read(_CHUNK):
                self._written += len(chunk)
                if self._written > self._max_bytes:
                    raise self.refusal(name, f"more than max_unpacked_bytes = {self._max_bytes} bytes come out")
                file.write(chunk)
        return target


def _is_zip(archive: Path) -> bool:
    # by its head: zipfile.is_zipfile also says yes to a tar that ends with a zip
    try:
        with archive.open("rb") as file:
            return file.read(4) in (b"PK\x03\x04", b"PK\x05\x06")
    except OSError as error:
        msg = f"{archive}: cannot be read ({error.strerror}); check the path and its permissions"
        raise StorageError(msg) from error


def _unzip(archive: Path, writer: _Writer) -> None:
    with zipfile.ZipFile(archive) as file:
        for item in file.infolist():
            if not writer.wanted(item.filename):
                continue
            kind = stat.S_IFMT(item.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise writer.refusal(item.filename, "it is a link or device")
            if item.flag_bits & 1:
                raise writer.refusal(item.filename, "it is encrypted")
            if item.is_dir():
                writer.folder(item.filename)
            else:
                with file.open(item) as source:
                    writer.write(source, item.filename)


class _LongHeaderError(Exception):
    """A member's header is longer than any honest one; ``args`` are its name."""


class _Header(tarfile.TarInfo):
    """A header of a tar, of which what tarfile would take into memory whole is bounded."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "_Header":
        """The header in a block.

        Raises:
            _LongHeaderError: more than 64 KiB belong to it.
        """
        found = super().frombuf(buf, encoding, errors)
        if found.type in _LONG_HEADERS and not 0 <= found.size <= _MOST_HEADER:
            raise _LongHeaderError(found.name)
        return found


def _untar(archive: Path, writer: _Writer) -> None:
    try:
        _untar_bounded(archive, writer)
    except _LongHeaderError as error:
        raise writer.refusal(str(error), f"its header has more than {_MOST_HEADER} bytes") from error


def _untar_bounded(archive: Path, writer: _Writer) -> None:
    with tarfile.open(archive, tarinfo=_Header) as file:
        for item in file:
            file.members.clear()  # pyright: ignore[reportAttributeAccessIssue] - it keeps all that headers said
            if sum(len(name) + len(value) for name, value in file.pax_headers.items()) > _MOST_HEADER:
                raise _LongHeaderError(item.name)
            if not writer.wanted(item.name):
                continue
            if item.isdir():
                writer.folder(item.name)
                continue
            source = file.extractfile(item) if item.isreg() else None
            if source is None:
                raise writer.refusal(item.name, "it is a link or device")
            with source:
                writer.write(source, item.name)
        _ends_properly(file)


def _ends_properly(file: tarfile.TarFile) -> None:
    """Refuse a tar cut between two members, which tarfile takes for the end; a real end is a block of zeros."""
    stream = file.fileobj
    if stream is None:
        return
    stream.seek(file.offset)
    if stream.read(_BLOCK) != bytes(_BLOCK):
        msg = "the end mark is missing"
        raise tarfile.ReadError(msg)
    while stream.read(_CHUNK):  # to the end, where gzip and xz keep their checksum
        pass


@contextmanager
def _damage_told(archive: Path) -> Iterator[None]:
    try:
        yield
    except (*_DAMAGED, OSError) as error:
        # bz2 reports damage as an OSError without a number; those with one are the operating system's
        if isinstance(error, OSError) and error.errno is not None:
            raise
        if archive.stat().st_size == 0:
            msg = f"{archive}: the file is empty; delete it and download again, or check the mirror"
            raise ArchiveError(msg) from error
        text = " ".join(str(error).split()) or type(error).__name__
        if text.startswith("file could not be opened successfully"):  # tarfile lists each compression it tried
            text = "it begins neither as a zip nor as a tar"
        msg = f"{archive}: damaged or cut off ({text}); delete it and download again, or check the mirror"
        raise ArchiveError(msg) from error


@contextmanager
def _work_folder(into: Path) -> Iterator[Path]:
    with told(into), work_folder(into.parent) as work:
        yield work
