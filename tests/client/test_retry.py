"""Which failures may pass, and how long a client waits."""

from __future__ import annotations

import math
import ssl
import urllib.error
from email.message import Message
from types import SimpleNamespace

import aiohttp
import pytest

from channels_graphql_ws.client.errors import ConnectionRejectedError, GraphqlWsTimeoutError
from channels_graphql_ws.client.retry import (
    NEVER,
    Retry,
    full_jitter,
    is_about_credentials,
    is_retriable,
)
from channels_graphql_ws.exceptions import ConnectionClosedError, RemoteProtocolError


@pytest.mark.parametrize(
    "code", [None, 0, 1000, 1001, 1005, 1006, 1012, 1013, 1014, 3000, 4012, 4403, 4408, 4504]
)
def test_a_close_that_may_pass(code):
    assert is_retriable(ConnectionClosedError("closed", code))


@pytest.mark.parametrize(
    "code", [1002, 1003, 1007, 1009, 1011, 4004, 4005, 4400, 4401, 4406, 4409, 4429, 4500]
)
def test_a_close_after_which_npm_gives_up_too(code):
    assert not is_retriable(ConnectionClosedError("closed", code))


@pytest.mark.parametrize(("status", "passes"), [(429, True), (502, True), (403, False)])
def test_a_refused_handshake_is_judged_by_its_status(status, passes):
    assert is_retriable(ConnectionRejectedError("no", status=status)) is passes


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (ConnectionRejectedError("Could not connect"), True),
        (GraphqlWsTimeoutError("a connection", 1), True),
        (ConnectionResetError(), True),
        (ssl.SSLError(), True),
        (ssl.SSLCertVerificationError(), False),
        (RemoteProtocolError("garbage"), False),
        (KeyError("a bug"), False),
    ],
)
def test_other_failures(error, passes):
    assert is_retriable(error) is passes


def of_module(module: str, name: str) -> Exception:
    """Make an error as a library has it that need not be installed."""
    base = type(name, (Exception,), {"__module__": module})
    error: Exception = type("Special", (base,), {"__module__": "elsewhere"})()
    return error


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (aiohttp.ServerDisconnectedError(), True),
        (aiohttp.ClientPayloadError(), True),
        (of_module("httpx", "TransportError"), True),
        (of_module("botocore.exceptions", "HTTPClientError"), True),
        (of_module("redis.exceptions", "ConnectionError"), True),
        (of_module("mine", "TransportError"), False),
        (aiohttp.InvalidURL("http//x"), False),
    ],
)
def test_what_libraries_raise_when_a_network_fails_may_pass(error, passes):
    assert is_retriable(error) is passes


def answered(status: int) -> Exception:
    error = RuntimeError("as httpx and requests raise it")
    error.response = SimpleNamespace(status_code=status)  # type: ignore[attr-defined]
    return error


@pytest.mark.parametrize(("status", "passes"), [(503, True), (429, True), (401, False)])
def test_an_answer_of_another_server_is_judged_by_its_status(status, passes):
    of_aiohttp = aiohttp.ClientResponseError(None, (), status=status)  # type: ignore[arg-type]
    of_urllib = urllib.error.HTTPError("http://x", status, "", Message(), None)
    for error in (of_aiohttp, of_urllib, answered(status)):
        assert is_retriable(error) is passes
    of_urllib.close()


def test_what_came_of_a_network_failure_may_pass():
    class TokenError(Exception):
        """What a library makes of it."""

    caused, within, hidden = TokenError("caused"), TokenError("within"), TokenError("hidden")
    caused.__cause__ = ConnectionRefusedError()
    within.__context__ = caused
    hidden.__context__, hidden.__suppress_context__ = ConnectionRefusedError(), True
    assert [is_retriable(each) for each in (caused, within, hidden)] == [True, True, False]
    around = TokenError("in a circle")
    around.__context__ = hidden
    hidden.__suppress_context__, hidden.__context__ = False, around
    assert not is_retriable(around)


@pytest.mark.parametrize(("failures", "longest"), [(1, 1), (2, 2), (4, 8), (7, 60), (5000, 60)])
def test_the_wait_doubles_up_to_a_minute_and_is_spread_over_all_of_it(failures, longest):
    waits = [full_jitter(failures) for _ in range(300)]
    assert 0 <= min(waits) < longest / 4
    assert longest * 3 / 4 < max(waits) <= longest


def test_there_are_attempts_for_ever_by_default():
    assert Retry().delay(ConnectionClosedError("lost"), 10**9) is not None


def test_there_are_no_more_attempts_than_allowed():
    retry = Retry(attempts=2, wait=lambda failures: failures * 10)
    lost = ConnectionClosedError("lost")
    assert [retry.delay(lost, failures) for failures in (1, 2, 3)] == [10, 20, None]
    assert NEVER.delay(lost, 1) is None


def test_whether_to_try_again_can_be_decided_otherwise():
    retry = Retry(wait=lambda _: 0, should_retry=lambda error: isinstance(error, KeyError))
    assert retry.delay(KeyError(), 1) == 0
    assert retry.delay(ConnectionClosedError("lost"), 1) is None


@pytest.mark.parametrize(
    ("asked_for", "seconds"), [(None, 1), (0.5, 1), (30, 30), (math.inf, 3600)]
)
def test_a_server_that_asks_to_wait_is_waited_for_but_not_more_than_an_hour(asked_for, seconds):
    busy = ConnectionRejectedError("busy", status=429, retry_after=asked_for)
    assert Retry(wait=lambda _: 1).delay(busy, 1) == seconds


@pytest.mark.parametrize(
    ("error", "is_theirs"),
    [
        (ConnectionRejectedError("no", status=401), True),
        (ConnectionRejectedError("no", status=500), False),
        (ConnectionClosedError("no", 4401), True),
        (ConnectionClosedError("no", 4403), True),
        (ConnectionClosedError("no", 1012), False),
        (KeyError(), False),
    ],
)
def test_what_is_about_credentials(error, is_theirs):
    assert is_about_credentials(error) is is_theirs
