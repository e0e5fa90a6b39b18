"""Where a connector stands, kept so that a crash at any moment neither loses a row nor gives one twice.

Everything lies under ``connectors/<name>/`` of the storage; ``connectors/<name>.json`` is the one file whose writing
decides. A step goes:

1. the finished batch is *staged* as ``connectors/<name>/<number>.parquet``, with what is remembered beside it;
2. ``connectors/<name>.json`` is replaced: the place in the source, and which staged files go where;
3. the staged files are moved to ``incoming/``, which may be a place of its own, and ``quarantine/``;
4. the source is told that it may forget.

After a crash before 2 the rows are read again, as if nothing had been. After one behind 2 the next start does 3: a
staged file that is still there was not moved yet. After one before 4 the source gives rows again, which are known.
"""

import io
import json
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field, ValidationError

from vae_pipeline.connectors.connector import Position
from vae_pipeline.connectors.repeats import NOTHING_SEEN, Seen
from vae_pipeline.connectors.resampling import Before
from vae_pipeline.errors import StorageError
from vae_pipeline.records import Record
from vae_pipeline.storage import Storage

__all__ = ["INCOMING", "Keeper", "Kept", "Outgoing"]

INCOMING = "incoming/"
"""How keys begin that belong to where new data arrive."""


@dataclass(frozen=True)
class Kept:
    """Where a connector stands.

    ``last`` is each unit's last time that was written (nanoseconds, or plain numbers), the units written last at the
    end; ``before`` what resampling has to know of it; ``held`` rows that are held back.
    """

    number: int = 0
    position: Position | None = None
    last: dict[str, int | float] = field(default_factory=dict)
    before: dict[str, Before] = field(default_factory=dict)
    seen: Seen = NOTHING_SEEN
    held: pd.DataFrame | None = None


@dataclass(frozen=True)
class Outgoing:
    """A file that a step brings out: its key in the storage, its content."""

    key: str
    content: bytes


class _UnitState(Record):
    last: int | float
    run: int | None = None
    first: bool = True
    known: dict[str, tuple[int, float]] = Field(default={})


class _State(Record):
    number: int = 0
    position: dict[str, Any] | None = None
    units: dict[str, _UnitState] = Field(default={})
    moves: dict[str, str] = Field(default={}, description="staged key to the key it goes to")


class Keeper:
    """Reads and writes where one connector stands; one process a connector at a time."""

    def __init__(self, storage: Storage, name: str, incoming: Storage | None = None) -> None:
        """Keep the connector ``name`` in ``storage``; new data go there too, or to ``incoming``."""
        self._storage, self._incoming = storage, incoming
        self._key = f"connectors/{name}.json"
        self._folder = f"connectors/{name}"

    def load(self) -> Kept:
        """Where the connector stands, after what a crash left to do is done.

        Raises:
            StorageError: what is kept is damaged.
        """
        if not self._storage.has_text(self._key):
            return Kept()
        try:
            state = _State.model_validate_json(self._storage.read_text(self._key))
            self._bring_out(state)
            keys = self._beside(state.number, "seen")
            held = self._beside(state.number, "held").to_pandas()
        except (ValidationError, pa.ArrowInvalid, KeyError, FileNotFoundError) as error:
            msg = (
                f"{self._key} in the storage is damaged ({str(error).splitlines()[0]}); restore it with the folder "
                f"{self._folder}, or delete both: the source is then read from its beginning"
            )
            raise StorageError(msg) from error
        return Kept(
            number=state.number,
            position=state.position,
            last={unit: item.last for unit, item in state.units.items()},
            before={
                unit: Before(int(item.last), item.run, first=item.first, known=dict(item.known))
                for unit, item in state.units.items()
                if item.run is not None
            },
            seen=Seen(np.asarray(keys["key"]), np.asarray(keys["value"])),
            held=held,
        )

    def keep(self, kept: Kept, outgoing: list[Outgoing]) -> Kept:
        """Take a step: files come out, and the connector stands where ``kept`` says, with the next number.

        Raises:
            StorageError: the storage cannot be written; nothing has happened then, or all after the next `load`.
        """
        kept = replace(kept, number=kept.number + 1)
        moves = {}
        for index, item in enumerate(outgoing):
            staged = f"{self._folder}/{kept.number:08d}-{index}.staged"
            self._storage.write_bytes(staged, item.content)
            moves[staged] = item.key
        self._storage.write_bytes(
            self._side(kept.number, "seen"), _bytes(pa.table({"key": kept.seen.keys, "value": kept.seen.values}))
        )
        held = kept.held if kept.held is not None else pd.DataFrame()
        self._storage.write_bytes(
            self._side(kept.number, "held"), _bytes(pa.Table.from_pandas(held, preserve_index=False))
        )
        state = _State(number=kept.number, position=kept.position, units=_units(kept), moves=moves)
        text = json.dumps(state.model_dump())
        self._decide(text)
        self._bring_out(state)
        for name in ("seen", "held"):
            self._storage.remove(self._side(kept.number - 1, name))
        return kept

    def _decide(self, text: str) -> None:
        self._storage.write_text(self._key, text)

    def _bring_out(self, state: _State) -> None:
        for staged, key in state.moves.items():
            if not self._storage.has_text(staged):
                continue
            if self._incoming is None or not key.startswith(INCOMING):
                self._storage.move(staged, key)
            else:
                self._incoming.write_bytes(key.removeprefix(INCOMING), self._storage.read_bytes(staged))
                self._storage.remove(staged)

    def _beside(self, number: int, name: str) -> pa.Table:
        key = self._side(number, name)
        if not self._storage.has_text(key):
            msg = f"{key} is missing"
            raise FileNotFoundError(msg)
        return _table(self._storage.read_bytes(key))

    def _side(self, number: int, name: str) -> str:
        return f"{self._folder}/{number:08d}-{name}.parquet"


def _units(kept: Kept) -> dict[str, _UnitState]:
    found = {}
    for unit, last in kept.last.items():
        before = kept.before.get(unit)
        if before is None:
            found[unit] = _UnitState(last=last)
        else:
            found[unit] = _UnitState(last=before.last, run=before.run, first=before.first, known=before.known)
    return found


def _bytes(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


def _table(content: bytes) -> pa.Table:
    return pq.read_table(io.BytesIO(content))
