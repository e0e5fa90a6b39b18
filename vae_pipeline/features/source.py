"""What the raw folder says of itself."""

import json
from pathlib import Path
from typing import Any

from vae_pipeline.errors import DataError

__all__ = ["source_of"]


def source_of(raw: Path) -> dict[str, Any]:
    """What ``source.json`` in a raw folder says; nothing where there is none.

    Raises:
        DataError: the file is no valid JSON.
    """
    file = raw / "source.json"
    try:
        return json.loads(file.read_text()) if file.exists() else {}
    except ValueError as error:
        msg = f"{file}: no valid JSON ({error}); bring the raw data in again"
        raise DataError(msg) from error
