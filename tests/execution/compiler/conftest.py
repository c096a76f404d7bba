"""Fixtures of the tests of compiled operations."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="module")
def little_to_collect() -> Iterator[None]:
    """Leave what there is alone: these tests collect garbage after each execution."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()
