"""Every regular expression of the package takes steps in proportion to its input."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import channels_graphql_ws
from regex_steps import StepCounter

PACKAGE = Path(channels_graphql_ws.__file__).parent
FUNCTIONS = {"compile", "findall", "finditer", "fullmatch", "match", "search", "split", "sub"}

QUOTES = ['"', '"\\', '"\\"', '"a', '"\\\n', 'a,";', "\\", '"' * 2]

WORST = {
    "graphiql._FILE_OF_STYLE": ["url(./", "url('./a", "a"],
    "graphiql._OWN_HOST": ["/", "//"],
    "graphiql._NO_GZIP": [" ", "0", " q=0.", "q=0.0"],
    "http.completion._NAME": ["a", "a "],
    "http.completion._NOT_IN_VALUES": ["a", "\0"],
    "http.negotiation._ELEMENT": QUOTES,
    "http.negotiation._PARAMETER": QUOTES,
    "json_text._ESCAPED_SURROGATE": ["\\", "\\u", "\\ud"],
    "json_text._LONE_FIRST_HALF": ["\\", "\\ud800", "\\ud800\\u", "\\ud800\\udc00"],
    "json_text._LONE_SECOND_HALF": ["\\", "\\udc00", "\\ud800\\udc00", "\\ud800"],
    "json_text._LONG_NUMBER": ["1", "1" * 18 + "a"],
    "json_text._THREE_DIGITS": ["1", "11", "11a"],
    "pubsub.publisher._PREFIX": ["a", "-"],
    "serializer.scalars._ZONE_KEY": ["a", "a/", "a/b"],
    "execution.documents._NAME": ["a", "a "],
    "execution.documents._SIGN": ["a", "[", ",", "[,"],
}
"""What each makes its longest ways with, repeated to any length."""

OF_USERS = ("client.", "migration.", "routing.", "spelling.", "testing.")
"""Modules whose expressions see nothing but what the user of the package has written."""


def expressions():
    """Yield what is compiled: the names of the constants, and other calls by their line."""
    for path in PACKAGE.rglob("*.py"):
        module = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        tree = ast.parse(path.read_text())
        named = {
            node.value: ast.unparse(getattr(node, "target", None) or node.targets[0])
            for node in ast.walk(tree)
            if isinstance(node, ast.Assign | ast.AnnAssign)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and is_of_re(node):
                yield f"{module}.{named.get(node, f'line {node.lineno}')}"


def is_of_re(call):
    # What is not a text in the source is the user's own, as of a route.
    names = {f"re.{each}" for each in FUNCTIONS}
    return ast.unparse(call.func) in names and not isinstance(call.args[0], ast.Name)


def test_each_expression_is_a_constant_and_has_its_worst_inputs():
    found = {name for name in expressions() if not name.startswith(OF_USERS)}
    assert found == set(WORST), "add the worst inputs of a new expression to WORST"


@pytest.mark.parametrize(
    ("name", "piece"), [(name, piece) for name, pieces in WORST.items() for piece in pieces]
)
@pytest.mark.parametrize("end", ["", '"', "\\", "!"])
def test_twice_the_input_takes_about_twice_the_steps(name, piece, end):
    module, _, constant = name.rpartition(".")
    pattern = getattr(pytest.importorskip(f"channels_graphql_ws.{module}"), constant)
    short, long = (f"{piece * (size // len(piece))}{end}" for size in (60, 120))
    if isinstance(pattern.pattern, bytes):
        short, long = short.encode(), long.encode()
    counter = StepCounter(pattern)
    assert counter.search_all(long) < 2.5 * counter.search_all(short) + 10


def test_a_quadratic_expression_would_be_found():
    counter = StepCounter(re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*")+'))
    assert counter.search_all('"\\' * 60) > 3.5 * counter.search_all('"\\' * 30)
