"""The models of one service process: answers requests, batches samples, keeps the log."""

import asyncio
import datetime as dt
import logging
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from opentelemetry.trace import Span, SpanKind, get_current_span

from vae_pipeline.calibration.thresholds.threshold import Threshold
from vae_pipeline.detector.detector import Judged
from vae_pipeline.errors import DetectorError
from vae_pipeline.explanation.explanation import Explanation
from vae_pipeline.monitoring.prediction_log import Answered, PredictionLog
from vae_pipeline.monitoring.recent import FEWEST, Recent
from vae_pipeline.records import Line
from vae_pipeline.serving import metrics
from vae_pipeline.serving.asked import Asked
from vae_pipeline.serving.batching import Batcher
from vae_pipeline.serving.body import Body
from vae_pipeline.serving.refused import Refused
from vae_pipeline.serving.served import Samples, Served
from vae_pipeline.serving.settings import ServiceSettings
from vae_pipeline.serving.tracing import caller, open_tracer
from vae_pipeline.settings import load_settings
from vae_pipeline.storage import open_storage

__all__ = ["ModelServer"]

T = TypeVar("T")

_LOGGER = logging.getLogger(__name__)

SWITCH = 0.0005
"""Seconds a thread may keep the interpreter while others wait."""

SMALL = 32 * 1024
"""Bytes of a body of windows that is read at once; any other is read in a thread, so that others do not wait."""


