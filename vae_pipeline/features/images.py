"""Images to a features folder: decoded one by one and kept at training size."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from vae_pipeline.errors import DataError
from vae_pipeline.features.pictures import decode_picture, resized
from vae_pipeline.features.registration import Registration, straightened
from vae_pipeline.features.splits import added_later, batch_marks, split_added
from vae_pipeline.features.stored_images import StoredImages, storing
from vae_pipeline.records import Dataset, Part
from vae_pipeline.settings import image_side
from vae_pipeline.storage import write_json

__all__ = ["build_images", "split_images"]

FEWEST_TO_CALIBRATE = 4
FEWEST = 6
"""Normal images: those to calibrate on, one to fit on and one that steers."""


def build_images(dataset: Dataset, raw: Path, folder: Path) -> dict[str, Any]:
    """Write ``images.npy``, ``images.json`` and ``masks/`` into ``folder`` and give facts about them.

    Objects that lie anyhow (``imaging.pose: free``) are brought to one place and turn where that makes the images more
    alike, and ``registration.npz`` says how. One image is in memory at a time.

    Raises:
        DataError: an image cannot be used, or there are too few; the message names the file or the setting.
    """
    size = image_side(dataset.imaging.size)
    entries, marks = _index(raw), batch_marks(raw)
    parts = split_images(
        [entry["label"] for entry in entries],
        [entry["for_test"] for entry in entries],
        dataset,
        [entry["unit"] if added_later(entry["unit"], marks) else None for entry in entries],
    )
    kept = []
    with storing(folder / "images.npy", len(entries), size) as store:
        for number, (entry, part) in enumerate(zip(entries, parts, strict=True)):
            picture = decode_picture(raw / entry["file"], entry["unit"], dataset.imaging.max_pixels)
            store(resized(picture, size))
            kept.append(
                {
                    "name": entry["unit"],
                    "part": part,
                    "label": entry["label"],
                    "defect": entry["defect"],
                    "shape": list(picture.shape[:2]),
                    "mask": _keep_mask(raw, entry["mask"], folder, number),
                }
            )
    registered = _registered(folder, kept) if dataset.imaging.pose == "free" else {}
    about = {"max_pixels": dataset.imaging.max_pixels, "registered": registered.get("registered", False)}
    write_json(folder / "images.json", {"images": kept, **about})
    return {
        "images": len(entries),
        "size": size,
        "masks": sum(entry["mask"] is not None for entry in kept),
        "anomalous_images": sum(entry["label"] == 1 for entry in kept),
        **{f"{part}_images": parts.count(part) for part in ("fit", "calibrate", "test")},
        **registered,
    }


def _registered(folder: Path, kept: list[dict[str, Any]]) -> dict[str, Any]:
    """Straighten the stored images and note in ``kept`` how each lay; facts about it."""
    stored = StoredImages(folder / "images.npy")
    fit = np.array([number for number, entry in enumerate(kept) if entry["part"] == "fit"])
    registration = Registration.learnt(stored, fit)
    facts = {"registered": registration.useful, "removed_by_registration": round(registration.removed, 3)}
    if not registration.useful:
        return facts
    with storing(folder / "straightened.npy", len(kept), stored.shape[1]) as store:
        for number, entry in enumerate(kept):
            image = stored[number]
            placement = registration.placement(image)
            store(straightened(image, placement))
            entry["placement"] = placement
    (folder / "straightened.npy").replace(folder / "images.npy")
    np.savez(folder / "registration.npz", **registration.to_arrays())  # type: ignore[arg-type]
    return facts


def _keep_mask(raw: Path, mask: str | None, folder: Path, number: int) -> str | None:
    """Where the mask of image ``number`` was copied to, below ``folder``; None where there is none."""
    if not mask:
        return None
    kept = f"masks/{number:06d}{Path(mask).suffix}"
    (folder / "masks").mkdir(exist_ok=True)
    shutil.copyfile(raw / mask, folder / kept)
    return kept


def split_images(
    labels: Sequence[int], for_test: Sequence[bool], dataset: Dataset, added: Sequence[str | None] = ()
) -> list[Part]:
    """The part of each image: those that came for testing test, the others fit and calibrate.

    Without test images a share ``split.test`` of the normal ones is cut off. ``added`` names the images that came with
    batches; they are drawn on their own, see `split_added`.

    Raises:
        DataError: there are fewer than six normal images to fit and calibrate on.
    """
    parts: list[Part] = ["test" if test or label == 1 else "fit" for label, test in zip(labels, for_test, strict=True)]
    later = {number: name for number, name in enumerate(added) if name is not None}
    normal = [number for number, part in enumerate(parts) if part == "fit" and number not in later]
    shuffled = [normal[number] for number in np.random.default_rng(dataset.split.seed).permutation(len(normal))]
    has_test = any(test for number, test in enumerate(for_test) if number not in later)
    if not has_test:
        for number in shuffled[: round(dataset.split.test * len(normal))]:
            parts[number] = "test"
    rest = [number for number in shuffled if parts[number] == "fit"]
    if len(rest) < FEWEST:
        msg = (
            f"{dataset.name}: {len(rest)} normal images are left to fit and calibrate on, {FEWEST} are needed; add some"
        )
        raise DataError(msg)
    calibrate = max(FEWEST_TO_CALIBRATE, round(dataset.split.calibrate * len(rest)))
    for number in rest[: min(calibrate, len(rest) - 2)]:
        parts[number] = "calibrate"
    free = {number: name for number, name in later.items() if parts[number] == "fit"}
    drawn = split_added(list(free.values()), dataset.split, has_test)
    for number, name in free.items():
        parts[number] = drawn[name]
    return parts


def _index(raw: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for part in ("train", "test"):
        file = raw / f"{part}.parquet"
        if not file.exists():
            continue
        rows = pq.read_table(file, columns=["unit", "file", "label", "defect", "mask"]).to_pylist()
        for row in rows:
            row["label"] = -1 if row["label"] is None else int(row["label"])
            found.append({**row, "for_test": part == "test"})
    if not found:
        msg = f"{raw}: holds no index of images; materialize the raw data again"
        raise DataError(msg)
    return found
