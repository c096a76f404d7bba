"""A Django application with models of every kind, for the tests."""
