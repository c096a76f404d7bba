"""Make whole cases up: a schema, a document, data, variables and middleware."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    GraphQLNonNull,
    GraphQLSchema,
    TypeInfo,
    TypeInfoVisitor,
    Visitor,
    build_schema,
    parse,
    type_from_ast,
    visit,
)
from hypothesis import note
from hypothesis import strategies as st

from differential.bindings import bind, choose_resolvers, choose_types
from differential.choosing import Chooser
from differential.document_text import DocumentText
from differential.literals import MISSING, Values
from differential.middleware import choose_middleware
from differential.recipes import Cook, Plain, Temper, Thing, possible_types
from differential.schema_text import SchemaText
from differential.side_by_side import Operation, assert_same
from differential.world import Plan, World

TEMPERS = (
    Temper(),
    Temper(later=25),
    Temper(wrong=4),
    Temper(wrong=15),
    Temper(wrong=5, null=10, later=15),
)

Make = Callable[[GraphQLSchema, Plan], GraphQLSchema]


@dataclass
class Case:
    """One case that was made up."""

    text: str
    plan: Plan
    operation: Operation
    variables: list[dict[str, Any]]

    def __repr__(self) -> str:
        hows = "\n".join(f"{key}: {how}" for key, how in self.plan.hows.items())
        recipes = "\n".join(f"{key}: {each}" for key, each in self.plan.recipes.items())
        types = f"{self.plan.types}, typename: {self.plan.has_typename}"
        middleware = self.operation.middleware
        return (
            f"\n{self.text}\n\n{hows}\n{recipes}\n{types}\nroot: {self.plan.root}\n"
            f"middleware: {middleware and middleware.middlewares}\n"
        )

    def _repr_pretty_(self, printer: Any, cycle: object) -> None:
        printer.text(repr(self))

    def check(self) -> None:
        """Execute it, some times, both ways."""
        for variables in self.variables:
            note(f"variables: {variables}")
            assert_same(
                self.operation,
                lambda: World(self.plan),
                variables,
                may_forget=self.plan.may_be_forgotten,
            )


@st.composite
def cases(draw: Any, make: Make, *, tempers: tuple[Temper, ...] = TEMPERS) -> Case:
    """Make a case up."""
    choose = Chooser(draw)
    temper = choose.one(tempers)
    text = str(SchemaText(choose))
    draft = build_schema(text)
    plan = Plan(draft)
    choose_resolvers(choose, draft, plan, temper.later)
    choose_types(choose, draft, plan, temper.wrong * 4)
    schema = plan.schema = make(draft, plan)
    written = DocumentText(choose, schema)
    document = parse(written.text, no_location=choose.rarely(5))
    cook = Cook(choose, schema, temper)
    chosen = choose.one(written.operations)
    node = next(
        each
        for each in document.definitions
        if each.kind == "operation_definition" and each.name.value == chosen.name  # type: ignore[attr-defined]
    )
    _add_recipes(choose, cook, plan, document)
    plan.root = _root(choose, schema.get_root_type(node.operation))  # type: ignore[attr-defined]
    middleware = choose_middleware(choose, waits=bool(temper.later))
    variables = [_variables(choose, schema, node) for _ in range(2)]
    operation = Operation(schema, document, node, middleware)  # type: ignore[arg-type]
    described = f"{text}\n{written.text}\n# execute {chosen.name}"
    return Case(described, plan, operation, variables)


def from_text(draft: GraphQLSchema, plan: Plan) -> GraphQLSchema:
    """Make the schema of graphql-core's own types."""
    bind(draft, plan)
    return draft


def _root(choose: Chooser, type: Any) -> Any:
    if choose.rarely(5):
        return Plain(choose.one((None, 1, "text", [])))
    return Thing(type.name, choose.one(("object", "dict", "mapping", "callables")), type.name)


def _add_recipes(choose: Chooser, cook: Cook, plan: Plan, document: DocumentNode) -> None:
    """Have values for those fields that the document may ask for."""
    for key, type in _asked_for(plan.schema, document).items():
        count = 1 + choose.rarely(40)
        plan.recipes[key] = tuple(cook.recipe(type) for _ in range(count))


def _asked_for(schema: GraphQLSchema, document: DocumentNode) -> dict[tuple[str, str], Any]:
    found: dict[tuple[str, str], Any] = {}
    types = TypeInfo(schema)

    class Finder(Visitor):
        """Finds fields, those of all types that a parent may have."""

        def enter_field(self, node: FieldNode, *_: Any) -> None:
            parent: Any = types.get_parent_type()
            name = node.name.value
            if name.startswith("__"):
                return
            found.update(
                {
                    (each.name, name): each.fields[name].type
                    for each in possible_types(schema, parent)
                }
            )

    visit(document, TypeInfoVisitor(types, Finder()))
    return found


def _variables(choose: Chooser, schema: GraphQLSchema, node: Any) -> dict[str, Any]:
    values = Values(choose, wrong=8 if choose.rarely(20) else 0)
    given: dict[str, Any] = {"unknown": 1} if choose.rarely(5) else {}
    for definition in node.variable_definitions:
        type: Any = type_from_ast(schema, definition.type)
        optional = definition.default_value is not None or not isinstance(type, GraphQLNonNull)
        value = values.of(type, optional=optional)
        if value is not MISSING:
            given[definition.variable.name.value] = value
    return given
