"""Make schemas up, as text: few types, much in common between them, and every feature."""

from __future__ import annotations

from differential.choosing import Chooser

FIXED = """
directive @note(text: String) repeatable on FIELD | FRAGMENT_SPREAD | INLINE_FRAGMENT | QUERY
scalar Odd
scalar Json
enum Color { RED GREEN BLUE GREY }
input Range { low: Int = 0 high: Int! stepSize: Float }
input Filter {
  text: String = "all" range: Range = {high: 9} tags: [String!] colors: [Color!] = [RED]
  odd: Odd more: Filter exactly: [[Int]!]
}
"""

LEAVES = ("String", "Int", "Float", "Boolean", "ID", "Color", "Odd", "Json")
WRAPPINGS = ("{}", "{}!", "[{}]", "[{}!]", "[{}]!", "[{}!]!", "[[{}]]", "[[{}!]!]!")
FIELDS = ("name", "age", "kind", "friend", "friends", "owner", "bestPet", "items")
OBJECTS = ("Cat", "Dog", "Owl")
INTERFACES = ("Named", "Node")
UNIONS = ("Pet", "Found")

# `source`, `info` and `self` are what resolvers call their own arguments.
ARGUMENTS = (
    "a: Int",
    "a: Int = 3",
    "b: Int! = 4",
    "c: Int!",
    "camelCase: String",
    'text: String = "t"',
    "flag: Boolean = null",
    "source: String",
    "info: Int",
    "self: ID",
    "list: [Int!]",
    "lists: [[Int]] = [[1], null]",
    "color: Color = GREEN",
    "colors: [Color!]! = [RED]",
    "odd: Odd",
    "json: Json",
    "ratio: Float = 1",
    "filter: Filter",
    'filter: Filter = {text: "x", range: {high: 3}}',
    "range: Range!",
    "ranges: [Range!]",
)

Fields = dict[str, str]
"""For the name of each field its arguments and its type, as text."""


class SchemaText:
    """One schema that was made up."""

    def __init__(self, choose: Chooser) -> None:
        self._choose = choose
        self.objects = OBJECTS[: 1 + choose.number(2)]
        self.interfaces = INTERFACES[: choose.number(2)]
        self.unions = UNIONS[: choose.number(2)]
        self._composites = (*self.objects, *self.interfaces, *self.unions)
        self._shared = {name: self._fields(2) for name in self.interfaces}
        if len(self.interfaces) > 1 and choose.rarely(40):
            self._shared["Node"] = {**self._shared["Node"], **self._shared["Named"]}
            self._node = "interface Node implements Named"
        else:
            self._node = "interface Node"

    def __str__(self) -> str:
        shared = [
            _definition(self._node if name == "Node" else f"interface {name}", fields)
            for name, fields in self._shared.items()
        ]
        objects = [self._object(name) for name in self.objects]
        unions = [self._union(name) for name in self.unions]
        roots = [
            _definition(f"type {root}", self._fields(most))
            for root, most in (("Query", 4), ("Mutation", 3), ("Subscription", 3))
        ]
        return "\n".join([FIXED, *shared, *objects, *unions, *roots])

    def _union(self, name: str) -> str:
        members = self._choose.some(self.objects, 70) or self.objects[:1]
        return f"union {name} = {' | '.join(members)}"

    def _object(self, name: str) -> str:
        implemented = self._choose.some(self.interfaces, 70)
        if "Node" in implemented and "Named" in self._node and "Named" not in implemented:
            implemented.append("Named")
        fields = self._fields(3)
        # From the first to the last: where two disagree, the one they both have is `Named`.
        for interface in sorted(implemented, reverse=True):
            for field, text in self._shared[interface].items():
                stricter = not text.endswith("!") and self._choose.rarely(20)
                fields[field] = text + "!" * stricter
        implemented = [each for each in implemented if self._keeps(fields, each)]
        if "Named" not in implemented and "Named" in self._node:
            implemented = [each for each in implemented if each != "Node"]
        ending = f" implements {' & '.join(implemented)}" if implemented else ""
        return _definition(f"type {name}{ending}", fields)

    def _keeps(self, fields: Fields, interface: str) -> bool:
        shared = self._shared[interface]
        return all(fields[name] in (text, f"{text}!") for name, text in shared.items())

    def _fields(self, most: int) -> Fields:
        count = 1 + self._choose.number(most - 1)
        names = {self._choose.one(FIELDS) for _ in range(count)}
        return {name: self._arguments() + self._type() for name in sorted(names)}

    def _type(self) -> str:
        of_composite = self._choose.number(1)
        base = self._choose.one(self._composites if of_composite else LEAVES)
        return ": " + self._choose.one(WRAPPINGS).format(base)

    def _arguments(self) -> str:
        if not self._choose.rarely(40):
            return ""
        chosen = {self._choose.one(ARGUMENTS) for _ in range(1 + self._choose.number(1))}
        by_name = {text.partition(":")[0]: text for text in sorted(chosen)}
        return f"({', '.join(by_name.values())})"


def _definition(heading: str, fields: Fields) -> str:
    lines = "".join(f"  {name}{text}\n" for name, text in fields.items())
    return f"{heading} {{\n{lines}}}"
