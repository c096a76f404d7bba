"""Make documents up that are valid for a schema, as text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from graphql import (
    GraphQLField,
    GraphQLNamedType,
    GraphQLNonNull,
    GraphQLSchema,
    get_named_type,
    is_composite_type,
    is_non_null_type,
    is_required_argument,
)
from graphql.utilities import do_types_overlap

from differential.choosing import Chooser
from differential.literals import Literals

DEEPEST = 4


@dataclass
class Used:
    """What a piece of a document refers to."""

    variables: set[str] = field(default_factory=set)
    fragments: set[str] = field(default_factory=set)


@dataclass
class Variable:
    name: str
    type: Any
    default: str | None

    def __str__(self) -> str:
        return f"${self.name}: {self.type}{f' = {self.default}' if self.default else ''}"


@dataclass
class Operation:
    name: str
    heading: str
    variables: list[Variable]


class DocumentText:
    """One document that was made up.

    Attributes:
        operations: what can be executed.
    """

    def __init__(self, choose: Chooser, schema: GraphQLSchema) -> None:
        self._choose = choose
        self._schema = schema
        self._literals = Literals(choose, self._variable)
        self._variables: list[Variable] = []
        self._fragments: dict[str, tuple[GraphQLNamedType, str, Used]] = {}
        self._keys: dict[str, str] = {}
        self._used = Used()
        self._size = 0
        pieces = [self._operation(number) for number in range(1 + choose.rarely(20))]
        self.operations = [operation for operation, _ in pieces]
        bodies = [f"{operation.heading} {body}" for operation, body in pieces]
        fragments = [text for _, text, _ in self._fragments.values()]
        self.text = "\n".join([*bodies, *fragments])

    def _operation(self, number: int) -> tuple[Operation, str]:
        kind = self._choose.one(("query", "query", "mutation", "subscription"))
        root = getattr(self._schema, f"{kind}_type")
        self._used = Used()
        body = self._selections(root, 0, only_one=kind == "subscription")
        names = sorted({name for used in self._reached(self._used) for name in used.variables})
        variables = [each for each in self._variables if each.name in names]
        name = f"Op{number}"
        listed = f"({', '.join(map(str, variables))})" if variables else ""
        heading = f"{kind} {name}{listed}{self._note()}"
        return Operation(name, heading, variables), body

    def _reached(self, used: Used, seen: set[str] | None = None) -> Iterator[Used]:
        seen = set() if seen is None else seen
        yield used
        for name in used.fragments - seen:
            seen.add(name)
            yield from self._reached(self._fragments[name][2], seen)

    def _selections(self, type: Any, depth: int, *, only_one: bool = False) -> str:
        count = 1 if only_one else 1 + self._choose.number(3)
        chosen: list[str] = []
        for _ in range(count):
            self._size += 1
            text = self._selection(type, depth, only_one=only_one)
            chosen.append(text)
            if self._choose.rarely(8):
                chosen.append(text)
        return f"{{ {' '.join(chosen)} }}"

    def _selection(self, type: Any, depth: int, *, only_one: bool = False) -> str:
        if only_one:
            return self._field(type, depth, plain=True)
        if self._choose.rarely(30):
            return self._fragment(type, depth)
        return self._field(type, depth)

    def _field(self, type: Any, depth: int, *, plain: bool = False) -> str:
        fields = getattr(type, "fields", {})
        too_deep = depth >= DEEPEST or self._size > 25
        names = [
            name
            for name, each in fields.items()
            if not (too_deep and is_composite_type(get_named_type(each.type)))
        ]
        if not names or (not plain and self._choose.rarely(10)):
            return self._keyed("__typename", "", "String!") + self._directives(plain=plain)
        name = self._choose.one(names)
        definition = fields[name]
        start = self._keyed(name, self._arguments(definition), str(definition.type))
        named = get_named_type(definition.type)
        rest = f" {self._selections(named, depth + 1)}" if is_composite_type(named) else ""
        return start + self._directives(plain=plain) + rest

    def _keyed(self, name: str, arguments: str, type: str) -> str:
        """Give a field a response key that stands for the same everywhere."""
        signature = f"{name}{arguments}: {type}"
        wanted = self._choose.one((name, name, name, "key", "other"))
        number = 0
        key = wanted
        while self._keys.setdefault(key, signature) != signature:
            number += 1
            key = f"{wanted}{number}"
        return f"{name}{arguments}" if key == name else f"{key}: {name}{arguments}"

    def _arguments(self, definition: GraphQLField) -> str:
        given = [
            f"{name}: {self._argument(argument)}"
            for name, argument in definition.args.items()
            if is_required_argument(argument) or self._choose.rarely(60)
        ]
        return f"({', '.join(given)})" if given else ""

    def _argument(self, argument: Any) -> str:
        has_default = is_non_null_type(argument.type) and not is_required_argument(argument)
        return self._literals.argument(argument.type, has_default=has_default)

    def _fragment(self, type: Any, depth: int) -> str:
        fitting = [
            each
            for each in self._schema.type_map.values()
            if is_composite_type(each)
            and not each.name.startswith("__")
            and do_types_overlap(self._schema, each, type)
        ]
        directives = self._directives()
        if self._choose.rarely(50):
            known = [name for name, (on, _, _) in self._fragments.items() if on in fitting]
            if known and self._choose.rarely(40):
                name = self._choose.one(known)
            else:
                name = self._named(self._choose.one(fitting), depth)
            self._used.fragments.add(name)
            return f"...{name}{directives}"
        if self._choose.rarely(20):
            return f"...{directives} {self._selections(type, depth + 1)}"
        on = self._choose.one([type, *fitting])
        return f"... on {on}{directives} {self._selections(on, depth + 1)}"

    def _named(self, type: Any, depth: int) -> str:
        outer, self._used = self._used, Used()
        body = self._selections(type, depth + 1)
        inner, self._used = self._used, outer
        name = f"Part{len(self._fragments)}"
        self._fragments[name] = (type, f"fragment {name} on {type} {body}", inner)
        return name

    def _directives(self, *, plain: bool = False) -> str:
        text = self._note()
        for name in ("skip", "include"):
            if not plain and self._choose.rarely(12):
                type = GraphQLNonNull(self._schema.type_map["Boolean"])  # type: ignore[type-var]
                text += f" @{name}(if: {self._literals.argument(type)})"
        return text

    def _note(self) -> str:
        return ' @note(text: "n") @note' if self._choose.rarely(3) else ""

    def _variable(self, type: Any, has_default: bool) -> str:
        """Give the name of a variable that may stand where this type is asked for."""
        bare = type.of_type if is_non_null_type(type) else type
        kinds: list[tuple[Any, str | None]] = [(type, None), (GraphQLNonNull(bare), None)]
        default = self._literals.constant(bare)
        kinds.append((bare, default))
        if has_default:
            kinds.append((bare, None))
        wanted, literal = self._choose.one(kinds)
        for known in self._variables:
            fits = str(known.type) == str(wanted) and (
                literal is None or known.default is not None
            )
            if fits and self._choose.rarely(60):
                self._used.variables.add(known.name)
                return known.name
        variable = Variable(f"v{len(self._variables)}", wanted, literal)
        self._variables.append(variable)
        self._used.variables.add(variable.name)
        return variable.name
