"""Where a connector stands, kept so that a crash at any moment neither loses a row nor gives one twice.

Everything lies under ``connectors/<name>/`` of the storage. A step goes:

1. the finished batch is *staged* under a name that nobody else has, with what is remembered beside it;
2. ``connectors/<name>/<number>.json`` is written, unless there is one: the place in the source, and which staged files
   go where. This decides;
3. the staged files are moved to ``incoming/``, which may be a place of its own, and ``quarantine/``;
4. what earlier steps left is removed;
5. the source is told that it may forget.

After a crash before 2 the rows are read again, as if nothing had been. After one behind 2 the next start does 3: a
staged file that is still there was not moved yet. After one before 5 the source gives rows again, which are known.

Where two machines pull the same connector, one of two that take the same step is beaten: nothing of its step is seen,
its source gives the rows again. One that is late by several steps may find the number free again, since 4 removed it;
it sees the later ones and is beaten too.
"""

import io
import json
import re
import uuid
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
    own: str = Field(default="", description="in the names of the step's files; empty in those of before there was one")
    position: dict[str, Any] | None = None
    units: dict[str, _UnitState] = Field(default={})
    moves: dict[str, str] = Field(default={}, description="staged key to the key it goes to")


_NUMBERED = re.compile(r"(?P<number>\d{8,})(?P<decided>\.json)?")


class Keeper:
    """Reads and writes where one connector stands; of several processes that take the same step one does."""

    def __init__(self, storage: Storage, name: str, incoming: Storage | None = None) -> None:
        """Keep the connector ``name`` in ``storage``; new data go there too, or to ``incoming``."""
        self._storage, self._incoming = storage, incoming
        self._name, self._folder = name, f"connectors/{name}"
        self._single = f"connectors/{name}.json"  # which each step replaced, before each had a file of its own
        self._single_gone = False

    def load(self) -> Kept:
        """Where the connector stands, after what a crash left to do is done.

        Raises:
            StorageError: what is kept is damaged.
        """
        key = self._newest()
        if key is None:
            return Kept()
        try:
            state = _State.model_validate_json(self._storage.read_text(key))
            self._bring_out(state)
            keys = self._beside(state, "seen")
            held = self._beside(state, "held").to_pandas()
        except (ValidationError, pa.ArrowInvalid, KeyError, FileNotFoundError, StorageError) as error:
            if self._newest() != key:
                return self.load()  # another process took a step meanwhile, and removed what was before it
            if isinstance(error, StorageError):
                raise
            msg = (
                f"{key} in the storage is damaged ({str(error).splitlines()[0]}); restore it with the folder "
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
            StorageError: the storage cannot be written; nothing has happened then, or all after the next `load`. Or
                another process has taken this step: nothing has happened.
        """
        kept = replace(kept, number=kept.number + 1)
        own = uuid.uuid4().hex
        staged = [f"{self._folder}/{kept.number:08d}-{own}-{index}.staged" for index in range(len(outgoing))]
        moves = {key: item.key for key, item in zip(staged, outgoing, strict=True)}
        state = _State(number=kept.number, own=own, position=kept.position, units=_units(kept), moves=moves)
        for key, item in zip(staged, outgoing, strict=True):
            self._storage.write_bytes(key, item.content)
        seen = pa.table({"key": kept.seen.keys, "value": kept.seen.values})
        held = pa.Table.from_pandas(pd.DataFrame() if kept.held is None else kept.held, preserve_index=False)
        self._storage.write_bytes(self._side(state, "seen"), _bytes(seen))
        self._storage.write_bytes(self._side(state, "held"), _bytes(held))
        if not self._decide(state):
            for key in (*staged, self._side(state, "seen"), self._side(state, "held")):
                self._storage.remove(key)
            msg = (
                f"another process has pulled the connector {self._name!r} meanwhile, perhaps on another machine: "
                "nothing of this step was kept; let one process alone pull it, and run it again"
            )
            raise StorageError(msg)
        self._bring_out(state)
        for name, number, _ in self._numbered():
            if number < kept.number:
                self._storage.remove(f"{self._folder}/{name}")
        if not self._single_gone:
            self._storage.remove(self._single)
            self._single_gone = True
        return kept

    def _decide(self, state: _State) -> bool:
        """Write a step down; False where another process has taken it, or a later one."""
        key, text = f"{self._folder}/{state.number:08d}.json", json.dumps(state.model_dump())
        if not self._storage.create_text(key, text):
            # a client that asks again after it heard no answer may be refused for what it wrote itself
            return self._storage.has_text(key) and self._storage.read_text(key) == text
        if any(decided and number > state.number for _, number, decided in self._numbered()):
            self._storage.remove(key)
            return False
        return True

    def _newest(self) -> str | None:
        """The key of the last step that was decided."""
        decided = [(number, name) for name, number, decided in self._numbered() if decided]
        if decided:
            return f"{self._folder}/{max(decided)[1]}"
        return self._single if self._storage.has_text(self._single) else None

    def _numbered(self) -> list[tuple[str, int, bool]]:
        """The files of steps: name, number, and whether it is the one that decides."""
        found = [(name, _NUMBERED.match(name)) for name in self._storage.names(self._folder)]
        return [(name, int(match["number"]), bool(match["decided"])) for name, match in found if match]

    def _bring_out(self, state: _State) -> None:
        for staged, key in state.moves.items():
            if not self._storage.has_text(staged):
                continue
            try:
                if self._incoming is None or not key.startswith(INCOMING):
                    self._storage.move(staged, key)
                else:
                    self._incoming.write_bytes(key.removeprefix(INCOMING), self._storage.read_bytes(staged))
                    self._storage.remove(staged)
            except StorageError:
                if self._storage.has_text(staged):  # else: another process has brought it out
                    raise

    def _beside(self, state: _State, name: str) -> pa.Table:
        key = self._side(state, name)
        if not self._storage.has_text(key):
            msg = f"{key} is missing"
            raise FileNotFoundError(msg)
        return _table(self._storage.read_bytes(key))

    def _side(self, state: _State, name: str) -> str:
        own = f"-{state.own}" if state.own else ""
        return f"{self._folder}/{state.number:08d}{own}-{name}.parquet"


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
