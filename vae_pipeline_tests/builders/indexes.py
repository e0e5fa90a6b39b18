"""Small indexes of images and clips as the sources write them, good until a test spoils them; no files lie behind."""

import hashlib
import json
from pathlib import Path

import pandas as pd

from vae_pipeline.records import Dataset


def image_hash(content: str) -> str:
    """A perceptual hash of 2,304 bits: those of two contents differ in about half of them."""
    return hashlib.shake_256(content.encode()).hexdigest(288)


def image_index(part: str = "train", good: int = 32, defects: int = 0) -> pd.DataFrame:
    """Good images of 256 x 256 pixels, then scratched ones with masks; all differ."""
    rows = []
    for number in range(good + defects):
        defect = number >= good
        kind = "scratch" if defect else "good"
        unit = f"{part}/{kind}/{number:03d}.png"
        rows.append(
            {
                "unit": unit,
                "file": f"files/{unit}",
                "label": int(defect),
                "defect": kind,
                "mask": f"ground_truth/scratch/{number:03d}_mask.png" if defect else None,
                "width": 256,
                "height": 256,
                "mode": "RGB",
                "format": "PNG",
                "bytes": 1000,
                "mask_width": 256 if defect else None,
                "mask_height": 256 if defect else None,
                "sha256": f"{part} {number}",
                "hash": image_hash(f"{part} {number}"),
                "problem": None,
                "mask_problem": None,
            }
        )
    types = dict.fromkeys(("width", "height", "mask_width", "mask_height"), "Int64")
    return pd.DataFrame(rows).astype({**types, "label": "Int8"})


def sound_index(part: str = "train", normal: int = 32, abnormal: int = 4) -> pd.DataFrame:
    """Clips of 10 s at 16 kHz with one channel, then abnormal ones; all differ."""
    rows = []
    for number in range(normal + abnormal):
        kind = "abnormal" if number >= normal else "normal"
        unit = f"{part}/{kind}/{number:08d}"
        rows.append(
            {
                "unit": unit,
                "machine": "id_00",
                "file": f"files/{unit}.wav",
                "label": int(number >= normal),
                "rate": 16_000,
                "channels": 1,
                "samples": 160_000,
                "seconds": 10.0,
                "format": "WAV",
                "subtype": "PCM_16",
                "peak": 0.3,
                "level_db": -25.0,
                "clipped_share": 0.0,
                "silent": False,
                "broken_values": 0,
                "sha256": f"{part} {number}",
                "problem": None,
            }
        )
    types = dict.fromkeys(("rate", "channels", "samples", "broken_values"), "Int64")
    return pd.DataFrame(rows).astype({**types, "label": "Int8", "silent": "boolean"})


def image_dataset(**fields: object) -> Dataset:
    """A catalogue entry for such images."""
    plain = {"name": "caps", "title": "bottle caps", "line": "vision", "kind": "images", "licence": "none"}
    return Dataset.model_validate({**plain, **fields})


def sound_dataset(**fields: object) -> Dataset:
    """A catalogue entry for such clips."""
    plain = {"name": "fans", "title": "fans", "line": "timeseries", "kind": "recordings", "licence": "none"}
    return Dataset.model_validate({**plain, **fields})


def write_index(folder: Path, train: pd.DataFrame, test: pd.DataFrame | None = None) -> Path:
    """Write train.parquet, test.parquet and source.json."""
    folder.mkdir(parents=True, exist_ok=True)
    train.to_parquet(folder / "train.parquet", index=False)
    if test is not None:
        test.to_parquet(folder / "test.parquet", index=False)
    (folder / "source.json").write_text(json.dumps({}))
    return folder
