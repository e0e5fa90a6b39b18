"""What a request asks for besides its samples."""

from dataclasses import dataclass

__all__ = ["Asked"]


@dataclass(frozen=True)
class Asked:
    """What a request asks for besides its samples.

    Attributes:
        gaps: whether missing readings take the last known value of their unit, instead of being refused.
        row: of a table, from 1: the window to explain.
        top: how many of the highest scores to explain.
    """

    gaps: bool = False
    row: int | None = None
    top: int = 1
