"""The names of all statements by line; light, so that the graph is built without Great Expectations."""

from vae_pipeline.records import Line

__all__ = ["IMAGE", "SOUND", "TABLE", "statements_of"]

TABLE = (
    "columns_are_present",
    "rows_are_present",
    "columns_are_numeric",
    "keys_are_present",
    "keys_are_unique",
    "units_are_contiguous",
    "rows_are_complete",
    "values_are_finite",
    "sensors_vary",
    "units_are_long_enough",
    "cycles_are_consecutive",
    "time_increases",
    "values_are_in_range",
    "units_are_enough",
    "labels_are_binary",
    "counts_are_as_published",
)
SOUND = (
    "columns_are_present",
    "clips_are_present",
    "clips_are_readable",
    "clips_are_enough",
    "rates_agree",
    "channels_suffice",
    "values_are_finite",
    "clips_are_long_enough",
    "lengths_agree",
    "clipping_is_rare",
    "clips_are_loud_enough",
    "clips_are_distinct",
    "parts_are_apart",
    "labels_are_binary",
    "counts_are_as_published",
)
IMAGE = (
    "columns_are_present",
    "images_are_present",
    "images_are_readable",
    "images_are_enough",
    "images_are_large_enough",
    "sizes_agree",
    "modes_agree",
    "images_are_distinct",
    "parts_are_apart",
    "labels_are_binary",
    "training_images_are_normal",
    "good_and_defect_are_present",
    "masks_match",
    "defects_have_masks",
    "counts_are_as_published",
)
"""All statements a medium can be judged by; those that do not apply to a dataset are left out of its verdict."""

_LINES: dict[Line, tuple[str, ...]] = {
    "timeseries": tuple(dict.fromkeys((*TABLE, *SOUND))),
    "vision": IMAGE,
    "multimodal": (),
}


def statements_of(line: Line) -> tuple[str, ...]:
    """All statements any dataset of a line is judged by, each once."""
    return _LINES[line]
