"""Alarms in the prediction log: what was written since the last look, told by dataset.

Which files were read stands in the outbox, written in one transaction with the alerts that came of them: a process
killed at any moment tells nothing twice and leaves nothing out. The last two days that have files are watched, by the
folders' names and not by the clock.
"""

import datetime as dt
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from vae_pipeline.alerts.alert import Alert
from vae_pipeline.alerts.outbox import Outbox
from vae_pipeline.monitoring.reading import DamagedLogError, is_log_file, log_batches, log_folder
from vae_pipeline.records import Record
from vae_pipeline.storage import Storage

__all__ = ["CRITICAL_RATIO", "Looked", "Tally", "look_for_anomalies"]

CRITICAL_RATIO = 2.0
"""An alert is critical where a score is at least so many times its threshold; of thresholds above 0 alone."""
_DAYS = 2
_UNITS = 1_000  # names that are counted apart
_NAMED = 5
_COLUMNS = ["time", "name", "score", "alarm", "threshold"]
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_ROW = re.compile(r", row \d+$")  # a window is named after its unit and last row


class Tally(Record):
    """Alarms of a dataset on a day that have not been told yet."""

    alarms: int = 0
    ratio: float | None = Field(default=None, description="highest score as a multiple of its threshold, if above 0")
    score: float = Field(default=0.0, description="the score furthest above its threshold")
    threshold: float = 0.0
    first: dt.datetime | None = None
    last: dt.datetime | None = None
    units: dict[str, int] = Field(default={})


class Looked(Record):
    """What a look at the log found: files read, rows and alarms in them, files that cannot be read, alerts made."""

    files: int
    rows: int
    alarms: int
    unreadable: tuple[str, ...]
    alerts: tuple[Alert, ...]


def look_for_anomalies(storage: Storage, outbox: Outbox, line: str, fewest: int = 3) -> Looked:
    """Read what is new in the log of a line, and keep an alert for each dataset with at least ``fewest`` new alarms.

    Fewer are counted on, within their day. One file is in memory at a time, and of it 65,536 rows.

    Raises:
        StorageError: the log or the outbox cannot be read or written; nothing is lost, and the next look goes on.
    """
    marks: dict[str, list[str]] = {}
    notes: dict[str, Any] = {}
    forget: list[str] = []
    alerts: list[Alert] = []
    rows = alarms = 0
    unreadable: list[str] = []
    for dataset in storage.names(log_folder(line)):
        place = log_folder(line, dataset)
        spaces = [f"{place}/{day}" for day in storage.names(place) if _DAY.fullmatch(day)][-_DAYS:]
        forget += [space for space in outbox.spaces(f"{place}/") if space not in spaces]
        for space in spaces:
            tally = Tally.model_validate(outbox.note(space) or {})
            for file in _new_files(storage, space, outbox.marks(space)):
                try:
                    tally, read, found = _with_file(storage, f"{space}/{file}", tally)
                except DamagedLogError as error:
                    unreadable.append(f"{space}/{file}: {error}")
                else:
                    rows, alarms = rows + read, alarms + found
                marks.setdefault(space, []).append(file)
            if tally.alarms >= fewest:
                alerts.append(_alert(line, dataset, tally))
                tally = Tally()
            if space in marks:
                notes[space] = tally.model_dump(mode="json") if tally.alarms else None
    notes |= dict.fromkeys(forget)
    taken = outbox.add(alerts, marks=marks, forget=forget, notes=notes) if marks or forget else []
    return Looked(
        files=sum(map(len, marks.values())),
        rows=rows,
        alarms=alarms,
        unreadable=tuple(unreadable),
        alerts=tuple(taken),
    )


def _new_files(storage: Storage, space: str, known: set[str]) -> Iterator[str]:
    for hour in storage.names(space):
        for name in storage.names(f"{space}/{hour}"):
            file = f"{hour}/{name}"
            if is_log_file(name) and file not in known:
                yield file


def _with_file(storage: Storage, key: str, tally: Tally) -> tuple[Tally, int, int]:
    """The tally with a file's alarms added, its rows and its alarms."""
    rows, before = 0, tally.alarms
    for batch in log_batches(storage, key, _COLUMNS):
        rows += batch.num_rows
        tally = _with_alarms(tally, pa.table(batch).filter(batch["alarm"]))
    return tally, rows, tally.alarms - before


def _with_alarms(tally: Tally, alarms: pa.Table) -> Tally:
    if not alarms.num_rows:
        return tally
    score, threshold = alarms["score"].to_numpy(), alarms["threshold"].to_numpy()
    place = int((score - threshold).argmax())
    changed: dict[str, Any] = {"alarms": tally.alarms + alarms.num_rows}
    if tally.last is None or score[place] - threshold[place] > tally.score - tally.threshold:
        changed |= {"score": float(score[place]), "threshold": float(threshold[place])}
    above = threshold > 0
    if above.any():
        changed["ratio"] = max(tally.ratio or 0.0, float((score[above] / threshold[above]).max()))
    times = pc.call_function("min_max", [alarms["time"]]).as_py()
    changed["first"] = min(filter(None, (tally.first, times["min"])))
    changed["last"] = max(filter(None, (tally.last, times["max"])))
    units = Counter(tally.units)
    for name in alarms["name"].to_pylist():
        unit = _ROW.sub("", name) if name else ""
        if unit and (unit in units or len(units) < _UNITS):
            units[unit] += 1
    return tally.model_copy(update={**changed, "units": dict(units)})


def _alert(line: str, dataset: str, tally: Tally) -> Alert:
    subject = f"{line}/{dataset}"
    named = [name for name, _ in Counter(tally.units).most_common(_NAMED)]
    more = f" and {len(tally.units) - _NAMED} more" if len(tally.units) > _NAMED else ""
    units = f", most of {', '.join(named)}{more}" if named else ""
    times = "" if tally.ratio is None else f", {tally.ratio:.1f} times its threshold at the most"
    assert tally.first is not None  # noqa: S101
    assert tally.last is not None  # noqa: S101
    between = f"from {tally.first:%Y-%m-%d %H:%M:%S} to {tally.last:%H:%M:%S} UTC"
    text = (
        f"{tally.alarms:,} alarms of {subject} {between}{units}; "
        f"the highest score is {tally.score:.4g} with a threshold of {tally.threshold:.4g}{times}."
    )
    critical = tally.ratio is not None and tally.ratio >= CRITICAL_RATIO
    return Alert(
        kind="anomalies",
        severity="critical" if critical else "warning",
        subject=subject,
        text=text,
        time=tally.last,
        key=f"anomalies/{subject}",
    )
