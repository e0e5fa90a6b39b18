"""Generate ``sample_machine_sound``: recordings of a fan, sound and faulty, in the layout and format of MIMII.

What is heard is a shaft whose speed wanders, its harmonics, the tone of the blades passing, hum of the motor, air, and
a factory around it that is louder in one clip than in the next and strikes metal now and then. Abnormal clips have one
of four faults: an imbalance (the shaft's first harmonics swell), a bearing (impacts that make the housing ring), a
rattle (bursts of noise, at random turns) or clogged blades (duller air, more hum). Strengths reach from hardly audible
to plain, and the level alone tells little: clips differ more by how far the microphone is away.
"""

from pathlib import Path

import numpy as np
import soundfile

from vae_pipeline.errors import CatalogError
from vae_pipeline.records import Dataset
from vae_pipeline.storage import place_folder, told, work_folder

__all__ = ["RATE", "VERSION", "generate"]

VERSION = 1
"""Counts up whenever the same seed gives other bytes."""

RATE = 16_000
"""Samples a second."""

_MACHINE = Path("fan") / "id_00"
_SHAFT = 24.3  # turns a second
_BLADES = 7
_RING = 3100.0  # Hz at which the housing answers to impacts
_DISTANCE = 1.5  # sd in dB of a clip's level
_FACTORY = 3.0  # sd in dB of the level around it
_FAULTS = ("imbalance", "bearing", "rattle", "clogging")
_STRENGTH = (0.25, 1.5)  # drawn evenly in the logarithm


def generate(dataset: Dataset, into: Path) -> Path:
    """Write ``fan/id_00/normal`` and ``abnormal`` into the folder ``into``, whole or not at all.

    Clips are numbered from ``00000000.wav``, 16 kHz, 16 bit, two channels, WAVE_FORMAT_EXTENSIBLE. The dataset's
    ``generator`` states normal and abnormal (clips), seconds and seed; the same ones give the same bytes, and more
    clips leave the first ones as they are.

    Raises:
        CatalogError: the generator's size or seed is missing or out of range.
        StorageError: the folder cannot be written.
    """
    normal, abnormal, seconds, seed = _stated(dataset)
    if into.is_dir():
        return into
    with told(into), work_folder(into.parent) as work:
        for label, (name, clips) in enumerate((("normal", normal), ("abnormal", abnormal))):
            folder = work / _MACHINE / name
            folder.mkdir(parents=True)
            for number in range(clips):
                random = np.random.default_rng([seed, label, number])
                fault = _FAULTS[number % len(_FAULTS)] if label else None
                samples = _clip(random, RATE * seconds, fault)
                # opened here, so that a full disk is the operating system's word and not libsndfile's
                with (folder / f"{number:08d}.wav").open("wb") as file:
                    soundfile.write(file, samples, RATE, subtype="PCM_16", format="WAVEX")
        place_folder(work, into)
    return into


def _stated(dataset: Dataset) -> tuple[int, int, int, int]:
    stated = dataset.generator
    known = {"normal": (1, 10_000), "abnormal": (1, 10_000), "seconds": (1, 600), "seed": (0, 2**32 - 1)}
    wrong = [key for key, value in stated.items() if key not in known or not known[key][0] <= value <= known[key][1]]
    wrong += [key for key in known if key not in stated]
    if wrong:
        limits = ", ".join(f"{key} ({low} to {high})" for key, (low, high) in known.items())
        msg = f"dataset {dataset.name!r}: generator.{wrong[0]} is missing or unfit; state {limits}"
        raise CatalogError(msg)
    return stated["normal"], stated["abnormal"], stated["seconds"], stated["seed"]


def _clip(random: np.random.Generator, size: int, fault: str | None) -> np.ndarray:
    """Both channels of a clip, shape (size, 2), 16 bit."""
    strength = float(np.exp(random.uniform(*np.log(_STRENGTH)))) if fault else 0.0
    force = {name: strength if name == fault else 0.0 for name in _FAULTS}
    turns = _turns(random, size)
    machine = _tones(random, turns, force["imbalance"], force["clogging"])
    machine += _air(random, size, force["clogging"])
    machine += _impacts(random, turns, force["bearing"])
    machine += _rattle(random, turns, force["rattle"])
    machine *= 10.0 ** (random.normal(0.0, _DISTANCE) / 20.0)
    factory = _factory(random, size)
    # the second microphone hears the machine later and softer, and the factory from elsewhere
    channels = [machine + factory, 0.7 * np.roll(machine, 9) + 0.9 * np.roll(factory, -5)]
    samples = 0.02 * np.stack(channels, axis=1) + random.normal(0.0, 2e-4, (size, 2))
    return np.round(np.clip(samples, -1.0, 1.0) * 32767.0).astype(np.int16)


def _turns(random: np.random.Generator, size: int) -> np.ndarray:
    """Turns of the shaft since the start at each sample, (size,): the speed differs by clip and wanders within it."""
    speed = _SHAFT * (1.0 + random.normal(0.0, 0.008) + 0.004 * _slow(random, size, 0.6))
    return random.random() + np.cumsum(speed) / RATE


