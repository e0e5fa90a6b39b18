"""`vae-pipeline serve`: the champions of a line, followed as they change."""

import contextlib
import logging
import signal
from collections.abc import Iterator

from vae_pipeline.detector.packed import EXAMPLE
from vae_pipeline.errors import VaePipelineError
from vae_pipeline.packing.pack import PackedBento, champions, model_folder, pack
from vae_pipeline.packing.supervisor import Supervisor
from vae_pipeline.records import Line
from vae_pipeline.registry.shelf import Shelf
from vae_pipeline.settings import Settings

__all__ = ["serve"]

_LOGGER = logging.getLogger(__name__)


def serve(
    settings: Settings, shelf: Shelf, line: Line, *, host: str, port: int, workers: int, follow: float | None
) -> None:
    """Serve until interrupted.

    Args:
        settings: home, where Bentos are kept.
        shelf: the registry.
        line: whose champions are served.
        host: address to listen on.
        port: to listen on; 0 for any.
        workers: processes.
        follow: seconds between two looks at the registry; None to serve what is champion now.

    Raises:
        PackingError: there is no champion, the port is taken, or the service did not come up.
    """
    supervisor = Supervisor(settings, host, port, workers)
    try:
        with _interrupted():
            packed = pack(settings, shelf, line)
            supervisor.serve(packed.tag, packed.path)
            print(_told(packed, line, host, supervisor.port, follow), flush=True)
            seen = _champions(shelf, line)

            def look() -> None:
                nonlocal seen
                try:
                    now = _champions(shelf, line)
                    if now == seen:
                        return
                    packed = pack(settings, shelf, line)
                    if packed.tag != supervisor.tag:
                        supervisor.serve(packed.tag, packed.path)
                        print(f"now {packed.tag}: {_models(packed)}", flush=True)
                    seen = now
                except VaePipelineError as error:
                    _LOGGER.warning("%s is served on: %s", supervisor.tag, error)

            supervisor.watch(look if follow else lambda: None, follow or 60.0)
    except KeyboardInterrupt:
        print("ending; answering what has come", flush=True)
    finally:
        supervisor.close()


def _champions(shelf: Shelf, line: Line) -> list[tuple[str, int]]:
    return [(entry.name, entry.version) for entry in champions(shelf, line)]


def _models(packed: PackedBento) -> str:
    return ", ".join(f"{model.name} version {model.version}" for model in packed.models)


def _told(packed: PackedBento, line: Line, host: str, port: int, follow: float | None) -> str:
    """What a person who has just started it wants to know."""
    lines = [f"{packed.tag}: {_models(packed)}", f"serving {line} on http://{host}:{port}, its pages at /"]
    for model in packed.models:
        if model.example:
            file = model_folder(packed, model) / EXAMPLE / model.example.file
            kind = model.example.content_type
            lines.append(f"try         curl -H 'Content-Type: {kind}' --data-binary @{file} \\")
            lines.append(f"              'http://{host}:{port}/predict?model={model.dataset}'")
            lines.append(f"expected    {', '.join(f'{score:.6f}' for score in model.example.scores)}")
    lines.append("a new champion takes over by itself" if follow else "this champion stays")
    return "\n".join(lines)


@contextlib.contextmanager
def _interrupted() -> Iterator[None]:
    """Let SIGTERM end the block as SIGINT does."""

    def interrupt(_signal: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
