"""Lines and columns, found without counting the lines of a document for each error."""

from __future__ import annotations

import tracemalloc
from unittest import mock

from graphql import Source
from hypothesis import example, given
from hypothesis import strategies as st

from channels_graphql_ws.execution import source as source_module
from channels_graphql_ws.execution.source import IndexedSource


@given(
    st.text(alphabet="a\r\n\u2028ü", max_size=20),
    st.integers(0, 21),
    st.sampled_from([1, 2, 3, source_module.BLOCK]),
)
@example("", 0, 1)
@example("\r\n\r\na", 3, 1)
@example("a\r\n\r\na", 3, 2)
def test_a_location_is_that_of_graphql_core(text, position, block):
    source = IndexedSource(text)
    expected = Source(text).get_location(position)
    with mock.patch.object(source_module, "BLOCK", block):
        assert source.get_location(position) == expected
        assert source.get_location(position) == expected
    assert source == Source(text)


def test_a_document_of_many_lines_takes_no_object_for_each():
    source = IndexedSource("\n" * 1_000_000)
    tracemalloc.start()
    try:
        location = source.get_location(999_999)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert location == (1_000_000, 1)
    assert most < 100_000
