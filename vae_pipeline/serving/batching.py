"""Samples of many requests scored in one call, without waiting for any.

While the model works on one batch the next gathers by itself: under light load a request is scored alone and at once,
under heavy load batches grow up to ``most``. So nothing has to be tuned to the load, and no request waits for others
to come.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Generic, NamedTuple, TypeVar

from vae_pipeline.detector.detector import Judged
from vae_pipeline.serving.refused import Overloaded

__all__ = ["Batcher", "Chunk"]

P = TypeVar("P")


class Chunk(NamedTuple, Generic[P]):
    """Samples that are scored together: ``payload`` as the model takes it, and how many."""

    payload: P
    size: int


class _Job(NamedTuple, Generic[P]):
    chunk: Chunk[P]
    answered: "asyncio.Future[Judged]"


class Batcher(Generic[P]):
    """Scores chunks of samples in batches; one for each model, all sharing an executor.

    Attributes:
        waiting: samples that wait now.
        largest: samples of the largest batch so far.
    """

    def __init__(
        self,
        score: Callable[[Sequence[P]], Sequence[Judged]],
        executor: Executor,
        *,
        most: int,
        limit: int,
        lanes: int = 1,
        observed: Callable[[int], object] | None = None,
    ) -> None:
        """Begin.

        Args:
            score: scores several chunks in one call, in the executor.
            executor: of the model.
            most: samples of a batch; a chunk that is larger goes alone.
            limit: samples that may wait.
            lanes: batches at once.
            observed: called with the size of each batch.
        """
        self._score, self._executor, self._most, self._limit = score, executor, most, limit
        self._lanes, self._observed = lanes, observed
        self._jobs: deque[_Job[P]] = deque()
        self._running: set[asyncio.Task[None]] = set()
        self.waiting = 0
        self.largest = 0

    async def judged(self, chunks: Sequence[Chunk[P]]) -> Judged:
        """Scores and latents of some chunks, one after the other.

        Raises:
            Overloaded: too many samples wait already; nothing of these is scored.
        """
        count = sum(chunk.size for chunk in chunks)
        if self.waiting and self.waiting + count > self._limit:
            raise Overloaded(self.waiting)
        loop = asyncio.get_running_loop()
        jobs = [_Job(chunk, loop.create_future()) for chunk in chunks]
        self._jobs.extend(jobs)
        self.waiting += count
        for _ in range(min(len(jobs), self._lanes - len(self._running))):
            self._running.add(loop.create_task(self._run()))
        try:
            return Judged.joined(await asyncio.gather(*(job.answered for job in jobs)))
        finally:
            for job in jobs:
                job.answered.cancel()  # of a request that was given up: those that were not scored yet

    def _next(self) -> list[_Job[P]]:
        batch: list[_Job[P]] = []
        size = 0
        while self._jobs and (not batch or size + self._jobs[0].chunk.size <= self._most):
            job = self._jobs.popleft()
            self.waiting -= job.chunk.size
            if not job.answered.done():
                batch.append(job)
                size += job.chunk.size
        self.largest = max(self.largest, size)
        if self._observed and size:
            self._observed(size)
        return batch

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while batch := self._next():
                try:
                    found = await loop.run_in_executor(
                        self._executor, self._score, [job.chunk.payload for job in batch]
                    )
                    answers = list(zip(batch, found, strict=True))  # here: nobody waits for what was not answered
                except Exception as error:
                    for job in batch:
                        if not job.answered.done():
                            job.answered.set_exception(error)
                else:
                    for job, judged in answers:
                        if not job.answered.done():
                            job.answered.set_result(judged)
        finally:  # at once: who comes next must not count on a lane that has found nothing to do
            self._running.discard(asyncio.current_task())  # type: ignore[arg-type]
