"""A database in a file, which every thread has a connection of its own to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from asgiref.sync import SyncToAsync
from django.apps import apps
from django.db import connections


@contextmanager
def file_database(
    path: Path, unblocked: Any, *labels: str, alias: str = "default"
) -> Iterator[None]:
    """Put an empty SQLite database in the place of another one.

    Args:
        path: of the file.
        unblocked: pytest-django's leave to use a database.
        labels: of the applications whose models are to have tables.
        alias: of the database.
    """
    options = connections.settings[alias]
    name, shared = options["NAME"], connections[alias]
    options["NAME"] = str(path)
    connections[alias] = connections.create_connection(alias)
    models = [model for label in labels for model in apps.get_app_config(label).get_models()]
    with unblocked.unblock():
        with connections[alias].schema_editor() as editor:
            for model in models:
                if not model._meta.proxy:
                    editor.create_model(model)
        try:
            yield
        finally:
            # The asynchronous ORM has a connection there.
            SyncToAsync.single_thread_executor.submit(connections.close_all).result()
            connections[alias].close()
    options["NAME"] = name
    connections[alias] = shared
