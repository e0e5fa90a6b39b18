"""The simple detectors that stand beside the VAE in every table, on the same split."""

from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np

from vae_pipeline.errors import DataError
from vae_pipeline.evaluation.ecod import Ecod
from vae_pipeline.features.windows import Windows

__all__ = [
    "DESCRIPTIONS",
    "Baseline",
    "EcodOnStatistics",
    "IsolationForestOnMeans",
    "Level",
    "MeanSquare",
    "OneClassSvmOnMeans",
    "Pca",
    "ZScore",
    "run_baselines",
]

Statistics = Callable[[np.ndarray], np.ndarray]
Progress = Callable[[str], None]

DESCRIPTIONS = {
    "age": "rows since the unit's start, no sensors",
    "mean_square": "mean square of the late mean, no model",
    "level": "mean over sensors of |z| of the late mean, no model",
    "pca": "reconstruction error of a 20-component PCA",
    "isolation_forest": "isolation forest on window means",
    "isolation_forest_late": "isolation forest on late means",
    "one_class_svm": "one-class SVM on window means",
    "z_score": "mean absolute z over window and sensors",
    "ecod": "ECOD on window statistics",
}

BATCH = 1024
FIT_WINDOWS = 20_000
SVM_WINDOWS = 2_000
PCA_COMPONENTS = 20
PCA_WIDTH = 2048


class Baseline(Protocol):
    """What every baseline can do."""

    def fit(self, windows: Windows) -> None:
        """Learn from normal windows of the fit part."""
        ...

    def score(self, windows: Windows) -> np.ndarray:
        """Scores, the higher the more anomalous, float64 (n_windows,)."""
        ...


class MeanSquare:
    """Mean over sensors of the squared mean of the last ``late`` scaled rows."""

    def __init__(self, late: int) -> None:
        """``late``: rows at the window's end that are averaged."""
        self.late = late

    def fit(self, windows: Windows) -> None:
        """Nothing to learn: the scaling was learnt already."""

    def score(self, windows: Windows) -> np.ndarray:
        """Scores, shape (n_windows,)."""
        return _over(late_part(windows, self.late), lambda batch: (batch.mean(axis=2) ** 2).mean(axis=1))


class Level:
    """Mean over sensors of ``|z|``, z the late mean in units of its healthy standard deviation."""

    def __init__(self, late: int) -> None:
        """``late``: rows at the window's end that are averaged."""
        self.late = late
        self.mean = np.zeros(1)
        self.deviation = np.ones(1)

    def fit(self, windows: Windows) -> None:
        """Learn mean and standard deviation of every sensor's late mean."""
        means = _over(late_part(windows, self.late), _means)
        self.mean = means.mean(axis=0)
        self.deviation = _deviation(means)

    def score(self, windows: Windows) -> np.ndarray:
        """Scores, shape (n_windows,)."""

        def batch_score(batch: np.ndarray) -> np.ndarray:
            z = (_means(batch) - self.mean) / self.deviation
            return np.abs(z).mean(axis=1)

        return _over(late_part(windows, self.late), batch_score)


class ZScore:
    """Mean absolute scaled value over the window and its sensors (METHOD: "mean of z")."""

    def fit(self, windows: Windows) -> None:
        """Nothing to learn: rows are z-scores already."""

    def score(self, windows: Windows) -> np.ndarray:
        """Scores, shape (n_windows,)."""
        return _over(windows, lambda batch: np.abs(batch).mean(axis=(1, 2)))


