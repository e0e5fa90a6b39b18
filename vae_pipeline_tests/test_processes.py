import os
import socket
import subprocess
import sys

import pytest

from vae_pipeline.processes import is_gone, locked, this_process

SAYS_ITS_NAME = "from vae_pipeline.processes import this_process; print(this_process(), flush=True); input()"


def test_this_process_lives():
    assert this_process().startswith(f"{socket.gethostname()}:{os.getpid()}:")
    assert not is_gone(this_process())


def test_a_process_is_gone_once_it_ended():
    with subprocess.Popen(
        [sys.executable, "-c", SAYS_ITS_NAME], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        owner = process.stdout.readline().strip()
        assert not is_gone(owner)
        process.communicate("\n")
    assert is_gone(owner)


def test_a_pid_that_was_given_anew_is_another_process():
    host, pid, started = this_process().split(":")
    assert is_gone(f"{host}:{pid}:{int(started) + 1}")


@pytest.mark.parametrize("owner", ["", "elsewhere:1:2", f"{socket.gethostname()}", f"{socket.gethostname()}:x:1"])
def test_what_cannot_be_known_is_not_called_gone(owner):
    assert not is_gone(owner)


HOLDS = """
import pathlib, sys
from vae_pipeline.processes import locked
with locked(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    input()
"""


def test_what_one_process_holds_no_other_gets_until_it_ends(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "held\n"
        with locked(tmp_path, wait=False) as alone, locked(tmp_path, shared=True, wait=False) as beside:
            assert (alone, beside) == (False, False)
        process.kill()
    with locked(tmp_path, wait=False) as alone:
        assert alone


def test_those_that_share_hold_it_together(tmp_path):
    with locked(tmp_path, shared=True), locked(tmp_path, shared=True, wait=False) as beside:
        assert beside
        with locked(tmp_path, wait=False) as alone:
            assert not alone
