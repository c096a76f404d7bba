"""Context variables that are carried from one piece of code to another."""

from __future__ import annotations

from contextvars import ContextVar, copy_context

from channels_graphql_ws.concurrency.variables import apply, changes

one: ContextVar[str] = ContextVar("one")
other: ContextVar[str] = ContextVar("other", default="unset")


def test_what_was_set_is_set_elsewhere_too() -> None:
    def change() -> None:
        one.set("1")
        other.set("2")

    before, after = copy_context(), copy_context()
    after.run(change)
    elsewhere = copy_context()
    elsewhere.run(apply, changes(before, after))
    assert (elsewhere[one], elsewhere[other]) == ("1", "2")


def test_what_was_not_changed_is_not_carried() -> None:
    before = copy_context()
    before.run(one.set, "1")
    after = before.copy()
    assert changes(before, after) == ()


def test_what_the_other_code_has_set_itself_stays() -> None:
    before, elsewhere = copy_context(), copy_context()
    after = before.copy()
    after.run(one.set, "hook")
    elsewhere.run(one.set, "own")
    elsewhere.run(apply, changes(before, after))
    assert elsewhere[one] == "own"