class Pca:
    """Mean squared error of reconstructing flat windows from at most 20 principal components.

    Means and covariances are added up batch by batch over at most 20,000 windows, so memory does not grow with the
    data. Windows of more than 2,048 values are averaged over neighbouring rows first.
    """

    def __init__(self, seed: int = 0, components: int = PCA_COMPONENTS) -> None:
        """``seed`` draws the windows to fit on when there are too many."""
        self.seed = seed
        self.components = components
        self.mean = np.zeros(1)
        self.axes = np.zeros((1, 1))

    def fit(self, windows: Windows) -> None:
        """Learn mean and principal axes."""
        from scipy.linalg import eigh

        windows = sample(windows, FIT_WINDOWS, self.seed)
        # a first guess of the mean keeps the sum of squares from cancelling
        shift = _flat(windows.take(slice(0, BATCH))).mean(axis=0)
        total = np.zeros_like(shift)
        products = np.zeros((len(shift), len(shift)))
        for batch in windows.batches(BATCH):
            flat = _flat(batch) - shift
            total += flat.sum(axis=0)
            products += flat.T @ flat
        mean = total / len(windows)
        covariance = products / len(windows) - np.outer(mean, mean)
        width = len(shift)
        kept = max(1, min(self.components, len(windows) - 1, width - 1)) if width > 1 else 0
        self.mean = shift + mean
        self.axes = eigh(covariance, subset_by_index=(width - kept, width - 1))[1] if kept else np.zeros((width, 0))

    def score(self, windows: Windows) -> np.ndarray:
        """Scores, shape (n_windows,)."""

        def batch_score(batch: np.ndarray) -> np.ndarray:
            flat = _flat(batch) - self.mean
            inside = flat @ self.axes
            return np.maximum((flat**2).sum(axis=1) - (inside**2).sum(axis=1), 0.0) / flat.shape[1]

        return _over(windows, batch_score)


class IsolationForestOnMeans:
    """Isolation forest of 100 trees on the sensors' means over the window or over its last rows."""

    def __init__(self, seed: int = 0, late: int | None = None) -> None:
        """``seed`` grows the trees; ``late``: rows at the window's end that are averaged, all when left out."""
        self.seed = seed
        self.late = late

    def fit(self, windows: Windows) -> None:
        """Grow the trees."""
        from sklearn.ensemble import IsolationForest

        means = self._features(sample(windows, FIT_WINDOWS, self.seed))
        self.model = IsolationForest(n_estimators=100, random_state=self.seed).fit(means)

    def score(self, windows: Windows) -> np.ndarray:
        """Scores, shape (n_windows,)."""
        return -self.model.score_samples(self._features(windows))

    def _features(self, windows: Windows) -> np.ndarray:
        return _over(windows if self.late is None else late_part(windows, self.late), _means)


class OneClassSvmOnMeans:
    """One-class SVM (RBF kernel, nu 0.1) on standardised window means, fitted on at most 2,000 windows."""

    def __init__(self, seed: int = 0) -> None:
        """``seed`` draws the windows to fit on."""
        self.seed = seed

    def fit(self, windows: Windows) -> None:
        """Find the support vectors."""
        from sklearn.svm import OneClassSVM

        means = _over(sample(windows, SVM_WINDOWS, self.seed), _means)
        self.mean, self.deviation = means.mean(axis=0), _deviation(means)
        self.model = OneClassSVM(nu=0.1, gamma="scale").fit((means - self.mean) / self.deviation)

    def score(self, windows: Windows) -> np.ndarray:
        """Scores, shape (n_windows,)."""
        return -self.model.decision_function((_over(windows, _means) - self.mean) / self.deviation)


class EcodOnStatistics:
    """ECOD on per-window statistics, its distributions taken from at most 20,000 windows."""

    def __init__(self, statistics: Statistics, seed: int = 0) -> None:
        """``statistics`` turns windows (n, channels, time) into features (n, features)."""
        self.statistics = statistics
        self.seed = seed

    def fit(self, windows: Windows) -> None:
        """Sort the reference."""
        self.model = Ecod(self._features(sample(windows, FIT_WINDOWS, self.seed)))

    def score(self, windows: Windows) -> np.ndarray:
        """Scores, shape (n_windows,)."""
        parts = [self.model.score(self._clean(batch)) for batch in windows.batches(BATCH)]
        return np.concatenate(parts) if parts else np.zeros(0)

    def _features(self, windows: Windows) -> np.ndarray:
        return np.concatenate([self._clean(batch) for batch in windows.batches(BATCH)])

    def _clean(self, batch: np.ndarray) -> np.ndarray:
        return np.nan_to_num(self.statistics(batch), nan=0.0, posinf=0.0, neginf=0.0)


