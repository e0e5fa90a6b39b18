"""The study prints every table."""

import pytest

from vae_pipeline.calibration import threshold_study
from vae_pipeline.calibration.thresholds import METHODS


def test_tables(monkeypatch):
    monkeypatch.setattr(threshold_study, "RATES", (0.05,))
    table = threshold_study.fixed_table(draws=2)
    assert table.count("\n") == 1 + 4 * 2 * (len(METHODS) - 1)
    assert threshold_study.stream_table(draws=1, n=1000).count("\n") == 4
    assert "share of" in threshold_study.interval_coverage(draws=2)


@pytest.mark.parametrize(("share", "text"), [(0.0, "0"), (0.0001, "1.0e-04"), (0.0123, "0.012"), (0.5, "0.5")])
def test_numbers(share, text):
    assert threshold_study._number(share) == text
