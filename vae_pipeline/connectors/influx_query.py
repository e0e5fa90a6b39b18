"""Points of a measurement by InfluxQL over HTTP: InfluxDB 1.x, and later ones that answer ``/query``.

The client library of InfluxDB 1.x was archived by its authors in 2024, so its one request is made with httpx.
"""

import json
from collections.abc import Iterator
from typing import Any

import pandas as pd

from vae_pipeline.connectors.asking import basic, refused, unreachable
from vae_pipeline.connectors.config import InfluxSource, RowColumns
from vae_pipeline.connectors.connector import Fetched, Position
from vae_pipeline.connectors.moments import nanoseconds
from vae_pipeline.errors import ConnectorError

__all__ = ["InfluxQuery"]


class InfluxQuery:
    """Asks for points from the last time on, which the server sends in chunks.

    The position is the last time in nanoseconds. Points of that time, and of ``overlap`` before it, are read again, as
    more of them may have come; they are known by unit and time.
    """

    keeps = True

    def __init__(self, source: InfluxSource, columns: RowColumns) -> None:
        """Ask ``source``; nothing is sent yet."""
        self._source, self._columns = source, columns
        self.place = f"measurement {source.measurement}"
        self._client: Any = None

    def rows(self, position: Position | None) -> Iterator[Fetched]:
        """Points in the order of time, ``fetch`` at a time."""
        source, columns = self._source, self._columns
        self._require_columns()
        begin = pd.Timestamp(source.start).value
        if position is not None:
            back = 0 if source.overlap is None else nanoseconds(source.overlap)
            begin = max(begin, int(position["time"]) - back)
        sensors = [columns.value] if columns.tag else list(columns.sensors.values())
        names = [*sensors, *(name for name in (columns.unit, columns.tag) if name)]
        wanted = ", ".join(_quoted(str(name)) for name in names)
        where = [f"time >= {begin}"]
        if source.until is not None:
            where.append(f"time < {pd.Timestamp(source.until).value}")
        if source.machines:
            each = " OR ".join(f"{_quoted(str(columns.unit))} = {_text(machine)}" for machine in source.machines)
            where.append(f"({each})")
        asked = (wanted, _quoted(source.measurement), " AND ".join(where))
        query = "SELECT {} FROM {} WHERE {} ORDER BY time".format(*asked)  # noqa: S608 - names and texts are quoted
        last = 0 if position is None else int(position["time"])
        for series in self._ask(query, chunked=True):
            frame = pd.DataFrame(series["values"], columns=series["columns"], dtype=object)
            last = max(last, int(frame["time"].iloc[-1]))
            frame["time"] = pd.to_datetime(frame["time"].astype("int64"), unit="ns", utc=True)
            yield Fetched(frame.rename(columns={"time": columns.time}), {"time": last})

    def acknowledge(self, position: Position) -> None:
        """The database keeps its points: nothing to say."""

    def close(self) -> None:
        """Let go of the connections."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _require_columns(self) -> None:
        """InfluxDB answers an unknown name with silence, so it is asked for the names first."""
        measurement = _quoted(self._source.measurement)
        fields, tags = (
            [str(row[0]) for series in self._ask(f"SHOW {kind} KEYS FROM {measurement}") for row in series["values"]]
            for kind in ("FIELD", "TAG")
        )
        if not fields:
            msg = (
                f"{self.place}: the database {self._source.database!r} has no such measurement; correct 'measurement' "
                "or 'database'"
            )
            raise ConnectorError(msg)
        columns = self._columns
        needed = [columns.value] if columns.tag else list(columns.sensors.values())
        for name, has in [*((name, fields) for name in needed), (columns.unit, tags), (columns.tag, tags)]:
            if name is not None and name not in (fields + tags):
                kind = "field" if has is fields else "tag"
                msg = (
                    f"{self.place}: the {kind} {name!r} is missing; it has {', '.join(fields + tags)}: correct "
                    "'columns' of the connector"
                )
                raise ConnectorError(msg)

    def _ask(self, query: str, *, chunked: bool = False) -> Iterator[dict[str, Any]]:
        """The series of an answer, chunk by chunk."""
        import httpx

        source = self._source
        if self._client is None:
            self._client = httpx.Client(timeout=source.timeout)
        parameters: dict[str, Any] = {"db": source.database, "q": query, "epoch": "ns"}
        if chunked:
            parameters |= {"chunked": "true", "chunk_size": str(source.fetch)}
        headers = {} if source.token is None else {"Authorization": f"Token {source.token.read()}"}
        address, auth = f"{source.url.rstrip('/')}/query", basic(source.username, source.password)
        place = f"{self.place} at {source.url}"
        try:
            with self._client.stream("GET", address, params=parameters, headers=headers, auth=auth) as response:
                if response.status_code != 200:
                    raise refused(place, response, response.read().decode("utf-8", errors="replace"))
                ended = False
                for line in response.iter_lines():
                    if line.strip():
                        series, ended = self._series(line, place)
                        yield from series
                if not ended:
                    raise unreachable(place, EOFError("the answer ended half-way"))
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise unreachable(place, error) from error

    def _series(self, line: str, place: str) -> tuple[list[dict[str, Any]], bool]:
        """The series of one line of the answer, and whether it is the last line."""
        try:
            answer = json.loads(line)
        except ValueError as error:
            raise unreachable(place, error) from error
        results = answer.get("results", [])
        said = answer.get("error") or next((item["error"] for item in results if "error" in item), None)
        if said:
            msg = f"{place}: refuses ({said}); correct 'source' of the connector"
            raise ConnectorError(msg)
        return [series for item in results for series in item.get("series", [])], not any(
            item.get("partial") for item in results
        )


def _quoted(name: str) -> str:
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _text(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
