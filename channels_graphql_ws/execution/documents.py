"""Parse and validate documents, once for each schema and not once per connection."""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from sys import getsizeof
from typing import Any, Final, NamedTuple, TypeAlias

from graphql import (
    ASTValidationRule,
    DocumentNode,
    GraphQLError,
    GraphQLSchema,
    GraphQLSyntaxError,
    MiddlewareManager,
    Node,
    OperationDefinitionNode,
    OverlappingFieldsCanBeMergedRule,
    Token,
    TokenKind,
    parse,
    specified_rules,
    validate,
)

from channels_graphql_ws.concurrency.threads import Workers
from channels_graphql_ws.execution.budget import NO_LIMITS, ExecutionLimits
from channels_graphql_ws.execution.compiler.operation import CompiledOperation, compile_operation
from channels_graphql_ws.execution.errors import TooManyError
from channels_graphql_ws.execution.inline_parsing import may_parse
from channels_graphql_ws.execution.limits import DocumentRule, NoIntrospection, exceeded
from channels_graphql_ws.execution.merging import LimitedMerging
from channels_graphql_ws.execution.parser_queue import ParserQueue, QueueFullError, Sender
from channels_graphql_ws.execution.rules import NO_RULES, Rules, UnconditionalSubscription
from channels_graphql_ws.execution.source import IndexedSource
from channels_graphql_ws.execution.suggestions import FewSuggestions

INLINE_LIMIT = 2_048
"""Longest document, in characters, that is parsed on the event loop itself."""

INLINE_NAMES = 64
"""Names and numbers in a document that is parsed on the event loop itself. To validate so many
takes a few milliseconds, but the square of that if they are all the same."""

INLINE_SIGNS = 256
"""Braces, brackets, colons and other signs in it: of objects and lists as values, for example."""

LARGE_LIMIT = 8_192
"""Characters beyond which a document counts as large: only a few of a client may wait."""

LARGE_NAMES = 400
"""Names and numbers beyond which it does."""

LARGE_SIGNS = 1_600
"""Signs beyond which it does."""

NEW_UNTIL_A_SUM: Final = 16
"""Documents that are kept until it is looked at what those before were compiled to."""

THREADS = 2
"""Threads that parse and validate the other documents, for the whole process."""

MOST_WAITING = 1_000
"""Large documents of all clients that may wait to be parsed."""

BYTES_FOR_A_NAME = 450
"""What a name or a number of a document takes while that is kept: a field, for example."""

BYTES_FOR_A_SIGN = 130
"""What a sign takes: an empty list or object has two."""

MOST_ERRORS: Final = 100
"""Errors of a document that are told: as many as graphql-core looks for."""

MOST_CHARACTERS_OF_ERRORS: Final = 65_536
"""Characters of all of them together, beyond which no more is told."""

CHARACTERS_FOR_A_PLACE: Final = 30
"""What a place in the document that an error is about takes as JSON."""

ABORTED: Final = "Too many validation errors, error limit reached. Validation aborted."
"""What is told last if there are more, in the words of graphql-core."""

_NAME = re.compile(r"\w+")
_SIGN = re.compile(r"[^\w\s,]")

_CACHES = "channels_graphql_ws_documents"
"""Attribute of a schema."""

_parsers: ParserQueue[Document] = ParserQueue(Workers("documents", THREADS), THREADS, MOST_WAITING)


_NOTHING = DocumentNode(definitions=())


