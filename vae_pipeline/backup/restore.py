"""A back-up brought into an empty installation, of the same kind or of another.

Files come first and the registry last, in one transaction: until then nothing refers to them. A restore that was cut
short leaves ``.restoring`` in the storage, and the same back-up may be restored there again.
"""

import shutil
from pathlib import Path

from vae_pipeline.addresses import shown
from vae_pipeline.backup.database import copy_in, found_in, make_tables, migrated, opened
from vae_pipeline.backup.files import copy_files_in, hashed, verify
from vae_pipeline.backup.locations import below, moved_row
from vae_pipeline.backup.places import PROXIED, Places, open_places
from vae_pipeline.backup.record import ARTIFACTS, NAME, REGISTRY, STORAGE, BackUp, Kept, read_back_up
from vae_pipeline.errors import BackUpError, SettingError
from vae_pipeline.registry.tracking import Tracker
from vae_pipeline.settings import Settings
from vae_pipeline.storage import told, work_folder

__all__ = ["restore"]

_MARK = ".restoring"


def restore(settings: Settings, folder: Path) -> BackUp:
    """Bring a back-up into what the settings name, which must be empty; gives the back-up's record.

    Every file is compared with its hash first. Locations inside the registry are rewritten to the new places.

    Raises:
        BackUpError: the back-up is damaged, something is there already, or MLflow is of another version.
        SettingError: the registry is behind a server and its database or artifacts are not named.
        StorageError: the storage cannot be written.
    """
    folder = folder.expanduser().resolve()
    record = read_back_up(folder)
    places = open_places(settings)
    verify(folder, record.files)
    identity = hashed(folder / NAME).sha256
    _require_empty(places, identity)
    with told(settings.home), work_folder(settings.home) as work:
        registry = work / REGISTRY
        shutil.copyfile(folder / REGISTRY, registry)
        migrated(registry)
        address = _made(settings, places)
        places.storage.write_text(_MARK, identity)
        copy_files_in(folder / STORAGE, _below(record, STORAGE), places.storage)
        copy_files_in(folder / ARTIFACTS, _below(record, ARTIFACTS), places.artifacts)
        with opened(places.database) as engine:
            copy_in(registry, engine, lambda table, row: moved_row(table, row, record.addresses, address))
    places.storage.remove(_MARK)
    return record


def _below(record: BackUp, part: str) -> dict[str, Kept]:
    start = f"{part}/"
    return {key.removeprefix(start): each for key, each in record.files.items() if key.startswith(start)}


def _require_empty(places: Places, identity: str) -> None:
    if table := found_in(places.database):
        msg = (
            f"{shown(places.database)}: holds something already (table {table}); restore into an empty installation, "
            "such as another VAE_PIPELINE_HOME or database"
        )
        raise BackUpError(msg)
    if places.storage.has_text(_MARK) and places.storage.read_text(_MARK) == identity:
        return
    for place in (places.storage, places.artifacts):
        if held := place.files():
            msg = (
                f"{place.root}: holds something already ({held[0].key}); restore into an empty installation, such as "
                "another VAE_PIPELINE_HOME, VAE_PIPELINE_STORAGE or --artifacts"
            )
            raise BackUpError(msg)


def _made(settings: Settings, places: Places) -> str:
    """Have MLflow's tables made where they are not; gives what new locations begin with."""
    from sqlalchemy import text

    if settings.tracking_uri is None:
        _ = Tracker(settings).client
    with opened(places.database) as engine:
        make_tables(engine)
        if places.address is not None:
            return places.address
        with engine.connect() as connection:
            default = connection.scalar(text("select artifact_location from experiments where experiment_id = 0"))
    if default is None:  # the server has never been started
        return PROXIED
    if below(default, places.addresses) is None:
        msg = f"the MLflow server keeps artifacts in {default}; name that place with --artifacts"
        raise SettingError(msg)
    return default.removesuffix("/0")
