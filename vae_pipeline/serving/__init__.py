"""Requests in, scores out: what the three Bentos share."""

import os

# Before NumPy is loaded: processes use the cores, and threads of a matrix product that is over in a
# millisecond would only wait for each other.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