@dataclass(frozen=True, slots=True, eq=False)
class Document:
    """A document that is parsed and, without errors, valid."""

    ast: DocumentNode
    errors: tuple[GraphQLError, ...] = ()
    limits: ExecutionLimits = NO_LIMITS
    """What each execution may cost."""
    hides_suggestions: bool = False
    """Whether what is wrong is told without "Did you mean …"."""
    memory: int = 0
    """About how many bytes it takes."""
    compiled: dict[Any, Any] = field(default_factory=dict)
    """What the operations in it were compiled to, and what was found out about them. The schema
    may be reached from there."""
    _operations: dict[str | None, OperationDefinitionNode] = field(default_factory=dict)
    """Those that were found."""

    @property
    def memory_of_all(self) -> int:
        """About how many bytes it takes with what it was compiled to."""
        # Copied: a thread may compile another operation. Whether one starts in a thread, or
        # selects what is protected, is kept there, too, and takes next to nothing.
        kept = [each[1] for each in list(self.compiled.values()) if isinstance(each, tuple)]
        return self.memory + sum([each.memory for each in kept if type(each) is CompiledOperation])

    def operation(self, name: str | None) -> OperationDefinitionNode:
        """Find the operation to execute.

        Raises:
            GraphQLError: there is none of that name, or several and no name.
        """
        known = self._operations.get(name)
        if known is not None:
            return known
        found = [
            definition
            for definition in self.ast.definitions
            if isinstance(definition, OperationDefinitionNode)
            and name in (None, definition.name and definition.name.value)
        ]
        if len(found) == 1:
            self._operations[name] = found[0]
            return found[0]
        if found:
            raise GraphQLError(
                "Must provide operation name if query contains multiple operations."
            )
        if name is not None:
            raise GraphQLError(f"Unknown operation named {name!r}.")
        raise GraphQLError("Must provide an operation.")


ParsingShare: TypeAlias = Callable[[], Sender]
"""Returns the sender of a document."""


def _nobody() -> Sender:
    return Sender(object())


class DocumentCache:
    """The documents of one schema, least recently used ones leave first.

    Only valid documents are kept: they are few, and invalid ones are as many as somebody cares
    to send.

    Args:
        schema: what documents are validated against.
        rules: what else they must keep.
        max_documents: how many are kept.
        max_bytes: about how much memory they may take together, with what they were compiled to.
    """

    def __init__(
        self,
        schema: GraphQLSchema,
        rules: Rules = NO_RULES,
        *,
        max_documents: int = 1_000,
        max_bytes: int = 25_000_000,
    ) -> None:
        self._schema = schema
        self._rules = rules
        self._max_documents = max_documents
        self._max_bytes = max_bytes
        self._documents: OrderedDict[str, Document] = OrderedDict()
        self._bytes = self._new = 0
        # Event loops in several threads may serve the same schema.
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._documents)

    def get(self, text: str, share: ParsingShare | None = None) -> Document | Awaitable[Document]:
        """Return a document, or something to wait for if it is new and large.

        Args:
            text: of the document.
            share: of the one who sent it; documents that are new and not small are parsed one
                at a time for each. `None`: nobody's.

        Raises:
            TooManyError: when it is awaited: too many documents wait already.
        """
        with self._lock:
            kept = self._documents.get(text)
            if kept is not None:
                self._documents.move_to_end(text)
                return kept
        # A text of megabytes has so many that not even counting them is for the event loop.
        size = None if len(text) > LARGE_LIMIT else _Size.of(text)
        is_inline = size is not None and size.is_small and len(text) <= INLINE_LIMIT
        if size is None or not is_inline or not may_parse(size.names):
            return self._load_in_thread(text, size, share or _nobody)
        return self._load(text, size)

    async def _load_in_thread(
        self, text: str, size: _Size | None, share: ParsingShare
    ) -> Document:
        try:
            return await _parsers.run(
                share(),
                (self, text),
                partial(self._load, text, size),
                is_large=size is None or size.is_large,
            )
        except QueueFullError as error:
            message = "Too many large documents wait to be parsed"
            problem = exceeded("max_waiting_documents", error.allowed, message)
            raise TooManyError(problem) from None

    def _load(self, text: str, size: _Size | None) -> Document:
        document = load(self._schema, text, self._rules)
        if document.errors:
            return document
        memory = (size or _Size.of_long(text)).memory + getsizeof(text)
        return self._keep(text, replace(document, memory=memory))

    def _keep(self, text: str, document: Document) -> Document:
        if document.memory > self._max_bytes:
            return document
        with self._lock:
            if text in self._documents:  # Two asked for it while it was parsed.
                return self._documents[text]
            self._documents[text] = document
            self._bytes += document.memory
            self._new += 1
            if self._new >= NEW_UNTIL_A_SUM:
                # What was kept before has been compiled meanwhile.
                self._new = 0
                self._bytes = sum([each.memory_of_all for each in self._documents.values()])
            while len(self) > self._max_documents or self._bytes > self._max_bytes:
                _, oldest = self._documents.popitem(last=False)
                self._bytes -= oldest.memory_of_all
        return document


