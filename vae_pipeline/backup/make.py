"""A back-up while others work: the registry first, then the files.

Files are immutable and are written before the rows that name them: a registered version's artifacts are there before
the version is. So whatever the copied rows name is among the files, which are listed after them; what was registered
later is in the files at most, where nothing refers to it.
"""

import datetime as dt
import sqlite3
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

from vae_pipeline.addresses import shown
from vae_pipeline.backup.database import copy_out
from vae_pipeline.backup.files import copy_files_out, hashed
from vae_pipeline.backup.locations import below
from vae_pipeline.backup.places import Places, open_places
from vae_pipeline.backup.record import ARTIFACTS, NAME, REGISTRY, STORAGE, BackUp, Counts, Kept
from vae_pipeline.errors import BackUpError
from vae_pipeline.settings import Settings
from vae_pipeline.storage import told, work_folder, write_json

__all__ = ["back_up"]

_VERSIONS = """
    select v.name, v.version, coalesce(m.artifact_location, v.storage_location, v.source)
    from model_versions v left join logged_models m on 'models:/' || m.model_id = v.source
    where v.current_stage is null or v.current_stage != 'Deleted_Internal'
"""


def back_up(settings: Settings, folder: Path) -> tuple[Path, BackUp]:
    """Make ``folder/<UTC time>/``, which appears whole or not at all; gives it and its record.

    It is readable by its owner alone: the registry may hold what others shall not see.

    Raises:
        BackUpError: there is no registry, its database refuses, or a version in it has no files where artifacts are
            said to lie.
        SettingError: the registry is behind a server and its database or artifacts are not named.
        StorageError: the storage cannot be read or the folder not written.
    """
    places, folder = open_places(settings), folder.expanduser().resolve()
    for place in (places.storage, places.artifacts):
        if folder.is_relative_to(str(place.root)):
            msg = f"{folder}: lies inside of {place.root}, which is backed up; name a folder elsewhere"
            raise BackUpError(msg)
    made = dt.datetime.now(dt.UTC)
    target = folder / made.strftime("%Y%m%dT%H%M%SZ")
    with told(folder, "FOLDER"), work_folder(folder) as work:
        revision = copy_out(places.database, work / REGISTRY)
        files = _files(places, work)
        models, runs, versions, elsewhere = _counted(work / REGISTRY, places.addresses)
        _require_files(versions, files, places)
        files[REGISTRY] = hashed(work / REGISTRY)
        size = sum(each.size for each in files.values())
        record = BackUp(
            made=made.isoformat(timespec="seconds"),
            version=version("vae-pipeline"),
            mlflow=version("mlflow"),
            schema_revision=revision,
            database=shown(places.database),
            storage=str(places.storage.root),
            artifacts=str(places.artifacts.root),
            addresses=places.addresses,
            elsewhere=elsewhere,
            counts=Counts(models=models, versions=len(versions), runs=runs, files=len(files), bytes=size),
            files=files,
        )
        write_json(work / NAME, record)
        if target.exists():
            msg = f"{target}: another back-up was made in the same second; run it again"
            raise BackUpError(msg)
        work.rename(target)
    return target, record


def _files(places: Places, work: Path) -> dict[str, Kept]:
    inside = places.inside
    storage = copy_files_out(
        places.storage, work / STORAGE, lambda key: inside is None or not key.startswith(f"{inside}/")
    )
    artifacts = copy_files_out(places.artifacts, work / ARTIFACTS)
    return {
        **{f"{STORAGE}/{key}": each for key, each in storage.items()},
        **{f"{ARTIFACTS}/{key}": each for key, each in artifacts.items()},
    }


def _counted(registry: Path, addresses: tuple[str, ...]) -> tuple[int, int, dict[str, str], int]:
    """Models, runs, the key of each version's artifacts, and how many runs and versions keep theirs elsewhere."""
    with closing(sqlite3.connect(registry)) as rows:
        models = rows.execute("select count(*) from registered_models").fetchone()[0]
        locations = [location for (location,) in rows.execute("select artifact_uri from runs")]
        found = rows.execute(_VERSIONS).fetchall()
    versions = {f"{name} version {number}": below(location or "", addresses) for name, number, location in found}
    elsewhere = sum(below(location or "", addresses) is None for location in locations)
    elsewhere += sum(key is None for key in versions.values())
    kept = {name: "" if key is None else key for name, key in versions.items()}
    return models, len(locations), kept, elsewhere


def _require_files(versions: dict[str, str], files: dict[str, Kept], places: Places) -> None:
    for name, key in versions.items():
        if key and f"{ARTIFACTS}/{key}/MLmodel" not in files:
            msg = (
                f"{places.artifacts.root}: holds no {key}/MLmodel of {name}; name the place where the MLflow server "
                "keeps artifacts with --artifacts, or delete the version if its files are lost"
            )
            raise BackUpError(msg)
