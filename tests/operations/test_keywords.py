"""Options as keyword arguments, for type checkers: all that there are, and their types."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import get_type_hints

import pytest

from channels_graphql_ws import GraphqlHttpConsumer, GraphqlView, GraphqlWsConsumer
from channels_graphql_ws.operations.keywords import (
    HttpKeywords,
    RouterKeywords,
    WebSocketKeywords,
)
from channels_graphql_ws.operations.option_values import option_names

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("cls", "keywords"),
    [
        (GraphqlWsConsumer, WebSocketKeywords),
        (GraphqlHttpConsumer, HttpKeywords),
        (GraphqlView, HttpKeywords),
    ],
)
def test_type_checkers_know_each_option(cls: type, keywords: type):
    """If it fails: `python .ci/keywords.py` writes `operations/keywords.py` anew."""
    assert set(get_type_hints(keywords)) == option_names(cls)


def test_the_router_takes_the_options_of_both():
    both = {*get_type_hints(WebSocketKeywords), *get_type_hints(HttpKeywords)}
    assert set(get_type_hints(RouterKeywords)) == both - {"schema"}


def test_their_types_are_those_of_the_attributes():
    script = ROOT / ".ci" / "keywords.py"
    done = subprocess.run(
        [sys.executable, str(script), "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
