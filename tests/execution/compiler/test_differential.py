"""Compiled operations do what graphql-core does: schemas, documents and data made up."""

from __future__ import annotations

from hypothesis import given

from differential.case import Case, cases, from_text
from differential.choosing import examples
from differential.graphene_schema import to_graphene


@examples(60)
@given(cases(from_text))
def test_whatever_is_executed_both_executors_do_and_say_the_same(case: Case) -> None:
    case.check()


@examples(40)
@given(cases(to_graphene))
def test_of_graphene_schemas_they_do_so_too(case: Case) -> None:
    case.check()
