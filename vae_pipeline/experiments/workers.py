"""Where trials run: in this process one by one, in several at a time, or on a Ray cluster."""

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, Protocol

from vae_pipeline.cluster import connected, ended, task, training_resources
from vae_pipeline.errors import TrainingError
from vae_pipeline.experiments.trial import EpochSeen, Outcome, TrialJob, begin_worker, run_on_node, run_trial
from vae_pipeline.settings import Settings, load_settings

__all__ = ["Workers", "workers_of"]

_SHORTEST = 0.05
"""Seconds that a look at the running trials may take."""


class Workers(Protocol):
    """Runs trials, by their numbers."""

    count: int
    running: dict[int, Any]

    def start(self, number: int, job: TrialJob) -> None:
        """Begin a trial."""
        ...

    def ended(self) -> Iterator[tuple[int, Outcome]]:
        """Wait until a trial has ended, and give those that have."""
        ...


class _Here:
    """One trial at a time, in this process."""

    count = 1

    def __init__(self, seen: Callable[[int], EpochSeen]) -> None:
        self.running: dict[int, Future[Outcome]] = {}
        self._jobs: dict[int, TrialJob] = {}
        self._seen = seen

    def start(self, number: int, job: TrialJob) -> None:
        self.running[number] = Future()
        self._jobs[number] = job

    def ended(self) -> Iterator[tuple[int, Outcome]]:
        for number in list(self.running):
            outcome = run_trial(self._jobs.pop(number), self._seen(number))
            del self.running[number]
            yield number, outcome


class _Processes:
    """Several trials at a time, a process each."""

    def __init__(self, pool: ProcessPoolExecutor, count: int) -> None:
        self.running: dict[int, Future[Outcome]] = {}
        self.count = count
        self._pool = pool

    def start(self, number: int, job: TrialJob) -> None:
        self.running[number] = self._pool.submit(run_trial, job)

    def ended(self) -> Iterator[tuple[int, Outcome]]:
        wait(self.running.values(), return_when=FIRST_COMPLETED)
        for number, future in list(self.running.items()):
            if future.done():
                del self.running[number]
                try:
                    yield number, future.result()
                except BrokenProcessPool as error:
                    msg = (
                        "a worker was killed, perhaps for want of memory; run it again with fewer --workers: what is "
                        "done is kept"
                    )
                    raise TrainingError(msg) from error


class _Tasks:
    """Several trials at a time, each on whichever node has room."""

    def __init__(self, count: int, settings: Settings) -> None:
        self.running: dict[int, Any] = {}
        self.count = count
        self._submit = task(run_on_node, training_resources(settings))

    def start(self, number: int, job: TrialJob) -> None:
        self.running[number] = self._submit(job)

    def ended(self) -> Iterator[tuple[int, Outcome]]:
        import ray
        from ray.exceptions import RayError

        done, _ = ray.wait(list(self.running.values()))
        for number, reference in list(self.running.items()):
            if reference in done:
                del self.running[number]
                try:
                    yield number, ended(reference)
                except RayError as error:
                    reason = str(error).splitlines()[0]
                    msg = f"trial {number} was lost on the cluster ({reason}); run it again: what is done is kept"
                    raise TrainingError(msg) from error

    def end(self) -> None:
        """End trials that nobody waits for any more."""
        import ray

        for reference in self.running.values():
            ray.cancel(reference, force=True)


@contextmanager
def workers_of(count: int, seen: Callable[[int], EpochSeen]) -> Iterator[Workers]:
    """Workers until the end of the block; those at work then are stopped after their epoch.

    Args:
        count: how many; one runs in this process, more are processes here, or tasks where the executor is Ray.
        seen: gives for a trial's number what is called after its epochs; only of trials in this process.
    """
    if count == 1:
        yield _Here(seen)
        return
    settings = load_settings()
    if settings.executor == "ray":
        with connected(settings):
            tasks = _Tasks(count, settings)
            try:
                yield tasks
            finally:
                tasks.end()
        return
    threads = max(1, (settings.threads or os.cpu_count() or 1) // count)
    context = multiprocessing.get_context("spawn")  # torch does not survive a fork
    pool = ProcessPoolExecutor(count, mp_context=context, initializer=begin_worker, initargs=(threads,))
    workers = _Processes(pool, count)
    try:
        yield workers
    finally:
        if workers.running:
            _end(pool)
        pool.shutdown(wait=True, cancel_futures=True)


def _end(pool: ProcessPoolExecutor) -> None:
    """End the processes of trials that nobody waits for any more; the study has them tried again."""
    processes = list((pool._processes or {}).values())
    for process in processes:
        process.terminate()
    time.sleep(_SHORTEST)
