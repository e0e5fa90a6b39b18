"""`vae-pipeline serve`: the champions of a line, followed as they change."""

import contextlib
import logging
import signal
import time
from collections.abc import Iterator

from vae_pipeline.detector.packed import EXAMPLE
from vae_pipeline.errors import VaePipelineError
from vae_pipeline.packing.pack import PackedBento, champions, model_folder, pack
from vae_pipeline.packing.supervisor import Supervisor
from vae_pipeline.records import Line
from vae_pipeline.registry.shelf import Shelf
from vae_pipeline.settings import Settings

__all__ = ["LONGEST_PAUSE", "Following", "serve"]

_LOGGER = logging.getLogger(__name__)

LONGEST_PAUSE = 60.0
"""Seconds after which champions that failed are tried again, however often they did."""


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
            seen = _champions(shelf, line)  # before they are packed: of a change from here on the next look hears
            packed = pack(settings, shelf, line)
            supervisor.serve(packed.tag, packed.path)
            print(_told(packed, line, host, supervisor.port, follow), flush=True)
            if follow:
                supervisor.watch(Following(settings, shelf, line, supervisor, seen, follow).look, follow)
            else:
                supervisor.watch(lambda: None)
    except KeyboardInterrupt:
        print("ending; answering what has come", flush=True)
    finally:
        supervisor.close()


class Following:
    """Looks at the registry for a running service, which is served on whatever comes of it.

    Attributes:
        seen: champions that are served.
        pause: seconds until the next try: those between two looks, doubled by each failure, up to `LONGEST_PAUSE`.
    """

    def __init__(
        self,
        settings: Settings,
        shelf: Shelf,
        line: Line,
        supervisor: Supervisor,
        seen: list[tuple[str, int]],
        every: float,
    ) -> None:
        self.settings, self.shelf, self.supervisor = settings, shelf, supervisor
        self.line: Line = line
        self.seen, self.every, self.pause = seen, every, every
        self._due = 0.0

    def look(self) -> None:
        """Hand over to other champions, if there are any; a failure is logged and tried again later."""
        if time.monotonic() < self._due:
            return
        try:
            self._follow()
        except Exception as error:
            self.pause = min(2 * self.pause, max(LONGEST_PAUSE, self.every))
            self._due = time.monotonic() + self.pause
            known = isinstance(error, VaePipelineError)  # one sentence that says what to do; of others, all there is
            told = "%s is served on, and champions are looked at again in %.0f s: %s"
            _LOGGER.warning(told, self.supervisor.tag, self.pause, error, exc_info=None if known else error)
        else:
            self.pause = self.every

    def _follow(self) -> None:
        now = _champions(self.shelf, self.line)
        if now == self.seen:
            return
        packed = pack(self.settings, self.shelf, self.line)
        if packed.tag != self.supervisor.tag:
            self.supervisor.serve(packed.tag, packed.path)
            print(f"now {packed.tag}: {_models(packed)}", flush=True)
        self.seen = now


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