class _Size(NamedTuple):
    """What stands in a document: it may be dear to validate, and take much memory."""

    names: int
    signs: int

    @classmethod
    def of(cls, text: str) -> _Size:
        return cls(len(_NAME.findall(text)), len(_SIGN.findall(text)))

    @classmethod
    def of_long(cls, text: str) -> _Size:
        # One by one: other threads go on in between.
        return cls(*(sum(1 for _ in each.finditer(text)) for each in (_NAME, _SIGN)))

    @property
    def is_small(self) -> bool:
        return self.names <= INLINE_NAMES and self.signs <= INLINE_SIGNS

    @property
    def is_large(self) -> bool:
        return self.names > LARGE_NAMES or self.signs > LARGE_SIGNS

    @property
    def memory(self) -> int:
        return BYTES_FOR_A_NAME * self.names + BYTES_FOR_A_SIGN * self.signs


def load(schema: GraphQLSchema, text: str, rules: Rules = NO_RULES) -> Document:
    """Parse and validate; what is wrong is in the document, and not raised."""
    try:
        ast = (
            rules.parse_document(text)
            if rules.parse_document
            else parse_document(text, rules.max_tokens)
        )
        errors = told((rules.validate_document or validate_document)(schema, ast, rules.all()))
    except GraphQLError as error:
        return Document(_NOTHING, (error,))
    # Newer releases of graphql-core count the levels and say it themselves.
    except RecursionError:
        return Document(_NOTHING, (GraphQLError("Document is nested too deeply."),))
    limits = rules.execution_limits
    return Document(ast, tuple(errors), limits, hides_suggestions=not rules.introspection)


def parse_document(text: str, max_tokens: int | None = None) -> DocumentNode:
    """Parse a document.

    Raises:
        GraphQLError: there is a mistake in it, or there are more tokens than allowed.
    """
    try:
        document = parse(IndexedSource(text), max_tokens=max_tokens)
    except GraphQLSyntaxError as error:
        # The library's words for it name neither the option nor a cure.
        if max_tokens is None or "tokens. Parsing aborted" not in error.message:
            raise
        text = f"Document contains more than {max_tokens} tokens"
        raise exceeded("max_tokens", max_tokens, text) from None
    _forget_tokens(document)
    return document


_NO_TOKEN: Final = Token(TokenKind.SOF, 0, 0, 0, 0)


def _forget_tokens(document: DocumentNode) -> None:
    """Let the places of a parsed document be without its tokens, which nothing of GraphQL needs.

    They are two thirds of all objects. Linked to one another, they would wait for the garbage
    collector, which looks at those of the documents that are kept each time.
    """
    assert document.loc is not None
    token: Token | None = document.loc.start_token
    nodes: list[Node] = [document]
    while nodes:
        node = nodes.pop()
        location: Any = node.loc
        location.start_token = location.end_token = _NO_TOKEN
        for key in node.keys:
            value = getattr(node, key, None)
            if isinstance(value, Node):
                nodes.append(value)
            elif isinstance(value, list | tuple):
                nodes += [each for each in value if isinstance(each, Node)]
    while token is not None:
        token.prev, token.next, token = None, None, token.next


