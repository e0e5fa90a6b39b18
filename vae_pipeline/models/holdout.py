"""Normal windows of the fit part that steer training and are not trained on."""

import numpy as np

from vae_pipeline.features.windows import Windows

__all__ = ["hold_out", "hold_out_images"]


def hold_out(windows: Windows, units: np.ndarray, share: float = 0.1, seed: int = 0) -> tuple[Windows, Windows]:
    """Split windows into those to train on and those that steer early stopping, by unit and never by window.

    With a single unit the last windows steer, after a gap of one window's length.

    Args:
        windows: normal windows of the fit part.
        units: code of each window's unit, shape (n_windows,).
        share: of the units, at least one.
        seed: of the draw.
    """
    codes = np.unique(units)
    if len(codes) > 1:
        held = np.random.default_rng(seed).permutation(codes)[: max(1, round(share * len(codes)))]
        steering = np.isin(units, held)
        return windows.subset(~steering), windows.subset(steering)
    cut = round((1.0 - share) * len(windows))
    ends = windows.ends
    keep = ends < (windows.starts[cut] if cut < len(windows) else 0)
    late = np.arange(len(windows)) >= cut
    return windows.subset(keep), windows.subset(late)


def hold_out_images(index: np.ndarray, share: float = 0.1, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Split images into those to train on and those that steer, at least one, at most 32.

    Args:
        index: normal images of the fit part, shape (n,).
        share: that steers.
        seed: of the draw.
    """
    held = min(max(1, round(share * len(index))), 32)
    shuffled = np.random.default_rng(seed).permutation(index)
    return np.sort(shuffled[held:]), np.sort(shuffled[:held])
