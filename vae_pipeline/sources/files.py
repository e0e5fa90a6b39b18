"""Raw files, recordings and images, put beside the index that names them."""

import os
import shutil
from contextlib import suppress
from pathlib import Path

from vae_pipeline.errors import DataError
from vae_pipeline.storage import told

__all__ = ["place_file"]

_CHUNK = 1 << 20


def place_file(source: Path, target: Path, *, linked: bool) -> None:
    """Put a file's content at ``target``, which must not exist yet; folders above it are made.

    With ``linked`` the two are one file on disk where the file system can do that: only for sources that nobody
    changes, such as an unpacked archive.

    Raises:
        DataError: the source cannot be read.
        StorageError: the target cannot be written or the disk is full.
    """
    with told(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        if linked:
            with suppress(OSError):  # another disk, too many links, or a file system without them: copied
                os.link(source.resolve(), target)
                return
        try:
            read = source.open("rb")
        except OSError as error:
            msg = f"{source}: cannot be read ({error.strerror}); check that it is there and its permissions"
            raise DataError(msg) from error
        with read, target.open("xb") as written:
            shutil.copyfileobj(read, written, _CHUNK)
