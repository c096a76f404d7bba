"""`example/start_here`, copied as its README says, works."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pages import ROOT
from support import GUARD

TEMPLATE = ROOT / "example" / "start_here"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the project, somewhere else."""
    return Path(shutil.copytree(TEMPLATE, tmp_path / "mysite"))


def manage(folder: Path, *arguments: str) -> str:
    """Run `manage.py` with the package that is tested; return what it prints."""
    spec = importlib.util.find_spec("channels_graphql_ws")
    assert spec is not None
    assert spec.origin is not None
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DJANGO")}
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=folder,
        env={**kept, "PYTHONPATH": str(Path(spec.origin).parents[1]), "PYTHONSAFEPATH": ""},
        capture_output=True,
        text=True,
        timeout=3 * GUARD,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_its_tests_pass(copy: Path):
    assert "Ran 2 tests" in manage(copy, "test")


def test_its_migrations_are_complete(copy: Path):
    assert "No changes detected" in manage(copy, "makemigrations", "--check", "--dry-run")
