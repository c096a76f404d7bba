"""The snippets of the documents run as they are printed."""

from __future__ import annotations

import compileall
import importlib.util
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from channels_graphql_ws import GraphqlWsConsumer
from channels_graphql_ws.serializer import Serializer, unregister
from channels_graphql_ws.tracing import tracing
from pages import blocks

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").glob("**/*.md")])
TESTING = ROOT / "docs" / "reference" / "testing.md"
PAYLOADS = ROOT / "docs" / "reference" / "payloads.md"
TRACES = ROOT / "docs" / "reference" / "traces.md"
LINES_OF_THREE_SCREENS = 160

# What these two say is done by tests of their own.
NOT_RUN = {TESTING, PAYLOADS}
if importlib.util.find_spec("opentelemetry") is None:
    NOT_RUN.add(TRACES)


def snippets(document: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", document.read_text(), re.DOTALL | re.MULTILINE)


def test_the_readme_fits_on_three_screens() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= LINES_OF_THREE_SCREENS


def test_the_readme_opens_with_the_two_commands() -> None:
    commands = re.search(
        r"^```\n(.*?)^```$", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE
    )
    assert commands is not None
    setup = "python3 -m venv .venv && .venv/bin/pip install -q tox && .venv/bin/tox run"
    assert commands[1].splitlines() == [f"{setup} -e example", setup]


@pytest.mark.parametrize(
    "document", DOCUMENTS, ids=lambda document: document.relative_to(ROOT).as_posix()
)
def test_every_snippet_is_python(document: Path, tmp_path: Path) -> None:
    for number, snippet in enumerate(snippets(document)):
        (tmp_path / f"{number}.py").write_text(snippet)
    assert compileall.compile_dir(tmp_path, quiet=1)


@pytest.fixture
def project(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The modules of a project that snippets import; its signals and traces as they were."""
    quick_start: dict[str, Any] = {}
    exec(snippets(ROOT / "README.md")[0], quick_start)  # noqa: S102 (our own document)
    schema = quick_start["schema"]
    made: dict[str, dict[str, Any]] = {
        "chat": {},
        "chat.consumers": {"ChatConsumer": GraphqlWsConsumer},
        "chat.schema": {"OnMessage": quick_start["OnMessage"], "schema": schema},
        "mysite": {},
        "mysite.schemas": {"internal_schema": schema, "public_schema": schema},
    }
    for name, contents in made.items():
        module = ModuleType(name)
        vars(module).update(contents)
        monkeypatch.setitem(sys.modules, name, module)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    monkeypatch.setattr(tracing, "tracer", None)
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(
    "page",
    sorted({*(ROOT / "docs" / "reference").glob("*.md")} - NOT_RUN),
    ids=lambda page: page.stem,
)
def test_every_snippet_of_the_reference_runs(
    project: None, page: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for block in blocks(page):
        if block.language == "python":
            module = ModuleType(f"snippet_{block.line}")
            monkeypatch.setitem(sys.modules, module.__name__, module)
            code = compile(block.code, f"{page}, line {block.line}", "exec", dont_inherit=True)
            exec(code, vars(module))  # noqa: S102 (our own document)


def test_the_snippet_on_own_types_works() -> None:
    source = next(each for each in snippets(PAYLOADS) if "register(" in each)
    names: dict[str, object] = {"__name__": "snippet"}
    exec(compile(source, "payloads.md", "exec"), names)  # noqa: S102 (our own document)
    point = names["Point"]
    try:
        back = Serializer.deserialize(Serializer.serialize(point(1, 2)))  # type: ignore[operator]
        assert (back.x, back.y) == (1, 2)
    finally:
        unregister(point)  # type: ignore[arg-type]
