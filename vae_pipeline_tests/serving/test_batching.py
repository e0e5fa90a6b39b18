"""Samples of many requests in one call: each gets its own, no more at once than asked for, and no fault spreads."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vae_pipeline.detector.detector import Judged
from vae_pipeline.serving.batching import Batcher, Chunk
from vae_pipeline.serving.refused import Overloaded

BROKEN = -1


class Model:
    """Scores every sample as its own number and keeps what it was asked at once; it works while the gate is open."""

    def __init__(self):
        self.batches = []
        self.gate, self.begun = threading.Event(), threading.Event()
        self.gate.set()

    def __call__(self, payloads):
        self.batches.append([list(payload) for payload in payloads])
        self.begun.set()
        assert self.gate.wait(60)
        if any(BROKEN in payload for payload in payloads):
            msg = "the model broke"
            raise RuntimeError(msg)
        return [Judged(np.array(payload, float), -np.array(payload, np.float32)[:, None]) for payload in payloads]

    @property
    def samples(self):
        return [[sample for payload in batch for sample in payload] for batch in self.batches]

    @contextmanager
    def at_work(self):
        """Inside the block what has begun does not end."""
        self.gate.clear()
        self.begun.clear()
        try:
            yield
        finally:
            self.gate.set()

    async def working(self):
        """Wait until it has begun."""
        assert await asyncio.to_thread(self.begun.wait, 60)


def chunks(*payloads):
    return [Chunk(list(payload), len(payload)) for payload in payloads]


def batched(work, *, most=4, limit=1000, observed=None):
    """What a coroutine function makes of a model and its batcher; it has a minute."""
    with ThreadPoolExecutor(1) as executor:
        model = Model()

        async def run():
            batcher = Batcher(model, executor, most=most, limit=limit, observed=observed)
            found = await asyncio.wait_for(work(model, batcher), 60)
            assert batcher.waiting == 0
            return found

        try:
            return asyncio.run(run())
        finally:
            model.gate.set()


async def sent(batcher, *requests):
    """Tasks of requests, all of which wait or are scored."""
    tasks = [asyncio.create_task(batcher.judged(chunks(*request))) for request in requests]
    await asyncio.sleep(0)  # each runs as far as it can
    return tasks


def numbered(sizes):
    """Requests of chunks of these sizes, no number twice."""
    number = iter(range(10_000))
    return [[[next(number) for _ in range(size)] for size in request] for request in sizes]


@given(
    sizes=st.lists(st.lists(st.integers(1, 7), max_size=4), min_size=1, max_size=8),
    most=st.integers(1, 9),
    together=st.integers(1, 8),
)
def test_everybody_gets_their_own_in_batches_of_at_most_so_many(sizes, most, together):
    requests = numbered(sizes)
    told = []

    async def work(model, batcher):
        found = []
        for first in range(0, len(requests), together):
            found += await asyncio.gather(*await sent(batcher, *requests[first : first + together]))
        return model, batcher, found

    model, batcher, found = batched(work, most=most, observed=told.append)
    for request, judged in zip(requests, found, strict=True):
        expected = [sample for chunk in request for sample in chunk]
        assert judged.score.tolist() == expected
        assert judged.latent.reshape(-1).tolist() == [-sample for sample in expected]
    assert [sample for batch in model.samples for sample in batch] == list(range(sum(map(sum, sizes))))
    assert told == [len(batch) for batch in model.samples]
    assert batcher.largest == max(told, default=0)
    for batch, samples in zip(model.batches, model.samples, strict=True):
        assert len(samples) <= most or len(batch) == 1


def test_while_the_model_works_the_rest_gathers():
    async def work(model, batcher):
        with model.at_work():
            tasks = await sent(batcher, [[0]])
            await model.working()
            tasks += await sent(batcher, [[1]], [[2], [3]], [[4]], [[5, 6]])
            assert batcher.waiting == 6
        await asyncio.gather(*tasks)
        return model.samples

    assert batched(work, most=4) == [[0], [1, 2, 3, 4], [5, 6]]


def test_alone_a_request_is_scored_at_once():
    async def work(model, batcher):
        for number in range(3):
            await batcher.judged(chunks([number]))
        return model.samples

    assert batched(work) == [[0], [1], [2]]


def test_when_too_many_wait_all_of_a_request_is_refused_and_later_ones_are_not():
    async def work(model, batcher):
        with model.at_work():
            tasks = await sent(batcher, [[0]])
            await model.working()
            tasks += await sent(batcher, [[1, 2, 3, 4]])
            with pytest.raises(Overloaded, match="4 samples wait already") as refusal:
                await batcher.judged(chunks([90], [91]))
            tasks += await sent(batcher, [[5]])
        await asyncio.gather(*tasks)
        last = await batcher.judged(chunks([6], [7]))
        return refusal.value.status, last.score.tolist(), model.samples

    status, last, samples = batched(work, most=8, limit=5)
    assert status == 503
    assert last == [6, 7]
    assert samples == [[0], [1, 2, 3, 4, 5], [6, 7]]


def test_a_request_larger_than_the_limit_is_scored_when_nothing_waits():
    async def work(_, batcher):
        return (await batcher.judged(chunks([1, 2, 3], [4, 5, 6]))).score.tolist()

    assert batched(work, limit=2) == [1, 2, 3, 4, 5, 6]


def test_a_fault_reaches_all_of_its_batch_and_the_next_one_works():
    async def work(model, batcher):
        with model.at_work():
            first = await sent(batcher, [[0]])
            await model.working()
            broken = await sent(batcher, [[1]], [[BROKEN]], [[2]])
            fine = await sent(batcher, [[3, 4]])
        faults = await asyncio.gather(*broken, return_exceptions=True)
        scores = [judged.score.tolist() for judged in await asyncio.gather(*first, *fine)]
        again = await batcher.judged(chunks([5]))
        return [str(fault) for fault in faults], scores, again.score.tolist()

    assert batched(work, most=3) == (["the model broke"] * 3, [[0], [3, 4]], [5])


def test_a_request_of_several_batches_fails_as_one():
    async def work(_, batcher):
        with pytest.raises(RuntimeError, match="the model broke"):
            await batcher.judged(chunks([1], [BROKEN], [2]))
        return (await batcher.judged(chunks([3]))).score.tolist()

    assert batched(work, most=1) == [3]


def test_a_model_that_forgets_samples_is_a_fault_too():
    async def run(executor):
        batcher = Batcher(lambda _: [Judged(np.zeros(1), np.zeros((1, 1)))], executor, most=4, limit=9)
        tasks = await sent(batcher, [[1]], [[2]])
        return await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 60)

    with ThreadPoolExecutor(1) as executor:
        assert [type(fault) for fault in asyncio.run(run(executor))] == [ValueError, ValueError]


def test_what_was_given_up_is_not_scored():
    async def work(model, batcher):
        with model.at_work():
            tasks = await sent(batcher, [[0]])
            await model.working()
            given_up, *others = await sent(batcher, [[1], [2]], [[3]])
            given_up.cancel()
            await asyncio.wait([given_up])
        scores = [judged.score.tolist() for judged in await asyncio.gather(*tasks, *others)]
        return given_up.cancelled(), scores, model.samples

    assert batched(work) == (True, [[0], [3]], [[0], [3]])


def test_giving_up_what_is_being_scored_leaves_the_others_their_scores():
    async def work(model, batcher):
        with model.at_work():
            given_up, other = await sent(batcher, [[1]], [[2]])
            await model.working()
            given_up.cancel()
            await asyncio.wait([given_up])
        scores = (await other).score.tolist(), (await batcher.judged(chunks([3]))).score.tolist()
        return scores, model.samples

    assert batched(work) == (([2], [3]), [[1, 2], [3]])
