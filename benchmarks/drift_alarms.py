"""How often alarms of drift are false, and how often they find a shift: ``python -m benchmarks.drift_alarms``.

Pairs are drawn from one distribution, and with one side shifted: from a generated one, and from windows of healthy
engines of FD001 (``VAE_PIPELINE_DATA_MIRROR``), where the two sides are always different engines. Evidently judges the
same pairs. ``--rows 10000000`` measures instead a day's report over so many rows of the prediction log.
"""

import argparse
import datetime as dt
import io
import resource
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from scipy.stats import binomtest

from benchmarks.line import run_line
from benchmarks.report import machine, markdown_table, write_section
from vae_pipeline.catalog import dataset
from vae_pipeline.detector.detector import Detector
from vae_pipeline.drift.compare import LEVEL, Comparison, Names, compare
from vae_pipeline.drift.day import Span, read_days
from vae_pipeline.drift.judge import judge
from vae_pipeline.drift.report import write_report
from vae_pipeline.drift.samples import Samples, balanced, reference_of
from vae_pipeline.features.feature_set import FeatureSet
from vae_pipeline.monitoring.prediction_log import Answered, table_of
from vae_pipeline.settings import load_settings
from vae_pipeline.storage import Storage

PAGE = Path(__file__).resolve().parent.parent / "docs" / "drift.md"
SHIFT = 0.3
SAMPLES = 200
PERMUTATIONS = 399
LATENTS = 8
INPUTS = 6

Pair = tuple[Samples, Samples]
Draw = Callable[[np.random.Generator, float], Pair]


def generated(random: np.random.Generator, shift: float) -> Pair:
    """500 and 200 independent samples: normal latents and inputs, scores of a gamma distribution, 5 % alarms."""
    from scipy.stats import gamma

    def side(count: int, moved: float) -> Samples:
        scores = random.gamma(3.0, size=count) + moved * np.sqrt(3.0)
        return Samples(
            scores,
            scores > gamma.ppf(0.95, 3.0),
            np.arange(count),
            np.arange(count),
            random.normal(moved, size=(count, LATENTS)),
            random.normal(moved, size=(count, INPUTS)),
        )

    return apart(side(500, 0.0), side(SAMPLES, shift))


def apart(reference: Samples, current: Samples, seed: int = 0) -> Pair:
    """Both with as many samples a unit, as the report compares them."""
    return balanced(reference, current, 1000, seed)


class Engines:
    """Normal windows of the engines of FD001 that the network was not fitted on."""

    def __init__(self, detector: Detector, features: FeatureSet) -> None:
        windows = features.windows("test")
        windows = windows.subset(features.labels(windows) == 0)
        judged = detector.judged(windows)  # type: ignore[attr-defined]
        self.decide = detector.decide
        self.life = features.remaining_life(windows)
        self.all = Samples(
            judged.score,
            detector.decide(judged.score),
            features.units(windows).astype(np.int64),
            np.zeros(len(judged.score), np.int64),
            judged.latent,
            features.inputs(windows),
        )
        self.reference = reference_of(detector)
        calibrate = features.windows("calibrate")
        calibrate = calibrate.subset(features.labels(calibrate) == 0)
        self.reference_life = features.remaining_life(calibrate)

    def drawn(self, random: np.random.Generator, units: np.ndarray, each: int) -> Samples:
        """``each`` random windows of every unit."""
        places = [random.permutation(np.flatnonzero(self.all.units == unit))[:each] for unit in units]
        return self.all.take(np.concatenate(places))

    def pair(self, random: np.random.Generator, shift: float) -> Pair:
        """Five windows of 40 engines each, and of 40 others."""
        units = random.permutation(np.unique(self.all.units))
        return apart(self.drawn(random, units[:40], 5), self.moved(self.drawn(random, units[40:80], 5), shift))

    def as_they_come(self, random: np.random.Generator, shift: float) -> Pair:
        """The detector's own reference, and five windows of 40 engines."""
        units = random.permutation(np.unique(self.all.units))[:40]
        return apart(self.reference, self.moved(self.drawn(random, units, 5), shift), int(random.integers(2**31)))

    def alike_in_life(self, random: np.random.Generator, shift: float) -> Pair:
        """The detector's own reference, and 200 windows with as much life left as windows of it have."""
        places = []
        for life in random.choice(self.reference_life, SAMPLES):
            near = np.flatnonzero(np.abs(self.life - life) <= 2)
            if len(near):
                places.append(random.choice(near))
        found = self.moved(self.all.take(np.array(places)), shift)
        return apart(self.reference, found, int(random.integers(2**31)))

    def moved(self, side: Samples, shift: float) -> Samples:
        """With scores, latents and inputs shifted by so many sds of all windows; alarms are decided anew."""
        if not shift:
            return side
        every = self.all
        assert side.latents is not None and side.inputs is not None  # noqa: S101, PT018
        assert every.latents is not None and every.inputs is not None  # noqa: S101, PT018
        scores = side.scores + shift * every.scores.std()
        return Samples(
            scores,
            self.decide(scores),
            side.units,
            side.stretches,
            side.latents + shift * every.latents.std(axis=0),
            side.inputs + shift * every.inputs.std(axis=0),
        )


