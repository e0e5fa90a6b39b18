"""Challenger against champion on the same raw test data, each with its own scaling and size."""

from collections.abc import Mapping
from pathlib import Path
from typing import cast

import numpy as np
import pyarrow.parquet as pq

from vae_pipeline.detector.description import WindowDescription
from vae_pipeline.detector.detector import Detector
from vae_pipeline.detector.images import ImageDetector
from vae_pipeline.detector.pairs import PairDetector
from vae_pipeline.detector.sounds import SoundDetector
from vae_pipeline.detector.windows import WindowDetector
from vae_pipeline.errors import DataError, DetectorError
from vae_pipeline.evaluation.metrics import Scored
from vae_pipeline.evaluation.promotion import Decision, compare, unopposed
from vae_pipeline.evaluation.result import read_evaluation, read_scored
from vae_pipeline.features.arrow import to_numpy
from vae_pipeline.features.feature_set import FeatureSet, fold_folders
from vae_pipeline.features.image_set import ImageSet
from vae_pipeline.features.pair_set import PairSet
from vae_pipeline.records import Dataset

__all__ = ["challenge", "challenge_windows", "raw_files", "raw_test_columns", "raw_windows"]

PAIRS = 256
"""Pairs whose images are in memory at a time."""


def challenge(
    dataset: Dataset,
    features: Path,
    *,
    raw: Path,
    evaluation: Path,
    challenger: Detector,
    champion: Detector | None,
    champion_metrics: Mapping[str, float],
) -> Decision:
    """Decide by the rule of `compare`, on windows, clips or images that both can score.

    Where figures come from leave-out folds there is no test part that the champion has not been fitted on: then the
    two leave-out ROC-AUCs are compared. Against a champion that cannot be compared the challenger has to keep the floor
    of a first one (`unopposed`).

    Args:
        dataset: its medium says what is compared, its label rule what a false alarm is.
        features: the challenger's features folder.
        raw: the raw folder behind it.
        evaluation: the challenger's evaluation folder.
        challenger: the newly registered detector.
        champion: the present one, if there is one.
        champion_metrics: the champion's figures as registered (``test_roc_auc``).
    """
    own, rows = read_scored(evaluation)
    if champion is None:
        return compare(own, None, healthy_from=dataset.labels.healthy_from)
    if champion.description.medium != dataset.medium:
        known = f"it was fitted on data of medium {champion.description.medium}"
        return unopposed(own, f"the champion cannot score the new test part: {known}")
    if dataset.medium == "table":
        return challenge_windows(
            dataset,
            FeatureSet.open(features),
            raw=raw,
            evaluation=evaluation,
            challenger=cast("WindowDetector", challenger),
            champion=cast("WindowDetector", champion),
        )
    if fold_folders(features):
        return _by_leave_out(own, read_evaluation(evaluation).metrics, champion_metrics)
    try:
        if dataset.medium == "pair":
            theirs = _scores_of_pairs(cast("PairDetector", champion), PairSet.open(features), raw)
        elif dataset.medium == "sound":
            names = [FeatureSet.open(features).unit_names[code] for code in rows]
            theirs = cast("SoundDetector", champion).score_clips(raw_files(raw, names)).score
        else:
            names = [ImageSet.open(features).names[place] for place in rows]
            scored = cast("ImageDetector", champion).score_pictures(raw_files(raw, names))
            theirs = np.array([image.score for image in scored])
    except (DetectorError, DataError) as error:
        return unopposed(own, f"the champion cannot score the new test part: {error}")
    return compare(
        own,
        own.with_score(theirs),
        challenger_threshold=challenger.description.threshold.value,
        champion_threshold=champion.description.threshold.value,
    )


