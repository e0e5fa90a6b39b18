"""Our detector beside PyOD's on the same split: ``python -m benchmarks.peers FD001 FD002``.

Every detector is fitted on normal windows of the fit part and ranked on the official test windows. PyOD's get flat
windows, four simple statistics a sensor, or all statistics of `vae_pipeline.features.signal`; hyperparameters are
PyOD's own defaults. A peer that wins is printed above us.
"""

import argparse
import contextlib
import io
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.line import Trained, run_line
from benchmarks.report import machine, markdown_table, write_section
from vae_pipeline.catalog import dataset as catalogue_entry
from vae_pipeline.errors import VaePipelineError
from vae_pipeline.evaluation.baselines import Level, sample
from vae_pipeline.evaluation.metrics import Scored, intervals
from vae_pipeline.evaluation.ranking import Ranking
from vae_pipeline.evaluation.windows import scored_part
from vae_pipeline.features.signal import window_statistics
from vae_pipeline.features.windows import Windows
from vae_pipeline.settings import load_settings

__all__ = ["FEATURES", "PEERS", "Peer", "Result", "features_of", "main", "measure", "ranked", "table"]

PAGE = Path(__file__).resolve().parent.parent / "docs" / "benchmarks.md"
MIRROR = Path(__file__).resolve().parent.parent.parent / "shared" / "data"

FIT_WINDOWS = 8_000
"""Windows a peer is fitted on at most."""
NEIGHBOUR_WINDOWS = 4_000
"""The same for those that compare every window with all fit windows."""
DRAWS = 200
BATCH = 1024


def simple_statistics(windows: np.ndarray) -> np.ndarray:
    """Mean, standard deviation, least and largest value of every channel, shape (n, 4 channels)."""
    return np.concatenate([windows.mean(-1), windows.std(-1), windows.min(-1), windows.max(-1)], axis=1)


def flat(windows: np.ndarray) -> np.ndarray:
    """Windows as rows, shape (n, channels * time)."""
    return windows.reshape(len(windows), -1)


FEATURES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "flat windows": flat,
    "mean, sd, min, max": simple_statistics,
    "window statistics": window_statistics,
}


@dataclass(frozen=True)
class Peer:
    """A detector of PyOD: ``make`` builds it from a seed, ``windows`` caps what it is fitted on."""

    name: str
    make: Callable[[int], Any]
    windows: int = FIT_WINDOWS


def _pyod(module: str, name: str, **options: Any) -> Callable[[int], Any]:
    """A detector by name; ``seed`` among the options is replaced by the seed."""

    def make(seed: int) -> Any:
        import importlib

        given = {key: seed if value == "seed" else value for key, value in options.items()}
        return getattr(importlib.import_module(f"pyod.models.{module}"), name)(**given)

    return make


PEERS: tuple[Peer, ...] = (
    Peer("AutoEncoder", _pyod("auto_encoder", "AutoEncoder", random_state="seed", verbose=0)),
    Peer("VAE", _pyod("vae", "VAE", random_state="seed", verbose=0)),
    Peer("ECOD", _pyod("ecod", "ECOD")),
    Peer("COPOD", _pyod("copod", "COPOD")),
    Peer("KNN", _pyod("knn", "KNN"), NEIGHBOUR_WINDOWS),
    Peer("LOF", _pyod("lof", "LOF"), NEIGHBOUR_WINDOWS),
    Peer("IForest", _pyod("iforest", "IForest", random_state="seed")),
    Peer("PCA", _pyod("pca", "PCA", n_components=20, random_state="seed")),
    Peer("HBOS", _pyod("hbos", "HBOS")),
)


@dataclass(frozen=True)
class Result:
    """One row of the table; ``ours`` marks our detector."""

    name: str
    features: str
    figures: dict[str, float]
    fit_seconds: float
    score_seconds: float
    ours: bool = False


