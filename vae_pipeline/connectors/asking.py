"""One HTTP request whose failures are told in a sentence; secrets stay out of it."""

from typing import Any

from vae_pipeline.connectors.config import Secret
from vae_pipeline.errors import ConnectorError

__all__ = ["basic", "refused", "unreachable"]

_ADVICE = {
    401: "check its user, password or token",
    403: "its user or token may not read this",
    404: "check 'url' of the connector",
    429: "it asks for fewer requests: raise 'every'",
}


def basic(username: str | None, password: Secret | None) -> tuple[str, str] | None:
    """User and password as httpx takes them."""
    if username is None:
        return None
    return username, "" if password is None else password.read()


def unreachable(place: str, error: Exception) -> ConnectorError:
    """That nothing answers at a place."""
    reason = " ".join(str(error).split()) or type(error).__name__
    return ConnectorError(f"{place}: does not answer ({reason}); check 'url' of the connector and the network")


def refused(place: str, response: Any, text: str = "") -> ConnectorError:
    """That an answer has another status than 200."""
    said = f": {' '.join(text.split())[:200]}" if text else ""
    advice = _ADVICE.get(response.status_code, "try again later")
    return ConnectorError(f"{place}: answers {response.status_code} {response.reason_phrase}{said}; {advice}")
