"""A search whose processes are all killed goes on where it was."""

import csv
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from vae_pipeline.cli import main
from vae_pipeline_tests.defs.conftest import new_home

COMMAND = ("tune", "timeseries", "tiny", "--trials", "4", "--minutes", "9")


def rows_of(home) -> list[dict[str, str]]:
    (table,) = (home.folder / "storage").glob("timeseries/tiny/tuned/*/trials.csv")
    with table.open() as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_search_loses_no_trial_that_was_done(workers: int, tmp_path: Path, capfd) -> None:
    home = new_home(tmp_path)
    with home.entered():
        process = subprocess.Popen(
            [sys.executable, "-m", "vae_pipeline.cli", *COMMAND, "--workers", str(workers)],
            env={**os.environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert process.stdout is not None
        done = ""
        for line in process.stdout:
            if "(2/4)" in line:
                done = line
                break
        os.killpg(process.pid, signal.SIGKILL)
        _, told = process.communicate()
        assert process.returncode == -signal.SIGKILL, told
        assert done, told
        assert not list((home.folder / "storage").glob("timeseries/tiny/tuned/*/best.json"))
        assert main([*COMMAND, "--workers", str(workers)]) == 0
    out = capfd.readouterr().out
    assert "going on after 2 of 4 trials" in out
    rows = rows_of(home)
    assert len(rows) == 4
    assert rows[0]["default"] == "True"
    number = done.split()[1]
    assert f"trial {number} " not in out.split("going on")[1].split("[4/4]")[0]
    with sqlite3.connect(home.folder / "dagster/history/runs.db") as connection:
        states = {state for (state,) in connection.execute("select status from runs")}
    assert states == {"FAILURE", "SUCCESS"}
