"""`example/start_here`, copied as its README says, works."""

from __future__ import annotations


def test_its_tests_pass(project):
    assert "Ran 2 tests" in project.run("manage.py", "test")


def test_its_migrations_are_complete(project):
    assert "No changes detected" in project.run("manage.py", "makemigrations", "--check")