class ModelServer:
    """Answers requests with the models of a line; one in each process.

    Attributes:
        models: by dataset.
        settings: the limits.
        log: where answers are kept; None where that is switched off.
    """

    def __init__(self, line: Line, folders: Sequence[Path], settings: ServiceSettings) -> None:
        """Load and warm the models.

        Raises:
            DetectorError: a folder holds none, one of another line, or one of a dataset that has one already.
        """
        # threads that read and write in Python let the event loop in sooner than after five milliseconds
        sys.setswitchinterval(SWITCH)
        found = [Served.open(folder, settings) for folder in folders]
        _require_own(line, found)
        self.line, self.settings = line, settings
        self.models = {served.packed.dataset: served for served in found}
        self._model = ThreadPoolExecutor(settings.threads, thread_name_prefix="model")
        self._reading = ThreadPoolExecutor(2, thread_name_prefix="reading")
        self._explaining = ThreadPoolExecutor(1, thread_name_prefix="explaining")
        self._explained = 0
        self._batchers = {
            name: Batcher(
                served.judged,
                self._model,
                most=min(settings.max_batch, served.LARGEST),
                lanes=settings.threads,
                limit=settings.waiting,
                observed=metrics.BATCHES.labels(*_labels(served)).observe,
            )
            for name, served in self.models.items()
        }
        self._recent = {name: Recent() for name in self.models}
        self.log = self._open_log()
        self._tracer = open_tracer(line, settings)
        for served in found:
            served.warm()

    def _open_log(self) -> PredictionLog | None:
        if self.settings.log == "off":
            return None
        log = PredictionLog(
            open_storage(load_settings()), self.line, every=self.settings.log_every, most=self.settings.log_rows
        )
        log.on_dropped = metrics.DROPPED.labels(self.line).inc
        log.on_failure = metrics.FAILURES.labels(self.line).inc
        return log

    def close(self) -> None:
        """Write what the log holds and stop."""
        for executor in (self._reading, self._model, self._explaining):
            executor.shutdown(wait=False, cancel_futures=True)
        if self.log:
            self.log.close()

    def model(self, name: str | None) -> Served[Any]:
        """The model of a dataset, also by its registered name; the only one where none is named.

        Raises:
            Refused: there is none of that name, or several and none was named.
        """
        names = ", ".join(sorted(self.models))
        if name is None:
            if len(self.models) == 1:
                return next(iter(self.models.values()))
            msg = f"model: this service carries {names}; say which with ?model="
            raise Refused(422, msg, "model")
        asked = name.removeprefix(f"{self.line}-")
        # of pairs the name has a plus, which stands for a blank in the query of an address
        served = self.models.get(asked) or self.models.get(asked.replace(" ", "+"))
        if served is None:
            msg = f"model: there is no {name[:100]!r} here; this service carries {names}"
            raise Refused(404, msg, "model")
        return served

    def traced(self, name: str, served: Served[Any], headers: Mapping[str, str]) -> AbstractContextManager[Span]:
        """A span of a request, beneath that of its caller if it has one."""
        return self._tracer.start_as_current_span(
            name, caller(headers), kind=SpanKind.SERVER, attributes={**self.about(served), "line": self.line}
        )

    async def predict(self, served: Served[Any], body: Body, asked: Asked, threshold: Threshold) -> dict[str, Any]:
        """The answer to a request.

        Raises:
            Refused, VaePipelineError: see `Served.samples` and `Batcher.judged`.
        """
        start = time.perf_counter()
        small = len(body.content) <= SMALL and body.content_type in served.AT_ONCE
        read = partial(served.samples, body, asked)
        with self._tracer.start_as_current_span("read"):
            samples = read() if small else await self._in_thread(self._reading, read)
        with self._tracer.start_as_current_span("score"):
            judged = await self.judged(served, samples)
        alarm = threshold.decide(judged.score)
        own, request = served.detector.description.threshold, uuid.uuid4().hex
        self._keep(served, request, samples, judged, alarm, threshold.value, time.perf_counter() - start)
        results = [
            {"score": score, "alarm": alarms, **name}
            for score, alarms, name in zip(judged.score.tolist(), alarm.tolist(), samples.names, strict=True)
        ]
        answer = {
            **self.about(served),
            "request": request,
            "threshold": threshold.value,
            "method": threshold.method,
            "results": results,
            "notes": [*samples.notes, *(() if threshold == own else threshold.warnings)],
        }
        seconds = time.perf_counter() - start
        metrics.LATENCY.labels(*_labels(served), "predict").observe(seconds)
        found = {"request": request, "samples": len(alarm), "alarms": int(alarm.sum())}
        get_current_span().set_attributes(found)
        _LOGGER.info("predicted", extra={**self.about(served), **found, "milliseconds": round(1000 * seconds, 2)})
        return answer

    async def judged(self, served: Served[Any], samples: Samples[Any]) -> Judged:
        """Scores and latents of samples, batched with those of other requests."""
        return await self._batchers[served.packed.dataset].judged(samples.chunks)

    async def explain(self, served: Served[Any], body: Body, asked: Asked) -> list[Explanation]:
        """Why samples have their scores, made apart from scores and one at a time, so that none is made in vain.

        Raises:
            Refused, VaePipelineError: see `Served.explained`; or explanations for too many requests are being made.
        """
        if self._explained >= self.settings.explaining:
            msg = f"explanations for {self._explained} requests are being made already; try again in a moment"
            raise Refused(503, msg)
        start, found = time.perf_counter(), []
        self._explained += 1
        try:
            made = served.explained(body, asked)
            while (each := await self._in_thread(self._explaining, partial(next, made, None))) is not None:
                found.append(each)
        finally:
            self._explained -= 1
        metrics.LATENCY.labels(*_labels(served), "explain").observe(time.perf_counter() - start)
        return found

    def drift(self, served: Served[Any]) -> dict[str, Any]:
        """What this process was asked beside the model's normal calibration samples."""
        recent, reference = self._recent[served.packed.dataset], served.detector.reference
        own = served.detector.description.threshold
        answer: dict[str, Any] = {
            **self.about(served),
            "samples": len(recent),
            "needed": FEWEST,
            "expected_alarms": own.false_alarm_rate,
            "reference_mean": float(reference["scores"].mean()),
        }
        if len(recent) < FEWEST:
            return answer
        compared = recent.compared(reference["scores"], reference.get("latents"))
        return answer | compared._asdict() | {"alarms": recent.alarms(own.value)}

    @staticmethod
    def about(served: Served[Any]) -> dict[str, Any]:
        """Which model answers."""
        packed = served.packed
        return {"model": packed.name, "version": packed.version, "data_version": packed.data_version}

    def keep(
        self,
        served: Served[Any],
        samples: Samples[Any],
        judged: Judged,
        alarm: np.ndarray,
        threshold: np.ndarray,
        seconds: float,
    ) -> None:
        """Log and count rows of a stream, whose decisions each have a threshold of their own, shape (n,)."""
        self._keep(served, uuid.uuid4().hex, samples, judged, alarm, threshold, seconds)
        metrics.LATENCY.labels(*_labels(served), "stream").observe(seconds)

    def _keep(
        self,
        served: Served[Any],
        request: str,
        samples: Samples[Any],
        judged: Judged,
        alarm: np.ndarray,
        threshold: np.ndarray | float,
        seconds: float,
    ) -> None:
        labels = _labels(served)
        count, alarms = len(alarm), int(alarm.sum())
        metrics.PREDICTIONS.labels(*labels, "true").inc(alarms)
        metrics.PREDICTIONS.labels(*labels, "false").inc(count - alarms)
        metrics.SCORES.labels(*labels).observe_all(judged.score)
        self._recent[served.packed.dataset].add(judged)
        if self.log:
            self.log.add(
                Answered(
                    dataset=served.packed.dataset,
                    version=served.packed.version,
                    request=request,
                    time=dt.datetime.now(dt.UTC),
                    seconds=seconds,
                    threshold=threshold,
                    names=[name["name"] for name in samples.names],
                    score=judged.score,
                    alarm=alarm,
                    inputs=samples.inputs,
                    latent=judged.latent,
                )
            )

    async def _in_thread(self, executor: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(executor, work)


def _require_own(line: Line, found: Sequence[Served[Any]]) -> None:
    seen: dict[str, Path] = {}
    for served in found:
        packed = served.packed
        if packed.line != line:
            msg = f"{served.folder}: {packed.name} is of the line {packed.line}; serve it with that line's service"
            raise DetectorError(msg)
        if packed.dataset in seen:
            msg = f"{served.folder}: {packed.name} lies in {seen[packed.dataset]} as well; name one of the two"
            raise DetectorError(msg)
        seen[packed.dataset] = served.folder


def _labels(served: Served[Any]) -> tuple[str, str]:
    return served.packed.name, str(served.packed.version)