def validate_document(
    schema: GraphQLSchema, ast: DocumentNode, rules: Sequence[type[ASTValidationRule]]
) -> Sequence[GraphQLError]:
    """Return what is wrong: by limits, or else by GraphQL's rules, or else by the others.

    Raises:
        RecursionError: the document is nested too deeply.
    """
    first: list[type[DocumentRule]] = [rule for rule in rules if issubclass(rule, DocumentRule)]
    first.append(UnconditionalSubscription)
    errors: Sequence[GraphQLError] = told(error for rule in first for error in rule.problems(ast))
    if errors:
        return errors
    # What may not be asked about is not told by mistake either.
    hides = NoIntrospection in first
    others = [rule for rule in rules if rule not in first]
    errors = validate(schema, ast, _of_graphql(others, hides=hides), hide_suggestions=hides)
    others = [rule for rule in others if not issubclass(rule, LimitedMerging)]
    # After the others: rules rely on fragments that are there, and spread no circles.
    return errors or (validate(schema, ast, others, hide_suggestions=hides) if others else [])


def _of_graphql(
    rules: Sequence[type[ASTValidationRule]], *, hides: bool
) -> list[type[ASTValidationRule]]:
    """Return the rules of GraphQL, the one about merging with its limit, if these have one."""
    merging = next(
        (rule for rule in rules if issubclass(rule, LimitedMerging)),
        OverlappingFieldsCanBeMergedRule,
    )
    found: list[type[ASTValidationRule]] = [] if hides else [FewSuggestions]
    found += [
        merging if rule is OverlappingFieldsCanBeMergedRule else rule for rule in specified_rules
    ]
    return found


def told(errors: Iterable[GraphQLError]) -> list[GraphQLError]:
    """Return as many of the errors of a document as are told to whoever has sent it.

    What is wrong with one fragment is wrong with each operation that spreads it, and an error
    may name each fragment of a document: the document may be much smaller than its errors.
    """
    found: list[GraphQLError] = []
    size = 0
    for error in errors:
        if len(found) == MOST_ERRORS or size > MOST_CHARACTERS_OF_ERRORS:
            found.append(GraphQLError(ABORTED))
            break
        size += len(error.message) + CHARACTERS_FOR_A_PLACE * len(error.locations or ())
        found.append(error)
    return found


MOST_CACHES: Final = 8
"""Caches of one schema: consumers with rules of their own have documents of their own."""


def documents_of(schema: GraphQLSchema, rules: Rules = NO_RULES) -> DocumentCache:
    """Return the cache of this schema and these rules, one for all that serve it.

    It is an attribute of the schema: in a table, however weak, a compiled document from
    which one comes to the schema would keep that alive.
    """
    caches: OrderedDict[Rules, DocumentCache] = vars(schema).setdefault(_CACHES, OrderedDict())
    with _caches_lock:
        cache = caches.get(rules)
        if cache is None:
            cache = caches[rules] = DocumentCache(schema, rules)
            while len(caches) > MOST_CACHES:
                caches.popitem(last=False)
        caches.move_to_end(rules)
    return cache


_caches_lock = threading.Lock()


MOST_KEPT: Final = 8
"""Most that is kept for one document: several operations, or consumers with middleware."""


def compiled(
    schema: GraphQLSchema,
    document: Document,
    operation: OperationDefinitionNode,
    middleware: MiddlewareManager | None,
) -> CompiledOperation | None:
    """Return a compiled operation; `None` if graphql-core has to execute it."""
    key = id(operation), id(middleware)
    # The middleware is kept as well: the `id` of one that is gone may be another's.
    kept: tuple[object, CompiledOperation | None] | None = document.compiled.get(key)
    if kept is None:
        compiled_operation = compile_operation(
            schema,
            document.ast,
            operation,
            middleware,
            document.limits,
            hide_suggestions=document.hides_suggestions,
        )
        kept = middleware, compiled_operation
        if len(document.compiled) >= MOST_KEPT:
            document.compiled.clear()
        document.compiled[key] = kept
    return kept[1]
