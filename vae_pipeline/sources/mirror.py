"""A mirror: a folder, http(s):// or fsspec (s3://) address that holds archives under their catalogue paths."""

import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from vae_pipeline.errors import SettingError

__all__ = ["LISTING", "Mirror", "NotDeliveredError", "reason", "shown"]

LISTING = "SHA256SUMS"
_LINE = re.compile(r"^([0-9a-fA-F]{64})\s+\*?(?:\./)?(.+?)\s*$")
_TIMEOUT = (5, 60)  # seconds to connect, seconds between two chunks


class NotDeliveredError(Exception):
    """One address did not deliver; its text is the reason, listed beside those of the other addresses."""


class Mirror:
    """What ``VAE_PIPELINE_DATA_MIRROR`` names."""

    def __init__(self, address: str) -> None:
        """Use ``address``; nothing is read yet."""
        parts = urlsplit(address)
        self.address = address.rstrip("/") or "/"
        self.http = parts.scheme in ("http", "https")
        self.folder: Path | None = None
        if parts.scheme == "file":
            self.folder = Path(unquote(parts.path))
        elif "://" not in address:
            self.folder = Path(address).expanduser().resolve()

    def at(self, path: str) -> str:
        """The full address of a file on the mirror."""
        return str(self.folder / path) if self.folder else f"{self.address}/{path}"

    def listed(self, path: str) -> str | None:
        """The sha256 that the mirror's own ``SHA256SUMS`` states for ``path``; None where it states none.

        Raises:
            NotDeliveredError: the mirror cannot be reached.
        """
        for line in self._listing().splitlines():
            match = _LINE.match(line)
            if match and match[2] == path:
                return match[1].lower()
        return None

    def _listing(self) -> str:
        if self.folder:
            listing = self.folder / LISTING
            try:
                return listing.read_text() if listing.is_file() else ""
            except OSError as error:
                raise NotDeliveredError(reason(error)) from error
        if self.http:
            import requests

            try:
                answer = requests.get(self.at(LISTING), timeout=_TIMEOUT)
            except requests.RequestException as error:
                raise NotDeliveredError(reason(error)) from error
            # object stores answer 403 for a missing file that may not be listed
            return answer.text if answer.ok else ""
        source = self._remote(LISTING)
        try:
            return source.read_text() if source.exists() else ""
        except Exception as error:
            raise NotDeliveredError(reason(error)) from error

    def chunks(self, path: str) -> Iterator[bytes]:
        """The bytes of a file on an fsspec mirror.

        Raises:
            NotDeliveredError: the mirror does not have it or cannot be read.
        """
        source = self._remote(path)
        try:
            with source.open("rb") as file:
                while chunk := file.read(1 << 20):
                    yield chunk
        except Exception as error:  # every fsspec backend has its own exceptions
            raise NotDeliveredError(reason(error)) from error

    def _remote(self, path: str) -> Any:
        from upath import UPath

        try:
            return UPath(self.address) / path
        except (ValueError, ImportError) as error:
            msg = (
                f"VAE_PIPELINE_DATA_MIRROR={shown(self.address)!r} cannot be used: {error} "
                "(for s3:// install the extra 's3')"
            )
            raise SettingError(msg) from error


def shown(address: str) -> str:
    """The address without user name, password or query, fit for messages and records."""
    parts = urlsplit(address)
    if not parts.scheme or not parts.netloc:
        return address
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def reason(error: BaseException) -> str:
    """Why an address did not deliver, in a few words."""
    answer = getattr(error, "response", None)
    status = getattr(answer, "status_code", None)
    if status is not None:
        return f"HTTP {status}"
    if isinstance(error, FileNotFoundError):
        return "no such file"
    name = type(error).__name__
    if "Timeout" in name:
        return "timed out"
    # requests wraps urllib3, which wraps the operating system: the innermost one says what happened
    step: BaseException | None = error
    while step is not None:
        number = getattr(step, "errno", None)
        if isinstance(number, int):
            return (os.strerror(number) if number in errno.errorcode else str(step.args[-1])).lower()
        step = step.__cause__ or step.__context__
    text = " ".join(str(error).split())
    return f"{name}: {text[:200]}" if text else name
