"""Pytest plugin: `executor` runs a test with compiled operations and with graphql-core."""

from __future__ import annotations

import pytest

from channels_graphql_ws.operations.interfaces import EngineSettings


@pytest.fixture(params=["compiled", "by graphql-core"])
def executor(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Tell who executes."""
    name: str = request.param
    is_on = {"compile_operations": name == "compiled"}
    defaults = {**EngineSettings.__init__.__kwdefaults__, **is_on}
    monkeypatch.setattr(EngineSettings.__init__, "__kwdefaults__", defaults)
    return name
