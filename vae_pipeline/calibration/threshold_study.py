"""False-alarm rates that the thresholds attain on known distributions, as Markdown.

``python -m vae_pipeline.calibration.threshold_study > docs/thresholds.md`` writes the document; takes two minutes.
"""

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import stats
from scipy.signal import lfilter

from vae_pipeline.calibration.thresholds import METHODS, DynamicThreshold, conformal, describe, peaks_over_threshold

__all__ = ["attained", "fixed_table", "interval_coverage", "main", "stream_table"]

RATES = (0.05, 0.01, 0.001)
DISTRIBUTIONS = {"normal": stats.norm(), "gamma(2)": stats.gamma(2.0), "t(3)": stats.t(3.0)}

HEADER = """# Thresholds

A threshold turns scores into alarms: a score above its value is one. It is calibrated on scores of normal windows of
units that the network was not fitted on (`calibration.threshold` and `calibration.false_alarm_rate` of a dataset).
`auto` is `best_f1` where the calibration part holds both labels, else `conformal`.

This file is the output of `python -m vae_pipeline.calibration.threshold_study > docs/thresholds.md`.

## What they promise and where they fail
"""

SHARED = """
All methods: no scores, or scores that are nan or infinite, raise `CalibrationError`; scores that are all equal give a
value just above them and a warning; fewer than 20 scores, and fewer than half as many distinct values as scores, give
a warning. A fallback names the method fallen back to and says why in a warning. Windows that overlap are not
independent: no promise about a rate holds for them as stated, and the last rows of the table show what becomes of it.
Count units and windows that do not overlap when you judge whether n is large enough for a rate.

## False-alarm rates attained
"""

FIXED = """
Mean over {draws} calibration sets of n independent scores; in brackets the 10th and 90th percentile over the sets. The
rate of one set is exact: the distribution's probability above the value. "normal, correlated" is a stationary
autoregression of coefficient 0.95 with normal margin, as scores of windows that overlap by 95 % are.
With n = 200 there are 10 excesses, and `peaks_over_threshold` is the percentile.
"""

STREAM = """
## Streams

Share of alarms among {n} scores after calibration on 2000, gamma(2), mean over {draws} streams: the fixed conformal
threshold and the dynamic one that starts from it (depth 200). "drift": the level rises by six standard deviations
over the stream. "jump": five standard deviations from the middle on, share of the 50 scores behind it that alarm.
"""


def attained(method: str, rate: float, scores: np.ndarray, distribution: Any) -> float:
    """The false-alarm rate of a method calibrated on ``scores``, shape (n,), drawn from ``distribution``."""
    return float(distribution.sf(METHODS[method](scores, rate).value))


def fixed_table(draws: int, seed: int = 0) -> str:
    """Rates attained by every method that intends one, as a Markdown table."""
    columns = [f"asked {rate:g}" for rate in RATES]
    lines = [f"| scores | n | method | {' | '.join(columns)} |", "|---|---|---|" + "---|" * len(columns)]
    methods = [name for name in METHODS if name != "best_f1"]
    sources: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
        name: lambda generator, n, of=of: of.rvs(size=n, random_state=generator) for name, of in DISTRIBUTIONS.items()
    }
    sources["normal, correlated"] = _correlated
    for name, draw in sources.items():
        distribution = DISTRIBUTIONS.get(name, stats.norm())
        for n in (200, 2000):
            generator = np.random.default_rng(seed)
            sets = [draw(generator, n) for _ in range(draws)]
            for method in methods:
                cells = [_cell([attained(method, rate, one, distribution) for one in sets]) for rate in RATES]
                lines.append(f"| {name} | {n} | `{method}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def interval_coverage(draws: int, seed: int = 0) -> str:
    """How often the 95 % interval of peaks over threshold holds the true value, as a sentence."""
    shares = []
    for distribution in DISTRIBUTIONS.values():
        generator = np.random.default_rng(seed)
        true, hits, known = float(distribution.isf(0.001)), 0, 0
        for _ in range(draws):
            found = peaks_over_threshold(distribution.rvs(size=2000, random_state=generator), 0.001).parameters
            known += "value_low" in found
            hits += "value_low" in found and found["value_low"] < true < found["value_high"]
        shares.append(f"{hits / known:.2f}")
    return (
        f"The 95 % interval of `peaks_over_threshold` (n = 2000, asked 0.001) holds the true value in a share of "
        f"{', '.join(shares)} of the sets of {', '.join(DISTRIBUTIONS)}: it is too narrow, as delta intervals of 100 "
        "excesses are."
    )


def stream_table(draws: int, n: int = 10000, seed: int = 0) -> str:
    """Alarm shares of the fixed and the dynamic threshold on streams, as a Markdown table."""
    deviation = 2.0**0.5
    lines = ["| stream | asked | fixed | dynamic |", "|---|---|---|---|"]
    for rate in RATES:
        shares: dict[str, list[tuple[float, float]]] = {"stationary": [], "drift": [], "jump": []}
        generator = np.random.default_rng(seed)
        for _ in range(draws):
            calibration = generator.gamma(2.0, size=2000)
            fixed = conformal(calibration, rate)
            scores = generator.gamma(2.0, size=n)
            jump = scores + np.where(np.arange(n) >= n // 2, 5 * deviation, 0.0)
            just_after = slice(n // 2, n // 2 + 50)
            for name, stream, part in (
                ("stationary", scores, slice(None)),
                ("drift", scores + np.linspace(0.0, 6 * deviation, n), slice(None)),
                ("jump", jump, just_after),
            ):
                dynamic = DynamicThreshold.start(fixed, calibration)
                alarms = np.array([dynamic.update(score)[1] for score in stream.tolist()])
                shares[name].append((float(fixed.decide(stream)[part].mean()), float(alarms[part].mean())))
        for name, pairs in shares.items():
            of_fixed, of_dynamic = np.mean(pairs, axis=0)
            lines.append(f"| {name} | {rate:g} | {_number(of_fixed)} | {_number(of_dynamic)} |")
    return "\n".join(lines)


def main(draws: int = 100) -> str:
    """The whole document."""
    parts = [
        HEADER,
        describe(),
        SHARED,
        FIXED.format(draws=draws),
        fixed_table(draws),
        "",
        interval_coverage(draws),
        STREAM.format(n=10000, draws=max(draws // 10, 2)),
        stream_table(max(draws // 10, 2)),
    ]
    return "\n".join(part.strip("\n") + "\n" for part in parts if part)


def _correlated(generator: np.random.Generator, n: int) -> np.ndarray:
    steps = generator.normal(size=n) * np.sqrt(1 - 0.95**2)
    steps[0] = generator.normal()
    return np.asarray(lfilter([1.0], [1.0, -0.95], steps))


def _cell(rates: list[float]) -> str:
    low, high = np.quantile(rates, [0.1, 0.9])
    return f"{_number(np.mean(rates))} ({_number(low)} to {_number(high)})"


def _number(share: float | np.floating) -> str:
    if share < 1e-6:
        return "0"
    return f"{share:.1e}" if share < 0.001 else f"{share:.2g}"


if __name__ == "__main__":
    sys.stdout.write(main())
