"""Names made of content."""

import hashlib
import json
from typing import Any

from pydantic import BaseModel

__all__ = ["fingerprint"]


def fingerprint(*parts: Any) -> str:
    """A short hash of JSON-like values, records among them; the same content gives the same text everywhere."""

    def plain(value: Any) -> Any:
        if isinstance(value, set | frozenset):  # their order differs from process to process
            return sorted(value, key=str)
        return value.model_dump(mode="json") if isinstance(value, BaseModel) else str(value)

    text = json.dumps(parts, sort_keys=True, default=plain, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
