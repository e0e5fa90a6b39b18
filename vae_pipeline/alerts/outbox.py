"""Where alerts wait: an SQLite file below home, written before anything is sent.

SQLite keeps what was committed through ``kill -9`` and lets several processes write; a transaction lasts milliseconds
and never spans a delivery. Nothing is decided by age alone, so that a clock that is set back or forth silences nothing.
"""

import json
import logging
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from vae_pipeline.alerts.alert import Alert, level
from vae_pipeline.errors import StorageError
from vae_pipeline.settings import Settings
from vae_pipeline.storage import told

__all__ = ["ChannelState", "Kept", "Outbox", "open_outbox", "tell"]

_LOGGER = logging.getLogger(__name__)
_PATIENCE = 5.0  # seconds that a writer waits for another
_MOST = 10_000  # alerts that are kept
_MOST_ORIGINS = 100_000

_TABLES = """
CREATE TABLE IF NOT EXISTS alerts(
    id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL, subject TEXT NOT NULL, level INTEGER NOT NULL,
    ends INTEGER, ended INTEGER NOT NULL DEFAULT 0, received REAL NOT NULL, repeats INTEGER NOT NULL DEFAULT 0,
    before INTEGER NOT NULL DEFAULT 0, alert TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS alerts_by_key ON alerts(key, id);
CREATE TABLE IF NOT EXISTS origins(id INTEGER PRIMARY KEY AUTOINCREMENT, origin TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS marks(space TEXT, mark TEXT, PRIMARY KEY(space, mark)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS notes(name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS counts(kind TEXT, severity TEXT, count INTEGER NOT NULL, PRIMARY KEY(kind, severity));
CREATE TABLE IF NOT EXISTS channels(
    id TEXT PRIMARY KEY, label TEXT NOT NULL, start INTEGER NOT NULL, failures INTEGER NOT NULL DEFAULT 0,
    tried REAL NOT NULL DEFAULT 0, reason TEXT NOT NULL DEFAULT '', delivered INTEGER NOT NULL DEFAULT 0,
    failed INTEGER NOT NULL DEFAULT 0, present INTEGER NOT NULL DEFAULT 1);
CREATE TABLE IF NOT EXISTS told(
    channel TEXT, alert INTEGER, state TEXT NOT NULL, message TEXT NOT NULL, time REAL NOT NULL,
    PRIMARY KEY(channel, alert)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS refusals(
    channel TEXT, subject TEXT, count INTEGER NOT NULL, tried REAL NOT NULL, PRIMARY KEY(channel, subject));
PRAGMA user_version = 1;
"""


class Kept(NamedTuple):
    """An alert in the outbox.

    Attributes:
        id: in the order in which alerts came.
        alert: itself.
        received: when it came, seconds since 1970.
        repeats: how often the same came again and was not told.
        before: how often the same had come untold since it was told last.
        ends: id of the alarm that it says is over.
        states: of each channel's label: delivered, refused or skipped; a channel that is missing has not been told.
    """

    id: int
    alert: Alert
    received: float
    repeats: int
    before: int
    ends: int | None
    states: Mapping[str, str]


class ChannelState(NamedTuple):
    """What is known of a channel.

    Attributes:
        id: see `vae_pipeline.alerts.channels.Channel`.
        label: its name for people.
        failures: attempts in vain since the last alert that it took.
        tried: when it was tried last in vain, seconds since 1970.
        reason: why it was in vain.
        delivered: messages it took, ever.
        failed: attempts in vain, ever.
        waiting: alerts that it has not been told.
    """

    id: str
    label: str
    failures: int
    tried: float
    reason: str
    delivered: int
    failed: int
    waiting: int


