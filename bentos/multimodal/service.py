"""The Bento of the line multimodal; what it does stands in ``vae_pipeline/serving``."""

from pathlib import Path

import bentoml

from vae_pipeline.serving.app import line_app
from vae_pipeline.serving.bento import TokenRequired, opened, service_options

APP = line_app("multimodal")


@bentoml.asgi_app(APP)
@bentoml.service(name="multimodal", **service_options())
class Multimodal:
    """Pairs of a window and a picture: scores, decisions, and why."""

    def __init__(self) -> None:
        self.server = opened("multimodal", APP, Path(__file__).with_name("models.txt"))

    @bentoml.on_shutdown
    def close(self) -> None:
        """Write what the prediction log holds."""
        self.server.close()


Multimodal.add_asgi_middleware(TokenRequired)