def as_if_independent(draw: Draw) -> Draw:
    """The same pairs with every window as its own unit."""

    def drawn(random: np.random.Generator, shift: float) -> Pair:
        reference, current = draw(random, shift)
        n, m = len(reference), len(current)
        return (
            Samples(reference.scores, reference.alarms, np.arange(n), reference.stretches, *_values(reference)),
            Samples(current.scores, current.alarms, np.arange(n, n + m), current.stretches, *_values(current)),
        )

    return drawn


def _values(side: Samples) -> tuple[np.ndarray | None, np.ndarray | None]:
    return side.latents, side.inputs


def names_of(side: Samples) -> Names:
    """Numbers for names."""
    latents, inputs = (0 if values is None else values.shape[1] for values in _values(side))
    return Names(tuple(f"latent {n}" for n in range(latents)), tuple(f"input {n}" for n in range(inputs)))


def judged(draw: Draw, pairs: int, shift: float) -> Iterator[Comparison]:
    """What is said of pairs; the same seed for the same number of the pair."""
    for number in range(pairs):
        reference, current = draw(np.random.default_rng([7, number]), shift)
        yield compare(reference, current, names_of(reference), permutations=PERMUTATIONS, seed=number)


def alarms(found: Sequence[Comparison]) -> dict[str, int]:
    """How often each statistic, each family by itself and the whole verdict alarmed."""
    counted: dict[str, int] = {}
    for comparison in found:
        said = {f"{each.family}: {each.name}": each.drifted for each in comparison.statistics}
        said |= {f"{each.name}, together": each.p_value <= LEVEL for each in comparison.families}
        said["**verdict**"] = comparison.drifted
        for name, alarm in said.items():
            counted[name] = counted.get(name, 0) + alarm
    return counted


def evidently(draw: Draw, pairs: int, shift: float) -> dict[str, int]:
    """How often Evidently's defaults alarmed on the first of the same pairs."""
    import pandas as pd
    from evidently import DataDefinition, Dataset, Report
    from evidently.metrics import DriftedColumnsCount

    counted = {"Evidently, any column": 0, "Evidently, half of the columns": 0}
    for number in range(pairs):
        sides = draw(np.random.default_rng([7, number]), shift)
        frames = []
        for side in sides:
            called = names_of(side)
            columns = {"score": side.scores}
            columns |= dict(zip(called.latents, side.latents.T, strict=True)) if side.latents is not None else {}
            columns |= dict(zip(called.inputs, side.inputs.T, strict=True)) if side.inputs is not None else {}
            frames.append(pd.DataFrame(columns))
        definition = DataDefinition(numerical_columns=list(frames[0].columns))
        reference, current = (Dataset.from_pandas(frame, data_definition=definition) for frame in frames)
        metric = Report([DriftedColumnsCount()]).run(current, reference).dict()["metrics"][0]["value"]
        counted["Evidently, any column"] += int(metric["count"] > 0)
        counted["Evidently, half of the columns"] += int(metric["share"] >= 0.5)
    return counted


def share(count: int, pairs: int) -> str:
    """A share with its exact 95 % interval."""
    low, high = binomtest(count, pairs).proportion_ci()
    return f"{100 * count / pairs:.1f} % ({100 * low:.1f} to {100 * high:.1f})"


def table_of_alarms(draw: Draw, pairs: int, few: int) -> str:
    """A row a statistic: alarms without drift, and at the shift; Evidently below, on fewer pairs."""
    without, moved = (alarms(list(judged(draw, pairs, shift))) for shift in (0.0, SHIFT))
    rows = [[name, f"{pairs}", share(count, pairs), share(moved[name], pairs)] for name, count in without.items()]
    theirs = [evidently(draw, few, shift) for shift in (0.0, SHIFT)]
    rows += [[name, f"{few}", share(count, few), share(theirs[1][name], few)] for name, count in theirs[0].items()]
    return markdown_table(["alarm", "pairs", "no drift", f"{SHIFT} sd"], rows)


def table_of_engines(engines: Engines, pairs: int, few: int) -> str:
    """What the verdict is worth on real engines, by how the sides are drawn and permuted."""
    rows = []
    for name, draw, many, shifts in (
        ("40 engines beside 40 others, whole engines permuted", engines.pair, pairs, (0.0, SHIFT, 0.6, 1.0)),
        ("the same, windows permuted as if independent", as_if_independent(engines.pair), pairs, (0.0,)),
        (
            "detector's reference beside 200 windows of the same remaining life",
            engines.alike_in_life,
            few,
            (0.0, 1.0),
        ),
        ("detector's reference beside 40 engines as they come", engines.as_they_come, few, (0.0, 1.0)),
    ):
        for shift in shifts:
            count = pairs if shift in (0.0, SHIFT) and many == pairs else few
            found = alarms(list(judged(draw, count, shift)))["**verdict**"]
            rows.append([name, "no drift" if not shift else f"{shift} sd", f"{count}", share(found, count)])
            print(rows[-1], flush=True)
    return markdown_table(["sides", "shift", "pairs", "verdict drift"], rows)


