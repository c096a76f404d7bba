"""Commands of `manage.py`, for projects with `"channels_graphql_ws"` in INSTALLED_APPS."""
