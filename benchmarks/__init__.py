"""Measurements of this package, run as ``python -m benchmarks.<name>``; nothing in the package imports them."""
