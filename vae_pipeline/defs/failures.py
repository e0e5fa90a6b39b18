"""Errors meant for the user, told to Dagster as such: one sentence, no retry where a retry cannot help."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from vae_pipeline.errors import DownloadError, RegistryError, VaePipelineError

__all__ = ["RETRY", "told_to_dagster"]

RETRY = dg.RetryPolicy(max_retries=2, delay=5, backoff=dg.Backoff.EXPONENTIAL)
"""For stages that speak to something outside: the download and the registry."""

_PASSING = (DownloadError, RegistryError)


@contextmanager
def told_to_dagster() -> Iterator[None]:
    """Raise our own errors as `dagster.Failure`; only those that may pass by themselves allow a retry."""
    try:
        yield
    except VaePipelineError as error:
        raise dg.Failure(description=str(error), allow_retries=isinstance(error, _PASSING)) from error
