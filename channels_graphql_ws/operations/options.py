"""Options and hooks that all consumers and views have: limits, rules, context, root."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from inspect import isroutine
from typing import Any, Final, TypeVar

import graphql
from graphql import ASTValidationRule, DocumentNode, GraphQLError, GraphQLSchema

from channels_graphql_ws.execution import documents
from channels_graphql_ws.execution.context import OperationContext
from channels_graphql_ws.execution.documents import Rules
from channels_graphql_ws.execution.masking import Mask
from channels_graphql_ws.operations.overrides import default, overridden


class OperationOptions:
    """What decides on an operation, over whatever it came."""

    validation_rules: Sequence[type[ASTValidationRule]] = ()
    """Rules (`graphql.ValidationRule`) that documents have to keep besides GraphQL's own.
    They are asked about documents that are valid otherwise, once for each document."""

    max_depth: int | None = None
    """Deepest nesting of a document, as `graphene.validation.depth_limit_validator` counts:
    `{ a { b } }` has 1, fields of introspection do not count. `None`: any."""

    max_tokens: int | None = None
    """Most words and punctuators that a document may have. `None`: any."""

    introspection: bool = True
    """Answer questions about the schema (`__schema`, `__type`)."""

    compile_operations: bool = True
    """Compile what operations select, once for each document. Results are those of
    graphql-core, to which everything is left that the compiler does not know, and with
    `False` all there is."""

    mask_errors: bool | Callable[[Exception], bool] = False
    """Tell clients no more of unexpected errors than `masked_error_message`: for production.
    `GraphQLError`s that are raised on purpose, and what is wrong in a request, stay. Or a
    function that gets an error, and says whether to hide it. The log has it in any case."""

    masked_error_message: str = "Unexpected error."
    """What clients read in the place of an error that is hidden."""

    complete_at_shutdown: bool = False
    """Send `complete` for each subscription when the server shuts down. A client that
    connects again by itself takes that for the end, and does not subscribe again."""

    @default
    def get_context(self, context: OperationContext) -> Any:
        """Give the `info.context` of an operation: this one, or another.

        Raise anything to refuse the operation. May be `async`.
        """
        return context

    @default
    def get_root_value(self, context: Any) -> Any:
        """Give the root value of a query or mutation. May be `async`.

        Raise anything to refuse the operation.

        Args:
            context: what `get_context` gave.
        """

    @classmethod
    @default
    def parse_document(cls, text: str) -> DocumentNode:
        """Parse a document; raise a `GraphQLError` for one that is wrong.

        What it gives is kept, and may be given to other clients: it must depend on nothing
        but the text. It may be called in a thread.
        """
        return documents.parse_document(text, max_tokens=cls.max_tokens)

    @classmethod
    @default
    def validate_document(
        cls,
        schema: GraphQLSchema,
        document: DocumentNode,
        rules: Sequence[type[ASTValidationRule]],
    ) -> Sequence[GraphQLError]:
        """Give what is wrong with a document; kept as what `parse_document` gives.

        Args:
            schema: what the document is about.
            document: as `parse_document` gave it.
            rules: those that documents of this class have to keep besides GraphQL's own.
        """
        return documents.validate_document(schema, document, rules)

    @default
    def execute_operation(self, **arguments: Any) -> Any:
        """Execute a query or mutation. May be `async`, and may raise a `GraphQLError`.

        Args:
            arguments: those of `graphql.execute`: `schema`, `document`, `root_value`,
                `context_value`, `variable_values`, `operation_name`, `middleware`.

        Returns:
            A `graphql.ExecutionResult`.
        """
        return graphql.execute(**arguments)

    def executor(self) -> Callable[..., Any] | None:
        """Give `execute_operation`, if it is the user's."""
        return self.execute_operation if overridden(self, "execute_operation") else None

    def mask(self) -> Mask:
        """Give what hides errors."""
        return Mask(self.mask_errors, self.masked_error_message)

    def document_rules(self) -> Rules:
        """Give what documents have to keep."""
        return Rules(
            extra=tuple(self.validation_rules),
            max_depth=self.max_depth,
            max_tokens=self.max_tokens,
            introspection=self.introspection,
            parse=self.parse_document if overridden(self, "parse_document") else None,
            validate=self.validate_document if overridden(self, "validate_document") else None,
        )


