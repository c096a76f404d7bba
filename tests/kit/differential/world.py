"""The data of one execution: made from recipes, the same for each, and noting what is used."""

from __future__ import annotations

import asyncio
import types
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from graphql import GraphQLResolveInfo, GraphQLSchema, Undefined
from graphql.pyutils import is_awaitable

from differential import notes
from differential.recipes import FAULTS, Fault, Items, Later, Null, Plain, Recipe, Thing
from support import tick

DEEPEST = 7
MOST_THINGS = 150


@dataclass
class Plan:
    """What is the same for both executions.

    Attributes:
        hows: how a field of an object type is resolved, `default` for those not named.
        recipes: what such a field may give.
        types: how the type of a thing is found out, by the name of the type.
        has_typename: whether things say it themselves.
    """

    schema: GraphQLSchema
    hows: dict[tuple[str, str], str] = field(default_factory=dict)
    recipes: dict[tuple[str, str], tuple[Recipe, ...]] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)
    has_typename: bool = True
    root: Recipe = field(default_factory=Null)

    @property
    def may_be_forgotten(self) -> bool:
        """Tell if there is something that graphql-core does not wait for."""
        return "container='async_" in repr(self.recipes) or "async_function" in self.types.values()


class Context:
    """The `info.context` of one execution."""

    def __init__(self, world: World) -> None:
        self.world = world


class World:
    """The data of one execution, and a list of what was asked of them."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.notes: list[notes.Note] = []
        self.context = Context(self)
        self._names: dict[int, str] = {}
        self._things: list[Any] = []
        self.root = self.build(plan.root, 0, 0)

    def note(self, *content: Any) -> None:
        self.notes.append(content)

    def name_of(self, value: Any) -> Any:
        """Tell which thing this is; the same in each execution."""
        return self._names.get(id(value)) or notes.canonical(value)

    def info(self, info: GraphQLResolveInfo) -> notes.Note:
        return notes.of_info(info, self.context, self.root)

    def resolve(self, key: tuple[str, str], source: Any, info: Any, args: dict[str, Any]) -> Any:
        """Resolve a field in place of a resolver of the user's."""
        self.note("resolve", key, self.name_of(source), self.info(info), notes.canonical(args))
        self._spoil(info, args)
        path = info.path.as_list()
        salt = sum(each for each in path if isinstance(each, int))
        return self.field(key, salt, sum(isinstance(each, str) for each in path))

    async def resolve_later(self, *call: Any) -> Any:
        """Resolve a field as an asynchronous resolver does."""
        await tick()
        value = self.resolve(*call)
        return await value if is_awaitable(value) else value

    def _spoil(self, info: GraphQLResolveInfo, args: dict[str, Any]) -> None:
        """Change the arguments: those made of literals are the resolver's own."""
        defaults = info.parent_type.fields[info.field_name].args.values()
        shared = [default.default_value for default in defaults]
        shared.extend(info.variable_values.values())
        for value in args.values():
            if any(value is each for each in shared):
                continue
            if isinstance(value, list):
                value.append("spoilt")
            elif isinstance(value, dict):
                value["spoilt"] = True

    def field(self, key: tuple[str, str], salt: int, depth: int) -> Any:
        """Give the value of a field, or raise."""
        recipes = self.plan.recipes.get(key, (Null(),))
        return self.build(recipes[salt % len(recipes)], salt, depth, may_raise=True)

    def build(self, recipe: Recipe, salt: int, depth: int, *, may_raise: bool = False) -> Any:
        """Give a value, made after the recipe."""
        match recipe:
            case Null():
                return None
            case Plain(value):
                return value
            case Fault(name, is_raised):
                fault = FAULTS[name]()
                if is_raised and may_raise:
                    raise fault
                return fault
            case Items(container, items):
                built = [self.build(each, salt + at, depth) for at, each in enumerate(items)]
                return _CONTAINERS[container](built)
            case Thing():
                return self._thing(recipe, salt, depth)
            case Later(how, turns, value):
                return self._later(how, turns, lambda: self._raised(value, salt, depth))

    def _raised(self, recipe: Recipe, salt: int, depth: int) -> Any:
        return self.build(recipe, salt, depth, may_raise=True)

    def _later(self, how: str, turns: int, make: Callable[[], Any]) -> Any:
        async def wait() -> Any:
            await tick(turns)
            return make()

        if how == "coroutine":
            return wait()
        if how == "task":
            return asyncio.ensure_future(wait())
        if how == "future":
            return _future(turns, make)
        return _Waiting(wait) if how == "awaitable" else _old(wait)

    def _thing(self, recipe: Thing, salt: int, depth: int) -> Any:
        names: list[str] = []
        self._things.append(None)
        if depth < DEEPEST and len(self._things) < MOST_THINGS:
            names = [
                name
                for type, name in self.plan.recipes
                if type == recipe.type and (type, name) not in self.plan.hows
            ]
        thing = _KINDS[recipe.kind](_Fields(self, recipe, names, salt, depth))
        # It is kept, so that its number is not given to another one.
        self._things.append(thing)
        self._names[id(thing)] = f"{recipe.type} {len(self._things)} {recipe.kind}"
        return thing


_READ_ONCE = {
    "generator": "iterable",
    "failing": "iterable",
    "async_generator": "async_iterable",
}


def _readable_twice(recipe: Recipe) -> Recipe:
    """Return a recipe for a value that two fields may share.

    With a generator, the second field would see how far ahead the first one has read it.
    """
    match recipe:
        case Items(container, items):
            container = _READ_ONCE.get(container, container)
            return Items(container, tuple(map(_readable_twice, items)))
        case Later():
            return replace(recipe, value=_readable_twice(recipe.value))
        case _:
            return recipe