def features_of(windows: Windows, make: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Features of all windows, batch by batch, float32, infinities and NaN as 0."""
    found = [np.nan_to_num(make(batch).astype(np.float32), posinf=0.0, neginf=0.0) for batch in windows.batches(BATCH)]
    return np.concatenate(found)


def standardised(fit: np.ndarray, *others: np.ndarray) -> tuple[np.ndarray, ...]:
    """All arrays by mean and standard deviation of the first; a column without spread becomes 0."""
    mean, deviation = fit.mean(axis=0, dtype=np.float64), fit.std(axis=0, dtype=np.float64)
    scale = np.where(deviation > 1e-9, 1.0 / np.where(deviation > 1e-9, deviation, 1.0), 0.0)
    return tuple(((values - mean) * scale).astype(np.float32) for values in (fit, *others))


def ranked(scored: Scored) -> dict[str, float]:
    """``roc_auc``, ``pr_auc`` and their 95 % intervals over units."""
    labelled = scored.labelled
    roc_auc, pr_auc = (float(value[0]) for value in Ranking.of(labelled.score, labelled.label).both())
    return {"roc_auc": roc_auc, "pr_auc": pr_auc, **intervals(scored, draws=DRAWS)}


def measure(trained: Trained, peers: Sequence[Peer], seed: int, told: Callable[[str], None]) -> list[Result]:
    """Our detector, the two yardsticks without a network, and every peer on every kind of feature."""
    features = trained.features
    fit, test = features.windows("fit", healthy_only=True), features.windows("test")
    began = time.perf_counter()
    scores = trained.detector.score_scaled(test).score
    scored = scored_part(features, test, scores)
    seconds = time.perf_counter() - began
    form = " + ".join(trained.detector.description.form)
    results = [
        Result(
            "**vae-pipeline**",
            f"windows; {form}",
            ranked(scored),
            trained.train_seconds + trained.calibrate_seconds,
            seconds,
            ours=True,
        ),
        Result("age alone", "no sensors", ranked(scored.with_score(features.age(test).astype(np.float64))), 0.0, 0.0),
    ]
    level = Level(trained.detector.description.late)
    began = time.perf_counter()
    level.fit(fit)
    fitted = time.perf_counter()
    scores = level.score(test)
    seconds = time.perf_counter() - fitted
    results.append(Result("level, no model", "late means", ranked(scored.with_score(scores)), fitted - began, seconds))
    for kind, make in FEATURES.items():
        began = time.perf_counter()
        drawn = sample(fit, max(peer.windows for peer in peers), seed) if peers else fit
        known = features_of(drawn, make)
        prepared = time.perf_counter()
        given = features_of(test, make)
        seen = time.perf_counter()
        known, given = standardised(known, given)
        for peer in peers:
            told(f"{peer.name} on {kind}")
            try:
                scores, fit_seconds, score_seconds = _fitted(peer, known, given, seed)
            except (ValueError, RuntimeError, np.linalg.LinAlgError) as error:
                told(f"{peer.name} on {kind}: left out, {type(error).__name__}: {error}")
                continue
            figures = ranked(scored.with_score(scores))
            results.append(
                Result(peer.name, kind, figures, prepared - began + fit_seconds, seen - prepared + score_seconds)
            )
    return results


def _fitted(peer: Peer, known: np.ndarray, given: np.ndarray, seed: int) -> tuple[np.ndarray, float, float]:
    """Scores of ``given``, seconds of fitting, seconds of scoring."""
    rows = known
    if len(rows) > peer.windows:
        chosen = np.random.default_rng(seed).choice(len(rows), peer.windows, replace=False)
        rows = known[np.sort(chosen)]
    began = time.perf_counter()
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        model = peer.make(seed)
        model.fit(rows)
        fitted = time.perf_counter()
        scores = np.asarray(model.decision_function(given), dtype=np.float64)
    largest = np.finfo(np.float64).max
    return np.nan_to_num(scores, nan=largest, posinf=largest), fitted - began, time.perf_counter() - fitted


def table(results: Sequence[Result]) -> str:
    """The results as Markdown, the highest PR-AUC first."""

    def figure(result: Result, name: str) -> str:
        value, low, high = (result.figures.get(f"{name}{end}") for end in ("", "_low", "_high"))
        text = "–" if value is None else f"{value:.3f}"
        text = f"**{text}**" if result.ours else text
        return text if low is None or high is None else f"{text} [{low:.3f}, {high:.3f}]"

    rows = [
        [
            result.name,
            result.features,
            figure(result, "roc_auc"),
            figure(result, "pr_auc"),
            f"{result.fit_seconds:.1f}",
            f"{result.score_seconds:.2f}",
        ]
        for result in sorted(results, key=lambda result: -result.figures["pr_auc"])
    ]
    return markdown_table(["detector", "fed with", "ROC-AUC", "PR-AUC", "fit, s", "score, s"], rows)


def section(name: str, seed: int, folder: Path, told: Callable[[str], None]) -> str:
    """Heading, conditions and table of one dataset."""
    entry = catalogue_entry(name, "timeseries", load_settings().catalog_files)
    entry = entry.model_copy(update={"training": entry.training.model_copy(update={"seed": seed})})
    told(f"{name}: training our detector")
    trained = run_line(entry, folder)
    results = measure(trained, PEERS, seed, lambda text: told(f"{name}: {text}"))
    fit, test = trained.features.windows("fit", healthy_only=True), trained.features.windows("test")
    anomalous = int((trained.features.labels(test) == 1).sum())
    units = len(np.unique(trained.features.units(test)))
    place = 1 + sum(not item.ours and item.figures["pr_auc"] > results[0].figures["pr_auc"] for item in results)
    return (
        f"### {name}\n\n"
        f"{len(fit):,} normal fit windows, {len(test):,} test windows of {units} units, {anomalous:,} of them "
        f"anomalous. Split seed {entry.split.seed}, training and peer seed {seed}. Ours is number {place} of "
        f"{len(results)} by PR-AUC.\n\n{table(results)}\n"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the named datasets and print the tables; with ``--write`` keep them in docs/benchmarks.md."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description="Our detector beside PyOD's.")
    parser.add_argument("datasets", nargs="*", default=["FD001", "FD002"], help="entries of the catalogue")
    parser.add_argument("--seed", type=int, default=0, help="of training and of the peers")
    parser.add_argument("--write", action="store_true", help="replace the tables of docs/benchmarks.md")
    options = parser.parse_args(arguments)
    if not os.environ.get("VAE_PIPELINE_DATA_MIRROR") and MIRROR.is_dir():
        os.environ["VAE_PIPELINE_DATA_MIRROR"] = str(MIRROR)
    try:
        import pyod  # noqa: F401  # pyright: ignore[reportMissingImports]
    except ImportError:
        sys.stderr.write("benchmarks.peers needs PyOD: .venv/bin/python -m pip install -c constraints.txt '.[peers]'\n")
        return 1

    def told(text: str) -> None:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()

    threads = os.environ.get("VAE_PIPELINE_THREADS")
    if threads:
        import torch

        torch.set_num_threads(int(threads))
    sections = []
    for name in options.datasets:
        try:
            with tempfile.TemporaryDirectory() as folder:
                sections.append(section(name, options.seed, Path(folder), told))
        except VaePipelineError as error:
            sys.stderr.write(f"{name}: {error}\n")
            return 1
        sys.stdout.write(sections[-1] + "\n")
    variable = f"VAE_PIPELINE_THREADS={threads} " if threads else ""
    command = f"{variable}python -m benchmarks.peers {' '.join(options.datasets)} --seed {options.seed}"
    text = f"`{command}` on {machine()}.\n\n" + "\n".join(sections)
    if options.write:
        write_section(PAGE, "peers", text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
