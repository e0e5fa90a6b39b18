"""Generate ``sample_turbofan``: engines that wear out, written in the layout of C-MAPSS.

The engines fly six operating regimes in random order, as in FD002. A sensor's level depends on the regime; on top of
it lie a manufacturing offset of the engine, unmeasured conditions that move its sensors together, the wear of one of
two fault modes, and noise. Wear grows exponentially from a random onset to 1 at failure (the shape of Saxena et al.,
2008); each mode moves other sensors. Everything is in units of the sensors' own noise, so no sensor is easier by its
scale.
"""

from pathlib import Path

import numpy as np

from vae_pipeline.errors import CatalogError
from vae_pipeline.records import Dataset
from vae_pipeline.storage import place_folder, told, work_folder

__all__ = ["VERSION", "generate"]

VERSION = 2
"""Counts up whenever the same seed gives other values."""

# Altitude in thousand feet, Mach number, throttle angle, and how often the regime is flown.
_REGIMES = np.array(
    [
        [0.0, 0.0, 100.0],
        [10.0, 0.25, 100.0],
        [20.0, 0.70, 100.0],
        [25.0, 0.62, 60.0],
        [35.0, 0.84, 100.0],
        [42.0, 0.84, 100.0],
    ]
)
_SHARES = np.array([0.15, 0.15, 0.15, 0.15, 0.15, 0.25])

# Level of the 21 sensors in the six regimes, noise, decimals written, and the shift at failure (in noise units) under
# the fault modes "compressor" and "fan". A sensor without noise is constant within a regime.
_SENSORS = np.array(
    [
        # level in regime 1 to 6                              noise  decimals  compressor  fan
        [518.67, 489.05, 491.19, 462.54, 449.44, 445.00, 0.000, 2, 0.0, 0.0],
        [642.4, 604.7, 607.3, 536.7, 555.6, 549.5, 0.340, 2, 1.0, 0.3],
        [1587.0, 1499.0, 1482.5, 1260.0, 1364.0, 1351.5, 4.400, 2, 1.0, 0.2],
        [1403.0, 1306.0, 1248.0, 1046.0, 1127.0, 1123.5, 5.300, 2, 1.2, 0.4],
        [14.62, 10.52, 9.35, 7.05, 5.48, 3.91, 0.000, 2, 0.0, 0.0],
        [21.61, 15.49, 13.66, 9.03, 8.00, 5.72, 0.003, 2, 0.0, 0.0],
        [553.9, 394.6, 334.8, 175.7, 194.7, 138.9, 0.450, 2, -1.0, 1.1],
        [2388.06, 2318.92, 2323.98, 1915.34, 2222.98, 2211.90, 0.055, 2, 0.3, 1.1],
        [9057.0, 8780.0, 8724.0, 8010.0, 8350.0, 8322.0, 7.800, 2, 0.2, 1.2],
        [1.30, 1.26, 1.08, 0.94, 1.02, 1.02, 0.002, 2, 0.0, 0.0],
        [47.37, 45.32, 44.29, 36.66, 41.83, 42.00, 0.155, 2, 1.2, 0.2],
        [521.9, 371.8, 315.2, 164.9, 183.3, 130.8, 0.380, 2, -1.1, 1.0],
        [2388.06, 2388.12, 2388.12, 2028.25, 2388.07, 2387.98, 0.055, 2, 0.3, 1.1],
        [8138.0, 8131.0, 8061.0, 7874.0, 8067.0, 8084.0, 7.500, 2, 0.2, 1.1],
        [8.420, 8.642, 9.210, 10.888, 9.309, 9.352, 0.026, 4, 1.1, -0.9],
        [0.03, 0.03, 0.02, 0.02, 0.02, 0.02, 0.000, 2, 0.0, 0.0],
        [392.3, 368.8, 364.5, 306.5, 333.4, 330.2, 1.080, 0, 1.0, 0.2],
        [2388.0, 2319.0, 2324.0, 1915.0, 2223.0, 2212.0, 0.000, 0, 0.0, 0.0],
        [100.0, 100.0, 100.0, 84.93, 100.0, 100.0, 0.000, 2, 0.0, 0.0],
        [38.92, 28.60, 24.53, 14.33, 14.90, 10.65, 0.110, 2, -1.0, 0.9],
        [23.35, 17.16, 14.72, 8.60, 8.94, 6.39, 0.066, 4, -1.0, 0.9],
    ]
)
_LEVELS, _NOISE, _DECIMALS, _MODES = _SENSORS[:, :6].T, _SENSORS[:, 6], _SENSORS[:, 7].astype(int), _SENSORS[:, 8:].T

_LIFE = (130, 330)  # cycles to failure
_ONSET = (90.0, 200.0)  # cycles before failure when wear begins
_RATE = (1.5, 4.0)  # exponent of the growth: high ones stay hidden longer
_STRENGTH = (1.8, 4.0)  # shift at failure in noise units, of a sensor with weight 1
_OFFSET = 0.25  # sd of the manufacturing offset in noise units
_COMMON = 2  # unmeasured conditions that move all sensors of an engine together
_COMMON_SD = 0.8  # their sd in noise units
_COMMON_MEMORY = 0.95  # from one cycle to the next
_LOADING_SEED = 1  # how sensors answer to them is a property of the engine type, not of the sample's seed
_SHORTEST_TEST = 60  # cycles of a test engine that are seen at least


