"""Records as launchpad forms: every field optional, the catalogue's value where left out."""

from typing import Any, Optional, TypeVar, get_args, get_origin

import dagster as dg
from pydantic import Field, create_model

from vae_pipeline.errors import SettingError
from vae_pipeline.records import CALIBRATIONS, TRAININGS, Beginning, Explaining, Line, Record

__all__ = ["ExplanationConfig", "calibration_config", "overridden", "training_config"]


R = TypeVar("R", bound=Record)


def _form(name: str, *records: type[Record]) -> type[dg.Config]:
    fields: dict[str, Any] = {}
    for field, about in (item for record in records for item in record.model_fields.items()):
        default = about.get_default()
        note = (
            f"{about.description or field.replace('_', ' ')}; the catalogue's value when left out (usually {default})"
        )
        fields[field] = (Optional[_launchpad_type(about.annotation)], Field(default=None, description=note))  # noqa: UP045
    return create_model(name, __base__=dg.Config, __doc__=f"{records[0].__doc__}", **fields)


def _launchpad_type(annotation: Any) -> Any:
    """Dagster's forms know int, float, str, bool and lists of them; the record validates the rest."""
    options = [option for option in get_args(annotation) if option is not type(None)]
    if get_origin(annotation) is tuple:
        return list[_launchpad_type(options[0])]
    if annotation in (int, float, str, bool):
        return annotation
    if options and all(isinstance(option, str) for option in options):
        return str
    return _launchpad_type(options[0])


_TRAINING = {line: _form("TrainingConfig", record, Beginning) for line, record in TRAININGS.items()}
ExplanationConfig = _form("ExplanationConfig", Explaining)
_CALIBRATION = {line: _form("CalibrationConfig", record) for line, record in CALIBRATIONS.items()}


def training_config(line: Line) -> type[dg.Config]:
    """The form of a line's training parameters."""
    return _TRAINING[line]


def calibration_config(line: Line) -> type[dg.Config]:
    """The form of a line's calibration settings."""
    return _CALIBRATION[line]


def overridden(record: R, config: dg.Config) -> R:
    """The record with the fields that the launchpad sets.

    Raises:
        SettingError: a value is not allowed; the message names the field.
    """
    from pydantic import ValidationError

    known = type(record).model_fields
    given = {name: value for name, value in config.model_dump().items() if value is not None and name in known}
    try:
        return type(record).model_validate({**record.model_dump(), **given})
    except ValidationError as error:
        first = error.errors()[0]
        msg = f"config {'.'.join(str(item) for item in first['loc'])}: {first['msg']} (got {first.get('input')!r})"
        raise SettingError(msg) from error
