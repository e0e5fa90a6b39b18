"""Processes of a service on one socket: started, restarted, and handed over to a newer Bento without a request lost.

The socket is opened here and inherited by the workers, so it outlives them all: what arrives while a worker restarts
waits in the socket's queue. At a hand-over the workers of the new Bento are started first; when they say that they
answer, the old ones are told to end, stop accepting, and leave when their connections are gone.

Workers hold the reading end of a pipe whose other end is open here alone. Whatever ends this process closes it, also a
kill that leaves no time to tell them, and they leave as if they had been told.
"""

import contextlib
import logging
import os
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from vae_pipeline.errors import PackingError
from vae_pipeline.packing.store import bentoml_environment
from vae_pipeline.processes import locked
from vae_pipeline.settings import Settings

__all__ = ["Supervisor"]

_LOGGER = logging.getLogger(__name__)

STARTED_WITHIN = 60.0
"""Seconds a worker has to answer."""
ENDED_WITHIN = 30.0
"""Seconds a worker has to end before it is killed."""
_PAUSE = 0.5
_QUIET = 5.0  # seconds between two starts of a worker that keeps dying


class _Worker(NamedTuple):
    process: subprocess.Popen[bytes]
    started: float


class Supervisor:
    """Serves the Bento at hand with some workers.

    Attributes:
        tag: of the Bento that is served.
        port: that is listened on.
    """

    def __init__(
        self,
        settings: Settings,
        host: str,
        port: int,
        workers: int,
        python: Path | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        """Open the socket.

        Args:
            settings: home, where Bentos lie.
            host: address to listen on.
            port: 0 for any that is free.
            workers: processes.
            python: of the environment the workers run in; this one's when left out.
            variables: further ones of the workers' environment.

        Raises:
            PackingError: the port is taken or not allowed.
        """
        self.settings, self.count, self.variables = settings, workers, dict(variables or {})
        self.python = python or Path(sys.executable)
        self.tag: str | None = None
        self._source: Path | None = None
        self._holding = contextlib.ExitStack()
        self._workers: list[_Worker] = []
        self._leaving: list[tuple[subprocess.Popen[bytes], float]] = []
        try:
            self._socket = socket.create_server((host, port), backlog=2048)
        except OSError as error:
            msg = f"--port {port}: cannot be listened on at {host} ({error.strerror}); give another"
            raise PackingError(msg) from error
        self._socket.set_inheritable(True)
        self.port = int(self._socket.getsockname()[1])
        self._metrics = tempfile.mkdtemp(prefix="vae-pipeline-metrics-")
        lifeline, alive = os.pipe()
        self._lifeline, self._alive = os.fdopen(lifeline, "rb"), os.fdopen(alive, "wb")

    def serve(self, tag: str, bento: Path) -> None:
        """Hand over to the Bento in the folder ``bento``; returns when its workers answer.

        Raises:
            PackingError: a worker did not come up; the old ones stay.
        """
        started: list[_Worker] = []
        holding = contextlib.ExitStack()
        holding.enter_context(locked(bento, shared=True))
        try:
            started.extend(self._start(bento / "src") for _ in range(self.count))
        except BaseException:  # also when it is interrupted
            holding.close()
            for worker in started:
                worker.process.kill()
                worker.process.wait()
            raise
        for worker in self._workers:
            self._leave(worker)
        self._workers, self.tag, self._source = started, tag, bento / "src"
        self._holding.close()
        self._holding = holding

    def watch(self, look: Callable[[], None], every: float = 2.0) -> None:
        """Keep the workers running until interrupted, calling ``look`` every so many seconds."""
        due = time.monotonic() + every
        while True:
            time.sleep(_PAUSE)
            self.tend()
            if time.monotonic() >= due:
                look()
                due = time.monotonic() + every

    def tend(self) -> None:
        """Restart workers that died, and end those that take too long to leave."""
        if self._source is None:
            return
        now = time.monotonic()
        for place, worker in enumerate(self._workers):
            status = worker.process.poll()
            if status is None or now - worker.started < _QUIET:
                continue
            _LOGGER.warning("worker %s ended with %s and is started again", worker.process.pid, status)
            self._forget(worker.process.pid)
            try:
                self._workers[place] = self._start(self._source)
            except PackingError as error:
                _LOGGER.error("%s", error)  # noqa: TRY400 - one sentence, tried again
                self._workers[place] = worker._replace(started=now)
        for process, until in list(self._leaving):
            if process.poll() is None and now < until:
                continue
            if process.poll() is None:
                process.kill()
                process.wait()
            self._forget(process.pid)
            self._leaving.remove((process, until))

    def close(self) -> None:
        """End all workers and the socket."""
        self._socket.close()
        for worker in self._workers:
            self._leave(worker)
        self._workers, self._source = [], None
        for process, until in self._leaving:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, until - time.monotonic()))
            if process.poll() is None:
                process.kill()
                process.wait()
        self._alive.close()
        self._lifeline.close()
        self._holding.close()
        shutil.rmtree(self._metrics, ignore_errors=True)

    @property
    def processes(self) -> list[int]:
        """Process ids of the workers that answer."""
        return [worker.process.pid for worker in self._workers if worker.process.poll() is None]

    def _leave(self, worker: _Worker) -> None:
        worker.process.send_signal(signal.SIGTERM)
        self._leaving.append((worker.process, time.monotonic() + ENDED_WITHIN))

    def _start(self, source: Path) -> _Worker:
        ready, said = os.pipe()
        command = [str(self.python), "-m", "vae_pipeline.serving.worker"]
        inherited = {"--fd": self._socket.fileno(), "--ready": said, "--lifeline": self._lifeline.fileno()}
        for option, descriptor in inherited.items():
            command += [option, str(descriptor)]
        environment = bentoml_environment(self.settings)
        environment |= {"PROMETHEUS_MULTIPROC_DIR": self._metrics, "PYTHONPATH": str(source)}
        environment |= {"VAE_PIPELINE_HOME": str(self.settings.home), **self.variables}
        try:
            process = subprocess.Popen(
                command, cwd=source, env=environment, pass_fds=tuple(inherited.values()), start_new_session=True
            )
        finally:
            os.close(said)
        try:
            if not _said(ready, STARTED_WITHIN):
                process.kill()
                msg = f"{source}: a worker did not answer (exit status {process.wait()}); what it said stands above"
                raise PackingError(msg)
        except BaseException:
            process.kill()
            process.wait()
            raise
        finally:
            os.close(ready)
        return _Worker(process, time.monotonic())

    def _forget(self, pid: int) -> None:
        """Take the gauges of a process that is gone out of the metrics."""
        from prometheus_client.multiprocess import mark_process_dead

        mark_process_dead(pid, self._metrics)  # type: ignore[no-untyped-call]


def _said(ready: int, seconds: float) -> bool:
    """Whether a byte comes before the other side closes or time is up."""
    with selectors.DefaultSelector() as selector:
        selector.register(ready, selectors.EVENT_READ)
        return bool(selector.select(seconds)) and bool(os.read(ready, 1))
