"""What to do about an object that cannot be sent."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Iterator, Mapping
from dataclasses import is_dataclass
from functools import partial
from types import BuiltinFunctionType, FunctionType, MethodType, SimpleNamespace
from typing import Any, Final

from django.contrib.sessions.backends.base import SessionBase
from django.core.files import File
from django.core.paginator import Page, Paginator
from django.db.models import Q
from django.db.models.expressions import Combinable
from django.db.models.fields.files import FieldFile
from django.db.models.manager import BaseManager
from django.forms import BaseForm
from django.http import HttpRequest

_OF_CLASSES: Final[tuple[tuple[Any, str], ...]] = (
    (BaseManager, "send its rows, `….all()`"),
    (Page, "send its rows, `page.object_list`, and the numbers that clients need"),
    (Paginator, "send the rows of a page, `paginator.page(1).object_list`"),
    (FieldFile, "send `….name` or `….url`"),
    (File, "send `….name`, or what it holds as bytes"),
    (BaseForm, "send `form.cleaned_data`"),
    (HttpRequest, "send what `publish` needs of it"),
    (SessionBase, "send `dict(session.items())`"),
    ((Combinable, Q), "it is an expression, whose value only the database knows"),
    (BaseException, "send `str(error)`"),
    (SimpleNamespace, "send `vars(…)`"),
    (type, "it is a class; send an object, or what `publish` needs to find the class"),
    ((FunctionType, BuiltinFunctionType, MethodType, partial), "send what it returns"),
    (Awaitable, "await it, and send what it returns"),
    (Iterator, "make a list of it, `list(…)`"),
)
"""What to do about instances of a class; the first that fits counts."""

_ANONYMOUS: Final = "django.contrib.auth.models.AnonymousUser"


def advice_for(cls: type[Any]) -> str:
    """Return what to do about instances of a class that cannot be sent."""
    name = f"{cls.__module__}.{cls.__qualname__}"
    if name == _ANONYMOUS:
        return "it is no row of a table; send `None`"
    for kinds, advice in _OF_CLASSES:
        if issubclass(cls, kinds):
            return advice
    register = (
        "register it with channels_graphql_ws.serializer.register"
        f"({cls.__name__}, name=..., encode=..., decode=...)"
    )
    plain = _plain_form(cls)
    return register if plain is None else f"send `{plain}`, or {register}"


def _plain_form(cls: type[Any]) -> str | None:
    """Return what makes a dict or a list of an instance that only holds data."""
    if hasattr(cls, "model_dump"):
        return "….model_dump()"
    if hasattr(cls, "__attrs_attrs__"):
        return "attrs.asdict(…)"
    # Graphene's types are dataclasses, too.
    if is_dataclass(cls) and not hasattr(cls, "_meta"):
        return "dataclasses.asdict(…)"
    kinds: list[tuple[Any, str]] = [(Mapping, "dict(…)"), (Iterable, "list(…)")]
    return next((form for kind, form in kinds if issubclass(cls, kind)), None)
