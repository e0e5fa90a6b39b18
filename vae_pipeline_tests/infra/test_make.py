"""What ``make up`` and its neighbours say where something is missing."""

import os
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


@pytest.mark.parametrize("target", ["up", "down", "images", "back-up", "restore"])
def test_without_an_engine_one_sentence_says_what_to_install(checkout, target):
    done = make(checkout, target, "there-is-no-such-engine")
    assert done.returncode != 0
    assert first_line(done).startswith("there-is-no-such-engine does not answer: install docker")


@pytest.mark.parametrize("target", ["up", "down", "images", "back-up", "restore"])
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


@pytest.fixture
def filled(checkout):
    """A checkout in which nothing is missing."""
    for name in (".env", "secrets/service_token", "secrets/alerts"):
        (checkout / "infra" / name).touch()
    shutil.copy(INFRA / "compose.yaml", checkout / "infra")
    return checkout


def test_a_setting_that_no_container_would_read_is_named(filled):
    (filled / "infra/.env").write_text("VAE_PIPELINE_VERSION=0.1.0\nVAE_PIPELINE_DATA_MIRROR=\n")
    assert make(filled, "up").returncode == 0
    (filled / "infra/.env").write_text("VAE_PIPELINE_LOG_FORMAT=json\n")
    done = make(filled, "up")
    assert done.returncode != 0
    assert first_line(done).startswith("infra/.env: VAE_PIPELINE_LOG_FORMAT reaches no container")


def test_a_setting_that_compose_sets_itself_is_named(filled):
    (filled / "infra/pipeline.env").write_text("#VAE_PIPELINE_HOME=/data\nVAE_PIPELINE_LOG_FORMAT=json\n")
    assert make(filled, "up").returncode == 0
    (filled / "infra/pipeline.env").write_text("VAE_PIPELINE_STORAGE=s3://other/storage\n")
    done = make(filled, "up")
    assert done.returncode != 0
    assert first_line(done).startswith("infra/pipeline.env: VAE_PIPELINE_STORAGE is set by infra/compose.yaml")


def test_a_file_of_ones_own_is_added_to_that_of_compose(filled):
    (filled / "infra/compose.override.yaml").touch()
    assert make(filled, "down").returncode == 0
    assert "-f infra/compose.yaml -f infra/compose.override.yaml" in (filled / "asked").read_text()


def test_a_back_up_is_made_and_brought_back_as_who_asks(filled):
    assert make(filled, "back-up").returncode == 0
    assert make(filled, "restore", None, "BACKUP=20260131T120000Z", "BACKUP_USER=0:0").returncode == 0
    made, back = [line for line in (filled / "asked").read_text().splitlines() if line != "version"]
    assert made.endswith(f" run --rm --user {os.getuid()}:{os.getgid()} back-up")
    assert back.endswith(" run --rm --user 0:0 back-up vae-pipeline restore /backups/20260131T120000Z")


def test_a_restore_asks_which_back_up(filled):
    done = make(filled, "restore")
    assert done.returncode != 0
    assert first_line(done).startswith("which back-up? make restore BACKUP=")
