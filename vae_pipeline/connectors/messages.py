"""The text of an answer or message as rows: a JSON object or list, JSON lines, CSV, or one bare number."""

import io
import json
from typing import Any

import pandas as pd

from vae_pipeline.connectors.config import Format
from vae_pipeline.errors import DataError

__all__ = ["field_of", "frame_of", "message_rows", "parse"]


def parse(content: bytes, form: Format, place: str) -> Any:
    """JSON as it stands; lines and CSV as a list of objects.

    Raises:
        DataError: it is not of that form.
    """
    try:
        text = content.decode("utf-8-sig")
        if form == "csv":
            frame = pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False)
            return frame.to_dict(orient="records")
        if form == "lines":
            return [json.loads(line) for line in text.splitlines() if line.strip()]
        return json.loads(text)
    except pd.errors.EmptyDataError:
        return []
    except ValueError as error:  # of decoding, JSON and CSV alike
        msg = f"{place}: no {'JSON' if form != 'csv' else 'CSV'} ({' '.join(str(error).split())}); correct 'format'"
        raise DataError(msg) from error


def field_of(content: Any, path: str | None) -> Any:
    """What lies at a path such as ``data.items``; None where nothing does."""
    for name in (path or "").split("."):
        if name:
            content = content.get(name) if isinstance(content, dict) else None
    return content


def frame_of(content: Any, path: str | None, place: str) -> pd.DataFrame:
    """The list of objects at a path, as a frame.

    Raises:
        DataError: there is no such list.
    """
    found = field_of(content, path)
    if isinstance(found, dict) and path is None:
        found = [found]
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        msg = f"{place}: no list of objects at {path or 'the top'}; correct 'rows' of the source"
        raise DataError(msg)
    return pd.DataFrame(found, dtype=object)


def message_rows(payload: bytes, form: Format, topic: str) -> list[dict[str, Any]]:
    """The rows of one message, each with the levels of its topic; what cannot be read is one row that says so."""
    levels = {f"topic[{number}]": level for number, level in enumerate(topic.split("/"))}
    try:
        content = parse(payload, form, topic)
    except DataError:
        return [{**levels, "message": payload[:1000].decode("utf-8", errors="replace")}]
    items = content if isinstance(content, list) else [content]
    return [{**levels, **(item if isinstance(item, dict) else {"value": item})} for item in items]
