"""What every connector gives: rows as the source has them, and the place up to which they were read."""

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import pandas as pd

__all__ = ["Connector", "Fetched", "Position"]

Position = dict[str, Any]
"""A place in a source, as JSON: offsets, the last key, a cursor. What it holds is the connector's own matter."""


class Fetched(NamedTuple):
    """Some rows and the place behind them."""

    rows: pd.DataFrame
    position: Position
    waits: bool = False
    """The source gives no more before these rows are acknowledged."""
    note: str = ""
    """What a person should know of the source, a sentence."""


class Connector(Protocol):
    """Reads one source. Needs not know batches, repeats or storage: `vae_pipeline.connectors.pull` sees to them."""

    place: str
    """The source in words, for messages: ``table readings``."""
    keeps: bool
    """Whether the source still has the rows after they were read: a missing column then stops the pull."""

    def rows(self, position: Position | None) -> Iterator[Fetched]:
        """What came after ``position`` (None: the beginning), in pieces, each with the place behind it.

        It may give rows again that it gave before; it must not leave any out. It ends when there is no more, and may
        be called again then. Empty pieces say that it is alive.

        Raises:
            ConnectorError: the source cannot be reached, or refuses.
        """
        ...

    def acknowledge(self, position: Position) -> None:
        """Rows up to ``position`` are kept for good: the source may forget them."""
        ...

    def close(self) -> None:
        """Let go of the source; what was not acknowledged comes again."""
        ...
