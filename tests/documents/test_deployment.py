"""The pages about servers: their configurations and commands, with the real programs."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from channels_graphql_ws import GraphqlWsClient, GraphqlWsTransportAiohttp
from pages import ROOT, blocks
from programs import Program, Visitor
from support import GUARD, free_port

yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")

SUBSCRIBE = 'subscription { onMessage(room: "tea") { message { author text } } }'
SEND = 'mutation { sendMessage(room: "tea", text: "Milk?") { message { id } } }'
MILK = {"data": {"onMessage": {"message": {"author": "ada", "text": "Milk?"}}}}

TLS = re.compile(r"^    (ssl_certificate\w*|listen 443).*;\n", re.MULTILINE)
REDIRECT = re.compile(r"^server \{\n    listen 80;.*?^\}\n", re.DOTALL | re.MULTILINE)


def code_of(page: str, language: str, *, number: int = 0) -> str:
    """Return the code of a page's block."""
    found = [each for each in blocks(ROOT / "docs" / page) if each.language == language]
    return found[number].code


@contextmanager
def running(project, command: list[str], ready: str | int, **environment: str) -> Iterator:
    """Run a program of the project."""
    own = {**project.environment(), **environment}
    own["PATH"] = f"{Path(sys.executable).parent}:{own['PATH']}"
    with Program(command, folder=project.folder, environment=own, ready=ready) as program:
        yield program


async def event_of(visitor: Visitor, sender: Visitor) -> object:
    """Subscribe at one server, send at another one (or the same); return what arrives."""
    url = visitor.url.replace("http", "ws") + "/graphql/"
    headers = {"Origin": visitor.url, "Cookie": visitor.cookies}
    client = GraphqlWsClient(GraphqlWsTransportAiohttp(url, headers=headers))
    await client.connect_and_init()
    op_id = await client.subscribe(SUBSCRIBE, wait_confirmation=False)
    # Redis needs a moment until the group is joined, and nothing says when it is.
    receiving = asyncio.create_task(client.receive(wait_id=op_id))
    async with asyncio.timeout(GUARD):
        while not receiving.done():
            await asyncio.to_thread(sender.execute, SEND)
            await asyncio.wait([receiving], timeout=0.5)
    await client.finalize()
    return receiving.result()


def member(url: str) -> Visitor:
    """Log in as Ada."""
    visitor = Visitor(url)
    visitor.submit("/login/", username="ada", password="lovelace")  # noqa: S106 (of the test)
    return visitor


def uvicorn_commands() -> list[tuple[str, str]]:
    """Return each command line of the pages that starts Uvicorn."""
    found: list[tuple[str, str]] = []
    for page in sorted((ROOT / "docs" / "how-to").glob("*.md")):
        for block in blocks(page):
            lines = (
                block.code.splitlines() if block.language in {"sh", "ini", "dockerfile"} else []
            )
            for line in lines:
                if "CMD [" in line:
                    found.append((page.name, shlex.join(json.loads(line.removeprefix("CMD ")))))
                elif "uvicorn mysite" in line:
                    found.append((page.name, line[line.index("uvicorn") :]))
    return found


@pytest.mark.parametrize(("page", "line"), uvicorn_commands())
def test_each_command_that_starts_uvicorn_does_so(project, page: str, line: str):
    port = str(free_port())
    arguments = shlex.split(line)
    arguments[arguments.index("--port") + 1] = port
    if "--host" in arguments:
        arguments[arguments.index("--host") + 1] = "127.0.0.1"
    project.run("manage.py", "migrate", "--noinput")
    with running(project, [sys.executable, "-m", *arguments], int(port)):
        assert "Connecting…" in Visitor(f"http://127.0.0.1:{port}").get("/")
    assert page.endswith(".md")


@pytest.fixture
def site(project) -> Iterator:
    """Serve the project with a user."""
    project.add_user("ada", "lovelace")
    with project.served() as visitor:
        yield project, visitor


