"""One process of a service: the Bento's app on a socket that it was handed, drained when it is told to end.

``python -m vae_pipeline.serving.worker --fd 3`` in the source folder of a Bento. It differs from BentoML's own worker
in how it ends: it stops accepting, answers what has come with ``Connection: close`` and leaves when nobody is
connected, so that another process can take over on the same socket without a request lost. It also ends when the
process that started it does, whatever became of that one.
"""

import argparse
import asyncio
import contextlib
import importlib
import os
import socket
import sys
import time
from pathlib import Path
from typing import cast

import uvicorn

from vae_pipeline.serving.door import Door
from vae_pipeline.serving.settings import load_service_settings

__all__ = ["DrainingServer", "main"]

GRACE = 15.0
"""Seconds that connections have to send their last request after the process was told to end."""
STREAM_MESSAGE = 4 * 2**20
"""Bytes of a message of a stream."""


class DrainingServer(uvicorn.Server):
    """A server that says when it is ready, and lets its connections end before it does."""

    def __init__(
        self, config: uvicorn.Config, door: Door, ready: int | None = None, lifeline: int | None = None
    ) -> None:
        """Serve what stands behind ``door``.

        Args:
            config: of uvicorn.
            door: the app.
            ready: file descriptor that gets a byte when requests are answered.
            lifeline: reading end of a pipe into which nothing is written; its end tells the server to end.
        """
        super().__init__(config)
        self.door, self.ready, self.lifeline = door, ready, lifeline

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then write a byte to ``ready``."""
        if self.lifeline is not None:
            asyncio.get_running_loop().add_reader(self.lifeline, self._left_alone, self.lifeline)
        await super().startup(sockets)
        if self.started and self.ready is not None:
            with contextlib.suppress(BrokenPipeError):  # who waits for it is gone, as the lifeline will say
                os.write(self.ready, b"1")
            os.close(self.ready)

    def _left_alone(self, lifeline: int) -> None:
        asyncio.get_running_loop().remove_reader(lifeline)
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting, wait for the connections there are, then end."""
        for server in self.servers:
            server.close()
        self.door.closing = True
        until = time.monotonic() + GRACE
        while self.server_state.connections and time.monotonic() < until and not self.force_exit:
            await asyncio.sleep(0.02)
        await super().shutdown(sockets)


def main() -> None:
    """Serve the Bento whose source is the current folder."""
    parser = argparse.ArgumentParser(prog="python -m vae_pipeline.serving.worker", description=__doc__)
    listening = parser.add_mutually_exclusive_group(required=True)
    listening.add_argument("--fd", type=int, help="of a listening socket")
    listening.add_argument("--port", type=int, help="to listen on by itself")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--ready", type=int, help="file descriptor that gets a byte when requests are answered")
    parser.add_argument("--lifeline", type=int, help="file descriptor of a pipe; its end ends this process")
    options = parser.parse_args()
    sys.path.insert(0, str(Path.cwd()))
    settings = load_service_settings()
    import bentoml

    module = importlib.import_module("service")
    service = next(value for value in vars(module).values() if isinstance(value, bentoml.Service))
    door = cast(Door, service.to_asgi())
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
    DrainingServer(config, door, options.ready, options.lifeline).run(sockets=[listener])


if __name__ == "__main__":
    main()
