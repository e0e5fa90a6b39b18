"""The prediction log as it is read: by file, streamed; a file that is damaged is told from a storage that fails."""

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from vae_pipeline.errors import DataError, StorageError
from vae_pipeline.monitoring.prediction_log import SCHEMA
from vae_pipeline.storage import Storage

__all__ = ["DamagedLogError", "is_log_file", "log_batches", "log_folder"]

_ROWS = 65_536  # read at a time


class DamagedLogError(DataError):
    """A file is no file of the log, and never will be: truncated, foreign, or removed meanwhile."""


def log_folder(line: str, dataset: str = "", day: str = "") -> str:
    """Where the log of a line lies, or that of a dataset, or of its day (ISO date)."""
    return "/".join(part for part in ("predictions", line, dataset, day) if part)


def is_log_file(name: str) -> bool:
    """Whether a file of that name belongs to the log and is whole: those being written begin with a dot."""
    return name.endswith(".parquet") and not name.startswith(".")


def log_batches(storage: Storage, key: str, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """The rows of a file, at most 65,536 at a time, with these columns of the log in their order.

    Raises:
        DamagedLogError: see there; batches before the damage were given by then.
        StorageError: the storage does not answer; it may at another time.
    """
    path = storage.root / key
    try:
        with path.open("rb") as opened, pq.ParquetFile(opened) as file:
            for name in columns:
                found, wanted = file.schema_arrow.field(name).type, SCHEMA.field(name).type
                if found != wanted:
                    msg = f"column {name!r} is {found}, not {wanted}: the file is none of the prediction log"
                    raise DamagedLogError(msg)
            for batch in file.iter_batches(_ROWS, columns=list(columns)):
                yield batch.select(list(columns))
    except DamagedLogError:
        raise
    except FileNotFoundError as error:
        msg = "is gone: it was removed while the log was read"
        raise DamagedLogError(msg) from error
    except Exception as error:
        # Arrow tells of damage by its own classes or by an OSError without a number
        damaged = isinstance(error, pa.ArrowException | KeyError | ValueError)
        if damaged or (isinstance(error, OSError) and error.errno is None):
            raise DamagedLogError(str(error).partition("\n")[0] or type(error).__name__) from error
        msg = f"{path}: {error or type(error).__name__}; check VAE_PIPELINE_STORAGE and the network"
        raise StorageError(msg) from error
