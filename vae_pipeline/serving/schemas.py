"""What JSON a service reads; light, since every process of a service loads it."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, model_validator

from vae_pipeline.serving.refused import Refused

__all__ = ["Pair", "PairsBody", "StreamedRow", "WindowsBody", "first_error"]

Window = list[list[FiniteFloat]]


class WindowsBody(BaseModel):
    """Either windows in raw units, ``[window][channel][time]``, or the columns of a table."""

    model_config = ConfigDict(extra="forbid")

    windows: Annotated[list[Window], Field(min_length=1)] | None = None
    columns: dict[str, list[FiniteFloat] | list[str] | list[FiniteFloat | None]] | None = None

    @model_validator(mode="after")
    def _one(self) -> "WindowsBody":
        if (self.windows is None) == (self.columns is None):
            msg = "give either windows or columns"
            raise ValueError(msg)
        return self


class Pair(BaseModel):
    """A window in raw units, ``[channel][time]``, and an image file in base64; one of them may be missing."""

    model_config = ConfigDict(extra="forbid")

    window: list[list[FiniteFloat]] | None = None
    image: str | None = None


class PairsBody(BaseModel):
    """Pairs."""

    model_config = ConfigDict(extra="forbid")

    pairs: Annotated[list[Pair], Field(min_length=1)]


class StreamedRow(BaseModel):
    """One row of one unit; a reading that is missing takes the last known value."""

    model_config = ConfigDict(extra="forbid")

    unit: str = Field(default="unit", max_length=200)
    time: int | FiniteFloat | str | None = None
    row: dict[str, FiniteFloat | None]


def first_error(error: ValidationError) -> Refused:
    """The first thing a body does wrong, in one sentence."""
    first = error.errors(include_url=False, include_context=False)[0]
    field = ".".join(str(part) for part in first["loc"]) or "body"
    more = error.error_count() - 1
    return Refused(422, f"{field}: {first['msg']}{f' (and {more:,} more)' if more else ''}", field)
