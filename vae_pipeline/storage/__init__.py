"""Where everything is kept: local or S3 roots; folders that appear whole or not at all."""

from vae_pipeline.storage.claims import claimed
from vae_pipeline.storage.files import (
    flush,
    flush_folder,
    lock_file,
    place_folder,
    told,
    work_folder,
    write_bytes,
    write_json,
)
from vae_pipeline.storage.fingerprints import fingerprint
from vae_pipeline.storage.finished import fetch_finished, finished
from vae_pipeline.storage.root import MANIFEST, Held
from vae_pipeline.storage.storage import Storage, open_incoming, open_storage

__all__ = [
    "MANIFEST",
    "Held",
    "Storage",
    "claimed",
    "fetch_finished",
    "fingerprint",
    "finished",
    "flush",
    "flush_folder",
    "lock_file",
    "open_incoming",
    "open_storage",
    "place_folder",
    "told",
    "work_folder",
    "write_bytes",
    "write_json",
]
