import os
import socket
import subprocess
import sys

import pytest

from vae_pipeline.processes import is_gone, this_process

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
