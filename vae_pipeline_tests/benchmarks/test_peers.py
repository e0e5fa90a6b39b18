"""The parts of the comparison with other detectors that need no training."""

import numpy as np
import pytest

from benchmarks.peers import FEATURES, PEERS, Peer, Result, features_of, ranked, standardised, table
from vae_pipeline.evaluation.metrics import Scored
from vae_pipeline.features.signal import STATISTICS
from vae_pipeline.features.windows import Windows


def windows(count: int = 30, channels: int = 3, length: int = 16) -> Windows:
    rows = np.random.default_rng(0).normal(size=(count + length - 1, channels)).astype(np.float32)
    return Windows(rows, Windows.starts_of(0, len(rows), length), length)


@pytest.mark.parametrize(
    ("kind", "width"), [("flat windows", 48), ("mean, sd, min, max", 12), ("window statistics", 3 * len(STATISTICS))]
)
def test_every_kind_of_feature_has_its_width(kind: str, width: int):
    assert features_of(windows(), FEATURES[kind]).shape == (30, width)


def test_features_are_finite():
    found = features_of(windows(), lambda batch: np.full((len(batch), 2), [np.nan, np.inf]))
    assert (found == 0).all()


def test_features_are_standardised_by_the_fit_windows():
    fit, test = np.array([[0.0, 5.0], [2.0, 5.0]]), np.array([[3.0, 7.0]])
    known, given = standardised(fit, test)
    assert known.tolist() == [[-1.0, 0.0], [1.0, 0.0]]
    assert given.tolist() == [[2.0, 0.0]]


def test_a_perfect_score_ranks_perfectly():
    label = np.tile(np.array([0, 0, 0, 1], dtype=np.int8), 10)
    unit = np.repeat(np.arange(10), 4)
    figures = ranked(Scored(label + 0.5, label, unit, np.arange(40.0), np.full(40, np.nan, np.float32)))
    assert figures["roc_auc"] == figures["pr_auc"] == figures["pr_auc_low"] == 1.0


def test_the_table_puts_the_winner_first_and_marks_ours():
    ours = Result("ours", "windows", {"roc_auc": 0.9, "pr_auc": 0.5}, 1.0, 0.1, ours=True)
    peer = Result("peer", "flat", {"roc_auc": 0.8, "pr_auc": 0.6, "pr_auc_low": 0.4, "pr_auc_high": 0.7}, 2.0, 0.2)
    lines = table([ours, peer]).splitlines()
    assert lines[2] == "| peer | flat | 0.800 | 0.600 [0.400, 0.700] | 2.0 | 0.20 |"
    assert lines[3].startswith("| ours | windows | **0.900** | **0.500** |")


def test_peers_fit_and_score():
    pytest.importorskip("pyod", reason="the extra 'peers' is not installed")
    from benchmarks.peers import _fitted

    known = features_of(windows(), FEATURES["flat windows"])
    for peer in PEERS:
        if peer.name in ("AutoEncoder", "VAE"):  # they train
            continue
        scores, _, _ = _fitted(Peer(peer.name, peer.make, 20), known, known[:7], 0)
        assert scores.shape == (7,)
        assert np.isfinite(scores).all()
