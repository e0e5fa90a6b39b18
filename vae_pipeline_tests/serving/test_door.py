"""What stands before the app of a service: requests and streams turned away, time that is up, connections that end."""

import asyncio
import json

import pytest
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from vae_pipeline.serving.door import BUSY, TRY_LATER, Door, InTime, served_paths
from vae_pipeline.serving.metrics import REFUSALS


class Asked:
    """One request, and what was sent in answer."""

    def __init__(self, path="/predict", kind="http"):
        self.scope = {"type": kind, "path": path, "headers": []}
        self.sent = []

    async def of(self, app):
        async def receive():
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message):
            self.sent.append(message)

        await app(self.scope, receive, send)
        return self

    @property
    def status(self):
        return self.sent[0]["status"]

    @property
    def headers(self):
        return dict(self.sent[0]["headers"])


async def answering(_scope, _receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"connection", b"keep-alive")]})
    await send({"type": "http.response.body", "body": b"{}"})


def held(over):
    """An app that answers once ``over`` is set."""

    async def app(scope, receive, send):
        await over.wait()
        await answering(scope, receive, send)

    return app


def refusals(status):
    return REFUSALS.labels(status)._value.get()


def test_more_requests_than_allowed_are_turned_away_and_told_to_try_again():
    async def scenario():
        over = asyncio.Event()
        door = Door(held(over), 2, 0)
        inside = [asyncio.create_task(Asked().of(door)) for _ in range(2)]
        await asyncio.sleep(0)
        refused = await Asked().of(door)
        over.set()
        return refused, await asyncio.gather(*inside), await Asked().of(door)

    refused, answered, later = asyncio.run(scenario())
    assert refused.status == 429
    assert refused.headers[b"retry-after"] == b"1"
    assert "try again" in json.loads(refused.sent[1]["body"])["error"]
    assert int(refused.headers[b"content-length"]) == len(refused.sent[1]["body"])
    assert [each.status for each in [*answered, later]] == [200, 200, 200]


@pytest.mark.parametrize("path", ["/healthz", "/livez", "/readyz", "/metrics"])
def test_health_and_metrics_are_answered_however_busy_it_is(path):
    assert asyncio.run(Asked(path).of(Door(answering, 0, 0))).status == 200


def test_a_request_that_fails_leaves_its_place_to_others():
    async def failing(*_):
        raise RuntimeError

    async def scenario():
        door = Door(failing, 1, 0)
        for _ in range(3):
            with pytest.raises(RuntimeError):
                await Asked().of(door)
        return door.answering

    assert asyncio.run(scenario()) == 0


def test_while_closing_every_answer_is_its_connections_last():
    door = Door(answering, 9, 0)
    assert asyncio.run(Asked().of(door)).headers == {b"connection": b"keep-alive"}
    door.closing = True
    assert asyncio.run(Asked().of(door)).sent[0]["headers"] == [(b"connection", b"close")]


def test_a_busy_process_sends_its_clients_to_another():
    async def scenario():
        over = asyncio.Event()
        door = Door(held(over), 99, 0)
        inside = [asyncio.create_task(Asked().of(door)) for _ in range(BUSY + 1)]
        await asyncio.sleep(0)
        over.set()
        return [each.headers[b"connection"] for each in await asyncio.gather(*inside)]

    told = asyncio.run(scenario())
    assert told[0] == b"close"
    assert told[-1] == b"keep-alive"  # by then it is alone


@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize(("path", "passed"), [("/predict", "/predict"), ("/.env", "/unknown"), ("/a/b.js", "/unknown")])
def test_paths_that_nobody_serves_are_asked_as_one(kind, path, passed):
    seen = []

    async def noting(scope, receive, send):
        seen.append(scope["path"])

    asyncio.run(Asked(path, kind).of(Door(noting, 9, 9, frozenset({"/predict"}))))
    assert seen == [passed]


def test_static_files_are_served_one_by_one(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/a.js").touch()
    routes = [Mount("/static", StaticFiles(directory=tmp_path)), Route("/predict", lambda _: None)]
    assert set(served_paths([Mount("", routes=routes)])) == {"/static/deep/a.js", "/predict"}


def test_open_streams_take_no_place_from_requests_and_have_a_limit_of_their_own():
    async def scenario():
        over = asyncio.Event()
        door = Door(held(over), 1, 2)
        streams = [asyncio.create_task(Asked("/stream", "websocket").of(door)) for _ in range(2)]
        await asyncio.sleep(0)
        request = asyncio.create_task(Asked().of(door))
        refused = await Asked("/stream", "websocket").of(door)
        over.set()
        await asyncio.gather(*streams)
        return await request, refused, await Asked("/stream", "websocket").of(door)

    before = refusals("429")
    answered, refused, later = asyncio.run(scenario())
    assert answered.status == later.status == 200
    assert [message["type"] for message in refused.sent] == ["websocket.accept", "websocket.send", "websocket.close"]
    assert "try again" in json.loads(refused.sent[1]["text"])["error"]
    assert refused.sent[2]["code"] == TRY_LATER
    assert refusals("429") == before + 1


def test_what_is_not_answered_in_time_is_told_and_counted():
    async def hanging(*_):
        await asyncio.Event().wait()

    before = refusals("504")
    asked = asyncio.run(Asked().of(InTime(hanging, 0.01)))
    assert asked.status == 504
    assert json.loads(asked.sent[1]["body"])["field"] is None
    assert refusals("504") == before + 1


def test_an_answer_that_has_begun_and_a_stream_take_the_time_they_want():
    async def slow(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await asyncio.sleep(0.05)
        await send({"type": "http.response.body", "body": b"{}"})

    async def silent(*_):
        await asyncio.sleep(0.05)

    assert [message.get("status") for message in asyncio.run(Asked().of(InTime(slow, 0.01))).sent] == [200, None]
    assert asyncio.run(Asked("/stream", "websocket").of(InTime(silent, 0.01))).sent == []


def test_a_timeout_of_the_apps_own_is_its_own_failure():
    async def failing(*_):
        raise TimeoutError

    with pytest.raises(TimeoutError):
        asyncio.run(Asked().of(InTime(failing, 9)))
