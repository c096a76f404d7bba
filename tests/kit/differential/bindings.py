"""Bind a schema to the world of whichever execution asks: resolvers, types, scalars, enums."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from graphql import (
    GraphQLAbstractType,
    GraphQLError,
    GraphQLObjectType,
    GraphQLSchema,
    Undefined,
    ValueNode,
    is_abstract_type,
    is_object_type,
    value_from_ast_untyped,
)

from differential.choosing import Chooser
from differential.recipes import Shade
from differential.world import Plan, tag_of
from support import tick

Key = tuple[str, str]

HOWS: Final = (
    "default",
    "default",
    "function",
    "async_function",
    "coroutine",
    "partial",
    "method",
    "callable",
)
ABSTRACT: Final = ("default", "function", "async_function", "raising")
OBJECTS: Final = ("none", "none", "function", "async_function", "truthy", "lying", "raising")


def resolver(key: Key, how: str) -> Any:
    """Give a resolver that asks the world of its execution."""

    def function(source: Any, info: Any, /, **args: Any) -> Any:
        return info.context.world.resolve(key, source, info, args)

    async def async_function(source: Any, info: Any, /, **args: Any) -> Any:
        return await info.context.world.resolve_later(key, source, info, args)

    def coroutine(source: Any, info: Any, /, **args: Any) -> Any:
        return info.context.world.resolve_later(key, source, info, args)

    holder = _Holder(function)
    return {
        "function": function,
        "async_function": async_function,
        "coroutine": coroutine,
        "partial": partial(_with_key, key),
        "method": holder.resolve,
        "callable": holder,
    }[how]


def _with_key(key: Key, source: Any, info: Any, /, **args: Any) -> Any:
    return info.context.world.resolve(key, source, info, args)


@dataclass(frozen=True)
class _Holder:
    function: Callable[..., Any]

    def resolve(self, source: Any, info: Any, /, **args: Any) -> Any:
        return self.function(source, info, **args)

    def __call__(self, source: Any, info: Any, /, **args: Any) -> Any:
        return self.function(source, info, **args)


def type_resolver(how: str) -> Any:
    """Give a `resolve_type`, or `None`."""

    def function(value: Any, info: Any, type: GraphQLAbstractType) -> Any:
        world = info.context.world
        world.note("resolve_type", type.name, world.name_of(value), world.info(info))
        if how == "raising":
            raise LookupError("which type?")
        tag = tag_of(value)
        return info.schema.query_type if tag == "type" else tag

    async def async_function(*arguments: Any) -> Any:
        await tick()
        return function(*arguments)

    if how == "default":
        return None
    return async_function if how == "async_function" else function


def type_predicate(name: str, how: str) -> Any:
    """Give an `is_type_of`, or `None`."""

    def function(value: Any, info: Any) -> Any:
        world = info.context.world
        world.note("is_type_of", name, world.name_of(value), world.info(info))
        if how == "raising":
            raise LookupError("is it?")
        if how == "lying":
            return 0
        fits = tag_of(value) == name
        return "yes" * fits if how == "truthy" else fits

    async def async_function(*arguments: Any) -> Any:
        await tick()
        return function(*arguments)

    if how == "none":
        return None
    return async_function if how == "async_function" else function


def choose_types(choose: Chooser, schema: GraphQLSchema, plan: Plan, faulty: int) -> None:
    """Choose how the types of values are found out."""
    plan.has_typename = not choose.rarely(40)
    last = len(ABSTRACT) if choose.rarely(faulty) else len(ABSTRACT) - 1
    for name, type in schema.type_map.items():
        if name.startswith("__"):
            continue
        if is_abstract_type(type):
            plan.types[name] = choose.one(ABSTRACT[:last])
        elif is_object_type(type) and type not in _roots(schema):
            options = OBJECTS if choose.rarely(faulty) else OBJECTS[:5]
            how = choose.one(options)
            if not plan.has_typename and how == "none":
                how = "function"
            plan.types[name] = how


def choose_resolvers(choose: Chooser, schema: GraphQLSchema, plan: Plan, later: int) -> None:
    """Choose how fields are resolved."""
    options = HOWS if later else tuple(how for how in HOWS if "oroutine" not in how)
    options = options if later else tuple(how for how in options if "async" not in how)
    for type in object_types(schema):
        for name in type.fields:
            how = choose.one(options)
            if how != "default":
                plan.hows[type.name, name] = how


def object_types(schema: GraphQLSchema) -> list[GraphQLObjectType]:
    return [
        type
        for name, type in schema.type_map.items()
        if is_object_type(type) and not name.startswith("__")
    ]


def _roots(schema: GraphQLSchema) -> tuple[Any, ...]:
    return (schema.query_type, schema.mutation_type, schema.subscription_type)


@dataclass
class Box:
    """What an input object becomes for resolvers."""

    content: dict[str, Any]


ENUM_VALUES: Final[dict[str, Any]] = {"RED": "red", "GREEN": Shade.DARK, "BLUE": 3}


def serialize(value: Any) -> Any:
    """Serialize a scalar: some values do not allow it."""
    if not isinstance(value, str):
        return value
    if value == "refuse":
        raise ValueError("refused")
    if value == "graphql":
        raise GraphQLError("refused", extensions={"by": "scalar"})
    if value == "stop":
        raise StopIteration(value)
    special = {"nothing": None, "undefined": Undefined, "list": [1, {"z": 1, "a": (2,)}]}
    return special.get(value, f"<{value}>")


def parse_value(value: Any) -> Any:
    """Parse the value of a variable."""
    if value == "refuse":
        raise ValueError("refused")
    return ("parsed", repr(value))


def parse_literal(node: ValueNode, variables: dict[str, Any] | None = None) -> Any:
    """Parse a literal; while a document is validated there are no variables."""
    value = value_from_ast_untyped(node, variables)
    if value == "refuse" and variables is not None:
        raise ValueError("refused")
    return ("literal", value)


def bind(schema: GraphQLSchema, plan: Plan) -> None:
    """Give a schema that was made from text everything the plan says."""
    for type in object_types(schema):
        for name, field in type.fields.items():
            how = plan.hows.get((type.name, name))
            field.resolve = None if how is None else resolver((type.name, name), how)
            for argument, definition in field.args.items():
                if argument == "camelCase":
                    definition.out_name = "camel_case"
    for name, how in plan.types.items():
        bound: Any = schema.type_map[name]
        if is_abstract_type(bound):
            bound.resolve_type = type_resolver(how)
        else:
            bound.is_type_of = type_predicate(name, how)
    _bind_input(schema)


def _bind_input(schema: GraphQLSchema) -> None:
    types: dict[str, Any] = dict(schema.type_map)
    types["Range"].fields["stepSize"].out_name = "step_size"
    types["Range"].out_type = Box
    for name, value in ENUM_VALUES.items():
        types["Color"].values[name].value = value
    odd = types["Odd"]
    odd.serialize, odd.parse_value, odd.parse_literal = serialize, parse_value, parse_literal
    types["Json"].serialize = serialize
