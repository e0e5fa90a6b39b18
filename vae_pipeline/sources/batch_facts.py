"""What a batch says of itself, in the metadata of its Parquet schema."""

import io
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field, ValidationError

from vae_pipeline.errors import DataError
from vae_pipeline.records import Record

__all__ = ["FACTS_KEY", "BatchFacts", "EndedRun", "batch_bytes", "read_facts"]

FACTS_KEY = b"vae_pipeline"


class EndedRun(Record):
    """A run of rows that a gap longer than allowed ended; times in ISO 8601."""

    unit: str
    start: str
    end: str
    gap_seconds: float


class BatchFacts(Record):
    """Where a batch's rows come from and what was done to them."""

    connector: str
    number: int = Field(description="of the batches of this connector, from 1")
    rows: int
    late: bool = Field(description="whether its rows are older than what an earlier batch holds of their units")
    resampled: dict[str, Any] | None = Field(default=None, description="every, aggregate, gaps, longest")
    inserted_rows: int = 0
    filled_cells: int = 0
    ended_runs: tuple[EndedRun, ...] = ()
    labelled_by: dict[str, Any] | None = Field(default=None, description="the rule that made the labels; None: no rule")

    @property
    def labelled(self) -> str | None:
        """Which rule made the labels and what it took for normal, in words; None where no rule did."""
        if self.labelled_by is None:
            return None
        bounds = self.labelled_by.get("normal") or {}
        normal = ", ".join(f"{name} {_end(low)} to {_end(high)}" for name, (low, high) in bounds.items())
        return f"by the rule {self.labelled_by.get('rule')} (not the truth): normal is {normal or 'anything'}"


def batch_bytes(rows: pd.DataFrame, facts: BatchFacts) -> bytes:
    """The batch as a Parquet file."""
    table = pa.Table.from_pandas(rows, preserve_index=False)
    text = json.dumps(facts.model_dump(mode="json"), sort_keys=True)
    table = table.replace_schema_metadata({**(table.schema.metadata or {}), FACTS_KEY: text.encode()})
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


def read_facts(file: Path) -> BatchFacts | None:
    """The facts of a batch; None for a Parquet file that no connector wrote.

    Raises:
        DataError: it is no Parquet file, or its facts are damaged.
    """
    try:
        found = pq.read_schema(file).metadata or {}
        return BatchFacts.model_validate_json(found[FACTS_KEY]) if FACTS_KEY in found else None
    except (pa.ArrowInvalid, ValidationError) as error:
        reason = str(error).splitlines()[0]
        msg = f"{file}: what the connector noted of the batch cannot be read ({reason}); fetch the batch again"
        raise DataError(msg) from error


def _end(bound: float | None) -> str:
    return "any" if bound is None else f"{bound:.4g}"
