"""The command `check` names what a project of another package has to change."""

from __future__ import annotations

import argparse
import importlib.metadata
import itertools
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import override_settings

import channels_graphql_ws
from channels_graphql_ws.migration import command, project

_numbers = itertools.count()

Check = Callable[..., tuple[int, list[str]]]


@pytest.fixture
def check(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Check]:
    """Write a project, check it, and return the exit code and what was printed."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, **files: str) -> tuple[int, list[str]]:
        for name, content in files.items():
            path = tmp_path / name.replace("__", "/").replace("_dot_", ".")
            path.parent.mkdir(exist_ok=True)
            path.write_text(textwrap.dedent(content))
        parser = argparse.ArgumentParser()
        command.add_command(parser.add_subparsers())
        options = parser.parse_args(["check", *arguments])
        code: int = options.run(options)
        return code, capsys.readouterr().out.splitlines()

    yield run
    for name in [each for each in sys.modules if each.startswith("checked_")]:
        del sys.modules[name]


def name_of_module() -> str:
    return f"checked_{next(_numbers)}"


CLEAN = """
    import graphene
    from channels_graphql_ws import GraphqlWsConsumer, Subscription

    class OnEvent(Subscription):
        value = graphene.Int()
        def publish(self, info):
            return {"value": self}

    class Query(graphene.ObjectType):
        ok = graphene.Boolean()

    class Root(graphene.ObjectType):
        on_event = OnEvent.Field()

    class Consumer(GraphqlWsConsumer):
        schema = graphene.Schema(query=Query, subscription=Root)
        resolve_sync_in_threads = True

    application = Consumer.as_asgi()
"""


def test_a_project_without_anything_to_change(check: Check) -> None:
    name = name_of_module()
    code, lines = check(
        f"--asgi={name}:application",
        "--settings=django_settings",
        **{f"{name}_dot_py": CLEAN, "requirements_dot_txt": "channels-graphql-ws\n"},
    )
    assert (code, lines) == (0, ["Nothing to change"])


OLD = """
    import graphene, warnings
    import channels_graphql_ws

    class OnEvent(channels_graphql_ws.Subscription):
        value = graphene.Int()
        def publish(self, info):
            return {"value": self}
        def subcribe(self, info):
            return ["a"]
        def initial(self, info):
            return None
        @classmethod
        def _group_name(cls, group=None):
            return "mine"

    class Root(graphene.ObjectType):
        on_event = OnEvent.Field

    class Consumer(channels_graphql_ws.GraphqlWsConsumer):
        schema = graphene.Schema(
            query=type("Query", (graphene.ObjectType,), {"ok": graphene.Int()}), subscription=Root
        )
        send_keepalive_every = 3
        async def _on_gql_connection_init(self, payload):
            pass
        async def on_disconnect(self, code):
            pass
        async def broadcast(self, message):
            pass
        def skip(self):
            return channels_graphql_ws.GraphqlWsConsumer.SKIP

    def who(info):
        return info.context._asdict()["user"]

    warnings.warn("of others", DeprecationWarning)
    channels_graphql_ws.subscription.Serializer = None
    application = Consumer.as_asgi()
