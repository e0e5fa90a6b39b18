"""A request to try a registered detector with: raw samples of the test part and what they score."""

import base64
import csv
import io
import json
import shutil
from pathlib import Path
from typing import cast

import numpy as np
from PIL import Image

from vae_pipeline.detector.detector import Detector
from vae_pipeline.detector.packed import Example
from vae_pipeline.detector.pairs import PairDetector
from vae_pipeline.detector.sounds import SoundDetector
from vae_pipeline.detector.windows import WindowDetector
from vae_pipeline.evaluation.challenge import raw_files, raw_test_columns, raw_windows
from vae_pipeline.evaluation.result import read_scored
from vae_pipeline.features.feature_set import FeatureSet, fold_folders
from vae_pipeline.features.image_set import ImageSet
from vae_pipeline.features.pair_set import PairSet
from vae_pipeline.records import Dataset
from vae_pipeline.storage import write_bytes, write_json

__all__ = ["write_example"]

WINDOWS = 5
"""Windows of a table, the last of which scores highest."""


def write_example(
    dataset: Dataset, features: Path, *, raw: Path, evaluation: Path, detector: Detector, folder: Path
) -> None:
    """Write ``example.json`` and the body beside it; nothing where no sample can be sent as it came.

    The sample is the highest score of the test part, and its score the one that evaluation wrote. Where evaluation
    scored by leave-out folds, with other detectors, it is the detector's own.

    Args:
        dataset: its medium says what a body is.
        features: the features folder of the detector.
        raw: the raw folder behind it.
        evaluation: the evaluation folder.
        detector: the one to be registered.
        folder: gets the files.
    """
    if dataset.medium == "table":
        found = _rows(FeatureSet.open(features), raw, evaluation, cast("WindowDetector", detector))
    elif dataset.medium == "sound":
        found = _clip(features, raw, evaluation, cast("SoundDetector", detector))
    elif dataset.medium == "image":
        found = _image(ImageSet.open(features), raw, evaluation)
    else:
        found = _pair(PairSet.open(features), raw, evaluation, cast("PairDetector", detector))
    if found is None:
        return
    example, content = found
    folder.mkdir(parents=True, exist_ok=True)
    if isinstance(content, Path):
        shutil.copyfile(content, folder / example.file)
    else:
        write_bytes(folder / example.file, content)
    write_json(folder / "example.json", example)


def _rows(features: FeatureSet, raw: Path, evaluation: Path, detector: WindowDetector) -> tuple[Example, bytes] | None:
    """The rows of a unit up to the highest score that has enough rows, all of them known, before it."""
    scored, ends = read_scored(evaluation)
    description = detector.description
    columns, feature_row = raw_test_columns(features, raw, description.inputs)
    inputs = np.stack([np.asarray(columns[name], dtype=np.float64) for name in description.inputs], axis=1)
    score_of = dict(zip(ends.tolist(), scored.score.tolist(), strict=True))
    for end in ends[np.argsort(-scored.score, kind="stable")].tolist():
        wanted = np.arange(end - WINDOWS - description.window + 2, end + 1)
        if wanted[0] < 0 or (features.row_unit[wanted] != features.row_unit[end]).any():
            continue
        place = np.searchsorted(feature_row, wanted)
        known = end - np.arange(WINDOWS)[::-1]
        if not np.isfinite(inputs[place]).all() or not all(row in score_of for row in known.tolist()):
            continue
        unit = features.unit_names[features.row_unit[end]]
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        roles = (description.unit_column, description.time_column)
        table.writerow([*(name for name in roles if name), *description.inputs])
        for row, values in zip(wanted.tolist(), inputs[place].tolist(), strict=True):
            served = zip(roles, (unit, f"{features.row_time[row]:.15g}"), strict=True)
            table.writerow([*(value for name, value in served if name), *(repr(value) for value in values)])
        scores = tuple(score_of[row] for row in known.tolist())
        return Example(file="rows.csv", content_type="text/csv", scores=scores), text.getvalue().encode()
    return None


def _clip(features: Path, raw: Path, evaluation: Path, detector: SoundDetector) -> tuple[Example, Path]:
    scored, codes = read_scored(evaluation)
    highest = int(np.argmax(scored.score))
    (file,) = raw_files(raw, [FeatureSet.open(features).unit_names[codes[highest]]])
    score = float(scored.score[highest])
    if fold_folders(features):
        score = float(detector.score_clips([file]).score[0])
    return Example(file="clip.wav", content_type="audio/wav", scores=(score,)), file


def _image(images: ImageSet, raw: Path, evaluation: Path) -> tuple[Example, Path] | None:
    scored, places = read_scored(evaluation)
    highest = int(np.argmax(scored.score))
    (file,) = raw_files(raw, [images.names[places[highest]]])
    kinds = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg"}
    kind = kinds.get(file.suffix.lower())
    if kind is None:
        return None
    example = Example(file=f"image{file.suffix.lower()}", content_type=kind, scores=(float(scored.score[highest]),))
    return example, file


def _pair(pairs: PairSet, raw: Path, evaluation: Path, detector: PairDetector) -> tuple[Example, bytes] | None:
    if detector.images.registration is not None:  # the image is not kept as it came
        return None
    scored, _ = read_scored(evaluation)
    highest = int(np.argmax(scored.score))
    paired = pairs.paired("test").subset(np.array([highest]))
    (window,) = raw_windows(pairs.windows, raw / "windows", paired.windows.ends, detector.windows.description)
    if not np.isfinite(window).all():
        return None
    png = io.BytesIO()
    Image.fromarray(paired.pixels[paired.images[0]]).save(png, "PNG")
    body = {"pairs": [{"window": window.tolist(), "image": base64.b64encode(png.getvalue()).decode()}]}
    example = Example(file="pair.json", content_type="application/json", scores=(float(scored.score[highest]),))
    return example, json.dumps(body).encode()
