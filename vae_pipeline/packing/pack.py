"""The champions of a line as one Bento: models into BentoML's store, the service around them."""

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from vae_pipeline.detector.detector import Detector
from vae_pipeline.detector.packed import DETECTOR, EXAMPLE, PACKED, PackedModel, read_example, read_packed
from vae_pipeline.errors import PackingError
from vae_pipeline.packing.store import COMPLETE, bentoml_home, run_bentoml
from vae_pipeline.processes import locked
from vae_pipeline.records import Line
from vae_pipeline.registry.shelf import Shelf, ShelfEntry
from vae_pipeline.settings import Settings
from vae_pipeline.storage import fingerprint, write_json

__all__ = ["PackedBento", "champions", "model_folder", "pack", "pack_model"]

_PACKAGE = Path(__file__).parents[1]
_LEAVES = ("__init__", "addresses", "errors", "logs", "processes", "records", "settings")
_ROOMS = ("calibration", "detector", "explanation", "features", "monitoring", "serving", "storage")
_SOURCES = ("__init__", "decoding", "wav")
_IMAGE_ENVIRONMENT = {
    "BENTOML_DO_NOT_TRACK": "True",
    "BENTOML_HOME": "/tmp/bentoml",  # noqa: S108 -- in the image: what it writes there is passing, and the root may be read-only
    "UV_NO_CACHE": "1",  # it would else be a layer of the image, as large as the packages themselves
}


class PackedBento(NamedTuple):
    """A Bento in the store.

    Attributes:
        tag: ``timeseries:0a1b…``.
        path: its folder.
        models: what it carries.
        new: whether it was built just now; the same models and code give the same tag.
    """

    tag: str
    path: Path
    models: tuple[PackedModel, ...]
    new: bool


def champions(shelf: Shelf, line: Line) -> list[ShelfEntry]:
    """The champions of a line, by dataset.

    Raises:
        PackingError: there are none; the message says how to make one.
    """
    found = shelf.champions(line)
    if not found:
        msg = f"{line} has no champion to pack yet; make one with: vae-pipeline run {line} DATASET"
        raise PackingError(msg)
    return found


def pack_model(shelf: Shelf, entry: ShelfEntry, folder: Path) -> PackedModel:
    """Write a registered version as a service reads it: ``model.json``, ``detector/`` and ``example/``."""
    shutil.copytree(shelf.folder(entry.name, entry.version, DETECTOR), folder / DETECTOR)
    example = None
    if (given := shelf.find_folder(entry.name, entry.version, EXAMPLE)) is not None:
        shutil.copytree(given, folder / EXAMPLE)
        example = read_example(folder / EXAMPLE)
    packed = PackedModel(
        name=entry.name,
        line=entry.line,  # type: ignore[arg-type]
        dataset=entry.dataset,
        medium=Detector.load(folder / DETECTOR).description.medium,
        version=entry.version,
        data_version=entry.data_version,
        trained=entry.created,
        metrics={name: value for name, value in sorted(entry.metrics.items()) if name.startswith("test_")},
        example=example,
    )
    write_json(folder / PACKED, packed)
    return packed


def pack(settings: Settings, shelf: Shelf, line: Line) -> PackedBento:
    """The Bento of a line's champions, built if there is none of these models and this code yet.

    Raises:
        PackingError: there is no champion, the store cannot be written, or BentoML failed.
    """
    entries = champions(shelf, line)
    with _told(line):
        return _packed(settings, shelf, line, entries)


def _packed(settings: Settings, shelf: Shelf, line: Line, entries: Sequence[ShelfEntry]) -> PackedBento:
    home = bentoml_home(settings)
    with locked(home), tempfile.TemporaryDirectory() as work:
        context = Path(work)
        _write_source(line, context)
        models, tags = [], []
        for entry in entries:
            name, version = _model_tag(entry)
            kept = home / "models" / name / version
            with _completed(kept) as missing:
                if missing:
                    _import_model(shelf, entry, kept)
            tags.append(f"{name}:{version}")
            models.append(read_packed(kept))
        (context / "models.txt").write_text("".join(f"{tag}\n" for tag in tags))
        sources = {str(file.relative_to(context)): file.read_text() for file in sorted(context.rglob("*.*"))}
        described = _bentofile(settings, line, models, tags)
        version = fingerprint(sources, described)
        tag = f"{line}:{version}"
        path = home / "bentos" / line / version
        with _completed(path) as new:
            if new:
                (context / "bentofile.yaml").write_text(yaml.safe_dump(described, sort_keys=False))
                run_bentoml(settings, "build", "--version", version, str(context), folder=context)
        os.utime(path)  # the newest stay when old ones are removed
    return PackedBento(tag, path, tuple(models), new)


