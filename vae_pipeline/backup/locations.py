"""Where the registry's rows say that artifacts lie, and where they lie after a move."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

__all__ = ["addresses", "below", "moved_row"]

_COLUMNS = {
    "experiments": ("artifact_location",),
    "runs": ("artifact_uri",),
    "logged_models": ("artifact_location",),
    "model_versions": ("source", "storage_location"),
    "workspaces": ("default_artifact_root", "trace_archival_location"),
}


def addresses(root: str) -> tuple[str, ...]:
    """How locations below a root may begin: an address as it is, a folder also as ``file://``."""
    root = root.rstrip("/")
    return (root,) if "://" in root else (Path(root).as_uri(), root)


def below(location: str, roots: Iterable[str]) -> str | None:
    """The part of a location after one of the roots, without a leading slash; None where it lies elsewhere."""
    for root in sorted(roots, key=len, reverse=True):
        if location == root or location.startswith(f"{root}/"):
            return location[len(root) + 1 :]
    return None


def moved_row(table: str, row: Mapping[str, Any], old: Iterable[str], new: str) -> dict[str, Any]:
    """A row of the registry with its locations below ``new`` instead of below one of ``old``.

    What lies elsewhere stays, but an experiment that does keeps its next runs below ``new``: MLflow's own experiment
    ``Default`` names the folder in which the registry was made.
    """
    changed = dict(row)
    for column in _COLUMNS.get(table, ()):
        location = changed.get(column)
        if not location:
            continue
        rest = below(location, old)
        if rest is not None:
            changed[column] = f"{new}/{rest}".rstrip("/")
        elif table == "experiments":
            changed[column] = f"{new}/{changed['experiment_id']}"
    return changed
