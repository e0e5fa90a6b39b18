import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from vae_pipeline_tests.endurance.conftest import Place


@pytest.mark.slow
@pytest.mark.parametrize("begun", ["[3/9] features", "[6/9] evaluated"])
def test_a_killed_run_is_completed_by_running_it_again(
    begun: str, place: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    process = place.start("pumps")
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith(begun):  # the next stage has begun
            break
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL, "".join(lines)
    assert place.run("pumps") == 0
    out, err = capfd.readouterr()
    assert err == ""
    assert out.count("unchanged") == int(begun[1])
    assert set(place.mlflow_states()) <= {"FINISHED", "KILLED"}
    assert set(place.dagster_states()) == {"FAILURE", "SUCCESS"}
    assert place.versions() == [1]
    assert place.left() == []


@pytest.fixture
def disk(place: Place) -> Iterator[Place]:
    """A place whose home is a disk of its own; `_resize` makes it larger."""
    place.home.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=50m", "tmpfs", str(place.home)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"this user may not mount a small disk: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place.home)], check=True)  # MLflow keeps its database open


def _remount(place: Place, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(place.home)], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("size", ["100k", "1800k", "3300k"])
def test_after_a_full_disk_the_run_is_completed(size: str, disk: Place, capfd: pytest.CaptureFixture[str]) -> None:
    _remount(disk, f"size={size}")
    process = disk.start("pumps")
    _, told = process.communicate(timeout=100)
    assert process.returncode == 1, told
    assert len(told.splitlines()) == 1, told
    assert told.startswith("vae-pipeline: ")
    assert "full" in told or "cannot be recorded" in told, told
    assert str(disk.home) in told
    _remount(disk, "size=50m")
    assert disk.run("pumps") == 0
    assert "RUNNING" not in disk.mlflow_states()
    assert "STARTED" not in disk.dagster_states()
    assert disk.versions() == [1]
    assert disk.left() == []


def test_a_home_that_is_read_only(disk: Place, capfd: pytest.CaptureFixture[str]) -> None:
    _remount(disk, "ro")
    assert disk.run("pumps") == 1
    told = capfd.readouterr().err
    assert told.count("\n") == 1
    assert f"{disk.home}/dagster: the file system is read-only: set VAE_PIPELINE_HOME" in told


def test_a_storage_that_is_read_only(disk: Place, capfd: pytest.CaptureFixture[str]) -> None:
    _remount(disk, "ro")
    assert disk.run("pumps", VAE_PIPELINE_HOME=str(disk.root / "other"), VAE_PIPELINE_STORAGE=str(disk.home)) == 1
    told = capfd.readouterr().err
    assert told.count("\n") == 1
    assert "the file system is read-only: set VAE_PIPELINE_STORAGE" in told


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stage", "file"), [("calibrated", "detector/detector.json"), ("raw", "manifest.json"), ("features", "rows.npy")]
)
def test_a_damaged_stage_folder_is_named(
    stage: str, file: str, trained: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    place = Place(trained.root.with_name(trained.root.name + stage))
    shutil.copytree(trained.root, place.root)
    try:
        for name in {"calibrated": ("evaluated",), "features": ("trained", "calibrated", "evaluated")}.get(stage, ()):
            shutil.rmtree(place.home / "storage" / "timeseries" / "pumps" / name)
        damaged: Path = next((place.home / "storage" / "timeseries" / "pumps" / stage).glob(f"*/{file}"))
        damaged.write_bytes(damaged.read_bytes()[:40])
        champion = trained.champion()
        # the copy's plant lies elsewhere but is the same
        status = place.run("pumps", VAE_PIPELINE_CATALOG=str(trained.plant / "plant.yaml"))
        told = capfd.readouterr().err
        assert (status, told.count("\n")) == (1, 1), told
        assert str(damaged.parent) in told, told
        assert place.champion() == champion
    finally:
        shutil.rmtree(place.root, ignore_errors=True)
