"""Images of the champions of each line, for compose: ``python -m infra.bento_images``.

The champions are those of the registry that ``MLFLOW_TRACKING_URI`` names. An image is named as its Bento,
``timeseries:0a1b…``, which says models and code, and ``timeseries:latest`` beside it, which compose starts.
"""

import subprocess
import sys
from typing import get_args

from vae_pipeline.environment import prepare_environment
from vae_pipeline.errors import PackingError
from vae_pipeline.packing.image import build_image
from vae_pipeline.packing.pack import pack
from vae_pipeline.records import Line
from vae_pipeline.registry.shelf import Shelf
from vae_pipeline.registry.tracking import Tracker
from vae_pipeline.settings import Settings, load_settings

__all__ = ["image_of", "main"]


def image_of(settings: Settings, shelf: Shelf, line: Line) -> str:
    """Build the image of a line's champions and call it the latest; gives what to say.

    Raises:
        PackingError: there is no champion, or no image came of it.
    """
    image = build_image(settings, pack(settings, shelf, line))
    if image.name is None or image.engine is None:
        raise PackingError(image.told)
    latest = f"{line}:latest"
    tagged = subprocess.run([image.engine, "tag", image.name, latest], capture_output=True, text=True, check=False)
    if tagged.returncode:
        msg = f"{image.name}: {image.engine} does not call it {latest}: {tagged.stderr.strip()}"
        raise PackingError(msg)
    return f"{image.told}, and is {latest}"


def main() -> int:
    """Build the images of all lines that have a champion; 1 where there is none at all."""
    prepare_environment()
    settings = load_settings()
    shelf = Shelf(Tracker(settings))
    built = 0
    for line in get_args(Line):
        try:
            print(image_of(settings, shelf, line), flush=True)
            built += 1
        except PackingError as error:
            print(error, file=sys.stderr, flush=True)
    return int(not built)


if __name__ == "__main__":
    sys.exit(main())
