"""A file of new data to reports that say why: a table's rows, a recording, an image, or a folder of the last two."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from vae_pipeline.errors import DetectorError
from vae_pipeline.evaluation.explain import Reported, write_report
from vae_pipeline.evaluation.explanation_figures import image_figure, window_figure
from vae_pipeline.records import Dataset
from vae_pipeline.score_files import files_of, require_medium

if TYPE_CHECKING:
    from vae_pipeline.detector.detector import Detector
    from vae_pipeline.detector.images import ImageDetector
    from vae_pipeline.detector.pairs import PairDetector
    from vae_pipeline.detector.sounds import SoundDetector
    from vae_pipeline.detector.windows import WindowDetector
    from vae_pipeline.explanation.explanation import Explanation

__all__ = ["explain_file"]

_RANKED = 5


def explain_file(
    detector: "Detector",
    dataset: Dataset,
    file: Path,
    *,
    row: int | None = None,
    top: int = 1,
    out: Path | None = None,
    sensors: Sequence[str] = (),
    readings: Dataset | None = None,
) -> str:
    """Explain ``file`` and write a record and a page for each anomaly; gives the rankings and where they lie.

    Args:
        detector: of the dataset.
        dataset: says how its files are read.
        file: a table, or a wav file, an image or a folder of these.
        row: of a table, from 1: the window that ends there; the windows of highest score when left out.
        top: how many of the highest scores.
        out: a folder; ``<file>.explained`` beside the file when left out.
        sensors: those to tell of; all when left out.
        readings: of pairs the dataset of their tables, as `score_file` takes it.

    Raises:
        DataError: a file cannot be read; the message names it.
        DetectorError: a sensor or row is not there, or the data are not what the detector reads.
        StorageError: the reports cannot be written.
    """
    require_medium(detector, dataset)
    if top < 1:
        msg = f"--top {top}: at least one anomaly has to be explained"
        raise DetectorError(msg)
    if dataset.medium not in ("table", "pair") and row is not None:
        msg = f"--row {row}: {dataset.name} holds no tables; leave it out"
        raise DetectorError(msg)
    if dataset.medium == "image":
        if sensors:
            msg = f"--sensors {','.join(sensors)}: {dataset.name} holds images, which have no sensors; leave it out"
            raise DetectorError(msg)
        found = list(_images(cast("ImageDetector", detector), file, top))
    elif dataset.medium == "pair":
        found = list(_pairs(cast("PairDetector", detector), readings or dataset, file, row, top, sensors))
    elif dataset.medium == "sound":
        found = list(_clips(cast("SoundDetector", detector), file, top, sensors))
    else:
        found = list(_rows(cast("WindowDetector", detector), dataset, file, row, top, sensors))
    folder = out or file.with_name(f"{file.name}.explained")
    told = []
    for number, one in enumerate(found, start=1):
        name = f"{number:02d}_{_plain(one.explanation.name)}"
        write_report(folder, name, one)
        told.append(_sentence(one.explanation, folder / f"{name}.html"))
    return "\n".join(told)


def _rows(
    detector: "WindowDetector", dataset: Dataset, file: Path, row: int | None, top: int, sensors: Sequence[str]
) -> Iterator[Reported]:
    from vae_pipeline.sources.readings import read_readings

    detector.require_sensors(sensors)
    readings = read_readings(file, dataset, detector.description.inputs)
    columns = {str(column): readings[column].to_numpy() for column in readings}
    try:
        explanations = detector.explain_table(columns, None if row is None else [row - 1], top=top)
    except DetectorError as error:
        msg = f"{file}: {error}"
        raise DetectorError(msg) from error
    if not explanations:
        msg = f"{file}: no unit has the {detector.description.window} rows that a window needs; bring more rows"
        raise DetectorError(msg)
    yield from (_pictured(_only(explanation, sensors)) for explanation in explanations)


def _pairs(
    detector: "PairDetector", dataset: Dataset, file: Path, row: int | None, top: int, sensors: Sequence[str]
) -> Iterator[Reported]:
    from vae_pipeline.pair_files import PairFile

    detector.windows.require_sensors(sensors)
    pairs = PairFile(detector, dataset, file)
    if row is None:
        scores = [detector.score_pairs(windows, images).score for _, windows, images in pairs.batches()]
        highest = np.argsort(-np.concatenate([np.empty(0), *scores]), kind="stable")[:top]
        chosen = pairs.rows[highest]
    else:
        chosen = pairs.rows[pairs.rows == row - 1]
    if not len(chosen):
        msg = f"{file}: no pair is there; a row has to name an image or to end a window of its unit"
        raise DetectorError(msg)
    names = [f"row {place + 1}" for place in chosen]
    for explanation in detector.explain_pairs(*pairs.taken(chosen), names):
        yield _pictured(_only(explanation, sensors))


def _clips(detector: "SoundDetector", file: Path, top: int, bands: Sequence[str]) -> Iterator[Reported]:
    detector.require_sensors(bands)
    files = files_of(file, (".wav",), "wav file")
    scores = detector.score_clips(files).score
    highest = [files[place] for place in np.argsort(-scores, kind="stable")[:top]]
    yield from (_pictured(_only(explanation, bands)) for explanation in detector.explain_clips(highest))


def _images(detector: "ImageDetector", file: Path, top: int) -> Iterator[Reported]:
    from vae_pipeline.features.pictures import decode_picture
    from vae_pipeline.sources.decoding import SUFFIXES

    files = files_of(file, tuple(SUFFIXES), "image")
    scores = np.array([scored.score for scored in detector.score_pictures(files)])
    highest = [files[place] for place in np.argsort(-scores, kind="stable")[:top]]
    for path, explained in zip(highest, detector.explain_pictures(highest), strict=True):
        image = decode_picture(path, str(path), detector.description.imaging.max_pixels)
        level = detector.description.map_level
        yield Reported(explained.explanation, image_figure(image, explained.map, explained.regions, level, None))


def _pictured(explanation: "Explanation") -> Reported:
    return Reported(explanation, window_figure(explanation))


def _only(explanation: "Explanation", sensors: Sequence[str]) -> "Explanation":
    """The explanation with some sensors alone; their shares stay those among all."""
    if not sensors:
        return explanation
    kept = tuple(sensor for sensor in explanation.sensors if sensor.name in sensors)
    return explanation.model_copy(update={"sensors": kept, "start": kept[0].start, "end": kept[0].end})


def _plain(name: str) -> str:
    """A name that any file system takes."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", name).strip("._")[:80] or "anomaly"


def _sentence(explanation: "Explanation", page: Path) -> str:
    decision = "alarm" if explanation.alarm else "no alarm"
    lines = [f"{explanation.name}: {decision}, score {explanation.score:.3f}, threshold {explanation.threshold:.3f}"]
    for rank, sensor in enumerate(explanation.sensors[:_RANKED], start=1):
        when = "" if sensor.start is None or sensor.end is None else f", rows {sensor.start + 1} to {sensor.end + 1}"
        lines.append(f"  {rank}. {sensor.name}  {sensor.share:.0%} of the evidence{when}")
    lines += [f"  {side.name}: {side.share:.0%} of the surprise" for side in explanation.modalities]
    for rank, region in enumerate(explanation.regions[:_RANKED], start=1):
        place = f"{region.width} x {region.height} pixels at ({region.left}, {region.top})"
        lines.append(f"  {rank}. {place}  {region.share:.0%} of what stands out")
    return "\n".join([*lines, f"  {page}"])
