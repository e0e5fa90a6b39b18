"""Labels by rule against a slow oracle, and what the rules promise."""

import statistics

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from vae_pipeline.connectors.config import LabelRule
from vae_pipeline.connectors.labelling import MAD_TO_SD, label_rows

drawn = st.lists(
    st.tuples(st.sampled_from(["a", "b"]), st.one_of(st.none(), st.integers(-10, 10)), st.integers(-10, 10)),
    min_size=1,
    max_size=40,
)


def frame_of(rows):
    frame = pd.DataFrame(rows, columns=["unit", "flow", "pressure"])
    return frame.astype({"unit": object, "flow": np.float64, "pressure": np.float64})


def rule_of(**fields):
    return LabelRule.model_validate(fields)


def oracle(rows, bounds, least):
    """Row by row: 1, 0 or None."""
    judged = []
    for _, *values in rows:
        outside = any(v is not None and not low <= v <= high for v, (low, high) in zip(values, bounds, strict=True))
        judged.append(1 if outside else None if None in values else 0)
    labels = list(judged)
    for unit in {row[0] for row in rows}:
        streak = []
        for index in [i for i, row in enumerate(rows) if row[0] == unit and judged[i] is not None] + [None]:
            if index is not None and judged[index] == 1:
                streak.append(index)
                continue
            if len(streak) < least:
                for short in streak:
                    labels[short] = 0
            streak = []
    return labels


def found_of(rows, rule):
    labels, told = label_rows(frame_of(rows), rule)
    return [None if pd.isna(label) else int(label) for label in labels], told


@given(drawn, st.integers(-10, 0), st.integers(0, 10), st.integers(1, 4))
def test_limits_give_the_labels_of_the_oracle(rows, low, high, least):
    rule = rule_of(rule="limits", limits={"flow": [low, high], "pressure": [None, high]}, at_least=least)
    labels, told = found_of(rows, rule)
    assert labels == oracle(rows, [(low, high), (-np.inf, high)], least)
    assert told["normal"] == {"flow": [low, high], "pressure": [None, high]}
    assert told["truth"] is False


@given(drawn, st.sampled_from([1.0, 2.0, 3.0]), st.booleans(), st.integers(1, 3))
def test_sigma_gives_the_labels_of_the_oracle(rows, sigmas, robust, least):
    bounds = []
    for column in (1, 2):
        values = [float(row[column]) for row in rows if row[column] is not None]
        centre = spread = 0.0
        if values:
            centre = statistics.median(values) if robust else statistics.fmean(values)
            off = [abs(value - centre) for value in values]
            spread = MAD_TO_SD * statistics.median(off) if robust else float(np.std(values))
        reach = sigmas * spread + 1e-9 if spread > 1e-12 else np.inf
        bounds.append((centre - reach, centre + reach))
    labels, told = found_of(rows, rule_of(rule="sigma", sigmas=sigmas, robust=robust, at_least=least))
    near = any(
        value is not None and min(abs(value - low), abs(value - high)) < 1e-6
        for _, *values in rows
        for value, (low, high) in zip(values, bounds, strict=True)
    )
    assert near or labels == oracle(rows, bounds, least)
    assert (told["sigmas"], told["robust"], told["rows"]) == (sigmas, robust, len(rows))


def test_a_sensor_that_never_varies_breaks_no_rule():
    labels, told = found_of([("a", 1, 5)] * 5, rule_of(rule="sigma"))
    assert labels == [0] * 5
    assert told["normal"]["flow"] == [None, None]


def test_the_robust_rule_sees_what_hides_itself_from_the_plain_one():
    """One in five rows far out moves mean and standard deviation so far that it breaks no rule of 3 sigma."""
    rows = [("a", i % 3, 0) for i in range(16)] + [("a", 100, 0)] * 4
    plain, _ = found_of(rows, rule_of(rule="sigma", sensors=["flow"]))
    robust, _ = found_of(rows, rule_of(rule="sigma", sensors=["flow"], robust=True))
    assert sum(plain) == 0
    assert robust == [0] * 16 + [1] * 4
