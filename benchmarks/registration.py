"""How exactly registration finds the turn of the generated part, whose turns are known, in colour and in grey.

``python -m benchmarks.registration [--write]``; the table stands in docs/images.md.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.report import machine, markdown_table, write_section
from vae_pipeline.catalog import catalog
from vae_pipeline.features.pictures import decode_picture
from vae_pipeline.features.registration import Registration
from vae_pipeline.sources import sample_product

__all__ = ["errors", "main"]

DATASET = "sample_product_rotated"


def errors(found: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Degrees between found and true turns but for one turn that all share, the exemplar's own, shape (n,)."""
    difference = np.deg2rad(found - true)
    candidates = [np.angle(np.exp(1j * (difference - middle))) for middle in difference]
    shared = min(candidates, key=lambda error: float(np.abs(error).mean()))
    return np.abs(np.rad2deg(shared))


def main() -> None:
    """Measure, print and perhaps write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the table into docs/images.md")
    options = parser.parse_args()
    dataset = catalog()[DATASET]
    stated = dataset.generator
    with tempfile.TemporaryDirectory() as folder:
        files = sorted((sample_product.generate(dataset, Path(folder) / "raw") / DATASET / "train/good").glob("*.png"))
        pictures = np.stack([decode_picture(file, file.name, 10**6) for file in files])
    seeds = [(stated["seed"], stated["variant"], 0, image, 0) for image in range(len(files))]
    # the turn is the first thing that is drawn of a picture; rows run downwards, so it counts the other way
    true = np.rad2deg([np.random.default_rng(seed).uniform(-np.pi, np.pi) for seed in seeds])
    grey = np.repeat(pictures.mean(3, keepdims=True).astype(np.uint8), 3, axis=3)
    rows = []
    for name, shown in (("colour", pictures), ("grey", grey)):
        registration = Registration.learnt(shown, np.arange(len(shown)))
        start = time.perf_counter()
        found = np.array([registration.placement(image).turn for image in shown])
        seconds = (time.perf_counter() - start) / len(shown)
        error = min((errors(found, sign * true) for sign in (1, -1)), key=lambda each: float(each.mean()))
        half, most = np.quantile(error, [0.5, 0.95])
        share = float((error < 5).mean())
        rows.append([name, str(len(shown)), f"{half:.2f}°", f"{most:.2f}°", f"{share:.0%}", f"{seconds * 1000:.0f} ms"])
    header = ["pictures", "number", "half within", "95 % within", "within 5°", "time each"]
    text = f"`python -m benchmarks.registration` on {machine()}.\n\n{markdown_table(header, rows)}"
    print(text)
    if options.write:
        write_section(Path(__file__).parents[1] / "docs" / "images.md", "registration", text)


if __name__ == "__main__":
    main()
