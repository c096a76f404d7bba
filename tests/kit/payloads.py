"""Payloads for hypothesis: everything that the serializer knows, in any combination."""

from __future__ import annotations

from datetime import UTC
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from testapp.models import Book, Rank, Size, Weekday

BERLIN = ZoneInfo("Europe/Berlin")

HASHABLE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=()))
    | st.binary()
    | st.decimals()
    | st.uuids()
    | st.dates()
    | st.timedeltas()
    | st.datetimes(timezones=st.none() | st.just(UTC) | st.just(BERLIN))
    | st.times()
    | st.sampled_from([*Weekday, *Size, *Rank, *Book.Status]),
    lambda inner: st.lists(inner).map(tuple) | st.frozensets(st.integers() | st.text()),
    max_leaves=5,
)
PAYLOADS = st.recursive(
    HASHABLE,
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(HASHABLE.filter(lambda key: "sNaN" not in repr(key)), inner)
        | st.sets(st.integers() | st.text() | st.tuples(st.uuids()))
    ),
    max_leaves=10,
)
