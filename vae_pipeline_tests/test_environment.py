"""Whoever starts a process of the pipeline, its threads wait asleep and no tool reports home."""

import os
import subprocess
import sys

import pytest

BARE = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "VAE_PIPELINE_HOME"}}


def environment_after(code, **more):
    shown = f"{code}; import os; print(os.environ['OMP_WAIT_POLICY'], os.environ['DO_NOT_TRACK'])"
    ran = subprocess.run([sys.executable, "-c", shown], env=BARE | more, capture_output=True, text=True, check=True)
    return ran.stdout.split()


@pytest.mark.parametrize(
    "code",
    [
        "from vae_pipeline.definitions import defs; defs()",
        "from vae_pipeline.cli import main; main(['datasets'])",
        "import benchmarks",
    ],
)
def test_it_is_prepared_for_dagster_the_command_line_and_measurements(code):
    assert environment_after(code)[-2:] == ["PASSIVE", "1"]


def test_what_is_stated_is_left():
    assert environment_after("import benchmarks", OMP_WAIT_POLICY="ACTIVE") == ["ACTIVE", "1"]


def test_openmp_is_not_loaded_before_the_environment_is_prepared():
    loaded = "import sys, vae_pipeline.definitions as d; assert not {'torch', 'onnxruntime'} & set(sys.modules)"
    assert environment_after(f"{loaded}; d.defs()")[-2:] == ["PASSIVE", "1"]
