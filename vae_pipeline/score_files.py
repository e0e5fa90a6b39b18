"""Files of new data to a file of scores: a table, a recording, an image, or a folder of the last two."""

import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from vae_pipeline.errors import DataError, DetectorError
from vae_pipeline.records import Dataset
from vae_pipeline.storage import told, write_bytes

if TYPE_CHECKING:
    import pandas as pd
    from tqdm import tqdm

    from vae_pipeline.detector.detector import Detector
    from vae_pipeline.detector.images import ImageDetector
    from vae_pipeline.detector.pairs import PairDetector
    from vae_pipeline.detector.sounds import SoundDetector
    from vae_pipeline.detector.windows import WindowDetector

__all__ = ["beside", "files_of", "require_medium", "score_file"]

_GREY_OF_LEVEL = 128


def score_file(
    detector: "Detector",
    dataset: Dataset,
    file: Path,
    out: Path | None,
    maps: Path | None,
    *,
    readings: Dataset | None = None,
) -> str:
    """Score ``file`` and write the scores; gives a sentence on what came out.

    Args:
        detector: of the dataset.
        dataset: says how its files are read.
        file: a table, or a wav file, an image or a folder that holds some at any depth.
        out: CSV or Parquet; ``<file>.scores.csv`` beside the file when left out.
        maps: folder for the maps of images as PNG.
        readings: of pairs the dataset of their tables, which says how these are read; as plain CSV or Parquet when
            left out.

    Raises:
        DataError: a file cannot be read; the message names it.
        DetectorError: the data are not what the detector reads.
        StorageError: the scores cannot be written.
    """
    if maps is not None and dataset.medium != "image":
        msg = f"--maps {maps}: {dataset.name} holds no images; leave it out"
        raise DetectorError(msg)
    require_medium(detector, dataset)
    if dataset.medium == "table":
        scored, noun = _table(cast("WindowDetector", detector), dataset, file), "windows"
    elif dataset.medium == "pair":
        scored, noun = _pairs(cast("PairDetector", detector), readings or dataset, file), "pairs"
    elif dataset.medium == "sound":
        scored, noun = _clips(cast("SoundDetector", detector), file), "clips"
    else:
        scored, noun = _images(cast("ImageDetector", detector), file, maps), "images"
    target = out or beside(file)
    if target.suffix.lower() in (".parquet", ".pq"):
        buffer = io.BytesIO()
        scored.to_parquet(buffer, index=False)
        write_bytes(target, buffer.getvalue())
    else:
        write_bytes(target, scored.to_csv(index=False).encode())
    return f"{target}: {len(scored):,} {noun}, {int(scored['alarm'].sum()):,} alarms"


def require_medium(detector: "Detector", dataset: Dataset) -> None:
    """Refuse a detector of another medium than the dataset is of now.

    Raises:
        DetectorError: it is.
    """
    if detector.description.medium != dataset.medium:
        msg = (
            f"{detector.description.name}: was fitted on data of medium {detector.description.medium} and "
            f"{dataset.name} is {dataset.medium} now; train it again"
        )
        raise DetectorError(msg)


def _bar(unit: str, total: int | None = None) -> "tqdm":
    from tqdm import tqdm

    return tqdm(desc="scoring", unit=f" {unit}", unit_scale=total is None, total=total, disable=None)


def _table(detector: "WindowDetector", dataset: Dataset, file: Path) -> "pd.DataFrame":
    from vae_pipeline.sources.readings import read_readings

    readings = read_readings(file, dataset, detector.description.inputs)
    columns = {str(column): readings[column].to_numpy() for column in readings}
    try:
        with _bar("windows") as bar:
            scores = detector.score_table(columns, progress=bar.update)
    except DetectorError as error:
        msg = f"{file}: {error}"
        raise DetectorError(msg) from error
    if scores.short_units:
        short = f"{len(scores.short_units)} units have fewer than {detector.description.window} rows and no score"
        print(f"{short}: {', '.join(scores.short_units[:10])}", file=sys.stderr)
    keep = [column for column in (dataset.columns.unit, dataset.columns.time) if column in readings]
    return (
        readings[keep]
        .iloc[scores.row]
        .assign(
            row=scores.row + 1, score=scores.score, alarm=scores.alarm, threshold=detector.description.threshold.value
        )
    )


