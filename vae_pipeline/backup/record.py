"""What a back-up says about itself: ``backup.json``."""

from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationError

from vae_pipeline.errors import BackUpError
from vae_pipeline.records import Record

__all__ = ["ARTIFACTS", "NAME", "REGISTRY", "STORAGE", "BackUp", "Counts", "Kept", "read_back_up"]

NAME = "backup.json"
REGISTRY, STORAGE, ARTIFACTS = "registry.db", "storage", "artifacts"


def _below(key: str) -> str:
    place = PurePosixPath(key)
    if place.is_absolute() or ".." in place.parts:
        msg = f"{key} leaves the folder"
        raise ValueError(msg)
    return key


class Kept(Record):
    """A file of a back-up."""

    size: int = Field(ge=0)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class Counts(Record):
    """How much a back-up holds."""

    models: int
    versions: int
    runs: int
    files: int
    bytes: int


class BackUp(Record):
    """A back-up: ``registry.db``, the files below ``storage/`` and MLflow's below ``artifacts/``.

    Attributes:
        format: raised when the layout changes.
        made: UTC, ISO 8601.
        version: of this package.
        mlflow: version of MLflow.
        schema_revision: of the registry's tables, as MLflow's migrations name it.
        database: where the registry was, without a password.
        storage: root of the storage at the time.
        artifacts: root of MLflow's artifacts at the time.
        addresses: what locations inside the registry began with.
        elsewhere: how many runs and versions keep artifacts outside of that root, which are not in the back-up.
        counts: how much it holds.
        files: every file by its path.
    """

    format: Literal[1] = 1
    made: str
    version: str
    mlflow: str
    schema_revision: str
    database: str
    storage: str
    artifacts: str
    addresses: tuple[str, ...]
    elsewhere: int = 0
    counts: Counts
    files: dict[Annotated[str, AfterValidator(_below)], Kept]


def read_back_up(folder: Path) -> BackUp:
    """The record of a back-up.

    Raises:
        BackUpError: the folder is none, or its record is damaged.
    """
    path = folder / NAME
    try:
        return BackUp.model_validate_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError) as error:
        msg = f"{path}: there is no such file; name a back-up, such as FOLDER/20260131T120000Z"
        raise BackUpError(msg) from error
    except OSError as error:
        msg = f"{path}: {error.strerror}; make it readable"
        raise BackUpError(msg) from error
    except ValidationError as error:
        first = error.errors()[0]
        reason = ": ".join([*map(str, first["loc"]), first["msg"]])
        msg = f"{path}: damaged ({reason}); take another back-up"
        raise BackUpError(msg) from error
