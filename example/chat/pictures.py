"""Pictures that are sent along with a message: what is taken for one."""

from __future__ import annotations

import re
from typing import Any

from django.core.files import File

from chat import models

MAX_BYTES = 1_000_000

# What a file begins with says what it is; its name and what the sender calls it may lie.
# SVG is not among them: it is a document that can carry scripts.
_SIGNATURES = {
    "image/png": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "image/jpeg": re.compile(rb"\xff\xd8\xff"),
    "image/gif": re.compile(rb"GIF8[79]a"),
    "image/webp": re.compile(rb"RIFF.{4}WEBP", re.DOTALL),
}


class NoPictureError(Exception):
    """What was sent is not shown to others. The message says why."""


async def keep(file: File[Any]) -> models.Picture:
    """Keep what was uploaded, if it is a picture of a decent size.

    Raises:
        NoPictureError: it is none.
    """
    if file.size > MAX_BYTES:
        raise NoPictureError("A picture has at most one megabyte.")
    # Django keeps a file of this size in memory: reading it does not block.
    content = file.read()
    content_type = next(
        (name for name, begins in _SIGNATURES.items() if begins.match(content)), None
    )
    if content_type is None:
        raise NoPictureError("A picture is a PNG, JPEG, GIF or WebP file.")
    return await models.Picture.objects.acreate(content=content, content_type=content_type)
