"""What lies below ``incoming/<line>/``, and what of it is complete.

A batch is complete when its sizes and times are those of the look before, or when ``<name>.done`` lies beside it. Names
that begin with ``.`` or end in ``.part`` or ``.tmp`` are not looked at; a folder that holds one is not complete.
"""

from collections.abc import Mapping
from typing import NamedTuple

from vae_pipeline.records import Line
from vae_pipeline.storage import Held, Storage, fingerprint

__all__ = ["DONE", "SETTLED", "TRUSTED", "Arrival", "arrival", "arrivals"]

DONE = ".done"
SETTLED = 60.0
TRUSTED = ".trusted"
_UNFINISHED = (".part", ".tmp")


class Arrival(NamedTuple):
    """A file or folder that lies in incoming.

    Attributes:
        dataset: the folder it lies in.
        name: its own.
        files: those it consists of; a file alone is its only one.
        folder: whether it is one.
        done: whether a marker lies beside it.
        trusted: whether a marker ``<name>.trusted`` lies beside it: a person vouches for its labels.
        growing: whether a file of it has a name of unfinished ones.
    """

    dataset: str
    name: str
    files: tuple[Held, ...]
    folder: bool
    done: bool
    trusted: bool
    growing: bool

    @property
    def key(self) -> str:
        """Where it lies, but for the line: ``FD001/engines.csv``."""
        return f"{self.dataset}/{self.name}"

    @property
    def look(self) -> str:
        """A text that differs after every change of a file, a size or a time."""
        return fingerprint(*((held.key, held.size, held.changed) for held in self.files))

    @property
    def time(self) -> float:
        """When its last file was changed, seconds since 1970; nan where the root does not say."""
        return max((held.time for held in self.files), default=float("nan"))

    def complete(self, before: Mapping[str, str]) -> bool:
        """Whether it may be taken; ``before`` has the looks of the time before, by key."""
        return not self.growing and (self.done or before.get(self.key) == self.look)

    def settled(self, now: float) -> bool:
        """Whether it may be taken where there was no look before: nothing of it changed for ``SETTLED`` seconds."""
        return not self.growing and (self.done or now - self.time >= SETTLED)


def arrivals(incoming: Storage, line: Line, dataset: str | None = None) -> list[Arrival]:
    """What lies in incoming for a line, or one dataset of it, by dataset and name.

    Raises:
        StorageError: incoming cannot be read.
    """
    start = line if dataset is None else f"{line}/{dataset}"
    found: dict[tuple[str, str], list[Held]] = {}
    markers: set[tuple[str, str]] = set()
    for held in incoming.files(start):
        parts = held.key.split("/")[1:]
        if len(parts) < 2 or any(part.startswith(".") for part in parts):
            continue
        if len(parts) == 2 and parts[1].endswith((DONE, TRUSTED)):
            markers.add((parts[0], parts[1]))
        elif not parts[1].endswith(_UNFINISHED):
            found.setdefault((parts[0], parts[1]), []).append(held)
    return [
        Arrival(
            dataset=place[0],
            name=place[1],
            files=tuple(held),
            folder=any(file.key.count("/") > 2 for file in held),
            done=(place[0], place[1] + DONE) in markers,
            trusted=(place[0], place[1] + TRUSTED) in markers,
            growing=any(file.key.endswith(_UNFINISHED) for file in held),
        )
        for place, held in sorted(found.items())
    ]


def arrival(incoming: Storage, line: Line, dataset: str, name: str) -> Arrival | None:
    """What lies under a name now; None where nothing does."""
    return next((each for each in arrivals(incoming, line, dataset) if each.name == name), None)
