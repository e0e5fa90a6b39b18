"""How often an explanation names what is at fault: ``python -m benchmarks.root_cause FD001 smd_machine_1_6 bottle``.

- C-MAPSS and any table without `interpretation_label`: a fault of known kind and size is injected into one sensor of
  normal test windows that do not alarm by themselves; is that sensor ranked first where the detector alarms?
- SMD: do the first sensors of each anomalous segment agree with the sensors its `interpretation_label` names?
- Images: does the largest explained region overlap the mask?

``--home`` keeps what was trained, so that a second call trains nothing; ``--write`` puts the tables into
docs/explanation.md. SMD needs its entries: ``VAE_PIPELINE_CATALOG=docs/examples/smd.yaml``; a machine there is not one
of them needs an entry of its own.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from benchmarks.report import markdown_table, write_section
from vae_pipeline.calibration.faults import FAULTS, inject
from vae_pipeline.catalog import dataset as catalogue_entry
from vae_pipeline.detector.calibrate import calibrate
from vae_pipeline.detector.explained_images import explain_image
from vae_pipeline.detector.explained_windows import Named
from vae_pipeline.errors import VaePipelineError
from vae_pipeline.explanation.sensors import measured
from vae_pipeline.features.build import build
from vae_pipeline.features.feature_set import FeatureSet
from vae_pipeline.features.image_set import ImageSet
from vae_pipeline.features.windows import evenly
from vae_pipeline.records import Calibration, Dataset
from vae_pipeline.settings import load_settings
from vae_pipeline.sources.load import load

if TYPE_CHECKING:
    from vae_pipeline.detector.images import ImageDetector
    from vae_pipeline.detector.windows import WindowDetector

__all__ = [
    "Hits",
    "Segment",
    "entry_of",
    "fault_rows",
    "hits_of",
    "main",
    "overlap",
    "prepared",
    "read_segments",
    "segment_hits",
]

PAGE = Path(__file__).resolve().parent.parent / "docs" / "explanation.md"
SIZES = (3.0, 6.0, 12.0)
"""Of a fault, in healthy standard deviations."""
INJECTED = 2000
"""Normal windows at most that get a fault of each kind and size."""
BATCH = 256
OVERLAP = 0.1
UNLABELLED = {"threshold": "conformal", "score": ("error", "level", "latent", "mean_error")}
"""What calibration chooses where no label is known."""


@dataclass(frozen=True)
class Segment:
    """Rows of the test file that are anomalous, ``stop`` excluded, and the sensors at fault, all from 0."""

    start: int
    stop: int
    sensors: frozenset[int]


@dataclass(frozen=True)
class Hits:
    """Agreement of a ranking with a segment's sensors.

    Attributes:
        first: the first is one of them.
        three: one of the first three is.
        all_100, all_150: share of them among the first n and 1.5 n, n their number; Y. Su et al., KDD 2019.
    """

    first: float
    three: float
    all_100: float
    all_150: float


def hits_of(ranking: Sequence[int], at_fault: frozenset[int]) -> Hits:
    """How well a ranking of sensors finds those at fault."""
    count = len(at_fault)

    def share(most: int) -> float:
        return len(at_fault & set(ranking[:most])) / count

    return Hits(float(ranking[0] in at_fault), float(share(3) > 0), share(count), share(int(1.5 * count)))


def read_segments(text: str) -> list[Segment]:
    """The segments of an ``interpretation_label`` file: ``246-252:1,2,3`` a line, sensors counted from 1.

    Rows count from 0 and the last one is not anomalous: so the files agree with those of ``test_label``.
    """
    found = []
    for line in text.split():
        rows, _, names = line.partition(":")
        start, _, stop = rows.partition("-")
        found.append(Segment(int(start), int(stop), frozenset(int(name) - 1 for name in names.split(","))))
    return found


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Intersection over union of two boolean arrays; 0 where both are empty."""
    union = int((one | other).sum())
    return int((one & other).sum()) / union if union else 0.0


def prepared(entry: Dataset, home: Path) -> Path:
    """The folder of the dataset's features and network below ``home``, made where it is not there."""
    from vae_pipeline.models.train import train

    folder = home / entry.name
    raw, features, trained = (folder / part for part in ("raw", "features", "trained"))
    if not (trained / "decoder.onnx").exists():
        print(f"training {entry.name}", file=sys.stderr)
        for part in (raw, features, trained):
            part.mkdir(parents=True, exist_ok=True)
        load(entry, load_settings(), raw)
        build(entry, raw, features)
        train(entry, features, trained)
    return folder


