"""The connectors that files name, without a look at what they say: quick to load, and broken by no wrong entry."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vae_pipeline.catalog import read_yaml
from vae_pipeline.errors import SettingError

__all__ = ["EVERY", "SETTING", "connector_entries", "pauses"]

EVERY = 60.0
"""Seconds between two pulls of a connector that states no ``every``."""
SETTING = "VAE_PIPELINE_CONNECTORS"


def connector_entries(path: Path) -> dict[str, Any]:
    """The entries of one file as they were written, by name.

    Raises:
        SettingError: the file cannot be read, or is no file of connectors.
    """
    content = read_yaml(path, SETTING, SettingError)
    if not isinstance(content, dict) or not isinstance(content.get("connectors"), dict):
        msg = f"{path}: a file of connectors is a mapping with 'connectors:' (name to entry)"
        raise SettingError(msg)
    return {str(name): entry for name, entry in content["connectors"].items()}


def pauses(files: Sequence[Path]) -> dict[str, float]:
    """Seconds between two pulls of each connector, by name; `EVERY` where an entry states none that can be used.

    Raises:
        SettingError: a file cannot be read, or is no file of connectors.
    """
    return {name: _every(entry) for path in files for name, entry in connector_entries(path).items()}


def _every(entry: Any) -> float:
    stated = entry.get("every", EVERY) if isinstance(entry, dict) else EVERY
    return float(stated) if isinstance(stated, int | float) and stated > 0 else EVERY