@dataclass(frozen=True)
class _Fields:
    """The fields of a thing, from its world."""

    world: World
    recipe: Thing
    names: list[str]
    salt: int
    depth: int

    def built(self) -> dict[str, Any]:
        """Give all fields; none of them is able to raise."""
        return {name: self._built(name) for name in self.names} | self.tags()

    def _built(self, name: str) -> Any:
        recipes = self.world.plan.recipes[self.recipe.type, name]
        recipe = _readable_twice(recipes[self.salt % len(recipes)])
        return self.world.build(recipe, self.salt, self.depth + 1)

    def tags(self) -> dict[str, Any]:
        tags = {"tag": self.recipe.tag}
        if self.world.plan.has_typename:
            tags["__typename"] = self.recipe.tag
        return tags

    def ask(self, name: str) -> Any:
        """Give one field, or raise what its recipe says."""
        self.world.note("ask", self.recipe.type, name, self.salt)
        return self.world.field((self.recipe.type, name), self.salt, self.depth + 1)

    def call(self, name: str) -> Callable[..., Any]:
        """Give a method that the default resolver calls."""

        def method(info: Any, **args: Any) -> Any:
            world = self.world
            world.note("call", name, self.salt, world.info(info), notes.canonical(args))
            return world.field((self.recipe.type, name), self.salt, self.depth + 1)

        return method


class _Object:
    """Has attributes; the name of its type is mangled, as graphql-core expects it."""

    def __init__(self, attributes: dict[str, Any]) -> None:
        if "__typename" in attributes:
            self.__typename = attributes.pop("__typename")
        vars(self).update(attributes)


class _Getattr:
    """Finds its fields when they are asked for."""

    def __init__(self, fields: _Fields) -> None:
        tags = fields.tags()
        vars(self).update(_fields=fields, tag=tags["tag"])
        if "__typename" in tags:
            self.__typename = tags["__typename"]

    def __getattr__(self, name: str) -> Any:
        if name not in self._fields.names:
            raise AttributeError(name)
        return self._fields.ask(name)


class _Record(Mapping[str, Any]):
    """A mapping that is no dict."""

    def __init__(self, fields: _Fields) -> None:
        self._fields = fields
        self._tags = fields.tags()

    def __getitem__(self, name: str) -> Any:
        if name in self._fields.names:
            return self._fields.ask(name)
        return self._tags[name]

    def __iter__(self) -> Iterator[str]:
        return iter((*self._tags, *self._fields.names))

    def __len__(self) -> int:
        return len(self._tags) + len(self._fields.names)


def _properties(fields: _Fields) -> Any:
    def asking(name: str) -> property:
        return property(lambda self: fields.ask(name))

    bases = (_Object,)
    return type("Properties", bases, {name: asking(name) for name in fields.names})(fields.tags())


def _slots(fields: _Fields) -> Any:
    built = fields.built()
    built["_Slots__typename"] = built.pop("__typename", None)
    thing = type("Slots", (), {"__slots__": list(built)})()
    for name, value in built.items():
        setattr(thing, name, value)
    return thing


def _callables(fields: _Fields) -> Any:
    return _Object({name: fields.call(name) for name in fields.names} | fields.tags())


_KINDS: dict[str, Callable[[_Fields], Any]] = {
    "dict": lambda fields: fields.built(),
    "object": lambda fields: _Object(fields.built()),
    "mapping": _Record,
    "slots": _slots,
    "properties": _properties,
    "getattr": _Getattr,
    "callables": _callables,
}


def tag_of(value: Any) -> Any:
    """Tell what a value says of its type."""
    return value.get("tag") if isinstance(value, Mapping) else getattr(value, "tag", None)


class _Iterable:
    def __init__(self, items: list[Any]) -> None:
        self.items = items

    def __iter__(self) -> Iterator[Any]:
        return iter(self.items)


class _AsyncIterable:
    def __init__(self, items: list[Any]) -> None:
        self.items = items

    def __aiter__(self) -> AsyncIterator[Any]:
        return _async_generator(self.items)


async def _async_generator(items: list[Any]) -> AsyncIterator[Any]:
    for item in items:
        await tick()
        yield item


def _failing(items: list[Any]) -> Iterator[Any]:
    yield from items
    raise LookupError("no more")


_CONTAINERS: dict[str, Callable[[list[Any]], Any]] = {
    "list": list,
    "tuple": tuple,
    "generator": lambda items: (item for item in items),
    "iterable": _Iterable,
    "values": lambda items: dict(enumerate(items)).values(),
    "deque": deque,
    "async_generator": _async_generator,
    "async_iterable": _AsyncIterable,
    "failing": _failing,
}


class _Waiting:
    """An awaitable that is neither a coroutine nor a future."""

    def __init__(self, wait: Callable[[], Any]) -> None:
        self._wait = wait

    def __await__(self) -> Any:
        return self._wait().__await__()


@types.coroutine
def _old(wait: Callable[[], Any]) -> Any:
    return (yield from wait().__await__())


def _future(turns: int, make: Callable[[], Any]) -> asyncio.Future[Any]:
    loop = asyncio.get_running_loop()
    future = loop.create_future()

    def settle() -> None:
        if future.done():
            return
        try:
            future.set_result(make())
        except StopIteration:
            future.set_result(Undefined)
        except Exception as error:  # noqa: BLE001 (whatever the recipe says)
            future.set_exception(error)

    if turns:
        loop.call_soon(settle)
    else:
        settle()
    return future
