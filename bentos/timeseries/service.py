"""The Bento of the line timeseries; what it does stands in ``vae_pipeline/serving``."""

from pathlib import Path

import bentoml

from vae_pipeline.serving.app import line_app
from vae_pipeline.serving.bento import TokenRequired, opened, service_options

APP = line_app("timeseries")


@bentoml.asgi_app(APP)
@bentoml.service(name="timeseries", **service_options())
class Timeseries:
    """Windows, tables and recordings: scores, decisions, and why."""

    def __init__(self) -> None:
        self.server = opened("timeseries", APP, Path(__file__).with_name("models.txt"))

    @bentoml.on_shutdown
    def close(self) -> None:
        """Write what the prediction log holds."""
        self.server.close()


Timeseries.add_asgi_middleware(TokenRequired)
