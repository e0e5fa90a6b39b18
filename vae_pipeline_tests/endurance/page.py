"""docs/bad-input.md: with BAD_INPUT_PAGE=<file> what was told is kept there, a table between two markers."""

import os
from pathlib import Path

from benchmarks.report import write_section

__all__ = ["told_line", "write_told"]


def told_line(text: str, root: Path) -> str:
    """What was told as a cell of a table, without the place of the test."""
    return " ".join(text.split()).removeprefix("vae-pipeline: ").replace(str(root), "…").replace("|", "\\|")


def write_told(section: str, told: dict[str, str], what: str = "what was wrong") -> None:
    """Replace a section's table; nothing where the variable is not set or nothing was told."""
    page = os.environ.get("BAD_INPUT_PAGE")
    if page and told:
        rows = [(what, "what is told"), ("---", "---"), *told.items()]
        write_section(Path(page), section, "\n".join(f"| {first} | {second} |" for first, second in rows))
