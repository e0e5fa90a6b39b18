"""What ``make up`` and its neighbours say where something is missing."""

import shutil
import subprocess

import pytest

from vae_pipeline_tests.infra.files import INFRA

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="no make is installed: apt-get install make")


@pytest.fixture
def checkout(tmp_path):
    """A Makefile and an empty ``infra/``, and a compose that notes what it is asked."""
    shutil.copy(INFRA.parent / "Makefile", tmp_path)
    (tmp_path / "infra/secrets").mkdir(parents=True)
    (tmp_path / "compose").write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n')
    (tmp_path / "compose").chmod(0o755)
    return tmp_path


def make(checkout, target, compose=None, *more):
    command = ["make", "--no-print-directory", target, f"COMPOSE={compose or checkout / 'compose'}", *more]
    return subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False)


def first_line(done):
    return done.stderr.splitlines()[0]


@pytest.mark.parametrize("target", ["up", "down", "images"])
def test_without_an_engine_one_sentence_says_what_to_install(checkout, target):
    done = make(checkout, target, "there-is-no-such-engine")
    assert done.returncode != 0
    assert first_line(done).startswith("there-is-no-such-engine does not answer: install docker")


@pytest.mark.parametrize("target", ["up", "down", "images"])
def test_without_an_env_file_one_sentence_says_how_to_make_it(checkout, target):
    done = make(checkout, target)
    assert done.returncode != 0
    assert first_line(done).startswith("infra/.env is missing: cp infra/.env.example infra/.env")


def test_without_a_secret_it_does_not_start(checkout):
    (checkout / "infra/.env").touch()
    (checkout / "infra/secrets/service_token").touch()
    done = make(checkout, "up")
    assert done.returncode != 0
    assert first_line(done).startswith("infra/secrets/alerts is missing")


def test_with_everything_there_compose_is_asked(checkout):
    for name in (".env", "secrets/service_token", "secrets/alerts"):
        (checkout / "infra" / name).touch()
    assert make(checkout, "up").returncode == 0
    assert make(checkout, "up", None, "SERVING=1").returncode == 0
    assert make(checkout, "down").returncode == 0
    files = "--env-file infra/.env -f infra/compose.yaml"
    asked = [line for line in (checkout / "asked").read_text().splitlines() if line != "version"]
    assert [line.split() for line in asked] == [
        f"{files} up --detach".split(),
        f"{files} --profile serving up --detach".split(),
        f"{files} --profile serving down".split(),
    ]
