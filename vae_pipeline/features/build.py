"""A raw folder to a features folder, whatever the raw data are."""

from pathlib import Path
from typing import Any

from vae_pipeline.features.images import build_images
from vae_pipeline.features.sounds import build_sounds
from vae_pipeline.features.tables import build_tables
from vae_pipeline.records import Dataset

__all__ = ["build"]

_BUILDERS = {"table": build_tables, "sound": build_sounds, "image": build_images}


def build(dataset: Dataset, raw: Path, folder: Path) -> dict[str, Any]:
    """Write the features of ``dataset`` into the empty folder ``folder`` and give facts about them.

    Raises:
        DataError: the raw data cannot be split or scaled; the message names the setting to change.
    """
    return _BUILDERS[dataset.medium](dataset, raw, folder)
