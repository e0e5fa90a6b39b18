"""Traces of what a service does, by OpenTelemetry, sent to a collector if one is set."""

from collections.abc import Mapping

from opentelemetry.trace import NoOpTracer, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from vae_pipeline.serving.settings import ServiceSettings

__all__ = ["caller", "open_tracer"]


def open_tracer(line: str, settings: ServiceSettings) -> Tracer:
    """What makes spans of a service; they cost and lead nowhere where no collector is set.

    Spans are sent by a thread, in batches; a collector that does not answer loses spans and holds up no request.
    A request that comes with a trace of its own is traced as the caller decided, of others the stated share.
    """
    if settings.traces is None:
        return NoOpTracer()
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio

    provider = TracerProvider(
        resource=Resource.create({"service.name": f"vae-pipeline-{line}"}),
        sampler=ParentBasedTraceIdRatio(settings.traces_share),
    )
    exporter = OTLPSpanExporter(endpoint=f"{settings.traces.rstrip('/')}/v1/traces", timeout=5)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider.get_tracer("vae_pipeline")


def caller(headers: Mapping[str, str]):  # noqa: ANN201 - a Context, whose class is private to OpenTelemetry's API
    """The trace that a request belongs to, from its header ``traceparent`` (W3C Trace Context)."""
    return TraceContextTextMapPropagator().extract(dict(headers))
