"""Which engine builds an image, and what is said where none can."""

import pytest

from vae_pipeline.packing.image import ENGINES, build_image
from vae_pipeline.packing.pack import PackedBento
from vae_pipeline.settings import Settings


@pytest.fixture
def engines(tmp_path, monkeypatch):
    """Puts programs of these names where programs are looked for, and nothing else."""

    def put(**scripts):
        folder = tmp_path / "programs"
        folder.mkdir()
        for name, script in scripts.items():
            (folder / name).write_text(f"#!/bin/sh\n{script}\n")
            (folder / name).chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:/usr/bin-of-no-engine:/bin-of-no-engine")

    return put


def built(tmp_path):
    settings = Settings(home=tmp_path)
    return build_image(settings, PackedBento("vision:1", tmp_path / "bentos/bentos/vision/1", (), new=False))


def test_without_an_engine_it_says_which_were_looked_for(tmp_path, engines):
    engines()
    image = built(tmp_path)
    assert (image.name, image.engine) == (None, None)
    for name in ENGINES:
        assert name in image.told


def test_an_engine_whose_daemon_does_not_answer_is_none(tmp_path, engines):
    engines(docker="exit 1")
    assert built(tmp_path).engine is None


def test_a_build_that_fails_is_told_and_not_raised(tmp_path, engines):
    engines(docker="exit 1", podman="exit 0")
    image = built(tmp_path)
    assert (image.name, image.engine) == (None, "podman")
    assert image.told.startswith("podman could not build vision:1: bentoml containerize failed: ")
