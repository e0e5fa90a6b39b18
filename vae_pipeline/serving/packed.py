"""Where a service finds the models it carries."""

import os
from pathlib import Path

from vae_pipeline.errors import DetectorError

__all__ = ["packed_folders"]


def packed_folders(stated: str | None, beside: Path) -> list[Path]:
    """Folders of the models a service carries.

    Args:
        stated: folders separated by ``:``; what stands beside the service when None.
        beside: a file of the Bento's source that lists the tags of its models, a line each.

    Raises:
        DetectorError: there are none.
    """
    if stated:
        return [Path(item).expanduser() for item in stated.split(os.pathsep) if item]
    if not beside.is_file():
        msg = f"{beside}: is missing, so there are no models to serve; pack them, or set VAE_PIPELINE_SERVICE_MODELS"
        raise DetectorError(msg)
    import bentoml

    return [Path(bentoml.models.get(tag).path) for tag in beside.read_text().split()]
