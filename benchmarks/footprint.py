"""What a service costs to start and to hold: ``VAE_PIPELINE_HOME=… python -m benchmarks.footprint timeseries``.

The Bento's own environment is made of its pins. Beside it stands what torch would add: the size of its distributions in
this environment, and the memory of a process that has imported it.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Iterable
from importlib.metadata import distribution, requires
from pathlib import Path

import httpx
import numpy as np
import psutil
from packaging.requirements import Requirement

from benchmarks.report import machine, markdown_table, write_section
from vae_pipeline.environment import prepare_environment
from vae_pipeline.packing.pack import PackedBento, pack
from vae_pipeline.packing.smoke import environment
from vae_pipeline.packing.store import bentoml_environment
from vae_pipeline.packing.supervisor import Supervisor
from vae_pipeline.registry.shelf import Shelf
from vae_pipeline.registry.tracking import Tracker
from vae_pipeline.settings import load_settings

__all__ = ["main"]

PAGE = Path(__file__).resolve().parent.parent / "docs" / "serving.md"
ROUNDS = 5


def started_by_worker(packed: PackedBento, python: Path) -> tuple[float, float]:
    """Seconds until a worker answers, and its megabytes after it was asked."""
    supervisor = Supervisor(load_settings(), "127.0.0.1", 0, 1, python)
    try:
        begun = time.perf_counter()
        supervisor.serve(packed.tag, packed.path)
        seconds = time.perf_counter() - begun
        httpx.get(f"http://127.0.0.1:{supervisor.port}/models").raise_for_status()
        return seconds, psutil.Process(supervisor.processes[0]).memory_info().rss / 1e6
    finally:
        supervisor.close()


def started_by_bentoml(packed: PackedBento, python: Path, port: int = 3197) -> float:
    """Seconds until ``bentoml serve`` answers."""
    command = [str(python), "-m", "bentoml", "serve", packed.tag, "--port", str(port)]
    variables = {**bentoml_environment(load_settings()), "VAE_PIPELINE_SERVICE_WORKERS": "1"}
    begun = time.perf_counter()
    process = subprocess.Popen(command, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while True:
            try:
                if httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=1.0).is_success:
                    return time.perf_counter() - begun
            except httpx.HTTPError:
                time.sleep(0.02)
    finally:
        process.terminate()
        process.wait()


def with_requirements(names: Iterable[str]) -> set[str]:
    """Distributions and all that they require, as they are installed here."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        needed = (Requirement(text) for text in requires(name) or ())
        waiting += [each.name for each in needed if each.marker is None or each.marker.evaluate({"extra": ""})]
    return found


def megabytes(names: Iterable[str]) -> float:
    """What distributions take on disk."""
    files = (Path(str(file.locate())) for name in names for file in distribution(name).files or ())
    return sum(file.stat().st_size for file in files if file.is_file()) / 1e6


def memory_of(statement: str) -> float:
    """Megabytes of a process after a statement."""
    program = f"{statement}\nimport psutil; print(psutil.Process().memory_info().rss / 1e6)"
    return float(subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout)


def main() -> None:
    """Measure, print and perhaps write the table."""
    prepare_environment()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("line", choices=["timeseries", "vision", "multimodal"])
    parser.add_argument("--write", action="store_true", help="write the table into docs/serving.md")
    options = parser.parse_args()
    settings = load_settings()
    packed = pack(settings, Shelf(Tracker(settings)), options.line)
    folder = environment(settings, packed)
    python = folder / "bin/python"
    starts = [started_by_worker(packed, python) for _ in range(ROUNDS)]
    bentoml = [started_by_bentoml(packed, python) for _ in range(ROUNDS)]
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file() and not file.is_symlink()) / 1e6
    pinned = {line.split("==")[0].lower() for line in (packed.path / "src/requirements.txt").read_text().splitlines()}
    more = megabytes(name for name in with_requirements(["torch"]) if name.lower() not in pinned)
    memory = float(np.median([held for _, held in starts]))
    torch = memory_of("import torch") - memory_of("import numpy")
    rows = [
        ["from start to first answer, `vae-pipeline serve`", f"{np.median([each for each, _ in starts]):.1f} s", ""],
        ["from start to first answer, `bentoml serve`", f"{np.median(bentoml):.1f} s", ""],
        ["packages on disk", f"{size:,.0f} MB", f"{size + more:,.0f} MB"],
        ["memory of a worker", f"{memory:,.0f} MB", f"{memory + torch:,.0f} MB"],
    ]
    table = markdown_table(["", "the Bento", "with torch"], rows)
    text = f"`python -m benchmarks.footprint {options.line}` on {machine()}, medians of {ROUNDS}.\n\n{table}"
    print(text)
    if options.write:
        write_section(PAGE, "footprint", text)


if __name__ == "__main__":
    main()
