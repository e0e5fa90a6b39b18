"""Read folders of images, MVTec AD's or a user's own, into an index of one row an image."""

import os
from pathlib import Path
from typing import Any

import pandas as pd

from vae_pipeline.errors import DataError
from vae_pipeline.records import Dataset
from vae_pipeline.sources.copies import near_copies, perceptual_hash
from vae_pipeline.sources.decoding import decode_mask, decode_picture, read_header
from vae_pipeline.sources.download import sha256_of
from vae_pipeline.sources.files import place_file
from vae_pipeline.sources.picture_layout import GOOD, Place, find_pictures

__all__ = ["FILES", "INDEX", "find_pictures", "near_copies", "read_pictures"]

FILES = "files"
"""The folder beside the index that holds the images and masks."""

INDEX: dict[str, str] = {
    "unit": "object",
    "file": "object",
    "label": "Int8",
    "defect": "object",
    "mask": "object",
    "width": "Int64",
    "height": "Int64",
    "mode": "object",
    "format": "object",
    "bytes": "Int64",
    "mask_width": "Int64",
    "mask_height": "Int64",
    "sha256": "object",
    "hash": "object",
    "problem": "object",
    "mask_problem": "object",
}
"""Columns of an index and their types."""


def read_pictures(dataset: Dataset, root: Path, folder: Path, *, linked: bool) -> dict[str, pd.DataFrame]:
    """The index of the part ``train``, and of ``test`` where there is one; images and masks go to ``folder/files``.

    One row an image, sorted by unit; the columns are those of ``INDEX``. ``unit`` is the path in the layout
    (``test/scratch/000.png``), ``file`` and ``mask`` are relative to ``folder``. ``width`` and ``height`` are those of
    the decoded picture, ``mode`` is Pillow's name of the file's form, ``hash`` that of `perceptual_hash`. ``problem``
    is the sentence that says why an image cannot be used, ``mask_problem`` the one about its mask, and cells they leave
    unknown are empty. Every image is decoded whole, one at a time.

    Args:
        dataset: kind, name and ``imaging.max_pixels``.
        root: what holds the images; see `find_pictures` for the layouts.
        folder: where they are put.
        linked: whether they may be links to the files below ``root``, as nobody changes those.

    Raises:
        DataError: see `find_pictures`.
        StorageError: the folder cannot be written.
    """
    rows: dict[str, list[dict[str, Any]]] = {}
    for place in find_pictures(dataset, root):
        row = _row(dataset, place)
        if "sha256" in row:
            place_file(place.path, folder / row["file"], linked=linked)
        if place.mask is not None and row.get("mask") is not None:
            place_file(place.mask, folder / row["mask"], linked=linked)
        rows.setdefault(place.part, []).append(row)
    return {part: _table(rows[part]) for part in ("train", "test") if part in rows}


def _row(dataset: Dataset, place: Place) -> dict[str, Any]:
    row: dict[str, Any] = {
        "unit": place.unit,
        "file": f"{FILES}/{place.unit}",
        "label": int(place.defect != GOOD),
        "defect": place.defect,
        **_described(place, dataset.imaging.max_pixels),
    }
    if place.mask is not None and place.mask_unit is not None:
        row["mask"] = f"{FILES}/{place.mask_unit}"
        row |= _mask_described(place.mask, place.mask_unit, row, dataset.imaging.max_pixels)
    elif place.defect != GOOD and dataset.kind != "images":
        row["mask_problem"] = f"{place.unit}: has no mask in ground_truth/{place.defect}; complete the data"
    return row


def _described(place: Place, max_pixels: int) -> dict[str, Any]:
    """What an index says of an image's content, as far as it can be read."""
    facts: dict[str, Any] = {}
    try:
        facts["bytes"] = place.path.stat().st_size
        facts["sha256"] = sha256_of(place.path)
    except OSError as error:
        facts["problem"] = f"{place.unit}: cannot be read ({error.strerror or error}); check its permissions"
        return facts
    try:
        picture = decode_picture(place.path, place.unit, max_pixels)
    except DataError as error:
        return facts | {"problem": str(error)} | _claimed(place.path)
    facts |= _claimed(place.path)
    return facts | {"width": picture.shape[1], "height": picture.shape[0], "hash": perceptual_hash(picture)}


def _claimed(path: Path) -> dict[str, Any]:
    try:
        header = read_header(path)
    except DataError:
        return {}
    return {"width": header.width, "height": header.height, "mode": header.mode, "format": header.format}


def _mask_described(path: Path, unit: str, row: dict[str, Any], max_pixels: int) -> dict[str, Any]:
    try:
        marked = decode_mask(path, max_pixels, unit)
    except DataError as error:
        # what cannot be opened cannot be put beside the index either
        gone = {} if os.access(path, os.R_OK) else {"mask": None}
        return {"mask_problem": str(error), **gone}
    height, width = marked.shape
    facts: dict[str, Any] = {"mask_width": width, "mask_height": height}
    if "problem" not in row and (width, height) != (row["width"], row["height"]):
        size = f"{row['width']} x {row['height']}"
        facts["mask_problem"] = (
            f"{unit}: the mask has {width} x {height} pixels, but its image {row['unit']} {size}; draw it in that size"
        )
    elif not marked.any():
        facts["mask_problem"] = f"{unit}: the mask marks no pixel; draw the defect, or remove the mask"
    return facts


def _table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    return pd.DataFrame({name: pd.Series([row.get(name) for row in rows], dtype=kind) for name, kind in INDEX.items()})  # pyright: ignore[reportArgumentType]
