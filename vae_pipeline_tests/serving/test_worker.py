"""What stands around the app of a worker: requests turned away at the door, connections that end."""

import asyncio
import json

import pytest

from vae_pipeline.serving.worker import BUSY, Door


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


def test_more_requests_than_allowed_are_turned_away_and_told_to_try_again():
    async def scenario():
        over = asyncio.Event()
        door = Door(held(over), 2)
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
    assert asyncio.run(Asked(path).of(Door(answering, 0))).status == 200


def test_a_request_that_fails_leaves_its_place_to_others():
    async def failing(*_):
        raise RuntimeError

    async def scenario():
        door = Door(failing, 1)
        for _ in range(3):
            with pytest.raises(RuntimeError):
                await Asked().of(door)
        return door.answering

    assert asyncio.run(scenario()) == 0


def test_while_closing_every_answer_is_its_connections_last():
    door = Door(answering, 9)
    assert asyncio.run(Asked().of(door)).headers == {b"connection": b"keep-alive"}
    door.closing = True
    assert asyncio.run(Asked().of(door)).sent[0]["headers"] == [(b"connection", b"close")]


def test_a_busy_process_sends_its_clients_to_another():
    async def scenario():
        over = asyncio.Event()
        door = Door(held(over), 99)
        inside = [asyncio.create_task(Asked().of(door)) for _ in range(BUSY + 1)]
        await asyncio.sleep(0)
        over.set()
        return [each.headers[b"connection"] for each in await asyncio.gather(*inside)]

    told = asyncio.run(scenario())
    assert told[0] == b"close"
    assert told[-1] == b"keep-alive"  # by then it is alone


@pytest.mark.parametrize(
    ("path", "passed"),
    [("/predict", "/predict"), ("/.env", "/unknown"), ("/static_content/a.js", "/static_content/a.js")],
)
def test_paths_that_nobody_serves_are_asked_as_one(path, passed):
    seen = []

    async def noting(scope, receive, send):
        seen.append(scope["path"])
        await answering(scope, receive, send)

    asyncio.run(Asked(path).of(Door(noting, 9, frozenset({"/predict"}))))
    assert seen == [passed]
