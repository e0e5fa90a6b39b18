"""What a root holds beside work in progress, with keys as they are below a local root, whatever the kind of root."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from vae_pipeline.storage.files import WORK
from vae_pipeline.storage.remote_root import FILES
from vae_pipeline.storage.root import MANIFEST, Held
from vae_pipeline.storage.storage import Storage

__all__ = ["fetch_finished", "finished"]

_OWN = re.compile(rf"(?P<folder>.+)/(?P<own>{FILES}-[0-9a-f]{{32}})/(?P<rest>.+)")


def finished(storage: Storage) -> dict[str, Held]:
    """All files of finished folders and all loose files, by key; a folder is there with all its files or with none.

    On S3 the files of a folder lie one level deeper, at the place that its manifest names; their keys leave it out.

    Raises:
        StorageError: the root cannot be read.
    """
    # files are written before their manifest: of a folder whose manifest one look sees, the next look sees all files
    folders = {each.key.removesuffix(f"/{MANIFEST}") for each in storage.files() if _is_manifest(each.key)}
    places: dict[str, str | None] = {}
    found = {}
    for each in storage.files():
        own = _OWN.fullmatch(each.key)
        key = f"{own['folder']}/{own['rest']}" if own else each.key
        if own:
            folder = own["folder"]
            if folder in folders and folder not in places:
                places[folder] = json.loads(storage.read_bytes(f"{folder}/{MANIFEST}")).get(FILES)
            taken = places.get(folder) == own["own"]  # else: of a writer that came late, or is not done
        elif _is_manifest(key):
            taken = key.removesuffix(f"/{MANIFEST}") in folders
        else:
            taken = not Path(key).name.startswith(".") or any(above in folders for above in _above(key))
        if taken and f"/{WORK}" not in f"/{key}":
            found[key] = each
    return found


def fetch_finished(storage: Storage, held: Held, into: Path) -> None:
    """Copy a file of `finished` to a local path; a manifest forgets where on S3 its files lay.

    Raises:
        StorageError: it is not there or cannot be read, or ``into`` cannot be written.
    """
    storage.fetch(held.key, into)
    if _is_manifest(held.key):
        manifest = json.loads(into.read_bytes())
        if isinstance(manifest, dict) and manifest.pop(FILES, None):
            into.write_text(f"{json.dumps(manifest, indent=2, sort_keys=True, allow_nan=False)}\n")


def _is_manifest(key: str) -> bool:
    return key.endswith(f"/{MANIFEST}")


def _above(key: str) -> Iterator[str]:
    while "/" in key:
        key = key.rpartition("/")[0]
        yield key