def _pairs(detector: "PairDetector", dataset: Dataset, file: Path) -> "pd.DataFrame":
    from vae_pipeline.pair_files import PairFile

    pairs, found = PairFile(detector, dataset, file), []
    with _bar("pairs", len(pairs.rows)) as bar:
        for _, windows, images in pairs.batches():
            found.append(detector.score_pairs(windows, images, progress=bar.update))
    joined = {
        name: np.concatenate([getattr(each, field) for each in found]) if found else np.empty(0)
        for name, field in (("score", "score"), ("alarm", "alarm"), ("window", "windows"), ("picture", "images"))
    }
    schema, threshold = detector.description.windows, detector.description.threshold.value
    keep = [column for column in (schema.unit_column, schema.time_column, "image") if column in pairs.readings]
    rows = pairs.readings[keep].iloc[pairs.rows]
    return rows.assign(row=pairs.rows + 1, **joined, threshold=threshold)


def _clips(detector: "SoundDetector", file: Path) -> "pd.DataFrame":
    import pandas as pd

    files = files_of(file, (".wav",), "wav file")
    with _bar("clips", len(files)) as bar:
        scores = detector.score_clips(files, progress=bar.update)
    names = [_name(path, file) for path in files]
    threshold = detector.description.threshold.value
    return pd.DataFrame({"clip": names, "score": scores.score, "alarm": scores.alarm, "threshold": threshold})


def _images(detector: "ImageDetector", file: Path, maps: Path | None) -> "pd.DataFrame":
    import pandas as pd

    from vae_pipeline.sources.decoding import SUFFIXES

    files = files_of(file, tuple(SUFFIXES), "image")
    rows = []
    threshold = detector.description.threshold.value
    with _bar("images", len(files)) as bar:
        for path, scored in zip(files, detector.score_pictures(files), strict=True):
            name = _name(path, file)
            rows.append({"image": name, "score": scored.score, "alarm": scored.alarm, "threshold": threshold})
            if maps is not None:
                _write_map(maps / f"{name}.map.png", scored.map, detector.description.map_level)
            bar.update(1)
    return pd.DataFrame(rows)


def _write_map(path: Path, score_map: np.ndarray, level: float) -> None:
    from PIL import Image

    grey = np.clip(score_map * (_GREY_OF_LEVEL / max(level, 1e-9)), 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(grey).save(buffer, "png")
    write_bytes(path, buffer.getvalue())


def files_of(file: Path, suffixes: tuple[str, ...], kind: str) -> list[Path]:
    """The file itself, or those of the right kind in the folder, by name.

    Raises:
        DataError: there is none; the message names the kind.
    """
    if file.is_file():
        return [file]
    if not file.is_dir():
        msg = f"{file}: there is no such file or folder"
        raise DataError(msg)
    with told(file):
        found = sorted(_below(file, suffixes))
    if not found:
        msg = f"{file}: holds no {kind} ({', '.join(suffixes)}); name a file or another folder"
        raise DataError(msg)
    return found


def beside(file: Path) -> Path:
    """Where scores go when nothing is said; a folder may be named ``.``."""
    place = file.resolve() if file.name in ("", "..") else file
    return place.with_name(f"{place.name if file.is_dir() else place.stem}.scores.csv")


def _below(folder: Path, suffixes: tuple[str, ...]) -> Iterator[Path]:
    for path in folder.rglob("*"):
        if path.suffix.lower() in suffixes and path.is_file():
            yield path


def _name(path: Path, file: Path) -> str:
    return path.relative_to(file).as_posix() if file.is_dir() else path.name
