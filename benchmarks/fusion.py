"""Ways to fuse, with and without cross-modal attention, on the same pairs, beside each modality and late fusion.

``python -m benchmarks.fusion [FD001+bottle] [--epochs 4] [--write]``; the table stands in docs/multimodal.md. The two
lines must have been run in ``VAE_PIPELINE_HOME`` before: ``vae-pipeline run multimodal FD001+bottle``.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import get_args

from benchmarks.report import machine, markdown_table, write_section
from benchmarks.stages import evaluated
from vae_pipeline.catalog import catalog
from vae_pipeline.defs.artifact_io import newest
from vae_pipeline.features.pair_set import GROUPS
from vae_pipeline.records import Fusion, FusionTraining
from vae_pipeline.settings import load_settings
from vae_pipeline.storage import open_storage

__all__ = ["main"]

ALONE = ("windows_alone_roc_auc", "windows_own_detector_roc_auc", "images_alone_roc_auc", "images_own_detector_roc_auc")


def main() -> None:
    """Train every variant on the pairs that the pipeline made, print and perhaps write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pairs", nargs="?", default="FD001+bottle")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--write", action="store_true", help="write the table into docs/multimodal.md")
    options = parser.parse_args()
    settings = load_settings()
    store, entry = open_storage(settings), catalog(settings.catalog_files)[options.pairs]
    kept = newest(store, entry, "features")
    if kept is None:
        parser.error(f"{options.pairs} was not run yet: vae-pipeline run multimodal {options.pairs}")
    features, rows, last = store.folder(kept.key), [], None
    for fusion in get_args(Fusion):
        for attention in (True, False):
            training = FusionTraining(fusion=fusion, attention=attention, epochs=options.epochs)
            began = time.perf_counter()
            with tempfile.TemporaryDirectory() as folder:
                _, last = evaluated(entry.model_copy(update={"training": training}), features, Path(folder))
            figures = [last.metrics["roc_auc"], *(last.groups[name]["roc_auc"] for name in GROUPS[1:])]
            alone = [last.metrics[ALONE[0]], last.metrics[ALONE[2]]]
            told = [f"**{fusion}**", "yes" if attention else "no", *(f"{value:.3f}" for value in [*figures, *alone])]
            rows.append([*told, f"{time.perf_counter() - began:.0f}"])
            print(" | ".join(rows[-1]), flush=True)
    if last is None:
        return
    for name, found in last.baselines.items():
        groups = [last.groups[group][f"{name}_roc_auc"] for group in GROUPS[1:]]
        own = {"timeseries": (last.metrics[ALONE[1]], None), "vision": (None, last.metrics[ALONE[3]])}.get(name, ())
        cells = [found["roc_auc"], *groups, *(own or (None, None))]
        rows.append([name.replace("_", " "), "", *("" if value is None else f"{value:.3f}" for value in cells), ""])
    head = ["fusion", "attention", "ROC-AUC", *(f"group {name}" for name in GROUPS[1:])]
    table = markdown_table([*head, "windows alone", "images alone", "seconds"], rows)
    text = f"`python -m benchmarks.fusion {options.pairs} --epochs {options.epochs}` on {machine()}.\n\n{table}"
    print(text)
    if options.write:
        write_section(Path(__file__).parents[1] / "docs" / "multimodal.md", "fusion", text)


if __name__ == "__main__":
    main()
