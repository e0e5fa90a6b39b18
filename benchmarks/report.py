"""Markdown tables, and the place between two markers of a page where a table is kept."""

import platform
from collections.abc import Sequence
from pathlib import Path

__all__ = ["between_markers", "machine", "markdown_table", "write_section"]


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, the first column left-aligned and the others right-aligned."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def between_markers(page: str, name: str, text: str) -> str:
    """The page with ``text`` between ``<!-- name -->`` and ``<!-- /name -->``; without markers they are appended."""
    start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    block = f"{start}\n{text.strip()}\n{end}"
    if start in page and end in page:
        return page[: page.index(start)] + block + page[page.index(end) + len(end) :]
    return f"{page.rstrip()}\n\n{block}\n"


def write_section(page: Path, name: str, text: str) -> None:
    """Replace one section of a page on disk."""
    page.write_text(between_markers(page.read_text(encoding="utf-8"), name, text), encoding="utf-8")


def machine() -> str:
    """Processor, cores and Python of this machine, in a few words."""
    import os

    cores = os.cpu_count() or 1
    return f"{platform.system()} {platform.machine()}, {cores} cores, Python {platform.python_version()}"
