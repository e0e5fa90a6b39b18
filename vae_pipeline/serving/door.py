"""What stands before the app of a service, however it is started: how much it answers at once, and for how long."""

import asyncio
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vae_pipeline.serving.metrics import REFUSALS

__all__ = ["BUSY", "HEALTH", "TRY_LATER", "Door", "InTime", "served_paths"]

HEALTH = ("/healthz", "/livez", "/readyz")
UNLIMITED = (*HEALTH, "/metrics")
"""Paths that are answered however busy the service is."""

BUSY = 6
"""Requests being answered from which on a process is busy: a few are in its queue already."""
TRY_LATER = 1013
"""What a stream is closed with when there are too many: Try Again Later (IANA's registry of WebSocket close codes)."""

_BUSY = b'{"error": "as many requests as allowed are being answered; try again in a moment", "field": null}'
_BUSY_HEADERS = [
    (b"content-type", b"application/json"),
    (b"content-length", str(len(_BUSY)).encode()),
    (b"retry-after", b"1"),
]
_UNKNOWN = "/unknown"


class Door:
    """Turns requests and streams away when there are too many, and ends connections.

    A refusal must cost next to nothing: what stands behind are metrics, and a process that is asked for twice what it
    can do would spend its time on refusals. Streams have a limit of their own, since they stay for days and do nothing
    most of the time: they take no place from requests.

    Clients keep their connections, so by chance one process may have most of them. The answers of a busy process
    therefore tell the client to close; its next connection is taken by whichever process is free.

    BentoML's metrics are labelled with the path that was asked, so paths that nobody serves are all asked as one: a
    scanner would else grow them without end.

    Attributes:
        answering: requests that are being answered.
        streaming: streams that are open.
        closing: whether every answer is to be the last of its connection.
    """

    def __init__(self, app: ASGIApp, most: int, streams: int, paths: frozenset[str] = frozenset()) -> None:
        """Stand before ``app``, which answers ``most`` requests at once on these paths; none stated are all."""
        self.app, self.most, self.streams, self.paths = app, most, streams, paths
        self.answering = self.streaming = 0
        self.closing = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request or stream on, or refuse it."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        if self.paths and scope["path"] not in self.paths:
            scope = {**scope, "path": _UNKNOWN, "raw_path": _UNKNOWN.encode()}
        await (self._request if scope["type"] == "http" else self._stream)(scope, receive, send)

    async def _request(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.answering >= self.most and scope["path"] not in UNLIMITED:
            REFUSALS.labels("429").inc()
            await send({"type": "http.response.start", "status": 429, "headers": _BUSY_HEADERS})
            await send({"type": "http.response.body", "body": _BUSY})
            return

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start" and (self.closing or self.answering > BUSY):
                kept = [(name, value) for name, value in message["headers"] if name.lower() != b"connection"]
                message = {**message, "headers": [*kept, (b"connection", b"close")]}
            await send(message)

        self.answering += 1
        try:
            await self.app(scope, receive, told)
        finally:
            self.answering -= 1

    async def _stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.streaming >= self.streams:
            REFUSALS.labels("429").inc()
            error = {"error": "as many streams as allowed are open; try again in a moment", "field": None}
            await receive()  # that it connects
            await send({"type": "websocket.accept"})  # one that was not accepted could not be told why
            await send({"type": "websocket.send", "text": json.dumps(error)})
            await send({"type": "websocket.close", "code": TRY_LATER, "reason": error["error"]})
            return
        self.streaming += 1
        try:
            await self.app(scope, receive, send)
        finally:
            self.streaming -= 1


class InTime:
    """Answers with 504 what the app has not begun to answer in time; streams have all the time they want."""

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self.app, self.seconds = app, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and give it up after a while."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun, limit = False, asyncio.timeout(self.seconds)

        async def told(message: Message) -> None:
            nonlocal begun
            if not begun and not limit.expired():
                limit.reschedule(None)
                begun = True
            await send(message)

        try:
            async with limit:
                await self.app(scope, receive, told)
        except TimeoutError:
            if begun or not limit.expired():
                raise
            REFUSALS.labels("504").inc()
            message = f"not answered within {self.seconds:g} seconds; send fewer samples at once, or try again later"
            await JSONResponse({"error": message, "field": None}, 504)(scope, receive, send)


def served_paths(routes: Iterable[BaseRoute]) -> Iterator[str]:
    """The paths of an app, of its static files, and of apps that are mounted at its root."""
    for route in routes:
        if isinstance(route, Route | WebSocketRoute):
            yield route.path
        elif isinstance(route, Mount) and isinstance(route.app, StaticFiles):
            for folder in route.app.all_directories:
                files = (file for file in Path(folder).rglob("*") if file.is_file())
                yield from (f"{route.path}/{file.relative_to(folder).as_posix()}" for file in files)
        elif isinstance(route, Mount) and not route.path:
            yield from served_paths(route.routes)
