"""How beta and the form of the score were chosen: on calibration units alone, no test label is read.

``python -m benchmarks.choices FD001 FD002 --beta 0.03 0.1 0.3 1 --seed 0`` prints a Markdown table.
"""

import argparse
import tempfile
from pathlib import Path

from vae_pipeline.catalog import dataset
from vae_pipeline.detector.report import CalibrationReport
from vae_pipeline.detector.window_calibration import calibrate_windows
from vae_pipeline.features.build import build
from vae_pipeline.features.feature_set import FeatureSet
from vae_pipeline.models.train import train
from vae_pipeline.settings import load_settings
from vae_pipeline.sources.load import load

__all__ = ["calibration_report", "main"]


def calibration_report(name: str, beta: float, seed: int) -> CalibrationReport:
    """What calibration says of a network trained with ``beta`` on the split of ``seed``."""
    entry = dataset(name, "timeseries", load_settings().catalog_files)
    split, training = entry.split.model_copy(update={"seed": seed}), {"beta": beta, "seed": seed}
    entry = entry.model_copy(update={"split": split, "training": entry.training.model_copy(update=training)})
    with tempfile.TemporaryDirectory() as scratch:
        raw, features, trained = (Path(scratch) / part for part in ("raw", "features", "trained"))
        for folder in (raw, features, trained):
            folder.mkdir()
        load(entry, load_settings(), raw)
        build(entry, raw, features)
        train(entry, features, trained)
        _, report = calibrate_windows(entry, "choices", FeatureSet.open(features), trained / "model.onnx")
    return report


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("datasets", nargs="+")
    parser.add_argument("--beta", type=float, nargs="+", default=[0.03, 0.1, 0.3, 1.0])
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    header_written = False
    for name in options.datasets:
        for beta in options.beta:
            report = calibration_report(name, beta, options.seed)
            if not header_written:
                forms = [" + ".join(figure.form).replace("_", " ") for figure in report.forms]
                print("| dataset | beta | " + " | ".join(forms) + " |")
                print("| --- | --- |" + " --- |" * len(forms))
                header_written = True
            cells = " | ".join(f"{figure.roc_auc:.3f} / {figure.pr_auc:.3f}" for figure in report.forms)
            print(f"| {name} | {beta:g} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
