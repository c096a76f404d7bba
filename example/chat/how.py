"""The page that explains the chat by its own code."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from chat import consumers, schema
from chat.management.commands import say
from project import asgi

BASE_DIR = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Source:
    """A piece of the code, and the file that it is from."""

    file: str
    code: str


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happens, and the code that makes it happen."""

    title: str
    text: str
    sources: tuple[Source, ...]


@cache
def steps() -> tuple[Step, ...]:
    """Return the steps of the explanation, in the order in which they happen."""
    return (
        Step(
            "One address for everything",
            "asgi.py mounts the schema at /graphql/: WebSocket, HTTP and GraphiQL, with Django's "
            "users and sessions. All other addresses are Django's.",
            (_source(asgi),),
        ),
        Step(
            "The page subscribes",
            "Once for each room. `subscribe` names the groups that the client joins; the empty "
            "first result, a confirmation, tells the page that it will miss nothing from now on.",
            (_source(schema.OnMessage), _source(consumers.ChatConsumer)),
        ),
        Step(
            "Somebody says something",
            "The mutation saves the message and broadcasts the model to the group of the room.",
            (_source(schema.SendMessage),),
        ),
        Step(
            "Everybody gets it",
            "`publish` of the subscription runs for each subscriber, and its result goes out. "
            "`SKIP` keeps an event from a client: nobody is told about their own typing.",
            (_source(schema.OnTyping),),
        ),
        Step(
            "From anywhere else",
            "A command, a Celery task or a signal broadcasts in the same way, through Redis if it "
            "is another process.",
            (_source(say.Command),),
        ),
    )


def _source(code: ModuleType | type[Any]) -> Source:
    path = Path(inspect.getsourcefile(code) or "")
    return Source(str(path.relative_to(BASE_DIR)), inspect.getsource(code).strip())
