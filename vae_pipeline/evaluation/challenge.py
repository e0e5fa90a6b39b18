"""Challenger against champion on the same raw test rows, each with its own scaling."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from vae_pipeline.detector.detector import Detector
from vae_pipeline.errors import DetectorError
from vae_pipeline.evaluation.evaluate import read_scored
from vae_pipeline.evaluation.promotion import Decision, compare
from vae_pipeline.features.arrow import to_numpy
from vae_pipeline.features.feature_set import FeatureSet
from vae_pipeline.records import Dataset

__all__ = ["challenge", "raw_test_columns"]


def challenge(
    dataset: Dataset,
    features: FeatureSet,
    *,
    raw: Path,
    evaluation: Path,
    challenger: Detector,
    champion: Detector | None,
) -> Decision:
    """Decide by the rule of `compare`, on windows that both can score.

    A champion that cannot read the new data (a column it needs is gone) loses, and the reason says so.

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
        theirs = champion.score_table(columns)
    except DetectorError as error:
        return Decision(promote=True, reason=f"the champion cannot score the new test part: {error}", metric="pr_auc")
    scores = dict(zip(feature_row[theirs.row].tolist(), theirs.score.tolist(), strict=True))
    shared = np.array([row in scores for row in rows.tolist()])
    if not shared.any():
        return Decision(promote=True, reason="champion and challenger share no test window", metric="pr_auc")
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
    """The raw rows of the test part as columns, and each row's place among the feature rows, shape (n,).

    Units are named by their code among the segments, since train and test files may use the same names.
    """
    file = raw / "test.parquet"
    table = pq.read_table(file if file.exists() else raw / "train.parquet")
    places = [np.arange(item.start, item.stop) for item in features.segments if item.part == "test"]
    feature_row = np.concatenate(places) if places else np.empty(0, np.int64)
    chosen = features.file_row[feature_row]
    columns = {
        name: to_numpy(table.column(name).combine_chunks())[chosen] for name in inputs if name in table.column_names
    }
    return {**columns, "unit": features.row_unit[feature_row], "time": np.arange(len(feature_row))}, feature_row
