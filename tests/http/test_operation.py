"""What operations and reservations do where nothing should happen twice."""

from __future__ import annotations

from django.http import HttpResponse

import http_schema
from channels_graphql_ws.http.consumer import GraphqlHttpConsumer
from channels_graphql_ws.http.in_flight import HeldMessage
from channels_graphql_ws.http.operation import HttpOperation
from channels_graphql_ws.http.parsing import operation_of
from channels_graphql_ws.http.request import HttpRequest
from channels_graphql_ws.http.reservations import Reservation
from channels_graphql_ws.http.stream import ResponseStream
from channels_graphql_ws.http.stream_formats import EVENT_STREAM
from channels_graphql_ws.operations.places import Places
from channels_graphql_ws.operations.unsent import Unsent
from channels_graphql_ws.signals import ConnectionSignals
from http_client import scope_of


class Consumer(GraphqlHttpConsumer):
    schema = http_schema.schema
    resolve_sync_in_threads = False


def operation(query="{ hello }"):
    consumer = Consumer()
    request = HttpRequest(scope_of("POST", "/", {}), consumer)
    return HttpOperation(
        consumer,
        request,
        HttpResponse(),
        operation_of({"query": query}),
        lambda _type: None,
        ConnectionSignals(Consumer),
        lambda: Unsent(None, {}),
        HeldMessage(request),
    )


async def test_an_operation_can_be_ended_again():
    one = operation()
    assert one.start() is None
    assert one.text == '{"data":{"hello":"Hello world!"}}'
    await one.end()
    await one.end()


async def test_what_comes_after_the_end_is_not_heard():
    one = operation()
    one.start()
    text = one.text
    await one.end()
    one.next('{"data":null}')
    one.completed()
    assert one.text == text


async def test_an_operation_that_is_not_there_can_be_forgotten():
    place, signals = Places().take(()), ConnectionSignals(Consumer)
    reservation = Reservation(ResponseStream(EVENT_STREAM), 1, place, signals, {})
    reservation.forget("unknown")
    await reservation.close()


async def test_one_that_was_refused_with_a_status_has_no_stream_to_end():
    one = operation()
    one.start()
    await one.drain(0)
    assert one.text == '{"data":{"hello":"Hello world!"}}'
    await one.end()
