"""Scoring many files with one version of a model: here one by one, or on a Ray cluster side by side."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from vae_pipeline.cluster import results
from vae_pipeline.errors import SettingError, VaePipelineError
from vae_pipeline.records import Dataset
from vae_pipeline.score_files import beside, score_file
from vae_pipeline.settings import Settings, load_settings

if TYPE_CHECKING:
    from vae_pipeline.detector.detector import Detector

__all__ = ["score_batch"]

_TABLES = (".csv", ".parquet", ".pq")
_OWN = ".scores"
"""In the names of files that scoring writes."""

Tell = Callable[[str], object]


def score_batch(
    name: str,
    version: int,
    dataset: Dataset,
    files: Sequence[Path],
    out: Path | None,
    maps: Path | None,
    settings: Settings,
    tell: Tell,
    warn: Tell,
    readings: Dataset | None = None,
) -> int:
    """Score every file by itself; gives how many could not be scored.

    Args:
        name: of the registered model.
        version: of it; the nodes of a cluster fetch it each for themselves.
        dataset: says how its files are read.
        files: as `score_file` takes them; a folder of tables stands for the tables in it.
        out: folder for the scores; beside each file when left out.
        maps: folder for maps of images, those of a folder of images in a folder of its name.
        settings: say whether a cluster is used.
        tell: called with a sentence for every file, in their order.
        warn: called with the sentence of one that could not be scored.
        readings: of pairs the dataset of their tables, as `score_file` takes it.

    Raises:
        SettingError: two files would be written to one place, or the cluster does not answer.
    """
    every = [each for file in files for each in _expanded(file, dataset)]
    targets = [_target(file, out) for file in every]
    _require_apart("--out: the scores", targets)
    if maps:
        _require_apart("--maps: the maps", [_map_place(file, maps) for file in every])
    calls = [
        (name, version, dataset, file, target, maps and _maps_of(file, maps), readings)
        for file, target in zip(every, targets, strict=True)
    ]
    found = results(_score, calls, settings) if settings.executor == "ray" else _one_by_one(calls)
    failed = 0
    ends = tqdm(zip(every, found, strict=True), desc="scoring", unit=" files", total=len(calls), disable=None)
    for file, ended in ends:
        if isinstance(ended, VaePipelineError):
            failed += 1
            warn(str(ended) if str(file) in str(ended) else f"{file}: {ended}")
        else:
            tell(ended)
    return failed


def _one_by_one(calls: Sequence[tuple[Any, ...]]) -> Iterator[str | VaePipelineError]:
    for call in calls:
        try:
            yield _score(*call)
        except VaePipelineError as error:
            yield error


def _score(
    name: str, version: int, dataset: Dataset, file: Path, out: Path, maps: Path | None, readings: Dataset | None
) -> str:
    return score_file(_detector(name, version), dataset, file, out, maps, readings=readings)


@cache
def _detector(name: str, version: int) -> "Detector":
    """A version, fetched once by each process."""
    from vae_pipeline.detector.detector import Detector
    from vae_pipeline.registry.shelf import Shelf
    from vae_pipeline.registry.tracking import Tracker

    return Detector.load(Shelf(Tracker(load_settings())).detector_folder(name, version))


def _expanded(file: Path, dataset: Dataset) -> list[Path]:
    """The tables of a folder; anything else is scored as one."""
    if dataset.medium != "table" or not file.is_dir():
        return [file.resolve()]
    tables = [path for path in sorted(file.resolve().iterdir()) if path.suffix.lower() in _TABLES]
    own = [path for path in tables if path.stem.endswith(_OWN)]
    return [path for path in tables if path not in own] or [file.resolve()]


def _target(file: Path, out: Path | None) -> Path:
    target = beside(file)
    return out.resolve() / target.name if out else target


def _maps_of(file: Path, maps: Path) -> Path:
    """The folder for the maps of a file, or of a folder's files."""
    return maps.resolve() / file.name if file.is_dir() else maps.resolve()


def _map_place(file: Path, maps: Path) -> Path:
    """What only one of several files or folders may write."""
    folder = _maps_of(file, maps)
    return folder if file.is_dir() else folder / file.name


def _require_apart(what: str, targets: Sequence[Path]) -> None:
    twice = [str(target) for target, count in Counter(targets).items() if count > 1]
    if twice:
        option = what.partition(":")[0]
        msg = f"{what} of several files would be written to {twice[0]}; rename one, or leave {option} away"
        raise SettingError(msg)