"""


def test_everything_that_has_to_change_is_named_with_its_place(
    check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The project puts something there, which other tests must not find.
    monkeypatch.setattr(channels_graphql_ws.subscription, "Serializer", None, raising=False)
    name = name_of_module()
    code, lines = check(
        f"--asgi={name}.application", "--settings=django_settings", **{f"{name}_dot_py": OLD}
    )
    assert code == 1
    assert lines[-1].endswith("to change")
    found = "\n".join(lines)
    for number, text in [
        (5, "there is no 'subcribe', did you mean 'subscribe'?"),
        (5, "`_group_name` of django-channels-graphql-ws is not called"),
        (5, "note: OnEvent.initial is a hook"),
        (20, "`_on_gql_connection_init` of django-channels-graphql-ws is not called"),
        (20, "note: Consumer.send_keepalive_every is called 'send_ping_every' now"),
        (20, "note: Consumer.on_disconnect is called here"),
        (20, "Consumer.broadcast"),
        (20, "note: Consumer: synchronous resolvers and hooks run on the event loop"),
        (39, "Root.on_event is not a field: mount the subscription with `on_event = OnEvent"),
        (32, "`GraphqlWsConsumer.SKIP`: use `Subscription.SKIP`"),
        (35, "note: `context._asdict`: it returns what is set on the context"),
        (38, "`subscription.Serializer`: payloads are not encoded by it"),
        (39, "`channels_graphql_ws.subscription.Serializer` is replaced by None"),
    ]:
        assert any(f"{name}.py:{number}: " in line and text in line for line in lines), (
            number,
            text,
            found,
        )


def test_imports_of_what_is_not_there_and_of_other_packages_are_named(check: Check) -> None:
    code, lines = check(
        "--no-import",
        **{
            "app__models_dot_py": """
                import channels_graphql_ws.missing
                from channels_graphql_ws import Subscription, graphql_ws_consumer, nothing
                from channels_graphql_ws.client import *
                from channels_graphql_ws.missing.deep import thing
                from strawberry.channels import GraphQLWSConsumer
                from strawberry import channels
                import graphene_subscriptions.consumers
                import json, os.path
                from . import sibling
                from channels_graphql_ws.exceptions import GraphqlWsError, Nothing
            """,
            "broken_dot_py": "def (:\n",
            "venv__x_dot_py": "import channels_graphql_ws.missing\n",
            "requirements-dev_dot_txt": "# django-channels-graphql-ws\n"
            "Django-Channels-GraphQL-WS==0.9\n",
            "pyproject_dot_toml": 'dependencies = ["django-channels-graphql-ws-extra"]\n',
        },
    )
    assert code == 1
    assert [line for line in lines if "broken" not in line] == [
        "requirements-dev.txt:2: require 'channels-graphql-ws' instead",
        "app/models.py:2: there is no module 'channels_graphql_ws.missing'",
        "app/models.py:3: 'channels_graphql_ws' has no 'nothing'",
        "app/models.py:5: there is no module 'channels_graphql_ws.missing.deep'",
        *[line for line in lines if "Strawberry" in line],
        *[line for line in lines if "graphene-subscriptions: " in line],
        "app/models.py:11: 'channels_graphql_ws.exceptions' has no 'Nothing'",
        "8 to change",
    ]
    assert [line.partition(": ")[0] for line in lines if "Strawberry" in line] == [
        "app/models.py:6",
        "app/models.py:7",
    ]
    assert any("broken.py: note: not looked at" in line for line in lines)


def test_without_settings_the_project_is_not_imported(
    check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE")
    assert check()[1][0].startswith("project: not imported: name the settings")


def test_the_settings_of_manage_py_are_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = 'os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings")'
    (tmp_path / "manage.py").write_text(text)
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE")
    assert project.settings_module(tmp_path) == "mysite.settings"
    (tmp_path / "manage.py").write_text("nothing of the kind")
    assert project.settings_module(tmp_path) is None
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "other")
    assert project.settings_module(tmp_path) == "other"


def test_a_project_that_cannot_be_imported_is_a_finding(
    check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = name_of_module()
    with override_settings(ROOT_URLCONF="missing_urls"):
        code, lines = check(f"--asgi={name}:application", **{f"{name}_dot_py": "1 / 0\n"})
    assert code == 1
    assert f"{name}: cannot be imported: ZeroDivisionError: division by zero" in lines
    assert "missing_urls: cannot be imported: ModuleNotFoundError: No module named" in lines[1]

    def fail() -> None:
        raise RuntimeError("no apps")

    monkeypatch.setattr(project.django, "setup", fail)
    assert check()[1][0] == "settings: cannot be loaded: RuntimeError: no apps"


def test_the_predecessor_beside_this_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        assert name == "django-channels-graphql-ws"
        return "0.9.1"

    monkeypatch.setattr(importlib.metadata, "version", version)
    [finding] = project.installed()
    assert "pip uninstall django-channels-graphql-ws" in str(finding)


def test_the_command_imports_what_it_checks_in_a_process_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "manage.py").write_text('setdefault("DJANGO_SETTINGS_MODULE", "site_settings")')
    (tmp_path / "site_settings.py").write_text("ASGI_APPLICATION = 'site_asgi.application'\n")
    (tmp_path / "site_asgi.py").write_text(textwrap.dedent(OLD))
    package = Path(channels_graphql_ws.__file__).parents[1]
    environment = {**os.environ, "PYTHONPATH": str(package)}
    environment.pop("DJANGO_SETTINGS_MODULE", None)
    done = subprocess.run(
        [sys.executable, "-m", "channels_graphql_ws", "check"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (1, "")
    assert "did you mean 'subscribe'?" in done.stdout
    assert done.stdout.splitlines()[-1] == "9 to change"


def test_a_class_without_source_is_named_by_its_module() -> None:
    made: Any = type("Made", (), {"__module__": "somewhere"})
    assert project.place_of(made) == "somewhere.Made"
