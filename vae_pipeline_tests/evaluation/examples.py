"""Scored windows and windows for the tests of this room."""

import numpy as np

from vae_pipeline.evaluation.metrics import Scored
from vae_pipeline.features.windows import Windows


def engines(units=12, seed=0, strength=3.0, length=80, reach=20):
    """Run-to-failure units whose last ``reach`` windows are anomalous and score higher by ``strength`` sd."""
    rng = np.random.default_rng(seed)
    parts = []
    for unit in range(units):
        n = int(length + rng.integers(0, 30))
        life = np.arange(n - 1, -1, -1, dtype=np.float32)
        label = (life < reach).astype(np.int8)
        parts.append((rng.normal(size=n) + strength * label, label, np.full(n, unit), np.arange(n, dtype=float), life))
    return Scored(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def unlabelled(scored):
    return Scored(
        scored.score,
        np.full(len(scored), -1, dtype=np.int8),
        scored.unit,
        scored.time,
        np.full(len(scored), np.nan, dtype=np.float32),
    )


def rows_of(*, units=4, n=120, channels=5, shift=0.0, seed=0, length=20):
    """Windows over white-noise units; in the last 40 rows of each every channel is moved by ``shift``."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(units, n, channels))
    rows[:, -40:] += shift
    starts = np.concatenate([Windows.starts_of(u * n, (u + 1) * n, length) for u in range(units)])
    return Windows(rows.reshape(-1, channels).astype(np.float32), starts, length)
