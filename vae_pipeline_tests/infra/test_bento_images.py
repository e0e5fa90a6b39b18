"""Which images are made of champions, how they are called, and what is said where there are none."""

import pytest

from infra import bento_images
from vae_pipeline.errors import PackingError
from vae_pipeline.packing import image
from vae_pipeline.packing.pack import PackedBento


@pytest.fixture
def docker(tmp_path, monkeypatch):
    """An engine that notes what it is asked; champions there are of the line vision alone."""
    asked = tmp_path / "asked"
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "docker").write_text(f'#!/bin/sh\necho "$@" >> {asked}\n')
    (programs / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=":")

    def pack(_settings, _shelf, line):
        if line != "vision":
            msg = f"{line} has no champion to pack yet"
            raise PackingError(msg)
        return PackedBento("vision:0a1b", tmp_path, (), new=True)

    monkeypatch.setattr(bento_images, "pack", pack)
    monkeypatch.setattr(image, "run_bentoml", lambda *_: "")
    return asked


def test_champions_become_an_image_that_is_the_latest(docker, capsys):
    assert bento_images.main() == 0
    assert docker.read_text().splitlines() == ["info", "tag vision:0a1b vision:latest"]
    told = capsys.readouterr()
    assert told.out == "vision:0a1b was built by docker, and is vision:latest\n"
    assert "timeseries has no champion to pack yet" in told.err


def test_without_an_image_it_fails_and_says_why(docker, capsys, monkeypatch):
    monkeypatch.setattr(bento_images, "build_image", lambda *_: image.Image(name=None, engine=None, told="no engine"))
    assert bento_images.main() == 1
    assert "no engine" in capsys.readouterr().err
