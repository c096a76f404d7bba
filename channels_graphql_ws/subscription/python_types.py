"""Types and annotations of Python, where a field or an argument of Graphene's is meant."""

from __future__ import annotations

import inspect
from typing import Any, Final

_GRAPHENES: Final = {
    "bool": "Boolean()",
    "date": "Date()",
    "datetime": "DateTime()",
    "Decimal": "Decimal()",
    "dict": "JSONString()",
    "float": "Float()",
    "int": "Int()",
    "list": "List(…)",
    "str": "String()",
    "time": "Time()",
    "UUID": "UUID()",
}


def meant_instead(value: object) -> str | None:
    """Return what to write in the place of a type of Python's; `None` for anything else."""
    name = value.__name__ if isinstance(value, type) else None
    return None if name not in _GRAPHENES else f"graphene.{_GRAPHENES[name]}"


def only_annotated(cls: type[Any]) -> dict[str, str]:
    """Return names that have an annotation and no value, and what to write after each."""
    found = {}
    for name, annotation in inspect.get_annotations(cls).items():
        if name not in vars(cls):
            # A text, where annotations are not evaluated.
            text = annotation if isinstance(annotation, str) else _name_of(annotation)
            found[name] = f"graphene.{_GRAPHENES.get(text.partition('[')[0], '…')}"
    return found


def _name_of(annotation: object) -> str:
    return annotation.__name__ if isinstance(annotation, type) else ""


def problem_of_argument(name: str, value: object) -> str | None:
    """Return what is wrong with an argument that is declared by a type of Python's."""
    instead = meant_instead(value)
    if instead is None:
        return None
    return f"the argument `{name}` is a type of Python: write `{name} = {instead}`"


def problem_of_annotations(arguments: type[Any]) -> str | None:
    """Return what is wrong with arguments that have an annotation only."""
    for name, instead in only_annotated(arguments).items():
        return f"the argument `{name}` is an annotation only: write `{name} = {instead}`"
    return None


def advice_on_fields(cls: type[Any]) -> str:
    """Return what to write, if a class has no fields because those are Python's."""
    found = {
        name: instead
        for name, value in vars(cls).items()
        if (instead := meant_instead(value)) is not None
    }
    for name, instead in {**found, **only_annotated(cls)}.items():
        return f" `{name}` of it is no field: write `{name} = {instead}`."
    return ""
