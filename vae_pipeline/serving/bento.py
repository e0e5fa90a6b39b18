"""What the three Bentos share: options, the token, and the models they carry."""

import hmac
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from vae_pipeline.logs import log_json
from vae_pipeline.records import Line
from vae_pipeline.serving import metrics
from vae_pipeline.serving.door import HEALTH, Door, InTime, served_paths
from vae_pipeline.serving.settings import load_service_settings
from vae_pipeline.settings import load_settings

if TYPE_CHECKING:
    from vae_pipeline.serving.model_server import ModelServer

__all__ = ["TokenRequired", "opened", "service_options"]

_BASE_IMAGE = "python:3.11-slim"
"""Where the bentofile names no other."""


def service_options() -> dict[str, Any]:
    """Arguments of ``@bentoml.service``, from the settings."""
    import bentoml

    settings = load_service_settings()
    # of no distribution that BentoML knows, since it would add compilers, which wheels do not need
    image = bentoml.images.Image(
        base_image=_BASE_IMAGE, distro="any", python_version="3.11", lock_python_packages=False
    )
    requirements = Path(__file__).parents[2] / "requirements.txt"
    if requirements.is_file():  # it lies there while a Bento is built
        image = image.python_packages(*requirements.read_text().replace("\\\n", "").splitlines())
    return {
        "image": image,
        "workers": settings.workers,
        "service_class": _behind_a_door(),
        "logging": {"access": {"enabled": False}},
        "tracing": {"excluded_urls": ".*"},  # it would record four spans a request and send none; ours are `traced`
    }


def _behind_a_door() -> type[Any]:
    """A service whose app stands behind a `Door`, whichever server it is given to.

    BentoML's own limits are not used: its limit of requests at once counts streams as well, both answer without the
    field, and neither is counted among the refusals.
    """
    import bentoml
    from bentoml._internal.server.http.traffic import TimeoutMiddleware

    class BehindADoor(bentoml.Service[Any]):
        def to_asgi(self, is_main: bool = True) -> Door:
            settings = load_service_settings()
            app = cast(Starlette, super().to_asgi(is_main))
            ours = Middleware(InTime, seconds=settings.timeout)  # where theirs stood: behind the metrics, which see 504
            app.user_middleware = [ours if kept.cls is TimeoutMiddleware else kept for kept in app.user_middleware]
            return Door(app, settings.concurrency, settings.max_streams, frozenset(served_paths(app.routes)))

    return BehindADoor


def opened(line: Line, app: FastAPI, beside: Path) -> "ModelServer":
    """The models of this process, where the app finds them.

    Args:
        line: of the service.
        app: of the service.
        beside: the file that lists the Bento's models.

    Raises:
        DetectorError: there are none, or one cannot be loaded.
    """
    from vae_pipeline.serving.model_server import ModelServer
    from vae_pipeline.serving.packed import packed_folders

    settings = load_service_settings()
    if load_settings().log_format == "json":
        for name in ("vae_pipeline", "bentoml", "uvicorn"):
            log_json(logging.getLogger(name), service=line)
    os.environ.setdefault("VAE_PIPELINE_THREADS", "1")  # of ONNX Runtime: batches at once use the other cores
    server = ModelServer(line, packed_folders(settings.models, beside), settings)
    app.state.server = server
    return server


class TokenRequired:
    """Refuses requests without the token, if there is one; health is told to everybody."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        secret = load_service_settings().secret
        self.expected = f"Bearer {secret}".encode() if secret else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if self.expected and scope["type"] in ("http", "websocket") and scope["path"] not in HEALTH:
            given = dict(scope["headers"]).get(b"authorization", b"")
            if not hmac.compare_digest(given, self.expected):
                if scope["type"] == "websocket":
                    await send({"type": "websocket.close", "code": 1008})
                    return
                metrics.REFUSALS.labels("401").inc()
                error = {"error": "Authorization: send the token as 'Bearer …'", "field": "Authorization"}
                await JSONResponse(error, 401, {"WWW-Authenticate": "Bearer"})(scope, receive, send)
                return
        await self.app(scope, receive, send)
