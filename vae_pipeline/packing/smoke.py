"""Is the Bento fit to be deployed: started in its own environment, asked its examples, answers compared."""

import hashlib
import json
import shutil
import sys
import time
from pathlib import Path

from vae_pipeline.detector.packed import EXAMPLE, PackedModel
from vae_pipeline.errors import PackingError
from vae_pipeline.packing.pack import PackedBento
from vae_pipeline.packing.store import bentoml_home, run
from vae_pipeline.packing.supervisor import Supervisor
from vae_pipeline.processes import locked
from vae_pipeline.records import Record
from vae_pipeline.serving.served import TOLERANCE
from vae_pipeline.settings import Settings

__all__ = ["INSTALLED", "SmokeTest", "environment", "environment_folder", "smoke_test"]

INSTALLED = "installed"
"""The file that stands in an environment once all packages are there."""
_PINS = "src/requirements.txt"


class SmokeTest(Record):
    """What came of it.

    Attributes:
        environment: folder of the Bento's own Python.
        environment_megabytes: what the environment takes on disk.
        started: seconds until the service answered.
        memory_megabytes: of the worker process, after it answered.
        differences: largest difference from evaluation's scores, by model; None where it was packed without an example.
    """

    environment: str
    environment_megabytes: float
    started: float
    memory_megabytes: float
    differences: dict[str, float | None]


def environment(settings: Settings, packed: PackedBento) -> Path:
    """The folder of a virtual environment with what the Bento pins and nothing else; made once for the same pins.

    Raises:
        PackingError: pip could not install it; the message ends with what it said.
    """
    folder = environment_folder(settings, packed.path)
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = folder.with_suffix(".lock")
    lock.touch()
    with locked(lock):  # all lines pin the same: the second waits for what the first installs
        if (folder / INSTALLED).exists():
            return folder
        shutil.rmtree(folder, ignore_errors=True)  # of an installation that was cut off: scripts know their own path
        run([sys.executable, "-m", "venv", str(folder)], "venv")
        pip = [str(folder / "bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        run([*pip, "--no-deps", "--require-hashes", "-r", str(packed.path / _PINS)], "pip install")
        (folder / INSTALLED).touch()
    return folder


def environment_folder(settings: Settings, bento: Path) -> Path:
    """Where the environment of a Bento, the folder ``bento``, lies or will lie."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    name = hashlib.sha256(version.encode() + (bento / _PINS).read_bytes()).hexdigest()[:16]
    return bentoml_home(settings) / "environments" / name


def smoke_test(settings: Settings, packed: PackedBento) -> SmokeTest:
    """Start the Bento in its own environment and compare its answers with evaluation's scores.

    Raises:
        PackingError: it does not start, does not answer, or answers something else.
    """
    import psutil

    folder = environment(settings, packed)
    supervisor = Supervisor(settings, "127.0.0.1", 0, 1, folder / "bin/python", {"VAE_PIPELINE_SERVICE_LOG": "off"})
    try:
        start = time.perf_counter()
        supervisor.serve(packed.tag, packed.path)
        seconds = time.perf_counter() - start
        differences = {model.name: _difference(packed, model, supervisor.port) for model in packed.models}
        memory = sum(psutil.Process(pid).memory_info().rss for pid in supervisor.processes)
    finally:
        supervisor.close()
    off = {name: value for name, value in differences.items() if value is not None and not value <= TOLERANCE}
    if off:
        name, value = next(iter(off.items()))
        msg = f"{packed.tag}: {name} answers scores that differ from evaluation's by {value:.2g}; it is not deployed"
        raise PackingError(msg)
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file() and not file.is_symlink())
    return SmokeTest(
        environment=str(folder),
        environment_megabytes=size / 1e6,
        started=seconds,
        memory_megabytes=memory / 1e6,
        differences=differences,
    )


def _difference(packed: PackedBento, model: PackedModel, port: int) -> float | None:
    if model.example is None:
        return None
    base = f"http://127.0.0.1:{port}"
    body = _asked(f"{base}/{EXAMPLE}?model={model.dataset}", None, "")
    answer = _asked(f"{base}/predict?model={model.dataset}&gaps=true", body, model.example.content_type)
    scores = [result["score"] for result in json.loads(answer)["results"]]
    if len(scores) != len(model.example.scores):
        msg = f"{packed.tag}: {model.name} answers {len(scores)} scores for an example of {len(model.example.scores)}"
        raise PackingError(msg)
    return max(abs(one - other) for one, other in zip(scores, model.example.scores, strict=True))


def _asked(address: str, body: bytes | None, content_type: str) -> bytes:
    import httpx

    from vae_pipeline.serving.settings import load_service_settings

    headers = {"Content-Type": content_type} if body else {}
    if secret := load_service_settings().secret:
        headers["Authorization"] = f"Bearer {secret}"
    try:
        answer = httpx.request("POST" if body else "GET", address, content=body, headers=headers, timeout=60)
    except httpx.HTTPError as error:
        msg = f"{address}: does not answer ({error})"
        raise PackingError(msg) from error
    if answer.is_error:
        msg = f"{address}: answers {answer.status_code}: {answer.text[:300]}"
        raise PackingError(msg)
    return answer.content
