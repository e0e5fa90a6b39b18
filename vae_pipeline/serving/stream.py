"""Rows of sensors as they come, a score for each: the state of every unit is kept, within bounds.

A message is one row, ``{"unit": "pump 3", "time": 17, "row": {"sensor_2": 641.8, …}}``, or a list of rows; every row is
answered. Before a unit has a whole window its answers say how many rows are ``missing``. The threshold follows slow
changes of the unit's own level (`DynamicThreshold`), from the model's fixed one on; where there are too few calibration
scores for that, the fixed one stays. Of more units than are allowed, the one that has been silent longest is forgotten,
and begins anew if it comes back.
"""

import asyncio
import json
import logging
import time
from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Any

import numpy as np
from fastapi import WebSocket, WebSocketDisconnect

from vae_pipeline.errors import CalibrationError, VaePipelineError
from vae_pipeline.serving.batching import Chunk
from vae_pipeline.serving.model_server import ModelServer
from vae_pipeline.serving.refused import Refused
from vae_pipeline.serving.schemas import ROW, ROWS, StreamedRow, from_json
from vae_pipeline.serving.served import Samples
from vae_pipeline.serving.served_windows import ServedWindows

if TYPE_CHECKING:
    from vae_pipeline.calibration.thresholds.dynamic import DynamicThreshold

__all__ = ["stream"]

_LOGGER = logging.getLogger(__name__)

MOST_ROWS = 1_000
"""Rows of a message."""
LONGEST = 2**20
"""Characters of a message."""

_FIELDS = len(StreamedRow.model_fields)


class _Unit:
    """What is kept of a unit."""

    def __init__(self, rows: deque[np.ndarray], threshold: "DynamicThreshold | None") -> None:
        self.rows, self.threshold = rows, threshold


class _Units:
    """The units of one connection."""

    def __init__(self, served: ServedWindows) -> None:
        from vae_pipeline.calibration.thresholds.dynamic import DynamicThreshold

        description = served.detector.description
        self.served, self.inputs, self.length = served, description.inputs, description.window
        self._kept: OrderedDict[str, _Unit] = OrderedDict()
        self.fixed = description.threshold
        scores, rate = served.detector.reference["scores"], self.fixed.false_alarm_rate or 0.01
        self._begun: dict[str, Any] | None = None
        try:
            self._begun = DynamicThreshold.start(self.fixed, scores, false_alarm_rate=rate).to_dict()
        except CalibrationError:  # too few calibration scores to know their tail: the fixed threshold stays
            _LOGGER.info("%s: streams are decided by the fixed threshold", served.packed.name)

    def rows(self, name: str) -> deque[np.ndarray]:
        """A copy of the rows that are kept of a unit; empty if it was not there."""
        return self._kept[name].rows.copy() if name in self._kept else deque(maxlen=self.length)

    def keep(self, name: str, rows: deque[np.ndarray]) -> _Unit:
        """The unit of that name, new if it was not there, with these rows; it was the last to be heard."""
        if name not in self._kept:
            while len(self._kept) >= self.served.settings.max_units:
                self._kept.popitem(last=False)
            self._kept[name] = _Unit(rows, self._started())
        self._kept[name].rows = rows
        self._kept.move_to_end(name)
        return self._kept[name]

    def _started(self) -> "DynamicThreshold | None":
        from vae_pipeline.calibration.thresholds.dynamic import DynamicThreshold

        return DynamicThreshold.from_dict(self._begun) if self._begun else None

    def decided(self, unit: _Unit, score: float) -> tuple[float, bool]:
        """Threshold and decision on the next score of a unit."""
        return unit.threshold.update(score) if unit.threshold else (self.fixed.value, score > self.fixed.value)

    def reading(self, row: StreamedRow, last: np.ndarray | None) -> np.ndarray:
        """The row's inputs in order; what is missing is the unit's last value.

        Raises:
            Refused: an input is not there, or unknown, and there is no earlier value.
        """
        unknown = set(row.row) - set(self.inputs)
        if unknown:
            name = min(unknown)
            msg = f"row.{name[:100]}: is no input of {self.served.packed.name}; it reads {', '.join(self.inputs)}"
            raise Refused(422, msg, f"row.{name[:100]}")
        given = [row.row.get(name) for name in self.inputs]
        for place, value in enumerate(given):
            if value is None and last is None:
                msg = f"row.{self.inputs[place]}: is missing in the first row of {row.unit!r}; send it once at least"
                raise Refused(422, msg, f"row.{self.inputs[place]}")
        return np.array([last[place] if value is None else value for place, value in enumerate(given)])  # type: ignore[index]


