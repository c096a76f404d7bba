"""Compiled operations do what graphql-core does: schemas, documents and data made up."""

from __future__ import annotations

from hypothesis import given

from compile.case import Case, cases, from_text
from compile.choosing import examples


@examples(60)
@given(cases(from_text))
def test_whatever_is_executed_both_executors_do_and_say_the_same(case: Case) -> None:
    case.check()
