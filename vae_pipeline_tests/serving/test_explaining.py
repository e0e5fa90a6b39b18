"""Explanations hold up no scores, end with their request, and of one table its windows are made once."""

import asyncio
import io
import threading

import numpy as np
import pytest

from vae_pipeline.serving.asked import Asked
from vae_pipeline.serving.body import NPY, PARQUET, Body
from vae_pipeline.serving.model_server import ModelServer
from vae_pipeline.serving.refused import Refused
from vae_pipeline.serving.settings import ServiceSettings


class Slow:
    """Explanations of a model: each takes until it is let go."""

    def __init__(self):
        self.begun, self.go, self.made = threading.Semaphore(0), threading.Semaphore(0), 0

    def explained(self, *_):
        for number in range(100):
            self.made += 1
            self.begun.release()
            assert self.go.acquire(timeout=60)
            yield number

    async def at_work(self):
        assert await asyncio.to_thread(self.begun.acquire, timeout=60)


@pytest.fixture
def server(packed_table):
    opened = ModelServer("timeseries", [packed_table.folder], ServiceSettings(log="off", explaining=2))
    yield opened
    opened.close()


@pytest.fixture
def slow(server, monkeypatch):
    made = Slow()
    monkeypatch.setattr(server.model(None), "explained", made.explained)
    yield made
    made.go.release(1000)


@pytest.fixture
def windows(packed_table):
    scaler, stream = packed_table.detector.scaler, io.BytesIO()
    np.save(stream, scaler.mean[0][:, None] + scaler.sd[0][:, None] * np.ones((2, 4, 20)))
    return Body(NPY, stream.getvalue())


def explanations(server, body):
    return asyncio.ensure_future(server.explain(server.model(None), body, Asked(top=100)))


async def given_up(task):
    task.cancel()
    await asyncio.wait([task])


def test_scores_do_not_wait_for_explanations(server, slow, windows):
    async def run():
        task = explanations(server, windows)
        await slow.at_work()
        served = server.model(None)
        answer = await asyncio.wait_for(server.predict(served, windows, Asked(), served.threshold(None, None)), 60)
        assert not task.done()
        slow.go.release(100)
        return answer, await task

    answer, found = asyncio.run(run())
    assert len(answer["results"]) == 2
    assert found == list(range(100))


def test_a_request_that_is_given_up_is_explained_no_further(server, slow, windows):
    async def run():
        task, other = explanations(server, windows), explanations(server, windows)
        await slow.at_work()
        await given_up(task)
        slow.go.release()
        await slow.at_work()
        await given_up(other)
        slow.go.release(100)
        await asyncio.get_running_loop().run_in_executor(server._explaining, int)

    asyncio.run(run())
    assert slow.made == 2


def test_more_requests_than_may_be_explained_are_refused_for_now(server, slow, windows):
    async def run():
        tasks = [explanations(server, windows) for _ in range(2)]
        await slow.at_work()
        with pytest.raises(Refused, match="explanations for 2 requests are being made already") as refusal:
            await explanations(server, windows)
        assert refusal.value.status == 503
        for task in tasks:
            await given_up(task)
        slow.go.release(1000)
        assert len(await explanations(server, windows)) == 100

    asyncio.run(run())


@pytest.mark.parametrize("asked", [Asked(top=2), Asked(row=40)])
def test_a_table_is_cut_into_windows_once(packed_table, monkeypatch, asked):
    served, counted = packed_table.served(), []
    cut = served.detector.table_windows
    monkeypatch.setattr(served.detector, "table_windows", lambda columns: counted.append(1) or cut(columns))
    body = Body(PARQUET, (packed_table.raw / "test.parquet").read_bytes())
    assert len(list(served.explained(body, asked))) == asked.top
    assert counted == [1]
