"""An address that is asked for rows: JSON, JSON lines or CSV; by cursor, from a value on, or by ETag."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from vae_pipeline.connectors.asking import basic, refused, unreachable
from vae_pipeline.connectors.config import HttpSource
from vae_pipeline.connectors.connector import Fetched, Position
from vae_pipeline.connectors.messages import field_of, frame_of, parse
from vae_pipeline.errors import ConnectorError
from vae_pipeline.sources.delimited import column

__all__ = ["HttpPoll"]


class HttpPoll:
    """Asks until an answer brings nothing new.

    The position holds what the next request has to say: the cursor, the last value of ``since.column``, and the ETag,
    with which an unchanged answer is 304 and empty. A long answer is handed on in pieces; only behind its last one the
    position moves.
    """

    keeps = True

    def __init__(self, source: HttpSource) -> None:
        """Ask ``source``; nothing is sent yet."""
        self._source = source
        self.place = source.url
        self._client: Any = None

    def rows(self, position: Position | None) -> Iterator[Fetched]:
        """The rows of one answer after the other."""
        position = dict(position or {})
        while True:
            answer = self._ask(position)
            if answer is None:
                return
            content, etag = answer
            frame = frame_of(content, self._source.rows, self.place)
            after = self._after(position, content, frame, etag)
            for start in range(0, len(frame), self._source.fetch):
                stop = start + self._source.fetch
                yield Fetched(frame.iloc[start:stop], after if stop >= len(frame) else position)
            if frame.empty:
                yield Fetched(frame, after)
            moved = {key: value for key, value in after.items() if key != "etag"}
            if not moved or moved == {key: value for key, value in position.items() if key != "etag"}:
                return
            position = after

    def acknowledge(self, position: Position) -> None:
        """The server keeps its rows: nothing to say."""

    def close(self) -> None:
        """Let go of the connections."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _ask(self, position: Position) -> tuple[Any, str | None] | None:
        """The parsed answer and its ETag; None where it says that nothing changed."""
        import httpx

        source, headers = self._source, {name: secret.read() for name, secret in self._source.headers.items()}
        parameters = dict(source.parameters)
        for way, name in ((source.cursor, "cursor"), (source.since, "since")):
            if way is not None and name in position:
                parameters[way.parameter] = str(position[name])
        if "etag" in position:
            headers["If-None-Match"] = position["etag"]
        if source.token is not None:
            headers["Authorization"] = f"Bearer {source.token.read()}"
        if self._client is None:
            self._client = httpx.Client(timeout=source.timeout)
        auth, most = basic(source.username, source.password), int(source.most_megabytes * 2**20)
        try:
            with self._client.stream("GET", source.url, params=parameters, headers=headers, auth=auth) as response:
                if response.status_code == 304:
                    return None
                content = bytearray()
                for part in response.iter_bytes():
                    content += part
                    if len(content) > most:
                        msg = (
                            f"{self.place}: the answer is larger than most_megabytes = {source.most_megabytes:g}; ask "
                            "for less with 'parameters', or raise it"
                        )
                        raise ConnectorError(msg)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise unreachable(self.place, error) from error
        if response.status_code != 200:
            raise refused(self.place, response)
        return parse(bytes(content), source.format, self.place), response.headers.get("etag")

    def _after(self, position: Position, content: Any, frame: pd.DataFrame, etag: str | None) -> Position:
        source, after = self._source, {key: value for key, value in position.items() if key != "etag"}
        if source.cursor is not None:
            cursor = field_of(content, source.cursor.field)
            if cursor not in (None, ""):
                after["cursor"] = cursor
        if source.since is not None and len(frame):
            after["since"] = self._last(frame, source.since.column)
        moved = after != {key: value for key, value in position.items() if key != "etag"}
        if etag is not None and not moved:  # of the answer to the request that will be sent next
            after["etag"] = etag
        return after

    def _last(self, frame: pd.DataFrame, name: str) -> Any:
        if name not in frame or column(frame, name).isna().any():
            has = ", ".join(map(str, frame.columns))
            msg = f"{self.place}: 'since.column' {name!r} is missing in a row; it has {has}"
            raise ConnectorError(msg)
        try:
            return max(frame[name].tolist(), key=_ordered)
        except TypeError as error:
            msg = f"{self.place}: 'since.column' {name!r} holds numbers and text; choose a column of one kind"
            raise ConnectorError(msg) from error


def _ordered(value: Any) -> Any:
    """Numbers in CSV are text, and are ordered as numbers."""
    try:
        return float(value)
    except ValueError:
        return value
