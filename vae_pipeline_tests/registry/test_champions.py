"""Who is champion: asked cheaply, and decided by one comparison at a time."""

import threading

import pytest

from vae_pipeline.errors import RegistryError
from vae_pipeline.registry.shelf import Shelf
from vae_pipeline.registry.tracking import Tracker
from vae_pipeline.settings import load_settings

NAME = "timeseries-tiny"


@pytest.fixture
def shelf():
    """An empty registry of the test's own home, with three versions of a model that hold nothing."""
    shelf = Shelf(Tracker(load_settings()))
    client = shelf.tracker.client
    with shelf.tracker.run("timeseries", "tiny registered", {}) as run:
        run.log_metrics({"test_pr_auc": 0.5})
    client.create_registered_model(NAME)
    for _ in range(3):
        tags = {"line": "timeseries", "dataset": "tiny"}
        client.create_model_version(NAME, f"runs:/{run.run_id}/model", run.run_id, tags=tags)
    return shelf


@pytest.fixture
def asked(shelf, monkeypatch):
    """Names of the requests that a registry gets."""
    client, names = type(shelf.tracker.client), []

    def count(name):
        called = getattr(client, name)
        monkeypatch.setattr(client, name, lambda *given, **more: names.append(name) or called(*given, **more))

    for name in ("search_registered_models", "search_model_versions", "get_model_version", "get_run"):
        count(name)
    return names


def test_champions_are_the_versions_of_that_alias(shelf):
    assert shelf.champions("timeseries") == []
    shelf.decide(NAME, 2, against=None, promote=True, reason="the first")
    (entry,) = shelf.champions("timeseries")
    assert entry == shelf.version(NAME, 2)
    assert (entry.aliases, entry.metrics) == (("champion",), {"test_pr_auc": 0.5})
    assert shelf.champions("vision") == []


def test_an_unchanged_registry_costs_one_request(shelf, asked):
    shelf.decide(NAME, 2, against=None, promote=True, reason="the first")
    once = shelf.champions("timeseries")
    asked.clear()
    assert shelf.champions("timeseries") == once
    assert asked == ["search_registered_models"]


def test_an_alias_that_was_moved_is_seen(shelf):
    shelf.decide(NAME, 2, against=None, promote=True, reason="the first")
    shelf.champions("timeseries")
    shelf.tracker.client.set_registered_model_alias(NAME, "champion", "1")
    shelf.tracker.client.set_registered_model_alias(NAME, "kept", "1")
    (entry,) = shelf.champions("timeseries")
    assert (entry.version, entry.aliases) == (1, ("champion", "kept"))


def test_of_two_retrainings_at_once_the_second_has_to_win_against_the_first(shelf):
    """Both were compared with version 1; version 3 did not win against version 2."""
    shelf.decide(NAME, 1, against=None, promote=True, reason="the first")
    assert shelf.decide(NAME, 2, against=1, promote=True, reason="better than 1")
    assert not shelf.decide(NAME, 3, against=1, promote=True, reason="better than 1")
    assert shelf.champion(NAME).version == 2
    assert "decision" not in shelf.tracker.client.get_model_version(NAME, "3").tags
    assert shelf.decide(NAME, 3, against=2, promote=True, reason="better than 2")
    assert shelf.champion(NAME).version == 3


def test_a_version_is_made_champion_by_hand_and_that_is_written_down(shelf):
    assert shelf.promote(NAME, 1) is None
    assert shelf.promote(NAME, 2) == 1
    assert shelf.promote(NAME, 2) is None
    assert shelf.champion(NAME).version == 2
    tags = shelf.tracker.client.get_model_version(NAME, "2").tags
    assert tags["decision"] == "made champion by hand in place of version 1"
    with pytest.raises(RegistryError, match="timeseries-tiny has no version 9; vae-pipeline models"):
        shelf.promote(NAME, 9)


def test_a_challenger_that_came_meanwhile_stays_challenger(shelf):
    shelf.challenge(NAME, 3)
    shelf.decide(NAME, 2, against=None, promote=True, reason="the first")
    assert shelf.version(NAME, 3).aliases == ("challenger",)
    shelf.decide(NAME, 3, against=2, promote=True, reason="better")
    assert shelf.version(NAME, 3).aliases == ("champion",)


def test_machines_that_share_a_storage_decide_one_after_the_other(shelf, monkeypatch):
    """Each with a home, and so a lock, of its own; they share the registry."""
    settings = load_settings()
    shared = {"home": settings.home / "other", "storage": settings.storage_root, "tracking_uri": shelf.tracker.uri}
    other = Shelf(Tracker(settings.model_copy(update=shared)))
    shelf.decide(NAME, 1, against=None, promote=True, reason="the first")
    find, decided, threads = Shelf.find_champion, [], []

    def decide():
        decided.append(other.decide(NAME, 3, against=1, promote=True, reason="better than 1"))

    def looked(each, name):
        found = find(each, name)
        if each is shelf and not threads:
            threads.append(threading.Thread(target=decide))
            threads[0].start()
            threads[0].join(1.0)
        return found

    monkeypatch.setattr(Shelf, "find_champion", looked)
    assert shelf.decide(NAME, 2, against=1, promote=True, reason="a")
    threads[0].join()
    assert decided == [False]
    assert find(shelf, NAME).version == 2
