"""Rows of a table or query in the order of a growing key, by SQLAlchemy with a cursor on the server's side."""

import datetime
from collections.abc import Iterator
from typing import Any

import pandas as pd

from vae_pipeline.connectors.config import RowColumns, SqlSource
from vae_pipeline.connectors.connector import Fetched, Position
from vae_pipeline.connectors.moments import nanoseconds
from vae_pipeline.errors import ConnectorError, SettingError

__all__ = ["SqlQuery"]


class SqlQuery:
    """Asks for rows whose key is not smaller than the last one: rows of the same key may appear later.

    The position is the last key. What is read again because of that, and of ``overlap``, is known by its unit and time.
    """

    keeps = True

    def __init__(self, source: SqlSource, columns: RowColumns) -> None:
        """Read ``source``; nothing is connected yet."""
        self._source = source
        self.place = f"table {source.table}" if source.table else "the query"
        sensors = [columns.tag, columns.value] if columns.tag else list(columns.sensors.values())
        self._columns = list(dict.fromkeys(str(c) for c in (source.key, columns.time, columns.unit, *sensors) if c))
        self._engine: Any = None

    def rows(self, position: Position | None) -> Iterator[Fetched]:
        """Rows from the last key on, ``fetch`` at a time."""
        from sqlalchemy.exc import SQLAlchemyError

        last = None if position is None else _key(position)
        try:
            with self._connected().connect() as connection:
                self._require_columns(connection)
                found = connection.execution_options(yield_per=self._source.fetch).execute(self._statement(last))
                for part in found.partitions():
                    frame = pd.DataFrame(
                        [tuple(row) for row in part], columns=pd.Index(list(found.keys())), dtype=object
                    )
                    key = frame[self._source.key].iloc[-1]
                    if key is None:
                        msg = f"{self.place}: the key {self._source.key!r} is empty in a row; choose one that never is"
                        raise ConnectorError(msg)
                    yield Fetched(frame, _position(key))
        except SQLAlchemyError as error:
            raise self._told(error) from error

    def acknowledge(self, position: Position) -> None:
        """The database keeps its rows: nothing to say."""

    def close(self) -> None:
        """Let go of the connections."""
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None

    def _connected(self) -> Any:
        import sqlalchemy
        from sqlalchemy.exc import ArgumentError

        if self._engine is None:
            try:
                url = sqlalchemy.make_url(self._source.url)
                if self._source.password is not None:
                    url = url.set(password=self._source.password.read())
                self._engine = sqlalchemy.create_engine(url, pool_pre_ping=True)
            except (ArgumentError, ImportError) as error:
                msg = (
                    f"the address of {self.place} cannot be used ({error}); write it as SQLAlchemy does, and install "
                    "its driver"
                )
                raise SettingError(msg) from error
        return self._engine

    def _relation(self) -> Any:
        import sqlalchemy

        columns = [sqlalchemy.column(name) for name in self._columns]
        if self._source.query is not None:
            return sqlalchemy.text(self._query()).columns(*columns).subquery("source")
        schema, _, name = str(self._source.table).rpartition(".")
        return sqlalchemy.table(name, *columns, schema=schema or None)

    def _require_columns(self, connection: Any) -> None:
        """Tell a missing column as such: an empty answer of all columns costs little."""
        import sqlalchemy

        if self._source.query is not None:
            relation: Any = sqlalchemy.text(f"({self._query()}) AS source")
        else:
            schema, _, name = str(self._source.table).rpartition(".")
            relation = sqlalchemy.table(name, schema=schema or None)
        has = list(connection.execute(sqlalchemy.select(sqlalchemy.text("*")).select_from(relation).limit(0)).keys())
        for name in self._columns:
            if name not in has:
                msg = (
                    f"{self.place}: the column {name!r} is missing; it has {', '.join(has)}: correct 'columns' or "
                    "'key' of the connector"
                )
                raise ConnectorError(msg)

    def _statement(self, last: Any) -> Any:
        import sqlalchemy

        relation = self._relation()
        key = relation.c[self._source.key]
        statement = sqlalchemy.select(*relation.c).order_by(key)
        if last is None:
            return statement
        overlap = self._source.overlap
        if overlap is not None:
            try:
                last = last - (
                    datetime.timedelta(microseconds=nanoseconds(overlap) // 1000)
                    if isinstance(overlap, str)
                    else overlap
                )
            except (TypeError, ValueError) as error:
                msg = (
                    f"{self.place}: overlap {overlap!r} cannot be taken from the key {last!r}; write a number for "
                    "numbers, a length of time such as 5min for times, and none for text"
                )
                raise SettingError(msg) from error
        return statement.where(key >= sqlalchemy.literal(last))

    def _query(self) -> str:
        return str(self._source.query).rstrip("; \n")

    def _told(self, error: Exception) -> ConnectorError:
        reason = " ".join(str(getattr(error, "orig", None) or error).split())
        return ConnectorError(
            f"{self.place}: the database does not answer or refuses ({reason}); check 'source' of the connector, its "
            "password and the network"
        )


def _position(key: Any) -> Position:
    if isinstance(key, datetime.date):  # a datetime is one too
        return {"time": key.isoformat()}
    return {"key": key if isinstance(key, int | str) else float(key)}


def _key(position: Position) -> Any:
    if "time" in position:
        text = position["time"]
        return datetime.datetime.fromisoformat(text) if "T" in text else datetime.date.fromisoformat(text)
    return position["key"]
