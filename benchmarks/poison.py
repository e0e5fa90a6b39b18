"""How often a batch with anomalies labelled normal is found, and one without refused, by the champion of a home.

``VAE_PIPELINE_HOME=… python -m benchmarks.poison --write``, of a home where ``sample_turbofan`` was run. Batches are
engines of the sample's generator with other seeds; each kind is drawn ``--draws`` times.
"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from benchmarks.report import markdown_table, write_section
from vae_pipeline.catalog import dataset
from vae_pipeline.environment import prepare_environment
from vae_pipeline.intake.screen import normal_samples, screened
from vae_pipeline.registry.shelf import Shelf
from vae_pipeline.registry.tracking import Tracker
from vae_pipeline.settings import load_settings
from vae_pipeline.sources.cmapss import cycles_to_last_row, read_rows
from vae_pipeline.sources.sample import generate

PAGE = Path(__file__).parents[1] / "docs/new-data.md"
SHARE = 0.1
BURST = 25

Spoil = Callable[[pd.DataFrame, list[str], np.random.Generator], None]


def clean(table: pd.DataFrame, sensors: list[str], random: np.random.Generator) -> None:
    """Nothing is wrong."""


def drifted(by: float) -> Spoil:
    """All sensors of all engines have moved up by so many of their standard deviations within a regime."""

    def spoil(table: pd.DataFrame, sensors: list[str], random: np.random.Generator) -> None:  # noqa: ARG001
        table[sensors] += by * spreads(table, sensors)

    return spoil


def faulty_engines(table: pd.DataFrame, sensors: list[str], random: np.random.Generator) -> None:
    """Every tenth engine has half of its sensors 3 standard deviations up."""
    units = np.unique(np.asarray(table["unit"], dtype=str))
    chosen = random.choice(units, max(1, round(SHARE * len(units))), replace=False)
    some = sensors[: len(sensors) // 2]
    table[some] += 3.0 * spreads(table, some).where(table["unit"].isin(chosen.tolist()), 0.0)


def faulty_rows(table: pd.DataFrame, sensors: list[str], random: np.random.Generator) -> None:
    """A tenth of the rows, in runs of 25 cycles anywhere, has half of its sensors 3 standard deviations up."""
    struck = np.zeros(len(table), dtype=bool)
    for start in random.choice(len(table) - BURST, round(SHARE * len(table) / BURST), replace=False):
        struck[start : start + BURST] = True
    some = sensors[: len(sensors) // 2]
    table[some] += 3.0 * spreads(table, some).where(pd.Series(struck, index=table.index), 0.0)


def both(table: pd.DataFrame, sensors: list[str], random: np.random.Generator) -> None:
    """All sensors have moved up by one standard deviation, and a tenth of the rows is faulty."""
    drifted(1.0)(table, sensors, random)
    faulty_rows(table, sensors, random)


KINDS: dict[str, Spoil] = {
    "nothing wrong": clean,
    "all sensors of all engines 1 sd up": drifted(1.0),
    "all sensors of all engines 2 sd up": drifted(2.0),
    "every tenth engine faulty (7 sensors 3 sd up)": faulty_engines,
    "a tenth of the rows faulty (7 sensors 3 sd up)": faulty_rows,
    "all 1 sd up, and a tenth of the rows faulty": both,
}


def spreads(table: pd.DataFrame, sensors: list[str]) -> pd.DataFrame:
    """Standard deviation of each sensor of healthy engines within the row's regime."""
    regime = np.round(table["setting_1"].to_numpy())
    healthy = table[sensors].where(table["remaining_life"] >= 125)
    return healthy.groupby(regime)[sensors].transform("std")


def main() -> None:
    """Print the table, or write it into the page."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--draws", type=int, default=40)
    parser.add_argument("--engines", type=int, nargs="+", default=[10, 40])
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    prepare_environment()
    entry, settings = dataset("sample_turbofan", "timeseries"), load_settings()
    from vae_pipeline.detector.detector import Detector

    champion = Detector.load(Shelf(Tracker(settings)).detector_folder("timeseries-sample_turbofan", "champion"))
    threshold, reference = champion.description.threshold.value, champion.reference["scores"]
    sensors = [*(entry.columns.sensors or ())]
    rows: list[list[str]] = []
    with tempfile.TemporaryDirectory() as work:
        for engines in options.engines:
            found: dict[str, list[bool]] = {kind: [] for kind in KINDS}
            samples = []
            for draw in range(options.draws):
                size = {"train_units": engines, "test_units": 1, "seed": 1000 + draw}
                folder = generate(entry.model_copy(update={"generator": size}), Path(work, f"{engines}-{draw}"))
                table = read_rows(folder / "train_sample_turbofan.txt")
                table["remaining_life"] = cycles_to_last_row(table)
                table["unit"] = table["unit"].astype(str)
                for kind, spoil in KINDS.items():
                    batch = table.copy()
                    spoil(batch, sensors, np.random.default_rng(draw))
                    batch.to_parquet(folder / "batch.parquet")
                    scores, places = normal_samples(champion, entry, folder)
                    judged = screened(scores, places, reference, threshold)
                    found[kind].append(judged is not None and judged.poisoned)
                    samples.append(len(scores))
            for kind, refused in found.items():
                low, high = stats.binomtest(sum(refused), len(refused)).proportion_ci(method="wilson")
                share = f"{np.mean(refused):.0%} ({low:.0%} to {high:.0%})"
                rows.append([kind, str(engines), f"{np.mean(samples):.0f}", share])
    table = markdown_table(["batch", "engines", "samples", "refused (95 % interval)"], rows)
    if options.write:
        write_section(PAGE, "poison", table)
    print(table)


if __name__ == "__main__":
    main()