def fault_rows(detector: "WindowDetector", features: FeatureSet, seed: int = 0) -> list[list[str]]:
    """A row for each kind of fault and size: windows, detected, right sensor first of these, and of all."""
    windows = features.windows("test")
    scores = detector.score_scaled(windows)
    normal = np.flatnonzero((features.labels(windows) == 0) & ~scores.alarm)
    healthy = windows.take(normal[evenly(len(normal), INJECTED)])
    random = np.random.default_rng(seed)
    rows = []
    for kind in FAULTS:
        for size in SIZES:
            sensor = random.integers(healthy.shape[1], size=len(healthy))
            faulty = inject(healthy, kind, sensor, size, seed=seed)
            alarm, first = _judged(detector, faulty)
            right = first == sensor
            found = f"{right[alarm].mean():.0%}" if alarm.any() else "–"
            detected = f"{int(alarm.sum()):,} ({alarm.mean():.1%})"
            rows.append([kind, f"{size:g}", f"{len(healthy):,}", detected, found, f"{right.mean():.0%}"])
    return rows


def _judged(detector: "WindowDetector", windows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Whether each window alarms, and the sensor that its explanation ranks first."""
    alarms, first = [], []
    for start in range(0, len(windows), BATCH):
        batch = detector.session.observe(windows[start : start + BATCH])
        normal = detector.normal_sensors
        evidence = normal.evidence(normal.standardised(measured(batch, detector.description.late)))
        alarms.append(detector.decide(detector.score_observation(batch)))
        first.append(evidence.argmax(1))
    return np.concatenate(alarms), np.concatenate(first)


def segment_hits(
    detector: "WindowDetector", features: FeatureSet, segments: Sequence[Segment], plain: np.ndarray
) -> dict[str, list[Hits]]:
    """Hits of every segment by our evidence and by the plain z-score.

    A segment's evidence is the mean over the windows that end in it, its z-score the mean over its rows.

    Args:
        detector: calibrated.
        features: the folder it was calibrated on.
        segments: of the test file.
        plain: size of the z-score of every row and sensor of the test file, shape (n_rows, sensors).
    """
    windows = features.windows("test")
    first = next(segment.start for segment in features.segments if segment.part == "test")
    rows = windows.ends - first
    normal = detector.normal_sensors
    found: dict[str, list[Hits]] = {"explanation": [], "mean \\|z\\|, no model": []}
    for segment in segments:
        mine = windows.subset((rows >= segment.start) & (rows < segment.stop))
        if not len(mine):
            continue
        evidence = [
            normal.evidence(normal.standardised(measured(batch, detector.description.late)))
            for batch in detector.session.batches(mine)
        ]
        # constant sensors may have been left out of the channels
        ours = np.zeros(plain.shape[1])
        ours[[_number(name) for name in features.sensors]] = np.concatenate(evidence).mean(0)
        for name, values in zip(found, (ours, plain[segment.start : segment.stop].mean(0)), strict=True):
            found[name].append(hits_of(np.argsort(-values, kind="stable").tolist(), segment.sensors))
    return found


def _number(sensor: str) -> int:
    """The place of ``column_7`` among the columns of the file, from 0."""
    return int(sensor.rpartition("_")[2]) - 1


def plain_scores(raw: Path) -> np.ndarray:
    """Size of the z-score of every reading of the test file, by the whole training file, (n_rows, sensors)."""
    import pandas as pd

    train, test = (pd.read_parquet(raw / f"{part}.parquet").filter(like="column_") for part in ("train", "test"))
    values = train.to_numpy(dtype=np.float64)
    deviation = values.std(0)
    return np.abs(test.to_numpy(dtype=np.float64) - values.mean(0)) / np.where(deviation > 0, deviation, 1.0)


def fault_table(entry: Dataset, folder: Path) -> str:
    """The table of a dataset of tables, with its own calibration and with that of a plant without labels."""
    features = FeatureSet.open(folder / "features")
    parts = []
    unlabelled = Calibration(**{**entry.calibration.model_dump(), **UNLABELLED})
    for name, calibration in (("as calibrated", entry.calibration), ("as without labels", unlabelled)):
        stated = entry.model_copy(update={"calibration": calibration})
        detector, _ = calibrate(stated, "benchmark", folder / "features", folder / "trained" / "model.onnx")
        rows = fault_rows(cast("WindowDetector", detector), features)
        header = ["fault", "size (sd)", "windows", "detected", "right sensor first, of detected", "of all"]
        form = " + ".join(detector.description.form)
        parts.append(
            f"{entry.name}, {name} (score {form}, threshold {detector.description.threshold.method}):\n\n"
            + markdown_table(header, rows)
        )
    return "\n\n".join(parts)


def segment_table(entry: Dataset, folder: Path, labels: Path) -> str:
    """The table of an SMD machine."""
    features = FeatureSet.open(folder / "features")
    detector, _ = calibrate(entry, "benchmark", folder / "features", folder / "trained" / "model.onnx")
    found = segment_hits(
        cast("WindowDetector", detector), features, read_segments(labels.read_text()), plain_scores(folder / "raw")
    )
    rows = []
    for name, hits in found.items():
        means = np.mean([(each.first, each.three, each.all_100, each.all_150) for each in hits], axis=0)
        rows.append([name, f"{len(hits)}", *(f"{value:.2f}" for value in means)])
    header = ["ranking", "segments", "hit@1", "hit@3", "HitRate@100%", "HitRate@150%"]
    return f"{entry.name}:\n\n" + markdown_table(header, rows)


def region_table(entry: Dataset, folder: Path) -> str:
    """The table of a set of images: kinds of defect, how many are detected, and in how many the region is right."""
    images = ImageSet.open(folder / "features")
    made, _ = calibrate(entry, "benchmark", folder / "features", folder / "trained" / "model.onnx")
    detector = cast("ImageDetector", made)
    found: dict[str, list[tuple[bool, float, float]]] = {}
    for image in images.index("test").tolist():
        mask = images.mask(image)
        if images.label[image] != 1 or mask is None:
            continue
        explained = explain_image(
            detector, images.pixels[image], images.placements[image], mask.shape, Named(images.names[image])
        )
        # the largest by area; by mass, as the explanation ranks them, it is nearly always the same
        areas = [region.area for region in explained.explanation.regions]
        largest = explained.regions == int(np.argmax(areas)) + 1 if areas else np.zeros(mask.shape, dtype=bool)
        one = overlap(largest, mask), overlap(explained.regions == 1, mask)
        found.setdefault(images.defects[image], []).append((explained.explanation.alarm, *one))
    rows = []
    for kind, each in [*sorted(found.items()), ("all", [one for some in found.values() for one in some])]:
        detected = [one for one in each if one[0]]
        figures = [
            f"{np.mean([one[place] > OVERLAP for one in detected]):.0%}" if detected else "–" for place in (1, 2)
        ]
        mean = f"{np.mean([one[1] for one in detected]):.2f}" if detected else "–"
        rows.append([kind, f"{len(each)}", f"{len(detected)}", *figures, mean])
    header = [
        "defect",
        "images",
        "detected",
        "largest region IoU > 0.1",
        "first region IoU > 0.1",
        "mean IoU of largest",
    ]
    return f"{entry.name}:\n\n" + markdown_table(header, rows)


def labels_of(entry: Dataset) -> Path | None:
    """The ``interpretation_label`` file beside the test file of an SMD machine; None for any other dataset."""
    if entry.files is None or not entry.files.test:
        return None
    relative = Path(entry.files.test)
    for root in (load_settings().home / "extracted").glob("*"):
        file = root / relative.parent.with_name("interpretation_label") / relative.name
        if file.exists():
            return file
    return None


def entry_of(name: str) -> Dataset:
    """The catalogue's entry, on whichever line it is."""
    known = load_settings().catalog_files
    try:
        return catalogue_entry(name, "timeseries", known)
    except VaePipelineError:
        return catalogue_entry(name, "vision", known)


def table(name: str, home: Path) -> str:
    """The table that suits a dataset."""
    entry = entry_of(name)
    folder = prepared(entry, home)
    if entry.medium == "image":
        return region_table(entry, folder)
    labels = labels_of(entry)
    return segment_table(entry, folder, labels) if labels else fault_table(entry, folder)


def main() -> None:
    """Print the tables, and with ``--write`` put each into the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("datasets", nargs="+")
    parser.add_argument("--home", type=Path, help="keeps features and networks for the next call")
    parser.add_argument("--write", action="store_true", help="write the tables into docs/explanation.md")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        for name in options.datasets:
            text = table(name, options.home or Path(scratch))
            print(text, flush=True)
            if options.write:
                write_section(PAGE, f"root cause {name}", text)


if __name__ == "__main__":
    main()
