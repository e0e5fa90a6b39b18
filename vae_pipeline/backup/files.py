"""Files copied out of a root and hashed, verified, and copied into another; one at a time, in bounded memory."""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from vae_pipeline.backup.record import Kept
from vae_pipeline.errors import BackUpError, StorageError
from vae_pipeline.storage import MANIFEST, Storage, fetch_finished, finished, flush

if TYPE_CHECKING:
    from tqdm import tqdm

__all__ = ["bar", "copy_files_in", "copy_files_out", "hashed", "verify"]


def bar(words: str, total: int | None = None) -> "tqdm":
    """A progress bar of bytes on standard error; none where that is no terminal."""
    from tqdm import tqdm

    return tqdm(desc=words, total=total, unit="B", unit_scale=True, disable=None)


def hashed(path: Path) -> Kept:
    """Size and sha256 of a file."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return Kept(size=file.tell(), sha256=digest.hexdigest())


def copy_files_out(storage: Storage, into: Path, wanted: Callable[[str], bool] = lambda _: True) -> dict[str, Kept]:
    """Copy all that a root holds, work in progress left out, into a local folder; gives size and hash by key.

    Others may write meanwhile. What they move while files are copied is found by a second look, at its new place; a
    loose file that is gone at both looks was removed.

    Raises:
        StorageError: the root cannot be read or the folder not written.
    """
    done: dict[str, Kept] = {}
    for look in (1, 2):
        held = {key: each for key, each in finished(storage).items() if key not in done and wanted(key)}
        with bar("storage" if look == 1 else "what came", sum(each.size for each in held.values())) as progress:
            for key, each in held.items():
                target = into / key
                try:
                    fetch_finished(storage, each, target)
                except StorageError:
                    if storage.has_text(each.key):
                        raise
                    continue
                flush(target)
                done[key] = hashed(target)
                progress.update(each.size)
    return done


def copy_files_in(folder: Path, kept: Mapping[str, Kept], storage: Storage) -> None:
    """Copy files of a local folder into a root; manifests last, so that no folder is seen before it is whole.

    Raises:
        StorageError: the root cannot be written.
    """
    with bar("restoring", sum(each.size for each in kept.values())) as progress:
        for key in sorted(kept, key=lambda key: (key.rpartition("/")[2] == MANIFEST, key)):
            storage.store(folder / key, key)
            progress.update(kept[key].size)


def verify(folder: Path, kept: Mapping[str, Kept]) -> None:
    """Compare every file of a back-up with the hash that was written when it was made.

    Raises:
        BackUpError: one is missing or is not what was written; the message names it.
    """
    with bar("verifying", sum(each.size for each in kept.values())) as progress:
        for key, each in kept.items():
            path = folder / key
            try:
                found = hashed(path)
            except OSError as error:
                msg = f"{path}: {error.strerror}; the back-up is not whole, take another"
                raise BackUpError(msg) from error
            if found != each:
                msg = f"{path}: not what was backed up (its sha256 differs); the back-up is damaged, take another"
                raise BackUpError(msg)
            progress.update(each.size)
