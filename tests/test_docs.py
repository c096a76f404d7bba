"""The snippets of the documents run as they are printed."""

from __future__ import annotations

import asyncio
import compileall
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from support import GUARD, free_port

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").glob("**/*.md")])
PORT_IN_README = "8000"


def snippets(document: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", document.read_text(), re.DOTALL | re.MULTILINE)


def environment() -> dict[str, str]:
    # The package is the one that is tested; the folder of the snippet comes before it.
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    return {**kept, "PYTHONUNBUFFERED": "1", "DJANGO_SETTINGS_MODULE": ""}


@pytest.fixture
async def quick_start(tmp_path: Path) -> AsyncIterator[tuple[Path, int]]:
    """The first two snippets of the README as files, and a server which serves the first."""
    live, listen, *_ = snippets(ROOT / "README.md")
    port = free_port()
    (tmp_path / "live.py").write_text(live)
    (tmp_path / "listen.py").write_text(listen.replace(PORT_IN_README, str(port)))
    server = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "uvicorn", "live:application", "--port", str(port)),
        cwd=tmp_path,
        env=environment(),
        stderr=asyncio.subprocess.PIPE,
    )
    assert server.stderr is not None
    log = b""
    try:
        async with asyncio.timeout(GUARD):
            while b"Uvicorn running" not in log:
                line = await server.stderr.readline()
                assert line, f"the server did not start:\n{log.decode()}"
                log += line
        yield tmp_path, port
    finally:
        if server.returncode is None:
            server.terminate()
        await server.communicate()


@pytest.mark.servers
async def test_the_quick_start_prints_the_event(quick_start: tuple[Path, int]) -> None:
    folder, _ = quick_start
    client = await asyncio.create_subprocess_exec(
        *(sys.executable, "listen.py"), cwd=folder, env=environment(), stdout=subprocess.PIPE
    )
    async with asyncio.timeout(GUARD):
        printed, _ = await client.communicate()
    assert printed.decode().strip() == "{'data': {'onMessage': {'text': 'Milk?'}}}"
    assert client.returncode == 0


def test_the_quick_start_is_about_thirty_lines_long() -> None:
    code = [line for line in snippets(ROOT / "README.md")[0].splitlines() if line.strip()]
    assert len(code) <= 30


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
        # Some are the inside of a coroutine, and are shown without it.
        body = "".join(f"    {line}" for line in snippet.splitlines(keepends=True))
        (tmp_path / f"{number}.py").write_text(f"async def snippet():\n{body}")
    assert compileall.compile_dir(tmp_path, quiet=1)


def test_the_snippet_on_own_types_works() -> None:
    from channels_graphql_ws.serializer import Serializer, unregister  # noqa: PLC0415

    source = next(
        s for s in snippets(ROOT / "docs" / "reference" / "payloads.md") if "register(" in s
    )
    names: dict[str, object] = {"__name__": "snippet"}
    exec(compile(source, "payloads.md", "exec"), names)  # noqa: S102 (our own document)
    point = names["Point"]
    try:
        back = Serializer.deserialize(Serializer.serialize(point(1, 2)))  # type: ignore[operator]
        assert (back.x, back.y) == (1, 2)
    finally:
        unregister(point)  # type: ignore[arg-type]
