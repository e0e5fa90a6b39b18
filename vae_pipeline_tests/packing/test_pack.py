"""Champions packed into a store: what was cut off is made anew, what is refused is one sentence."""

import errno
import os
import subprocess
import sys

import pytest
from bentoml.exceptions import BentoMLException

from vae_pipeline.detector.packed import PACKED, read_packed
from vae_pipeline.errors import PackingError
from vae_pipeline.packing import pack as packing
from vae_pipeline.packing.pack import pack
from vae_pipeline.packing.store import COMPLETE
from vae_pipeline.registry.shelf import ShelfEntry
from vae_pipeline.settings import Settings

ENTRY = {
    "name": "timeseries-engines",
    "version": 3,
    "aliases": ("champion",),
    "line": "timeseries",
    "dataset": "engines",
    "data_version": "0a1b",
    "evaluation_version": "2c3d",
    "created": "2026-01-01T00:00:00+00:00",
    "run_id": "4e5f",
    "metrics": {"test_pr_auc": 0.9},
}


class Shelf:
    """A registry of one champion, whose parts lie in a packed folder."""

    def __init__(self, folder):
        self._folder = folder

    def champions(self, _line):
        return [ShelfEntry(**ENTRY)]

    def folder(self, _name, _version, part):
        return self._folder / part

    find_folder = folder


class Line:
    """The line timeseries packed into a store; Bentos are built by writing two files."""

    def __init__(self, home, packed):
        self.settings, self.shelf = Settings(home=home), Shelf(packed.folder)
        self.built, self.interrupted = 0, False

    def build(self, settings, _build, _version, version, *_context, **_folder):
        folder = settings.home / "bentos/bentos/timeseries" / version
        (folder / "src").mkdir(parents=True)  # as BentoML, it builds no Bento that is there
        if self.interrupted:
            raise KeyboardInterrupt
        (folder / "src/models.txt").touch()
        self.built += 1

    def pack(self):
        return pack(self.settings, self.shelf, "timeseries")


@pytest.fixture
def line(tmp_path, packed_table, monkeypatch):
    monkeypatch.delenv("BENTOML_HOME", raising=False)
    line = Line(tmp_path, packed_table)
    monkeypatch.setattr(packing, "run_bentoml", line.build)
    return line


def test_a_build_that_was_cut_off_is_done_again(line):
    line.interrupted = True
    with pytest.raises(KeyboardInterrupt):
        line.pack()
    line.interrupted = False
    packed = line.pack()
    assert (packed.path / "src/models.txt").is_file()
    assert (packed.new, line.pack().new, line.built) == (True, False, 1)


def test_a_model_that_was_cut_off_is_imported_again(line):
    packed = line.pack()
    (kept,) = (line.settings.home / "bentos/models").glob("*/*/")
    (kept / PACKED).unlink()
    (kept / COMPLETE).unlink()
    again = line.pack()
    assert again.models == (read_packed(kept),) == packed.models
    assert (again.tag, again.new) == (packed.tag, False)


@pytest.mark.parametrize(
    ("failure", "told"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/full/model.json"), "/full/model.json: .*No space left"),
        (BentoMLException("Item exists\nalready"), "BentoML says Item exists already"),
    ],
)
def test_what_the_system_or_bentoml_refuses_is_one_sentence(line, monkeypatch, failure, told):
    def refuse(*_):
        raise failure

    monkeypatch.setattr(packing, "pack_model", refuse)
    with pytest.raises(PackingError, match=told) as refused:
        line.pack()
    assert "timeseries could not be packed" in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("line", ["timeseries", "vision", "multimodal"])
def test_what_is_packed_is_all_that_a_service_loads(line, tmp_path):
    packing._write_source(line, tmp_path)
    every = [path for path in (tmp_path / "vae_pipeline").rglob("*.py") if path.stem != "__init__"]
    names = [".".join(path.relative_to(tmp_path).with_suffix("").parts) for path in every]
    loaded = "from importlib import import_module; import sys; [import_module(name) for name in sys.argv[1:]]"
    asked = subprocess.run(
        [sys.executable, "-P", "-c", loaded, *names],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert asked.returncode == 0, asked.stderr[-1000:]
