"""Whatever is sent, by the service's own OpenAPI: never a fault of the service, always what the schema says."""

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

from vae_pipeline_tests.serving.packed import service

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
]


PACKED = {"timeseries": "packed_table", "vision": "packed_image", "multimodal": "packed_pair"}


@pytest.mark.parametrize("line", PACKED)
def test_every_answer_is_one_that_the_schema_names(line, request):
    with service(line, request.getfixturevalue(PACKED[line]), max_body=1_000_000) as client:
        schema = schemathesis.openapi.from_asgi("/openapi.json", client.app)
        for operation in schema.get_all_operations():
            asked = operation.ok()

            @settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
            @given(case=asked.as_strategy(generation_mode=GenerationMode.POSITIVE))
            def meant(case):
                case.call_and_validate(checks=CHECKS)

            @settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
            @given(case=asked.as_strategy(generation_mode=GenerationMode.NEGATIVE))
            def broken(case):
                case.call_and_validate(checks=CHECKS)

            meant()
            if list(asked.iter_parameters()):  # nothing can be wrong with what takes nothing
                broken()
