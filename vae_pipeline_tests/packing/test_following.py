"""Champions that change under a running service, and what fails then."""

import logging
from itertools import pairwise
from types import SimpleNamespace

import pytest

from vae_pipeline.errors import PackingError
from vae_pipeline.packing import serve as serving
from vae_pipeline.packing.serve import LONGEST_PAUSE, Following


class Registry:
    """A registry of one champion, packed at once; stands for the supervisor as well."""

    def __init__(self):
        self.version, self.failure, self.tag, self.port, self.served, self.tries = 1, None, None, 1, [], 0

    def champions(self, _shelf, _line):
        return [SimpleNamespace(name="timeseries-a", version=self.version)]

    def pack(self, _settings, _shelf, _line):
        self.tries += 1
        if self.failure:
            raise self.failure
        return SimpleNamespace(tag=f"timeseries:{self.version}", path=None, models=())

    def serve(self, tag, _path):
        self.tag = tag
        self.served.append(tag)

    def close(self):
        pass


@pytest.fixture
def registry(monkeypatch):
    registry = Registry()
    registry.now = 0.0
    monkeypatch.setattr(serving, "champions", registry.champions)
    monkeypatch.setattr(serving, "pack", registry.pack)
    monkeypatch.setattr(serving.time, "monotonic", lambda: registry.now)
    return registry


def following(registry, every=5.0):
    registry.serve("timeseries:1", None)
    return Following(None, None, "timeseries", registry, [("timeseries-a", 1)], every)


def test_a_champion_that_changes_while_the_first_is_started_is_found(registry, monkeypatch):
    def started(_settings, _host, _port, _workers):
        return registry

    def serve(tag, path):
        registry.version = 2
        Registry.serve(registry, tag, path)

    def watch(look, _every):
        look()
        raise KeyboardInterrupt

    monkeypatch.setattr(registry, "serve", serve)
    monkeypatch.setattr(registry, "watch", watch, raising=False)
    monkeypatch.setattr(serving, "Supervisor", started)
    serving.serve(None, None, "timeseries", host="h", port=0, workers=1, follow=5)
    assert registry.served == ["timeseries:1", "timeseries:2"]


@pytest.mark.parametrize(
    "failure", [PackingError("a worker did not answer"), OSError(28, "No space left"), ValueError("a plain mistake")]
)
def test_whatever_fails_is_logged_and_the_service_goes_on(registry, caplog, failure):
    follower = following(registry)
    registry.version, registry.failure = 2, failure
    with caplog.at_level(logging.WARNING):
        follower.look()
    assert registry.served == ["timeseries:1"]
    assert str(failure) in caplog.text
    registry.failure, registry.now = None, 11.0
    follower.look()
    assert registry.served[-1] == "timeseries:2"


def test_each_failure_makes_the_pause_longer_within_bounds(registry):
    follower = following(registry)
    registry.version, registry.failure = 2, PackingError("it does not start")
    tries = []
    for second in range(0, 1000, 5):
        registry.now = float(second)
        before = registry.tries
        follower.look()
        if registry.tries > before:
            tries.append(second)
    pauses = [later - earlier for earlier, later in pairwise(tries)]
    assert pauses[:4] == [10, 20, 40, LONGEST_PAUSE]
    assert set(pauses[3:]) == {LONGEST_PAUSE}


def test_after_a_success_it_looks_as_often_as_before(registry):
    follower = following(registry)
    registry.version, registry.failure = 2, PackingError("it does not start")
    follower.look()
    registry.failure, registry.now = None, 10.0
    follower.look()
    registry.version, registry.now = 3, 15.0
    follower.look()
    assert registry.served == ["timeseries:1", "timeseries:2", "timeseries:3"]
