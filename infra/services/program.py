"""A server process that is started, stopped and killed at will, over the same files and on the same port."""

import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

__all__ = ["Program", "free_port", "listens", "wait_for", "where"]


def free_port() -> int:
    """A port of this machine on which nothing listens at the moment."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def listens(port: int) -> bool:
    """Whether something accepts connections on a port of this machine."""
    with socket.socket() as one:
        one.settimeout(1)
        return one.connect_ex(("127.0.0.1", port)) == 0


def wait_for(ready: Callable[[], bool], what: str, within: float = 60.0) -> None:
    """Wait until ``ready`` holds.

    Raises:
        TimeoutError: it did not within so many seconds; the message is ``what``.
    """
    end = time.monotonic() + within
    while not ready():
        if time.monotonic() > end:
            raise TimeoutError(what)
        threading.Event().wait(0.05)


def where(name: str) -> str | None:
    """The path of a program, looked for also where Debian keeps servers; None where there is none."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")


class Program:
    """A server that listens on a port; started when it is made."""

    def __init__(
        self,
        command: Sequence[str],
        port: int,
        log: Path,
        environment: Mapping[str, str] | None = None,
        within: float = 60.0,
    ) -> None:
        """Start ``command``, which listens on ``port`` within so many seconds; what it prints is added to ``log``."""
        self.command, self.port, self.log, self._within = list(command), port, log, within
        self._environment = {**os.environ, **(environment or {})}
        self.start()

    def start(self) -> None:
        """Start it and wait until it listens.

        Raises:
            RuntimeError: it ended instead; the message has the end of its log.
            TimeoutError: it does not listen in time.
        """
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, stdout=log, stderr=log, env=self._environment, start_new_session=True
            )
        try:
            wait_for(
                self._ready, f"{self.command[0]} does not listen on port {self.port}; see {self.log}", self._within
            )
        except BaseException:
            self.stop(kill=True)
            raise

    def _ready(self) -> bool:
        if self.process.poll() is not None:
            msg = f"{self.command[0]} ended with {self.process.returncode}: {self.log.read_text()[-1000:]}"
            raise RuntimeError(msg)
        return listens(self.port)

    def stop(self, *, kill: bool = False) -> None:
        """End it and the processes it started, at once with ``kill``; one that has ended is no error."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL if kill else signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(30)
