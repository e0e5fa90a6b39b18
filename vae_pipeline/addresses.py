"""Addresses as people may read them."""

import re

__all__ = ["shown"]

_USER = re.compile(r"(://[^\s:@]*):\S*@")
_QUERY = re.compile(r"([?&](?:password|passwd|pwd|token|secret)=)[^\s&]+", re.IGNORECASE)


def shown(text: str) -> str:
    """An address, or a text with some in it, without passwords: ``postgresql://user:***@host/mlflow``."""
    return _QUERY.sub(r"\1***", _USER.sub(r"\1:***@", text))
