"""A calibrated detector of a few short recordings; its network is drawn, not fitted."""

from dataclasses import dataclass
from pathlib import Path

from vae_pipeline.detector.calibrate import calibrate
from vae_pipeline.detector.detector import Detector
from vae_pipeline.detector.report import CalibrationReport
from vae_pipeline.detector.sounds import SoundDetector
from vae_pipeline.features.build import build
from vae_pipeline.features.feature_set import FOLDS, FeatureSet, fold_folders
from vae_pipeline.records import Dataset
from vae_pipeline.settings import Settings
from vae_pipeline.sources.load import load
from vae_pipeline.storage import write_json
from vae_pipeline_tests.builders.indexes import sound_dataset
from vae_pipeline_tests.builders.recordings import write_recordings
from vae_pipeline_tests.detector.examples import draw_network

BANDS, LENGTH = 8, 8


@dataclass(frozen=True)
class SoundExample:
    dataset: Dataset
    raw: Path
    network: Path
    features: FeatureSet
    calibrated: Path
    detector: SoundDetector
    report: CalibrationReport

    def file_of(self, unit: str) -> Path:
        return self.raw / "files" / f"{unit}.wav"


def made_sounds(folder: Path, network: Path | None = None, *, folds: int = 0, **fields) -> SoundExample:
    """Recordings, features and the calibrated folder below ``folder``, as the stages write them."""
    recordings = write_recordings(folder / "recordings/fan/id_00", normal=12, abnormal=4, seconds=0.25)
    dataset = sound_dataset(
        **{
            "folder": str(recordings),
            "sound": {"rate": 16_000, "segment": 256, "hop": 128, "bands": BANDS},
            "window": {"length": LENGTH, "stride": 4},
            "split": {"folds": folds},
            **fields,
        }
    )
    raw = folder / "raw"
    load(dataset, Settings(home=folder / "home"), raw)
    (folder / "features").mkdir()
    build(dataset, raw, folder / "features")
    network = network or draw_network(folder / "network", BANDS, LENGTH)
    features = FeatureSet.open(folder / "features")
    detector, report = calibrate(dataset, "0a1b", folder / "features", network)
    calibrated = folder / "calibrated"
    detector.save(calibrated / "detector")
    write_json(calibrated / "report.json", report)
    for fold in fold_folders(folder / "features"):
        one, _ = calibrate(dataset, "0a1b", fold, network)
        one.save(calibrated / FOLDS / fold.name / "detector")
    assert isinstance(detector, SoundDetector)
    return SoundExample(dataset, raw, network, features, calibrated, detector, report)


def opened(folder: Path) -> SoundDetector:
    """The detector of recordings that a folder holds."""
    detector = Detector.load(folder)
    assert isinstance(detector, SoundDetector)
    return detector
