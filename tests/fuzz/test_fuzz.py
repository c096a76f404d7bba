"""Any bytes at all, in short: what a fuzzer has found before, and what hypothesis makes up.

`tox run -e fuzz` does it at length, guided by the branches that it reaches.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzz_targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"

WORDS = [
    *(b'{"type":"', b'"}', b"connection_init", b"subscribe", b"complete", b"start", b"stop"),
    *(b"ping", b"pong", b"connection_terminate", b',"id":"1"', b',"payload":{"query":"', b"}"),
    *(b"\0", b"null", b"[", b"]", b"\xc1", b"\x92", b"\xc7\x01", b"\xd4", b"\xff", b"1e999"),
    *(b"query=", b"&variables=", b"%00", b"%ff", b"Accept:", b"text/event-stream;q=", b"\r\n"),
    *(b"--edge", b"--edge--", b'Content-Disposition: form-data; name="map"', b"data:", b"id:"),
]

chunks = st.lists(st.sampled_from(WORDS) | st.binary(max_size=12), max_size=30).map(b"".join)


@pytest.mark.parametrize("name", TARGETS)
def test_what_was_found_before_is_taken(name: str) -> None:
    found = sorted((CORPUS / name).iterdir())
    assert found
    for path in found:
        TARGETS[name](path.read_bytes())


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(chunks)
def test_any_bytes_are_taken(name: str, data: bytes) -> None:
    TARGETS[name](data)