class Outbox:
    """Alerts, and which channel was told of which."""

    def __init__(self, folder: Path, *, repeat: float = 3_600.0, now: Callable[[], float] = time.time) -> None:
        """Use ``folder``; nothing is opened before the first call.

        Args:
            folder: made when something is added.
            repeat: seconds in which the same alert is not told again.
            now: the clock, seconds since 1970.
        """
        self.folder, self.repeat, self.now = folder, repeat, now
        self._file = folder / "outbox.db"

    def add(
        self,
        alerts: Iterable[Alert],
        *,
        marks: Mapping[str, Iterable[str]] | None = None,
        forget: Iterable[str] = (),
        notes: Mapping[str, Any] | None = None,
    ) -> list[Alert]:
        """Keep alerts, all or none; gives those that are to be told.

        Not told are: a second one of an origin; one whose key was told less than ``repeat`` seconds ago, is not over
        and was no less severe; the end of an alarm that was not told, or that speaks of a later day than its end.

        Args:
            alerts: in their order.
            marks: what has been read, by space; written in the same transaction.
            forget: spaces whose marks are no longer needed.
            notes: JSON-like values by name, written in the same transaction; None removes one.

        Raises:
            StorageError: they cannot be written; nothing of them is.
        """
        with self._writing() as database:
            taken = [alert for alert in alerts if self._take(database, alert)]
            for space in forget:
                database.execute("DELETE FROM marks WHERE space = ?", (space,))
            for space, found in (marks or {}).items():
                database.executemany("INSERT OR IGNORE INTO marks VALUES (?, ?)", ((space, mark) for mark in found))
            for name, value in (notes or {}).items():
                database.execute("DELETE FROM notes WHERE name = ?", (name,))
                if value is not None:
                    database.execute("INSERT INTO notes VALUES (?, ?)", (name, json.dumps(value)))
            _prune(database)
        return taken

    def marks(self, space: str) -> set[str]:
        """What was marked in a space."""
        return {mark for (mark,) in self._read("SELECT mark FROM marks WHERE space = ?", space)}

    def spaces(self, prefix: str) -> list[str]:
        """Spaces with marks whose names begin with ``prefix``."""
        return [space for (space,) in self._read("SELECT DISTINCT space FROM marks") if space.startswith(prefix)]

    def note(self, name: str) -> Any:
        """What was noted under a name; None where nothing was."""
        found = self._read("SELECT value FROM notes WHERE name = ?", name)
        return json.loads(found[0][0]) if found else None

    def last(self, most: int) -> list[Kept]:
        """The newest alerts, oldest first."""
        rows = self._read(f"{_SELECT} ORDER BY id DESC LIMIT ?", most)
        states: dict[int, dict[str, str]] = {}
        for alert, label, state in self._read(
            "SELECT alert, label, state FROM told JOIN channels ON channels.id = told.channel"
        ):
            states.setdefault(alert, {})[label] = state
        return [_kept(row, states.get(row[0], {})) for row in reversed(rows)]

    def counts(self) -> dict[tuple[str, str], int]:
        """How many alerts there ever were, by kind and severity."""
        return {(kind, severity): count for kind, severity, count in self._read("SELECT * FROM counts")}

    def meet(self, channels: Mapping[str, str]) -> dict[str, ChannelState]:
        """Note the channels there are, label by id; gives their states.

        A channel that was not known is told what no channel has been told yet.
        """
        with self._writing() as database:
            ((start,),) = database.execute("SELECT coalesce(max(alert), 0) FROM told").fetchall()
            database.execute("UPDATE channels SET present = 0")
            for id_, label in channels.items():
                database.execute(
                    "INSERT INTO channels(id, label, start) VALUES (?, ?, ?) "
                    "ON CONFLICT(id) DO UPDATE SET label = excluded.label, present = 1",
                    (id_, label, start),
                )
        return self.channels()

    def channels(self) -> dict[str, ChannelState]:
        """The channels that there were at the last `meet`, by id."""
        rows = self._read(
            "SELECT id, label, failures, tried, reason, delivered, failed, (SELECT count(*) FROM alerts "
            "WHERE alerts.id > channels.start AND NOT EXISTS "
            "(SELECT 1 FROM told WHERE told.channel = channels.id AND told.alert = alerts.id)) "
            "FROM channels WHERE present"
        )
        return {row[0]: ChannelState(*row) for row in rows}

    def waiting(self, channel: str) -> list[Kept]:
        """What a channel has not been told, oldest first."""
        rows = self._read(f"{_SELECT} {_WAITING}", channel)
        return [_kept(row, {}) for row in rows]

    def was_delivered(self, channel: str, alert: int) -> bool:
        """Whether a channel took an alert."""
        query = "SELECT 1 FROM told WHERE channel = ? AND alert = ? AND state = 'delivered'"
        return bool(self._read(query, channel, alert))

    def sent(self, channel: str, subject: str, within: float) -> int:
        """How many messages about a subject a channel took in the last ``within`` seconds."""
        now = self.now()
        query = (
            "SELECT count(DISTINCT message) FROM told JOIN alerts ON alerts.id = told.alert WHERE channel = ? "
            "AND subject = ? AND state = 'delivered' AND time > ? AND time <= ?"
        )
        return self._read(query, channel, subject, now - within, now)[0][0]

    def refusals(self, channel: str) -> dict[str, tuple[int, float]]:
        """Subjects whose next message a channel that works does not take: how often, and when last."""
        query = "SELECT subject, count, tried FROM refusals WHERE channel = ?"
        return {subject: (count, tried) for subject, count, tried in self._read(query, channel)}

    def record(self, channel: str, alerts: Iterable[int], state: str, message: str = "") -> None:
        """Note that a channel took alerts (``delivered``), never will (``refused``) or needs none (``skipped``)."""
        now = self.now()
        with self._writing() as database:
            for alert in alerts:
                database.execute(
                    "INSERT OR REPLACE INTO told VALUES (?, ?, ?, ?, ?)", (channel, alert, state, message, now)
                )
                database.execute(
                    "DELETE FROM refusals WHERE channel = ? AND subject = (SELECT subject FROM alerts WHERE id = ?)",
                    (channel, alert),
                )
            if state == "delivered":
                database.execute(
                    "UPDATE channels SET delivered = delivered + 1, failures = 0, reason = '' WHERE id = ?", (channel,)
                )

    def record_failure(self, channel: str, reason: str) -> None:
        """Note an attempt in vain."""
        with self._writing() as database:
            database.execute("UPDATE channels SET failed = failed + 1, reason = ? WHERE id = ?", (reason, channel))

    def record_dead(self, channel: str) -> None:
        """Note that a channel takes nothing at all: the next pause is longer."""
        with self._writing() as database:
            query = "UPDATE channels SET failures = failures + 1, tried = ? WHERE id = ?"
            database.execute(query, (self.now(), channel))

    def record_refusal(self, channel: str, subjects: Iterable[str]) -> None:
        """Note that a channel that takes other messages does not take that of these subjects."""
        with self._writing() as database:
            for subject in subjects:
                database.execute(
                    "INSERT INTO refusals VALUES (?, ?, 1, ?) "
                    "ON CONFLICT(channel, subject) DO UPDATE SET count = count + 1, tried = excluded.tried",
                    (channel, subject, self.now()),
                )

    def _take(self, database: sqlite3.Connection, alert: Alert) -> bool:
        """Insert an alert where it is to be told."""
        if alert.origin is not None:
            new = database.execute("INSERT OR IGNORE INTO origins(origin) VALUES (?)", (alert.origin,)).rowcount
            if not new:
                return False
        now, weight = self.now(), level(alert.severity)
        found = database.execute(
            "SELECT id, level, ended, received, repeats, alert FROM alerts WHERE key = ? AND ends IS NULL "
            "ORDER BY id DESC LIMIT 1",
            (alert.key,),
        ).fetchone()
        standing = found if found and not found[2] else None
        told = Alert.model_validate_json(standing[5]) if standing else None
        if alert.over:
            if told is None or _earlier(alert, told):
                return False
            database.execute("UPDATE alerts SET ended = 1 WHERE key = ?", (alert.key,))
        elif standing and told and weight <= standing[1] and 0 <= now - standing[3] < self.repeat:
            query = "UPDATE alerts SET repeats = repeats + 1, alert = ? WHERE id = ?"
            database.execute(query, (_of_the_later(told, alert).model_dump_json(), standing[0]))
            return False
        else:
            alert = _of_the_later(alert, told)
        before = standing[4] if standing else 0
        ends = standing[0] if standing and alert.over else None
        database.execute(
            "INSERT INTO alerts(key, subject, level, ends, received, before, alert) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (alert.key, alert.subject, weight, ends, now, before, alert.model_dump_json()),
        )
        database.execute(
            "INSERT INTO counts VALUES (?, ?, 1) ON CONFLICT(kind, severity) DO UPDATE SET count = count + 1",
            (alert.kind, alert.severity),
        )
        return True

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._told(), told(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            self._file.touch(0o600)
            with closing(self._opened()) as database:
                database.execute("BEGIN IMMEDIATE")
                try:
                    yield database
                except BaseException:
                    database.execute("ROLLBACK")
                    raise
                database.execute("COMMIT")

    def _read(self, query: str, *values: Any) -> list[Any]:
        if not self._file.exists():
            return []
        with self._told(), closing(self._opened()) as database:
            return database.execute(query, values).fetchall()

    def _opened(self) -> sqlite3.Connection:
        database = sqlite3.connect(self._file, timeout=_PATIENCE, isolation_level=None)
        try:
            if not database.execute("PRAGMA user_version").fetchone()[0]:
                database.executescript(f"BEGIN IMMEDIATE; {_TABLES} COMMIT;")
        except BaseException:
            database.close()
            raise
        return database

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            msg = f"{self._file}: {error}; see that the disk has room and VAE_PIPELINE_HOME can be written"
            raise StorageError(msg) from error
        except sqlite3.DatabaseError as error:
            msg = f"{self._file}: damaged ({error}); move it away, and a new one is begun"
            raise StorageError(msg) from error


_SELECT = "SELECT id, alert, received, repeats, before, ends FROM alerts"
_WAITING = """
WHERE id > (SELECT start FROM channels WHERE channels.id = ?1)
AND NOT EXISTS (SELECT 1 FROM told WHERE told.channel = ?1 AND told.alert = alerts.id) ORDER BY id
"""


def _earlier(alert: Alert, other: Alert) -> bool:
    return alert.day is not None and other.day is not None and alert.day < other.day


def _of_the_later(alert: Alert, other: Alert | None) -> Alert:
    """The alert with the later one's day, so that an alarm of a day made up for hides no alarm of a later one."""
    return alert if other is None or not _earlier(alert, other) else alert.model_copy(update={"day": other.day})


def _kept(row: Any, states: Mapping[str, str]) -> Kept:
    id_, alert, received, repeats, before, ends = row
    return Kept(id_, Alert.model_validate_json(alert), received, repeats, before, ends, states)


def _prune(database: sqlite3.Connection) -> None:
    """Forget the oldest of very many."""
    for table, most in (("alerts", _MOST), ("origins", _MOST_ORIGINS)):
        database.execute(f"DELETE FROM {table} WHERE id <= (SELECT max(id) FROM {table}) - ?", (most,))  # noqa: S608
    database.execute("DELETE FROM told WHERE alert < (SELECT min(id) FROM alerts)")


def open_outbox(settings: Settings) -> Outbox:
    """The outbox of a home."""
    return Outbox(settings.home / "alerts", repeat=settings.alert_repeat * 60.0)


def tell(settings: Settings, *alerts: Alert) -> bool:
    """Keep alerts for delivery; never raises and never waits for a network.

    Returns:
        Whether they are kept; where not, they are written to the log of this process.
    """
    try:
        open_outbox(settings).add(alerts)
    except Exception as error:  # who tells has other work to do
        for alert in alerts:
            _LOGGER.error("an alert is not kept (%s): %s: %s", error, alert.subject, alert.text)  # noqa: TRY400
        return False
    return True