def _scores_of_pairs(champion: PairDetector, pairs: PairSet, raw: Path) -> np.ndarray:
    """The champion's scores of all test pairs; ``raw`` holds the windows' tables in ``windows/``."""
    paired = pairs.paired("test")
    windows = raw_windows(pairs.windows, raw / "windows", paired.windows.ends, champion.windows.description)
    scores = [
        champion.score_pairs(windows[some], paired.pixels[paired.images[some]]).score
        for some in np.array_split(np.arange(len(paired)), -(-len(paired) // PAIRS))
    ]
    return np.concatenate(scores)


def raw_windows(features: FeatureSet, raw: Path, ends: np.ndarray, description: WindowDescription) -> np.ndarray:
    """Windows in raw units that end with the feature rows ``ends``, shape (n, inputs, time).

    Raises:
        DetectorError: a column is gone, or a unit has too few rows before one of these.
    """
    columns, feature_row = raw_test_columns(features, raw, description.inputs)
    missing = [name for name in description.inputs if name not in columns]
    if missing:
        msg = f"column {missing[0]!r} is missing"
        raise DetectorError(msg)
    rows = ends[:, None] + np.arange(1 - description.window, 1)
    if rows.min() < 0 or (features.row_unit[rows] != features.row_unit[ends][:, None]).any():
        msg = f"a unit has fewer than the {description.window} rows of its window"
        raise DetectorError(msg)
    place = np.searchsorted(feature_row, rows)
    return np.stack([columns[name][place] for name in description.inputs], axis=1).astype(np.float64)


def _by_leave_out(own: Scored, challenger: Mapping[str, float], champion: Mapping[str, float]) -> Decision:
    new, old = challenger.get("roc_auc"), champion.get("test_roc_auc")
    if new is None or old is None:
        return unopposed(own, "one of the two has no leave-out ROC-AUC", metric="roc_auc")
    verdict = "Promoted: the challenger is not worse" if new >= old else "Not promoted: the challenger is worse"
    reason = f"{verdict}: leave-out ROC-AUC {new:.3f} against the champion's {old:.3f}."
    return Decision(
        promote=new >= old, reason=reason, metric="roc_auc", challenger=new, champion=old, difference=new - old
    )


def raw_files(raw: Path, names: list[str]) -> list[Path]:
    """Where the files of named clips or images lie."""
    found: dict[str, Path] = {}
    for part in ("train", "test"):
        file = raw / f"{part}.parquet"
        if file.exists():
            index = pq.read_table(file, columns=["unit", "file"]).to_pydict()
            found |= {unit: raw / path for unit, path in zip(index["unit"], index["file"], strict=True)}
    return [found[name] for name in names]


def challenge_windows(
    dataset: Dataset,
    features: FeatureSet,
    *,
    raw: Path,
    evaluation: Path,
    challenger: WindowDetector,
    champion: WindowDetector | None,
) -> Decision:
    """Decide by the rule of `compare`, on windows that both can score.

    Against a champion that cannot read the new data (a column it needs is gone), or shares no test window, the
    challenger has to keep the floor of a first champion, and the reason says so.

    Args:
        dataset: its label rule says what a false alarm is.
        features: the opened features folder of the challenger.
        raw: the raw folder behind it.
        evaluation: the challenger's evaluation folder.
        challenger: the newly registered detector.
        champion: the present one, if there is one.
    """
    own, rows = read_scored(evaluation)
    if champion is None:
        return compare(own, None, healthy_from=dataset.labels.healthy_from)
    columns, feature_row = raw_test_columns(features, raw, champion.description.inputs)
    try:
        # by the codes of segments, since train and test files may use the same names
        theirs = champion.score_table(columns, unit=features.row_unit[feature_row])
    except DetectorError as error:
        return unopposed(own, f"the champion cannot score the new test part: {error}")
    scores = dict(zip(feature_row[theirs.row].tolist(), theirs.score.tolist(), strict=True))
    shared = np.array([row in scores for row in rows.tolist()])
    if not shared.any():
        return unopposed(own, "champion and challenger share no test window")
    own = own.take(shared)
    theirs_scored = own.with_score(np.array([scores[row] for row in rows[shared].tolist()]))
    return compare(
        own,
        theirs_scored,
        challenger_threshold=challenger.description.threshold.value,
        champion_threshold=champion.description.threshold.value,
        healthy_from=dataset.labels.healthy_from,
    )


def raw_test_columns(
    features: FeatureSet, raw: Path, inputs: tuple[str, ...]
) -> tuple[Mapping[str, np.ndarray], np.ndarray]:
    """The inputs of the test part's raw rows as columns, and each row's place among the feature rows, shape (n,)."""
    file = raw / "test.parquet"
    table = pq.read_table(file if file.exists() else raw / "train.parquet")
    places = [np.arange(item.start, item.stop) for item in features.segments if item.part == "test"]
    feature_row = np.concatenate(places) if places else np.empty(0, np.int64)
    chosen = features.file_row[feature_row]
    columns = {
        name: to_numpy(table.column(name).combine_chunks())[chosen] for name in inputs if name in table.column_names
    }
    return columns, feature_row
