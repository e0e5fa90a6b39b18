"""The service of a line over HTTP: one app for each, mounted into its Bento."""

import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import FastAPI, Query, Request, Response, WebSocket
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from vae_pipeline.detector.packed import EXAMPLE
from vae_pipeline.errors import VaePipelineError
from vae_pipeline.records import Line
from vae_pipeline.serving import metrics
from vae_pipeline.serving.answers import DriftAnswer, ErrorAnswer, ExplainAnswer, ModelsAnswer, PredictAnswer
from vae_pipeline.serving.asked import Asked
from vae_pipeline.serving.documented import request_body
from vae_pipeline.serving.reading import read_body
from vae_pipeline.serving.refused import Refused

if TYPE_CHECKING:
    from vae_pipeline.serving.model_server import ModelServer

__all__ = ["line_app"]

_LOGGER = logging.getLogger(__name__)
_REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorAnswer, "description": text}
    for status, text in {
        400: "the request is malformed",
        401: "the token is missing or wrong",
        404: "there is no model of that name",
        413: "more than is allowed",
        415: "a content type the model does not read",
        422: "the content cannot be used; the field is named",
        429: "too many requests at once",
        503: "too many samples wait, or too many requests are being explained",
        504: "not answered in time",
    }.items()
}

Model = Annotated[str | None, Query(max_length=200, description="dataset or registered name; may be left out if alone")]
Gaps = Annotated[bool, Query(description="missing readings take the last known value of their unit")]


def line_app(line: Line) -> FastAPI:
    """The app of a line; ``app.state.server`` is its `ModelServer`, set before the first request."""
    app = FastAPI(title=f"{line} anomaly detectors", docs_url=None, redoc_url=None, openapi_url="/openapi.json")
    _add_handlers(app)

    def server() -> "ModelServer":
        return app.state.server

    @app.post(
        "/predict", response_model=PredictAnswer, responses=_REFUSALS, openapi_extra=request_body(line), tags=["models"]
    )
    async def predict(
        request: Request,
        model: Model = None,
        threshold: Annotated[float | None, Query(allow_inf_nan=False, description="instead of the model's")] = None,
        false_alarm_rate: Annotated[
            float | None,
            Query(ge=1e-6, le=0.5, description="conformal threshold of this rate, instead of the model's"),
        ] = None,
        gaps: Gaps = False,
    ) -> Response:
        """Scores and decisions, one or many."""
        served = server().model(model)
        cut = served.threshold(threshold, false_alarm_rate)
        with server().traced("predict", served, request.headers):
            body = await read_body(request, served.settings)
            answer = await server().predict(served, body, Asked(gaps=gaps), cut)
        return Response(json.dumps(answer, allow_nan=False), media_type="application/json")

    @app.post(
        "/explain", response_model=ExplainAnswer, responses=_REFUSALS, openapi_extra=request_body(line), tags=["models"]
    )
    async def explain(
        request: Request,
        model: Model = None,
        row: Annotated[
            int | None, Query(ge=1, le=10**9, description="of a table, from 1: where the window ends")
        ] = None,
        top: Annotated[int, Query(ge=1, le=100, description="how many: of a table the highest scores")] = 1,
        gaps: Gaps = False,
    ) -> Response:
        """Why samples have their scores."""
        served = server().model(model)
        with server().traced("explain", served, request.headers):
            body = await read_body(request, served.settings)
            found = await server().explain(served, body, Asked(gaps=gaps, row=row, top=top))
        answer = ExplainAnswer(**server().about(served), explanations=found)
        return Response(answer.model_dump_json(), media_type="application/json")

    @app.get("/models", responses=_REFUSALS, tags=["models"])
    async def models() -> ModelsAnswer:
        """Name, version, data version, figures and age of every model."""
        return ModelsAnswer(models=[served.packed for served in server().models.values()])

    @app.get("/drift", responses=_REFUSALS, tags=["models"])
    def drift(model: Model = None) -> DriftAnswer:
        """What this process was asked beside the model's normal calibration samples."""
        return DriftAnswer(**server().drift(server().model(model)))

    @app.get(
        "/example",
        responses={**_REFUSALS, 200: {"content": {"*/*": {}}, "description": "the body, in the content type it is in"}},
        response_class=Response,
        tags=["models"],
    )
    def example(model: Model = None) -> Response:
        """A body to try; the scores of evaluation stand in the header Expected-Scores."""
        served = server().model(model)
        kept = served.packed.example
        if kept is None:
            msg = f"model: {served.packed.name} was packed without an example"
            raise Refused(404, msg, "model")
        scores = ",".join(f"{score!r}" for score in kept.scores)
        content = (served.folder / EXAMPLE / kept.file).read_bytes()
        return Response(content, media_type=kept.content_type, headers={"Expected-Scores": scores})

    if line == "timeseries":

        @app.websocket("/stream")
        async def stream_rows(socket: WebSocket, model: str | None = None) -> None:
            from vae_pipeline.serving.stream import stream

            await stream(socket, server(), model)

    return app


def _add_handlers(app: FastAPI) -> None:
    def answered(
        status: int, message: str, field: str | None = None, headers: Mapping[str, str] | None = None
    ) -> JSONResponse:
        metrics.REFUSALS.labels(str(status)).inc()
        again = {"Retry-After": "1"} if status in (429, 503) else {}
        return JSONResponse({"error": message, "field": field}, status, {**(headers or {}), **again})

    handlers: dict[type[Exception], Callable[[Request, Any], Awaitable[Response]]] = {}

    async def refused(_: Request, error: Refused) -> Response:
        return answered(error.status, error.message, error.field)

    async def unfit(_: Request, error: VaePipelineError) -> Response:
        return answered(422, str(error))

    async def invalid(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        field = str(first["loc"][-1])
        return answered(422, f"{field}: {first['msg']}", field)

    async def http(_: Request, error: HTTPException) -> Response:
        return answered(error.status_code, str(error.detail), headers=error.headers)

    async def failed(request: Request, error: Exception) -> Response:
        _LOGGER.error("%s %s failed", request.method, request.url.path, exc_info=error)
        return answered(500, "the service failed; its log says why")

    handlers |= {Refused: refused, VaePipelineError: unfit, RequestValidationError: invalid}
    handlers |= {HTTPException: http, Exception: failed}
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)
