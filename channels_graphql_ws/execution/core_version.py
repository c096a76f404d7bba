"""The releases of graphql-core that operations can be executed with."""

from __future__ import annotations

import graphql


def check_core_version() -> None:
    """Check which graphql-core is installed, before names are missing in it.

    Raises:
        ImportError: it is not 3.2.
    """
    if graphql.version_info[:2] != (3, 2):
        raise ImportError(
            f"channels_graphql_ws needs graphql-core 3.2, as Graphene 3.4 does, and found "
            f"{graphql.version}: pip install 'graphql-core<3.3'. If gql has brought it, "
            "gql<4.1 takes 3.2, too"
        )
