"""BentoML's store below home: commands with its place and without telemetry, each in a process of its own."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from vae_pipeline.errors import PackingError
from vae_pipeline.settings import Settings

__all__ = ["COMPLETE", "bentoml_environment", "bentoml_home", "run", "run_bentoml"]

COMPLETE = "complete"
"""The file that stands in a folder of ours once all of it is there: BentoML and pip write in place."""


def bentoml_home(settings: Settings) -> Path:
    """Where Bentos and their models are kept, a folder that is there: ``BENTOML_HOME``, else below home."""
    home = Path(os.environ.get("BENTOML_HOME") or settings.home / "bentos")
    home.mkdir(parents=True, exist_ok=True)
    return home


def bentoml_environment(settings: Settings) -> dict[str, str]:
    """The environment of a BentoML process."""
    return {**os.environ, "BENTOML_HOME": str(bentoml_home(settings)), "BENTOML_DO_NOT_TRACK": "True"}


def run_bentoml(settings: Settings, *arguments: str, folder: Path | None = None) -> str:
    """Run a command of BentoML's; gives what it printed.

    A process of its own, since a service's modules are imported to build it.

    Raises:
        PackingError: as `run`.
    """
    command = (sys.executable, "-m", "bentoml", *arguments)
    return run(command, f"bentoml {arguments[0]}", folder, bentoml_environment(settings))


def run(
    command: Sequence[str], what: str, folder: Path | None = None, environment: Mapping[str, str] | None = None
) -> str:
    """Run a command; gives what it printed.

    Raises:
        PackingError: it failed; the message calls it ``what`` and ends with the first error it named, or its last line.
    """
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        said = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        named = next((line for line in said if re.match(r"error: +\S", line, re.IGNORECASE)), None)
        msg = f"{what} failed: {named or (said[-1] if said else f'exit status {done.returncode}')}"
        raise PackingError(msg)
    return done.stdout
