"""The recipe for unaligned objects and textures beside the same images run as if aligned.

``python -m benchmarks.poses [--epochs 24] [--write]``; the table stands in docs/images.md.
"""

import argparse
import tempfile
from pathlib import Path

from benchmarks.report import machine, markdown_table, write_section
from benchmarks.stages import evaluated
from vae_pipeline.catalog import catalog
from vae_pipeline.evaluation.result import Evaluation
from vae_pipeline.features.build import build
from vae_pipeline.records import Dataset
from vae_pipeline.settings import load_settings
from vae_pipeline.sources.load import load

__all__ = ["main", "run"]

DATASETS = ("sample_product_rotated", "sample_product_textured")
SHOWN = ("roc_auc", "pr_auc", "pixel_auroc", "aupro")


def as_pose(dataset: Dataset, pose: str, epochs: int) -> Dataset:
    """The dataset with another pose and that pose's augmentation."""
    stated = dataset.model_dump()
    stated["imaging"]["pose"] = pose
    stated["training"] = {"epochs": epochs}
    return Dataset.model_validate(stated)


def run(dataset: Dataset, folder: Path) -> tuple[Evaluation, str]:
    """Raw images to evaluation by library calls; the evaluation, and the form of the score in words."""
    raw, features = folder / "raw", folder / "features"
    features.mkdir(parents=True)
    load(dataset, load_settings(), raw)
    build(dataset, raw, features)
    detector, evaluation = evaluated(dataset, features, folder)
    placements = ", ".join(getattr(detector.description, "placements", ()))
    return evaluation, f"{' + '.join(detector.description.form)} ({placements})"


def main() -> None:
    """Run every dataset in its own pose and as if aligned, print and perhaps write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--write", action="store_true", help="write the table into docs/images.md")
    options = parser.parse_args()
    rows = []
    for name in DATASETS:
        own = catalog()[name]
        for pose in (own.imaging.pose, "aligned"):
            with tempfile.TemporaryDirectory() as folder:
                evaluation, form = run(as_pose(own, pose, options.epochs), Path(folder))
            figures = [evaluation.metrics, *(evaluation.baselines.values() if pose == own.imaging.pose else ())]
            words = [f"**VAE**, pose {pose}", *evaluation.baselines]
            for detector, found in zip(words, figures, strict=False):
                detail = form if found is evaluation.metrics else ""
                rows.append([name, detector, *(f"{found[key]:.3f}" for key in SHOWN), detail])
            print(markdown_table(["images", "detector", *SHOWN, "maps (placement)"], rows[-len(figures) :]), flush=True)
    told = f"`python -m benchmarks.poses --epochs {options.epochs}` on {machine()}.\n\n"
    text = told + markdown_table(
        ["images", "detector", "ROC-AUC", "PR-AUC", "pixel ROC-AUC", "AUPRO", "maps (placement)"], rows
    )
    if options.write:
        write_section(Path(__file__).parents[1] / "docs" / "images.md", "poses", text)


if __name__ == "__main__":
    main()
