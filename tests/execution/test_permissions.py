"""Permission classes: how they combine, and what is wrong with some."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from graphql import GraphQLError

from channels_graphql_ws import BasePermission, protected
from channels_graphql_ws.concurrency import eager
from channels_graphql_ws.execution.permissions import Denial, call_of, checked_permissions, denial
from support import tick


class Yes(BasePermission):
    def has_permission(self, source, info):
        return True


class No(BasePermission):
    message = "No."

    def has_permission(self, source, info):
        return False


class Later(BasePermission):
    async def has_permission(self, source, info):
        await tick()
        return True


class NotLater(BasePermission):
    async def has_permission(self, source, info):
        await tick()
        return False


class Broken(BasePermission):
    def has_permission(self, source, info):
        raise RuntimeError("broken")


class BrokenLater(BasePermission):
    async def has_permission(self, source, info):
        await tick()
        raise RuntimeError("broken")


async def asked(*permissions: Any, **arguments: Any) -> Denial | None:
    """Ask permissions; the first denial, if there is one."""
    steps = denial(permissions, lambda each: call_of(each, "source", "info", arguments)())
    found = eager.start(steps)
    if eager.is_awaitable(found):
        found = await found
    return found  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("permission", "allows"),
    [
        (Yes, True),
        (No, False),
        (Later, True),
        (NotLater, False),
        (Broken, False),
        (BrokenLater, False),
        (Yes & Later, True),
        (Later & No, False),
        (NotLater & Yes, False),
        (Broken & Yes, False),
        (Yes | Broken, True),
        (Broken | Later, True),
        (No | NotLater, False),
        (Broken | No, False),
        (No | Broken, False),
        (~No, True),
        (~NotLater, True),
        (~Yes, False),
        (~Later, False),
        (~~Later, True),
        (~~No, False),
        (~Broken, False),
        (~~Broken, False),
        (~BrokenLater, False),
        (~(Yes & Broken), False),
        (~(No | Broken), False),
        (~(Broken | No), False),
        (~(Yes | Broken), False),
        (~(No | NotLater), True),
        ((No | Later) & ~NotLater, True),
    ],
)
async def test_permissions_combine_and_one_that_raises_is_denied(permission, allows):
    assert (await asked(permission) is None) is allows


async def test_the_first_that_is_denied_speaks():
    found = await asked(Yes, No, Broken)
    assert found is not None
    assert (found.permission, found.cause) == (No, None)
    assert found.error.message == "No."
    assert found.error.extensions == {"code": "FORBIDDEN"}
    assert await asked() is None


async def test_one_that_has_raised_is_told_of_before_one_that_said_no():
    found = await asked(No | Broken)
    assert found is not None
    assert isinstance(found.exception, RuntimeError)
    assert found.error.message == "You do not have permission to do this."


async def test_a_graphql_error_reaches_the_client():
    class Told(BasePermission):
        def has_permission(self, source, info):
            raise GraphQLError("Log in first.")

    found = await asked(Told)
    assert found is not None
    assert found.error.message == "Log in first."


async def test_a_class_that_derives_from_a_combination_speaks_for_it():
    class Either(No | NotLater):  # type: ignore[misc]
        message = "Neither."

    class Opposite(~Yes):  # type: ignore[misc]
        message = "You have it."

    for permission, text in ((Either, "Neither."), (Opposite, "You have it.")):
        found = await asked(permission)
        assert found is not None
        assert found.error.message == text


async def test_what_is_cancelled_inside_a_permission_is_denied():
    class Cancelled(BasePermission):
        def has_permission(self, source, info):
            raise asyncio.CancelledError

    found = await asked(Cancelled)
    assert found is not None
    assert str(found.exception) == "It was cancelled"


async def test_a_cancellation_of_the_asker_is_none_of_a_permission():
    class Waiting(BasePermission):
        async def has_permission(self, source, info):
            await asyncio.Event().wait()

    task = asyncio.create_task(asked(Waiting))
    await tick(2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_only_the_arguments_that_it_takes_are_passed():
    got: list[Any] = []

    class Room(BasePermission):
        def has_permission(self, source, info, room):
            got.append((source, info, room))
            return True

    class All(BasePermission):
        def has_permission(self, source, info, **arguments):
            got.append(arguments)
            return True

    assert await asked(Room, All, Yes, room="tea", other=1) is None
    assert got == [("source", "info", "tea"), {"room": "tea", "other": 1}]


def yielding(self: Any, source: Any, info: Any) -> Any:
    yield True


async def yielding_later(self: Any, source: Any, info: Any) -> Any:
    yield True


@pytest.mark.parametrize(
    "hook", [yielding, yielding_later, lambda self, source, info: self.has_permission]
)
async def test_what_is_true_by_mistake_is_denied(hook):
    found = await asked(type("Mistaken", (BasePermission,), {"has_permission": hook}))
    assert found is not None
    assert "return `True` or `False`" in str(found.cause)


def test_names_tell_how_permissions_were_combined():
    assert ((Yes | No) & ~Later).__qualname__ == "((Yes | No) & ~Later)"
    assert (Yes | None) == (None | Yes)


def test_a_permission_combines_with_permissions_only():
    with pytest.raises(TypeError):
        Yes & int


class Nothing(BasePermission):
    pass


class Misnamed(BasePermission):
    def has_permission(self, info):
        return True


class Unknown(BasePermission):
    def has_permission(self, source, info, house):
        return True


class Attribute(BasePermission):
    has_permission = True  # type: ignore[assignment]


class NeedsMore(BasePermission):
    def __init__(self, role):
        self.role = role

    def has_permission(self, source, info):
        return True


@pytest.mark.parametrize(
    ("given", "cure"),
    [
        (Yes, "`permission_classes = [Yes]`"),
        (None, "`permission_classes = [IsStaff]`"),
        ("Yes", "it must be a list of classes"),
        ({Yes}, "it must be a list of classes"),
        ([None], "None is not a class"),
        ([Yes()], "write the class, `Yes` without `()`"),
        ([Yes | int], "combines what is not a permission class"),
        (["Yes"], "'Yes' is not a class"),
        ([int], "derive it from `channels_graphql_ws.BasePermission`"),
        ([BasePermission], "has no `has_permission`"),
        ([Nothing], "Nothing has no `has_permission`: add `def has_permission("),
        ([Yes & ~Nothing], "Nothing has no `has_permission`"),
        ([Misnamed], "cannot be called as `(source, info, room=…)`"),
        ([Unknown], "cannot be called as `(source, info, room=…)`"),
        ([Attribute], "is not a method"),
        ([NeedsMore], "NeedsMore() cannot be made"),
    ],
)
def test_a_mistake_is_named_with_its_cure(given, cure):
    with pytest.raises(TypeError) as caught:
        checked_permissions("Here", given, ["room"])
    assert str(caught.value).startswith("Here")
    assert cure in str(caught.value)


def test_lists_and_tuples_are_taken():
    assert checked_permissions("Here", [Yes, ~No])[0] is Yes
    assert checked_permissions("Here", (Unknown,)) == (Unknown,)


@pytest.mark.parametrize("name", ["operator", "operands"])
def test_reserved_names_are_refused(name):
    with pytest.raises(TypeError, match="is reserved"):
        type("Mine", (BasePermission,), {name: "me"})


def test_a_combination_has_no_hook_of_its_own():
    with pytest.raises(TypeError, match="would not be asked"):
        type("Mine", (Yes | No,), {"has_permission": lambda self, source, info: False})


@pytest.mark.parametrize("given", [(), ([],)])
def test_a_decorator_without_permissions_is_refused(given):
    with pytest.raises(TypeError, match="would protect nothing"):
        protected(*given)


def test_the_base_decides_nothing():
    with pytest.raises(NotImplementedError):
        BasePermission().has_permission(None, None)


async def test_a_method_that_is_replaced_gets_the_arguments_that_it_takes(monkeypatch):
    class Which(BasePermission):
        def has_permission(self, source, info):
            return False

    assert await asked(Which, room="tea") == Denial(Which)
    monkeypatch.setattr(Which, "has_permission", lambda self, source, info, room: room == "tea")
    assert await asked(Which, room="tea") is None
