"""A line's datasets are its partitions."""

import dagster as dg

from vae_pipeline.catalog import catalog, dataset
from vae_pipeline.records import Dataset, Line
from vae_pipeline.settings import load_settings

__all__ = ["dataset_named", "dataset_of", "line_of_pairs", "line_partitions"]


def line_partitions(line: Line) -> dg.StaticPartitionsDefinition:
    """The names of the line's datasets, the user's own among them."""
    known = catalog(load_settings().catalog_files)
    return dg.StaticPartitionsDefinition([name for name, entry in known.items() if entry.line == line])


def line_of_pairs(line: Line) -> dg.StaticPartitionMapping:
    """From a line's datasets to the pairs of the line multimodal that they are one side of."""
    found: dict[str, set[str]] = {}
    for name, entry in catalog(load_settings().catalog_files).items():
        if entry.pairs is not None:
            found.setdefault(getattr(entry.pairs, line), set()).add(name)
    return dg.StaticPartitionMapping(found)


def dataset_named(name: str, line: Line) -> Dataset:
    """The catalogue's entry of that name."""
    return dataset(name, line, load_settings().catalog_files)


def dataset_of(context: dg.AssetExecutionContext, line: Line) -> Dataset:
    """The catalogue's entry of this partition."""
    return dataset_named(context.partition_key, line)
