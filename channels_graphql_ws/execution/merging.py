"""The rule of GraphQL that takes longest to check, with a limit: whether fields can be merged.

GraphQL specification, "Field Selection Merging". Fields with the same response name are compared
pair by pair, with all that is selected below them, and so are fragments that are spread together:
a hundred times the same forty levels are two hundred thousand comparisons. graphql-core has a
budget for that, which allows a second and more of computing, and hundreds of thousands of objects
that Python's garbage collector looks at while the process stands still. It counts a comparison
that finds nothing as much as one that keeps a dozen objects, so that a lower budget alone would
refuse honest documents of many fragments before it stops anybody else.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.util import find_spec, module_from_spec
from typing import Any, Final

from graphql import OverlappingFieldsCanBeMergedRule, ValidationContext, ValidationRule
from graphql.validation.rules import overlapping_fields_can_be_merged as core
from graphql.validation.validate import ValidationAbortedError

from channels_graphql_ws.execution.limits import exceeded

LOOK_UPS_FOR_A_STEP: Final = 8
"""Response names of one selection that are looked up in another for one step."""

STEPS_FOR_A_PAIR: Final = 12
"""Steps for two selections that are compared."""

STEPS_FOR_A_CONFLICT: Final = 10
"""Steps for two fields that cannot be merged: what is wrong with them is kept."""

STEPS_FOR_A_VALUE: Final = 1
"""Steps for a value of an argument that is compared with another, above graphql-core's one."""


class _ExhaustedError(ValidationAbortedError):
    """There are no steps left."""

    def __init__(self) -> None:
        super().__init__("Validation aborted.")


def _spend(state: Any, steps: int) -> None:
    state.remaining_complexity_budget -= steps
    if state.remaining_complexity_budget < 0:
        raise _ExhaustedError


def _priced(own: Any) -> Callable[[ValidationContext], Any]:
    """Let each step of graphql-core's rule cost about what it takes.

    Args:
        own: a copy of the module with the rule, which is changed.

    Raises:
        AttributeError: something is not there.
    """
    find_conflict = own.find_conflict
    as_text = own.stringify_value

    # No more of them than this one: each is a level of Python's recursion for each of a document.
    def find_conflict_priced(context: Any, state: Any, *arguments: Any) -> Any:
        conflict = find_conflict(context, state, *arguments)
        if conflict is not None:
            _spend(state, STEPS_FOR_A_CONFLICT)
        return conflict

    def as_text_priced(state: Any, value: Any) -> Any:
        _spend(state, STEPS_FOR_A_VALUE)
        return as_text(state, value)

    def overlapping(state: Any, one: Any, other: Any) -> list[Any]:
        # Not kept for the next time, as graphql-core does: of a hundred thousand pairs few are
        # met twice.
        names, others = one.grouped_field_set, other.grouped_field_set
        _spend(state, STEPS_FOR_A_PAIR + len(names) // LOOK_UPS_FOR_A_STEP)
        return [(name, names[name], others[name]) for name in names if name in others]

    changed = {
        "find_conflict": find_conflict_priced,
        "get_overlapping_fields": overlapping,
        "spend_complexity_budget": _spend,
        "stringify_value": as_text_priced,
    }
    for name, function in changed.items():
        getattr(own, name)
        setattr(own, name, function)
    # What is not called here, but has to be there.
    _ = core.get_complexity_budget, own.RuleContext
    rule: Callable[[ValidationContext], Any] = own.OverlappingFieldsCanBeMergedRule
    return rule


def _load() -> Callable[[ValidationContext], Any] | None:
    """Return graphql-core's rule with other prices; `None` if it has been written anew.

    Its module is loaded once more: what is changed in it is changed for nobody else.
    """
    spec = find_spec(core.__name__)
    assert spec is not None
    assert spec.loader is not None
    own = module_from_spec(spec)
    spec.loader.exec_module(own)
    try:
        return _priced(own)
    except AttributeError:
        return None


_rule: Final = _load()


class LimitedMerging(ValidationRule):
    """Reports fields that cannot be merged, and gives up after some steps; see `merging`."""

    allowed: int

    def __init__(self, context: ValidationContext) -> None:
        super().__init__(context)
        assert _rule is not None
        self._rule = _rule(context)
        # Who has lowered graphql-core's budget for the whole process has it here, too.
        self._steps = min(self.allowed, core.get_complexity_budget())
        self._rule.rule_context.remaining_complexity_budget = self._steps

    def enter_selection_set(self, *arguments: Any) -> None:
        """Compare the fields of a selection.

        Raises:
            ValidationAbortedError: that takes too much.
        """
        try:
            self._rule.enter_selection_set(*arguments)
        except _ExhaustedError:
            del self._rule
            text = (
                "Fields of the document with the same name, and fragments that are spread "
                f"together, take more than {self._steps} steps to compare. Select each field "
                "once, with all that you need of it, or split the document"
            )
            error = exceeded("max_field_comparisons", self._steps, text)
            raise ValidationAbortedError(error.message, extensions=error.extensions) from None

    def leave_document(self, *_arguments: Any) -> None:
        """Let go of what was compared: visitors of graphql-core refer to themselves.

        It would wait for the garbage collector.
        """
        del self._rule


@cache
def merging(allowed: int) -> type[ValidationRule]:
    """Return graphql-core's rule about merging with a limit; that itself if it is not known.

    Args:
        allowed: steps that comparing the fields of a document may take. A pair of fields takes
            two, what else there is to compare stands above.
    """
    if _rule is None:
        return OverlappingFieldsCanBeMergedRule
    return type("LimitedMerging", (LimitedMerging,), {"allowed": allowed})
