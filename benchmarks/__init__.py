"""Measurements of this package, run as ``python -m benchmarks.<name>``; nothing in the package imports them."""

from vae_pipeline.environment import prepare_environment

prepare_environment()
