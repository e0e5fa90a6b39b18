"""A line's datasets are its partitions."""

import dagster as dg

from vae_pipeline.catalog import catalog, dataset
from vae_pipeline.records import Dataset, Line
from vae_pipeline.settings import load_settings

__all__ = ["dataset_of", "line_partitions"]


def line_partitions(line: Line) -> dg.StaticPartitionsDefinition:
    """The names of the line's datasets, the user's own among them."""
    known = catalog(load_settings().catalog_files)
    return dg.StaticPartitionsDefinition([name for name, entry in known.items() if entry.line == line])


def dataset_of(context: dg.AssetExecutionContext, line: Line) -> Dataset:
    """The catalogue's entry of this partition."""
    return dataset(context.partition_key, line, load_settings().catalog_files)