T = TypeVar("T")

_NUMBERS: Final = (
    "max_batch_size",
    "max_event_streams",
    "reservation_timeout",
    "subscription_notification_queue_limit",
)

_NUMBERS_OR_NONE: Final = (
    "connection_init_wait_timeout",
    "disconnect_timeout",
    "max_body_size",
    "max_depth",
    "max_message_size",
    "max_operations_in_flight",
    "max_operations_per_connection",
    "max_tokens",
    "max_upload_size",
    "operation_timeout",
    "pong_timeout",
    "send_heartbeat_every",
    "send_ping_every",
    "stalled_reader_timeout",
    "warn_operation_timeout",
)

_NO_OPTIONS = frozenset({"groups", "view_is_async", "http_method_names"})


def option_names(cls: type[Any]) -> set[str]:
    """Give the names of a class's options: public attributes that are no methods."""
    return {
        name
        for name in dir(cls)
        if not name.startswith("_")
        and name not in _NO_OPTIONS
        and not isroutine(getattr(cls, name))
        and not isinstance(getattr(cls, name), property)
    } | {"schema"}


def check_options(given: dict[str, Any], known: set[str], what: str) -> None:
    """See if all options are known.

    Raises:
        TypeError: one is not; the text suggests what may have been meant.
    """
    for name in given:
        if name not in known:
            similar = get_close_matches(name, known, 1)
            hint = f", did you mean {similar[0]!r}?" if similar else ""
            raise TypeError(f"{what} has no option {name!r}{hint}")


def check_values(endpoint: Any) -> None:
    """See if the options of an endpoint, or of a class of them, can mean something.

    Raises:
        ValueError: a number is none, or is below 0.
        TypeError: a message is no text, or no mapping; a method would need an instance.
    """
    name_of = (endpoint if isinstance(endpoint, type) else type(endpoint)).__qualname__
    for name in (*_NUMBERS, *_NUMBERS_OR_NONE):
        value = getattr(endpoint, name, 0)
        if value is None and name in _NUMBERS_OR_NONE:
            continue
        if not isinstance(value, int | float) or value < 0:
            or_none = " or `None`" if name in _NUMBERS_OR_NONE else ""
            raise ValueError(f"{name_of}.{name} is {value!r}, it must be a number ≥ 0{or_none}")
    message = getattr(endpoint, "subscription_confirmation_message", {})
    if not isinstance(message, Mapping):
        raise TypeError(
            f"{name_of}.subscription_confirmation_message is {message!r}, it must be a "
            "dict of `data` and `errors`"
        )
    text = getattr(endpoint, "masked_error_message", "")
    if not isinstance(text, str):
        raise TypeError(f"{name_of}.masked_error_message is {text!r}, it must be a string")
    if isinstance(endpoint, type):
        return
    for name in ("parse_document", "validate_document"):
        if getattr(getattr(endpoint, name, None), "__self__", None) is endpoint:
            raise TypeError(
                f"{name_of}.{name} must be a class method or a static method: what it returns is "
                "kept for all clients"
            )


def with_options(cls: type[T], options: dict[str, Any]) -> type[T]:
    """Give a subclass with these options; hooks have to be overridden in a subclass.

    Raises:
        ValueError, TypeError: a value makes no sense, see `check_values`.
    """
    if not options:
        return cls
    # A function would become a method; options that are callables stay what they are.
    attributes = {
        name: staticmethod(value) if isroutine(value) else value for name, value in options.items()
    }
    subclass: Any = type(cls.__name__, (cls,), {"__module__": cls.__module__, **attributes})
    check_values(subclass)
    return subclass  # type: ignore[no-any-return]


def core_schema(schema: Any) -> GraphQLSchema:
    """Give graphql-core's schema of whatever carries one.

    Raises:
        TypeError: there is none to be found.
    """
    if isinstance(schema, GraphQLSchema):
        return schema
    # Graphene has the first, Strawberry the second.
    for name in ("graphql_schema", "_schema", "schema"):
        carried = getattr(schema, name, None)
        if isinstance(carried, GraphQLSchema):
            return carried
    raise TypeError(
        f"{schema!r} is no schema: give a `graphene.Schema`, a `graphql.GraphQLSchema`, or "
        "something that has one"
    )
