"""The environment that a Bento is tested in."""

import threading
import time
from pathlib import Path

import pytest

from vae_pipeline.errors import PackingError
from vae_pipeline.packing import smoke
from vae_pipeline.packing.pack import PackedBento
from vae_pipeline.settings import Settings


@pytest.fixture
def bento(tmp_path, monkeypatch):
    monkeypatch.delenv("BENTOML_HOME", raising=False)

    def of(line):
        folder = tmp_path / "bentos/bentos" / line / "1"
        (folder / "src").mkdir(parents=True)
        (folder / "src/requirements.txt").write_text("numpy==1")
        return PackedBento(f"{line}:1", folder, (), new=True)

    return of


def test_two_lines_of_the_same_pins_install_them_once(tmp_path, bento, monkeypatch):
    installed, found = [], {}

    def run(command, what):
        if what == "venv":
            Path(command[-1]).mkdir(parents=True)
            return
        folder = Path(command[0]).parents[1]
        for place in range(5):
            time.sleep(0.02)
            (folder / f"package-{place}").touch()
        installed.append(folder)

    monkeypatch.setattr(smoke, "run", run)

    def ask(packed):
        folder = smoke.environment(Settings(home=tmp_path), packed)
        found[packed.tag] = len(list(folder.glob("package-*")))

    threads = [threading.Thread(target=ask, args=(bento(line),)) for line in ("timeseries", "vision")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {"timeseries:1": 5, "vision:1": 5}
    assert len(installed) == 1


def test_an_installation_that_was_cut_off_is_begun_anew(tmp_path, bento, monkeypatch):
    packed = bento("vision")
    folder = smoke.environment_folder(Settings(home=tmp_path), packed.path)
    folder.mkdir(parents=True)
    (folder / "half").touch()

    def failing(_command, what):
        msg = f"{what} failed"
        raise PackingError(msg)

    monkeypatch.setattr(smoke, "run", failing)
    with pytest.raises(PackingError):
        smoke.environment(Settings(home=tmp_path), packed)
    assert not folder.exists()
    monkeypatch.setattr(smoke, "run", lambda command, what: what == "venv" and Path(command[-1]).mkdir())
    assert smoke.environment(Settings(home=tmp_path), packed) == folder
    monkeypatch.setattr(smoke, "run", failing)
    assert smoke.environment(Settings(home=tmp_path), packed) == folder
