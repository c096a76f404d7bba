"""The pages of docs/how-to keep what they promise.

Their files, added to a copy of `example/start_here`, pass the tests that are on the page.
"""

from __future__ import annotations

import pytest


@pytest.mark.parametrize(
    ("page", "tests"),
    [
        ("login", "chat.test_login"),
        ("permissions", "chat.test_permissions"),
        ("transactions", "chat.test_sending"),
        ("outbox", "chat.test_posting"),
        ("tokens", "chat.test_tokens"),
        ("django-graphql-jwt", "chat.test_jwt"),
        ("graphene-django", "chat.test_graphene_django"),
        ("celery", "chat.test_tasks"),
        ("data-loaders", "chat.test_loaders"),
        ("testing", "chat.test_with_unittest"),
        ("single-page-app", "chat.test_origins"),
        ("long-answers", "chat.test_answers"),
    ],
)
def test_a_page_keeps_its_promise(project, page: str, tests: str):
    project.add(f"how-to/{page}.md")
    assert "OK" in project.run("-W", "error::RuntimeWarning", "manage.py", "test", tests)


def test_the_page_on_testing_keeps_its_promise_with_pytest(project):
    project.add("how-to/testing.md")
    printed = project.run("-m", "pytest", "-q", "-p", "no:randomly", "chat/test_with_pytest.py")
    assert "2 passed" in printed
