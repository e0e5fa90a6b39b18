"""What no one needs any more of BentoML's store: old Bentos, their models, their environments."""

import shutil
from pathlib import Path

from vae_pipeline.detector.packed import PACKED
from vae_pipeline.packing.smoke import INSTALLED, environment_folder
from vae_pipeline.packing.store import bentoml_home
from vae_pipeline.processes import locked
from vae_pipeline.records import Line
from vae_pipeline.settings import Settings

__all__ = ["prune"]


def prune(settings: Settings, line: Line, keep: int) -> list[str]:
    """Remove all but the newest Bentos of a line, and what only they needed; gives the tags that went.

    A Bento that is served stays, whatever its age. The store may be shared with other work of BentoML's: of models and
    environments only those go that were made here.

    Args:
        settings: home, where Bentos lie.
        line: whose Bentos are looked at; others stay.
        keep: how many stay.
    """
    home = bentoml_home(settings)
    with locked(home):
        gone = []
        for folder in _bentos(home, line)[keep:]:
            with locked(folder, wait=False) as alone:
                if alone:
                    shutil.rmtree(folder)
                    gone.append(f"{line}:{folder.name}")
        needed = {tag for folder in _bentos(home, line) for tag in (folder / "src/models.txt").read_text().split()}
        for folder in _ours(home, f"models/{line}-*/*", PACKED):
            if f"{folder.parent.name}:{folder.name}" not in needed:
                shutil.rmtree(folder)
        environments = {environment_folder(settings, folder) for folder in _bentos(home, "*")}
        for folder in _ours(home, "environments/*", INSTALLED):
            if folder not in environments:
                shutil.rmtree(folder)
    return gone


def _ours(home: Path, pattern: str, holding: str) -> list[Path]:
    """Folders that hold the file by which what was made here is known."""
    return sorted(file.parent for file in home.glob(f"{pattern}/{holding}"))


def _bentos(home: Path, line: str) -> list[Path]:
    """Folders of Bentos, the newest first."""
    found = [folder for folder in home.glob(f"bentos/{line}/*/") if (folder / "src/models.txt").is_file()]
    return sorted(found, key=lambda folder: folder.stat().st_mtime_ns, reverse=True)
