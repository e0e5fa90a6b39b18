"""What can be trained on: the built-in catalogue and the user's own files of the same form."""

from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from vae_pipeline.errors import CatalogError, UnknownDatasetError, VaePipelineError
from vae_pipeline.records import Dataset, Line

__all__ = ["catalog", "dataset", "read_catalog", "read_yaml"]


class _Loader(yaml.SafeLoader):
    """Safe YAML that refuses a key given twice: the second entry of a name would silently replace the first."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            if key.value in seen:
                msg = f"{key.value!r} is given twice; give one of them another name"
                raise yaml.constructor.ConstructorError(None, None, msg, key.start_mark)
            seen.add(key.value)
        return node


def read_yaml(path: Path, setting: str, kind: type[VaePipelineError], text: str | None = None) -> Any:
    """The content of a YAML file in which no key is given twice; ``text`` replaces what the file holds.

    Raises:
        VaePipelineError: of ``kind``: the file is missing or no YAML; the message names ``setting``, which named it.
    """
    try:
        return yaml.load(text if text is not None else path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506 - it is a SafeLoader
    except OSError as error:
        msg = f"{path}: cannot be read ({error.strerror}); check {setting}"
        raise kind(msg) from error
    except UnicodeDecodeError as error:
        msg = f"{path}: cannot be read as UTF-8 text; check {setting}"
        raise kind(msg) from error
    except yaml.YAMLError as error:
        msg = f"{path}: no valid YAML: {' '.join(str(error).split())}"
        raise kind(msg) from error


def read_catalog(path: Path, text: str | None = None) -> dict[str, Dataset]:
    """The datasets of one catalogue file.

    The file has ``datasets:`` (name to entry) and may have ``archives:`` and ``defaults:`` that entries refer to by
    name (``archive: cmapss``, ``use: turbofan``).

    Raises:
        CatalogError: the file is missing or no YAML, a name is given twice, or an entry has an unknown or wrong field;
            the message names it.
    """
    content = read_yaml(path, "VAE_PIPELINE_CATALOG", CatalogError, text)
    if not isinstance(content, dict) or not isinstance(content.get("datasets"), dict):
        msg = f"{path}: a catalogue file is a mapping with 'datasets:' (name to entry)"
        raise CatalogError(msg)
    found = {}
    for name, entry in content["datasets"].items():
        try:
            found[str(name)] = Dataset.model_validate(_resolved(str(name), entry, content, path))
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(item) for item in first["loc"]) or "entry"
            msg = f"{path}: dataset {name!r}, {place}: {first['msg']}"
            raise CatalogError(msg) from error
    return found


def _resolved(name: str, entry: Any, content: dict[str, Any], path: Path) -> dict[str, Any]:
    """The entry with its shared defaults and its archive filled in."""
    if not isinstance(entry, dict):
        msg = f"{path}: dataset {name!r} must be a mapping"
        raise CatalogError(msg)
    own = dict(entry)
    shared = own.pop("use", None)
    merged = {**_named(content, "defaults", shared, name, path), **own} if shared else own
    if isinstance(merged.get("archive"), str):
        merged["archive"] = _named(content, "archives", merged["archive"], name, path)
    if isinstance(merged.get("alternatives"), list):
        merged["alternatives"] = [
            _named(content, "archives", item, name, path) if isinstance(item, str) else item
            for item in merged["alternatives"]
        ]
    return {"name": name, "base": str(path.parent.resolve()), **merged}


def _named(content: dict[str, Any], section: str, key: Any, name: str, path: Path) -> dict[str, Any]:
    known = content.get(section)
    found = known.get(key) if isinstance(known, dict) and isinstance(key, str) else None
    if not isinstance(found, dict):
        msg = f"{path}: dataset {name!r} refers to {section}.{key}, which the file does not have"
        raise CatalogError(msg)
    return found


@cache
def catalog(extra: tuple[Path, ...] = ()) -> dict[str, Dataset]:
    """All datasets by name: the built-in ones, then those of ``extra`` files.

    Raises:
        CatalogError: a file cannot be used, or a name is given twice.
    """
    built_in = files("vae_pipeline") / "catalog.yaml"
    found = read_catalog(Path(str(built_in)), built_in.read_text())
    for path in extra:
        for name, entry in read_catalog(path).items():
            if name in found:
                msg = f"{path}: dataset {name!r} is already in the catalogue; give it another name"
                raise CatalogError(msg)
            found[name] = entry
    return found


def dataset(name: str, line: Line, extra: tuple[Path, ...] = ()) -> Dataset:
    """The dataset of that name and line.

    Raises:
        UnknownDatasetError: the message names its line, or lists the names there are.
    """
    every = catalog(extra)
    known = {key: entry for key, entry in every.items() if entry.line == line}
    if name not in known:
        if name in every:
            msg = f"unknown dataset {name!r} on the line {line!r}; it is one of the line {every[name].line!r}"
            raise UnknownDatasetError(msg)
        msg = f"unknown dataset {name!r} on the line {line!r}; the catalogue has: {', '.join(sorted(known))}"
        raise UnknownDatasetError(msg)
    return known[name]
