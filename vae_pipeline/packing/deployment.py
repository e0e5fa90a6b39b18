"""What was packed, tested and released: one record a line, beside those before it."""

import datetime as dt

from vae_pipeline.detector.packed import PackedModel
from vae_pipeline.packing.image import Image, build_image
from vae_pipeline.packing.pack import pack
from vae_pipeline.packing.prune import prune
from vae_pipeline.packing.smoke import SmokeTest, smoke_test
from vae_pipeline.records import Line, Record
from vae_pipeline.registry.shelf import Shelf
from vae_pipeline.settings import Settings
from vae_pipeline.storage import Storage

__all__ = ["Deployment", "deploy", "deployment_key"]


class Deployment(Record):
    """A Bento that was found fit.

    Attributes:
        tag: of the Bento.
        path: where it lies.
        models: what it carries.
        at: when it was found fit.
        smoke: how it answered in its own environment.
        image: what came of building its image.
    """

    tag: str
    path: str
    models: tuple[PackedModel, ...]
    at: str
    smoke: SmokeTest
    image: Image


def deployment_key(line: Line, tag: str | None = None) -> str:
    """Where the record of a Bento is kept, or that of the latest one."""
    return f"deployments/{line}/{'latest' if tag is None else tag.partition(':')[2]}.json"


def deploy(
    settings: Settings, storage: Storage, shelf: Shelf, line: Line, *, image: bool = True, keep: int = 5
) -> Deployment:
    """Pack the champions of a line, test the Bento in its own environment, write the record, remove old Bentos.

    Args:
        settings: home, where Bentos lie.
        storage: gets the record.
        shelf: the registry.
        line: whose champions are packed.
        image: whether a container image is built where an engine is there; one that fails is told in the record.
        keep: Bentos of the line that stay, this one among them.

    Raises:
        PackingError: there is no champion, or the Bento could not be built or is not fit; the latest record stays.
    """
    packed = pack(settings, shelf, line)
    tested = smoke_test(settings, packed)
    built = build_image(settings, packed) if image else Image(name=None, engine=None, told="no image was asked for")
    deployment = Deployment(
        tag=packed.tag,
        path=str(packed.path),
        models=packed.models,
        at=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        smoke=tested,
        image=built,
    )
    text = deployment.model_dump_json(indent=2)
    storage.write_text(deployment_key(line, packed.tag), text)
    storage.write_text(deployment_key(line), text)
    prune(settings, line, keep)
    return deployment
