"""`manage.py graphql_schema`: the schema as text or JSON, and what is said where there is none."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from weakref import WeakSet

import graphene
import pytest
from django.core.management import CommandError, call_command
from graphql import build_client_schema, print_schema

from channels_graphql_ws import GraphqlProtocolTypeRouter, GraphqlView, GraphqlWsConsumer
from channels_graphql_ws.management import project as of_commands
from channels_graphql_ws.management.commands.graphql_schema import Command
from channels_graphql_ws.operations import mounting
from news_schema import schema

OTHER = graphene.Schema(query=type("Query", (graphene.ObjectType,), {"a": graphene.Int()}))


@pytest.fixture(autouse=True)
def project(monkeypatch: pytest.MonkeyPatch, settings: Any) -> Iterator[Any]:
    """A project with nothing mounted yet."""
    empty: WeakSet[type[Any]] = WeakSet()
    for module in (mounting, of_commands):
        monkeypatch.setattr(module, "mounted", empty)
    made: Any = ModuleType("project_of_a_test")
    made.application, made.schema = None, schema
    monkeypatch.setitem(sys.modules, made.__name__, made)
    settings.ASGI_APPLICATION = f"{made.__name__}.application"
    settings.ROOT_URLCONF = made.__name__
    yield made
    made.application = None


def run(*arguments: str) -> str:
    out = io.StringIO()
    call_command(Command(), *arguments, stdout=out, stderr=out)
    return out.getvalue()


def problem(*arguments: str) -> str:
    with pytest.raises(CommandError) as found:
        run(*arguments)
    return str(found.value)


@pytest.mark.parametrize("path", ["project_of_a_test.schema", "project_of_a_test:schema"])
def test_a_schema_is_printed_by_its_path(path: str) -> None:
    assert run("--schema", path).strip() == print_schema(schema.graphql_schema)


def test_by_default_it_is_the_one_that_the_project_serves(project: Any) -> None:
    project.application = GraphqlProtocolTypeRouter(schema, shutdown_timeout=None)
    assert run().strip() == print_schema(schema.graphql_schema)


def test_a_view_serves_one_too() -> None:
    view = GraphqlView.as_view(schema=OTHER)
    assert run().strip() == print_schema(OTHER.graphql_schema)
    del view


def test_json_is_the_result_of_an_introspection(tmp_path: Path) -> None:
    printed = json.loads(run("--schema", "project_of_a_test.schema", "--json", "--indent", "0"))
    made = build_client_schema(printed["data"])
    assert print_schema(made) == print_schema(schema.graphql_schema)
    file = tmp_path / "schema.json"
    said = run("--schema", "project_of_a_test.schema", "--out", str(file))
    assert said == f"The schema is in {file}\n"
    assert json.loads(file.read_text()) == printed


@pytest.mark.parametrize("suffix", ["graphql", "graphqls", "gql"])
def test_text_is_written_to_a_file(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"schema.{suffix}"
    run("--schema", "project_of_a_test.schema", "--out", str(file))
    assert file.read_text().strip() == print_schema(schema.graphql_schema)


def test_the_setting_of_graphene_is_the_last_resort(settings: Any) -> None:
    settings.GRAPHENE = {"SCHEMA": "project_of_a_test.schema"}
    settings.ASGI_APPLICATION = None
    settings.ROOT_URLCONF = None
    assert run().strip() == print_schema(schema.graphql_schema)


def test_several_schemas_have_to_be_told_apart(project: Any) -> None:
    one = type("One", (GraphqlWsConsumer,), {"schema": schema})
    other = type("Other", (GraphqlWsConsumer,), {"schema": OTHER})
    project.application = [one.as_asgi(), other.as_asgi()]
    text = problem()
    assert text.startswith("There are 2 schemas, served by One; Other: name one")


def test_a_schema_that_only_instances_know_does_not_count(project: Any) -> None:
    class Late(GraphqlWsConsumer):
        @property
        def schema(self) -> Any:
            return schema

    project.application = [Late.as_asgi()]
    assert problem().startswith("No schema was found")


def test_what_cannot_be_imported_is_named(settings: Any, project: Any) -> None:
    assert "'nowhere.schema' cannot be imported" in problem("--schema", "nowhere.schema")
    assert "'...' cannot be imported" in problem("--schema", "...")
    assert "is not a schema" in problem("--schema", "project_of_a_test.__name__")
    settings.ROOT_URLCONF = "no_urls_of_a_test"
    assert "ROOT_URLCONF cannot be imported" in problem()
    settings.ASGI_APPLICATION = "nowhere.application"
    assert "ASGI_APPLICATION cannot be imported" in problem()


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    assert "must end in .json" in problem("--out", "schema.txt")
    assert "do not go together" in problem("--out", "schema.graphql", "--json")
    file = tmp_path / "missing" / "schema.graphql"
    text = problem("--schema", "project_of_a_test.schema", "--out", str(file))
    assert "cannot be written" in text
