"""A graphql-core that nothing here works with is named, before names are missing in it."""

from __future__ import annotations

import graphql
import pytest
from graphql.version import VersionInfo

from channels_graphql_ws.execution.core_version import check_core_version


@pytest.mark.parametrize("version", ["3.3.2", "3.1.7", "4.0.0"])
def test_another_graphql_core_is_refused_by_its_version(
    version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graphql, "version", version)
    monkeypatch.setattr(graphql, "version_info", VersionInfo.from_str(version))
    with pytest.raises(ImportError, match=f"found {version}: pip install 'graphql-core<3.3'"):
        check_core_version()


def test_ours_is_taken() -> None:
    check_core_version()
