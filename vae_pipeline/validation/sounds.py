"""The suite of recordings: what is asked of each clip, how gravely, and how a failure is told."""

from typing import Any, ClassVar

import pandas as pd

from vae_pipeline.validation.files import Fault, FileSuite, both_parts, copies, given, numbers, odd_labels, told
from vae_pipeline.validation.suites import Part

__all__ = ["SoundSuite"]

CLIPPED_SOME = 0.01
CLIPPED_MUCH = 0.2
LENGTH_MARGIN = 0.1


class SoundSuite(FileSuite):
    """Clips of one machine or several; what cannot be read is told once and asked nothing else."""

    noun: ClassVar[str] = "clips"
    columns: ClassVar[tuple[str, ...]] = (
        "unit",
        "machine",
        "file",
        "label",
        "rate",
        "channels",
        "samples",
        "seconds",
        "peak",
        "level_db",
        "clipped_share",
        "silent",
        "broken_values",
        "sha256",
        "problem",
    )

    def faults(self, part: Part, table: pd.DataFrame) -> list[Fault]:
        """Where each clip fails."""
        channel = self.dataset.sound.channel
        lacking = self._lacking(table)
        usable = self.readable(table) & ~lacking
        faults = [
            Fault(
                "clips_are_readable", "critical", told(table, ~self.readable(table), lambda row: str(row["problem"]))
            ),
            Fault(
                "channels_suffice",
                "critical",
                told(
                    table,
                    lacking,
                    lambda row: (
                        f"{row['name']} has {int(row['channels'])} channel{'s' * (row['channels'] > 1)}, so none "
                        f"numbered {channel} counted from 0: record it with more or state another sound.channel"
                    ),
                ),
            ),
            *self._sampling(table, usable),
            *self._loudness(part, table, usable),
            *_copies(table),
            Fault("labels_are_binary", "critical", odd_labels(table)),
        ]
        if part == "test" and self.train is not None:
            faults.append(Fault("parts_are_apart", "critical", both_parts(self.train, table)))
        return faults

    def expected(self, statement: str, part: Part) -> str:  # noqa: ARG002
        """What a statement asks of clips."""
        sound, window = self.dataset.sound, self.dataset.window.length
        own = {
            "rates_agree": f"every clip has {sound.rate} samples a second, as sound.rate states",
            "channels_suffice": f"every clip has the channel {sound.channel}, counted from 0, that is used",
            "values_are_finite": "every sample of a clip is a finite number",
            "clips_are_long_enough": (
                f"every clip fills a window of {window} log-mel frames, one every {sound.hop} samples"
            ),
            "lengths_agree": f"no clip is {LENGTH_MARGIN:.0%} shorter or longer than the median training clip",
            "clipping_is_rare": (
                f"at most {CLIPPED_SOME:.0%} of a clip's samples are at full scale (warning), "
                f"at most {CLIPPED_MUCH:.0%} (critical)"
            ),
            "clips_are_loud_enough": "no clip is silent (warning), above all no normal one in training (critical)",
            "clips_are_distinct": "no clip is there twice (warning), nor both normal and abnormal (critical)",
            "parts_are_apart": "no clip of the training part is in the test part too",
        }
        return own.get(statement) or self.shared_text(statement)

    def readable(self, table: pd.DataFrame) -> pd.Series:
        """Whether a clip can be read; one of too few channels can, and is told as such."""
        return super().readable(table) | self._lacking(table)

    def _lacking(self, table: pd.DataFrame) -> pd.Series:
        return numbers(table, "channels") <= self.dataset.sound.channel

    def _sampling(self, table: pd.DataFrame, usable: pd.Series) -> list[Fault]:
        """Rate, values and length."""
        sound, window = self.dataset.sound, self.dataset.window.length
        frames = 1 + numbers(table, "samples") // sound.hop
        seconds = numbers(table, "seconds")
        train = table if self.train is None else self.train
        median = float(numbers(train, "seconds").where(~given(train, "problem")).dropna().median())
        short = usable & (frames < window)
        differs = usable & ~short & ((seconds - median).abs() > LENGTH_MARGIN * median)
        return [
            Fault(
                "rates_agree",
                "critical",
                told(
                    table,
                    usable & (numbers(table, "rate") != sound.rate),
                    lambda row: (
                        f"{row['name']} has {int(row['rate'])} samples a second where {sound.rate} are expected: "
                        f"resample it or state its rate as sound.rate"
                    ),
                ),
            ),
            Fault(
                "values_are_finite",
                "critical",
                told(
                    table,
                    usable & (numbers(table, "broken_values") > 0),
                    lambda row: (
                        f"{row['name']} holds {int(row['broken_values'])} values that are not finite numbers: "
                        f"repair it or remove it"
                    ),
                ),
            ),
            Fault(
                "clips_are_long_enough",
                "critical",
                told(
                    table,
                    short,
                    lambda row: (
                        f"{row['name']} lasts {row['seconds']:.3g} s, which is {1 + int(row['samples']) // sound.hop} "
                        f"frames where a window needs {window}: use longer clips or a smaller window.length"
                    ),
                ),
            ),
            Fault(
                "lengths_agree",
                "warning",
                told(
                    table,
                    differs,
                    lambda row: (
                        f"{row['name']} lasts {row['seconds']:.3g} s where the median training clip lasts "
                        f"{median:.3g} s: scores of clips of unlike length compare less well"
                    ),
                ),
            ),
        ]

    def _loudness(self, part: Part, table: pd.DataFrame, usable: pd.Series) -> list[Fault]:
        """Clipping and silence."""
        clipped = numbers(table, "clipped_share")
        silent = usable & table["silent"].fillna(False).astype(bool)
        # silence learnt as normal would let a machine that stands still pass
        taught = silent & (numbers(table, "label") != 1) & (part == "train")

        def clipping(row: dict[str, Any]) -> str:
            share = f"{row['clipped_share']:.1%} of its samples"
            return f"{row['name']} is at full scale in {share}: record it at a lower gain"

        return [
            Fault("clipping_is_rare", "warning", told(table, usable & (clipped > CLIPPED_SOME), clipping)),
            Fault("clipping_is_rare", "critical", told(table, usable & (clipped > CLIPPED_MUCH), clipping)),
            Fault(
                "clips_are_loud_enough",
                "warning",
                told(
                    table,
                    silent & ~taught,
                    lambda row: f"{row['name']} is silent (peak {row['peak']:.2g} of full scale): check its microphone",
                ),
            ),
            Fault(
                "clips_are_loud_enough",
                "critical",
                told(
                    table,
                    taught,
                    lambda row: (
                        f"{row['name']} is a normal training clip and silent (peak {row['peak']:.2g} of full scale): "
                        f"remove it, or silence is learnt as normal"
                    ),
                ),
            ),
        ]


def _copies(table: pd.DataFrame) -> list[Fault]:
    """Clips that are there twice, under one label or under both."""
    earlier, labels, names = copies(table), numbers(table, "label").fillna(0.0), table["name"]
    alike: list[str | None] = []
    contrary: list[str | None] = []
    for offset, other in enumerate(earlier):
        same = other is not None and labels[offset] == labels[other]
        alike.append(
            f"{names[offset]} is the same file as {names[other]}: remove one of them"
            if other is not None and same
            else None
        )
        contrary.append(
            f"{names[offset]} and {names[other]} are the same file, once normal and once abnormal: remove the wrong one"
            if other is not None and not same
            else None
        )
    return [Fault("clips_are_distinct", "warning", alike), Fault("clips_are_distinct", "critical", contrary)]
