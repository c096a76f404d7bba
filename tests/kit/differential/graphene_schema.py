"""Make the same schema of Graphene's classes."""

from __future__ import annotations

from typing import Any

import graphene
from graphene.types.resolver import attr_resolver, dict_or_attr_resolver, dict_resolver
from graphene.types.scalars import Scalar
from graphql import (
    GraphQLSchema,
    get_named_type,
    is_enum_type,
    is_input_object_type,
    is_interface_type,
    is_list_type,
    is_non_null_type,
    is_object_type,
    is_scalar_type,
    is_specified_scalar_type,
    is_union_type,
)

from differential.bindings import (
    ENUM_VALUES,
    parse_literal,
    parse_value,
    resolver,
    serialize,
    type_predicate,
)
from differential.world import Plan, tag_of

DEFAULT_RESOLVERS = (dict_or_attr_resolver, dict_resolver, attr_resolver)


def to_graphene(draft: GraphQLSchema, plan: Plan) -> GraphQLSchema:
    """Make the schema of Graphene's classes."""
    return _Classes(draft, plan).schema()


class _Classes:
    """The classes of one schema, each made when it is first asked for."""

    def __init__(self, draft: GraphQLSchema, plan: Plan) -> None:
        self._draft = draft
        self._plan = plan
        self._classes: dict[str, Any] = {}

    def schema(self) -> GraphQLSchema:
        """Give graphql-core's schema of it all."""
        roots = {
            name: self.named(getattr(self._draft, f"{name}_type"))
            for name in ("query", "mutation", "subscription")
        }
        others = [
            self.named(type)
            for type in self._draft.type_map.values()
            if is_object_type(type) and not type.name.startswith("__")
        ]
        schema = graphene.Schema(**roots, types=others, auto_camelcase=False)
        core: GraphQLSchema = schema.graphql_schema
        core.directives = self._draft.directives
        return core

    def named(self, type: Any) -> Any:
        """Give the class of a type that is neither a list nor required."""
        if type.name not in self._classes:
            self._classes[type.name] = self._made(type)
        return self._classes[type.name]

    def _made(self, type: Any) -> Any:
        if is_specified_scalar_type(type):
            return getattr(graphene, type.name)
        if is_scalar_type(type):
            return self._scalar(type)
        if is_enum_type(type):
            return graphene.Enum(type.name, {**dict.fromkeys(type.values), **_ENUM})
        if is_input_object_type(type):
            return self._input(type)
        if is_union_type(type):
            return self._union(type)
        assert is_interface_type(type) or is_object_type(type)
        return self._with_fields(type)

    def _scalar(self, type: Any) -> Any:
        functions: dict[str, Any] = {"serialize": staticmethod(serialize)}
        functions["parse_value"] = staticmethod(lambda value: value)
        functions["parse_literal"] = staticmethod(parse_literal)
        if type.name == "Odd":
            functions["parse_value"] = staticmethod(parse_value)
        return _class(type.name, Scalar, functions)

    def _input(self, type: Any) -> Any:
        content = {
            name: graphene.InputField(
                self._lazily(field.type),
                default_value=field.default_value,
                name=name,
            )
            for name, field in type.fields.items()
        }
        return _class(type.name, graphene.InputObjectType, content)

    def _union(self, type: Any) -> Any:
        meta = _class("Meta", object, {"types": tuple(self.named(each) for each in type.types)})
        return _class(type.name, graphene.Union, {"Meta": meta, **self._type_resolver(type.name)})

    def _with_fields(self, type: Any) -> Any:
        content: dict[str, Any] = {
            name: self._field(field, name) for name, field in type.fields.items()
        }
        options: dict[str, Any] = {
            "interfaces": tuple(self.named(each) for each in type.interfaces)
        }
        if is_interface_type(type):
            content |= {"Meta": _class("Meta", object, options), **self._type_resolver(type.name)}
            return _class(type.name, graphene.Interface, content)
        # Which one is a matter of the name, so that all of them have their turn.
        options["default_resolver"] = DEFAULT_RESOLVERS[0 if type.name != "Owl" else 2]
        content |= {
            f"resolve_{name}": resolver((type.name, name), how)
            for name in type.fields
            if (how := self._plan.hows.get((type.name, name))) is not None
        }
        predicate = type_predicate(type.name, self._plan.types.get(type.name, "none"))
        if predicate is not None:
            content["is_type_of"] = predicate
        content["Meta"] = _class("Meta", object, options)
        return _class(type.name, graphene.ObjectType, content)

    def _type_resolver(self, name: str) -> dict[str, Any]:
        how = self._plan.types[name]
        if how == "default":
            return {}

        def resolve_type(value: Any, info: Any) -> Any:
            world = info.context.world
            world.note("resolve_type", name, world.name_of(value), world.info(info))
            if how == "raising":
                raise LookupError("which type?")
            tag = tag_of(value)
            return self._classes.get(tag, tag) if isinstance(tag, str) else tag

        return {"resolve_type": staticmethod(resolve_type)}

    def _field(self, field: Any, name: str) -> Any:
        arguments = {
            _attribute(argument): graphene.Argument(
                self._lazily(definition.type),
                default_value=definition.default_value,
                name=argument,
            )
            for argument, definition in field.args.items()
        }
        return graphene.Field(self._lazily(field.type), args=arguments, name=name)

    def _lazily(self, type: Any) -> Any:
        if is_non_null_type(type):
            return graphene.NonNull(self._lazily(type.of_type))
        if is_list_type(type):
            return graphene.List(self._lazily(type.of_type))
        return lambda: self.named(get_named_type(type))


_ENUM = {name: str(value) for name, value in ENUM_VALUES.items()}


def _attribute(argument: str) -> str:
    return "camel_case" if argument == "camelCase" else argument


def _class(name: str, base: Any, content: dict[str, Any]) -> Any:
    return type(name, (base,), content)
