"""The metrics over HTTP, in a process of their own."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, start_http_server

from vae_pipeline.errors import SettingError
from vae_pipeline.metrics.source import PipelineCollector, Source

__all__ = ["serve_metrics", "serving_metrics"]


@contextmanager
def serving_metrics(sources: Sequence[Source], host: str, port: int) -> Iterator[int]:
    """Answer ``/metrics`` while the block runs; gives the port, which is a free one where 0 is asked for.

    Raises:
        SettingError: the address cannot be used.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(PipelineCollector(sources))
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as error:
        msg = f"--host {host} --port {port}: {error.strerror or error}; choose another with --port"
        raise SettingError(msg) from error
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def serve_metrics(sources: Sequence[Source], host: str, port: int) -> None:
    """Answer ``/metrics`` until the process is interrupted.

    Raises:
        SettingError: the address cannot be used.
    """
    with serving_metrics(sources, host, port):
        threading.Event().wait()
