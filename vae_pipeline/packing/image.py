"""A Bento as a container image, by whichever engine is there."""

import shutil
import subprocess

from vae_pipeline.errors import PackingError
from vae_pipeline.packing.pack import PackedBento
from vae_pipeline.packing.store import run_bentoml
from vae_pipeline.records import Record
from vae_pipeline.settings import Settings

__all__ = ["ENGINES", "Image", "build_image", "engine"]

ENGINES = ("docker", "podman", "buildah", "nerdctl")


class Image(Record):
    """What came of it: the image's name, the engine that built it, and a sentence."""

    name: str | None
    engine: str | None
    told: str


def engine() -> str | None:
    """The first engine that answers; one whose daemon does not run is none."""
    for name in ENGINES:
        if shutil.which(name):
            asked = subprocess.run([name, "info"], capture_output=True, check=False, timeout=60)
            if asked.returncode == 0:
                return name
    return None


def build_image(settings: Settings, packed: PackedBento) -> Image:
    """The Bento's image, named as the Bento; where it could not be built, its sentence says why."""
    found = engine()
    if found is None:
        names = ", ".join(ENGINES)
        told = f"no image was built: none of {names} answers here; bentoml containerize {packed.tag} elsewhere"
        return Image(name=None, engine=None, told=told)
    try:
        run_bentoml(settings, "containerize", packed.tag, "--backend", found, "--image-tag", packed.tag)
    except PackingError as error:
        return Image(name=None, engine=found, told=f"{found} could not build {packed.tag}: {error}")
    return Image(name=packed.tag, engine=found, told=f"{packed.tag} was built by {found}")
