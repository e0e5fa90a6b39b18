"""One process of a service: the Bento's app on a socket that it was handed, drained when it is told to end.

``python -m vae_pipeline.serving.worker --fd 3`` in the source folder of a Bento. It differs from BentoML's own worker
in how it ends: it stops accepting, answers what has come with ``Connection: close`` and leaves when nobody is
connected, so that another process can take over on the same socket without a request lost.
"""

import argparse
import asyncio
import importlib
import os
import socket
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import cast

import uvicorn
from starlette.applications import Starlette
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vae_pipeline.serving.bento import UNLIMITED
from vae_pipeline.serving.metrics import REFUSALS
from vae_pipeline.serving.settings import load_service_settings

__all__ = ["Door", "DrainingServer", "main"]

BUSY = 6
"""Requests being answered from which on a process is busy: a few are in its queue already."""
GRACE = 15.0
"""Seconds that connections have to send their last request after the process was told to end."""
_BUSY = b'{"error": "as many requests as allowed are being answered; try again in a moment", "field": null}'
_BUSY_HEADERS = [
    (b"content-type", b"application/json"),
    (b"content-length", str(len(_BUSY)).encode()),
    (b"retry-after", b"1"),
]
_STATIC = "/static_content/"
STREAM_MESSAGE = 4 * 2**20
"""Bytes of a message of a stream."""


class Door:
    """What stands before the app: turns requests away when there are too many, and ends connections.

    A refusal must cost next to nothing: BentoML's own limit stands behind its metrics and tracing, and a process that
    is asked for twice what it can do would spend its time on refusals.

    Clients keep their connections, so by chance one process may have most of them. The answers of a busy process
    therefore tell the client to close; its next connection is taken by whichever process is free.

    BentoML's metrics are labelled with the path that was asked, so paths that nobody serves are all asked as one: a
    scanner would else grow them without end.

    Attributes:
        answering: requests that are being answered.
        closing: whether every answer is to be the last of its connection.
    """

    def __init__(self, app: ASGIApp, most: int, paths: frozenset[str] = frozenset()) -> None:
        """Stand before ``app``, which answers ``most`` requests at once on these paths; none stated are all."""
        self.app, self.most, self.paths = app, most, paths
        self.answering = 0
        self.closing = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if self.paths and scope["path"] not in self.paths and not scope["path"].startswith(_STATIC):
            scope = {**scope, "path": "/unknown", "raw_path": b"/unknown"}
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


class DrainingServer(uvicorn.Server):
    """A server that says when it is ready, and lets its connections end before it does."""

    def __init__(self, config: uvicorn.Config, door: Door, ready: int | None) -> None:
        super().__init__(config)
        self.door, self.ready = door, ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then write a byte to ``ready``."""
        await super().startup(sockets)
        if self.started and self.ready is not None:
            os.write(self.ready, b"1")
            os.close(self.ready)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting, wait for the connections there are, then end."""
        for server in self.servers:
            server.close()
        self.door.closing = True
        until = time.monotonic() + GRACE
        while self.server_state.connections and time.monotonic() < until and not self.force_exit:
            await asyncio.sleep(0.02)
        await super().shutdown(sockets)


def _paths(routes: Iterable[BaseRoute]) -> Iterator[str]:
    """The paths of an app and of those that are mounted at its root."""
    for route in routes:
        if isinstance(route, Mount):
            yield from _paths(route.routes) if not route.path else ()
        elif isinstance(route, Route | WebSocketRoute):
            yield route.path


def main() -> None:
    """Serve the Bento whose source is the current folder."""
    parser = argparse.ArgumentParser(prog="python -m vae_pipeline.serving.worker", description=__doc__)
    listening = parser.add_mutually_exclusive_group(required=True)
    listening.add_argument("--fd", type=int, help="of a listening socket")
    listening.add_argument("--port", type=int, help="to listen on by itself")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--ready", type=int, help="file descriptor that gets a byte when requests are answered")
    options = parser.parse_args()
    sys.path.insert(0, str(Path.cwd()))
    settings = load_service_settings()
    import bentoml

    module = importlib.import_module("service")
    service = next(value for value in vars(module).values() if isinstance(value, bentoml.Service))
    app = cast(Starlette, service.to_asgi())
    door = Door(app, settings.concurrency, frozenset(_paths(app.routes)))
    config = uvicorn.Config(
        door,
        log_config=None,
        server_header=False,
        timeout_keep_alive=65,
        timeout_graceful_shutdown=settings.timeout,
        ws_max_size=STREAM_MESSAGE,
        backlog=2048,
    )
    if options.fd is not None:
        listener = socket.socket(fileno=options.fd)
    else:
        listener = socket.create_server((options.host, options.port), backlog=2048)
    DrainingServer(config, door, options.ready).run(sockets=[listener])


if __name__ == "__main__":
    main()
