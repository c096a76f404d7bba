"""A database with books, and every way to mount the schema."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import library_schema
from file_database import file_database

pytest.importorskip("graphene_django")


@pytest.fixture
def library(tmp_path: Any, django_db_blocker: Any) -> Iterator[None]:
    """A database in a file, with authors and books."""
    labels = ("contenttypes", "auth", "sessions", "testapp")
    with file_database(tmp_path / "library.sqlite3", django_db_blocker, *labels):
        library_schema.fill()
        yield
