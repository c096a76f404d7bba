"""Fixtures of the tests of the documents: a project, and what the pages say about it."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pages import ROOT, blocks, write_files
from programs import Program, Visitor
from support import GUARD, free_port

START_HERE = ROOT / "example" / "start_here"
IS_REQUIRED = os.environ.get("CI_DOCUMENTS_REQUIRED") == "1"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave these tests to `tox run -e documents`: they start programs, and take minutes."""
    here = Path(__file__).parent
    for item in items:
        if here not in item.path.parents:
            continue
        if not IS_REQUIRED:
            item.add_marker(pytest.mark.skip(reason="`tox run -e documents` runs it"))
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(600))


def package_folder() -> Path:
    """Return the folder that contains the package that is tested."""
    spec = importlib.util.find_spec("channels_graphql_ws")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parents[1]


class Project:
    """A copy of `example/start_here`, to which the files of pages are added."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(shutil.copytree(START_HERE, folder / "mysite"))

    def add(self, page: str) -> None:
        """Write the files of a page, such as "how-to/tokens.md"."""
        write_files(blocks(ROOT / "docs" / page), self.folder)

    def environment(self) -> dict[str, str]:
        """Return the environment of programs in the project."""
        not_its_own = {"DJANGO_SETTINGS_MODULE", "PYTHONSAFEPATH", "REDIS_URL"}
        kept = {name: value for name, value in os.environ.items() if name not in not_its_own}
        return {**kept, "PYTHONPATH": str(package_folder()), "PYTHONUNBUFFERED": "1"}

    def run(self, *arguments: str) -> str:
        """Run Python with these arguments; return what it prints."""
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=5 * GUARD,
            check=False,
        )
        printed = done.stdout + done.stderr
        assert done.returncode == 0, printed
        return printed

    def add_user(self, name: str, password: str) -> None:
        """Create the database and a user."""
        self.run("manage.py", "migrate", "--noinput")
        create = "from django.contrib.auth.models import User; User.objects.create_superuser"
        self.run("manage.py", "shell", "-c", f"{create}({name!r}, password={password!r})")

    @contextmanager
    def served(self) -> Iterator[Visitor]:
        """Serve the project with Uvicorn, and visit it."""
        port = free_port()
        command = [sys.executable, "-m", "uvicorn", "mysite.asgi:application", "--port", str(port)]
        with Program(
            command,
            folder=self.folder,
            environment=self.environment(),
            ready=port,
        ):
            yield Visitor(f"http://127.0.0.1:{port}")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Return a project to add pages to."""
    return Project(tmp_path)
