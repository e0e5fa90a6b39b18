"""The body of a request as it came."""

from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["CSV", "IMAGES", "JSON", "MULTIPART", "NPY", "PARQUET", "WAVS", "Body"]

JSON = "application/json"
CSV = "text/csv"
PARQUET = "application/vnd.apache.parquet"
NPY = "application/x-npy"
MULTIPART = "multipart/form-data"
IMAGES = ("image/png", "image/jpeg")
WAVS = ("audio/wav", "audio/x-wav")


class Body(NamedTuple):
    """What came: bytes of one content type, or several files of a form.

    Attributes:
        content_type: without parameters, in lower case.
        content: of anything but a form.
        files: fields of a form in order, each with its name, the file's name and its content.
    """

    content_type: str
    content: bytes
    files: Sequence[tuple[str, str, bytes]] = ()

    def named(self, kind: str) -> list[tuple[str, bytes]]:
        """The files of a form, or the content as the only one, called ``kind``."""
        if self.content_type == MULTIPART:
            return [(name or field, content) for field, name, content in self.files]
        return [(kind, self.content)]
