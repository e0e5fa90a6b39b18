"""Where two machines pull one connector, each with a home and a lock of its own, a row comes once and none is lost."""

import json
from dataclasses import replace

import pytest

from vae_pipeline.connectors.keeping import Keeper, Outgoing
from vae_pipeline.errors import StorageError
from vae_pipeline.storage import Storage

pytestmark = pytest.mark.services


@pytest.fixture
def storage(any_root, tmp_path):
    return Storage(any_root, tmp_path / "cache")


def step(keeper, kept, row):
    return keeper.keep(replace(kept, position={"row": row}), [Outgoing(f"incoming/x/{row}.csv", f"to {row}".encode())])


def there(storage):
    return [held.key for held in storage.files("incoming")]


def test_of_two_that_take_the_same_step_one_is_told_that_it_is_beaten(storage, monkeypatch):
    slow, fast = Keeper(storage, "plant"), Keeper(storage, "plant")
    one, other, decide = slow.load(), fast.load(), Keeper._decide

    def interleaved(keeper, state):
        monkeypatch.undo()
        step(fast, other, 5)
        return decide(keeper, state)

    monkeypatch.setattr(Keeper, "_decide", interleaved)
    with pytest.raises(StorageError, match="another process has pulled the connector 'plant' meanwhile"):
        step(slow, one, 10)
    assert there(storage) == ["incoming/x/5.csv"]
    assert slow.load().position == {"row": 5}
    step(slow, slow.load(), 20)
    assert there(storage) == ["incoming/x/20.csv", "incoming/x/5.csv"]


def test_one_that_is_late_by_several_steps_is_beaten_too(storage):
    late, other = Keeper(storage, "plant"), Keeper(storage, "plant")
    stands, kept = late.load(), other.load()
    for row in (5, 10, 15):
        kept = step(other, kept, row)
    with pytest.raises(StorageError, match="another process"):
        step(late, stands, 7)
    assert "incoming/x/7.csv" not in there(storage)
    assert late.load().position == {"row": 15}


def test_a_step_that_another_brings_out_at_the_same_time_is_no_error(storage, monkeypatch):
    one, other, move = Keeper(storage, "plant"), Keeper(storage, "plant"), Storage.move

    def late(store, key, into):
        monkeypatch.setattr(Storage, "move", move)
        other.load()
        move(store, key, into)

    monkeypatch.setattr(Storage, "move", late)
    step(one, one.load(), 5)
    assert there(storage) == ["incoming/x/5.csv"]


def test_steps_leave_nothing_of_those_before_them(storage):
    keeper = Keeper(storage, "plant")
    kept = keeper.load()
    for row in range(4):
        kept = step(keeper, kept, row)
    left = storage.names("connectors/plant")
    assert sorted(name.rpartition("-")[2] for name in left) == ["00000004.json", "held.parquet", "seen.parquet"]


def test_what_was_kept_in_one_file_for_all_steps_is_gone_on_with(storage):
    keeper = Keeper(storage, "plant")
    step(keeper, keeper.load(), 5)
    state = json.loads(storage.read_text("connectors/plant/00000001.json"))
    for name in ("seen", "held"):
        storage.move(
            f"connectors/plant/00000001-{state['own']}-{name}.parquet", f"connectors/plant/00000001-{name}.parquet"
        )
    del state["own"]
    storage.write_text("connectors/plant.json", json.dumps(state))
    storage.remove("connectors/plant/00000001.json")

    again = Keeper(storage, "plant")
    kept = again.load()
    assert (kept.number, kept.position) == (1, {"row": 5})
    step(again, kept, 10)
    assert Keeper(storage, "plant").load().position == {"row": 10}
    assert storage.names("connectors") == ["plant"]