def generate(dataset: Dataset, into: Path) -> Path:
    """Write ``train_``, ``test_`` and ``RUL_<name>.txt`` into the folder ``into``, whole or not at all.

    The dataset's ``generator`` states train_units, test_units and seed; the same ones give the same bytes.

    Raises:
        CatalogError: the generator's size or seed is missing or out of range.
        StorageError: the folder cannot be written.
    """
    train_units, test_units, seed = _stated(dataset)
    if into.is_dir():
        return into
    random = np.random.default_rng(seed)
    train, _ = _engines(random, train_units, cut=False)
    test, left = _engines(random, test_units, cut=True)
    form = ["%d", "%d", "%.4f", "%.4f", "%.1f", *(f"%.{decimals}f" for decimals in _DECIMALS)]
    with told(into), work_folder(into.parent) as work:
        for name, rows in ((f"train_{dataset.name}.txt", train), (f"test_{dataset.name}.txt", test)):
            np.savetxt(work / name, rows, fmt=" ".join(form), newline="  \n")
        np.savetxt(work / f"RUL_{dataset.name}.txt", left, fmt="%d", newline=" \n")
        place_folder(work, into)
    return into


def _stated(dataset: Dataset) -> tuple[int, int, int]:
    known = {"train_units": (1, 10_000), "test_units": (1, 10_000), "seed": (0, 2**32 - 1)}
    wrong = [key for key, value in dataset.generator.items() if key not in known or not _within(value, known[key])]
    wrong += [key for key in known if key not in dataset.generator]
    if wrong:
        limits = ", ".join(f"{key} ({low} to {high})" for key, (low, high) in known.items())
        msg = f"dataset {dataset.name!r}: generator.{wrong[0]} is missing or unfit; state {limits}"
        raise CatalogError(msg)
    return dataset.generator["train_units"], dataset.generator["test_units"], dataset.generator["seed"]


def _within(value: int, limits: tuple[int, int]) -> bool:
    return limits[0] <= value <= limits[1]


def _engines(random: np.random.Generator, units: int, *, cut: bool) -> tuple[np.ndarray, np.ndarray]:
    """Rows (n_rows, 26) of engines up to failure or, if ``cut``, up to a random cycle, and the cycles left (units,)."""
    life = random.integers(_LIFE[0], _LIFE[1] + 1, units)
    left = np.zeros(units, dtype=np.int64)
    if cut:
        # half of the engines end within 35 cycles of failure, the others anywhere before
        early = random.integers(45, life - _SHORTEST_TEST + 1)
        left = np.where(random.random(units) < 0.5, random.integers(3, 36, units), early)
    seen = life - left
    unit = np.repeat(np.arange(units), seen)
    cycle = np.concatenate([np.arange(1, length + 1) for length in seen])
    wear = _wear(random, unit, life[unit] - cycle, units)

    regime = random.choice(len(_REGIMES), unit.size, p=_SHARES)
    flown = _REGIMES[regime]
    altitude = flown[:, 0] + random.uniform(-0.003, 0.008, unit.size) * (regime > 0)
    altitude += random.normal(0.0, 0.002, unit.size) * (regime == 0)
    mach = np.clip(flown[:, 1] + random.uniform(-0.0003, 0.0010, unit.size), -0.0006, None)

    offset = random.normal(0.0, _OFFSET, (units, len(_NOISE)))
    noise = random.normal(0.0, 1.0, (unit.size, len(_NOISE)))
    common = _common(random, unit, cycle)
    sensors = _LEVELS[regime] + _NOISE * (noise + offset[unit] + common + wear)
    return np.column_stack([unit + 1, cycle, altitude, mach, flown[:, 2], sensors]), left


def _common(random: np.random.Generator, unit: np.ndarray, cycle: np.ndarray) -> np.ndarray:
    """What unmeasured conditions add to each row's sensors, in noise units, (n_rows, 21).

    Each condition is a first-order autoregressive process of an engine; how a sensor answers to it is the same for all
    engines. A detector that learns these joint movements sees the wear beneath them.
    """
    loading = np.random.default_rng(_LOADING_SEED).normal(0.0, _COMMON_SD, (_COMMON, len(_NOISE)))
    steps = random.normal(0.0, 1.0, (unit.size, _COMMON))
    first = cycle == 1
    state = np.empty_like(steps)
    for row in range(unit.size):
        kept = 0.0 if first[row] else _COMMON_MEMORY * state[row - 1]
        state[row] = kept + steps[row] * (1.0 if first[row] else np.sqrt(1.0 - _COMMON_MEMORY**2))
    return state @ loading


def _wear(random: np.random.Generator, unit: np.ndarray, cycles_left: np.ndarray, units: int) -> np.ndarray:
    """The shift of each row's sensors by wear, in noise units, (n_rows, 21)."""
    onset = random.uniform(*_ONSET, units)[unit]
    rate = random.uniform(*_RATE, units)[unit]
    strength = random.uniform(*_STRENGTH, units)
    mode = random.integers(0, len(_MODES), units)
    weight = _MODES[mode] * random.uniform(0.75, 1.25, (units, len(_NOISE))) * strength[:, None]
    progress = np.clip(1.0 - cycles_left / onset, 0.0, 1.0)
    return (np.expm1(rate * progress) / np.expm1(rate))[:, None] * weight[unit]