def many_rows(detector: Detector, engines: Engines, rows: int, folder: Path) -> list[list[str]]:
    """Time and memory of a day's report over ``rows`` rows of the real schema, in files of 100,000."""
    storage = Storage(str(folder / "storage"), folder / "cache")
    random, every = np.random.default_rng(0), engines.all
    assert every.latents is not None and every.inputs is not None  # noqa: S101, PT018
    each, day = 100_000, dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
    sizes = 0
    for number in range(-(-rows // each)):
        places = random.integers(len(every), size=min(each, rows - number * each))
        moment = day + dt.timedelta(seconds=86_399 * number * each / rows)
        answered = Answered(
            dataset=detector.description.dataset,
            version=1,
            request=f"{number:032x}",
            time=moment,
            seconds=0.01,
            threshold=detector.description.threshold.value,
            names=[f"{unit}, row {row}" for row, unit in enumerate(every.units[places].tolist(), start=1)],
            score=every.scores[places],
            alarm=every.alarms[places],
            inputs=every.inputs[places].astype(np.float32),
            latent=every.latents[places].astype(np.float32),
        )
        buffer = io.BytesIO()
        pq.write_table(table_of([answered]), buffer, compression="zstd")
        sizes += buffer.tell()
        line, name = detector.description.line, detector.description.dataset
        storage.write_bytes(f"predictions/{line}/{name}/{moment:%Y-%m-%d/%H}/{number:05d}.parquet", buffer.getvalue())
    return [[f"{rows:,}", f"{sizes / 1e6:,.0f} MB", *_reported(folder, detector)]]


def _reported(folder: Path, detector: Detector) -> list[str]:
    """Seconds and megabytes of a process that makes the report and nothing else."""
    import subprocess
    import sys

    detector.save(folder / "detector")
    ran = subprocess.run(  # noqa: S603 - this Python and this module
        [sys.executable, "-m", "benchmarks.drift_alarms", "--report", str(folder)],
        capture_output=True,
        text=True,
        check=True,
    )
    return ran.stdout.strip().splitlines()[-1].split("|")


def report_once(folder: Path) -> None:
    """Make the report of a folder that `many_rows` filled; print the seconds of each step and megabytes of memory."""
    detector = Detector.load(folder / "detector")
    storage = Storage(str(folder / "storage"), folder / "cache")
    span, before, seconds = Span.of("2026-03-01"), _peak(), [time.perf_counter()]
    log = read_days(storage, detector.description.line, detector.description.dataset, 1, span)
    seconds.append(time.perf_counter())
    found = judge(detector, 1, span, log)
    seconds.append(time.perf_counter())
    (folder / "report").mkdir()
    write_report(folder / "report", found, detector.description.threshold.value)
    seconds.append(time.perf_counter())
    steps = "|".join(f"{step:.0f} s" for step in np.diff(seconds))
    print(f"{found.drift.rows:,}|{steps}|{before:.0f} MB|{_peak():.0f} MB")


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def fd001(folder: Path) -> tuple[Detector, FeatureSet]:
    """A detector of FD001, trained in ``folder`` unless it is there already."""
    if not (folder / "detector" / "detector.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        run_line(dataset("FD001", "timeseries", load_settings().catalog_files), folder)
    return Detector.load(folder / "detector"), FeatureSet.open(folder / "features")


def main() -> None:
    """Draw the pairs or the rows, print the tables, and perhaps write them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=500)
    parser.add_argument("--few", type=int, default=100, help="pairs for what is slow")
    parser.add_argument("--folder", type=Path, help="keeps the detector of FD001 for the next time")
    parser.add_argument("--only", choices=["engines", "alarms"], help="one of the two tables")
    parser.add_argument("--rows", type=int, help="rows of the prediction log, instead of pairs")
    parser.add_argument("--report", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--write", action="store_true", help="write the tables into docs/drift.md")
    options = parser.parse_args()
    if options.report:
        report_once(options.report)
        return
    with tempfile.TemporaryDirectory() as scratch:
        detector, features = fd001(options.folder or Path(scratch) / "fd001")
        engines = Engines(detector, features)
        if options.rows:
            header = ["rows", "files", "counted", "reading", "judging", "writing", "memory before", "peak"]
            table = markdown_table(header, many_rows(detector, engines, options.rows, Path(scratch) / "log"))
            sections = {"rows": f"`python -m benchmarks.drift_alarms --rows {options.rows}` on {machine()}.\n\n{table}"}
        else:
            told = f"`python -m benchmarks.drift_alarms --pairs {options.pairs} --few {options.few}`, "
            told += f"{PERMUTATIONS} permutations.\n\n"
            sections = {}
            if options.only != "alarms":
                sections["engines"] = told + table_of_engines(engines, options.pairs, options.few)
            if options.only != "engines":
                sections["alarms"] = told + table_of_alarms(generated, options.pairs, options.few)
    for name, text in sections.items():
        print(text)
        if options.write:
            write_section(PAGE, name, text)


if __name__ == "__main__":
    main()
