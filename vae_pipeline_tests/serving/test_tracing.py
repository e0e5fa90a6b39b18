"""What a service tells a collector and its log of a request."""

import asyncio
import json
import logging

import numpy as np
import pytest
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.trace import get_current_span

from vae_pipeline.logs import JsonLines
from vae_pipeline.serving.bento import service_options
from vae_pipeline_tests.connectors.servers import Answers
from vae_pipeline_tests.serving.packed import service

TRACE = "0af7651916cd43dd8448eb211c80319c"
JSON = {"content-type": "application/json"}


class Collector(Answers):
    """An OTLP receiver in a thread: what came to it, span by span."""

    def __init__(self):
        super().__init__(lambda *_: (200, {}, b""))
        self.spans = []
        outer = self

        def do_POST(handler):  # noqa: N802
            body = handler.rfile.read(int(handler.headers["Content-Length"]))
            if handler.headers.get("Content-Encoding") == "gzip":
                import gzip

                body = gzip.decompress(body)
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                outer.spans += [span for scope in resource.scope_spans for span in scope.spans]
            handler.send_response(200)
            handler.end_headers()

        self.server.RequestHandlerClass.do_POST = do_POST


@pytest.fixture
def collector():
    started = Collector()
    yield started
    started.stop()


def asked(client, packed_table, **headers):
    scaler = packed_table.detector.scaler
    windows = scaler.mean[0][:, None] + scaler.sd[0][:, None] * np.random.default_rng(0).normal(size=(3, 4, 20))
    body = json.dumps({"windows": windows.tolist()})
    return client.post("/predict", content=body, headers={**JSON, **headers})


def told(client, collector):
    """The spans by name; the thread that sends them is asked to do so now."""
    client.app.state.server._tracer.span_processor.force_flush()
    return {span.name: span for span in collector.spans}


def test_a_request_is_traced_with_its_model_beneath_its_caller(collector, packed_table):
    with service("timeseries", packed_table, traces=collector.url) as client:
        answer = asked(client, packed_table, traceparent=f"00-{TRACE}-b7ad6b7169203331-01").json()
        spans = told(client, collector)
    assert set(spans) == {"predict", "read", "score"}
    assert {span.trace_id.hex() for span in spans.values()} == {TRACE}
    assert spans["predict"].parent_span_id.hex() == "b7ad6b7169203331"
    assert spans["score"].parent_span_id == spans["predict"].span_id
    found = {item.key: item.value for item in spans["predict"].attributes}
    assert found["model"].string_value == answer["model"]
    assert found["version"].int_value == answer["version"]
    assert found["samples"].int_value == 3


def test_of_requests_without_a_trace_the_stated_share_is_traced(collector, packed_table):
    with service("timeseries", packed_table, traces=collector.url, traces_share=0.0) as client:
        assert asked(client, packed_table).status_code == 200
        assert told(client, collector) == {}


def test_a_collector_that_is_not_there_holds_up_no_request(collector, packed_table):
    collector.stop()
    with service("timeseries", packed_table, traces=collector.url) as client:
        assert [asked(client, packed_table).status_code for _ in range(5)] == [200] * 5


def test_the_log_of_a_request_names_model_version_and_request(packed_table, caplog):
    with service("timeseries", packed_table) as client, caplog.at_level(logging.INFO, "vae_pipeline"):
        answer = asked(client, packed_table).json()
    (record,) = [record for record in caplog.records if record.getMessage() == "predicted"]
    line = json.loads(JsonLines(service="timeseries").format(record))
    for name in ("model", "version", "data_version", "request"):
        assert line[name] == answer[name]
    assert (line["service"], line["samples"], line["level"]) == ("timeseries", 3, "info")


def test_bentoml_records_no_spans_of_its_own():
    import bentoml

    recorded = []

    async def app(_scope, _receive, _send):
        recorded.append(get_current_span().is_recording())

    class Bare:
        pass

    door = bentoml.service(name="bare", **service_options())(Bare).to_asgi()
    (theirs,) = [each for each in door.app.user_middleware if each.cls is OpenTelemetryMiddleware]
    asyncio.run(theirs.cls(app, **theirs.kwargs)({"type": "http", "path": "/predict", "headers": []}, None, None))
    assert recorded == [False]
