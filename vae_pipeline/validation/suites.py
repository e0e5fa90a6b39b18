"""What a medium supplies to be judged: for each part its frames and the checks that are asked of them.

``tables.py``, ``images.py`` and ``sounds.py`` are the suites; ``validate.py`` runs them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import pandas as pd

from vae_pipeline.validation.verdict import Size

__all__ = ["Check", "Part", "Suite"]

Part = Literal["train", "test"]


@dataclass(frozen=True)
class Check:
    """One expectation about one frame.

    Attributes:
        statement: the named outcome it counts towards.
        frame: the name of the frame it judges; ``table`` is the part's table as it was read.
        expectation: the Great Expectations object, severity included.
        tell: the example for the offset (in that frame) of a failing row.
        subject: the column it is about, where an outcome has one check per column.
        noun: what it counts; the frame's name where left out.
        found: what was found, in words, where a count of failing rows does not say it.
    """

    statement: str
    frame: str
    expectation: Any
    tell: Callable[[int], str]
    subject: str = ""
    noun: str = ""
    found: Callable[[], str] | None = None


class Suite(Protocol):
    """What is asked of a dataset's parts; ``schema``, then ``ask``, first of train and then of test."""

    def schema(self, table: pd.DataFrame) -> list[Check]:
        """Checks of the frame ``table`` that must hold before anything else can be asked."""
        ...

    def ask(self, part: Part, table: pd.DataFrame) -> tuple[Mapping[str, pd.DataFrame], list[Check]]:
        """The frames of a part whose schema holds, by name and indexed from 0, and all further checks of them."""
        ...

    def expected(self, statement: str, part: Part) -> str:
        """What a statement asks, in words for the report."""
        ...

    def size(self, part: Part, table: pd.DataFrame) -> Size:
        """How much a part holds, whether or not its schema holds."""
        ...
