"""Lengths of time and moments as nanoseconds, and moments as text."""

import datetime

import pandas as pd

__all__ = ["iso", "nanoseconds"]


def nanoseconds(length: str) -> int:
    """A length of time such as ``10s`` in nanoseconds.

    Raises:
        ValueError: it is none.
    """
    return int(pd.Timedelta(length).value)


def iso(moment: int) -> str:
    """A moment, in nanoseconds since 1970, in ISO 8601 to the microsecond, in UTC."""
    start = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    return (start + datetime.timedelta(microseconds=moment // 1000)).isoformat().replace("+00:00", "Z")
