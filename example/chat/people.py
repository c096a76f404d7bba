"""Who is speaking: a signed-in user, or a guest whose nick is kept in the session."""

from __future__ import annotations

import re
import uuid
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import AbstractUser, AnonymousUser

NICK_MIN = 2
NICK_MAX = 24
_NICK = re.compile(r"\w[\w .'-]*\w", re.UNICODE)
_SESSION_KEY = "chat_guest"


@dataclass(frozen=True, slots=True)
class Person:
    """An author of messages. `key` tells two guests of the same nick apart."""

    key: str
    name: str
    user_id: int | None = None

    @property
    def is_guest(self) -> bool:
        """Whether this person only chose a nick."""
        return self.user_id is None


def person_of(
    user: AbstractUser | AnonymousUser, session: MutableMapping[str, Any]
) -> Person | None:
    """Return who speaks in this session, `None` for a visitor who only reads."""
    if isinstance(user, AbstractUser):
        return Person(f"user-{user.pk}", user.first_name or user.username, user.pk)
    guest = session.get(_SESSION_KEY)
    return Person(f"guest-{guest['id']}", guest["nick"]) if guest else None


def become_guest(session: MutableMapping[str, Any], nick: str) -> None:
    """Keep the nick in the session, with an id of its own which is no secret."""
    session[_SESSION_KEY] = {"id": uuid.uuid4().hex, "nick": nick}


def nick_problem(nick: str) -> str | None:
    """Say what is wrong with a nick, `None` if it is fine."""
    if not NICK_MIN <= len(nick) <= NICK_MAX:
        return f"A nick has {NICK_MIN} to {NICK_MAX} characters."
    if not _NICK.fullmatch(nick):
        return "A nick is made of letters, digits, spaces and . _ ' -"
    return None
