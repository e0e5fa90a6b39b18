"""What a person wants to see of a stage: facts, pictures, links."""

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from vae_pipeline.records import Artifact

__all__ = ["folder_metadata", "picture", "table"]


def folder_metadata(artifact: Artifact, folder: Path) -> dict[str, Any]:
    """The artifact's facts, where its folder is and whether it was made anew."""
    return {
        **{name: value for name, value in artifact.facts.items() if value is not None},
        "folder": dg.MetadataValue.path(str(folder)),
        "reused": artifact.reused,
    }


def picture(path: Path) -> dg.MetadataValue:
    """A PNG that the UI shows in place."""
    encoded = base64.b64encode(path.read_bytes()).decode()
    return dg.MetadataValue.md(f"![{path.stem}](data:image/png;base64,{encoded})")


def table(rows: Sequence[Mapping[str, Any]]) -> dg.MetadataValue:
    """Rows as a Markdown table; numbers with four digits."""
    if not rows:
        return dg.MetadataValue.md("none")
    names = list(rows[0])

    def shown(value: Any) -> str:
        return f"{value:.4f}" if isinstance(value, float) else str(value)

    lines = ["| " + " | ".join(names) + " |", "|" + " --- |" * len(names)]
    lines += ["| " + " | ".join(shown(row.get(name, "")) for name in names) + " |" for row in rows]
    return dg.MetadataValue.md("\n".join(lines))
