"""A request's body off the wire, within limits."""

from fastapi import Request
from python_multipart.multipart import parse_options_header
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException

from vae_pipeline.serving.body import MULTIPART, Body
from vae_pipeline.serving.refused import Refused
from vae_pipeline.serving.settings import ServiceSettings

__all__ = ["read_body"]


async def read_body(request: Request, settings: ServiceSettings) -> Body:
    """The body of a request.

    Raises:
        Refused: it is empty, larger than allowed, compressed, or a form that cannot be read.
    """
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    encoding = request.headers.get("content-encoding", "identity").lower()
    if encoding != "identity":
        msg = f"Content-Encoding: {encoding[:40]} is not read; send the body as it is"
        raise Refused(415, msg, "Content-Encoding")
    stated = request.headers.get("content-length", "")
    if stated.isdecimal() and int(stated[:20]) > settings.max_body:  # of absurdly many digits some are enough
        raise _too_large(settings.max_body)
    # what is sent without a length is counted as it comes
    content = bytearray()
    async for part in request.stream():
        content += part
        if len(content) > settings.max_body:
            raise _too_large(settings.max_body)
    if not content:
        msg = "body: is empty; send what is to be scored"
        raise Refused(422, msg, "body")
    if content_type != MULTIPART:
        return Body(content_type, bytes(content))
    return await _form(request, bytes(content), settings)


def _too_large(most: int) -> Refused:
    return Refused(413, f"body: is larger than the {most:,} bytes allowed; send fewer samples at once", "body")


async def _form(request: Request, content: bytes, settings: ServiceSettings) -> Body:
    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": content, "more_body": False}

    again = Request(request.scope, receive)
    try:
        async with again.form(max_files=settings.max_files, max_fields=settings.max_files) as form:
            files = []
            for field, value in form.multi_items():
                if isinstance(value, UploadFile):
                    name = value.filename or ""
                    name.encode()  # a charset of the sender's may make what is no text
                    files.append((field, name, await value.read()))
                else:
                    files.append((field, "", value.encode()))
    except (MultiPartException, HTTPException, UnicodeError) as error:
        text = getattr(error, "message", None) or getattr(error, "detail", "") or str(error)
        msg = f"form: cannot be read ({text}); send multipart/form-data with one part a file"
        raise Refused(400, msg, "form") from error
    _, options = parse_options_header(request.headers["content-type"])
    if b"--" + options[b"boundary"] + b"--" not in content:  # its last part would be left out without a word
        msg = "form: breaks off; send it again, to its closing boundary"
        raise Refused(400, msg, "form")
    return Body(MULTIPART, b"", files)
