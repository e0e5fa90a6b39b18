"""What OpenAPI says of the bodies that a line reads."""

from typing import Any

from vae_pipeline.records import Line
from vae_pipeline.serving.body import CSV, IMAGES, JSON, MULTIPART, NPY, PARQUET, WAVS
from vae_pipeline.serving.schemas import PAIRS, WINDOWS

__all__ = ["request_body"]

_BINARY = {"schema": {"type": "string", "format": "binary"}}
_FILES = {
    "schema": {
        "type": "object",
        "properties": {"files": {"type": "array", "items": {"type": "string", "format": "binary"}, "minItems": 1}},
    }
}
_PAIR = {
    "schema": {
        "type": "object",
        "properties": {part: {"type": "string", "format": "binary"} for part in ("window", "image")},
    }
}


def request_body(line: Line) -> dict[str, Any]:
    """The ``requestBody`` of an operation."""
    content: dict[Line, dict[str, Any]] = {
        "timeseries": {
            JSON: {"schema": _inlined(WINDOWS.json_schema())},
            **dict.fromkeys((CSV, PARQUET, NPY, *WAVS), _BINARY),
            MULTIPART: _FILES,
        },
        "vision": {**dict.fromkeys((*IMAGES, NPY), _BINARY), MULTIPART: _FILES},
        "multimodal": {JSON: {"schema": _inlined(PAIRS.json_schema())}, MULTIPART: _PAIR},
    }
    return {"requestBody": {"required": True, "content": content[line]}}


def _inlined(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema with its definitions where they are referred to."""
    definitions = schema.pop("$defs", {})

    def inlined(value: Any) -> Any:
        if isinstance(value, dict):
            if "$ref" in value:
                return inlined(definitions[value["$ref"].rpartition("/")[2]])
            return {key: inlined(part) for key, part in value.items()}
        return [inlined(part) for part in value] if isinstance(value, list) else value

    return inlined(schema)
