"""The parts of the measurements that can be wrong without a machine being slow."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from benchmarks.engines import TEST_ENGINES, TRAIN_ENGINES, write_engines
from benchmarks.memory import columns_of, watched
from benchmarks.report import between_markers, markdown_table
from benchmarks.throughput import batch_sizes, paired
from vae_pipeline.catalog import dataset
from vae_pipeline.features.windows import Windows

PROJECT = Path(__file__).resolve().parents[2]


def test_pairs_alternate_and_compare():
    ran, now = [], [0.0]

    def call(name: str, seconds: float):
        def run() -> None:
            ran.append(name)
            now[0] += seconds

        return run

    found = paired(call("a", 1.0), call("b", 2.0), rounds=3, clock=lambda: now[0])
    assert "".join(ran) == "ab" + "ab" + "ba" + "ab"
    assert (found.first, found.second, found.ratio) == (1.0, 2.0, 0.5)


def test_every_batch_size_sees_all_windows():
    rows = np.zeros((29, 2), dtype=np.float32)
    seen = []
    made = batch_sizes(
        Windows(rows, Windows.starts_of(0, 29, 10), 10), lambda batch: seen.append(len(batch)), (8, 64), 1
    )
    assert seen == [8, 8, 4, 20]
    assert len(made.splitlines()) == 4


def test_engines_are_a_raw_table(tmp_path):
    entry = dataset("sample_turbofan", "timeseries", ())
    rows = write_engines(entry, tmp_path, 2)
    train, test = pq.read_table(tmp_path / "train.parquet"), pq.read_table(tmp_path / "test.parquet")
    assert train.num_rows + test.num_rows == rows
    assert len(train["unit"].unique()) == 2 * TRAIN_ENGINES
    assert len(test["unit"].unique()) == 2 * TEST_ENGINES
    assert set(json.loads((tmp_path / "source.json").read_text())["sensors"]) <= set(train.column_names)
    columns = columns_of(tmp_path / "test.parquet")
    assert "remaining_life" not in columns
    assert all(len(column) == test.num_rows for column in columns.values())


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="anonymous memory is read from /proc")
def test_memory_that_is_taken_shows():
    with watched() as nothing:
        pass
    with watched() as peaks:
        held = np.ones(30 * 2**17)
        held += 1.0
    assert peaks.anonymous > nothing.anonymous + 25
    assert peaks.resident >= peaks.anonymous


def test_a_step_runs_in_its_own_process(tmp_path):
    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks.memory", "start", str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        cwd=PROJECT,
        env=os.environ,
    )
    assert json.loads(ran.stdout)["resident"] > 10


def test_a_section_is_replaced_and_nothing_else():
    page = "# Title\n\n<!-- a -->\nold\n<!-- /a -->\n\nend\n"
    assert between_markers(page, "a", "new\n") == "# Title\n\n<!-- a -->\nnew\n<!-- /a -->\n\nend\n"
    assert between_markers("# Title\n", "a", "new") == "# Title\n\n<!-- a -->\nnew\n<!-- /a -->\n"


def test_tables_are_markdown():
    assert markdown_table(["a", "b"], [["1", "2"]]).splitlines() == ["| a | b |", "| --- | ---: |", "| 1 | 2 |"]
