"""What lies below ``incoming/<line>/``, and what of it is complete.

A batch is complete when its sizes and times are those of the look before, or when ``<name>.done`` lies beside it that
is no older than its files: one that an earlier batch of the name left says nothing of this one. Names that begin with
``.`` or end in ``.part`` or ``.tmp`` are not looked at; a folder that holds one is not complete. Of a folder that is
being removed ``<name>.taken`` says so, and what of it; it may be taken up at any time.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from vae_pipeline.records import Line
from vae_pipeline.storage import Held, Storage, fingerprint

__all__ = ["DONE", "SETTLED", "TAKEN", "TRUSTED", "Arrival", "arrival", "arrivals"]

DONE = ".done"
SETTLED = 60.0
TRUSTED = ".trusted"
TAKEN = ".taken"
_UNFINISHED = (".part", ".tmp")


class Arrival(NamedTuple):
    """A file or folder that lies in incoming.

    Attributes:
        dataset: the folder it lies in.
        name: its own.
        files: those it consists of; a file alone is its only one.
        folder: whether it is one.
        done: whether a marker lies beside it that is no older.
        trusted: whether a marker ``<name>.trusted`` lies beside it: a person vouches for its labels.
        taken: whether a marker says that it is being removed; then it may have no files any more.
        growing: whether a file of it has a name of unfinished ones.
    """

    dataset: str
    name: str
    files: tuple[Held, ...]
    folder: bool
    done: bool
    trusted: bool
    taken: bool
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
        return self.taken or (not self.growing and (self.done or before.get(self.key) == self.look))

    def settled(self, now: float) -> bool:
        """Whether it may be taken where there was no look before: nothing of it changed for ``SETTLED`` seconds."""
        return self.taken or (not self.growing and (self.done or now - self.time >= SETTLED))


def arrivals(incoming: Storage, line: Line, dataset: str | None = None) -> list[Arrival]:
    """What lies in incoming for a line, or one dataset of it, by dataset and name.

    Raises:
        StorageError: incoming cannot be read.
    """
    start = line if dataset is None else f"{line}/{dataset}"
    found: dict[tuple[str, str], list[Held]] = {}
    markers: dict[tuple[str, str], float] = {}
    for held in incoming.files(start):
        parts = held.key.split("/")[1:]
        if len(parts) < 2 or any(part.startswith(".") for part in parts):
            continue
        if len(parts) == 2 and parts[1].endswith((DONE, TRUSTED, TAKEN)):
            markers[parts[0], parts[1]] = held.time
            if parts[1].endswith(TAKEN):
                found.setdefault((parts[0], parts[1].removesuffix(TAKEN)), [])
        elif not parts[1].endswith(_UNFINISHED):
            found.setdefault((parts[0], parts[1]), []).append(held)
    return [
        Arrival(
            dataset=place[0],
            name=place[1],
            files=tuple(held),
            folder=any(file.key.count("/") > 2 for file in held),
            done=_no_older((place[0], place[1] + DONE), markers, held),
            trusted=(place[0], place[1] + TRUSTED) in markers,
            taken=(place[0], place[1] + TAKEN) in markers,
            growing=any(file.key.endswith(_UNFINISHED) for file in held),
        )
        for place, held in sorted(found.items())
    ]


def arrival(incoming: Storage, line: Line, dataset: str, name: str) -> Arrival | None:
    """What lies under a name now; None where nothing does."""
    return next((each for each in arrivals(incoming, line, dataset) if each.name == name), None)


def _no_older(marker: tuple[str, str], markers: Mapping[tuple[str, str], float], files: Sequence[Held]) -> bool:
    """Whether a marker is there and no older than any file; where a root says no times, whether it is there."""
    return marker in markers and not any(markers[marker] < file.time for file in files)