async def test_nginx_serves_the_whole_site(site, tmp_path: Path):
    if shutil.which("nginx") is None:
        pytest.skip("nginx is not installed")
    project, behind = site
    port = free_port()
    text = REDIRECT.sub("", code_of("how-to/nginx.md", "nginx"))
    text = TLS.sub("", text).replace(
        "server_name", f"listen 127.0.0.1:{port};\n    server_name", 1
    )
    text = text.replace("127.0.0.1:8000", behind.url.removeprefix("http://"))
    text = text.replace("/srv/mysite/static/", f"{project.folder}/chat/static/")
    user = "user root; " if os.geteuid() == 0 else ""
    modes = f"{user}daemon off; pid {tmp_path}/pid; error_log {tmp_path}/errors;"
    places = " ".join(
        f"{name}_temp_path {tmp_path}/{name};"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (tmp_path / "nginx.conf").write_text(
        f"{modes}\nevents {{}}\nhttp {{ access_log off; include /etc/nginx/mime.types;\n"
        f"{places}\n{text}\n}}\n"
    )
    with running(project, ["nginx", "-c", f"{tmp_path}/nginx.conf"], port):
        visitor = member(f"http://127.0.0.1:{port}")
        assert "graphql-transport-ws" in visitor.get("/static/chat/room.js")
        assert "Log out ada" in visitor.get("/")
        assert await event_of(visitor, visitor) == MILK


async def test_gunicorn_serves_with_its_configuration(project):
    project.add("how-to/gunicorn.md")
    project.add_user("ada", "lovelace")
    port = free_port()
    bind = ["--bind", f"127.0.0.1:{port}", "--workers", "1"]
    command = [sys.executable, "-m", "gunicorn", "mysite.asgi:application", *bind]
    with running(project, command, port):
        visitor = member(f"http://127.0.0.1:{port}")
        assert await event_of(visitor, visitor) == MILK
    worker = ["--worker-class", "mysite.workers.Worker"]
    with running(project, [*command, *worker], port):
        assert await event_of(visitor, visitor) == MILK


def test_the_unit_of_systemd_is_valid(project):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd is not installed")
    text = code_of("how-to/systemd.md", "ini")
    text = text.replace("/srv/mysite/.venv/bin/uvicorn", "/bin/true").replace("User=mysite\n", "")
    text = text.replace("/srv/mysite", str(project.folder)).replace("redis-server.service", "")
    unit = project.folder / "mysite.service"
    unit.write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False
    )
    own = [line for line in done.stderr.splitlines() if "mysite.service" in line]
    assert own == []


def test_the_containers_are_described_in_yaml():
    found = yaml.safe_load(code_of("how-to/containers.md", "yaml"))
    assert found["services"].keys() == {"web", "redis"}
    assert found["services"]["web"]["environment"]["REDIS_URL"].startswith("redis://redis:")


async def test_two_processes_share_events_through_redis(project, redis_url: str):
    project.add("how-to/redis.md")
    project.add_user("ada", "lovelace")
    one, two = free_port(), free_port()
    command = [sys.executable, "-m", "uvicorn", "mysite.asgi:application", "--port"]
    with (
        running(project, [*command, str(one)], one, REDIS_URL=redis_url),
        running(project, [*command, str(two)], two, REDIS_URL=redis_url),
    ):
        listener, sender = member(f"http://127.0.0.1:{one}"), member(f"http://127.0.0.1:{two}")
        assert await event_of(listener, sender) == MILK


async def test_a_celery_worker_broadcasts_to_a_server(project, redis_url: str):
    project.add("how-to/celery.md")
    project.add_user("ada", "lovelace")
    port = free_port()
    server = [sys.executable, "-m", "uvicorn", "mysite.asgi:application", "--port", str(port)]
    worker = [sys.executable, "-m", *shlex.split(code_of("how-to/celery.md", "sh"))]
    url = f"ws://127.0.0.1:{port}/graphql/"
    with (
        running(project, server, port, REDIS_URL=redis_url),
        running(project, worker, "ready.", REDIS_URL=redis_url),
    ):
        client = GraphqlWsClient(GraphqlWsTransportAiohttp(url))
        await client.connect_and_init()
        op_id = await client.subscribe(SUBSCRIBE, wait_confirmation=False)
        receiving = asyncio.create_task(client.receive(wait_id=op_id))
        call = code_of("how-to/celery.md", "python", number=4)
        own = project.environment() | {"REDIS_URL": redis_url}
        shell = [sys.executable, "manage.py", "shell", "-c", call]
        async with asyncio.timeout(2 * GUARD):
            while not receiving.done():
                calling = await asyncio.create_subprocess_exec(*shell, cwd=project.folder, env=own)
                assert await calling.wait() == 0
                await asyncio.wait([receiving], timeout=0.5)
        await client.finalize()
    message = {"author": "Reminder", "text": "Milk?"}
    assert receiving.result() == {"data": {"onMessage": {"message": message}}}
