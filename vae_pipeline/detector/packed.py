"""A registered version as it is packed for a service: ``model.json``, ``detector/`` and ``example/``."""

from pathlib import Path

from vae_pipeline.errors import DetectorError
from vae_pipeline.records import Line, Medium, Record

__all__ = ["DETECTOR", "EXAMPLE", "PACKED", "Example", "PackedModel", "read_example", "read_packed"]

PACKED = "model.json"
DETECTOR = "detector"
EXAMPLE = "example"
_EXAMPLE = "example.json"


class Example(Record):
    """A request with what evaluation said of its samples, kept beside the model.

    ``file`` is the body, in the folder ``example/``; ``scores`` are those of evaluation, in order.
    """

    file: str
    content_type: str
    scores: tuple[float, ...]


class PackedModel(Record):
    """A registered version as it was packed."""

    name: str
    line: Line
    dataset: str
    medium: Medium
    version: int
    data_version: str
    trained: str
    metrics: dict[str, float]
    example: Example | None = None


def read_packed(folder: Path) -> PackedModel:
    """What a packed folder says of its model.

    Raises:
        DetectorError: the file is missing or not of this form.
    """
    path = folder / PACKED
    try:
        return PackedModel.model_validate_json(path.read_text())
    except (OSError, ValueError) as error:
        msg = f"{path}: is no packed model ({error}); pack it again"
        raise DetectorError(msg) from error


def read_example(folder: Path) -> Example | None:
    """The example a folder ``example/`` holds; None where there is none.

    Raises:
        DetectorError: it is not of this form.
    """
    path = folder / _EXAMPLE
    if not path.is_file():
        return None
    try:
        return Example.model_validate_json(path.read_text())
    except ValueError as error:
        msg = f"{path}: is no example ({error}); register the detector again"
        raise DetectorError(msg) from error
