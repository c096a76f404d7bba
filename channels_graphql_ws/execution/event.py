"""One subscription's way from a payload to a result, worked out once."""

from __future__ import annotations

from contextvars import copy_context
from functools import partial
from inspect import isasyncgenfunction, iscoroutinefunction
from typing import Any, NoReturn

from graphql import (
    ExecutionResult,
    GraphQLError,
    GraphQLResolveInfo,
    GraphQLSchema,
    MiddlewareManager,
    OperationDefinitionNode,
)

from ..compile import EventField, EventRoot
from ..documents import Document
from ..messages import Refusal, Subscribe
from ..steps import Steps, is_awaitable
from ..subscription import Delivery, Hook, Source, current_delivery
from .compiled import compiled
from .core_event import CoreEventField, bind
from .threads import freshness, in_thread


class RequestError(Exception):
    """The request can not be executed; `errors` tell the client why."""

    refusal = Refusal.DOCUMENT

    def __init__(self, *errors: GraphQLError) -> None:
        super().__init__(*errors)
        self.errors = errors


class NoDocumentError(RequestError):
    """The client has sent no document, and there is none in its place."""

    refusal = Refusal.REQUEST

    def __init__(self) -> None:
        super().__init__(
            GraphQLError('"query" is missing, and `on_operation` gave no document instead')
        )


class TooManyError(RequestError):
    """There is no room for one operation more."""

    refusal = Refusal.OPERATION


class EventPlan:
    """How one subscription executes an event.

    Everything that is the same for all events of a subscription is done here: finding
    the operation, coercing the variables, collecting the fields and the arguments.
    graphql-core's own way would be to do it for each event anew.

    Attributes:
        source: what feeds the field: a `Source`, or a `subscribe_…` of the user's.
        subscription_class: the class that the client has subscribed to; not there where the
            source is none.
        info: what the hooks get as their `info`.
        arguments: what the hooks get as their keyword arguments.
    """

    __slots__ = (
        "_delivery",
        "_field",
        "_sync_in_thread",
        "arguments",
        "info",
        "source",
        "subscription_class",
        "variables",
    )

    def __init__(
        self,
        schema: GraphQLSchema,
        document: Document,
        operation: OperationDefinitionNode,
        request: Subscribe,
        context: Any,
        middleware: MiddlewareManager | None,
        *,
        sync_in_thread: bool = False,
        compiles: bool = True,
    ) -> None:
        """Work it out.

        Raises:
            RequestError: variables, arguments or the field do not allow to subscribe.
        """
        self._sync_in_thread = sync_in_thread
        field: EventField | CoreEventField | list[GraphQLError] | None = None
        plan = compiled(schema, document, operation, middleware) if compiles else None
        try:
            if plan is not None:
                field = plan.bind(context_value=context, variable_values=request.variables)
            if field is None:
                field = bind(schema, document.ast, request, context, middleware)
            if isinstance(field, list):
                raise RequestError(*field)
            self.source = field.root.definition.subscribe or _no_source(field.root)
            self.arguments = field.arguments()
        except GraphQLError as error:
            raise RequestError(error) from error
        if isinstance(self.source, Source):
            self.subscription_class = self.source.subscription_class
        self._field = field
        self.info: GraphQLResolveInfo = field.info()
        self._delivery = Delivery()
        current_delivery.set(self._delivery)
        # User code of one event never sees what another subscription has set.
        self.variables = copy_context()

    @property
    def name(self) -> str:
        """What to call the subscription in the log."""
        is_class = isinstance(self.source, Source)
        return self.subscription_class.__qualname__ if is_class else self.info.field_name

    @property
    def has_filter(self) -> bool:
        """Tell if clients have their own say on each notification."""
        return self.subscription_class._meta.filter_event is not None

    @property
    def has_completed(self) -> bool:
        """Tell if the event that was just executed is the end of the subscription."""
        return self._delivery.completes

    def call(self, hook: Hook, root: object = None) -> Any:
        """Call a hook of the class; the result may be awaitable."""
        if self._sync_in_thread and not (iscoroutinefunction(hook) or isasyncgenfunction(hook)):
            return in_thread(partial(hook, root, self.info, **self.arguments))
        return hook(root, self.info, **self.arguments)

    def start(self, payload: Any) -> Any:
        """Begin to execute an event; give what `finish` makes its result of."""
        freshness.see_to()
        self._delivery.skipped = False
        if self._sync_in_thread:
            return in_thread(partial(self._field.execute, payload))
        return self._field.execute(payload)

    def finish(self, result: Any) -> Steps[ExecutionResult | None]:
        """Wait for what `start` gave, if need be: the result, `None` if it is to be skipped."""
        while is_awaitable(result):
            result = yield result
        return self.outcome(result)

    def run(self, payload: Any) -> Steps[ExecutionResult | None]:
        """Execute an event; `None` if it is to be skipped."""
        return self.finish(self.start(payload))

    def outcome(self, result: ExecutionResult) -> ExecutionResult | None:
        """Give the result if it is not to be skipped."""
        return None if self._delivery.skipped else result

    def run_initial(self) -> Steps[ExecutionResult | None]:
        """Execute the first event, with the `initial` hook in place of `publish`."""
        self._delivery.is_initial = True
        try:
            return (yield from self.run(None))
        finally:
            self._delivery.is_initial = False


def _no_source(root: EventRoot) -> NoReturn:
    name = root.nodes[0].name.value
    raise GraphQLError(
        f"Field {name!r} is no subscription: mount one with `MySubscription.Field()`, "
        "or give it a `subscribe_…` method.",
        root.nodes,
    )
