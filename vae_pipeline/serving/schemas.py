"""What JSON a service reads; light, since every process of a service loads it."""

import re
from itertools import islice
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, TypeAdapter, ValidationError, model_validator

from vae_pipeline.serving.refused import Refused

__all__ = ["PAIRS", "ROW", "ROWS", "WINDOW", "WINDOWS", "StreamedRow", "from_json"]

T = TypeVar("T")

_ONE_FAULT = Field(fail_fast=True)
"""One fault of a list is told and the others are not made: each takes a kilobyte, of what may be a byte."""

Numbers = Annotated[list[FiniteFloat], _ONE_FAULT]
Window = Annotated[list[Numbers], _ONE_FAULT]
Column = Numbers | Annotated[list[str], _ONE_FAULT] | Annotated[list[FiniteFloat | None], _ONE_FAULT]


class WindowsBody(BaseModel):
    """Either windows in raw units, ``[window][channel][time]``, or the columns of a table."""

    model_config = ConfigDict(extra="forbid")

    windows: Annotated[list[Window], Field(min_length=1, fail_fast=True)] | None = None
    columns: dict[str, Column] | None = None

    @model_validator(mode="after")
    def _one(self) -> "WindowsBody":
        if (self.windows is None) == (self.columns is None):
            msg = "give either windows or columns"
            raise ValueError(msg)
        return self


class Pair(BaseModel):
    """A window in raw units, ``[channel][time]``, and an image file in base64; one of them may be missing."""

    model_config = ConfigDict(extra="forbid")

    window: Window | None = None
    image: str | None = None


class PairsBody(BaseModel):
    """Pairs."""

    model_config = ConfigDict(extra="forbid")

    pairs: Annotated[list[Pair], Field(min_length=1, fail_fast=True)]


class StreamedRow(BaseModel):
    """One row of one unit; a reading that is missing takes the last known value."""

    model_config = ConfigDict(extra="forbid")

    unit: str = Field(default="unit", max_length=200)
    time: int | FiniteFloat | str | None = None
    row: dict[str, FiniteFloat | None]


WINDOWS = TypeAdapter(WindowsBody)
WINDOW = TypeAdapter(Window)
PAIRS = TypeAdapter(PairsBody)
ROW = TypeAdapter(StreamedRow)
ROWS = TypeAdapter(Annotated[list[StreamedRow], _ONE_FAULT])

_NAME = re.compile(rb'"\s*:')


def from_json(kind: TypeAdapter[T], content: bytes, *, names: int, within: str = "") -> T:
    """What JSON says.

    Args:
        kind: what it has to be.
        content: as it came.
        names: of fields that it may have, all objects together; each may be a fault.
        within: the field that it stands in.

    Raises:
        Refused: it is not of that kind, of which the first fault is told, or has more names.
    """
    if next(islice(_NAME.finditer(content), names, None), None):
        field = within or "body"
        msg = f"{field}: has more than the {names:,} names of fields allowed; send fewer columns"
        raise Refused(413, msg, field)
    try:
        return kind.validate_json(content)
    except ValidationError as error:
        raise _first(error, within) from error


def _first(error: ValidationError, within: str) -> Refused:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    field = ".".join(str(part) for part in (within, *first["loc"]) if part != "") or "body"
    more = error.error_count() - 1
    return Refused(422, f"{field}: {first['msg']}{f' (and {more:,} more)' if more else ''}", field)
