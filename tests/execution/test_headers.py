"""Headers of a scope: repeated ones joined, and which are too large to be read."""

from __future__ import annotations

import pytest

from channels_graphql_ws.execution.headers import headers_of, problem_of_headers


def scope(*headers):
    return {"headers": headers}


def test_a_repeated_header_is_joined_and_cookies_as_cookies_are():
    headers = [(b"X-A", b"1"), (b"cookie", b"a=1"), (b"x-a", b"\xe4"), (b"cookie", b"b=2")]
    assert headers_of(scope(*headers)) == {"x-a": "1, ä", "cookie": "a=1; b=2"}


def test_a_scope_may_have_no_headers():
    assert headers_of({}) == {}
    assert problem_of_headers({}) is None


def test_each_value_of_a_repeated_header_is_copied_once():
    class Value(bytes):
        copies = 0

        def decode(self, *arguments):
            Value.copies += 1
            return super().decode(*arguments)

    joined = headers_of(scope(*[(b"a", Value(b"x"))] * 1_000))
    assert joined == {"a": ", ".join("x" * 1_000)}
    assert Value.copies <= 1_000


@pytest.mark.parametrize(
    ("headers", "problem"),
    [
        ([(b"a", b"x" * 65_535)], None),
        ([(b"a", b"x" * 65_536)], "The headers are longer than 65536 bytes"),
        ([(b"a", b"x" * 99)] * 656, "The headers are longer than 65536 bytes"),
        ([(b"Cookie", b"a" * 60_000)], None),
        ([(b"Cookie", rb"\"" * 1_000)], None),
        ([(b"Cookie", rb"\"" * 30_000)], "The header Cookie has too many backslashes"),
        ([(b"cookie", rb"\"" * 1_000)] * 30, "The header Cookie has too many backslashes"),
        ([(b"a", rb"\"" * 30_000)], None),
    ],
)
def test_headers_may_be_too_large(headers, problem):
    assert problem_of_headers(scope(*headers)) == problem
