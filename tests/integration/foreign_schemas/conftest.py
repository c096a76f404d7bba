"""Fixtures of the tests with schemas of other libraries, on graphql-core 3.2 as Graphene is."""

from __future__ import annotations

import importlib
import os
from typing import Any

import pytest


@pytest.fixture(params=["strawberry", "ariadne"])
def schema(request: pytest.FixtureRequest) -> Any:
    """The schema of Strawberry, and that of Ariadne."""
    if os.environ.get("CI_FOREIGN_SCHEMAS_REQUIRED") != "1":
        pytest.importorskip(request.param)
    return importlib.import_module(f"{request.param}_schema").schema
