"""From a connector to batches in ``incoming/``: bounded, each row once, each step safe from a crash."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from pydantic import Field

from vae_pipeline.connectors.config import ConnectorConfig
from vae_pipeline.connectors.connector import Connector, Fetched, Position
from vae_pipeline.connectors.cutting import cuts, ripe
from vae_pipeline.connectors.keeping import INCOMING, Keeper, Kept, Outgoing
from vae_pipeline.connectors.labelling import label_rows
from vae_pipeline.connectors.moments import iso, nanoseconds
from vae_pipeline.connectors.repeats import fresh_refused, fresh_rows
from vae_pipeline.connectors.resampling import Before, Run, bins, pivot, resample
from vae_pipeline.connectors.rows import canonical, empty_rows
from vae_pipeline.records import Record
from vae_pipeline.sources.batch_facts import BatchFacts, EndedRun, batch_bytes
from vae_pipeline.sources.delimited import column
from vae_pipeline.storage import Storage, fingerprint

__all__ = ["Names", "Pulled", "pull"]


class Names(Record):
    """What a batch calls the columns that are no sensors: as the dataset does."""

    unit: str = "unit"
    time: str = "time"
    label: str = "label"


class Pulled(Record):
    """What a pull brought."""

    batches: tuple[str, ...] = Field(default=(), description="keys, which begin with incoming/")
    rows: int = Field(default=0, description="rows in these batches")
    received: int = Field(default=0, description="rows the source gave")
    repeated: int = Field(default=0, description="left out: known by unit, time and tag")
    changed: int = Field(default=0, description="of these, with other values than before")
    late: int = Field(default=0, description="older than what was written of their unit; in batches of their own")
    backwards: int = Field(default=0, description="times a unit's clock went backwards inside a batch")
    refused: int = Field(default=0, description="could not be read; set aside")
    other_tags: int = Field(default=0, description="of tags that are no sensor; left out")
    held: int = Field(default=0, description="held back: of units too short yet, or of times that may still grow")
    ended_runs: int = Field(default=0, description="gaps longer than allowed")
    notes: tuple[str, ...] = Field(default=(), description="what a person should know, a sentence each")


@dataclass
class _Gathered:
    """Rows that become the next batch."""

    since: float
    frames: list[pd.DataFrame] = field(default_factory=list)
    refused: list[dict] = field(default_factory=list)
    position: Position | None = None
    rows: int = 0
    size: int = 0
    received: int = 0
    other_tags: int = 0


def pull(
    connector: Connector,
    storage: Storage,
    config: ConnectorConfig,
    names: Names | None = None,
    *,
    incoming: Storage | None = None,
    least: int = 1,
    flush: bool = False,
    clock: Callable[[], float] = time.monotonic,
) -> Pulled:
    """Read what is new until the source has no more, and write it to ``incoming/<line>/<dataset>/``.

    A batch is written when it has ``config.batch.rows`` rows or so many megabytes, when it has waited so many seconds,
    and at the end. It is never larger, unless what the source hands over at a time is, or one unit's ``least`` rows
    are. Only one process may pull the same connector at a time.

    Args:
        connector: is closed if anything goes wrong, so that what it did not keep comes again.
        storage: holds what the connector has to remember, and ``incoming/`` where that is no place of its own.
        config: what the rows mean, what is done to them, when they become a batch.
        names: of columns.
        incoming: where new data arrive, in ``<line>/<dataset>/``; ``incoming/`` of ``storage`` when left out.
        least: rows that a batch has of each of its units, such as those of a window; fewer are held back.
        flush: write what would be held back.
        clock: seconds.

    Raises:
        ConnectorError: the source cannot be reached, or refuses; what was written before stays.
        DataError: a column is missing; nothing is written.
        StorageError: the storage cannot be written; the next pull goes on where this one stood.
    """
    step = _Step(connector, Keeper(storage, config.name, incoming), config, names or Names(), least, flush)
    try:
        step.begin()
        gathered = _Gathered(since=clock())
        for fetched in connector.rows(step.kept.position):
            size = int(fetched.rows.memory_usage(deep=True).sum())
            if gathered.rows and (
                gathered.rows + len(fetched.rows) > config.batch.rows
                or gathered.size + size > config.batch.megabytes * 2**20
            ):
                step.take(gathered)
                gathered = _Gathered(since=clock())
            _add(gathered, fetched, size, connector, config)
            step.note(fetched.note)
            if fetched.waits or (gathered.received and clock() - gathered.since >= config.batch.seconds):
                step.take(gathered)
                gathered = _Gathered(since=clock())
        step.take(gathered, last=True)
    except BaseException:
        connector.close()
        raise
    return step.pulled()


def _add(gathered: _Gathered, fetched: Fetched, size: int, connector: Connector, config: ConnectorConfig) -> None:
    found = canonical(fetched.rows, config.columns, unit=config.name, place=connector.place, strict=connector.keeps)
    if len(found.rows):
        gathered.frames.append(found.rows)
    gathered.refused += found.refused
    gathered.position = fetched.position
    gathered.rows += len(fetched.rows)
    gathered.received += len(fetched.rows)
    gathered.size += size
    gathered.other_tags += found.other_tags


class _Step:
    """The pull's state: where the connector stands, and what was counted."""

    def __init__(
        self, connector: Connector, keeper: Keeper, config: ConnectorConfig, names: Names, least: int, flush: bool
    ) -> None:
        self._connector, self._keeper, self._config, self._names = connector, keeper, config, names
        self._least, self._flush = least, flush
        self.kept = Kept()
        self._batches: list[str] = []
        self._notes: list[str] = []
        self._counts: dict[str, int] = dict.fromkeys(
            ("rows", "received", "repeated", "changed", "late", "backwards", "refused", "other_tags", "ended_runs"), 0
        )

    def begin(self) -> None:
        self.kept = self._keeper.load()
        if self.kept.position is not None:
            self._connector.acknowledge(self.kept.position)

    def take(self, gathered: _Gathered, *, last: bool = False) -> None:
        """Write what was gathered and stand behind it."""
        held = self.kept.held
        flush = self._flush and last and held is not None and len(held) > 0
        if gathered.position is None and not flush:
            return
        config, kept, window = self._config, self.kept, self._config.window
        empty = empty_rows(config.columns)
        rows = pd.concat(gathered.frames, ignore_index=True) if gathered.frames else empty
        backwards = rows.groupby("unit", sort=False)["time"].diff().lt(0).sum()
        fresh = fresh_rows(rows, kept.seen, most=window)
        refused, seen = fresh_refused(gathered.refused, fresh.seen, most=window)
        counted = {"repeated": fresh.repeated, "changed": fresh.changed, "backwards": int(backwards)}
        counted |= {"received": gathered.received, "other_tags": gathered.other_tags, "refused": len(refused)}
        for name, count in counted.items():
            self._counts[name] += count
        ready, late, held = self._parted(fresh.rows, all_of_it=self._flush and last)
        number = kept.number + 1
        stem = f"{config.name}-{number:08d}-{fingerprint(gathered.position or kept.position)}"
        outgoing, after = self._cut(ready, stem, number, kept.before, late=False, most=gathered.rows)
        more, _ = self._cut(late, f"{stem}-late", number, {}, late=True, most=gathered.rows)
        outgoing += more
        if refused:
            key = f"quarantine/{config.line}/{config.dataset}/{stem}.refused.jsonl"
            lines = "".join(json.dumps(item, sort_keys=True) + "\n" for item in refused)
            outgoing.append(Outgoing(key, lines.encode()))
            self._notes.append(
                f"{self._connector.place}: {len(refused)} rows could not be read, such as one with "
                f"{refused[0]['reason']}; they are set aside in {key}"
            )
        position = gathered.position or kept.position
        same = position == kept.position and not outgoing and not len(fresh.rows)
        if not same:
            marks = self._last_of(ready)
            before = {unit: known for unit, known in (kept.before | after).items() if unit in marks}
            self.kept = self._keeper.keep(
                replace(kept, position=position, last=marks, before=before, seen=seen, held=held), outgoing
            )
        if position is not None:
            self._connector.acknowledge(position)

    def note(self, said: str) -> None:
        """Remember what the source said of itself, where it did."""
        self._notes += [f"{self._connector.place}: {said}"] if said else []

    def pulled(self) -> Pulled:
        """What was counted, and what a person should know of it."""
        counts, notes = self._counts, list(self._notes)
        said = {
            "changed": "rows came again with other values: those that came first stay",
            "late": "rows are older than what was written of their unit: they come in batches of their own (-late)",
            "backwards": "times a clock went backwards: rows were sorted by time",
            "ended_runs": "gaps were longer than resample.longest: they are not filled, and end a run of rows",
        }
        notes += [f"{self._connector.place}: {counts[name]} {text}" for name, text in said.items() if counts[name]]
        held = 0 if self.kept.held is None else len(self.kept.held)
        return Pulled(batches=tuple(self._batches), held=held, notes=tuple(notes), **counts)

    def _bins(self, times: pd.Series) -> np.ndarray:
        if self._config.resample is None:
            return times.to_numpy()
        return bins(times.to_numpy(np.int64), nanoseconds(self._config.resample.every))

    def _parted(self, rows: pd.DataFrame, *, all_of_it: bool) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
        """Of these rows and those that were held back: what is ripe, what of that comes too late, and what waits."""
        held, waited = self.kept.held, 0
        if held is not None and len(held):
            waited = len(held)
            rows = pd.concat([held, rows], ignore_index=True)
            again = rows.duplicated(["unit", "time", "tag"])  # what waits longer than the window of repeats
            self._counts["repeated"] += int(again.sum())
            rows = rows.loc[~again].reset_index(drop=True)
        late = self._late(rows)
        self._counts["late"] += int(late[waited:].sum())
        done = np.ones(len(rows), dtype=bool) if all_of_it else self._ripe(rows, late)
        return rows.loc[done & ~late], rows.loc[done & late], rows.loc[~done].reset_index(drop=True)

    def _late(self, rows: pd.DataFrame) -> np.ndarray:
        """Which rows come too late for what was written of their unit, (rows,) bool."""
        last = [self.kept.last.get(unit) for unit in rows["unit"]]
        times = self._bins(column(rows, "time")).tolist()
        return np.array([mark is not None and at <= mark for mark, at in zip(last, times, strict=True)], dtype=bool)

    def _ripe(self, rows: pd.DataFrame, late: np.ndarray) -> np.ndarray:
        """Which rows need not wait: not for a later row of their time, nor for more of their unit; (rows,) bool."""
        columns, rule = self._config.columns, self._config.resample
        grows = columns.tag is not None or rule is not None
        longest = nanoseconds(rule.longest) if rule is not None and rule.gaps == "split" else None
        units, at, found = column(rows, "unit"), self._bins(column(rows, "time")), np.zeros(len(rows), dtype=bool)
        found[~late] = ripe(units.loc[~late], at[~late], least=self._least, grows=grows, longest=longest)
        found[late] = ripe(units.loc[late], at[late], least=self._least, grows=False, longest=longest)
        return found

    def _last_of(self, rows: pd.DataFrame) -> dict[str, int | float]:
        """Each unit's last time with these rows, the units that were written last at the end; as many as stated."""
        at = pd.Series(self._bins(column(rows, "time")), index=rows.index).groupby(rows["unit"]).max()
        last = dict(self.kept.last)
        for unit, value in zip(at.index, at.tolist(), strict=True):
            last.pop(str(unit), None)
            last[str(unit)] = value
        return dict(list(last.items())[-self._config.units :])

    def _cut(
        self, rows: pd.DataFrame, stem: str, number: int, before: dict[str, Before], *, late: bool, most: int
    ) -> tuple[list[Outgoing], dict[str, Before]]:
        """The rows as batches that are no larger than stated, or than ``most``: what was held back came on top."""
        if rows.empty:
            return [], {}
        rows = rows.sort_values(["unit", "time"], kind="stable").reset_index(drop=True)
        size = int(rows.memory_usage(deep=True).sum())
        stated = min(self._config.batch.rows, int(len(rows) * self._config.batch.megabytes * 2**20 / size))
        at = self._bins(column(rows, "time"))
        parts = cuts(column(rows, "unit"), at, most=max(1, most, stated), least=self._least)
        outgoing, after = [], {}
        for index, part in enumerate(parts):
            file = f"{stem}.parquet" if len(parts) == 1 else f"{stem}-{index:03d}.parquet"
            batch, ended = self._batch(rows.iloc[part], file, number, before | after, late=late)
            outgoing.append(batch)
            after |= ended
        return outgoing, after

    def _batch(
        self, rows: pd.DataFrame, file: str, number: int, before: dict[str, Before], *, late: bool
    ) -> tuple[Outgoing, dict[str, Before]]:
        """The rows, sorted, in their last form, as a file for ``incoming/``."""
        config, sensors = self._config, list(self._config.columns.sensors)
        table = (
            pivot(rows, sensors)
            if config.columns.tag
            else rows.loc[:, ["unit", "time", *sensors]].reset_index(drop=True)
        )
        facts = BatchFacts(connector=config.name, number=number, rows=len(table), late=late)
        after: dict[str, Before] = {}
        if config.resample is not None:
            done = resample(table, config.resample, before)
            table, after = done.rows, done.after
            ended = tuple(_ended(run) for run in done.runs if run.ended_by is not None)
            self._counts["ended_runs"] += 0 if late else len(ended)
            facts = facts.model_copy(
                update={
                    "rows": len(table),
                    "resampled": config.resample.model_dump(mode="json"),
                    "inserted_rows": done.inserted_rows,
                    "filled_cells": done.filled_cells,
                    "ended_runs": ended,
                }
            )
        if config.labels is not None:
            table["label"], told = label_rows(table, config.labels)
            facts = facts.model_copy(update={"labelled_by": told})
        if config.columns.clock != "number":
            table["time"] = pd.to_datetime(table["time"], unit="ns", utc=True)
        table = table.rename(columns={"unit": self._names.unit, "time": self._names.time, "label": self._names.label})
        key = f"{INCOMING}{config.line}/{config.dataset}/{file}"
        self._batches.append(key)
        self._counts["rows"] += len(table)
        return Outgoing(key, batch_bytes(table, facts)), after


def _ended(run: Run) -> EndedRun:
    gap = (run.ended_by or 0) / 1e9
    return EndedRun(unit=run.unit, start=iso(run.start), end=iso(run.end), gap_seconds=gap)
