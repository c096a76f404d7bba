"""Lines and columns, found without counting the lines of a document for each error."""

from __future__ import annotations

from graphql import Source
from hypothesis import example, given
from hypothesis import strategies as st

from channels_graphql_ws.execution.source import IndexedSource


@given(st.text(alphabet="a\r\n\u2028ü", max_size=20), st.integers(0, 21))
@example("", 0)
@example("\r\n\r\na", 3)
def test_a_location_is_that_of_graphql_core(text, position):
    source = IndexedSource(text)
    expected = Source(text).get_location(position)
    assert source.get_location(position) == expected
    assert source.get_location(position) == expected
    assert source == Source(text)
