"""Sources of metrics that are read beside the scrape: what is slow or dead holds up neither it nor the others."""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from vae_pipeline.errors import VaePipelineError

__all__ = ["PipelineCollector", "Source"]

_LOGGER = logging.getLogger(__name__)


class Source:
    """One place that metrics are read from, at most every ``keep`` seconds, by a thread of its own."""

    def __init__(self, name: str, read: Callable[[], Iterable[Metric]], *, keep: float = 30.0) -> None:
        """Nothing is read before the first `refresh`.

        Args:
            name: the label ``source``.
            read: gives the metrics; may take long and may raise.
            keep: seconds that what was read is kept.
        """
        self.name, self._read, self._keep = name, read, keep
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._metrics: Sequence[Metric] = ()
        self._well = False
        self._began = self._ended = float("-inf")  # monotonic
        self._seconds = 0.0
        self._told = ""

    def refresh(self) -> None:
        """Begin to read where what was read is old and no reading goes on."""
        with self._lock:
            going = self._thread is not None and self._thread.is_alive()
            if not going and time.monotonic() - self._ended >= self._keep:
                self._began = time.monotonic()
                self._thread = threading.Thread(target=self._run, name=f"metrics-{self.name}", daemon=True)
                self._thread.start()

    def metrics(self, until: float) -> tuple[Sequence[Metric], bool, float]:
        """What was read last, whether the source answers, and the seconds that reading took.

        A reading that goes on is waited for until ``until`` (monotonic); then the source counts as not answering, and
        what was read before it is given.
        """
        thread = self._thread
        if thread is not None:
            thread.join(max(0.0, until - time.monotonic()))
        with self._lock:
            if thread is not None and thread.is_alive():
                return self._metrics, False, time.monotonic() - self._began
            return self._metrics, self._well, self._seconds

    def _run(self) -> None:
        found: Sequence[Metric] = ()
        said = ""
        try:
            found = list(self._read())
        except Exception as error:  # whatever it is, the other sources are scraped
            said = " ".join(str(error).split()) or type(error).__name__
            known = isinstance(error, VaePipelineError)
            if said != self._told:
                _LOGGER.warning("no metrics of %s: %s", self.name, said, exc_info=not known)
        with self._lock:
            self._metrics, self._well, self._told = found, not said, said
            self._ended = time.monotonic()
            self._seconds = self._ended - self._began


class PipelineCollector(Collector):
    """All sources as one collector; a scrape waits for them together, ``wait`` seconds at the most."""

    def __init__(self, sources: Sequence[Source], *, wait: float = 3.0) -> None:
        self.sources, self.wait = sources, wait

    def describe(self) -> list[Metric]:
        """None: registering a collector reads nothing."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Metrics of all sources, and of each whether it answers."""
        up = GaugeMetricFamily("vae_pipeline_up", "Whether a source of metrics answers", labels=["source"])
        took = GaugeMetricFamily(
            "vae_pipeline_read_seconds", "What the last reading of a source took", labels=["source"], unit="seconds"
        )
        until = time.monotonic() + self.wait
        for source in self.sources:
            source.refresh()
        for source in self.sources:
            found, well, seconds = source.metrics(until)
            yield from found
            up.add_metric([source.name], float(well))
            took.add_metric([source.name], seconds)
        yield up
        yield took