@contextlib.contextmanager
def _completed(folder: Path) -> Iterator[bool]:
    """Whether a folder has yet to be made in the block; what an earlier one left that was cut off is removed."""
    missing = not (folder / COMPLETE).is_file()
    if missing and folder.exists():
        shutil.rmtree(folder)
    yield missing
    if missing:
        (folder / COMPLETE).touch()


@contextlib.contextmanager
def _told(line: Line) -> Iterator[None]:
    """Turn refusals of the operating system and of BentoML into one sentence.

    Raises:
        PackingError: instead of them.
    """
    from bentoml.exceptions import BentoMLException

    try:
        yield
    except OSError as error:
        why = f"{line} could not be packed ({error.strerror or error})"
        msg = f"{error.filename or 'BENTOML_HOME'}: {why}; see to it, or set BENTOML_HOME to another disk"
        raise PackingError(msg) from error
    except BentoMLException as error:
        msg = f"{line} could not be packed: BentoML says {' '.join(str(error).split())}"
        raise PackingError(msg) from error


def model_folder(packed: PackedBento, model: PackedModel) -> Path:
    """Where a model of a Bento lies in BentoML's store.

    Raises:
        PackingError: it is not there any more.
    """
    models = packed.path.parents[2] / "models"
    for tag in (packed.path / "src/models.txt").read_text().split():
        name, _, version = tag.partition(":")
        folder = models / name / version
        if (folder / PACKED).is_file() and read_packed(folder) == model:
            return folder
    msg = f"{models}: {model.name} version {model.version} is not there any more; pack the line again"
    raise PackingError(msg)


def _bentofile(settings: Settings, line: Line, models: list[PackedModel], tags: list[str]) -> dict[str, Any]:
    """What BentoML builds a Bento and its image from."""
    listed = "\n".join(f"- {model.name} version {model.version}" for model in models)
    return {
        "service": f"service:{line.capitalize()}",
        "name": line,
        "description": f"Champions of the line {line}:\n\n{listed}\n",
        "labels": {model.name: str(model.version) for model in models},
        "include": ["service.py", "models.txt", "requirements.txt", "sbom.cdx.json", "vae_pipeline/**"],
        "models": tags,
        "envs": [{"name": name, "value": value} for name, value in _IMAGE_ENVIRONMENT.items()],
        "docker": {"base_image": settings.base_image} if settings.base_image else {},
    }


def _import_model(shelf: Shelf, entry: ShelfEntry, into: Path) -> None:
    """Into BentoML's store, by its own API, in the store that ``into`` lies in."""
    import bentoml
    from bentoml._internal.models import ModelStore

    store = into.parents[1]
    store.mkdir(parents=True, exist_ok=True)
    with bentoml.models.create(
        f"{into.parent.name}:{into.name}",
        labels={"registered": entry.name, "version": str(entry.version)},
        metadata={"data_version": entry.data_version},
        _model_store=ModelStore(store),
    ) as model:
        pack_model(shelf, entry, Path(model.path))


def _model_tag(entry: ShelfEntry) -> tuple[str, str]:
    """Name and version in BentoML's store, which knows no upper case and few signs."""
    name = re.sub(r"[^a-z0-9_.-]+", "-", entry.name.lower()).strip("-.")
    return name, f"{entry.version}-{fingerprint(entry.name, entry.version, entry.evaluation_version)[:8]}"


def _write_source(line: Line, context: Path) -> None:
    """The service and the rooms it loads."""
    source = _bentos()
    shutil.copyfile(source / line / "service.py", context / "service.py")
    for pinned in ("requirements.txt", "sbom.cdx.json"):
        shutil.copyfile(source / pinned, context / pinned)
    package = context / "vae_pipeline"
    without = shutil.ignore_patterns("__pycache__")
    for room in _ROOMS:
        shutil.copytree(_PACKAGE / room, package / room, ignore=without)
    (package / "sources").mkdir()
    for name in _SOURCES:
        shutil.copyfile(_PACKAGE / "sources" / f"{name}.py", package / "sources" / f"{name}.py")
    for name in _LEAVES:
        shutil.copyfile(_PACKAGE / f"{name}.py", package / f"{name}.py")


def _bentos() -> Path:
    """The folder ``bentos``: inside an installed package, beside it in a checkout."""
    candidates: Sequence[Path] = (Path(__file__).with_name("bentos"), _PACKAGE.parent / "bentos")
    found = next((folder for folder in candidates if (folder / "requirements.txt").is_file()), None)
    if found is None:
        msg = f"{candidates[1]}: is missing, so nothing can be packed; install vae-pipeline again"
        raise PackingError(msg)
    return found