def run_baselines(
    fit: Windows,
    calibrate: Windows,
    test: Windows,
    *,
    ages: Mapping[str, np.ndarray],
    statistics: Statistics,
    late: int,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[str, dict[str, np.ndarray]]:
    """Fit every baseline on the fit part and score the other two.

    Args:
        fit: normal windows of the fit part.
        calibrate: windows of the calibration part.
        test: windows of the test part.
        ages: rows since the unit's start at each window's last row, under ``calibrate`` and ``test``; without them
            the age-only baseline is left out.
        statistics: windows (n, channels, time) -> features (n, features), for ECOD.
        late: rows at the window's end that the late means average.
        seed: of everything random.
        progress: told the name of each baseline before it runs.

    Returns:
        baseline -> part (``calibrate``, ``test``) -> scores, float64 (n_windows,).

    Raises:
        DataError: the fit part has no windows, or ages and windows differ in number.
    """
    if len(fit) == 0:
        msg = "baselines: the fit part has no windows; use shorter windows or more normal rows"
        raise DataError(msg)
    parts = {"calibrate": calibrate, "test": test}
    baselines: dict[str, Baseline] = {
        "mean_square": MeanSquare(late),
        "level": Level(late),
        "pca": Pca(seed),
        "isolation_forest": IsolationForestOnMeans(seed),
        "isolation_forest_late": IsolationForestOnMeans(seed, late),
        "one_class_svm": OneClassSvmOnMeans(seed),
        "z_score": ZScore(),
        "ecod": EcodOnStatistics(statistics, seed),
    }
    scores: dict[str, dict[str, np.ndarray]] = {}
    if all(part in ages for part in parts):
        scores["age"] = {part: np.asarray(ages[part], dtype=np.float64) for part in parts}
        for part, windows in parts.items():
            if len(ages[part]) != len(windows):
                msg = f"baselines: part {part} has {len(windows)} windows but {len(ages[part])} ages"
                raise DataError(msg)
    for name, baseline in baselines.items():
        if progress is not None:
            progress(name)
        baseline.fit(fit)
        scores[name] = {
            part: baseline.score(windows) if len(windows) else np.zeros(0) for part, windows in parts.items()
        }
    return scores


def late_part(windows: Windows, late: int) -> Windows:
    """The last ``late`` rows of every window, as windows."""
    late = min(late, windows.length)
    return Windows(windows.rows, windows.starts + (windows.length - late), late)


def sample(windows: Windows, count: int, seed: int) -> Windows:
    """At most ``count`` of the windows, drawn without replacement and kept in order."""
    if len(windows) <= count:
        return windows
    return windows.subset(np.sort(np.random.default_rng(seed).choice(len(windows), count, replace=False)))


def _over(windows: Windows, function: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """``function`` of all windows, batch by batch, as float64."""
    return np.concatenate([np.asarray(function(batch), dtype=np.float64) for batch in windows.batches(BATCH)])


def _means(batch: np.ndarray) -> np.ndarray:
    return batch.mean(axis=2, dtype=np.float64)


def _deviation(values: np.ndarray) -> np.ndarray:
    """Standard deviation per column, 1 where it is nil."""
    deviation = values.std(axis=0)
    return np.where(deviation > 1e-9, deviation, 1.0)


def _flat(batch: np.ndarray) -> np.ndarray:
    """Windows as rows, float64 (n, width), neighbouring times averaged until the width is at most 2,048."""
    n, channels, time = batch.shape
    pieces = max(1, min(time, PCA_WIDTH // channels))
    if pieces == time:
        return batch.reshape(n, -1).astype(np.float64)
    edges = np.arange(pieces) * time // pieces
    sums = np.add.reduceat(batch, edges, axis=2, dtype=np.float64)
    return (sums / np.diff(np.append(edges, time))).reshape(n, -1)
