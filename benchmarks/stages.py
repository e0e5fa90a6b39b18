"""What benchmarks of whole detectors share: a features folder to a network, a detector and its evaluation."""

from pathlib import Path

from vae_pipeline.detector.calibrate import calibrate
from vae_pipeline.detector.detector import Detector
from vae_pipeline.evaluation.evaluate import evaluate
from vae_pipeline.evaluation.result import Evaluation
from vae_pipeline.models.train import train
from vae_pipeline.records import Dataset
from vae_pipeline.storage import write_json

__all__ = ["evaluated"]


def evaluated(dataset: Dataset, features: Path, folder: Path) -> tuple[Detector, Evaluation]:
    """The detector of a features folder and how good it is, by library calls in new folders below ``folder``."""
    trained, calibrated, result = (folder / name for name in ("trained", "calibrated", "evaluated"))
    for path in (trained, calibrated, result):
        path.mkdir(parents=True)
    train(dataset, features, trained)
    detector, report = calibrate(dataset, "benchmark", features, trained / "model.onnx")
    detector.save(calibrated / "detector")
    write_json(calibrated / "report.json", report)
    return detector, evaluate(dataset, features, trained, calibrated, result)