async def stream(socket: WebSocket, server: ModelServer, model: str | None) -> None:
    """Answer rows until the other side hangs up; a message that cannot be used is answered and changes nothing."""
    await socket.accept()
    try:
        served = server.model(model)
        if not isinstance(served, ServedWindows):
            msg = f"model: {served.packed.name} reads recordings, which are no streams of rows; post them to /predict"
            raise Refused(422, msg, "model")
        units = await asyncio.to_thread(_Units, served)
    except (Refused, VaePipelineError) as error:
        await socket.send_text(json.dumps(_error(error)))
        await socket.close(1008)
        return
    while True:
        try:
            text = await socket.receive_text()
        except (WebSocketDisconnect, KeyError):
            return
        try:
            answer = await _answered(server, units, text)
        except (Refused, VaePipelineError) as error:
            answer = [_error(error)]
        await socket.send_text("\n".join(json.dumps(each) for each in answer))


def _error(error: Refused | VaePipelineError) -> dict[str, Any]:
    return {"error": str(error), "field": getattr(error, "field", None)}


async def _answered(server: ModelServer, units: _Units, text: str) -> list[dict[str, Any]]:
    start = time.perf_counter()
    if len(text) > LONGEST:
        msg = f"message: is longer than the {LONGEST:,} characters allowed; send fewer rows at once"
        raise Refused(413, msg, "message")
    content, names = text.encode(errors="replace"), MOST_ROWS * (len(units.inputs) + _FIELDS)
    many = text.lstrip().startswith("[")
    rows = from_json(ROWS, content, names=names) if many else [from_json(ROW, content, names=names)]
    if len(rows) > MOST_ROWS:
        msg = f"message: {len(rows):,} rows are more than the {MOST_ROWS:,} allowed; send fewer at once"
        raise Refused(413, msg, "message")
    if not rows:
        msg = "message: has no rows; send one at least"
        raise Refused(422, msg, "message")
    seen: dict[str, deque[np.ndarray]] = {}
    windows, whole, missing = [], [], []
    for place, row in enumerate(rows):
        kept = seen[row.unit] if row.unit in seen else units.rows(row.unit)
        kept.append(units.reading(row, kept[-1] if kept else None))
        seen[row.unit] = kept
        missing.append(units.length - len(kept))
        if not missing[-1]:
            windows.append(np.stack(kept, axis=1))
            whole.append(place)
    answers: list[dict[str, Any]] = [
        {"unit": row.unit, "time": row.time, "score": None, "missing": left}
        for row, left in zip(rows, missing, strict=True)
    ]
    samples, judged = None, None
    if windows:
        raw = np.stack(windows)
        scaled = units.served.detector.scaled_windows(raw).take(slice(None))
        names = [{"name": f"{rows[place].unit}, {rows[place].time}"} for place in whole]
        samples = Samples([Chunk(scaled, len(scaled))], names, raw.mean(axis=2))
        judged = await server.judged(units.served, samples)
    # kept only now: a message whose rows were not all read and scored can be sent again
    spoken = [units.keep(row.unit, seen[row.unit]) for row in rows]
    if samples is None or judged is None:
        return answers
    scores = judged.score.tolist()
    decided = [units.decided(spoken[place], score) for place, score in zip(whole, scores, strict=True)]
    thresholds, alarms = (np.array(each) for each in zip(*decided, strict=True))
    server.keep(units.served, samples, judged, alarms, thresholds, time.perf_counter() - start)
    for place, score, (threshold, alarm) in zip(whole, scores, decided, strict=True):
        answers[place] = {
            "unit": rows[place].unit,
            "time": rows[place].time,
            "score": score,
            "threshold": threshold,
            "alarm": alarm,
        }
    return answers
