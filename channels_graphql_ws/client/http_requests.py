"""What is sent over HTTP: JSON, query parameters, uploads and batches."""

from __future__ import annotations

import contextlib
import io
import mimetypes
from collections.abc import Generator, Mapping, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final

from channels_graphql_ws.client.variables import FileUpload
from channels_graphql_ws.json_text import dumps

if TYPE_CHECKING:
    import aiohttp

RESULT_TYPES: Final = "application/graphql-response+json, application/json;q=0.9"
EVENT_STREAM: Final = "text/event-stream"

# Servers that guard against forged requests (Apollo, Yoga) want one of these with a form,
# since a browser asks before it sends them across sites.
_PREFLIGHT: Final = {"Apollo-Require-Preflight": "true", "GraphQL-Preflight": "1"}


def accepted(kind: str) -> str:
    """Return what answers are accepted for an operation of a kind."""
    match kind:
        case "subscription":
            return EVENT_STREAM
        case "operation":  # Only the server knows.
            return f"{RESULT_TYPES}, {EVENT_STREAM};q=0.8"
        case _:
            return RESULT_TYPES


def json_body(body: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the arguments of a request that sends JSON."""
    return {"data": dumps(body).encode(), "headers": {"Content-Type": "application/json"}}


def query_parameters(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a GET (GraphQL over HTTP, GET)."""
    texts = {
        name: value if isinstance(value, str) else dumps(value) for name, value in payload.items()
    }
    return {"params": texts, "headers": {}}


def upload(payload: Mapping[str, Any], files: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of an upload (GraphQL multipart request specification)."""
    import aiohttp  # noqa: PLC0415 (a program without HTTP need not load it)

    form = aiohttp.FormData(quote_fields=False)
    form.add_field("operations", dumps(payload), content_type="application/json")
    form.add_field("map", dumps({str(n): [path] for n, path in enumerate(files)}))
    for number, file in enumerate(files.values()):
        _add_file(form, str(number), file)
    return {"data": form, "headers": _PREFLIGHT}


@contextlib.contextmanager
def rewound_on_failure(files: Mapping[str, Any]) -> Generator[None]:
    """Put files back to where they stood, so that they can be sent again."""
    opened = [getattr(file, "content", file) for file in files.values()]
    positions = [(file, file.tell()) for file in opened if hasattr(file, "tell")]
    try:
        yield
    except BaseException:
        for file, position in positions:
            with contextlib.suppress(OSError, ValueError):
                file.seek(position)
        raise


def _add_file(form: aiohttp.FormData, field: str, file: Any) -> None:
    upload = file if isinstance(file, FileUpload) else _described(file)
    content = upload.content
    if isinstance(content, io.TextIOBase):
        raise TypeError(f"{content!r} gives text: open the file in binary mode")
    if isinstance(content, io.BytesIO):
        content = content.getvalue()[content.tell() :]
    elif hasattr(content, "read"):
        content = _KeptOpen(content)
    form.add_field(field, content, filename=upload.name, content_type=upload.content_type)


def _described(file: Any) -> FileUpload:
    """Find name and type of an opened file."""
    name = PurePath(getattr(file, "name", None) or "file").name
    guessed, _ = mimetypes.guess_type(name)
    return FileUpload(file, name, guessed or "application/octet-stream")


class _KeptOpen(io.IOBase):
    """A file that its sender reads, and does not close."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def read(self, size: int = -1) -> bytes:
        content: bytes = self._file.read(size)
        return content

    def fileno(self) -> int:
        return int(self._file.fileno())

    def tell(self) -> int:
        return int(self._file.tell())

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return int(self._file.seek(offset, whence))
