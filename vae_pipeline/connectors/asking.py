"""One HTTP request whose failures are told in a sentence; secrets stay out of it."""

from typing import Any

from vae_pipeline.connectors.config import Secret
from vae_pipeline.errors import ConnectorError

__all__ = ["basic", "refused", "unreachable"]

_ADDRESS = "check 'url' of the connector"
_LATER = "try again later"
_ADVICE = {
    401: "check its user, password or token",
    403: "its user or token may not read this",
    408: _LATER,
    425: _LATER,
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
    advice = _ADVICE.get(response.status_code, _ADDRESS if response.status_code < 500 else _LATER)
    return ConnectorError(f"{place}: answers {response.status_code} {response.reason_phrase}{said}; {advice}")
