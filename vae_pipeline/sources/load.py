"""The room's entry: any dataset of the catalogue as a folder of canonical tables, and the version of its raw input."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pandas as pd

from vae_pipeline.errors import CatalogError, DataError
from vae_pipeline.records import Archive, Dataset
from vae_pipeline.settings import Settings
from vae_pipeline.sources import cmapss, sample, sample_product, sample_sound, table
from vae_pipeline.sources.archives import archives_of, extracted, fetched_archive, local_archive
from vae_pipeline.sources.batches import Version, joined, newest_version
from vae_pipeline.sources.download import noted, sha256_of
from vae_pipeline.sources.mirror import Mirror, NotDeliveredError
from vae_pipeline.sources.picture_layout import find_pictures
from vae_pipeline.sources.pictures import read_pictures
from vae_pipeline.sources.recordings import find_recordings, read_recordings
from vae_pipeline.storage import fingerprint, open_storage, told, write_json

__all__ = ["SOURCE", "load", "read_table", "source_version"]

SOURCE = "source.json"
_READERS = 1  # counts up whenever the same raw input gives other tables
_INFERRING = 2  # likewise, of tables whose sensors are not stated
_SAMPLES: dict[str, Any] = {
    "sample_turbofan": sample,
    "sample_machine_sound": sample_sound,
    "sample_product": sample_product,
}


def load(dataset: Dataset, settings: Settings, folder: Path, version: Version | None = None) -> dict[str, Any]:
    """Write ``train.parquet``, ``test.parquet`` (if the dataset has a test part) and ``source.json`` into ``folder``.

    Of recordings and images the tables are an index, one row a file, and the files lie in ``files/``. Gives what
    ``source.json`` says: name, title, kind, licence, citation, origin, sha256, parts (rows and units of each), the
    names of the sensors and settings in use and of the columns left out, the number of the version and its batches.

    Args:
        dataset: the catalogue's entry.
        settings: where raw data and batches are.
        folder: receives the files.
        version: whose batches are added to the dataset's own data; the newest when left out.

    Raises:
        SourceError: the raw data cannot be brought in.
        DataError: they are unfit.
        StorageError: the folder cannot be written.
    """
    root = _raw_folder(dataset, settings)
    linked = root.is_relative_to(settings.home)  # nobody changes what was unpacked or generated there
    sensors: list[str] = []
    used_settings: list[str] = []
    left_out: list[str] = []
    if dataset.medium == "image":
        parts = read_pictures(dataset, root, folder, linked=linked)
    elif dataset.medium == "sound":
        parts = read_recordings(dataset, root, folder, linked=linked)
    elif dataset.kind == "table":
        parts, roles = table.read_table_files(dataset, root)
        sensors, used_settings, left_out = list(roles.sensors), list(roles.settings), list(roles.left_out)
    else:
        parts = cmapss.read_cmapss(dataset, root)
        sensors = list(dataset.columns.sensors or cmapss.SENSORS)
        used_settings = list(dataset.columns.settings or cmapss.SETTINGS)
    version = newest_version(open_storage(settings), dataset) if version is None else version
    batches: list[dict[str, str | int]] = []
    if version.batches:
        parts, batches = joined(dataset, open_storage(settings), version, parts, folder)
    origin, sha256 = _identity(dataset, settings, root)
    source = {
        "name": dataset.name,
        "title": dataset.title,
        "kind": dataset.kind,
        "licence": dataset.licence,
        "citation": dataset.citation,
        "origin": origin,
        "sha256": sha256,
        "parts": {part: {"rows": len(frame), "units": int(frame["unit"].nunique())} for part, frame in parts.items()},
        "sensors": sensors,
        "settings": used_settings,
        "left_out": left_out,
        "dataset_version": version.number,
        "batches": batches,
    }
    with told(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for part, frame in parts.items():
            frame.to_parquet(folder / f"{part}.parquet", index=False)
    write_json(folder / SOURCE, source)
    return source


def read_table(folder: Path, part: str) -> pd.DataFrame:
    """A part's canonical table from a folder that ``load`` filled; ``part`` is ``train`` or ``test``.

    Raises:
        DataError: the folder has no such part.
    """
    file = folder / f"{part}.parquet"
    if not file.is_file():
        msg = f"{file}: there is no such part; materialize the raw data again, or use a dataset that has it"
        raise DataError(msg)
    try:
        return pd.read_parquet(file)
    except (OSError, ValueError) as error:
        msg = f"{file}: cannot be read ({' '.join(str(error).split())}); materialize the raw data again"
        raise DataError(msg) from error


def source_version(dataset: Dataset, settings: Settings, version: Version | None = None) -> str:
    """A short text that changes when the raw input or its reading changes; nothing big is read or downloaded.

    An archive counts by its stated sha256 and, where a mirror folder is set, by what the mirror holds; a local file
    by size and time of change; a sample by its generator; batches by their ids. ``version`` is as in `load`.

    Raises:
        DataError: a stated file is missing.
    """
    reading = dataset.model_dump(mode="json", include=_read_by(dataset))
    version = newest_version(open_storage(settings), dataset) if version is None else version
    # nothing is added for what says nothing: what is kept keeps its data version
    added: list[Any] = [version.batches] if version.batches else []
    if dataset.kind == "table" and dataset.columns.sensors is None:
        added.append(_INFERRING)
    return fingerprint(_READERS, reading, _input_version(dataset, settings), *added)


def _read_by(dataset: Dataset) -> set[str]:
    """The fields that say how the raw input is read."""
    shared = {"name", "kind", "files", "columns", "labels", "generator"}
    return shared if dataset.medium == "table" else {*shared, "members", "imaging", "sound"}


def _input_version(dataset: Dataset, settings: Settings) -> list[Any]:
    if dataset.kind in _SAMPLES:
        return [_SAMPLES[dataset.kind].VERSION]
    if dataset.folder is None and dataset.archive is not None:
        versions = [_archive_version(archive, dataset, settings) for archive in archives_of(dataset)]
        # one archive alone is told as it always was: what is kept keeps its version
        return [dataset.archive.inner, *(versions[0] if len(versions) == 1 else versions)]
    root = extracted(dataset, settings)
    return [_stat(path) for path in _raw_files(dataset, root)]


def _archive_version(archive: Archive, dataset: Dataset, settings: Settings) -> list[Any]:
    local = local_archive(archive, dataset)
    if local:
        return [_stat(local)]
    if settings.data_mirror is None:
        return [archive.sha256 or noted(archive, settings) or archive.url or archive.path]
    mirror = Mirror(settings.data_mirror)
    # What a mirror states must not depend on whether the download has happened yet: the version would change by itself
    if mirror.folder:
        held = mirror.folder / archive.path
        return [archive.sha256, _stat(held) if held.is_file() else None]
    if archive.sha256:
        return [archive.sha256]
    try:
        return [mirror.listed(archive.path)]
    except NotDeliveredError:
        return [noted(archive, settings)]


def _stat(path: Path) -> str:
    with told(path):
        stat = path.stat()
    return f"{path.name}:{stat.st_size}:{stat.st_mtime_ns}"


def _raw_folder(dataset: Dataset, settings: Settings) -> Path:
    if dataset.kind not in _SAMPLES:
        return extracted(dataset, settings)
    generator = _SAMPLES[dataset.kind]
    name = f"{dataset.name}-{fingerprint(generator.VERSION, dataset.name, dataset.generator)}"
    return generator.generate(dataset, settings.home / "extracted" / name)


def _raw_files(dataset: Dataset, root: Path) -> list[Path]:
    if dataset.medium == "image":
        places = find_pictures(dataset, root)
        return [path for place in places for path in (place.path, place.mask) if path is not None]
    if dataset.medium == "sound":
        return [clip.path for clip in find_recordings(root, bare=dataset.kind == "recordings")]
    if dataset.kind != "table":
        return list(cmapss.find_files(dataset, root))
    if dataset.files is None:
        msg = f"dataset {dataset.name!r}: a table needs 'files: {{train: ...}}' in the catalogue"
        raise CatalogError(msg)
    stated = dataset.files
    patterns = (stated.train, stated.test, stated.train_labels, stated.test_labels)
    return [path for pattern in patterns if pattern for path in table.find_files(root, pattern)]


def _identity(dataset: Dataset, settings: Settings, root: Path) -> tuple[str, str]:
    """Where the data came from, and the sha256 of the archive or over the hashes of the raw files."""
    if dataset.kind not in _SAMPLES and dataset.folder is None and dataset.archive is not None:
        fetched = fetched_archive(dataset, settings)[1]
        return fetched.origin, fetched.sha256
    with told(root):
        lines = [f"{sha256_of(path)}  {path.name}\n" for path in _raw_files(dataset, root)]
    origin = "generated " + json.dumps(dataset.generator) if dataset.kind in _SAMPLES else str(root)
    return origin, hashlib.sha256("".join(lines).encode()).hexdigest()