def _tones(random: np.random.Generator, turns: np.ndarray, imbalance: float, clogging: float) -> np.ndarray:
    order = np.arange(1, 13)
    level = 0.30 / order**0.8 * np.exp(random.normal(0.0, 0.15, order.size))
    level[:3] *= 1.0 + imbalance * np.array([3.0, 1.5, 0.7])
    swell = 1.0 + min(0.6, 0.5 * imbalance) * _slow(random, turns.size, 1.5) / 2.0
    sound = np.zeros(turns.size)
    for number, height in zip(order, level, strict=True):
        wave = height * np.sin(2 * np.pi * (number * turns + random.random()))
        sound += wave * swell if number <= 3 else wave
    beat = 1.0 + 0.3 * np.sin(2 * np.pi * (turns + random.random()))
    for number, height in ((1, 0.35), (2, 0.15), (3, 0.07)):
        loud = height * np.exp(random.normal(0.0, 0.15)) * (1.0 - 0.3 * min(1.0, clogging))
        sound += loud * beat * np.sin(2 * np.pi * (number * _BLADES * turns + random.random()))
    clock = np.arange(turns.size) / RATE
    hum = 0.12 * np.exp(random.normal(0.0, 0.2)) * (1.0 + 1.2 * clogging)
    return sound + hum * np.sin(2 * np.pi * (100.0 * clock + random.random()))


def _air(random: np.random.Generator, size: int, clogging: float) -> np.ndarray:
    corner = 900.0 * np.exp(random.normal(0.0, 0.06) - 0.35 * clogging)
    return 0.55 * np.exp(random.normal(0.0, 0.06)) * _coloured(random, size, corner, 0.9)


def _impacts(random: np.random.Generator, turns: np.ndarray, strength: float) -> np.ndarray:
    """Rings of the housing, one whenever a ball passes the damage: 3.57 times a turn, hardly regular."""
    sound = np.zeros(turns.size)
    if not strength:
        return sound
    passed = np.flatnonzero(np.diff(np.floor(3.57 * turns)))
    passed = np.clip(passed + random.integers(-12, 13, passed.size), 0, turns.size - 1)
    sound[passed] = strength * 0.9 * np.exp(random.normal(0.0, 0.4, passed.size))
    clock = np.arange(320) / RATE
    ring = np.exp(-clock / 0.003) * np.sin(2 * np.pi * _RING * np.exp(random.normal(0.0, 0.05)) * clock)
    return np.convolve(sound, ring)[: turns.size]


def _rattle(random: np.random.Generator, turns: np.ndarray, strength: float) -> np.ndarray:
    """Bursts of noise around 2 kHz in about a third of the turns."""
    if not strength:
        return np.zeros(turns.size)
    turn = np.floor(turns).astype(int)
    loud = random.random(turn[-1] + 1)
    gate = np.where(loud < 0.35, 0.5 + loud, 0.0)[turn] * np.exp(-8.0 * (turns - turn))
    return strength * 0.9 * gate * _band(random, turns.size, 1400.0, 2800.0)


def _factory(random: np.random.Generator, size: int) -> np.ndarray:
    """Noise of a clip's own level that comes and goes, and metal struck once in some seconds."""
    level = 10.0 ** (random.normal(0.0, _FACTORY) / 20.0)
    colour = 500.0 * np.exp(random.normal(0.0, 0.25))
    sound = 0.4 * level * (1.0 + 0.25 * _slow(random, size, 0.8)) * _coloured(random, size, colour, 0.7)
    clock = np.arange(min(size, RATE // 2)) / RATE
    for start in random.integers(0, size, random.poisson(0.35 * size / RATE)):
        pitch, height = random.uniform(700.0, 4500.0), 0.5 * level * np.exp(random.normal(0.0, 0.5))
        ring = height * np.exp(-clock / random.uniform(0.02, 0.12)) * np.sin(2 * np.pi * pitch * clock)
        stop = min(size, start + ring.size)
        sound[start:stop] += ring[: stop - start]
    return sound


def _coloured(random: np.random.Generator, size: int, corner: float, steepness: float) -> np.ndarray:
    """Noise of standard deviation 1 whose amplitude falls above ``corner`` Hz with that power of the frequency."""
    frequency = np.fft.rfftfreq(size, 1.0 / RATE)
    return _shaped(random, size, (1.0 + (frequency / corner) ** 2) ** (-steepness / 2) * (frequency > 20.0))


def _band(random: np.random.Generator, size: int, low: float, high: float) -> np.ndarray:
    frequency = np.fft.rfftfreq(size, 1.0 / RATE)
    return _shaped(random, size, np.exp(-((2.0 * (frequency - (low + high) / 2) / (high - low)) ** 4)))


def _slow(random: np.random.Generator, size: int, fastest: float) -> np.ndarray:
    """A random curve of standard deviation 1, limited to ±2, that changes ``fastest`` times a second at most."""
    frequency = np.fft.rfftfreq(size, 1.0 / RATE)
    return np.clip(_shaped(random, size, (frequency > 0) * np.exp(-((frequency / fastest) ** 2))), -2.0, 2.0)


def _shaped(random: np.random.Generator, size: int, amplitude: np.ndarray) -> np.ndarray:
    """White noise with the given amplitude at each frequency, scaled to standard deviation 1."""
    spectrum = np.fft.rfft(random.standard_normal(size)) * amplitude
    sound = np.fft.irfft(spectrum, size)
    return sound / max(float(sound.std()), 1e-12)
