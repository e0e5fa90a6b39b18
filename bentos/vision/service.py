"""The Bento of the line vision; what it does stands in ``vae_pipeline/serving``."""

from pathlib import Path

import bentoml

from vae_pipeline.serving.app import line_app
from vae_pipeline.serving.bento import TokenRequired, opened, service_options

APP = line_app("vision")


@bentoml.asgi_app(APP)
@bentoml.service(name="vision", **service_options())
class Vision:
    """Pictures: scores, decisions, and why."""

    def __init__(self) -> None:
        self.server = opened("vision", APP, Path(__file__).with_name("models.txt"))

    @bentoml.on_shutdown
    def close(self) -> None:
        """Write what the prediction log holds."""
        self.server.close()


Vision.add_asgi_middleware(TokenRequired)
